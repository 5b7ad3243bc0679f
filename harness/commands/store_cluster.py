"""What the commands share that speak of memories on a cluster, and of their backups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from harness.errors import RunFailedError, UsageError

if TYPE_CHECKING:
    from harness.ray_session import RaySession

__all__ = ["ADDRESS", "JSON", "URI", "connected", "mapped", "shown_time"]

URI = click.argument("uri", metavar="URI")
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
ADDRESS = click.option(
    "--address",
    envvar="RAY_ADDRESS",
    help="Ray cluster that the memory runs on, host:port.  [$RAY_ADDRESS]",
)
_OPTION_OF = {
    "uri": "URI",
    "memory": "NAME",
    "backup": "--backup",
    "shards": "--shards",
    "to": "--to",
    "keep": "--keep",
}


@contextmanager
def connected(address: str | None) -> Iterator[RaySession]:
    """Connected to the cluster that a memory runs on.

    Raises:
        UsageError: none is named, or none is there.
    """
    from harness.ray_session import LOCAL, check_address, ray_session, set_environment

    if address is None or address == LOCAL:
        raise UsageError(
            "--address", "is missing; name the cluster that the memory runs on, or set RAY_ADDRESS"
        )
    set_environment(address)  # Ray reads it when it is imported
    check_address(address)
    with ray_session(address) as session:
        yield session


@contextmanager
def mapped(options: dict[str, str] | None = None) -> Iterator[None]:
    """The store's errors as the harness's: what the user can put right is wrong usage."""
    from memory_core.errors import BadInputError, MemoryCoreError

    names = _OPTION_OF | (options or {})
    try:
        yield
    except BadInputError as error:
        raise UsageError(names.get(error.field, error.field), error.problem) from None
    except MemoryCoreError as error:
        raise RunFailedError(str(error)) from None


def shown_time(wall_ns: int) -> str:
    """A moment in UTC, to the second."""
    return f"{datetime.fromtimestamp(wall_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"
