"""What an audit found, as figures of a summary, a verdict and a sentence; pure.

The audit itself is `harness.audit_run`'s, which leaves what it found in ``run.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["AUDIT_FIGURES", "VIOLATIONS", "audit_figures", "audit_verdicts"]

VIOLATIONS = ("missing", "wrong", "doubled", "foreign")
AUDIT_FIGURES = ("acknowledged", "verified", *VIOLATIONS, "unknown", "unreachable")
_IN_WORDS = {"doubled": "there twice", "foreign": "nobody's of this run"}


def audit_figures(run: Mapping[str, Any]) -> dict[str, Any]:
    """The group ``audit`` of a summary.

    ``acknowledged``, ``verified``, ``missing``, ``wrong``, ``doubled``, ``foreign``, ``unknown``
    and ``unreachable`` as `harness.audit.AuditCounts` has them, the violations together with
    those of answers during the run, of which ``answers_checked`` were looked at; all None without
    an audit. ``verdict`` is ``passed``, ``failed``, ``incomplete`` (something could not be read
    back, and nothing was found to be wrong) or ``none``, and ``sentence`` says why.

    Args:
        run: ``run.json``, which may say anything.
    """
    found = run.get("audit")
    if not isinstance(found, Mapping):
        plan = run.get("plan")
        asked = isinstance(plan, Mapping) and plan.get("audit") is True
        return {
            **dict.fromkeys((*AUDIT_FIGURES, "answers_checked")),
            "verdict": "incomplete" if asked else "none",
            "sentence": "The audit was not made: the run ended before it."
            if asked
            else "No audit was asked for (--audit).",
        }
    answers = found.get("answers")
    answers = answers if isinstance(answers, Mapping) else {}
    figures: dict[str, Any] = {name: _count(found, name) for name in AUDIT_FIGURES}
    for name in VIOLATIONS:
        figures[name] += _count(answers, name)
    figures["answers_checked"] = _count(answers, "checked")
    figures["verdict"] = "passed"
    if figures["unreachable"]:
        figures["verdict"] = "incomplete"
    if any(figures[name] for name in VIOLATIONS):
        figures["verdict"] = "failed"
    figures["sentence"] = _sentence(figures, _examples(found) or _examples(answers))
    return figures


def audit_verdicts(figures: Mapping[str, Any]) -> list[dict[str, str]]:
    """A verdict on the audit, where one was asked for."""
    if figures["verdict"] == "none":
        return []
    verdict = {"passed": "ok", "failed": "failed"}.get(figures["verdict"], "warning")
    return [{"name": "audit", "verdict": verdict, "sentence": figures["sentence"]}]


def _count(group: Mapping[str, Any], name: str) -> int:
    value = group.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _examples(group: Mapping[str, Any]) -> list[str]:
    found = group.get("examples")
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _sentence(figures: Mapping[str, Any], examples: list[str]) -> str:
    acknowledged, verified = figures["acknowledged"], figures["verified"]
    answers = figures["answers_checked"]
    parts = []
    if figures["verdict"] == "failed":
        wrong = ", ".join(
            f"{figures[name]:,} {_IN_WORDS.get(name, name)}" for name in VIOLATIONS if figures[name]
        )
        parts.append(
            f"The audit failed: of {acknowledged:,} acknowledged writes and {answers:,} answers, "
            f"{wrong}"
        )
        if examples:
            parts.append(f", for example {examples[0]}")
    elif figures["unreachable"]:
        parts.append(
            f"{verified:,} of {acknowledged:,} acknowledged writes were read back as they were "
            f"stored, {figures['unreachable']:,} could not be asked for"
        )
    else:
        parts.append(
            f"All {acknowledged:,} acknowledged writes were read back as they were stored, and "
            f"{answers:,} answers were right"
        )
    if figures["unknown"]:
        parts.append(f" ({figures['unknown']:,} writes without an answer may be there or not)")
    return "".join(parts) + "."
