"""Whether a disk has ample room is looked at seldom, and a folder that is gone is no error."""

from pathlib import Path

import pytest

from memory_core import disk_room
from memory_core.disk_room import DiskRoom


def test_a_disk_is_ample_by_its_free_bytes(tmp_path: Path):
    """With a bound of nothing it has room, with one that no disk reaches it has none."""
    assert DiskRoom(str(tmp_path), 0).is_ample()
    assert not DiskRoom(str(tmp_path), 2**62).is_ample()
    assert DiskRoom(str(tmp_path / "none"), 2**62).is_ample()
    assert DiskRoom(str(tmp_path), 2**62).is_there(0)
    assert not DiskRoom(str(tmp_path), 0).is_there(2**62)


def test_a_disk_is_looked_at_a_few_times_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Between two looks the answer is that of the first."""
    looks: list[str] = []
    now_s = [100.0]

    def look(path: str) -> object:
        looks.append(path)
        return type("Found", (), {"f_bavail": 10, "f_frsize": 100})

    monkeypatch.setattr(disk_room.os, "statvfs", look)
    monkeypatch.setattr(disk_room.time, "monotonic", lambda: now_s[0])
    room = DiskRoom(str(tmp_path), 1_001)
    assert [room.is_ample() for _ in range(5)] == [False] * 5
    assert len(looks) == 1
    now_s[0] += 0.06
    assert not room.is_ample()
    assert len(looks) == 2
