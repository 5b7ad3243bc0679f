"""`repair`: saves what can be read of a damaged database into a new one.

The damaged folder's files are never written to. What it holds is read through a view of them
(`memory_core.rocks_tools`), from the best source to the worst:

1. as CURRENT and MANIFEST say, with the logs' damaged parts left out, around damaged blocks;
2. where that cannot be opened, or a block hides what lies in other tables: from all tables that
   can be read to their end, and the logs, in a list that RocksDB makes anew.

Which record of a memory is kept, and what is not brought back, is told in `memory_core.saving`.

The new database is made under a temporary name, checked by `verify`, and then renamed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from memory_core.config import MemoryConfig
from memory_core.damage import Findings, Problem, look_at, mend_all, ours
from memory_core.encoder import Encoder
from memory_core.errors import (
    BadInputError,
    CorruptionError,
    DatabaseError,
    IncompatibleError,
)
from memory_core.folder import put_aside
from memory_core.folder_lock import held_to_read
from memory_core.inspection import Verification, dimension_of, identity_of, verify
from memory_core.log import DATA_FAMILIES, Log
from memory_core.new_folder import new_folder, require_free
from memory_core.operations import TIERS
from memory_core.record import FORMAT_VERSION
from memory_core.record_names import gap_problem, name_of
from memory_core.rocks_tools import View, family_of_table
from memory_core.salvage import Gap
from memory_core.saving import Saving, Witness

__all__ = ["Repair", "repair"]


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What `repair` did.

    Attributes:
        path: the repaired database.
        damaged: where the damaged one is now, unchanged.
        saved: memories by tier.
        agents: agents that have a memory.
        lost: what was lost, as far as that can be known; empty if nothing is known to be.
        from_beneath: memories of ``saved`` that lay beneath damage in another file: they may be
            earlier versions, or have been deleted since.
    """

    path: str
    damaged: str
    saved: Mapping[str, int]
    agents: int
    lost: tuple[Problem, ...]
    from_beneath: int

    @property
    def memories(self) -> int:
        """Saved memories of all tiers."""
        return sum(self.saved.values())


def repair(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    encoder: Encoder | None = None,
) -> Repair:
    """Save what can be read of a closed database.

    Args:
        path: its folder, whose files stay as they are.
        target: a new or empty folder for the repaired database. None puts it in the place of the
            damaged one, which becomes ``<path>.damaged``.
        encoder: what it was made with; only looked at when the database cannot say so itself.

    Raises:
        BadInputError: there is no database at ``path``, or ``target`` holds something.
        LockedError: a store has it open.
        IncompatibleError: it is of another format.
        CorruptionError: nothing can be saved, or not even what it was made with is known.
        StorageFullError, DatabaseError: the new one cannot be written.
    """
    folder = os.path.normpath(ours(path))
    aside = put_aside(folder) if target is None else None
    final = folder if target is None else os.path.normpath(os.fspath(target))
    if aside is not None and os.path.lexists(aside):
        raise BadInputError("path", f"{aside} exists already; move it away or name a target")
    if aside is None:
        require_free(final, "target")
    with held_to_read(folder), new_folder(final) as new:
        saved = _save(folder, new.path, encoder)
        result = _checked(folder, new.path)
        if encoder is not None and not result.memories and saved.lost:
            # one of another dimension reads every vector as damage
            problem = saved.lost[0].problem
            raise CorruptionError(
                folder, f"nothing of it can be saved with the encoder that was given: {problem}"
            )
        new.finish(_moved(folder, aside))
    return Repair(
        path=final,
        damaged=aside or folder,
        saved={name: tier.memories for name, tier in result.tiers.items()},
        agents=result.agents,
        lost=tuple(saved.lost),
        from_beneath=saved.from_beneath,
    )


@contextlib.contextmanager
def _moved(folder: str, aside: str | None) -> Iterator[None]:
    """Move the damaged folder out of the way; back again if what is done meanwhile fails."""
    if aside is None:
        yield
        return
    os.rename(folder, aside)
    try:
        yield
    except BaseException:
        os.rename(aside, folder)
        raise


@dataclass
class _Outcome:
    """What is known to be lost, and memories that may be out of date."""

    lost: list[Problem]
    from_beneath: int = 0


class _Sources:
    """Views of a damaged folder, from the best to the worst; each is made when it is needed."""

    def __init__(self, folder: str, findings: Findings, views: contextlib.ExitStack) -> None:
        self._folder = folder
        self._findings = findings
        self._views = views
        self.listed = findings.view
        self.rebuilt: View | None = None
        if self.listed is not None:
            views.enter_context(self.listed)

    def __iter__(self) -> Iterator[View]:
        """The views, each made when its turn comes."""
        if self.listed is not None:
            yield self.listed
        yield self.rebuild()

    def rebuild(self) -> View:
        """A view of all tables and logs, whose damaged parts are left out first."""
        if self.rebuilt is None:
            mend_all(self._folder, self._findings)
            view = View(self._folder, logs=self._findings.logs, rebuild=True)
            self.rebuilt = self._views.enter_context(view)
        return self.rebuilt

    def hidden_families(self) -> frozenset[str]:
        """Families of which a rebuilt view may lack a table."""
        if any(
            problem.place.endswith(".sst") and not os.path.exists(problem.place)
            for problem in self._findings.problems
        ):
            return frozenset(DATA_FAMILIES)  # nothing says of which it was, nor that it is one
        found = {
            family_of_table(os.path.join(self._folder, name)) for name in self.rebuild().left_out
        }
        return frozenset(DATA_FAMILIES if None in found else {name for name in found if name})


def _save(folder: str, made: str, encoder: Encoder | None) -> _Outcome:
    with contextlib.ExitStack() as views:
        findings = look_at(folder)
        sources = _Sources(folder, findings, views)
        identity = _identity(folder, sources, encoder)
        dimension = dimension_of(identity)
        log = Log(made, MemoryConfig(path=made, dimension=dimension))
        try:
            log.put_meta("identity", msgspec.json.encode(identity))
            saving = Saving(log, dimension)
            lost = _known_losses(folder, findings) + _fill(folder, saving, sources)
            saving.finish()
        finally:
            log.close()
        return _Outcome(lost, saving.from_beneath)


def _fill(folder: str, saving: Saving, sources: _Sources) -> list[Problem]:
    """Save what the sources have; what is lost of it."""
    lost: list[Problem] = []
    if sources.listed is not None:
        best = sources.listed
        gaps = saving.take(best)
        if sources.rebuilt is not None:
            # without what it was made with, the list of tables lacked more than that, perhaps
            _take_rebuilt(saving, sources)
        elif gaps:
            with contextlib.suppress(CorruptionError):
                saving.take(sources.rebuild(), gaps, beneath=TIERS, witness=Witness(best))
    else:
        best = sources.rebuild()
        gaps = _take_rebuilt(saving, sources)
        lost += [
            Problem(os.path.join(folder, name), "cannot be read to its end; none of it is")
            for name in best.left_out
        ]
    lost += [gap_problem(tier, gap) for tier, of in gaps.items() for gap in of]
    missing, first = saving.missing_of(best)
    if missing:
        what = (
            f"names {missing:,} memories that are nowhere, the first {name_of('ids', first or b'')}"
        )
        lost.append(Problem("ids", what))
    if saving.not_records:
        what = f"held {saving.not_records:,} records that are none of ours, or cut short"
        lost.append(Problem(folder, what))
    return lost


def _take_rebuilt(saving: Saving, sources: _Sources) -> dict[str, list[Gap]]:
    """Save what all tables and logs have together; where it could not be read, by tier."""
    view, hidden = sources.rebuild(), sources.hidden_families()
    witness = None if "ids" in hidden else Witness(view)
    return saving.take(view, beneath=hidden, witness=witness)


def _identity(folder: str, sources: _Sources, encoder: Encoder | None) -> dict[str, object]:
    """What the database was made with. Raises CorruptionError, IncompatibleError."""
    for found in sources:
        try:
            identity = identity_of(found)
            dimension_of(identity)
        except IncompatibleError as error:
            raise IncompatibleError(folder, error.problem) from None
        except DatabaseError:
            continue
        return identity
    if encoder is None:
        raise CorruptionError(
            folder, "no longer says what it was made with; give repair its encoder"
        )
    return {
        "format": FORMAT_VERSION,
        "encoder": encoder.name,
        "encoder_version": encoder.version,
        "dimension": encoder.dimension,
    }


def _known_losses(folder: str, findings: Findings) -> list[Problem]:
    losses = [
        problem
        for problem in findings.problems
        if problem.place.endswith(".sst") or problem.place == folder
    ]
    if findings.lost_batches:
        what = (
            f"had {findings.lost_batches:,} places that cannot be read, each of a store, a move, "
        )
        what += "a deletion or more"
        losses.append(Problem(os.path.join(folder, "*.log"), what))
    return losses


def _checked(folder: str, made: str) -> Verification:
    """What the new database holds. Raises CorruptionError if it is not whole."""
    result = verify(made)
    if not result.is_clean:
        raise CorruptionError(
            folder, f"could not be repaired: the result has damage ({result.problems[0]})"
        )
    return result
