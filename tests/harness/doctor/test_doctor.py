"""The doctor as a whole: every check comes to a verdict, and the command shows it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli, doctor
from harness.doctor import Check, examine, worst
from harness.doctor import machine as machine_checks
from tests.harness.driving import command, short_folder

NAMES = ["Python", "Python's build", "packages", "cores", "open files", "memory", "disk"]


def check(verdict: str, name: str = "cores", remedy: str | None = "do this") -> Check:
    return Check(name=name, verdict=verdict, sentence="So it is.", remedy=remedy)


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch):
    """Ray is left alone here."""

    def looked(address: str) -> list[Check]:
        return [check("ok", "Ray", None)]

    monkeypatch.setattr(doctor, "_ray", looked)


@pytest.fixture
def told(monkeypatch, capsys):
    """Runs the command with these checks; its exit code and output."""

    def run(checks: list[Check], *arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(doctor, "examine", lambda *_: iter(checks))
        monkeypatch.setattr(sys, "argv", ["harness", "doctor", *arguments])
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().out

    return run


def test_everything_is_looked_at(tmp_path):
    """In an order, with Ray last, for it takes seconds."""
    names = [one.name for one in examine(tmp_path, "local")]
    assert names[: len(NAMES)] == NAMES
    assert names[-2:] == ["clock source", "Ray"]


def test_a_container_without_proc_and_sys_has_no_traceback(monkeypatch, tmp_path):
    """A look that fails is a warning of its own, and the next one goes on."""

    def gone(*_: object) -> int:
        raise FileNotFoundError(2, "No such file or directory", "/proc/meminfo")

    monkeypatch.setattr(machine_checks, "available_memory_bytes", gone)
    monkeypatch.setattr(machine_checks, "filesystem_type", gone)
    found = {one.name: one for one in examine(tmp_path, "local", root=tmp_path)}
    assert found["memory"].verdict == "warning"
    assert "/proc/meminfo" in found["memory"].sentence
    assert found["disk"].verdict != "failed"
    assert "clock source" in found


def test_a_check_that_breaks_half_way_keeps_what_it_found(monkeypatch, tmp_path):
    """Ray's checks come one after the other."""

    def half(_: str) -> Iterator[Check]:
        yield check("ok", "Ray", None)
        raise RuntimeError("odd\nthings")

    monkeypatch.setattr(doctor, "_ray", half)
    *_, first, second = examine(tmp_path, "local")
    assert (first.verdict, second.verdict) == ("ok", "warning")
    assert second.sentence == "Could not be found out (RuntimeError: odd things)."


def test_the_worst_verdict_is_the_machines():
    """A failure before a warning before nothing."""
    assert worst([check("ok"), check("failed"), check("warning")]) == "failed"
    assert worst([check("ok"), check("warning")]) == "warning"
    assert worst([]) == "ok"


@pytest.mark.parametrize(
    ("given", "code", "last"),
    [
        (["ok", "ok"], 0, "Nothing is in the way of measuring here."),
        (["ok", "warning"], 0, "Runs will do here; figures suffer from one of the above."),
        (["failed", "warning"], 1, "1 of 2 checks failed: runs here will fail, or mean little."),
    ],
)
def test_the_command_exits_with_1_when_one_failed(told, given, code, last):
    """A warning alone does not fail it; the last line sums up."""
    found, out = told([check(verdict) for verdict in given])
    assert found == code
    assert out.splitlines()[-1] == f" {last}"


def test_the_table_fits_80_columns_without_colour_when_piped(told, monkeypatch):
    """Sentences wrap under themselves, and no line has white space at its end."""
    monkeypatch.setenv("COLUMNS", "80")
    long = Check(name="disk", verdict="warning", sentence="so it is " * 30, remedy="do this " * 30)
    _, out = told([long, check("ok", remedy=None)])
    lines = out.splitlines()
    assert "\x1b" not in out
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)
    assert lines[0].startswith(" warning  disk            so it is")
    assert all(line.startswith(" " * 26) for line in lines[1:6])


def test_hostile_text_is_shown_as_text(told):
    """Neither markup nor control characters reach the terminal."""
    _, out = told([Check(name="disk", verdict="ok", sentence="[red]\x1b[31m")])
    assert "[red]" in out
    assert "\x1b" not in out


def test_json_has_every_check(told):
    """One object, with the worst verdict at its top."""
    code, out = told([check("failed"), check("ok", remedy=None)], "--json")
    document = json.loads(out)
    assert code == 1
    assert (document["schema_version"], document["verdict"]) == (1, "failed")
    assert document["checks"][0] == {
        "name": "cores",
        "verdict": "failed",
        "sentence": "So it is.",
        "remedy": "do this",
    }
    assert document["checks"][1]["remedy"] is None


@pytest.mark.slow
@pytest.mark.cluster
def test_the_command_looks_at_this_machine_and_starts_a_ray():
    """End to end: a machine that these tests run on has nothing that fails."""
    with short_folder() as folder:
        done = command("doctor", "--json", temp=folder)
        found = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
        assert done.returncode == 0, done.stdout
        assert found["Ray"]["sentence"].startswith("A Ray of our own started in")
        assert not list(Path(folder).iterdir())
