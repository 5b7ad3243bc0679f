"""All memories of a store, from outside: page after page, whatever executes the operations.

The pages of one agent follow each other in the order of storing. Small agents are asked for many
at a time; what is under way is bounded by `ROWS_TOGETHER` and `BYTES_TOGETHER`, or one memory
where that alone is larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from memory_core.errors import MemoryCoreError
from memory_core.operations import Agents, Export, Operation
from memory_core.results import Exported, Failure, Listed, Result

__all__ = ["BYTES_TOGETHER", "ROWS_TOGETHER", "Executes", "all_pages"]

ROWS_TOGETHER = 2_000
BYTES_TOGETHER = 8 * 1024 * 1024
_AGENTS_TOGETHER = 10_000


class Executes(Protocol):
    """Anything with memories: a store, or the face of one in process or over Ray."""

    def execute(self, batch: Sequence[Operation], /) -> list[Result]:
        """One result for each operation, in order."""


def all_pages(memory: Executes, agent_id: str | None) -> Iterator[tuple[str, Exported]]:
    """The memories of one agent, or of all, with whose each page is.

    Raises:
        MemoryCoreError: what the store answered instead of a page.
    """
    for agents in _agents_together(memory, agent_id):
        first = [Export(one, 0, ROWS_TOGETHER, BYTES_TOGETHER) for one in agents]
        for owner, page in zip(agents, _execute(memory, first, Exported), strict=True):
            yield owner, page
            while page.more:
                following = Export(owner, page.last, ROWS_TOGETHER, BYTES_TOGETHER)
                [page] = _execute(memory, [following], Exported)  # noqa: PLW2901
                yield owner, page


def _agents_together(memory: Executes, agent_id: str | None) -> Iterator[list[str]]:
    """Agents whose first pages are within the bounds together."""
    if agent_id is not None:
        yield [agent_id]
        return
    after: str | None = None
    while True:
        [listed] = _execute(memory, [Agents(after, _AGENTS_TOGETHER)], Listed)
        if not listed.agents:
            return
        together: list[str] = []
        rows = size = 0
        for one in listed.agents:
            rows, size = rows + one.memories, size + one.payload_bytes
            if together and (rows > ROWS_TOGETHER or size > BYTES_TOGETHER):
                yield together
                together, rows, size = [], one.memories, one.payload_bytes
            together.append(one.agent_id)
        yield together
        after = listed.agents[-1].agent_id


def _execute(memory: Executes, batch: Sequence[Operation], expected: type[Any]) -> list[Any]:
    results = memory.execute(batch)
    for result in results:
        if isinstance(result, Failure):
            raise result.exception()
        if not isinstance(result, expected):
            raise MemoryCoreError(f"an export gave {type(result).__name__}")
    return results
