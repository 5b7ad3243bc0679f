"""What all tests share: Hypothesis profiles, an environment that none leaks into, and a Ray.

``HYPOTHESIS_PROFILE=thorough`` looks longer than the default, ``ci``.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.small_disks import small_disk

settings.register_profile(
    "ci", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Give each test the environment as it was: Ray takes settings from it, and so do we."""
    with _environment_kept():
        yield


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB, empty."""
    with small_disk(tmp_path / "disk") as path:
        yield path


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A Ray on this machine, the module's own: starting one takes seconds, so its tests share it.

    Actors and files in it are a test's to name apart from those of others, and to end.
    """
    ray = pytest.importorskip("ray")
    with (
        _environment_kept(),
        tempfile.TemporaryDirectory(prefix="r-", ignore_cleanup_errors=True) as folder,
    ):
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=2,
            _temp_dir=folder,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent.parent)}},
        )
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _environment_kept() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
