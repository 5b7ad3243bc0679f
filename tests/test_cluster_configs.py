"""The files of cluster/: what Ray makes of them, and that they and the README agree."""

import configparser
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler._private.kuberay import autoscaling_config
from ray.autoscaler._private.util import prepare_config, validate_config

from harness.ray_session import set_environment
from tests.cluster_files import CLUSTER, HOSTS, ROOT, Node, kuberay, launched

LAUNCHED = ["config.yaml", "on_prem.yaml"]
# What an option of `ray start` makes listen, and where the README says so.
PORTS = {
    "port": "6379",
    "node-manager-port": "6380",
    "object-manager-port": "6381",
    "runtime-env-agent-port": "6382",
    "dashboard-agent-grpc-port": "6383",
    "dashboard-agent-listen-port": "6384",
    "metrics-export-port": "6385",
    "min-worker-port": "20000",
    "max-worker-port": "29999",
}

# The fields of a RayCluster (ray.io/v1), by KubeRay's reference of its API, release 1.6.
RAY_CLUSTER = (
    "authOptions autoscalerOptions enableInTreeAutoscaling gcsFaultToleranceOptions "
    "headGroupSpec headServiceAnnotations managedBy rayVersion suspend upgradeStrategy "
    "workerGroupSpecs"
)
AUTOSCALER_OPTIONS = (
    "env envFrom idleTimeoutSeconds image imagePullPolicy resources securityContext "
    "upscalingMode version volumeMounts"
)
HEAD_GROUP = "enableIngress headService labels rayStartParams resources serviceType template"
WORKER_GROUP = (
    "groupName idleTimeoutSeconds labels maxReplicas minReplicas numOfHosts rayStartParams "
    "replicas resources scaleStrategy suspend template"
)


def shell_commands(config: dict[str, Any]) -> list[str]:
    """All the shell commands of a cluster file."""
    parts = [config, *config.get("available_node_types", {}).values()]
    return [
        command
        for part in parts
        for key, value in part.items()
        if key.endswith("_commands")
        for command in value
    ]


def start_options(name: str, home: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The options with which the head, and a worker, start Ray."""
    if name == "kuberay.yaml":
        spec = kuberay()[0]["spec"]
        return spec["headGroupSpec"]["rayStartParams"], spec["workerGroupSpecs"][0][
            "rayStartParams"
        ]
    node = Node(home / name)
    config = launched(name)
    if name == "on_prem.yaml":
        config["provider"] |= {"head_ip": "127.0.0.1", "worker_ips": list(HOSTS)}
    node.leave(config)
    head = node.start(config["head_start_ray_commands"])["options"]
    return head, node.start(config["worker_start_ray_commands"], RAY_HEAD_IP=HOSTS[0])["options"]


def setup_cfg(section: str, key: str) -> str:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser[section][key]


def readme() -> str:
    return (CLUSTER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_takes_the_file(name: str) -> None:
    """Ray's schema and its own validation accept the file as `ray up` prepares it."""
    validate_config(prepare_config(launched(name)))


@pytest.mark.parametrize("name", LAUNCHED)
def test_every_command_is_shell(name: str) -> None:
    """Bash parses every command."""
    found = shell_commands(launched(name))
    assert len(found) >= 6
    for command in found:
        subprocess.run(["bash", "-n", "-c", command], check=True, timeout=100)


@pytest.mark.parametrize("name", [*LAUNCHED, "kuberay.yaml"])
def test_ports_are_fixed_and_the_same_everywhere(name: str, tmp_path: Path) -> None:
    """All three files start Ray on the same ports, which the README lists."""
    head, worker = start_options(name, tmp_path)
    listening = {option: port for option, port in head.items() if option.endswith("port")}
    assert listening == PORTS
    assert {option: worker.get(option) for option in PORTS if option != "port"} == {
        option: port for option, port in PORTS.items() if option != "port"
    }
    assert head["object-store-memory"] == worker["object-store-memory"]
    assert json.loads(head["system-config"].strip("'")) == {
        "max_direct_call_object_size": 4 * 1024 * 1024
    }
    assert head["num-cpus"] == "0"
    assert head["include-dashboard"].lower() == "false"


def test_the_readme_lists_the_ports() -> None:
    """The README's table has SSH's port and those that the files set, and no others."""
    table = readme().partition("| port | node |")[2].partition("\n\n")[0]
    listed = set()
    for first, last in re.findall(r"^\| (\d+)(?: to (\d+))? \|", table, re.MULTILINE):
        listed |= set(range(int(first), int(last or first) + 1))
    workers = range(int(PORTS["min-worker-port"]), int(PORTS["max-worker-port"]) + 1)
    assert listed == {22, *map(int, PORTS.values()), *workers}


def test_nodes_have_the_environment_of_a_ray_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the harness sets for its own Ray, Ray's processes have on every node of all three."""
    wanted = _environment_of_our_own(monkeypatch)
    cluster = kuberay()[0]["spec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        container = group["template"]["spec"]["containers"][0]
        found = {one["name"]: one["value"] for one in container["env"]}
        assert found.items() >= wanted.items()
    node = Node(tmp_path)
    config = launched("config.yaml")
    for commands in [config["head_start_ray_commands"], config["worker_start_ray_commands"]]:
        found = node.start(commands, RAY_HEAD_IP=HOSTS[0])["environment"]
        assert found.items() >= wanted.items()


def _environment_of_our_own(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found: dict[str, str] = {}
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", found)
        set_environment("local")
    assert found
    return found


def test_kuberay_starts_the_ray_of_setup_cfg() -> None:
    """The file for Kubernetes names the release that cluster/setup installs in the image."""
    oldest = re.search(r"^ray >=([0-9.]+),", setup_cfg("options", "install_requires"), re.MULTILINE)
    assert oldest is not None
    major, minor = oldest[1].split(".")[:2]
    assert kuberay()[0]["spec"]["rayVersion"] == f"{major}.{minor}.0"
    assert "cluster/setup" in (CLUSTER / "Dockerfile").read_text(encoding="utf-8")


def test_kuberay_has_no_field_that_a_raycluster_has_not() -> None:
    """The operator knows every field above the pods' own; parameters of Ray's start are strings."""
    cluster = kuberay()[0]
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    spec = cluster["spec"]
    assert set(spec) <= set(RAY_CLUSTER.split())
    assert set(spec["autoscalerOptions"]) <= set(AUTOSCALER_OPTIONS.split())
    assert set(spec["headGroupSpec"]) <= set(HEAD_GROUP.split())
    for group in spec["workerGroupSpecs"]:
        assert set(group) <= set(WORKER_GROUP.split())
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        assert {type(value) for value in group["rayStartParams"].values()} == {str}


def test_ray_reads_the_roles_and_bounds_of_kuberay() -> None:
    """Ray's reader of RayClusters finds a head without cores, and the two kinds of nodes."""
    types = autoscaling_config._derive_autoscaling_config_from_ray_cr(kuberay()[0])[
        "available_node_types"
    ]
    assert types["headgroup"]["resources"]["CPU"] == 0
    for group, role in [("memory-nodes", "memory_node"), ("agent-nodes", "agent_node")]:
        assert types[group]["resources"][role] == 1
        assert 0 < types[group]["min_workers"] < types[group]["max_workers"]


def test_kuberay_asks_for_a_token_and_probes_what_listens() -> None:
    """Token authentication is on, probes ask ports that are open, and only the pods come in."""
    cluster, policy = kuberay()
    spec = cluster["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    for group, port in [
        (spec["headGroupSpec"], 6379),
        *((group, 6380) for group in spec["workerGroupSpecs"]),
    ]:
        container = group["template"]["spec"]["containers"][0]
        for probe in ["readinessProbe", "livenessProbe"]:
            assert container[probe]["tcpSocket"]["port"] == port
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts == {"data": "/data"}
        assert [volume["name"] for volume in group["template"]["spec"]["volumes"]] == ["data"]
    own = {"matchLabels": {"ray.io/cluster": cluster["metadata"]["name"]}}
    assert policy["spec"]["podSelector"] == own
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": own}]}]


def test_memory_pods_keep_their_data_on_their_machine() -> None:
    """Memory pods are one a machine, and their folder outlives them."""
    memory = kuberay()[0]["spec"]["workerGroupSpecs"][0]["template"]
    assert "hostPath" in memory["spec"]["volumes"][0]
    rules = memory["spec"]["affinity"]["podAntiAffinity"]
    rule = rules["requiredDuringSchedulingIgnoredDuringExecution"][0]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["labelSelector"]["matchLabels"] == memory["metadata"]["labels"]


@pytest.mark.parametrize("name", LAUNCHED)
def test_nodes_get_the_token_and_the_repository_and_no_secrets(name: str) -> None:
    """The token and the repository go to the nodes; settings that may hold credentials stay."""
    config = launched(name)
    assert config["file_mounts"] == {
        "~/.ray/auth_token": "~/.ray/auth_token",
        "~/.agent-memory-harness/git": ".git",
    }
    left_out = (CLUSTER / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    for path in config["rsync_exclude"]:
        assert f".git{path}" in left_out
    assert "/config" in config["rsync_exclude"]


def test_the_readme_names_files_and_types_that_are_there() -> None:
    """Each file that the README's first table names is there, and each instance type is used."""
    text = readme()
    table = text.partition("| | |")[2].partition("\n\n")[0]
    named = {name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line[:90])}
    there = {
        str(path.relative_to(CLUSTER))
        for path in CLUSTER.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md"
    }
    assert named == there - {"Dockerfile.dockerignore"}
    types = launched("config.yaml")["available_node_types"].values()
    used = {one["node_config"]["InstanceType"] for one in types}
    assert set(re.findall(r"`([a-z]\d\w*\.\w+xlarge|[a-z]\d\w*\.xlarge)`", text)) == used
