"""A sampler sees what processes really do, keeps to its schedule, and outlives them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import sampling
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.sampler import Sampler, due_tick, sampler_actor
from harness.sampling import ProcessEndedError, ProcessReader, session_processes
from harness.sinks import LocalSink, RemoteSink

INTERVAL_S = 0.05
BURN = "while True: pass"
SLEEP = "import time; time.sleep(600)"
# Holds 64 MiB more each time it is given a line.
GROW = """
import sys
held = []
for line in sys.stdin:
    held.append(bytearray(b"x") * (64 << 20))
    print(len(held), flush=True)
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python programs, and ends them."""
    started = []

    def start_program(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_program
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return RunDirectory.create(tmp_path / "run", "run").path


@pytest.fixture
def sampler(root: Path) -> Iterator[Sampler]:
    sampler = Sampler(LocalSink(root), "abc", INTERVAL_S)
    yield sampler
    sampler.stop()


def until(true: Callable[[], bool], bound_s: float = 30.0) -> None:
    """Poll until it is true."""
    end_s = time.monotonic() + bound_s
    while not true():
        if time.monotonic() > end_s:
            pytest.fail("it did not come about in time")
        time.sleep(0.01)


def latest_of(sampler: Sampler, role: str) -> dict[str, float]:
    roles = sampler.latest().get("roles", {})
    return dict(roles.get(role, {"processes": 0, "cpu_percent": 0.0, "rss_bytes": 0}))


def rows_of(root: Path, pid: int) -> list[dict[str, object]]:
    table = open_run(root).processes()
    return [row for row in table.to_pylist() if row["pid"] == pid]


def test_a_burner_takes_a_core(root: Path, sampler: Sampler, start: Start) -> None:
    """A process that burns CPU has rows whose rate agrees with its CPU time, about one core's."""
    burner, idle = start(BURN), start(SLEEP)
    assert sampler.watch(burner.pid, "cohort", 3)
    assert sampler.watch(idle.pid, "driver", 0)
    # What it got of a core depends on who else is there: it is compared with its own CPU time.
    until(lambda: len([r for r in rows_of(root, burner.pid) if r["cpu_seconds"] > 0.5]) > 5)
    sampler.stop()
    rows = rows_of(root, burner.pid)
    seconds = (rows[-1]["monotonic_ns"] - rows[0]["monotonic_ns"]) / 1e9
    expected = 100 * (rows[-1]["cpu_seconds"] - rows[0]["cpu_seconds"]) / seconds
    mean = sum(row["cpu_percent"] for row in rows[1:]) / len(rows[1:])
    assert mean == pytest.approx(expected, rel=0.25)
    assert 10 < mean < 130
    assert {(row["node_id"], row["role"], row["number"]) for row in rows} == {("abc", "cohort", 3)}
    idle_rows = rows_of(root, idle.pid)
    assert idle_rows[-1]["cpu_seconds"] < 0.5 * rows[-1]["cpu_seconds"]


def test_a_grower_grows(root: Path, sampler: Sampler, start: Start) -> None:
    """Memory that a process takes shows in RSS, in USS and in the newest sample."""
    grower = start(GROW)
    sampler.watch(grower.pid, "shard", 1)
    until(lambda: latest_of(sampler, "shard")["rss_bytes"] > 0)
    before = latest_of(sampler, "shard")["rss_bytes"]
    grower.stdin.write("more\n")
    grower.stdin.flush()
    assert grower.stdout.readline() == "1\n"
    until(lambda: latest_of(sampler, "shard")["rss_bytes"] > before + (60 << 20))
    sampler.unwatch(grower.pid)
    until(lambda: latest_of(sampler, "shard")["processes"] == 0)
    # Watched anew, its first row has USS at once.
    sampler.watch(grower.pid, "shard", 1)
    until(lambda: latest_of(sampler, "shard")["processes"] == 1)
    sampler.stop()
    rows = rows_of(root, grower.pid)
    exact = [row["uss_bytes"] for row in rows if row["uss_bytes"] is not None]
    assert rows[0]["uss_bytes"] is not None
    assert exact[-1] - exact[0] > 60 << 20
    assert len(exact) < len(rows)
    assert all(row["threads"] >= 1 and row["open_files"] >= 3 for row in rows)


@pytest.mark.fault
def test_a_killed_process_ends_its_rows(root: Path, sampler: Sampler, start: Start) -> None:
    """A process that dies, reaped or not, has no more rows; all others go on."""
    child = start(SLEEP)
    sampler.watch(child.pid, "shard", 0)
    until(lambda: latest_of(sampler, "shard")["processes"] == 1)
    child.kill()  # and not waited for: it stays on as a zombie
    until(lambda: latest_of(sampler, "shard")["processes"] == 0)
    killed_ns = time.monotonic_ns()
    until(lambda: rows_of(root, os.getpid())[-1]["monotonic_ns"] > killed_ns)
    report = sampler.stop()
    assert report.error is None
    assert 0 < len(rows_of(root, child.pid)) < len(rows_of(root, os.getpid()))


def test_watching_what_is_not_there(sampler: Sampler, start: Start) -> None:
    """A pid without a process is not watched; ending what is not watched is nothing."""
    child = start(SLEEP)
    child.kill()
    child.wait()
    assert not sampler.watch(child.pid, "shard", 0)
    assert not sampler.watch(-1, "shard", 0)
    sampler.unwatch(child.pid)


def test_unwatch(sampler: Sampler, start: Start) -> None:
    """A process that is not watched any more is gone from the newest sample."""
    child = start(SLEEP)
    sampler.watch(child.pid, "shard", 0)
    until(lambda: latest_of(sampler, "shard")["processes"] == 1)
    sampler.unwatch(child.pid)
    until(lambda: latest_of(sampler, "shard")["processes"] == 0)


def test_watching_anew_changes_the_role(sampler: Sampler, start: Start) -> None:
    """A pid has one role at a time: the newest."""
    child = start(SLEEP)
    sampler.watch(child.pid, "shard", 0)
    sampler.watch(child.pid, "cohort", 0)
    until(lambda: latest_of(sampler, "cohort")["processes"] == 1)
    assert latest_of(sampler, "shard")["processes"] == 0


def test_latest_sums_by_role(sampler: Sampler, start: Start) -> None:
    """The newest sample has the node's load and sums for each role, and is JSON."""
    for number in range(2):
        sampler.watch(start(SLEEP).pid, "cohort", number)
    until(lambda: latest_of(sampler, "cohort")["processes"] == 2)
    latest = sampler.latest()
    assert json.loads(json.dumps(latest)) == latest
    assert latest["roles"]["cohort"]["rss_bytes"] > 2 * (1 << 20)
    assert latest["roles"]["sampler"]["processes"] == 1
    assert latest["memory_used_bytes"] > 0
    assert sampler.ping() == ("abc", os.getpid())


def test_node_rows(root: Path, sampler: Sampler) -> None:
    """Each sample is a row of the node, with clocks and counters that do not go back."""
    until(lambda: open_run(root).nodes().num_rows >= 20)
    report = sampler.stop()
    reader = open_run(root)
    table = reader.nodes()
    assert reader.damaged_files == 0
    assert table.num_rows == report.samples
    for name in ("monotonic_ns", "disk_write_bytes", "network_sent_bytes", "loopback_bytes"):
        values = table[name].to_pylist()
        assert values == sorted(values), name
    assert set(table["cpu_count"].to_pylist()) == {os.cpu_count()}
    assert all(0 <= value <= 100 for value in table["cpu_percent"].to_pylist())


def test_report(sampler: Sampler) -> None:
    """The report counts what was done and what it cost, and stays the same."""
    until(lambda: sampler.latest() != {})
    report = sampler.stop()
    assert report == sampler.stop()
    assert report.node_id == "abc"
    assert report.samples >= 1
    assert report.cpu_s > 0
    assert report.mean_cost_ms == pytest.approx(1e3 * report.cpu_s / report.samples)
    assert (report.lost_rows, report.error) == (0, None)


def test_a_late_tick_is_counted_and_not_made_up_for(root: Path) -> None:
    """Ticks that pass while the sink is slow are counted, and no two samples stand in one tick."""
    local = LocalSink(root)

    def slowly(mode: str, name: str, data: bytes) -> None:
        time.sleep(4 * INTERVAL_S)
        local.put(mode, name, data)

    sampler = Sampler(RemoteSink(slowly), "abc", INTERVAL_S)
    until(lambda: sampler.latest() != {} and open_run(root).nodes().num_rows >= 10)
    report = sampler.stop()
    times = open_run(root).nodes()["monotonic_ns"].to_pylist()
    assert report.late_samples > 0
    # the first and the last may each stand anywhere in their ticks
    ticks = (times[-1] - times[0]) / (INTERVAL_S * 1e9)
    assert report.samples + report.late_samples >= int(ticks) + 1
    assert report.samples < ticks + 2


@given(
    interval_ns=st.integers(1, 10**9),
    tick=st.integers(1, 10**6),
    late_ns=st.integers(0, 10**10),
)
def test_due_tick(interval_ns: int, tick: int, late_ns: int) -> None:
    """The tick taken is the last that was due; the missed are those between."""
    elapsed_ns = tick * interval_ns + late_ns
    taken, missed = due_tick(elapsed_ns, interval_ns, tick)
    assert taken * interval_ns <= elapsed_ns < (taken + 1) * interval_ns
    assert missed == taken - tick >= 0


def test_a_tick_that_woke_early_is_still_its_own() -> None:
    """Waking a moment before the tick is due takes that tick, not the one before again."""
    assert due_tick(999, 500, 2) == (2, 0)


@pytest.mark.fault
def test_a_killed_sampler_leaves_what_it_saw(root: Path, start: Start) -> None:
    """After a kill both streams have whole batches up to about the last second."""
    sampling_process = start(
        "import time; from pathlib import Path; from harness.sampler import Sampler\n"
        "from harness.sinks import LocalSink\n"
        f"sampler = Sampler(LocalSink(Path({str(root)!r})), 'abc', {INTERVAL_S})\n"
        "time.sleep(600)"
    )
    until(lambda: open_run(root).processes().num_rows >= 20)
    sampling_process.kill()
    sampling_process.wait()
    reader = open_run(root)
    assert reader.nodes().num_rows >= 10
    assert {row["pid"] for row in reader.processes().to_pylist()} == {sampling_process.pid}
    assert reader.damaged_files == 0


@pytest.mark.fault
def test_a_reading_that_fails_ends_the_sampling_only(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the node cannot be read any more the streams end, and the report says why."""

    def fail() -> None:
        raise RuntimeError("no such counter")

    monkeypatch.setattr("psutil.virtual_memory", fail)
    sampler = Sampler(LocalSink(root), "abc", INTERVAL_S)
    until(lambda: not sampler._thread.is_alive())
    assert "no such counter" in (sampler.stop().error or "")
    assert sampler.latest() == {}
    assert open_run(root).nodes().num_rows == 0


@pytest.mark.parametrize(("node_id", "interval_s"), [("../x", 0.2), ("", 0.2), ("abc", 0.0)])
def test_bad_arguments(tmp_path: Path, node_id: str, interval_s: float) -> None:
    """A node id that is no file name, and an interval of nothing, are refused."""
    with pytest.raises(ValueError, match=r"node_id|interval_s"):
        Sampler(LocalSink(tmp_path), node_id, interval_s)


def test_unknown_role(sampler: Sampler) -> None:
    """A role that the schema lacks is refused."""
    with pytest.raises(ValueError, match="role"):
        sampler.watch(os.getpid(), "wizard", 0)


@pytest.mark.parametrize("files_left", [True, False])
def test_both_ways_of_reading_agree(
    files_left: bool, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    """With files of /proc kept open or, where none may be, by psutil: the same, and its end."""
    if not files_left:

        def refuse(pid: int) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(sampling, "_ProcfsLoad", refuse)
    grower = start(GROW)
    grower.stdin.write("more\n")
    grower.stdin.flush()
    grower.stdout.readline()
    reader = ProcessReader(grower.pid, 0)
    reading = reader.read(10**9, counts=True, uss=True)
    assert 64 << 20 < reading.uss_bytes <= reading.rss_bytes < 500 << 20
    assert 0 < reading.cpu_seconds < 30
    grower.kill()
    until(lambda: _is_over(reader))
    grower.wait()
    assert _is_over(reader)
    reader.close()
    with pytest.raises(ProcessEndedError):
        ProcessReader(grower.pid, 0)


def _is_over(reader: ProcessReader) -> bool:
    try:
        reader.read(2 * 10**9, counts=False, uss=False)
    except ProcessEndedError:
        return True
    return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc here")
def test_a_program_with_an_odd_name(tmp_path: Path) -> None:
    """Brackets and spaces in a program's name do not shift what is read."""
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(odd), "600"])
    try:
        until(lambda: Path(f"/proc/{process.pid}/stat").read_text().count(")") > 1)
        reader = ProcessReader(process.pid, 0)
        assert reader.read(10**9, counts=False, uss=False).cpu_seconds < 1
        reader.close()
    finally:
        process.kill()
        process.wait()


def test_outside_ray_there_is_no_session() -> None:
    """A process that is no Ray worker belongs to no raylet."""
    assert session_processes() == []


@pytest.mark.cluster
@pytest.mark.slow
def test_as_an_actor(root: Path, ray_here: object) -> None:
    """On Ray, a sampler finds the raylet and the GCS, and its streams hold all three."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node_id = ray.get_runtime_context().get_node_id()
    pinned = NodeAffinitySchedulingStrategy(node_id, soft=False)
    options = sampler_actor().options(scheduling_strategy=pinned)
    actor = options.remote(LocalSink(root), node_id, INTERVAL_S)
    found, pid = ray.get(actor.ping.remote(), timeout=60)
    assert found == node_id
    assert ray.get(actor.watch.remote(os.getpid(), "driver", 0), timeout=30)
    roles = {"sampler", "raylet", "gcs", "driver"}
    until(lambda: set(ray.get(actor.latest.remote()).get("roles", ())) == roles)
    report = ray.get(actor.stop.remote(), timeout=30)
    assert report.error is None
    table = open_run(root).processes()
    assert {row["pid"] for row in table.to_pylist() if row["role"] == "sampler"} == {pid}
    assert set(table["role"].to_pylist()) == roles
    assert isinstance(table, pa.Table)
