"""What the token limit needs to know of a sequence: where its special tokens stand.

A sequence is tokenized once for all limits. Special tokens part a text, so that the texts between
them are tokenized each for itself, and each but once. What a special token means for a document
is the affair of `literal`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.loader.pretrained import END_OF_CHUNK, IMAGE
from mmc4viz.loader.sequence import Owners
from mmc4viz.loader.text import Interleaved
from mmc4viz.loader.tokens import Tokenizer

# A place is a token's position among those of the text, times 8, plus what stands there.
IS_IMAGE: Final = 1
IS_OWN: Final = 2  # of a pair or mark, not of the page's own text
IS_MISBOUND: Final = 4
FLAGS: Final = 8

Layout = bytes
"""int32s: how many tokens the text has, then the places of all tokens that are no text."""

FAILED: Final[Layout] = np.array([-1], np.int32).tobytes()
"""The layout of a text that the loader fails on."""

_SPECIAL: Final = re.compile(f"({re.escape(IMAGE)}|{re.escape(END_OF_CHUNK)})")

Text = tuple[Interleaved, Owners]
"""A sequence's text, and whom its images belong to."""


def layouts(texts: Sequence[Text], tokenizer: Tokenizer) -> list[Layout]:
    """Tokenize texts and say where their special tokens stand.

    Parameters
    ----------
    texts : sequence of Text
        None with a lone surrogate.
    tokenizer : Tokenizer
    """
    if not parts_cleanly(tokenizer):
        return [_from_tokens(text, owners, tokenizer) for text, owners in texts]
    split = [_SPECIAL.split(text.text) for text, _ in texts]
    keys = list(dict.fromkeys(key for pieces in split for key in _keys(pieces)))
    known = dict(zip(keys, tokenizer.lengths([IMAGE + key for key in keys]), strict=True))
    opening = tokenizer.lengths([pieces[0] for pieces in split])
    return [
        _from_pieces(text, owners, [first, *(known[key] - 1 for key in _keys(pieces))], pieces)
        for (text, owners), pieces, first in zip(texts, split, opening, strict=True)
    ]


def _keys(pieces: list[str]) -> list[str]:
    """Return the texts behind a special token."""
    return pieces[2::2]


@lru_cache(maxsize=16)
def parts_cleanly(tokenizer: Tokenizer) -> bool:
    """Whether ``<image>`` and ``<|endofchunk|>`` part a text wherever they stand in it.

    So they do unless one of them swallows space, or another added token overlaps with them.
    """
    settings = json.loads(tokenizer.description().split("\n", 1)[1])
    own = {IMAGE, END_OF_CHUNK}
    odd = ("lstrip", "rstrip", "single_word", "normalized")
    for token in settings["added_tokens"]:
        content = token["content"]
        if content in own and any(token.get(name) for name in odd):
            return False
        if content not in own and any(_overlap(content, special) for special in own):
            return False
    return True


def _overlap(one: str, other: str) -> bool:
    """Whether one text contains the other, or one's end may be the other's beginning."""
    ends = range(1, min(len(one), len(other)) + 1)
    meet = any(one[-k:] == other[:k] or other[-k:] == one[:k] for k in ends)
    return meet or one in other or other in one


def _from_pieces(
    text: Interleaved, owners: Owners, lengths: Sequence[int], pieces: Sequence[str]
) -> Layout:
    """Lay out a text from the tokens of its pieces; specials stand at odd places among these."""
    pair_at = {start: pair for pair, start in enumerate(text.image_starts)}
    position, offset, n_images = 0, 0, 0
    places: list[int] = []
    for number, length in enumerate(lengths):
        if number:
            special = pieces[2 * number - 1]
            pair = pair_at.get(offset) if special == IMAGE else None
            places.append(_place(position, special == IMAGE, pair, n_images, owners))
            n_images += special == IMAGE
            position, offset = position + 1, offset + len(special)
        position, offset = position + length, offset + len(pieces[2 * number])
    places += [at * FLAGS for at in range(position - lengths[-1], position)]  # closes the text
    return _packed(position, places)


def _from_tokens(text: Interleaved, owners: Owners, tokenizer: Tokenizer) -> Layout:
    """Lay out a text from its tokens."""
    tokens = tokenizer.encode(text.text, None)
    pair_at = {start: pair for pair, start in enumerate(text.image_starts)}
    places, n_images, position = [], 0, 0
    for token, start, added in zip(tokens.ids, tokens.starts, tokens.added, strict=True):
        if added:
            continue
        image = token == tokenizer.image_id
        if image or token == tokenizer.end_of_chunk_id or start >= text.closing:
            pair = pair_at.get(start) if image else None
            places.append(_place(position, image, pair, n_images, owners))
            n_images += image
        position += 1
    return _packed(position, places)


def _place(position: int, image: bool, pair: int | None, rank: int, owners: Owners) -> int:
    flags = IS_IMAGE if image else 0
    if pair is not None:
        flags |= IS_OWN | (IS_MISBOUND if owners.mispaired(pair, rank) else 0)
    return position * FLAGS + flags


def _packed(n_tokens: int, places: Iterable[int]) -> Layout:
    return np.array([n_tokens, *places], np.int32).tobytes()


@dataclass(frozen=True)
class Cut:
    """Sequences cut at a token limit; every array of shape (sequences,).

    Attributes
    ----------
    failed : ndarray of bool
        Where the loader fails on the text; the rest means nothing there.
    image_tokens, own_tokens, misbound, text_tokens : ndarray of int64
        ``own_tokens`` are the image tokens of pairs (or marks).
    ends_with_image : ndarray of bool
        Whether the last of ``max_tokens`` tokens is an image's.
    """

    failed: NDArray[np.bool_]
    image_tokens: NDArray[np.int64]
    own_tokens: NDArray[np.int64]
    misbound: NDArray[np.int64]
    text_tokens: NDArray[np.int64]
    ends_with_image: NDArray[np.bool_]


def cut(found: Sequence[Layout], max_tokens: int, tokenizer: Tokenizer) -> Cut:
    """Cut sequences at a token limit."""
    limit = max_tokens - tokenizer.n_before - tokenizer.n_after
    sizes = np.array([len(layout) for layout in found], np.int64) // 4
    flat = np.frombuffer(b"".join(found), np.int32)
    heads = np.cumsum(sizes) - sizes
    n_tokens = flat[heads].astype(np.int64)
    owner, places = np.repeat(np.arange(len(sizes)), sizes - 1), np.delete(flat, heads)

    def count(chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(owner[chosen], minlength=len(sizes))

    inside = places // FLAGS < limit
    last = (places // FLAGS == limit - 1) & (places & IS_IMAGE > 0)
    return Cut(
        n_tokens < 0,
        image_tokens=count(inside & (places & IS_IMAGE > 0)),
        own_tokens=count(inside & (places & IS_OWN > 0)),
        misbound=count(inside & (places & IS_MISBOUND > 0)),
        text_tokens=np.minimum(n_tokens, limit) - count(inside),
        ends_with_image=(count(last) > 0) & (tokenizer.n_after == 0),
    )
