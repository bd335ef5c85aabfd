"""The view of one document: page, similarity matrix, outcomes and training sequence.

All text is escaped; URLs are shown as text, not as links.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.loader.walk import (
    MOST_STATES,
    RunnerUp,
    State,
    assigned,
    matrix_of,
    runner_ups,
    states,
    walk,
)
from mmc4viz.text import escaped
from mmc4viz.types import Document, Image, ImageStatus, LoaderConfig, Pair, PairStatus, Verdict
from mmc4viz.ui import data, document_data, html
from mmc4viz.ui.components import charts
from mmc4viz.ui.document_data import Opened, Piece, TrainingSequence, sequence_of
from mmc4viz.ui.html import ASSIGNMENTS, IMAGE_STATUSES, PAIR_STATUSES, chip, outcome_chip, table
from mmc4viz.ui.sidebar import Choice

STILL: Final = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
_MOST_CHARACTERS: Final = 3_000_000  # tokenized for one document's states
_MOST_ROWS: Final = 200  # of a table
Matrix = NDArray[np.float64]


def show(choice: Choice, place: tuple[int, int], opened: Opened) -> None:
    """Draw a document and the loader's decisions on it."""
    config, tokenizer = choice.config, data.tokenizer_of(choice.source)
    verdict = walk(opened.document, config, tokenizer)
    st.subheader("Document", anchor=False, divider="gray")
    _html(page(opened, verdict, config))
    if not opened.document.is_gpt:
        _similarity(opened.document, verdict, config)
        most = _most_states(opened.document)
        _states(states(opened.document, config, tokenizer, most), config)
        _assignments(opened.document, config, tokenizer)
    _sequence(opened, sequence_of(opened.document, verdict, config, tokenizer))
    _raw(choice, place)


def _html(body: str) -> None:
    st.html(f'<div class="mmc-doc">{body}</div>')


def _title(words: str, *csv: Any) -> None:
    """Draw a section's title, with a CSV button."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(words, anchor=False, width="content")
        if csv:
            html.csv_button(*csv)


def _similarity(shown: Document, verdict: Verdict, config: LoaderConfig) -> None:
    """Draw the similarity matrix with the matched pairs, and each image's runner-up."""
    matrix = matrix_of(shown)
    if matrix is None:
        _title("Similarity matrix")
        _html("<p>The document has no numeric similarity matrix (images × sentences).</p>")
        return
    head = ["image", *(f"sentence {n + 1}" for n in range(matrix.shape[1]))]
    _title("Similarity matrix", "similarity", head, lambda: _matrix_rows(matrix))
    digits = 4 if np.nanmax(np.abs(matrix), initial=0) < 2 else 2
    marks = [
        (
            pair.image,
            pair.sentence,
            PAIR_STATUSES[pair.status][0],
            f"{pair.score:.{digits}f}, {words}",
        )
        for pair in verdict.pairs
        for words in [PAIR_STATUSES[pair.status][1]]
    ]
    charts.heat_map(matrix, marks, digits)
    _beyond(matrix)
    if verdict.pairs:
        _html(_pairs(verdict.pairs, runner_ups(matrix, verdict.pairs), config, digits))


def _beyond(matrix: Matrix) -> None:
    rows, columns = charts.MOST_ROWS, charts.MOST_COLUMNS
    if len(matrix) > rows or matrix.shape[1] > columns:
        st.text(f"Showing the first {rows} images and {columns} sentences; the CSV has all.")


def _matrix_rows(matrix: Matrix) -> list[list[float]]:
    return [[n + 1, *row] for n, row in enumerate(matrix.tolist())]


def _pairs(
    pairs: tuple[Pair, ...], seconds: list[RunnerUp], config: LoaderConfig, digits: int
) -> str:
    """Return a table of the matched pairs: kept up to which threshold, and runner-up."""
    rows = []
    for pair, second in list(zip(pairs, seconds, strict=True))[:_MOST_ROWS]:
        side = "up to" if pair.status is not PairStatus.BELOW_THRESHOLD else "at ≤"
        other = "–" if second.sentence is None else f"{second.sentence + 1}"
        rows.append(
            (
                f"{pair.image + 1}",
                f"{pair.sentence + 1}",
                f"{pair.score:.{digits}f}",
                chip(*PAIR_STATUSES[pair.status]),
                f"kept {side} {_number(pair.score, digits)}",
                other,
                _number(second.score, digits),
                _number(second.margin, digits, sign=True),
            )
        )
    head = (
        "image", "sentence", "score", "status", "threshold", "runner-up", "runner-up score",
        "margin",
    )  # fmt: skip
    caption = (
        f"Matched pairs. Assignment: {escaped(ASSIGNMENTS[config.assignment])}. Runner-up: "
        "the image's best other sentence; a negative margin means the assignment traded away a "
        "better-scoring sentence."
    )
    return table(head, rows, caption)


def _number(value: float, digits: int, *, sign: bool = False) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:+.{digits}f}".replace("-", "−") if sign else f"{value:.{digits}f}"


def _most_states(shown: Document) -> int:
    """Return the maximum number of states to compute: fewer for long text."""
    texts = shown.sentences if isinstance(shown.sentences, list) else []
    length = sum(len(text) for text in texts if isinstance(text, str))
    return max(3, min(MOST_STATES, _MOST_CHARACTERS // max(length, 1)))


def _states(found: list[State], config: LoaderConfig) -> None:
    """Draw the outcome at every threshold."""
    head = ("above", "up to", "outcome", "image_tokens", "text_tokens", "mispaired")
    rows = [
        (s.low, s.high, str(s.verdict.outcome), s.verdict.image_tokens, s.verdict.text_tokens,
         s.verdict.mispaired)
        for s in found
    ]  # fmt: skip
    _title("Outcome by threshold", "states", head, lambda: rows)
    now = next((n for n, state in enumerate(found) if state.holds(config.threshold)), None)
    cells = [
        (
            _span(state),
            outcome_chip(state.verdict.outcome),
            f"{state.verdict.keep_probability:g}",
            f"{state.verdict.image_tokens:,}",
            f"{state.verdict.text_tokens:,}",
            f"{state.verdict.mispaired:,}",
        )
        for state in found
    ]
    names = ("threshold", "outcome", "keep probability", "image tokens", "text tokens", "mispaired")
    caption = f"The current threshold is {config.threshold:g}."
    if found[-1].low > -math.inf:
        caption += " Lower thresholds are not shown."
    _html(table(names, cells, caption, now))


def _span(state: State) -> str:
    """Return the thresholds of a state in words.

    Examples
    --------
    >>> from mmc4viz.types import Outcome
    >>> _span(State(0.25, math.inf, Verdict("a", Outcome.KEPT)))
    'above 0.25'
    """
    low, high = f"{state.low:.6g}", f"{state.high:.6g}"
    if state.low == -math.inf:
        return "any" if state.high == math.inf else f"up to {high}"
    return f"above {low}" if state.high == math.inf else f"above {low}, up to {high}"


def _assignments(shown: Document, config: LoaderConfig, tokenizer: Tokenizer) -> None:
    """Draw the pairs and the outcome under every assignment method."""
    found = assigned(shown, config, tokenizer)
    names = list(found)
    given = {name: {pair.image: pair for pair in v.pairs} for name, v in found.items()}
    images = sorted({image for pairs in given.values() for image in pairs})
    rows = [[f"image {image + 1}", *(_given(given, name, image, config) for name in names)]
            for image in images[:_MOST_ROWS]]  # fmt: skip
    rows.append(["<b>outcome</b>", *(outcome_chip(found[name].outcome) for name in names)])
    for title, field in (("image tokens", "image_tokens"), ("mispaired", "mispaired")):
        rows.append([f"<b>{title}</b>", *(f"{getattr(found[n], field):,}" for n in names)])
    _title("Other assignment methods")
    caption = "Sentence and score of each image; bold if it differs from the current method."
    _html(table(("", *(escaped(ASSIGNMENTS[name]) for name in names)), rows, caption))


def _given(given: dict[str, dict[int, Pair]], name: str, image: int, config: LoaderConfig) -> str:
    pair, chosen = given[name].get(image), given[config.assignment].get(image)
    words = "unmatched"
    if pair is not None:
        words = f"{pair.sentence + 1} · {pair.score:.4f}"
        words = words if pair.score >= config.threshold else f"<s>{words}</s>"
    mine, theirs = (None if p is None else (p.sentence, p.status) for p in (pair, chosen))
    return words if mine == theirs else f"<b>{words}</b>"


def _sequence(opened: Opened, found: TrainingSequence | None) -> None:
    """Draw the training sequence: image tokens on a ruler, then the text."""
    if found is None:
        _title("Training sequence")
        _html("<p>No training sequence: all pairs were dropped.</p>")
        return
    marks = [(token.place, token.kind, token.words) for token in found.tokens]
    _title("Training sequence", "tokens", ("token", "kind", "meaning"), lambda: marks)
    charts.ruler(found.length, found.limit, marks)
    body = sequence(found.pieces, opened.pictures)
    _html(f'<div class="mmc-sequence" dir="auto" tabindex="0">{body}</div>')


def _raw(choice: Choice, place: tuple[int, int]) -> None:
    """Draw the raw JSON, which is read on demand."""
    with st.expander("Raw JSON", key="raw", on_change="rerun") as expander:
        if expander.open:
            text = document_data.raw_json(choice.source, *place)
            _html(f'<pre class="mmc-raw" tabindex="0">{escaped(text)}</pre>')


MOST_SENTENCES: Final = 400
LONGEST: Final = 20_000  # characters of one piece of text


def page(opened: Opened, verdict: Verdict, config: LoaderConfig) -> str:
    """Return the document's facts, page and unmatched images as HTML."""
    return "".join(
        [_facts(opened, verdict, config), _page(opened, verdict), _rest(opened, verdict)]
    )


def _facts(opened: Opened, verdict: Verdict, config: LoaderConfig) -> str:
    """Return the document's name and verdict."""
    scores = [pair.score for pair in verdict.pairs]
    facts = [
        ("key", escaped(opened.document.key)),
        ("shard", escaped(opened.shard)),
        ("URL", escaped(opened.document.url or "–")),
        ("outcome", outcome_chip(verdict.outcome, verdict.detail)),
        ("keep probability", f"{verdict.keep_probability:g}"),
        ("image tokens", f"{verdict.image_tokens:,} ({verdict.mispaired:,} mispaired)"),
        ("text tokens", f"{verdict.text_tokens:,}"),
    ]
    if scores:
        above = sum(score >= config.threshold for score in scores)
        facts.append(
            ("pairs", f"{len(scores):,} matched, {above:,} at or above {config.threshold:g}")
        )
    rows = "".join(
        f'<span>{name}</span><span class="mmc-num">{text}</span>' for name, text in facts
    )
    return f'<div class="mmc-facts">{rows}</div>'


def _page(opened: Opened, verdict: Verdict) -> str:
    """Return the sentences in page order, each with its matched images."""
    sentences = opened.document.sentences
    if opened.document.is_gpt:
        return ""
    if not isinstance(sentences, list):
        return "<h4>Page</h4><p>The document has no list of sentences.</p>"
    matched: dict[int, list[Pair]] = {}
    for pair in verdict.pairs:
        matched.setdefault(pair.sentence, []).append(pair)
    mispaired = {b.pair_image for b in verdict.binding if b.mispaired}
    rows = [
        _sentence(
            number, text, [_pair(opened, p, p.image in mispaired) for p in matched.get(number, ())]
        )
        for number, text in enumerate(sentences[:MOST_SENTENCES])
    ]
    beyond = len(sentences) - MOST_SENTENCES
    more = f"<p>{beyond:,} more sentences are not shown.</p>" if beyond > 0 else ""
    return f"<h4>Page</h4>{''.join(rows)}{more}"


def _sentence(number: int, text: Any, images: Sequence[str]) -> str:
    words = text if isinstance(text, str) else f"(not text: {text!r})"
    alone = "" if images else " mmc-alone"
    return (
        f'<div class="mmc-row{alone}"><span class="mmc-num">{number + 1}</span>'
        f'<span class="mmc-sentence" dir="auto">{_limited(words)}</span>'
        f'<span class="mmc-images">{"".join(images)}</span></div>'
    )


def _pair(opened: Opened, pair: Pair, mispaired: bool) -> str:
    meaning, words = PAIR_STATUSES[pair.status]
    chips = [chip(meaning, words)]
    if pair.status is PairStatus.KEPT and mispaired:
        chips.append(chip("mispaired", "mispaired"))
    lines = [f"<b>{pair.score:.4f}</b>", *chips, f"image {pair.image + 1}"]
    return _image(opened, pair.image, lines, dropped=pair.status is not PairStatus.KEPT)


def _rest(opened: Opened, verdict: Verdict) -> str:
    """Return the unmatched images with their status."""
    paired = {pair.image for pair in verdict.pairs}
    cells = [
        _image(
            opened, number, _image_words(number, image, status), dropped=not opened.document.is_gpt
        )
        for number, (image, status) in enumerate(
            zip(opened.document.images, verdict.images, strict=False)
        )
        if number not in paired
    ]
    if not cells:
        return ""
    title = "Images" if opened.document.is_gpt else "Unmatched images"
    return f'<h4>{title}</h4><div class="mmc-rest">{"".join(cells)}</div>'


def _image_words(number: int, image: Image, status: ImageStatus) -> list[str]:
    lines = [chip(*IMAGE_STATUSES[status]), f"image {number + 1}"]
    if image.n_bytes is not None:
        size = f", {image.width} × {image.height}" if image.width else ""
        lines.append(f"{image.n_bytes:,} bytes{size}")
    reason = image.entry_error or image.pixel_error
    if reason:
        lines.append(escaped(reason))
    return lines


def _image(opened: Opened, number: int, lines: Iterable[str], *, dropped: bool) -> str:
    picture = opened.pictures[number] if number < len(opened.pictures) else None
    shown = '<span class="mmc-none">no image</span>'
    if picture is not None:
        shown = f'<img src="{picture}" alt="image {number + 1}">'
    kind = "mmc-image mmc-dropped" if dropped else "mmc-image"
    return f'<div class="{kind}">{shown}<div class="mmc-num">{"<br>".join(lines)}</div></div>'


def sequence(parts: Sequence[Piece], pictures: Sequence[str | None]) -> str:
    """Return the training sequence as HTML: image tokens with images, truncated text struck out."""
    return "".join(_piece(piece, pictures) for piece in parts)


def _piece(piece: Piece, pictures: Sequence[str | None]) -> str:
    if piece.kind == "text":
        return _limited(piece.text)
    if piece.kind == "cut":
        return f'<span class="mmc-cut" title="truncated">{_limited(piece.text)}</span>'
    picture = None
    if piece.image is not None and piece.image < len(pictures):
        picture = pictures[piece.image]
    shown = f'<img src="{picture}" alt="">' if picture else ""
    return f'<span class="mmc-token mmc-{piece.kind}">{shown}{escaped(piece.text)}</span>'


def _limited(text: str) -> str:
    """Escape text, shortened if it is very long."""
    beyond = len(text) - LONGEST
    return escaped(text if beyond <= 0 else f"{text[:LONGEST]} … {beyond:,} more characters")
