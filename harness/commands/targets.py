"""``harness targets``: the stores that can be driven."""

from __future__ import annotations

import click

__all__ = ["targets"]


@click.command()
def targets() -> int:
    """List the stores that can be driven."""
    from harness.targets import BUILT_IN, load_target

    width = max(map(len, BUILT_IN))
    for name in BUILT_IN:
        click.echo(f"{name:{width}}  {load_target(name).description}")
    return 0
