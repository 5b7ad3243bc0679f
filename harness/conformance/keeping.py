"""The points about what is kept: read your writes, overwrite, isolation, missing ids, unicode.

A point stores under agents of its own, and asks one operation at a time, so that a store that
breaks one of them is named by that one. No agent's id begins with another's but where that is what
is looked at.
"""

from __future__ import annotations

import unicodedata

from harness.conformance.asking import RefusedError, State, Vector, names, require
from harness.conformance.ground import Ground

__all__ = ["isolation", "missing_ids", "overwrite", "read_your_writes", "unicode_text"]

_MEMORIES = 24
_LARGE_CHARACTERS = 60_000
_VERSIONS = 3
# Ids that a store mixes up that looks for a prefix, for a pattern, or joins ids with a separator.
_NEIGHBOURS = ("pen", "pen1", "pen10", "pen%", "pen_", "pen*", "pen?", "Pen", "pen ")
_SEPARATORS = ":/|-._ #,"
_TEXTS = (
    "é",  # the same letter, composed and not
    unicodedata.normalize("NFD", "é"),
    "straße",
    "STRASSE",
    "Ωmega ωmega",
    "ﬁ",  # a ligature
    "日本語のメモリ",
    "\N{HEBREW LETTER ALEF}\N{RIGHT-TO-LEFT ISOLATE}\N{ARABIC LETTER BEH}",
    "\N{FAMILY}\N{ZERO WIDTH JOINER}\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}",
    "\N{MATHEMATICAL FRAKTUR SMALL N} beyond 16 bits \N{BRAIN}",
    'it\'s "quoted" \\ and; -- {braced} [listed] <tagged> 100% $1 `back`',
    "two\nlines, a\ttab and a \x00",
)


def _state(number: int, **more: object) -> State:
    return {
        "number": number,
        "level": number / 7,
        "name": f"memory {number}",
        "calm": number % 2 == 0,
        "nothing": None,
        "bag": {"food": number, "tools": ["axe", {"edge": -0.125}], "empty": {}},
        "path": [number, number + 0.5, []],
        "large": 2**53 + number,
        **more,
    }


async def read_your_writes(ground: Ground) -> str:
    """Each memory is read and found right after it was stored, and again at the end."""
    asker, agent = ground.asker, "reader"
    kept: dict[str, State] = {}
    for number, vector in enumerate(ground.vectors(_MEMORIES)):
        state_id, state = f"own-{number:02d}", _state(number)
        # every third vector is the encoder's
        query = state if number % 3 == 2 else vector
        await asker.store(agent, state_id, state, None if number % 3 == 2 else vector)
        await asker.expect(agent, state_id, state)
        await asker.expect_nearest(agent, state_id, state, query)
        kept[state_id] = state
    large = _state(_MEMORIES, text="long " * (_LARGE_CHARACTERS // 5))
    await asker.store(agent, "own-large", large, ground.vectors(1)[0])
    kept["own-large"] = large
    for state_id, state in reversed(kept.items()):
        await asker.expect(agent, state_id, state)
    return f"{len(kept)} memories were read and found at once, as they were stored"


async def overwrite(ground: Ground) -> str:
    """Of a memory that was stored again, the last state and vector are there, once."""
    asker, agent = ground.asker, "writer"
    ids = ["over-a", "over-b", "over-c"]
    lasts = ground.vectors(len(ids))
    before: dict[str, Vector] = {}
    for version in range(_VERSIONS):
        is_last = version == _VERSIONS - 1
        for place, state_id in enumerate(ids):
            # An earlier vector is like the last one of the next memory: searched for, that is to
            # be found, unless the earlier one is still there.
            earlier = ground.near(lasts[(place + 1) % len(ids)])
            state = _state(10 * place + version, **{f"only in {version}": True})
            await asker.store(agent, state_id, state, lasts[place] if is_last else earlier)
            await asker.expect(agent, state_id, state)
            if not is_last:
                before[state_id] = earlier
    for place, state_id in enumerate(ids):
        state = _state(10 * place + _VERSIONS - 1, **{f"only in {_VERSIONS - 1}": True})
        await asker.expect(agent, state_id, state)
        await asker.expect_nearest(agent, state_id, state, lasts[place])
        nearest = await asker.search(agent, before[state_id], 1)
        require(
            [hit.state_id for hit in nearest] == [ids[(place + 1) % len(ids)]],
            f"a search still finds {state_id!r} by what it was stored with before",
        )
        hits = await asker.search(agent, before[state_id], 10)
        found = [hit.state_id for hit in hits]
        require(
            len(set(found)) == len(found)
            and all(f"only in {_VERSIONS - 1}" in hit.state for hit in hits),
            f"a search found {names(sorted(found))}: one that was stored again is there as before",
        )
    return f"of {len(ids)} memories stored {_VERSIONS} times, only the last state is read and found"


async def isolation(ground: Ground) -> str:
    """Agents with ids like each other's see their own memories only."""
    asker = ground.asker
    [vector] = ground.vectors(1)
    pairs = [("pen" + mark + "a", "b") for mark in _SEPARATORS]
    pairs += [("pen", "a" + mark + "b") for mark in _SEPARATORS]
    own: dict[str, dict[str, State]] = {}
    stored = [(agent, "common") for agent in _NEIGHBOURS]
    stored += [(agent, f"of-{place}") for place, agent in enumerate(_NEIGHBOURS)]
    for number, (agent, state_id) in enumerate(stored + pairs):
        state = _state(number, owner=agent, id=state_id)
        await asker.store(agent, state_id, state, ground.near(vector))
        own.setdefault(agent, {})[state_id] = state
    for agent, memories in own.items():
        for state_id, state in memories.items():
            require(
                await asker.retrieve(agent, state_id) == state,
                f"{state_id!r} of agent {agent!r} is another agent's, or gone",
            )
        hits = await asker.search(agent, vector, 50)
        foreign = sorted({str(hit.state.get("owner")) for hit in hits} - {agent})
        require(not foreign, f"a search of agent {agent!r} found memories of {names(foreign)}")
        found = sorted(hit.state_id for hit in hits)
        require(
            set(found) <= set(memories) and len(set(found)) == len(found),
            f"a search of agent {agent!r} found {names(found)}; it has {names(memories)}",
        )
    await _strangers(ground, own)
    return f"{len(own)} agents with ids like each other's saw their own memories only"


async def _strangers(ground: Ground, own: dict[str, dict[str, State]]) -> None:
    """Break if an agent can read what another has stored under an id of its own."""
    agents = [*_NEIGHBOURS, "stranger"]
    for place, agent in enumerate(agents):
        other = _NEIGHBOURS[place - 1]
        state_id = next(one for one in own[other] if one.startswith("of-"))
        try:
            found = await ground.asker.retrieve(agent, state_id)
        except RefusedError:  # nothing leaked; `missing_ids` says that it is an error
            continue
        require(found is None, f"agent {agent!r} can read {state_id!r}, which is {other!r}'s")


async def missing_ids(ground: Ground) -> str:
    """Unknown ids and agents are answered with nothing, and with no error."""
    asker, agent = ground.asker, "seeker"
    here, nowhere = ground.vectors(2)
    await asker.store(agent, "there", _state(1), here)
    for known, state_id in ((agent, "not-there"), (agent, "ther"), ("nobody", "not-there")):
        require(
            await asker.retrieve(known, state_id) is None,
            f"{state_id!r} of agent {known!r} was never stored, and was found",
        )
    for query in (here, nowhere):
        hits = await asker.search("nobody", query, 5)
        require(not hits, f"an agent without memories found {names(hit.state_id for hit in hits)}")
    await asker.expect(agent, "there", _state(1))
    return "unknown ids, and an agent without memories, are answered with nothing"


async def unicode_text(ground: Ground) -> str:
    """Texts of many scripts come back to the character, as ids, keys and values."""
    asker = ground.asker
    vectors = ground.vectors(len(_TEXTS))
    states = [
        {"number": number, "text": text, f"key {text}": [text, {text: text}]}
        for number, text in enumerate(_TEXTS)
    ]
    for text, state, vector in zip(_TEXTS, states, vectors, strict=True):
        await asker.store("scribe", text, state, vector)
        await asker.store(f"scribe {text}", "same", state, vector)
    for text, state, vector in zip(_TEXTS, states, vectors, strict=True):
        await asker.expect("scribe", text, state)
        await asker.expect_nearest("scribe", text, state, vector)
        await asker.expect(f"scribe {text}", "same", state)
        await asker.expect_nearest(f"scribe {text}", "same", state, vector)
    return f"{len(_TEXTS)} texts came back to the character, as ids, agents, keys and values"
