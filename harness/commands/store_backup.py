"""``harness store list`` and ``restore``: backups of memories, in a folder or an object store.

Exit codes: 0 done; 1 a backup is damaged, or a place cannot be reached; 2 wrong usage.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import RunFailedError, UsageError

if TYPE_CHECKING:
    from memory_core.backups import Listing, Manifest

__all__ = ["list_backups", "restore"]

_URI = click.argument("uri", metavar="URI")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
_OPTION_OF = {
    "uri": "URI",
    "memory": "NAME",
    "backup": "--backup",
    "shards": "--shards",
    "to": "--to",
}


@click.command("list")
@_URI
@click.option("--memory", metavar="NAME", help="List the backups of this memory only.")
@_JSON
def list_backups(uri: str, memory: str | None, as_json: bool) -> int:
    """List the backups at URI: a folder, or s3://bucket/prefix and the like."""
    from memory_core.backups import list_backups as look

    with mapped({"memory": "--memory"}):
        found = look(uri, memory)
    damaged = any(listing.damaged for listing in found.values())
    if as_json:
        plain = {name: _listing_as_dict(listing) for name, listing in found.items()}
        click.echo(json.dumps(plain, indent=2))
    else:
        _print_listings(found)
    return 1 if damaged else 0


@click.command()
@_URI
@click.argument("name", metavar="NAME")
@click.option("--backup", metavar="ID", help="Which backup.  [the newest]")
@click.option("--shards", type=int, metavar="N", help="How many to make.  [as many as there were]")
@click.option(
    "--to",
    "folder",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="New or empty folder: one database folder a shard, without a cluster.",
)
@_JSON
def restore(
    uri: str, name: str, backup: str | None, shards: int | None, folder: Path, as_json: bool
) -> int:
    """Make databases of a backup of memory NAME at URI."""
    from memory_core.backups import find_backup, restore_to_folder

    with mapped():
        repository, manifest = find_backup(uri, name, backup)
        restored = restore_to_folder(repository, manifest, folder, shards)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "memory": name,
                    "backup": manifest.backup,
                    "folders": restored.folders,
                    "read_bytes": restored.read_bytes,
                },
                indent=2,
            )
        )
    else:
        click.echo(
            f"{folder} has the {len(restored.folders)} shards of {name} from backup "
            f"{manifest.backup}, of {shown_time(manifest.began_wall_ns)}."
        )
    return 0


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


def manifest_as_dict(manifest: Manifest) -> dict[str, Any]:
    """What a backup says of itself, without its files."""
    return {
        "backup": manifest.backup,
        "memory": manifest.memory,
        "memory_id": manifest.memory_id,
        "generation": manifest.generation,
        "shards": len(manifest.shards),
        "began_wall_ns": manifest.began_wall_ns,
        "finished_wall_ns": manifest.finished_wall_ns,
        "bytes": manifest.size_bytes,
        "new_bytes": manifest.new_bytes,
        "reused_bytes": manifest.reused_bytes,
        "settings": manifest.settings,
    }


def _listing_as_dict(listing: Listing) -> dict[str, Any]:
    return {
        "backups": [manifest_as_dict(one) for one in listing.backups],
        "damaged": listing.damaged,
        "unfinished": listing.unfinished,
    }


def _print_listings(found: dict[str, Listing]) -> None:
    for name, listing in found.items():
        click.echo(name)
        if listing.backups:
            click.echo(f"  {'backup':<32} {'taken':<24} {'shards':>6} {'bytes':>16} {'new':>16}")
        for one in listing.backups:
            click.echo(
                f"  {one.backup:<32} {shown_time(one.began_wall_ns):<24} {len(one.shards):>6} "
                f"{one.size_bytes:>16,} {one.new_bytes:>16,}"
            )
        for problem in listing.damaged:
            click.echo(f"  damaged: {problem}")
        for backup in listing.unfinished:
            click.echo(f"  unfinished: {backup} is being made, or was given up")
        if not (listing.backups or listing.damaged or listing.unfinished):
            click.echo("  no backups")
    if not found:
        click.echo("no backups")
