"""What all tests share: Hypothesis profiles, an environment that none leaks into, and a Ray.

``HYPOTHESIS_PROFILE=thorough`` looks longer than the default, ``ci``.
"""

import asyncio
import inspect
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harness import cli
from harness.ray_session import RaySession
from tests import shared_ray
from tests.browser import browser  # noqa: F401 - a fixture
from tests.shared_ray import environment_kept
from tests.small_disks import small_disk

# Exit code, standard output, standard error.
Outcome = tuple[int, str, str]
_FILES_ON_RAY = pytest.StashKey[set[Path]]()

settings.register_profile(
    "ci", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files that take longest first: none is left for one process at the end.

    What takes long has a timeout of its own, or starts clusters; of those, files that share a Ray
    are together. A file's tests stay together, and in the order in which they come.
    """
    config.stash[_FILES_ON_RAY] = {item.path for item in items if _is_on_ray(item)}
    files: defaultdict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        files[item.path].append(item)
    items[:] = chain.from_iterable(sorted(files.values(), key=_length, reverse=True))


def _is_on_ray(item: pytest.Item) -> bool:
    return "ray_here" in getattr(item, "fixturenames", ())


def _length(tests: list[pytest.Item]) -> tuple[float, bool, int, int]:
    """How long a file takes, to be compared: its longest timeout, clusters, slow tests."""
    marks = Counter(mark for test in tests for mark in {one.name for one in test.iter_markers()})
    timeouts = (mark.args[0] for test in tests for mark in test.iter_markers("timeout"))
    is_on_ray = any(map(_is_on_ray, tests))
    return max(timeouts, default=0.0), is_on_ray, marks["cluster"], marks["slow"]


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Give each test the environment as it was: Ray takes settings from it, and so do we."""
    with environment_kept():
        yield


@pytest.fixture
def harness_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Runs `harness` in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB, empty."""
    with small_disk(tmp_path / "disk") as path:
        yield path


@pytest.fixture(scope="module")
def ray_here() -> RaySession:
    """The Ray that the tests of this process share: starting one takes seconds.

    Actors in it are a test's to name apart from those of others, and to end.
    """
    return shared_ray.session_here()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the shared Ray before a file that does not take it."""
    if nextitem is None or nextitem.path not in item.config.stash[_FILES_ON_RAY]:
        shared_ray.end()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine on a loop of its own, as others' standard suites need it."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
