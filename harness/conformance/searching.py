"""The points about searches: how many, in which order, with which scores, and filtered."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from harness.conformance.asking import Found, State, around, names, require
from harness.conformance.ground import Ground
from harness.targets.base import Scalar

__all__ = ["filtered", "k_and_order"]

_MEMORIES = 40
_COSINE_MAX, _COSINE_STEP = 0.97, 0.035
_ASKED = (1, 3, 10, 100)
_QUERIES = 3
# What a store may lose that keeps vectors in half precision.
_SCORE_TOLERANCE = 0.005
# An approximate index may miss some of the nearest; how many is measured, not judged here.
_LEAST_RECALL_RATIO = 0.9


async def k_and_order(ground: Ground) -> str:
    """A search gives the k nearest by exact cosine, best first, each with its cosine."""
    cosines = (_COSINE_MAX - _COSINE_STEP * np.arange(_MEMORIES)).astype(np.float32)
    searched = right = wanted = 0
    for number, query in enumerate(ground.vectors(_QUERIES)):
        agent = f"ranker-{number}"
        vectors = around(query, ground.random, cosines)
        ids = [f"rank-{place:02d}" for place in range(_MEMORIES)]
        for place in ground.random.permutation(_MEMORIES):
            state = {"place": int(place)}
            await ground.asker.store(agent, ids[place], state, vectors[place])
        if number == _QUERIES - 1:  # of the last, as it is when an index has been built
            await ground.asker.flush()
        exact = dict(zip(ids, cosines.tolist(), strict=True))
        for k in _ASKED:
            hits = await ground.asker.search(agent, query, k)
            _check_order(hits, exact, k)
            searched += 1
            if k < _MEMORIES:
                right += len({hit.state_id for hit in hits} & set(ids[:k]))
                wanted += k
    recall_ratio = right / wanted
    require(
        recall_ratio >= _LEAST_RECALL_RATIO,
        f"of the nearest memories of agents with {_MEMORIES}, only {recall_ratio:.0%} were found",
    )
    missed = "" if right == wanted else f", with {recall_ratio:.1%} of the nearest"
    return f"{searched} searches gave k memories in the order of their cosines{missed}"


def _check_order(hits: list[Found], exact: dict[str, float], k: int) -> None:
    # of all that there are, an approximate index may not come to the last one
    least = k if k <= len(exact) else _LEAST_RECALL_RATIO * len(exact)
    require(
        least <= len(hits) <= k,
        f"a search with k={k} of an agent with {len(exact)} memories gave {len(hits)}",
    )
    strangers = [hit.state_id for hit in hits if hit.state_id not in exact]
    require(not strangers, f"a search found {names(strangers)}, which the agent has not")
    require(
        len({hit.state_id for hit in hits}) == len(hits), f"a search with k={k} found one twice"
    )
    for hit in hits:
        require(
            abs(hit.score - exact[hit.state_id]) <= _SCORE_TOLERANCE,
            f"a hit has the score {hit.score:.4g}, and its cosine is {exact[hit.state_id]:.4g}",
        )
    order = [exact[hit.state_id] for hit in hits]
    require(
        all(one > next_one for one, next_one in pairwise(order)),
        f"a search with k={k} did not give the best first",
    )


async def filtered(ground: Ground) -> str:
    """Conditions are met by every hit, and are applied before the k are chosen."""
    asker, agent = ground.asker, "picker"
    count = 36
    [query] = ground.vectors(1)
    cosines = (0.95 - 0.025 * np.arange(count)).astype(np.float32)
    vectors = around(query, ground.random, cosines)
    states: dict[str, State] = {}
    for place, vector in enumerate(vectors):
        # what is rare is far away, so that a filter after the choice of k finds too few
        states[f"pick-{place:02d}"] = {
            "colour": "rare red" if place >= count - 6 else "blue",
            "size": place % 4,
            "weight": 0.5 + place % 3,
            "ripe": place % 2 == 0,
        }
        await asker.store(agent, f"pick-{place:02d}", states[f"pick-{place:02d}"], vector)
    conditions: list[dict[str, Scalar]] = [
        {"colour": "rare red"},
        {"size": 3},
        {"weight": 2.5},
        {"ripe": True},
        {"ripe": False, "colour": "rare red"},
        {"colour": "green"},
        {"taste": "sweet"},
    ]
    for where in conditions:
        meeting = [one for one, state in states.items() if where.items() <= state.items()]
        hits = await asker.search(agent, query, 5, where)
        wrong = [hit.state_id for hit in hits if hit.state_id not in meeting]
        asked = " and ".join(f"{name} = {value!r}" for name, value in where.items())
        require(not wrong, f"a search for {asked} found {names(wrong)}, where it does not hold")
        require(
            len(hits) == min(5, len(meeting)),
            f"a search for {asked} with k=5 found {len(hits)} of {len(meeting)}",
        )
    return f"{len(conditions)} conditions were met by every hit, and by as many as there are"
