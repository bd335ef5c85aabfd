"""Small pieces of HTML that several pages use: a fate's mark, a table. Cells come in escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mmc4viz.model import Fate, ImageFate, Outcome
from mmc4viz.ui.inert import escaped

PAIR_FATES: Final = {
    Fate.KEPT: ("kept", "kept"),
    Fate.BELOW_THRESHOLD: ("rejected", "below threshold"),
    Fate.OVER_CAP: ("rejected", "over the image cap"),
    Fate.TRUNCATED: ("truncated", "truncated: its token is cut off"),
}
IMAGE_FATES: Final = {
    ImageFate.MISSING: ("rejected", "missing: not downloaded"),
    ImageFate.TOO_SMALL: ("rejected", "too small"),
    ImageFate.UNMATCHED: ("rejected", "unmatched"),
    ImageFate.MATCHED: ("kept", "valid"),
    ImageFate.UNDECODABLE: ("unreadable", "undecodable: loses the document"),
    ImageFate.LOST_WITH_DOCUMENT: ("unreadable", "lost with its document"),
}


def meaning(outcome: Outcome) -> str:
    """Return which of the colours' meanings an outcome has."""
    if outcome is Outcome.KEPT:
        return "kept"
    return "unreadable" if outcome is Outcome.UNREADABLE else "rejected"


def chip(meaning: str, words: str) -> str:
    """Mark words with a meaning's colour."""
    return f'<span class="mmc-fate mmc-{meaning}">{escaped(words)}</span>'


def outcome_chip(outcome: Outcome, detail: str | None = None) -> str:
    """Write an outcome in words, with its reason."""
    words = str(outcome).replace("_", " ")
    return chip(meaning(outcome), f"{words}: {detail}" if detail else words)


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, current: int | None = None
) -> str:
    """Write a table; ``current`` marks a row. Heads, cells and the caption are HTML already."""
    heads = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(_row(cells, number == current) for number, cells in enumerate(rows))
    return (
        '<div class="mmc-scroll"><table class="mmc-table mmc-num">'
        f"<caption><span>{caption}</span></caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(cells: Sequence[str], current: bool) -> str:
    mark = ' class="mmc-current" aria-current="true"' if current else ""
    return f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
