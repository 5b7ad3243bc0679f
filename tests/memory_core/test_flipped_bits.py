"""One bit is flipped in any file of a database: all answers are right, or the file is named.

The database has memories in every tier, an approximate index and snapshots; one was closed, one
was killed. `test_damage` has other damage, and the places where a bit is hardest to notice.
"""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from memory_core import DatabaseError, MemoryConfig, MemoryStore, snapshots
from tests.memory_core.promises import Ledger, audit, operation_of, rounds

pytestmark = [pytest.mark.fault, pytest.mark.slow]

SETTINGS: dict[str, Any] = {
    "dimension": 16,
    "stm_capacity": 60,
    "im_capacity": 100,
    "exact_below": 64,
    "block_cache_bytes": 64 * 1024,
}
FILES = {
    "tables": r"\d+\.sst",
    "logs": r"\d+\.log",
    "MANIFEST": r"MANIFEST-\d+",
    "CURRENT": "CURRENT",
    "OPTIONS": r"OPTIONS-\d+",
    "IDENTITY": "IDENTITY",
    "configuration": r"rocksdict-config\.json",
    "snapshots": r"indexes/.*\.snapshot",
}


class Database:
    """A database and what was promised of it; copies of it to damage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger()

    def fill(self, store: MemoryStore, count: int) -> None:
        chance = random.Random(count)
        for _ in range(count // 20):
            batch: list[list[Any]] = []
            for agent in chance.choices("ab", k=20):
                state_id = f"s{chance.randrange(2 * count)}"
                batch.append(["store", agent, state_id, self.ledger.version + len(batch) + 1])
            batch.append(["delete", "a", batch[0][2]])
            self.ledger.take([["ask", 0, batch]])
            store.execute([operation_of(note) for note in batch])
            self.ledger.take([["done", 0]])

    def files(self, pattern: str) -> list[Path]:
        """Those that hold something, relative to the folder."""
        paths = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        names = [path.relative_to(self.folder) for path in paths if path.stat().st_size]
        return [name for name in names if re.fullmatch(pattern, str(name))]

    def verdict(self, copy: Path, file: Path, place: int, bit: int) -> str:
        """What a copy with a bit flipped says: "right", "named", or what is wrong with it."""
        shutil.copytree(self.folder, copy)
        data = bytearray((copy / file).read_bytes())
        data[place] ^= 1 << bit
        (copy / file).write_bytes(data)
        try:
            wrong, _ = audit(copy, SETTINGS, self.ledger, seed=place)
        except DatabaseError as error:
            named = file.name in str(error) or "properties unsorted" in str(error)
            # a CURRENT that names no MANIFEST, or another
            named |= file.name == "CURRENT" and "MANIFEST" in str(error)
            return "named" if named else f"{type(error).__name__}: {error}"
        finally:
            shutil.rmtree(copy)
        return f"wrong: {wrong[:3]}" if wrong else "right"


@pytest.fixture(scope="module", params=["closed", "killed"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Made once; only its copies are damaged."""
    base = tmp_path_factory.mktemp("whole")
    made = Database(base / "db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "_LEAST_MEMORIES", 50)
        patch.setattr(snapshots, "_LEAST_CHANGES", 100)
        with MemoryStore(MemoryConfig(path=made.folder, **SETTINGS)) as store:
            made.fill(store, 800)
        if request.param == "killed":
            patch.setattr(snapshots, "_LEAST_CHANGES", 100_000)
            with MemoryStore(MemoryConfig(path=made.folder, **SETTINGS)) as store:
                made.fill(store, 200)
                # what a kill leaves is what is there while it is open
                shutil.copytree(made.folder, base / "killed")
            made.folder = base / "killed"
    wrong, versions = audit(shutil.copytree(made.folder, base / "whole"), SETTINGS, made.ledger)
    assert not wrong
    made.ledger.settle(versions)
    return made


@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_gives_right_answers_or_is_named(
    database: Database, tmp_path: Path, kind: str
):
    """Whichever file it is in, a flipped bit never gives a wrong answer."""
    files = database.files(FILES[kind])
    if not files:
        pytest.skip(f"this database has no {kind}")
    chance = random.Random()
    verdicts = []
    for number in range(rounds(8 if kind in ("tables", "logs", "MANIFEST") else 4)):
        file = chance.choice(files)
        size = (database.folder / file).stat().st_size
        place, bit = chance.randrange(size), chance.randrange(8)
        verdict = database.verdict(tmp_path / str(number), file, place, bit)
        assert verdict in ("right", "named"), (str(file), size, place, bit, verdict)
        verdicts.append(verdict)
    if kind in ("snapshots", "IDENTITY"):
        assert set(verdicts) == {"right"}
    if kind == "MANIFEST":
        assert "named" in verdicts
