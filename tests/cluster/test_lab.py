"""scripts/lab: hosts that are apart, faults that are what they say, no trace when it is down."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.cluster.running_lab import (
    ROOT,
    SCRIPT,
    RunningLab,
    call_lab,
    folder_of,
    poll,
)
from tests.cluster.traces import namespaces, traces

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# A connection to a host's sshd; the exit code says whether there is an answer in time.
REACH = "timeout 3 bash -c 'read -r banner </dev/tcp/{address}/22'"


def reaches(lab: RunningLab, host: int, other: int) -> bool:
    return lab.exec(host, "sh", "-c", REACH.format(address=lab.address(other))).returncode == 0


def test_hosts_share_nothing_but_what_they_are_to_share(lab: RunningLab):
    """What one host has in its home, /tmp, /dev/shm, data folder and name, others have not."""
    places = ["$HOME/a", "/tmp/a", "/dev/shm/a", "$MEMORY_CORE_DATA_DIR/a", "/etc/a", "/run/a"]
    lab.shell(2, f"for place in {' '.join(places)}; do echo here >$place; done")
    found = lab.shell(3, f"ls -d {' '.join(places)} 2>/dev/null | cat")
    assert found == ""
    assert not Path("/etc/a").exists()
    assert len({lab.shell(host, "hostname") for host in lab.hosts}) == len(lab.hosts)
    lab.shell(2, "echo seen >/mnt/shared/a")
    assert lab.shell(3, "cat /mnt/shared/a") == "seen\n"
    assert (lab.shared / "a").read_text() == "seen\n"


def test_a_host_sees_no_process_and_no_secret_of_the_machine(lab: RunningLab):
    """On a host there are its own processes only, and neither the machine's /tmp nor its home."""
    assert f" {os.getpid()} " not in lab.shell(2, "ps -e -o pid= | tr '\\n' ' '")
    assert lab.shell(2, "ps -e -o args=").splitlines()[0].endswith("2")
    for folder in ["/run", tempfile.gettempdir(), "/var/tmp", Path.home()]:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            assert lab.exec(2, "test", "-e", file.name).returncode == 1
    with tempfile.NamedTemporaryFile(dir="/opt") as file:
        assert lab.exec(2, "test", "-e", file.name).returncode == 0, "the rest is seen"
    assert lab.shell(2, "cd; pwd") == "/home/lab\n"


def test_the_checkout_is_there_and_cannot_be_changed(lab: RunningLab):
    """Hosts import the packages of this checkout, which nothing on them can write to."""
    found = lab.shell(4, "python -c 'import harness; print(harness.__file__)'")
    assert Path(found.strip()) == ROOT / "harness" / "__init__.py"
    assert lab.exec(4, "touch", f"{ROOT}/from-a-host").returncode != 0
    assert not (ROOT / "from-a-host").exists()


def test_ssh_takes_the_labs_key_and_no_other(lab: RunningLab, tmp_path: Path):
    """A session by SSH has Ray and the harness on its PATH; without the key there is none."""
    other_key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other_key], check=True)
    known = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    options = [*known, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=60"]
    command = f"root@{lab.address(1)}", "echo $MEMORY_CORE_DATA_DIR; command -v ray harness"
    results = {
        key: subprocess.run(
            ["ssh", "-F", "none", *options, "-i", key, *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        for key in [lab.folder / "id_ed25519", other_key]
    }
    accepted, refused = results.values()
    assert accepted.stdout.split()[0].startswith("/var/lib/"), accepted.stderr
    assert [Path(line).name for line in accepted.stdout.split()[1:]] == ["ray", "harness"]
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_exec_is_the_command(lab: RunningLab):
    """exec passes arguments, standard input and the exit code through as they are."""
    done = lab.exec(
        2, "sh", "-c", 'cat; printf "<%s>" "$@"; exit 7', "sh", "a b", "$HOME", stdin="in"
    )
    assert (done.stdout, done.returncode) == ("in<a b><$HOME>", 7)
    assert lab.exec(2, "sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL
    missing = lab.exec(2, "no-such-command")
    assert missing.returncode == 127
    assert missing.stderr.startswith("scripts/lab: ")
    assert missing.stderr.endswith("no-such-command: not found\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 3), (signal.SIGKILL, -9)])
def test_exec_ends_with_its_command(lab: RunningLab, number: int, code: int):
    """A signal that ends exec reaches the command; one that it cannot pass on ends both."""
    program = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(3))\n"
    program += "print('ready', flush=True)\ntime.sleep(600)"
    process = subprocess.Popen(
        [*SCRIPT, "exec", "2", "--", "python", "-c", program],
        env=os.environ | {"HARNESS_LAB": lab.name},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(60) == code
    poll(
        lambda: "time.sleep(600)" not in lab.shell(2, "ps -e -o args="),
        "the command on the host ends",
    )


def test_a_host_that_is_cut_off_hears_nobody_until_it_is_healed(lab: RunningLab):
    """cut partitions a host from the others, which still reach each other; heal ends it."""
    poll(lambda: reaches(lab, 1, 2), "a host answers")
    lab.cut(2)
    assert not reaches(lab, 1, 2)
    assert not reaches(lab, 2, 1)
    poll(lambda: reaches(lab, 1, 3), "the others still reach each other")
    lab.heal(2)
    poll(lambda: reaches(lab, 1, 2) and reaches(lab, 2, 1), "the host that was healed answers")


def test_a_killed_host_comes_back_with_its_disk(lab: RunningLab):
    """kill ends all that runs on a host; heal boots it with its files, and an empty /tmp."""
    lab.shell(3, "echo kept >$MEMORY_CORE_DATA_DIR/kept; touch /tmp/gone")
    lab.shell(3, "setsid sleep 600 >/dev/null 2>&1 &")
    lab.kill(3)
    assert not reaches(lab, 1, 3)
    refused = lab.exec(3, "true")
    assert refused.returncode == 1
    assert refused.stderr == "scripts/lab: Host 3 is down: scripts/lab heal 3 starts it.\n"
    lab.kill(3)  # no matter if it is down
    lab.heal(3)
    assert lab.shell(3, "cat $MEMORY_CORE_DATA_DIR/kept") == "kept\n"
    assert lab.shell(3, "ls -A /tmp/gone 2>/dev/null | cat") == ""
    assert "sleep" not in lab.shell(3, "ps -e -o args=")
    poll(lambda: reaches(lab, 1, 3), "the host that was killed answers")


def test_up_boots_the_hosts_that_were_killed(lab: RunningLab):
    """up of a lab that is there starts what is down, and leaves the rest as it is."""
    before = lab.shell(2, "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1")
    key = (lab.folder / "id_ed25519").read_bytes()
    lab.kill(4)
    assert lab.call("up").splitlines()[-1] == str(lab.cluster_file)
    assert lab.exec(4, "true").returncode == 0
    assert lab.shell(2, "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1") == before
    assert (lab.folder / "id_ed25519").read_bytes() == key


def test_a_stalled_host_does_nothing_until_it_is_healed(lab: RunningLab):
    """stall stops every process of a host at once; heal lets them go on where they were."""
    lab.shell(
        2, "(until test -e /tmp/end; do date +%N >>/tmp/ticks; sleep 0.02; done) >/dev/null 2>&1 &"
    )
    ticks = lab.folder / "hosts" / "2" / "tmp" / "ticks"
    poll(lambda: ticks.exists() and ticks.stat().st_size > 20, "the host works")
    lab.stall(2)
    size = ticks.stat().st_size
    states = [line.split()[0][0] for line in lab.shell(2, "ps -e -o stat=,pid=").splitlines()]
    # PID 1, and what asks: a shell and ps; one that waits for its stopped vfork is D
    assert len(states) > 3
    assert len([state for state in states if state in "RS"]) <= 3
    assert not reaches(lab, 1, 2)
    assert ticks.stat().st_size == size
    lab.heal(2)
    poll(lambda: ticks.stat().st_size > size, "the host goes on")
    lab.shell(2, "touch /tmp/end")


def test_a_slow_link_has_the_rate_that_was_asked_for(lab: RunningLab):
    """slow limits what a host receives and what it sends; heal lifts it."""
    lab.slow(2, "8mbit")
    serve = "import socket;s=socket.create_server(('',7000));c=s.accept()[0]\n"
    serve += "while c.recv(1<<16): pass\nc.sendall(b'z'*2000000)\nc.close()"
    lab.exec(2, "sh", "-c", 'python -c "$1" >/dev/null 2>&1 &', "sh", serve)
    poll(lambda: ":7000" in lab.shell(2, "ss -ltn"), "the host listens")
    ask = (
        "import socket,sys,time;s=socket.create_connection((sys.argv[1],7000));t=time.monotonic()\n"
        "s.sendall(b'a'*2000000);s.shutdown(1);n=0\n"
        "while d:=s.recv(1<<16): n+=len(d)\n"
        "print(n,time.monotonic()-t)"
    )
    done = lab.exec(1, "python", "-c", ask, lab.address(2))
    received, took_s = done.stdout.split()
    assert int(received) == 2_000_000
    # 16 Mbit each way at 8 Mbit/s are 4 s; some of it goes at once, and buffers help
    assert float(took_s) > 2.0
    lab.heal(2)
    assert "tbf" not in lab.shell(2, "tc qdisc show")
    machines = ["tc", "qdisc", "show", "dev", f"amh-{lab.name}-2"]
    assert "tbf" not in subprocess.run(machines, check=True, capture_output=True, text=True).stdout


def test_delay_and_loss_work_or_are_refused_with_the_reason(lab: RunningLab):
    """--delay and --loss are set where the kernel has netem; elsewhere it is named as missing."""
    done = call_lab(lab.name, "slow", "2", "--rate", "10mbit", "--delay", "20ms", "--loss", "1%")
    if done.returncode == 0:
        assert "netem" in lab.shell(2, "tc qdisc show dev eth0")
    else:
        assert done.returncode == 1
        assert done.stderr.startswith("scripts/lab: This kernel has no netem")
        assert "tbf" not in lab.shell(2, "tc qdisc show dev eth0")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "the following arguments are required: VERB"),
        (["halt"], "invalid choice: 'halt'"),
        (["cut"], "the following arguments are required: HOST"),
        (["cut", "5"], "There is no host '5': the hosts are 1 to 4."),
        (["kill", "head"], "There is no host 'head'"),
        (["slow", "2"], "There is nothing to limit"),
        (["slow", "2", "--rate", "quick"], "tc does not take this limit"),
        (["up", "--hosts", "0"], "'0' is no number from 1 to 32"),
        (["up", "--hosts", "3"], "is up with 4 hosts, not 3"),
        (["up", "--memory-hosts", "9"], "There is no host '9'"),
        (["exec", "2", "true"], "Say which host and what to run"),
        (["exec", "2", "--"], "Say which host and what to run"),
    ],
)
def test_wrong_usage_is_one_sentence(lab: RunningLab, arguments: list[str], problem: str):
    """What is asked for in a wrong way exits 2, with one line that says what is wrong."""
    done = call_lab(lab.name, *arguments)
    assert done.returncode == 2, done
    assert done.stderr.startswith("scripts/lab: ")
    assert done.stderr.count("\n") == 1
    assert problem in done.stderr
    assert done.stdout == ""


def test_without_a_lab_the_remedy_is_named(other_name: str):
    """A verb that needs a lab says how to make one; down needs none."""
    for arguments in [["cut", "1"], ["exec", "1", "--", "true"], ["status"]]:
        done = call_lab(other_name, *arguments)
        assert done.returncode == 1
        assert done.stderr == (
            f"scripts/lab: There is no lab named '{other_name}': scripts/lab up makes it.\n"
        )
    assert call_lab(other_name, "down").returncode == 0
    assert call_lab("Too-Long-A-Name", "up").returncode == 2


def test_down_leaves_no_trace_and_can_be_repeated(other_name: str):
    """After down there is no process, namespace, link, mount or file of the lab; nor after two."""
    assert call_lab(other_name, "up", "--hosts", "2").returncode == 0
    own = {
        call_lab(other_name, "exec", host, "--", "readlink", "/proc/self/ns/net").stdout.strip()
        for host in ["1", "2"]
    }
    assert len(own) == 2
    assert own <= namespaces()
    assert traces(other_name)
    call_lab(other_name, "exec", "2", "--", "sh", "-c", "setsid sleep 600 >/dev/null 2>&1 &")
    call_lab(other_name, "cut", "1")
    call_lab(other_name, "stall", "2")
    for _ in range(2):
        done = call_lab(other_name, "down")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert traces(other_name) == []
        assert not own & namespaces()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_lab_made_by_halves_is_no_lab(other_name: str, number: int):
    """An up that is interrupted leaves nothing; what a killed one leaves, down and up remove."""
    process = subprocess.Popen(
        [*SCRIPT, "up", "--hosts", "8"],
        env=os.environ | {"HARNESS_LAB": other_name},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        poll(
            (folder_of(other_name) / "hosts" / "1" / "boot.json").exists,
            "the first host is being booted",
        )
        process.send_signal(number)
        code = process.wait(60)
    if number == signal.SIGTERM:
        # it may have come to its end before it was told
        assert code == 130 or (code == 0 and call_lab(other_name, "down").returncode == 0)
        assert traces(other_name) == []
        return
    assert call_lab(other_name, "up", "--hosts", "1").returncode in {0, 2}
    assert call_lab(other_name, "down").returncode == 0
    assert traces(other_name) == []


def test_labs_of_two_names_stand_side_by_side(lab: RunningLab, other_name: str):
    """A second lab has its own network, and neither is touched by what is done to the other."""
    done = call_lab(other_name, "up", "--hosts", "1")
    address = done.stdout.split()[2]
    assert address not in {lab.address(host) for host in lab.hosts}
    assert address.rpartition(".")[0] != lab.address(1).rpartition(".")[0]
    assert lab.exec(1, "sh", "-c", REACH.format(address=address)).returncode != 0
    assert call_lab(other_name, "down").returncode == 0
    poll(lambda: reaches(lab, 1, 2), "the first lab's hosts reach each other")
