"""`load_run`: a run's tables and documents, equal to what the run's own summary says."""

from __future__ import annotations

import re
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from harness import load_run
from harness.errors import RunDirectoryError
from harness.hosts import this_process
from harness.notebook import DamagedFilesWarning, LoadedRun
from harness.notebook.tables import TABLES
from harness.rundir_reader import open_run
from tests.analysis.test_losses import lost_run
from tests.made_runs import GOLDEN_NAMES, golden_run, made_agents_bench, made_bench, rewrite
from tests.report.made_runs import HOSTILE, SECOND_NS, WALL_NS, make_run

WARMUP_S = 0.4


@pytest.fixture
def run(tmp_path: Path) -> LoadedRun:
    """A run of 4,000 operations in two files, a tenth of them warm-up."""
    return load_run(make_run(tmp_path / "run", warmup_s=WARMUP_S))


def test_rows_are_those_that_the_summary_counts(run: LoadedRun):
    """Operations, failures and percentiles of the rows equal the summary's, without a filter."""
    rows, summary = run.operations(), run.summary
    assert summary is not None
    assert rows.num_rows == summary["operations"] == 3600
    assert run.warmup().num_rows == 400
    for name in ("store", "retrieve", "search"):
        times = run.operations(["response_ns"], pc.field("op") == name)["response_ns"]
        assert len(times) == summary[name]["count"]
        found_ms = np.quantile(times.to_numpy(), 0.99) / 1e6
        assert found_ms == pytest.approx(summary[name]["p99_ms"], rel=1e-9)


def test_times_count_from_the_begin_of_the_measured_phase(run: LoadedRun):
    """Warm-up was before it; rows, samples and events are on one time line."""
    began_ns = WALL_NS + round(WARMUP_S * SECOND_NS)
    rows = run.operations(["time_s", "finished_ns"])
    found_s = (rows["finished_ns"].to_numpy() + WALL_NS - began_ns) / 1e9
    assert rows["time_s"].to_numpy() == pytest.approx(found_s, abs=1e-6)
    assert pc.min(run.warmup()["time_s"]).as_py() < 0
    measuring = run.events(where=pc.match_substring(pc.field("detail"), '"measuring"'))
    assert measuring["time_s"].to_pylist() == [0.0]
    for name in ("nodes", "processes"):
        samples = run.table(name)
        found_s = (samples["wall_ns"].to_numpy() - began_ns) / 1e9
        assert samples["time_s"].to_numpy() == pytest.approx(found_s, abs=1e-6)
    lag = run.loadgen()
    assert pc.min(lag["time_s"]).as_py() == pytest.approx(-WARMUP_S)


def test_the_clock_of_each_node_is_set_right(tmp_path: Path):
    """Rows and samples of a node whose clock is an hour ahead are moved back."""
    path = make_run(tmp_path / "run")
    plain = load_run(path)
    rewrite(path / "run.json", clocks={"node-0": {"offset_ns": 3600 * SECOND_NS}})
    moved = load_run(path)
    assert moved.operations().equals(plain.operations())
    samples = moved.processes(["time_s"], pc.field("node_id") == "node-0")["time_s"]
    assert pc.max(samples).as_py() < 10


def test_operations_in_flight_at_lost_agents_have_no_time(tmp_path: Path):
    """They are rows, as the summary counts them, and are in no percentile."""
    run = load_run(lost_run(tmp_path / "run"))
    lost = run.operations(where=pc.field("response_ns").is_null())
    assert lost["agent"].to_pylist() == [2, 3]
    assert lost["outcome"].to_pylist() == ["unavailable", "unavailable"]
    assert run.operations().num_rows == 3002


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_columns_and_rows_that_are_asked_for(run: LoadedRun, name: str):
    """In the order asked for, filtered by a column that need not be; as a stream too."""
    whole = run.table(name)
    assert whole.schema == run.schema(name)
    assert whole.num_rows > 0
    *_, last, first = whole.schema.names
    column, value = whole.schema.names[0], whole[0][whole.num_rows // 2].as_py()
    where = pc.field(column) == value
    some = run.table(name, [first, last], where)
    assert some.equals(whole.filter(where).select([first, last]))
    assert (
        run.batches(name, [first, last], where)
        .read_all()
        .combine_chunks()
        .equals(some.combine_chunks())
    )
    assert getattr(run, name)([first]).equals(whole.select([first]))


def test_what_is_asked_for_and_is_not_there_is_named(run: LoadedRun):
    """A table, a column or an expression that is none is a ValueError of one sentence."""
    with pytest.raises(ValueError, match="no table 'rows'; there are operations, warmup"):
        run.table("rows")
    with pytest.raises(ValueError, match="columns: no latency; there are time_s, response_ns"):
        run.operations(["latency"])
    with pytest.raises(ValueError, match=r"give a list, \['op'\]"):
        run.operations("op")
    with pytest.raises(ValueError, match=r"where: .*FieldRef.Name\(latency\)"):
        run.operations(where=pc.field("latency") > 1)
    with pytest.raises(ValueError, match="where: 'op = 1' is no expression"):
        run.operations(where="op = 1")


@pytest.mark.parametrize("broken", ["missing", "file", "empty", "newer"])
def test_what_is_no_run_directory_is_refused_in_a_sentence(tmp_path: Path, broken: str):
    """As every reader refuses it: with the path and what is wrong."""
    path = tmp_path / "run"
    if broken == "file":
        path.write_text("x")
    elif broken != "missing":
        path.mkdir()
    if broken == "newer":
        (path / "run.json").write_text('{"schema_version": 99}')
    with pytest.raises(RunDirectoryError) as refused:
        load_run(str(path))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_documents_are_at_hand(run: LoadedRun):
    """Plan, status and path, and a path from the home folder is found."""
    assert run.plan["agents"] == 8
    assert run.status == run.info["status"] == "complete"
    assert not run.steps
    assert run.damaged_files == ()


def test_a_path_from_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a shell would have it, since no shell sees what is typed in a notebook."""
    make_run(tmp_path / "run")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_run("~/run").path == tmp_path / "run"


def test_damaged_files_are_said_and_the_rest_is_read(tmp_path: Path):
    """One warning names them; what is left of the rows is there, and they are counted."""
    path = make_run(tmp_path / "run")
    whole = load_run(path).operations().num_rows
    [torn, _] = sorted((path / "ops").glob("*.parquet"))
    torn.write_bytes(torn.read_bytes()[:-9])
    run = load_run(path)
    with pytest.warns(DamagedFilesWarning, match=rf"1 file is damaged.*: ops/{torn.name}") as said:
        rows = run.operations()
    assert len(said) == 1
    assert rows.num_rows == whole // 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.operations()
    assert run.damaged_files == (f"ops/{torn.name}",)
    assert "1 file could not be read whole" in run._repr_html_()


def test_a_run_that_was_killed_is_read_as_far_as_it_got(tmp_path: Path):
    """Its unfinished file is no reason to warn, and its cut stream gives its whole batches."""
    path = make_run(tmp_path / "run", status="running", summary=False)
    (path / "ops" / ".cohort-00000-000001.parquet.tmp").write_bytes(b"PAR1")
    stream = path / "resources" / "nodes-0.arrows"
    stream.write_bytes(stream.read_bytes()[:-200])
    with subprocess.Popen(["sleep", "0"]) as ended:
        pass
    rewrite(path / "run.json", process=this_process() | {"pid": ended.pid})
    run = load_run(path)
    assert run.operations().num_rows == 3600
    assert run.nodes().schema == run.schema("nodes")
    assert run.status == "killed"
    assert run.summary is None
    assert len(run.damaged_files) == 2
    assert "run, killed, no summary" in repr(run)
    assert "run, killed, no summary" in run._repr_html_()


def test_a_run_that_goes_on_shows_what_there_is_by_then(tmp_path: Path):
    """Rows, status and summary are those of the moment, whenever the run was loaded."""
    path = make_run(tmp_path / "run", rows=0, status="running", summary=False)
    run, connection = load_run(path), load_run(path).duckdb()
    count = "SELECT count(*) FROM operations"
    assert run.status == "running"
    assert run.operations().num_rows == 0
    assert connection.sql(count).fetchall() == [(0,)]
    ended = make_run(tmp_path / "ended", files=1)
    for name in ("ops/cohort-00000-000000.parquet", "summary.json", "run.json"):
        (ended / name).rename(path / name)
    assert run.operations().num_rows == 3600
    assert connection.sql(count).fetchall() == [(3600,)]
    assert run.status == "complete"
    assert run.summary is not None
    connection.close()


def test_a_benchmark_has_its_steps_and_the_rows_of_all(tmp_path: Path):
    """Each step is a loaded run; tables of the whole say of each row which step it is of."""
    run = load_run(made_agents_bench(tmp_path / "bench", repeats=1))
    assert list(run.steps) == ["agents-1-1", "agents-10-1"]
    rows = run.operations(["op", "step", "response_ns"])
    assert rows.schema.names == ["op", "step", "response_ns"]
    for name, step in run.steps.items():
        mine = rows.filter(pc.equal(rows["step"], name)).drop_columns("step")
        assert mine.equals(step.operations(["op", "response_ns"]))
    assert run.operations().schema.names[0] == "step"
    assert run.operations(["step"]).num_rows == rows.num_rows == 6000
    asked = "SELECT step, count(*) FROM operations WHERE step LIKE '%-10-%' GROUP BY step"
    with run.duckdb() as connection:
        assert connection.sql(asked).fetchall() == [("agents-10-1", 3000)]
    assert "agents-10-1" in run._repr_html_()
    assert repr(run).endswith("bench-agents, complete, 2 steps>")


def test_a_step_that_cannot_be_read_is_left_out(tmp_path: Path):
    """The others are there."""
    path = made_agents_bench(tmp_path / "bench", repeats=1)
    (path / "steps/agents-1-1/run.json").write_text("{")
    assert list(load_run(path).steps) == ["agents-10-1"]


def test_all_benchmarks_together_have_the_steps_of_each(tmp_path: Path):
    """Of `bench all` the steps are its benchmarks, and rows are of theirs."""
    path = made_bench(tmp_path / "all", "bench-all", {})
    made_agents_bench(path / "agents", repeats=1)
    run = load_run(path)
    assert list(run.steps) == ["agents"]
    assert set(pc.unique(run.operations(["step"])["step"]).to_pylist()) == {
        "agents/agents-1-1",
        "agents/agents-10-1",
    }
    assert list(run.steps["agents"].steps) == ["agents-1-1", "agents-10-1"]


def test_a_benchmark_without_a_step_has_empty_tables(tmp_path: Path):
    """With the columns that they would have."""
    run = load_run(made_bench(tmp_path / "bench", "bench-agents", {}))
    for name in TABLES:
        assert run.table(name).num_rows == 0
        assert run.table(name).schema == run.schema(name)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_directories_of_earlier_releases_are_read(name: str, tmp_path: Path):
    """Every row and sample that the reader has of them is in the tables."""
    run = load_run(golden_run(name, tmp_path))
    for one in run.steps.values() or [run]:
        reader = open_run(one.path)
        rows = reader.operations()
        assert one.operations().num_rows + one.warmup().num_rows == rows.num_rows
        assert one.processes().num_rows == reader.processes().num_rows
        assert one.events().num_rows == len(reader.events())
    assert run.processes().num_rows > 0


def test_what_a_run_contains_is_text_in_a_notebook(tmp_path: Path):
    """Nothing of a path, a plan, a step or a problem is markup where the run is shown."""
    run = load_run(make_run(tmp_path / "a<b>&run", words=HOSTILE))
    shown = run._repr_html_()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;img src=x" in shown
    assert "a&lt;b&gt;&amp;run" in shown
    assert "\x00" not in shown
    assert "\u202e" not in shown
    bench = made_agents_bench(tmp_path / "bench", repeats=1)
    (bench / "steps/agents-1-1").rename(bench / "steps/<b>1")
    rewrite(bench / "run.json", steps=[{"name": "<b>1", "path": "steps/<b>1"}], command="<i>")
    shown = load_run(bench)._repr_html_()
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "&lt;b&gt;1" in shown


def test_a_notebook_makes_no_formula_of_it(tmp_path: Path):
    """Text between dollar signs, in a path or a plan, stays what it is."""
    shown = load_run(make_run(tmp_path / "$x$"))._repr_html_()
    assert shown.startswith('<div class="tex2jax_ignore mathjax_ignore">')


def test_times_of_an_invalid_run_are_withheld(tmp_path: Path):
    """As in its report: it is shown with the reason instead, alone and as a step."""
    path = made_agents_bench(tmp_path / "bench", repeats=1) / "steps" / "agents-1-1"
    sentence = "The load generator was late <b>."
    verdict = {"name": "validity", "verdict": "invalid", "sentence": sentence}
    rewrite(path / "summary.json", verdicts=[verdict])
    run = load_run(path)
    assert "The load generator was late &lt;b&gt;." in run._repr_html_()
    assert "p50" not in run._repr_html_()
    assert "p99" not in repr(run)
    bench = load_run(tmp_path / "bench")._repr_html_()
    of_step = bench.partition("agents-1-1")[2].partition("</tr>")[0]
    assert len(re.findall(r"[\d.]+ ms", of_step)) == 0
    assert len(re.findall(r"[\d.]+ ms", bench)) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"plan": None, "steps": 5},
        {"plan": {"warmup_s": "soon"}, "started": "never", "agents": "many", "problems": 3},
        {"plan": {"warmup_s": 1e300}, "clocks": [1], "status": 7, "command": ["x"]},
    ],
)
def test_documents_that_say_anything_do_no_harm(tmp_path: Path, changed: dict[str, object]):
    """What is not of the kind that is expected counts as not there."""
    path = make_run(tmp_path / "run")
    rewrite(path / "run.json", **changed)
    rewrite(path / "summary.json", operations=[], all={"p99_ms": "<b>"}, limit="x")
    run = load_run(path)
    assert "<b>" not in run._repr_html_() + repr(run)
    assert run.processes().num_rows == (0 if "steps" in changed else 50)


def test_a_summary_that_is_damaged_is_refused_and_the_run_is_shown(tmp_path: Path):
    """Its rows are worth having; who asks for the summary is told what is wrong with it."""
    path = make_run(tmp_path / "run")
    (path / "summary.json").write_text("{")
    run = load_run(path)
    assert "no summary" in repr(run)
    assert "no summary" in run._repr_html_()
    with pytest.raises(RunDirectoryError, match=r"summary\.json is damaged"):
        _ = run.summary


def test_events_that_say_anything_are_rows(tmp_path: Path):
    """Times that are none are null, and other fields are JSON as they were."""
    path = make_run(tmp_path / "run")
    lines = ['{"schema_version":1,"kind":["x"],"wall_ns":"1","a":{"b":"\\u2028"}}']
    lines += ['{"schema_version":1,"wall_ns":99999999999999999999}', "torn"]
    (path / "events.jsonl").write_text("\n".join(lines))
    with pytest.warns(DamagedFilesWarning, match=r"events\.jsonl"):
        events = load_run(path).events()
    assert events["time_s"].to_pylist() == [None, None]
    assert events["kind"].to_pylist() == ["", ""]
    assert events["detail"].to_pylist() == ['{"a":{"b":"\u2028"}}', "{}"]


def test_a_time_that_no_clock_shows_is_damage(tmp_path: Path):
    """A file that says that it began in another age is left out, not placed in it."""
    path = make_run(tmp_path / "run")
    [file, _] = sorted((path / "ops").glob("*.parquet"))
    table = pa.parquet.read_table(file)
    metadata = {**table.schema.metadata, b"start_wall_ns": str(10**30)}
    pa.parquet.write_table(table.replace_schema_metadata(metadata), file)
    with pytest.warns(DamagedFilesWarning):
        assert load_run(path).operations().num_rows == 1800
