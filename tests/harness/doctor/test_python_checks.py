"""What the doctor says of an interpreter and its packages."""

from __future__ import annotations

import pytest

from harness.doctor.python import check_build, check_packages, check_python, python_checks

PLAIN = {
    "CONFIG_ARGS": "'--prefix=/opt' '--enable-shared'",
    "PY_CFLAGS": "-O3 -Wall",
    "PGO_PROF_USE_FLAG": "-fprofile-use -fprofile-correction",
}
NEEDS = ["click<9,>=8.1", "ray<3,>=2.60", 'pytest<10,>=9; extra == "dev"']


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("3.11.7", "ok"), ("3.14.0rc1", "ok"), ("3.10.13", "failed"), ("3.15.0", "failed")],
)
def test_a_python_outside_of_the_range_fails(version, verdict):
    """The range is the package's own."""
    assert check_python(version, ">=3.11,<3.15").verdict == verdict


def test_a_python_is_well_where_no_range_is_known():
    """A checkout that is not installed has no metadata."""
    assert check_python("3.9.1", None).verdict == "ok"


def test_a_build_without_profiles_is_warned_of_with_what_it_costs():
    """As pyenv builds Python unless it is told otherwise."""
    found = check_build(PLAIN)
    assert found.verdict == "warning"
    assert "slower by about a third" in found.sentence
    assert found.remedy is not None
    assert "--enable-optimizations" in found.remedy


@pytest.mark.parametrize(
    "settings",
    [
        {"CONFIG_ARGS": "'--enable-optimizations' '--with-lto'"},
        {"PY_CFLAGS": "-O3 -fprofile-use"},
        {"PGO_PROF_USE_FLAG": None},  # as Debian strips it
    ],
)
def test_a_build_with_profiles_is_well(settings):
    """As distributions, uv and conda build it, each with a trace of its own."""
    assert check_build({**PLAIN, **settings}).verdict == "ok"


def test_a_build_that_says_nothing_is_well():
    """Where the build's settings are not there at all."""
    assert check_build({}).verdict == "ok"


def test_a_debug_build_is_warned_of():
    """Even with profiles."""
    config = {**PLAIN, "CONFIG_ARGS": "--enable-optimizations", "Py_DEBUG": 1}
    assert check_build(config).verdict == "warning"


def test_packages_that_fit_are_named_with_their_versions():
    """Those of an extra are not needed."""
    found = check_packages(NEEDS, {"click": "8.2.0", "ray": "2.60.0"}.get)
    assert found.verdict == "ok"
    assert found.sentence == "All 2 fit: click 8.2.0, ray 2.60.0."


def test_packages_that_do_not_fit_fail_with_a_command():
    """Too old and missing ones are named, and the command has both."""
    found = check_packages(NEEDS, {"ray": "2.30.0"}.get)
    assert found.verdict == "failed"
    assert "click is missing" in found.sentence
    assert "ray 2.30.0 is outside of <3,>=2.60" in found.sentence
    assert found.remedy == "python -m pip install 'click<9,>=8.1' 'ray<3,>=2.60'"


def test_this_interpreter_is_looked_at():
    """The real lookups come to a verdict, none of them a failure where tests can run."""
    found = python_checks()
    assert [one.name for one in found] == ["Python", "Python's build", "packages"]
    assert all(one.verdict != "failed" for one in found)
