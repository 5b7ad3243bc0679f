"""Facts about the host are there, or None, whatever the host is like."""

from __future__ import annotations

import collections
import json
import subprocess
from pathlib import Path

import pytest

from harness import hosts

Partition = collections.namedtuple("Partition", "mountpoint fstype")


def mounts(monkeypatch: pytest.MonkeyPatch, *partitions: tuple[str, str]) -> None:
    found = [Partition(*partition) for partition in partitions]
    monkeypatch.setattr("psutil.disk_partitions", lambda **options: found)


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(root), *identity, *arguments]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=hosts._git_environment()
    )
    return done.stdout.strip()


def test_host_facts_are_json() -> None:
    """The facts name the host, its hardware and software, in values that JSON has."""
    facts = hosts.host_facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["memory_bytes"] > 2**20
    assert 1 <= facts["cpu_count_usable"] <= facts["cpu_count"]
    assert facts["packages"]["pyarrow"].split(".")[0].isdigit()
    for name in ("hostname", "cpu_model", "kernel", "python", "system", "machine"):
        assert facts[name], name


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not installed is None, no error."""
    monkeypatch.setattr(hosts, "PACKAGES", ("no-such-package-at-all",))
    assert hosts.host_facts()["packages"] == {"no-such-package-at-all": None}


def test_filesystem_type_is_of_the_innermost_mount(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The deepest mount above the path counts, the later of two on one folder."""
    mounts(
        monkeypatch,
        (str(tmp_path), "xfs"),
        ("/", "ext4"),
        (str(tmp_path / "memory"), "nfs"),
        (str(tmp_path / "memory"), "tmpfs"),
    )
    assert hosts.filesystem_type(tmp_path) == "xfs"
    assert hosts.filesystem_type(tmp_path / "memory") == "tmpfs"
    assert hosts.filesystem_type(tmp_path / "memory" / "not" / "there") == "tmpfs"
    assert hosts.filesystem_type(tmp_path / "memory2") == "xfs"
    assert hosts.is_tmpfs(tmp_path / "memory" / "x")
    assert not hosts.is_tmpfs(tmp_path)


def test_filesystem_type_follows_links(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A link into memory is in memory."""
    (tmp_path / "memory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "memory")
    mounts(monkeypatch, ("/", "ext4"), (str(tmp_path / "memory"), "tmpfs"))
    assert hosts.is_tmpfs(tmp_path / "link" / "data")


def test_filesystem_type_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host that tells of no mounts has no type, and is not taken for a tmpfs."""
    mounts(monkeypatch)
    assert hosts.filesystem_type(tmp_path) is None
    assert not hosts.is_tmpfs(tmp_path)


def test_commit_of_a_checkout(tmp_path: Path) -> None:
    """A checkout gives its commit, and whether a tracked file was changed since."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    (tmp_path / "untracked").write_text("x")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert hosts._commit_of(tmp_path) == {"commit": commit, "modified": False}
    (tmp_path / "file").write_text("two")
    assert hosts._commit_of(tmp_path) == {"commit": commit, "modified": True}
    (tmp_path / "package").mkdir()
    assert hosts._commit_of(tmp_path / "package") is None


def test_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a checkout, a commit or a git there is no commit, and no error."""
    assert hosts._commit_of(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert hosts._commit_of(tmp_path) is None
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert hosts._commit_of(tmp_path) is None


def test_a_process_is_gone_once_it_has_ended() -> None:
    """A process that wrote who it was is told apart from one that ended, and from a later one."""
    with subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL) as other:
        there = hosts.this_process() | {"pid": other.pid, "started_s": hosts._started_s(other.pid)}
        assert hosts.is_gone(json.loads(json.dumps(there))) is False
        assert hosts.is_gone(there | {"started_s": there["started_s"] - 60}) is True
        other.kill()
        other.wait()
    assert hosts.is_gone(there) is True
    assert hosts.is_gone(hosts.this_process()) is False


@pytest.mark.parametrize(
    "odd",
    [
        {"hostname": "elsewhere"},
        {"pid": "1"},
        {"pid": -1},
        {"started_s": None},
    ],
)
def test_what_cannot_be_known_of_a_process_is_not_claimed(odd: dict[str, object]) -> None:
    """Of a process elsewhere, and of what is no process, nobody says that it has ended."""
    assert hosts.is_gone(hosts.this_process() | odd) is None
    assert hosts.is_gone({}) is None


def test_a_start_that_no_clock_shows_says_nothing() -> None:
    """Of a process that is said to have started at a number beyond all, nothing is known."""
    assert hosts.is_gone(hosts.this_process() | {"started_s": 10**400}) is None
