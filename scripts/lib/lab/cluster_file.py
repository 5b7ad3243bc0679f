"""The file for ``ray up``: ``cluster/on_prem.yaml`` of the checkout, for the hosts of a lab.

All that starts Ray is as it stands there. What differs is who the hosts are, how they are
reached, whose token they share, and that nothing is installed: the hosts see the checkout and its
environment already, as ``~/agent-memory-harness``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import LabError
from lab.layout import CHECKOUT, HEAD, Lab

__all__ = ["Roles", "cluster_of", "start_command", "write_cluster_file"]

_TOKEN_PLACE = "~/.ray/auth_token"  # noqa: S105 - where it is, not what it is


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Which hosts have shards, and which run agents, by their numbers as they were given.

    With none of a kind, the harness chooses.
    """

    memory_hosts: Sequence[str] = ()
    agent_hosts: Sequence[str] = ()


def write_cluster_file(lab: Lab, roles: Roles) -> None:
    """Write the file for ``ray up``.

    Raises:
        UsageError: a role is given to a host that is not there.
        LabError: the checkout's file is not there, or not as expected.
    """
    import yaml  # Ray needs it, so it is there

    original = CHECKOUT / "cluster" / "on_prem.yaml"
    try:
        given = yaml.safe_load(original.read_text(encoding="utf-8"))
        made = cluster_of(given, lab, roles)
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise LabError(f"{original} is no file for Ray's local provider ({error}).") from error
    heading = f"# Made by scripts/lab from {original}, for the lab {lab.name!r}.\n"
    text = heading + yaml.safe_dump(made, sort_keys=False)
    lab.cluster_file.write_text(text, encoding="utf-8")


def start_command(lab: Lab, host: int) -> list[str]:
    """What starts Ray on a host, as its start commands in the file for ``ray up`` do.

    Raises:
        LabError: the file is not there, or not as expected.
    """
    import yaml

    kind = "head" if host == HEAD else "worker"
    try:
        cluster = yaml.safe_load(lab.cluster_file.read_text(encoding="utf-8"))
        commands = [f"( {command} )" for command in cluster[f"{kind}_start_ray_commands"]]
        head = cluster["provider"]["head_ip"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise LabError(f"{lab.cluster_file} is no file for ray up ({error}).") from error
    return ["bash", "-c", f"export RAY_HEAD_IP={head}; {' && '.join(commands)}"]


def cluster_of(given: dict[str, Any], lab: Lab, roles: Roles) -> dict[str, Any]:
    """What the file holds, from what the checkout's holds.

    Raises:
        UsageError: a role is given to a host that is not there.
        KeyError: something is missing in it.
        TypeError: something in it has another shape.
    """
    made = {key: value for key, value in given.items() if not key.startswith("rsync_")}
    made["cluster_name"] = lab.cluster_name
    made["provider"] = given["provider"] | {
        "head_ip": lab.address(HEAD),
        "worker_ips": [lab.address(host) for host in range(HEAD + 1, lab.hosts + 1)],
    }
    made["metadata"] = (given.get("metadata") or {}) | {
        "memory_hosts": [lab.address(lab.number(host)) for host in roles.memory_hosts],
        "agent_hosts": [lab.address(lab.number(host)) for host in roles.agent_hosts],
    }
    made["auth"] = given["auth"] | {"ssh_user": "root", "ssh_private_key": str(lab.key)}
    made["file_mounts"] = {
        place: str(lab.token) for place in given["file_mounts"] if place == _TOKEN_PLACE
    }
    for kind in ["setup_commands", "head_setup_commands", "worker_setup_commands"]:
        made.pop(kind, None)
    return made
