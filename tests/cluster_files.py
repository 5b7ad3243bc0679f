"""The files of cluster/ for tests: what they hold, and a node on which their commands run.

No cluster is started: a node is a home folder, where `ray` is a program that says how it was
called.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

__all__ = ["CLUSTER", "HOSTS", "ROOT", "Node", "kuberay", "launched", "program"]

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "cluster"
# Of documentation (RFC 5737), and nobody's.
HOSTS = ["203.0.113.1", "203.0.113.2", "203.0.113.3"]

RAY = """\
#!{python}
import json, os, resource, sys
if sys.argv[1:2] == ["start"]:
    print(json.dumps({{
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }}))
"""


def launched(name: str) -> dict[str, Any]:
    """A file for `ray up`."""
    found: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))
    return found


def kuberay() -> tuple[dict[str, Any], dict[str, Any]]:
    """The RayCluster and the network policy of cluster/kuberay.yaml."""
    cluster, policy = yaml.safe_load_all((CLUSTER / "kuberay.yaml").read_text(encoding="utf-8"))
    cluster["metadata"]["namespace"] = "default"
    return cluster, policy


def program(name: str) -> ModuleType:
    """A program of cluster/ as a module."""
    spec = importlib.util.spec_from_file_location(name, CLUSTER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Node:
    """A home folder as cluster/setup leaves it; its `ray` does nothing but say how it was called.

    Attributes:
        home: the home folder; the checkout in it has a link to the real cluster/.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        checkout = home / "agent-memory-harness"
        self._bin = checkout / ".venv" / "bin"
        self._bin.mkdir(parents=True)
        (home / ".agent-memory-harness").mkdir()
        (checkout / "cluster").symlink_to(CLUSTER)
        self.install("ray", RAY.format(python=sys.executable))
        self.install("python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')

    def install(self, name: str, text: str) -> None:
        """Make a program of the environment."""
        (self._bin / name).write_text(text)
        (self._bin / name).chmod(0o755)

    def leave(self, config: dict[str, Any]) -> None:
        """Leave a cluster file on it, as `ray up` does."""
        (self.home / "ray_bootstrap_config.yaml").write_text(json.dumps(config))

    def shell(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a shell of Ray's does, which has read ~/.bashrc."""
        return subprocess.run(
            ["bash", "-c", command],
            check=False,
            env={
                "HOME": str(self.home),
                "PATH": f"{self._bin}:{os.environ['PATH']}",
                **environment,
            },
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=100,
        )

    def start(self, lines: list[str], **environment: str) -> dict[str, Any]:
        """How `ray start` is called by start commands, each in a shell of its own.

        Returns:
            ``arguments``, ``environment``, ``open_files``, and ``options`` without their dashes.
        """
        called = None
        for line in lines:
            done = self.shell(line, **environment)
            assert done.returncode == 0, done.stderr
            called = json.loads(done.stdout) if done.stdout else called
        assert called is not None
        options = dict(
            argument.removeprefix("--").partition("=")[::2] for argument in called["arguments"][1:]
        )
        return {**called, "options": options}
