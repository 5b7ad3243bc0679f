"""`harness compare` prints a table, writes a page, and exits with 3 for a regression."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.commands.compare import parse_limit
from harness.errors import UsageError
from tests.made_runs import made_agents_bench, made_run

Outcome = tuple[int, str, str]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Runs `harness compare` in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "argv", ["harness", "compare", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return made_run(tmp_path / "base")


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    return made_run(tmp_path / "slow", seed=3, slower=1.5)


def test_a_comparison_is_a_table_and_a_page(
    command: Callable[..., Outcome], base: Path, slow: Path
):
    """Figures go to standard output, whose last line is the page beside the new run."""
    code, out, err = command(base, slow)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == str(slow / "comparison.html")
    assert "<!doctype html>" in (slow / "comparison.html").read_text(encoding="utf-8")
    [p50] = [line for line in lines if line.startswith(" all p50")]
    assert p50.endswith("worse")
    assert max(len(line.rstrip()) for line in lines[:-1]) <= 80


def test_a_regression_exits_with_3_and_is_named(
    command: Callable[..., Outcome], base: Path, slow: Path
):
    """What is worse by more than the limit is named on standard error; the rest passes."""
    code, _, err = command(base, slow, "--fail-on-regression", "10%")
    assert code == 3
    assert err.startswith("harness: worse by more than 10%: all.mean_ms, ")
    assert len(err.splitlines()) == 1
    assert command(base, slow, "--fail-on-regression", "0.7")[0] == 0
    assert command(slow, base, "--fail-on-regression", "0.1")[0] == 0
    assert command(base, base, "--fail-on-regression", "0%")[0] == 0


def test_json_is_all_there_is(command: Callable[..., Outcome], base: Path, slow: Path):
    """With --json the comparison is printed whole, without a page unless one is asked for."""
    code, out, _ = command(base, slow, slow, "--json", "--fail-on-regression", "10%")
    found = json.loads(out)
    assert (code, found["schema_version"], found["kind"]) == (3, 1, "run")
    assert [one["new"] for one in found["against"]] == [str(slow), str(slow)]
    figure = next(one for one in found["against"][0]["figures"] if one["path"] == "all.p50_ms")
    assert figure["verdict"] == "worse"
    assert figure["ratio"]["low"] < 1.5 < figure["ratio"]["high"]
    assert f"all.p50_ms of {slow}" in found["fail_on_regression"]["figures"]
    assert not (slow / "comparison.html").exists()
    page = slow.parent / "page.html"
    command(base, slow, "--json", "--html", page)
    assert page.exists()


def test_the_page_of_repeats_stands_in_their_folder(
    command: Callable[..., Outcome], tmp_path: Path, base: Path
):
    """A folder of runs has the page; of runs joined by commas, the first."""
    for name in ("1", "2"):
        made_run(tmp_path / "new" / name)
    assert command(base, tmp_path / "new")[1].splitlines()[-1] == str(
        tmp_path / "new" / "comparison.html"
    )
    joined = f"{tmp_path}/new/1,{tmp_path}/new/2"
    assert command(base, joined)[1].splitlines()[-1] == f"{tmp_path}/new/1/comparison.html"


def test_a_page_that_cannot_be_written(command: Callable[..., Outcome], base: Path, slow: Path):
    """Where one was asked for that is wrong usage; where none was, a word beside the table."""
    code, out, err = command(base, slow, "--html", slow / "no" / "page.html")
    assert (code, out) == (2, "")
    assert err.startswith("harness: --html: ")
    (slow / "comparison.html").mkdir()
    code, out, err = command(base, slow)
    assert code == 0
    assert "all p50" in out
    assert err.endswith("--html names another place\n")


def test_a_benchmark_has_a_table_for_each_count(command: Callable[..., Outcome], tmp_path: Path):
    """Counts follow each other; figures that do not differ are shown with --all."""
    base = made_agents_bench(tmp_path / "base")
    new = made_agents_bench(tmp_path / "new", slower=1.5, seed=2)
    code, out, _ = command(base, new)
    assert code == 0
    assert " 1 agent " in out
    assert " 10 agents " in out
    assert "more figures show no difference" in out
    shown = command(base, new, "--all")[1]
    assert "more figures" not in shown
    assert len(shown.splitlines()) > len(out.splitlines())


def test_a_folder_whose_name_is_no_text_is_compared(
    command: Callable[..., Outcome], tmp_path: Path, base: Path
):
    """A name that is not UTF-8 is a folder's name like any other, in each form."""
    odd = made_run(tmp_path / "new").rename(tmp_path / "odd\udcff")
    code, out, err = command(base, odd, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["against"][0]["new"] == str(odd)
    assert command(base, odd, "--html", tmp_path / "page.html")[0] == 0
    assert "odd\N{REPLACEMENT CHARACTER}" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "harness: Missing argument 'BASE'."),
        (("{base}",), "harness: Missing argument 'NEW...'."),
        (("{base}", "nowhere"), "harness: nowhere does not exist; name a run directory"),
        (("{base}", "{base},{base}"), "harness: NEW: {base} is named twice; a repeat is a run"),
        (("{base}", "{base}", "--fail-on-regression", "x"), "harness: --fail-on-regression: 'x'"),
    ],
)
def test_wrong_usage_is_one_sentence(
    command: Callable[..., Outcome], base: Path, arguments: tuple[str, ...], sentence: str
):
    """What cannot be compared exits with 2 and one line that names what is wrong."""
    code, out, err = command(*(one.format(base=base) for one in arguments))
    assert (code, out) == (2, "")
    assert err.startswith(sentence.format(base=base))
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("10%", 0.1), ("0.1", 0.1), (".05", 0.05), (" 2.5 % ", 0.025), ("0", 0.0), ("99%", 0.99)],
)
def test_a_limit_is_a_percentage_or_a_ratio(text: str, ratio: float):
    """10% and 0.1 are the same limit."""
    assert parse_limit(text) == pytest.approx(ratio)


@pytest.mark.parametrize(
    "text", ["", "%", "10", "1", "100%", "-5%", "nan", "inf", "1e-1", "10 %%", "0.1.2", "\u0665%"]
)
def test_a_limit_that_is_none_is_refused(text: str):
    """What is ambiguous, negative or no number is refused with a remedy."""
    with pytest.raises(UsageError, match=r"write 10% or 0\.1"):
        parse_limit(text)
