"""The target ``qdrant``: Qdrant's local mode in each process, or a server that has a URL.

**Local mode** is what Qdrant's Python client does without a server: "small-scale data, demos, and
tests" in its own words. Points are in a SQLite database, each in a transaction of its own, and in
memory, where every search goes through the payloads of all points, in Python, and compares what is
left with numpy. It has neither indexes nor batches that gain anything, so it is called one by one.

**A server** (``url=http://host:6333``) is reached by the asynchronous client, by gRPC, which
Qdrant's documentation recommends for speed, in batches of points and of queries, each
write with ``wait=true``. The collection is made as "Multitenancy" has it for many small tenants: no
index over all (``m=0``), one for each agent that grows large (``payload_m=16``), and the agent a
keyword with ``is_tenant``. It is named after the run and goes with it. A key is read from
``QDRANT_API_KEY``.

No server's binary could be installed where this was written, from PyPI or from Debian. The server's
path was tried against the asynchronous client's own local mode, which has the same methods, where
nobody listens, and as far as the messages that gRPC would carry; not against a server. That a
killed server keeps what it acknowledged is therefore not claimed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from harness.errors import RunFailedError, UsageError
from harness.targets.adapters.qdrant_points import AGENT
from harness.targets.adapters.qdrant_stores import QdrantLocalStore, QdrantServerStore
from harness.targets.base import Capabilities, OpenStore, Ready, Setup, Target
from harness.targets.checked_target import holds_password

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

__all__ = ["QdrantOptions", "QdrantTarget"]

_BATCHES = frozenset({"store", "retrieve", "search"})
_KEY = "QDRANT_API_KEY"
_GRPC_PORT = 6334


class QdrantOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``qdrant``.

    ``url``: of a server (``http://host:6333``); without one, the client's local mode.
    ``grpc_port``: of that server.
    """

    url: str = ""
    grpc_port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = _GRPC_PORT


class QdrantTarget(Target[QdrantOptions]):
    """Qdrant, in local mode or at a URL."""

    name = "qdrant"
    description = "Qdrant's local mode in each process of agents, or its server (url=...)"
    options_type = QdrantOptions
    modules: ClassVar[Sequence[str]] = ("qdrant_client",)
    extra = "qdrant"
    capabilities = Capabilities(filter=True, delete=True, durable=True)

    def __init__(self, options: QdrantOptions) -> None:
        super().__init__(options)
        self._served: tuple[QdrantClient, str] | None = None
        if not options.url and options.grpc_port != _GRPC_PORT:
            raise UsageError("--target", "qdrant: grpc_port is of a server; give its url, too")
        if options.url:
            _check_url(options.url)
            self.asynchronous = True
            self.capabilities = Capabilities(
                batch=_BATCHES,
                filter=True,
                delete=True,
                server=True,
                shared=True,
                calls_at_once=4,
            )

    def prepare(self, setup: Setup) -> Ready:
        """Make a collection for the run, if there is a server.

        Raises:
            RunFailedError: the server does not answer, or makes no collection.
        """
        if self.options.url:
            return self._prepare_server(setup)
        return Ready(
            version=version("qdrant-client"),
            durability="Qdrant's local mode: each point is a SQLite transaction with"
            " synchronous=FULL, and on disk",
            settings={"mode": "local", "index": "exact, over all points"},
        )

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        """Open the folder, or a connection to the server."""
        if not self.options.url:
            return QdrantLocalStore.opened(setup)
        return QdrantServerStore.connected(setup, connection)

    def destroy(self) -> None:
        """Delete the run's collection."""
        if self._served is None:
            return
        client, collection = self._served
        self._served = None
        # A server that is gone has no collection to delete, and what failed was told before.
        with suppress(Exception):
            client.delete_collection(collection)
        client.close()

    def _prepare_server(self, setup: Setup) -> Ready:
        from qdrant_client import QdrantClient, models

        connection: dict[str, Any] = {
            "url": self.options.url,
            "grpc_port": self.options.grpc_port,
            "api_key": os.environ.get(_KEY),
        }
        collection = f"harness-{setup.run_id}"
        client = QdrantClient(
            **connection, prefer_grpc=True, check_compatibility=False, timeout=int(setup.deadline_s)
        )
        self._served = (client, collection)
        try:
            server = client.info()
            client.create_collection(
                collection,
                vectors_config=models.VectorParams(
                    size=setup.dimension, distance=models.Distance.COSINE
                ),
                hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
            )
            client.create_payload_index(
                collection,
                AGENT,
                models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
            )
        except Exception as error:  # noqa: BLE001 - the client's errors have no common base
            self.destroy()
            raise RunFailedError(
                f"the Qdrant server at {self.options.url} cannot be used: {_first_line(error)}"
            ) from None
        return Ready(
            connection={**connection, "collection": collection},
            version=server.version,
            durability="a write is in the server's log and applied (wait=true); when its log"
            " reaches the disk is the server's setting",
            settings={
                "mode": "server",
                "index": "HNSW within an agent's points (m=0, payload_m=16)",
                "protocol": "gRPC",
            },
        )


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError("--target", f"qdrant: the url is wrong: {error}") from None
    if parts.username or holds_password(url):
        raise UsageError(
            "--target", f"qdrant: url must hold no password; give the server's key in {_KEY}"
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError("--target", f"qdrant: url must be like http://host:6333, not {url!r}")


def _first_line(error: Exception) -> str:
    """What a person is told of an error; gRPC's own text begins with the name of a class."""
    import grpc

    told = error.details() if isinstance(error, grpc.RpcError) else str(error)
    text = (told or "").strip() or type(error).__name__
    return text.splitlines()[0]
