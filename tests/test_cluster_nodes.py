"""What the commands of cluster/*.yaml do on a node."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster_files import CLUSTER, HOSTS, ROOT, Node, launched, program

LAUNCHED = ["config.yaml", "on_prem.yaml"]
SHOW_ADDRESS = ". ~/agent-memory-harness/cluster/environment.sh; echo ${RAY_ADDRESS-none}"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def on(node: Node, name: str, **roles: Any) -> dict[str, Any]:
    """A file for `ray up` with this machine as the head, left on a node."""
    config = launched(name)
    if config["provider"]["type"] == "local":
        config["provider"] |= {"head_ip": "127.0.0.1", "worker_ips": list(HOSTS)}
        config["metadata"] |= roles
    node.leave(config)
    return config


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_head_starts_with_token_and_limits_and_no_cores(name: str, node: Node) -> None:
    """The head asks for a token, gives no cores, takes large answers inline, has no dashboard."""
    called = node.start(on(node, name)["head_start_ray_commands"])
    assert called["environment"]["RAY_AUTH_MODE"] == "token"
    assert called["environment"]["RAY_enable_autoscaler_v2"] == "0"
    options = called["options"]
    assert "head" in options
    assert options["num-cpus"] == "0"
    assert options["include-dashboard"] == "False"
    assert json.loads(options["system-config"]) == {"max_direct_call_object_size": 4 * 1024 * 1024}
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert called["open_files"] == (65536 if hard == resource.RLIM_INFINITY else min(65536, hard))


@pytest.mark.parametrize("name", LAUNCHED)
def test_workers_start_with_token_and_limits(name: str, node: Node) -> None:
    """A worker presents the token to the head's address, and may open as many files."""
    config = on(node, name)
    called = node.start(config["worker_start_ray_commands"], RAY_HEAD_IP=HOSTS[0])
    assert called["environment"]["RAY_AUTH_MODE"] == "token"
    assert called["options"]["address"] == f"{HOSTS[0]}:6379"
    assert "num-cpus" not in called["options"]
    head = node.start(config["head_start_ray_commands"])
    assert called["open_files"] == head["open_files"]


@pytest.mark.parametrize("name", LAUNCHED)
def test_shells_on_the_head_use_the_cluster(name: str, node: Node) -> None:
    """After the start, a shell on the head has RAY_ADDRESS; `ray start` itself never has."""
    start = on(node, name)["head_start_ray_commands"]
    assert node.shell(SHOW_ADDRESS).stdout == "none\n"
    first = node.start(start)
    assert node.shell(SHOW_ADDRESS).stdout == "127.0.0.1:6379\n"
    again = node.start(start, RAY_ADDRESS="127.0.0.1:6379")
    for called in (first, again):
        assert "RAY_ADDRESS" not in called["environment"]


def test_ray_has_the_data_folder_that_the_node_was_set_up_with(node: Node) -> None:
    """Shards keep their databases where cluster/setup was told, else in the home folder."""
    start = on(node, "on_prem.yaml")["head_start_ray_commands"]
    called = node.start(start)
    assert called["environment"]["MEMORY_CORE_DATA_DIR"] == f"{node.home}/.memory_core/data"
    (node.home / ".agent-memory-harness" / "data_dir").write_text("/mnt/memory/data\n")
    called = node.start(start)
    assert called["environment"]["MEMORY_CORE_DATA_DIR"] == "/mnt/memory/data"


def test_a_listed_host_has_its_address_and_role() -> None:
    """A host finds itself by its address, and has the role that the file gives it, or none."""
    cluster = {
        "provider": {"head_ip": "192.0.2.1", "worker_ips": HOSTS},
        "metadata": {"memory_hosts": HOSTS[:1], "agent_hosts": HOSTS[1:2]},
    }
    options = program("node_options").start_options
    assert options(cluster, ["127.0.0.1", "192.0.2.1"])[1] == "--resources={}"
    assert options(cluster, [HOSTS[0]]) == [
        f"--node-ip-address={HOSTS[0]}",
        '--resources={"memory_node":1}',
    ]
    assert options(cluster, [HOSTS[1]])[1] == '--resources={"agent_node":1}'
    assert options(cluster, [HOSTS[2]])[1] == "--resources={}"


def test_a_host_with_a_role_starts_with_it(node: Node) -> None:
    """What the file says of a host reaches `ray start` as one word."""
    config = on(node, "on_prem.yaml", memory_hosts=["127.0.0.1"])
    called = node.start(config["worker_start_ray_commands"], RAY_HEAD_IP=HOSTS[0])
    assert json.loads(called["options"]["resources"]) == {"memory_node": 1}
    assert called["options"]["node-ip-address"] == "127.0.0.1"


def test_a_host_that_is_not_listed_does_not_start(node: Node) -> None:
    """A host that the file does not list, and a role of an unlisted host, are refused by name."""
    config = on(node, "on_prem.yaml")
    for changes, words in [
        ({"provider": config["provider"] | {"head_ip": "203.0.113.9"}}, "correct head_ip"),
        ({"metadata": {"memory_hosts": ["203.0.113.8"]}}, "metadata.memory_hosts: 203.0.113.8"),
    ]:
        node.leave(config | changes)
        done = node.shell(config["head_start_ray_commands"][-1])
        assert done.returncode != 0, changes
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_ray_down_stops_the_workers_of_listed_hosts(node: Node) -> None:
    """`ray stop` on the head stops Ray on each worker over SSH, and names whom it cannot reach."""
    log = node.home / "ssh.log"
    lost = f'case "$*" in *{HOSTS[1]}*) echo "no route to host" >&2; exit 255;; esac'
    node.install("ssh", f'#!/bin/sh\necho "$*" >>{log}\n{lost}\n')
    on(node, "on_prem.yaml")
    stop = ". ~/agent-memory-harness/cluster/environment.sh; ray stop"
    done = node.shell(stop)
    assert done.returncode == 0
    assert done.stderr == f"Ray was not stopped on {HOSTS[1]}: no route to host\n"
    called = sorted(line.split()[-3:] for line in log.read_text().splitlines())
    assert called == [[f"ubuntu@{host}", "ray", "stop"] for host in HOSTS]


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_stop_elsewhere_stops_this_node_alone(name: str, node: Node) -> None:
    """A worker's `ray stop`, and that of AWS's head, reach no other node."""
    node.install("ssh", f"#!/bin/sh\ntouch {node.home}/called\n")
    config = on(node, name)
    if name == "on_prem.yaml":
        node.leave(config | {"provider": config["provider"] | {"head_ip": "203.0.113.9"}})
    assert node.shell(". ~/agent-memory-harness/cluster/environment.sh; ray stop").returncode == 0
    assert not (node.home / "called").exists()


@pytest.mark.parametrize("name", LAUNCHED)
def test_a_node_checks_out_the_commit_of_the_user(name: str, tmp_path: Path) -> None:
    """A node has the commit that was checked out where `ray up` ran, and later a newer one."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    config = launched(name)
    source, home = tmp_path / "source", tmp_path / "home"
    mounted = home / ".agent-memory-harness" / "git"
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}

    def run(*command: str, folder: Path) -> str:
        names = ["-c", "user.name=A", "-c", "user.email=a@example.org"] if command[0] == git else []
        done = subprocess.run(
            [command[0], *names, *command[1:]],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=100,
        )
        return done.stdout.strip()

    source.mkdir()
    run(git, "init", "-q", folder=source)
    for text in ["one", "two"]:
        (source / "file").write_text(text)
        run(git, "add", "file", folder=source)
        run(git, "commit", "-q", "-m", text, folder=source)
        shutil.rmtree(mounted, ignore_errors=True)
        shutil.copytree(source / ".git", mounted)
        for left_out in config["rsync_exclude"]:
            gone = mounted / left_out.removeprefix("/")
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink(missing_ok=True)
        run("bash", "-c", config["setup_commands"][0], folder=home)
        checkout = home / "agent-memory-harness"
        assert (checkout / "file").read_text() == text
        assert run(git, "rev-parse", "HEAD", folder=checkout) == run(
            git, "rev-parse", "HEAD", folder=source
        )
        assert run(git, "status", "--porcelain", folder=checkout) == ""


def test_setup_makes_shells_find_the_project(tmp_path: Path) -> None:
    """After cluster/setup, twice, a shell that is not interactive has `ray` and the data folder."""
    checkout, home = tmp_path / "agent-memory-harness", tmp_path
    for name in ["cluster", "scripts/lib/env.sh", "setup.cfg", "setup.py"]:
        place = checkout / name
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, place)
    # An environment that scripts/lib/env.sh takes for finished, so that nothing is installed.
    (checkout / ".venv" / "bin").mkdir(parents=True)
    for name, text in [("python", f'exec {sys.executable} "$@"'), ("ray", "echo this ray")]:
        (checkout / ".venv" / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (checkout / ".venv" / "bin" / name).chmod(0o755)
    version = sys.version.split()[0]
    stamp = checkout / "scripts" / "stamp"
    stamp.write_text(f'. "$(dirname "$0")/lib/env.sh"\nstamp {version} "" >"$venv/.stamp"\n')
    (home / ".bashrc").write_text("case $- in *i*) ;; *) return;; esac\n")
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    data = home / "disk" / "data"
    setup = [str(checkout / "cluster" / "setup"), "--data-dir", str(data)]
    for command in [["sh", str(stamp)], setup, setup]:
        subprocess.run(command, env=environment, check=True, timeout=100)
    assert (home / ".bashrc").read_text().count("environment.sh") == 1
    assert data.stat().st_mode & 0o777 == 0o700
    look = "source ~/.bashrc; ray start; echo $MEMORY_CORE_DATA_DIR"
    done = subprocess.run(
        ["bash", "-c", look], env=environment, check=True, capture_output=True, timeout=100
    )
    assert done.stdout.decode() == f"this ray\n{data}\n"
    constraint = (home / ".agent-memory-harness" / "constraints.txt").read_text()
    assert constraint == "ray==2.60\n"


def test_a_memory_node_without_a_local_disk_is_refused(tmp_path: Path) -> None:
    """An instance type without local NVMe is named as the reason, and nothing is formatted."""
    done = subprocess.run(
        ["sh", str(CLUSTER / "mount_nvme")],
        env={"PATH": os.environ["PATH"], "NVME_DISKS": str(tmp_path / "none")},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert "instance type" in done.stderr
