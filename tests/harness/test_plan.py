"""A plan is refused where it is made; a file, or an earlier run, makes the plan that it says."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.plan import RunPlan, load_plan, option_name, parse_mix
from harness.rundir import RunDirectory

WRONG_VALUES = [
    ("agents", 0),
    ("agents", -1),
    ("agents", "abc"),
    ("agents", 2.5),
    ("agents", True),
    ("agents", 10**9),
    ("agents", 10**400),
    ("target", ""),
    ("target", 3),
    ("workload", "other"),
    ("rounds", 0),
    ("rounds", 1.0),
    ("rounds", 10**30),
    ("duration_s", 0.0),
    ("duration_s", math.nan),
    ("duration_s", math.inf),
    ("duration_s", 1e300),
    ("duration_s", 10**400),
    ("duration_s", "long"),
    ("warmup_s", -1.0),
    ("warmup_s", 1e300),
    ("warmup_s", None),
    ("seed", -1),
    ("seed", 2**63),
    ("mix", "store"),
    ("mix", "store=x"),
    ("mix", "store=1,store=2"),
    ("mix", "store=-1"),
    ("mix", "store=nan"),
    ("mix", "store=1e308,search=1e308"),
    ("mix", "store=0,search=0"),
    ("mix", "forget=1"),
    ("mix", {"store": "much"}),
    ("mix", {"store": True}),
    ("mix", {"store": 10**400}),
    ("mix", {}),
    ("mix", 3),
    ("think_time_s", -0.1),
    ("think_time_s", 1e300),
    ("ramp_s", -1),
    ("ramp_s", 1e300),
    ("rate", 0),
    ("rate", -5.0),
    ("rate", math.nan),
    ("rate", 1e-300),
    ("rate", 1e300),
    ("arrival", "weekly"),
    ("trace", ""),
    ("trace", 1),
    ("shards", 0),
    ("shards", 10**6),
    ("agents_per_task", 0),
    ("agents_per_task", 10**30),
    ("pipelining", "off"),
    ("pipelining", 0),
    ("dimension", 0),
    ("dimension", 10**6),
    ("durability", "maybe"),
    ("data_dir", ""),
    ("keep_data", 1),
    ("address", ""),
    ("address", None),
    ("record", None),
    ("sample_interval_s", 0.0),
    ("sample_interval_s", 0.001),
    ("sample_interval_s", 1e300),
    ("deadline_s", 0.0),
    ("deadline_s", 1e300),
]


def case_name(case: object) -> str:
    return repr(case) if len(repr(case)) < 30 else repr(case)[:27] + "..."


def refusal(**given: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        RunPlan(**given)
    return caught.value


def written(folder: Path, text: str, name: str = "plan.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("field", "value"), WRONG_VALUES, ids=case_name)
def test_a_wrong_value_is_refused_by_the_name_of_its_option(field: str, value: object):
    """A field's wrong value is a UsageError of one line that names the option as it is typed."""
    error = refusal(**{field: value})
    assert error.field == option_name(field)
    assert "\n" not in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize("field", [field.name for field in fields(RunPlan)])
def test_a_value_of_a_foreign_type_is_refused_in_every_field(field: str):
    """No field takes a value of a type that it does not have."""
    assert refusal(**{field: object()}).field == option_name(field)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"rounds": 2, "duration_s": 3.0}, "--duration"),
        ({"rate": 100.0, "think_time_s": 0.1}, "--think-time"),
        ({"arrival": "poisson"}, "--arrival"),
        ({"mix": "store=1", "trace": "t.parquet"}, "--mix"),
        ({"duration_s": 1.0, "ramp_s": 5.0}, "--ramp"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given: dict[str, Any], option: str):
    """Two options that cannot hold together are refused, naming one as it is typed."""
    assert refusal(**given).field == option


def test_what_is_left_out_has_the_documented_default():
    """500 agents do 20 rounds; a duration or a trace takes the place of rounds."""
    plan = RunPlan()
    assert (plan.agents, plan.rounds, plan.durability, plan.shards) == (500, 20, "fsync", None)
    assert RunPlan(duration_s=1.0).rounds is None
    replayed = RunPlan(trace="t.parquet")
    assert (replayed.agents, replayed.rounds) == (None, None)


def test_a_plan_survives_json():
    """What a plan becomes in run.json makes an equal plan again."""
    plan = RunPlan(agents=7, mix="store=1,search=3", rate=2.5, arrival="poisson", duration_s=2.0)
    assert RunPlan(**json.loads(json.dumps(plan.as_dict()))) == plan


def test_mix_takes_text_or_a_table():
    """A mix names weights; an operation that is left out has the weight 0."""
    expected = {"store": 1.0, "retrieve": 8.0, "search": 0.0}
    assert parse_mix("store=1, retrieve = 8") == expected
    assert parse_mix({"retrieve": 8, "store": 1}) == expected


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
    with pytest.raises(UsageError, match="--plan: .*twice"):
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
        record=False,
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
    rounds = written(tmp_path, "rounds = 2\n", "rounds.toml")
    assert load_plan(rounds, {"duration_s": 1.0}) == RunPlan(duration_s=1.0)


def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path):
    """Rounds and a duration in one file contradict each other there too."""
    path = written(tmp_path, "rounds = 2\nduration = 5.0\n")
    with pytest.raises(UsageError, match="^--duration: "):
        load_plan(path, {})


def test_a_trace_in_a_file_is_relative_to_the_file(tmp_path: Path):
    """A plan and its trace can move together: the trace is looked for beside the file."""
    folder = tmp_path / "plans"
    folder.mkdir()
    path = written(folder, 'trace = "../data/t.parquet"\n')
    assert load_plan(path, {}).trace == str((tmp_path / "data" / "t.parquet").resolve())
    absolute = written(folder, 'trace = "/data/t.parquet"\n', "absolute.toml")
    assert load_plan(absolute, {}).trace == "/data/t.parquet"
