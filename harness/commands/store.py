"""``harness store``: verify, repair and measure the folder of a closed memory database.

Commands about backups are in `harness.commands.store_backup` and `store_restore`, those about
memories on a cluster in `harness.commands.store_memory`.

Exit codes: 0 whole or saved; 1 damaged; 2 wrong usage, which a folder without a database is, and
one that a store has open.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.store_backup import back_up, list_backups
from harness.commands.store_memory import show, start, stop
from harness.commands.store_restore import restore
from harness.errors import RunFailedError, UsageError

if TYPE_CHECKING:
    from memory_core.inspection import FolderStatistics, TierHoldings, Verification
    from memory_core.repairing import Repair

__all__ = ["store"]

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")


@click.group()
def store() -> None:
    """Verify, repair, measure a closed database; start a memory on a cluster; make backups."""


store.add_command(back_up)
store.add_command(list_backups)
store.add_command(restore)
store.add_command(start)
store.add_command(stop)
store.add_command(show)


@store.command()
@_FOLDER
@_JSON
def verify(folder: Path, as_json: bool) -> int:
    """Read all of a database and name what is damaged. Nothing in it is changed."""
    from memory_core.inspection import verify as look

    with _mapped():
        found = look(folder)
    if as_json:
        _print_json(
            {
                "clean": found.is_clean,
                "readable": found.readable,
                **_as_json(found),
                "memories": found.memories,
            }
        )
    else:
        _print_verification(found)
    return 0 if found.is_clean else 1


@store.command()
@_FOLDER
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    help="New or empty folder for the repaired database.  [DIR; the damaged one: DIR.damaged]",
)
@click.option(
    "--dimension",
    type=click.IntRange(1, 65_536),
    help="Of the vectors, if the database no longer says it; for the default encoder.",
)
@_JSON
def repair(folder: Path, target: Path | None, dimension: int | None, as_json: bool) -> int:
    """Save what can be read of a damaged database. Its files stay as they are."""
    from memory_core import StateEncoder
    from memory_core.repairing import repair as save

    encoder = None if dimension is None else StateEncoder(dimension)
    with _mapped():
        outcome = save(folder, target, encoder=encoder)
    if as_json:
        _print_json({**_as_json(outcome), "memories": outcome.memories})
    else:
        _print_repair(outcome)
    return 0


@store.command()
@_FOLDER
@_JSON
def stats(folder: Path, as_json: bool) -> int:
    """Count a database's agents and memories, and measure its files."""
    from memory_core.inspection import stats as measure

    with _mapped():
        found = measure(folder)
    if as_json:
        _print_json({"clean": found.is_clean, **_as_json(found)})
    else:
        _print_statistics(found)
    return 0 if found.is_clean else 1


@contextmanager
def _mapped() -> Iterator[None]:
    """The store's errors as the harness's: what the user can put right is wrong usage."""
    from memory_core.errors import BadInputError, LockedError, MemoryCoreError

    fields = {"path": "DIR", "target": "--to"}
    try:
        yield
    except BadInputError as error:
        raise UsageError(fields.get(error.field, error.field), error.problem) from None
    except LockedError as error:
        raise UsageError("DIR", str(error)) from None
    except MemoryCoreError as error:
        raise RunFailedError(
            str(error).replace("its encoder", "its encoder (--dimension)")
        ) from None


def _as_json(result: Any) -> dict[str, Any]:
    return dataclasses.asdict(result)


def _print_json(value: Mapping[str, Any]) -> None:
    click.echo(json.dumps(value, indent=2))


def _print_verification(found: Verification) -> None:
    if found.readable:
        _print_tiers(found.tiers, found.agents)
    for note in found.notes:
        click.echo(f"note: {note}")
    for problem in found.problems:
        click.echo(f"damaged: {problem}")
    if found.is_clean:
        click.echo(f"{found.path} is whole.")
    elif found.readable:
        click.echo(
            f"{found.path} is damaged; {found.memories:,} memories can be read as it is. "
            "`harness store repair` saves what can be."
        )
    else:
        click.echo(
            f"{found.path} is damaged and cannot be opened as it is. "
            "`harness store repair` saves what can be."
        )


def _print_repair(outcome: Repair) -> None:
    for tier, memories in outcome.saved.items():
        click.echo(f"{tier:>5} {memories:>12,} saved")
    for loss in outcome.lost:
        click.echo(f"lost: {loss}")
    if outcome.from_beneath:
        click.echo(
            f"note: {outcome.from_beneath:,} of them lay beneath damage: they may be earlier "
            "versions, or have been deleted since"
        )
    click.echo(
        f"{outcome.path} is whole, with {outcome.memories:,} memories of "
        f"{outcome.agents:,} agents; the damaged files are in {outcome.damaged}."
    )


def _print_statistics(found: FolderStatistics) -> None:
    _print_tiers(found.tiers, found.agents)
    click.echo(f"\n{'files':>5} {'number':>12} {'bytes':>16}")
    click.echo(f"{'sst':>5} {found.tables:>12,} {found.table_bytes:>16,}")
    click.echo(f"{'log':>5} {found.logs:>12,} {found.log_bytes:>16,}")
    click.echo(f"{'all':>5} {'':>12} {found.folder_bytes:>16,}")
    click.echo(f"\n{'level':>5} {'tables':>12} {'bytes':>16} {'records':>12}")
    for level in found.levels:
        click.echo(
            f"{level['level']:>5} {level['tables']:>12,} {level['table_bytes']:>16,} "
            f"{level['records']:>12,}"
        )
    if not found.is_clean:
        click.echo("\nIt is damaged; see `harness store verify`.")


def _print_tiers(tiers: Mapping[str, TierHoldings], agents: int) -> None:
    click.echo(f"{'tier':>5} {'memories':>12} {'bytes':>16} {'agents':>12}")
    for name, tier in tiers.items():
        click.echo(f"{name:>5} {tier.memories:>12,} {tier.state_bytes:>16,} {tier.agents:>12,}")
    memories = sum(tier.memories for tier in tiers.values())
    state_bytes = sum(tier.state_bytes for tier in tiers.values())
    click.echo(f"{'all':>5} {memories:>12,} {state_bytes:>16,} {agents:>12,}")
