"""Small pieces of the report's HTML: a number, a table, a funnel, a pair. All text is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mmc4viz.corpus.funnel import Loss
from mmc4viz.handover.examples import Example
from mmc4viz.model import Fate
from mmc4viz.output import escaped

_LONGEST: Final = 600  # characters of a sentence
_BARS: Final = {
    "undecodable": "unreadable",
    "lost_with_document": "unreadable",
    "unreadable": "unreadable",
    "truncated": "truncated",
}


def number(found: Mapping[str, Any], words: str, of: float) -> str:
    """Write a large number with what it counts, its share of something, and its interval."""
    value = float(found["value"])
    share = f"{value / of:.1%}" if of else ""
    low, high = found.get("low"), found.get("high")
    between = ""
    if low is not None or high is not None:
        between = f"{count(low)} to {count(high)}" if high is not None else f"from {count(low)}"
    lines = [words, *(line for line in (share, between) if line)]
    spans = "".join(f"<span>{escaped(line)}</span>" for line in lines)
    return f"<div><b>{escaped(count(value))}</b>{spans}</div>"


def count(value: float | None) -> str:
    """Write a count; halves, which the coin makes, with their decimal."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"


def short(value: float) -> str:
    """Write a count short.

    Examples
    --------
    >>> short(1234567), short(950.0), short(12.5)
    ('1.23 M', '950', '12.5')
    """
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if sign == 'k' else size):.3g} {sign}"
    return count(value)


def funnel(what: str, losses: Sequence[Loss]) -> str:
    """Write a funnel: every loss a bar at its place, with its name and number."""
    whole = losses[0].lost + losses[0].remaining
    rows = [_bar(what, "", "kept", 0.0, whole, whole)]
    rows += [
        _bar(
            loss.name.replace("_", " "),
            loss.meaning,
            _BARS.get(loss.name, "rejected"),
            loss.remaining,
            loss.lost,
            whole,
        )
        for loss in losses
    ]
    rows.append(_bar("reach the model", "", "kept", 0.0, losses[-1].remaining, whole))
    return f'<table class="funnel"><tbody>{"".join(rows)}</tbody></table>'


def _bar(name: str, meaning: str, kind: str, start: float, size: float, whole: float) -> str:
    left, width = (100 * value / whole if whole else 0.0 for value in (start, size))
    drawn = f'<div class="bar {kind}" style="margin-left:{left:.2f}%;width:{width:.2f}%"></div>'
    share = f" ({size / whole:.1%})" if whole and size else ""
    title = f' title="{escaped(meaning)}"' if meaning else ""
    return (
        f"<tr><th{title}>{escaped(name)}</th><td>{drawn if size else ''}</td>"
        f'<td class="right">{escaped(count(size))}{share}</td></tr>'
    )


def table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of plain text."""
    heads = "".join(f'<th scope="col">{escaped(name)}</th>' for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escaped(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def card(example: Example) -> str:
    """Write one pair: image, score, sentence, and what becomes of it."""
    pair, picture = example.pair, ""
    if example.picture is not None:
        picture = f'<img src="{escaped(example.picture)}" alt="image {pair.image + 1}">'
    kind = "kept" if pair.fate is Fate.KEPT else "truncated" if pair.fate is Fate.TRUNCATED else ""
    beyond = len(example.words) - _LONGEST
    words = example.words if beyond <= 0 else f"{example.words[:_LONGEST]} …"
    digits = 4 if not math.isfinite(pair.score) or abs(pair.score) < 2 else 2
    fate = f"{pair.fate}; document {pair.outcome}".replace("_", " ")
    where = f"{example.shard}, {example.key}: image {pair.image + 1}, sentence {pair.sentence + 1}"
    return (
        f'<div class="card">{picture}<b>{pair.score:.{digits}f}</b>'
        f'<div class="words" dir="auto">{escaped(words)}</div>'
        f'<div class="fate {kind}">{escaped(fate)}</div>'
        f'<div class="soft">{escaped(where)}</div></div>'
    )
