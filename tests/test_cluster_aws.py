"""cluster/config.yaml, through Ray's own AWS provider, against an EC2 that is simulated (moto)."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import (
    TAG_RAY_LAUNCH_CONFIG,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_USER_NODE_TYPE,
)

from tests.cluster_files import CLUSTER, launched

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")


@pytest.fixture
def actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """A simulated account; the actions that it is asked for, as policies name them."""
    import botocore.client

    asked: set[str] = set()
    real = botocore.client.BaseClient._make_api_call

    def record(client: Any, name: str, arguments: Any) -> Any:
        asked.add(f"{client.meta.service_model.service_name}:{name}")
        return real(client, name, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]:
        monkeypatch.setenv(name, "none")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with moto.mock_aws():
        # As the README has it done once for an account.
        boto3.client("iam").create_instance_profile(InstanceProfileName="agent-memory-harness-head")
        asked.clear()
        yield asked


def bootstrapped() -> dict[str, Any]:
    """The file as Ray's AWS provider completes it."""
    from ray.autoscaler._private.aws import config as aws
    from ray.autoscaler._private.aws import utils

    # Ray keeps connections, which would outlive the simulated account.
    utils.resource_cache.cache_clear()
    utils.client_cache.cache_clear()
    aws._get_subnets_or_die.cache_clear()
    found: dict[str, Any] = aws.bootstrap_aws(prepare_config(launched("config.yaml")))
    return found


def launch(config: dict[str, Any]) -> list[str]:
    """Start a node of each type, then end all of them; the types that ran, by their tag."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name, kind in config["available_node_types"].items():
        tags = {
            TAG_RAY_NODE_KIND: "head" if name == config["head_node_type"] else "worker",
            TAG_RAY_USER_NODE_TYPE: name,
            TAG_RAY_NODE_NAME: name,
            TAG_RAY_LAUNCH_CONFIG: "none",
        }
        provider.create_node(kind["node_config"], tags, 1)
    nodes = provider.non_terminated_nodes({})
    ran = sorted(provider.node_tags(node)[TAG_RAY_USER_NODE_TYPE] for node in nodes)
    provider.set_node_tags(nodes[0], {"ray-node-status": "up-to-date"})
    provider.terminate_nodes(nodes)
    assert provider.non_terminated_nodes({}) == []
    return ran


def listed(who: str) -> set[str]:
    """The actions that the README lists for someone."""
    text = (CLUSTER / "README.md").read_text(encoding="utf-8")
    line = re.search(rf"^\| {who} \| (.*) \|$", text, re.MULTILINE)
    assert line is not None
    return set(re.findall(r"`(\w+:\w+)`", line[1]))


def allowed_to_the_head() -> set[str]:
    policy = json.loads((CLUSTER / "aws_head_policy.json").read_text(encoding="utf-8"))
    found: set[str] = set()
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        action = statement["Action"]
        found |= set([action] if isinstance(action, str) else action)
    return found


def test_no_port_is_open_to_the_world_but_ssh(actions: set[str]) -> None:
    """One security group for all nodes: everything within it, port 22 from outside, no more."""
    config = bootstrapped()
    groups = {
        group
        for kind in config["available_node_types"].values()
        for group in kind["node_config"]["SecurityGroupIds"]
    }
    assert len(groups) == 1
    ec2 = boto3.client("ec2", region_name=config["provider"]["region"])
    found = ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"][0]
    from_outside = [
        (rule["IpProtocol"], rule["FromPort"], rule["ToPort"])
        for rule in found["IpPermissions"]
        if rule["IpRanges"] or rule["Ipv6Ranges"] or rule["PrefixListIds"]
    ]
    assert from_outside == [("tcp", 22, 22)]
    within = [
        pair["GroupId"] for rule in found["IpPermissions"] for pair in rule["UserIdGroupPairs"]
    ]
    assert within == list(groups)


def test_permissions_are_those_that_are_used(actions: set[str]) -> None:
    """Who launches, and the head, use the actions that README and policy give them, and no more."""
    config = bootstrapped()
    validate_config({key: value for key, value in config.items() if key != "head_node"})
    preparing = set(actions)
    actions.clear()
    assert launch(config) == ["agent_node", "head", "memory_node"]
    head = actions | {"ssm:GetParameters"}
    assert allowed_to_the_head() == head
    assert listed("the head") == head
    # Asked for by `ray up` too: the list of instance types, which is slow to simulate.
    others = {"ec2:DescribeInstanceTypes", "iam:PassRole"}
    assert listed("who runs `ray up`, `ray down`") == preparing | head | others


def test_memory_nodes_have_local_disks_and_nodes_end_for_good() -> None:
    """Memory nodes prepare their NVMe before the project's data folder is put on it."""
    config = launched("config.yaml")
    types = config["available_node_types"]
    commands = types["memory_node"]["worker_setup_commands"]
    assert commands[0] == config["setup_commands"][0]
    assert commands[1].endswith("cluster/mount_nvme")
    assert commands[2].endswith("cluster/setup --data-dir /mnt/memory/data")
    assert config["provider"]["cache_stopped_nodes"] is False
    for name, role in [("memory_node", {"memory_node": 1}), ("agent_node", {"agent_node": 1})]:
        assert types[name]["resources"] == role
        assert 0 < types[name]["min_workers"] < types[name]["max_workers"]
    assert config["max_workers"] == sum(
        types[name]["max_workers"] for name in ["memory_node", "agent_node"]
    )
    assert types["head"]["resources"] == {"CPU": 0}
