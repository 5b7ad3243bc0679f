"""Our store through LangGraph's and LangChain's faces, beside itself and LangGraph's own stores.

One call at a time from one thread, with fsync: what a face adds to the store's own call, and how
that stands to `InMemoryStore` and `SqliteStore` (write-ahead log, ``synchronous=FULL``). Vectors
are made before a clock starts, so that no model is part of the figures; they travel as lists of
floats, as a model's do. Stores take turns, slice by slice; a time is the median of its calls.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from bench.errors import MeasurementError
from bench.figures import FigureSpec, Goal, Measured, number, ratio
from bench.sizes import SLICES, size
from memory_core import AgentMemorySystem, MemoryConfig

__all__ = ["FOOT", "MEASUREMENTS", "ROWS", "FaceSizes", "figure_specs", "skipped_rows"]

DIMENSION = 64
_FOUND = 5
_CALLS = ("put", "get", "search", "filter")
# How many times as long as another store's a call through LangGraph's face may take.
_GOALS = {
    ("put", "own"): 2.0,
    ("get", "own"): 3.0,
    ("search", "in_memory"): 1.0,
    ("search", "sqlite"): 1.0,
    ("filter", "own"): 2.0,
}

FOOT = (
    "put, get: an item by its key; search: the 5 nearest to a text in a namespace; filter: the one "
    "item of a namespace with a field's value. AgentMemorySystem is asked for the same by itself.",
)
ROWS = {"put": ("faces",), "get": ("faces",), "search": ("faces",), "filter": ("faces",)}


@dataclass(frozen=True, kw_only=True)
class FaceSizes:
    """Counts, all positive; each is an option of the command."""

    items: int = size(4_000, "items that are there already")
    namespaces: int = size(20, "that they are in")
    calls: int = size(600, "calls of each kind, of each store")


_Call = Callable[[int], Any]


@dataclass(frozen=True)
class _Store:
    """A store as this measures it: its calls by kind, each for the item of a number."""

    calls: Mapping[str, _Call]


class _Items:
    """Items by number, and the vectors of their texts."""

    def __init__(self, sizes: FaceSizes) -> None:
        self.count, self._namespaces = sizes.items, sizes.namespaces
        total = sizes.items + sizes.calls
        made = np.random.default_rng(1).normal(size=(total, DIMENSION)).astype(np.float32)
        self._vectors = {f"text {number}": row.tolist() for number, row in enumerate(made)}

    def embed(self, texts: list[str]) -> list[list[float]]:
        return [self._vectors[text] for text in texts]

    def namespace(self, number: int) -> tuple[str, str]:
        return "users", f"user_{number % self._namespaces}"

    def value(self, number: int) -> dict[str, Any]:
        where = {"city": "Oslo", "since": 2020 + number % 5}
        return {"text": f"text {number}", "n": number, "color": "red", "where": where}


def faces(sizes: FaceSizes, folder: Path) -> Measured:
    """Microseconds a call, by store and kind."""
    items = _Items(sizes)
    took_us: dict[str, list[float]] = {}
    with contextlib.ExitStack() as open_stores:
        stores = {
            name: open_stores.enter_context(make(items, folder / name))
            for name, make in _STORES.items()
        }
        for store in stores.values():
            for one in range(sizes.items):
                store.calls["put"](one)
        share = max(1, sizes.calls // SLICES)
        for turn in range(SLICES):
            for kind in _CALLS:
                first = turn * share + (sizes.items if kind == "put" else 0)
                numbers = range(first, first + share)
                for name, store in stores.items():
                    if kind in store.calls:
                        times = took_us.setdefault(f"{name}.{kind}_us", [])
                        times += _timed(store.calls[kind], numbers)
    return {name: median(times) for name, times in took_us.items()}


def _timed(call: _Call, numbers: range) -> Iterator[float]:
    for one in numbers:
        begun = perf_counter()
        found = call(one)
        yield (perf_counter() - begun) * 1e6
        if found is not None and not found:
            raise MeasurementError(f"nothing was found of item {one}")


@contextlib.contextmanager
def _own(items: _Items, folder: Path) -> Iterator[_Store]:
    """The store's own face."""
    with AgentMemorySystem(MemoryConfig(path=folder, dimension=DIMENSION)) as memory:

        def agent(one: int) -> str:
            return ".".join(items.namespace(one))

        def put(one: int) -> None:
            value = items.value(one)
            vector = items.embed([value["text"]])[0]
            memory.store_agent_state(
                agent_id=agent(one), state_id=f"key {one}", state_data=value, vector=vector
            )

        yield _Store(
            {
                "put": put,
                "get": lambda one: memory.retrieve_states(
                    agent_id=agent(one), state_ids=[f"key {one}"]
                ),
                "search": lambda one: memory.search_by_embedding(
                    agent_id=agent(one), embedding=items.embed([f"text {one}"])[0], k=_FOUND
                ),
                "filter": lambda one: memory.retrieve_by_attributes(
                    agent_id=agent(one), attributes={"n": one}, limit=_FOUND
                ),
            },
        )


@contextlib.contextmanager
def _langgraph(items: _Items, folder: Path) -> Iterator[_Store]:
    from memory_core.langgraph_store import LangGraphStore

    with LangGraphStore.open(folder, index=_index(items)) as store:
        yield _of_langgraph(store, items)


@contextlib.contextmanager
def _in_memory(items: _Items, _: Path) -> Iterator[_Store]:
    from langgraph.store.memory import InMemoryStore

    yield _of_langgraph(InMemoryStore(index=_index(items)), items)


@contextlib.contextmanager
def _on_sqlite(items: _Items, folder: Path) -> Iterator[_Store]:
    from langgraph.store.sqlite import SqliteStore

    folder.mkdir()
    path = folder / "store.sqlite"
    connection = _sqlite().connect(path, check_same_thread=False, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        store = SqliteStore(connection, index=_index(items))
        store.setup()
        yield _of_langgraph(store, items)


@contextlib.contextmanager
def _langchain(items: _Items, folder: Path) -> Iterator[_Store]:
    from langchain_core.embeddings import Embeddings

    from memory_core.langchain_store import LangChainStore

    class Made(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return items.embed(texts)

        def embed_query(self, text: str) -> list[float]:
            return items.embed([text])[0]

    with LangChainStore.open(folder, Made(), dimension=DIMENSION) as documents:
        stores = [
            LangChainStore(documents.memory, Made(), collection=".".join(items.namespace(one)))
            for one in range(len({items.namespace(one) for one in range(items.count)}))
        ]

        def put(one: int) -> None:
            value = items.value(one)
            text = value.pop("text")
            stores[one % len(stores)].add_texts([text], [value], ids=[f"key {one}"])

        def search(one: int, wanted: dict[str, Any] | None = None) -> list[Any]:
            store = stores[one % len(stores)]
            return store.similarity_search(f"text {one}", _FOUND, filter=wanted)

        yield _Store(
            {
                "put": put,
                "get": lambda one: stores[one % len(stores)].get_by_ids([f"key {one}"]),
                "search": search,
            },
        )


_STORES = {
    "own": _own,
    "langgraph": _langgraph,
    "langchain": _langchain,
    "in_memory": _in_memory,
    "sqlite": _on_sqlite,
}
MEASUREMENTS = {"faces": faces}


def _index(items: _Items) -> Any:
    # SqliteStore has another name for the fields
    fields = ["text"]
    return {"dims": DIMENSION, "embed": items.embed, "fields": fields, "text_fields": fields}


def _of_langgraph(store: Any, items: _Items) -> _Store:
    def put(one: int) -> None:
        store.put(items.namespace(one), f"key {one}", items.value(one))

    return _Store(
        {
            "put": put,
            "get": lambda one: [store.get(items.namespace(one), f"key {one}")],
            "search": lambda one: store.search(
                items.namespace(one), query=f"text {one}", limit=_FOUND
            ),
            "filter": lambda one: store.search(
                items.namespace(one), filter={"n": one}, limit=_FOUND
            ),
        },
    )


def _sqlite() -> Any:
    """Python's sqlite3, or pysqlite3 where it was built without extensions."""
    if hasattr(sqlite3.Connection, "enable_load_extension"):
        return sqlite3
    from pysqlite3 import dbapi2

    return dbapi2


def skipped_rows() -> dict[str, str]:
    """All rows, where LangGraph or LangChain is not installed."""
    needed = ("langgraph.store.sqlite", "langchain_core", "sqlite_vec")
    try:
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
    except ModuleNotFoundError as error:
        missing = [str(error.name)]
    why = f"{', '.join(missing)} is not installed (pip install '.[langgraph,langchain]')"
    return dict.fromkeys(ROWS, why) if missing else {}


def figure_specs(sizes: FaceSizes) -> list[FigureSpec]:
    """The lines of the table."""
    del sizes
    titles = {
        "own": "AgentMemorySystem",
        "langgraph": "LangGraphStore",
        "langchain": "LangChainStore",
        "in_memory": "LangGraph's InMemoryStore",
        "sqlite": "LangGraph's SqliteStore",
    }
    specs = []
    for kind in _CALLS:
        specs += [
            FigureSpec(
                row=kind,
                title=f"a {kind}, {title}",
                unit="µs",
                value=number("faces", f"{name}.{kind}_us"),
            )
            for name, title in titles.items()
            if name != "langchain" or kind != "filter"
        ]
        specs += [
            FigureSpec(
                row=kind,
                title=f"a {kind}, LangGraphStore over {titles[other]}",
                unit="times",
                value=ratio(
                    number("faces", f"langgraph.{kind}_us"), number("faces", f"{other}.{kind}_us")
                ),
                goal=Goal(most=most) if (most := _GOALS.get((kind, other))) else None,
            )
            for other in ("own", "in_memory", "sqlite")
        ]
    return specs
