"""A Ray that the tests of this process share, and ``harness`` in this process on it.

To start a Ray costs some six seconds of CPU, and a process that imports ours and joins it two
more: most of what a small run costs. So a test that is about something else than how a Ray comes
and goes takes this one, which is a run's own as `harness.ray_session` starts it, and which every
run leaves as it was. It is started when it is first asked for, and ends before a file whose tests
do not take it: no other test finds a Ray in its process.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from harness import cli
from harness.ray_session import LOCAL, RaySession, ray_session

__all__ = ["command_here", "end", "environment_kept", "instead", "session_here"]

ROOT = Path(__file__).resolve().parent.parent

_kept = ExitStack()
_session: RaySession | None = None


def session_here() -> RaySession:
    """The Ray of this process, started if there is none. Its workers find the tests' targets."""
    global _session  # noqa: PLW0603 - Ray is one of a process
    if _session is None:
        with environment_kept(), redirect_stdout(sys.stdout):
            os.environ["PYTHONPATH"] = str(ROOT)
            _session = _kept.enter_context(ray_session(LOCAL))
    return _session


def end() -> None:
    """End the Ray of this process, if there is one."""
    global _session  # noqa: PLW0603
    if _session is not None:
        _session = None
        with redirect_stdout(sys.stdout):
            _kept.close()


@contextmanager
def instead() -> Iterator[None]:
    """Runs and benchmarks in this process have its Ray in this block, in place of their own.

    As with their own, what Ray itself writes to standard output is kept from it.
    """
    from harness import runner
    from harness.benchmarks import bench

    session = session_here()

    @contextmanager
    def joined(address: str) -> Iterator[RaySession]:
        assert address == LOCAL
        with Path(os.devnull).open("w") as silence, redirect_stdout(silence):
            yield session

    with (
        mock.patch.object(runner, "ray_session", joined),
        mock.patch.object(bench, "ray_session", joined),
    ):
        yield


def command_here(
    *arguments: object, temp: Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """As `tests.harness.driving.command`, in this process and on its Ray."""
    out, err, code = io.StringIO(), io.StringIO(), None
    with ExitStack() as stack:
        stack.enter_context(instead())
        stack.enter_context(environment_kept())
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            del os.environ[name]
        os.environ.update(TMPDIR=str(temp), COLUMNS="100")
        stack.enter_context(contextlib.chdir(cwd or temp))
        argv = ["harness", *map(str, arguments)]
        stack.enter_context(mock.patch.object(sys, "argv", argv))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int), code
    return subprocess.CompletedProcess(list(arguments), code, out.getvalue(), err.getvalue())


@contextmanager
def environment_kept() -> Iterator[None]:
    """The environment of this process afterwards as it was before."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
