"""scripts/bench: its arithmetic, its table, and the program itself at very small sizes."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts" / "lib"))

from bench import command, harness_runs, machine
from bench.errors import MeasurementError
from bench.figures import (
    Figure,
    FigureSpec,
    Goal,
    Verdict,
    figure_of,
    number,
    ratio,
    total,
)
from bench.memory_watch import MemoryWatch, pss_bytes
from bench.session import Session
from bench.sizes import Sizes
from bench.suites import SUITES, Suite
from bench.table import print_table

BENCH = Path(command.__file__).parent
MAIN = SUITES["main"]
SPEC = FigureSpec(
    row="ray",
    title="agents through Ray",
    unit="operations/s",
    value=number("standard", "throughput_ops_s"),
    goal=Goal(least=60_000, aim=100_000),
)


def bench(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCH, *arguments],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "COLUMNS": "80"},
    )


def figure(*values: float, goal: Goal | None = SPEC.goal, judged: bool = True) -> Figure:
    spec = FigureSpec(row="ray", title="it", unit="operations/s", value=SPEC.value, goal=goal)
    return Figure(spec=spec, values=values, judged=judged)


def shown(figures: list[Figure], lines: tuple[str, ...] = ()) -> str:
    out = io.StringIO()
    print_table(figures, lines, out)
    return out.getvalue()


def test_a_ratio_is_taken_within_a_repeat():
    """The median is of the repeats' ratios, not the ratio of two medians."""
    repeats = [
        {"a": {"rate": 10.0}, "b": {"rate": 5.0}},
        {"a": {"rate": 90.0}, "b": {"rate": 30.0}},
        {"a": {"rate": 40.0}, "b": {"rate": 40.0}},
    ]
    spec = FigureSpec(
        row="noop", title="", unit="times", value=ratio(number("a", "rate"), number("b", "rate"))
    )
    assert figure_of(spec, repeats).values == (2.0, 3.0, 1.0)
    assert figure_of(spec, repeats).median == 2.0


def test_a_repeat_that_was_not_measured_leaves_a_gap():
    """What is missing, or would be divided by zero, is no value; the others still count."""
    repeats = [{}, {"standard": {}}, {"standard": {"throughput_ops_s": 7.0}}]
    assert figure_of(SPEC, repeats).values == (7.0,)
    assert figure_of(SPEC, repeats[:2]).median is None
    assert ratio(number("a", "x"), number("b", "x"))({"a": {"x": 1.0}, "b": {"x": 0.0}}) is None
    assert total("a", "x", "y")({"a": {"x": 1.0}}) is None
    assert total("a", "x", "y")({"a": {"x": 1.0, "y": 2.0}}) == 3.0


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (figure(59_999.0, 61_000.0, 50_000.0), Verdict.MISSED),
        (figure(60_000.0), Verdict.MET),
        (figure(), Verdict.NOT_MEASURED),
        (figure(1.0, judged=False), Verdict.NOT_JUDGED),
        (figure(1.0, goal=None), Verdict.NONE),
        (figure(12.1, goal=Goal(most=12)), Verdict.MISSED),
        (figure(12.0, goal=Goal(most=12)), Verdict.MET),
        (figure(9_999.0, goal=Goal(least=10_000, most=10_000)), Verdict.MISSED),
        (figure(10_000.0, goal=Goal(least=10_000, most=10_000)), Verdict.MET),
    ],
)
def test_the_median_is_held_against_the_goal(seen: Figure, verdict: Verdict):
    """A goal is met when the median is within it, its edge included."""
    assert seen.verdict is verdict


def test_a_goal_that_follows_from_another_quantity_of_the_repeat():
    """A value may be so many times its base in that repeat, or the fixed most if that is more."""
    goal = Goal(most=600, most_times=4, base=number("it", "few"), base_title="that at 1,000")
    spec = FigureSpec(row="ray", title="it", unit="µs", value=number("it", "all"), goal=goal)

    def seen(*pairs: tuple[float, float]) -> Figure:
        return figure_of(spec, [{"it": {"few": few, "all": value}} for few, value in pairs])

    assert seen((10.0, 600.0)).verdict is Verdict.MET
    assert seen((10.0, 601.0)).verdict is Verdict.MISSED
    assert seen((200.0, 800.0)).verdict is Verdict.MET
    assert seen((200.0, 801.0)).verdict is Verdict.MISSED
    # each repeat against its own base: of these the median repeat is within, its value beyond 600
    mixed = seen((300.0, 1_100.0), (10.0, 700.0), (250.0, 900.0))
    assert mixed.allowances == (1_200.0, 600.0, 1_000.0)
    assert mixed.verdict is Verdict.MET
    assert mixed.as_dict()["at_most_times"] == 4
    assert "≤ 4 times that at 1,000, or 600.0" in shown([mixed])
    assert seen().verdict is Verdict.NOT_MEASURED


def test_exit_codes():
    """Only what could not be measured fails; a missed goal has a code of its own, when asked."""
    met, missed, gap = figure(70_000.0), figure(1.0), figure()
    assert command.exit_code([met, missed], [], strict=False) == 0
    assert command.exit_code([met, missed], [], strict=True) == 3
    assert command.exit_code([met], [], strict=True) == 0
    assert command.exit_code([missed, gap], [], strict=True) == 1
    assert command.exit_code([met], ["repeat 2 of 5: it failed"], strict=False) == 1


def test_the_table_shows_figures_with_their_goals():
    """Each line has the median, its spread, the goal and the verdict."""
    text = shown([figure(50_000.4, 120_000.0, 110_000.0), figure(3.0)], ("2 cores [of] AMD",))
    assert text.startswith("2 cores [of] AMD\n")
    assert (
        "110,000  50,000  120,000  operations/s  ≥ 60,000, aim 100,000  met, with the aim" in text
    )
    assert "MISSED" in text
    assert "\x1b" not in text


def test_nothing_is_cut_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch):
    """A file gets whole lines, however narrow the terminal is said to be."""
    monkeypatch.setenv("COLUMNS", "40")
    figures = [
        Figure(spec=spec, values=(123_456.0,))
        for spec in MAIN.figure_specs(Sizes(), list(MAIN.rows))
    ]
    text = shown(figures, ("a long line of introduction that is wider than forty cells",))
    assert "introduction that is wider than forty cells\n" in text
    for one in figures:
        assert one.spec.title in text
    assert text.count("\n") == len(figures) + 3


def test_what_explains_the_table_stands_below_it():
    """Paragraphs of the foot follow the figures, whole."""
    out = io.StringIO()
    print_table([figure(70_000.0)], ["2 cores"], out, ["states: " + "a walk " * 50, "memory: RSS"])
    *_, first, second = out.getvalue().splitlines()
    assert first == ("states: " + "a walk " * 50)
    assert second == "memory: RSS"


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_every_row_is_made_of_measurements_that_exist(suite: Suite):
    """Each figure of a row finds its numbers in the measurements that the row asks for."""
    specs = suite.figure_specs(suite.sizes(), list(suite.rows))
    assert {spec.row for spec in specs} == set(suite.rows)
    for row, names in suite.rows.items():
        assert set(names) <= set(suite.measurements)
        assert suite.needed([row]) == [name for name in suite.measurements if name in names]
        assert any(spec.goal for spec in specs if spec.row == row)
    assert suite.needed(list(suite.rows)) == list(suite.measurements)


def test_what_is_compared_takes_turns(tmp_path: Path):
    """Every second repeat goes backwards, and a measurement's folder goes with it."""
    made: list[str] = []

    def measure(name: str):
        def one(_: Sizes, folder: Path) -> dict[str, float]:
            (folder / "database").mkdir()
            made.append(name)
            return {"throughput_ops_s": float(len(made))}

        return one

    measures = {name: measure(name) for name in "abc"}
    session = Session(measures, Sizes(), tmp_path, lambda _: None)
    session.measure(2)
    assert made == ["a", "b", "c", "c", "b", "a"]
    assert [repeat["b"]["throughput_ops_s"] for repeat in session.repeats] == [2.0, 5.0]
    assert [entry["repeat"] for entry in session.raw] == [0, 0, 0, 1, 1, 1]
    assert list(tmp_path.iterdir()) == []


def test_a_measurement_that_fails_stops_no_other(tmp_path: Path):
    """It is noted with its reason, leaves a gap, and the rest is measured."""

    def fails(_: Sizes, __: Path) -> dict[str, float]:
        raise MeasurementError("the disk is full")

    said: list[str] = []
    measures = {"a": fails, "b": lambda *_: {"throughput_ops_s": 1.0}}
    session = Session(measures, Sizes(), tmp_path, said.append)
    session.measure(1)
    assert session.problems == ["repeat 1 of 1: a: the disk is full"]
    assert session.repeats == [{"b": {"throughput_ops_s": 1.0}}]
    assert said[0] == "repeat 1 of 1: a: FAILED: the disk is full"


def test_a_busy_machine_is_told(tmp_path: Path):
    """CPU that others use, their load and a memory file system are each warned of."""
    facts = machine.machine_facts(tmp_path)
    assert "hostname" not in facts
    calm = {
        "busy_ratio": 0.0,
        "load_average": [0.1, 0.0, 0.0],
        "cpu_count_usable": 2,
        "memory_file_system": False,
        "commit": None,
    }
    facts |= calm
    assert machine.warnings(facts) == []
    assert "busy" in machine.warnings(facts | {"busy_ratio": 0.5})[0]
    assert "busy" in machine.warnings(facts | {"load_average": [1.9, 0.0, 0.0]})[0]
    assert "memory file system" in machine.warnings(facts | {"memory_file_system": True})[0]
    assert "commit unknown" in machine.machine_line(facts)


@pytest.mark.skipif(sys.platform != "linux", reason="PSS is Linux's")
def test_memory_is_summed_over_everything_that_was_started():
    """The watch counts a process, its children and theirs, and outlives them all."""
    child = "import sys; held = bytearray(30_000_000); print('up', flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        with MemoryWatch(process.pid, interval_s=0.01) as watch:
            assert process.stdout.readline() == b"up\n"
            samples = watch.samples
            while watch.samples < samples + 2:
                assert watch._thread.is_alive()
            alone_bytes = pss_bytes(process.pid)
            process.communicate()
    assert watch.peak_processes >= 2
    assert watch.peak_bytes > alone_bytes + 30_000_000
    assert pss_bytes(process.pid) == 0


def test_a_run_that_fails_says_why(tmp_path: Path):
    """The measurement fails with the exit code and the last sentence of the harness."""
    with pytest.raises(MeasurementError, match=r"exit code 2: harness: --agents: must be above 0"):
        harness_runs.run_harness(["--agents", "0"], tmp_path)


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (("--out", "."), "--out: . is a folder"),
        (("--out", "file/bench.json"), "--out: file/bench.json cannot be written"),
        (("--data-dir", "nowhere"), "--data-dir: nowhere is no folder"),
        (("--repeats", "0"), "--repeats: must be a whole number above 0"),
        (("--only", "everything"), "invalid choice: 'everything'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(
    tmp_path: Path, option: tuple[str, str], named: str, capsys, monkeypatch
):
    """Wrong usage has exit code 2 and a sentence that names the option."""
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Session, "measure", lambda *_: pytest.fail("it measured"))
    try:
        code = command.main(option)
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert named in capsys.readouterr().err


@pytest.mark.slow
def test_rows_of_the_library_at_a_very_small_size(tmp_path: Path):
    """The rows asked for are measured, shown and written, and nothing else is left behind."""
    rows = ["calls", "single-stores", "batches"]
    sizes = ["--embedded-agents=2", "--embedded-rounds=2", "--single-stores=8", "--batch-rounds=1"]
    done = bench("--quick", "--strict", *(f"--only={row}" for row in rows), *sizes, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    [out] = (tmp_path / "runs").iterdir()
    assert done.stdout.splitlines()[-1] == str(out.relative_to(tmp_path))
    assert "not judged" in done.stdout
    report = json.loads(out.read_text())
    assert {figure["row"] for figure in report["figures"]} == set(rows)
    assert all(figure["median"] > 0 for figure in report["figures"])
    assert [entry["measurement"] for entry in report["raw"]] == rows
    assert report["sizes"]["single_stores"] == 8
    assert report["machine"]["packages"]["rocksdict"]
    assert report["problems"] == []


@pytest.mark.slow
@pytest.mark.cluster
def test_a_row_of_the_harness_at_a_very_small_size(tmp_path: Path):
    """Runs are compared, their agents in flight counted and their processes' memory summed."""
    sizes = ["--agents=5", "--rounds=1", "--many-agents=20"]
    done = bench("--repeats=1", "--only=many-agents", "--out=bench.json", *sizes, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]
    report = json.loads((tmp_path / "bench.json").read_text())
    against, in_flight, memory = (figure["median"] for figure in report["figures"])
    assert against > 0
    assert in_flight == 20
    assert memory > 50 * 2**20
    assert {entry["summary"]["operations"] for entry in report["raw"]} == {5 * 18, 20 * 18}
