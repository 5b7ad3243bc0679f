"""Checks of Ray: that it starts or is reached, and that it asks for a token.

Whoever reaches a Ray that asks for none may run code on its nodes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from harness.doctor import token_probe
from harness.doctor.check import Check
from harness.errors import HarnessError, UsageError
from harness.ray_session import (
    LOCAL,
    check_address,
    has_token,
    ray_session,
    resolved_address,
    set_environment,
)
from harness.report import figures

__all__ = ["ray_checks"]

_PROBE_TIMEOUT_S = 30.0
_GET_TOKEN = "copy ~/.ray/auth_token from the cluster's head to the same place here"  # noqa: S105 - a hint


def ray_checks(address: str) -> Iterator[Check]:
    """Check Ray as a run with this ``--address`` would use it."""
    if address == LOCAL:
        yield from _own()
        return
    try:
        check_address(address)
    except UsageError as error:
        problem, _, remedy = error.problem.partition("; ")
        yield Check(
            name="Ray",
            verdict="failed",
            sentence=f"The address: {problem}.",
            remedy=remedy or "leave --address out, and RAY_ADDRESS too, for a Ray of our own",
        )
        return
    token = _token_of_cluster(resolved_address(address))
    if token.verdict != "failed":  # Ray would go on trying for 20 s
        yield _started(address)
    yield token


def _own() -> Iterator[Check]:
    """A Ray of our own: that it starts, and is not open to whoever reaches this machine."""
    mode = os.environ.get("RAY_AUTH_MODE")
    started = _started(LOCAL)
    yield started
    if started.verdict == "failed":
        return
    if mode == "disabled":
        yield Check(
            name="Ray's token",
            verdict="warning",
            sentence="RAY_AUTH_MODE=disabled: whoever reaches this machine's ports may run code "
            "in a run's Ray.",
            remedy="unset RAY_AUTH_MODE",
        )
    else:
        sentence = "A Ray of our own asks for this machine's token."
        yield Check(name="Ray's token", verdict="ok", sentence=sentence)


def _started(address: str) -> Check:
    begin_s = time.monotonic()
    try:
        with ray_session(address) as session:
            nodes, cores = len(session.nodes), session.cpus
    except HarnessError as error:
        remedy = "see that its nodes have this machine's versions of Ray and Python"
        if address == LOCAL:
            remedy = "see that the temporary folder (TMPDIR) can be written, and the checks above"
        return Check(name="Ray", verdict="failed", sentence=f"{error}.", remedy=remedy)
    took = figures.span(time.monotonic() - begin_s)
    what = "A Ray of our own started" if address == LOCAL else f"The cluster at {address} answered"
    size = f"{nodes} {'node' if nodes == 1 else 'nodes'}, {cores} cores"
    return Check(name="Ray", verdict="ok", sentence=f"{what} in {took}: {size}.")


def _token_of_cluster(address: str) -> Check:
    """Whether a cluster asks for a token, and takes ours."""
    name = "Ray's token"
    without = _probe(address, {"RAY_AUTH_MODE": "disabled"})
    if without == 0:
        return Check(
            name=name,
            verdict="warning",
            sentence=f"The cluster at {address} asks for none: whoever reaches it may run code.",
            remedy="ray get-auth-token --generate, and RAY_AUTH_MODE=token where nodes start",
        )
    if without != token_probe.TURNED_AWAY:
        sentence = f"Whether the cluster at {address} asks for one could not be found out."
        remedy = "see that this machine has the cluster's version of Ray"
        return Check(name=name, verdict="warning", sentence=sentence, remedy=remedy)
    if not has_token():
        sentence = f"The cluster at {address} asks for one, and this machine has none."
        return Check(name=name, verdict="failed", sentence=sentence, remedy=_GET_TOKEN)
    set_environment(address)
    if _probe(address, {"RAY_AUTH_MODE": "token"}) == token_probe.TURNED_AWAY:
        sentence = f"The cluster at {address} does not take this machine's."
        return Check(name=name, verdict="failed", sentence=sentence, remedy=_GET_TOKEN)
    sentence = f"The cluster at {address} asks for one, and takes this machine's."
    return Check(name=name, verdict="ok", sentence=sentence)


def _probe(address: str, settings: Mapping[str, str]) -> int | None:
    """The exit code of `token_probe`; None when it did not come to one."""
    try:
        done = subprocess.run(
            [sys.executable, token_probe.__file__, address],
            check=False,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.returncode
