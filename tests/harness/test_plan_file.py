"""A file, or an earlier run, makes the plan that it says; anything else is refused as --plan's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.plan import RunPlan, option_name
from harness.plan_file import load_plan
from harness.rundir import RunDirectory


def written(folder: Path, text: str, name: str = "plan.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_takes_options_in_either_spelling(tmp_path: Path):
    """Keys of a TOML file are options as they are typed, or the fields of the plan."""
    typed = written(tmp_path, "agents = 3\nthink-time = 0.5\nkeep-data = true\nrounds = 1\n")
    named = written(tmp_path, "agents = 3\nthink_time_s = 0.5\nkeep_data = true\nrounds = 1\n", "b")
    mixed = written(tmp_path, "agents = 3\nthink_time = 0.5\nkeep_data = true\nrounds = 1\n", "c")
    expected = RunPlan(agents=3, think_time_s=0.5, keep_data=True, rounds=1)
    assert load_plan(typed, {}) == load_plan(named, {}) == load_plan(mixed, {}) == expected


def test_every_option_can_stand_in_a_file(tmp_path: Path):
    """Each field of a plan is known by its option's name in a file."""
    plan = RunPlan(
        agents=4, duration_s=2.0, mix="store=1,search=1", rate=5.0, shards=1, agents_per_task=2
    )
    lines = []
    for name, value in plan.as_dict().items():
        if value is None or name == "mix":
            continue
        lines.append(f"{option_name(name)[2:]} = {json.dumps(value)}")
    path = written(tmp_path, "\n".join([*lines, "[mix]", "store = 1", "search = 1.0"]))
    assert load_plan(path, {}) == plan


def test_a_key_that_stands_twice_in_both_spellings_is_refused(tmp_path: Path):
    """Two spellings of one option in a file are refused: neither silently wins."""
    path = written(tmp_path, "think-time = 0.5\nthink_time_s = 0.1\n")
    with pytest.raises(UsageError, match=r"--plan: .*twice"):
        load_plan(path, {})


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("agnets = 3\n", "unknown key 'agnets'"),
        ("agents = \n", "no valid TOML"),
        ("agents = 3\nagents = 4\n", "no valid TOML"),
        ("agents = " + "9" * 5000 + "\n", "no valid TOML"),
        ("agents = " + "[" * 5000 + "]" * 5000 + "\n", "no valid TOML"),
        ("\x00", "no valid TOML"),
    ],
    ids=["unknown key", "no value", "twice", "digits", "nested", "null"],
)
def test_a_malformed_file_is_refused_in_one_sentence(tmp_path: Path, text: str, part: str):
    """A file that is no TOML, or has a key of no option, is refused as --plan's."""
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_plan(path, {})
    assert caught.value.field == "--plan"
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ('agents = "3"', "--agents"),
        ("agents = 3.0", "--agents"),
        ("agents = true", "--agents"),
        ("agents = 1979-05-27", "--agents"),
        ('pipelining = "off"', "--pipelining"),
        ("record = 1", "--record"),
        ("rate = inf", "--rate"),
        ("duration = nan", "--duration"),
        ("target = 5", "--target"),
        ("trace = 5", "--trace"),
        ("trace = []", "--trace"),
        ("mix = [1, 2]", "--mix"),
        ("mix = {store = []}", "--mix"),
    ],
)
def test_a_value_of_a_wrong_type_in_a_file_is_refused(tmp_path: Path, line: str, option: str):
    """A TOML value of a type that the option does not have names the option."""
    with pytest.raises(UsageError) as caught:
        load_plan(written(tmp_path, line), {})
    assert caught.value.field == option


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    """A plan that is missing, is no text, or has a name too long is refused as --plan's."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00agents")
    for path in (tmp_path / "nowhere", tmp_path / ("a" * 5000), tmp_path, binary):
        with pytest.raises(UsageError) as caught:
            load_plan(path, {})
        assert caught.value.field == "--plan"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"plan": 3}', "{", "[" * 100_000, '{"plan": {"agents": 0}}']
)
def test_a_damaged_run_json_is_refused(tmp_path: Path, text: str):
    """A run.json that is no JSON, or has no plan that is one, is refused in one sentence."""
    written(tmp_path, text, "run.json")
    with pytest.raises(UsageError, match=r"^--(plan|agents): "):
        load_plan(tmp_path, {})


def test_a_run_repeats_from_its_directory(tmp_path: Path):
    """The plan of a run, taken from its directory or its run.json, is that plan exactly."""
    plan = RunPlan(
        agents=9,
        duration_s=4.0,
        warmup_s=1.0,
        seed=77,
        mix="store=1,retrieve=8",
        rate=50.0,
        arrival="poisson",
        shards=3,
        pipelining=False,
        keep_data=True,
    )
    directory = RunDirectory.create(tmp_path / "run", "run")
    directory.write_run({"plan": plan.as_dict()})
    assert load_plan(tmp_path / "run", {}) == plan
    assert load_plan(tmp_path / "run" / "run.json", {}) == plan


def test_what_is_given_beside_a_file_wins(tmp_path: Path):
    """An option on the command line takes the place of the file's, rounds that of a duration."""
    path = written(tmp_path, "agents = 3\nduration = 5.0\nseed = 4\n")
    assert load_plan(path, {"agents": 8}) == RunPlan(agents=8, duration_s=5.0, seed=4)
    assert load_plan(path, {"rounds": 2}) == RunPlan(agents=3, rounds=2, seed=4)
    whole = written(tmp_path, "duration = 3.0\nwhole-rounds = true\n", "whole.toml")
    assert load_plan(whole, {"rounds": 2}) == RunPlan(rounds=2)
    rounds = written(tmp_path, "rounds = 2\n", "rounds.toml")
    assert load_plan(rounds, {"duration_s": 1.0}) == RunPlan(duration_s=1.0)


def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path):
    """Rounds and a duration in one file contradict each other there too."""
    path = written(tmp_path, "rounds = 2\nduration = 5.0\n")
    with pytest.raises(UsageError, match=r"^--duration: "):
        load_plan(path, {})


def test_a_trace_in_a_file_is_relative_to_the_file(tmp_path: Path):
    """A plan and its trace can move together: the trace is looked for beside the file."""
    folder = tmp_path / "plans"
    folder.mkdir()
    path = written(folder, 'trace = "../data/t.parquet"\n')
    assert load_plan(path, {}).trace == str((tmp_path / "data" / "t.parquet").resolve())
    absolute = written(folder, 'trace = "/data/t.parquet"\n', "absolute.toml")
    assert load_plan(absolute, {}).trace == "/data/t.parquet"


def test_a_target_that_an_earlier_run_names_by_its_place_is_not_loaded(tmp_path: Path):
    """A run directory may come from anywhere: the place is loaded if the caller names it."""
    directory = RunDirectory.create(tmp_path / "r", "run")
    directory.write_run({"plan": RunPlan(target="antigravity:fly").as_dict()})
    with pytest.raises(UsageError, match="name it again"):
        load_plan(tmp_path / "r", {})
    assert load_plan(tmp_path / "r", {"target": "noop"}).target == "noop"
