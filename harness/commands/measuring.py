"""What commands that measure do around it: stop on signals, speak, exit codes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Protocol

import click

__all__ = ["EXIT_CODES", "Stoppable", "say", "signals_handled", "stop_on_signals"]

# by the status that a run ends with
EXIT_CODES = {"complete": 0, "failed": 1, "invalid": 4, "interrupted": 130}


class Stoppable(Protocol):
    """What can be asked to end."""

    def set(self) -> None:
        """Ask for the end."""

    @property
    def requested(self) -> bool:
        """Whether the end was asked for."""


def say(text: str) -> None:
    """Say something on standard error, in one line."""
    click.echo(f"harness: {' '.join(text.split())}", err=True)


@contextlib.contextmanager
def stop_on_signals(stop: Stoppable) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or hang-up asks for the end, the next insists."""

    def ask(_signal: int, _frame: object) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.set()

    with signals_handled(ask, signal.SIGINT, signal.SIGTERM):
        yield


@contextlib.contextmanager
def signals_handled(handle: Callable[[int, object], None], *numbers: int) -> Iterator[None]:
    """Have these signals handled meanwhile, and a hang-up unless it is ignored."""
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup leaves it
        numbers = (*numbers, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
