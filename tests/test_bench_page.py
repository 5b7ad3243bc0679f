"""scripts/bench --only page: a browser looks at a made run, and says what that took."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts" / "lib"))

from bench.page import page, skipped_rows
from bench.sizes import Sizes

REQUIRED = os.environ.get("HARNESS_BROWSER_TESTS") == "required"


@pytest.mark.slow
def test_a_browser_measures_the_page(tmp_path: Path):
    """Time to the first chart and memory are those of a page that has charts."""
    if skipped := skipped_rows():
        assert not REQUIRED, skipped
        pytest.skip(skipped["page"])
    found = page(replace(Sizes(), page_points=20, page_s=60), tmp_path)
    assert 0 < found["first_chart_s"] < 120
    assert 2**20 < found["memory_bytes"] < 2**30
