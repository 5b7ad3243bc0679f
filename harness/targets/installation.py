"""Whether what a target needs is installed, found out without loading it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from harness.targets.base import Target

__all__ = ["missing_modules", "remedy"]

_DISTRIBUTION = "agent-memory-harness"


def missing_modules(target: type[Target[Any]]) -> list[str]:
    """The modules that a target needs and that are not there."""
    named: str | Sequence[str] = target.modules
    return [name for name in ((named,) if isinstance(named, str) else named) if not _is_there(name)]


def remedy(target: type[Target[Any]], missing: Sequence[str]) -> str:
    """The command that installs what is missing."""
    if target.extra is not None:
        return f"install it with: pip install '{_DISTRIBUTION}[{target.extra}]'"
    return f"install the packages that have {' and '.join(missing)}"


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
