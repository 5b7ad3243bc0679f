"""scripts/lab: what is asked for, done; one sentence on standard error when it cannot be.

Exit codes: 0 done; 1 the machine or the lab's state does not allow it; 2 wrong usage; 130
interrupted. ``exec`` has the exit code of the command.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from lab.cluster_file import Roles, start_command
from lab.errors import LabError, UsageError
from lab.hosts import heal, kill, slow_down, stall
from lab.layout import MOST_HOSTS, Lab, lab_name
from lab.lifecycle import alone, down, up
from lab.namespaces import run_inside
from lab.network import set_link
from lab.processes import init_of, inits, members

__all__ = ["main"]

_DEFAULT_HOSTS = 4
# With the settings that a session by SSH has; the name is that of who complains.
_AS_A_SESSION = ["bash", "-c", '. ~/.bashrc; exec -- "$@"', "scripts/lab"]
_DESCRIPTION = """\
Hosts on this machine, made of namespaces, to try a cluster on. Needs root, and Debian's iproute2,
openssh-server and rsync. Hosts are numbered from 1, which is the head of the cluster.

  scripts/lab up --hosts 4         makes the hosts, or starts those that are down; the last line
                                   is the path of a file for ray up; with --memory-hosts 2,3
                                   and --agent-hosts 4 that file gives these roles to hosts
  ray up -y FILE; ray down -y FILE the cluster on them (ray is in .venv/bin)
  scripts/lab exec 1 -- COMMAND    on host 1, as at its console; -- bash for a shell
  scripts/lab exec 1 -- harness run --agents 20 --rounds 2
                                   on the cluster: RAY_ADDRESS is set on host 1
  scripts/lab cut HOST             takes its link down: it and all others do not hear each other
  scripts/lab kill HOST            ends all that runs on it (cut it first to have no connection
                                   closed, as when the power goes)
  scripts/lab stall HOST           SIGSTOP to all that runs on it; what exec starts still runs
  scripts/lab slow HOST --rate 10mbit [--delay 20ms] [--loss 1%]
                                   each way; delay and loss where the kernel has netem
  scripts/lab heal HOST            ends all of these; a killed host boots, with its disk as it
                                   was, but without Ray
  scripts/lab join HOST            starts Ray there again, as ray up has done
  scripts/lab status               which hosts are up, and the path of the file for ray up
  scripts/lab down                 removes every trace, also of an up that was killed

On a host: HOME is /home/lab; the checkout and its Python are seen as they are on the machine,
read-only; the rest of the machine's files as they were, changes to which stay on the host's own
disk; /mnt/shared is the same folder on all hosts. HARNESS_LAB=NAME is another lab, with its own
names, addresses and files, beside the first. HARNESS_LAB_ROOT is where it keeps its files
(/var/tmp).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if given[:1] == ["exec"]:
            return _execute(lab_name(), given[1:])
        options = _parser().parse_args(given)
        name = lab_name()
        if options.verb == "join":
            lab = Lab.there(name)
            host = lab.number(options.host)
            return _run_on(lab, host, start_command(lab, host))
        with alone(name):
            _change(name, options)
        sys.stdout.flush()
    except LabError as error:
        print(f"scripts/lab: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read it has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: see scripts/lab --help.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="scripts/lab",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    up_options = verbs.add_parser("up", help="make the hosts")
    up_options.add_argument("--hosts", type=_host_count, metavar="N", help="4 by default")
    for option in ["--memory-hosts", "--agent-hosts"]:
        up_options.add_argument(option, type=_host_list, metavar="HOST,HOST...")
    for verb, meaning in [("down", "remove every trace"), ("status", "which hosts are up")]:
        verbs.add_parser(verb, help=meaning)
    verbs.add_parser("exec", help="run a command on a host: exec HOST -- COMMAND")
    for verb, meaning in [
        ("cut", "take a host's link down"),
        ("heal", "end what was done to a host"),
        ("kill", "end all that runs on a host"),
        ("stall", "stop all that runs on a host"),
        ("slow", "limit a host's link"),
        ("join", "start Ray on a host again"),
    ]:
        one = verbs.add_parser(verb, help=meaning, allow_abbrev=False)
        one.add_argument("host", metavar="HOST")
        if verb == "slow":
            for option in ["--rate", "--delay", "--loss"]:
                one.add_argument(option)
    return parser


def _host_count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_HOSTS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_HOSTS}")
    return int(text)


def _host_list(text: str) -> list[str]:
    return [host.strip() for host in text.split(",") if host.strip()]


def _roles(options: argparse.Namespace) -> Roles | None:
    if options.memory_hosts is None and options.agent_hosts is None:
        return None
    return Roles(memory_hosts=options.memory_hosts or (), agent_hosts=options.agent_hosts or ())


def _change(name: str, options: argparse.Namespace) -> None:
    if options.verb == "up":
        lab = up(name, options.hosts, _DEFAULT_HOSTS, _roles(options))
        _show(lab)
        return
    if options.verb == "down":
        down(name)
        return
    lab = Lab.there(name)
    if options.verb == "status":
        _show(lab)
        return
    host = lab.number(options.host)
    if options.verb == "cut":
        init_of(lab, host)  # one that is down has no link
        set_link(lab, host, up=False)
    elif options.verb == "heal":
        heal(lab, host)
    elif options.verb == "kill":
        kill(lab, host)
    elif options.verb == "stall":
        stall(lab, host)
    else:
        slow_down(lab, host, rate=options.rate, delay=options.delay, loss=options.loss)


def _show(lab: Lab) -> None:
    running = inits(lab.folder)
    for host in range(1, lab.hosts + 1):
        process = running.get(host)
        state = "down" if process is None else f"up, {len(members(process))} processes"
        print(f"host {host}  {lab.address(host)}  {lab.host_name(host)}  {state}")
    print(lab.cluster_file)


def _execute(name: str, arguments: list[str]) -> int:
    if "--" not in arguments[:2] or len(arguments) < 3:
        raise UsageError("Say which host and what to run: scripts/lab exec HOST -- COMMAND.")
    lab = Lab.there(name)
    return _run_on(lab, lab.number(arguments[0]), arguments[2:])


def _run_on(lab: Lab, host: int, command: Sequence[str]) -> int:
    environment = lab.environment()
    if "TERM" in os.environ:
        environment["TERM"] = os.environ["TERM"]
    return run_inside(init_of(lab, host), [*_AS_A_SESSION, *command], environment)
