"""One document as the loader sees it: images beside their sentences, fates, training sequence.

Takes plain data and draws; reads nothing. All text is escaped, addresses are text and no links.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import streamlit as st

from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.loader.walk import walk
from mmc4viz.model import Fate, Image, ImageFate, LoaderConfig, Outcome, Pair, Verdict
from mmc4viz.ui.inert import escaped
from mmc4viz.ui.record import Opened
from mmc4viz.ui.sequence import Piece, pieces

MOST_SENTENCES: Final = 400

_FATES: Final = {
    Fate.KEPT: ("kept", "kept"),
    Fate.BELOW_THRESHOLD: ("rejected", "below threshold"),
    Fate.OVER_CAP: ("rejected", "over the image cap"),
    Fate.TRUNCATED: ("truncated", "truncated: its token is cut off"),
}
_IMAGE_FATES: Final = {
    ImageFate.MISSING: ("rejected", "missing: not downloaded"),
    ImageFate.TOO_SMALL: ("rejected", "too small"),
    ImageFate.UNMATCHED: ("rejected", "unmatched"),
    ImageFate.MATCHED: ("kept", "valid"),
    ImageFate.UNDECODABLE: ("unreadable", "undecodable: loses the document"),
    ImageFate.LOST_WITH_DOCUMENT: ("unreadable", "lost with its document"),
}


def show(opened: Opened, config: LoaderConfig, tokenizer: Tokenizer) -> None:
    """Draw a document and what the loader does to it."""
    verdict = walk(opened.document, config, tokenizer)
    st.subheader("Document", anchor=False)
    parts = [_facts(opened, verdict, config), _page(opened, verdict), _rest(opened, verdict)]
    parts.append(_sequence(pieces(opened.document, verdict, config, tokenizer)))
    st.html(f'<div class="mmc-doc">{"".join(parts)}</div>')


def _facts(opened: Opened, verdict: Verdict, config: LoaderConfig) -> str:
    """Write the document's name and its verdict, in words."""
    outcome = str(verdict.outcome).replace("_", " ")
    words = f"{outcome}: {verdict.detail}" if verdict.detail else outcome
    scores = [pair.score for pair in verdict.pairs]
    facts = [
        ("key", escaped(opened.document.key)),
        ("shard", escaped(opened.shard)),
        ("address", escaped(opened.document.url or "–")),
        ("outcome", _chip(_meaning(verdict.outcome), words)),
        ("survives", f"with probability {verdict.keep_probability:g}"),
        ("image tokens", f"{verdict.image_tokens:,}, of which {verdict.misbound:,} misbound"),
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


def _meaning(outcome: Outcome) -> str:
    if outcome is Outcome.KEPT:
        return "kept"
    return "unreadable" if outcome is Outcome.UNREADABLE else "rejected"


def _page(opened: Opened, verdict: Verdict) -> str:
    """Write the sentences in page order, each beside the images matched to it."""
    sentences = opened.document.sentences
    if opened.document.is_gpt:
        return ""
    if not isinstance(sentences, list):
        return "<h4>Page</h4><p>No list of sentences.</p>"
    beside: dict[int, list[Pair]] = {}
    for pair in verdict.pairs:
        beside.setdefault(pair.sentence, []).append(pair)
    misbound = {b.pair_image for b in verdict.binding if b.pair_image != b.bound_image}
    rows = [
        _sentence(
            number, text, [_pair(opened, p, p.image in misbound) for p in beside.get(number, ())]
        )
        for number, text in enumerate(sentences[:MOST_SENTENCES])
    ]
    beyond = len(sentences) - MOST_SENTENCES
    more = f"<p>{beyond:,} more sentences are not shown.</p>" if beyond > 0 else ""
    return f"<h4>Page, in its order</h4>{''.join(rows)}{more}"


def _sentence(number: int, text: Any, images: Sequence[str]) -> str:
    words = text if isinstance(text, str) else f"(no text: {text!r})"
    alone = "" if images else " mmc-alone"
    return (
        f'<div class="mmc-row{alone}"><span class="mmc-num">{number + 1}</span>'
        f'<span class="mmc-sentence" dir="auto">{escaped(words)}</span>'
        f'<span class="mmc-images">{"".join(images)}</span></div>'
    )


def _pair(opened: Opened, pair: Pair, misbound: bool) -> str:
    meaning, words = _FATES[pair.fate]
    chips = [_chip(meaning, words)]
    if pair.fate is Fate.KEPT and misbound:
        chips.append(_chip("misbound", "misbound"))
    lines = [f"<b>{pair.score:.4f}</b>", *chips, f"image {pair.image + 1}"]
    return _image(opened, pair.image, lines, dropped=pair.fate is not Fate.KEPT)


def _rest(opened: Opened, verdict: Verdict) -> str:
    """Write the images beside no sentence, with what became of them."""
    paired = {pair.image for pair in verdict.pairs}
    cells = [
        _image(
            opened, number, _image_words(number, image, fate), dropped=not opened.document.is_gpt
        )
        for number, (image, fate) in enumerate(
            zip(opened.document.images, verdict.images, strict=False)
        )
        if number not in paired
    ]
    if not cells:
        return ""
    title = "Images" if opened.document.is_gpt else "Images beside no sentence"
    return f'<h4>{title}</h4><div class="mmc-rest">{"".join(cells)}</div>'


def _image_words(number: int, image: Image, fate: ImageFate) -> list[str]:
    lines = [_chip(*_IMAGE_FATES[fate]), f"image {number + 1}"]
    if image.n_bytes is not None:
        size = f", {image.width} × {image.height}" if image.width else ""
        lines.append(f"{image.n_bytes:,} bytes{size}")
    reason = image.entry_error or image.pixel_error
    if reason:
        lines.append(escaped(reason))
    return lines


def _image(opened: Opened, number: int, lines: Iterable[str], *, dropped: bool) -> str:
    picture = opened.pictures[number] if number < len(opened.pictures) else None
    shown = '<span class="mmc-none">no picture</span>'
    if picture is not None:
        shown = f'<img src="{picture}" alt="image {number + 1}">'
    kind = "mmc-image mmc-dropped" if dropped else "mmc-image"
    return f'<div class="{kind}">{shown}<div class="mmc-num">{"<br>".join(lines)}</div></div>'


def _chip(meaning: str, words: str) -> str:
    return f'<span class="mmc-fate mmc-{meaning}">{escaped(words)}</span>'


def _sequence(parts: Sequence[Piece]) -> str:
    """Write the training sequence: image tokens marked, what is cut struck out."""
    if not parts:
        return "<h4>Training sequence</h4><p>None is built.</p>"
    shown = "".join(_piece(piece) for piece in parts)
    return f'<h4>Training sequence</h4><div class="mmc-sequence" dir="auto">{shown}</div>'


def _piece(piece: Piece) -> str:
    if piece.kind == "text":
        return escaped(piece.text)
    if piece.kind == "cut":
        return f'<span class="mmc-cut" title="behind the token limit">{escaped(piece.text)}</span>'
    return f'<span class="mmc-token mmc-{piece.kind}">{escaped(piece.text)}</span>'
