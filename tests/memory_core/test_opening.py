"""Opening: whose folder it is, who has it open, what it was made with, and when it goes."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rocksdict import Options, Rdict

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    CorruptionError,
    DatabaseError,
    IncompatibleError,
    LockedError,
    MemoryConfig,
    MemoryStore,
    Store,
)
from memory_core.record import agent_prefix


def run(script: str, *arguments: object) -> str:
    """Run a script in a process of its own; what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, complaints = process.communicate(timeout=30)
    except BaseException:  # with the children that it may have forked
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert process.returncode == 0, complaints
    assert not complaints
    return printed


class OtherEncoder:
    """An encoder of somebody's own."""

    dimension = 8

    def __init__(self, name: str = "other", version: int = 1) -> None:
        self.name, self.version = name, version

    def encode(self, states: Sequence[Mapping[str, Any]]) -> Any:
        return np.ones((len(states), self.dimension), np.float32)


@pytest.mark.parametrize(
    ("made_with", "opened_with", "named"),
    [
        ({"dimension": 8}, {"dimension": 9}, "dimension 8"),
        ({"dimension": 8, "encoder": OtherEncoder()}, {"dimension": 8}, "encoder 'other'"),
        ({"dimension": 8}, {"dimension": 8, "encoder": OtherEncoder()}, "hashed-leaves"),
        (
            {"dimension": 8, "encoder": OtherEncoder(version=1)},
            {"dimension": 8, "encoder": OtherEncoder(version=2)},
            "encoder version 1",
        ),
    ],
)
def test_a_database_opens_only_with_what_it_was_made_with(
    tmp_path: Path, made_with: dict[str, Any], opened_with: dict[str, Any], named: str
):
    """Another encoder, version or dimension is refused by name, and nothing is changed."""
    config = MemoryConfig(path=tmp_path / "db", **made_with)
    with MemoryStore(config) as store:
        store.execute([Store("a", "s", b"\x80")])
    for _ in range(2):
        with pytest.raises(IncompatibleError, match=named):
            MemoryStore(MemoryConfig(path=tmp_path / "db", **opened_with))
    MemoryStore(config).close()


def test_a_database_of_a_later_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A format that this release does not know is named, not guessed at."""
    monkeypatch.setattr("memory_core.store.FORMAT_VERSION", 99)
    MemoryStore(MemoryConfig(path=tmp_path)).close()
    monkeypatch.undo()
    with pytest.raises(IncompatibleError, match="format 99"):
        MemoryStore(MemoryConfig(path=tmp_path))


def test_two_stores_in_one_process_cannot_share_a_folder(tmp_path: Path):
    """A folder that is open is locked, whatever its path is called; closing it frees it."""
    (tmp_path / "db").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "db")
    with MemoryStore(MemoryConfig(path=tmp_path / "db")):
        for name in ("db", "link", "db/../db"):
            with pytest.raises(LockedError) as caught:
                MemoryStore(MemoryConfig(path=tmp_path / name))
            assert caught.value.path == str(tmp_path / name)
    MemoryStore(MemoryConfig(path=tmp_path / "link")).close()


def test_two_processes_cannot_open_one_database(tmp_path: Path):
    """A second process is told that the database is open; when the first is done it opens."""
    script = """
        import sys
        from memory_core import LockedError, MemoryConfig, MemoryStore
        try:
            MemoryStore(MemoryConfig(path=sys.argv[1])).close()
        except LockedError as error:
            print(error)
        else:
            print("opened")
    """
    with MemoryStore(MemoryConfig(path=tmp_path)):
        assert "another process has this database open" in run(script, tmp_path)
    assert run(script, tmp_path) == "opened\n"


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "run.json", "LOG.txt", "MANIFEST"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, name: str):
    """A folder with files of somebody's is refused and not touched."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(BadInputError, match="holds something else") as caught:
        MemoryStore(MemoryConfig(path=tmp_path))
    assert caught.value.field == "path"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("families", [[], ["stuff"], ["stm"]])
def test_a_database_of_something_else_is_left_alone(tmp_path: Path, families: list[str]):
    """Another program's RocksDB database is refused, and gets no column families of ours."""
    other = Rdict(str(tmp_path), Options(raw_mode=True))
    other[b"key"] = b"value"
    for family in families:
        other.create_column_family(family, Options(raw_mode=True))[b"key"] = b"value"
    other.close()
    before = set(Rdict.list_cf(str(tmp_path), Options(raw_mode=True)))
    with pytest.raises(DatabaseError) as caught:
        MemoryStore(MemoryConfig(path=tmp_path))
    assert isinstance(caught.value, IncompatibleError | CorruptionError)
    assert set(Rdict.list_cf(str(tmp_path), Options(raw_mode=True))) == before


@pytest.mark.parametrize("below", ["", "/db", "/a/b"])
def test_a_file_in_the_way_is_bad_input(tmp_path: Path, below: str):
    """A path that is a file, or lies below one, is refused by name."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInputError, match="is a file") as caught:
        MemoryStore(MemoryConfig(path=f"{tmp_path}/file{below}"))
    assert caught.value.field == "path"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_name_that_is_too_long_is_an_error_of_the_database(tmp_path: Path):
    """What the operating system refuses is named with the path and its reason."""
    with pytest.raises(DatabaseError, match="File name too long"):
        MemoryStore(MemoryConfig(path=tmp_path / ("x" * 300)))


def test_a_missing_current_is_damage(tmp_path: Path):
    """A database without its CURRENT is not taken for an empty folder."""
    with MemoryStore(MemoryConfig(path=tmp_path)) as store:
        store.execute([Store("a", "s", b"\x80")])
    (tmp_path / "CURRENT").unlink()
    with pytest.raises(CorruptionError) as caught:
        MemoryStore(MemoryConfig(path=tmp_path))
    assert Path(caught.value.path) == tmp_path / "CURRENT"


def test_a_making_that_was_cut_short_is_begun_again(tmp_path: Path):
    """What a kill leaves of a database that was just being made does not stop the next opening."""
    whole = tmp_path / "whole"
    MemoryStore(MemoryConfig(path=whole)).close()
    for number, kept in enumerate(
        [
            ["LOCK"],
            ["LOCK", "LOG", "IDENTITY"],
            ["LOCK", "LOG", "IDENTITY", "MANIFEST-000001"],
            ["LOCK", "LOG", "LOG.old.1", "IDENTITY", "MANIFEST-000001", "000001.dbtmp"],
            ["LOCK", "rocksdict-config.json"],
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in kept:
            (folder / name).write_bytes(b"")
        with MemoryStore(MemoryConfig(path=folder)) as store:
            store.execute([Store("a", "s", b"\x80")])
    # and of one in which not all column families, or not yet the identity, were made
    for families in ([], ["meta"], ["meta", "stm", "im", "ltm"], ["ids", "ltm"]):
        folder = tmp_path / f"families-{len(families)}"
        unfinished = Rdict(str(folder), Options(raw_mode=True))
        for family in families:
            unfinished.create_column_family(family, Options(raw_mode=True))
        unfinished.close()
        MemoryStore(MemoryConfig(path=folder)).close()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Makes a folder read-only, for root too."""
    mounted = []

    def make(folder: Path) -> None:
        if os.geteuid() != 0:
            folder.chmod(0o500)
            return
        if shutil.which("mount") is None:
            pytest.skip("root writes everywhere, and there is no mount command")
        for arguments in (["--bind"], ["-o", "remount,bind,ro"]):
            done = subprocess.run(
                ["mount", *arguments, folder, folder], check=False, capture_output=True, text=True
            )
            if done.returncode != 0:
                pytest.skip(f"root writes everywhere, and cannot mount here: {done.stderr}")
            if arguments == ["--bind"]:
                mounted.append(folder)

    yield make
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, read_only: Callable[[Path], None], there: bool
):
    """A read-only folder is an error of the database with the path, not of corruption."""
    folder = tmp_path / "parent" / "db"
    folder.parent.mkdir()
    if there:
        MemoryStore(MemoryConfig(path=folder)).close()
    read_only(folder.parent)
    with pytest.raises(DatabaseError) as caught:
        MemoryStore(MemoryConfig(path=folder))
    assert type(caught.value) is DatabaseError
    assert caught.value.path == str(folder)
    assert "ermission denied" in str(caught.value) or "ead-only" in str(caught.value)


def private_folder(system: AgentMemorySystem) -> Path:
    path = Path(system.path)
    assert path.is_dir()
    assert path.stat().st_mode & 0o077 == 0, "others can look into the private folder"
    return path


def test_a_private_folder_goes_when_the_system_is_closed():
    """Without a path the files lie in a folder of their own, which close takes away."""
    with AgentMemorySystem(MemoryConfig()) as system:
        system.store_agent_state(agent_id="a", state_id="s", state_data={})
        folder = private_folder(system)
    assert not folder.exists()


def test_a_private_folder_goes_with_a_system_that_nobody_has_any_more():
    """A system that is collected closes itself and takes its private folder with it."""
    system = AgentMemorySystem(MemoryConfig())
    folder = private_folder(system)
    del system
    gc.collect()
    assert not folder.exists()


def test_a_named_folder_stays_when_the_system_goes(tmp_path: Path):
    """What was stored under a path is there for the next one, with or without a close."""
    config = MemoryConfig(path=tmp_path / "db")
    system = AgentMemorySystem(config)
    system.store_agent_state(agent_id="a", state_id="s", state_data={"x": 1})
    del system
    gc.collect()
    with AgentMemorySystem(config) as again:
        assert again.retrieve_state(agent_id="a", state_id="s") == {"x": 1}


LEFT = """
    import sys
    from memory_core import AgentMemorySystem, MemoryConfig
    system = AgentMemorySystem(MemoryConfig())
    system.store_agent_state(agent_id="a", state_id="s", state_data={{"x": 1}})
    shared = AgentMemorySystem.get_instance(MemoryConfig())
    shared.store_agent_state(agent_id="a", state_id="s", state_data={{"x": 1}})
    print(system.path)
    print(shared.path)
    sys.stdout.flush()
    {end}
"""


@pytest.mark.parametrize("end", ["pass", "sys.exit(0)", "system.close()", "del system"])
def test_a_private_folder_goes_when_the_process_ends_without_closing(end: str):
    """A process may leave a system open; its private folder goes, and nothing is complained of."""
    folders = run(LEFT.format(end=end)).split()
    assert len(folders) == 2
    assert not any(Path(folder).exists() for folder in folders)


def test_a_process_may_leave_a_named_database_open(tmp_path: Path):
    """What a process stored and never closed is there for the next process."""
    script = """
        import sys
        from memory_core import AgentMemorySystem, MemoryConfig
        system = AgentMemorySystem(MemoryConfig(path=sys.argv[1]))
        print(system.retrieve_state(agent_id="a", state_id="s"))
        system.store_agent_state(agent_id="a", state_id="s", state_data={"x": 1})
    """
    assert run(script, tmp_path) == "None\n"
    assert run(script, tmp_path) == "{'x': 1}\n"


def test_a_forked_child_does_not_take_its_parents_files_away():
    """A forked child can end, cannot use the parent's system, and leaves its folder alone."""
    script = """
        import os, sys, warnings
        from memory_core import AgentMemorySystem, MemoryConfig, UnavailableError
        warnings.simplefilter("ignore", DeprecationWarning)
        system = AgentMemorySystem(MemoryConfig())
        system.store_agent_state(agent_id="a", state_id="s", state_data={"x": 1})
        child = os.fork()
        if child == 0:
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        print(status, os.path.isdir(system.path))
        child = os.fork()
        if child == 0:
            try:
                system.has_agent("a")
            except UnavailableError:
                os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        system.store_agent_state(agent_id="a", state_id="t", state_data={"x": 2})
        print(system.retrieve_state(agent_id="a", state_id="s"))
        system.close()
        print(os.path.exists(system.path))
    """
    assert run(script) == "0 True\n7\n{'x': 1}\nFalse\n"


def test_equal_configurations_share_one_instance(tmp_path: Path):
    """get_instance gives the same system for equal configurations, and another for others."""
    one = AgentMemorySystem.get_instance(MemoryConfig(path=tmp_path / "db"))
    same = AgentMemorySystem.get_instance(MemoryConfig(path=str(tmp_path / "db")))
    other = AgentMemorySystem.get_instance(MemoryConfig(path=tmp_path / "other"))
    try:
        assert same is one
        assert other is not one
        with pytest.raises(LockedError):
            AgentMemorySystem(MemoryConfig(path=tmp_path / "db"))
    finally:
        one.close()
        other.close()
    again = AgentMemorySystem.get_instance(MemoryConfig(path=tmp_path / "db"))
    try:
        assert again is not one
        assert one.closed
        assert not again.closed
    finally:
        again.close()


def test_systems_of_their_own_are_independent():
    """AgentMemorySystem(config) shares nothing, even for equal configurations."""
    with AgentMemorySystem(MemoryConfig()) as one, AgentMemorySystem(MemoryConfig()) as two:
        one.store_agent_state(agent_id="a", state_id="s", state_data={})
        assert not two.has_agent("a")
        assert one.path != two.path


def test_a_failed_opening_leaves_no_private_folder_behind(monkeypatch: pytest.MonkeyPatch):
    """A system that cannot be made takes its private folder with it."""
    made: list[str] = []

    def refuse(config: MemoryConfig) -> MemoryStore:
        made.append(str(config.path))
        raise DatabaseError(str(config.path), "refused")

    monkeypatch.setattr("memory_core.system.MemoryStore", refuse)
    with pytest.raises(DatabaseError, match="refused"):
        AgentMemorySystem(MemoryConfig())
    assert len(made) == 1
    assert not Path(made[0]).exists()


def test_the_clock_that_is_stored_is_the_one_that_was_given(tmp_path: Path):
    """A store takes its wall clock as an argument, and asks it once a batch."""
    asked = []

    def clock() -> int:
        asked.append(time.time_ns())
        return 42

    with MemoryStore(MemoryConfig(path=tmp_path), clock=clock) as store:
        store.execute([Store("a", "s", b"\x80"), Store("a", "t", b"\x80")])
    assert len(asked) == 1


@pytest.mark.parametrize(
    "value",
    [
        b"",
        bytes(23),
        bytes(24),  # announces a vector
        bytes(20) + b"\1\0\0\0",  # no vector and no state
        bytes(20) + b"\1\0\0\0" + b"\xff",
        bytes(20) + b"\x10\0\0\0" + bytes(100),  # flags of a later release
    ],
)
def test_a_record_that_is_none_is_damage(tmp_path: Path, value: bytes):
    """A value that no release of ours wrote is named as damage, with its key, when opening."""
    config = MemoryConfig(path=tmp_path / "db", dimension=8)
    with MemoryStore(config) as store:
        store.execute([Store.of("a", "s", {"x": 1})])
        batch = store._log.batch()
        batch.put(0, agent_prefix("a") + b"bad", value)
        store._log.write(batch)
    with pytest.raises(CorruptionError, match="bad"):
        MemoryStore(config)
