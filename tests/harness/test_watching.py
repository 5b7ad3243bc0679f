"""What commands that measure show besides the terminal: their options, and who opens what."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager

import click
import pytest
from click.testing import CliRunner

from harness.commands.options import OUTPUT_OPTIONS, with_options
from harness.commands.watching import watched
from harness.live.view import View


def _run(function, *arguments):
    """Run a command that takes the shared options; what it said on standard error."""

    @click.command()
    @with_options(OUTPUT_OPTIONS)
    @click.pass_context
    def command(context, out, as_json):
        function(context)

    return CliRunner().invoke(command, arguments, catch_exceptions=False).stderr


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["--web"], "http://127.0.0.1:"),
        (["--web-port", "0"], "http://127.0.0.1:"),
        (["--web-host", "localhost"], "http://localhost:"),
        (["--web", "--web-host", "127.0.0.1", "--web-port", "0"], "http://127.0.0.1:"),
    ],
)
def test_any_of_the_options_serves_the_page_and_says_where(tmp_path, arguments, place):
    """A port or a host implies the page; its address is said on standard error and answers."""
    statuses = []

    def body(context):
        with watched("run", tmp_path):
            address = context.meta["harness.watch.open"]._views[0].address
            with urllib.request.urlopen(address, timeout=60) as answer:
                statuses.append(answer.status)

    said = _run(body, *arguments)
    assert said.startswith(f"harness: watch it at {place}")
    assert statuses == [200]
    assert "harness-web" not in {one.name for one in threading.enumerate()}


def test_nothing_is_opened_that_is_not_asked_for(tmp_path):
    """Without the options there is no thread and not a word."""

    def body(context):
        with watched("run", tmp_path) as view:
            view.note("nobody hears it")
            assert "harness-web" not in {one.name for one in threading.enumerate()}

    assert _run(body) == ""


def test_an_interrupt_while_views_are_closed_leaves_a_done_command_done(tmp_path, monkeypatch):
    """A Ctrl-C that comes then ends that wait alone; one that comes before goes on."""

    @contextmanager
    def interrupted(*_arguments):
        yield View()
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.commands.watching._metrics", interrupted)
    done = []

    def body(context):
        with watched("run", tmp_path):
            done.append("measured")
        done.append("closed")
        with pytest.raises(KeyboardInterrupt), watched("run", tmp_path):
            raise KeyboardInterrupt

    _run(body, "--web", "--metrics-port", "0")
    assert done == ["measured", "closed"]
    assert "harness-web" not in {one.name for one in threading.enumerate()}


def test_a_command_within_a_command_has_the_same_page(tmp_path):
    """The inner command opens nothing, its end is not the page's, and is told as part of it."""

    def body(context):
        with watched("bench-all", tmp_path) as outer:
            with watched("bench-agents", tmp_path) as inner:
                inner.finish("complete", {}, tmp_path)
            assert outer._views[0]._feed._end is None
            outer.finish("complete", {}, tmp_path)
            with watched("bench-memory", tmp_path):
                pass
        assert "harness.watch.open" not in context.meta

    assert _run(body, "--web").count("watch it at") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--web-port", "70000"], "--web-port: must be from 0 (a free one) to 65,535, not 70000"),
        (["--web-port", "x"], "--web-port: 'x' is not a valid integer."),
        (["--web-host", "example.invalid"], "--web-host: 'example.invalid' is no name or address"),
        (["--web-host", ""], "--web-host: '' is no name or address of this machine"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(
    tmp_path, harness_here, arguments, sentence
):
    """A sentence names the option, the exit code is 2, and no run directory is left."""
    out = tmp_path / "out"
    code, said, told = harness_here("run", "--agents", 1, "--out", out, *arguments)
    assert (code, said) == (2, "")
    assert sentence in told
    assert told.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("harness.cli", "aiohttp"),
        # Ray reads its settings when it is imported: they are set after `bench all` is watched
        ("harness.live.web.web_view", "ray"),
    ],
)
def test_libraries_are_loaded_by_those_who_need_them(module, absent):
    """The command line starts without the server's library, and the page without Ray."""
    code = f"import sys, {module}; print({absent!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "False\n"
