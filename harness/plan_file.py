"""A plan from a file: options in TOML, or the plan of an earlier run from its directory."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.plan import RunPlan, option_name

__all__ = ["load_plan"]


def load_plan(path: Path, overrides: Mapping[str, Any]) -> RunPlan:
    """The plan in a TOML file, or of an earlier run, with some fields given anew.

    Args:
        path: a TOML file with options as keys (``think-time = 0.1``), a run directory, or its
            ``run.json``.
        overrides: fields that take precedence, by field name.

    Raises:
        UsageError: the file is missing or malformed, has an unknown key or a wrong value.
    """
    try:
        if path.is_dir():
            path = path / "run.json"
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError("--plan", f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError("--plan", f"{path} is not text") from None
    if path.suffix == ".json":
        values = _plan_of_run(path, text)
    else:
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError("--plan", f"{path} is no valid TOML: {error}") from None
    named = _by_field(path, values)
    for one, other in (
        ("rounds", "duration_s"),
        ("rounds", "whole_rounds"),
        ("duration_s", "rounds"),
    ):
        if overrides.get(one) is not None:
            named.pop(other, None)
    target = named.get("target")
    named_by_file = isinstance(target, str) and ":" in target and overrides.get("target") is None
    if path.suffix == ".json" and named_by_file:
        # a run directory may come from anywhere: what it names is loaded if the caller names it
        raise UsageError("--target", f"of the earlier run is {target!r:.80}; name it again")
    return RunPlan(**{**named, **overrides})


def _plan_of_run(path: Path, text: str) -> dict[str, Any]:
    try:
        run = json.loads(text)
    except (ValueError, RecursionError):
        run = None
    if not isinstance(run, dict) or not isinstance(run.get("plan"), dict):
        raise UsageError("--plan", f"{path} is no run.json with a plan in it")
    return dict(run["plan"])


def _by_field(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(RunPlan)}
    by_option = {option_name(name)[2:]: name for name in names}
    named: dict[str, Any] = {}
    for key, value in values.items():
        name = key if key in names else by_option.get(key.replace("_", "-"))
        if name is None:
            known = ", ".join(sorted(by_option))
            raise UsageError("--plan", f"{path} has the unknown key {key!r:.80}; known are {known}")
        if name in named:
            raise UsageError("--plan", f"{path} names {option_name(name)[2:]} twice")
        named[name] = value
        if name == "trace" and isinstance(value, str):
            named[name] = str((path.parent / value).resolve())
    return named
