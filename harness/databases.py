"""Where a run's databases are, on every node, and their end.

On a Ray of our own they are in a folder of the run directory or below ``--data-dir``, made here. On
a cluster each node has those of its shards: below its own data root, or below ``--data-dir``, which
is the same path on every node. A store's name has a random part, so that the folder of that name
is the run's own wherever it is, and what is removed is what the run made.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ray
from ray.exceptions import RayError

from harness.errors import UsageError
from harness.launch import pinned_to
from harness.plan import RunPlan
from harness.ray_session import RaySession, alive_nodes
from harness.rundir import SAME_NAME_MAX, RunDirectory
from harness.targets.store_folder import store_folder
from memory_core.errors import MemoryCoreError

__all__ = ["Databases", "databases_of_run", "memory_name", "remove"]

_NAME_LENGTH = 80
_TIMEOUT_S = 30.0
_PATIENCE_S = 10.0
_AGAIN_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Databases:
    """A run's databases.

    Attributes:
        memory: the name of the store.
        path: their folder, on every node; None is one named as the store in each node's data root.
        hosts: the nodes that have some, with what a sentence calls them; filled by the run.
        problems: what could not be removed, in sentences, once the run has ended.
    """

    memory: str
    path: Path | None
    hosts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def memory_name(name: str) -> str:
    """A name for a store, that no other has: what can be had of `name`, and a random part."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:_NAME_LENGTH]
    return f"{plain or 'run'}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def databases_of_run(
    session: RaySession, directory: RunDirectory, plan: RunPlan, problems: list[str]
) -> Iterator[Databases]:
    """A place for a run's databases, which go when it ends unless they are to stay.

    Args:
        session: the connection to Ray.
        directory: of the run.
        plan: says where, and whether they are to stay.
        problems: gets what could not be removed, in sentences.

    Raises:
        UsageError: their folder cannot be made.
    """
    data_dir: Path | None
    path: Path | None
    name = directory.path.resolve().name
    memory = memory_name(name)
    if session.owned:
        data_dir = (Path(plan.data_dir) if plan.data_dir else directory.path / "data").resolve()
        path = _made_folder(data_dir, name)
    else:
        data_dir = None if plan.data_dir is None else Path(plan.data_dir).absolute()
        path = None if data_dir is None else data_dir / memory
    found = Databases(memory=memory, path=path, problems=problems)
    try:
        yield found
    finally:
        if session.head_lost.is_set() and not session.owned:
            problems.append(f"the databases of {memory} are left: the cluster's head is gone")
        elif not plan.keep_data:
            remove(found, on_nodes=not session.owned)
            if session.owned and plan.data_dir is None and data_dir is not None:
                with contextlib.suppress(OSError):
                    data_dir.rmdir()


def remove(databases: Databases, *, on_nodes: bool) -> None:
    """Remove a store's databases; what could not be is among its problems then.

    Args:
        databases: of a store that has ended.
        on_nodes: they are on the nodes of a cluster; otherwise they are here.
    """
    if on_nodes:
        databases.problems.extend(_remove_on_nodes(databases))
    elif databases.path is not None:
        shutil.rmtree(databases.path, ignore_errors=True)


def _remove_on_nodes(databases: Databases) -> list[str]:
    """Remove them on their nodes, also on one that is back under another id, in a bounded time."""
    try:
        alive = {node.node_id: node.host or node.address for node in alive_nodes()}
    except Exception as error:  # noqa: BLE001 - Ray is no more
        return [f"the databases of {databases.memory} are left: Ray does not answer ({error})"]
    folder = f"{databases.path or f'{databases.memory} in its data root'}"
    problems = [
        f"the databases on {host} could not be removed, for it is not there: {folder}"
        for node_id, host in databases.hosts.items()
        if node_id not in alive
    ]
    hosts = set(databases.hosts.values())
    path = None if databases.path is None else str(databases.path)
    task = ray.remote(num_cpus=0, max_retries=0, max_calls=1)(_remove)
    asked = {
        task.options(scheduling_strategy=pinned_to(node_id), enable_task_events=False).remote(
            databases.memory, path
        ): host
        for node_id, host in alive.items()
        if node_id in databases.hosts or (problems and host in hosts)
    }
    done = ray.wait(list(asked), num_returns=len(asked), timeout=_TIMEOUT_S)[0] if asked else []
    for ref, host in asked.items():
        problem = f"{host} does not answer"
        if ref in done:
            with contextlib.suppress(RayError):
                problem = ray.get(ref)
        else:
            ray.cancel(ref, force=True)
        if problem:
            problems.append(f"the databases on {host} could not be removed ({problem}): {folder}")
    return problems


def _remove(memory: str, path: str | None) -> str:
    """On a node: remove a store's folder; why it could not be, or nothing.

    Processes that were just killed may still be at it, and so may another Ray node of this host.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    try:
        folder = store_folder(memory, path)
    except MemoryCoreError as error:
        return str(error)
    while os.path.lexists(folder):
        problem = "it is written again and again"
        try:
            shutil.rmtree(folder)
        except OSError as error:
            problem = error.strerror or str(error)
        if not os.path.lexists(folder):
            break
        if time.monotonic() > deadline_s:
            return problem
        time.sleep(_AGAIN_S)
    return ""


def _made_folder(parent: Path, name: str) -> Path:
    """A folder of this name, or with a number where that is taken."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, SAME_NAME_MAX + 1):
            path = parent / (name if number == 1 else f"{name}-{number}")
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
    except OSError as error:
        raise UsageError("--data-dir", f"{parent} cannot be written ({error.strerror})") from None
    raise UsageError("--data-dir", f"{parent} has {SAME_NAME_MAX} runs named {name}; name another")
