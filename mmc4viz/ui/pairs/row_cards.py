"""Rows of a table as cards with their images, which are enlarged when pressed.

Images are never fetched from the web: they come from img2dataset's tars or the image folder, else
a card links to the image.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from mmc4viz.pairs.rows.examples import PairRow
from mmc4viz.ui.components import gallery
from mmc4viz.ui.pairs import row_images

NO_TEXT: Final = "(no text)"


def mount(
    key: str,
    message: dict[str, Any],
    card: Callable[[PairRow], dict[str, Any]],
    **callbacks: Any,
) -> Any:
    """Draw groups of rows as cards.

    Parameters
    ----------
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
    return gallery.draw(
        key, message | {"groups": groups}, lambda asked: _enlarged(rows, asked), **callbacks
    )


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
