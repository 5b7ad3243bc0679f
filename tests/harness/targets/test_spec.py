"""What ``--target`` may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.targets import load_target
from tests.harness.targets.plugged import installed_package
from tests.harness.targets.sessions import DICTS


def refused(spec: str) -> str:
    with pytest.raises(UsageError) as error:
        load_target(spec)
    assert error.value.field == "--target"
    return error.value.problem


def options(spec: str) -> Any:
    target: Any = load_target(spec)
    return target.adapter.options


def test_options_are_read_by_their_types() -> None:
    """Text becomes numbers and booleans; a dash is as good as an underscore."""
    assert options(DICTS + "PlainTarget").wait_ms == 0.0
    assert options(DICTS + "PlainTarget:wait_ms=2.5,loud=true").wait_ms == 2.5
    assert options(DICTS + "PlainTarget:wait-ms=2,loud=True").loud is True
    assert load_target(DICTS + "PlainTarget:loud=1").name == DICTS + "PlainTarget:loud=1"


def test_a_value_may_have_colons_and_equal_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL is a value like any other."""
    code = (
        "import msgspec\n"
        "from harness.targets.base import Target\n"
        "class Options(msgspec.Struct, frozen=True):\n"
        "    url: str = ''\n"
        "    size: int = 1\n"
        "class PluggedTarget(Target):\n"
        "    name, description, options_type = 'plugged', 'a target', Options\n"
        "    def open(self, setup, connection): ...\n"
    )
    with installed_package(tmp_path, monkeypatch, code=code):
        found = options("plugged:url=redis://host:6379/0?a=b,size=4")
        assert (found.url, found.size) == ("redis://host:6379/0?a=b", 4)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("memory_cor", ["'memory_cor' is unknown", "did you mean memory_core?"]),
        ("embeded", ["did you mean embedded?"]),
        ("zzz", ["'zzz' is unknown; choose one of memory_core, embedded"]),
        ("", ["'' is unknown", "choose one of memory_core"]),
        ("nothing:a=1", ["'nothing' is unknown"]),
        ("memory_core:a=1", ["memory_core has no options"]),
        ("no.such.module:Class", ["'no.such.module:Class' cannot be loaded"]),
        (DICTS + "NoSuch", ["cannot be loaded", "NoSuch"]),
        (DICTS + "np", ["is no class"]),
        (DICTS + "Dicts", ["is no target", "harness.targets.base.Target"]),
        (DICTS + "PlainTarget:lud=1", ["has no option 'lud'", "did you mean loud?", "wait_ms"]),
        (DICTS + "PlainTarget:zzzz=1", ["has no option 'zzzz'", "it has: wait_ms, loud"]),
        (DICTS + "PlainTarget:loud", ["'loud' must be key=value"]),
        (DICTS + "PlainTarget:=1", ["'=1' must be key=value"]),
        (DICTS + "PlainTarget:loud=1,,", ["'' must be key=value"]),
        (DICTS + "PlainTarget:loud=1,loud=0", ["loud is given twice"]),
        (DICTS + "PlainTarget:loud=maybe", ["loud=maybe is wrong", "`bool`"]),
        (DICTS + "PlainTarget:wait_ms=soon", ["wait_ms=soon is wrong", "`float`"]),
        ("harness.targets.base:Target", ["cannot be made", "open"]),
    ],
)
def test_what_is_wrong_is_refused_with_a_sentence(spec: str, parts: list[str]) -> None:
    """A wrong name, place or option is refused, and the sentence says what would be right."""
    problem = refused(spec)
    for part in parts:
        assert part in problem


def test_a_target_whose_modules_are_missing_says_how_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything starts, what is not installed is named."""
    with installed_package(tmp_path, monkeypatch, modules=("no_such_one", "msgspec")):
        assert refused("plugged").startswith(
            "plugged needs no_such_one, which is not installed; install"
        )


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('no licence\\nsecond line')\n", "RuntimeError: no licence"),
        ("def (\n", "invalid syntax"),
        ("import sys\nsys.exit('not today')\n", "SystemExit: not today"),
    ],
)
def test_a_module_that_fails_as_it_is_loaded_is_refused_with_a_sentence(
    code: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a module raises, the target is named, and what it said in one line."""
    with installed_package(tmp_path, monkeypatch, code=code):
        problem = refused("plugged")
        assert problem.startswith("'plugged_store:PluggedTarget' cannot be loaded: ")
        assert says in problem
        assert "second" not in problem


_KIND = """
from harness.targets.base import Capabilities, Target
class PluggedTarget(Target):
    name, description = "plugged", "a target"
    def open(self, setup, connection): ...
    {more}
"""


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("name = None", "must have a text, name"),
        ("description = 3", "must have a text, description"),
        ("capabilities = 'batch'", "must be a Capabilities, not str"),
        ("capabilities = Capabilities(batch='store')", "its capability batch must be a frozenset"),
        ("capabilities = Capabilities(calls_at_once=0)", "calls_at_once must be a number from 1"),
        ("options_type = dict", "options_type must be a msgspec.Struct"),
        ("def __init__(self, options): raise OSError('no key')", "cannot be made: OSError: no key"),
    ],
)
def test_a_class_that_is_no_good_target_is_refused_with_a_sentence(
    more: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a target says of itself is looked at before it is driven."""
    with installed_package(tmp_path, monkeypatch, code=_KIND.format(more=more)):
        problem = refused("plugged")
        assert "plugged" in problem
        assert says in problem


def test_one_module_may_be_named_without_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text is one module's name, not the names of its letters."""
    code = _KIND.format(more="modules = 'no_such_one'")
    with installed_package(tmp_path, monkeypatch, code=code):
        assert refused("plugged").startswith("plugged needs no_such_one, which is not installed")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:sesame@host:6379",
        "https://ali:sesame@host",
        "https://host/?api_key=sesame",
        "host?token=sesame",
    ],
)
def test_a_password_is_no_option_of_any_target(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options are written into the run; so a URL with a password is refused, and not repeated."""
    code = _KIND.format(more="class O(msgspec.Struct):\n        url: str = ''")
    code = "import msgspec\n" + code + "    options_type = O\n"
    with installed_package(tmp_path, monkeypatch, code=code):
        problem = refused(f"plugged:url={url}")
        assert problem.startswith("plugged: the option url has a password in it")
        assert "sesame" not in problem
        assert options("plugged:url=redis://ali@host:6379/0?timeout=3").url.startswith("redis")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("qdrant:grpc_port=7000", "qdrant: grpc_port is of a server; give its url, too"),
        ("qdrant:url=http://host:1,grpc_port=70000", "grpc_port=70000 is wrong"),
        ("redis:url=redis://host:1,server=redis-8", "redis: a server at a url is not started"),
        ("sqlite-vec:chunk_size=7", "sqlite-vec: chunk_size must be a multiple of 8"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_starts(spec: str, says: str) -> None:
    """None is passed over in silence, and none is found wrong when half a minute is over."""
    assert says in refused(spec)


@pytest.mark.parametrize(
    ("target", "variable"), [("qdrant", "QDRANT_API_KEY"), ("chroma", "CHROMA_API_KEY")]
)
@pytest.mark.parametrize("url", ["http://ali:sesame@host:80", "http://host:80?api_key=sesame"])
def test_a_password_for_our_targets_is_refused_before_anything_is_written(
    target: str, variable: str, url: str
) -> None:
    """The sentence names the variable that it belongs into."""
    problem = refused(f"{target}:url={url}")
    assert variable in problem
    assert "sesame" not in problem
