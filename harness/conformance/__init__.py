"""Conformance: does a target do what it is asked, and what it says that it can?

`check_target` opens a target's store as a run does and checks it point by point (`POINTS`), through
the session that agents have, so that ours and others are held to the same.
"""

from harness.conformance.result import POINTS, Conformance, Point
from harness.conformance.running import check_target

__all__ = ["POINTS", "Conformance", "Point", "check_target"]
