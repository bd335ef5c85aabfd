"""Literal documents: those that need the reference walk, because token counts are not additive.

Each text is tokenized once per set of kept pairs and stored as a layout of its special tokens. So
another minimum of images or token limit costs almost nothing, and another cap only tokenizes new
texts. If special tokens split a text cleanly, the texts between them are tokenized separately, each
only once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.data.columns import Columns, Kind, read_payload
from mmc4viz.loader.profile import profile_of
from mmc4viz.loader.sequence import (
    Interleaved,
    Owners,
    interleave,
    interleave_chatgpt,
    mark_numbers,
    owners_of_pairs,
)
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.loader.tokenizer_files import END_OF_CHUNK, IMAGE
from mmc4viz.loader.walk import pairs_and_turns, walk
from mmc4viz.sweep.statistics import (
    CLASS,
    IMAGE_STATUS,
    QUANTITIES,
    QUANTITY,
    Tally,
    class_of,
    tally,
)
from mmc4viz.types import Document, DocumentError, ImageStatus, LoaderConfig, Outcome

# A place is a token's position in the text, times 8, plus flags.
IS_IMAGE: Final = 1
IS_OWN: Final = 2  # of a pair or mark, not a literal <image> of the page
IS_MISPAIRED: Final = 4
FLAGS: Final = 8

TokenLayout = bytes
"""int32s: number of tokens, then the places of all non-text tokens."""

FAILED: Final[TokenLayout] = np.array([-1], np.int32).tobytes()
"""The layout of a text that causes a loader error."""

_SPECIAL: Final = re.compile(f"({re.escape(IMAGE)}|{re.escape(END_OF_CHUNK)})")

Text = tuple[Interleaved, Owners]
"""A sequence's text, and the owners of its image tokens."""


def layouts(texts: Sequence[Text], tokenizer: Tokenizer) -> list[TokenLayout]:
    """Tokenize texts and return their layouts.

    Parameters
    ----------
    texts : sequence of Text
        Without lone surrogates.
    tokenizer : Tokenizer
    """
    if not parts_cleanly(tokenizer):
        return [_from_tokens(text, owners, tokenizer) for text, owners in texts]
    split = [_SPECIAL.split(text.text) for text, _ in texts]
    keys = list(dict.fromkeys(key for pieces in split for key in _after_specials(pieces)))
    known = dict(zip(keys, tokenizer.lengths([IMAGE + key for key in keys]), strict=True))
    opening = tokenizer.lengths([pieces[0] for pieces in split])
    return [
        _from_pieces(
            text, owners, [first, *(known[key] - 1 for key in _after_specials(pieces))], pieces
        )
        for (text, owners), pieces, first in zip(texts, split, opening, strict=True)
    ]


def _after_specials(pieces: list[str]) -> list[str]:
    """Return the texts after a special token."""
    return pieces[2::2]


@lru_cache(maxsize=16)
def parts_cleanly(tokenizer: Tokenizer) -> bool:
    """Whether ``<image>`` and ``<|endofchunk|>`` always split a text.

    They do unless one of them absorbs whitespace or another added token overlaps with them.
    """
    own = {IMAGE, END_OF_CHUNK}
    odd = ("lstrip", "rstrip", "single_word", "normalized")
    for token in tokenizer.added:
        content = token.content
        if content in own and any(getattr(token, name) for name in odd):
            return False
        if content not in own and any(_overlap(content, special) for special in own):
            return False
    return True


def _overlap(one: str, other: str) -> bool:
    """Whether one text contains the other, or a suffix of one is a prefix of the other."""
    ends = range(1, min(len(one), len(other)) + 1)
    meet = any(one[-k:] == other[:k] or other[-k:] == one[:k] for k in ends)
    return meet or one in other or other in one


def _from_pieces(
    text: Interleaved, owners: Owners, lengths: Sequence[int], pieces: Sequence[str]
) -> TokenLayout:
    """Lay out a text from the lengths of its pieces; odd pieces are special tokens."""
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
    places += [at * FLAGS for at in range(position - lengths[-1], position)]  # closing tokens
    return _packed(position, places)


def _from_tokens(text: Interleaved, owners: Owners, tokenizer: Tokenizer) -> TokenLayout:
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
        flags |= IS_OWN | (IS_MISPAIRED if owners.is_mispaired(pair, rank) else 0)
    return position * FLAGS + flags


def _packed(n_tokens: int, places: Iterable[int]) -> TokenLayout:
    return np.array([n_tokens, *places], np.int32).tobytes()


@dataclass(frozen=True)
class Cut:
    """Sequences truncated at a token limit; every array of shape (sequences,).

    Attributes
    ----------
    failed : ndarray of bool
        Texts that cause a loader error; the other arrays are undefined there.
    image_tokens, own_tokens, mispaired, text_tokens : ndarray of int64
        ``own_tokens`` are image tokens of pairs or marks.
    text_before, text_between, followed, length : ndarray of int64
        As in `mmc4viz.types.SequenceShape`.
    ends_with_image : ndarray of bool
        Whether the last of ``max_tokens`` tokens is an image token.
    """

    failed: NDArray[np.bool_]
    image_tokens: NDArray[np.int64]
    own_tokens: NDArray[np.int64]
    mispaired: NDArray[np.int64]
    text_tokens: NDArray[np.int64]
    text_before: NDArray[np.int64]
    text_between: NDArray[np.int64]
    followed: NDArray[np.int64]
    length: NDArray[np.int64]
    ends_with_image: NDArray[np.bool_]


def cut(found: Sequence[TokenLayout], max_tokens: int, tokenizer: Tokenizer) -> Cut:
    """Truncate sequences at a token limit."""
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
    text_tokens = np.minimum(n_tokens, limit) - count(inside)
    # Text before each image token within the limit: its position less the special tokens before.
    nth = np.arange(len(places)) - (np.cumsum(sizes - 1) - (sizes - 1))[owner]
    image = inside & (places & IS_IMAGE > 0)
    whose, before = owner[image], (places // FLAGS - nth)[image]
    opens, ends = np.append(True, whose[1:] != whose[:-1]), np.append(whose[1:] != whose[:-1], True)
    opens, ends = opens[: len(whose)], ends[: len(whose)]
    after = np.where(ends, text_tokens[whose], np.append(before[1:], 0))
    first, furthest = np.zeros(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
    first[whose[opens]], furthest[whose[ends]] = before[opens], before[ends]
    return Cut(
        n_tokens < 0,
        image_tokens=count(inside & (places & IS_IMAGE > 0)),
        own_tokens=count(inside & (places & IS_OWN > 0)),
        mispaired=count(inside & (places & IS_MISPAIRED > 0)),
        text_tokens=text_tokens,
        text_before=first,
        text_between=furthest - first,
        followed=np.bincount(whose[after > before], minlength=len(sizes)),
        length=n_tokens + tokenizer.n_before + tokenizer.n_after,
        ends_with_image=(count(last) > 0) & (tokenizer.n_after == 0),
    )


_Key = tuple[int, tuple[int, ...]]
"""Document position and kept pairs' sentences; minus the cap if ChatGPT-generated."""

_ABOVE_ALL: Final = float(np.finfo(np.float64).max)
_TEXTS: Final = 1000  # tokenized in one call
_MATCHED: Final = IMAGE_STATUS[ImageStatus.MATCHED]
_UNMATCHED: Final = IMAGE_STATUS[ImageStatus.UNMATCHED]


@dataclass(frozen=True)
class LiteralStates:
    """All S states of literal documents, by document, then by descending score.

    A document's first state has no pair at or above the threshold, or is its only one.

    Attributes
    ----------
    document : ndarray of int64, shape (S,)
        Position among the literal documents.
    score : ndarray of float64, shape (S,)
        Score at which the state begins; infinity for a document's first.
    kind : ndarray of int64, shape (S,)
        Class (`mmc4viz.sweep.statistics.CLASSES`).
    length : ndarray of int64, shape (S,)
        Tokens before truncation; 0 without a text.
    counts : ndarray of int64 or float64, shape (S, len(QUANTITIES))
        Quantities of that class. Of a document that may be unreadable, by what a loader draws, a
        part of one is counted.
    images : ndarray of int64, shape (S, len(ImageStatus))
    """

    document: Ints
    score: NDArray[np.float64]
    kind: Ints
    length: NDArray[Any]
    counts: NDArray[Any]
    images: Ints


class Literal(Mapping[int, Document]):
    """One shard's literal documents by row, matched under one loader, size limit and assignment.

    Parameters
    ----------
    columns : Columns
        The shard's.
    config : LoaderConfig
        Only ``loader``, ``min_kb`` and ``assignment`` matter.
    previous : Literal, optional
        The same documents matched differently, to reuse tokenized texts.
    """

    def __init__(
        self, columns: Columns, config: LoaderConfig, previous: Literal | None = None
    ) -> None:
        self._columns, self._previous = columns, previous
        self.rows = np.flatnonzero(columns.kind_under(config.loader) == Kind.LITERAL)
        self._walks_each = not profile_of(config).follows_pairs
        match = _match_for_walks if self._walks_each else _match
        found = [match(document, config, columns.tokenizer) for document in self.values()]
        pairs = [one.pairs for one in found]
        self._first = np.cumsum([0, *map(len, pairs)])
        self._sentence = np.array([pair[1] for one in pairs for pair in one], np.int32)
        self._score = np.array([pair[2] for one in pairs for pair in one], np.float64)
        self._chatgpt = np.array([one.chatgpt for one in found], bool)
        self._kind = np.array([one.base.counts[0].argmax() for one in found], np.int64)
        self._counts = _stack([one.base.counts.sum(axis=1) for one in found], len(QUANTITIES))
        self._images = _stack([one.base.images for one in found], len(ImageStatus))
        self._document = np.repeat(np.arange(len(found)), [len(one.turns) + 1 for one in found])
        self._entered = np.array([x for one in found for x in (np.inf, *one.turns)], np.float64)
        self._layouts: tuple[int, list[TokenLayout]] = (0, [])
        self._walked: tuple[LoaderConfig, LiteralStates] | None = None

    def __getitem__(self, row: int) -> Document:
        if row not in self.rows:
            raise KeyError(row)
        return self._columns.document(row)

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows.tolist())

    def __len__(self) -> int:
        return len(self.rows)

    def scores(self) -> NDArray[np.float64]:
        """Return the scores of all matched pairs."""
        return self._score

    def scores_of_each(self) -> list[NDArray[np.float64]]:
        """Return each document's scores, in image order."""
        return np.split(self._score, self._first[1:-1])

    def states(self, config: LoaderConfig) -> LiteralStates:
        """Resolve all states; depends on the cap, the minimum of images and the token limit."""
        return self._walk_each(config) if self._walks_each else self._from_layouts(config)

    def _walk_each(self, config: LoaderConfig) -> LiteralStates:
        """Walk every document in each of its states; the last result is cached."""
        key = config.for_curves()
        if self._walked is None or self._walked[0] != key:
            documents, here = list(self.values()), self._document.tolist()
            verdicts = [
                walk(
                    documents[number],
                    config.with_(threshold=min(threshold, _ABOVE_ALL)),
                    self._columns.tokenizer,
                )
                for number, threshold in zip(here, self._entered.tolist(), strict=True)
            ]
            each = [tally(verdict, config.max_tokens) for verdict in verdicts]
            kinds = [CLASS[class_of(verdict)] for verdict in verdicts]
            found = LiteralStates(
                self._document,
                self._entered,
                np.array(kinds, np.int64),
                np.array([verdict.shape.length for verdict in verdicts] or np.zeros(0, np.int64)),
                _stack(
                    [one.counts[:, kind] for one, kind in zip(each, kinds, strict=True)],
                    len(QUANTITIES),
                ),
                _stack([one.images for one in each], len(ImageStatus)),
            )
            self._walked = key, found
        return self._walked[1]

    def _from_layouts(self, config: LoaderConfig) -> LiteralStates:
        here, text = self._document, np.flatnonzero(self._with_text())
        kind, counts, images = self._kind[here], self._counts[here], self._images[here]
        length = np.zeros_like(kind)
        found = cut(self._laid_out(config.max_images), config.max_tokens, self._columns.tokenizer)
        chatgpt, matched = self._chatgpt[here[text]], images[text, _MATCHED]
        present = np.where(chatgpt, matched, self._survivors()[text])
        length[text] = np.where(found.failed, 0, found.length)
        kind[text] = _classes(found, chatgpt, config.min_images)
        counts[text] = _counts(found, chatgpt, matched, present, config.max_images)
        failed = text[found.failed]
        images[failed, _UNMATCHED] += images[failed, _MATCHED]
        images[failed, _MATCHED] = 0
        counts[failed, QUANTITY["stranded"]] = images[failed, _UNMATCHED]
        return LiteralStates(here, self._entered, kind, length, counts, images)

    def _with_text(self) -> NDArray[np.bool_]:
        """Which states have a text: those with pairs left, and ChatGPT-generated documents."""
        return np.asarray(np.isfinite(self._entered) | self._chatgpt[self._document])

    def _survivors(self) -> Ints:
        """Return the number of pairs at or above the threshold in each state, shape (S,)."""
        return np.array([len(self._kept(state)) for state in range(len(self._document))], np.int64)

    def _kept(self, state: int) -> Ints:
        """Return the sentences of a state's pairs at or above the threshold, in image order."""
        number = self._document[state]
        pairs = slice(self._first[number], self._first[number + 1])
        return np.asarray(self._sentence[pairs][self._score[pairs] >= self._entered[state]])

    def _laid_out(self, max_images: int) -> list[TokenLayout]:
        """Return the layouts of the states with a text; the last result is cached."""
        cap, found = self._layouts
        if cap != max_images:
            known = (self._previous or self)._by_key()
            keys = self._text_keys(max_images)
            new = [key for key in dict.fromkeys(keys) if key not in known]
            for start in range(0, len(new), _TEXTS):
                known |= self._lay_out(new[start : start + _TEXTS], max_images)
            found = [known[key] for key in keys]
            self._layouts, self._previous = (max_images, found), None
        return found

    def _text_keys(self, max_images: int) -> list[_Key]:
        """Return the key of each state's text."""
        states = np.flatnonzero(self._with_text()).tolist()
        return [
            (number, (-max_images,))
            if self._chatgpt[number]
            else (number, tuple(self._kept(state)[:max_images].tolist()))
            for state, number in zip(states, self._document[states].tolist(), strict=True)
        ]

    def _by_key(self) -> dict[_Key, TokenLayout]:
        cap, found = self._layouts
        return dict(zip(self._text_keys(cap), found, strict=True)) if found else {}

    def _lay_out(self, keys: list[_Key], max_images: int) -> dict[_Key, TokenLayout]:
        numbers = dict.fromkeys(number for number, _ in keys)
        fields = {number: self._fields(number) for number in numbers}
        texts = {key: self._text(fields[key[0]], *key, max_images) for key in keys}
        sound = {key: text for key, text in texts.items() if text is not None}
        found = layouts(list(sound.values()), self._columns.tokenizer)
        return dict.fromkeys(keys, FAILED) | dict(zip(sound, found, strict=True))

    def _fields(self, number: int) -> dict[str, Any]:
        row = int(self.rows[number])
        return read_payload(self._columns.batch.column("payload")[row].as_py())

    def _text(
        self, fields: dict[str, Any], number: int, kept: tuple[int, ...], max_images: int
    ) -> Text | None:
        """Return the text of a document with some pairs kept; None on a loader error."""
        end_of_text = self._columns.tokenizer.end_of_text
        try:
            if self._chatgpt[number]:
                owners = Owners([mark - 1 for mark in mark_numbers(fields["example"])])
                text = interleave_chatgpt(fields["example"], max_images, end_of_text)
            else:
                owners = owners_of_pairs(kept)
                text = interleave(fields["sentences"], kept, end_of_text)
            text.text.encode()
        except (DocumentError, UnicodeEncodeError):  # lone surrogate
            return None
        return text, owners


@dataclass(frozen=True)
class _Match:
    """One document's pairs, and its tally with all pairs below the threshold."""

    pairs: list[tuple[int, int, float]]  # image, sentence, score, in image order
    base: Tally
    chatgpt: bool  # and readable up to its text
    turns: list[float]  # scores at which states begin, descending


def _match_for_walks(document: Document, config: LoaderConfig, _: Tokenizer) -> _Match:
    """Match a document whose states are all walked, so that no tally is needed before."""
    pairs, turns = pairs_and_turns(document, config)
    return _Match(pairs, Tally.empty(), False, turns)


def _match(document: Document, config: LoaderConfig, tokenizer: Tokenizer) -> _Match:
    pairs, turns = pairs_and_turns(document, config)
    # No pair is left and a ChatGPT-generated text is removed: nothing to tokenize.
    bare = replace(document, example="") if document.is_gpt else document
    verdict = walk(bare, config.with_(threshold=_ABOVE_ALL), tokenizer)
    if not pairs:
        chatgpt = document.is_gpt and verdict.outcome is not Outcome.UNREADABLE
        return _Match([], tally(verdict, config.max_tokens), chatgpt, turns)
    base, statuses = Tally.empty(), list(verdict.images)
    for image, _, _ in pairs:
        statuses[image] = ImageStatus.MATCHED
    base.counts[QUANTITY["documents"], CLASS["below_threshold"]] = 1
    base.counts[QUANTITY["rejected_pairs"], CLASS["below_threshold"]] = len(pairs)
    base.images[:] = [statuses.count(status) for status in ImageStatus]
    return _Match(pairs, base, False, turns)


def _stack(rows: list[NDArray[Any]], width: int) -> NDArray[Any]:
    return np.array(rows or np.zeros(0, np.int64)).reshape(-1, width)


def _classes(found: Cut, chatgpt: NDArray[np.bool_], min_images: int) -> Ints:
    """Return the class of each state with a text."""
    single = (found.image_tokens == 1) & ~chatgpt
    kind = np.where(single, CLASS["kept_single_image"], CLASS["kept_always"])
    kind[single & found.ends_with_image] = CLASS["single_image_at_end"]
    kind[found.image_tokens < min_images] = CLASS["too_few_images"]
    kind[found.failed] = CLASS["unreadable"]
    return kind


def _counts(
    found: Cut, chatgpt: NDArray[np.bool_], matched: Ints, present: Ints, max_images: int
) -> Ints:
    """Return the quantities of each state with a text, shape (states, len(QUANTITIES)).

    Parameters
    ----------
    found : Cut
    chatgpt : ndarray of bool
    matched : ndarray of int64
        Matched images, or all of a ChatGPT-generated document.
    present : ndarray of int64
        Of these, those counted against the cap.
    max_images : int
    """
    handed_over = np.minimum(present, max_images)
    in_order = np.minimum(found.image_tokens, handed_over)  # paired by rank only
    reaching = np.where(chatgpt, in_order, found.own_tokens)
    values = {
        "documents": np.ones_like(present),
        "pairs": np.where(chatgpt, 0, present),
        "rejected_pairs": matched - present,
        "over_cap": present - handed_over,
        "truncated": handed_over - reaching,
        "reaching": reaching,
        "image_tokens": found.image_tokens,
        "text_tokens": found.text_tokens,
        "mispaired": found.mispaired,
        "stranded": np.zeros_like(present),
        "text_before": found.text_before,
        "text_between": found.text_between,
        "followed": found.followed,
    }
    counts = np.stack([values[name] for name in QUANTITIES], axis=1)
    counts[found.failed] = 0
    counts[found.failed, QUANTITY["documents"]] = 1
    return counts
