"""What a comparison is told: names of targets, ranges, and folders that no two share."""

from __future__ import annotations

from typing import Any

import pytest

from harness.benchmarks.target_settings import (
    MAX_TARGETS,
    TargetSettings,
    parse_targets,
    slugs_of,
)
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("memory_core,embedded", ("memory_core", "embedded")),
        (" b , a ", ("b", "a")),
        ("chroma:server=true,hnsw=8,lancedb", ("chroma:server=true,hnsw=8", "lancedb")),
        ("redis:url=redis://h:1,x=http://y", ("redis:url=redis://h:1,x=http://y",)),
        ("my.own:Target:a=1,b=2,noop", ("my.own:Target:a=1,b=2", "noop")),
        ("langgraph:store=memory,langgraph:store=sqlite",) * 2,
    ],
)
def test_targets_are_told_apart_from_their_options(text: str, targets: Any):
    """A comma before key=value goes on with the target before it, any other begins the next."""
    wanted = tuple(targets.split(",")) if isinstance(targets, str) else targets
    assert parse_targets(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty name"),
        ("noop,", "empty name"),
        ("noop,embedded,noop", "'noop' twice"),
        (",".join(f"t{number}" for number in range(MAX_TARGETS + 1)), f"at most {MAX_TARGETS}"),
    ],
)
def test_what_names_no_targets_is_refused(text: str, said: str):
    """In one sentence under the option."""
    with pytest.raises(UsageError, match=f"^--targets: .*{said}"):
        parse_targets(text)


def test_each_target_has_a_folder_of_its_own():
    """Whatever is in its name; a name that is taken gets a number."""
    slugs = slugs_of(["a:b=../c", "a b c", "a.b.c", "ü", "x" * 300])
    assert len(set(slugs.values())) == 5
    for slug in slugs.values():
        assert slug.replace("-", "").replace("_", "").isalnum()
        assert slug.isascii()
        assert len(slug) < 50


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"repeats": 0}, "--repeats"),
        ({"probes": 0}, "--probes"),
        ({"k": 1_001}, "--k"),
        ({"volumes": (0, 10)}, "--volumes"),
        ({"volumes": (100,), "volume_agents": 101}, "--volume-agents"),
        ({"volume_agents": 0}, "--volume-agents"),
        ({"rounds": 2}, "--rounds"),
        ({"step_duration_s": 0.0}, "--step-duration"),
        ({"step_duration_s": float("nan")}, "--step-duration"),
        ({"time_cap_s": -1.0}, "--time-cap"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused(given: dict[str, Any], option: str):
    """By the name of its option."""
    with pytest.raises(UsageError) as caught:
        TargetSettings(targets=("noop",), **given)
    assert caught.value.field == option


def test_the_document_has_the_slug_of_each_target():
    """From which the summary knows whose a step is."""
    settings = TargetSettings(targets=("noop", "a:b=1"), volumes=(20_000, 1_000)).as_dict()
    assert settings["targets"] == [
        {"target": "noop", "slug": "noop"},
        {"target": "a:b=1", "slug": "a-b-1"},
    ]
    assert settings["volumes"] == [1_000, 20_000]
