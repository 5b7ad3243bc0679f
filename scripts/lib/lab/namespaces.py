"""A command inside a host: into its namespaces, whatever its network does.

It is what a console of the host would be: it works while the host is cut off, and what it starts
runs while the rest of the host is stalled.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from lab.errors import LabError

__all__ = ["run_inside"]

# <linux/sched.h>, <linux/prctl.h>; Python has os.setns from 3.12 on.
_NEW_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
_PR_SET_PDEATHSIG = 1


def run_inside(process: int, command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a command in the namespaces of this process; its exit code.

    The command stands in this process's place: it has its standard streams, it gets the signals
    that end this one, and it does not outlive it. A signal that ended it gives 128 more than its
    number, as in a shell; a command that is not there gives 127.

    Raises:
        LabError: the process has gone, or this one may not enter.
    """
    try:
        opened = os.pidfd_open(process)
    except ProcessLookupError as error:
        raise LabError("The host went down.") from error
    libc = ctypes.CDLL(None, use_errno=True)
    # mount, UTS, IPC, PID and network; the PID namespace is that of the children from now on
    if libc.setns(opened, _NEW_NAMESPACES) != 0:
        raise LabError(f"The host cannot be entered: {os.strerror(ctypes.get_errno())}.")
    os.close(opened)
    child = os.fork()
    if child == 0:
        _become(libc, command, environment)
    for number in [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]:
        signal.signal(number, lambda number, _: _pass_on(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(libc: ctypes.CDLL, command: Sequence[str], environment: dict[str, str]) -> NoReturn:
    """In the child: die with the parent, and be the command."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with suppress(OSError):
        os.chdir(environment["HOME"])
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606
    except OSError as error:
        print(f"scripts/lab: {command[0]}: {error.strerror}.", file=sys.stderr)
    os._exit(127)


def _pass_on(child: int, number: int) -> None:
    # a terminal has given its interrupt to the whole group already
    if number == signal.SIGINT and sys.stdin is not None and os.isatty(0):
        return
    with suppress(ProcessLookupError):
        os.kill(child, number)
