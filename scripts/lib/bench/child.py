"""Runs a measurement in a process of its own, which holds nothing but what it measures.

A new interpreter that imports only the module of the measurement: of a process that is forked, or
that imports what the command does, part of the resident memory would not be the store's.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import MeasurementError

__all__ = ["answer_of", "in_child", "serve", "start_child"]

_BOUND_S = 3_600.0
_LIBRARY = Path(__file__).resolve().parent.parent
_PROGRAM = (
    "import sys; sys.path.insert(0, {library!r}); from bench.child import serve; "
    "sys.exit(serve(sys.argv[1]))"
)


def in_child(
    work: str,
    *,
    killed: bool = False,
    environment: Mapping[str, str] | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """What ``work``, a function as ``module.name`` of this package, gives for arguments.

    Both are of what JSON can carry. With ``killed`` the function kills its process, and the
    answer is empty. ``environment`` is added to that of this process.

    Raises:
        MeasurementError: it raised, or ended in another way than it should have.
    """
    process = start_child(work, environment=environment, **arguments)
    try:
        return answer_of(process, work, _BOUND_S, killed=killed)
    finally:
        process.kill()
        process.communicate()


def start_child(
    work: str, *, environment: Mapping[str, str] | None = None, **arguments: Any
) -> subprocess.Popen[str]:
    """Begin what `in_child` does, and go on; ends with the caller's `answer_of`, or its kill."""
    program = _PROGRAM.format(library=str(_LIBRARY))
    call = json.dumps({"work": work, "arguments": arguments})
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, call],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def answer_of(
    process: subprocess.Popen[str], work: str, bound_s: float, *, killed: bool = False
) -> dict[str, Any]:
    """What a child gives, once it does; as `in_child` has it.

    Raises:
        MeasurementError: it raised, ended in another way than it should have, or takes too long.
    """
    try:
        said, problem = process.communicate(timeout=bound_s)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{work} takes longer than {bound_s:,.0f} s") from None
    if killed and process.returncode == -signal.SIGKILL:
        return {}
    if killed or process.returncode:
        told = problem.strip().splitlines()
        reason = told[-1] if told else "without a word"
        raise MeasurementError(f"{work} ended with exit code {process.returncode}: {reason}")
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def serve(call: str) -> int:
    """In the child: call the function; its answer is the last line on standard output."""
    asked = json.loads(call)
    module, _, name = asked["work"].rpartition(".")
    answer = getattr(importlib.import_module(f"bench.{module}"), name)(**asked["arguments"])
    print(f"\n{json.dumps(answer)}", flush=True)
    return 0
