"""How bytes and words reach the control actor from another process, within bounds.

`RemotePut` is what a `harness.sinks.RemoteSink` calls. `reason` puts a failure of Ray's in one
line.
"""

from __future__ import annotations

from typing import Any

import ray
from ray.exceptions import (
    GetTimeoutError,
    LocalRayletDiedError,
    NodeDiedError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)

from harness.errors import HarnessError

__all__ = ["PUT_TIMEOUT_S", "RemotePut", "reason"]

# How long a cohort waits for the driver's node to take a file; then its agents stop.
PUT_TIMEOUT_S = 30.0


class RemotePut:
    """Sends bytes to the control actor; picklable, unlike a closure over its handle's class.

    Args:
        actor: the control actor's handle.
        cohort: whose rows they are, which are refused once it is given up; None for samples.
        timeout_s: how long to wait; None for as long as the actor may live. What was not
            answered in time may still be written, so only whole files have a bound.
    """

    def __init__(
        self, actor: Any, cohort: int | None = None, timeout_s: float | None = None
    ) -> None:
        self._actor = actor
        self._cohort = cohort
        self._timeout_s = timeout_s

    def __call__(self, mode: str, name: str, data: bytes) -> None:
        """Have a file written. Raises OSError when it was not, or nobody says that it was."""
        asked = self._actor.put.remote(mode, name, data, self._cohort)
        try:
            ray.get(asked, timeout=self._timeout_s)
        except GetTimeoutError:
            raise TimeoutError(
                f"the driver's node did not take {name} within {self._timeout_s:g} s"
            ) from None
        except RayError as error:
            raise OSError(f"the driver's node did not take {name}: {reason(error)}") from None


def reason(error: RayError) -> str:
    """What went wrong, in one line: a remote traceback's last, another error's first.

    Of an error that is ours its text, which is a sentence.
    """
    if isinstance(error, RayTaskError) and isinstance(error.cause, HarnessError):
        return str(error.cause)
    if isinstance(error, WorkerCrashedError):
        return "its process was killed or crashed"
    if isinstance(error, NodeDiedError | LocalRayletDiedError):
        return "its node is dead or cannot be reached"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if isinstance(error, RayTaskError) else lines[0]
