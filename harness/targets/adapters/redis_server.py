"""Starting a Redis server for the adapter ``redis``, in a folder of its own.

It listens at a Unix socket only, which nobody but its user can reach, reads no configuration file
and takes no snapshots: what it keeps is its append-only file (redis.io, "Redis persistence").

How often that is synced follows the durability asked for. For ``fsync`` it is ``appendfsync
always``: the file is written and synced before any of the answers of a turn of the event loop are
sent. For ``os`` it is ``appendfsync no``: written before the answers, and left to the operating
system. It is not the default, ``everysec``, which holds writes back for up to two seconds while a
sync is under way (``flushAppendOnlyFile`` in Redis's aof.c): what was acknowledged meanwhile would
be lost with the process.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

from harness.errors import RunFailedError, UsageError
from harness.targets.adapters.redis_connection import connected
from harness.targets.guarded_process import GuardedProcess

__all__ = ["APPENDFSYNC", "START_TIMEOUT_S", "RedisServer"]

APPENDFSYNC = {"fsync": "always", "os": "no"}
START_TIMEOUT_S = 120.0  # to read an append-only file again, too
_POLL_INTERVAL_S = 0.02
_LONGEST_SOCKET_BYTES = 100  # a socket's path has room for 103 to 107, by system
_LOG_TAIL_LINES = 3


class RedisServer:
    """A Redis server of our own.

    Args:
        program: ``redis-server``, or its path.
        folder: for its files. What a server that was killed left there is gone on with.
        durability: as `Setup.durability`.

    Attributes:
        socket: the path at which it listens.
        pid: its process.

    Raises:
        UsageError: there is no such program.
        RunFailedError: it did not start.
    """

    def __init__(self, program: str, folder: Path, durability: str) -> None:
        found = shutil.which(program)
        if found is None:
            raise UsageError(
                "--target",
                f"redis: there is no program {program!r} on this machine; install Debian's "
                "redis-server, or name a server that runs: redis:url=redis://HOST:6379",
            )
        self._log = folder / "redis.log"
        self._socket_folder: Path | None = None
        self.socket = self._socket_path(folder)
        command = [found, *_arguments(self.socket, folder, durability)]
        try:
            self._process = GuardedProcess(command, folder=folder, log=self._log)
        except OSError as error:
            self._remove_socket_folder()
            raise RunFailedError(f"{program} cannot be started: {error}") from None
        self.pid = self._process.pid

    def _socket_path(self, folder: Path) -> Path:
        """Beside the files, or where its path is short enough for a socket."""
        socket = folder.resolve() / "redis.sock"
        if len(bytes(socket)) <= _LONGEST_SOCKET_BYTES:
            return socket
        self._socket_folder = Path(tempfile.mkdtemp(prefix="redis-"))
        return self._socket_folder / "redis.sock"

    def wait_until_it_serves(self) -> None:
        """Return when it answers.

        Raises:
            RunFailedError: it ended, or did not answer in time; the text has the end of its log.
        """
        import redis

        deadline = time.monotonic() + START_TIMEOUT_S
        with connected({"socket": str(self.socket)}, START_TIMEOUT_S) as client:
            while self._process.running and time.monotonic() < deadline:
                with contextlib.suppress(redis.ConnectionError):  # while it loads, too
                    client.ping()
                    return
                time.sleep(_POLL_INTERVAL_S)
        how = "ended" if not self._process.running else f"did not answer in {START_TIMEOUT_S:.0f} s"
        raise RunFailedError(f"redis-server {how}: {self._log_tail()}")

    def _log_tail(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        return " / ".join(line.strip() for line in lines[-_LOG_TAIL_LINES:]) or "it said nothing"

    def stop(self) -> None:
        """End it and wait until it is gone. Safe to call twice."""
        self._process.stop()
        self._remove_socket_folder()

    def _remove_socket_folder(self) -> None:
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)


def _arguments(socket: Path, folder: Path, durability: str) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "appendfsync": APPENDFSYNC[durability],
        "databases": "1",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]
