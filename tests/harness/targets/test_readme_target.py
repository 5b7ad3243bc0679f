"""The target that README.md shows works as it stands there."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from pathlib import Path

import pytest

from memory_core.results import Hits, Missing, Record
from tests.harness.driving import command, short_folder
from tests.harness.targets.sessions import opened, retrieve, search, store, submitted

ROOT = Path(__file__).resolve().parents[3]
SPEC = "my_target:SQLiteTarget"


def readme_target() -> str:
    """The code of README.md that is a target."""
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    [code] = [block.partition("```")[0] for block in blocks if "class SQLiteTarget" in block]
    return code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``my_target.py``, on the path."""
    (tmp_path / "my_target.py").write_text(readme_target(), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_target", raising=False)
    return tmp_path


def test_it_is_as_short_as_it_says() -> None:
    """It has about forty lines of code."""
    lines = [line for line in readme_target().splitlines() if line.strip()]
    assert len(lines) <= 42


def test_it_keeps_finds_and_comes_back(folder: Path) -> None:
    """What was stored is retrieved and found, by whoever opens the files again, too."""

    async def live() -> None:
        async with opened(SPEC, folder / "data") as session:
            await submitted(session, *(store("a", f"s{at}", health=at / 10) for at in range(9)))
        async with opened(SPEC, folder / "data") as session:
            read, missing, found, none = await submitted(
                session,
                retrieve("a", "s3"),
                retrieve("b", "s3"),
                search("a", k=4, health=0.3),
                search("b", k=4, health=0.3),
            )
            assert isinstance(read, Record)
            assert read.state == {"health": 0.3}
            assert isinstance(missing, Missing)
            assert isinstance(found, Hits)
            scores = [hit.score for hit in found.hits]
            assert found.hits[0].state_id == "s3"
            assert scores[0] == pytest.approx(1.0, abs=1e-5)
            assert scores == sorted(scores, reverse=True)
            assert len(scores) == 4
            assert none == Hits([])

    asyncio.run(live())


@pytest.mark.slow
@pytest.mark.cluster
def test_a_run_drives_it_and_tells_of_it(folder: Path) -> None:
    """`harness run` drives it in two cohorts, loads it before, and the report says what it was."""
    with short_folder() as temp:
        done = command(
            *("run", "--target", SPEC, "--agents", 4, "--agents-per-task", 2, "--rounds", 2),
            *("--preload", 20, "--out", folder / "out"),
            temp=temp,
            PYTHONPATH=f"{folder}:{ROOT}",
        )
    assert done.returncode == 0, done.stderr
    assert f"{SPEC} SQLite {sqlite3.sqlite_version}, fsync" in done.stdout
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert (summary["operations"], summary["failed"]) == (144, 0)
    run = json.loads((folder / "out" / "run.json").read_text())
    assert run["topology"]["target"] == {
        "name": SPEC,
        "version": f"SQLite {sqlite3.sqlite_version}",
        "durability": "Each transaction is synced (WAL, synchronous=FULL).",
        "settings": {},
        "capabilities": ["durable"],
        "in_process": True,
        "stores": "one a cohort",
        "holds": "unknown",
        "calls_at_once": 1,
    }
    assert not (folder / "out" / "data").exists()
