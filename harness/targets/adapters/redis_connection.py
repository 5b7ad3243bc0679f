"""Reaching a Redis server for the target ``redis``, and what it says of itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from harness.errors import RunFailedError, UsageError
from harness.targets.base import Scalar, Setup

if TYPE_CHECKING:
    import redis

__all__ = [
    "check_url",
    "connected",
    "durability_of",
    "foreign_connection",
    "has_vector_sets",
    "key_groups",
    "remove_keys",
    "server_version",
]

_CONNECT_TIMEOUT_S = 10.0
_KEYS_AT_ONCE = 1_000  # when keys are counted or removed


def connected(connection: Mapping[str, Any], timeout_s: float) -> redis.Redis:
    """A client for ``connection``, which has a ``socket`` or a ``url``.

    It tries nothing twice: what fails is a row in the results.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    settings: dict[str, Any] = {
        "protocol": 3,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": timeout_s,
    }
    if "socket" in connection:
        return redis.Redis(unix_socket_path=connection["socket"], **settings)
    for name in ("username", "password"):
        if connection.get(name):
            settings[name] = connection[name]
    if not connection["url"].startswith("unix:"):
        settings["socket_connect_timeout"] = min(timeout_s, _CONNECT_TIMEOUT_S)
    return redis.Redis.from_url(connection["url"], **settings)


def check_url(url: str) -> None:
    """Whether a URL may be an option, which is written down.

    Raises:
        UsageError: it has a password in it.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError("--target", f"redis: url={url} is wrong: {error}") from None
    if parts.password is not None or "password" in parse_qs(parts.query):
        raise UsageError(
            "--target", "redis: url has a password in it; give it as REDIS_PASSWORD instead"
        )


def foreign_connection(url: str, setup: Setup) -> dict[str, Any]:
    """How to reach a server that is not ours, which has keys of others, too.

    Raises:
        UsageError: the URL is wrong.
        RunFailedError: the server does not answer, or refuses us.
    """
    import redis

    connection = {
        "url": url,
        "username": os.environ.get("REDIS_USERNAME", ""),
        "password": os.environ.get("REDIS_PASSWORD", ""),
        "prefix": f"harness:{setup.run_id}",
    }
    try:
        with connected(connection, setup.deadline_s) as client:
            client.ping()
    except (ValueError, TypeError) as error:
        raise UsageError("--target", f"redis: url={url} is wrong: {error}") from None
    except redis.RedisError as error:
        raise RunFailedError(f"redis: the server at {url} cannot be used: {error}") from None
    return connection


def server_version(client: Any) -> str:
    """Such as ``8.2.3``."""
    return str(client.info("server").get("redis_version", "of an unknown version"))


def has_vector_sets(client: Any) -> bool:
    """Whether the server knows the commands of vector sets."""
    import redis

    try:
        client.execute_command("VCARD", "harness:no-such-set")
    except redis.ResponseError:
        return False
    return True


def durability_of(client: Any) -> tuple[str, dict[str, Scalar]]:
    """What an acknowledgement means, in a sentence and as settings."""
    import redis

    try:
        kept = client.config_get("appendonly", "appendfsync")
    except redis.ResponseError:
        return "as the server at that URL has it set, which it does not tell", {}
    if kept.get("appendonly") != "yes":
        return "in the memory of a server without an append-only file: lost with its process", kept
    when = {
        "always": "written and synced before the answers to each transaction are sent",
        "everysec": "written with the answers or up to 2 s after them, and synced every second",
        "no": "written before the answers are sent, and left to the operating system to sync",
    }
    sync = kept.get("appendfsync", "")
    return f"Redis's append-only file, {when.get(sync, sync)} (appendfsync {sync})", kept


def key_groups(client: Any, prefix: str) -> Iterator[list[bytes]]:
    """All keys that begin with ``prefix``, some at a time."""
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
    cursor = 0
    while True:
        cursor, keys = client.scan(cursor, match=pattern, count=_KEYS_AT_ONCE)
        if keys:
            yield keys
        if cursor == 0:
            return


def remove_keys(connection: Mapping[str, Any]) -> None:
    """Remove all keys that begin with the connection's prefix."""
    with connected(connection, _CONNECT_TIMEOUT_S) as client:
        for keys in key_groups(client, f"{connection['prefix']}:"):
            client.unlink(*keys)
