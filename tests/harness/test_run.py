"""Whole runs, as the command does them: the run directory, the summary, and what is left.

Each run is made once and looked at by several tests.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from harness import load_run
from harness.hosts import is_tmpfs
from harness.plan import RunPlan
from harness.plan_file import load_plan
from harness.ray_session import RaySession
from harness.rundir_reader import open_run
from harness.schema import (
    AGENTS_SCHEMA,
    LOADGEN_SCHEMA,
    NODES_SCHEMA,
    OPERATIONS,
    OPS_METADATA_KEYS,
    OPS_SCHEMA,
    PROCESSES_SCHEMA,
    SCHEMA_VERSION,
)
from harness.trace import load_trace
from memory_core import MemoryConfig, MemoryStore
from memory_core.operations import Describe, Retrieve, Search, Store
from memory_core.results import Described, Hits, Record
from tests.harness.audit import acknowledged, databases, forget, lost, operations, rows_of_agents
from tests.harness.driving import command, short_folder
from tests.shared_ray import command_here

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TRACE = Path(__file__).resolve().parents[1] / "data" / "sugarscape.parquet"
MEMORY = Path("/dev/shm")
AGENTS, ROUNDS, SEED = 40, 3, 7
Command = Callable[..., subprocess.CompletedProcess[str]]


@dataclass
class Ran:
    """A run that has ended."""

    done: subprocess.CompletedProcess[str]
    out: Path
    folder: Path

    @property
    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "run.json").read_text())
        return found

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "summary.json").read_text())
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        return open_run(self.out).events()

    @property
    def rows(self) -> pa.Table:
        return open_run(self.out).operations()

    @property
    def measured(self) -> pa.Table:
        return self.rows.filter(pc.equal(self.rows["phase"], "measure"))


def ran(folder: Path, *arguments: object, name: str, run: Command = command_here) -> Ran:
    out = folder / name
    done = run("run", "--out", out, *arguments, temp=folder)
    made = Ran(done, out, folder)
    assert "Traceback" not in done.stderr
    # a machine that is busy with other things is late, which makes an open loop INVALID
    allowed = {(0, "complete"), (4, "invalid")} if "--rate" in arguments else {(0, "complete")}
    assert (done.returncode, made.run["status"]) in allowed, done.stderr
    return made


@pytest.fixture(scope="module")
def folder(ray_here: RaySession) -> Iterator[Path]:
    """Where the runs go, which are on a Ray that is there but for the first."""
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def standard(folder: Path) -> Ran:
    """The main job, small: two cohorts, default target, its databases kept.

    In a process and on a Ray of its own, as for a user.
    """
    arguments = f"--agents {AGENTS} --rounds {ROUNDS} --seed {SEED} --agents-per-task 20"
    return ran(folder, *arguments.split(), "--keep-data", name="standard", run=command)


@pytest.fixture(scope="module")
def repeated(folder: Path, standard: Ran) -> Ran:
    """The same, repeated from its directory: one actor call an operation, data elsewhere, JSON."""
    given = ("--plan", standard.out, "--pipelining", "off", "--json")
    return ran(folder, *given, "--data-dir", folder / "data", name="repeated")


@pytest.fixture(scope="module")
def open_loop(folder: Path) -> Ran:
    """600 operations offered in 3 s, after a second of warm-up."""
    arguments = "--agents 10 --rate 200 --duration 3 --warmup 1 --target noop --shards 1"
    return ran(folder, *arguments.split(), name="open")


@pytest.fixture(scope="module")
def replayed(folder: Path) -> Ran:
    """The recorded trace, two rounds of 20 agents."""
    size = ("--agents", 20, "--rounds", 2, "--shards", 1)
    return ran(folder, "--trace", TRACE, *size, "--keep-data", name="trace")


@pytest.fixture(scope="module")
def embedded(folder: Path) -> Ran:
    """In process, states there from the start, warmed up, drawn by weight."""
    arguments = "--target embedded --agents 8 --rounds 20 --warmup 0.5 --preload 1001"
    arguments += " --mix store=1,retrieve=3"
    return ran(folder, *arguments.split(), name="embedded")


@pytest.fixture(scope="module")
def alone(folder: Path) -> Ran:
    """Each agent in a task of its own, the databases in memory where there is a place for it."""
    arguments = ("--agents", 4, "--agents-per-task", 1, "--rounds", 10, "--data-dir")
    if not is_tmpfs(MEMORY):
        return ran(folder, *arguments, folder / "elsewhere", name="alone")
    with tempfile.TemporaryDirectory(dir=MEMORY) as data:
        run = ran(folder, *arguments, data, name="alone")
        assert not list(Path(data).iterdir())
    return run


@pytest.fixture(scope="module")
def unrecorded(folder: Path) -> Ran:
    """Nothing is recorded but the totals."""
    arguments = "--agents 5 --duration 1.5 --warmup 1.5 --target noop --shards 1 --record off"
    arguments += " --think-time 0.005"
    return ran(folder, *arguments.split(), name="unrecorded")


def test_the_run_directory_has_the_files_of_the_contract(standard: Ran):
    """run.json, ops, resources, agents, events, summary and report, and nothing unfinished."""
    names = {path.name for path in standard.out.iterdir()}
    expected = {"run.json", "ops", "loadgen", "resources", "agents.parquet", "events.jsonl"}
    assert names == expected | {"summary.json", "report.html", "data"}
    node = standard.run["topology"]["driver_node_id"]
    assert {path.name for path in (standard.out / "resources").iterdir()} == {
        f"nodes-{node}.arrows",
        f"processes-{node}.arrows",
    }
    for folder in ("ops", "loadgen"):
        files = sorted(path.name for path in (standard.out / folder).iterdir())
        assert {name.rpartition("-")[0] for name in files} == {"cohort-00000", "cohort-00001"}
        assert all(name.endswith(".parquet") for name in files)
    assert open_run(standard.out).damaged_files == 0


def test_every_file_has_the_columns_and_the_version_of_the_contract(standard: Ran):
    """Each schema is DESIGN.md's, and each file says of which version and cohort it is."""
    for path in (standard.out / "ops").iterdir():
        schema = pq.read_schema(path)
        assert schema.names == OPS_SCHEMA.names
        assert {key.encode() for key in OPS_METADATA_KEYS} <= set(schema.metadata)
    for path in (standard.out / "loadgen").iterdir():
        assert pq.read_schema(path).names == LOADGEN_SCHEMA.names
    assert pq.read_schema(standard.out / "agents.parquet").equals(AGENTS_SCHEMA)
    for kind, expected in (("nodes", NODES_SCHEMA), ("processes", PROCESSES_SCHEMA)):
        for path in (standard.out / "resources").glob(f"{kind}-*.arrows"):
            with pa.ipc.open_stream(path.read_bytes()) as stream:
                assert stream.schema.equals(expected, check_metadata=True)
    events = standard.events
    documents = [standard.run, standard.summary, *events]
    assert {one["schema_version"] for one in documents} == {SCHEMA_VERSION}
    assert [one["phase"] for one in events] == ["starting", "measuring", "ending"]


def test_run_json_says_what_was_run_where(standard: Ran):
    """Plan, seed, versions, hosts, topology and status, as DESIGN.md has them."""
    run = standard.run
    assert (run["status"], run["command"], run["agents"], run["seed"]) == ("complete", "run", 40, 7)
    plan = RunPlan(
        agents=AGENTS, rounds=ROUNDS, seed=SEED, agents_per_task=20, keep_data=True, address="local"
    )
    assert RunPlan(**run["plan"]) == plan
    assert load_plan(standard.out, {}) == plan
    assert run["versions"]["ray"]
    assert run["hosts"][0]["cpu_count"] >= 1
    topology = run["topology"]
    assert [one["agents"] for one in topology["cohorts"]] == [20, 20]
    assert len({one["pid"] for one in topology["target"]["shards"]}) >= 1
    assert run["problems"] == []
    assert sum(one["operations"] for one in run["cohorts"]) == AGENTS * ROUNDS * 18
    assert [one["failed_agents"] for one in run["cohorts"]] == [0, 0]


def test_the_last_line_is_the_run_directory(standard: Ran, open_loop: Ran):
    """Standard output ends with the directory; progress is on standard error, in plain lines."""
    for one in (standard, open_loop):
        assert one.done.stdout.splitlines()[-1] == str(one.out)
        assert "operations/s" in one.done.stdout
        assert "measuring" in one.done.stderr
        assert "\x1b" not in one.done.stderr


def test_json_is_all_there_is(repeated: Ran):
    """With --json standard output is the summary, one document, as in the run directory."""
    assert json.loads(repeated.done.stdout) == repeated.summary


def test_a_run_ends_by_making_its_report(standard: Ran, embedded: Ran, unrecorded: Ran):
    """The page is in its directory, whether rows were recorded or not, and nothing is said."""
    for run, agents in ((standard, AGENTS), (embedded, 8), (unrecorded, 5)):
        assert "report.html" not in run.done.stderr
        assert f"{agents} agents" in (run.out / "report.html").read_text("utf-8")


def test_every_agent_has_a_row_for_each_of_its_operations(standard: Ran):
    """Agents are those of agents.parquet, each in its cohort, with 18 operations a round."""
    agents = open_run(standard.out).agents().to_pylist()
    assert [one["agent_id"] for one in agents] == [f"agent_{number}" for number in range(AGENTS)]
    assert [one["cohort"] for one in agents] == [0] * 20 + [1] * 20
    rows = rows_of_agents(standard.out)
    assert sorted(rows) == list(range(AGENTS))
    for number, mine in rows.items():
        expected = ["store"] * 10 + ["retrieve"] * 5 + ["search"] * 3
        assert mine["op"].to_pylist() == expected * ROUNDS
        assert set(mine["cohort"].to_pylist()) == {number // 20}
        assert set(mine["outcome"].to_pylist()) == {"ok"}
        assert len(set(mine["shard"].to_pylist())) == 1


@pytest.mark.parametrize("name", ["standard", "repeated", "open_loop", "embedded", "alone"])
def test_the_times_of_every_row_add_up(name: str, request: pytest.FixtureRequest):
    """Parts make up the whole, nothing is negative, and an agent has one operation at a time."""
    run: Ran = request.getfixturevalue(name)
    column = {field: run.rows[field].to_numpy() for field in OPS_SCHEMA.names if "_ns" in field}
    parts = column["queue_ns"] + column["transport_ns"] + column["service_ns"]
    assert np.array_equal(parts, column["finished_ns"] - column["started_ns"])
    for field, values in column.items():
        assert values.min() >= 0, field
    assert (column["scheduled_ns"] <= column["started_ns"]).all()
    assert (column["shard_wait_ns"] <= column["transport_ns"]).all()
    assert run.rows["batch_ops"].to_numpy().min() >= 1
    assert run.rows["attempts"].to_numpy().min() >= 1
    for mine in rows_of_agents(run.out).values():
        started, finished = mine["started_ns"].to_pylist(), mine["finished_ns"].to_pylist()
        assert all(end <= begin for end, begin in zip(finished, started[1:], strict=False))


def wall_spans(run: Ran) -> list[tuple[int, int]]:
    """When each agent began and ended, on the wall clock, from the files alone."""
    spans: dict[int, list[int]] = {}
    for metadata, rows in open_run(run.out).operation_batches():
        for row in rows.filter(pc.equal(rows["phase"], "measure")).to_pylist():
            begin = metadata.start_wall_ns + row["started_ns"]
            end = metadata.start_wall_ns + row["finished_ns"]
            span = spans.setdefault(row["agent"], [begin, end])
            span[:] = [min(span[0], begin), max(span[1], end)]
    return [(begin, end) for begin, end in spans.values()]


@pytest.mark.parametrize("name", ["standard", "repeated", "open_loop", "embedded", "replayed"])
def test_the_rows_add_up_to_the_summary(name: str, request: pytest.FixtureRequest):
    """Counts, percentiles, throughput and agents of the summary follow from the rows alone."""
    run: Ran = request.getfixturevalue(name)
    summary, rows = run.summary, run.measured
    assert summary["operations"] == rows.num_rows
    assert summary["failed"] == 0
    response_ms = (rows["finished_ns"].to_numpy() - rows["scheduled_ns"].to_numpy()) / 1e6
    service_ms = rows["service_ns"].to_numpy() / 1e6
    kinds = np.array(rows["op"].to_pylist())
    for kind in ("all", *OPERATIONS):
        mask = kinds == kind if kind != "all" else np.ones(len(kinds), bool)
        for figures, values in (
            (summary[kind], response_ms[mask]),
            (summary["service"][kind], service_ms[mask]),
        ):
            assert figures["count"] == values.size
            if not values.size:
                continue
            assert figures["mean_ms"] == pytest.approx(values.mean())
            assert (figures["min_ms"], figures["max_ms"]) == pytest.approx(
                (values.min(), values.max())
            )
            for percentile, quantile in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
                if figures[f"{percentile}_ms"] is not None:
                    expected = np.quantile(values, quantile)
                    assert figures[f"{percentile}_ms"] == pytest.approx(expected)
    spans = wall_spans(run)
    moments = sorted(
        [(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans],
    )
    in_flight = np.cumsum([step for _, step in moments]).max()
    agents = summary["agents"]
    assert agents["in_flight_max"] == in_flight
    assert agents["count"] == len(spans)
    durations_s = np.array([end - begin for begin, end in spans]) / 1e9
    assert agents["duration_avg_s"] == pytest.approx(durations_s.mean())
    assert agents["duration_std_s"] == pytest.approx(durations_s.std())
    assert agents["duration_max_s"] == pytest.approx(durations_s.max())
    assert summary["throughput_ops_s"] == pytest.approx(
        summary["operations"] / summary["duration_s"]
    )
    begin = min(begin for begin, _ in spans)
    end = max(end for _, end in spans)
    assert summary["duration_s"] == pytest.approx((end - begin) / 1e9, rel=0.2, abs=0.05)


def test_all_agents_are_under_way_at_once(standard: Ran, alone: Ran):
    """The barrier opens for all: at one moment every agent had begun and none had ended."""
    assert standard.summary["agents"]["in_flight_max"] == AGENTS
    assert alone.summary["agents"]["in_flight_max"] == 4
    assert len(alone.run["topology"]["cohorts"]) == 4
    processes = open_run(alone.out).processes()
    cohorts = processes.filter(pc.equal(processes["role"], "cohort"))
    assert len(set(cohorts["pid"].to_pylist())) <= 4


def test_samples_come_from_every_process_of_the_run(folder: Path, open_loop: Ran):
    """A run of some seconds has samples of shards, cohorts, control, driver, sampler and Ray."""
    reader = open_run(open_loop.out)
    roles = set(reader.processes()["role"].to_pylist())
    assert {"shard", "cohort", "control", "driver", "sampler", "raylet", "gcs"} <= roles
    assert reader.nodes().num_rows >= 10
    (report,) = open_loop.run["samplers"]
    assert report["error"] is None
    assert report["lost_rows"] == 0
    resources = open_loop.summary["resources"]
    assert resources["shard"]["processes"] == len(open_loop.run["topology"]["target"]["shards"])
    assert resources["cohort"]["processes"] == len(open_loop.run["topology"]["cohorts"])


def stored(path: Path, agents: range) -> dict[str, bytes]:
    """All of the agents' states of the standard workload in a run's databases, by id."""
    found = {}
    for database in databases(path):
        with MemoryStore(MemoryConfig(path=database)) as store:
            for number in agents:
                asked = [
                    one
                    for one, _ in zip(operations(SEED, number), range(ROUNDS * 18), strict=False)
                    if isinstance(one, Store)
                ]
                results = store.execute([Retrieve(one.agent_id, one.state_id) for one in asked])
                found |= {
                    one.state_id: result.payload
                    for one, result in zip(asked, results, strict=True)
                    if isinstance(result, Record)
                }
    return found


def test_kept_databases_have_every_state_of_the_run(standard: Ran):
    """With --keep-data a MemoryStore opens the shards and finds every acknowledged state."""
    data = standard.out / "data"
    assert len(acknowledged(standard.out)) == AGENTS * ROUNDS * 10
    assert lost(standard.out, data) == []
    agents = 0
    for path in databases(data):
        with MemoryStore(MemoryConfig(path=path)) as store:
            (described,) = store.execute([Describe()])
            assert isinstance(described, Described)
            agents += described.agents
    assert agents == AGENTS
    assert standard.run["databases"] == str((data / "standard").resolve())


def test_the_same_seed_stores_the_same(standard: Ran, repeated: Ran, folder: Path):
    """A run repeated from its directory issues the same operations, pipelined or not."""
    first = stored(standard.out / "data", range(AGENTS))
    again = stored(folder / "data", range(AGENTS))
    assert len(first) == AGENTS * ROUNDS * 10
    assert first == again
    kinds = [
        {number: rows["op"].to_pylist() for number, rows in rows_of_agents(run.out).items()}
        for run in (standard, repeated)
    ]
    assert kinds[0] == kinds[1]
    assert RunPlan(**repeated.run["plan"]) == RunPlan(
        **standard.run["plan"] | {"pipelining": False, "data_dir": str(folder / "data")}
    )


def test_without_pipelining_each_operation_is_a_call_of_its_own(standard: Ran, repeated: Ran):
    """--pipelining off sends batches of one; by default operations share theirs."""
    assert repeated.rows["batch_ops"].to_numpy().max() == 1
    assert standard.rows["batch_ops"].to_numpy().max() > 1


def test_databases_go_with_the_run(open_loop: Ran, embedded: Ran, alone: Ran, folder: Path):
    """Unless they are to be kept, nothing of the databases is left, nor of Ray."""
    for run in (open_loop, embedded, alone):
        assert not (run.out / "data").exists()
    assert not list(folder.glob("harness-ray-*"))


def test_a_store_that_is_durable_in_memory_only_is_warned_about(alone: Ran, standard: Ran):
    """Fsync on a memory file system makes nothing durable: the run says so, and only then."""
    warned = "memory file system, so fsync makes nothing durable"
    assert warned not in standard.done.stderr
    if is_tmpfs(MEMORY):
        assert warned in alone.done.stderr


def test_an_open_loop_offers_what_it_was_to(open_loop: Ran):
    """200 operations a second for 3 s are 600, each due 5 ms after the one before."""
    rows = open_loop.measured
    due = np.sort(rows["scheduled_ns"].to_numpy())
    assert due.tolist() == [round(index * 5e6) for index in range(200, 800)]
    schedule = open_loop.summary["schedule"]
    assert schedule["offered_rate_ops_s"] == 200
    assert schedule["timer_lag_samples"] > 50
    achieved = schedule["achieved_rate_ops_s"]
    assert achieved == pytest.approx(600 / open_loop.summary["duration_s"])
    if open_loop.summary["all"]["max_ms"] < 100:  # from when it was due to its answer
        assert achieved == pytest.approx(200, rel=0.05)


def test_warm_up_is_kept_out_of_every_figure(open_loop: Ran, embedded: Ran, unrecorded: Ran):
    """Warm-up has rows of its own phase; no figure of the summary has them in it."""
    for run, warmup_ns in ((open_loop, 1e9), (embedded, 0.5e9)):
        warm = run.rows.filter(pc.equal(run.rows["phase"], "warmup"))
        assert warm.num_rows > 0
        assert warm["scheduled_ns"].to_numpy().max() < warmup_ns
        assert run.measured["scheduled_ns"].to_numpy().min() >= warmup_ns
        assert run.summary["operations"] == run.rows.num_rows - warm.num_rows
        assert [one["phase"] for one in run.events] == [
            "starting",
            "warm-up",
            "measuring",
            "ending",
        ]
    assert embedded.summary["operations"] == 8 * 20 * 18
    assert unrecorded.summary["duration_s"] == pytest.approx(1.5, rel=0.3)


def test_states_that_were_there_before_are_found_and_have_no_rows(embedded: Ran):
    """A mix retrieves them, and no figure has their stores in it."""
    summary = embedded.summary
    assert summary["outcomes"]["ok"] == summary["operations"]
    stores = summary["store"]["count"]
    assert 0 < stores < 0.35 * summary["operations"]


def test_an_embedded_run_has_no_shards(embedded: Ran):
    """The store is in the cohorts' own processes, and follows the mix."""
    roles = set(open_run(embedded.out).processes()["role"].to_pylist())
    assert "shard" not in roles
    counts = {kind: embedded.summary[kind]["count"] for kind in OPERATIONS}
    assert counts["search"] == 0
    assert counts["retrieve"] > 2 * counts["store"] > 0


def test_without_records_there_are_totals(unrecorded: Ran):
    """--record off leaves no rows and no samples, and says what was done all the same."""
    summary = unrecorded.summary
    for folder in ("ops", "loadgen", "resources"):
        assert list((unrecorded.out / folder).iterdir()) == []
    assert summary["operations"] == sum(one["operations"] for one in unrecorded.run["cohorts"])
    assert summary["operations"] > 100
    assert (summary["failed"], unrecorded.run["status"]) == (0, "complete")
    assert summary["throughput_ops_s"] == pytest.approx(
        summary["operations"] / summary["duration_s"]
    )
    assert summary["all"]["p50_ms"] is None
    assert not [one for one in summary["verdicts"] if one["verdict"] in {"failed", "invalid"}]
    assert "No operation was measured" not in unrecorded.done.stdout


def test_a_trace_is_replayed(replayed: Ran):
    """Recorded states are stored in order under the trace's own ids, two rounds of them."""
    trace = load_trace(TRACE)
    agents = open_run(replayed.out).agents().to_pylist()
    assert [one["agent_id"] for one in agents] == trace.agent_ids[:20]
    assert replayed.run["trace"]["fingerprint"] == trace.fingerprint
    counts = [rows.num_rows for rows in rows_of_agents(replayed.out).values()]
    assert len(counts) == 20
    assert max(counts) <= 36
    kept = 0
    for path in databases(replayed.out / "data"):
        with MemoryStore(MemoryConfig(path=path)) as store:
            (described,) = store.execute([Describe()])
            assert isinstance(described, Described)
            kept += described.counts.total
    assert kept == replayed.summary["store"]["count"]


def test_a_run_is_repeated_with_its_trace(replayed: Ran):
    """The plan of a run with a trace names the trace whole, so it can be repeated from anywhere."""
    assert load_plan(replayed.out, {}).trace == str(TRACE)


def test_agents_find_their_own_states_again(standard: Ran):
    """What a run stored can be searched: the first hit of a stored state is itself."""
    paths = databases(standard.out / "data")
    store = acknowledged(standard.out)[0]
    for path in paths:
        with MemoryStore(MemoryConfig(path=path)) as memory:
            (result,) = memory.execute([Search(store.agent_id, store.payload, k=1)])
            assert isinstance(result, Hits)
            if result.hits:
                assert result.hits[0].state_id == store.state_id
                assert result.hits[0].score == pytest.approx(1.0, abs=1e-5)
                return
    pytest.fail(f"{store.agent_id} is in no shard")


def test_the_audit_notices_a_memory_that_is_lost(standard: Ran, tmp_path: Path):
    """An acknowledged state that is taken out of a database is the one that the audit names."""
    data = tmp_path / "data"
    shutil.copytree(standard.out / "data", data)
    victim = acknowledged(standard.out)[123]
    forget(data, victim)
    assert lost(standard.out, data) == [victim.state_id]


def test_a_run_directory_is_used_once(standard: Ran, folder: Path):
    """A second run into the same folder is refused, and the first one's stays as it was."""
    before = (standard.out / "run.json").read_bytes()
    done = command_here("run", "--agents", 1, "--out", standard.out, temp=folder)
    assert done.returncode == 2
    assert "--out: " in done.stderr
    assert (standard.out / "run.json").read_bytes() == before


def test_data_of_others_is_left_alone(folder: Path):
    """A run into `.` with a data folder removes its own databases, and nothing beside them."""
    data, out = folder / "shared", folder / "here"
    for path in (data / "here", out):
        path.mkdir(parents=True)
    (data / "kept").write_text("kept")
    (data / "here" / "kept").write_text("kept")
    size = ("--agents", 2, "--rounds", 1, "--target", "noop", "--shards", 1)
    places = ("--out", ".", "--data-dir", "../shared")
    done = command_here("run", *size, *places, temp=folder, cwd=out)
    assert done.returncode == 0, done.stderr
    assert (data / "kept").read_text() == (data / "here" / "kept").read_text() == "kept"
    assert sorted(path.name for path in data.iterdir()) == ["here", "kept"]
    assert (out / "summary.json").exists()


def test_a_notebook_finds_the_figures_of_the_summary(standard: Ran, open_loop: Ran):
    """Loaded, the rows of a run say what its summary does, with a warm-up and without."""
    for made in (standard, open_loop):
        run, summary = load_run(made.out), made.summary
        with run.duckdb() as connection:
            [(count, failed, mean_ms, first_s)] = connection.sql(
                "SELECT count(*), count(*) FILTER (outcome NOT IN ('ok', 'not_found')), "
                "avg(response_ns) / 1e6, min(time_s) FROM operations"
            ).fetchall()
            assert connection.sql("SELECT count(*) FROM warmup").fetchall() == [
                (made.rows.num_rows - made.measured.num_rows,)
            ]
        assert (count, failed) == (summary["operations"], summary["failed"])
        times_ms = run.operations(["response_ns"])["response_ns"].to_numpy() / 1e6
        assert np.quantile(times_ms, 0.5) == pytest.approx(summary["all"]["p50_ms"])
        assert mean_ms == pytest.approx(summary["all"]["mean_ms"])
        assert first_s > 0
        assert run.agents().num_rows == summary["agents"]["count"]
        assert run.damaged_files == ()
