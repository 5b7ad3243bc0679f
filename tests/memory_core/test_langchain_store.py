"""`LangChainStore`: what LangChain's standard tests do not ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index

from memory_core import AgentMemorySystem, BadInputError, IncompatibleError, MemoryConfig
from memory_core.langchain_store import LangChainStore
from tests.memory_core.embedding import DIMENSION
from tests.memory_core.killed_face import ByDigest

TEXTS = ["pizza", "hiking in the hills", "a red bicycle"]
METADATAS: list[dict[str, Any]] = [
    {"user": "ana", "year": 2019},
    {"user": "ana", "year": 2024, "tags": ["sport"]},
    {"user": "bob", "year": 2024},
]


@pytest.fixture(scope="module")
def memory() -> Iterator[AgentMemorySystem]:
    with AgentMemorySystem(MemoryConfig(dimension=DIMENSION)) as system:
        yield system


@pytest.fixture
def store(memory: AgentMemorySystem) -> Iterator[LangChainStore]:
    store = LangChainStore(memory, ByDigest(), collection="texts")
    store.add_texts(TEXTS, METADATAS, ids=["1", "2", "3"])
    yield store
    memory.clear_all_memories()


def test_documents_are_memories(store: LangChainStore, memory: AgentMemorySystem):
    """What was added is read by the memory's own face, in the collection's agent."""
    assert memory.count_memories("texts").total == 3
    state = memory.retrieve_state(agent_id="texts", state_id="2")
    assert state == {"page_content": TEXTS[1], "metadata": METADATAS[1]}
    vector = ByDigest().embed_query(TEXTS[1])
    [similar] = memory.search_by_embedding(agent_id="texts", embedding=vector, k=1)
    assert (similar.state_id, similar.score) == ("2", pytest.approx(1.0))


def test_memories_are_documents(store: LangChainStore, memory: AgentMemorySystem):
    """What another face stored is a document with its state as JSON."""
    memory.store_agent_state(agent_id="texts", state_id="own", state_data={"health": 0.5})
    expected = Document(id="own", page_content='{"health": 0.5}', metadata={})
    assert store.get_by_ids(["own", "none"]) == [expected]


def test_collections_are_apart(store: LangChainStore, memory: AgentMemorySystem):
    """A collection neither shows nor deletes another's documents."""
    other = LangChainStore(memory, ByDigest(), collection="other")
    assert other.similarity_search("pizza") == []
    other.add_texts(["pizza"], ids=["1"])
    assert other.delete()
    assert other.get_by_ids(["1"]) == []
    assert [one.page_content for one in store.get_by_ids(["1"])] == ["pizza"]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"user": "ana"}, {"1", "2"}),
        ({"user": "ana", "year": {"$gte": 2020}}, {"2"}),
        ({"tags": {"$contains": "sport"}}, {"2"}),
        ({"user": {"$in": ["eve"]}}, set()),
        ({}, {"1", "2", "3"}),
        (None, {"1", "2", "3"}),
    ],
)
def test_a_filter_asks_for_metadata(store: LangChainStore, wanted: Any, ids: set[str]):
    """Of the documents that the filter lets through, k are found if there are k."""
    found = store.similarity_search("pizza", k=3, filter=wanted)
    assert {one.id for one in found} == ids
    assert len(store.similarity_search("pizza", k=1, filter=wanted)) == min(1, len(ids))


def test_scores_are_cosines_and_relevance_is_within_0_and_1(store: LangChainStore):
    """A text is wholly similar to itself; what is dissimilar has the relevance 0."""
    query = "a red bicycle"  # which the hills are unlike
    scored = store.similarity_search_with_score(query, k=3)
    assert (scored[0][0].id, scored[0][1]) == ("3", pytest.approx(1.0, abs=1e-6))
    assert [score for _, score in scored] == sorted((one for _, one in scored), reverse=True)
    assert min(score for _, score in scored) < 0
    relevant = store.similarity_search_with_relevance_scores(query, k=3)
    assert [one for _, one in relevant] == [max(0.0, min(1.0, score)) for _, score in scored]
    [only] = store.similarity_search_with_relevance_scores(query, score_threshold=0.9)
    assert only[0].id == "3"


def test_a_vector_finds_as_its_text_does(store: LangChainStore):
    """A search by a ready vector gives what the search by its text gives."""
    vector = ByDigest().embed_query("hiking in the hills")
    by_text = store.similarity_search_with_score("hiking in the hills")
    assert store.similarity_search_with_score_by_vector(vector) == by_text
    assert store.similarity_search_by_vector(vector) == [one for one, _ in by_text]


def test_asynchronous_calls_give_the_same(store: LangChainStore):
    """What is added, found and deleted without blocking the loop is the same."""

    async def calls() -> None:
        ids = await store.aadd_texts(["tea"], [{"user": "eve"}], ids=["4"])
        assert ids == ["4"]
        [found] = await store.asimilarity_search("tea", k=1, filter={"user": "eve"})
        assert found == Document(id="4", page_content="tea", metadata={"user": "eve"})
        [(_, score)] = await store.asimilarity_search_with_score("tea", k=1)
        assert score == pytest.approx(1.0, abs=1e-6)
        assert await store.adelete(["4"])
        assert await store.aget_by_ids(["4"]) == []

    asyncio.run(calls())


def test_a_retriever_passes_its_filter_on(store: LangChainStore):
    """A retriever made of the store searches with its keywords."""
    retriever = store.as_retriever(search_kwargs={"k": 2, "filter": {"user": "bob"}})
    assert [one.id for one in retriever.invoke("pizza")] == ["3"]


def test_langchains_indexer_keeps_it_up_to_date(store: LangChainStore):
    """LangChain's indexing adds, skips and deletes documents through the store."""
    records = InMemoryRecordManager("texts")
    records.create_schema()
    documents = [
        Document(page_content="new", metadata={"source": "a"}),
        Document(page_content="also new", metadata={"source": "b"}),
    ]

    def indexed(some: list[Document]) -> tuple[int, int, int]:
        done = index(
            some, records, store, cleanup="full", source_id_key="source", key_encoder="sha256"
        )
        return done["num_added"], done["num_skipped"], done["num_deleted"]

    assert indexed(documents) == (2, 0, 0)
    assert indexed(documents[:1]) == (0, 1, 1)
    assert [one.page_content for one in store.similarity_search("also new", k=9)].count("new") == 1


def test_it_is_there_when_it_is_opened_again(tmp_path: Path):
    """Documents stay with their folder, which opens with their dimension only."""
    path = tmp_path / "memories"
    with LangChainStore.from_texts(TEXTS, ByDigest(), METADATAS, path=path) as store:
        assert isinstance(store.embeddings, ByDigest)
    with LangChainStore.open(path, ByDigest(), dimension=DIMENSION) as store:
        assert store.similarity_search("pizza", k=1)[0].metadata == METADATAS[0]
    with pytest.raises(IncompatibleError):
        LangChainStore.open(path, ByDigest(), dimension=DIMENSION + 1)


def test_texts_that_cannot_be_kept_leave_the_folder_free(tmp_path: Path):
    """`from_texts` closes what it opened when its texts are refused."""
    with pytest.raises(BadInputError, match=r"^ids: are 1, but the texts are 3"):
        LangChainStore.from_texts(TEXTS, ByDigest(), ids=["1"], path=tmp_path / "x")
    with LangChainStore.open(tmp_path / "x", ByDigest(), dimension=DIMENSION) as store:
        assert store.add_texts([]) == []
        assert store.similarity_search("pizza") == []


def test_texts_alone_make_a_store(memory: AgentMemorySystem):
    """`from_texts` goes on a memory that there is, or keeps the texts in a temporary folder."""
    store = LangChainStore.from_texts(["tea"], ByDigest(), memory=memory, collection="one")
    assert store.memory is memory
    assert memory.count_memories("one").total == 1
    memory.clear_all_memories()
    private = asyncio.run(LangChainStore.afrom_texts(["tea"], ByDigest(), ids=["t"]))
    assert [one.id for one in private.similarity_search("tea")] == ["t"]
    private.close()


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda one: one.add_texts(["a"], ids=[""]), "ids: is empty"),
        (lambda one: one.add_texts(["a"], ids=["1", "2"]), "ids: are 2, but the texts are 1"),
        (lambda one: one.add_texts(["a"], ids="1"), "ids: must be a list, not str"),
        (lambda one: one.add_texts(["a"], [{}, {}]), "metadatas: are 2, but the texts are 1"),
        (lambda one: one.add_texts(["a"], [{"x": float("nan")}]), r"metadatas\.x: is nan"),
        (lambda one: one.add_texts(["a"], [{"x": object()}]), r"metadatas\.x: is of type object"),
        (lambda one: one.add_texts(["\ud800"]), "texts: holds a lone surrogate"),
        (lambda one: one.add_texts([1]), r"texts\[0\]: must be text, not int"),
        (lambda one: one.similarity_search("a", k=0), "k: must be a whole number from 1"),
        (lambda one: one.similarity_search("a", filter={"x": {"$like": 1}}), "filter: has the op"),
        (lambda one: one.similarity_search_by_vector([1.0]), "embedding: has 1 dimensions"),
        (lambda one: one.similarity_search_by_vector([0.0] * DIMENSION), "embedding: is all zeros"),
        (lambda one: one.get_by_ids([""]), "ids: is empty"),
        (lambda one: one.delete([""]), "ids: is empty"),
    ],
)
def test_bad_input_is_named_as_it_was_given(store: LangChainStore, call: Any, problem: str):
    """What is wrong is named by LangChain's word for it, and nothing was added."""
    with pytest.raises(BadInputError, match=f"^{problem}"):
        call(store)
    assert len(store.similarity_search("a", k=9)) == 3


def test_an_unknown_keyword_is_a_type_error(store: LangChainStore):
    """A condition by another library's name is not overlooked."""
    with pytest.raises(TypeError, match="where"):
        store.similarity_search("pizza", where={"user": "ana"})
    with pytest.raises(TypeError, match="folder"):
        LangChainStore.from_texts(["a"], ByDigest(), folder="x")
