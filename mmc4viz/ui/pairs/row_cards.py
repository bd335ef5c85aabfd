"""Rows of a table as cards with their images, which are enlarged when pressed, or labeled.

Images are never fetched from the web: they come from img2dataset's tars or the image folder, else
a card links to the image.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from mmc4viz.pairs.rows.examples import PairRow
from mmc4viz.ui import state
from mmc4viz.ui.components import gallery
from mmc4viz.ui.pairs import row_images, table_data
from mmc4viz.ui.pairs.table_data import PairChoice
from mmc4viz.ui.start import read_start

NO_TEXT: Final = "(no text)"


def mount(
    choice: PairChoice,
    key: str,
    message: dict[str, Any],
    card: Callable[[PairRow], dict[str, Any]],
    **callbacks: Any,
) -> Any:
    """Draw groups of rows as cards, and do what is pressed on one.

    Parameters
    ----------
    choice : PairChoice
    key : str
    message : dict
        With ``groups``, each with its rows as ``cards``.
    card : callable
        Returns a row as a card without its image (`card_of`).
    **callbacks
        For more that the browser may report.

    Returns
    -------
    ComponentResult
        What the browser reported.
    """
    rows = {row_name(row): row for group in message["groups"] for row in group["cards"]}
    pictures = row_images.thumbnails_of(rows.values())

    def sent(row: PairRow) -> dict[str, Any]:
        return card(row) | {"picture": pictures[row.path, row.number]}

    groups = [group | {"cards": list(map(sent, group["cards"]))} for group in message["groups"]]
    can_label = not read_start().read_only
    sent_all = message | {"groups": groups, "label": can_label}
    found = gallery.draw(key, sent_all, lambda asked: _enlarged(rows, asked), **callbacks)
    if can_label and isinstance(found.act, list) and found.act[:1] == ["label"]:
        _label(choice, rows.get(str(found.act[-1])))
    return found


def _label(choice: PairChoice, row: PairRow | None) -> None:
    """Go to the page Label with a row."""
    if row is not None:
        state.go_to_label(table_data.table_of(choice.source).paths.index(row.path), row.number)


def card_of(
    row: PairRow,
    *,
    score: float | None = None,
    lines: Sequence[tuple[str, str]] = (),
    ranks: Sequence[tuple[str, str, str]] = (),
) -> dict[str, Any]:
    """Return a row as a card.

    Parameters
    ----------
    row : PairRow
    score : float, optional
        Decides on which side of the threshold it is.
    lines, ranks
        As of `mmc4viz.ui.components.gallery.card_message`.
    """
    file = os.path.basename(row.path)
    return gallery.card_message(
        row_name(row),
        f"row {row.number:,} of {file}",
        row.text or NO_TEXT,
        score=score,
        head="" if score is None else _score(score),
        lines=lines,
        ranks=ranks,
        expected=len(lines) <= 1,
        url=row.url,
        facts=[
            ("Row", f"{row.number:,}"), ("File", file), ("Id", row.id), ("Address", row.url),
            ("Reason", row.reason),
        ],
    )  # fmt: skip


def row_name(row: PairRow) -> str:
    """Return a row's name in messages from the browser."""
    return f"{row.path}:{row.number}"


def _enlarged(rows: dict[str, PairRow], asked: object) -> dict[str, Any] | None:
    """Return the large picture and the whole text of a row."""
    row = rows.get(asked) if isinstance(asked, str) else None
    if row is None:
        return None
    picture = row_images.enlarged(row)
    return {"id": asked, "picture": picture, "words": row.text or NO_TEXT}


def _score(score: float) -> str:
    return f"{score:.5f}" if abs(score) < 1e4 else f"{score:.6g}"
