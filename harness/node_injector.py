"""What injects faults on one node: a small actor, whose hand is a process beside Ray.

The actor knows the processes of the run on its node and passes on what is to be done to them; a
`harness.fault_hand` does it, which also ends every stall when the actor is no more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from harness import fault_hand
from harness.sampling import session_processes

__all__ = ["NodeInjector", "injector_actor"]


class NodeInjector:
    """See the module's head. One call at a time."""

    def __init__(self) -> None:
        self._hand = subprocess.Popen(
            [sys.executable, "-I", fault_hand.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._hand.wait()  # it has handed its work on to a process of its own
        self._raylets = [pid for pid, role in session_processes() if role == "raylet"]
        self._do({"do": "know", "pids": [*self._raylets, os.getpid()]})

    def know(self, pids: list[int]) -> list[int]:
        """Be shown processes of the run on this node; those that are gone."""
        return self._do({"do": "know", "pids": pids})["gone"]

    def kill(self, pids: list[int]) -> list[int]:
        """Kill processes that were shown; those that were gone."""
        return self._do({"do": "kill", "pids": pids})["gone"]

    def stall(self, pids: list[int], for_s: float) -> list[int]:
        """Stop processes that were shown, for a time; those that were gone."""
        return self._do({"do": "stall", "pids": pids, "for_s": for_s})["gone"]

    def kill_node(self, pids: list[int]) -> None:
        """Kill this node: its raylet, processes of the run, and then this one; no answer comes."""
        self._do({"do": "kill", "pids": [*self._raylets, *pids, os.getpid()]})

    def stall_node(self, pids: list[int], for_s: float) -> list[int]:
        """Stop this node's raylet and processes of the run, for a time; those that were gone."""
        return self.stall([*self._raylets, *pids], for_s)

    def release(self) -> None:
        """Let all that is stalled go on."""
        self._do({"do": "continue"})

    def _do(self, command: dict[str, Any]) -> dict[str, list[int]]:
        sender, receiver = self._hand.stdin, self._hand.stdout
        if sender is None or receiver is None:  # never: both are pipes
            raise OSError("the hand has no pipes")
        sender.write(json.dumps(command).encode() + b"\n")
        sender.flush()
        line = receiver.readline()
        if not line:
            raise OSError("the process that sends signals has ended")
        answer: dict[str, list[int]] = json.loads(line)
        return answer


def injector_actor() -> Any:
    """`NodeInjector` as a Ray actor class, for the caller to pin to a node."""
    import ray

    return ray.remote(num_cpus=0, max_restarts=0)(NodeInjector)
