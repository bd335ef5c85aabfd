"""An opened table of pairs, or its index, with what commands, notebooks and reports ask of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mmc4viz.data.scale import MAX_STEPS, Thresholds
from mmc4viz.data.storage import remember
from mmc4viz.pairs.choose import by_fraction, by_share, count_kept
from mmc4viz.pairs.count import CountPlan, count, open_pair_index, plan_of
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.histogram import PairTally
from mmc4viz.pairs.layout import ScoreColumn, named_column
from mmc4viz.pairs.recognise import JoinedFile
from mmc4viz.pairs.selection import PairSelection, RowCondition, Together, conditions_on
from mmc4viz.pairs.settings import PairSettings
from mmc4viz.pairs.table import PairTable, keys_of, open_table
from mmc4viz.thresholds.proposal import Proposal
from mmc4viz.types import ConfigError

if TYPE_CHECKING:
    from mmc4viz.pairs.slices.sliced import PairSlice, PairSlices
    from mmc4viz.thresholds.by_yield import Target

Advance = Callable[[int], object]
ShowProgress = Callable[[], AbstractContextManager[Advance]]


def _silent() -> AbstractContextManager[Advance]:
    return nullcontext(lambda _: None)


@dataclass(frozen=True)
class OpenedPairs:
    """A table, what is counted of it, and by which scores rows are kept.

    Attributes
    ----------
    paths : tuple of str
        The files; those of an index are opened only when rows are needed.
    plan : CountPlan
    columns : tuple of ScoreColumn
        The scores in use: alternatives, or the two that decide together.
    together : str
        How two scores decide.
    second : float or None
        Threshold of the second score, if it is fixed.
    settings : PairSettings or None
        Read from a config.
    known : PairTable or None
        The table, unless only its index was opened.
    counted : dict of CountPlan to PairCurves
        What was counted so far.
    make_workers : callable
        Returns an executor with a number of workers.
    show_progress : callable
        Returns a context in which numbers of rows are reported.
    notes, errors : list of str
        Grow while the table is read.
    """

    paths: tuple[str, ...]
    plan: CountPlan
    columns: tuple[ScoreColumn, ...]
    together: Together = "one"
    second: float | None = None
    settings: PairSettings | None = None
    known: PairTable | None = None
    counted: dict[CountPlan, PairCurves] = field(default_factory=dict)
    make_workers: Callable[[int], AbstractContextManager[Executor]] = ThreadPoolExecutor
    show_progress: ShowProgress = _silent
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @cached_property
    def table(self) -> PairTable:
        """The table, opened if only its index was."""
        return self.known if self.known is not None else open_table(self.paths)

    @property
    def joined(self) -> str:
        """The file whose columns are joined, as ``FILE:KEY``; empty without."""
        return "" if self.known is None else str(self.known.joined or "")

    @property
    def tally(self) -> PairTally:
        """What was counted."""
        return self.curves.tally

    @cached_property
    def curves(self) -> PairCurves:
        """The curves; counts the table if it has no index."""
        if self.plan not in self.counted:
            workers = self._workers
            make = partial(self.make_workers, workers)
            with self.show_progress() as advance:
                tally = count(self.table, self.plan, make, workers, advance)
            self.counted[self.plan] = PairCurves(self.plan, tally)
        found = self.counted[self.plan]
        self.notes.extend(found.notes())
        self.errors.extend(found.tally.errors)
        return found

    @property
    def _workers(self) -> int:
        return len(os.sched_getaffinity(0))

    def deciding(
        self,
        columns: Sequence[ScoreColumn],
        together: Together = "one",
        second: float | None = None,
        *,
        joint: bool = False,
    ) -> OpenedPairs:
        """Return the same table with other scores in use.

        Parameters
        ----------
        columns : sequence of ScoreColumn
        together : str
        second : float, optional
        joint : bool
            Whether two are counted together although they do not decide together.
        """
        columns, joint = tuple(columns), joint or together != "one"
        known = (one for one in (self.plan, *self.counted) if _covers(one, columns, joint))
        plan = next(known, self.plan)
        if self.known is not None and not _covers(plan, columns, joint):
            plan = replace(plan, columns=columns, joint=joint)
        return replace(self, plan=plan, columns=columns, together=together, second=second)

    @property
    def fixed(self) -> tuple[float, ...]:
        """The threshold of the second score, if there is one."""
        return () if self.second is None else (self.second,)

    def alternatives(self) -> list[tuple[ScoreColumn, ...]]:
        """Return the scores that are each looked at: single ones, or two together."""
        if self.together != "one":
            return [self.columns]
        return [(one,) for one in self.columns]

    def column(self, asked: str) -> ScoreColumn:
        """Return the column that a person means.

        Raises
        ------
        ConfigError
            If there is none, several could be meant, or the index did not count it.
        """
        return self.known.column(asked) if self.known is not None else _counted(asked, self.plan)

    def name_of(self, columns: Sequence[ScoreColumn]) -> str:
        """Return what a threshold is for."""
        return " + ".join(c.name for c in columns) if self.together == "sum" else columns[0].name

    def selection(self, *thresholds: float, columns: Sequence[ScoreColumn] = ()) -> PairSelection:
        """Return which rows are kept at thresholds."""
        chosen = tuple(columns) or self.alternatives()[0]
        return PairSelection(chosen, thresholds, self.together, self.plan.where, self.plan.rule)

    def chosen(self, threshold: float | None) -> PairSelection:
        """Return which rows are kept at the threshold that a person gave.

        Raises
        ------
        ConfigError
            Without one.
        """
        if threshold is None and self.settings is not None:
            threshold = self.settings.thresholds[0]
        if threshold is None:
            raise ConfigError(
                f"give --threshold T for {self.name_of(self.alternatives()[0])} (mmc4viz suggest "
                "finds one)"
            )
        if not np.isfinite(threshold):
            raise ConfigError(f"--threshold: {threshold} is not a finite number")
        self._check_second()
        return self.selection(threshold, *self.fixed)

    def _check_second(self) -> None:
        if self.together in ("and", "or") and self.second is None:
            raise ConfigError(f"--{self.together} needs a threshold here: COLUMN=T")

    # --- questions -------------------------------------------------------------------------------

    def kept(
        self, columns: tuple[ScoreColumn, ...], places: Sequence[tuple[float, ...]]
    ) -> list[int]:
        """Return the rows kept at thresholds: looked up, or counted where they are between steps.

        Parameters
        ----------
        columns : tuple of ScoreColumn
        places : sequence of tuple of float
            One threshold, or one for each score, at each place.

        Raises
        ------
        ConfigError
            If too many are between steps.
        """
        found: list[int | None] = []
        for place in places:
            try:
                found.append(self.curves.kept(columns, place, self.together))
            except ConfigError:
                found.append(None)
        missing = [place for place, kept in zip(places, found, strict=True) if kept is None]
        counted: Iterator[int] = iter(())
        if missing:
            if len(missing) > MAX_STEPS:
                raise ConfigError(f"{len(missing):,} pairs of thresholds are no steps of the grid")
            selections = [self.selection(*place, columns=columns) for place in missing]
            counted = iter(count_kept(self.table, selections, self.errors))
        return [next(counted) if kept is None else kept for kept in found]

    def curve_rows(self, asked: Thresholds | None = None) -> Iterator[dict[str, Any]]:
        """Yield what each threshold keeps, as ``mmc4viz curve`` prints it.

        Parameters
        ----------
        asked : ndarray of float64, optional
            Thresholds; some fifty over the range of the scores by default.
        """
        for columns in self.alternatives():
            at = asked if asked is not None else self._grid(columns)
            if self.together in ("and", "or") and self.second is None:
                second = asked if asked is not None else self._grid(columns[1:])
                each = [(one, other) for one in at.tolist() for other in second.tolist()]
            else:
                each = [(one, *self.fixed) for one in at.tolist()]
            for place, kept in zip(each, self.kept(columns, each), strict=True):
                share = kept / self.tally.rows if self.tally.rows else None
                places = {"threshold": place[0]}
                if len(place) > 1:
                    places |= {"and" if self.together == "and" else "or": columns[1].name,
                               "second_threshold": place[1]}  # fmt: skip
                yield {"score": self.name_of(columns), **places, "pairs": kept, "share": share}

    def _grid(self, columns: Sequence[ScoreColumn]) -> Thresholds:
        """Return at most some fifty thresholds over the range of the scores, rounded."""
        grid, first, last = self.span(columns)
        if not last > first:
            return grid[first : first + 1]
        sizes = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
        every = next(n for n in sizes if (last - first) / n <= 50)
        return grid[first // every * every : last + every : every]

    def span(self, columns: Sequence[ScoreColumn]) -> tuple[Thresholds, int, int]:
        """Return the grid of a score, or of a sum, and the steps around the lowest and highest."""
        together: Together = "sum" if self.together == "sum" else "one"
        grid = self.curves.thresholds(columns, together)
        ends = [(self.curves.of(one).lowest, self.curves.of(one).highest) for one in columns]
        used = ends if together == "sum" else ends[:1]
        low, high = (float(np.sum([one[k] for one in used])) for k in (0, 1))
        first, last = np.searchsorted(grid, [low, high])
        return grid, max(int(first) - 1, 0), min(int(last) + 1, len(grid) - 1)

    def suggest(self, targets: Sequence[Target], fractions: Sequence[float]) -> list[Proposal]:
        """Suggest the highest threshold of the first score, or sum, for each target.

        Parameters
        ----------
        targets : sequence of Target
            Of pairs.
        fractions : sequence of float
            As DataComp's ``--fraction``.

        Raises
        ------
        ConfigError
            For another target, or without the second threshold.
        """
        for target in targets:
            if target.quantity != "pairs":
                raise ConfigError(f"{target}: a table of pairs has pairs only: --keep pairs=AMOUNT")
        self._check_second()
        selection = self.selection(0.0, *self.fixed)
        arguments = self.table, self.curves, selection
        found = [
            by_share(*arguments, _rows_of(target, self.tally.rows), str(target), self.errors)
            for target in targets
        ]
        return found + [by_fraction(*arguments, share, self.errors) for share in fractions]

    def slices(
        self, names: Sequence[str], selection: PairSelection, most: int = 30
    ) -> list[tuple[PairSlices, list[PairSlice]]]:
        """Divide the table by ``site`` or columns, and compare the slices at a selection.

        Parameters
        ----------
        names : sequence of str
        selection : PairSelection
        most : int
            Number of values that are slices of their own.

        Raises
        ------
        ConfigError
            If there is no such column.
        """
        from mmc4viz.pairs.slices.division import attribute_of  # imported late to start faster
        from mmc4viz.pairs.slices.sliced import slices_of

        asked = [attribute_of(self.table, name) for name in dict.fromkeys(names)]
        plan = replace(self.plan, columns=selection.scores, joint=selection.together != "one")
        make, found = partial(self.make_workers, self._workers), []
        with self.show_progress() as advance:
            for attribute in asked:
                one = slices_of(self.table, attribute, plan, most, make, self._workers, advance)
                found.append((one, self._compared(one, selection)))
                self.notes.extend(one.notes)
                self.errors.extend(one.tally.errors)
        return found

    def _compared(self, one: PairSlices, selection: PairSelection) -> list[PairSlice]:
        """Compare slices at a threshold: looked up, or counted where it is between two steps."""
        from mmc4viz.pairs.slices.sliced import compared_slices, kept_by_slice

        try:
            kept = one.kept(selection.scores, selection.thresholds, selection.together)
        except ConfigError:
            kept = kept_by_slice(self.table, one, selection, self.errors)
        return compared_slices(one, kept, selection.scores[0])


def _covers(plan: CountPlan, columns: Sequence[ScoreColumn], joint: bool) -> bool:
    """Whether a plan counts some columns, and the first two of them together if they must be."""
    if not set(columns) <= set(plan.columns):
        return False
    return not joint or (plan.joint and set(columns[:2]) == set(plan.columns[:2]))


def _rows_of(target: Target, rows: int) -> int:
    """Return the number of rows to keep, rounded up."""
    wanted = target.amount * (rows if target.share else 1)
    return int(-(-wanted // 1))


def opened_table(
    patterns: Sequence[str],
    named: Sequence[str] = (),
    where: Sequence[str] = (),
    *,
    strict: bool = False,
    together: Together = "one",
    other: str | None = None,
    joined: str | None = None,
) -> OpenedPairs:
    """Open a table.

    Parameters
    ----------
    patterns : sequence of str
        Files, folders, globs or braces.
    named : sequence of str
        Scores, each as ``COLUMN`` or ``COLUMN=MODEL``; all known ones by default.
    where : sequence of str
        Conditions on rows.
    strict : bool
        Whether a score must be above the threshold.
    together : str
    other : str, optional
        The score that decides together with the first.
    joined : str, optional
        Another file whose columns are joined by key, as ``FILE`` or ``FILE:KEY``.

    Raises
    ------
    ConfigError, ShardError
    """
    table = open_table([remember(one) for one in patterns], named, joined)
    columns = table.scores[: len(named) or None]
    if other is not None and columns:
        columns = (columns[0], table.column(other))
        if columns[0].name == columns[1].name:
            raise ConfigError(f"--{together} {other}: is the first score itself; see --score")
    plan = plan_of(table, columns, conditions_on(where, table), strict)
    plan = replace(plan, joint=plan.joint and other is not None)
    notes = [] if table.joined is None else [_size_of(table.joined)]
    return OpenedPairs(table.paths, plan, columns, together, known=table, notes=notes)


def _size_of(joined: JoinedFile) -> str:
    """Say how a file is joined, and what that takes."""
    keys = keys_of(joined)
    return (
        f"{joined.path}: {len(keys.row):,} rows joined by {joined.key!r} to {joined.id!r}; their "
        f"keys take {keys.n_bytes / 1e6:,.1f} MB of memory, in each worker"
    )


def opened_index(
    folder: str,
    named: Sequence[str] = (),
    where: Sequence[str] = (),
    *,
    strict: bool = False,
    together: Together = "one",
    other: str | None = None,
    joined: str | None = None,
) -> OpenedPairs:
    """Open the index of a table; the other arguments are those of `opened_table`.

    Raises
    ------
    ConfigError
        Also if the index was made under other conditions, or a file is to be joined.
    """
    if joined:
        raise ConfigError("--scores joins columns to a TABLE, not to an index: give the TABLE")
    index = open_pair_index(remember(folder))
    index.check(tuple(map(RowCondition.parse, where)), strict=strict)
    plan = index.plan
    scores = tuple(one for one in plan.columns if one.is_score) or plan.columns
    columns = tuple(_counted(name, plan) for name in named) or scores
    if other is not None:
        columns = (columns[0], _counted(other, plan))
    curves = {plan: PairCurves(plan, index.tally)}
    return OpenedPairs(index.paths, plan, columns, together, counted=curves)


def _counted(asked: str, plan: CountPlan) -> ScoreColumn:
    name = asked.partition("=")[0]
    found = named_column(name, plan.columns)
    if found is None:
        names = ", ".join(one.name for one in plan.columns)
        raise ConfigError(f"{name!r} is not one of the columns of the index ({names})")
    return found
