"""The file system's word that there is no room, wherever it is given."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from memory_core import AgentMemorySystem, MemoryConfig, StorageFullError, rocks_tools
from memory_core.file_system import has_no_room
from memory_core.new_folder import new_folder
from memory_core.rocks_tools import View


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_so_wherever_it_is_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
):
    """A new folder, an export and a view tell no room, or no quota, from every other error."""

    def refuse(*_: Any) -> None:
        raise OSError(code, "full")

    with pytest.raises(StorageFullError), new_folder(str(tmp_path / "new")):
        refuse()
    with AgentMemorySystem(MemoryConfig(path=tmp_path / "db", dimension=8)) as memory:
        monkeypatch.setattr("memory_core.exchange.os.fsync", refuse)
        with pytest.raises(StorageFullError):
            memory.export_memories(path=tmp_path / "x.parquet")
        monkeypatch.undo()
    monkeypatch.setattr(rocks_tools, "_lay_out", refuse)
    with pytest.raises(StorageFullError):
        View(str(tmp_path / "db"))
    assert [one.name for one in tmp_path.iterdir()] == ["db"]


def test_other_errors_are_none_of_a_full_disk():
    """A disk that fails, or may not be written, is not taken for a full one."""
    assert not any(has_no_room(OSError(code, "no")) for code in (errno.EIO, errno.EACCES))
    assert not has_no_room(OSError("no number"))
