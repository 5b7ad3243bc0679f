"""The README's page on notebooks runs as it stands there, and prints what it says it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import load_run
from tests.report.made_runs import make_run

README = Path(__file__).resolve().parents[2] / "README.md"


def questions() -> list[tuple[str, str]]:
    """The page's examples, each with the output that is shown below it."""
    page = README.read_text(encoding="utf-8").partition("### In a notebook\n")[2]
    page = page.partition("\n### ")[0]
    return re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", page, re.DOTALL)


def words(line: str) -> list[str]:
    return re.findall(r"\w+", line)


@pytest.mark.slow
def test_three_questions_are_answered_in_the_form_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Each prints the columns of its shown output, and figures that the summary has too."""
    make_run(tmp_path / "runs" / "fault", span_s=10.0, rows=8_000)
    monkeypatch.chdir(tmp_path)
    cells, printed = questions(), []
    assert len(cells) == 3
    notebook: dict[str, object] = {"__name__": "notebook"}
    for code, _ in cells:
        exec(compile(code, str(README), "exec"), notebook)
        printed.append(capsys.readouterr().out)
    for (_, shown), found in zip(cells, printed, strict=True):
        heads = [
            [words(line) for line in text.splitlines() if re.search("p99_ms|count|us_per", line)]
            for text in (shown, found)
        ]
        assert heads[0] == heads[1]
        assert len(heads[0]) == 1
    summary = load_run("runs/fault").summary
    assert summary is not None
    shard = re.search(r"shard\W+([\d.]+)", printed[2])
    assert shard is not None
    assert float(shard[1]) == pytest.approx(summary["cpu_us_per_operation"]["shard"], rel=0.1)
