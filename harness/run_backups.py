"""Takes backups of a run's own store while the run goes on, as its plan says.

A thread of the driver has the target take them, one after the other. Each is an event ``backup``
of the run when it begins and when it has ended, whether it is there then or why not.
"""

from __future__ import annotations

import threading
import time

from harness.plan import RunPlan
from harness.rundir import RunDirectory
from harness.targets.driven import BacksUp, DrivenTarget
from memory_core.backups import repeat
from memory_core.errors import MemoryCoreError

__all__ = ["LAST_BACKUP_S", "RunBackups"]

# A backup under way when the run ends is waited for this long: it is there only when it is whole.
LAST_BACKUP_S = 120.0


class RunBackups:
    """The backups of one run. The driver calls `begin` and `close`, in this order.

    Args:
        plan: says where to and how often.
        target: of the run.
        directory: where events go.
    """

    def __init__(self, plan: RunPlan, target: DrivenTarget, directory: RunDirectory) -> None:
        self._uri = plan.backup
        self._interval_s = plan.backup_interval_s
        self._target = target
        self._directory = directory
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Measuring has begun: take the first backup now. Calls after the first do nothing."""
        if self._uri is None or self._thread is not None or self._over.is_set():
            return
        self._thread = threading.Thread(target=self._run, name="backups", daemon=True)
        self._thread.start()

    def close(self, wait_s: float = 0.0) -> None:
        """Begin no other backup, and wait so long for one under way. Safe at any moment."""
        self._over.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(wait_s)

    def _run(self) -> None:
        missed = repeat(self._take, self._interval_s, self._over)
        if missed:
            self._directory.append_event("backups missed", count=missed)

    def _take(self, number: int) -> None:
        self._directory.append_event("backup", state="begin", number=number)
        began_s = time.monotonic()
        outcome: dict[str, object] = {}
        try:
            if self._uri is not None and isinstance(self._target, BacksUp):
                outcome = self._target.back_up(self._uri)
        except MemoryCoreError as error:
            outcome = {"problem": str(error)}
        self._directory.append_event(
            "backup",
            state="end",
            number=number,
            duration_s=time.monotonic() - began_s,
            **{"backup": None, "new_bytes": 0, "reused_bytes": 0, "problem": None} | outcome,
        )
