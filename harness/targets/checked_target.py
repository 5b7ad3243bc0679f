"""Whether a class is good as a target, found out before anything is started.

A plug-in is somebody else's code: what it says of itself is looked at, and what is wrong is said in
a sentence. Options are written into runs and reports, so that none may hold a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from harness.errors import HarnessError, UsageError, first_line
from harness.targets.base import Capabilities, Target

__all__ = ["check_class", "holds_password", "made_target", "refuse_passwords"]

_FLAG = "--target"
_SECRET_PARAMETERS = frozenset({"password", "api_key", "apikey", "token"})


def check_class(name: str, kind: type[Any]) -> None:
    """See that a class says of itself what a target has to, before it is made.

    Args:
        name: as ``--target`` has it.
        kind: the class.

    Raises:
        UsageError: it is no target, or says something that cannot be.
    """
    if not issubclass(kind, Target):
        problem = "is no target: it must be a class that inherits harness.targets.base.Target"
        raise UsageError(_FLAG, f"{name!r} {problem}")
    options_type: Any = kind.options_type
    if not (isinstance(options_type, type) and issubclass(options_type, msgspec.Struct)):
        raise UsageError(_FLAG, f"{name!r}: its options_type must be a msgspec.Struct")
    modules: Any = kind.modules
    if not isinstance(modules, str | list | tuple):
        raise UsageError(_FLAG, f"{name!r}: its modules must be a list of names")


def made_target(name: str, kind: type[Target[Any]], options: Any) -> Target[Any]:
    """The target, made with its options.

    Raises:
        UsageError: it cannot be made, lacks what it has to have, or an option is wrong.
    """
    try:
        adapter = kind(options)
    except HarnessError:
        raise
    except TypeError as error:  # a method that every target has is missing
        raise UsageError(_FLAG, f"{name!r} cannot be made: {error}") from None
    except Exception as error:  # noqa: BLE001 - an adapter is somebody else's code
        problem = f"cannot be made: {type(error).__name__}: {first_line(error)}"
        raise UsageError(_FLAG, f"{name!r} {problem.rstrip(': ')}") from None
    for attribute in ("name", "description"):
        if not isinstance(getattr(adapter, attribute, None), str):
            raise UsageError(_FLAG, f"{name!r} must have a text, {attribute}")
    _check_capabilities(name, adapter.capabilities)
    return adapter


def _check_capabilities(name: str, found: Any) -> None:
    if not isinstance(found, Capabilities):
        problem = f"its capabilities must be a Capabilities, not {type(found).__name__}"
        raise UsageError(_FLAG, f"{name!r}: {problem}")
    batch: Any = found.batch
    if not isinstance(batch, frozenset | set):
        problem = f"its capability batch must be a frozenset of names, not {type(batch).__name__}"
        raise UsageError(_FLAG, f"{name!r}: {problem}")
    calls: Any = found.calls_at_once
    if not isinstance(calls, int) or calls < 1:
        problem = f"its calls_at_once must be a number from 1, not {calls!r}"
        raise UsageError(_FLAG, f"{name!r}: {problem}")


def refuse_passwords(name: str, texts: Mapping[str, str]) -> None:
    """See that no option is a URL with a password, which would be written down.

    Args:
        name: of the target.
        texts: what was given, by option.

    Raises:
        UsageError: one is; the text does not repeat it.
    """
    for key, text in texts.items():
        if holds_password(text):
            problem = (
                f"{name}: the option {key} has a password in it, which would be written into the "
                "run; a target reads passwords from the environment"
            )
            raise UsageError(_FLAG, problem)


def holds_password(text: str) -> bool:
    """Whether a text is a URL with a password or key in it."""
    try:
        parts = urlsplit(text)
        return parts.password is not None or bool(_SECRET_PARAMETERS & set(parse_qs(parts.query)))
    except ValueError:  # no URL
        return False
