"""States as bytes: the one form in which a state travels, is stored and comes back.

A packed state is MessagePack, with two conventions: an integer beyond 64 bits is extension 1,
holding its hexadecimal digits, and numbers are finite. Packing checks everything that a state may
not hold, so that whoever has packed bytes from here need not look again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from memory_core.errors import BadInputError

__all__ = ["MAX_DEPTH", "check_packed", "pack_state", "unpack_state"]

MAX_DEPTH = 128
_BIG_INTEGER = 1
_MAX_SHOWN = 60

_SCALARS = frozenset({str, int, float, bool, type(None)})
_KEYS = frozenset({str})
# A float is 0xcb and eight bytes, big-endian; NaN and the infinities have eleven exponent bits
# of one. A hit may be a false one (those bytes inside a string), so it is looked at more closely.
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")

_encode = msgspec.msgpack.Encoder().encode


def pack_state(state: Any, field: str = "state_data", max_bytes: int | None = None) -> bytes:
    """Pack a state, a nested mapping, to bytes.

    Strings, numbers, booleans, None, lists and mappings with string keys are kept as they are;
    tuples and numpy arrays become lists, numpy scalars plain numbers.

    Raises:
        BadInputError: names the place in the state (``state_data.position[0]``) that is of no
            such type, is NaN or infinite, or is nested deeper than `MAX_DEPTH`; or the state is
            larger than ``max_bytes``.
    """
    if type(state) is dict and _is_plain(state, 0):
        try:
            packed = _encode(state)
        except (OverflowError, UnicodeEncodeError):
            packed = _encode(_in_plain_types(state, field))
    else:
        if not isinstance(state, Mapping):
            raise BadInputError(field, f"must be a mapping, not {type(state).__name__}")
        packed = _encode(_in_plain_types(state, field))
    if _NOT_FINITE.search(packed):
        _in_plain_types(state, field)
    if max_bytes is not None and len(packed) > max_bytes:
        raise BadInputError(field, f"is {len(packed):,} bytes packed; at most {max_bytes:,}")
    return packed


def unpack_state(packed: bytes) -> dict[str, Any]:
    """The state that `pack_state` packed, equal to what was given.

    Raises:
        BadInputError: the bytes are no packed state.
    """
    try:
        return _decode(packed)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadInputError("state_data", f"is no packed state: {error}") from None


def check_packed(packed: bytes) -> dict[str, Any]:
    """The state in bytes that came from elsewhere, checked as `pack_state` checks one.

    Raises:
        BadInputError: the bytes are no packed state, or it holds what none may hold.
    """
    state = unpack_state(packed)
    pack_state(state)
    return state


def _is_plain(container: Any, depth: int) -> bool:
    """True when everything inside is what MessagePack keeps exactly."""
    if depth > MAX_DEPTH:
        return False
    if type(container) is dict:
        if not _KEYS.issuperset(map(type, container)):
            return False
        values = container.values()
    else:
        values = container
    if _SCALARS.issuperset(map(type, values)):
        return True
    for value in values:
        kind = type(value)
        if kind not in _SCALARS and not (
            (kind is dict or kind is list) and _is_plain(value, depth + 1)
        ):
            return False
    return True


def _in_plain_types(state: Any, field: str) -> Any:
    """A state in plain types, or an error that names the place of what has none."""
    try:
        return _normalise(state, field, 0)
    except BadInputError as error:
        raise BadInputError(_shortened(error.field), error.problem) from None
    except Exception as error:  # noqa: BLE001 - a mapping of the user's raises what it likes
        reason = _shortened(" ".join(f"{type(error).__name__}: {error}".split()))
        raise BadInputError(field, f"cannot be read ({reason})") from None


def _normalise(value: Any, path: str, depth: int) -> Any:
    """The slow and exact way: ``value`` in plain types, or an error that names its place."""
    if depth > MAX_DEPTH:
        raise BadInputError(path.split(".", 1)[0], f"is nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int | np.integer) and not _holds_times(getattr(value, "dtype", None)):
        return _integer(int(value))
    if isinstance(value, float | np.floating):
        return _number(value, path)
    if isinstance(value, Mapping):
        plain = {}
        for key, item in value.items():
            name = _key(key, path)
            plain[name] = _normalise(item, f"{path}.{_shown(name)}", depth + 1)
        return plain
    if isinstance(value, np.ndarray) and not _holds_times(value.dtype):
        value = value.tolist()
        if not isinstance(value, list):
            return _normalise(value, path, depth)
    if isinstance(value, list | tuple):
        return [
            _normalise(item, f"{path}[{position}]", depth + 1)
            for position, item in enumerate(value)
        ]
    kind = f"{value.dtype} array" if isinstance(value, np.ndarray) else type(value).__name__
    raise BadInputError(
        path,
        f"is of type {kind}; a state holds strings, numbers, booleans, None, lists and mappings",
    )


def _holds_times(dtype: Any) -> bool:
    """Whether numpy's type has dates or spans, which are whole numbers only of their units."""
    if not isinstance(dtype, np.dtype):
        return False
    if dtype.subdtype is not None:
        return _holds_times(dtype.subdtype[0])
    fields: Mapping[str, Any] = dtype.fields or {}
    return dtype.kind in "mM" or any(_holds_times(kind) for kind, *_ in fields.values())


def _number(value: Any, path: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise BadInputError(path, f"is {number}; numbers in a state must be finite")
    if number != value:
        raise BadInputError(path, "has more digits than a float of 64 bits; make it one of those")
    return number


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise BadInputError(path, f"has the key {_shown(repr(key))}; keys must be strings")
    return _text(key, path)


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadInputError(path, "holds a lone surrogate, which is no valid text") from None
    # not str(value): an enumeration's member that is text would give its name
    return str.__str__(value)


def _shown(text: str) -> str:
    """A text within an error: on one line, and short."""
    if len(text) <= _MAX_SHOWN and text.isprintable():
        return text
    return ascii(text[:_MAX_SHOWN])[1:-1] + ("..." if len(text) > _MAX_SHOWN else "")


def _shortened(text: str) -> str:
    """The beginning and the end of a text that is too long to be read."""
    return text if len(text) <= 2 * _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...{text[-_MAX_SHOWN:]}"


def _integer(value: int) -> int | msgspec.msgpack.Ext:
    if -(2**63) <= value < 2**64:
        return value
    # hex has no limit on digits, unlike decimal text
    return msgspec.msgpack.Ext(_BIG_INTEGER, hex(value).encode())


def _extension(code: int, data: memoryview) -> Any:
    if code != _BIG_INTEGER:
        raise ValueError(f"unknown extension {code}")
    return int(bytes(data), 16)


_decode = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=_extension).decode
