"""Whether the disk of a folder has ample room, looked at a few times a second at most."""

from __future__ import annotations

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
        self._is_ample = True
        self._looked_s = float("-inf")

    def is_ample(self) -> bool:
        """Whether there was ample room when it was last looked at, 50 ms ago or less."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            try:
                found = os.statvfs(self._path)
            except OSError:  # a folder that is gone is told of by who writes to it
                return True
            self._is_ample = found.f_bavail * found.f_frsize >= self._ample_bytes
        return self._is_ample
