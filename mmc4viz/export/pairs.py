"""What is handed on of a table of image–text pairs: settings, lists of kept rows, and the report.

The report is made of the same parts as that of documents (`mmc4viz.export.sections`). All its
numbers come from `mmc4viz.pairs.opened`.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from markupsafe import Markup

from mmc4viz.arrays import Floats, Ints
from mmc4viz.data.storage import refuse_inputs, whole_file
from mmc4viz.export.methods import choice, citation_section, share
from mmc4viz.export.provenance import time_of_writing
from mmc4viz.export.sections import (
    Charts,
    Code,
    Folded,
    Heading,
    Numbers,
    Paragraph,
    Part,
    Points,
    Section,
    Table,
    Terms,
    counted,
    html_page,
)
from mmc4viz.export.svg import curve, histogram, intervals
from mmc4viz.pairs.choose import count_kept
from mmc4viz.pairs.comparison import compared, quantiles, rank_correlation
from mmc4viz.pairs.count import layout_named
from mmc4viz.pairs.layout import ScoreColumn
from mmc4viz.pairs.opened import OpenedPairs, ShowProgress
from mmc4viz.pairs.rows.examples import named_model
from mmc4viz.pairs.rows.manifest import write_kept, write_uids
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.pairs.settings import PairSettings, settings_text
from mmc4viz.pairs.slices.division import attribute_of
from mmc4viz.pairs.slices.sliced import ASSUMPTION, SLICE_WORDS, PairSlice, PairSlices
from mmc4viz.text import without_folders
from mmc4viz.types import ConfigError

if TYPE_CHECKING:
    from mmc4viz.data.scale import Scale

_FILES: Final = 50  # named
_BARS: Final = 60
_DRAWN: Final = 300  # thresholds of a curve
_CELLS: Final = 8  # thresholds of each score, where there are two
_MOST_SLICES: Final = 30  # of a picture
_QUANTILES: Final = (0.01, 0.25, 0.5, 0.75, 0.99)
_EXACT: Final = "Exact counts of all rows, no CI."
_TERMS: Final = {
    "pair": "An image with its text: a row of the table.",
    "score": "A number that the table has of each pair, such as the CLIP similarity of its image "
    "and text.",
    "threshold": "Pairs that score below it are dropped; by the rule >, those that equal it, too.",
    "condition": "What a row must meet to be kept, whatever its score.",
    "pair overlap (IoU)": "Pairs that both scores keep, divided by pairs that either keeps.",
}


# --- the report ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairContent:
    """The content of a report on a table of pairs.

    Attributes
    ----------
    opened : OpenedPairs
        With the scores of the selection in use.
    selection : PairSelection
    command : str
        That makes this report.
    facts : mapping
        As in the settings.
    slices : sequence of (PairSlices, list of PairSlice)
        As `OpenedPairs.slices` returned them.
    created : datetime
    """

    opened: OpenedPairs
    selection: PairSelection
    command: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    slices: Sequence[tuple[PairSlices, list[PairSlice]]] = ()
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def of(
        cls,
        opened: OpenedPairs,
        selection: PairSelection,
        command: Sequence[str],
        facts: Mapping[str, Any],
        by: Sequence[str] = (),
    ) -> PairContent:
        """Gather the content of a report.

        Parameters
        ----------
        opened : OpenedPairs
        selection : PairSelection
        command : sequence of str
            Words of the command, in which folders are left out.
        facts : mapping
            As in the settings.
        by : sequence of str
            What to divide by.
        """
        if selection.together == "one":
            others = [one for one in opened.columns if one.name != selection.scores[0].name]
            columns = (*selection.scores, *others)
            opened = opened.deciding(columns, joint=len(columns) > 1)
        else:
            second = (*selection.thresholds, None)[1]
            opened = opened.deciding(selection.scores, selection.together, second)
        words = shlex.join(map(without_folders, command))
        return cls(opened, selection, words, facts, opened.slices(by, selection), time_of_writing())

    @property
    def kept(self) -> int:
        """The rows that are kept."""
        return self.opened.kept(self.selection.scores, [self.selection.thresholds])[0]


def pair_report(content: PairContent) -> str:
    """Return a report on a table of pairs as one HTML page."""
    opened, selection = content.opened, content.selection
    models = dict.fromkeys(named_model(one.model) for one in selection.scores if one.is_score)
    about = [f"CLIP model {' and '.join(models)}"] if models else []
    about.append(f"created {content.created:%Y-%m-%dT%H:%M:%SZ} by mmc4viz {_version()}")
    names = [os.path.basename(path) for path in opened.paths]
    ends = " to ".join(dict.fromkeys((names[0], names[-1])))
    return html_page(
        f"Image–text pairs with {_thresholds(selection)}",
        "; ".join(about),
        f"Table: n = {counted(opened.tally.rows, 'row')} in {counted(len(names), 'file')} "
        f"({ends}).",
        [
            _kept_section(content),
            Section("Methods", [Code(_methods(content), prose=True)]),
            _rationale_section(content.facts),
            _table_section(content),
            _curve_section(content),
            _both_section(content),
            _comparison_section(content),
            _slices_section(content),
            _odd_section(opened),
            Section("Command", [Code(content.command)]),
            Section("Definitions", [Terms(_TERMS)]),
            _settings_section(content),
            citation_section(),
        ],
    )


def _version() -> str:
    return version("mmc4viz")


def _thresholds(selection: PairSelection) -> str:
    return str(replace(selection, where=()))


def _kept_section(content: PairContent) -> Section:
    """Return how many rows are kept, and where the others are lost."""
    tally, kept, selection = content.opened.tally, content.kept, content.selection
    numbers = [{"value": f"{kept:,}", "lines": [f"pairs kept (of {tally.rows:,})"]}]
    if tally.rows:
        numbers.append({"value": f"{kept / tally.rows:.2%}", "lines": ["of all pairs"]})
    if tally.pool < tally.rows and tally.pool:
        words = "of the pairs that the conditions admit"
        numbers.append({"value": f"{kept / tally.pool:.2%}", "lines": [words]})
    rows = [
        ("all rows", tally.rows),
        ("image not downloaded, according to img2dataset", -tally.not_downloaded),
        (f"excluded by {' and '.join(map(str, selection.where))}", -tally.filtered),
        ("below the threshold, or without a score", kept - tally.pool),
        ("kept", kept),
    ]
    shown = [
        (words, f"{n:,}".replace("-", "−"), share(abs(n) / tally.rows) if tally.rows else "–")
        for at, (words, n) in enumerate(rows)
        if n or at in (0, 3, 4)
    ]
    for condition, met in zip(selection.where, tally.met.tolist(), strict=True):
        of = share(met / tally.rows) if tally.rows else "–"
        shown.append((f"rows that meet {condition} by itself", f"{met:,}", of))
    caption = f"What becomes of the rows when a pair is kept if {selection}. {_EXACT}"
    said = Paragraph(f"A pair is kept if {selection}.")
    return Section(
        "Kept pairs",
        [said, Numbers(numbers), Table(("", "rows", "of all"), shown, caption, (1, 2))],
    )


def _methods(content: PairContent) -> str:
    """Return two sentences for a paper's methods section."""
    selection, tally, kept = content.selection, content.opened.tally, content.kept
    layout = layout_named(content.opened.plan.layout)
    of = " and ".join(
        f"{one.name} is the score by {named_model(one.model)}"
        for one in selection.scores
        if one.is_score
    )
    percent = f" ({share(kept / tally.rows)})" if tally.rows else ""
    chosen = choice(content.facts.get("chosen", {}))
    noun = "thresholds" if len(selection.thresholds) > 1 else "a threshold"
    return (
        f"Image–text pairs ({layout.words}) were kept if {selection}{f'; {of}' if of else ''}; "
        f"{noun} chosen {chosen}. By the counts of mmc4viz {_version()}, this kept {kept:,} of "
        f"{counted(tally.rows, 'pair')}{percent}."
    )


def _rationale_section(facts: Mapping[str, Any]) -> Section:
    chosen, parts = facts.get("chosen", {}), list[Part]()
    if chosen.get("target"):
        words = f"Threshold chosen {choice(chosen)}. {chosen.get('assumption', '')}"
        parts.append(Paragraph(words.strip()))
    if facts.get("note"):
        parts.append(Paragraph(str(facts["note"]), note=True))
    return Section("Rationale", parts)


def _table_section(content: PairContent) -> Section:
    """Return what was read."""
    opened, rule = content.opened, content.selection.rule
    layout = layout_named(opened.plan.layout)
    precision = "the column's own precision" if rule.own_precision else "double precision"
    names = [os.path.basename(path) for path in opened.paths]
    shown = ", ".join(names[:_FILES])
    more = f" and {len(names) - _FILES:,} more" if len(names) > _FILES else ""
    facts = [
        ("table", layout.words),
        ("files", f"{len(names):,}: {shown}{more}"),
        ("rows", f"{opened.tally.rows:,}"),
        ("conditions", " and ".join(map(str, content.selection.where)) or "none"),
        ("rule", f"score {rule.sign} threshold, in {precision}"),
        ("source of columns and rule", layout.source),
    ]
    head = ("score", "CLIP model", "scale", "pairs", "lowest", *_percents(), "highest")
    rows = [_spread(opened, one) for one in opened.plan.columns]
    caption = (
        "The scores of the rows that the conditions admit. Quantiles are steps of the scale, "
        "rounded down."
    )
    return Section(
        "Table",
        [
            Table(("what", "value"), facts, "What was read."),
            Table(head, rows, caption, range(3, len(head))),
        ],
    )


def _percents() -> list[str]:
    return [f"{100 * q:g}%" for q in _QUANTILES]


def _spread(opened: OpenedPairs, column: ScoreColumn) -> tuple[str, ...]:
    found, tally = quantiles(opened.curves, column, _QUANTILES), opened.curves.of(column)
    values = [f"{one:g}" for one in found] or ["–"] * len(_QUANTILES)
    ends = ("–" if math.isnan(end) else f"{end:.6g}" for end in (tally.lowest, tally.highest))
    low, high = ends
    model = named_model(column.model) if column.is_score else "–"
    some = opened.tally.pool - tally.missing - tally.malformed
    return column.name, model, column.scale.name, f"{some:,}", low, *values, high


# --- pictures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Steps:
    """The rows in each step of a grid, and the range in which there are some.

    Attributes
    ----------
    scale : Scale
    counts : ndarray of int64, shape (K,)
        Those below the grid are in its first step.
    span : (int, int)
        The first step with rows, and the one after the last.
    """

    scale: Scale
    counts: Ints
    span: tuple[int, int]

    @classmethod
    def of(cls, scale: Scale, histogram: Ints, missing: int, outside: int = 0) -> _Steps:
        counts = histogram[1:].copy()
        counts[0] += histogram[0] - missing
        shown = counts.copy()
        if outside:  # at the ends of the scale
            shown[[0, -1]] = 0
        used = np.flatnonzero(shown)
        last = len(counts) - 1
        span = (int(used[0]), min(int(used[-1]) + 1, last)) if len(used) else (0, last)
        return cls(scale, counts, span)

    def split(self, threshold: float, kept: int) -> tuple[Floats, Ints]:
        """Return a value inside of each step with its rows; the threshold's own step is split.

        Parameters
        ----------
        threshold : float
        kept : int
            Rows at or above it.
        """
        grid, quarter = self.scale.thresholds(), self.scale.step / 4
        at = int(np.clip(np.searchsorted(grid, threshold, "right") - 1, 0, len(grid) - 1))
        above = kept - int(self.counts[at + 1 :].sum())
        values, counts = grid + 2 * quarter, self.counts
        here = [threshold - quarter, threshold + quarter]
        values = np.concatenate([values[:at], here, values[at + 1 :]])
        both = [int(counts[at]) - above, above]
        return values, np.concatenate([counts[:at], both, counts[at + 1 :]])


def _curve_section(content: PairContent) -> Section:
    """Return the curve of what is kept, and the distribution of each score that decides."""
    opened, selection = content.opened, content.selection
    if not opened.tally.pool:
        return Section("Kept pairs by threshold")
    each = _distributions(content)
    wide, narrow = _curves(content, each[0][1])
    words = selection.name
    others = f", with {selection.scores[1].name} as chosen" if selection.thresholds[1:] else ""
    parts: list[Part] = [
        Charts(
            [wide],
            f"Pairs kept, as a share of all rows, by the threshold of {words}{others}; the point "
            f"is the threshold {selection.thresholds[0]:g}. {_EXACT}",
            [narrow],
        )
    ]
    for name, steps, threshold, kept in each:
        n = int(steps.counts.sum())
        parts.append(
            Charts(
                [_histogram(name, steps, threshold, kept, _BARS, 1104)],
                f"{name} of the pairs that the conditions admit (n = {n:,}), below the threshold "
                f"{threshold:g} in orange, kept by it in blue. Scores beyond the picture are in "
                f"its outermost bars. {_EXACT}",
                [_histogram(name, steps, threshold, kept, _BARS // 2, 360)],
            )
        )
    return Section("Kept pairs by threshold", parts)


def _distributions(content: PairContent) -> list[tuple[str, _Steps, float, int]]:
    """Return name, rows by step, threshold, and rows kept by it, of each score or of the sum."""
    opened, selection, curves = content.opened, content.selection, content.opened.curves
    if selection.together == "sum":
        assert curves.tally.sums is not None
        sums = curves.tally.sums
        steps = _Steps.of(selection.scale, sums, int(sums[0]))
        return [(selection.name, steps, selection.thresholds[0], content.kept)]
    found = []
    for column, threshold in zip(selection.scores, selection.thresholds, strict=True):
        tally = curves.of(column)
        missing = tally.missing + tally.malformed
        steps = _Steps.of(column.scale, tally.histogram, missing, tally.outside)
        kept = _kept_alone(opened, column, threshold)
        found.append((column.name, steps, threshold, kept))
    return found


def _kept_alone(opened: OpenedPairs, column: ScoreColumn, threshold: float) -> int:
    """Return the rows that one score keeps by itself."""
    try:
        return opened.curves.kept([column], [threshold])
    except ConfigError:  # between two steps
        plan = opened.plan
        alone = PairSelection((column,), (threshold,), "one", plan.where, plan.rule)
        return count_kept(opened.table, [alone], opened.errors)[0]


def _curves(content: PairContent, steps: _Steps) -> list[Markup]:
    """Draw the share of rows kept by the first score's threshold, or the sum's; wide and narrow."""
    opened, selection = content.opened, content.selection
    grid, (first, last) = steps.scale.thresholds(), steps.span
    at = np.unique(np.linspace(first, last, min(_DRAWN, last - first + 1)).round().astype(int))
    threshold = selection.thresholds[0]
    shown = np.union1d(grid[at], [threshold])
    places = [(one, *selection.thresholds[1:]) for one in shown.tolist()]
    kept = opened.kept(selection.scores, places)
    values = np.array(kept, np.float64) / max(opened.tally.rows, 1)
    span = min(float(grid[first]), threshold), max(float(grid[last]), threshold)
    step = int(np.searchsorted(shown, threshold))
    title = "share of pairs kept"
    return [curve(shown, values, step, span, title, share, width) for width in (1104, 360)]


def _histogram(
    name: str, steps: _Steps, threshold: float, kept: int, bars: int, width: int
) -> Markup:
    """Draw a distribution in bars that are as wide as a whole number of steps."""
    first, last = steps.span
    every = max(1, math.ceil((last - first) / bars))
    number = max(1, math.ceil((last - first) / every))
    start = float(steps.scale.thresholds()[first])
    span = start, start + number * every * steps.scale.step
    values, counts = steps.split(threshold, kept)
    return histogram(values, threshold, span, name, number, width, counts)


# --- two scores ----------------------------------------------------------------------------------


def _both_section(content: PairContent) -> Section:
    """Return what pairs of thresholds keep, if two scores decide with one each."""
    opened, selection = content.opened, content.selection
    if selection.together not in ("and", "or") or not opened.tally.pool:
        return Section("Both thresholds")
    steps = [_some(opened, one) for one in selection.scores]
    shares = opened.curves.surface(selection.scores, selection.together)[np.ix_(*steps)]
    grids = [
        [f"{value:g}" for value in one.scale.thresholds()[at].tolist()]
        for one, at in zip(selection.scores, steps, strict=True)
    ]
    one, other = selection.scores
    head = [f"{one.name} ↓ {other.name} →", *grids[1]]
    rows = [
        [at, *(f"{kept / opened.tally.rows:.1%}" for kept in row)]
        for at, row in zip(grids[0], shares.tolist(), strict=True)
    ]
    caption = (
        f"Share of all pairs that reach the threshold of {one.name} (rows) "
        f"{selection.together} that of {other.name} (columns). {_EXACT}"
    )
    return Section("Both thresholds", [Table(head, rows, caption, range(1, len(head)))])


def _some(opened: OpenedPairs, column: ScoreColumn) -> Ints:
    """Return a few steps over the quantiles of a score."""
    found = quantiles(opened.curves, column, np.linspace(0.02, 0.98, _CELLS).tolist())
    return np.unique(np.searchsorted(column.scale.thresholds(), found)).astype(np.int64)


def _comparison_section(content: PairContent) -> Section:
    """Return how two scores that were counted together compare."""
    opened, selection, curves = content.opened, content.selection, content.opened.curves
    pair = [one for one in curves.plan.columns[:2] if one.name != selection.scores[0].name]
    if curves.tally.joint is None or len(pair) != 1 or not opened.tally.pool:
        return Section("Two scores")
    first, second = selection.scores[0], pair[0]
    grid, kept = first.scale.thresholds(), curves.of(first).kept
    if selection.together == "sum":
        step, of = int(np.abs(kept - content.kept).argmin()), "as many pairs as the selection"
    else:
        step = int(np.abs(grid - selection.thresholds[0]).argmin())
        of = f"the pairs that score {selection.rule.sign} {grid[step]:g}"
    found = compared(curves, first, second, float(grid[step]))
    both = found.overlap
    rho, rows = rank_correlation(curves)
    values = [
        ("threshold", f"{found.threshold:.12g}", f"{found.equivalent:.12g}"),
        ("pairs kept", *(f"{n:,}" for n in found.kept)),
        ("kept by this score only", f"{both.only_first:,}", f"{both.only_second:,}"),
        ("kept by both", f"{both.both:,}", f"{both.both:,}"),
    ]
    caption = (
        f"{first.name} keeps {of}; {second.name} has the step of its scale that keeps "
        f"{'as many' if found.exact else 'most nearly as many'}, whatever the rest of the "
        f"selection. {_EXACT}"
    )
    words = f"Pair overlap (IoU): {both.jaccard:.1%}."
    if rows > 1 and not math.isnan(rho):
        words += (
            f" Rank correlation (Spearman) of {rows:,} pairs with both scores: "
            f"{round(rho, 4) + 0.0:.4f}."
        )
    table = Table(("", first.name, second.name), values, caption, (1, 2))
    return Section("Two scores", [table, Paragraph(words)])


# --- the rest ------------------------------------------------------------------------------------


def _slices_section(content: PairContent) -> Section:
    parts: list[Part] = []
    for found, slices in content.slices:
        parts += _division(found, slices, str(content.selection))
    return Section("Slices", parts)


def _division(found: PairSlices, slices: Sequence[PairSlice], selection: str) -> list[Part]:
    """Return what is said of one division."""
    from mmc4viz.pairs.slices.sliced import ordered_slices

    attribute, shown = found.division.attribute, ordered_slices(slices, "cost")
    label = attribute.name if attribute.kind == "site" else attribute.label
    parts: list[Part] = [Heading(f"By {label}")]
    parts += [Paragraph(without_folders(line), small=True) for line in found.notes]
    rows = sum(one.rows for one in shown)
    if not rows:
        return parts
    whole = sum(one.kept for one in shown) / rows
    drawn = [(one.name, one.share, *_ends(one, whole)) for one in shown[:_MOST_SLICES]]
    wide, narrow = (
        intervals(drawn, whole, f"kept share by {label}", width) for width in (1104, 360)
    )
    caption = (
        f"Kept share of pairs by {label}, those that cost most on top, with simultaneous 95% CIs "
        f"(none with too few rows); dashed: the whole, {whole:.1%}."
    )
    parts.append(Charts([wide], caption, [narrow]))
    cells = [one.cells() for one in shown]
    head = Table(SLICE_WORDS, cells, f"Kept if {selection}. {ASSUMPTION}", range(1, 9))
    return [*parts, head]


def _ends(one: PairSlice, whole: float) -> tuple[float | None, float | None]:
    if one.low is None or one.high is None:
        return None, None
    return whole + one.low, whole + one.high


def _odd_section(opened: OpenedPairs) -> Section:
    lines = [without_folders(one) for one in dict.fromkeys((*opened.notes, *opened.errors))]
    return Section("What is odd", [Points(lines or ["Nothing: all rows were read as they are."])])


def _settings_section(content: PairContent) -> Section:
    opened = content.opened
    settings = PairSettings.of(opened.plan.layout, content.selection, opened.joined)
    text = settings_text(settings, dict(content.facts), "settings.yaml")
    return Section("Settings", [Folded("Settings, as read by mmc4viz --config", text, True)])


# --- writing -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairFiles:
    """What to write of a selection; None or empty for what is not.

    Attributes
    ----------
    out, ids, manifest, report : str or None
        Files of the settings, of DataComp's list of uids, of the kept rows, of the report.
    note : str
    chosen : mapping or None
        How the threshold was chosen.
    by : tuple of str
        What the report divides by.
    command : tuple of str
        That opens the table, for the report.
    overwrite : bool
    """

    out: str | None = None
    ids: str | None = None
    manifest: str | None = None
    report: str | None = None
    note: str = ""
    chosen: Mapping[str, Any] | None = None
    by: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    overwrite: bool = False

    def check(self, opened: OpenedPairs) -> None:
        """Reject files that cannot be written, before any row is read.

        Raises
        ------
        ConfigError
        """
        written = [path for path in (self.out, self.manifest, self.ids, self.report) if path]
        if not written:
            raise ConfigError("nothing to write: give --out, --manifest, --ids or --report")
        if self.by and not self.report:
            raise ConfigError("--by is for the report: add --report FILE")
        for name in self.by:
            attribute_of(opened.table, name)
        if len({os.path.realpath(path) for path in written}) < len(written):
            raise ConfigError("--out, --manifest, --ids and --report need a file each")
        for path in written:
            refuse(opened, path, self.overwrite)


def refuse(opened: OpenedPairs, path: str, overwrite: bool = False) -> None:
    """Refuse to write over a file of the table, or over any other without being told."""
    joined = opened.table.joined
    refuse_inputs([path], [*opened.table.paths, *([] if joined is None else [joined.path])])
    if os.path.exists(path) and not overwrite:
        raise ConfigError(f"{path}: exists; choose another name or add --overwrite")


def write_pairs(
    opened: OpenedPairs,
    selection: PairSelection,
    files: PairFiles,
    tell: Callable[[str], object] = lambda _: None,
) -> int:
    """Write what is handed on of a selection, and return the number of kept rows.

    Parameters
    ----------
    opened : OpenedPairs
        Receives a line for each file that cannot be read completely.
    selection : PairSelection
    files : PairFiles
    tell : callable, optional
        Called with a line for each file that was written.

    Raises
    ------
    ConfigError
        If a file cannot be written.
    """
    files.check(opened)
    kept, rows = _write_rows(opened, selection, files, tell)
    facts: dict[str, Any] = {"kept": kept, "rows": rows}
    facts["files"] = [os.path.basename(path) for path in opened.table.paths]
    facts |= {"note": files.note} if files.note else {}
    facts |= {"chosen": dict(files.chosen)} if files.chosen else {}
    if files.out:
        settings = PairSettings.of(opened.table.layout.name, selection, opened.joined)
        _write(files.out, settings_text(settings, facts, files.out), tell)
    if files.report:
        command = [*files.command, *(w for one in files.by for w in ("--by", one))]
        command += ["--report", os.path.basename(files.report)]
        content = PairContent.of(opened, selection, command, facts, files.by)
        _write(files.report, pair_report(content), tell)
    return kept


def _write(path: str, text: str, tell: Callable[[str], object]) -> None:
    with whole_file(path) as file:
        file.write(text.encode())
    tell(f"wrote {path}")


def _write_rows(
    opened: OpenedPairs,
    selection: PairSelection,
    files: PairFiles,
    tell: Callable[[str], object],
) -> tuple[int, int]:
    """Write the lists of kept rows; return the numbers of kept and of all rows."""
    kept: int | None = None
    read = [0]  # rows, in the last pass
    show: ShowProgress = opened.show_progress
    with show() as advance:

        def count(rows: int) -> None:
            read[0] += rows
            advance(rows)

        if files.ids:
            kept, invalid = write_uids(files.ids, opened.table, selection, opened.errors, count)
            tell(f"wrote {files.ids}: {kept:,} uids, sorted, as DataComp's resharder takes them")
            if invalid:
                opened.errors.append(f"{files.ids}: {invalid:,} kept rows without a valid uid")
            kept += invalid
        if files.manifest:
            read[0] = 0
            kept = write_kept(files.manifest, opened.table, selection, opened.errors, count)
            tell(f"wrote {files.manifest}: {kept:,} rows")
        if kept is None:
            (kept,) = count_kept(opened.table, [selection], opened.errors, count)
    return kept, read[0]
