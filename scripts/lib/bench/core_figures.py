"""The lines of ``scripts/bench core``: what each figure is, and what it must reach."""

from __future__ import annotations

from bench.core import CoreSizes
from bench.core_tiers import IM_PERCENTAGE, LTM_PERCENTAGE
from bench.core_usearch import MIN_RECALL_RATIO
from bench.figures import FigureSpec, Goal, Value, number, ratio
from bench.walk import WALK_IN_WORDS

__all__ = ["FOOT", "figure_specs"]

FOOT = (
    WALK_IN_WORDS,
    "The store syncs each batch of 256 (fsync). Recall is recall@10 against exact search with the "
    "full vectors, made apart from the store, once the indexes are built; memory is the resident "
    "memory of a process that does nothing else.",
    f"forced: the short-term tier holds everything, then {IM_PERCENTAGE:g}% of it is forced to the "
    f"intermediate tier and {LTM_PERCENTAGE:g}% of that to the long-term tier.",
    "usearch: default HNSW (vectors as bfloat16 where the machine has it) and a dict of payloads, "
    "in memory, of ready vectors; ours makes the vectors from the states and is on the disk. Both "
    "load twice in batches of 256 and take turns.",
)

_RECALL = Goal(least=0.95)


def figure_specs(sizes: CoreSizes) -> list[FigureSpec]:
    """The lines of the table."""
    return [
        *_million(sizes),
        *_recalls(sizes),
        *_opening(sizes),
        *_many_agents(sizes),
        *_beside_usearch(sizes),
        *_folder(sizes),
        *_dimensions(sizes),
    ]


def _specs(
    row: str, prefix: str, lines: list[tuple[str, str, Value, Goal | None]]
) -> list[FigureSpec]:
    return [
        FigureSpec(row=row, title=f"{prefix}: {title}", unit=unit, value=value, goal=goal)
        for title, unit, value, goal in lines
    ]


def _million(sizes: CoreSizes) -> list[FigureSpec]:
    few = f"{sizes.few_memories:,}"
    search_few, retrieve_few = number("grown", "search_few_us"), number("grown", "retrieve_few_us")
    return _specs(
        "million",
        f"{sizes.memories:,} memories",
        [
            (
                "store rate over the whole load",
                "operations/s",
                number("grown", "store_ops_s"),
                Goal(least=60_000),
            ),
            (
                "slowest single store during the load",
                "s",
                number("grown", "slowest_single_s"),
                Goal(most=0.1),
            ),
            (
                "slowest single store from another thread meanwhile",
                "s",
                number("killed", "slowest_single_s"),
                Goal(most=0.1),
            ),
            ("slowest batch during the load", "s", number("grown", "slowest_batch_s"), None),
            (
                "search k=10, states included, p50",
                "µs",
                number("grown", "search_us"),
                Goal(most=600, most_times=4, base=search_few, base_title=f"that at {few}"),
            ),
            (f"search at {few}, p50", "µs", search_few, None),
            (
                "retrieve by id, p50",
                "µs",
                number("grown", "retrieve_us"),
                Goal(most=40, most_times=2, base=retrieve_few, base_title=f"that at {few}"),
            ),
            (f"retrieve at {few}, p50", "µs", retrieve_few, None),
            ("resident memory", "bytes", number("grown", "rss_bytes"), Goal(most=500 * 2**20)),
            ("its peak during the load", "bytes", number("grown", "peak_rss_bytes"), None),
        ],
    )


def _recalls(sizes: CoreSizes) -> list[FigureSpec]:
    return _specs(
        "recall",
        f"lowest at {sizes.few_memories:,} to {sizes.memories:,}",
        [
            ("default tiers", "ratio", number("grown", "recall"), _RECALL),
            ("forced, across tiers", "ratio", number("forced", "forced_all"), _RECALL),
            ("forced, short-term tier alone", "ratio", number("forced", "forced_stm"), _RECALL),
            ("forced, intermediate tier alone", "ratio", number("forced", "forced_im"), _RECALL),
            ("forced, long-term tier alone", "ratio", number("forced", "forced_ltm"), _RECALL),
        ],
    )


def _opening(sizes: CoreSizes) -> list[FigureSpec]:
    memories = f"{sizes.memories:,} memories"
    first_answer = "killed and opened again: first answer"
    return [
        *_specs(
            "opening",
            memories,
            [
                (first_answer, "s", number("killed", "first_answer_s"), Goal(most=5)),
                (
                    "the same, all of them short-term",
                    "s",
                    number("moved", "first_answer_s"),
                    Goal(most=5),
                ),
            ],
        ),
        *_specs(
            "transition",
            f"{memories}, all short-term",
            [
                (
                    "30% to the intermediate tier while other calls go on: whole",
                    "s",
                    number("moved", "transition_s"),
                    Goal(most=10),
                ),
                (
                    "the longest that another call waits",
                    "s",
                    number("moved", "longest_wait_s"),
                    Goal(most=0.1),
                ),
            ],
        ),
    ]


def _many_agents(sizes: CoreSizes) -> list[FigureSpec]:
    few = f"{sizes.few_agents:,} agents"
    search, search_few = number("many", "search_us"), number("many", "search_few_us")
    return _specs(
        "many-agents",
        f"{sizes.many_agents:,} agents, {sizes.memories_each} memories each",
        [
            ("resident memory", "bytes", number("many", "rss_bytes"), Goal(most=2**30)),
            ("its peak during the load", "bytes", number("many", "peak_rss_bytes"), None),
            (f"search p50 against {few}", "times", ratio(search, search_few), Goal(most=2)),
            ("search p50", "µs", search, None),
            (f"search p50 of {few}", "µs", search_few, None),
        ],
    )


def _beside_usearch(sizes: CoreSizes) -> list[FigureSpec]:
    def both(name: str) -> Value:
        return ratio(number("usearch", f"ours_{name}"), number("usearch", f"usearch_{name}"))

    def one(name: str) -> Value:
        return number("usearch", name)

    rate, settled = "ours_store_ops_s", "settled_store_ops_s"
    return _specs(
        "usearch",
        f"{sizes.usearch_memories:,} memories",
        [
            ("load rate from states over usearch's", "times", both("store_ops_s"), Goal(least=4)),
            ("our load rate", "operations/s", one(rate), None),
            ("ours until the indexes are built too", "operations/s", one(settled), None),
            ("usearch's load rate", "operations/s", one("usearch_store_ops_s"), None),
            (
                # as yet the store has no search that leaves the states out
                "ids and scores (ours brings states too), our p50 over usearch's",
                "times",
                both("ids_us"),
                Goal(most=1),
            ),
            (
                "our search for ids and scores from ready vectors, p50",
                "µs",
                one("ours_ids_us"),
                None,
            ),
            ("usearch's search for keys and distances, p50", "µs", one("usearch_ids_us"), None),
            (
                # At most 2.5 times usearch's time. That it be 2.5 times as fast cannot be meant:
                # with states a search does more, and without them no slower is enough.
                "packed states too (usearch's from its dict), our p50 over usearch's",
                "times",
                both("states_us"),
                Goal(most=2.5),
            ),
            ("our search with states, p50", "µs", one("ours_states_us"), None),
            ("usearch's with its dict, p50", "µs", one("usearch_states_us"), None),
            ("our recall", "ratio", one("ours_recall"), Goal(least=MIN_RECALL_RATIO)),
            ("usearch's recall", "ratio", one("usearch_recall"), Goal(least=MIN_RECALL_RATIO)),
            (
                "usearch's expansion_search, raised until it has that",
                "candidates",
                one("usearch_expansion"),
                None,
            ),
            (
                "its expansion_search by default",
                "candidates",
                one("usearch_default_expansion"),
                None,
            ),
        ],
    )


def _folder(sizes: CoreSizes) -> list[FigureSpec]:
    whole = number("grown", "payload_and_vector_bytes")
    return _specs(
        "folder",
        f"{sizes.memories:,} memories",
        [
            (
                "folder compacted, over payload and vector bytes",
                "times",
                ratio(number("grown", "folder_bytes"), whole),
                Goal(most=1.2),
            ),
            (
                "folder as it is closed",
                "times",
                ratio(number("grown", "uncompacted_bytes"), whole),
                None,
            ),
            ("payload and vector bytes", "bytes", whole, None),
        ],
    )


def _dimensions(sizes: CoreSizes) -> list[FigureSpec]:
    few = f"{sizes.few_memories:,}"
    folder = ratio(number("wide", "folder_bytes"), number("wide", "payload_and_vector_bytes"))
    return _specs(
        "dimensions",
        f"{sizes.wide_dimension} dimensions, {sizes.wide_memories:,} memories",
        [
            (f"lowest recall from {few} on", "ratio", number("wide", "recall"), _RECALL),
            ("recall, forced, across tiers", "ratio", number("wide", "forced_all"), _RECALL),
            (
                "recall, forced, intermediate tier alone",
                "ratio",
                number("wide", "forced_im"),
                _RECALL,
            ),
            (
                "recall, forced, long-term tier alone",
                "ratio",
                number("wide", "forced_ltm"),
                _RECALL,
            ),
            ("store rate", "operations/s", number("wide", "store_ops_s"), None),
            ("slowest single store", "s", number("wide", "slowest_single_s"), None),
            ("search p50", "µs", number("wide", "search_us"), None),
            (f"search at {few}, p50", "µs", number("wide", "search_few_us"), None),
            ("retrieve p50", "µs", number("wide", "retrieve_us"), None),
            (f"retrieve at {few}, p50", "µs", number("wide", "retrieve_few_us"), None),
            ("resident memory", "bytes", number("wide", "rss_bytes"), None),
            ("folder compacted", "times", folder, None),
        ],
    )
