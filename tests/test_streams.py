"""Streams grow by whole record batches, and keep what a sink refuses within a bound."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from harness import streams
from harness.schema import NODES_SCHEMA, PROCESSES_SCHEMA
from harness.sinks import LocalSink, RemoteSink
from harness.streams import StreamWriter

NAME = "resources/nodes-abc.arrows"


def node_row(number: int) -> tuple[object, ...]:
    return ("abc", *range(number, number + 12))


class Refusing:
    """A sink's other end that refuses while `refuses` is set."""

    def __init__(self, root: Path) -> None:
        self.refuses = True
        self._local = LocalSink(root)

    def put(self, mode: str, name: str, data: bytes) -> None:
        if self.refuses:
            raise ConnectionError("nobody there")
        self._local.put(mode, name, data)


def read(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        return stream.read_all()


def test_rows_come_back(tmp_path: Path) -> None:
    """What was added is read back by any Arrow reader, nulls included."""
    name = "resources/processes-abc.arrows"
    stream = StreamWriter(LocalSink(tmp_path), name, PROCESSES_SCHEMA)
    rows = [
        ("abc", 1, 2, 3, "shard", 4, 12.5, 0.25, 5, None, 6, None),
        ("abc", 1, 2, 3, "größer", 4, 12.5, 0.25, 5, 2**40, None, 7),
    ]
    stream.add(rows[0])
    stream.flush()
    stream.add(rows[1])
    stream.end()
    table = read(tmp_path / name)
    assert table.schema.equals(PROCESSES_SCHEMA, check_metadata=True)
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    table.validate(full=True)


def test_no_rows(tmp_path: Path) -> None:
    """A stream that was given no rows is a readable stream without rows."""
    StreamWriter(LocalSink(tmp_path), NAME, NODES_SCHEMA).end()
    assert read(tmp_path / NAME).num_rows == 0


def test_flush_of_nothing_new_writes_nothing(tmp_path: Path) -> None:
    """Only what has gathered since the last flush is appended."""
    sink = LocalSink(tmp_path)
    stream = StreamWriter(sink, NAME, NODES_SCHEMA)
    stream.add(node_row(0))
    stream.flush()
    written = sink.bytes_written
    stream.flush()
    assert sink.bytes_written == written > 0


def test_refused_rows_are_kept(tmp_path: Path) -> None:
    """What a sink refuses is appended when it takes things again, and the refusal is told."""
    end = Refusing(tmp_path)
    stream = StreamWriter(RemoteSink(end.put), NAME, NODES_SCHEMA)
    for number in range(3):
        stream.add(node_row(number))
        stream.flush()
    end.refuses = False
    stream.add(node_row(3))
    stream.end()
    assert read(tmp_path / NAME)["wall_ns"].to_pylist() == [0, 1, 2, 3]
    assert stream.lost_rows == 0
    assert stream.error == "ConnectionError: nobody there"


def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beyond the bound are lost and counted; the rows before them are kept."""
    monkeypatch.setattr(streams, "PENDING_BYTES_MAX", 4_000)
    end = Refusing(tmp_path)
    stream = StreamWriter(RemoteSink(end.put), NAME, NODES_SCHEMA)
    for number in range(50):
        stream.add(node_row(number))
        stream.flush()
    end.refuses = False
    stream.end()
    kept = read(tmp_path / NAME)["wall_ns"].to_pylist()
    assert 0 < len(kept) < 50
    assert kept == list(range(len(kept)))
    assert stream.lost_rows == 50 - len(kept)


def test_what_is_refused_at_the_end_is_counted(tmp_path: Path) -> None:
    """Rows that the sink never took are counted as lost when the stream ends."""
    stream = StreamWriter(RemoteSink(Refusing(tmp_path).put), NAME, NODES_SCHEMA)
    stream.add(node_row(0))
    stream.add(node_row(1))
    stream.end()
    assert stream.lost_rows == 2
