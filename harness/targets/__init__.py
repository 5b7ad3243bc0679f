"""The stores that can be driven, by name; a target's module is loaded when it is used."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

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
    """The target of that name, new.

    Raises:
        UsageError: there is none.
    """
    place = BUILT_IN.get(name)
    if place is None:
        near = get_close_matches(name, BUILT_IN, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(BUILT_IN)}"
        raise UsageError("--target", f"{name!r} is unknown; {hint}")
    module, _, attribute = place.partition(":")
    target: Target = getattr(import_module(module), attribute)()
    return target
