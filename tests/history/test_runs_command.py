"""``harness runs``: what is listed, in which order, and what is said of the rest."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness import load_run
from harness.errors import UsageError
from harness.history.selection import parse_moment
from harness.hosts import this_process
from harness.rundir import RunDirectory
from tests.conftest import Outcome
from tests.history.made_history import HOSTILE, document, made, summary_of
from tests.made_runs import GOLDEN, GOLDEN_NAMES
from tests.report.made_benches import make_bench

Harness = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six directories: runs of two plans, a benchmark, one that failed, and two damaged ones."""
    root = tmp_path / "runs"
    made(root / "first", document(1), summary_of(4.0))
    made(root / "second", document(2), summary_of(9.0, throughput_ops_s=500.0))
    other = {"agents": 20, "target": "chroma:server=true"}
    made(root / "third", document(3, plan=other, status="failed"), summary_of(None))
    bench = document(4, command="bench-agents", agents=[1, 10], bench={"counts": [1, 10]})
    count = {"operations_per_second": 70.0, "all": {"count": 9_000, "p99_ms": 7.5}}
    made(root / "deep" / "bench", bench, {"schema_version": 1, "counts": {"1": {}, "10": count}})
    made(root / "torn", {})
    (root / "torn" / "run.json").write_text('{"schema_version": 1, "sta')
    made(root / "newer", {"schema_version": 99})
    return root


def names(out: str) -> list[str]:
    return [one["name"] for one in json.loads(out)]


def test_runs_are_listed_newest_first(harness_here: Harness, folder: Path):
    """Each run has a line with its figures; what cannot be read comes last, with the reason."""
    code, out, err = harness_here("runs", folder)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:7]] == [
        "deep/bench", "third", "second", "first", "newer", "torn",
    ]  # fmt: skip
    assert "bench-agents" in lines[1]
    assert " 10 " in lines[1]
    assert "70.0  7.50 ms" in lines[1]
    assert "2,000  4.00 ms  complete" in lines[4]
    assert "has schema version 99" in out
    assert "torn/run.json is damaged: it is not a JSON document." in out
    assert not any(line.endswith(" ") for line in lines)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--command", "run"], ["third", "second", "first"]),
        (["--command", "bench"], ["deep/bench"]),
        (["--command", "bench agents"], ["deep/bench"]),
        (["--status", "failed"], ["third"]),
        (["--status", "damaged", "--status", "newer"], ["newer", "torn"]),
        (["--target", "chroma"], ["third"]),
        (["--target", "chroma:server=true"], ["third"]),
        (["--since", "2026-11-01T02:00"], ["deep/bench", "third", "second"]),
        (["--until", "2026-11-01T02:00Z"], ["first"]),
        (["--until", "2026-11-01"], ["deep/bench", "third", "second", "first"]),
        (["--until", "2026-10-31"], []),
        (["--since", "1m"], []),
        (["--where", "search.p99_ms<5"], ["first"]),
        (["--where", "p99_ms>1", "--where", "throughput_ops_s<1e3"], ["second"]),
        (["--where", "failed<1%"], ["third", "second", "first"]),
        (["--where", "counts.10.all.p99_ms>7"], ["deep/bench"]),
        (["--where", "service.all.p99_ms<1"], []),
        (["--sort", "p99"], ["first", "deep/bench", "second", "newer", "third", "torn"]),
        (["--sort", "p99", "--reverse", "--limit", "2"], ["second", "deep/bench"]),
        (["--sort", "search.p99_ms", "--limit", "2"], ["first", "second"]),
        (["--sort", "name", "--limit", "1"], ["deep/bench"]),
        (["--reverse", "--limit", "1"], ["first"]),
    ],
)
def test_filters_and_orders(
    harness_here: Harness, folder: Path, options: list[str], expected: list[str]
):
    """Options choose and order by what runs are and by any figure of their summaries."""
    code, out, _ = harness_here("runs", folder, "--json", *options)
    assert code == 0
    assert names(out) == expected


def test_the_plan_chooses(harness_here: Harness, folder: Path):
    """The beginning of a hash, as the table has it, chooses the runs of that plan."""
    found = json.loads(harness_here("runs", folder, "--json", "--sort", "name")[1])
    hashes = {one["name"]: one["plan_hash"] for one in found}
    assert hashes["first"] == hashes["second"] != hashes["third"]
    assert hashes["torn"] is None
    chosen = harness_here("runs", folder, "--plan", hashes["first"][:8].upper(), "--json")[1]
    assert names(chosen) == ["second", "first"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--where", "search.p99_ns<5"], "did you mean search.p99_ms"),
        (["--where", "search.p99_ms"], "compares nothing"),
        (["--where", "search.p99_ms<5%"], "a per cent sign means nothing"),
        (["--where", "search<5"], "is a group of figures"),
        (["--sort", "speed"], "the columns are started, name"),
        (["--status", "gone"], "choose running, complete"),
        (["--since", "yesterday"], "is no date and no age"),
        (["--since", "999999w"], "is no date and no age"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_wrong_options_are_refused(
    harness_here: Harness, folder: Path, options: list[str], words: str
):
    """An option that means nothing is refused in one sentence that says what would."""
    code, out, err = harness_here("runs", folder, *options)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("place", ["file", "nowhere", "file/below", "x" * 300])
def test_what_is_no_folder_is_refused(harness_here: Harness, tmp_path: Path, place: str):
    """A file, a place that is not there and a name that cannot be exit with 2."""
    (tmp_path / "file").touch()
    code, _, err = harness_here("runs", f"{tmp_path}/{place}")
    assert code == 2
    assert err.startswith("harness: FOLDER: ")


def test_nothing_there_is_said_in_words(
    harness_here: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without runs, or without the default folder, that is said, and nothing is wrong."""
    monkeypatch.chdir(tmp_path)
    assert harness_here("runs") == (0, "no runs under runs\n", "")
    assert harness_here("runs", tmp_path, "--json")[:2] == (0, "[]\n")
    made(tmp_path / "runs" / "one", document(), summary_of())
    code, out, _ = harness_here("runs", "--where", "search.p99_ms>100")
    assert (code, out) == (0, "no runs under runs match; 1 run is there\n")


def test_what_filters_leave_unread_is_counted(harness_here: Harness, folder: Path):
    """Directories that cannot be read match no filter, and are not dropped in silence."""
    out = harness_here("runs", folder, "--command", "run")[1]
    assert "2 directories could not be read" in out
    assert "--status damaged" in out
    assert "3 of 6 runs." in out


def test_json_has_everything(harness_here: Harness, folder: Path):
    """Each entry has the columns and both documents whole; what cannot be read has its reason."""
    found = {one["name"]: one for one in json.loads(harness_here("runs", folder, "--json")[1])}
    assert found["first"]["summary"] == summary_of(4.0)
    assert found["first"]["run"] == json.loads(json.dumps(document(1)))
    assert found["first"]["p99_ms"] == 4.0
    assert found["torn"]["summary"] is None
    assert found["torn"]["status"] == "damaged"
    assert found["newer"]["status"] == "newer"


def test_figures_of_an_invalid_run_are_withheld(harness_here: Harness, tmp_path: Path):
    """Times of an INVALID run are not shown, nor does it meet any condition."""
    made(tmp_path / "bad", document(status="invalid"), summary_of(1.0))
    entry = json.loads(harness_here("runs", tmp_path, "--json")[1])[0]
    assert entry["p99_ms"] is None
    assert names(harness_here("runs", tmp_path, "--where", "p99_ms<5", "--json")[1]) == []


def test_an_invalid_run_is_not_ordered_by_its_times(harness_here: Harness, tmp_path: Path):
    """Times and rates that it is ordered by are withheld too, and counts are not."""
    made(tmp_path / "bad", document(status="invalid"), summary_of(1.0, failed=7))
    made(tmp_path / "good", document(), summary_of(4.0))
    for sort, shown in (
        ("search.p99_ms", {"bad": None, "good": 4.0}),
        ("throughput_ops_s", {"bad": None, "good": 2_000.0}),
        ("failed", {"good": 0.0, "bad": 7.0}),
    ):
        found = json.loads(harness_here("runs", tmp_path, "--sort", sort, "--json")[1])
        assert {one["name"]: one["figures"][sort] for one in found} == shown
    out = harness_here("runs", tmp_path, "--sort", "search.p99_ms")[1]
    assert "1.00 ms" not in out
    assert out.splitlines()[-1].startswith(" bad")  # what is not known comes last


def test_a_damaged_summary_leaves_the_run_in_the_list(harness_here: Harness, tmp_path: Path):
    """A run whose summary is torn has its line without figures, and the reason below."""
    run = made(tmp_path / "run", document())
    (run / "summary.json").write_text("[]")
    out = harness_here("runs", tmp_path)[1]
    assert "complete" in out
    assert "summary.json is damaged" in out


def test_hostile_text_is_shown_as_text(harness_here: Harness, tmp_path: Path):
    """Control characters and direction marks of names, commands and targets do nothing."""
    run = document(command=HOSTILE, hosts=[{"hostname": HOSTILE}])
    run["plan"]["target"] = HOSTILE + "x" * 5_000
    made(tmp_path / "evil\x1b[2J\u202e\nname", run, summary_of())
    out = harness_here("runs", tmp_path)[1]
    assert not {"\x1b", "\u202e", "\x07", "\x00"} & set(out)
    assert len(out.splitlines()) == 2
    assert names(harness_here("runs", tmp_path, "--json")[1]) == ["evil\x1b[2J\u202e\nname"]


def test_a_name_that_is_no_text_is_listed(harness_here: Harness, tmp_path: Path):
    """A folder whose name is no UTF-8 is listed like others."""
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    made(place, document(), summary_of())
    assert "complete" in harness_here("runs", tmp_path)[1]
    assert names(harness_here("runs", tmp_path, "--json")[1]) == ["\udcff\udcfe"]


ODD_DOCUMENTS: list[Any] = [
    [], "x", 3, None, {"schema_version": 1}, {"schema_version": True},
    document(status=["running"]), document(started="10000-01-01"), document(started=5),
    document(started="0001-01-01T00:00:00+14:00"), document(agents=10**400),
    document(agents=[None, "9", 10**20]), document(plan_hash=7, commit=[], hosts={"a": 1}),
    document() | {"plan": {"agents": {"a": [1] * 100}}}, document(bench="x"),
    document(trace={"fingerprint": [1]}), document(process={"hostname": [], "pid": {}}),
    document(command=None), document(bench={"targets": [1, {"target": 2}]}),
    document(
        status="running",
        process={"hostname": platform.node(), "pid": os.getpid(), "started_s": 10**400},
    ),
]  # fmt: skip


@pytest.mark.parametrize("odd", range(len(ODD_DOCUMENTS)))
def test_odd_documents_are_listed(harness_here: Harness, tmp_path: Path, odd: int):
    """Whatever a document says, its directory is listed, and so are the others."""
    made(tmp_path / "good", document(), summary_of())
    made(tmp_path / "odd", ODD_DOCUMENTS[odd], summary_of())
    for options in ([], ["--where", "failed<1%"], ["--sort", "all.p99_ms"]):
        code, out, err = harness_here("runs", tmp_path, *options)
        assert (code, err) == (0, "")
        assert "good" in out
    assert {"good", "odd"} == set(names(harness_here("runs", tmp_path, "--json")[1]))


@pytest.mark.parametrize(
    "odd",
    [
        {"all": [1], "search": {"p99_ms": "fast"}},
        {"all": {"p99_ms": 10**400}, "throughput_ops_s": 10**400},
        {"verdicts": "x", "counts": {"1e9": {}, "\u0663": {}, "9" * 40: {}}},
        {"verdicts": [1, {"verdict": 1}], "resources": [], "bench": {}},
    ],
)
def test_odd_summaries_are_listed(harness_here: Harness, tmp_path: Path, odd: dict[str, Any]):
    """Whatever a summary says, its run is listed, and so are the others."""
    made(tmp_path / "good", document(), summary_of())
    made(tmp_path / "odd", document(), summary_of() | odd)
    for options in ([], ["--where", "p99_ms<5"], ["--sort", "all.p99_ms"]):
        code, out, _ = harness_here("runs", tmp_path, *options)
        assert code == 0
        assert "good" in out


def test_a_pipe_in_the_place_of_a_document_is_not_waited_for(harness_here: Harness, tmp_path: Path):
    """What is no plain file is not opened: nobody might ever write to it."""
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "run.json")
    (tmp_path / "other" / "run.json").mkdir(parents=True)
    out = harness_here("runs", tmp_path)[1]
    assert out.count("run.json is not a file.") == 2


def test_a_huge_document_is_not_loaded(harness_here: Harness, tmp_path: Path):
    """A file larger than any that a run writes is damage, whatever is in it."""
    made(tmp_path / "run", document(), summary_of())
    os.truncate(tmp_path / "run" / "run.json", 2**30)  # with nothing on the disk
    made(tmp_path / "other", document(), summary_of())
    os.truncate(tmp_path / "other" / "summary.json", 2**30)
    assert harness_here("runs", tmp_path)[1].count("is larger than any that a run writes.") == 2


def test_a_search_for_capacity_shows_what_it_found(harness_here: Harness, tmp_path: Path):
    """The agents of a search for capacity are those that kept its objective."""
    found = {"bench": "capacity", "capacity": {"search": "agents", "low": 181, "high": 200}}
    made(tmp_path / "run", document(command="capacity"), {"schema_version": 1} | found)
    (entry,) = json.loads(harness_here("runs", tmp_path, "--json")[1])
    assert (entry["agents"], entry["throughput_ops_s"]) == (181, None)


def test_deep_documents_are_damaged(harness_here: Harness, tmp_path: Path):
    """Nesting without end is damage, in the run and in its summary."""
    deep = '{"schema_version": 1, "a": ' + "[" * 100_000 + "]" * 100_000 + "}"
    made(tmp_path / "one", {})
    (tmp_path / "one" / "run.json").write_text(deep)
    made(tmp_path / "two", document())
    (tmp_path / "two" / "summary.json").write_text(deep)
    nested = '{"schema_version": 1, "a": ' + '{"a":' * 900 + "1" + "}" * 901
    made(tmp_path / "three", document())
    (tmp_path / "three" / "summary.json").write_text(nested)
    code, out, _ = harness_here("runs", tmp_path, "--where", "p99_ms<5", "--json")
    assert (code, out) == (0, "[]\n")
    assert harness_here("runs", tmp_path)[1].count("is not a JSON document.") == 2


@pytest.mark.parametrize("depth", [100, 300, 400, 600, 900])
@pytest.mark.parametrize("name", ["plan", "bench"])
def test_a_deep_plan_is_damage_or_listed(
    harness_here: Harness, tmp_path: Path, name: str, depth: int
):
    """A plan that is nested deeper than can be hashed is damage, and other runs are listed."""
    plan = '{"a": ' * depth + "1" + "}" * depth
    made(tmp_path / "good", document(), summary_of())
    made(tmp_path / "deep", {}, summary_of())
    begin = json.dumps(document() | {"plan": None})[:-1]
    (tmp_path / "deep" / "run.json").write_text(f'{begin}, "{name}": {plan}}}')
    for options in ([], ["--json"], ["--where", "p99_ms<5"]):
        code, out, err = harness_here("runs", tmp_path, *options)
        assert (code, err) == (0, "")
        assert "good" in out
    entries = json.loads(harness_here("runs", tmp_path, "--json")[1])
    status = {one["name"]: one["status"] for one in entries}
    assert status["good"] == "complete"
    if depth == 900:
        assert status["deep"] == "damaged"
        assert "run.json is nested too deeply." in harness_here("runs", tmp_path)[1]
    options = ("--metric", "search.p99_ms", "--html", tmp_path / "page.html")
    for more in ([], ["--json"]):
        code, _, err = harness_here("runs", "trend", *options, tmp_path, *more)
        assert (code, err) == (0, "")
    run = load_run(tmp_path / "deep")
    assert run.path == tmp_path / "deep"
    assert repr(run)
    assert run._repr_html_()


def test_a_killed_run_is_told_from_one_that_goes_on(harness_here: Harness, tmp_path: Path):
    """A run whose process has ended is killed; one of a process that lives is running."""
    RunDirectory.create(tmp_path / "lives", "run")
    ended = RunDirectory.create(tmp_path / "ended", "run")
    with subprocess.Popen(["sleep", "0"], stdout=subprocess.DEVNULL) as process:
        pass
    ended.write_run({"process": this_process() | {"pid": process.pid}})
    found = json.loads(harness_here("runs", tmp_path, "--json", "--sort", "name")[1])
    assert {one["name"]: one["status"] for one in found} == {"lives": "running", "ended": "killed"}
    assert names(harness_here("runs", tmp_path, "--status", "killed", "--json")[1]) == ["ended"]


def test_a_run_elsewhere_is_killed_once_it_is_silent(harness_here: Harness, tmp_path: Path):
    """Of a run of another host, or of an earlier release, the times of its files tell."""
    run = made(tmp_path / "run", document(status="running", process={"hostname": "other"}))
    assert json.loads(harness_here("runs", tmp_path, "--json")[1])[0]["status"] == "running"
    long_ago = time.time() - 3600
    os.utime(run / "run.json", (long_ago, long_ago))
    assert json.loads(harness_here("runs", tmp_path, "--json")[1])[0]["status"] == "killed"
    (run / "ops").mkdir()  # written to just now
    assert json.loads(harness_here("runs", tmp_path, "--json")[1])[0]["status"] == "running"


def test_directories_of_earlier_releases_are_listed(harness_here: Harness, tmp_path: Path):
    """The golden directories, runs and benchmarks, have their figures and plans in the list."""
    for name in GOLDEN_NAMES:
        with tarfile.open(GOLDEN / f"schema-1-{name}.tar.gz") as archive:
            for member in archive:
                if Path(member.name).name in {"run.json", "summary.json"}:
                    place = tmp_path / member.name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    content = archive.extractfile(member)
                    assert content is not None
                    place.write_bytes(content.read())
    found = {one["name"]: one for one in json.loads(harness_here("runs", tmp_path, "--json")[1])}
    assert set(found) == set(GOLDEN_NAMES)
    assert found["run"]["plan_hash"] == found["run-again"]["plan_hash"]
    assert len({one["plan_hash"] for one in found.values()}) == len(GOLDEN_NAMES) - 1
    for name in ("run", "bench-agents", "bench-resources"):
        assert found[name]["throughput_ops_s"] > 0


@pytest.mark.parametrize("kind", ["agents", "memory", "resources", "targets", "all"])
def test_each_benchmark_is_listed(harness_here: Harness, tmp_path: Path, kind: str):
    """Every benchmark's directory is one line, with its command and target."""
    make_bench(tmp_path / "bench", kind)
    (entry,) = json.loads(harness_here("runs", tmp_path, "--json")[1])
    assert entry["command"] == f"bench-{kind}"
    assert entry["target"] == "memory_core"
    assert entry["agents"] == 500
    assert (entry["throughput_ops_s"] is not None) == (kind in {"agents", "resources", "all"})


@pytest.mark.slow
def test_thousands_of_runs_are_listed(harness_here: Harness, tmp_path: Path):
    """A folder of 1,500 runs is listed whole, and each is there once."""
    run, summary = json.dumps(document()), json.dumps(summary_of())
    for place in range(1_500):
        path = tmp_path / f"{place % 30}" / f"run-{place}"
        path.mkdir(parents=True)
        (path / "run.json").write_text(run)
        (path / "summary.json").write_text(summary)
    code, out, _ = harness_here("runs", tmp_path, "--where", "p99_ms<5")
    assert code == 0
    assert len({line.split()[0] for line in out.splitlines()[1:]}) == 1_500


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23", "2026-11-23T00:00:00+00:00"),
        ("2026-11-23T14:00+02:00", "2026-11-23T12:00:00+00:00"),
        ("7d", "2026-11-16T12:00:00+00:00"),
        ("1.5h", "2026-11-23T10:30:00+00:00"),
        ("2 w", "2026-11-09T12:00:00+00:00"),
        ("30m", "2026-11-23T11:30:00+00:00"),
    ],
)
def test_times_are_dates_or_ages(text: str, expected: str):
    """A date is of UTC unless it says otherwise, and an age counts from now."""
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert parse_moment(text, "--since", now=now).isoformat() == expected


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "7y", "2026-13-01", "9999-12-31", "٣d"])
def test_what_is_no_time_is_refused(text: str):
    """What is neither a date nor an age names the option and shows both."""
    with pytest.raises(UsageError, match=r"^--until: .*write 2026-11-23"):
        parse_moment(text, "--until", now=datetime(2026, 11, 23, tzinfo=UTC), whole_day=True)


def test_help_shows_the_list_and_the_trend(harness_here: Harness):
    """The help of the command has the options of the list, and names what else there is."""
    code, out, _ = harness_here("runs", "--help")
    assert code == 0
    assert "--where" in out
    assert "trend" in out
