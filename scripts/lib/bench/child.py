"""Runs a measurement in a process of its own, which holds nothing but what it measures.

A new interpreter that imports only the module of the measurement: of a process that is forked, or
that imports what the command does, part of the resident memory would not be the store's.
"""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.errors import MeasurementError

__all__ = ["in_child", "serve"]

_BOUND_S = 3_600.0
_LIBRARY = Path(__file__).resolve().parent.parent
_PROGRAM = (
    "import sys; sys.path.insert(0, {library!r}); from bench.child import serve; "
    "sys.exit(serve(sys.argv[1]))"
)


def in_child(work: str, *, killed: bool = False, **arguments: Any) -> dict[str, Any]:
    """What ``work``, a function as ``module.name`` of this package, gives for arguments.

    Both are of what JSON can carry. With ``killed`` the function kills its process, and the
    answer is empty.

    Raises:
        MeasurementError: it raised, or ended in another way than it should have.
    """
    program = _PROGRAM.format(library=str(_LIBRARY))
    call = json.dumps({"work": work, "arguments": arguments})
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, call],
            check=False,
            capture_output=True,
            text=True,
            timeout=_BOUND_S,
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{work} takes longer than {_BOUND_S:,.0f} s") from None
    if killed and done.returncode == -signal.SIGKILL:
        return {}
    if killed or done.returncode:
        told = done.stderr.strip().splitlines()
        reason = told[-1] if told else "without a word"
        raise MeasurementError(f"{work} ended with exit code {done.returncode}: {reason}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def serve(call: str) -> int:
    """In the child: call the function; its answer is the last line on standard output."""
    asked = json.loads(call)
    module, _, name = asked["work"].rpartition(".")
    answer = getattr(importlib.import_module(f"bench.{module}"), name)(**asked["arguments"])
    print(f"\n{json.dumps(answer)}", flush=True)
    return 0
