"""Every adapter that comes with the harness passes the check of its target, on the real thing."""

from __future__ import annotations

import shutil

import pytest

from harness.conformance import check_target
from harness.errors import UsageError
from harness.targets import BUILT_IN, load_target

OURS = {"memory_core", "embedded", "threads", "noop"}
# With other options a target is another store.
VARIANTS = ["chroma:server=true", "langgraph:store=sqlite"]
SPECS = [
    *(name for name in BUILT_IN if name not in OURS),
    *(spec for spec in VARIANTS if spec.partition(":")[0] in BUILT_IN),
]
# What a store itself does not always do; its adapter's docstring says why.
MAY_FAIL = {"chroma": {"durability"}}


def is_installed(spec: str) -> bool:
    if spec == "redis" and shutil.which("redis-server") is None:
        return False
    try:
        load_target(spec)
    except UsageError as error:
        if "is not installed" in error.problem:
            return False
        raise
    return True


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.timeout(300)
@pytest.mark.parametrize("spec", SPECS)
def test_an_adapter_keeps_what_it_claims(spec: str):
    """No point fails but those that are known of the store, killed or not."""
    if not is_installed(spec):
        pytest.skip(f"what {spec} needs is not installed here")
    found = check_target(spec, seed=1)
    assert {point.name for point in found.failed} <= MAY_FAIL.get(spec, set()), found.failed
    assert found.version
    assert found.durability
