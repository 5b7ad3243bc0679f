"""The targets that there are, installed or not; no store's library is loaded to find out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from harness.errors import UsageError
from harness.targets.base import Capabilities, Target
from harness.targets.checked_target import check_class
from harness.targets.driven import capability_words
from harness.targets.installation import missing_modules, remedy
from harness.targets.spec import class_at, plug_ins

__all__ = ["ListedTarget", "listed_targets"]


@dataclass(frozen=True, kw_only=True)
class ListedTarget:
    """A target that ``--target`` can name.

    Attributes:
        name: as ``--target`` takes it.
        description: in a line.
        capabilities: in sorted words, with its default options.
        options: their names.
        package: that a plug-in comes from; empty for a built-in target.
        installed: whether all that it needs is there.
        remedy: the command that installs it, or what keeps it from being loaded; empty if nothing.
    """

    name: str
    description: str = ""
    capabilities: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    package: str = ""
    installed: bool = True
    remedy: str = ""


def listed_targets(built_in: Mapping[str, str]) -> list[ListedTarget]:
    """Our targets, in their order, then plug-ins by name.

    Args:
        built_in: the places of our own, by name.
    """
    offered = plug_ins()
    return [
        *(_listed(name, place, "") for name, place in built_in.items()),
        *(
            _listed(name, one.value, _package(one))
            for name, one in sorted(offered.items())
            if name not in built_in
        ),
    ]


def _package(one: EntryPoint) -> str:
    return one.dist.name if one.dist is not None else one.module


def _listed(name: str, place: str, package: str) -> ListedTarget:
    try:
        kind = class_at(place)
        if issubclass(kind, Target):
            check_class(place, kind)
    except UsageError as error:
        return ListedTarget(name=name, package=package, installed=False, remedy=error.problem)
    missing = missing_modules(kind) if issubclass(kind, Target) else []
    found: Any = getattr(kind, "capabilities", Capabilities())
    return ListedTarget(
        name=name,
        description=str(getattr(kind, "description", "")),
        capabilities=tuple(capability_words(found) if isinstance(found, Capabilities) else ()),
        options=tuple(kind.options_type.__struct_fields__) if issubclass(kind, Target) else (),
        package=package,
        installed=not missing,
        remedy=remedy(kind, missing) if missing else "",
    )
