"""The command ``harness``: parse, build a plan, call one function, map errors to exit codes.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 a threshold was breached or a figure is worse; 4 the
run is INVALID; 130 interrupted. Progress goes to standard error; the last line on standard output
is the run directory, or with ``--json`` the summary is all there is.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

import click

import harness
from harness.commands.bench import bench
from harness.commands.capacity import capacity
from harness.commands.compare import compare
from harness.commands.doctor import doctor
from harness.commands.measuring import say
from harness.commands.plan import plan
from harness.commands.report import report
from harness.commands.run import run
from harness.commands.runs import runs
from harness.commands.simulate import simulate
from harness.commands.store import store
from harness.commands.targets import targets
from harness.errors import HarnessError, RunDirectoryError, UsageError

__all__ = ["main"]

# What click 8.2 and later raise for a command without a word after it; it carries the help.
_HELP_WANTED: tuple[type[Exception], ...] = tuple(
    kind for kind in [getattr(click.exceptions, "NoArgsIsHelpError", None)] if kind is not None
)


def main() -> None:
    """The entry point: runs the command and exits."""
    try:
        code = _command.main(standalone_mode=False) or 0
    except click.exceptions.Abort:
        code = 130
    except KeyboardInterrupt:
        say("interrupted")
        code = 130
    except click.ClickException as error:
        if isinstance(error, _HELP_WANTED):
            error.show()
        else:
            say(_sentence(error))
        code = 2
    except (UsageError, RunDirectoryError) as error:
        say(str(error))
        code = 2
    except HarnessError as error:
        say(str(error))
        code = 1
    except BrokenPipeError:
        # whoever read our output has gone; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        place = error.filename or "a file that is written or read"  # writes do not say which
        say(f"{place}: {error.strerror or error}")
        code = 1
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process; at once where Ray was left hanging, whose own way out has no end."""
    session = sys.modules.get("harness.ray_session")  # not loaded by every command
    if session is not None and session.LEFT_HANGING.is_set():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _sentence(error: click.ClickException) -> str:
    """What click refuses, as we say it: the option, and what is wrong with it."""
    if isinstance(error, click.BadParameter) and error.param is not None and error.message:
        return f"{error.param.opts[-1]}: {error.message}"
    return error.format_message()


@click.group(
    name="harness",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(harness.__version__, prog_name="harness", message="%(prog)s %(version)s")
def _command() -> None:
    """A load harness for agent memories: how many agents does a store carry, and at what cost?"""


for _each in (run, bench, report, compare, runs, capacity, plan, simulate, targets, store, doctor):
    _command.add_command(_each)
