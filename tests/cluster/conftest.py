"""A lab of hosts for the tests in this folder, made when the first of them asks for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster.running_lab import RunningLab, call_lab, process_name, refuse

_HOSTS = 4
_TOOLS = ["ip", "tc", "unshare", "nsenter", "sshd", "ssh", "ssh-keygen", "rsync"]


@pytest.fixture(scope="session")
def lab_allowed() -> None:
    """Skips, with the reason, where there can be no lab; fails where its tests are required."""
    if not sys.platform.startswith("linux"):
        refuse("a lab of hosts needs Linux")
    if os.geteuid() != 0:
        refuse("a lab of hosts needs root")
    places = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=places) is None]
    if missing:
        refuse(
            f"a lab of hosts needs {', '.join(missing)} (Debian: iproute2, openssh-server, rsync)"
        )
    _remove_abandoned()


@pytest.fixture(scope="session")
def lab_of_session(lab_allowed: None) -> Iterator[RunningLab]:
    """A lab of 4 hosts, for all the tests of this process."""
    name = process_name(os.getpid())
    try:
        yield RunningLab(name, _HOSTS)
    finally:
        call_lab(name, "down")


@pytest.fixture
def lab(lab_of_session: RunningLab) -> Iterator[RunningLab]:
    """The lab of the session, with every host healed after the test."""
    try:
        yield lab_of_session
    finally:
        lab_of_session.heal_all()


@pytest.fixture
def cluster(lab: RunningLab) -> RunningLab:
    """The lab of the session, with Ray on all of its hosts."""
    lab.ray_up()
    return lab


@pytest.fixture
def other_name(lab_allowed: None) -> Iterator[str]:
    """The name of a lab of the test's own, removed with it."""
    name = process_name(os.getpid(), "u")
    try:
        yield name
    finally:
        call_lab(name, "down")


def _remove_abandoned() -> None:
    """Remove the labs of pytest processes that are no more."""
    for folder in Path("/var/tmp").glob("agent-memory-harness-[tu]*"):
        name = folder.name.removeprefix("agent-memory-harness-")
        with suppress(ValueError):
            process = int(name[1:], 36)
            if name == process_name(process, name[0]) and not Path(f"/proc/{process}").exists():
                call_lab(name, "down")
