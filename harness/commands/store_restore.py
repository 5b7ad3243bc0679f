"""``harness store restore``: a memory on a cluster, or databases in a folder, of a backup.

Exit codes: 0 done; 1 a backup is damaged, or something cannot be reached; 2 wrong usage.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from harness.commands.measuring import say
from harness.commands.store_cluster import ADDRESS, JSON, URI, connected, mapped, shown_time
from harness.errors import UsageError

__all__ = ["restore"]


@click.command()
@URI
@click.argument("name", metavar="NAME")
@click.option("--backup", metavar="ID", help="Which backup.  [the newest]")
@click.option("--shards", type=int, metavar="N", help="How many to make.  [as many as there were]")
@click.option(
    "--to",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="New or empty folder: one database folder a shard, without a cluster.",
)
@click.option("--as", "new_name", metavar="NEWNAME", help="What to call it on the cluster.  [NAME]")
@click.option(
    "--replace", is_flag=True, help="Put folders that hosts have of the memory aside.  [refuse]"
)
@ADDRESS
@JSON
def restore(uri: str, name: str, **options: Any) -> int:
    """Make memory NAME on a cluster, or databases in a folder, of a backup at URI."""
    if options["folder"] is not None:
        if options["new_name"] is not None or options["replace"]:
            raise UsageError("--to", "makes folders without a cluster: no --as and no --replace")
        return _restore_to_folder(uri, name, **options)
    if options["address"] is None:
        raise UsageError(
            "--to", "is missing; name a folder, or a cluster by --address or RAY_ADDRESS"
        )
    return _restore_to_cluster(uri, name, **options)


def _restore_to_cluster(
    uri: str, name: str, *, new_name: str | None, address: str, as_json: bool, **options: Any
) -> int:
    out = sys.stdout  # which Ray's session keeps quiet
    chosen = {one: options[one] for one in ("backup", "shards", "replace")}
    with connected(address) as session, _mapped():
        from harness.placement import Wanted, place
        from memory_core.backups import absolute_uri
        from memory_core.cluster_restore import restore_memory

        def nodes_for(shards: int) -> list[str]:
            wanted = Wanted(agents=1, shards=shards)
            return place(session.nodes, session.node_id, wanted).shards

        restored = restore_memory(absolute_uri(uri), name, new_name or name, nodes_for, **chosen)
    record = restored.record
    for note in restored.notes:
        say(note)
    if as_json:
        plain = {
            "memory": record.memory,
            "memory_id": record.memory_id,
            "generation": record.generation,
            "backup": restored.backup.backup,
            "hosts": [home.host for home in record.homes if home is not None],
            "read_bytes": restored.read_bytes,
        }
        click.echo(json.dumps(plain, indent=2), file=out)
    else:
        hosts = sorted({home.host for home in record.homes if home is not None})
        click.echo(
            f"{record.memory} is there with {record.shards} shards on {', '.join(hosts)}, from "
            f"backup {restored.backup.backup}, of {shown_time(restored.backup.began_wall_ns)}; "
            f"`harness store start {record.memory}` starts it.",
            file=out,
        )
    return 0


def _restore_to_folder(uri: str, name: str, *, folder: Path, **options: Any) -> int:
    from memory_core.backups import find_backup, restore_to_folder

    with mapped():
        repository, manifest = find_backup(uri, name, options["backup"])
        restored = restore_to_folder(repository, manifest, folder, options["shards"])
    if options["as_json"]:
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
def _mapped() -> Iterator[None]:
    """The store's errors, with the options that would help."""
    try:
        with mapped():
            yield
    except UsageError as error:
        problem = error.problem.replace("replace it,", "replace it (--replace),")
        problem = problem.replace("name another", "name another (--as)")
        raise UsageError(error.field, problem) from None
