"""`harness store` says in a table and in sentences what is whole, and exits by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memory_core import MemoryConfig, MemoryStore, Store
from tests.conftest import Outcome


@pytest.fixture
def command(harness_here: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Runs `harness store` in this process: exit code, standard output, standard error."""
    return partial(harness_here, "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed database of two agents with 40 memories in two tiers."""
    path = tmp_path / "db"
    with MemoryStore(MemoryConfig(path=path, dimension=8, stm_capacity=15)) as store:
        for agent in ("a", "b"):
            store.execute([Store.of(agent, f"s{n}", {"n": n, "t": str(n) * 99}) for n in range(20)])
    return path


def damage(folder: Path) -> Path:
    file = max(folder.glob("*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 4] ^= 1
    file.write_bytes(data)
    return file


def test_a_whole_database_exits_0(command: Callable[..., Outcome], folder: Path):
    """What is whole is counted in a table and called whole."""
    code, out, err = command("verify", folder)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"{folder} is whole."
    assert "all           40" in out


def test_damage_exits_1_and_is_named(command: Callable[..., Outcome], folder: Path):
    """A damaged file is named, and the remedy with it."""
    file = damage(folder)
    code, out, err = command("verify", folder)
    assert (code, err) == (1, "")
    assert f"damaged: {file}: " in out
    assert "harness store repair" in out.splitlines()[-1]


def test_a_repaired_database_is_whole(command: Callable[..., Outcome], folder: Path):
    """Repair puts a whole database in the damaged one's place and says what was lost."""
    damage(folder)
    _, told, _ = command("verify", folder, "--json")
    code, out, _ = command("repair", folder)
    assert code == 0
    assert "lost: " in out
    assert f"{folder}.damaged" in out.splitlines()[-1]
    code, after, _ = command("verify", folder, "--json")
    assert code == 0
    assert json.loads(after)["memories"] == json.loads(told)["memories"] > 0


@pytest.mark.parametrize("what", ["verify", "stats"])
def test_json_is_all_there_is(command: Callable[..., Outcome], folder: Path, what: str):
    """With --json the output is one object with counts by tier."""
    code, out, err = command(what, folder, "--json")
    found: dict[str, Any] = json.loads(out)
    assert (code, err) == (0, "")
    assert found["clean"] is True
    assert sum(tier["memories"] for tier in found["tiers"].values()) == 40
    assert found["agents"] == 2


def test_repair_in_json_names_both_folders(
    command: Callable[..., Outcome], folder: Path, tmp_path: Path
):
    """With --to the damaged folder stays where it is."""
    code, out, _ = command("repair", folder, "--to", tmp_path / "new", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["path"], found["damaged"]) == (str(tmp_path / "new"), str(folder))
    assert (found["memories"], found["lost"]) == (40, [])


def test_statistics_are_tables(command: Callable[..., Outcome], folder: Path):
    """Memories by tier, files and levels each have their lines."""
    code, out, _ = command("stats", folder)
    assert code == 0
    for word in ("tier", "stm", "im", "ltm", "files", "sst", "log", "level"):
        assert any(line.split()[:1] == [word] for line in out.splitlines())


@pytest.mark.parametrize("what", ["verify", "repair", "stats"])
def test_wrong_usage_is_one_sentence(
    command: Callable[..., Outcome], folder: Path, tmp_path: Path, what: str
):
    """No folder, no database and an open one exit 2 with one line that says so."""
    (tmp_path / "other").mkdir()
    for path, problem in ((tmp_path / "missing", "no folder"), (tmp_path / "other", "not a data")):
        code, out, err = command(what, path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("harness: DIR: ")
        assert problem in err
    with MemoryStore(MemoryConfig(path=folder, dimension=8)):
        code, out, err = command(what, folder)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "close it first" in err


def test_a_target_that_is_taken_is_refused(command: Callable[..., Outcome], folder: Path):
    """Repair overwrites nothing, and names the option."""
    code, _, err = command("repair", folder, "--to", folder.parent)
    assert code == 2
    assert err.startswith("harness: --to: ")


@pytest.mark.parametrize("what", ["verify", "repair", "stats"])
def test_another_format_is_one_sentence(
    command: Callable[..., Outcome], folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    """A database of another release is neither read nor called damaged."""
    monkeypatch.setattr("memory_core.inspection.FORMAT_VERSION", 3)
    code, out, err = command(what, folder)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert f"{folder}: was made with format 2, and this is format 3" in err
    assert "damaged" not in err


def test_options_of_a_new_memory_are_refused_of_an_old_one(command: Callable[..., Outcome]):
    """What a memory was made with is not changed by starting it."""
    for option, value in [("--shards", 2), ("--dimension", 8), ("--memory-limit", 10**9)]:
        code, out, err = command("start", "m", option, value)
        assert (code, out) == (2, "")
        assert err == f"harness: {option}: is of a memory that is made; add --new, or leave it\n"


def test_a_memory_on_a_cluster_needs_a_cluster(
    command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
):
    """Without an address nothing is started on this machine."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for words in [("start", "m", "--new"), ("stop", "m"), ("show", "m")]:
        code, out, err = command(*words)
        assert (code, out) == (2, "")
        assert "--address: is missing; name the cluster" in err
