"""The target ``redis``: a Redis server, of our own or at a URL, driven with redis-py.

One hash an agent holds the payloads of its memories, by id, and
`harness.targets.adapters.redis_vectors` the vectors beside them. What waits is sent as one pipeline
(redis.io, "Redis pipelining"), with hiredis to read the answers (redis-py's README, "for faster
performance"). Stores are one ``MULTI``/``EXEC``, so that a memory is there whole or not at all; and
so that a batch is synced once: a server with ``appendfsync always`` reads 16 KiB of a pipeline a
turn and syncs after each, which was 4 to 7 times slower. The plain client is used, one call at a
time: a call of redis-py's asyncio client costs 1.6 to 1.9 times the CPU, and a server that syncs,
or works, in one thread answers two calls no sooner than one that brings as much.

The server that `RedisTarget.prepare` starts listens at a Unix socket of this machine; agents on
other machines need one at a URL.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from harness.errors import RunFailedError, UsageError
from harness.targets.adapters.redis_connection import (
    check_url,
    connected,
    durability_of,
    foreign_connection,
    has_vector_sets,
    remove_keys,
    server_version,
)
from harness.targets.adapters.redis_server import RedisServer
from harness.targets.adapters.redis_store import RedisStore
from harness.targets.adapters.redis_vectors import ClientVectors, VectorSets
from harness.targets.base import Capabilities, Ready, Scalar, ServerProcess, Setup, Target

if TYPE_CHECKING:
    import redis

__all__ = ["RedisOptions", "RedisTarget"]


_SERVER = "redis-server"


class RedisOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the target ``redis``.

    Attributes:
        url: of a server that runs, ``redis://HOST:PORT``, ``rediss://`` or ``unix://``, as redis-py
            takes it; a user name and password come from ``REDIS_USERNAME`` and
            ``REDIS_PASSWORD``. Without it a server is started.
        server: the program that is started then.
        vectors: ``client`` reads an agent's vectors and compares them in the process of the agents,
            ``sets`` has the server search vector sets (Redis 8), ``auto`` is ``sets`` where the
            server has them.
    """

    url: str = ""
    server: str = _SERVER
    vectors: Literal["auto", "client", "sets"] = "auto"


class RedisTarget(Target[RedisOptions]):
    """A Redis server."""

    name = "redis"
    description = "a Redis server, started or at a URL; vectors compared at the client or in sets"
    options_type = RedisOptions
    modules = ("redis",)
    extra = "redis"
    capabilities = Capabilities(
        batch=frozenset({"store", "retrieve", "search"}),
        filter=True,
        delete=True,
        durable=True,
        server=True,
        shared=True,
    )

    def __init__(self, options: RedisOptions) -> None:
        super().__init__(options)
        check_url(options.url)
        if options.url and options.server != _SERVER:
            raise UsageError(
                "--target", "redis: a server at a url is not started: give url or server"
            )
        if options.url:  # what another's server keeps is its owner's to say
            self.capabilities = replace(self.capabilities, durable=False)
        self._server: RedisServer | None = None
        self._foreign: dict[str, Any] | None = None

    def prepare(self, setup: Setup) -> Ready:
        """See `Target`."""
        try:
            return self._prepared(setup)
        except BaseException:
            self.destroy()
            raise

    def _prepared(self, setup: Setup) -> Ready:
        if self.options.url:
            connection = foreign_connection(self.options.url, setup)
            processes = []
        else:
            self._server = RedisServer(self.options.server, setup.folder, setup.durability)
            self._server.wait_until_it_serves()
            connection = {"socket": str(self._server.socket), "prefix": "memories"}
            processes = [ServerProcess(pid=self._server.pid, name="redis-server")]
        with connected(connection, setup.deadline_s) as client:
            if self.options.url:
                self._foreign = connection
            version = server_version(client)
            connection["vectors"] = self._way_of_vectors(client, version)
            durability, kept = durability_of(client)
        return Ready(
            connection=connection,
            processes=processes,
            version=f"Redis {version}, redis-py {importlib.metadata.version('redis')}",
            durability=durability,
            settings={**kept, **_settings(connection)},
        )

    def _way_of_vectors(self, client: redis.Redis, version: str) -> str:
        if self.options.vectors == "client":
            return "client"
        if has_vector_sets(client):
            return "sets"
        if self.options.vectors == "sets":
            raise UsageError(
                "--target",
                f"redis: vectors=sets needs a server with vector sets, Redis 8 or newer, and this "
                f"is {version}; use vectors=client, or name such a server with server=PROGRAM or "
                "url=URL",
            )
        return "client"

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> RedisStore:
        """See `Target`."""
        socket = connection.get("socket")
        if socket is not None and not os.path.exists(socket):  # noqa: PTH110
            raise RunFailedError(
                "redis: the server that was started cannot be reached from here: it is gone, or "
                "on another machine; agents on several machines need redis:url=redis://HOST:PORT"
            )
        return RedisStore(
            connected(connection, setup.deadline_s),
            connection["prefix"],
            VectorSets() if connection["vectors"] == "sets" else ClientVectors(),
        )

    def destroy(self) -> None:
        """End the server that was started, or remove what is ours from one that was not."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._foreign is not None:
            import redis

            with contextlib.suppress(redis.RedisError):
                remove_keys(self._foreign)
            self._foreign = None


def _settings(connection: Mapping[str, Any]) -> dict[str, Scalar]:
    searched = {
        "client": "exact, by numpy in the agents' process",
        "sets": "vector sets: HNSW, Q8, M 16, EF 200, VSIM in threads of the server",
    }
    return {
        "vectors": connection["vectors"],
        "search": searched[connection["vectors"]],
        "address": "Unix socket" if "socket" in connection else connection["url"],
    }
