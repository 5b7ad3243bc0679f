"""What all tests share: Hypothesis profiles, and an environment that no test leaks into.

``HYPOTHESIS_PROFILE=thorough`` looks longer than the default, ``ci``.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Give each test the environment as it was: Ray takes settings from it, and so do we."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)
