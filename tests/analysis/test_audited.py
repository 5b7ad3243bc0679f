"""What an audit found becomes figures, one verdict, and a sentence that says the worst."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.audited import AUDIT_FIGURES, audit_figures, audit_verdicts

PASSED = dict.fromkeys(AUDIT_FIGURES, 0) | {"acknowledged": 1200, "verified": 1200}


def run(answers: dict[str, Any] | None = None, **found: Any) -> dict[str, Any]:
    return {"audit": {**PASSED, **found, "answers": {"checked": 40, **(answers or {})}}}


@pytest.mark.parametrize(
    ("document", "verdict", "sentence"),
    [
        (
            run(),
            "passed",
            "All 1,200 acknowledged writes were read back as they were stored, and 40 answers "
            "were right.",
        ),
        (
            run(unknown=3),
            "passed",
            "All 1,200 acknowledged writes were read back as they were stored, and 40 answers "
            "were right (3 writes without an answer may be there or not).",
        ),
        (
            run(verified=1000, unreachable=200),
            "incomplete",
            "1,000 of 1,200 acknowledged writes were read back as they were stored, 200 could not "
            "be asked for.",
        ),
        (
            run(missing=2, verified=1198, unreachable=1, examples=["agent 'a': 'b' is gone"]),
            "failed",
            "The audit failed: of 1,200 acknowledged writes and 40 answers, 2 missing, for example "
            "agent 'a': 'b' is gone.",
        ),
        (
            run({"wrong": 1, "foreign": 4, "examples": ["agent 'a': so"]}, doubled=1),
            "failed",
            "The audit failed: of 1,200 acknowledged writes and 40 answers, 1 wrong, 1 there "
            "twice, 4 nobody's of this run, for example agent 'a': so.",
        ),
        ({}, "none", "No audit was asked for (--audit)."),
        (
            {"plan": {"audit": True}},
            "incomplete",
            "The audit was not made: the run ended before it.",
        ),
    ],
)
def test_an_audit_in_one_sentence(document: dict[str, Any], verdict: str, sentence: str):
    """Violations come before what could not be asked for, and that before what is well."""
    figures = audit_figures(document)
    assert (figures["verdict"], figures["sentence"]) == (verdict, sentence)
    known = {"passed": ["ok"], "failed": ["failed"], "incomplete": ["warning"], "none": []}
    assert [one["verdict"] for one in audit_verdicts(figures)] == known[verdict]


def test_violations_of_answers_and_of_the_audit_are_counted_together():
    """Without an audit all counts are None, so that a threshold knows them."""
    figures = audit_figures(run({"missing": 2}, missing=3))
    assert (figures["missing"], figures["answers_checked"]) == (5, 40)
    assert {audit_figures({})[name] for name in AUDIT_FIGURES} == {None}


@pytest.mark.parametrize("found", [3, [], "x", {"missing": "many"}, {"answers": 3, "examples": 1}])
def test_an_audit_that_is_none_is_read_all_the_same(found: Any):
    """A run directory may say anything."""
    assert isinstance(audit_figures({"audit": found, "plan": 3})["sentence"], str)
