"""A run directory is refused before it does harm, written whole, and read as far as it is whole."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import RunDirectoryError, UsageError
from harness.hosts import this_process
from harness.rundir import RunDirectory, check_out
from harness.rundir_reader import RunReader, open_run
from harness.schema import (
    AGENTS_SCHEMA,
    LOADGEN_SCHEMA,
    NODES_SCHEMA,
    OPERATIONS,
    OPS_SCHEMA,
    OUTCOMES,
    PHASES,
    PROCESSES_SCHEMA,
)
from harness.sinks import LoadgenWriter, LocalSink, OpsWriter
from harness.streams import StreamWriter

NODES = "resources/nodes-abc.arrows"


def noon() -> datetime:
    return datetime(2026, 11, 22, 13, 0, 5, tzinfo=timezone(timedelta(hours=1)))


def ops_columns(rows: int, first_ns: int = 0) -> dict[str, np.ndarray]:
    columns = {name: np.ones(rows, np.int64) for name in OPS_SCHEMA.names if name != "cohort"}
    for name, size in (("phase", 2), ("op", 3), ("outcome", 7)):
        columns[name] = (np.arange(rows) % size).astype(np.int8)
    columns["scheduled_ns"] = first_ns + np.arange(rows)
    return columns


def write_ops(root: Path, cohort: int, rows: int) -> Path:
    writer = OpsWriter(LocalSink(root), cohort, f"node{cohort}", 10**18 + cohort, 77)
    writer.write(ops_columns(rows))
    return root / f"ops/cohort-{cohort:05d}-000000.parquet"


def write_nodes(root: Path, flushes: int, name: str = NODES) -> Path:
    stream = StreamWriter(LocalSink(root), name, NODES_SCHEMA)
    for number in range(flushes):
        for row in range(2):
            stream.add(("abc", *range(10 * number + row, 10 * number + row + 12)))
        stream.flush()
    stream.end()
    return root / name


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", "run", now=noon)


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that cannot be written, for root too, whom the modes do not hold back."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    allowed = os.access
    monkeypatch.setattr(
        "os.access",
        lambda path, mode: allowed(path, mode) and (Path(path) != folder or not mode & os.W_OK),
    )
    yield folder
    folder.chmod(0o700)


class TestCreate:
    def test_default_name_is_utc_time_and_command(self, tmp_path: Path) -> None:
        """Without a path, the folder is named by the UTC time and the command, and numbered."""
        made = [RunDirectory.create(None, "run", tmp_path / "runs", noon).path for _ in range(3)]
        name = "20261122T120005Z-run"
        assert made == [tmp_path / "runs" / n for n in (name, f"{name}-2", f"{name}-3")]

    def test_runs_of_one_second_do_not_meet(self, tmp_path: Path) -> None:
        """Runs that start at once have a folder each."""
        made: list[Path] = []

        def create() -> None:
            made.append(RunDirectory.create(None, "run", tmp_path, noon).path)

        threads = [threading.Thread(target=create) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(made)) == 8

    def test_layout(self, run: RunDirectory) -> None:
        """The folders and a run.json with the status running are there from the start."""
        assert sorted(path.name for path in run.path.iterdir()) == [
            ".reserve",
            "loadgen",
            "ops",
            "resources",
            "run.json",
        ]
        assert open_run(run.path).run == {
            "schema_version": 1,
            "status": "running",
            "command": "run",
            "started": "2026-11-22T12:00:05+00:00",
            "process": this_process(),
        }

    def test_an_empty_folder_is_taken(self, tmp_path: Path) -> None:
        """A folder that is there and empty becomes the run directory; missing parents are made."""
        assert RunDirectory.create(tmp_path, "run").path == tmp_path
        deep = tmp_path / "ops" / "a" / "b"
        check_out(deep)
        assert RunDirectory.create(deep, "run").path == deep

    def test_one_of_two_runs_gets_a_folder(self, run: RunDirectory, tmp_path: Path) -> None:
        """A run that found the folder empty, but was overtaken, is refused."""
        second = tmp_path / "second"
        second.mkdir()
        empty = second / "run.json"
        check_out(second)
        empty.touch()
        with pytest.raises(UsageError, match=r"^--out: "):
            RunDirectory.create(second, "run")
        assert empty.read_bytes() == b""


def bad_places(root: Path) -> dict[str, Path]:
    (root / "full").mkdir()
    (root / "full" / "x").touch()
    (root / "file").touch()
    (root / "broken").symlink_to(root / "nowhere")
    (root / "loop").symlink_to(root / "loop")
    return {
        "exists and is not empty": root / "full",
        "exists and is not a folder": root / "file",
        "is not a folder; name another": root / "file" / "below",
        "is not a folder": root / "broken",
        "not a folder": root / "loop",
        "cannot be made or written": root / ("x" * 300),
        "is not the name of a folder": Path(f"{root}/a\0b"),
    }


@pytest.mark.parametrize("number", range(7))
def test_bad_places(tmp_path: Path, number: int) -> None:
    """A place where no run directory can be is refused in a sentence, and left as it was."""
    problem, path = list(bad_places(tmp_path).items())[number]
    before = sorted(tmp_path.rglob("*"))
    for refuse in (check_out, lambda path: RunDirectory.create(path, "run")):
        with pytest.raises(UsageError) as caught:
            refuse(path)
        assert caught.value.field == "--out"
        assert problem in caught.value.problem
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written(locked: Path) -> None:
    """A folder without the right to write, and one below it, are refused."""
    for path in (locked, locked / "new" / "run"):
        with pytest.raises(UsageError, match="cannot be written"):
            check_out(path)


def test_check_out_makes_nothing(tmp_path: Path) -> None:
    """A good place is checked without a trace."""
    check_out(tmp_path / "new" / "run")
    check_out(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unusable_root(tmp_path: Path) -> None:
    """Unnamed runs below a file are refused too."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--out"):
        RunDirectory.create(None, "run", tmp_path / "file" / "runs")


class TestDocuments:
    def test_run_is_merged(self, run: RunDirectory) -> None:
        """What is written to run.json adds to what was there; the status moves on."""
        run.write_run({"seed": 7, "plan": {"agents": 500}})
        run.update_status("complete", ended="now")
        document = open_run(run.path).run
        assert next(iter(document)) == "schema_version"
        assert document["status"] == "complete"
        assert (document["seed"], document["plan"], document["ended"]) == (
            7,
            {"agents": 500},
            "now",
        )
        assert document["command"] == "run"

    def test_unknown_status(self, run: RunDirectory) -> None:
        """A status that the schema lacks is refused, and the old one stays."""
        with pytest.raises(ValueError, match="finished"):
            run.update_status("finished")  # type: ignore[arg-type]
        assert open_run(run.path).run["status"] == "running"

    def test_values(self, run: RunDirectory) -> None:
        """Numpy values, paths, dates and dataclasses become JSON; what is not finite, null."""

        @dataclass
        class Plan:
            out: Path

        run.write_summary(
            {
                "p50_ms": np.float64(1.5),
                "count": np.int64(3),
                "none": float("nan"),
                "numpy_none": np.float32("inf"),
                "array": np.arange(2),
                "plan": Plan(Path("a/b")),
                "at": datetime(2026, 1, 1, tzinfo=UTC),
            }
        )
        assert json.loads((run.path / "summary.json").read_text()) == {
            "schema_version": 1,
            "p50_ms": 1.5,
            "count": 3,
            "none": None,
            "numpy_none": None,
            "array": [0, 1],
            "plan": {"out": "a/b"},
            "at": "2026-01-01T00:00:00Z",
        }

    def test_schema_version_is_ours(self, run: RunDirectory) -> None:
        """A caller cannot write another schema version."""
        run.write_summary({"schema_version": 99})
        assert open_run(run.path).summary == {"schema_version": 1}

    @pytest.mark.fault
    def test_a_failed_write_leaves_the_old_document(
        self, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When the disk refuses the new document, the old one is whole and no piece remains."""
        run.write_summary({"operations": 1})

        def refuse(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", refuse)
        with pytest.raises(OSError, match="No space"):
            run.write_summary({"operations": 2})
        with pytest.raises(OSError, match="No space"):
            run.update_status("complete")
        reader = open_run(run.path)
        assert reader.summary == {"schema_version": 1, "operations": 1}
        assert reader.run["status"] == "running"
        assert list(run.path.glob("*.tmp")) + list(run.path.glob(".*")) == []

    def test_events(self, run: RunDirectory) -> None:
        """Each event is a line with the time, in order."""
        run.append_event("phase", phase="measure")
        run.append_event("restart", shard=np.int16(3))
        events = open_run(run.path).events()
        assert [event["kind"] for event in events] == ["phase", "restart"]
        assert events[1]["shard"] == 3
        assert events[0]["wall_ns"] <= events[1]["wall_ns"]
        assert all(event["schema_version"] == 1 for event in events)

    def test_a_torn_event(self, run: RunDirectory) -> None:
        """A line that a kill cut short is left out and counted."""
        run.append_event("one")
        with (run.path / "events.jsonl").open("ab") as file:
            file.write(b'{"schema_version": 1, "ki')
        reader = open_run(run.path)
        assert [event["kind"] for event in reader.events()] == ["one"]
        assert reader.damaged_files == 1

    def test_agents(self, run: RunDirectory) -> None:
        """Agents are written from columns or from a table, and read back."""
        columns = {"agent": np.arange(3), "agent_id": ["agent_0", "ü", "x#2"], "cohort": [0, 0, 1]}
        run.write_agents(columns)
        table = open_run(run.path).agents()
        assert table.schema.equals(AGENTS_SCHEMA)
        assert table.to_pydict() == {**columns, "agent": [0, 1, 2]}
        run.write_agents(table.slice(0, 1))
        assert open_run(run.path).agents().num_rows == 1


class TestReader:
    def test_a_run_that_wrote_nothing(self, run: RunDirectory) -> None:
        """A run killed at once reads as empty tables of the schema, without a summary."""
        reader = open_run(str(run.path))
        assert reader.operations().schema.equals(OPS_SCHEMA)
        assert reader.nodes().schema.equals(NODES_SCHEMA)
        assert reader.processes().schema.equals(PROCESSES_SCHEMA)
        assert reader.loadgen().schema.equals(LOADGEN_SCHEMA)
        assert reader.agents().schema.equals(AGENTS_SCHEMA)
        assert reader.operations().num_rows == reader.nodes().num_rows == 0
        assert (reader.summary, reader.events(), reader.damaged_files) == (None, [], 0)

    def test_operations(self, run: RunDirectory) -> None:
        """Files come one by one with where and when they were written, or all rows at once."""
        write_ops(run.path, 1, 30)
        write_ops(run.path, 0, 20)
        reader = open_run(run.path)
        found = list(reader.operation_batches())
        assert [(m.cohort, m.node_id, m.start_wall_ns, t.num_rows) for m, t in found] == [
            (0, "node0", 10**18, 20),
            (1, "node1", 10**18 + 1, 30),
        ]
        assert found[0][0].start_monotonic_ns == 77
        table = reader.operations()
        assert table.schema.equals(OPS_SCHEMA)
        assert table["op"].to_pylist()[:4] == ["store", "retrieve", "search", "store"]

    def test_columns(self, run: RunDirectory) -> None:
        """Only the columns asked for are read, in that order; an unknown one is refused at once."""
        write_ops(run.path, 0, 5)
        reader = open_run(run.path)
        assert reader.operations(["finished_ns", "op"]).column_names == ["finished_ns", "op"]
        with pytest.raises(ValueError, match="latency"):
            reader.operation_batches(["op", "latency"])

    def test_labels_have_the_order_of_the_schema(self, run: RunDirectory) -> None:
        """Indices of a label column mean the same in every file, also in one made elsewhere."""
        path = write_ops(run.path, 0, 14)
        table = pq.read_table(path)
        for name in ("op", "outcome", "phase"):
            place = table.schema.get_field_index(name)
            plain = table[name].cast(pa.string())
            mixed = plain.combine_chunks().take(pa.array([5, 3, 0, 1, 2, 4, *range(6, 14)]))
            field = pa.field(name, pa.string())
            table = table.set_column(place, field, mixed if name == "op" else plain)
        pq.write_table(table, path)
        reader = open_run(run.path)
        read = reader.operations()
        assert reader.damaged_files == 0
        for name, labels in (("op", OPERATIONS), ("outcome", OUTCOMES), ("phase", PHASES)):
            for chunk in read[name].chunks:
                assert chunk.dictionary.to_pylist() == list(labels)
        assert read["op"].to_pylist() == table["op"].to_pylist()
        assert read["outcome"].to_pylist() == [OUTCOMES[n % 7] for n in range(14)]

    def test_loadgen(self, run: RunDirectory) -> None:
        """The load generator's watch on itself is read from all cohorts."""
        for cohort in (0, 1):
            writer = LoadgenWriter(LocalSink(run.path), cohort, "abc", 0, 0)
            writer.write({"at_ns": np.array([1]), "lag_ns": np.array([cohort])})
        assert open_run(run.path).loadgen().to_pydict() == {
            "cohort": [0, 1],
            "at_ns": [1, 1],
            "lag_ns": [0, 1],
        }

    def test_streams_of_all_nodes(self, run: RunDirectory) -> None:
        """The samples of every node come one node after the other."""
        write_nodes(run.path, 2)
        write_nodes(run.path, 1, "resources/nodes-xyz.arrows")
        assert open_run(run.path).nodes()["wall_ns"].to_pylist() == [0, 1, 10, 11, 0, 1]

    def test_names_in_run_json_are_not_followed(self, run: RunDirectory, tmp_path: Path) -> None:
        """What run.json says of files changes nothing of what is read."""
        write_ops(tmp_path, 5, 5)
        run.write_run({"files": ["../ops/cohort-00005-000000.parquet"], "ops": "../ops"})
        assert open_run(run.path).operations().num_rows == 0


NOT_RUNS = [
    (None, "has no run.json"),
    ("", "is damaged"),
    ("{", "is damaged"),
    ("[1]", "is damaged"),
    ("\x80", "is damaged"),
    ("{}", "not written by this harness"),
    ('{"schema_version": "1"}', "not written by this harness"),
    ('{"schema_version": true}', "not written by this harness"),
    ('{"schema_version": 0}', "not written by this harness"),
    ('{"schema_version": 2}', "install a newer"),
]


class TestForeign:
    @pytest.mark.parametrize(("text", "problem"), NOT_RUNS)
    def test_not_a_run(self, tmp_path: Path, text: str | None, problem: str) -> None:
        """A folder that is no run of ours, or of a newer release, is named in one sentence."""
        if text is not None:
            (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(RunDirectoryError, match=problem) as caught:
            open_run(tmp_path)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_not_a_folder(self, tmp_path: Path) -> None:
        """A path that is missing or a file says so."""
        (tmp_path / "file").touch()
        for path, problem in (("nowhere", "does not exist"), ("file", "not a folder")):
            with pytest.raises(RunDirectoryError, match=problem):
                open_run(tmp_path / path)

    def test_a_damaged_summary(self, run: RunDirectory) -> None:
        """A summary that is no JSON is an error, not a missing summary."""
        (run.path / "summary.json").write_text("{...")
        with pytest.raises(RunDirectoryError, match="damaged"):
            _ = open_run(run.path).summary

    @pytest.mark.parametrize("kind", ["ops", "nodes", "events"])
    def test_a_file_of_a_newer_release(self, run: RunDirectory, kind: str) -> None:
        """One file of a newer schema is an error, never skipped or guessed at."""
        newer = {b"schema_version": b"2"}
        reader = open_run(run.path)
        if kind == "ops":
            path = write_ops(run.path, 0, 3)
            table = pq.read_table(path)
            pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **newer}), path)
        elif kind == "nodes":
            schema = NODES_SCHEMA.with_metadata(newer)
            StreamWriter(LocalSink(run.path), NODES, schema).end()
        else:
            (run.path / "events.jsonl").write_text('{"schema_version": 2, "kind": "x"}\n')
        with pytest.raises(RunDirectoryError, match="install a newer"):
            {"ops": reader.operations, "nodes": reader.nodes, "events": reader.events}[kind]()


@pytest.mark.fault
class TestDamage:
    def test_torn_and_unfinished_files_are_left_out(self, run: RunDirectory) -> None:
        """A torn, empty, foreign or unfinished file costs its own rows, and is counted once."""
        write_ops(run.path, 0, 10)
        torn = write_ops(run.path, 1, 10)
        torn.write_bytes(torn.read_bytes()[:-20])
        write_ops(run.path, 2, 10).write_bytes(b"")
        foreign = write_ops(run.path, 3, 10)
        pq.write_table(pa.table({"x": [1]}), foreign)
        (run.path / "ops/.cohort-00004-000000.parquet.7.tmp").write_bytes(b"PAR1")
        reader = open_run(run.path)
        for _ in range(2):
            assert reader.operations().num_rows == 10
            assert reader.damaged_files == 4
        assert reader.damaged_file_names[-1] == "ops/cohort-00003-000000.parquet"

    @pytest.mark.parametrize("change", ["label", "null", "overflow", "metadata"])
    def test_rows_that_break_the_schema(self, run: RunDirectory, change: str) -> None:
        """A file with an unknown label, a null, too great a number or no metadata is damaged."""
        path = write_ops(run.path, 0, 4)
        table = pq.read_table(path)
        name, values = {
            "label": ("op", pa.array(["store", "steal", "store", "store"])),
            "null": ("agent", pa.array([1, None, 2, 3], pa.int32())),
            "overflow": ("shard", pa.array([2**40] * 4)),
            "metadata": ("agent", pa.array([1] * 4, pa.int32())),
        }[change]
        table = table.set_column(table.schema.get_field_index(name), name, values)
        if change == "metadata":
            table = table.replace_schema_metadata({"schema_version": "1"})
        pq.write_table(table, path)
        reader = open_run(run.path)
        assert reader.operations().num_rows == 0
        assert reader.damaged_files == 1

    def test_bent_parquet_never_crashes(self, run: RunDirectory) -> None:
        """Whichever byte of a file is wrong, reading gives rows or counts damage."""
        path = write_ops(run.path, 0, 50)
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            bent = bytearray(whole)
            bent[place] ^= 0xFF
            path.write_bytes(bent)
            reader = open_run(run.path)
            try:
                rows = reader.operations().num_rows
            except RunDirectoryError:  # the version itself was hit
                continue
            assert rows == 50 or reader.damaged_files == 1

    def test_damaged_agents(self, run: RunDirectory) -> None:
        """Damaged agents are counted, and there are none."""
        (run.path / "agents.parquet").write_bytes(b"PAR1 and no more")
        reader = open_run(run.path)
        assert reader.agents().num_rows == 0
        assert reader.damaged_file_names == ("agents.parquet",)

    def test_a_stream_cut_at_any_byte(self, run: RunDirectory) -> None:
        """A stream cut anywhere gives all batches that are whole, and no other row."""
        path = write_nodes(run.path, 2)
        whole = path.read_bytes()
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
            ends = [file.tell() for _ in stream]
        seen = set()
        for size in range(len(whole) + 1):
            path.write_bytes(whole[:size])
            reader = open_run(run.path)
            batches = sum(end <= size for end in ends)
            rows = [10 * batch + row for batch in range(batches) for row in range(2)]
            assert reader.nodes()["wall_ns"].to_pylist() == rows, size
            seen.add(batches)
            if size in ends:
                assert reader.damaged_files == 0
        assert seen == {0, 1, 2}

    def test_a_bent_offset_is_not_followed(self, run: RunDirectory) -> None:
        """A string that claims to lie beyond its buffer ends the stream before its batch."""
        path = write_nodes(run.path, 1)
        whole = path.read_bytes()
        offsets, beyond = (np.array([0, n, 6], np.int32).tobytes() for n in (3, 2**30))
        assert whole.count(offsets) == 1
        path.write_bytes(whole.replace(offsets, beyond))
        reader = open_run(run.path)
        assert reader.nodes().num_rows == 0
        assert reader.damaged_file_names == (NODES,)

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_a_bent_stream_never_crashes(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        """Whichever bytes of a stream are wrong, reading ends with rows that are valid."""
        root = tmp_path_factory.mktemp("bent")
        RunDirectory.create(root, "run")
        path = write_nodes(root, 2)
        bent = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            bent[data.draw(st.integers(0, len(bent) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(bent)
        try:
            table = open_run(root).nodes()
        except RunDirectoryError:  # the version itself was hit
            return
        finally:
            shutil.rmtree(root)
        table.validate(full=True)
        assert table.num_rows <= 4


def test_reader_opens_by_path_or_text(run: RunDirectory) -> None:
    """A reader keeps the path it was opened by."""
    reader = open_run(str(run.path))
    assert isinstance(reader, RunReader)
    assert reader.path == run.path


class TestFullDisk:
    def test_documents_wait_and_events_are_counted_while_the_run_goes_on(
        self, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a full disk did not take of run.json is in its next writing."""
        with monkeypatch.context() as full:
            full.setattr(RunDirectory, "_replace", no_space)
            full.setattr(RunDirectory, "_append", no_space)
            run.write_run({"losses": [1]})
            run.append_event("lost")
        assert run.lost_events == 1
        assert "losses" not in open_run(run.path).run
        run.write_run({"agents": 3})
        assert (open_run(run.path).run["losses"], open_run(run.path).run["agents"]) == ([1], 3)

    def test_the_end_has_room_held_back(
        self, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is given back before the last status is written, which may fail as any writing may."""
        assert (run.path / ".reserve").stat().st_size == 256 * 1024
        monkeypatch.setattr(RunDirectory, "_replace", no_space)
        with pytest.raises(OSError, match="No space left"):
            run.update_status("failed")
        assert not (run.path / ".reserve").exists()

    def test_another_refusal_is_not_kept_quiet(
        self, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only a full disk may pass."""

        def broken(*_: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(RunDirectory, "_replace", broken)
        monkeypatch.setattr(RunDirectory, "_append", broken)
        with pytest.raises(OSError, match="Input/output"):
            run.write_run({"agents": 3})
        with pytest.raises(OSError, match="Input/output"):
            run.append_event("lost")

    def test_a_torn_event_is_taken_away_again(self, tmpfs: Path) -> None:
        """A line that fits in part would spoil the next one."""
        run = RunDirectory.create(tmpfs / "run", "run")
        with (tmpfs / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        for _ in range(200):
            run.append_event("lost", words="x" * 300)
        (tmpfs / "filler").unlink()
        assert run.lost_events > 0
        run.append_event("last")
        events = open_run(run.path).events()
        assert events[-1]["kind"] == "last"
        assert len(events) + run.lost_events == 201


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
