"""A cluster of nodes on this machine that come and go, each with a data root of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from memory_core import UnavailableError
from memory_core.ray_memory import RayMemory

__all__ = ["WAIT_S", "Nodes", "agent_of", "cluster_of_nodes", "reason", "until"]

WAIT_S = 90.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until something is so; what it was."""
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)
    return found


class Nodes:
    """The nodes of a cluster by names of ours; the head has no data and no cores.

    Attributes:
        address: of the cluster.
        folder: which has the data roots, ``<folder>/<name>``.
    """

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.address: str = cluster.address
        self.folder = folder
        self._cluster = cluster
        self._nodes: dict[str, Any] = {}

    def start(self, name: str, **options: Any) -> str:
        """Start a node that has the data root of that name; Ray's id of it."""
        root = {"MEMORY_CORE_DATA_DIR": str(self.root(name))}
        self._nodes[name] = self._cluster.add_node(num_cpus=1, env_vars=root, **options)
        return self.id(name)

    def kill(self, name: str) -> None:
        """End all processes of a node at once."""
        self._cluster.remove_node(self._nodes.pop(name), allow_graceful=False)

    def kill_all(self) -> None:
        """End all nodes but the head."""
        for name in list(self._nodes):
            self.kill(name)

    def id(self, name: str) -> str:
        """Ray's id of a node."""
        node_id: str = self._nodes[name].node_id
        return node_id

    def root(self, name: str) -> Path:
        """The data root of a node."""
        return self.folder / name


@contextmanager
def _folder() -> Iterator[str]:
    """A short temporary folder that goes in the end, once what Ray has ended writes no more."""
    folder = tempfile.mkdtemp(prefix="n-")
    try:
        yield folder
    finally:
        until(
            lambda: shutil.rmtree(folder, ignore_errors=True) or not Path(folder).exists(), folder
        )


@contextmanager
def cluster_of_nodes() -> Iterator[Nodes]:
    """A cluster of a head without cores, which this process is connected to.

    A node that is killed is declared dead soon, one that is slow to answer is not. The nodes ask
    for a token, as a Ray does that `ray.init` starts: this process, which may have had one of
    those, answers to none that does not present it.
    """
    import ray
    from ray._private.authentication import authentication_token_setup as token
    from ray.cluster_utils import Cluster

    with (
        mock.patch.dict(os.environ),
        _folder() as folder,
    ):
        token.enable_token_auth_by_default()
        token.ensure_token_if_auth_enabled(create_token_if_missing=True)
        settings = {
            "health_check_initial_delay_ms": 0,
            "health_check_period_ms": 300,
            "health_check_timeout_ms": 30_000,
            "health_check_failure_threshold": 3,
        }
        cluster = Cluster()
        cluster.add_node(
            num_cpus=0,
            include_dashboard=False,
            temp_dir=f"{folder}/ray",
            env_vars={"MEMORY_CORE_DATA_DIR": f"{folder}/head"},
            _system_config=settings,
        )
        nodes = Nodes(cluster, Path(folder))
        try:
            ray.init(
                address=cluster.address,
                log_to_driver=False,
                runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}},
            )
            yield nodes
        finally:
            ray.shutdown()
            cluster.shutdown()


def agent_of(shard: int, shards: int) -> str:
    """An agent whose memories are in a shard."""
    from memory_core.client import shard_of

    return next(name for n in range(1000) if shard_of(name := f"agent_{n}", shards) == shard)


def reason(memory: RayMemory, agent: str) -> str:
    """Why an agent's memories are not to be had now; empty when they are."""
    try:
        memory.retrieve_state(agent_id=agent, state_id="s")
    except UnavailableError as error:
        return str(error)
    return ""
