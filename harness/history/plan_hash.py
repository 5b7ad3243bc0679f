"""What a run measured, as one short name: the hash of its plan without what changes no figure.

Two runs of one hash were asked to do the same: the same command, plan, seed, settings of the
benchmark, and trace. They may have run on other machines, of other releases, with the results in
other places.

- What is left out: ``address``, ``data_dir``, ``keep_data``; of ``backup`` the place, not that
  there is one; of ``trace`` the path, in whose stead stands the fingerprint of its content.
- What is at its default, or not given, counts as not there: so a field that a later release adds
  leaves the hashes of earlier runs as they are.
- The order of keys does not matter, nor whether a whole number is written 5 or 5.0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from harness.plan import RunPlan, option_name

__all__ = ["SHORT_CHARACTERS", "canonical_plan", "plan_hash", "plan_words"]

# As many characters of a hash are shown, and are enough to tell plans apart.
SHORT_CHARACTERS = 8

_WHERE = frozenset({"address", "data_dir", "keep_data", "out"})
_DEFAULTS = {one.name: one.default for one in fields(RunPlan) if one.default is not MISSING}
_NOT_GIVEN = ("null", "false", "[]", "{}")
_WORDS_MAX = 100


def canonical_plan(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a ``run.json`` says was measured, in the form that is hashed; None if it says nothing.

    ``{"command": ..., "plan": {...}, "bench": {...}, "trace": ...}``, of which only ``command`` is
    always there.
    """
    plan, bench = run.get("plan"), run.get("bench")
    if not isinstance(plan, Mapping) and not isinstance(bench, Mapping):
        return None
    trace = run.get("trace")
    fingerprint = trace.get("fingerprint") if isinstance(trace, Mapping) else None
    found = {
        "command": run.get("command"),
        "plan": _given(plan, _DEFAULTS, known_trace=fingerprint is not None),
        "bench": _given(bench, {}, known_trace=fingerprint is not None),
        "trace": fingerprint,
    }
    return {name: value for name, value in found.items() if value not in (None, {})}


def plan_hash(run: Mapping[str, Any]) -> str | None:
    """The SHA-256 of what a ``run.json`` says was measured, in hexadecimal.

    Pure, and the same on every machine; None if it does not say what was measured.
    """
    canonical = canonical_plan(run)
    if canonical is None:
        return None
    return hashlib.sha256(_text(canonical).encode()).hexdigest()


def plan_words(canonical: Mapping[str, Any]) -> str:
    """A canonical plan in a line: the command, the target, then each setting that was given."""
    plan, bench = canonical.get("plan", {}), canonical.get("bench", {})
    words = [str(canonical.get("command", "of no command"))]
    words.append(str(plan.get("target", _DEFAULTS["target"])) if plan or not bench else "")
    if "agents" in plan:
        words.append(f"{plan['agents']} agents")
    for name, value in {**plan, **bench}.items():
        if name not in {"target", "agents"}:
            words.append(f"{option_name(name).removeprefix('--')} {_value_words(value)}")
    text = ", ".join(one for one in words if one)
    return text if len(text) <= _WORDS_MAX else f"{text[: _WORDS_MAX - 1]}…"


def _given(settings: object, defaults: Mapping[str, Any], *, known_trace: bool) -> dict[str, Any]:
    """The settings that change what is measured and are not at their default."""
    given = {}
    for name, value in settings.items() if isinstance(settings, Mapping) else ():
        if name in _WHERE or (name == "trace" and known_trace):
            continue
        plain = _plain(value)
        if name == "backup" and plain is not None:
            plain = True
        default = (_text(_plain(defaults[name])),) if name in defaults else _NOT_GIVEN
        if plain is not None and _text(plain) not in default:  # as text: in Python True is 1
            given[name] = plain
    return given


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """A value with numbers in one form: 5.0 is 5."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _value_words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={inner}" for name, inner in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
