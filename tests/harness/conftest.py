"""What tests of the harness share: runs in processes of their own, and commands in this one."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import cli
from tests.harness.driving import Driven, short_folder

Outcome = tuple[int, str, str]


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
