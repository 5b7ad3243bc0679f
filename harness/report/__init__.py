"""Reports: figures and snapshots of a run as something that people read.

Nothing here measures or decides; text that comes from a run is shown as text.
"""

from __future__ import annotations

from harness.report.terminal import render_summary

__all__ = ["render_summary"]
