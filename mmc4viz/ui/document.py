"""One document as the loader sees it, as HTML: images beside their sentences, fates, sequence.

Takes plain data and writes markup; reads and draws nothing. All text is escaped, addresses are
text and no links.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from mmc4viz.model import Fate, Image, ImageFate, LoaderConfig, Pair, Verdict
from mmc4viz.ui.inert import escaped
from mmc4viz.ui.markup import IMAGE_FATES, PAIR_FATES, chip, outcome_chip
from mmc4viz.ui.record import Opened
from mmc4viz.ui.sequence import Piece

MOST_SENTENCES: Final = 400
LONGEST: Final = 20_000  # characters of one stretch of text


def page(opened: Opened, verdict: Verdict, config: LoaderConfig) -> str:
    """Write what the document is, what becomes of it, and its page in order, as HTML."""
    return "".join(
        [_facts(opened, verdict, config), _page(opened, verdict), _rest(opened, verdict)]
    )


def _facts(opened: Opened, verdict: Verdict, config: LoaderConfig) -> str:
    """Write the document's name and its verdict, in words."""
    scores = [pair.score for pair in verdict.pairs]
    facts = [
        ("key", escaped(opened.document.key)),
        ("shard", escaped(opened.shard)),
        ("address", escaped(opened.document.url or "–")),
        ("outcome", outcome_chip(verdict.outcome, verdict.detail)),
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
    misbound = {b.pair_image for b in verdict.binding if b.mispaired}
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
        f'<span class="mmc-sentence" dir="auto">{_limited(words)}</span>'
        f'<span class="mmc-images">{"".join(images)}</span></div>'
    )


def _pair(opened: Opened, pair: Pair, misbound: bool) -> str:
    meaning, words = PAIR_FATES[pair.fate]
    chips = [chip(meaning, words)]
    if pair.fate is Fate.KEPT and misbound:
        chips.append(chip("misbound", "misbound"))
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
    lines = [chip(*IMAGE_FATES[fate]), f"image {number + 1}"]
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


def sequence(parts: Sequence[Piece], pictures: Sequence[str | None]) -> str:
    """Write the training sequence as HTML: image tokens with what they get, the cut struck out."""
    return "".join(_piece(piece, pictures) for piece in parts)


def _piece(piece: Piece, pictures: Sequence[str | None]) -> str:
    if piece.kind == "text":
        return _limited(piece.text)
    if piece.kind == "cut":
        return f'<span class="mmc-cut" title="behind the token limit">{_limited(piece.text)}</span>'
    picture = None
    if piece.image is not None and piece.image < len(pictures):
        picture = pictures[piece.image]
    shown = f'<img src="{picture}" alt="">' if picture else ""
    return f'<span class="mmc-token mmc-{piece.kind}">{shown}{escaped(piece.text)}</span>'


def _limited(text: str) -> str:
    """Escape text, and of a very long one its beginning."""
    beyond = len(text) - LONGEST
    return escaped(text if beyond <= 0 else f"{text[:LONGEST]} … {beyond:,} more characters")
