"""``harness store start``, ``stop`` and ``show``: memories on a cluster that outlive a run.

Exit codes: 0 done, or all shards serve; 1 a shard is unavailable, or something did not start;
2 wrong usage, which a name that is taken, or that nobody has, is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from harness.commands.measuring import say
from harness.commands.store_cluster import connected, mapped
from harness.errors import UsageError
from harness.placement import Wanted, place

if TYPE_CHECKING:
    from memory_core.memory_status import MemoryStatus

__all__ = ["show", "start", "stop"]

_NAME = click.argument("name", metavar="NAME")
_ADDRESS = click.option(
    "--address", envvar="RAY_ADDRESS", help="Ray cluster, host:port.  [$RAY_ADDRESS]"
)
_DATA_DIR = click.option(
    "--data-dir",
    "root",
    metavar="ROOT",
    type=click.Path(path_type=Path),
    help="Data root on every node.  [each node's $MEMORY_CORE_DATA_DIR, or ~/.memory_core/data]",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
_OPTION_OF = {
    "memory": "NAME",
    "shards": "--shards",
    "memory_limit_bytes": "--memory-limit",
    "dimension": "--dimension",
    "durability": "--durability",
    "MEMORY_CORE_DATA_DIR": "MEMORY_CORE_DATA_DIR",
}


@click.command()
@_NAME
@click.option("--new", is_flag=True, help="Make it; without this it has to exist.")
@click.option("--shards", type=click.IntRange(1), help="With --new, how many.  [one a core]")
@click.option("--dimension", type=int, help="With --new, length of the vectors.  [64]")
@click.option("--durability", help="With --new, fsync or os.  [fsync]")
@click.option(
    "--memory-limit", "memory_limit_bytes", type=int, help="With --new, bytes a shard may hold."
)
@_DATA_DIR
@_ADDRESS
@_JSON
def start(
    name: str,
    new: bool,
    shards: int | None,
    root: Path | None,
    address: str | None,
    as_json: bool,
    **settings: int | str | None,
) -> int:
    """Start the memory NAME on a cluster; it runs on when this command is over.

    Each shard starts on the node that has its folder. Those whose folder is on no node that is
    there are unavailable until one is; the others serve.
    """
    given = {field: value for field, value in settings.items() if value is not None}
    if not new and (given or shards is not None):
        field = "shards" if shards is not None else next(iter(given))
        raise UsageError(_OPTION_OF[field], "is of a memory that is made; add --new, or leave it")
    with connected(address) as session, mapped(_OPTION_OF):
        from memory_core import MemoryConfig
        from memory_core.lasting_memory import make_memory, open_memory
        from memory_core.memory_status import memory_status

        if new:
            config = MemoryConfig(**given)  # type: ignore[arg-type]
            wanted = Wanted(agents=1, shards=shards)
            nodes = place(session.nodes, session.node_id, wanted).shards
            notes = make_memory(name, len(nodes), config, nodes, root=_text(root))
        else:
            notes = open_memory(name, root=_text(root))
        status = memory_status(name, root=_text(root))
    for note in notes:
        say(f"note: {note}")
    return _shown(status, as_json)


@click.command()
@_NAME
@_ADDRESS
def stop(name: str, address: str | None) -> int:
    """Stop the memory NAME. Its data stays where it is."""
    with connected(address), mapped(_OPTION_OF):
        from memory_core.lasting_memory import stop_memory

        stopped = stop_memory(name)
    click.echo(f"{name} is stopped ({stopped} shards).")
    return 0


@click.command()
@_NAME
@_DATA_DIR
@_ADDRESS
@_JSON
def show(name: str, root: Path | None, address: str | None, as_json: bool) -> int:
    """Show the shards of the memory NAME: where each is, and why one does not serve."""
    with connected(address), mapped(_OPTION_OF):
        from memory_core.memory_status import memory_status

        status = memory_status(name, root=_text(root))
    return _shown(status, as_json)


def _text(root: Path | None) -> str | None:
    return None if root is None else str(root.absolute())


def _shown(status: MemoryStatus, as_json: bool) -> int:
    """Print what is known of a memory; the exit code that this means."""
    away = [one for one in status.shards if not one.serves]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(status)).decode())
        return 1 if away and status.runs else 0
    click.echo(f"{'shard':>5}  {'state':<11}  {'host':<15}  {'node':<16}  folder")
    for one in status.shards:
        state = "serves" if one.serves else "unavailable" if status.runs else "stopped"
        click.echo(
            f"{one.shard:>5}  {state:<11}  {one.host or '?':<15}  {one.node or '?':<16}  "
            f"{one.path or ''}".rstrip()
        )
    for note in status.notes:
        click.echo(f"note: {note}")
    for one in away:
        if one.reason:
            click.echo(one.reason)
    if not status.runs:
        click.echo(f"{status.memory} is stopped; `harness store start` starts it.")
    elif not away:
        click.echo(f"{status.memory} runs on {len(status.shards)} shards.")
    if status.runs and not status.is_kept:
        click.echo("note: nobody starts its shards again when a node comes back")
    return 1 if away and status.runs else 0
