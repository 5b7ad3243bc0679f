"""The command refuses what is wrong in one line, with exit code 2, before anything starts."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import harness
from harness import cli, ray_session, runner
from harness.commands import measuring
from harness.errors import RunFailedError, UsageError
from harness.plan import RunPlan
from tests.harness.driving import command, short_folder
from tests.processes import command_line


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """No Ray may be started or joined here, and unnamed runs would go to the test's folder."""

    def started(address: str) -> None:
        raise AssertionError(f"Ray was started or joined ({address})")

    monkeypatch.setattr(runner, "ray_session", started)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Runs the command in this process; it must exit 2, say one line and leave nothing."""

    def run(*arguments: object) -> str:
        before = everything_below(tmp_path)
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == 2, said
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.startswith("harness: ")
        assert everything_below(tmp_path) == before
        return said.err

    return run


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """A server that answers so to whoever connects, or says nothing; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with ExitStack() as kept:
                while True:
                    try:
                        peer, _ = server.accept()
                    except OSError:
                        return
                    kept.enter_context(peer)
                    if answer is not None:
                        peer.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def trace_of(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ("--agents 0", "--agents: must be above 0"),
        ("--agents -1", "--agents: must be above 0"),
        ("--agents abc", "--agents: 'abc'"),
        ("--agents 1e3", "--agents: '1e3'"),
        ("--agents 99999999999999999999", "--agents: must be at most"),
        ("--agents", "--agents"),
        ("--target nowhere", "--target: 'nowhere' is unknown"),
        ("--target memory-core", "did you mean memory_core?"),
        ("--target ''", "--target: must be text"),
        ("--workload other", "--workload: 'other' is unknown"),
        ("--rounds 0", "--rounds: must be above 0"),
        ("--rounds 2 --duration 3", "--duration: contradicts --rounds"),
        ("--duration nan", "--duration: must be a finite number"),
        ("--duration inf", "--duration: must be a finite number"),
        ("--duration long", "--duration: 'long'"),
        ("--rate 0", "--rate: must be above 0"),
        ("--rate 5 --think-time 1", "--think-time: contradicts --rate"),
        ("--arrival poisson", "--arrival: is of the open loop"),
        ("--rate 5 --arrival weekly", "--arrival: 'weekly' is unknown"),
        ("--mix store", "--mix: 'store' is not of the form"),
        ("--mix store=1 --trace t.parquet", "--mix: contradicts --trace"),
        ("--ramp 5 --duration 1", "--ramp: is longer than the run"),
        ("--seed -1", "--seed: must be from 0"),
        ("--shards 0", "--shards: must be above 0"),
        ("--agents-per-task 0", "--agents-per-task: must be above 0"),
        ("--agents 5000 --agents-per-task 1", "at most"),
        ("--pipelining maybe", "--pipelining: 'maybe'"),
        ("--record 0", "--record: '0'"),
        ("--durability most", "--durability: 'most' is unknown"),
        ("--dimension 0", "--dimension: must be above 0"),
        ("--deadline 0", "--deadline: must be above 0"),
        ("--sample-interval 0.001", "--sample-interval: must be at least"),
        ("--address here", "--address: 'here' is none"),
        ("--address ray://127.0.0.1:10001", "--address: 'ray://127.0.0.1:10001' is none"),
        ("--address 127.0.0.1:99999999", "--address: no Ray cluster answers"),
        ("--address 127.0.0.1:1", "--address: no Ray cluster answers at 127.0.0.1:1"),
        ("--trace nowhere.parquet", "--trace: "),
        ("--plan nowhere.toml", "--plan: nowhere.toml cannot be read"),
        ("--plan .", "--plan: run.json cannot be read"),
        ("--speed 3", "--speed"),
        ("more", "more"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(refused: Any, arguments: str, part: str):
    """Each wrong value and contradiction names its option, exits 2, and nothing is left of it."""
    words = ["" if word == "''" else word for word in arguments.split(" ")]
    assert part in refused("run", "--out", "out", *words)


def test_an_unknown_command_is_refused_in_one_line(refused: Any):
    """A command that there is none of is refused like an option."""
    assert "nowhere" in refused("nowhere")


def test_an_out_folder_that_is_taken_is_refused(refused: Any, tmp_path: Path):
    """A folder that is not empty, a file, and a place below a file are refused as --out's."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").write_text("kept")
    (tmp_path / "file").write_text("kept")
    for name in ("full", "file", "file/below", "a" * 300, "."):
        assert "harness: --out: " in refused("run", "--out", name)
    assert (tmp_path / "full" / "kept").read_text() == "kept"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_out_folder_that_cannot_be_written_is_refused(refused: Any, tmp_path: Path):
    """A folder without the right to write is refused before the run."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "cannot be written" in refused("run", "--out", locked / "out")


def test_an_out_folder_on_a_file_system_that_refuses_is_refused(
    refused: Any, monkeypatch: pytest.MonkeyPatch
):
    """What the system says cannot be written is refused, whoever asks."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "--out: " in refused("run", "--out", "out")


def test_a_data_folder_that_cannot_be_is_refused(refused: Any, tmp_path: Path):
    """A data folder that is a file, or below one, is refused as --data-dir's."""
    (tmp_path / "file").write_text("kept")
    for name in ("file", "file/below"):
        assert "--data-dir: " in refused("run", "--agents", 1, "--data-dir", name)


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({}, ""),
        ({"agent_id": ["a"]}, "state"),
        ({"state": ["{}"]}, "agent_id"),
        ({"agent_id": ["a"], "state": ["[1]"]}, "not a JSON object"),
        ({"agent_id": ["a"], "state": ["no json"]}, "row 1"),
        ({"agent_id": ["a"], "state": [7]}, "state"),
        ({"agent_id": pa.array([], pa.string()), "state": pa.array([], pa.string())}, "no rows"),
    ],
    ids=["empty table", "no state", "no id", "a list", "no JSON", "a number", "no rows"],
)
def test_a_trace_that_is_wrong_is_refused(
    refused: Any, tmp_path: Path, columns: dict[str, Any], part: str
):
    """A trace that lacks a column, has no rows, or a state that is no mapping is refused."""
    trace = trace_of(tmp_path / "trace.parquet", **columns)
    said = refused("run", "--trace", trace)
    assert "harness: --trace: " in said
    assert part in said


def test_a_trace_that_is_no_trace_is_refused(refused: Any, tmp_path: Path):
    """An empty file, another format, and a folder are refused as --trace's."""
    (tmp_path / "empty.parquet").touch()
    (tmp_path / "text.parquet").write_text("agents")
    (tmp_path / "torn.jsonl").write_text('{"agent_id": "a", "state": {}}\n{"agent_id"')
    for name in ("empty.parquet", "text.parquet", "torn.jsonl", "."):
        assert "harness: --trace: " in refused("run", "--trace", tmp_path / name)


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_an_address_where_something_else_listens_is_refused(
    refused: Any, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
):
    """What listens but is no Ray head, or says nothing, is refused within a bound."""
    monkeypatch.setattr(ray_session, "_CONNECT_TIMEOUT_S", 0.3)
    with listening(answer) as address:
        assert f"{address}" in refused("run", "--agents", 1, "--address", address)


def test_the_address_of_the_environment_is_looked_at_too(
    refused: Any, monkeypatch: pytest.MonkeyPatch
):
    """RAY_ADDRESS names the cluster where the option does not, and is refused likewise."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert "--address: no Ray cluster answers at 127.0.0.1:1" in refused("run", "--agents", 1)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("agnets = 3", "unknown key 'agnets'"),
        ("agents = ", "no valid TOML"),
        ('agents = "3"', "--agents: must be a whole number"),
        ('record = "off"', "--record: must be true or false"),
        ("rounds = 1\nduration = 1.0", "--duration: contradicts --rounds"),
        ('trace = "nowhere.parquet"', "--trace: "),
        ('target = "nowhere"', "--target: 'nowhere' is unknown"),
    ],
)
def test_a_wrong_plan_file_is_refused(refused: Any, tmp_path: Path, text: str, part: str):
    """What is wrong in a plan file is said like what is wrong on the command line."""
    (tmp_path / "plan.toml").write_text(text)
    assert part in refused("run", "--plan", "plan.toml")


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the plan that a command line makes."""

    def plan_of(*arguments: object) -> RunPlan:
        seen: list[RunPlan] = []

        def keep(plan: RunPlan) -> None:
            seen.append(plan)
            raise UsageError("--agents", "seen")

        monkeypatch.setattr(runner, "prepare", keep)
        monkeypatch.setattr(sys, "argv", ["harness", "run", *map(str, arguments)])
        with pytest.raises(SystemExit):
            cli.main()
        return seen[0]

    return plan_of


def test_every_option_reaches_the_plan(planned: Any, tmp_path: Path):
    """What is given on the command line is in the plan, under its own name."""
    given = (
        "--agents 3 --target noop --workload standard --duration 2 --warmup 1 --seed 9"
        " --mix store=1,search=2 --ramp 0.5 --rate 7 --arrival poisson --shards 2"
        " --agents-per-task 2 --pipelining off --dimension 32 --durability os --data-dir d"
        " --keep-data --address local --record on --sample-interval 0.5 --deadline 4"
        " --memory-limit 70000000"
    )
    assert planned(*given.split()) == RunPlan(
        agents=3,
        target="noop",
        duration_s=2.0,
        warmup_s=1.0,
        seed=9,
        mix={"store": 1, "search": 2},
        ramp_s=0.5,
        rate=7.0,
        arrival="poisson",
        shards=2,
        agents_per_task=2,
        pipelining=False,
        dimension=32,
        durability="os",
        memory_limit_bytes=70_000_000,
        data_dir="d",
        keep_data=True,
        sample_interval_s=0.5,
        deadline_s=4.0,
    )
    assert planned("--rounds", 4, "--think-time", 0.25, "--record", "off") == RunPlan(
        rounds=4, think_time_s=0.25, record=False
    )
    assert planned("--trace", "t.parquet").trace == str(tmp_path / "t.parquet")
    assert planned("--record", "off") == RunPlan(record=False)
    assert planned() == RunPlan()


def test_every_option_of_the_plan_is_on_the_command_line():
    """No field of a plan is without its option, and `run --help` has a word for each."""
    names = {option.name for option in cli.run.params if isinstance(option, click.Option)}
    fields = set(RunPlan().as_dict())
    assert fields <= names
    watching = {"web", "web_port", "web_host", "metrics_port", "metrics_host", "otlp"}
    assert names - fields == {"plan_file", "out", "as_json", "thresholds", "junit"} | watching
    assert all(option.help for option in cli.run.params if isinstance(option, click.Option))


def test_options_win_over_a_plan_file(planned: Any, tmp_path: Path):
    """A run is repeated from its directory, and what is given beside it takes precedence."""
    plan = RunPlan(agents=6, rounds=3, seed=5, pipelining=False, keep_data=True)
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "run.json").write_text(json.dumps({"plan": plan.as_dict()}))
    assert planned("--plan", "earlier") == plan
    again = planned("--plan", "earlier", "--seed", 6, "--pipelining", "on", "--duration", 2)
    assert again == RunPlan(agents=6, duration_s=2.0, seed=6, keep_data=True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunFailedError("the store did not start: no room"), 1),
        (OSError(28, "No space left on device", "runs"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=["failed", "disk full", "interrupted"],
)
def test_errors_become_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
):
    """What ends a run without a summary is one line on standard error and its exit code."""

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(runner, "run", fail)
    monkeypatch.setattr(sys, "argv", ["harness", "run", "--agents", "1", "--out", "out"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == code
    assert said.err.strip().count("\n") == 0
    assert "Traceback" not in said.err
    if not isinstance(error, OSError):
        assert said.out.splitlines()[-1] == "out"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_for_the_end_and_a_second_one_insists(number: signal.Signals):
    """The first is taken as a wish, the second interrupts; handlers are put back afterwards."""
    before = signal.getsignal(number)
    stop = runner.StopRequest()
    with measuring.stop_on_signals(stop):
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_hang_up_that_is_ignored_stays_so():
    """Under nohup a run goes on when its terminal goes away."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = runner.StopRequest()
        with measuring.stop_on_signals(stop):
            signal.raise_signal(signal.SIGHUP)
        assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_cluster_that_refuses_leaves_no_run_directory(
    refused: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A plan that turns out not to fit once Ray was asked leaves no directory behind."""

    def refuse(_: str) -> None:
        raise UsageError("--address", "no Ray cluster answers")

    monkeypatch.setattr(runner, "ray_session", refuse)
    (tmp_path / "runs").mkdir()
    assert "--address: " in refused("run", "--agents", 1, "--out", "out")
    assert "--address: " in refused("run", "--agents", 1)


@pytest.mark.slow
def test_the_installed_command_refuses_and_starts_nothing():
    """As a process: one line, exit code 2, no directory, and no process of Ray's."""
    before = {process.pid for process in psutil.process_iter()}
    with short_folder() as folder:
        for arguments, part in [
            (["run", "--agents", "0"], "--agents: must be above 0"),
            (["run", "--agents", "abc"], "--agents: 'abc'"),
            (["run", "--address", "127.0.0.1:1"], "--address: no Ray cluster answers"),
            (["run", "--trace", "nowhere"], "--trace: "),
        ]:
            done = command(*arguments, temp=folder)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.count("\n") == 1
            assert part in done.stderr
        assert everything_below(folder) == []
    new = [process for process in psutil.process_iter() if process.pid not in before]
    named = [one for one in new if str(folder) in command_line(one)]
    assert not named


def test_the_installed_command_tells_its_version():
    """`harness --version` says which release this is."""
    with short_folder() as folder:
        done = command("--version", temp=folder)
    assert (done.returncode, done.stdout) == (0, f"harness {harness.__version__}\n")
