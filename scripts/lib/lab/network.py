"""Bridge and links: made, cut, healed, slowed down. ``ip`` and ``tc`` do the work.

A host's link is a pair of interfaces: ``amh-<lab>-<host>`` on the machine, a port of the bridge
``amh-<lab>``, and ``eth0`` in the host's network namespace, with which both go.
"""

from __future__ import annotations

import json
import subprocess
from ipaddress import ip_network

from lab.errors import LabError, UsageError
from lab.layout import Lab

__all__ = ["connect", "free_network", "make_bridge", "remove_links", "restore", "set_link", "slow"]

_CALL_TIMEOUT_S = 60.0
# tbf lets this much through at once. Less than a frame with its offloads (64 KiB) goes slower
# than asked for, and the queue holds half a second of the rate.
_BURST_BYTES = 65536
_QUEUE_MS = 500


def free_network() -> str:
    """The first three numbers of a network that nothing on this machine has, as ``10.77.0``.

    Raises:
        LabError: all of 10.77.0.0/16 is taken.
    """
    taken = [
        ip_network(f"{entry['local']}/{entry['prefixlen']}", strict=False)
        for link in json.loads(_run("ip", "-json", "-4", "address", "show").stdout)
        for entry in link.get("addr_info", [])
    ]
    for route in json.loads(_run("ip", "-json", "-4", "route", "show", "table", "all").stdout):
        destination = route.get("dst", "default")
        if destination != "default":
            taken.append(ip_network(destination, strict=False))
    for third in range(256):
        candidate = ip_network(f"10.77.{third}.0/24")
        if not any(candidate.overlaps(other) for other in taken):
            return f"10.77.{third}"
    raise LabError("No network of 10.77.0.0/16 is free on this machine: end another lab.")


def make_bridge(lab: Lab) -> None:
    """The bridge of the hosts, with the machine's own address on it; kept if it is there."""
    if lab.bridge not in _links():
        _run("ip", "link", "add", lab.bridge, "type", "bridge")
    _run("ip", "link", "set", lab.bridge, "addrgenmode", "none", "up")
    _run("ip", "address", "replace", f"{lab.gateway}/24", "dev", lab.bridge)


def connect(lab: Lab, host: int, process: int) -> None:
    """Make the host's link, whose other end is in the network namespace of this process."""
    link = lab.link(host)
    if link in _links():
        _run("ip", "link", "delete", link)
    _run(
        *["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0"],
        *["address", lab.hardware_address(host), "netns", f"{process}"],
    )
    _run("ip", "link", "set", link, "master", lab.bridge, "addrgenmode", "none", "up")


def remove_links(bridge: str, host: int | None = None) -> None:
    """Remove the link of a host, or those of all hosts and the bridge; no matter if it is gone."""
    for link in _links():
        if host is None:
            gone = link == bridge or link.startswith(f"{bridge}-")
        else:
            gone = link == f"{bridge}-{host}"
        if gone:
            # with a host that has just ended the kernel may be taking it down itself
            _run("ip", "link", "delete", link, may_fail=True)


def set_link(lab: Lab, host: int, *, up: bool) -> None:
    """Take the host's link up or down: a partition, of this host from all else."""
    _run("ip", "link", "set", lab.link(host), "up" if up else "down")


def restore(lab: Lab, host: int, process: int) -> None:
    """Bring the link up, as fast and as sure as it can be."""
    set_link(lab, host, up=True)
    for side in _both_sides(lab, host, process):
        _run(*side[0], "tc", "qdisc", "delete", "dev", side[1], "root", may_fail=True)


def slow(
    lab: Lab, host: int, process: int, *, rate: str | None, delay: str | None, loss: str | None
) -> None:
    """Limit what the host sends and what it receives, each to this rate, delay and loss.

    They are as ``tc`` takes them: ``10mbit``, ``20ms`` (each way), ``1%``. What was set before
    is replaced.

    Raises:
        UsageError: none is given, or ``tc`` does not take one.
        LabError: delay or loss are asked for, and the kernel has no netem.
    """
    if rate is None and delay is None and loss is None:
        raise UsageError("There is nothing to limit: give slow a --rate, a --delay or a --loss.")
    if (delay is not None or loss is not None) and not _has_netem(lab, host):
        raise LabError(
            "This kernel has no netem (sch_netem), which --delay and --loss need: give a --rate "
            "only, or use a kernel with it."
        )
    netem = ["netem"]
    netem += ["delay", delay] if delay is not None else []
    netem += ["loss", loss] if loss is not None else []
    for inside, device in _both_sides(lab, host, process):
        set_root = [*inside, "tc", "qdisc", "replace", "dev", device, "root", "handle", "1:"]
        _run(*inside, "tc", "qdisc", "delete", "dev", device, "root", may_fail=True)
        if rate is None:
            _run_as_asked(*set_root, *netem)
            continue
        burst = ["burst", f"{_BURST_BYTES}", "latency", f"{_QUEUE_MS}ms"]
        _run_as_asked(*set_root, "tbf", "rate", rate, *burst)
        if len(netem) > 1:
            _run_as_asked(*[*inside, "tc", "qdisc", "add", "dev", device, "parent", "1:1", *netem])


def _both_sides(lab: Lab, host: int, process: int) -> list[tuple[list[str], str]]:
    """Towards the host, and from it: a prefix that enters its network, and the interface."""
    inside = ["nsenter", f"--net=/proc/{process}/ns/net", "--"]
    return [([], lab.link(host)), (inside, "eth0")]


def _has_netem(lab: Lab, host: int) -> bool:
    """Whether the kernel makes a netem queue; tried on the link, and removed."""
    device = ["dev", lab.link(host), "root"]
    tried = _run("tc", "qdisc", "replace", *device, "netem", "delay", "0ms", may_fail=True)
    if tried.returncode == 0:
        _run("tc", "qdisc", "delete", *device, may_fail=True)
    return tried.returncode == 0


def _links() -> list[str]:
    return [link["ifname"] for link in json.loads(_run("ip", "-json", "link", "show").stdout)]


def _run_as_asked(*command: str) -> None:
    done = _run(*command, may_fail=True)
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise UsageError(
            f"tc does not take this limit ({said}): give a rate such as 10mbit, "
            "a delay such as 20ms, a loss such as 1%."
        )


def _run(*command: str, may_fail: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=_CALL_TIMEOUT_S
    )
    if done.returncode != 0 and not may_fail:
        said = " ".join(done.stderr.split())
        raise LabError(f"{' '.join(command)} failed: {said}.")
    return done
