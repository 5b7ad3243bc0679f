"""The store that was driven, in words: its version, and what an acknowledgement means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.analysis.driven_store import driven_store
from harness.report.document import Facts
from harness.report.fields import TEXT_CHARACTERS_MAX, group, listed
from harness.report.figures import plain

__all__ = ["durability_in_words", "store_facts", "store_in_words"]


def store_in_words(run: Mapping[str, Any]) -> str:
    """The target and its version; the target alone where no version is known."""
    store = driven_store(run)
    return _cut(f"{store.name} {store.version}".strip())


def durability_in_words(run: Mapping[str, Any]) -> str:
    """What an acknowledgement of the store means, in a sentence; empty where it is not known."""
    return _cut(driven_store(run).durability)


def store_facts(run: Mapping[str, Any]) -> Facts | None:
    """All that ``run.json`` says of the store; None for a run of an earlier release."""
    if not store_in_words(run) or not group(run, "topology", "target").get("name"):
        return None
    store, document = driven_store(run), group(run, "topology", "target")
    pairs = [
        ("target", store.name),
        ("version", store.version),
        ("durability", store.durability),
        ("stores", document.get("stores")),
        ("can do", ", ".join(map(str, listed(document, "capabilities")))),
        *((str(name), value) for name, value in group(document, "settings").items()),
    ]
    return Facts("Store", [(_cut(name), _cut(value)) for name, value in pairs if value != ""])


def _cut(value: object) -> str:
    shown = plain(("yes" if value else "no") if isinstance(value, bool) else value)
    return shown if len(shown) <= TEXT_CHARACTERS_MAX else f"{shown[:TEXT_CHARACTERS_MAX]}…"
