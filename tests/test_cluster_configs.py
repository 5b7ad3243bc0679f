"""The files of cluster/: what Ray makes of them, and what their commands do on a node.

No cluster is started: start commands run in a home folder of their own, where `ray` is a program
that writes down how it was called.
"""

import importlib.util
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "cluster"
LAUNCHED = ["on_prem.yaml"]

# Says how it was called, as JSON, on standard output.
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


def load(name: str) -> dict[str, Any]:
    """A file of cluster/."""
    found: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))
    return found


def commands(config: dict[str, Any]) -> list[str]:
    """All the shell commands of a cluster file."""
    found = [
        command
        for part in (config, *config.get("available_node_types", {}).values())
        for key, value in part.items()
        if key.endswith("_commands")
        for command in value
    ]
    assert found
    return found


class Node:
    """A home folder as cluster/setup leaves it, with a `ray` that does nothing."""

    def __init__(self, home: Path) -> None:
        self.home = home
        checkout = home / "agent-memory-harness"
        self.path = f"{checkout}/.venv/bin:{os.environ['PATH']}"
        (checkout / ".venv" / "bin").mkdir(parents=True)
        (checkout / "cluster").symlink_to(CLUSTER)
        self.program("ray", RAY.format(python=sys.executable))
        self.program("python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')

    def program(self, name: str, text: str) -> None:
        program = self.home / "agent-memory-harness" / ".venv" / "bin" / name
        program.write_text(text)
        program.chmod(0o755)

    def shell(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            check=False,
            env={"HOME": str(self.home), "PATH": self.path, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self, lines: list[str], **environment: str) -> dict[str, Any]:
        """How `ray start` is called by start commands, each in a shell of its own."""
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


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.fixture
def on_prem(node: Node) -> dict[str, Any]:
    """cluster/on_prem.yaml for a cluster of which this machine is the head, on its node."""
    config = load("on_prem.yaml")
    config["provider"] |= {"head_ip": "127.0.0.1", "worker_ips": ["203.0.113.1", "203.0.113.2"]}
    leave(config, node)
    return config


def leave(config: dict[str, Any], node: Node) -> None:
    (node.home / "ray_bootstrap_config.yaml").write_text(json.dumps(config))


def node_options() -> Any:
    spec = importlib.util.spec_from_file_location("node_options", CLUSTER / "node_options.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_takes_the_file(name: str) -> None:
    """Ray's schema and its own validation accept the file as `ray up` prepares it."""
    validate_config(prepare_config(load(name)))


@pytest.mark.parametrize("name", LAUNCHED)
def test_every_command_is_shell(name: str) -> None:
    """Bash parses every command."""
    for command in commands(load(name)):
        subprocess.run(["bash", "-n", "-c", command], check=True, timeout=60)


def test_the_head_starts_with_token_limits_and_fixed_ports(
    on_prem: dict[str, Any], node: Node
) -> None:
    """The head asks for a token, gives no cores, and listens where the README says."""
    called = node.start(on_prem["head_start_ray_commands"])
    assert called["environment"]["RAY_AUTH_MODE"] == "token"
    assert called["environment"]["RAY_enable_autoscaler_v2"] == "0"
    assert called["environment"]["MEMORY_CORE_DATA_DIR"].startswith(str(node.home))
    options = called["options"]
    assert options["num-cpus"] == "0"
    assert options["port"] == "6379"
    assert options["include-dashboard"] == "False"
    assert json.loads(options["system-config"]) == {"max_direct_call_object_size": 4 * 1024 * 1024}
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert called["open_files"] == (65536 if hard == resource.RLIM_INFINITY else min(65536, hard))


def test_shells_on_the_head_use_the_cluster(on_prem: dict[str, Any], node: Node) -> None:
    """After the start, a shell on the head has RAY_ADDRESS; `ray start` itself has not."""
    look = ". ~/agent-memory-harness/cluster/environment.sh; echo ${RAY_ADDRESS-none}"
    assert node.shell(look).stdout == "none\n"
    called = node.start(on_prem["head_start_ray_commands"])
    assert node.shell(look).stdout == "127.0.0.1:6379\n"
    again = node.start(on_prem["head_start_ray_commands"], RAY_ADDRESS="127.0.0.1:6379")
    for one in (called, again):
        assert "RAY_ADDRESS" not in one["environment"]


def test_a_listed_host_has_its_address_and_role() -> None:
    """A host finds itself by its address, and has the role that the file gives it, or none."""
    cluster = {
        "provider": {
            "head_ip": "203.0.113.1",
            "worker_ips": ["203.0.113.2", "203.0.113.3", "203.0.113.4"],
        },
        "metadata": {"memory_hosts": ["203.0.113.2"], "agent_hosts": ["203.0.113.3"]},
    }
    options = node_options().start_options
    assert options(cluster, ["127.0.0.1", "203.0.113.1"])[1] == "--resources={}"
    assert options(cluster, ["203.0.113.2"]) == [
        "--node-ip-address=203.0.113.2",
        '--resources={"memory_node":1}',
    ]
    assert options(cluster, ["203.0.113.3"])[1] == '--resources={"agent_node":1}'
    assert options(cluster, ["203.0.113.4"])[1] == "--resources={}"


def test_a_host_that_is_not_listed_does_not_start(on_prem: dict[str, Any], node: Node) -> None:
    """A host that the file does not list, and a role of an unlisted host, are refused by name."""
    for changes, words in [
        ({"provider": on_prem["provider"] | {"head_ip": "203.0.113.9"}}, "correct head_ip"),
        ({"metadata": {"memory_hosts": ["203.0.113.8"]}}, "metadata.memory_hosts: 203.0.113.8"),
    ]:
        leave(on_prem | changes, node)
        done = node.shell(on_prem["head_start_ray_commands"][-1])
        assert done.returncode != 0, changes
        assert words in done.stderr
        assert "Traceback" not in done.stderr
