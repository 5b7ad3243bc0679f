"""scripts/bench core: its states, its oracle, its processes, and the program at small sizes."""

import importlib.util
import json
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts" / "lib"))

from bench import command
from bench.child import in_child
from bench.core import volumes
from bench.core_folder import compact, folder_bytes
from bench.errors import MeasurementError
from bench.exact import Exact
from bench.loading import counts, done, load, stores
from bench.others import OtherCalls
from bench.quiet import wait_until_quiet
from bench.suites import SUITES
from bench.walk import WalkFile, queries, walk, write_walk

from memory_core import MemoryConfig, MemoryStore, Retrieve, StateEncoder

BENCH = Path(command.__file__).parent
CORE = SUITES["core"]
SMALL = (
    *("--memories=3000", "--few-memories=300", "--many-agents=40", "--few-agents=4"),
    *("--memories-each=3", "--usearch-memories=1000", "--wide-memories=1000"),
    "--wide-dimension=96",
)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the first 2,500 states of the walk."""
    path = tmp_path_factory.mktemp("walk") / "walk"
    write_walk(path, 2_500)
    return path


@pytest.fixture(scope="module")
def exact(states: Path) -> Exact:
    return Exact(states, 1_000, 64)


def test_the_walk_is_read_back_in_parts_of_any_size(states: Path):
    """The file has the same states as the walk, in their order, and says when it has no more."""
    with WalkFile(states) as file:
        read = [state for count in (1, 999, 0, 7, 1_400, 93) for state in file.take(count)]
        assert read == list(islice(walk(0), 2_500))
        with pytest.raises(EOFError):
            file.take(1)
    assert list(states.parent.iterdir()) == [states]


def test_queries_are_of_others_and_differ():
    """No query is a state of the walk, and each number has a query of its own."""
    asked = queries(50)
    assert asked[20:] == queries(30, 20)
    assert len({*asked, *islice(walk(0), 1_000)}) == 1_050


def test_volumes_grow_tenfold():
    """From the few to all of them, which come last whether or not they are a tenfold."""
    assert volumes(1_000, 1_000_000) == [1_000, 10_000, 100_000, 1_000_000]
    assert volumes(1_000, 200_000) == [1_000, 10_000, 100_000, 200_000]
    assert volumes(1_000, 10_000) == [1_000, 10_000]
    assert volumes(1_000, 1_000) == [1_000]
    assert volumes(1_000, 300) == [300]


def best(exact: Exact, asked: np.ndarray, numbers: np.ndarray, k: int) -> list[list[int]]:
    scores = asked @ exact.vectors[numbers].T
    return [numbers[np.argsort(-row)[:k]].tolist() for row in scores]


def test_recall_is_of_what_exact_search_finds(exact: Exact):
    """All of the best are a recall of 1, and each that is missing takes its part of it."""
    asked = exact.encode(queries(40))
    everything = np.ones(1_000, dtype=bool)
    found = best(exact, asked, np.arange(1_000), 12)
    assert exact.recall(asked, found, 10, everything) == 1.0
    assert exact.recall(asked, [ids[:7] for ids in found], 10, everything) == pytest.approx(0.7)
    beyond = [[*ids[:8], *ids[10:]] for ids in found]
    assert exact.recall(asked, beyond, 10, everything) == pytest.approx(0.8)
    assert exact.recall(asked, [[] for _ in asked], 10, everything) == 0.0
    with pytest.raises(ValueError, match="40 queries, but 39 results"):
        exact.recall(asked, found[1:], 10, everything)


def test_recall_of_a_part_is_of_that_part_alone(exact: Exact):
    """Only members are to be found; what is none, or is found twice, counts for nothing."""
    asked = exact.encode(queries(20))
    members = np.zeros(900, dtype=bool)
    members[100:400] = True
    found = best(exact, asked, np.arange(100, 400), 10)
    assert exact.recall(asked, found, 10, members) == 1.0
    assert exact.recall(asked, [ids[:1] * 10 for ids in found], 10, members) == pytest.approx(0.1)
    others = best(exact, asked, np.arange(400, 1_000), 10)
    assert exact.recall(asked, others, 10, members) == 0.0
    few = np.zeros(1_000, dtype=bool)
    few[[5, 6, 7]] = True
    assert exact.recall(asked, [[7, 6, 5]] * 20, 10, few) == 1.0
    with pytest.raises(ValueError, match="members"):
        exact.recall(asked, found, 10, np.zeros(10, dtype=bool))


def test_of_equal_scores_any_may_be_found(exact: Exact):
    """A memory whose score is that of the last of the best is as good as that one."""
    twins = Exact.__new__(Exact)
    twins.vectors = np.repeat(exact.vectors[:4], 3, axis=0)
    asked = exact.vectors[:1]
    first, second, third = best(twins, asked, np.arange(12), 3)[0]
    assert {first, second, third} == {0, 1, 2}
    everything = np.ones(12, dtype=bool)
    for one in (0, 1, 2):
        assert twins.recall(asked, [[one]], 1, everything) == 1.0
    assert twins.recall(asked, [[3]], 1, everything) == 0.0


def test_vectors_are_those_of_the_states(states: Path, exact: Exact):
    """The vector of a number is that of the walk's state of that number."""
    with WalkFile(states) as file:
        expected = StateEncoder(64).encode_packed(file.take(1_000))
    np.testing.assert_allclose(exact.vectors, expected, atol=1e-6)


def killed_call(folder: Path, states: Path) -> dict[str, Any]:
    return {
        "file": str(states),
        "folder": str(folder / "killed"),
        "options": {},
        "waits": str(folder / "waits"),
    }


def test_a_child_that_fails_says_why(tmp_path: Path):
    """The error of a measurement in another process is told in a sentence of this one."""
    call = {"walk": str(tmp_path / "nothing"), "folder": str(tmp_path), "volumes": [1]}
    with pytest.raises(MeasurementError, match=r"grow ended with exit code 1: FileNotFoundError"):
        in_child("core_child.grow", options={}, **call)


def test_a_child_that_is_to_be_killed_must_be(tmp_path: Path, states: Path):
    """A measurement that should have killed its process, and ended otherwise, has failed."""
    call = killed_call(tmp_path, states)
    in_child("core_opening.killed_after_load", killed=True, memories=300, **call)
    assert json.loads((tmp_path / "waits").read_text())["slowest_s"] > 0
    with pytest.raises(MeasurementError, match="exit code 1: EOFError: the walk has no more"):
        in_child("core_opening.killed_after_load", killed=True, memories=3_000, **call)
    opened = in_child(
        "core_opening.open_again", folder=call["folder"], memories=2_304, options={}
    )  # nine batches of 256: the tenth found no states
    assert opened["first_answer_s"] > 0


def test_memories_that_are_lost_fail_the_opening(tmp_path: Path, states: Path):
    """An opening that does not have every acknowledged memory has no time, but an error."""
    call = killed_call(tmp_path, states)
    in_child("core_opening.killed_after_load", killed=True, memories=300, **call)
    with pytest.raises(MeasurementError, match="of 301 memories the store has"):
        in_child("core_opening.open_again", folder=call["folder"], memories=301, options={})


def test_other_calls_tell_what_they_waited(tmp_path: Path):
    """A whole round is made before and after what is measured, and an error of theirs is raised."""
    with MemoryStore(MemoryConfig(path=tmp_path / "store")) as store:
        calls = OtherCalls(store, lambda n: stores(queries(2, n), n), 0.0)
        calls.start()
        assert len(calls.waits_s(0.0)) >= 2
        begun = time.perf_counter()
        calls.end()
        assert len(calls.waits_s(begun)) >= 2
        assert calls.waits_s(time.perf_counter()) == []
        wrong = OtherCalls(store, lambda _: [Retrieve("agent_0", "")], 0.0)
        wrong.start()
        with pytest.raises(MeasurementError, match="state_id"):
            wrong.end()


@pytest.mark.slow
def test_it_waits_until_the_process_is_quiet():
    """The quiet begins when the other threads of the process have stopped working."""
    stopped = []

    def work() -> None:
        until = time.perf_counter() + 0.6
        while time.perf_counter() < until:
            pass
        stopped.append(time.perf_counter())

    thread = threading.Thread(target=work)
    thread.start()
    began = wait_until_quiet(bound_s=30.0)
    thread.join()
    assert began > stopped[0] - 0.1
    assert time.perf_counter() > began + 0.3


@pytest.mark.slow
def test_a_process_that_is_never_quiet_is_told():
    """The wait has a bound."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with pytest.raises(MeasurementError, match=r"still busy after 0\.5 s"):
            wait_until_quiet(bound_s=0.5)
    finally:
        over.set()
        thread.join()


def test_compaction_makes_tables_smaller_and_leaves_them_whole(tmp_path: Path, states: Path):
    """What was overwritten takes no room after compaction, and the store opens as before."""
    folder = tmp_path / "store"
    # a table of each family at each close: too few for RocksDB to compact them by itself
    config = MemoryConfig(path=folder, stm_capacity=1_000)
    for _ in range(2):
        with MemoryStore(config) as store, WalkFile(states) as file:
            load(store, file, 2_500)
            before = counts(store)
    before_bytes = folder_bytes(str(folder))
    tables_bytes = sum(path.stat().st_size for path in folder.glob("*.sst"))
    sizes = compact(str(folder))
    assert sizes == {"before_bytes": before_bytes, "folder_bytes": folder_bytes(str(folder))}
    assert sum(path.stat().st_size for path in folder.glob("*.sst")) < 0.8 * tables_bytes
    with MemoryStore(config) as store:
        assert counts(store) == before
        assert before.total == 2_500


def test_an_operation_that_failed_fails_the_measurement(tmp_path: Path):
    """No time is given for operations that did nothing."""
    config = MemoryConfig(path=tmp_path / "store", max_state_bytes=10)
    with MemoryStore(config) as store, pytest.raises(MeasurementError, match="state_data"):
        done(store.execute(stores(queries(1), 0)))


def test_a_row_that_needs_what_is_not_installed_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """Without usearch its row is left out with a sentence, and nothing has failed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    out = tmp_path / "core.json"
    assert command.main(["core", "--only=usearch", f"--out={out}"]) == 0
    said = capsys.readouterr()
    sentence = "skipped usearch: usearch is not installed; the dev extra brings it"
    assert sentence in said.out
    assert f"bench: {sentence}" in said.err
    report = json.loads(out.read_text())
    assert report["figures"] == report["problems"] == report["raw"] == []
    assert list(report["skipped"]) == ["usearch"]


@pytest.mark.slow
def test_every_row_at_a_very_small_size(tmp_path: Path):
    """Each row is measured in processes of its own, shown with its goals, and written down."""
    done = subprocess.run(
        [sys.executable, BENCH, "core", "--repeats=1", "--out=core.json", *SMALL],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["core.json"]
    report = json.loads((tmp_path / "core.json").read_text())
    figures = report["figures"]
    assert {figure["row"] for figure in figures} | set(report["skipped"]) == set(CORE.rows)
    assert all(figure["median"] > 0 for figure in figures), figures
    recalls = [figure["median"] for figure in figures if figure["unit"] == "ratio"]
    assert len(recalls) >= 9
    assert all(0.8 < recall <= 1 for recall in recalls), figures
    for note in report["notes"]:
        assert note in done.stdout
    raw = {entry["measurement"]: entry["measured"] for entry in report["raw"]}
    assert {"forced_ltm_300", "forced_ltm_3000", "forced_stm_3000"} < set(raw["forced"])
    assert raw["grown"]["payload_and_vector_bytes"] > 3_000 * (64 * 4 + 100)
    assert raw["moved"]["waits"] >= 3
