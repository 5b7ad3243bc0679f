"""``harness targets``: what there is, installed or not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.commands.targets import targets
from harness.targets import BUILT_IN, load_target
from harness.targets.listing import listed_targets
from tests.harness.targets.plugged import installed_package


def test_every_built_in_target_is_listed_with_what_it_can_do() -> None:
    """`harness targets` has a line of each of our targets, and what it can do below it."""
    lines = CliRunner().invoke(targets, []).output.splitlines()
    heads = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert heads[: len(BUILT_IN)] == list(BUILT_IN)
    assert {"memory_core", "embedded", "threads", "noop"} <= set(BUILT_IN)
    after = lines[lines.index(next(one for one in lines if one.startswith("memory_core"))) + 1]
    assert after.strip() == "can do: batch, delete, durable, filter, server, shared"
    for one in listed_targets(BUILT_IN):
        assert len(one.description) > 10


def test_the_list_is_there_as_json() -> None:
    """`--json` gives the same as one object."""
    document = json.loads(CliRunner().invoke(targets, ["--json"]).output)
    assert document["schema_version"] == 1
    found = {one["name"]: one for one in document["targets"]}
    assert found["noop"]["installed"]
    assert found["embedded"]["capabilities"] == ["batch", "delete", "durable", "filter"]


def test_our_targets_bear_their_names() -> None:
    """A target that is loaded is called as it is listed."""
    for name in ("memory_core", "embedded", "threads", "noop"):
        assert load_target(name).name == name


def test_listing_loads_no_stores_library() -> None:
    """What the stores are made of is not imported for the list, be it installed or not."""
    code = (
        "import sys\n"
        "from harness.targets import BUILT_IN\n"
        "from harness.targets.listing import listed_targets\n"
        "from harness.targets.spec import class_at\n"
        "listed_targets(BUILT_IN)\n"
        "needed = {m for p in BUILT_IN.values() for m in getattr(class_at(p), 'modules', ())}\n"
        "print(sorted((needed | {'rocksdict', 'faiss'}) & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "[]"


def test_a_plug_in_is_listed_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target of an installed package is listed after ours, and says what it lacks."""
    with installed_package(tmp_path, monkeypatch, modules=("no_such_module_at_all",)):
        found = listed_targets(BUILT_IN)[-1]
        assert (found.name, found.package) == ("plugged", "plugged-store")
        assert not found.installed
        assert "no_such_module_at_all" in found.remedy
        assert found.options == ("size",)


@pytest.mark.parametrize(
    "code",
    [
        "import no_such_module_at_all\n",
        "raise RuntimeError('no licence')\n",
        "def (\n",
        "import sys\nsys.exit(3)\n",
        "from harness.targets.base import Target\n"
        "class PluggedTarget(Target):\n    options_type = dict\n",
        "from harness.targets.base import Target\n"
        "class PluggedTarget(Target):\n    modules = None\n",
    ],
)
def test_a_plug_in_that_cannot_be_loaded_is_listed_all_the_same(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken package is told of in its place, and breaks nothing else."""
    with installed_package(tmp_path, monkeypatch, code=code):
        found = listed_targets(BUILT_IN)
        assert len(found) == len(BUILT_IN) + 1
        assert "'plugged_store:PluggedTarget'" in found[-1].remedy
        assert not found[-1].installed
