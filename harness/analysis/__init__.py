"""Analysis: from the files of a run directory to figures and verdicts.

Pure functions on Arrow tables and numpy arrays. Nothing here starts a process, keeps time,
prints, or sees a live object of a run.
"""

from __future__ import annotations

from harness.analysis.paths import summary_path, summary_paths, summary_value
from harness.analysis.summary import Summary, summarise

__all__ = ["Summary", "summarise", "summary_path", "summary_paths", "summary_value"]
