"""Killed at any point of whatever it does, a store keeps every promise.

A child process stores, overwrites, deletes and moves, and writes down what it asks and what was
acknowledged; it is killed, and what it left is compared with that (`promises.audit`): each memory
is in one tier, equal to the bit and its own nearest, nothing deleted is back, each batch is there
whole or not at all, and `verify` finds nothing.

``MEMORY_FAULT_ROUNDS`` is how many times each kill is tried, instead of a few.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from memory_core import BadInputError, CorruptionError, MemoryConfig, MemoryStore, snapshots
from memory_core.inspection import verify
from memory_core.repairing import repair
from tests.memory_core.promises import Ledger, audit, rounds

pytestmark = [pytest.mark.fault, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
SMALL: dict[str, Any] = {
    "dimension": 16,
    "stm_capacity": 12,
    "im_capacity": 15,
    "write_buffer_bytes": 64 * 1024,
    "exact_below": 64,
}
# so much goes down at once that it is noted, and moved with the batches that follow
LARGE: dict[str, Any] = {
    "dimension": 16,
    "stm_capacity": 5_200,
    "im_capacity": 5_200,
    "write_buffer_bytes": 256 * 1024,
}
PLAN: dict[str, Any] = {
    "settings": {},
    "patches": {},
    "agents": "abc",
    "workers": 2,
    "batch": [1, 6],
    "ids": 40,
    "deletes": 0.1,
    "clears": 0.005,
    "moves": 0.1,
    "lies_after": -1,
    "backups": "",
    "repairs": "",
    "kill_at": 0,
    "kill_on": [],
}
# indexes of some dozen memories have snapshots, which are written in many steps
SNAPSHOTS = {
    "memory_core.snapshots._LEAST_MEMORIES": 30,
    "memory_core.snapshots._LEAST_CHANGES": 10,
    "memory_core.snapshot_file._WRITTEN_AT_ONCE_BYTES": 512,
}


class Killed:
    """A folder on which one process after another is killed.

    Args:
        folder: where the database is to be, in a folder for itself.
        changes: what is other than in `PLAN`.
    """

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.settings = changes["settings"]
        self.plan = {**PLAN, **changes, "settings": {**self.settings, "path": str(folder)}}
        self.ledger = Ledger()
        self.said: list[list[Any]] = []
        self.backups: dict[int, int] = {}

    def run(self, seed: int, acknowledgements: int = 0, more_s: float = 0.0, **changes: Any) -> int:
        """Have a child killed once it has said "done" so often, and some time later; its status."""
        plan = {**self.plan, "seed": seed, "version": self.ledger.version + 10, **changes}
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.memory_core.killed_store", json.dumps(plan)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        assert child.stdout is not None
        kills_itself = plan["kill_at"] or plan["lies_after"] >= 0
        data, kill_at = b"", None if acknowledgements or kills_itself else time.monotonic()
        waits_until = time.monotonic() + 60
        try:
            while child.poll() is None:
                until = waits_until if kill_at is None else kill_at
                if time.monotonic() >= until:
                    break
                ready, _, _ = select.select([child.stdout], [], [], until - time.monotonic())
                some = os.read(child.stdout.fileno(), 1 << 20) if ready else b""
                data += some
                if ready and not some:  # it has ended, or soon will have
                    child.wait(timeout=30)
                elif kill_at is None and 0 < acknowledgements <= data.count(b'["done"'):
                    kill_at = time.monotonic() + more_s
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            rest, complaints = child.communicate()
        self.said = [json.loads(line) for line in (data + rest).split(b"\n")[:-1]]
        assert child.returncode in (-signal.SIGKILL, 0), complaints.decode()
        assert data.count(b'["done"') >= acknowledgements
        for note in self.said:
            self.ledger.take([note])
            if note[0] == "backup":
                self.backups[note[1]] = self.ledger.moment
        return child.returncode

    def require_kept(self, seed: int) -> None:
        """Fail unless all promises were kept; what is in doubt is then as it was found."""
        found = verify(self.folder)
        assert found.is_clean, (seed, [str(problem) for problem in found.problems])
        wrong, versions = audit(self.folder, self.settings, self.ledger, seed=seed)
        assert not wrong, (seed, len(wrong), wrong[:5])
        assert found.memories == len(versions)
        self.ledger.settle(versions)
        found = verify(self.folder)
        assert found.is_clean, (seed, [str(problem) for problem in found.problems])


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_a_kill_amid_demotions_flushes_and_compactions_loses_nothing(
    tmp_path: Path, durability: str
):
    """Memories on their way through small tiers are there once, whatever was under way."""
    killed = Killed(tmp_path / "db", settings={**SMALL, "durability": durability})
    chance = random.Random()
    for _ in range(rounds(3)):
        seed = chance.randrange(2**32)
        killed.run(seed, chance.choice([1, 10, 100, 400]), chance.random() / 50)
        killed.require_kept(seed)
    assert killed.ledger.acknowledged > 3


def test_a_kill_amid_demotions_that_queue_loses_nothing(tmp_path: Path):
    """What is noted to move down, and forgotten by the kill, is still there once and moves on."""
    killed = Killed(
        tmp_path / "db", settings=LARGE, agents="a", batch=[100, 400], ids=13_000, deletes=0.02,
        clears=0.0, moves=0.02,
    )  # fmt: skip
    chance = random.Random()
    for wanted in [60, 10, *[20] * (rounds(1) - 1)]:
        seed = chance.randrange(2**32)
        killed.run(seed, wanted, chance.random() / 10)
        killed.require_kept(seed)
    with MemoryStore(MemoryConfig(path=killed.folder, **LARGE)) as store:
        agents = [store._tables.counts(agent) for agent in sorted(killed.ledger.agents)]
    assert any(counts.im + counts.ltm > 1_000 for counts in agents)


def test_a_kill_amid_a_transition_in_parts_loses_nothing(tmp_path: Path):
    """A forced transition of thousands, beside stores, leaves each memory in one tier."""
    settings = {**SMALL, "stm_capacity": 50_000, "im_capacity": 50_000, "exact_below": 500}
    killed = Killed(
        tmp_path / "db", settings=settings, batch=[50, 200], ids=3_000, moves=0.5, clears=0.0
    )
    chance = random.Random()
    for _ in range(rounds(2)):
        seed = chance.randrange(2**32)
        killed.run(seed, chance.choice([10, 30, 60]), chance.random() / 10)
        killed.require_kept(seed)


def test_a_kill_amid_snapshots_of_indexes_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Snapshots that are older or newer than the database, or half written, answer nothing wrong.

    Killed at each step that a snapshot takes, and at any other moment.
    """
    monkeypatch.setattr(snapshots, "_LEAST_MEMORIES", 30)
    killed = Killed(
        tmp_path / "db", settings=SMALL, patches=SNAPSHOTS, ids=120, agents="ab", deletes=0.2
    )
    chance = random.Random()
    steps = [*range(1, 9), *[0] * 3]
    left = 0
    for step in chance.sample(steps, 4) if rounds(1) == 1 else steps * rounds(1):
        seed = chance.randrange(2**32)
        killed.run(seed, 0 if step else 150, chance.random() / 50, kill_at=step)
        left += any((killed.folder / "indexes").glob("*.new"))
        assert any(note[0] == "done" for note in killed.said)
        killed.require_kept(seed)
    assert any((killed.folder / "indexes").iterdir())


def test_a_killed_backup_is_whole_or_has_no_name(tmp_path: Path):
    """Every backup that has its name has all that was acknowledged before it was begun."""
    (tmp_path / "backups").mkdir()
    killed = Killed(tmp_path / "db", settings=SMALL, backups=str(tmp_path / "backups"))
    chance = random.Random()
    steps = [0, *range(1, 60, 5)]
    for step in chance.sample(steps, 3) if rounds(1) == 1 else steps * rounds(1):
        seed = chance.randrange(2**32)
        killed.run(seed, 0 if step else 60, chance.random() / 20, kill_at=step)
        named = {int(path.name) for path in (tmp_path / "backups").iterdir() if path.name.isdigit()}
        assert named >= {note[1] for note in killed.said if note[0] == "backed up"}
        for number in sorted(named & set(killed.backups))[-3:]:
            folder = tmp_path / "backups" / str(number)
            assert verify(folder).is_clean
            wrong, _ = audit(folder, SMALL, killed.ledger, moment=killed.backups[number])
            assert not wrong, (seed, number, wrong[:5])
        killed.backups.clear()  # the ledger forgets what was before
        killed.require_kept(seed)


def remove(folder: Path) -> None:
    """Remove a folder, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


def test_a_killed_repair_has_all_in_one_place_or_the_other(tmp_path: Path):
    """Killed at any step, a repair leaves a database that is whole, old or new, and can go on."""
    folder, aside = tmp_path / "db", tmp_path / "db.damaged"
    killed = Killed(folder, settings=SMALL)
    chance = random.Random()
    killed.run(chance.randrange(2**32), 100)
    ended, count, step = False, 0, 1
    while not ended:
        seed = chance.randrange(2**32)
        ended = killed.run(seed, repairs=str(folder), kill_at=step) == 0
        count += 1
        if not folder.exists():
            aside.rename(folder)
        elif aside.exists():
            wrong, _ = audit(aside, SMALL, killed.ledger, seed=seed)
            assert not wrong, (seed, step, wrong[:5])
            remove(aside)
        killed.require_kept(seed)
        step += chance.randint(1, 12) if rounds(1) == 1 else 1
    assert count > 2


def test_between_the_two_names_of_a_repair_nothing_is_made_anew(tmp_path: Path):
    """Killed when the damaged folder has gone aside, no empty store takes its place unnoticed."""
    folder, aside = tmp_path / "db", tmp_path / "db.damaged"
    killed = Killed(folder, settings=SMALL)
    killed.run(5, 30)
    killed.run(5, repairs=str(folder), kill_at=2, kill_on=["os.rename"])
    assert not folder.exists()
    with pytest.raises(CorruptionError, match=r"db\.damaged"):
        MemoryStore(MemoryConfig(path=folder, **SMALL))
    with pytest.raises(BadInputError, match=r"db\.damaged"):
        repair(folder)
    assert not folder.exists()
    [made] = tmp_path.glob("db.partial-*/database")
    for whole in (made, aside):
        wrong, _ = audit(whole, SMALL, killed.ledger)
        assert not wrong, wrong[:5]
    aside.rename(folder)
    killed.require_kept(5)


@pytest.mark.parametrize("settings", [SMALL, LARGE], ids=["small", "large"])
def test_the_audit_notices_an_acknowledgement_that_came_too_early(
    tmp_path: Path, settings: dict[str, Any]
):
    """A store that answered before it had stored would be caught: the audit is no formality."""
    killed = Killed(tmp_path / "db", settings=settings, workers=1, moves=0.0, clears=0.0)
    killed.run(1, 40)
    killed.require_kept(1)
    killed.run(2, lies_after=killed.ledger.version + 60)
    [*_, asked, done] = killed.said
    assert (asked[0], done[0]) == ("ask", "done")
    wrong, _ = audit(killed.folder, settings, killed.ledger)
    lied = {(one[1], one[2]) for one in asked[2] if one[0] == "store"}
    assert lied
    assert {key for key in lied if any(str(key) in one for one in wrong)} == lied
