"""Sinks take files of the run and no others; writers make small whole Parquet files."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.schema import LOADGEN_SCHEMA, OPS_METADATA_KEYS, OPS_SCHEMA
from harness.sinks import LoadgenWriter, LocalSink, OpsWriter, RemoteSink, check_name

WRONG_NAMES = [
    "",
    "run.json",
    "ops/",
    "ops/../run.json",
    "ops/..",
    "ops/.hidden",
    "ops/a/b.parquet",
    "/etc/passwd",
    "ops//etc/passwd",
    "../ops/x",
    "agents/x.parquet",
    "ops/x\n",
    "ops/x\0y",
    "ops\\x",
    "ops/" + "x" * 300,
]


def ops_columns(rows: int, start: int = 0) -> dict[str, np.ndarray]:
    """Rows whose times add up, with every label in use."""
    number = np.arange(start, start + rows)
    return {
        "phase": (number % 2).astype(np.int8),
        "agent": (number % 7).astype(np.int32),
        "op": (number % 3).astype(np.int8),
        "shard": (number % 2).astype(np.int16),
        "scheduled_ns": number * 1000,
        "started_ns": number * 1000 + 1,
        "finished_ns": number * 1000 + 61,
        "queue_ns": np.full(rows, 10),
        "transport_ns": np.full(rows, 20),
        "service_ns": np.full(rows, 30),
        "shard_wait_ns": np.full(rows, 5),
        "batch_ops": np.full(rows, 3, np.int32),
        "attempts": np.ones(rows, np.int16),
        "outcome": (number % 7).astype(np.int8),
    }


def writer_in(root: Path) -> OpsWriter:
    return OpsWriter(LocalSink(root), 3, "abc", 1_000, 2_000)


@pytest.mark.parametrize("name", WRONG_NAMES)
@pytest.mark.parametrize("mode", ["write", "append"])
def test_wrong_names(tmp_path: Path, name: str, mode: str) -> None:
    """A name outside ops, resources and loadgen is refused on both sides, and nothing is made."""
    sent: list[str] = []
    remote = RemoteSink(lambda mode, name, data: sent.append(name))
    with pytest.raises(ValueError, match="no file name of a run"):
        LocalSink(tmp_path).put(mode, name, b"x")
    with pytest.raises(ValueError, match="no file name of a run"):
        getattr(remote, mode)(name, b"x")
    assert sent == []
    assert list(tmp_path.rglob("*")) == []


def test_right_names() -> None:
    """The names that the writers use pass."""
    for name in ("ops/cohort-00001-000000.parquet", "resources/nodes-0af3.arrows", "loadgen/x"):
        check_name(name)


def test_write_and_append(tmp_path: Path) -> None:
    """A write replaces the whole file, an append adds to it, and both count their bytes."""
    sink = LocalSink(tmp_path)
    sink.write("ops/a", b"first, and longer")
    sink.write("ops/a", b"second")
    sink.append("resources/b", b"one")
    sink.append("resources/b", b"two")
    assert (tmp_path / "ops/a").read_bytes() == b"second"
    assert (tmp_path / "resources/b").read_bytes() == b"onetwo"
    assert sink.bytes_written == 17 + 6 + 3 + 3
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "ops", "resources"]


def test_remote_sink_ends_in_a_local_one(tmp_path: Path) -> None:
    """What a remote sink is given arrives as if it had been written here."""
    remote = RemoteSink(LocalSink(tmp_path).put)
    remote.write("ops/a", b"whole")
    remote.append("ops/a", b" and more")
    assert (tmp_path / "ops/a").read_bytes() == b"whole and more"
    assert remote.bytes_written == 14


def test_unknown_mode(tmp_path: Path) -> None:
    """A mode that is neither write nor append does nothing but raise."""
    with pytest.raises(ValueError, match="neither"):
        LocalSink(tmp_path).put("delete", "ops/a", b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault
def test_append_to_a_full_disk_adds_nothing(tmp_path: Path) -> None:
    """An append of which only a part fits leaves the file as it was."""
    # A limit on the size of files stands for the full disk; it has to be a process's own.
    script = """
import resource, signal, sys
from pathlib import Path
from harness.sinks import LocalSink
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = LocalSink(Path(sys.argv[1]))
sink.append("resources/x", b"a" * 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
for act in (sink.append, sink.write):
    try:
        act("resources/x", b"b" * 1000_000)
    except OSError:
        continue
    sys.exit("no error")
sys.exit(0 if sink.bytes_written == 1000 else "counted what was not written")
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
    assert (tmp_path / "resources/x").read_bytes() == b"a" * 1000
    assert [path.name for path in (tmp_path / "resources").iterdir()] == ["x"]


def test_local_sink_pickles(tmp_path: Path) -> None:
    """A sink that is sent to another process of the node writes to the same place."""
    sink = pickle.loads(pickle.dumps(LocalSink(tmp_path)))
    sink.write("ops/a", b"x")
    assert (tmp_path / "ops/a").read_bytes() == b"x"


def test_ops_file(tmp_path: Path) -> None:
    """Each write is one closed file with the schema's columns, the rows and their place in time."""
    writer = writer_in(tmp_path)
    writer.write(ops_columns(100))
    writer.write(ops_columns(50, start=100))
    names = sorted(path.name for path in (tmp_path / "ops").iterdir())
    assert names == ["cohort-00003-000000.parquet", "cohort-00003-000001.parquet"]
    assert (writer.files, writer.rows) == (2, 150)
    table = pq.read_table(tmp_path / "ops" / names[1])
    assert table.schema.equals(OPS_SCHEMA)
    metadata = {key: table.schema.metadata[key.encode()].decode() for key in OPS_METADATA_KEYS}
    assert metadata == {
        "cohort": "3",
        "node_id": "abc",
        "start_wall_ns": "1000",
        "start_monotonic_ns": "2000",
        "schema_version": "1",
    }
    row = table.slice(1, 1).to_pylist()[0]
    assert row == {
        "phase": "measure",
        "cohort": 3,
        "agent": 3,
        "op": "search",
        "shard": 1,
        "scheduled_ns": 101_000,
        "started_ns": 101_001,
        "finished_ns": 101_061,
        "queue_ns": 10,
        "transport_ns": 20,
        "service_ns": 30,
        "shard_wait_ns": 5,
        "batch_ops": 3,
        "attempts": 1,
        "outcome": "overloaded",
    }


def test_no_rows_no_file(tmp_path: Path) -> None:
    """Nothing is written for no rows."""
    writer = writer_in(tmp_path)
    writer.write(ops_columns(0))
    assert (writer.files, list(tmp_path.iterdir())) == (0, [])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("op", np.full(4, 3, np.int8)),
        ("outcome", np.full(4, -1, np.int8)),
        ("agent", np.full(4, 2**40)),
        ("agent", np.full(3, 1, np.int32)),
        ("agent", np.zeros((4, 1), np.int32)),
        ("queue_ns", np.full(4, 0.5)),
        ("surprise", np.zeros(4)),
    ],
)
def test_wrong_columns(tmp_path: Path, name: str, values: np.ndarray) -> None:
    """A label, number, length, shape or column that the schema lacks is refused before writing."""
    writer = writer_in(tmp_path)
    with pytest.raises(ValueError, match=r".+"):
        writer.write({**ops_columns(4), name: values})
    assert list(tmp_path.iterdir()) == []


def test_missing_column(tmp_path: Path) -> None:
    """A column that is left out is named."""
    columns = ops_columns(4)
    del columns["service_ns"]
    with pytest.raises(ValueError, match="service_ns"):
        writer_in(tmp_path).write(columns)


def test_rows_that_were_refused_may_be_offered_again_under_the_next_number(tmp_path: Path) -> None:
    """What a slow sink writes after all is not written over."""
    local = LocalSink(tmp_path)
    failures = [OSError("no room")]

    def put(mode: str, name: str, data: bytes) -> None:
        if failures:
            raise failures.pop()
        local.put(mode, name, data)

    writer = OpsWriter(RemoteSink(put), 0, "abc", 0, 0)
    with pytest.raises(OSError, match="no room"):
        writer.write(ops_columns(4))
    assert (writer.files, writer.rows) == (0, 0)
    writer.write(ops_columns(4))
    assert [path.name for path in (tmp_path / "ops").iterdir()] == ["cohort-00000-000001.parquet"]


def test_loadgen_file(tmp_path: Path) -> None:
    """The load generator's watch on itself goes to files of its own."""
    writer = LoadgenWriter(LocalSink(tmp_path), 12, "abc", 0, 0)
    writer.write({"at_ns": np.array([10, 20]), "lag_ns": np.array([1, 2])})
    table = pq.read_table(tmp_path / "loadgen/cohort-00012-000000.parquet")
    assert table.schema.equals(LOADGEN_SCHEMA)
    assert table.to_pydict() == {"cohort": [12, 12], "at_ns": [10, 20], "lag_ns": [1, 2]}


def test_writers_do_not_look_for_pandas(tmp_path: Path) -> None:
    """Writing rows and samples never imports pandas, which costs time and memory."""
    script = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[2]).parent))
from test_sinks import ops_columns, writer_in
from harness.schema import NODES_SCHEMA
from harness.sinks import LocalSink
from harness.streams import StreamWriter
class Watch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "pandas":
            sys.exit("something looked for pandas")
sys.meta_path.insert(0, Watch)
root = Path(sys.argv[1])
writer_in(root).write(ops_columns(10))
stream = StreamWriter(LocalSink(root), "resources/nodes-x.arrows", NODES_SCHEMA)
stream.add(("x", *range(1, 13)))
stream.end()
sys.exit(stream.error)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path), __file__], check=True, timeout=60)
