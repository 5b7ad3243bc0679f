"""The stores that can be driven, by name; a target's module is loaded when it is used."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

from harness.errors import UsageError
from harness.targets.base import Target

__all__ = ["BUILT_IN", "load_target"]

BUILT_IN = {
    "memory_core": "harness.targets.memory_core:MemoryCoreTarget",
    "embedded": "harness.targets.embedded:EmbeddedTarget",
    "threads": "harness.targets.threads:ThreadsTarget",
    "noop": "harness.targets.noop:NoopTarget",
}


def load_target(name: str) -> Target:
    """The target of that name, or of that place, ``package.module:Class``; new.

    Raises:
        UsageError: there is none.
    """
    place = BUILT_IN.get(name)
    if place is None and ":" in name:
        return _plugged_in(name)
    if place is None:
        near = get_close_matches(name, BUILT_IN, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(BUILT_IN)}"
        raise UsageError("--target", f"{name!r} is unknown; {hint}")
    module, _, attribute = place.partition(":")
    target: Target = getattr(import_module(module), attribute)()
    return target


def _plugged_in(place: str) -> Target:
    """A target that is not ours, by the place of its class."""
    module, _, attribute = place.partition(":")
    try:
        found: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError("--target", f"{place!r} cannot be loaded: {error}") from None
    if not (isinstance(found, type) and hasattr(found, "prepare") and hasattr(found, "connect")):
        raise UsageError(
            "--target", f"{place!r} is no target: it must be a class with prepare and connect"
        )
    target: Target = found()
    return target
