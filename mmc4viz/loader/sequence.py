"""Build the training sequence of a document: kept pairs → text → truncated tokens.

If token counts are additive, `count_sequence` derives the result from the sentences' counts.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from mmc4viz.loader.assignment import Match
from mmc4viz.loader.template import Template, TokenizedUnit, check_list, check_texts, chunks_of
from mmc4viz.loader.tokenizer import Encoded, Tokenizer
from mmc4viz.loader.tokenizer_files import END_OF_CHUNK, IMAGE
from mmc4viz.types import Document, DocumentError, SentenceCounts, SequenceShape

_TEXT: Final = Template()
MARK = re.compile(r"_!_IMAGE(\d+)_!_")

# What the loader deletes, in order: pattern, start of the deletion within it, length.
_CLEANUP = (
    (f" {END_OF_CHUNK}", 0, 1),
    (f"{IMAGE} ", len(IMAGE), 1),
    (f" {IMAGE}", 0, 1),
)


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A sequence's text before tokenization.

    Attributes
    ----------
    text : str
        Ends with ``<|endofchunk|>`` and the end-of-text token.
    image_starts : tuple of int
        For each pair (or mark) the offset of its ``<image>`` in the text; -1 if it was cut off.
    closing : int
        Offset of the closing end-of-text token.
    """

    text: str
    image_starts: tuple[int, ...]
    closing: int


def interleave(
    sentences: Any, columns: Sequence[int], end_of_text: str, *, chunks: bool = True
) -> Interleaved:
    """Write the pairs' image tokens into the sentences, as ``preprocess_interleaved`` does.

    Parameters
    ----------
    sentences : Any
        The document's ``text_list``.
    columns : sequence of int
        The sentence of each kept pair, in image order.
    end_of_text : str
        The tokenizer's end-of-text token.
    chunks : bool
        Whether ``<|endofchunk|>`` is written between a text and the next image.

    Raises
    ------
    DocumentError
        When the loader fails on the sentences.

    Examples
    --------
    >>> interleave(["A boat.", "The sea."], [1], "</s>")
    Interleaved(text='A boat.<image>The sea.<|endofchunk|></s>', image_starts=(7,), closing=36)
    """
    check_list(sentences)
    parts, mark = list(sentences), f"{END_OF_CHUNK}{IMAGE}" if chunks else IMAGE
    for column in columns:
        if column >= len(parts):
            raise DocumentError(f"sentence {column + 1} is matched, but there are {len(parts)}")
        parts[column] = f"{mark}{parts[column]}"
    check_texts(parts)
    starts = _prefix_starts(parts, columns, mark)
    return _clean(" ".join(parts), starts, end_of_text, chunks=chunks)


def interleave_sides(
    sentences: Any,
    columns: Sequence[int],
    before: Sequence[bool],
    template: Template,
    end_of_text: str,
) -> Interleaved:
    """Write the pairs' image tokens before or after their sentences, one pair after the other.

    Parameters
    ----------
    sentences : Any
        The document's ``text_list``.
    columns : sequence of int
        The sentence of each kept pair, in the order in which images are handed over.
    before : sequence of bool
        Which pairs' tokens come before their sentences.
    template : Template
    end_of_text : str

    Raises
    ------
    DocumentError
        When the loader fails on the sentences.

    Examples
    --------
    >>> interleave_sides(["A.", "B."], [0, 1], [False, True], Template(), "").text
    'A.<image><image>B.'
    """
    check_list(sentences)
    check_texts(sentences)
    parts, image = list(sentences), template.text
    starts = list[int]()
    for number, (column, first) in enumerate(zip(columns, before, strict=True)):
        if first:
            for earlier in (n for n in range(number) if columns[n] == column):
                starts[earlier] += len(image)
        starts.append(image.index(template.mark) + (0 if first else len(parts[column])))
        parts[column] = image + parts[column] if first else parts[column] + image
    offsets = [0, *accumulate(len(part) + 1 for part in parts)]
    placed = [start + offsets[column] for start, column in zip(starts, columns, strict=True)]
    text, placed = delete_blanks(" ".join(parts), placed, template.cleanup)
    return Interleaved(text + end_of_text, tuple(placed), len(text))


def delete_blanks(text: str, starts: list[int], patterns: Sequence[str]) -> tuple[str, list[int]]:
    """Delete the blank at one end of every occurrence of each pattern, and shift the offsets."""
    for pattern in patterns:
        begin = 0 if pattern[0] == " " else len(pattern) - 1
        text, starts = _delete(text, starts, pattern, begin, 1)
    return text, starts


def interleave_chatgpt(example: str, max_images: int, end_of_text: str) -> Interleaved:
    """Turn a ChatGPT-generated text's marks into image tokens (``preprocess_gpt_interleaved``)."""
    token = f"{END_OF_CHUNK}{IMAGE}"
    starts, shift = [], 0
    for mark in MARK.finditer(example):
        starts.append(mark.start() + shift + len(END_OF_CHUNK))
        shift += len(token) - len(mark.group())
    return _clean(MARK.sub(token, example), starts, end_of_text, max_images)


def mark_numbers(example: str) -> list[int]:
    """Return the image numbers (from 1) of a ChatGPT-generated text's marks, in text order."""
    digits = (mark.group(1) for mark in MARK.finditer(example))
    return [int(number) if len(number) < 20 else 0 for number in digits]


def _prefix_starts(parts: Sequence[str], columns: Sequence[int], mark: str) -> list[int]:
    """Return the offsets of the pairs' image tokens in the joined parts."""
    offsets, position = [], 0
    for part in parts:
        offsets.append(position)
        position += len(part) + 1
    seen: dict[int, int] = {}
    starts = []
    for column in columns:
        nth = seen.get(column, 0)
        seen[column] = nth + 1
        starts.append(offsets[column] + (nth + 1) * len(mark) - len(IMAGE))
    return starts


def _clean(
    text: str,
    starts: list[int],
    end_of_text: str,
    max_images: int | None = None,
    *,
    chunks: bool = True,
) -> Interleaved:
    """Delete the first ``<|endofchunk|>`` and spaces around tokens, then close the sequence."""
    if chunks:
        text, starts = _delete(text, starts, END_OF_CHUNK, 0, len(END_OF_CHUNK), first_only=True)
    for pattern, begin, length in _CLEANUP if chunks else _CLEANUP[1:]:
        text, starts = _delete(text, starts, pattern, begin, length)
    if max_images is not None:
        tokens = [match.start() for match in re.finditer(IMAGE, text)]
        if len(tokens) > max_images:
            text = text[: tokens[max_images - 1]]
            starts = [start if start < len(text) else -1 for start in starts]
    text = f"{text}{END_OF_CHUNK}" if chunks else text
    return Interleaved(text + end_of_text, tuple(starts), len(text))


def _delete(
    text: str,
    starts: list[int],
    pattern: str,
    begin: int,
    length: int,
    *,
    first_only: bool = False,
) -> tuple[str, list[int]]:
    """Delete part of every occurrence of a pattern, left to right, and shift the offsets."""
    found = [match.start() + begin for match in re.finditer(re.escape(pattern), text)]
    found = found[:1] if first_only else found
    if not found:
        return text, starts
    kept = pattern[:begin] + pattern[begin + length :]
    text = text.replace(pattern, kept, 1 if first_only else -1)
    return text, [start - length * bisect_left(found, start) for start in starts]


@dataclass(frozen=True, slots=True)
class CutSequence:
    """A tokenized and truncated sequence.

    Attributes
    ----------
    ids : tuple of int
        Token ids; empty if only counts are known.
    image_tokens, text_tokens : int
    survives : tuple of bool
        For each pair (or mark), whether its token remains after truncation.
    places : tuple of (int or None)
        For each remaining image token, the pair it came from; None for a literal one.
    is_mispaired : tuple of bool
        For each remaining image token, whether it comes from a pair but receives no image of that
        pair's sentence.
    ends_with_image : bool
        Whether the sequence has ``max_tokens`` tokens and the last one is an image token.
    shape : SequenceShape
    """

    ids: tuple[int, ...]
    image_tokens: int
    text_tokens: int
    survives: tuple[bool, ...]
    places: tuple[int | None, ...]
    is_mispaired: tuple[bool, ...]
    ends_with_image: bool
    shape: SequenceShape

    @property
    def mispaired(self) -> int:
        """Count the mispaired image tokens."""
        return sum(self.is_mispaired)


NO_SEQUENCE = CutSequence((), 0, 0, (), (), (), False, SequenceShape())


@dataclass(frozen=True, slots=True)
class Owners:
    """What each image token needs and receives: the k-th token receives the k-th image.

    Attributes
    ----------
    wanted : sequence of int
        For each pair its sentence; for each mark the rank of its image.
    received : sequence of int or None
        For each image handed to the model, by rank, the sentence it is matched to; None if tokens
        need the image of a given rank.
    """

    wanted: Sequence[int]
    received: Sequence[int] | None = None

    def is_mispaired(self, place: int | None, rank: int) -> bool:
        """Whether the token of a pair (or mark) receives another one's image at a rank."""
        if place is None:
            return False
        if self.received is None:
            return self.wanted[place] != rank
        return rank >= len(self.received) or self.wanted[place] != self.received[rank]


def owners_of_pairs(columns: Sequence[int]) -> Owners:
    """Return the owners for kept pairs, given their sentences in image order."""
    return Owners(columns, columns)


def sequence_of(
    document: Document,
    kept: Sequence[Match],
    tokenizer: Tokenizer,
    max_tokens: int,
    template: Template,
) -> CutSequence:
    """Return the sequence of a document's kept pairs, in the order in which images are handed over.

    Raises
    ------
    DocumentError
        When the loader fails on the sentences.
    """
    columns = [match.sentence for match in kept]
    if template.unit is TokenizedUnit.CHUNKS:
        indices = [match.place for match in kept]
        return _read_chunks(document, columns, indices, tokenizer, max_tokens, template)
    if document.counts is not None:
        return count_sequence(document.counts, columns, tokenizer, max_tokens)
    sentences = template.sentences(document.sentences)
    text = interleave(sentences, columns, tokenizer.end_of_text, chunks=tokenizer.chunks)
    read = _read_pieces if template.unit is TokenizedUnit.PIECES else read_sequence
    return read(text, tokenizer, max_tokens, owners_of_pairs(columns))


def read_sequence(
    text: Interleaved,
    tokenizer: Tokenizer,
    max_tokens: int | None,
    owners: Owners,
    template: Template = _TEXT,
) -> CutSequence:
    """Tokenize and truncate a text, and find the pair (or mark) of each image token."""
    tokens = encoded(text.text, tokenizer, max_tokens)
    place_at = {start: place for place, start in enumerate(text.image_starts)}
    places = tuple(
        place_at.get(start)
        for token, start in zip(tokens.ids, tokens.starts, strict=True)
        if token == tokenizer.image_id
    )
    survivors = {place for place in places if place is not None}
    special = image_ids(tokenizer, template) | {tokenizer.end_of_chunk_id}
    before, text_tokens = _text_before_images(tokens, tokenizer.image_id, special, text.closing)
    return CutSequence(
        ids=tuple(tokens.ids),
        image_tokens=len(places),
        text_tokens=text_tokens,
        survives=tuple(place in survivors for place in range(len(text.image_starts))),
        places=places,
        is_mispaired=tuple(owners.is_mispaired(place, rank) for rank, place in enumerate(places)),
        ends_with_image=len(tokens.ids) == max_tokens and tokens.ids[-1] == tokenizer.image_id,
        shape=SequenceShape.of(tokens.length, before, text_tokens),
    )


def encoded(text: str, tokenizer: Tokenizer, max_tokens: int | None = None) -> Encoded:
    """Tokenize a text; raises a DocumentError where the loader's tokenizer refuses it."""
    try:
        return tokenizer.encode(text, max_tokens)
    except UnicodeEncodeError:
        raise DocumentError("the text contains a lone surrogate") from None


def _read_pieces(
    text: Interleaved, tokenizer: Tokenizer, max_tokens: int, owners: Owners
) -> CutSequence:
    """Tokenize each piece between image tokens by itself; its first token counts once, not again.

    Every image token of the text is a pair's: the page's own are guarded.
    """
    ids, is_text = list[int](), list[bool]()
    position = 0
    for number, piece in enumerate(text.text.split(IMAGE)):
        if number:
            ids.append(tokenizer.image_id)
            is_text.append(False)
        tokens = encoded(piece, tokenizer)
        skipped = min(tokenizer.n_before, 1) if number else 0
        ids += tokens.ids[skipped:]
        is_text += [
            not added and position + start < text.closing
            for start, added in zip(tokens.starts, tokens.added, strict=True)
        ][skipped:]
        position += len(piece) + len(IMAGE)
    cut_ids, cut_text = ids[:max_tokens], is_text[:max_tokens]
    before = [sum(cut_text[:at]) for at, one in enumerate(cut_ids) if one == tokenizer.image_id]
    order = sorted(range(len(text.image_starts)), key=text.image_starts.__getitem__)
    places = tuple(order[: len(before)])
    return CutSequence(
        ids=tuple(cut_ids),
        image_tokens=len(places),
        text_tokens=sum(cut_text),
        survives=tuple(place in places for place in range(len(order))),
        places=places,
        is_mispaired=tuple(owners.is_mispaired(place, rank) for rank, place in enumerate(places)),
        ends_with_image=len(ids) >= max_tokens and cut_ids[-1] == tokenizer.image_id,
        shape=SequenceShape.of(len(ids), before, sum(cut_text)),
    )


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk's tokens without the first, and which of them are text; no ids if only counted."""

    ids: list[int]
    is_text: list[bool]


def _read_chunks(
    document: Document,
    columns: Sequence[int],
    indices: Sequence[int],
    tokenizer: Tokenizer,
    max_tokens: int,
    template: Template,
) -> CutSequence:
    """Write chunks and images in turn, up to the first that does not fit with both end tokens."""
    image = list(map(tokenizer.id_of, template.tokens))
    mark, own = tokenizer.image_id, image_ids(tokenizer, template)
    if document.counts is not None:
        chunks = _count_chunks(document.counts, indices, tokenizer)
    else:
        texts = chunks_of(template.sentences(document.sentences), indices)
        chunks = (_chunk(text, tokenizer, own) for text in texts)
    ids, is_text = [tokenizer.begin_id], [False]
    places, before = list[int | None](), list[int]()
    fits, length, n_text = True, 2, 0

    def room(n: int) -> bool:
        return len(is_text) - 1 + n + 2 <= max_tokens

    for number, chunk in enumerate(chunks):
        length += len(chunk.is_text) + (len(image) if number < len(indices) else 0)
        fits = fits and room(len(chunk.is_text))
        if not fits:
            break
        for at, one in enumerate(chunk.ids):
            if one == mark:
                places.append(None)
                before.append(n_text + sum(chunk.is_text[:at]))
        ids += chunk.ids
        is_text += chunk.is_text
        n_text += sum(chunk.is_text)
        if number == len(indices):
            break
        fits = room(len(image))
        if not fits:
            break
        places.append(number)
        before.append(n_text)
        ids += image
        is_text += [False] * len(image)
    if not fits:
        length += _length_of_rest(chunks, len(indices) - number - 1, len(image))
    ids.append(tokenizer.id_of(tokenizer.end_of_text))
    survivors = [place for place in places if place is not None]
    owners = Owners(columns, columns[: len(survivors)])
    return CutSequence(
        ids=() if document.counts is not None else tuple(ids),
        image_tokens=len(places),
        text_tokens=n_text,
        survives=tuple(place in survivors for place in range(len(indices))),
        places=tuple(places),
        is_mispaired=tuple(owners.is_mispaired(place, rank) for rank, place in enumerate(places)),
        ends_with_image=False,
        shape=SequenceShape.of(length, before, n_text),
    )


def _length_of_rest(chunks: Iterable[_Chunk], n_images: int, cost: int) -> int:
    """Count what the cut loses; of what cannot be tokenized the loader never sees anything."""
    length = max(n_images, 0) * cost
    try:
        return length + sum(len(chunk.is_text) for chunk in chunks)
    except DocumentError:
        return length


def _chunk(text: str, tokenizer: Tokenizer, special: frozenset[int]) -> _Chunk:
    """Tokenize a chunk and drop its first token, which the loader takes for begin-of-text."""
    tokens = encoded(text, tokenizer)
    is_text = [
        not added and token not in special
        for token, added in zip(tokens.ids, tokens.added, strict=True)
    ]
    return _Chunk(tokens.ids[1:], is_text[1:])


@dataclass(frozen=True, slots=True)
class ChunkText:
    """A chunk as the loader keeps it.

    Attributes
    ----------
    text : str
        Without the first token, where that is text and the loader drops it.
    n_tokens : int
    marks : tuple of (int, int)
        Each image token in the page's own text: its offset in the text and among the tokens.
    """

    text: str
    n_tokens: int
    marks: tuple[tuple[int, int], ...] = ()


def chunk_texts(
    sentences: Any, indices: Sequence[int], tokenizer: Tokenizer, template: Template
) -> list[ChunkText]:
    """Return the chunks between images placed at these indices, uncut.

    A chunk that cannot be tokenized, which the loader does not reach, has no tokens.

    Raises
    ------
    DocumentError
        When the sentences are no text.
    """
    found = []
    for text in chunks_of(template.sentences(sentences), indices):
        try:
            tokens = encoded(text, tokenizer)
        except DocumentError:  # a loader that can read the document cuts before
            found.append(ChunkText(text, 0))
            continue
        rest = list(zip(tokens.ids, tokens.starts, tokens.added, strict=True))[1:]
        dropped = bool(tokens.ids) and not tokens.added[0]
        start = next((at for _, at, added in rest if not added), len(text)) if dropped else 0
        marks = [
            (at - start, n) for n, (token, at, _) in enumerate(rest) if token == tokenizer.image_id
        ]
        found.append(ChunkText(text[start:], len(rest), tuple(marks)))
    return found


def _count_chunks(
    counts: SentenceCounts, indices: Sequence[int], tokenizer: Tokenizer
) -> Iterator[_Chunk]:
    """Yield the same as `_chunk` does, from sentences' token counts."""
    numbers, start, chunks = range(len(counts.rest)), 0, list[range]()
    for index in indices:
        chunks.append(numbers[start : index + 1])
        start = index + 1
    if start != len(numbers):
        chunks.append(numbers[start:])
    for chunk in chunks:
        n_tokens = 0
        if chunk:
            opening = counts.first[chunk[0]] if chunk[0] else counts.head
            n_tokens = opening + sum(counts.rest[one] for one in chunk[1:])
            n_tokens -= not tokenizer.n_before
        yield _Chunk([], [True] * n_tokens)


def count_sequence(
    counts: SentenceCounts, columns: Sequence[int], tokenizer: Tokenizer, max_tokens: int
) -> CutSequence:
    """Return the same as `read_sequence` from sentences' token counts, if those are additive.

    The sequence is a list of pieces (pair or None, kind, token count), truncated at the limit.
    """
    pieces: list[tuple[int | None, str, int]] = []
    for sentence in range(len(counts.rest)):
        here = [number for number, column in enumerate(columns) if column == sentence]
        for number in here:
            pieces += [*([(None, "chunk", 1)] * tokenizer.chunks), (number, "image", 1)]
        opening = counts.head if sentence == 0 else counts.rest[sentence]
        pieces.append((None, "text", counts.first[sentence] if here else opening))
    if tokenizer.chunks:
        pieces.remove((None, "chunk", 1))  # the loader removes the first <|endofchunk|>
        pieces.append((None, "chunk", 1))
    pieces.append((None, "closing", tokenizer.n_closing))
    position, places, text = tokenizer.n_before, list[int | None](), 0
    before: list[int] = []
    owners = owners_of_pairs(columns)
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
            before.append(text)
    return CutSequence(
        ids=(),
        image_tokens=len(places),
        text_tokens=text,
        survives=tuple(number in places for number in range(len(columns))),
        places=tuple(places),
        is_mispaired=tuple(owners.is_mispaired(place, rank) for rank, place in enumerate(places)),
        ends_with_image=last == "image" and position == max_tokens,
        shape=SequenceShape.of(
            tokenizer.n_before + sum(n for *_, n in pieces) + tokenizer.n_after, before, text
        ),
    )


def image_ids(tokenizer: Tokenizer, template: Template) -> frozenset[int]:
    """Return the ids of all tokens that are written for an image; none of them counts as text."""
    return frozenset(tokenizer.id_of(token) for token, _ in template.image)


def _text_before_images(
    tokens: Encoded, image_id: int, special: frozenset[int | None], closing: int
) -> tuple[list[int], int]:
    """Count the text tokens before each image token, and all of them."""
    before, text = list[int](), 0
    for token, start, added in zip(tokens.ids, tokens.starts, tokens.added, strict=True):
        if token == image_id:
            before.append(text)
        text += not added and token not in special and start < closing
    return before, text
