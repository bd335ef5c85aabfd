"""A document's training sequence in pieces: text, image tokens and whose image they get, the cut.

Follows the walk's verdict; draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mmc4viz.loader.text import IMAGE, Interleaved, interleave, interleave_chatgpt
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.model import Binding, Document, DocumentError, Fate, LoaderConfig, Verdict


@dataclass(frozen=True)
class Piece:
    """A stretch of the sequence: text, an image token (bound right or not), or cut off."""

    kind: Literal["text", "kept", "misbound", "cut"]
    text: str


def pieces(
    document: Document, verdict: Verdict, config: LoaderConfig, tokenizer: Tokenizer
) -> list[Piece]:
    """Take the sequence apart; nothing where none was built."""
    if not verdict.token_ids:
        return []
    try:
        text = _text(document, verdict, config, tokenizer).text
        end, starts = _cut(text, config.max_tokens, tokenizer)
    except (DocumentError, UnicodeEncodeError):  # the walk would have said so
        return []
    return list(_pieces(text, end, starts, verdict.binding))


def _text(
    document: Document, verdict: Verdict, config: LoaderConfig, tokenizer: Tokenizer
) -> Interleaved:
    if document.is_gpt:
        return interleave_chatgpt(document.example, config.max_images, tokenizer.end_of_text)
    kept = [p.sentence for p in verdict.pairs if p.fate in (Fate.KEPT, Fate.TRUNCATED)]
    return interleave(document.sentences, kept, tokenizer.end_of_text)


def _cut(text: str, max_tokens: int, tokenizer: Tokenizer) -> tuple[int, list[int]]:
    """Return where the sequence is cut, and where its image tokens stand before that."""
    cut, longer = tokenizer.encode(text, max_tokens), tokenizer.encode(text, max_tokens + 1)
    own = [s for s, added in zip(cut.starts, cut.added, strict=True) if not added]
    more = [s for s, added in zip(longer.starts, longer.added, strict=True) if not added]
    end = more[len(own)] if len(more) > len(own) else len(text)
    images = [s for s, i in zip(cut.starts, cut.ids, strict=True) if i == tokenizer.image_id]
    return end, images


def _pieces(
    text: str, end: int, starts: list[int], binding: tuple[Binding, ...]
) -> Iterator[Piece]:
    position = 0
    for start, bound in zip(starts, binding, strict=False):
        if start > position:
            yield Piece("text", text[position:start])
        yield _token(bound)
        position = start + len(IMAGE)
    if position < end:
        yield Piece("text", text[position:end])
    if end < len(text):
        yield Piece("cut", text[end:])


def _token(bound: Binding) -> Piece:
    """Name an image token by the image it gets, and by the one it should get."""
    got = "no image" if bound.bound_image is None else f"image {bound.bound_image + 1}"
    if bound.pair_image is None:
        return Piece("misbound", f"{IMAGE} of the page's own text, gets {got}")
    if bound.pair_image == bound.bound_image:
        return Piece("kept", f"{IMAGE} {got}")
    return Piece("misbound", f"{IMAGE} of image {bound.pair_image + 1}, gets {got}")
