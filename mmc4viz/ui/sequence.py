"""A document's training sequence in pieces: text, image tokens and whose image they get, the cut.

Follows the walk's verdict; draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mmc4viz.loader.pretrained import IMAGE
from mmc4viz.loader.text import Interleaved, interleave, interleave_chatgpt
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.model import Binding, Document, DocumentError, Fate, LoaderConfig, Verdict


@dataclass(frozen=True)
class Piece:
    """A stretch of the sequence: text, an image token (bound right or not), or cut off.

    ``image`` is the image that an image token really gets, if any.
    """

    kind: Literal["text", "kept", "misbound", "cut"]
    text: str
    image: int | None = None


@dataclass(frozen=True)
class Token:
    """An image token of the sequence before the cut: its place among all tokens, and its kind."""

    place: int
    kind: Literal["kept", "misbound", "truncated"]
    words: str


@dataclass(frozen=True)
class Sequence:
    """A document's sequence, before and behind the cut.

    Attributes
    ----------
    pieces : tuple of Piece
    tokens : tuple of Token
        Its image tokens.
    length, limit : int
        Tokens before the cut, those that the tokenizer adds among them; where it is cut.
    """

    pieces: tuple[Piece, ...]
    tokens: tuple[Token, ...]
    length: int
    limit: int


def sequence_of(
    document: Document, verdict: Verdict, config: LoaderConfig, tokenizer: Tokenizer
) -> Sequence | None:
    """Take the sequence apart; None where none was built."""
    if not verdict.token_ids:
        return None
    try:
        text = _text(document, verdict, config, tokenizer).text
        uncut = tokenizer.encode(text, None)
    except (DocumentError, UnicodeEncodeError):  # the walk would have said so
        return None
    own = [
        (start, token)
        for start, token, added in zip(uncut.starts, uncut.ids, uncut.added, strict=True)
        if not added
    ]
    room = config.max_tokens - tokenizer.n_before - tokenizer.n_after
    end = own[room][0] if room < len(own) else len(text)
    places = [n for n, (_, token) in enumerate(own) if token == tokenizer.image_id]
    starts = [own[n][0] for n in places if n < room]
    shown = tuple(_pieces(text, end, starts, verdict.binding))
    marked = (piece for piece in shown if piece.kind in ("kept", "misbound"))
    before = tokenizer.n_before
    tokens = [Token(before + n, *_marked(piece)) for n, piece in zip(places, marked, strict=False)]
    tokens += [Token(before + n, "truncated", "behind the cut") for n in places[len(tokens) :]]
    return Sequence(shown, tuple(tokens), len(uncut.ids), config.max_tokens)


def pieces(
    document: Document, verdict: Verdict, config: LoaderConfig, tokenizer: Tokenizer
) -> list[Piece]:
    """Take the sequence apart; nothing where none was built."""
    found = sequence_of(document, verdict, config, tokenizer)
    return [] if found is None else list(found.pieces)


def _marked(piece: Piece) -> tuple[Literal["kept", "misbound"], str]:
    return ("misbound" if piece.kind == "misbound" else "kept"), piece.text


def _text(
    document: Document, verdict: Verdict, config: LoaderConfig, tokenizer: Tokenizer
) -> Interleaved:
    if document.is_gpt:
        return interleave_chatgpt(document.example, config.max_images, tokenizer.end_of_text)
    kept = [p.sentence for p in verdict.pairs if p.fate in (Fate.KEPT, Fate.TRUNCATED)]
    return interleave(document.sentences, kept, tokenizer.end_of_text)


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
        return Piece("misbound", f"{IMAGE} of the page's own text, gets {got}", bound.bound_image)
    if bound.pair_image == bound.bound_image:
        return Piece("kept", f"{IMAGE} {got}", bound.bound_image)
    words = f"{IMAGE} of image {bound.pair_image + 1}, gets {got}"
    if not bound.mispaired and bound.bound_image is not None:
        return Piece("kept", f"{words} of the same sentence", bound.bound_image)
    return Piece("misbound", words, bound.bound_image)
