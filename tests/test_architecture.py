"""Rules of the house that are tests themselves: imports that are allowed, tests that explain."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("memory_core/astray.py", "from harness import errors", "knows nothing of the harness"),
        ("harness/astray.py", "import memory_core.log", "public face of memory_core"),
        ("harness/targets/astray.py", "from memory_core import index", "public face"),
        ("memory_core/astray.py", "from rocksdict import Rdict", "RocksDB is reached"),
        ("memory_core/astray.py", "import faiss", "FAISS is reached"),
        ("memory_core/astray.py", "import ray.exceptions", "Ray is reached"),
        ("harness/analysis/astray.py", "def late():\n    import ray", "Ray is reached"),
        ("harness/astray.py", "import psutil", "psutil is reached"),
        ("harness/astray.py", "import click", "click is reached"),
        ("memory_core/astray.py", "from langgraph.store import base", "LangGraph is reached"),
        ("memory_core/langgraph_store.py", "import langchain_core", "LangChain is reached"),
        ("harness/targets/astray.py", "import sqlite_vec", "sqlite-vec is reached"),
        ("harness/targets/astray.py", "import zvec", "zvec is reached"),
        ("harness/analysis/astray.py", "import ruptures", "ruptures is reached"),
        ("harness/targets/astray.py", "import qdrant_client", "Qdrant is reached"),
        ("harness/targets/astray.py", "import chromadb", "Chroma is reached"),
        ("harness/targets/astray.py", "import lancedb", "LanceDB is reached"),
        ("harness/live/astray.py", "import prometheus_client", "prometheus-client is reached"),
        ("harness/live/metrics.py", "import opentelemetry.sdk", "OpenTelemetry is reached"),
        ("harness/report/astray.py", "import duckdb", "DuckDB is reached"),
        ("harness/report/astray.py", "import pandas", "pandas and polars are reached"),
        ("harness/live/astray.py", "from aiohttp import web", "aiohttp is reached"),
    ],
)
def test_contracts_notice_a_module_that_goes_astray(
    tmp_path: Path, module: str, line: str, broken: str
):
    """Each contract on imports is broken by a module that imports what it must not."""
    for package in ["memory_core", "harness"]:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    for name in ["memory_core/log.py", "memory_core/index.py", "harness/errors.py"]:
        (tmp_path / name).touch()
    for name in ["analysis", "live", "report", "targets"]:
        (tmp_path / "harness" / name).mkdir()
        (tmp_path / "harness" / name / "__init__.py").touch()
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    (tmp_path / module).write_text(line + "\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout
    assert "1 broken" in done.stdout
    assert broken in done.stdout


def test_contracts_leave_the_edges_alone(tmp_path: Path):
    """The modules at the edges may import the library that each of them stands for."""
    edges = {
        "memory_core/log.py": "import rocksdict",
        "memory_core/index.py": "import faiss",
        "memory_core/placement.py": "import ray",
        "memory_core/shard.py": "import ray",
        "memory_core/langgraph_store.py": "import langgraph.store.base",
        "memory_core/langchain_store.py": "from langchain_core import vectorstores",
        "harness/launch.py": "import ray",
        "harness/live/metrics.py": "import prometheus_client.core",
        "harness/live/otlp.py": "import requests, opentelemetry.sdk.metrics",
        "harness/agent.py": "from memory_core import client, errors, operations, results",
        "harness/targets/memory_core.py": "import ray\nimport memory_core",
        "harness/targets/adapters/sqlite_vec.py": "import apsw, sqlite_vec",
        "harness/targets/adapters/zvec.py": "import zvec",
        "harness/targets/adapters/qdrant_edge.py": "import qdrant_edge",
        "harness/targets/adapters/chroma_store.py": "import chromadb, httpx",
        "harness/targets/adapters/lancedb_store.py": "import lancedb",
        "harness/targets/adapters/qdrant_stores.py": "import qdrant_client",
        "harness/sampler.py": "import psutil, ray",
        "harness/cli.py": "import click",
        "harness/commands/run.py": "import click",
    }
    targets = "harness/targets"
    folders = ["harness", "harness/commands", "harness/live", targets, f"{targets}/adapters"]
    for package in ["memory_core", *folders]:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    for name in ["errors", "operations", "results"]:
        (tmp_path / "memory_core" / f"{name}.py").touch()
    for module, text in edges.items():
        (tmp_path / module).write_text(text + "\n")
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    done = lint_imports(tmp_path)
    assert done.returncode == 0, done.stdout


def test_every_test_states_its_behaviour():
    """Every test has a docstring that states in a sentence how the code under test behaves."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not (ast.get_docstring(node) or "").endswith(".")
    ]
    assert not silent, "tests without a sentence that states the behaviour: " + ", ".join(silent)
