"""A batch of LangGraph's operations: looked at, joined with others, executed.

What a batch reads is what was there before it, and of several puts of one item the last counts, as
in LangGraph's own stores. Batches that were asked for at the same moment can be one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchOp,
    validate_op_namespace,
)

from memory_core.asking import results_of
from memory_core.errors import BadInputError
from memory_core.face import MemoryFace
from memory_core.langgraph_index import Embedded, Index
from memory_core.langgraph_items import deletions_of, item_of, stores_of
from memory_core.langgraph_namespaces import (
    Namespace,
    agent_of,
    agents_within,
    check_key,
    check_namespace,
    namespace_of,
)
from memory_core.langgraph_search import found_by, memories_by_key
from memory_core.payload import pack_state
from memory_core.results import Deleted, Done, Memory

__all__ = ["Batch"]

_Item = tuple[str, str]
# What an operation's fields are called where items are.
_CALLED = {"agent_id": "namespace", "state_id": "key", "state_data": "value", "vector": "index"}


class Batch:
    """Operations, looked at before anything is done.

    Attributes:
        texts: of the items to put, to be embedded.
        queries: of the searches, to be embedded.
        embedded: vectors of the texts, before it is executed.
        asked: vectors of the queries, likewise.

    Raises:
        BadInputError, InvalidNamespaceError, NotImplementedError: an operation is wrong.
    """

    def __init__(self, ops: Iterable[Op], index: Index | None) -> None:
        self._ops = list(ops)
        self._puts: dict[_Item, PutOp] = {}
        self._payloads: dict[_Item, bytes] = {}
        self._texts_of: dict[_Item, list[str]] = {}
        self.texts: list[str] = []
        self.queries: list[str] = []
        self.embedded, self.asked = Embedded(), Embedded()
        for op in self._ops:
            _check(op)
            if isinstance(op, PutOp):
                self._puts[agent_of(op.namespace), op.key] = op  # the last one counts
        for item, put in self._puts.items():
            if put.value is not None:
                self._payloads[item] = pack_state(put.value, "value")
        if index is None:
            return
        self._texts_of = {item: index.texts_of(put) for item, put in self._puts.items()}
        self.texts = list(dict.fromkeys(text for some in self._texts_of.values() for text in some))
        asked = (op.query for op in self._ops if isinstance(op, SearchOp) and op.query)
        self.queries = list(dict.fromkeys(asked))

    def __len__(self) -> int:
        return len(self._ops)

    @classmethod
    def joined(cls, batches: Sequence[Batch]) -> Batch:
        """Batches as one, whose results are theirs one after another."""
        whole = cls((), None)
        for one in batches:
            whole._ops += one._ops
            for mine, others in zip(whole._parts(), one._parts(), strict=True):
                mine.update(others)
        return whole

    def executed(self, memory: MemoryFace) -> list[Result]:
        """Do it: read first, then write. Raises MemoryCoreError."""
        try:
            return self._executed(memory)
        except BadInputError as error:
            raise BadInputError(_CALLED.get(error.field, error.field), error.problem) from None

    def _executed(self, memory: MemoryFace) -> list[Result]:
        gets = [op for op in self._ops if isinstance(op, GetOp)]
        keys = [(agent_of(op.namespace), op.key) for op in gets] + list(self._puts)
        before = memories_by_key(memory, keys)
        writes = [
            operation
            for item, put in self._puts.items()
            for operation in self._writes_of(item, put, before.get(item))
        ]
        results = [self._read(op, memory, before) for op in self._ops]
        for _ in results_of(memory, writes, Done, Deleted):
            pass
        return results

    def _parts(self) -> tuple[dict[Any, Any], ...]:
        """What is there by item, by text and by query."""
        return self._puts, self._payloads, self._texts_of, self.embedded, self.asked

    def _read(
        self,
        op: Op,
        memory: MemoryFace,
        before: dict[_Item, Memory],
    ) -> Result:
        if isinstance(op, GetOp):
            found = before.get((agent_of(op.namespace), op.key))
            return None if found is None else item_of(tuple(op.namespace), found)
        if isinstance(op, SearchOp):
            return found_by(memory, op, self.asked.get(op.query or ""))
        if isinstance(op, ListNamespacesOp):
            return _listed(memory, op)
        return None

    def _writes_of(self, item: _Item, put: PutOp, before: Memory | None) -> Sequence[Any]:
        if put.value is None:
            return deletions_of(put.namespace, put.key, before)
        vectors = [self.embedded[text] for text in self._texts_of.get(item, ())]
        with_direction = [vector for vector in vectors if vector is not None]
        return stores_of(put.namespace, put.key, self._payloads[item], with_direction, before)


def _check(op: Any) -> None:
    """Look for what no operation may be."""
    if not isinstance(op, GetOp | SearchOp | PutOp | ListNamespacesOp):
        raise BadInputError("ops", f"holds a {type(op).__name__}, which is no operation")
    validate_op_namespace(op)
    if isinstance(op, GetOp | PutOp):
        if not op.namespace:
            raise InvalidNamespaceError("Namespace cannot be empty.")
        check_namespace(op.namespace)
        check_key(op.key)
    if isinstance(op, PutOp) and op.ttl is not None:
        raise NotImplementedError(
            "an item has no time-to-live of its own here; put it without ttl, and set "
            "stm_ttl_s, im_ttl_s and ltm_ttl_s of MemoryConfig"
        )


def _listed(memory: MemoryFace, op: ListNamespacesOp) -> list[Namespace]:
    conditions = op.match_conditions or ()
    namespaces = {
        namespace[: op.max_depth]
        for agent_id in agents_within(memory, ())
        if (namespace := namespace_of(agent_id)) is not None
        and all(_matches(namespace, condition) for condition in conditions)
    }
    return sorted(namespaces)[op.offset : op.offset + op.limit]


def _matches(namespace: Namespace, condition: MatchCondition) -> bool:
    count = len(condition.path)
    if condition.match_type not in {"prefix", "suffix"}:
        raise BadInputError("match_type", f"must be prefix or suffix, not {condition.match_type!r}")
    if len(namespace) < count:
        return False
    labels = namespace[:count] if condition.match_type == "prefix" else namespace[-count:]
    return all(wanted in {"*", label} for wanted, label in zip(condition.path, labels, strict=True))
