"""Scraping a run's metrics as Prometheus does, and reading them by its own parsers."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

__all__ = [
    "Samples",
    "check_by_promtool",
    "get",
    "needs_promtool",
    "promtool",
    "samples",
    "scraped",
    "value",
]

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# By a sample's name and its labels.
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def get(url: str, accept: str = "text/plain") -> tuple[str, str]:
    """What is served, with its content type."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def scraped(url: str, accept: str = "text/plain") -> list[Metric]:
    """The families that are served, read by the parser of their format."""
    text, content_type = get(url, accept)
    return list((openmetrics if "openmetrics" in content_type else plain_text)(text))


def samples(families: list[Metric]) -> Samples:
    """Every sample of some families; no two have the same name and labels."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    """One sample's value."""
    return found[f"agent_harness_{name}", frozenset(labels.items())]


def promtool() -> str | None:
    """Prometheus' tool, if it is here; one that is named has to be."""
    return os.environ.get("HARNESS_PROMTOOL") or shutil.which("promtool")


needs_promtool = pytest.mark.skipif(
    promtool() is None,
    reason="no promtool here: Debian's package prometheus has it, HARNESS_PROMTOOL names it",
)


def check_by_promtool(text: str) -> None:
    """Fail unless promtool finds nothing to say about metrics in the text format."""
    done = subprocess.run(
        [promtool() or "promtool", "check", "metrics"],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
