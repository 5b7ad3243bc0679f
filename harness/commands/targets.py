"""``harness targets``: the stores that can be driven."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from harness.commands.targets_check import check

if TYPE_CHECKING:
    from harness.targets.listing import ListedTarget

__all__ = ["targets"]

_SCHEMA_VERSION = 1


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_context
def targets(context: click.Context, as_json: bool) -> int:
    """List the stores that can be driven, and what each can do."""
    if context.invoked_subcommand is not None:
        return 0
    from harness.targets import BUILT_IN
    from harness.targets.listing import listed_targets

    found = listed_targets(BUILT_IN)
    if as_json:
        document = {
            "schema_version": _SCHEMA_VERSION,
            "targets": [dataclasses.asdict(one) for one in found],
        }
        click.echo(json.dumps(document, indent=2))
        return 0
    width = max(len(one.name) for one in found)
    for one in found:
        click.echo(f"{one.name:{width}}  {one.description}")
        for line in _more(one):
            click.echo(f"{'':{width}}    {line}")
    return 0


def _more(one: ListedTarget) -> list[str]:
    """What else is to be said of a target, in lines."""
    lines = []
    if one.package:
        lines.append(f"from the package {one.package}")
    if one.capabilities:
        lines.append(f"can do: {', '.join(one.capabilities)}")
    if one.options:
        lines.append(f"options: {', '.join(one.options)}")
    if not one.installed:
        lines.append(f"not installed; {one.remedy}")
    return lines


targets.add_command(check)
