"""A database of somebody else, whose files this user may read and not write, or not even read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_core import MemoryConfig, MemoryStore, Store, Transition

SKIPS = 77
# Becomes another user where it is root, once it has imported what that user may not reach.
CALLS = """
import json, os, sys
from memory_core import MemoryConfig, MemoryCoreError, MemoryStore, restore, verify
from memory_core.inspection import stats

try:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    os.listdir(sys.argv[1])
except OSError as error:
    sys.exit(print(error) or 77)

def restored(path):
    restore(path, sys.argv[2])
    MemoryStore(MemoryConfig(path=sys.argv[2], dimension=8)).close()
    return verify(sys.argv[2])

def opened(path):
    MemoryStore(MemoryConfig(path=path, dimension=8)).close()
    return verify(path)

found = {}
for call in (verify, stats, opened, restored):
    try:
        result = call(sys.argv[1])
        found[call.__name__] = sum(tier.memories for tier in result.tiers.values())
    except MemoryCoreError as error:
        found[call.__name__] = f"{type(error).__name__} {error}"
print(json.dumps(found))
"""


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder of 100 memories that may be read and not written."""
    with tempfile.TemporaryDirectory(prefix="theirs-") as around:
        Path(around).chmod(0o755)
        folder = Path(around) / "db"
        with MemoryStore(MemoryConfig(path=folder, dimension=8)) as store:
            store.execute([Store("a", f"s{number}", b"\x80") for number in range(100)])
            store.execute([Transition("im", 50.0)])
            store.execute([Transition("ltm", 50.0)])
        # opened once more, so that its tables are on the disk beside an empty log
        MemoryStore(MemoryConfig(path=folder, dimension=8)).close()
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def called(folder: Path) -> dict[str, Any]:
    """What the calls gave to a user who is not root, and not the owner if root is."""
    with tempfile.TemporaryDirectory(prefix="ours-") as around:
        Path(around).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", CALLS, folder, Path(around) / "copy"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "TMPDIR": around},
        )
    if done.returncode == SKIPS:
        pytest.skip(f"this is root, and cannot become another user here: {done.stdout}")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_read_only_folder_is_verified_measured_and_copied_but_not_opened(theirs: Path):
    """Whoever may read a database can look at all of it; a store says what it lacks, and where."""
    before = {file.name: file.read_bytes() for file in theirs.iterdir()}
    found = called(theirs)
    assert {name: found[name] for name in ("verify", "stats", "restored")} == {
        "verify": 100,
        "stats": 100,
        "restored": 100,
    }
    assert found["opened"].startswith(f"DatabaseError {theirs}: is read-only to this user")
    assert {file.name: file.read_bytes() for file in theirs.iterdir()} == before


@pytest.mark.parametrize("pattern", ["LOCK", "rocksdict-config.json"])
def test_a_file_that_may_not_be_written_is_named_before_a_store_writes_any(
    theirs: Path, pattern: str
):
    """In a folder that may be written, a file that may not be keeps a store from opening it."""
    [kept] = theirs.glob(pattern)
    theirs.chmod(0o777)
    for file in theirs.iterdir():
        if file != kept:
            file.chmod(0o666)
    before = {file.name: file.read_bytes() for file in theirs.iterdir()}
    assert called(theirs)["opened"].startswith(f"DatabaseError {kept}: is read-only to this user")
    assert {file.name: file.read_bytes() for file in theirs.iterdir()} == before


@pytest.mark.parametrize("pattern", ["*.sst", "*.log", "MANIFEST-*", "CURRENT", "LOCK"])
def test_a_file_that_may_not_be_read_is_named_and_is_no_damage(theirs: Path, pattern: str):
    """What a user may not read is an error of the database with the file's name."""
    file = sorted(theirs.glob(pattern))[-1]
    theirs.chmod(0o777)
    file.chmod(0)
    found = called(theirs)
    file.chmod(0o444)
    for call in ("verify", "stats", "restored"):
        assert found[call].startswith("DatabaseError ")
        assert str(file) in found[call]
        assert "ermission denied" in found[call]
    assert found["opened"].startswith("DatabaseError ")
