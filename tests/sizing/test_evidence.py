"""What is read of directories, what is refused, and what a file keeps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import RunDirectoryError, UsageError
from harness.rundir_reader import open_run
from harness.sizing.evidence import write_evidence
from harness.sizing.reading import read_evidence
from tests.made_runs import golden_run, rewrite
from tests.sizing.made_evidence import RECORDED


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = golden_run("bench-agents", tmp_path_factory.mktemp("golden"))
    for summary in place.glob("steps/*/summary.json"):  # too short for the ticks of CPU time
        resources = json.loads(summary.read_text())["resources"]
        for role in ("shard", "cohort"):
            resources[role]["cpu_seconds"] = resources[role]["cpu_seconds"] or 0.01
        rewrite(summary, resources=resources)
    return place


@pytest.fixture
def step(bench: Path, tmp_path: Path) -> Path:
    """A run of the benchmark, to be changed."""
    name = sorted(path.name for path in (bench / "steps").iterdir())[-1]
    return Path(shutil.copytree(bench / "steps" / name, tmp_path / name))


def test_a_run_gives_its_totals_and_its_batches(step: Path):
    """As its summary has them; every operation is in a batch."""
    (run,) = read_evidence([step]).runs
    summary = open_run(step).summary
    assert summary is not None
    assert run.operations_total == summary["operations"]
    assert sum(map(sum, run.batches.operations.values())) == summary["operations"]
    assert run.batches_sent == run.batches.count
    assert (run.agents, run.shards) == (
        summary["agents"]["count"],
        summary["resources"]["shard"]["processes"],
    )
    # the mean over operations of what batches took is that of the rows
    sizes = [sum(counts) for counts in zip(*run.batches.operations.values(), strict=True)]
    mean_ms = (
        sum(
            size * (service + passage)
            for size, service, passage in zip(
                sizes, run.batches.service_us, run.batches.passage_us, strict=True
            )
        )
        / sum(sizes)
        / 1e3
    )
    assert mean_ms == pytest.approx(summary["all"]["mean_ms"], rel=0.01)


def test_a_benchmark_gives_each_of_its_steps(bench: Path):
    """Those of bench agents, by name."""
    names = [run.name for run in read_evidence([bench]).runs]
    assert names == [path.name for path in sorted((bench / "steps").iterdir())]


def test_volumes_give_bytes_and_exponents(tmp_path: Path):
    """Less the empty store; what grows how fast."""
    place = golden_run("bench-memory", tmp_path)
    (found,) = read_evidence([place]).memories
    summary = json.loads((place / "summary.json").read_text())
    assert found.volumes == sorted(map(int, summary["volumes"]))
    assert found.memory_bytes[0] == (
        summary["volumes"]["300"]["memory_usage_bytes"] - summary["baseline"]["memory_usage_bytes"]
    )
    assert found.exponents["search"][0] == summary["degradation"]["search"]["exponent"]["estimate"]


def test_a_file_keeps_all_of_it(bench: Path, tmp_path: Path):
    """What is read of it is what was read of the directories."""
    evidence = read_evidence([bench])
    write_evidence(evidence, tmp_path / "kept.json")
    assert read_evidence([tmp_path / "kept.json"]) == evidence


@pytest.mark.parametrize(
    ("document", "part"),
    [
        ("{}", "neither a directory of a run nor evidence"),
        ("not JSON", "neither a directory of a run nor evidence"),
        ('{"runs": [], "memories": [], "schema_version": 9}', "has version 9"),
        (RECORDED.read_text().replace('"batches_sent":2502', '"batches_sent":0'), "neither"),
        (RECORDED.read_text().replace('"service_us":[', '"service_us":[7,', 1), "neither"),
        (RECORDED.read_text().replace('"store":', '"stare":', 1), "neither"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, document: str, part: str):
    """Damaged, foreign, or of another release."""
    (tmp_path / "kept.json").write_text(document)
    with pytest.raises(RunDirectoryError, match=part):
        read_evidence([tmp_path / "kept.json"])


@pytest.mark.parametrize(
    ("file", "changes", "part"),
    [
        ("run.json", {"status": "invalid"}, "is INVALID"),
        ("run.json", {"status": "interrupted"}, "is interrupted, not complete"),
        ("run.json", {"plan": {"target": "noop"}}, "drove noop"),
        ("run.json", {"plan": {"target": "memory_core", "pipelining": False}}, "--pipelining off"),
        (
            "run.json",
            {"plan": {"target": "memory_core", "faults": ["at 1s kill shard 0"]}},
            "had faults injected",
        ),
        ("summary.json", {"losses": [{"cohort": 0, "agents": 5}]}, "lost agents"),
        ("summary.json", {"operations": 0}, "has no measured operations"),
        ("summary.json", {"failed": 10_000}, "had 10,000 failed operations"),
    ],
)
def test_a_run_that_would_mislead_is_refused(step: Path, file: str, changes: dict, part: str):
    """One sentence that names it, with the remedy."""
    rewrite(step / file, **changes)
    with pytest.raises(UsageError, match=part) as refused:
        read_evidence([step])
    assert str(refused.value).startswith(f"--from: {step} ")
    assert str(refused.value).endswith("leave it out, or measure it again")


def test_a_run_without_rows_or_cpu_is_refused(step: Path):
    """Neither can be made up."""
    summary = json.loads((step / "summary.json").read_text())
    for file in (step / "ops").iterdir():
        file.unlink()
    with pytest.raises(UsageError, match="has no rows of operations"):
        read_evidence([step])
    summary["resources"]["shard"]["cpu_seconds"] = None
    (step / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(UsageError, match="has no CPU time of shards"):
        read_evidence([step])


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("summary.json", {"resources": {}}),
        ("summary.json", {"all": None}),
        ("summary.json", {"agents": {"count": "many"}}),
        ("summary.json", {"throughput_ops_s": -1}),
        ("run.json", {"topology": 5}),
    ],
)
def test_documents_that_no_run_writes_are_refused(step: Path, file: str, changes: dict):
    """Whatever is in them, it is a sentence and not a traceback."""
    rewrite(step / file, **changes)
    with pytest.raises((RunDirectoryError, UsageError), match=str(step)):
        read_evidence([step])


def test_another_benchmark_is_refused(tmp_path: Path):
    """Its steps are not runs of agents at different numbers."""
    with pytest.raises(UsageError, match="is of bench-resources"):
        read_evidence([golden_run("bench-resources", tmp_path)])
