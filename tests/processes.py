"""Processes as tests look for them, any of which may end while it is looked at."""

from __future__ import annotations

import contextlib

import psutil


def below(pid: int, word: str = "", name: str | None = None) -> list[psutil.Process]:
    """The processes below one, at any depth, that have a word in their arguments, and a name."""
    return [
        process
        for process in psutil.Process(pid).children(recursive=True)
        if word in command_line(process) and name in (None, _name(process))
    ]


def command_line(process: psutil.Process) -> str:
    """A process's arguments with spaces between them; empty if it has ended, a zombie included."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended: a zombie has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""
