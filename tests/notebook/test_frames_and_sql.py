"""A loaded run as frames of pandas and polars, and in DuckDB; and without these libraries."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.compute as pc
import pytest

from harness import load_run
from harness.notebook import DamagedFilesWarning, LoadedRun
from harness.notebook.tables import TABLES
from tests.report.made_runs import HOSTILE, make_run

# Takes a library away from a process, as if it had never been installed.
WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {without!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def run(tmp_path: Path) -> LoadedRun:
    """A run of 4,000 operations, a tenth of them warm-up."""
    return load_run(make_run(tmp_path / "run", warmup_s=0.4))


def python(text: str, *, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            WITHOUT.format(without=without) + textwrap.dedent(text),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("name", TABLES)
def test_frames_have_the_columns_and_rows_of_the_table(run: LoadedRun, name: str):
    """In pandas and in polars, with columns and rows chosen as for a table."""
    table = run.table(name)
    for frame in (run.to_pandas(name), run.to_polars(name)):
        assert list(frame.columns) == table.schema.names
        assert len(frame) == table.num_rows
    assert isinstance(run.to_pandas(name), pd.DataFrame)
    assert isinstance(run.to_polars(name), pl.DataFrame)


def test_frames_and_sql_find_the_summary_s_figures(run: LoadedRun):
    """The p99 of each operation, however it is asked for."""
    assert run.summary is not None
    expected = {name: run.summary[name]["p99_ms"] for name in ("store", "retrieve", "search")}
    frame = run.to_pandas("operations", ["op", "response_ns"])
    by_pandas = frame.groupby("op", observed=True)["response_ns"].quantile(0.99) / 1e6
    assert by_pandas.to_dict() == pytest.approx(expected)
    polars_frame = run.to_polars("operations", ["op", "response_ns"])
    figure = pl.col("response_ns").quantile(0.99, "linear") / 1e6
    by_polars = dict(polars_frame.group_by(pl.col("op").cast(pl.String)).agg(figure).iter_rows())
    assert by_polars == pytest.approx(expected)
    asked = "SELECT op, quantile_cont(response_ns, 0.99) / 1e6 FROM operations GROUP BY op"
    with run.duckdb() as connection:
        assert dict(connection.sql(asked).fetchall()) == pytest.approx(expected)


def test_frames_take_columns_and_rows(run: LoadedRun):
    """As a table does."""
    for frame in (
        run.to_pandas("operations", ["agent"], pc.field("op") == "store"),
        run.to_polars("operations", ["agent"], pc.field("op") == "store"),
    ):
        assert list(frame.columns) == ["agent"]
        assert len(frame) == run.operations(["agent"], pc.field("op") == "store").num_rows


def test_views_are_the_tables(run: LoadedRun):
    """Every table is a view with the same rows, as often as it is asked for, also beside others."""
    with run.duckdb() as connection:
        for name in TABLES:
            for _ in range(2):
                found = connection.sql(f"SELECT * FROM {name}").to_arrow_table()
                assert found.schema.names == run.schema(name).names
                assert found.to_pylist() == run.table(name).to_pylist()
        joined = "SELECT count(*) FROM operations JOIN agents USING (agent), events"
        assert connection.sql(joined).fetchall() == [(3600 * 4,)]
        own = "SELECT count(*) FROM operations a JOIN operations b USING (cohort, scheduled_ns)"
        assert connection.sql(own).fetchall()[0][0] >= 3600


@pytest.mark.parametrize(
    "condition",
    [
        "op = 'search'",
        "op IN ('store', 'search') AND NOT agent = 3",
        "op LIKE 's%' OR time_s < 0.5",
        "response_ns IS NULL",
        "time_s BETWEEN 1 AND 2 AND shard <> 1",
        "op = 'op' OR outcome = 'agent'",
        "batch_ops + attempts = 5",
        "false",
    ],
)
def test_conditions_mean_what_they_mean_on_a_copy(run: LoadedRun, condition: str):
    """What is pushed down to the reading of the files changes no answer."""
    asked = "SELECT count(*), sum(service_ns) FROM {} WHERE {}"
    with run.duckdb() as connection:
        connection.execute("CREATE TABLE copied AS SELECT * FROM operations")
        pushed = connection.sql(asked.format("operations", condition)).fetchall()
        assert pushed == connection.sql(asked.format("copied", condition)).fetchall()


def test_hostile_values_are_values(tmp_path: Path):
    """An id or a role that looks like SQL or markup is found by what it is."""
    words = "'; DROP VIEW agents; --" + HOSTILE
    run = load_run(make_run(tmp_path / "run", words=words))
    with run.duckdb() as connection:
        asked = "SELECT agent FROM agents WHERE agent_id = ?"
        assert connection.execute(asked, [f"{words}_3"]).fetchall() == [(3,)]
        role = connection.execute("SELECT count(*) FROM processes WHERE role = ?", [words])
        assert role.fetchall() == [(25,)]
        of = connection.sql("SELECT detail->>'of' FROM events WHERE kind = 'retries'").fetchall()
        assert of == [(words,)]
    assert run.agents(where=pc.field("agent_id") == f"{words}_3").num_rows == 1
    assert run.to_pandas("agents")["agent_id"].tolist() == run.agents()["agent_id"].to_pylist()


def test_damaged_files_are_said_of_a_query(tmp_path: Path):
    """A query warns as a table does, and counts what is left."""
    path = make_run(tmp_path / "run")
    [torn, _] = sorted((path / "ops").glob("*.parquet"))
    torn.write_bytes(b"")
    run = load_run(path)
    with run.duckdb() as connection, pytest.warns(DamagedFilesWarning, match=torn.name):
        assert connection.sql("SELECT count(*) FROM operations").fetchall() == [(1800,)]
    assert run.damaged_files == (f"ops/{torn.name}",)


@pytest.mark.slow
def test_a_library_that_is_missing_is_named_with_what_installs_it(run: LoadedRun):
    """One sentence each; Arrow tables are there without any of them."""
    done = python(
        f"""
        from harness import load_run
        run = load_run({str(run.path)!r})
        for ask in (lambda: run.to_pandas("nodes"), lambda: run.to_polars("nodes"), run.duckdb):
            try:
                ask()
            except ImportError as error:
                print(error)
        print(run.operations().num_rows, len(run._repr_html_()) > 0)
        """,
        without=("pandas", "polars", "duckdb"),
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "pandas is not installed; pip install pandas",
        "polars is not installed; pip install polars",
        "duckdb is not installed; pip install 'agent-memory-harness[duckdb]'",
        "3600 True",
    ]


@pytest.mark.slow
def test_importing_the_package_loads_nothing_heavy(run: LoadedRun):
    """Every command and process of agents imports it; libraries come when they are asked for."""
    done = python(
        f"""
        import harness
        heavy = {{"numpy", "pyarrow", "pandas", "polars", "duckdb", "ray", "click", "psutil"}}
        print(heavy & set(sys.modules), [name for name in sys.modules if "notebook" in name])
        run = harness.load_run({str(run.path)!r})
        run.operations(), run.events(), run.processes(), run._repr_html_()
        print(sorted(heavy & set(sys.modules) - {{"pandas"}}))  # pyarrow's own doing
        """
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["set() []", "['numpy', 'pyarrow']"]


@pytest.mark.slow
def test_connections_left_open_say_nothing_at_the_end_of_python(run: LoadedRun):
    """As a notebook leaves them: standard error stays empty."""
    done = python(
        f"""
        import harness
        run = harness.load_run({str(run.path)!r})
        connection = run.duckdb()
        relation = run.duckdb().sql("SELECT count(*) FROM operations")
        print(connection.sql("SELECT count(*) FROM agents").fetchall(), relation.fetchall())
        """
    )
    assert (done.stdout, done.stderr) == ("[(8,)] [(3600,)]\n", "")
