"""What the live page is told: the same whether it was there all along or joins late."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.live.web.feed import MARKS_MAX, NODES_MAX, Feed
from harness.live.web.page_files import page_files
from harness.live.web.pages import QUEUE_MAX, Pages
from harness.live.web.steps_done import STEPS_MAX
from tests.live.live_pages import SeenPage, counted, node, progress_of

SUMMARY = {"throughput_ops_s": 1_000.0, "all.p50_ms": 2.0, "all.p99_ms": 9.0}


class Told:
    """A feed, and pages that see what it tells."""

    def __init__(self, points_max=1_200) -> None:
        self.now_s = 0.0
        self.feed = Feed("run", "runs/one", "2026-11-23T10:00:00+00:00", points_max=points_max)
        self._pages = Pages(self.feed, lambda: self.now_s)
        self._seen = []

    def join(self) -> SeenPage:
        seen = SeenPage()
        page = self._pages.join(lambda: pytest.fail("a page that keeps up was dropped"))
        self._seen.append((page, seen))
        self._deliver()
        return seen

    def tell(self, name, *arguments, **options):
        self._pages.tell(getattr(self.feed, name)(*arguments, **options))
        self._deliver()

    def _deliver(self) -> None:
        for page, seen in self._seen:
            while not page.queue.empty():
                seen.see(page.queue.get_nowait())


def _settled(page: SeenPage):
    """A page's state without what says when it was sent."""
    state = dict(page.state)
    del state["now_s"]
    if state["step"]:
        state["step"] = {**state["step"], "eta_s": None}
    state["now"] = {**state["now"], "bench_eta_s": None}
    return state


_TEXT = st.text(max_size=8)
_CALLS = st.one_of(
    st.tuples(st.just("step"), _TEXT, st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("begin"), st.dictionaries(_TEXT, _TEXT, max_size=2), st.integers(0, 9)),
    st.tuples(st.just("update"), st.integers(0, 900), st.sampled_from(["store", "search"])),
    st.tuples(st.just("note"), _TEXT),
    st.tuples(st.just("event"), st.dictionaries(_TEXT, _TEXT, max_size=3)),
    st.tuples(st.just("end"), st.sampled_from(["complete", "failed"])),
    st.tuples(st.just("finish"), st.booleans()),
)


def _call(told: Told, counts: dict, call) -> None:
    name, *arguments = call
    if name == "update":
        count, op = arguments
        old = counts.get(("measure", op))
        counts.update(counted((old.operations if old else 0) + count, op=op))
        found = node(f"n{count % 3}", told.now_s, count, shard=1.0)
        told.tell("update", progress_of(told.now_s, dict(counts), [found]), told.now_s)
    elif name == "end":
        told.tell("end", arguments[0], SUMMARY, told.now_s)
    elif name == "finish":
        told.tell("finish", "complete", SUMMARY, report=arguments[0])
    else:
        if name == "begin":
            counts.clear()
        told.tell(name, *arguments, told.now_s)


@given(st.lists(st.tuples(_CALLS, st.floats(0.0, 4.0)), max_size=40), st.data())
def test_pages_agree_whenever_they_joined(calls, data):
    """In any order of calls, a page from the beginning and one that joins late show the same."""
    told, counts = Told(points_max=4), {}
    early = told.join()
    middle_at = data.draw(st.integers(0, len(calls)))
    middle = None
    for place, (call, after_s) in enumerate(calls):
        if place == middle_at:
            middle = told.join()
        told.now_s += after_s
        _call(told, counts, call)
    late = told.join()
    assert _settled(early) == _settled(late)
    assert middle is None or _settled(middle) == _settled(late)
    assert early.end == late.end


def test_a_point_comes_once_a_second_and_the_present_between():
    """Of snapshots four times a second, one in four is a point; the others tell the present."""
    told = Told()
    page = told.join()
    told.tell("begin", {}, 5, 0.0)
    for quarter in range(1, 13):
        told.tell("update", progress_of(quarter / 4, counted(quarter * 25)), quarter / 4)
    assert page.names[2:] == ["now", "now", "now", "point"] * 3
    assert page.state["points"]["t"] == [1.0, 2.0, 3.0]
    assert page.state["points"]["ops_per_s"] == [100.0] * 3
    assert page.state["now"]["operations_done"] == 300


def test_a_run_that_begins_counts_from_zero():
    """Counters of a step are its own; the time line goes on from the step before."""
    told = Told()
    page = told.join()
    for step in range(2):
        told.tell("step", f"agents-{step}", step + 1, 2, step * 10.0)
        told.tell("begin", {}, 5, step * 10.0 + 5.0)
        told.tell("update", progress_of(1.0, counted(100)), step * 10.0 + 6.0)
        told.tell("end", "complete", SUMMARY, step * 10.0 + 7.0)
    assert page.state["points"]["t"] == [6.0, 16.0]
    assert page.state["points"]["ops_per_s"] == [100.0, 100.0]
    assert [one["name"] for one in page.state["step"]["steps_done"]] == ["agents-0", "agents-1"]
    assert page.state["step"]["steps_done"][0] == {
        "name": "agents-0",
        "status": "complete",
        "throughput_ops_s": 1_000.0,
        "p50_ms": 2.0,
        "p99_ms": 9.0,
    }


@pytest.mark.parametrize(
    ("last_s", "times", "rates"),
    [(1.25, [1.25], [120.0]), (1.5, [1.0, 1.5], [100.0, 100.0])],
)
def test_what_came_after_the_last_point_is_told_at_the_end(last_s, times, rates):
    """The last operations of a run are in a point: in the one before, when they came soon after."""
    told = Told()
    page = told.join()
    told.tell("begin", {}, 5, 0.0)
    told.tell("update", progress_of(1.0, counted(100)), 1.0)
    told.tell("update", progress_of(last_s, counted(150)), last_s)
    told.tell("end", "complete", SUMMARY, 2.0)
    assert page.state["points"]["t"] == times
    assert page.state["points"]["ops_per_s"] == rates
    assert page.state["status"] == "complete"
    assert page.state["summary"] == SUMMARY


def test_time_left_follows_from_what_steps_took():
    """A benchmark's time left is known from its first step's end on, and goes down meanwhile."""
    told = Told()
    page = told.join()
    told.tell("step", "a", 1, 4, 0.0)
    told.tell("begin", {}, 5, 0.0)
    told.tell("update", progress_of(1.0, eta_s=5.0), 1.0)
    assert page.state["now"]["bench_eta_s"] is None
    told.tell("end", "complete", SUMMARY, 10.0)
    told.now_s = 10.0
    told.tell("step", "b", 2, 4, 10.0)
    assert page.state["step"]["eta_s"] == 30.0
    told.tell("begin", {}, 5, 10.0)
    told.tell("update", progress_of(4.0), 14.0)
    assert page.state["now"]["bench_eta_s"] == 26.0
    told.tell("update", progress_of(9.0, eta_s=15.0), 19.0)
    assert page.state["now"]["bench_eta_s"] == 35.0


def test_time_left_of_another_benchmark_is_not_that_of_the_one_before():
    """With a first step anew, what earlier steps took says nothing any more."""
    told = Told()
    page = told.join()
    told.tell("step", "a", 1, 2, 0.0)
    told.tell("end", "complete", SUMMARY, 10.0)
    told.tell("step", "b", 1, 2, 20.0)
    assert page.state["step"]["eta_s"] is None
    assert [one["name"] for one in page.state["step"]["steps_done"]] == ["a"]


def test_steps_are_counted_by_benchmark_and_not_by_what_is_kept_of_them():
    """Of a benchmark after another, and of more steps than are kept, the count is its own."""
    told = Told()
    page = told.join()
    for benchmark_steps in (2, STEPS_MAX + 5):
        for number in range(1, benchmark_steps + 1):
            told.tell("step", f"step-{number}", number, benchmark_steps, told.now_s)
            step = page.state["step"]
            assert (step["done"], step["left"]) == (number - 1, benchmark_steps - number)
            assert step["running"]
            told.now_s += 1.0
            told.tell("end", "complete", SUMMARY, told.now_s)
            assert page.state["step"]["done"] == number
            assert not page.state["step"]["running"]
    assert len(page.state["step"]["steps_done"]) == STEPS_MAX


@pytest.mark.parametrize("is_under_way", [True, False])
def test_a_benchmark_that_is_broken_off_has_no_step_and_no_time_left(is_under_way):
    """The step that was under way ends as the command does; no other is to come."""
    told = Told()
    page = told.join()
    told.tell("step", "a", 1, 4, 0.0)
    told.tell("end", "complete", SUMMARY, 10.0)
    if is_under_way:
        told.tell("step", "b", 2, 4, 10.0)
        told.tell("begin", {}, 5, 10.0)
        told.tell("update", progress_of(4.0), 14.0)
    told.tell("finish", "interrupted", {}, report=False, problem="It was enough.")
    step = page.state["step"]
    ends = [(one["name"], one["status"]) for one in step["steps_done"]]
    assert ends == [("a", "complete"), ("b", "interrupted")][: 2 if is_under_way else 1]
    assert not step["running"]
    assert (step["left"], step["eta_s"], page.state["now"]["bench_eta_s"]) == (0, None, None)


def test_the_present_is_that_of_the_snapshot():
    """Figures of the present are those that the terminal shows, failures by their outcome too."""
    counts = {**counted(50, phase="warmup", failed=9), **counted(90, failed=2)}
    told = Told()
    page = told.join()
    shown = {"ops_per_s": 12.5, "p50_ms": 1.25, "p99_ms": 4.5, "in_flight": 3, "failures": 2}
    told.tell("update", progress_of(0.1, counts, **shown), 0.1)
    now = page.state["now"]
    assert {name: now[name] for name in shown} == shown
    assert now["failures_by_outcome"] == {"timeout": 2}
    assert now["phase"] == "measuring"


def test_the_end_is_told_to_those_who_come_after_it():
    """A page that joins after the end is told the whole history and then the end."""
    told = Told()
    told.tell("update", progress_of(1.0, counted(100)), 1.0)
    told.tell("finish", "failed", {}, report=False, problem="A shard died.")
    page = told.join()
    assert page.names == ["state", "end"]
    assert page.end == {
        "status": "failed",
        "summary": {},
        "report": False,
        "problem": "A shard died.",
    }
    assert len(page.state["points"]["t"]) == 1


def test_marks_and_nodes_are_bounded():
    """Of very many events the newest are kept, of very many nodes the first are told one by one."""
    told = Told()
    page = told.join()
    nodes = [node(f"n{number}", 1.0) for number in range(NODES_MAX + 5)]
    told.tell("update", progress_of(1.0, nodes=nodes), 1.0)
    for number in range(3 * MARKS_MAX):
        told.tell("note", f"note {number}", 2.0)
    assert len(page.state["nodes"]) == NODES_MAX
    assert page.state["nodes"]["n0"] == "host of n0"
    assert MARKS_MAX // 2 <= len(page.state["marks"]) <= MARKS_MAX
    assert page.state["marks"][-1]["text"] == f"note {3 * MARKS_MAX - 1}"
    assert len([name for name in page.state["points"] if name.startswith("cpu_percent.node")]) == (
        NODES_MAX
    )


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        ({"kind": "phase", "phase": "measuring"}, "phase", "measuring"),
        (
            {"kind": "fault", "fault": "at 2s kill shard 0", "done": True, "pid": 7},
            "fault",
            "at 2s kill shard 0",
        ),
        (
            {"kind": "fault", "fault": "at 2s kill shard 0", "done": False, "problem": "gone"},
            "fault",
            "at 2s kill shard 0: gone",
        ),
        (
            {"kind": "lost", "what": "cohort 1", "cause": "died", "wall_ns": 5},
            "lost",
            "lost: what cohort 1, cause died",
        ),
        ({"kind": "retries"}, "retries", "retries"),
        ({}, "event", "None"),
    ],
)
def test_events_are_marks_in_words(event, kind, text):
    """A phase is told by its name, a fault as it was asked for, others with what they have."""
    told = Told()
    page = told.join()
    told.tell("event", event, 1.5)
    assert page.state["marks"] == [{"t": 1.5, "kind": kind, "text": text}]


def test_hostile_text_becomes_text_of_bounded_length():
    """Lone surrogates, endless text, deep plans and odd numbers become what JSON can have."""
    deep = {"a": "x"}
    for _ in range(50):
        deep = {"deeper": deep}
    plan = {
        "surrogate": "\udcff</script>",
        "long": "x" * 10**6,
        "deep": deep,
        "nan": math.nan,
        "huge": 10**400,
        "many": list(range(10**5)),
        3: object,
    }
    told = Told()
    page = told.join()
    told.tell("begin", plan, 5, 0.0)
    told.tell("step", "\ud800", 1, 1, 0.0)
    told.tell("note", "\udfff\n\nevent: end\ndata: {}", 0.0)
    told.tell("update", progress_of(1.0, phase="\ud800", nodes=[node("\ud800", 1.0)]), 1.0)
    assert page.end is None
    assert len(json.dumps(page.state)) < 20_000
    assert page.state["plan"]["nan"] is None
    assert page.state["plan"]["surrogate"] == "\\udcff</script>"


def test_a_page_that_does_not_read_is_dropped_within_its_bound():
    """Messages that wait for a page are bounded; one too many drops it and no other."""
    feed = Feed("run", "runs/one", "")
    pages = Pages(feed, lambda: 0.0)
    dropped = []
    slow = pages.join(lambda: dropped.append("slow"))
    quick = pages.join(lambda: dropped.append("quick"))
    for number in range(QUEUE_MAX):
        pages.tell(feed.note(f"{number}", 0.0))
        while not quick.queue.empty():
            quick.queue.get_nowait()
    assert set(dropped) == {"slow"}
    assert slow.queue.qsize() == QUEUE_MAX


def test_the_page_asks_for_nothing_that_is_not_served():
    """The page's files have a type, and the first of them is the page itself."""
    files = page_files()
    assert files[""].content_type.startswith("text/html")
    assert all(file.body and "charset=utf-8" in file.content_type for file in files.values())
