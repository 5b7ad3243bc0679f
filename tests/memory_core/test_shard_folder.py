"""A shard's folder: made once, whatever is killed on the way, and served to its own shard only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from memory_core import (
    BadInputError,
    CorruptionError,
    DatabaseError,
    Done,
    IncompatibleError,
    MemoryConfig,
    MemoryStore,
    Record,
    Retrieve,
    Store,
    UnavailableError,
    note_file,
    shard_folder,
)
from memory_core.data_root import data_root, known_identity, node_identity
from memory_core.shard import ShardActor
from memory_core.shard_folder import (
    Marks,
    ShardClaim,
    begin_making,
    check_memory_name,
    end_making,
    own_folder,
    place_of,
)
from memory_core.wire import Batch, decode_reply, encode_batch


class Killed(BaseException):
    """Stands for a SIGKILL: nothing of ours catches it, and nothing after it happens."""


@pytest.fixture(autouse=True)
def _keep_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory_core.shard.gc.freeze", lambda: None)
    monkeypatch.setattr("memory_core.shard.gc.set_threshold", lambda *_: None)


def claim(root: Path, **changes: Any) -> ShardClaim:
    given = {"memory": "m", "memory_id": "id-1", "shard": 1, "shards": 3, "root": str(root)}
    return ShardClaim(**{**given, **changes})


def actor(wanted: ShardClaim) -> ShardActor:
    config = MemoryConfig(dimension=8)
    return ShardActor(wanted.memory, wanted.shard, wanted.shards, config, wanted)


def execute(shard: ShardActor, *operations: Any) -> list[Any]:
    return decode_reply(shard.execute(encode_batch(Batch("", 0, list(operations))))).results


def made(root: Path, **changes: Any) -> ShardClaim:
    """A claim whose folder was made, with one memory in it."""
    wanted = claim(root, **changes)
    shard = actor(wanted)
    shard.make()
    assert execute(shard, Store("a", "s", b"\x80")) == [Done()]
    shard.close()
    return wanted


def test_the_data_root_is_the_nodes_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """It is what the environment of the node says, or below the home folder; never relative."""
    monkeypatch.setenv("MEMORY_CORE_DATA_DIR", str(tmp_path / "disk" / ".." / "disk"))
    assert data_root() == str(tmp_path / "disk")
    place = place_of(ShardClaim(memory="m", memory_id="i", shard=2, shards=3))
    assert place.folder == str(tmp_path / "disk" / "m" / "shard-2")
    assert place.marks == str(tmp_path / "disk" / "m" / "shard-2.json")
    monkeypatch.delenv("MEMORY_CORE_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root() == str(tmp_path / ".memory_core" / "data")
    monkeypatch.setenv("MEMORY_CORE_DATA_DIR", "relative")
    with pytest.raises(BadInputError, match="MEMORY_CORE_DATA_DIR: must be an absolute path"):
        data_root()


def test_a_path_of_its_own_has_the_folders_right_below(tmp_path: Path):
    """A run's folders are in the run's own folder, which has the identity, too."""
    wanted = made(tmp_path / "unused", path=str(tmp_path / "run"), shard=0)
    assert place_of(wanted).folder == str(tmp_path / "run" / "shard-0")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["node.json", "shard-0", "shard-0.json"]
    assert not (tmp_path / "unused").exists()


def test_a_node_keeps_its_identity(tmp_path: Path):
    """It is made when first asked for, of several who ask at once by one, and stays."""
    assert known_identity(str(tmp_path / "a")) is None
    first = node_identity(str(tmp_path / "a"))
    assert node_identity(str(tmp_path / "a")) == known_identity(str(tmp_path / "a")) == first
    assert node_identity(str(tmp_path / "b")) != first
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["node.json"]


def test_who_comes_second_takes_the_identity_of_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Two processes of a node that ask at the same moment get the same answer."""
    written = []

    def first_another(path: str, note: Any) -> bool:
        if not written:
            written.append(known_identity(str(tmp_path)))
            written.append(node_identity(str(tmp_path)))
        return note_file.write_new_note(path, note)

    monkeypatch.setattr("memory_core.data_root.write_new_note", first_another)
    assert node_identity(str(tmp_path)) == written[1]
    assert written[0] is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", ".a", "node.json", "ä" * 101, "a\n", "\ud800"]
)
def test_a_memorys_name_is_a_folders_name(name: str):
    """What no folder may be called everywhere, or what another file is called, is refused."""
    with pytest.raises(BadInputError, match=r"memory: .* is no name for one"):
        check_memory_name(name)


def test_a_folder_is_made_once_and_then_opened(tmp_path: Path):
    """An actor serves nothing before its folder was made, and then what was acknowledged."""
    wanted = claim(tmp_path)
    shard = actor(wanted)
    with pytest.raises(UnavailableError, match="shard 1 of memory 'm' is unavailable: its folder"):
        execute(shard, Retrieve("a", "s"))
    assert not any(tmp_path.iterdir())
    info = msgspec.msgpack.decode(shard.make())
    assert (info["memory_id"], info["generation"], info["node"]) == (
        "id-1",
        1,
        node_identity(str(tmp_path)),
    )
    assert execute(shard, Store("a", "s", b"\x80")) == [Done()]
    shard.make()
    shard.close()
    again = actor(wanted)
    assert isinstance(execute(again, Retrieve("a", "s"))[0], Record)
    again.close()
    marks = msgspec.json.decode((tmp_path / "m" / "shard-1.json").read_bytes(), type=Marks)
    assert (marks.made, marks.shard, marks.shards, marks.generation) == (True, 1, 3, 1)


STEPS: list[tuple[Any, str]] = [
    (note_file, "_written_beside"),
    (note_file.os, "replace"),
    (note_file, "sync"),
    (shard_folder, "write_note"),
]


@pytest.mark.fault
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("which", range(12))
def test_a_making_that_was_killed_is_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, which: int, when: str
):
    """Killed at any of its steps, nothing is served until `make` was called again, which serves."""
    calls = 0

    def deadly(step: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            fatal = calls == which + 1
            if fatal and when == "before":
                raise Killed
            done = step(*arguments, **named)
            if fatal:
                if isinstance(done, MemoryStore):
                    done.close()  # as the end of a process does
                raise Killed
            return done

        return stepping

    wanted = claim(tmp_path)
    with monkeypatch.context() as patched:
        for module, name in STEPS:
            patched.setattr(module, name, deadly(getattr(module, name)))
        patched.setattr("memory_core.shard.MemoryStore", deadly(MemoryStore))
        shard = actor(wanted)
        with pytest.raises(Killed):
            shard.make()
        assert calls > which
    was_made = False
    try:
        own_folder(wanted)
        was_made = True
    except UnavailableError:
        pass
    again = actor(wanted)
    if not was_made:
        with pytest.raises(UnavailableError, match="shard 1 of memory 'm' is unavailable"):
            execute(again, Store("a", "s", b"\x80"))
    again.make()
    assert execute(again, Store("a", "s", b"\x80")) == [Done()]
    again.close()
    assert own_folder(wanted).folder == str(tmp_path / "m" / "shard-1")


def test_a_folder_that_was_there_is_not_made(tmp_path: Path):
    """A database without marks, or anything else, is neither opened nor begun anew."""
    folder = tmp_path / "m" / "shard-1"
    with MemoryStore(MemoryConfig(path=folder, dimension=8)) as store:
        store.execute([Store("a", "s", b"\x80")])
    shard = actor(claim(tmp_path))
    with pytest.raises(IncompatibleError, match=r"has no marks \(shard-1.json beside it\)"):
        execute(shard, Retrieve("a", "s"))
    with pytest.raises(BadInputError, match="has something in it already"):
        shard.make()
    with MemoryStore(MemoryConfig(path=folder, dimension=8)) as store:
        assert isinstance(store.execute([Retrieve("a", "s")])[0], Record)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory_id": "id-2"}, r"belongs to memory 'm' \(id id-1\), not to 'm' \(id id-2\)"),
        ({"shards": 4}, "is shard 1 of 3 of 'm', not shard 1 of 4"),
        ({"generation": 2}, "is of generation 1 of 'm', which is now at 2"),
    ],
)
def test_a_folder_serves_its_own_shard_only(tmp_path: Path, changes: dict[str, Any], said: str):
    """Marks of another memory, number of shards or generation are refused, and nothing changed."""
    made(tmp_path)
    before = sorted(path.name for path in (tmp_path / "m" / "shard-1").iterdir())
    with pytest.raises(IncompatibleError, match=said):
        execute(actor(claim(tmp_path, **changes)), Retrieve("a", "s"))
    with pytest.raises((IncompatibleError, BadInputError)):
        actor(claim(tmp_path, **changes)).make()
    assert sorted(path.name for path in (tmp_path / "m" / "shard-1").iterdir()) == before


def test_a_folder_under_another_number_is_refused(tmp_path: Path):
    """Folder and marks that were renamed to another shard's are not taken for that shard's."""
    made(tmp_path)
    above = tmp_path / "m"
    (above / "shard-1").rename(above / "shard-0")
    (above / "shard-1.json").rename(above / "shard-0.json")
    with pytest.raises(IncompatibleError, match="is shard 1 of 3 of 'm', not shard 0 of 3"):
        own_folder(claim(tmp_path, shard=0))


def test_a_copy_on_another_node_is_refused(tmp_path: Path):
    """A folder that was copied to another disk, which has another identity, is not served."""
    made(tmp_path / "one")
    node_identity(str(tmp_path / "two"))
    (tmp_path / "one" / "m").rename(tmp_path / "two" / "m")
    with pytest.raises(IncompatibleError, match="copies of a folder are not served"):
        own_folder(claim(tmp_path / "two"))
    (tmp_path / "two" / "node.json").unlink()
    with pytest.raises(IncompatibleError, match="and this one is none yet"):
        own_folder(claim(tmp_path / "two"))


@pytest.mark.fault
def test_a_folder_that_is_gone_is_never_made_again(tmp_path: Path):
    """A shard that is started again where its folder was removed serves nothing, by name."""
    wanted = made(tmp_path)
    folder = tmp_path / "m" / "shard-1"
    folder.rename(tmp_path / "away")
    shard = actor(wanted)
    for _ in range(2):
        with pytest.raises(CorruptionError, match="has lost its database; restore a backup"):
            execute(shard, Store("a", "s", b"\x80"))
    folder.mkdir()
    with pytest.raises(CorruptionError, match="has lost its database"):
        shard.make()
    folder.rmdir()
    (tmp_path / "m" / "shard-1.json").rename(tmp_path / "away.json")
    with pytest.raises(UnavailableError, match="put it back with shard-1") as caught:
        execute(shard, Store("a", "s", b"\x80"))
    assert f"shard 1 of memory 'm' is unavailable: its folder {folder} is not on" in str(
        caught.value
    )
    (tmp_path / "away").rename(folder)
    (tmp_path / "away.json").rename(tmp_path / "m" / "shard-1.json")
    assert isinstance(execute(shard, Retrieve("a", "s"))[0], Record)
    shard.close()


@pytest.mark.fault
@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}', "\x80\xff"])
def test_damaged_marks_are_named(tmp_path: Path, text: str):
    """Marks that are cut or overwritten are damage, with the file; the database stays closed."""
    wanted = made(tmp_path)
    file = tmp_path / "m" / "shard-1.json"
    file.write_text(text, encoding="latin-1")
    for attempt in (own_folder, begin_making, end_making):
        with pytest.raises(CorruptionError, match="is damaged") as caught:
            attempt(wanted)
        assert caught.value.path == str(file)


def test_marks_of_a_later_version_are_refused(tmp_path: Path):
    """What a later release wrote is not guessed at."""
    wanted = made(tmp_path)
    file = tmp_path / "m" / "shard-1.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": 2}))
    with pytest.raises(IncompatibleError, match="has schema_version 2; this package reads up to 1"):
        own_folder(wanted)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_root_that_cannot_be_written_is_named(tmp_path: Path):
    """The folder and the reason are in the error."""
    tmp_path.chmod(0o500)
    with pytest.raises(DatabaseError, match="cannot be written: Permission denied"):
        begin_making(claim(tmp_path / "root"))


def test_a_root_below_a_file_is_named(tmp_path: Path):
    """A data root that no folder can be made at is an error with its path."""
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="cannot be written"):
        begin_making(claim(tmp_path / "file" / "root"))
