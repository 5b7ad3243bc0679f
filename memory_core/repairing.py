"""`repair`: saves what can be read of a damaged database into a new one.

The damaged folder's files are never written to. What it holds is read through a view of them
(`memory_core.rocks_tools`), from the best source to the worst:

1. as CURRENT and MANIFEST say, with the logs' damaged parts left out, around damaged blocks;
2. where that cannot be opened, or a block hides what lies in other tables: from all tables that
   can be read to their end, and the logs, in a list that RocksDB makes anew.

Of a memory that is found twice the one stored last is kept, and of equals the one further down:
what was moved is left behind by a move whose deletion was lost.

The new database is made under a temporary name, checked by `verify`, and then renamed.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from memory_core.config import MemoryConfig
from memory_core.damage import Findings, Problem, look_at, mend_all, ours
from memory_core.encoder import Encoder
from memory_core.errors import BadInputError, CorruptionError, DatabaseError
from memory_core.folder_lock import held_to_read
from memory_core.inspection import Verification, dimension_of, identity_of, verify
from memory_core.log import Log
from memory_core.new_folder import new_folder, require_free
from memory_core.operations import TIERS
from memory_core.record import FORMAT_VERSION, ids_of, parts_of
from memory_core.rocks_tools import View
from memory_core.salvage import Gap, Salvage
from memory_core.tier_reading import checked_parts, gap_problem

__all__ = ["Repair", "repair"]

_WRITTEN_TOGETHER = 1_000


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
        CorruptionError: nothing can be saved, or not even what it was made with is known.
        StorageFullError, DatabaseError: the new one cannot be written.
    """
    folder = os.path.normpath(ours(path))
    aside = f"{folder}.damaged" if target is None else None
    final = folder if target is None else os.path.normpath(os.fspath(target))
    if aside is not None and os.path.lexists(aside):
        raise BadInputError("path", f"{aside} exists already; move it away or name a target")
    if aside is None:
        require_free(final, "target")
    with held_to_read(folder), new_folder(final) as new:
        saving = _save(folder, new.path, encoder)
        result = _checked(folder, new.path)
        with _moved(folder, aside):
            new.finish()
    return Repair(
        path=final,
        damaged=aside or folder,
        saved={name: tier.memories for name, tier in result.tiers.items()},
        agents=result.agents,
        lost=tuple(saving.lost),
        from_beneath=saving.from_beneath,
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
class _Saving:
    """The new database while it is filled."""

    folder: str
    log: Log
    dimension: int
    lost: list[Problem] = field(default_factory=list)
    from_beneath: int = 0
    not_records: int = 0

    def take(self, view: View, only_in: Mapping[str, list[Gap]] | None) -> dict[str, list[Gap]]:
        """Take over what a view shows; where it could not be read, by tier.

        Args:
            view: the source.
            only_in: take only what lies in these gaps, by tier; None takes everything.
        """
        gaps: dict[str, list[Gap]] = {}
        # from the bottom up: of a memory in two tiers the lower is where it was moved to
        for tier in reversed(range(len(TIERS))):
            name = TIERS[tier]
            if name not in view.families or (only_in is not None and not only_in.get(name)):
                continue
            salvage = Salvage(functools.partial(view.cursor, name), view.error_of)
            together: dict[bytes, bytes] = {}
            for key, value in salvage.records():
                if only_in is not None and not any(gap.covers(key) for gap in only_in[name]):
                    continue
                together[key] = value
                if len(together) == _WRITTEN_TOGETHER:
                    self._put(tier, together, beneath=only_in is not None)
                    together = {}
            self._put(tier, together, beneath=only_in is not None)
            if salvage.gaps:
                gaps[name] = salvage.gaps
        return gaps

    def _put(self, tier: int, records: dict[bytes, bytes], *, beneath: bool) -> None:
        keys = list(records)
        if not keys:
            return
        held = [self.log.get_many(other, keys) for other in range(len(TIERS))]
        batch = self.log.batch()
        for position, key in enumerate(keys):
            value = records[key]
            try:
                ids_of(key)
                sequence = checked_parts(value, self.dimension).sequence
            except ValueError:
                self.not_records += 1
                continue
            others = [values[position] for values in held]
            if any(
                other is not None and parts_of(other, self.dimension).sequence >= sequence
                for other in others
            ):
                continue
            for other_tier, other in enumerate(others):
                if other is not None and other_tier != tier:
                    batch.delete(other_tier, key)
            batch.put(tier, key, value)
            self.from_beneath += beneath
        if len(batch):
            self.log.write(batch)


def _save(folder: str, made: str, encoder: Encoder | None) -> _Saving:
    with contextlib.ExitStack() as open_views:
        findings = look_at(folder)
        sources: list[View] = []
        if findings.view is not None:
            sources.append(open_views.enter_context(findings.view))
        rebuilt: View | None = None
        if not sources:
            rebuilt = open_views.enter_context(_rebuilt(folder, findings))
            sources.append(rebuilt)
        identity = _identity(sources, None)
        if identity is None and rebuilt is None:
            rebuilt = open_views.enter_context(_rebuilt(folder, findings))
            identity = _identity([rebuilt], None)
            if identity is not None:  # then the list of tables lacked more than that, perhaps
                sources.append(rebuilt)
        identity = identity or _identity([], encoder)
        if identity is None:
            raise CorruptionError(
                folder, "no longer says what it was made with; give repair its encoder"
            )
        dimension = dimension_of(identity)
        log = Log(made, MemoryConfig(path=made, dimension=dimension))
        try:
            log.put_meta("identity", msgspec.json.encode(identity))
            saving = _Saving(made, log, dimension)
            saving.lost += _known_losses(folder, findings)
            gaps = saving.take(sources[0], None)
            for source in sources[1:]:
                saving.take(source, None)
            if gaps and sources[0] is not rebuilt:
                with contextlib.suppress(CorruptionError):
                    rebuilt = rebuilt or open_views.enter_context(_rebuilt(folder, findings))
                    saving.take(rebuilt, gaps)
            saving.lost += [gap_problem(tier, gap) for tier, of in gaps.items() for gap in of]
            if rebuilt is sources[0]:
                saving.lost += [
                    Problem(os.path.join(folder, name), "cannot be read to its end; none of it is")
                    for name in rebuilt.left_out
                ]
            if saving.not_records:
                what = f"held {saving.not_records:,} records that are none of ours, or cut short"
                saving.lost.append(Problem(folder, what))
            log.sync()
        finally:
            log.close()
        return saving


def _rebuilt(folder: str, findings: Findings) -> View:
    """A view of all tables and logs, whose damaged parts are left out first."""
    mend_all(folder, findings)
    return View(folder, logs=findings.logs, rebuild=True)


def _identity(views: list[View], encoder: Encoder | None) -> dict[str, object] | None:
    for view in views:
        with contextlib.suppress(DatabaseError):
            identity = identity_of(view)
            dimension_of(identity)
            return identity
    if encoder is None:
        return None
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
        what = f"had {findings.lost_batches:,} places that cannot be read, of a write or more each"
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
