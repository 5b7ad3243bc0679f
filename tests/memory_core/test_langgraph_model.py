"""`LangGraphStore` against LangGraph's own store in memory: the same operations, the same answers.

Where that store has a fault, or leaves open what comes first, the test asks it in a way that it
answers well: an item is deleted before it is put again (it keeps vectors of fields that are gone),
items are put one by one (it miscounts texts that occur twice), namespaces are asked of a store that
only ever held what is there (it lists those that were looked at), pages are taken of a whole answer
(it repeats items without vectors on each page), and no put has the index ``["$"]`` (it takes that
for a field's name there).
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import datetime
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from memory_core import AgentMemorySystem, MemoryConfig
from memory_core.langgraph_store import LangGraphStore
from tests.memory_core.embedding import DIMENSION, embed

pytest.importorskip("langgraph.store.memory")
from langgraph.store.base import (
    GetOp,
    IndexConfig,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

INDEX: IndexConfig = {"dims": DIMENSION, "embed": embed, "fields": ["text", "tags[*]"]}
ALL = 10_000

# one label begins as another does, or sorts before the period that joins labels
labels = st.sampled_from(["a", "ab", "a-", "b", "\u00e4\U0001f600", "1"])
namespaces = st.lists(labels, min_size=1, max_size=3).map(tuple)
prefixes = st.lists(labels, max_size=2).map(tuple)
keys = st.sampled_from(["k", "1:k", "1", "\u00e9", "a.b", " "])
texts = st.sampled_from(["pizza", "hiking in the hills", "\u6f22\u5b57", "", "long " * 30])
scalars = st.sampled_from(["red", "blue", "", 1, 0, 2.5, True, False, None])
inner = st.fixed_dictionaries({}, optional={"city": scalars, "$": scalars, "0": scalars})
values = st.fixed_dictionaries(
    {"n": st.integers(-3, 3) | st.sampled_from([0.5, 2**40])},
    optional={
        "text": texts,
        # no text twice in an item
        "tags": st.lists(texts.map("tag {}".format), max_size=3, unique=True),
        "color": scalars,
        "a.b": scalars,
        "inner": inner | st.lists(scalars, max_size=2),
    },
)
indexes = st.sampled_from([None, None, False, ["color"], ["inner.city", "tags[0]"], []])
bounds = st.dictionaries(
    st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"]),
    st.integers(-3, 3) | st.just(0.5),
    min_size=1,
    max_size=2,
)
filters = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "n": bounds | st.integers(-1, 1),
        "color": scalars | scalars.map(lambda one: {"$ne": one}),
        "a.b": scalars,
        "inner": st.fixed_dictionaries({}, optional={"city": scalars, "0": scalars})
        | st.lists(scalars, max_size=2),
        "tags": st.lists(texts.map("tag {}".format), max_size=2),
        "missing": scalars,
    },
)
queries = st.sampled_from([None, None, "", "pizza", "tag pizza", "hiking in the hills", "else"])
limits = st.sampled_from([0, 1, 2, 3, 10])
offsets = st.sampled_from([0, 0, 1, 4])
searches = st.builds(SearchOp, prefixes, filters, limits, offsets, queries, st.booleans())
paths = st.lists(labels | st.just("*"), min_size=1, max_size=3).map(tuple)
matches = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), paths)
listings = st.builds(
    ListNamespacesOp,
    st.none() | st.lists(matches, max_size=2).map(tuple),
    st.none() | st.integers(1, 3),
    limits,
    offsets,
)
puts = st.builds(PutOp, namespaces, keys, values, indexes, st.none())
deletions = st.builds(PutOp, namespaces, keys, st.none(), st.none(), st.none())
gets = st.builds(GetOp, namespaces, keys, st.booleans())
batches = st.lists(puts | deletions | gets | searches | listings, max_size=8)


class Faces(RuleBasedStateMachine):
    """Both stores, and when each item was first put, by our own account."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="faces-")
        self.model = InMemoryStore(index=INDEX)
        self.created: dict[tuple[tuple[str, ...], str], datetime] = {}

    @initialize(capacity=st.sampled_from([1_000, 3]))
    def begin(self, capacity: int) -> None:
        self.config = MemoryConfig(durability="os", stm_capacity=capacity)
        self.store = self.opened()

    def opened(self) -> LangGraphStore:
        return LangGraphStore.open(self.folder, index=INDEX, config=self.config)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule()
    def open_again(self) -> None:
        """What was put is there in the next process."""
        self.store.close()
        self.store = self.opened()

    @rule(percentage=st.sampled_from([50.0, 100.0]))
    def move_down(self, percentage: float) -> None:
        """Where a memory lies makes no difference."""
        memory = self.store.memory
        assert isinstance(memory, AgentMemorySystem)
        memory.force_transition_to_im(percentage=percentage)

    @rule(op=puts, asynchronously=st.booleans())
    def put(self, op: PutOp, asynchronously: bool) -> None:
        assert op.value is not None
        if asynchronously:
            asyncio.run(self.store.aput(op.namespace, op.key, op.value, op.index))
        else:
            self.store.put(op.namespace, op.key, op.value, op.index)
        self.put_to_model(op)
        self.check_get(GetOp(op.namespace, op.key))

    @rule(namespace=namespaces, key=keys)
    def delete(self, namespace: tuple[str, ...], key: str) -> None:
        self.store.delete(namespace, key)
        self.put_to_model(PutOp(namespace, key, None))
        assert self.store.get(namespace, key) is None

    @rule(op=gets)
    def check_get(self, op: GetOp) -> None:
        self.check(op, self.store.get(op.namespace, op.key))

    @rule(op=searches, asynchronously=st.booleans())
    def search(self, op: SearchOp, asynchronously: bool) -> None:
        call: Any = self.store.asearch if asynchronously else self.store.search
        found = call(
            op.namespace_prefix,
            query=op.query,
            filter=op.filter,
            limit=op.limit,
            offset=op.offset,
        )
        self.check(op, asyncio.run(found) if asynchronously else found)

    @rule(op=listings)
    def list_namespaces(self, op: ListNamespacesOp) -> None:
        self.check(op, self.store.batch([op])[0])

    @rule(ops=batches, asynchronously=st.booleans())
    def batch(self, ops: list[Op], asynchronously: bool) -> None:
        """What a batch reads was there before it; of two puts of one item the last counts."""
        store = self.store
        results = asyncio.run(store.abatch(iter(ops))) if asynchronously else store.batch(iter(ops))
        assert len(results) == len(ops)
        pages = [(op, result) for op, result in zip(ops, results, strict=True)]
        for op, result in pages:
            self.check(op, result, is_before=True)
        for op in ops:
            if isinstance(op, PutOp):
                self.put_to_model(op)

    def put_to_model(self, op: PutOp) -> None:
        before = self.model.get(op.namespace, op.key)
        self.model.delete(op.namespace, op.key)
        if op.value is None:
            self.created.pop((op.namespace, op.key), None)
            return
        self.model.batch([op])
        if before is None:
            self.created.pop((op.namespace, op.key), None)

    def check(self, op: Op, result: Any, *, is_before: bool = False) -> None:
        """Compare an answer with what the model gives; ``is_before``: writes came after it."""
        if isinstance(op, GetOp):
            expected = self.model.get(op.namespace, op.key)
            if expected is None:
                assert result is None
                return
            assert (result.namespace, result.key) == (op.namespace, op.key)
            assert result.value == expected.value
            # it was created once, however often it was put
            created = self.created.setdefault((op.namespace, op.key), result.created_at)
            assert result.created_at == created
        elif isinstance(op, SearchOp):
            self.check_search(op, result, is_before=is_before)
        elif isinstance(op, ListNamespacesOp):
            there = InMemoryStore()
            for item in self.model.search((), limit=ALL):
                there.put(item.namespace, item.key, item.value)
            assert result == there.batch([op])[0]
        else:
            assert result is None

    def check_search(self, op: SearchOp, page: list[SearchItem], *, is_before: bool) -> None:
        [expected] = self.model.batch([op._replace(limit=ALL, offset=0)])
        by_item = {(one.namespace, one.key): one for one in expected}
        scores = sorted((one.score for one in expected if one.score is not None), reverse=True)
        ranks = [*scores, *[None] * (len(expected) - len(scores))]
        wanted = ranks[op.offset : op.offset + op.limit]
        assert [one.score for one in page] == pytest.approx(wanted, abs=1e-5)
        assert len({(one.namespace, one.key) for one in page}) == len(page)
        for one in page:
            other = by_item[one.namespace, one.key]
            assert one.value == other.value
            assert one.score == pytest.approx(other.score, abs=1e-5)
        stored = [one.updated_at for one in page if one.score is None]
        assert stored == sorted(stored, reverse=True)
        if not is_before and not scores:
            # pages follow each other
            [whole] = self.store.batch([op._replace(limit=ALL, offset=0)])
            assert page == whole[op.offset : op.offset + op.limit]


@pytest.mark.slow
class TestFaces(Faces.TestCase):
    """Whatever is done in whatever order, the store answers as LangGraph's own does."""

    settings = settings(
        max_examples=settings().max_examples // 4,
        stateful_step_count=20,
        # what explains a failure runs under a tracer, which is too slow for a database
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
