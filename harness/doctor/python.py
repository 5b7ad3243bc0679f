"""Checks of the interpreter and of the packages that are installed for it."""

from __future__ import annotations

import platform
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from harness.doctor.check import Check

__all__ = ["DISTRIBUTION", "check_build", "check_packages", "check_python", "python_checks"]

DISTRIBUTION = "agent-memory-harness"
_OPTIMISED = "--enable-optimizations"
_PROFILE_USED = "-fprofile-use"


def python_checks() -> list[Check]:
    """Check this interpreter and its packages."""
    config = sysconfig.get_config_vars()
    try:
        about = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        remedy = "install it: python -m pip install -e . in its checkout"
        sentence = f"{DISTRIBUTION} is not installed for this Python, so its needs are not known."
        return [
            check_python(platform.python_version(), None),
            check_build(config),
            Check(name="packages", verdict="warning", sentence=sentence, remedy=remedy),
        ]
    return [
        check_python(platform.python_version(), about["Requires-Python"]),
        check_build(config),
        check_packages(metadata.requires(DISTRIBUTION) or [], _version),
    ]


def check_python(version: str, required: str | None) -> Check:
    """Whether this release of Python is one that the packages are made for.

    Args:
        version: such as ``3.11.7``.
        required: such as ``>=3.11,<3.15``; None is not known.
    """
    name = f"{platform.python_implementation()} {version}"
    if required is None or SpecifierSet(required).contains(version, prereleases=True):
        return Check(name="Python", verdict="ok", sentence=f"{name}, at {sys.executable}.")
    return Check(
        name="Python",
        verdict="failed",
        sentence=f"{name} is outside of {required}.",
        remedy="make the virtual environment with another Python",
    )


def check_build(config: Mapping[str, Any]) -> Check:
    """Whether the interpreter was built to be fast.

    A build that knows how to use profiles (``PGO_PROF_USE_FLAG``) and was not asked to is
    without them. Debian, which builds with them in a way of its own, strips that flag.

    Args:
        config: as `sysconfig.get_config_vars` gives it.
    """
    name = "Python's build"
    if config.get("Py_DEBUG"):
        sentence = "This Python is a debug build: everything in it is several times slower."
        return Check(
            name=name, verdict="warning", sentence=sentence, remedy="measure with a release build"
        )
    asked = _OPTIMISED in str(config.get("CONFIG_ARGS") or "")
    flags = [config.get(key) for key in ("PY_CFLAGS", "CFLAGS", "PY_CORE_CFLAGS")]
    used = any(_PROFILE_USED in str(value) for value in flags)
    could = _PROFILE_USED in str(config.get("PGO_PROF_USE_FLAG") or "")
    if could and not (asked or used):
        sentence = (
            "This Python was built without profile-guided optimisation: it is slower by about a "
            "third, agents and shards alike."
        )
        remedy = (
            "use your distribution's Python or uv's, or build it with "
            f"PYTHON_CONFIGURE_OPTS='{_OPTIMISED} --with-lto' pyenv install VERSION"
        )
        return Check(name=name, verdict="warning", sentence=sentence, remedy=remedy)
    sentence = "Built with profile-guided optimisation."
    if not (asked or used):
        sentence = "Nothing tells that it was built without profile-guided optimisation."
    return Check(name=name, verdict="ok", sentence=sentence)


def check_packages(requirements: Sequence[str], version: Callable[[str], str | None]) -> Check:
    """Whether each package that is needed is there in a version that fits.

    Args:
        requirements: as a distribution's metadata has them; those of an extra are left out.
        version: gives the version that is installed of a package, None of one that is not.
    """
    wrong, wanted, fitting = [], [], []
    for text in requirements:
        try:
            one = Requirement(text)
        except InvalidRequirement:
            continue
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        found = version(one.name)
        if found is None:
            wrong.append(f"{one.name} is missing")
        elif not one.specifier.contains(found, prereleases=True):
            wrong.append(f"{one.name} {found} is outside of {one.specifier}")
        else:
            fitting.append(f"{one.name} {found}")
            continue
        wanted.append(f"'{one.name}{one.specifier}'")
    if not wrong:
        sentence = f"All {len(fitting)} fit: {', '.join(fitting)}."
        return Check(name="packages", verdict="ok", sentence=sentence)
    return Check(
        name="packages",
        verdict="failed",
        sentence=f"{'; '.join(wrong)}.",
        remedy=f"python -m pip install {' '.join(wanted)}",
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
