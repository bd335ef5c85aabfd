"""The cut sequence: what is left of a text behind the token limit, and which image is whose.

Read off the tokens themselves, or, where sentences' token counts add up, off the counts. Knows no
threshold and no outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmc4viz.loader.text import Interleaved
from mmc4viz.loader.tokens import Encoded, Tokenizer
from mmc4viz.model import DocumentError, SentenceCounts


@dataclass(frozen=True, slots=True)
class CutSequence:
    """A tokenized and cut sequence.

    Attributes
    ----------
    ids : tuple of int
        Token ids; empty where only counts are known.
    image_tokens, text_tokens : int
    survives : tuple of bool
        For each pair (or mark) whether its token is left.
    places : tuple of (int or None)
        For each image token that is left the pair it came from; None for a literal one.
    mispaired : tuple of bool
        For each image token that is left whether it comes from a pair and gets no image of that
        pair's sentence.
    ends_with_image : bool
        Whether the last of ``max_tokens`` tokens is an image's.
    """

    ids: tuple[int, ...]
    image_tokens: int
    text_tokens: int
    survives: tuple[bool, ...]
    places: tuple[int | None, ...]
    mispaired: tuple[bool, ...]
    ends_with_image: bool

    @property
    def misbound(self) -> int:
        """Count the mispaired image tokens."""
        return sum(self.mispaired)


NO_SEQUENCE = CutSequence((), 0, 0, (), (), (), False)


@dataclass(frozen=True, slots=True)
class Owners:
    """Whom images belong to: the k-th image token of a sequence gets the k-th image handed over.

    Attributes
    ----------
    wanted : sequence of int
        For each pair its sentence; for each mark the rank of its image.
    received : sequence of int or None
        For each image handed over, by rank, the sentence that it is matched to; None where an
        image belongs to its rank alone.
    """

    wanted: Sequence[int]
    received: Sequence[int] | None = None

    def mispaired(self, place: int | None, rank: int) -> bool:
        """Whether the token of a pair (or mark) gets no image of its own at a rank."""
        if place is None:
            return False
        if self.received is None:
            return self.wanted[place] != rank
        return rank >= len(self.received) or self.wanted[place] != self.received[rank]


def of_pairs(columns: Sequence[int]) -> Owners:
    """Return the owners of kept pairs' images, from their sentences in image order."""
    return Owners(columns, columns)


def read_sequence(
    text: Interleaved, tokenizer: Tokenizer, max_tokens: int, owners: Owners
) -> CutSequence:
    """Tokenize, cut, and see which image token came from which pair (or mark)."""
    try:
        tokens = tokenizer.encode(text.text, max_tokens)
    except UnicodeEncodeError:
        raise DocumentError("the text has a lone surrogate, which is no character") from None
    place_at = {start: place for place, start in enumerate(text.image_starts)}
    places = tuple(
        place_at.get(start)
        for token, start in zip(tokens.ids, tokens.starts, strict=True)
        if token == tokenizer.image_id
    )
    survivors = {place for place in places if place is not None}
    return CutSequence(
        ids=tuple(tokens.ids),
        image_tokens=len(places),
        text_tokens=_text_tokens(tokens, tokenizer, text.closing),
        survives=tuple(place in survivors for place in range(len(text.image_starts))),
        places=places,
        mispaired=tuple(owners.mispaired(place, rank) for rank, place in enumerate(places)),
        ends_with_image=len(tokens.ids) == max_tokens and tokens.ids[-1] == tokenizer.image_id,
    )


def count_sequence(
    counts: SentenceCounts, columns: Sequence[int], tokenizer: Tokenizer, max_tokens: int
) -> CutSequence:
    """Say the same as `read_sequence` from sentences' token counts, where those add up.

    The sequence is written as a row of pieces (pair or None, kind, tokens) and cut.
    """
    pieces: list[tuple[int | None, str, int]] = []
    for sentence in range(len(counts.rest)):
        here = [number for number, column in enumerate(columns) if column == sentence]
        for number in here:
            pieces += [(None, "chunk", 1), (number, "image", 1)]
        opening = counts.head if sentence == 0 else counts.rest[sentence]
        pieces.append((None, "text", counts.first[sentence] if here else opening))
    pieces.remove((None, "chunk", 1))  # the first end of chunk goes
    pieces += [(None, "chunk", 1), (None, "closing", tokenizer.n_closing)]
    position, places, text = tokenizer.n_before, list[int | None](), 0
    owners = of_pairs(columns)
    limit = max_tokens - tokenizer.n_after
    last = None
    for place, kind, length in pieces:
        inside = min(length, limit - position)
        if inside <= 0:
            continue
        position, last = position + inside, kind
        text += inside if kind == "text" else 0
        if kind == "image":
            places.append(place)
    return CutSequence(
        ids=(),
        image_tokens=len(places),
        text_tokens=text,
        survives=tuple(number in places for number in range(len(columns))),
        places=tuple(places),
        mispaired=tuple(owners.mispaired(place, rank) for rank, place in enumerate(places)),
        ends_with_image=last == "image" and position == max_tokens,
    )


def _text_tokens(tokens: Encoded, tokenizer: Tokenizer, closing: int) -> int:
    special = (tokenizer.image_id, tokenizer.end_of_chunk_id)
    return sum(
        not added and token not in special and start < closing
        for token, start, added in zip(tokens.ids, tokens.starts, tokens.added, strict=True)
    )
