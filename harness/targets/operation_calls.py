"""Operations as calls of a store's methods, and what the methods gave as results.

`StoreCalls` knows the methods of one `OpenStore`; of each kind of operation it gives the method and
its arguments, and judges what came back. A store is somebody else's code: what it gives is looked
at before anything is made of it, and what it raises is a result.

Not thread-safe, as its encoder is not: each thread has one of its own.
"""

from __future__ import annotations

import errno
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import first_line
from harness.targets.base import Capabilities, Memory, OpenStore, Query
from harness.targets.method_checks import KINDS, OneOperation, batched_kinds
from harness.targets.refusals import where_of
from harness.targets.waiting import WITH_VECTOR, Waiting, all_of, late
from memory_core import StateEncoder
from memory_core.client import Answer, BatchTiming
from memory_core.errors import (
    BadInputError,
    DeadlineError,
    MemoryCoreError,
    StorageFullError,
    UnavailableError,
)
from memory_core.operations import Delete, Retrieve, Search, Store
from memory_core.results import DONE, MISSING, Deleted, Failure, Hit, Hits, Record, Result

__all__ = ["ENCODED_TOGETHER", "StoreCalls", "is_bad_input"]

# How many of those that wait one by one have their vectors made together.
ENCODED_TOGETHER = 64
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_MESSAGE_MAX = 200


def is_bad_input(failure: Failure) -> bool:
    """Whether it is what was asked that is wrong: of a batch, one operation, and no other."""
    return failure.error == BadInputError.__name__


class _WrongAnswerError(Exception):
    """A method gave what it must not give; the text says what it must give."""


class StoreCalls:
    """The calls of one store; see the module's head.

    Args:
        store: opened, and found good by `check_methods`.
        capabilities: of its target.
        dimension: of the vectors.
    """

    def __init__(self, store: OpenStore, capabilities: Capabilities, dimension: int) -> None:
        self.store = store
        self._dimension = dimension
        self._encode = StateEncoder(dimension).encode_packed
        self._class = type(store).__name__
        methods: Any = store
        self.single: Mapping[type[Any], Callable[..., Any]] = {
            kind: getattr(methods, name) for kind, name in KINDS.items()
        }
        self._store, self._retrieve = self.single[Store], self.single[Retrieve]
        self.many: Mapping[type[Any], Callable[..., Any]] = {
            kind: getattr(methods, f"{KINDS[kind]}_many") for kind in batched_kinds(capabilities)
        }

    def encode(self, waiting: Sequence[Waiting]) -> None:
        """Make the vectors of those that have none yet, together; of what is wrong none is made.

        What it takes counts, in equal parts, as service of each.
        """
        began_ns = perf_counter_ns()
        bare = []
        for one in waiting:
            operation = one.operation
            if type(operation) in WITH_VECTOR:
                if operation.vector is None:
                    bare.append(one)
                else:
                    self._encode_given(one)
        if not bare:
            return
        vectors: Iterable[npt.NDArray[np.float32] | None]
        try:
            vectors = self._encode([one.operation.payload for one in bare])
        except Exception:  # noqa: BLE001 - a state that is wrong fails no other
            for one in bare:
                self._encode_alone(one)
            vectors = [one.vector for one in bare]
        share_ns = (perf_counter_ns() - began_ns) // len(bare)
        for one, vector in zip(bare, vectors, strict=True):
            one.vector, one.encoding_ns = vector, share_ns

    def _encode_alone(self, one: Waiting) -> None:
        try:
            one.vector = self._encode((one.operation.payload,))[0]
        except Exception as error:  # noqa: BLE001 - as above
            one.problem = error

    def _encode_given(self, one: Waiting) -> None:
        try:
            one.vector = _unit_vector(one.operation.vector, self._dimension)
        except BadInputError as error:
            one.problem = error

    def arguments(self, one: Waiting) -> tuple[Any, ...]:
        """Of the single method. Raises what its encoding raised."""
        operation = one.operation
        if type(operation) in WITH_VECTOR:
            return (self._argument(one),)
        return operation.agent_id, operation.state_id

    def prepare_many(
        self, firsts: Sequence[Waiting], began_ns: int, deadline_ns: int
    ) -> tuple[list[Waiting], list[Any]]:
        """Those of the operations of one kind that can be sent, and the argument for them.

        The others have their answers: they are too late, or wrong.
        """
        sent = []
        for one in all_of(firsts):
            if began_ns - one.issued_ns > deadline_ns:
                one.answer = late(began_ns)
            else:
                one.sent_ns = began_ns
                sent.append(one)
        if sent and type(sent[0].operation) is Retrieve:
            return sent, [(one.operation.agent_id, one.operation.state_id) for one in sent]
        self.encode(sent)
        for one in sent:
            if one.problem is not None:
                one.answer = Answer(self.failure(one.problem), BatchTiming(0, 1, 1, began_ns, 0, 0))
        good = [one for one in sent if one.problem is None]
        return good, [self._argument(one) for one in good]

    def _argument(self, one: Waiting) -> Memory | Query:
        operation = one.operation
        if one.vector is None:
            if one.problem is None:
                self.encode((one,))
            if one.problem is not None:
                raise one.problem
        vector: Any = one.vector
        if type(operation) is Store:
            return Memory(operation.agent_id, operation.state_id, operation.payload, vector)
        where = None if operation.filter is None else where_of(operation)
        return Query(operation.agent_id, vector, operation.k, where)

    def call(self, one: Waiting) -> Result:
        """Make the call of a plain single method. Raises what it raises."""
        operation = one.operation
        kind = type(operation)
        given: Any
        if kind is Store and one.vector is not None:
            memory = Memory(operation.agent_id, operation.state_id, operation.payload, one.vector)
            given = self._store(memory)
            if given is None:
                return DONE
        elif kind is Retrieve:
            given = self._retrieve(operation.agent_id, operation.state_id)
            if type(given) is bytes:
                return Record(given, "")
        else:
            given = self.single[kind](*self.arguments(one))
        return self.result(operation, given)

    def result(self, operation: OneOperation, given: Any) -> Result:
        """What a single method gave, as a result; a `Failure` where it gave something wrong."""
        try:
            return self._checked(type(operation), operation, given, "")
        except _WrongAnswerError as error:
            return _wrong(error)

    def results_of_many(self, operations: Sequence[OneOperation], given: Any) -> list[Result]:
        """What a ``..._many`` method gave: a result of each operation."""
        kind = type(operations[0])
        try:
            if kind is Store:
                done = self._checked(kind, operations[0], given, "_many")
                return [done] * len(operations)
            if not isinstance(given, list | tuple) or len(given) != len(operations):
                raise self._mismatch(kind, "_many", f"a list of {len(operations)}", given)
        except _WrongAnswerError as error:
            return [_wrong(error)] * len(operations)
        return [self._of_many(kind, *pair) for pair in zip(operations, given, strict=True)]

    def failure(self, error: BaseException) -> Failure:
        """What an exception of the store's means."""
        known: Any = None
        if isinstance(error, Exception):
            try:
                known = self.store.failure(error)
            except Exception:  # noqa: BLE001 - the store's mapping of errors is its own code, too
                known = None
        if isinstance(known, MemoryCoreError):
            return Failure.of(known)
        return Failure.of(_known(error))

    def _of_many(self, kind: type[Any], operation: OneOperation, given: Any) -> Result:
        try:
            return self._checked(kind, operation, given, "_many")
        except _WrongAnswerError as error:
            return _wrong(error)

    def _checked(self, kind: type[Any], operation: Any, given: Any, suffix: str) -> Result:
        if kind is Store:
            if inspect.isawaitable(given):
                raise self._mismatch(kind, suffix, "None", given)
            return DONE
        if kind is Retrieve:
            if given is None:
                return MISSING
            if type(given) is not bytes:
                raise self._mismatch(kind, suffix, "bytes or None", given)
            return Record(given, "")
        if kind is Delete:
            if not isinstance(given, bool | np.bool_):
                raise self._mismatch(kind, suffix, "True or False", given)
            return Deleted(int(given))
        return self._hits(operation, given, suffix)

    def _hits(self, operation: Search, given: Any, suffix: str) -> Hits:
        if type(given) is not list and not isinstance(given, Sequence):
            raise self._mismatch(Search, suffix, "a list of Hit", given)
        if len(given) > operation.k:
            raise _WrongAnswerError(
                f"{self._class}.search{suffix} gave {len(given)} hits, more than the {operation.k} "
                "that were asked for"
            )
        try:
            hits = [Hit(state_id, float(score), "", payload) for state_id, score, payload in given]
        except (TypeError, ValueError):
            raise self._mismatch(Search, suffix, "a list of Hit", given) from None
        for hit in hits:
            if type(hit.state_id) is not str or type(hit.payload) is not bytes:
                wanted = "hits of a text, a number and bytes"
                raise self._mismatch(Search, suffix, wanted, hit.state_id, hit.payload)
        return Hits(hits)

    def _mismatch(
        self, kind: type[Any], suffix: str, wanted: str, *given: Any
    ) -> _WrongAnswerError:
        for one in given:
            if inspect.iscoroutine(one):
                one.close()
        method = f"{self._class}.{KINDS[kind]}{suffix}"
        found = " and ".join(_named(one) for one in given)
        return _WrongAnswerError(f"{method} must give {wanted}, not {found}")


def _unit_vector(data: bytes, dimension: int) -> npt.NDArray[np.float32]:
    """A given vector, scaled to unit length. Raises BadInputError."""
    if len(data) != 4 * dimension:
        problem = f"has {len(data) // 4} dimensions, but this store has {dimension}"
        raise BadInputError("vector", problem)
    vector = np.frombuffer(data, np.float32).astype(np.float64)
    norm = math.sqrt(float(vector @ vector))
    if not math.isfinite(norm) or norm == 0.0:
        raise BadInputError("vector", "must be of finite numbers that are not all zero")
    return (vector / norm).astype(np.float32)


def _named(value: Any) -> str:
    if inspect.isawaitable(value):
        return "something to be awaited (declare the method async def)"
    if isinstance(value, list | tuple):
        inside = f" of {type(value[0]).__name__}" if value else ""
        return f"a {type(value).__name__} of length {len(value)}{inside}"
    return type(value).__name__


def _wrong(error: _WrongAnswerError) -> Failure:
    return Failure.of(MemoryCoreError(str(error)))


def _known(error: BaseException) -> MemoryCoreError:
    if isinstance(error, MemoryCoreError):
        return error
    message = f"{type(error).__name__}: {first_line(error)}"[:_MESSAGE_MAX].rstrip(": ")
    if isinstance(error, TimeoutError):
        return DeadlineError(message)
    if isinstance(error, ConnectionError):
        return UnavailableError(message)
    if isinstance(error, OSError) and error.errno in _FULL:
        return StorageFullError(str(error.filename or "the store's disk"), message)
    return MemoryCoreError(message)
