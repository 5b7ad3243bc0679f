"""`harness store list` and `restore` say what backups there are, and make databases of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from memory_core.backup_place import BackupPlace
from memory_core.backup_repository import BackupRepository
from tests.conftest import Outcome
from tests.memory_core.backed_up import restored_contents, shards, some


@pytest.fixture
def command(harness_here: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Runs `harness store` in this process: exit code, standard output, standard error."""
    return partial(harness_here, "store")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two backups of a memory of two shards: after 5 and after 8 memories of each agent."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "place")), "m")
    with shards(tmp_path / "m", 2) as memory:
        memory.execute(some(0, 5))
        memory.back_up(repository)
        memory.execute(some(5, 3))
        memory.back_up(repository)
    return tmp_path / "place"


def test_backups_are_listed(command: Callable[..., Outcome], place: Path):
    """Each backup has a line with its id, its time, its shards and what it added."""
    code, out, err = command("list", place)
    assert (code, err) == (0, "")
    code, plain, _ = command("list", place, "--json", "--memory", "m")
    backups = json.loads(plain)["m"]["backups"]
    assert [one["shards"] for one in backups] == [2, 2]
    assert backups[1]["new_bytes"] < backups[1]["bytes"]
    assert all(one["backup"] in out for one in backups)
    assert command("list", place.parent / "nothing") == (0, "no backups\n", "")


def test_a_damaged_backup_is_listed_and_exits_1(command: Callable[..., Outcome], place: Path):
    """A manifest that cannot be read is named; the others are listed all the same."""
    manifest = sorted(place.rglob("manifest.json"))[0]
    manifest.write_bytes(b"{")
    code, out, _ = command("list", place)
    assert code == 1
    assert f"damaged: {manifest}: is damaged" in out
    assert out.count("UTC") == 1


@pytest.mark.parametrize("count", [None, 3])
def test_the_newest_backup_is_restored(
    command: Callable[..., Outcome], place: Path, tmp_path: Path, count: int | None
):
    """Without an id it is the newest; with one that; a number of shards may be asked for."""
    more = () if count is None else ("--shards", count)
    code, out, err = command("restore", place, "m", "--to", tmp_path / "out", *more)
    assert (code, err) == (0, "")
    assert f"has the {count or 2} shards of m from backup" in out
    found = restored_contents(tmp_path / "out" / f"shard-{n}" for n in range(count or 2))
    assert {len(memories) for memories in found.values()} == {8}
    first = json.loads(command("list", place, "--json")[1])["m"]["backups"][0]["backup"]
    code, out, _ = command(
        "restore", place, "m", "--to", tmp_path / "old", "--backup", first, *more, "--json"
    )
    assert code == 0
    found = restored_contents(json.loads(out)["folders"])
    assert {len(memories) for memories in found.values()} == {5}


def test_wrong_usage_is_one_sentence(
    command: Callable[..., Outcome], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What cannot be is refused with the option and the remedy, and exits 2."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    new = ("--to", tmp_path / "new")
    for arguments, said in [
        (("restore", place, "other", *new), "NAME: there are no backups in"),
        (("restore", place, "other", *new), "; there are some of m"),
        (("restore", place, "../m", *new), "NAME: must be 1 to 200 letters"),
        (("restore", place, "m", "--to", tmp_path / "full"), "--to: "),
        (("restore", place, "m", *new, "--shards", "0"), "--shards: must be from 1 to 10,000"),
        (("restore", place, "m", *new, "--backup", "x"), "--backup: 'x' is no backup's id"),
        (
            ("restore", place, "m", *new, "--backup", "20200101T000000.000000Z-00000000"),
            "--backup: there is no backup 2020",
        ),
        (("restore", "nope://x", "m", *new), "URI: nope://x cannot be used"),
        (("list", "s3://a:b@c/d"), "URI: must not hold a secret"),
        (("restore", place, "m"), "--to: is missing; name a folder, or a cluster by --address"),
        (("restore", place, "m", *new, "--as", "n"), "--to: makes folders without a cluster"),
        (("backup", "m", place), "--address: is missing; name the cluster"),
        (("backup", "m", place, "--interval", "soon"), "--interval: 'soon' is no time above 0"),
        (("backup", "m", place, "--interval", "-5s"), "--interval: '-5s' is no time above 0"),
        (("backup", "m", place, "--rate", "0"), "--rate: must be above 0"),
        (("backup", "m", place, "--address", "127.0.0.1:1"), "--address: no Ray cluster answers"),
        (("list", place, "--memory", "a/b"), "--memory: must be 1 to 200"),
    ]:
        code, out, err = command(*arguments)
        assert (code, out) == (2, ""), err
        assert said in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_damaged_file_exits_1_and_is_named(
    command: Callable[..., Outcome], place: Path, tmp_path: Path
):
    """A file of the backup with a flipped bit is named, and nothing is restored."""
    file = max(place.rglob("tables/*"), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[7] ^= 1
    file.write_bytes(data)
    code, out, err = command("restore", place, "m", "--to", tmp_path / "out")
    assert (code, out) == (1, "")
    assert str(file) in err
    assert "checksum is wrong" in err
    assert not (tmp_path / "out").exists()
