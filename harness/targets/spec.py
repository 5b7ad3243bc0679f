"""What ``--target`` names: a class, by its name or its place, and its options.

``name:key=value,...`` is a built-in target, or one that a package offers in the entry point group
`ENTRY_POINTS`; ``package.module:Class:key=value,...`` any class. Options are the fields of
`harness.targets.base.Target.options_type`, converted from text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec

from harness.errors import UsageError, first_line, quoted

__all__ = ["ENTRY_POINTS", "TargetSpec", "class_at", "options_of", "parse_spec", "plug_ins"]

ENTRY_POINTS = "harness.targets"
_FLAG = "--target"


@dataclass(frozen=True, kw_only=True)
class TargetSpec:
    """What ``--target`` says.

    Attributes:
        name: of the target, or its place, without options.
        place: of its class, ``package.module:Class``.
        options: the texts of options by name.
    """

    name: str
    place: str
    options: Mapping[str, str]


def plug_ins() -> dict[str, EntryPoint]:
    """The targets that installed packages offer, by name; of several of one name, the first."""
    found: dict[str, EntryPoint] = {}
    for one in sorted(entry_points(group=ENTRY_POINTS), key=lambda one: (one.name, one.value)):
        found.setdefault(one.name, one)
    return found


def parse_spec(text: str, built_in: Mapping[str, str]) -> TargetSpec:
    """Read ``--target``.

    Args:
        text: what was given.
        built_in: places of our own targets by name.

    Raises:
        UsageError: nothing is called so, or the options are not ``key=value,...``.
    """
    name, _, rest = text.partition(":")
    if name in built_in:
        return TargetSpec(name=name, place=built_in[name], options=_texts(name, rest))
    offered = plug_ins()
    if name in offered:
        return TargetSpec(name=name, place=offered[name].value, options=_texts(name, rest))
    if ":" not in text or "=" in rest.partition(":")[0]:
        known = [*built_in, *offered]
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}"
        raise UsageError(_FLAG, f"{quoted(name)} is unknown; {hint}")
    attribute, _, options = rest.partition(":")
    place = f"{name}:{attribute}"
    return TargetSpec(name=place, place=place, options=_texts(place, options))


def class_at(place: str) -> type[Any]:
    """The class at ``package.module:Class``.

    Raises:
        UsageError: there is none.
    """
    module, _, attribute = place.partition(":")
    found: Any = None
    try:
        found = import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError, TypeError, SyntaxError) as error:
        raise UsageError(_FLAG, f"{place!r} cannot be loaded: {first_line(error)}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module is somebody else's code
        problem = f"cannot be loaded: {type(error).__name__}: {first_line(error)}".rstrip(": ")
        raise UsageError(_FLAG, f"{place!r} {problem}") from None
    if not isinstance(found, type):
        raise UsageError(_FLAG, f"{place!r} is no class")
    return found


def options_of(name: str, options_type: type[msgspec.Struct], texts: Mapping[str, str]) -> Any:
    """The options of a target.

    Args:
        name: of the target.
        options_type: its struct.
        texts: what was given.

    Raises:
        UsageError: names the option, and what it may be.
    """
    known = [field.encode_name for field in msgspec.structs.fields(options_type)]
    for key in texts:
        if key not in known:
            raise UsageError(_FLAG, f"{name} has no option {key!r}; {_hint(key, known)}")
    for key, value in texts.items():
        _convert(name, options_type, key, {key: value})
    return _convert(name, options_type, "", dict(texts))


def _convert(
    name: str, options_type: type[msgspec.Struct], key: str, values: Mapping[str, str]
) -> Any:
    try:
        return msgspec.convert(values, options_type, strict=False)
    except msgspec.ValidationError as error:
        what = str(error).partition(" - at ")[0]
        if key and "required field" not in what:
            problem = f"{name}: the option {key}={values[key]} is wrong: {_lowered(what)}"
            raise UsageError(_FLAG, problem) from None
        if not key:
            raise UsageError(_FLAG, f"{name}: {_lowered(what)}") from None
    return None


def _texts(name: str, text: str) -> dict[str, str]:
    """``key=value,key=value`` by key."""
    texts: dict[str, str] = {}
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            problem = f"{name}: the option {quoted(part)} must be key=value"
            raise UsageError(_FLAG, problem)
        if key in texts:
            raise UsageError(_FLAG, f"{name}: the option {key} is given twice")
        texts[key] = value.strip()
    return texts


def _hint(key: str, known: Iterable[str]) -> str:
    names = list(known)
    if not names:
        return "it has none"
    near = get_close_matches(key, names, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}It has: {', '.join(names)}" if near else f"it has: {', '.join(names)}"


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
