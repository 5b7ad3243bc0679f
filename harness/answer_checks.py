"""The history checker: each answer of a run against what its agent was told was stored.

Only an agent itself writes its memories, one operation at a time, so what a read may give is
known when it is issued: what the last acknowledged write of that id stored; or, where writes
after it were never answered, what any of those stored, for they may have been carried out or not
(a register whose open writes stay open: K. Kingsbury, "Jepsen", on histories with indeterminate
operations). Anything else is a violation:

missing   what was acknowledged is not found
wrong     another state than was stored, an older one, or an answer of another kind
doubled   one memory twice in an answer
foreign   a memory that is not the agent's own

Bounds: an agent's newest `REMEMBERED_AN_AGENT` writes are remembered, and `REMEMBERED` in one
cohort; an answer about an older one is counted as not remembered, and left to the audit at the
end of the run (`harness.audit`). States are remembered by their hash, 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from harness.targets.base import Scalar
from harness.targets.driven import Session
from memory_core.client import Answer
from memory_core.errors import BadInputError
from memory_core.operations import Delete, Retrieve, Search, Store
from memory_core.results import Done, Failure, Hits, Missing, Record, Result

__all__ = ["EXAMPLES_MAX", "AgentHistory", "AnswerCounts", "CheckedSession", "own_prefixes"]

REMEMBERED_AN_AGENT = 1_024
REMEMBERED = 2_000_000
_REMEMBERED_LEAST = 32
EXAMPLES_MAX = 5
# Failures after which the operation surely was not carried out.
_NOT_DONE = frozenset({"BadInputError", "OverloadedError", "StorageFullError"})
_EXAMPLE_CHARACTERS_MAX = 200


class AnswerCounts(msgspec.Struct):
    """What was found of answers; `examples` are sentences, the first `EXAMPLES_MAX`."""

    checked: int = 0
    not_remembered: int = 0
    missing: int = 0
    wrong: int = 0
    doubled: int = 0
    foreign: int = 0
    examples: list[str] = []

    def violation(self, kind: str, sentence: str) -> None:
        """Count one of ``missing``, ``wrong``, ``doubled`` and ``foreign``."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(sentence[:_EXAMPLE_CHARACTERS_MAX])

    def add(self, other: AnswerCounts) -> None:
        """Take another's counts in."""
        for name in self.__struct_fields__[:-1]:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.examples = [*self.examples, *other.examples][:EXAMPLES_MAX]


def own_prefixes(agent: int) -> tuple[str, ...]:
    """How the ids begin under which an agent of a generated workload stores."""
    return tuple(f"{kind}_{agent}_" for kind in ("state", "warmup", "preload"))


class AgentHistory:
    """What one agent knows of its own memories.

    Args:
        agent_id: the agent's.
        prefixes: how the ids of its memories begin; none when they may be any.
        counts: where violations are counted.
        remembered: the most writes that are remembered.
    """

    __slots__ = ("_agent_id", "_counts", "_forgot", "_prefixes", "_remembered", "_states")

    def __init__(
        self,
        agent_id: str,
        prefixes: tuple[str, ...],
        counts: AnswerCounts,
        remembered: int = REMEMBERED_AN_AGENT,
    ) -> None:
        self._agent_id = agent_id
        self._prefixes = prefixes
        self._counts = counts
        self._remembered = remembered
        self._forgot = False
        # By id: the hash of what is surely there, or of all that may be (None: nothing).
        self._states: dict[str, int | tuple[int | None, ...]] = {}

    def answered(self, operation: Store | Retrieve | Search, result: Result) -> None:
        """Check an answer against what is known, and learn from it."""
        if type(operation) is Store:
            self._stored(operation, result)
        elif isinstance(result, Failure):
            pass
        elif type(operation) is Retrieve:
            self._retrieved(operation, result)
        else:
            self._found(result)

    def _stored(self, store: Store, result: Result) -> None:
        digest = hash(store.payload)
        if type(result) is Done:
            self._remember(store.state_id, digest)
        elif not isinstance(result, Failure):
            self._wrong(f"the store of {store.state_id!r} was answered with a {_kind(result)}")
        elif result.error not in _NOT_DONE and (store.state_id in self._states or not self._forgot):
            before = self._states.get(store.state_id, (None,))
            known = before if isinstance(before, tuple) else (before,)
            self._remember(store.state_id, (*known, digest))

    def _remember(self, state_id: str, state: int | tuple[int | None, ...]) -> None:
        states = self._states
        if state_id not in states and len(states) >= self._remembered:
            del states[next(iter(states))]
            self._forgot = True
        states[state_id] = state

    def _retrieved(self, retrieve: Retrieve, result: Result) -> None:
        self._counts.checked += 1
        known = self._states.get(retrieve.state_id)
        if type(result) is Record:
            if known is None:
                self._counts.not_remembered += 1
            elif not _may_be(hash(result.payload), known):
                self._wrong(f"{retrieve.state_id!r} was answered with another state")
        elif type(result) is Missing:
            if known is None:
                self._counts.not_remembered += 1
            elif not _may_be(None, known):
                self._say("missing", f"{retrieve.state_id!r} was acknowledged and was not found")
        else:
            self._wrong(f"the retrieval of {retrieve.state_id!r} gave a {_kind(result)}")

    def _found(self, result: Result) -> None:
        self._counts.checked += 1
        if type(result) is not Hits:
            self._wrong(f"a search was answered with a {_kind(result)}")
            return
        seen = set()
        for hit in result.hits:
            state_id = hit.state_id
            if state_id in seen:
                self._say("doubled", f"a search found {state_id!r} twice")
            elif self._prefixes and not state_id.startswith(self._prefixes):
                self._say("foreign", f"a search found {state_id!r}")
            else:
                known = self._states.get(state_id)
                if known is not None and not _may_be(hash(hit.payload), known):
                    self._wrong(f"a search found {state_id!r} with another state")
            seen.add(state_id)

    def _wrong(self, what: str) -> None:
        self._say("wrong", what)

    def _say(self, kind: str, what: str) -> None:
        self._counts.violation(kind, f"agent {self._agent_id!r}: {what}")


def _may_be(digest: int | None, known: int | tuple[int | None, ...]) -> bool:
    return digest in known if isinstance(known, tuple) else digest == known


def _kind(result: Result) -> str:
    return type(result).__name__


class CheckedSession:
    """A session whose answers are checked as they come.

    Args:
        session: the one that is used.
        agents: the ids and prefixes (`own_prefixes`) of the agents that use it.

    Attributes:
        counts: what was found so far.
    """

    def __init__(self, session: Session, agents: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        self.counts = AnswerCounts()
        self._session = session
        most = max(_REMEMBERED_LEAST, min(REMEMBERED_AN_AGENT, REMEMBERED // max(len(agents), 1)))
        self._histories = {
            agent_id: AgentHistory(agent_id, prefixes, self.counts, most)
            for agent_id, prefixes in agents
        }

    @property
    def retries(self) -> int:
        """Batches that were sent again so far."""
        return self._session.retries

    async def submit(self, operation: Store | Retrieve | Search | Delete) -> Answer:
        """Send an operation, and check its answer. Raises BadInputError when it is awaited."""
        if isinstance(operation, Delete):
            raise BadInputError("batch", "holds a Delete, which no history of answers has")
        history = self._histories[operation.agent_id]
        try:
            answer = await self._session.submit(operation)
        except BadInputError:
            raise
        except BaseException:  # an agent that is ended while it waits: the write stays open
            history.answered(operation, Failure("UnavailableError", []))
            raise
        history.answered(operation, answer.result)
        return answer

    async def flush(self) -> None:
        """See `harness.targets.driven.Session`."""
        await self._session.flush()

    async def statistics(self) -> Mapping[str, Scalar]:
        """See `harness.targets.driven.Session`."""
        return await self._session.statistics()

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()
