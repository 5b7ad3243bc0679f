"""What tests of the harness share: runs in processes of their own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.driving import Driven, short_folder


@pytest.fixture
def drive() -> Iterator[Callable[..., Driven]]:
    """Starts a run, which is ended with the test."""
    runs: list[Driven] = []
    with short_folder() as folder:

        def start(*arguments: object, **more: Any) -> Driven:
            runs.append(Driven(folder, *arguments, **more))
            return runs[-1]

        try:
            yield start
        finally:
            for run in runs:
                run.end()
