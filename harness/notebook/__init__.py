"""A run or benchmark as a notebook asks it: Arrow tables, data frames, SQL.

`harness.load_run` is the way in. All of it reads what a run directory has, through
`harness.rundir_reader`, and knows nothing of how it came to be.
"""

from __future__ import annotations

from harness.notebook.damage import DamagedFilesWarning
from harness.notebook.loaded_run import LoadedRun

__all__ = ["DamagedFilesWarning", "LoadedRun"]
