"""What a comparison says in words: who leads, whether beyond the spread, and what to beware of."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.target_ranking import rank
from harness.analysis.target_verdicts import target_verdicts


def repeat(**given: Any) -> dict[str, Any]:
    return {"status": "complete", "failed": 0, "other_cores": None, "cpu_count": 2, **given}


def target(**given: Any) -> dict[str, Any]:
    counts = {"5": {"repeats": [repeat()], "limit": {"kind": "cpu"}}}
    volume = {"failed": 0, "missing": 0, "altered": 0, "recall": 1.0, "k": 10, "cut": None}
    volumes = {"100": volume | {"repeats": [{"retrieved": 30}]} | given.pop("volume", {})}
    capabilities = given.pop("capabilities", ["durable"])
    return {
        "counts": counts, "volumes": volumes, "capabilities": capabilities, "in_process": False,
        "conformance": None, **given,
    }  # fmt: skip


def said(
    targets: dict[str, Any], run: dict[str, Any] | None = None, **given: Any
) -> dict[str, Any]:
    """The verdicts by name; of several of one name the last."""
    comparison = {"throughput": {}, "volumes": {}} | given.pop("comparison", {})
    summary = {"targets": targets, "comparison": comparison, "left_out": [], "cuts": [], **given}
    document = {"status": "complete", "bench": {"time_cap_s": 60.0}} | (run or {})
    return {one["name"]: one for one in target_verdicts(document, summary)}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ([50, 51, 52], "1.96 times what b did (95% interval"),
        ([50, 51, 52], "beyond the spread of the repeats."),
        ([70, 95, 130], "within the spread of the repeats, so no difference was shown."),
        ([50, 51], "too few repeats tell how far they spread."),
    ],
)
def test_the_leader_is_named_with_how_sure_it_is(other: list[float], words: str):
    """By its rate, against the second, with the most agents."""
    comparison = {"throughput": {"5": rank({"a": [100, 101, 99], "b": other}, "more")}}
    found = said({"a": target(), "b": target()}, comparison=comparison)
    sentence = found["throughput"]["sentence"]
    assert sentence.startswith("With 5 agents a carried most, 100 operations/s, ")
    assert words in sentence
    assert ("repeats" in found) is (len(other) < 3)


def test_counts_at_which_another_leads_are_told():
    """With fewer agents the order may be another."""
    few, many = ({"a": [1, 1, 1], "b": [2, 2, 2]}, {"a": [9, 9, 9], "b": [5, 5, 5]})
    throughput = {"1": rank(few, "more"), "10": rank(few, "more"), "50": rank(many, "more")}
    found = said({"a": target(), "b": target()}, comparison={"throughput": throughput})
    assert found["throughput"]["sentence"].endswith("With 1 and 10 it was b.")


def test_the_fastest_at_each_operation_is_told():
    """At the largest volume, by the median, in a unit that suits."""
    times = {"a": [0.2, 0.2, 0.2], "b": [2.0, 2.0, 2.0]}
    volumes = {"100": {"store": rank(times, "less"), "retrieve": None}}
    found = said({"a": target(), "b": target()}, comparison={"volumes": volumes})
    assert found["store_latency"]["sentence"].startswith(
        "At 100 memories a was fastest at a single store, 200 µs at the median, 10.0 times as fast"
    )
    assert "retrieve_latency" not in found


def test_what_is_lost_at_a_kill_is_said_beside_what_is_kept():
    """Only where targets differ in it."""
    both = {"a": target(), "b": target(capabilities=["batch"])}
    assert said(both)["durability"]["sentence"].startswith("What b acknowledged is lost")
    assert "durability" not in said({"b": target(capabilities=[])})
    assert "durability" not in said({"a": target()})


@pytest.mark.parametrize(
    ("given", "name", "verdict", "words"),
    [
        ({"volume": {"missing": 3}}, "forgets", "failed", "3 of 30 retrieves at 100 came back"),
        ({"volume": {"recall": 0.5}}, "recall", "warning", "a found 50.0% of it"),
        ({"volume": {"recall": 0.9999}}, "recall", "ok", "lowest for a, 0.999 at 100"),
        ({"volume": {"failed": 7}}, "failures", "warning", "7 operations of a failed"),
        ({"volume": {"cut": {"reached": 40}}}, "cuts", "warning", "a at 40 of 100 memories"),
        (
            {"conformance": {"points": [{"name": "delete", "state": "failed"}]}},
            "conformance", "warning", "it fails delete",
        ),
        (
            {"conformance": {"points": [], "problem": "It crashed."}},
            "conformance", "warning", "What a does is not known. It crashed.",
        ),
    ],
)  # fmt: skip
def test_what_to_know_of_a_target_is_said(
    given: dict[str, Any], name: str, verdict: str, words: str
):
    """By its name, and as serious as it is."""
    found = said({"a": target(**given), "b": target()})
    assert found[name]["verdict"] == verdict
    assert words in found[name]["sentence"]


def test_what_a_cut_ended_did_not_fail():
    """Operations under way when a step was cut had no time to be answered."""
    one = target()
    one["counts"]["5"]["repeats"] = [repeat(status="interrupted", failed=464)]
    assert "failures" not in said({"a": one})
    one["counts"]["5"]["repeats"].append(repeat(failed=2))
    assert said({"a": one})["failures"]["sentence"] == "2 operations of a failed."


def test_a_cut_and_a_failure_are_told():
    """With the cap, and the first of the problems."""
    run = {"status": "failed", "problems": ["b.agents-5-1: it did not start."]}
    found = said({"a": target()}, run, cuts=[{"target": "a", "agents": 5}])
    assert "cap of 60 s for a step cut a with 5 agents" in found["cuts"]["sentence"]
    assert found["completion"]["sentence"].startswith(
        "Steps failed (b.agents-5-1: it did not start)"
    )
    assert found["completion"]["verdict"] == "failed"


def test_a_comparison_without_a_step_failed():
    """There is nothing else to say."""
    found = said({"a": target() | {"counts": {}, "volumes": {}}})
    assert found["completion"]["verdict"] == "failed"
    assert set(found) == {"completion"}
