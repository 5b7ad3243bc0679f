"""Ray for the length of a run: one of our own on this machine, or a cluster that is there.

Our own has a temporary folder of its own, is connected to by nobody else, and ends with the
session, whichever way that ends. Everything of Ray's that would speak to the terminal is kept
quiet: what matters is said by us.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import guard
from harness.errors import RunFailedError, UsageError
from harness.placement import AGENT_NODE, MEMORY_NODE, Node

__all__ = [
    "LEFT_HANGING",
    "LOCAL",
    "RaySession",
    "alive_nodes",
    "check_address",
    "has_token",
    "ray_session",
    "resolved_address",
    "set_environment",
    "speaks_grpc",
]

LOCAL = "local"
LEFT_HANGING = threading.Event()
"""Set when Ray was left hanging: the process is then to end without waiting for what Ray does."""

_CONNECT_TIMEOUT_S = 5.0
_SHUTDOWN_TIMEOUT_S = 3.0
_FOLDER_PREFIX = "harness-ray-"
_GUARD_TIMEOUT_S = 10.0
# The name of a Unix socket is this long at most, and Ray's take this much of it:
# /harness-ray-1234567-xxxxxxxx/session_2026-01-31_12-59-59_123456_1234567/sockets/plasma_store
_LONGEST_TEMP_ROOT = (103 if sys.platform == "darwin" else 107) - 29 - 43 - 21
_OBJECT_STORE_BYTES = 256 * 1024 * 1024
# Batches are answered in one message up to this size; larger ones go through shared memory,
# which costs Ray two to three times the CPU (see harness/DESIGN.md).
_INLINE_BYTES = 4 * 1024 * 1024

_QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_event_stats": "0",
    "RAY_DEDUP_LOGS": "0",
    # Where prometheus-client is installed, Ray's autoscaler would serve metrics of its own to
    # whoever reaches this machine: it cannot on no port, and says so in its log alone.
    "AUTOSCALER_METRIC_PORT": "-1",
    # one thread each: a second one that waits for a busy core costs more than it brings
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, kw_only=True)
class RaySession:
    """A connection to Ray.

    Attributes:
        node_id: of the node on which this process runs.
        owned: whether the Ray is ours.
        nodes: alive when it was connected.
        head_address: of the head's server (GCS).
        head_lost: set by who finds that the head is gone: then nothing of Ray's is waited for.
    """

    node_id: str
    owned: bool
    nodes: list[Node]
    head_address: str = ""
    head_lost: threading.Event = field(default_factory=threading.Event)

    @property
    def cpus(self) -> int:
        """Cores of all nodes together, at least one."""
        return max(1, int(sum(node.cpus for node in self.nodes)))

    def refreshed(self) -> RaySession:
        """The same connection with the nodes that are alive now."""
        return self if self.owned else replace(self, nodes=alive_nodes())


def set_environment(address: str) -> None:
    """Set what Ray takes from the environment, unless it is set; before Ray is first imported.

    A machine's token is presented to a cluster: one that asks for none takes it for nothing,
    and one that does turns away who does not say that it has one.
    """
    settings = dict(_QUIET)
    if address != LOCAL and has_token():
        settings["RAY_AUTH_MODE"] = "token"
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def has_token() -> bool:
    """Whether this machine has a token to present to a cluster."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return True
    return os.path.isfile(os.path.expanduser("~/.ray/auth_token"))  # noqa: PTH111, PTH113


def check_address(address: str) -> None:
    """Refuse an address where nobody listens, before anything is started.

    Raises:
        UsageError: the address is malformed, or nothing answers there.
    """
    if address == LOCAL:
        return
    address = resolved_address(address)
    host, mark, port = address.rpartition(":")
    if "://" in address or not mark or not host or not port.isdigit():
        raise UsageError(
            "--address", f"{address!r} is none; give host:port of a Ray head, auto or local"
        )
    try:
        answers = speaks_grpc(host.strip("[]"), int(port))
    except (OSError, OverflowError) as error:
        raise UsageError(
            "--address",
            f"no Ray cluster answers at {address} ({error}); start one with ray start --head, "
            "or leave the option out",
        ) from None
    if not answers:
        raise UsageError("--address", f"what answers at {address} is no Ray head")


def resolved_address(address: str) -> str:
    """The address that ``auto`` stands for; any other as it is.

    Raises:
        UsageError: ``auto``, and no cluster was started on this machine.
    """
    if address != "auto":
        return address
    found = _current_cluster()
    if found is None:
        raise UsageError(
            "--address", "no Ray cluster runs on this machine; start one with ray start --head"
        )
    return found


def _current_cluster() -> str | None:
    """The address of the cluster that was started on this machine, as Ray notes it."""
    from ray._private.utils import read_ray_address

    address: str = read_ray_address()
    return address or None


def speaks_grpc(host: str, port: int) -> bool:
    """Whether a gRPC server listens there; ``ray.init`` would wait for minutes on any other.

    HTTP/2 (RFC 9113, section 3.4): the client sends its preface and a SETTINGS frame, the
    server's first frame is SETTINGS, type 4.
    """
    with socket.create_connection((host, port), _CONNECT_TIMEOUT_S) as connection:
        connection.settimeout(_CONNECT_TIMEOUT_S)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        try:
            frame = connection.recv(9)
        except (TimeoutError, ConnectionError):
            return False
    return len(frame) >= 4 and frame[3] == 4


def _remove_stale_folders() -> None:
    """Remove what a Ray of ours left behind whose driver was killed."""
    for folder in Path(_temp_root()).glob(f"{_FOLDER_PREFIX}*"):
        pid = folder.name[len(_FOLDER_PREFIX) :].partition("-")[0]
        with contextlib.suppress(OSError):  # another run's guard may be faster
            if pid.isdigit() and not _is_running(int(pid)) and folder.stat().st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)


def _temp_root() -> str:
    root = tempfile.gettempdir()
    return root if len(root) <= _LONGEST_TEMP_ROOT else "/tmp"  # noqa: S108 - mkdtemp guards it


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def ray_session(address: str) -> Iterator[RaySession]:
    """Connect to Ray for the length of a block.

    Args:
        address: ``local`` for a Ray of our own, else as ``ray.init`` takes it.

    Raises:
        UsageError: no cluster is to be found there.
        RunFailedError: our own Ray does not start.
    """
    set_environment(address)
    import ray

    settings: dict[str, Any] = {
        "logging_level": logging.CRITICAL,
        "log_to_driver": False,
        "configure_logging": True,
    }
    with contextlib.ExitStack() as stack:
        if address == LOCAL:
            _remove_stale_folders()
            settings |= {
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "_temp_dir": stack.enter_context(_guarded_folder()),
                "_system_config": {"max_direct_call_object_size": _INLINE_BYTES},
            }
        # Ray writes to standard output when a worker dies.
        silence = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(silence))
        head_lost = threading.Event()
        stack.callback(_shut_down, ray, head_lost)
        with _signal_handlers_kept():
            _init(ray, address, settings)
        yield RaySession(
            node_id=ray.get_runtime_context().get_node_id(),
            owned=address == LOCAL,
            nodes=alive_nodes(),
            head_address=ray.get_runtime_context().gcs_address,
            head_lost=head_lost,
        )


def _shut_down(ray: Any, head_lost: threading.Event) -> None:
    """Let go of Ray; without a head that may hang for good, also when this process ends."""
    if not head_lost.is_set():
        ray.shutdown()
        return
    LEFT_HANGING.set()
    ending = threading.Thread(target=ray.shutdown, daemon=True)
    ending.start()
    ending.join(_SHUTDOWN_TIMEOUT_S)


def alive_nodes() -> list[Node]:
    """The nodes that Ray has for alive; one that died may be among them for seconds."""
    import ray

    return [
        Node(
            node_id=node["NodeID"],
            address=node["NodeManagerAddress"],
            host=node.get("NodeManagerHostname", ""),
            cpus=node["Resources"].get("CPU", 0.0),
            memory_bytes=node["Resources"].get("memory", 0.0),
            roles=tuple(
                role for role in (MEMORY_NODE, AGENT_NODE) if node["Resources"].get(role, 0) > 0
            ),
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


@contextlib.contextmanager
def _guarded_folder() -> Iterator[str]:
    """A temporary folder for Ray that goes with this process, and with it Ray's processes."""
    folder = tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-", dir=_temp_root())
    # In a session of its own, so that what a terminal sends to the driver does not reach it.
    watching = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, folder, str(os.getpid())],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield folder
    finally:
        if watching.stdin is not None:
            watching.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            watching.wait(_GUARD_TIMEOUT_S)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Put the handlers of signals back that Ray replaces when it starts."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _init(ray: Any, address: str, settings: dict[str, Any]) -> None:
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        ray.init(address=address, **settings)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if address == LOCAL:
            raise RunFailedError(f"Ray did not start on this machine: {reason}") from error
        raise UsageError(
            "--address",
            f"no Ray cluster answers at {address}, or it asks for a token that this machine does "
            f"not have: {reason}",
        ) from None
