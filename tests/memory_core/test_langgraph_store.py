"""`LangGraphStore`: what the model test does not ask of it, and a graph that uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

from memory_core import (
    AgentMemorySystem,
    BadInputError,
    IncompatibleError,
    MemoryConfig,
    StateEncoder,
)
from memory_core.langgraph_store import LangGraphStore
from tests.memory_core.embedding import DIMENSION, embed

INDEX: Any = {"dims": DIMENSION, "embed": embed, "fields": ["text", "tags[*]"]}
ANA, BOB = ("users", "ana"), ("users", "bob")


@pytest.fixture(scope="module")
def memory() -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(dimension=DIMENSION, durability="os")) as system:
        yield system


@pytest.fixture
def store(memory: AgentMemorySystem) -> Iterator[LangGraphStore]:
    yield LangGraphStore(memory, index=INDEX)
    memory.clear_all_memories()


def test_items_are_memories(store: LangGraphStore, memory: AgentMemorySystem):
    """What was put is read by the memory's own face: namespace as agent, key as id."""
    store.put(ANA, "food", {"text": "pizza", "since": 2019})
    state = memory.retrieve_state(agent_id="users.ana", state_id="food")
    assert state == {"text": "pizza", "since": 2019}
    [similar] = memory.search_by_embedding(agent_id="users.ana", embedding=embed(["pizza"])[0])
    assert (similar.state_id, similar.score) == ("food", pytest.approx(1.0))
    assert [one.agent_id for one in memory.list_agents()] == ["users.ana"]


def test_memories_are_items(store: LangGraphStore, memory: AgentMemorySystem):
    """What another face stored is an item without vectors, if its agent can be a namespace."""
    memory.store_agent_state(agent_id="users.eve", state_id="s", state_data={"x": 1})
    memory.store_agent_state(agent_id="no..namespace", state_id="s", state_data={"x": 1})
    item = store.get(("users", "eve"), "s")
    assert item is not None
    assert item.value == {"x": 1}
    assert item.created_at == item.updated_at
    assert store.list_namespaces() == [("users", "eve")]
    assert [(one.key, one.score) for one in store.search((), query="pizza")] == [("s", None)]


def test_what_was_stored_last_comes_first(store: LangGraphStore):
    """Without a query, the items of a namespace are newest first, page after page."""
    for key in ["1", "2", "3", "1"]:
        store.put(ANA, key, {})
    assert [one.key for one in store.search(ANA)] == ["1", "3", "2"]
    pages = [store.search(ANA, limit=1, offset=offset) for offset in range(4)]
    assert [[one.key for one in page] for page in pages] == [["1"], ["3"], ["2"], []]


def test_what_is_put_again_keeps_when_it_was_created(store: LangGraphStore):
    """`created_at` is of the first put, `updated_at` of the last; a deletion ends that."""
    store.put(ANA, "k", {"n": 1})
    first = store.get(ANA, "k")
    store.put(ANA, "k", {"n": 2})
    second = store.get(ANA, "k")
    assert first is not None
    assert second is not None
    assert (second.created_at, second.value) == (first.created_at, {"n": 2})
    assert second.updated_at > first.updated_at
    store.delete(ANA, "k")
    store.put(ANA, "k", {"n": 3})
    third = store.get(ANA, "k")
    assert third is not None
    assert third.created_at == third.updated_at > second.updated_at


def test_an_item_is_found_by_each_of_its_texts_and_once(store: LangGraphStore):
    """The best of an item's vectors counts; those of a former value are gone."""
    store.put(ANA, "k", {"text": "pizza", "tags": ["red", "blue"]})
    store.put(ANA, "other", {"text": "hills"})
    for query in ["pizza", "red", "blue"]:
        found = store.search(("users",), query=query)
        assert [one.key for one in found] == ["k", "other"]
        assert found[0].score == pytest.approx(1.0, abs=1e-5)
    store.put(ANA, "k", {"text": "pizza", "tags": ["blue"]})
    [best, _] = store.search(("users",), query="red")
    assert best.score is not None
    assert best.score < 0.9


def test_many_vectors_of_few_items_hide_nothing(store: LangGraphStore):
    """However many vectors of one item are nearer, the next items are found."""
    store.put(ANA, "loud", {"tags": [f"tag {number}" for number in range(60)]})
    for number in range(5):
        store.put(ANA, f"item {number}", {"text": f"text {number}"})
    store.put(ANA, "silent", {"text": "text 1"}, index=False)
    found = store.search((), query="tag 7", limit=6)
    assert found[0].key == "loud"
    assert {one.key for one in found[1:]} == {f"item {number}" for number in range(5)}
    assert store.search((), query="tag 7", limit=9)[-1].key == "silent"
    texts = {"text": {"$ne": None}}
    assert len(store.search((), query="tag 7", filter=texts, limit=5)) == 5


def test_a_deletion_leaves_nothing(store: LangGraphStore, memory: AgentMemorySystem):
    """All vectors of an item go with it, and a namespace without items is none."""
    store.put(ANA, "k", {"text": "pizza", "tags": ["red", "blue"]})
    store.delete(ANA, "k")
    store.delete(BOB, "never there")
    assert memory.count_memories().total == 0
    assert store.list_namespaces() == []


def test_a_prefix_ends_with_a_label(store: LangGraphStore):
    """A search below ``users`` finds nothing of a namespace that only begins so."""
    for namespace in [("users",), ANA, ("users_old", "ana"), ("users-1",), ("use",)]:
        store.put(namespace, "k", {})
    assert {one.namespace for one in store.search(("users",))} == {("users",), ANA}


def test_a_filter_that_the_memory_cannot_look_at_is_kept_all_the_same(store: LangGraphStore):
    """Items are asked for until enough fit, also where each has to be looked at here."""
    for number in range(50):
        store.put(ANA, str(number), {"text": f"text {number}", "inner": {"n": number}, "l": [1]})
    wanted = {"inner": {"n": {"$lt": 3}}, "l": [1], "none": None}
    assert [one.key for one in store.search(ANA, filter=wanted, limit=2)] == ["2", "1"]
    found = store.search(ANA, query="text 40", filter=wanted, limit=2)
    assert {one.key for one in found} < {"0", "1", "2"}


@pytest.mark.parametrize("wanted", [0, 5, 11])
@pytest.mark.parametrize("query", [None, "text 11"])
def test_many_namespaces_are_all_looked_at(store: LangGraphStore, wanted: int, query: str | None):
    """What fits is found in whichever of more namespaces than items are asked for it is."""
    for number in range(12):
        value = {"text": f"text {number}", "inner": {"n": number}}
        store.put(("users", f"user_{number}"), "k", value)
    found = store.search(("users",), query=query, filter={"inner": {"n": wanted}}, limit=1)
    assert [one.namespace for one in found] == [("users", f"user_{wanted}")]
    page = store.search(("users",), query=query, limit=3, offset=10)
    assert len(page) == 2


def test_what_has_no_order_is_neither_less_nor_greater(store: LangGraphStore):
    """A comparison of kinds without an order does not hold; nothing is raised."""
    store.put(ANA, "text", {"n": "five"})
    store.put(ANA, "number", {"n": 5})
    store.put(ANA, "nothing", {})
    assert [one.key for one in store.search(ANA, filter={"n": {"$gt": 4}})] == ["number"]
    assert [one.key for one in store.search(ANA, filter={"n": {"$lt": "six"}})] == ["text"]


def test_a_text_without_direction_is_not_indexed(memory: AgentMemorySystem):
    """An embedding of zeros is no vector: the item has none, and the query finds by no score."""
    zeros: Any = {"dims": DIMENSION, "embed": lambda texts: [[0.0] * DIMENSION for _ in texts]}
    store = LangGraphStore(memory, index=zeros)
    store.put(ANA, "k", {"text": "pizza"})
    assert [one.score for one in store.search(ANA, query="pizza")] == [None]
    memory.clear_all_memories()


def test_without_an_index_a_query_is_ignored(memory: AgentMemorySystem):
    """As in LangGraph's own stores, search goes by namespace and filter then."""
    store = LangGraphStore(memory)
    store.put(ANA, "k", {"text": "pizza"}, index=["text"])
    assert [one.score for one in store.search(ANA, query="hills")] == [None]
    memory.clear_all_memories()


@pytest.mark.parametrize(
    ("op", "error", "problem"),
    [
        (PutOp(ANA, "", {}), BadInputError, "key: is empty"),
        (PutOp(ANA, "k" * 1001, {}), BadInputError, "key: is 1,001 bytes long; at most 1,000"),
        (PutOp(("n" * 1024,), "k", {}), BadInputError, "namespace: is 1,024 bytes long; at most"),
        (PutOp(ANA, "\ud800", {}), BadInputError, "key: holds a lone surrogate"),
        (PutOp(ANA, 5, {}), BadInputError, "key: must be a string, not int"),  # type: ignore[arg-type]
        (PutOp((), "k", {}), InvalidNamespaceError, "Namespace cannot be empty"),
        (GetOp(("a.b",), "k"), InvalidNamespaceError, "cannot contain periods"),
        (PutOp(ANA, "k", {"x": {"y": float("nan")}}), BadInputError, r"value\.x\.y: is nan"),
        (PutOp(ANA, "k", {"x": object()}), BadInputError, r"value\.x: is of type object"),
        (PutOp(ANA, "k", [1]), BadInputError, "value: must be a mapping, not list"),  # type: ignore[arg-type]
        (PutOp(ANA, "k", {}, ["a", 5]), BadInputError, "index: has the path 5"),  # type: ignore[list-item]
        (PutOp(ANA, "k", {}, "a"), BadInputError, "index: must be a list of paths, not str"),  # type: ignore[arg-type]
        (PutOp(ANA, "k", {}, ttl=5.0), NotImplementedError, "no time-to-live of its own"),
        (SearchOp(ANA, {"x": {"$in": [1]}}), BadInputError, "filter: has the operator '\\$in'"),
        (SearchOp(ANA, [1]), BadInputError, "filter: must be a mapping, not list"),  # type: ignore[arg-type]
        (SearchOp(ANA, limit=-1), BadInputError, "limit: must be a whole number from 0 on"),
        (SearchOp(ANA, offset=1.5), BadInputError, "offset: must be a whole number"),  # type: ignore[arg-type]
        (ListNamespacesOp((MatchCondition("like", ("a",)),)), BadInputError, "match_type: must be"),  # type: ignore[arg-type]
        ("get", BadInputError, "ops: holds a str, which is no operation"),
    ],
)
def test_bad_input_is_named_before_anything_is_done(
    store: LangGraphStore, op: Any, error: type[Exception], problem: str
):
    """What is wrong with one operation is named in a sentence, and the batch changes nothing."""
    store.put(BOB, "there", {})
    with pytest.raises(error, match=problem):
        store.batch([PutOp(ANA, "fine", {}), PutOp(BOB, "there", None), op])
    assert [one.key for one in store.search(())] == ["there"]


def test_a_time_to_live_is_refused(store: LangGraphStore):
    """LangGraph itself refuses a put with one, since the store says that it has none."""
    assert not store.supports_ttl
    with pytest.raises(NotImplementedError, match="TTL is not supported by LangGraphStore"):
        store.put(ANA, "k", {}, ttl=5)


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ({"embed": embed}, "index.dims: must be a whole number above 0, not None"),
        ({"dims": True, "embed": embed}, "index.dims: must be a whole number"),
        ({"dims": DIMENSION}, "index.embed: is missing"),
        ({"dims": DIMENSION + 1, "embed": embed}, "index.dims: is 17, but the memory has 16"),
        ({"dims": DIMENSION, "embed": embed, "fields": "text"}, "index.fields: must be a list"),
        ("text", "index: must be a mapping, not str"),
    ],
)
def test_a_wrong_index_is_named(memory: AgentMemorySystem, index: Any, problem: str):
    """What an index configuration lacks is said when the store is made."""
    with pytest.raises(BadInputError, match=f"^{problem}"):
        LangGraphStore(memory, index=index)


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [
        ([[1.0]], r"gave the shape \(1, 1\); with these dims it is \(1, 16\)"),
        ([], "gave the shape"),
        ([[float("nan")] * DIMENSION], "gave NaN"),
        ("what?", "gave what are no vectors"),
    ],
)
def test_a_wrong_embedding_is_named(memory: AgentMemorySystem, vectors: Any, problem: str):
    """What an embedding function gives is looked at before anything is stored."""
    index: Any = {"dims": DIMENSION, "embed": lambda _: vectors}
    store = LangGraphStore(memory, index=index)
    with pytest.raises(BadInputError, match=rf"^index\.embed: {problem}"):
        store.put(ANA, "k", {"text": "pizza"})
    assert store.get(ANA, "k") is None


def test_asynchronous_embeddings_are_awaited(memory: AgentMemorySystem):
    """An index with an asynchronous function serves the asynchronous calls."""

    async def aembed(texts: list[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        return embed(texts)

    store = LangGraphStore(memory, index={**INDEX, "embed": aembed})

    async def calls() -> list[Any]:
        await asyncio.gather(*(store.aput(ANA, str(n), {"text": f"text {n}"}) for n in range(20)))
        return await store.asearch(ANA, query="text 13", limit=1)

    [found] = asyncio.run(calls())
    assert found.key == "13"
    memory.clear_all_memories()


def test_a_folder_is_opened_again_with_its_dimension(tmp_path: Path):
    """`open` makes a memory on a folder; another dimension than the folder's is refused."""
    with LangGraphStore.open(tmp_path, index=INDEX) as store:
        store.put(ANA, "k", {"text": "pizza"})
    with LangGraphStore.open(tmp_path, index=INDEX) as store:
        assert store.search(ANA, query="pizza")[0].score == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(IncompatibleError):
        LangGraphStore.open(tmp_path, index={**INDEX, "dims": DIMENSION + 1})


def test_a_store_that_could_not_be_opened_holds_no_folder(tmp_path: Path):
    """A wrong index leaves the folder free, and an index for another encoder is refused."""
    config = MemoryConfig(encoder=StateEncoder(DIMENSION + 1), dimension=DIMENSION + 1)
    with pytest.raises(BadInputError, match=r"^index\.embed: is missing"):
        LangGraphStore.open(tmp_path, index={**INDEX, "embed": None})
    with pytest.raises(BadInputError, match=r"^index\.dims: is 16, but the memory has 17"):
        LangGraphStore.open(tmp_path, index=INDEX, config=config)
    with LangGraphStore.open(tmp_path, config=config) as store:
        store.put(ANA, "k", {"text": "pizza"})
    assert (store.index_config, store.embeddings) == (None, None)


class State(TypedDict):
    """Of the graph below."""

    user: str
    said: str
    remembered: list[str]


def test_a_graph_remembers_across_runs(store: LangGraphStore):
    """A LangGraph graph that was compiled with the store puts and finds through it."""
    graphs = pytest.importorskip("langgraph.graph")

    async def remember(state: State, *, store: BaseStore) -> dict[str, Any]:
        namespace = ("memories", state["user"])
        found = await store.asearch(namespace, query=state["said"], limit=3)
        await store.aput(namespace, state["said"], {"text": state["said"]})
        return {"remembered": [one.key for one in found]}

    builder = graphs.StateGraph(State)
    builder.add_node("remember", remember)
    builder.add_edge(graphs.START, "remember")
    graph = builder.compile(store=store)

    async def runs() -> list[list[str]]:
        said = [("ana", "pizza"), ("bob", "tea"), ("ana", "hills"), ("ana", "pizza")]
        return [
            (await graph.ainvoke({"user": user, "said": text, "remembered": []}))["remembered"]
            for user, text in said
        ]

    assert asyncio.run(runs()) == [[], [], ["pizza"], ["pizza", "hills"]]
