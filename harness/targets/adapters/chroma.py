"""The target ``chroma``: Chroma in each process of agents, or its server.

Without options each process has a persistent client on a folder of its own (Chroma's documentation,
"Running Chroma", "Persistent Client"). ``server=true`` starts the server that comes in the same
package (``chroma run``) for all of them, ``url=...`` uses one that runs; both are reached by the
HTTP client.

One collection holds the memories of all agents, and the agent is in the metadata, by which every
search is filtered: "User-Per-Doc" of "Naive Multi-tenancy Strategies" in the Chroma Cookbook.
To part records among collections neither helps nor hurts ("Single-Node Performance"), but a batch
is of one collection, and one collection takes batches of all agents. A write is two transactions of
SQLite, with some eight syncs, however many records it has. The index is Chroma's default, HNSW with
``ef_construction`` and ``ef_search`` 100 and 16 neighbours, by cosine.

The state is in the metadata, too, as text (base64 of its bytes, so that it comes back as it was).
As the record's document it would be indexed for full text, which nobody here asks for: that took
half of the writes' speed. For the same reason the attributes of a state are kept apart, as
metadata that Chroma can filter by, only with ``filter=true``.

What an approximate index of all agents means: where more memories than the graph has neighbours
have one and the same vector, whoever's they are, they become an island in it, and memories beyond
find no way in: a search for them answers with less than k, or nothing, from then on (400 memories
of 10 vectors did it). The states of the standard workload, which differ, were found with a recall
of 1. What was stored is there all the same, and retrieved by its id.

A server is not said to survive SIGKILL. Killed while it wrote, it could not always read again what
it had acknowledged (Chroma 1.5.9, in two of some ten kills: "Failed to apply logs to the hnsw
segment writer"), though its log has it on disk; of somebody else's server nobody here can tell. In
process, where the same engine works, no such kill was seen in as many.

Four threads make the calls, so that searches go on beside the syncs of a write: 100 agents did 1.6
times as much as with one. Telemetry is turned off, and vectors come from the harness, so that no
model is loaded.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from harness.errors import RunFailedError, UsageError
from harness.targets.adapters.chroma_server import ChromaServer
from harness.targets.adapters.chroma_store import ChromaStore, close_client, http_sessions
from harness.targets.base import Capabilities, Ready, Scalar, ServerProcess, Setup, Target
from harness.targets.checked_target import holds_password

if TYPE_CHECKING:
    from chromadb.config import Settings

__all__ = ["ChromaOptions", "ChromaTarget"]

_COLLECTION = "memories"
_KEY = "CHROMA_API_KEY"
_BATCHES = frozenset({"store", "retrieve"})
_CALLS_AT_ONCE = 4
_SYNCED = "SQLite with {journal} and synchronous=FULL: each write is synced before it is answered"
_JOURNALS = {False: "a rollback journal (Chroma has no setting)", True: "a write-ahead log"}


class ChromaOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of ``chroma``.

    ``server``: start Chroma's own server, for all processes of agents.
    ``url``: of a server that runs (``http://host:8000``), in which the run has a collection of its
    own; a key is read from the environment, CHROMA_API_KEY.
    ``filter``: keep the attributes of states as metadata, so that searches can be filtered.
    ``wal``: have SQLite write ahead, which Chroma leaves off: 2 syncs a write instead of 8.
    """

    server: bool = False
    url: str = ""
    filter: bool = False
    wal: bool = False


class ChromaTarget(Target[ChromaOptions]):
    """Chroma."""

    name = "chroma"
    description = "Chroma in each process of agents, its server (server=true), or one at a url"
    options_type = ChromaOptions
    modules: ClassVar[Sequence[str]] = ("chromadb",)
    extra = "chroma"
    capabilities = Capabilities(
        batch=_BATCHES, delete=True, durable=True, calls_at_once=_CALLS_AT_ONCE
    )

    def __init__(self, options: ChromaOptions) -> None:
        super().__init__(options)
        if options.url:
            _connection_to(options.url)  # a password would be written down before `prepare`
        at_server = options.server or bool(options.url)
        self.capabilities = Capabilities(
            batch=_BATCHES,
            filter=options.filter,
            delete=True,
            durable=not at_server,
            server=at_server,
            shared=at_server,
            calls_at_once=_CALLS_AT_ONCE,
        )
        self._server: ChromaServer | None = None
        self._made: tuple[Any, str] | None = None

    def prepare(self, setup: Setup) -> Ready:
        """Start the server, or make a collection in the one at the URL.

        Raises:
            UsageError: options do not go together.
            RunFailedError: the server does not start or does not answer.
        """
        options = self.options
        if options.url and (options.server or options.wal):
            raise UsageError(
                "--target", "chroma: a server at a url is as it is: leave out server and wal"
            )
        if options.url:
            return self._use_server(setup)
        if options.server:
            return self._start_server(setup)
        return self._ready({}, "in process")

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> ChromaStore:
        """Open the folder, or a way to the server.

        Raises:
            RunFailedError: the server does not answer.
        """
        if connection:
            client = _http_client(connection, setup.deadline_s)
        else:
            client = _persistent_client(setup.folder, wal=self.options.wal)
        name = connection.get("collection", _COLLECTION)
        return ChromaStore(client, _collection(client, name), keep_attributes=self.options.filter)

    def destroy(self) -> None:
        """End the server, or remove the collection that was made."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        made, self._made = self._made, None
        if made is not None:
            client, name = made
            client.delete_collection(name)
            close_client(client)

    def _start_server(self, setup: Setup) -> Ready:
        data = setup.folder / "data"
        data.mkdir(exist_ok=True)
        if self.options.wal:
            _write_ahead(data)
        self._server = ChromaServer(data, setup.folder / "server.log")
        self._server.start()
        connection = {"host": self._server.host, "port": self._server.port, "ssl": False}
        return self._ready(
            connection, "server", [ServerProcess(pid=self._server.pid, name="chroma")]
        )

    def _use_server(self, setup: Setup) -> Ready:
        connection = _connection_to(self.options.url)
        client, name = _http_client(connection, setup.deadline_s), f"harness-{setup.run_id}"
        try:
            _collection(client, name)
            server_version = client.get_version()
        except Exception as error:  # noqa: BLE001 - Chroma's errors have no base of their own
            close_client(client)
            raise RunFailedError(f"Chroma at {self.options.url} cannot be used: {error}") from None
        self._made = (client, name)
        return Ready(
            connection={**connection, "collection": name},
            version=f"{version('chromadb')} (client), {server_version} (server)",
            durability="That of the server at the URL, which is not ours; Chroma's own syncs each"
            " transaction of its SQLite database",
            settings=self._settings("server at a URL"),
        )

    def _ready(
        self, connection: Mapping[str, Any], mode: str, processes: Sequence[ServerProcess] = ()
    ) -> Ready:
        return Ready(
            connection=connection,
            processes=processes,
            version=version("chromadb"),
            durability=_SYNCED.format(journal=_JOURNALS[self.options.wal]),
            settings=self._settings(mode),
        )

    def _settings(self, mode: str) -> dict[str, Scalar]:
        return {
            "mode": mode,
            "collections": "one, filtered by agent",
            "index": "HNSW, cosine, max_neighbors 16, ef_construction 100, ef_search 100",
            "attributes": "as metadata" if self.options.filter else "not apart",
            "calls at once": self.capabilities.calls_at_once,
        }


def _connection_to(url: str) -> dict[str, Any]:
    """What an HTTP client is made of. Raises UsageError."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError("--target", f"chroma: the url is wrong: {error}") from None
    if parts.username or holds_password(url):
        raise UsageError("--target", f"chroma: no password in the url; set {_KEY} to the key")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1:
        raise UsageError("--target", f"chroma: the url must be as http://host:8000, not {url!r}")
    ssl = parts.scheme == "https"
    connection = {"host": parts.hostname, "port": port or (443 if ssl else 8000), "ssl": ssl}
    key = os.environ.get(_KEY)
    return {**connection, "api_key": key} if key else connection


def _settings() -> Settings:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False)


def _persistent_client(folder: Path, *, wal: bool) -> Any:
    import chromadb

    if wal:
        _write_ahead(folder)
    return chromadb.PersistentClient(path=str(folder), settings=_settings())


def _write_ahead(folder: Path) -> None:
    """Make the database with this journal, unless it is there: the mode stays with the file.

    Chroma, which brings another SQLite, may not have the file open meanwhile, nor still be closing
    it: two of them in one process do not see each other's locks, and this one cuts off the file
    that the other has mapped, which ends the process with SIGBUS ("How To Corrupt An SQLite
    Database File", 2.2.1).
    """
    path = folder / "chroma.sqlite3"
    if path.exists():
        return
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")


def _http_client(connection: Mapping[str, Any], deadline_s: float) -> Any:
    import chromadb

    host, port = connection["host"], connection["port"]
    key = connection.get("api_key")
    try:
        client = chromadb.HttpClient(
            host=host,
            port=port,
            ssl=connection["ssl"],
            headers={"x-chroma-token": key} if key else None,
            settings=_settings(),
        )
    except Exception as error:  # noqa: BLE001 - a ValueError, or whatever a server answers
        raise RunFailedError(f"no Chroma server answers at {host}:{port}: {error}") from None
    for session in http_sessions(client):
        session.timeout = deadline_s
    return client


def _collection(client: Any, name: str) -> Any:
    return client.get_or_create_collection(
        name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
