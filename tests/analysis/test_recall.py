"""Recall against exact search: a case worked by hand, ties, tiers and chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.analysis.recall import RecallCount, recall_at_k, recall_count

# Scores against the query (1, 0): a 9, b 8, c 7, d 7, e 7, f 1.
VECTORS = np.array([[9, 0], [8, 3], [7, 1], [7, 5], [7, 9], [1, 1]], dtype=np.float32)
IDS = ["a", "b", "c", "d", "e", "f"]
ALONG = [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("found", "k", "recall"),
    [
        ("ab", 2, 1.0),
        ("ba", 2, 1.0),
        ("af", 2, 0.5),
        ("ef", 2, 0.0),
        # The third place is shared by c, d and e: any one of them fills it.
        ("abc", 3, 1.0),
        ("abe", 3, 1.0),
        ("abf", 3, 2 / 3),
        # But only one of them: two ties do not make up for b.
        ("acd", 3, 2 / 3),
        ("cde", 3, 1 / 3),
        # With two places for ties, two of them fill both.
        ("abde", 4, 1.0),
        ("acde", 4, 3 / 4),
        # Fewer than k were found; more than k; one twice; one that is not there.
        ("a", 3, 1 / 3),
        ("", 3, 0.0),
        ("fab", 2, 0.5),
        ("aab", 3, 2 / 3),
        ("accb", 4, 3 / 4),
        ("axb", 3, 2 / 3),
        # k is more than there is.
        ("abcdef", 10, 1.0),
        ("abc", 10, 0.5),
    ],
)
def test_recall_of_a_case_worked_by_hand(found: str, k: int, recall: float):
    """Each found list has the recall that follows by hand from the six scores."""
    assert recall_at_k([list(found)], VECTORS, IDS, ALONG, k) == pytest.approx(recall)


def test_recall_of_several_queries_is_of_all_their_places():
    """Two queries, one answered wholly and one by half, have a recall of three quarters."""
    queries = [[1.0, 0.0], [0.0, 1.0]]
    # Against (0, 1) the best are e with 9 and d with 5.
    found = [["a", "b"], ["e", "a"]]
    assert recall_at_k(found, VECTORS, IDS, queries, 2) == 0.75


def test_recall_within_a_tier_looks_at_its_memories_only():
    """With a subset the truth is of the subset, and what is found outside of it is a miss."""
    tier = {"b", "c", "f"}
    assert recall_at_k([["b", "c"]], VECTORS, IDS, ALONG, 2, subset=tier) == 1.0
    assert recall_at_k([["a", "c"]], VECTORS, IDS, ALONG, 2, subset=tier) == 0.5
    assert recall_at_k([["b", "c", "f"]], VECTORS, IDS, ALONG, 10, subset=tier) == 1.0


def test_no_truth_has_no_recall():
    """Without queries, or with nothing to search, recall is unknown."""
    assert recall_at_k([], VECTORS, IDS, np.empty((0, 2)), 3) is None
    assert recall_at_k([["a"]], VECTORS, IDS, ALONG, 3, subset=set()) is None
    assert recall_at_k([["a"]], np.empty((0, 2)), [], ALONG, 3) is None


def test_counts_of_several_agents_add_up():
    """Hits and places of several corpora add up to one recall."""
    both = recall_count([["a", "b"]], VECTORS, IDS, ALONG, 2) + recall_count(
        [["f"]], VECTORS, IDS, ALONG, 2
    )
    assert both == RecallCount(hits=2, places=4, queries=2)
    assert both.recall == 0.5


def exact(found: list[list[Any]], vectors: np.ndarray, queries: np.ndarray, k: int) -> float:
    """Recall by sorting all scores in float64, where no two are equal."""
    order = np.argsort(-(queries.astype(np.float64) @ vectors.astype(np.float64).T), axis=1)[:, :k]
    return (
        sum(len(set(a) & set(b)) for a, b in zip(order.tolist(), found, strict=True)) / order.size
    )


@pytest.mark.parametrize("ascending", [False, True])
def test_many_chunks_give_what_sorting_everything_gives(ascending: bool):
    """Vectors and queries of several chunks have the recall of a full sort, whatever the order."""
    generator = np.random.default_rng(3)
    vectors = generator.standard_normal((20_000, 8)).astype(np.float32)
    queries = generator.standard_normal((260, 8)).astype(np.float32)
    if ascending:
        vectors = vectors[np.argsort(vectors @ queries[0])]
    scores = queries @ vectors.T + generator.normal(0.0, 0.3, (260, 20_000))
    found = np.argsort(-scores, axis=1)[:, :10].tolist()
    known = exact(found, vectors, queries, 10)
    assert 0.3 < known < 0.9
    assert recall_at_k(found, vectors, range(20_000), queries, 10) == pytest.approx(known)
    perfect = np.argsort(-(queries @ vectors.T), axis=1)[:, :10].tolist()
    assert recall_at_k(perfect, vectors, range(20_000), queries, 10) == 1.0


def test_copies_of_one_memory_are_ties_in_float32():
    """Equal vectors in different chunks are ties, though sums of products may be rounded."""
    generator = np.random.default_rng(5)
    one = generator.standard_normal(64).astype(np.float32)
    others = 0.1 * generator.standard_normal((20_000, 64)).astype(np.float32)
    vectors = np.concatenate([one[None], others, one[None], one[None]])
    ids = [f"m{number}" for number in range(len(vectors))]
    for found in (["m0"], ["m20001"], ["m20002"]):
        assert recall_at_k([found], vectors, ids, one[None], 1) == 1.0


def test_vectors_may_be_a_memory_map(tmp_path):
    """Vectors in a file are read in parts, of any float type."""
    vectors = np.random.default_rng(1).standard_normal((10_000, 4))
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    best = np.argsort(-(vectors @ vectors[7]))[:5].tolist()
    assert recall_at_k([best], mapped, range(10_000), vectors[7:8], 5) == 1.0


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("k", {"k": 0}),
        ("vectors", {"ids": IDS[:-1]}),
        ("vectors", {"vectors": VECTORS[0]}),
        ("vectors", {"vectors": np.where(VECTORS == 1, np.nan, VECTORS)}),
        ("queries", {"queries": [[1.0, 0.0, 0.0]]}),
        ("queries", {"queries": [[1.0, 0.0]] * 2}),
        ("queries", {"queries": [[np.nan, 0.0]]}),
        ("ids", {"ids": ["a", "a", "c", "d", "e", "f"]}),
    ],
)
def test_arguments_that_do_not_fit_are_named(field: str, changed: dict[str, Any]):
    """Shapes that do not fit, values that are no numbers and doubled ids are refused by name."""
    arguments = {"found": [["a"]], "vectors": VECTORS, "ids": IDS, "queries": ALONG, "k": 2}
    with pytest.raises(ValueError, match=f"^{field}: "):
        recall_at_k(**arguments | changed)
