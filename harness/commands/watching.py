"""What commands that measure show besides the terminal: their options, and the views they ask for.

The options are kept with click's context, out of the way of the commands' own. So are the views,
for the benchmarks that another command carries out: they are shown by what it has opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from harness.commands.measuring import say
from harness.errors import NotInstalledError
from harness.live.view import View, Views

__all__ = ["WATCH_OPTIONS", "watched"]

_KEY = "harness.watch"
_OPEN = "harness.watch.open"


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta.setdefault(_KEY, {})[parameter.name] = value


def _option(name: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(name, expose_value=False, callback=_keep, **settings)


WATCH_OPTIONS: list[Callable[[Any], Any]] = [
    _option(
        "--web",
        is_flag=True,
        help="Show the run as it goes on a live page, for a browser on this machine.",
    ),
    _option(
        "--web-port",
        type=int,
        metavar="PORT",
        help="Port of that page, which this asks for too.  [a free one]",
    ),
    _option(
        "--web-host",
        metavar="HOST",
        help="Serve it on this name or address, for other machines, with a token.  [127.0.0.1]",
    ),
    _option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        metavar="PORT",
        help="Serve metrics for Prometheus on this port; 0 takes a free one, and prints it.",
    ),
    _option(
        "--metrics-host",
        metavar="HOST",
        help="Serve them on this address of this machine, to whoever reaches it.  [127.0.0.1]",
    ),
    _option(
        "--otlp",
        metavar="URL",
        help="Send metrics to an OpenTelemetry collector, by OTLP over HTTP.",
    ),
]


@contextmanager
def watched(command: str, path: Path) -> Iterator[View]:
    """The views that the current command's options ask for, but for the terminal's, as one.

    Within a command that is watched already, they are its own views; these are told nothing of
    the inner command's end, which is not theirs.

    Args:
        command: as in ``run.json``: ``run``, ``bench-agents``, ...
        path: its directory.

    Raises:
        UsageError: an option is wrong, or an address cannot be had.
    """
    meta = click.get_current_context().meta
    if _OPEN in meta:
        yield _Part(meta[_OPEN], command)
        return
    with ExitStack() as stack:
        view = Views(list(_opened(stack, meta.get(_KEY, {}), command, path)))
        meta[_OPEN] = view
        try:
            yield view
        finally:
            del meta[_OPEN]
        with suppress(KeyboardInterrupt):  # it ends the waits of closing; the command is done
            stack.close()


def _opened(stack: ExitStack, asked: Mapping[str, Any], command: str, path: Path) -> Iterator[View]:
    """Open each view that is asked for, and say where it is."""
    host, port = asked.get("web_host"), asked.get("web_port")
    if asked.get("web") or host is not None or port is not None:
        yield stack.enter_context(_web(command, path, host, port))
    host, port = asked.get("metrics_host"), asked.get("metrics_port")
    if host is not None or port is not None:
        yield stack.enter_context(_metrics(command, host, port))
    if asked.get("otlp") is not None:
        yield stack.enter_context(_otlp(command, asked["otlp"]))


@contextmanager
def _web(command: str, path: Path, host: str | None, port: int | None) -> Iterator[View]:
    from harness.live.web.web_view import web_view

    with web_view(command, path, host=host, port=port or 0) as served:
        say(f"watch it at {served.address}")
        yield served


@contextmanager
def _metrics(command: str, host: str | None, port: int | None) -> Iterator[View]:
    from harness.live.metrics import metrics_server

    with metrics_server(command, host or "127.0.0.1", port or 0) as served:
        say(f"metrics at {served.url}")
        yield served


@contextmanager
def _otlp(command: str, url: str) -> Iterator[View]:
    try:
        from harness.live.otlp import otlp_export
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}: install it with: pip install 'agent-memory-harness[otlp]'"
        raise NotInstalledError("--otlp", problem) from None
    with otlp_export(command, url, say) as exported:
        yield exported


class _Part(Views):
    """What shows a command, for a command within it."""

    def __init__(self, view: View, command: str) -> None:
        super().__init__([view])
        view.note(f"{command} begins")

    def finish(self, status: str, summary: Mapping[str, Any], path: Path) -> None:
        """Tell nothing: the command goes on."""
