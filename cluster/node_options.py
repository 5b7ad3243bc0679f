"""The options of `ray start` that depend on which of the listed hosts this one is.

For clusters of listed hosts (cluster/on_prem.yaml), whose provider knows one kind of worker: on
standard output, the address under which the cluster file lists this host, and its role as a
resource. The cluster file is the one that `ray up` left on the head and the head on its workers.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

__all__ = ["main", "start_options"]

CLUSTER_FILE = Path("~/ray_bootstrap_config.yaml")
ROLES = {"memory_node": "memory_hosts", "agent_node": "agent_hosts"}


def start_options(cluster: Mapping[str, Any], own: Iterable[str]) -> list[str]:
    """The options for the host that has the addresses `own`.

    Args:
        cluster: a cluster file as Ray reads it; roles are under ``metadata``.
        own: the IP addresses of this host.

    Raises:
        ValueError: a host has a role and is not listed, or none of those listed is this one.
    """
    provider, roles = cluster["provider"], cluster.get("metadata") or {}
    listed = [provider["head_ip"], *provider["worker_ips"]]
    for name in ROLES.values():
        for host in roles.get(name) or []:
            if host not in listed:
                raise ValueError(f"metadata.{name}: {host} is neither head_ip nor in worker_ips")
    addresses = set(own)
    for host in listed:
        address = socket.gethostbyname(host)
        if address in addresses:
            break
    else:
        raise ValueError(
            f"none of the hosts listed ({', '.join(listed)}) has an address of this one "
            f"({', '.join(sorted(addresses))}): correct head_ip and worker_ips"
        )
    resources = {role: 1 for role, name in ROLES.items() if host in (roles.get(name) or [])}
    # Without spaces: the shell splits what this prints into words.
    return [
        f"--node-ip-address={address}",
        f"--resources={json.dumps(resources, separators=(',', ':'))}",
    ]


def main() -> None:
    """Print the options for this host; exit with a sentence where there are none."""
    try:
        # As JSON: so Ray writes it.
        cluster = json.loads(CLUSTER_FILE.expanduser().read_text(encoding="utf-8"))
        own = [one.address for all_of in psutil.net_if_addrs().values() for one in all_of]
        sys.stdout.write(" ".join(start_options(cluster, own)) + "\n")
    except (OSError, ValueError) as problem:
        sys.exit(f"{CLUSTER_FILE}: {problem}")


if __name__ == "__main__":
    main()
