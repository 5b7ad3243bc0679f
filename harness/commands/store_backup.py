"""``harness store backup`` and ``list``: backups of memories, in a folder or an object store.

Exit codes: 0 done; 1 a backup is damaged or failed, or a place cannot be reached; 2 wrong usage;
130 interrupted, which is how backups at an interval end.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from harness.commands.measuring import say, stop_on_signals
from harness.commands.store_cluster import ADDRESS, JSON, URI, connected, mapped, shown_time
from harness.errors import RunFailedError, UsageError

if TYPE_CHECKING:
    from memory_core.backup_taking import BackedUp
    from memory_core.backups import Listing, Manifest

__all__ = ["back_up", "list_backups"]

_MIB = 1024 * 1024


@click.command("backup")
@click.argument("name", metavar="NAME")
@URI
@click.option(
    "--interval", metavar="TIME", help="Take one after the other, each so long after: 60s, 15m, 6h."
)
@click.option("--keep", type=int, metavar="N", help="Delete all but the newest N.  [delete none]")
@click.option(
    "--rate",
    "rate_mib_s",
    type=float,
    metavar="MIB",
    help="MiB a second that each shard reads and writes at most.  [32]",
)
@ADDRESS
@JSON
def back_up(
    name: str,
    uri: str,
    interval: str | None,
    keep: int | None,
    rate_mib_s: float | None,
    address: str | None,
    as_json: bool,
) -> int:
    """Back up the running memory NAME to URI, while it works.

    URI is a folder that all hosts share, or s3://bucket/prefix and the like.
    """
    interval_s = None if interval is None else _seconds("--interval", interval)
    if rate_mib_s is not None and not 0 < rate_mib_s < 1e9:
        raise UsageError("--rate", f"must be above 0, not {rate_mib_s:g}")
    rate = {} if rate_mib_s is None else {"rate_bytes_s": rate_mib_s * _MIB}
    out = sys.stdout  # which Ray's session keeps quiet
    with connected(address):
        from memory_core.backups import repeat
        from memory_core.cluster_backup import back_up_memory

        codes: list[int] = []

        def take(_: int) -> None:
            try:
                with mapped():
                    done = back_up_memory(name, uri, keep=keep, **rate)
            except RunFailedError as error:
                if interval_s is None:
                    raise
                say(str(error))  # the next may go through
                codes.append(1)
            else:
                click.echo(_line(done, as_json), file=out)
                codes.append(0)

        stop = threading.Event()
        if interval_s is None:  # Ctrl-C breaks it off
            take(1)
        else:
            with stop_on_signals(_Stop(stop)):
                repeat(take, interval_s, stop)
    return 130 if stop.is_set() else codes[-1]


@click.command("list")
@URI
@click.option("--memory", metavar="NAME", help="List the backups of this memory only.")
@JSON
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


class _Stop:
    """What signals set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def set(self) -> None:
        self._event.set()

    @property
    def requested(self) -> bool:
        return self._event.is_set()


def _seconds(option: str, text: str) -> float:
    """A time such as 60s, 15m or 6h; a bare number is of seconds."""
    unit = {"s": 1.0, "m": 60.0, "h": 3_600.0}.get(text[-1:], 0.0)
    number = text[:-1] if unit else text
    try:
        seconds = float(number) * (unit or 1.0)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 366 * 86_400:
        raise UsageError(option, f"{text[:40]!r} is no time above 0; give one like 60s, 15m or 6h")
    return seconds


def _line(done: BackedUp, as_json: bool) -> str:
    """What was backed up, in a line."""
    manifest, removal = done.manifest, done.removal
    if as_json:
        removed = None if removal is None else dataclasses.asdict(removal)
        return json.dumps({**manifest_as_dict(manifest), "removed": removed})
    took_s = (manifest.finished_wall_ns - manifest.began_wall_ns) / 1e9
    line = (
        f"{manifest.backup}: {len(manifest.shards)} shards, {manifest.size_bytes:,} bytes, "
        f"{manifest.new_bytes:,} of them new, in {took_s:.1f} s"
    )
    if removal is not None and removal.backups:
        line += f"; {len(removal.backups)} older deleted"
    if removal is not None and removal.put_off is not None:
        line += f"; deleting was put off: {removal.put_off}"
    return line


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
