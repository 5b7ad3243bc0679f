"""A package with a target, as an installer leaves it: a module, and the folder about it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["installed_package"]

_CODE = """
from collections.abc import Mapping
from typing import Any
import msgspec
from harness.targets.base import OpenStore, Setup, Target

class Options(msgspec.Struct, frozen=True, kw_only=True):
    size: int = 3

class PluggedTarget(Target[Options]):
    name = "plugged"
    description = "a target of another package"
    options_type = Options
    modules = {modules!r}

    def open(self, setup: Setup, connection: Mapping[str, Any]) -> OpenStore:
        return OpenStore()
"""


@contextmanager
def installed_package(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    modules: Sequence[str] = (),
    code: str | None = None,
) -> Iterator[None]:
    """A package ``plugged-store`` on the path, whose target is called ``plugged``."""
    (folder / "plugged_store.py").write_text(code or _CODE.format(modules=tuple(modules)))
    described = folder / "plugged_store-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plugged-store\nVersion: 1.0\n"
    )
    (described / "entry_points.txt").write_text(
        "[harness.targets]\nplugged = plugged_store:PluggedTarget\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.modules.pop("plugged_store", None)
