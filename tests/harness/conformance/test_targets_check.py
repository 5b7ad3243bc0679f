"""`harness targets check`: what it prints, and how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from harness.conformance import POINTS, Conformance, Point
from harness.report.conformance import point_lines, render_conformance
from tests.conftest import Outcome
from tests.harness.conformance import planted
from tests.harness.driving import COMMAND, PATIENCE_S, environment, poll, short_folder

Harness = Callable[..., Outcome]


def place(kind: type[planted.Faithful]) -> str:
    return f"{planted.__name__}:{kind.__name__}"


def test_a_target_that_passes_is_shown_point_by_point(
    harness_here: Harness, monkeypatch: pytest.MonkeyPatch
):
    """Exit code 0; each point has its state and a sentence, within 80 columns, without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = harness_here("targets", "check", place(planted.Modest))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in out
    assert lines[0].split() == ["point", "state", "what", "was", "seen"]
    named = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in POINTS]
    assert named == list(POINTS)
    assert " filter            not claimed" in out
    assert " read_your_writes  passed" in out
    assert lines[-1] == " All 7 points that are claimed passed."
    assert "1.0, checked in" in out


def test_a_target_that_fails_exits_1_and_names_the_point(harness_here: Harness):
    """The last line counts and names what failed."""
    code, out, _ = harness_here("targets", "check", place(planted.WrongOrder))
    assert code == 1
    assert " k_and_order       failed" in out
    assert out.splitlines()[-1] == " 1 of 9 points failed: k_and_order."


def test_json_has_all_of_it_and_nothing_else(harness_here: Harness):
    """One object, with the verdict, the points, the version, the durability and the seed."""
    code, out, err = harness_here(
        "targets", "check", place(planted.WrongOrder), "--json", "--seed", 3
    )
    document = json.loads(out)
    assert (code, err) == (1, "")
    assert document["verdict"] == "failed"
    assert document["target"] == place(planted.WrongOrder)
    assert (document["version"], document["seed"]) == ("1.0", 3)
    assert document["durability"] == "A line is with the operating system"
    assert [point["name"] for point in document["points"]] == list(POINTS)
    assert [point["name"] for point in document["points"] if point["state"] == "failed"] == [
        "k_and_order"
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "NAME: 'nowhere' is unknown"),
        (["embeded"], "did you mean embedded?"),
        (["tests.nowhere:Target"], "NAME: 'tests.nowhere:Target' cannot be loaded"),
        (["embedded:sync=true"], "NAME: embedded has no option"),
        ([f"{planted.__name__}:NotInstalled"], "pip install 'agent-memory-harness[chroma]'"),
        (["embedded", "--seed", "-1"], "--seed"),
        (["embedded", "--dimension", "2"], "--dimension"),
        ([], "NAME"),
    ],
)
def test_what_cannot_be_checked_is_refused(harness_here: Harness, arguments: list[str], said: str):
    """Exit code 2 and one line, which names the remedy."""
    code, out, err = harness_here("targets", "check", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("harness: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_store_that_cannot_be_opened_is_one_sentence(harness_here: Harness):
    """Exit code 1, and nothing of the table."""
    code, out, err = harness_here("targets", "check", place(planted.Unopened))
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "no such disk" in err


def test_states_have_colours_on_a_terminal():
    """Green, red and dim on a terminal, and none elsewhere."""
    points = [
        Point(name="overwrite", state="passed", sentence="It was."),
        Point(name="isolation", state="failed", sentence="It leaked."),
        Point(name="filter", state="not claimed", sentence="It is not."),
    ]
    found = Conformance(
        target="t", version="", durability="", seed=1, duration_s=2.0, points=points
    )
    for is_terminal in (True, False):
        written = io.StringIO()
        colours = "standard" if is_terminal else "auto"
        console = Console(file=written, force_terminal=is_terminal, color_system=colours)
        for point in points:
            console.print(point_lines(point, 80))
        console.print(render_conformance(found, 80))
        for colour in ("\x1b[32m", "\x1b[1;31m", "\x1b[2m"):
            assert (colour in written.getvalue()) == is_terminal


def test_long_sentences_wrap_below_themselves():
    """What was seen keeps its column, at any width."""
    point = Point(name="unicode", state="failed", sentence="word " * 30 + "end.")
    first, *more = point_lines(point, 60).plain.split("\n")
    assert len(more) > 2
    assert all(len(line) <= 60 for line in (first, *more))
    assert all(line.startswith(" " * first.index("word") + "word") for line in more[:-1])


@pytest.mark.slow
@pytest.mark.fault
def test_sigterm_ends_a_check_and_leaves_nothing():
    """A check of a store that hangs ends when it is told to, with its files."""
    with short_folder() as folder:
        temp = folder / "temp"
        temp.mkdir()
        settings = environment(temp, HANGS=str(folder / "hangs"), PYTHONPATH=os.fspath(_ROOT))
        with subprocess.Popen(
            [COMMAND, "targets", "check", place(planted.Hanging)],
            env=settings,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                poll((folder / "hangs").exists, "the store hangs")
                assert list(temp.iterdir())
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE_S) == 130
            finally:
                process.kill()
            assert process.stderr is not None
            assert b"Traceback" not in process.stderr.read()
        assert not list(temp.iterdir())


_ROOT = Path(__file__).resolve().parents[3]
