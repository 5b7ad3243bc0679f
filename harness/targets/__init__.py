"""The stores that can be driven, by name; a target's module is loaded when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import NotInstalledError, UsageError
from harness.targets.driven import DrivenTarget
from harness.targets.spec import class_at, options_of, parse_spec

__all__ = ["BUILT_IN", "load_target"]

BUILT_IN = {
    "memory_core": "harness.targets.memory_core:MemoryCoreTarget",
    "embedded": "harness.targets.embedded:EmbeddedTarget",
    "threads": "harness.targets.threads:ThreadsTarget",
    "noop": "harness.targets.noop:NoopTarget",
    "chroma": "harness.targets.adapters.chroma:ChromaTarget",
    "duckdb": "harness.targets.adapters.duckdb:DuckDBTarget",
    "langgraph": "harness.targets.adapters.langgraph:LangGraphTarget",
    "lancedb": "harness.targets.adapters.lancedb:LancedbTarget",
    "qdrant": "harness.targets.adapters.qdrant:QdrantTarget",
    "qdrant-edge": "harness.targets.adapters.qdrant_edge:QdrantEdgeTarget",
    "redis": "harness.targets.adapters.redis:RedisTarget",
    "sqlite-vec": "harness.targets.adapters.sqlite_vec:SqliteVecTarget",
    "usearch": "harness.targets.adapters.usearch:UsearchTarget",
    "zvec": "harness.targets.adapters.zvec:ZvecTarget",
}


def load_target(spec: str) -> DrivenTarget:
    """The target that ``--target`` names, ``name`` or ``package.module:Class``, with options; new.

    Raises:
        UsageError: there is none, or an option is wrong.
        NotInstalledError: it lacks what it needs.
    """
    found = parse_spec(spec, BUILT_IN)
    kind = class_at(found.place)
    if hasattr(kind, "prepare") and hasattr(kind, "connect"):
        if found.options:
            raise UsageError("--target", f"{found.name} has no options")
        target: DrivenTarget = kind()
        return target
    return _adapted(spec, found.name, kind, found.options)


def _adapted(spec: str, name: str, kind: type[Any], texts: Mapping[str, str]) -> DrivenTarget:
    """A target of the public protocol, wrapped."""
    from harness.targets.adapted import AdaptedTarget
    from harness.targets.checked_target import check_class, made_target, refuse_passwords
    from harness.targets.installation import missing_modules, remedy

    check_class(name, kind)
    missing = missing_modules(kind)
    if missing:
        needs = f"{name} needs {' and '.join(missing)}, which is not installed"
        raise NotInstalledError("--target", f"{needs}; {remedy(kind, missing)}")
    adapter = made_target(name, kind, options_of(name, kind.options_type, texts))
    refuse_passwords(name, texts)  # after the target, which may know where it belongs
    return AdaptedTarget(adapter, spec)
