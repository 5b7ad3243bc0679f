"""`harness run --backup` takes backups of the run's own store, and says what became of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.plan import RunPlan
from harness.ray_session import RaySession
from harness.run_backups import RunBackups
from harness.rundir import RunDirectory
from harness.rundir_reader import open_run
from harness.runner import prepare
from memory_core import UnavailableError
from memory_core.backups import find_backup, list_backups, restore_to_folder
from tests.harness.driving import short_folder
from tests.memory_core.backed_up import contents
from tests.shared_ray import command_here

WAIT_S = 60.0


class Backing:
    """A target that does nothing but take backups."""

    def __init__(self, take: Callable[[], dict[str, object]]) -> None:
        self._take = take

    def check_backup(self, uri: str) -> None: ...

    def back_up(self, uri: str) -> dict[str, object]:
        assert uri == "there"
        return self._take()


def events(folder: Path, take: Callable[[], dict[str, object]], **plan: Any) -> list[Any]:
    """The events of backups of a run that is over when two have been taken."""
    directory = RunDirectory.create(folder / "run", "run")
    taken = threading.Semaphore(0)

    def counted() -> dict[str, object]:
        try:
            return take()
        finally:
            taken.release()

    target: Any = Backing(counted)
    backups = RunBackups(RunPlan(backup="there", **plan), target, directory)
    backups.begin()
    backups.begin()
    for _ in range(1 if "backup_interval_s" not in plan else 2):
        assert taken.acquire(timeout=WAIT_S)
    backups.close(WAIT_S)
    return [one for one in open_run(directory.path).events() if one["kind"] == "backup"]


def test_each_backup_is_two_events(tmp_path: Path):
    """One when it begins and one when it has ended, with what it added."""
    facts = {"backup": "b", "new_bytes": 3, "reused_bytes": 4}
    first, last = events(tmp_path, lambda: dict(facts))
    assert (first["state"], last["state"]) == ("begin", "end")
    assert facts.items() <= last.items()
    assert last["problem"] is None
    assert last["duration_s"] >= 0


def test_a_backup_that_fails_is_an_event_and_the_next_is_taken(tmp_path: Path):
    """What kept a backup from being made is in its event; the run goes on, and so do backups."""
    outcomes = [UnavailableError("shard 1 died")]

    def take() -> dict[str, object]:
        if outcomes:
            raise outcomes.pop()
        return {"backup": "b"}

    found = events(tmp_path, take, backup_interval_s=0.01)
    ended = {one["number"]: one for one in found if one["state"] == "end"}
    assert ended[1]["problem"] == "shard 1 died"
    assert ended[2]["problem"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backup_interval_s": 5.0}, "--backup-interval: needs --backup"),
        ({"backup": "x", "backup_interval_s": 0}, "--backup-interval: must be above 0"),
        ({"backup": 5}, "--backup: must be text"),
        ({"backup": "nope://x"}, "--backup: nope://x cannot be used"),
        ({"backup": "s3://me:secret@x/y"}, "--backup: must not hold a secret"),
        ({"backup": "x", "target": "noop"}, "--backup: target noop has no backups"),
    ],
)
def test_backups_that_cannot_be_are_refused(options: dict[str, Any], said: str):
    """A plan whose backups could go nowhere is refused before anything starts."""
    with pytest.raises(UsageError) as caught:
        prepare(RunPlan(agents=2, **options))
    assert str(caught.value).startswith(said)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path):
    """Where a file is in the way, that is said before anything starts."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--backup: .*file.* cannot be written"):
        prepare(RunPlan(agents=2, backup=str(tmp_path / "file")))


@pytest.mark.slow
@pytest.mark.cluster
def test_a_run_is_backed_up_while_it_goes_on(tmp_path: Path, ray_here: RaySession):
    """Backups at an interval are whole, are summed up, and can be restored to other shards."""
    from memory_core import MemoryConfig, MemoryStore

    with short_folder() as folder:
        done = command_here(
            *("run", "--agents", 4, "--duration", 2, "--shards", 2, "--seed", 3, "--json"),
            *("--backup", "place", "--backup-interval", 0.5, "--out", "out"),
            *("--think-time", 0.005),
            temp=folder,
        )
        assert done.returncode == 0, done.stderr
        figures = json.loads(done.stdout)["backups"]
        [(memory, listing)] = list_backups(str(folder / "place")).items()
        assert figures["count"] == len(listing.backups) >= 1
        assert figures["failed"] == figures["unfinished"] == 0
        assert figures["new_bytes"] == sum(one.new_bytes for one in listing.backups)
        run = json.loads((folder / "out" / "run.json").read_text())
        assert run["plan"]["backup"] == str(folder / "place")
        repository, manifest = find_backup(str(folder / "place"), memory)
        restored = restore_to_folder(repository, manifest, tmp_path / "restored", 1)
        with MemoryStore(MemoryConfig(path=restored.folders[0])) as store:
            found = contents(store)
        assert set(found) <= {f"agent_{n}" for n in range(4)}
        assert restored.memories == sum(map(len, found.values()))
