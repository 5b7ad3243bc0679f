"""Stop Ray on the workers of a cluster of listed hosts, from its head; elsewhere, do nothing.

Without this, a worker's Ray notices after a minute that the head has gone, and leaves some
processes even then. Which hosts there are is in the file that `ray up` left on the head, with the
key that it left there for its autoscaler.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

__all__ = ["main", "stop_worker"]

CLUSTER_FILE = Path("~/ray_bootstrap_config.yaml").expanduser()
CONNECT_TIMEOUT_S = 5
STOP_TIMEOUT_S = 60
WORKERS_AT_ONCE = 32
# What a shell says of a command that is not there: nothing is installed, so nothing runs.
NOT_FOUND = 127


def stop_worker(host: str, auth: dict[str, Any]) -> str | None:
    """Run `ray stop` on a host over SSH; what went wrong, None if nothing did."""
    key = Path(auth.get("ssh_private_key", "")).expanduser()
    command = ["ssh", *(["-i", str(key)] if key.is_file() else [])]
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        f"ConnectTimeout={CONNECT_TIMEOUT_S}",
    ]:
        command += ["-o", option]
    command += [f"{auth['ssh_user']}@{host}", "ray stop"]
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=STOP_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {STOP_TIMEOUT_S} s"
    if done.returncode in (0, NOT_FOUND):
        return None
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def main() -> None:
    """Stop all workers at once, and name those that could not be; never fail."""
    try:
        # As JSON: so Ray writes it.
        cluster = json.loads(CLUSTER_FILE.read_text(encoding="utf-8"))
        provider = cluster["provider"]
        workers = provider["worker_ips"] if provider["type"] == "local" else []
        head = socket.gethostbyname(provider["head_ip"]) if workers else ""
    except (OSError, ValueError, KeyError, TypeError):
        return
    own = {one.address for all_of in psutil.net_if_addrs().values() for one in all_of}
    if not workers or head not in own:
        return
    with ThreadPoolExecutor(WORKERS_AT_ONCE) as threads:
        problems = threads.map(lambda host: stop_worker(host, cluster["auth"]), workers)
    for host, problem in zip(workers, problems, strict=True):
        if problem is not None:
            sys.stderr.write(f"Ray was not stopped on {host}: {problem}\n")


if __name__ == "__main__":
    main()
