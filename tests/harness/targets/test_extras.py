"""The extras that install what the built-in targets need."""

from configparser import ConfigParser
from pathlib import Path

from harness.targets import BUILT_IN
from harness.targets.spec import class_at

ROOT = Path(__file__).resolve().parents[3]


def test_each_target_has_its_extra_and_one_has_them_all():
    """What a target needs is an extra that its class names, and a part of ``[targets]``."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    kinds = [class_at(place) for place in BUILT_IN.values()]
    named = {kind.extra for kind in kinds if getattr(kind, "extra", None) is not None}
    assert named <= set(extras)
    [together] = extras["targets"].split()
    assert together == f"{setup['metadata']['name']}[{','.join(sorted(named))}]"
