"""Rounds of random faults, each a run with ``--audit`` that must lose nothing.

    scripts/fault_rounds --rounds 20              on this machine: kills and stalls
    scripts/fault_rounds --rounds 20 --lab        on a lab of 4 hosts (root): hosts are cut off
                                                  and killed, too
    scripts/fault_rounds --seed 7 --first 3 --rounds 1      that round of that seed again

What a round does follows from the seed and its number. The seed is printed; a round that fails is
told with the command that repeats it. Exit code 1 when one failed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Harm", "Round", "problems_of", "round_of"]

ROOT = Path(__file__).resolve().parent.parent.parent
DURATION_S = 8.0
AGENTS = 24
SHARDS = 2
COHORTS = 2
LAB_HOSTS = 4
# A deadline well beyond what a shard takes to start again, so that operations wait for it.
DEADLINE_S = 60.0
_CUT_S = (0.5, 4.0)
_STALL_S = (0.2, 2.0)
_PATIENCE_S = 600.0


@dataclass(frozen=True)
class Harm:
    """A host is cut off, or killed, `at_s` after the barrier opens, and back after `for_s`."""

    action: Literal["cut", "kill"]
    host: int
    at_s: float
    for_s: float


@dataclass(frozen=True)
class Round:
    """What happens in one round."""

    seed: int
    faults: tuple[str, ...]
    harms: tuple[Harm, ...]


def round_of(
    seed: int, number: int, *, duration_s: float = DURATION_S, hosts: Sequence[int] = ()
) -> Round:
    """Round ``number`` of a seed: one to three faults, and on a lab up to two harmed hosts.

    Args:
        seed: of all rounds.
        number: of the round, from 0.
        duration_s: of its run.
        hosts: of the lab that may be harmed; none without a lab.
    """
    draw = random.Random(f"fault rounds, seed {seed}, round {number}")
    faults = []
    for _ in range(draw.randint(1, 3)):
        at = f"at {round(1000 * draw.uniform(0.05, 0.6) * duration_s)}ms"
        kind = draw.choices(["kill", "stall", "cohort", "sampler"], [6, 6, 1, 1])[0]
        shard = draw.randrange(SHARDS)
        stall = f"for {round(1000 * draw.uniform(*_STALL_S))}ms stall"
        faults.append(
            {
                "kill": f"{at} kill shard {shard}",
                "stall": f"{at} {stall} shard {shard}",
                "cohort": f"{at} {draw.choice(['kill', stall])} cohort {draw.randrange(COHORTS)}",
                "sampler": f"{at} kill sampler of node of shard {shard}",
            }[kind]
        )
    harms = []
    for host in draw.sample(list(hosts), min(len(hosts), draw.randint(0, 2))):
        at_s, for_s = draw.uniform(0.05, 0.6) * duration_s, draw.uniform(*_CUT_S)
        action: Literal["cut", "kill"] = "kill" if draw.random() < 0.25 else "cut"
        harms.append(Harm(action, host, round(at_s, 3), round(for_s, 3)))
    return Round(draw.randrange(2**31), tuple(faults), tuple(harms))


def problems_of(
    run: dict[str, Any], summary: dict[str, Any], harms: Sequence[Harm] = ()
) -> list[str]:
    """What a round must not have, in sentences; none of a good one.

    A run that lost agents with a host that its plan did not take down has failed, as it should.
    """
    audit, lost = summary["audit"], bool(harms) and bool(summary["agents"]["lost"])
    problems = []
    if run["status"] != "complete" and not (lost and run["status"] == "failed"):
        problems.append(f"status {run['status']}")
    if audit["verdict"] != "passed":
        problems.append(audit["sentence"])
    elif not audit["acknowledged"] or not audit["answers_checked"]:
        problems.append("nothing was acknowledged, or no answer checked")
    problems += [one["sentence"] for one in summary["faults"] if not (harms or _may_be(one))]
    return problems


def _may_be(fault: dict[str, Any]) -> bool:
    """Whether a fault came to what one may come to.

    It hits nothing after its process was killed by another, nor once the run is over, which a
    machine that is busy with other things notices first.
    """
    return (
        fault["done"]
        or "sampler" in fault["fault"]
        or "cohort" in fault["fault"]
        or "the run was over before" in fault["sentence"]
    )


def _arguments(one: Round, duration_s: float) -> list[str]:
    faults = [word for fault in one.faults for word in ("--fault", fault)]
    return [
        *("run", "--audit", "--agents", f"{AGENTS}", "--agents-per-task", f"{AGENTS // COHORTS}"),
        *("--shards", f"{SHARDS}", "--duration", f"{duration_s:g}", "--seed", f"{one.seed}"),
        *("--deadline", f"{DEADLINE_S:g}", *faults),
    ]


class _Here:
    """Rounds on this machine."""

    hosts: Sequence[int] = ()

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def carry_out(self, one: Round, name: str, duration_s: float) -> tuple[Path, str]:
        """Run a round; its run directory, and what it said on standard error."""
        out = self._folder / name
        command = [str(Path(sys.executable).with_name("harness")), *_arguments(one, duration_s)]
        done = subprocess.run(
            [*command, "--address", "local", "--out", str(out)],
            check=False,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
        )
        return out, done.stderr


class _OnLab:
    """Rounds on the hosts of a lab, whose cluster was started by ray up."""

    def __init__(self, lab: Any) -> None:
        self._lab = lab
        self.hosts = lab.hosts[1:]

    def carry_out(self, one: Round, name: str, duration_s: float) -> tuple[Path, str]:
        self._lab.ray_up()  # what the round before took down is back
        out = self._lab.shared / name
        harming = threading.Thread(target=self._harm, args=(one.harms, out), daemon=True)
        harming.start()
        arguments = [*_arguments(one, duration_s), "--out", f"/mnt/shared/{name}"]
        done = self._lab.harness(*arguments, timeout_s=_PATIENCE_S)
        harming.join(_PATIENCE_S)
        self._lab.heal_all()
        return out, done.stderr

    def _harm(self, harms: Sequence[Harm], out: Path) -> None:
        """Harm and heal hosts at their times, once the run measures."""
        deadline_s = time.monotonic() + _PATIENCE_S / 2
        while '"measuring"' not in _text(out / "events.jsonl"):
            if time.monotonic() > deadline_s:
                return
            time.sleep(0.02)
        began_s = time.monotonic()
        moments = [(one.at_s, False, one) for one in harms]
        moments += [(one.at_s + one.for_s, True, one) for one in harms]
        for at_s, is_over, one in sorted(moments, key=lambda moment: moment[0]):
            time.sleep(max(began_s + at_s - time.monotonic(), 0.0))
            if not is_over:
                (self._lab.cut if one.action == "cut" else self._lab.kill)(one.host)
                continue
            self._lab.heal(one.host)
            if one.action == "kill":
                self._lab.call("join", f"{one.host}")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@contextmanager
def _lab() -> Iterator[_OnLab]:
    sys.path.insert(0, str(ROOT))
    from tests.cluster.running_lab import RunningLab

    lab = RunningLab("rounds", LAB_HOSTS)
    try:
        yield _OnLab(lab)
    finally:
        lab.down()


@contextmanager
def _here() -> Iterator[_Here]:
    with tempfile.TemporaryDirectory(prefix="rounds-", ignore_cleanup_errors=True) as folder:
        yield _Here(Path(folder))


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry rounds out; 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="[drawn, and printed]")
    parser.add_argument("--first", type=int, default=0, help="number of the first round  [0]")
    parser.add_argument("--duration", type=float, default=DURATION_S, help="of each run, s  [8]")
    parser.add_argument("--lab", action="store_true", help="on a lab of hosts; needs root")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    _say(f"seed {seed}")
    failed = []
    with _lab() if given.lab else _here() as place:
        for number in range(given.first, given.first + given.rounds):
            one = round_of(seed, number, duration_s=given.duration, hosts=place.hosts)
            _say(f"round {number}: {'; '.join([*one.faults, *map(_said, one.harms)])}")
            out, said = place.carry_out(one, f"round-{number}", given.duration)
            try:
                run, summary = (
                    json.loads((out / name).read_text()) for name in ("run.json", "summary.json")
                )
                problems = problems_of(run, summary, one.harms)
                for fault in summary["faults"]:
                    _say(f"    {fault['sentence']}")
                _say(f"    {summary['audit']['sentence']}")
            except (OSError, ValueError, KeyError) as error:
                problems = [f"no summary ({error}): {said[-2000:]}"]
            if problems:
                failed.append(number)
                _say(f"    FAILED: {' '.join(problems)}")
                _say(f"    {said[-2000:]}")
                again = f"--seed {seed} --first {number} --rounds 1{' --lab' * given.lab}"
                _say(f"    again: scripts/fault_rounds {again}")
    _say(f"{given.rounds - len(failed)} of {given.rounds} rounds lost nothing (seed {seed})")
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _said(one: Harm) -> str:
    return f"at {one.at_s:g}s for {one.for_s:g}s {one.action} host {one.host}"


if __name__ == "__main__":
    sys.exit(main())
