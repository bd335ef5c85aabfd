"""The report's section on slices: for each division, its picture, its table and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mmc4viz.export.sections import Charts, Heading, Paragraph, Part, Section, Table
from mmc4viz.export.svg import intervals
from mmc4viz.slices.comparison import ASSUMPTION, SliceComparison, ordered
from mmc4viz.slices.words import ALONE, by_words, costliest, limits, table_of, typeset, unit_of
from mmc4viz.text import plain, without_folders

_MOST_ROWS: Final = 30  # of a picture


def slices_section(found: Sequence[SliceComparison]) -> Section:
    """Return the section on slices; without any, a section without parts."""
    parts: list[Part] = []
    for one in found:
        parts += _division(one)
    return Section("Slices", parts)


def _division(found: SliceComparison) -> list[Part]:
    """Return what is said of one division."""
    slices, label = ordered(found.slices, "cost"), plain(by_words(found))
    words = " ".join(filter(None, map(plain, costliest(found))))
    parts: list[Part] = [Heading(f"By {label}"), Paragraph(words)]
    parts += [Paragraph(without_folders(plain(line)), small=True) for line in found.notes]
    drawn = [
        (plain(one.name), one.share, *(limits(one, found.share) or (None, None)))
        for one in slices[:_MOST_ROWS]
        if one.share is not None
    ]
    of = f"{unit_of(found)} by {label} at the threshold {found.threshold:g}"
    if drawn:
        wide, narrow = (
            intervals(drawn, found.share, f"kept share of {of}", width) for width in (1104, 360)
        )
        caption = (
            f"Kept share of {of}, those that cost most on top, with simultaneous 95% CIs (none "
            f"with too few documents); dashed: the whole, {found.share:.1%}."
        )
        parts.append(Charts([wide], caption, [narrow]))
    head, rows = table_of(found, slices, shape=True)
    alone = ALONE * ("precision" in head)
    caption = f"Kept {of}. {ASSUMPTION}{alone}"
    return [*parts, Table(head, typeset(rows), caption, range(1, len(head)))]
