"""Thresholds: how they are written, which are refused, and what passes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.thresholds import check_paths, evaluate, parse_threshold
from harness.commands.judging import run_template
from harness.errors import UsageError

OK = {"name": "validity", "verdict": "ok", "sentence": "The run is valid."}
INVALID = {"name": "validity", "verdict": "invalid", "sentence": "It is not."}


@pytest.fixture
def summary() -> dict[str, Any]:
    """The summary of a run of 1,000 operations, 12 of which failed."""
    made = run_template()
    made |= {"operations": 1000, "failed": 12, "throughput_ops_s": 64_482.25, "verdicts": [OK]}
    made["outcomes"]["timeout"] = 12
    made["all"] |= {"count": 1000, "p99_ms": 12.4}
    made["search"] |= {"count": 120, "p50_ms": 3.0}
    made["resources"]["shard"]["cpu_percent_avg"] = 71.0
    made["recall"] = {"im": 0.97}
    return made


def judged(summary: dict[str, Any], text: str) -> dict[str, Any]:
    return dict(evaluate([parse_threshold(text)], summary)[0])


@pytest.mark.parametrize(
    ("text", "path", "sign", "number", "percent"),
    [
        ("search.p99_ms<20", "search.p99_ms", "<", 20.0, False),
        ("  p99_ms <= 1e3 ", "p99_ms", "<=", 1000.0, False),
        ("throughput_ops_s>=10_000", "throughput_ops_s", ">=", 10_000.0, False),
        ("failed < 0.5 %", "failed", "<", 0.5, True),
        ("counts.500.all.p99_ms>-1", "counts.500.all.p99_ms", ">", -1.0, False),
    ],
)
def test_a_threshold_is_a_path_a_comparison_and_a_number(text, path, sign, number, percent):
    """White space does not matter; numbers may be written with exponent and underscores."""
    one = parse_threshold(text)
    assert (one.path, one.operator, one.number, one.percent) == (path, sign, number, percent)
    assert one.text == text.strip()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "compares nothing"),
        ("search.p99_ms", "'search.p99_ms' compares nothing; write it in quotes"),
        ("search.p99_ms=20", "'=' is no comparison; choose <, <=, >, >="),
        ("search.p99_ms==20", "'==' is no comparison"),
        ("search.p99_ms!=20", "'!=' is no comparison"),
        ("search.p99_ms=<20", "'=<' is no comparison"),
        ("10<p99_ms<20", "'p99_ms<20' in '10<p99_ms<20' is no finite number"),
        ("<20", "names no figure"),
        ("p99_ms<", "'' in 'p99_ms<' is no finite number"),
        ("p99_ms<nan", "is no finite number"),
        ("p99_ms<1e999", "is no finite number"),
        ("p99_ms<20ms", "it is in ms, as its name says: give the number alone"),
        ("rss_bytes_max<512 MiB", "it is in bytes"),
        ("throughput_ops_s>10,000", "thousands are set apart by _"),
        ("p99_ms<%", "'%' in 'p99_ms<%' is no finite number"),
        ("x" * 10_000, "..."),
    ],
)
def test_what_is_no_threshold_is_refused_with_a_remedy(text, problem):
    """The option and what is wrong are named, in one short line."""
    with pytest.raises(UsageError) as refused:
        parse_threshold(text)
    assert str(refused.value).startswith("--threshold: ")
    assert problem in str(refused.value)
    assert len(str(refused.value)) < 300


@given(st.text(max_size=60))
def test_any_text_is_a_threshold_or_refused(text):
    """Nothing that can be typed raises anything but a UsageError."""
    try:
        one = parse_threshold(text)
    except UsageError:
        return
    assert one.path
    assert one.operator in {"<", "<=", ">", ">="}


def test_an_unknown_path_is_refused_with_near_names():
    """A figure that no summary has is refused before anything runs."""
    with pytest.raises(UsageError, match=r"--threshold: 'serach\.p99_ms'.*search\.p99_ms"):
        check_paths([parse_threshold("serach.p99_ms<20")], run_template())


def test_a_group_of_figures_is_refused():
    """A path that stops short of a figure is refused, naming some below it."""
    with pytest.raises(UsageError, match=r"'search': is a group of figures.*search\.count"):
        check_paths([parse_threshold("search<20")], run_template())


@pytest.mark.parametrize(
    "text", ["p99_ms<20%", "throughput_ops_s>5%", "efficiency.operations_per_cpu_percent>1%"]
)
def test_a_per_cent_sign_is_refused_where_it_means_nothing(text):
    """A time or a rate is no share of anything."""
    with pytest.raises(UsageError, match="a per cent sign means nothing for"):
        check_paths([parse_threshold(text)], run_template())


@pytest.mark.parametrize(
    "text", ["failed<1%", "outcomes.timeout<=1%", "resources.shard.cpu_percent_avg<90%"]
)
def test_a_per_cent_sign_is_taken_where_it_means_something(text):
    """Failures are a share of the operations, and some figures are in per cent."""
    check_paths([parse_threshold(text)], run_template())


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("p99_ms<12.5", "passed"),
        ("p99_ms<12.4", "breached"),
        ("p99_ms<=12.4", "passed"),
        ("p99_ms>12.4", "breached"),
        ("p99_ms>=12.4", "passed"),
        ("failed<=12", "passed"),
        ("failed<1.2%", "breached"),
        ("failed<=1.2%", "passed"),
        ("outcomes.timeout<2%", "passed"),
        ("recall.im>=97%", "passed"),
        ("recall.im>0.98", "breached"),
        ("resources.shard.cpu_percent_avg<=71%", "passed"),
        ("resources.shard.cpu_percent_avg<71", "breached"),
    ],
)
def test_a_figure_passes_when_it_keeps_to_the_limit(summary, text, verdict):
    """Each comparison, at and on both sides of its limit."""
    assert judged(summary, text)["verdict"] == verdict


def test_what_was_found_has_the_whole_path_the_value_and_the_limit(summary):
    """A bare name is of all operations."""
    assert judged(summary, "p99_ms < 12.5") == {
        "threshold": "p99_ms < 12.5",
        "path": "all.p99_ms",
        "operator": "<",
        "value": 12.4,
        "limit": 12.5,
        "verdict": "passed",
        "sentence": "all.p99_ms is 12.4, which is < 12.5.",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("p99_ms<10", "all.p99_ms is 12.4, and had to be < 10."),
        ("failed<1%", "failed is 1.2% of the operations, and had to be < 1%."),
        ("recall.im>=98%", "recall.im is 97%, and had to be >= 98%."),
        ("throughput_ops_s>1e5", "throughput_ops_s is 64,482.2, and had to be > 100,000."),
    ],
)
def test_a_breach_says_the_figure_and_what_it_had_to_be(summary, text, sentence):
    """In words, with the figures."""
    assert judged(summary, text)["sentence"] == sentence


def test_a_breach_by_less_than_is_shown_still_reads_as_one(summary):
    """A figure just over its limit is shown with all its digits."""
    summary["all"]["p99_ms"] = 20.000001
    assert judged(summary, "p99_ms<=20")["sentence"].startswith("all.p99_ms is 20.000001, and had")


def test_a_percentile_of_too_few_samples_is_a_breach_that_says_so(summary):
    """With 120 searches nothing is known of their p99."""
    found = judged(summary, "search.p99_ms<1e9")
    assert (found["verdict"], found["value"]) == ("breached", None)
    assert "120 samples are too few, it takes 299" in found["sentence"]


def test_a_percentile_whose_group_has_the_unit_says_so_too(summary):
    """As those of the benchmark of memories."""
    summary["search_latency_ms"] = {"p99": None, "count": 50}
    assert "50 samples are too few" in judged(summary, "search_latency_ms.p99<5")["sentence"]


@pytest.mark.parametrize("text", ["schedule.lag_p99_ms<5", "all.mean_ms<5"])
def test_a_figure_that_was_not_measured_is_a_breach(summary, text):
    """None never passes."""
    found = judged(summary, text)
    assert found["verdict"] == "breached"
    assert "is not known: " in found["sentence"]


def test_a_figure_that_the_summary_lacks_is_a_breach(summary):
    """A benchmark that was interrupted may lack the count that was asked for."""
    found = judged(summary, "counts.500.all.p99_ms<20")
    assert (found["verdict"], found["path"]) == ("breached", "counts.500.all.p99_ms")
    assert "the summary has no such figure" in found["sentence"]


def test_a_share_of_no_operations_is_a_breach(summary):
    """A run without an operation has no share of failures."""
    summary["operations"] = summary["failed"] = 0
    assert judged(summary, "failed<1%")["verdict"] == "breached"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_a_breach(summary, value):
    """Not a number compares with nothing, and infinity is no measurement."""
    summary["all"]["p99_ms"] = value
    assert judged(summary, "p99_ms>0")["verdict"] == "breached"


def test_nothing_passes_in_an_invalid_run(summary):
    """What a broken schedule measured shows nothing."""
    summary["verdicts"] = [INVALID]
    found = judged(summary, "p99_ms<1e9")
    assert found["verdict"] == "breached"
    assert "the run is INVALID" in found["sentence"]
