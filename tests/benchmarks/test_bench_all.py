"""`harness bench all` runs the three benchmarks into one directory, whatever becomes of each."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from harness.benchmarks.bench_directory import BenchDirectory
from harness.commands import bench_all, watching
from harness.commands.watching import watched
from harness.errors import RunFailedError, UsageError
from tests.live.live_client import BOUND_S, Client, Stream
from tests.live.live_pages import SeenPage

NAMES = ("agents", "memory", "resources")


class Benches:
    """The three commands, which end as they are told to and say what they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: dict[str, dict[str, Any]] = {}
        self.becomes: dict[str, int | Exception | type[BaseException]] = {}
        self._monkeypatch = monkeypatch
        for name, own in (
            ("agents", ("counts", "repeats")),
            ("memory", ("volumes",)),
            ("resources", ("duration_s", "rate")),
        ):
            params = [click.Option([f"--{one}"]) for one in (*own, "target", "seed", "out")]
            command = click.Command(name, params=list(params), callback=self._callback(name))
            monkeypatch.setattr(bench_all, name, command)
        monkeypatch.setattr(bench_all, "make_report", lambda path: (path / "made").touch())

    def _callback(self, name: str) -> Callable[..., int]:
        def run(out: Path, **given: Any) -> int:
            with watched(f"bench-{name}", out) as view:
                view.step(f"{name}-1", 1, 1)
                view.end("complete", {})
                view.finish("complete", {}, out)
            self.given[name] = {key: value for key, value in given.items() if value is not None}
            becomes = self.becomes.get(name, 0)
            if not isinstance(becomes, int):
                raise becomes
            directory = BenchDirectory.create(out, f"bench-{name}")
            directory.update_status("complete")
            directory.write_summary({"bench": name, "duration_s": 1.0, "verdicts": [], name: {}})
            click.echo(f"what {name} prints")
            return becomes

        return run


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> Benches:
    return Benches(monkeypatch)


def ran(out: Path, *arguments: str) -> tuple[Any, Result]:
    result = CliRunner().invoke(
        bench_all.every, ["--out", str(out), *arguments], standalone_mode=False
    )
    return result.return_value, result


def test_each_gets_what_is_its_own_and_what_all_share(benches: Benches, tmp_path: Path):
    """Options reach the benchmarks that have them, and one directory has all three."""
    out = tmp_path / "b"
    own = ("--counts", "1,2", "--volumes", "1000", "--rate", "5")
    code, result = ran(out, *own, "--target", "noop", "--seed", "3")
    assert code == 0, result.exception
    assert benches.given["agents"] == {"counts": "1,2", "target": "noop", "seed": 3}
    assert benches.given["memory"] == {"volumes": "1000", "target": "noop", "seed": 3}
    assert benches.given["resources"] == {"rate": 5.0, "target": "noop", "seed": 3}
    assert result.stdout.splitlines()[-1] == str(out)
    assert {one.name for one in out.iterdir()} >= {*NAMES, "made", "run.json"}
    summary = json.loads((out / "summary.json").read_text())
    assert set(NAMES) <= set(summary)
    assert json.loads((out / "run.json").read_text())["status"] == "complete"


def test_the_joined_summary_alone_is_printed_as_json(benches: Benches, tmp_path: Path):
    """With --json what the three print is left out."""
    _, result = ran(tmp_path / "b", "--json")
    assert json.loads(result.stdout)["bench"] == "all"


@pytest.mark.parametrize(
    ("becomes", "code", "status", "run"),
    [
        ({"memory": RunFailedError("no")}, 1, "failed", NAMES),
        ({"agents": 1}, 1, "failed", NAMES),
        ({"resources": 4}, 4, "invalid", NAMES),
        ({"agents": 4, "memory": 1}, 1, "failed", NAMES),
        ({"agents": 3}, 3, "complete", NAMES),
        ({"agents": 130}, 130, "interrupted", NAMES[:1]),
        ({"memory": KeyboardInterrupt}, 130, "interrupted", NAMES[:2]),
    ],
    ids=str,
)
def test_the_worst_of_the_three_is_how_it_ends(
    benches: Benches, tmp_path: Path, becomes: Any, code: int, status: str, run: tuple[str, ...]
):
    """One that fails leaves the others to be run; an interrupt ends them; all is summed up."""
    benches.becomes = becomes
    found, _ = ran(tmp_path / "b")
    assert found == code
    assert tuple(benches.given) == run
    assert json.loads((tmp_path / "b" / "run.json").read_text())["status"] == status
    assert (tmp_path / "b" / "summary.json").exists()


def test_one_page_shows_all_three(
    benches: Benches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A page that is there from the beginning sees the steps of each, and one end."""
    streams: list[Stream] = []

    def open_page(said: str) -> None:
        streams.append(Client(said.removeprefix("watch it at ")).stream())
        streams[0].until("state")

    monkeypatch.setattr(watching, "say", open_page)
    seen: list[SeenPage] = []
    reading = threading.Thread(target=lambda: seen.append(streams[0].until("end")))
    monkeypatch.setattr(bench_all, "make_report", lambda _: reading.start())
    code, result = ran(tmp_path / "b", "--web")
    assert code == 0, result.exception
    reading.join(BOUND_S)
    streams[0].close()
    (page,) = seen
    assert len(streams) == page.names.count("end") == 1
    assert page.state is not None
    assert page.state["command"] == "bench-all"
    assert [one["name"] for one in page.state["step"]["steps_done"]] == [f"{n}-1" for n in NAMES]
    marks = [mark["text"] for mark in page.state["marks"]]
    assert marks == [words for n in NAMES for words in (f"bench-{n} begins", f"{n}-1")]
    assert page.end is not None
    assert (page.end["status"], page.end["report"]) == ("complete", False)


def test_wrong_usage_of_the_first_leaves_nothing(benches: Benches, tmp_path: Path):
    """Nothing was measured, so no directory is left."""
    benches.becomes = {"agents": UsageError("--target", "is unknown")}
    _, result = ran(tmp_path / "b")
    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("arguments", ["--counts x", "--volumes x", "--rate nan --counts 0"])
def test_what_a_later_one_would_refuse_is_refused_at_once(
    benches: Benches, tmp_path: Path, arguments: str
):
    """Numbers are looked at before the first benchmark begins."""
    _, result = ran(tmp_path / "b", *arguments.split())
    assert isinstance(result.exception, UsageError)
    assert benches.given == {}
    assert not (tmp_path / "b").exists()
