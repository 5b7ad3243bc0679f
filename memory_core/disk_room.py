"""Whether the disk of a folder has ample room, looked at a few times a second at most."""

from __future__ import annotations

import math
import os
import time

__all__ = ["DiskRoom"]

_LOOK_S = 0.05


class DiskRoom:
    """Room on the disk of a folder. Threads may share it: at worst one looks once more.

    Args:
        path: the folder; it has to be there when it is asked.
        ample_bytes: free bytes from which there is ample room.
    """

    def __init__(self, path: str, ample_bytes: int) -> None:
        self._path = path
        self._ample_bytes = ample_bytes
        self._free_bytes = math.inf
        self._looked_s = float("-inf")

    def is_ample(self) -> bool:
        """Whether there was ample room when it was last looked at, 50 ms ago or less."""
        return self.is_there(self._ample_bytes)

    def is_there(self, size_bytes: int) -> bool:
        """Whether there was room for so much, likewise."""
        self._look()
        return self._free_bytes >= size_bytes

    def _look(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        try:
            found = os.statvfs(self._path)
        except OSError:  # a folder that is gone is told of by who writes to it
            self._free_bytes = math.inf
        else:
            self._free_bytes = found.f_bavail * found.f_frsize
