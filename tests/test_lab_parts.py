"""Parts of scripts/lab that decide, without a lab: neither root nor namespaces are needed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def import_lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The package of scripts/lib can be imported in these tests, and its labs are in tmp_path."""
    monkeypatch.syspath_prepend(ROOT / "scripts" / "lib")
    monkeypatch.setenv("HARNESS_LAB_ROOT", str(tmp_path))
    monkeypatch.setenv("HARNESS_LAB", "parts")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "lab"]:
        del sys.modules[name]


def a_lab(tmp_path: Path, **changed: Any) -> Any:
    from lab.layout import Lab

    facts = {"name": "lab", "folder": tmp_path, "hosts": 4, "network": "10.77.5", "whole": True}
    return Lab(**facts | changed)


def run(*arguments: str) -> int:
    from lab.command import main

    return int(main(arguments))


def test_what_a_lab_needs_is_named_by_its_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """Without sshd and rsync, up says which packages to install, and makes nothing."""
    from lab import lifecycle

    monkeypatch.setattr(lifecycle.os, "geteuid", lambda: 0)
    there = {"ip", "unshare", "nsenter", "mount", "ssh", "ssh-keygen"}
    monkeypatch.setattr(lifecycle.shutil, "which", lambda tool, path: tool in there or None)
    assert run("up") == 1
    assert capsys.readouterr().err == (
        "scripts/lab: A lab needs what is not there: apt-get install openssh-server rsync.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["up", "down"])
def test_without_root_there_is_no_lab(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Who is not root is told so in one sentence."""
    from lab import lifecycle

    monkeypatch.setattr(lifecycle.os, "geteuid", lambda: 1000)
    assert run(verb) == 1
    assert capsys.readouterr().err == (
        "scripts/lab: A lab needs root: call scripts/lab with sudo.\n"
    )


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("HARNESS_LAB", "ninechars", "1 to 8 letters"),
        ("HARNESS_LAB", "../etc", "1 to 8 letters"),
        ("HARNESS_LAB_ROOT", "/no/such/folder", "name a folder that is there"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(
    variable: str,
    value: str,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """A lab's name is part of an interface's, and its folder has to be one."""
    monkeypatch.setenv(variable, value)
    assert run("status") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"scripts/lab: {variable} is ")
    assert problem in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"name": "lab"}', '{"name": "lab", "hosts": 2, "network": "10.77.0"}']
)
def test_a_lab_that_was_made_by_halves_is_not_there(text: str, tmp_path: Path):
    """lab.json that is torn, or of an up that did not end, is that of no lab."""
    from lab.layout import Lab, folder_of

    folder_of("lab").mkdir()
    (folder_of("lab") / "lab.json").write_text(text)
    assert Lab.read("lab") is None
    a_lab(tmp_path, folder=folder_of("lab")).write()
    assert Lab.read("lab") == a_lab(tmp_path, folder=folder_of("lab"))


def test_the_first_network_that_nothing_has_is_taken(monkeypatch: pytest.MonkeyPatch):
    """Networks with an address or a route of this machine in them are left alone."""
    from lab import network

    answers = {
        "address": [{"addr_info": [{"local": "10.77.0.254", "prefixlen": 24}]}, {}],
        "route": [{"dst": "default"}, {"dst": "10.77.1.7"}, {"dst": "10.77.2.0/23"}],
    }

    def answer(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, json.dumps(answers[command[3]]), "")

    monkeypatch.setattr(network, "_run", answer)
    assert network.free_network() == "10.77.4"
    answers["route"].append({"dst": "10.0.0.0/8"})
    with pytest.raises(network.LabError, match=r"No network of 10\.77\.0\.0/16 is free"):
        network.free_network()


def test_the_cluster_file_differs_in_hosts_key_token_and_setup_only(tmp_path: Path):
    """What starts Ray on a lab's hosts is what cluster/on_prem.yaml says."""
    from lab.cluster_file import Roles, cluster_of

    given = yaml.safe_load((ROOT / "cluster" / "on_prem.yaml").read_text())
    made = cluster_of(given, a_lab(tmp_path), Roles(memory_hosts=["2", "3"], agent_hosts=["4"]))
    assert made["provider"]["type"] == "local"
    assert made["provider"]["head_ip"] == "10.77.5.1"
    assert made["provider"]["worker_ips"] == ["10.77.5.2", "10.77.5.3", "10.77.5.4"]
    assert made["metadata"]["memory_hosts"] == ["10.77.5.2", "10.77.5.3"]
    assert made["metadata"]["agent_hosts"] == ["10.77.5.4"]
    assert made["file_mounts"] == {"~/.ray/auth_token": str(tmp_path / "auth_token")}
    changed = {key for key in given if made.get(key) != given[key]}
    assert changed == {
        *("cluster_name", "provider", "metadata", "auth", "file_mounts"),
        *("rsync_exclude", "setup_commands"),
    }
