"""The real ``ray up`` on a lab of hosts: all nodes come, a run uses them, no stranger joins."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from harness.rundir_reader import open_run
from tests.cluster.running_lab import HEAD, ROOT, SCRIPT, RunningLab, call_lab, poll
from tests.cluster.traces import traces

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

# Ray's client server, which it starts where it can.
CLIENT_SERVER_PORT = 10001
WORKER_PORTS = range(20000, 30000)


def test_a_run_on_the_head_uses_every_host(cluster: RunningLab):
    """Shards and agents are on the hosts but the head, and samples come of each node there is."""
    nodes = {node["NodeID"]: host for host, node in cluster.nodes().items()}
    assert sorted(nodes.values()) == cluster.hosts
    done = cluster.harness("run", "--agents", "20", "--rounds", "2", "--out", "/mnt/shared/run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "/mnt/shared/run"
    reader = open_run(cluster.shared / "run")
    assert reader.operations().num_rows == 20 * 2 * 18
    assert reader.summary is not None
    assert reader.summary["failed"] == 0
    assert {nodes[node] for node in reader.nodes()["node_id"].to_pylist()} == set(cluster.hosts)
    used = {nodes[metadata.node_id] for metadata, _ in reader.operation_batches()}
    assert used
    assert HEAD not in used
    left = [cluster.shell(host, "ls -A $MEMORY_CORE_DATA_DIR") for host in cluster.hosts]
    assert not re.search(r"shard-\d+$", "".join(left), re.MULTILINE)


# Ray asks again every second, 20 times by default.
_STRANGER = """
export HOME=/tmp/stranger-$0 RAY_ADDRESS= RAY_NUM_REDIS_GET_RETRIES=3 RAY_AUTH_MODE=$1
mkdir -p ~/.ray
if [ -n "$2" ]; then
    printf %s "$2" >~/.ray/auth_token && chmod 600 ~/.ray/auth_token
fi
shift 2
timeout 100 "$@"
"""


def test_a_host_without_the_token_is_refused(cluster: RunningLab):
    """Neither a node nor a driver that lacks the token, or has another, gets into the cluster."""
    before = {node["NodeID"] for node in cluster.nodes().values()}
    address = f"{cluster.address(HEAD)}:6379"
    drive = f"import ray; ray.init(address='{address}'); print('in')"
    attempts = [
        ("disabled", "", ["ray", "start", f"--address={address}", "--num-cpus=1"]),
        ("disabled", "", ["python", "-c", drive]),
        ("token", "7" * 64, ["ray", "start", f"--address={address}", "--num-cpus=1"]),
    ]

    def attempt(name: int) -> subprocess.CompletedProcess[str]:
        mode, token, command = attempts[name]
        return cluster.exec(4, "sh", "-c", _STRANGER, f"{name}", mode, token, *command)

    with ThreadPoolExecutor() as threads:  # each waits for seconds before it gives up
        for done in threads.map(attempt, range(len(attempts))):
            assert done.returncode not in {0, 124}, done.stdout
            assert "Authentication token is missing or incorrect" in done.stdout + done.stderr
            assert "in" not in done.stdout.splitlines()
    cluster.shell(4, "rm -r /tmp/stranger-*")
    assert {node["NodeID"] for node in cluster.nodes().values()} == before


def documented_ports() -> dict[str, set[int]]:
    """The fixed ports that cluster/README.md names, on the head and on the other hosts."""
    text = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8")
    table = text.partition("## Ports")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (all|head) \|", table, re.MULTILINE)
    on_all = {int(port) for port, node in rows if node == "all"}
    assert "| 20000 to 29999 | all |" in table
    on_head = on_all | {int(port) for port, node in rows if node == "head"}
    assert f"on port {CLIENT_SERVER_PORT}" in table
    # hosts of a lab have what is installed here
    if find_spec("grpc") is not None:
        on_head.add(CLIENT_SERVER_PORT)
    return {"head": on_head, "all": on_all}


@contextmanager
def a_long_run(lab: RunningLab) -> Iterator[None]:
    """A run that has begun to measure, and is interrupted at the end."""
    run = subprocess.Popen(
        [*SCRIPT, "exec", f"{HEAD}", "--", "harness", "run", "--agents", "6", "--duration", "300"],
        env=os.environ | {"HARNESS_LAB": lab.name},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stderr is not None
        try:
            for line in run.stderr:
                if "measuring" in line:
                    break
            yield
        finally:
            run.terminate()
            run.communicate(timeout=120)


def test_the_ports_that_listen_are_those_documented(cluster: RunningLab):
    """During a run each host listens on the ports in cluster/README.md, and on no other."""
    documented = documented_ports()
    with a_long_run(cluster):
        for host in cluster.hosts:
            lines = cluster.shell(host, "ss -Hltn; ss -Hlun").splitlines()
            listening = {int(line.split()[3].rpartition(":")[2]) for line in lines}
            fixed = {port for port in listening if port not in WORKER_PORTS}
            assert fixed == documented["head" if host == HEAD else "all"], host
            assert listening - fixed, "the processes of the run"


def test_a_host_that_was_killed_joins_again(cluster: RunningLab):
    """A killed host that is healed and joins is a new node, which has what its disk held."""
    old = cluster.nodes()[3]["NodeID"]
    cluster.shell(3, "echo kept >$MEMORY_CORE_DATA_DIR/kept")
    cluster.kill(3)
    cluster.heal(3)
    cluster.call("join", "3")
    poll(lambda: cluster.nodes().get(3, {}).get("NodeID", old) != old, "the node is new", 120)
    assert (
        cluster.shell(3, "cat $MEMORY_CORE_DATA_DIR/kept; rm $MEMORY_CORE_DATA_DIR/kept")
        == "kept\n"
    )


def test_ray_down_leaves_no_process_of_rays(other_name: str):
    """After ray down nothing but the hosts' own sshd runs; after down nothing at all is left."""
    lab = RunningLab(other_name, 2)
    lab.ray_up()
    started = lab.shell(2, "ps -e -o args=")
    assert "raylet" in started
    made = [line for line in traces(other_name) if line.startswith("/tmp/")]
    assert len(made) >= 3, "they are looked for where Ray has them"
    lab.ray("down", "-y")

    def left() -> list[str]:
        found = "".join(lab.exec(host, "ps", "-e", "-o", "args=").stdout for host in lab.hosts)
        own = re.compile(r"host_init\.py|^sshd|^ps -e")
        return [line for line in found.splitlines() if not own.search(line)]

    poll(lambda: not left(), "Ray's processes end", 240)
    assert call_lab(other_name, "down").returncode == 0
    poll(lambda: traces(other_name) == [], "no trace is left")
