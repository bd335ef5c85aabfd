"""The view of one document: page, similarity matrix, outcomes and training sequence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from typing import Final

import numpy as np
import streamlit as st
from markupsafe import Markup
from numpy.typing import NDArray

from mmc4viz.loader.profile import profile_of
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
from mmc4viz.types import (
    Document,
    Image,
    ImageStatus,
    LoaderConfig,
    Outcome,
    Pair,
    PairStatus,
    Verdict,
)
from mmc4viz.ui import data, document_data, state
from mmc4viz.ui.components import charts
from mmc4viz.ui.components.charts import Stretch
from mmc4viz.ui.document_data import Opened, Piece, TrainingSequence, sequence_of
from mmc4viz.ui.html import (
    ASSIGNMENTS,
    IMAGE_STATUSES,
    PAIR_STATUSES,
    chip,
    heading,
    many,
    outcome_chip,
    part,
    table,
    web_link,
)
from mmc4viz.ui.sidebar import Choice

_MOST_CHARACTERS: Final = 3_000_000  # tokenized for one document's states
_MOST_ROWS: Final = 200  # of a table
_MOST_ON_HOVER: Final = 240  # characters of a sentence under the pointer
_Matrix = NDArray[np.float64]


def show(choice: Choice, place: tuple[int, int], opened: Opened) -> None:
    """Draw a document and the loader's decisions on it.

    All is computed before anything is drawn, so that the browser draws once.
    """
    config, tokenizer = choice.config, data.tokenizer_of(choice.source)
    document, decided = opened.document, not opened.document.is_gpt
    verdict = walk(document, config, tokenizer)
    found = states(document, config, tokenizer, _most_states(document)) if decided else []
    by_method = assigned(document, config, tokenizer) if decided else {}
    sequence = sequence_of(document, verdict, config, tokenizer)
    page = _swaps(opened, verdict) + _page(opened, verdict) + _rest(opened, verdict)

    _html(_facts(opened, verdict, config), part("heading", "Document"))
    if found:
        _strip(found, verdict, choice)
    _html(page)
    if found:
        _similarity(opened, verdict, config)
        _states(found)
        title = part("title", "Other assignment methods")
        _html(_assignments(by_method, config), part("document", _outcomes(found, config)) + title)
    _sequence(opened, sequence, verdict, config)
    _raw(choice, place)


def _html(body: Markup, title: Markup | None = None) -> None:
    """Draw text of the document, apart from the page's own title of it."""
    st.html((title or Markup()) + part("document", body))


REDRAW: Final = "redraw"
"""In the session: whether the whole page has to be drawn again, not only the document's part."""


def _strip(found: list[State], verdict: Verdict, choice: Choice) -> None:
    """Draw the outcome along the thresholds, on which the threshold can be moved."""
    stretches = [
        Stretch(
            one.low,
            one.high,
            *_in_short(one.verdict),
            _in_words(one.verdict),
            0.4 + 0.6 * one.verdict.keep_probability,
        )
        for one in found
    ]

    def keep(threshold: float) -> None:
        choice.keep(state.on_grid(threshold, choice.scale, choice.span))
        st.session_state[REDRAW] = True

    scores = [pair.score for pair in verdict.pairs]
    charts.strip(stretches, scores, choice.config.threshold, choice.span, choice.scale, keep)


def _in_short(verdict: Verdict) -> tuple[str, str]:
    """Return the color class of a verdict, and its words on the strip."""
    if verdict.outcome is Outcome.UNREADABLE:
        return "unreadable", "unreadable"
    if verdict.outcome is not Outcome.KEPT:
        return "rejected", str(verdict.outcome).replace("_", " ")
    chance = "" if verdict.keep_probability == 1 else f", p = {verdict.keep_probability:g}"
    return "kept", f"kept{chance}, {many(verdict.image_tokens, 'image')}"


def _in_words(verdict: Verdict) -> str:
    """Describe a verdict.

    Examples
    --------
    >>> _in_words(Verdict("a", Outcome.KEPT, None, 0.5, 1, 90))
    'kept with probability 0.5, 1 image token, 90 text tokens'
    >>> _in_words(Verdict("a", Outcome.BELOW_THRESHOLD))
    'below threshold'
    """
    if verdict.outcome is not Outcome.KEPT:
        return str(verdict.outcome).replace("_", " ")
    chance = "" if verdict.keep_probability == 1 else (
        f" with probability {verdict.keep_probability:g}"
    )  # fmt: skip
    swapped = f" ({verdict.mispaired:,} mispaired)" if verdict.mispaired else ""
    images, texts = (
        many(verdict.image_tokens, "image token"),
        many(round(verdict.text_tokens), "text token"),
    )
    return f"kept{chance}, {images}{swapped}, {texts}"


def _similarity(opened: Opened, verdict: Verdict, config: LoaderConfig) -> None:
    """Draw the similarity matrix with the matched pairs, and each image's runner-up."""
    matrix = matrix_of(opened.document)
    if matrix is None:
        words = "The document has no numeric similarity matrix (images × sentences)."
        _html(part("paragraph", words), part("title", "Similarity matrix"))
        return
    head = ["image", *(f"sentence {n + 1}" for n in range(matrix.shape[1]))]
    heading(part("title", "Similarity matrix"), "similarity", head, lambda: _matrix_rows(matrix))
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
    seconds = runner_ups(matrix, verdict.pairs)
    places = [
        (pair.image, second.sentence)
        for pair, second in zip(verdict.pairs, seconds, strict=True)
        if second.sentence is not None
    ]
    texts = opened.document.sentences
    shown = [str(text)[:_MOST_ON_HOVER] for text in texts] if isinstance(texts, list) else []
    charts.heat_map(matrix, marks, digits, places, shown, opened.icons)
    _beyond(matrix)
    if verdict.pairs:
        _html(_pairs(verdict.pairs, seconds, config, digits))


def _beyond(matrix: _Matrix) -> None:
    rows, columns = charts.MOST_ROWS, charts.MOST_COLUMNS
    if len(matrix) > rows or matrix.shape[1] > columns:
        st.text(f"Showing the first {rows} images and {columns} sentences; the CSV has all.")


def _matrix_rows(matrix: _Matrix) -> list[list[float]]:
    return [[n + 1, *row] for n, row in enumerate(matrix.tolist())]


def _pairs(
    pairs: tuple[Pair, ...], seconds: list[RunnerUp], config: LoaderConfig, digits: int
) -> Markup:
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
        f"Matched pairs. Assignment: {ASSIGNMENTS[config.assignment]}. Runner-up: "
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


def _states(found: list[State]) -> None:
    """Draw the heading of the outcomes, with their data."""
    head = ("above", "up to", "outcome", "image_tokens", "text_tokens", "mispaired")
    rows = [
        (s.low, s.high, str(s.verdict.outcome), s.verdict.image_tokens, s.verdict.text_tokens,
         s.verdict.mispaired)
        for s in found
    ]  # fmt: skip
    heading(part("title", "Outcome by threshold"), "states", head, lambda: rows)


def _outcomes(found: list[State], config: LoaderConfig) -> Markup:
    """Return a table of the outcome at every threshold."""
    now = next((n for n, one in enumerate(found) if one.holds(config.threshold)), None)
    cells = [
        (
            _span(one),
            outcome_chip(one.verdict.outcome),
            f"{one.verdict.keep_probability:g}",
            f"{one.verdict.image_tokens:,}",
            f"{one.verdict.text_tokens:,}",
            f"{one.verdict.mispaired:,}",
        )
        for one in found
    ]
    names = ("threshold", "outcome", "keep probability", "image tokens", "text tokens", "mispaired")
    caption = f"The current threshold is {config.threshold:g}."
    if found[-1].low > -math.inf:
        caption += " Lower thresholds are not shown."
    return table(names, cells, caption, now)


def _span(one: State) -> str:
    """Return the thresholds of a state in words.

    Examples
    --------
    >>> from mmc4viz.types import Outcome
    >>> _span(State(0.25, math.inf, Verdict("a", Outcome.KEPT)))
    'above 0.25'
    """
    low, high = f"{one.low:.6g}", f"{one.high:.6g}"
    if one.low == -math.inf:
        return "any" if one.high == math.inf else f"up to {high}"
    return f"above {low}" if one.high == math.inf else f"above {low}, up to {high}"


def _assignments(found: dict[str, Verdict], config: LoaderConfig) -> Markup:
    """Return the pairs and the outcome under every assignment method."""
    names = list(found)
    given = {name: {pair.image: pair for pair in v.pairs} for name, v in found.items()}
    images = sorted({image for pairs in given.values() for image in pairs})
    rows = [[f"image {image + 1}", *(_given(given, name, image, config) for name in names)]
            for image in images[:_MOST_ROWS]]  # fmt: skip
    rows.append([part("bold", "outcome"), *(outcome_chip(found[name].outcome) for name in names)])
    for title, field in (("image tokens", "image_tokens"), ("mispaired", "mispaired")):
        rows.append([part("bold", title), *(f"{getattr(found[n], field):,}" for n in names)])
    caption = "Sentence and score of each image; bold if it differs from the current method."
    return table(("", *(ASSIGNMENTS[name] for name in names)), rows, caption)


def _given(given: dict[str, dict[int, Pair]], name: str, image: int, config: LoaderConfig) -> str:
    pair, chosen = given[name].get(image), given[config.assignment].get(image)
    words = "unmatched"
    if pair is not None:
        words = f"{pair.sentence + 1} · {pair.score:.4f}"
        words = words if pair.score >= config.threshold else part("struck", words)
    mine, theirs = (None if p is None else (p.sentence, p.status) for p in (pair, chosen))
    return words if mine == theirs else part("bold", words)


_DRAWN: Final = (
    "There is no single training sequence: the loader draws at random which images stay or where "
    "they are placed. The numbers above are means over all draws."
)
_TOKENS_HEAD: Final = ("token", "kind", "meaning")


def _sequence(
    opened: Opened, found: TrainingSequence | None, verdict: Verdict, config: LoaderConfig
) -> None:
    """Draw the training sequence: image tokens on a ruler, then the text."""
    if found is None:
        drawn = profile_of(config).is_random and verdict.outcome is Outcome.KEPT
        words = _DRAWN if drawn else "No training sequence: all pairs were dropped."
        _html(part("paragraph", words), part("title", "Training sequence"))
        return
    marks = [(token.place, token.kind, token.words) for token in found.tokens]
    heading(part("title", "Training sequence"), "tokens", _TOKENS_HEAD, lambda: marks)
    charts.ruler(found.length, found.limit, marks)
    _html(part("sequence", [_piece(piece, opened) for piece in found.pieces]))


def _raw(choice: Choice, place: tuple[int, int]) -> None:
    """Draw the raw JSON, which is read on demand."""
    with st.expander("Raw JSON", key="raw", on_change="rerun") as expander:
        if expander.open:
            _html(part("raw", document_data.raw_json(choice.source, *place)))


_MOST_SENTENCES: Final = 400
_MOST_ALONE: Final = 3  # sentences without an image that are not folded
_LONGEST: Final = 20_000  # characters of one piece of text


def _facts(opened: Opened, verdict: Verdict, config: LoaderConfig) -> Markup:
    """Return the document's name and verdict."""
    facts = [
        ("key", opened.document.key),
        ("shard", opened.shard),
        ("URL", web_link(opened.document.url) or "–"),
        ("outcome", outcome_chip(verdict.outcome, verdict.detail)),
        ("keep probability", f"{verdict.keep_probability:g}"),
        ("image tokens", f"{verdict.image_tokens:,} ({verdict.mispaired:,} mispaired)"),
        ("text tokens", f"{verdict.text_tokens:,}"),
    ]
    if verdict.pairs:
        above = sum(pair.score >= config.threshold for pair in verdict.pairs)
        words = f"{len(verdict.pairs):,} matched, {above:,} at or above {config.threshold:g}"
        facts.append(("pairs", words))
    return part("facts", facts)


def _swaps(opened: Opened, verdict: Verdict) -> Markup:
    """Return the mispaired image tokens: the image each belongs to, and the one it receives."""
    sentences = {pair.image: pair.sentence for pair in verdict.pairs}
    texts = opened.document.sentences
    rows = []
    for one in verdict.binding:
        if not one.mispaired or one.pair_image is None:
            continue
        own, number = one.pair_image, sentences[one.pair_image]
        text = str(texts[number]) if isinstance(texts, list) else ""
        received = one.bound_image
        rows.append((
            _image(opened, own, [f"own image {own + 1}"], dropped=True),
            f"{number + 1}. {_limited(text)}",
            part("bold", "no image left") if received is None
            else _image(opened, received, [f"gets image {received + 1}"], dropped=False),
        ))  # fmt: skip
    return part("swaps", rows) if rows else Markup()


def _page(opened: Opened, verdict: Verdict) -> Markup:
    """Return the sentences in page order, each with its matched images.

    Without any match, each image is shown where it stands on the page, if that is known.
    """
    sentences = opened.document.sentences
    if opened.document.is_gpt:
        return Markup()
    if not isinstance(sentences, list):
        return part("page", (), "The document has no list of sentences.")
    matched: dict[int, list[Pair]] = {}
    for pair in verdict.pairs:
        matched.setdefault(pair.sentence, []).append(pair)
    mispaired = {b.pair_image for b in verdict.binding if b.mispaired}
    images: dict[int, list[Markup]] = {
        number: [_pair(opened, pair, pair.image in mispaired) for pair in pairs]
        for number, pairs in matched.items()
    }
    for image in _at_own_place(opened, verdict):
        words = _image_words(image, opened.document.images[image], verdict.images[image])
        place = opened.document.images[image].stored_sentence
        images.setdefault(place, []).append(_image(opened, image, words, dropped=True))
    rows = [
        (
            number + 1,
            _limited(text if isinstance(text, str) else f"(not text: {text!r})"),
            images.get(number, []),
        )
        for number, text in enumerate(sentences[:_MOST_SENTENCES])
    ]
    beyond = len(sentences) - _MOST_SENTENCES
    stretches = []
    for alone, same in groupby(rows, key=lambda row: not row[2]):
        those = list(same)
        stretches.append((alone and len(those) > _MOST_ALONE, those))
    more = f"{beyond:,} more sentences are not shown." if beyond > 0 else ""
    return part("page", stretches, more)


def _at_own_place(opened: Opened, verdict: Verdict) -> range:
    """Return the images that are shown where they stand on the page, as none is matched."""
    known = opened.document.in_page_order and not verdict.pairs
    return range(min(len(verdict.images), len(opened.document.images)) if known else 0)


def _place(opened: Opened, pair: Pair) -> list[str]:
    """Say where a matched image stands on the page, if that is known."""
    if not opened.document.in_page_order:
        return []
    place = opened.document.images[pair.image].stored_sentence
    return ["stands here on the page" if place == pair.sentence
            else f"stands at sentence {place + 1} on the page"]  # fmt: skip


def _pair(opened: Opened, pair: Pair, mispaired: bool) -> Markup:
    kept = pair.status is PairStatus.KEPT
    chips = [chip(*PAIR_STATUSES[pair.status])]
    if kept and mispaired:
        chips.append(chip("mispaired", "mispaired"))
    number = f"image {pair.image + 1}"
    lines = [part("bold", f"{pair.score:.4f}"), *chips, number, *_place(opened, pair)]
    return _image(opened, pair.image, lines, dropped=not kept)


def _rest(opened: Opened, verdict: Verdict) -> Markup:
    """Return the unmatched images with their status."""
    shown, is_gpt = {pair.image for pair in verdict.pairs}, opened.document.is_gpt
    shown |= set(_at_own_place(opened, verdict))
    images = enumerate(zip(opened.document.images, verdict.images, strict=False))
    cells = [
        _image(opened, number, _image_words(number, image, status), dropped=not is_gpt)
        for number, (image, status) in images
        if number not in shown
    ]
    return part("images", "Images" if is_gpt else "Images not used", cells) if cells else Markup()


def _image_words(number: int, image: Image, status: ImageStatus) -> list[str]:
    lines = [chip(*IMAGE_STATUSES[status]), f"image {number + 1}"]
    if image.n_bytes is not None:
        size = f", {image.width} × {image.height}" if image.width else ""
        lines.append(f"{image.n_bytes:,} bytes{size}")
    reason = image.entry_error or image.pixel_error
    return [*lines, reason] if reason else lines


def _image(opened: Opened, number: int, lines: Iterable[str], *, dropped: bool) -> Markup:
    images = opened.document.images
    url = images[number].url if number < len(images) else ""
    elsewhere = web_link(url, "image on")
    link = elsewhere if isinstance(elsewhere, Markup) else ""
    return part("image", _picture(opened, number), number + 1, lines, dropped, link)


def _picture(opened: Opened, number: int) -> str | None:
    return opened.pictures[number] if number < len(opened.pictures) else None


def _piece(piece: Piece, opened: Opened) -> tuple[str, str, str | None]:
    """Return the kind of a piece, its text and its icon."""
    icons = dict(enumerate(opened.icons))
    return piece.kind, _limited(piece.text), icons.get(-1 if piece.image is None else piece.image)


def _limited(text: str) -> str:
    """Shorten text if it is very long."""
    beyond = len(text) - _LONGEST
    return text if beyond <= 0 else f"{text[:_LONGEST]} … {beyond:,} more characters"
