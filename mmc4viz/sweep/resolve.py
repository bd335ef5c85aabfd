"""All states of grouped plain documents: cap, text, tokens and outcome, vectorized.

This is the second half of the reference walk. A state is a number of pairs at or above the
threshold; thresholds themselves do not appear. Groups span many shards, to amortize fixed costs.

A sequence consists of sentences, whose token counts depend on whether they open a chunk, and the
special tokens between them. The image token of the pair on sentence s comes after all tokens of the
sentences before s and two tokens (``<|endofchunk|><image>``) per kept pair before it; the first
``<|endofchunk|>`` is removed. (Some loaders write no ``<|endofchunk|>``.)

Pairs enter a document one by one, best first. A new pair shifts the pairs after it; beyond the cap,
the pair of the last image leaves. So a state costs as much as it has kept pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.loader.profile import Order, profile_of
from mmc4viz.loader.template import CutRule
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.loader.tokenizer_files import END_OF_CHUNK
from mmc4viz.sweep.match import Matches
from mmc4viz.sweep.means import Passed, Sentences
from mmc4viz.sweep.statistics import CLASS
from mmc4viz.types import LoaderConfig

Array = NDArray[np.signedinteger[Any]]

# Documents whose token positions and indices are all below this use 16-bit arithmetic.
NARROW: Final = 32_000

STATES: Final = 1 << 17
"""States per block: enough for efficient histograms, few enough for memory."""


@dataclass(frozen=True)
class Group:
    """D documents with m matched pairs each; pairs on axis 0, best score first.

    Attributes
    ----------
    document : ndarray of int32, shape (D,)
        Document numbers, ascending.
    image, sentence, before, extra : ndarray of int16 or int32, shape (m, D)
        Of the pairs (`Matches`).
    total : ndarray of int16 or int32, shape (D,)
    score : ndarray of float64, shape (m, D)
        Descending; ties in any order.
    crowded : bool
        Whether two image tokens may stand side by side, without text between them, because their
        pairs share a sentence or a sentence has no tokens; in every document or in none.
    beyond : ndarray of int32, shape (3, m, D) or (0, m, D)
        Of the pairs, too.
    lost_from : ndarray of int64, shape (D,), or None
        Position of the best pair whose image is found broken when it is read: from then on the
        document is lost. None if no document has such an image.
    """

    document: NDArray[np.int32]
    image: Array
    sentence: Array
    before: Array
    extra: Array
    total: Array
    score: NDArray[np.float64]
    crowded: bool
    beyond: Array
    lost_from: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.document)

    def part(self, here: slice) -> Group:
        """Return the documents at some positions."""
        fields: dict[str, Any] = {
            name: value[..., here]
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray)
        }
        return replace(self, **fields)

    def blocks(self) -> Iterator[slice]:
        """Split the documents into blocks to process at a time."""
        width = max(1, STATES // len(self.score))
        return (slice(start, start + width) for start in range(0, len(self), width))

    def positions(self, first: int, last: int) -> slice:
        """Return the positions of the documents with numbers in a range."""
        return slice(*np.searchsorted(self.document, [first, last]).tolist())

    def between(self, first: int, last: int) -> Group:
        """Return the documents with numbers in a range."""
        return self.part(self.positions(first, last))

    def shifted(self, documents: int) -> Group:
        """Return the documents with shifted numbers."""
        return replace(self, document=self.document + np.int32(documents))

    def pairs(self, chosen: NDArray[np.bool_]) -> Matches:
        """Return the pairs of some documents, one by one."""
        m = len(self.score)
        fields = {
            name: getattr(self, name)[:, chosen].ravel().astype(np.int32)
            for name in ("image", "sentence", "before", "extra")
        }
        return Matches(
            document=np.tile(self.document[chosen], m),
            wordless=np.full(int(chosen.sum()) * m, self.crowded),
            total=np.tile(self.total[chosen].astype(np.int32), m),
            score=self.score[:, chosen].ravel(),
            broken=self._broken[:, chosen].ravel(),
            beyond=self.beyond[..., chosen].reshape(len(self.beyond), m * int(chosen.sum())),
            **fields,
        )

    @property
    def _broken(self) -> NDArray[np.bool_]:
        """Which pairs lose a document, shape (m, D); only the first of each is known."""
        if self.lost_from is None:
            return np.zeros(self.score.shape, bool)
        return np.asarray(np.arange(len(self.score))[:, None] == self.lost_from)


def step_of(config: LoaderConfig) -> int:
    """Return how many tokens a pair adds besides its sentence's: the image's, and endofchunk."""
    profile = profile_of(config)
    return profile.template.cost + (END_OF_CHUNK in profile.special_tokens)


def arrange(pairs: Matches, n_documents: int, config: LoaderConfig) -> list[Group]:
    """Group pairs by number of pairs per document, integer width, and whether they are crowded.

    Parameters
    ----------
    pairs : Matches
        In any order.
    n_documents : int
        Upper bound of document numbers.
    config : LoaderConfig
        Only the loader matters.
    """
    each = np.bincount(pairs.document, minlength=n_documents)
    first = np.concatenate([[0], np.cumsum(each)])
    in_order = bool((np.diff(pairs.document) >= 0).all())
    order = None if in_order else np.argsort(pairs.document, kind="stable")
    found = []
    for m in np.unique(each[each > 0]).tolist():
        documents = np.flatnonzero(each == m)
        where = first[documents][:, None] + np.arange(m)
        where = where if order is None else order[where]
        found += list(_groups(pairs, where, step_of(config)))
    return found


def _groups(pairs: Matches, where: NDArray[np.int64], step: int) -> Iterator[Group]:
    """Make groups of documents with the same number of pairs, at positions ``where``."""
    best_first = np.argsort(-pairs.score[where], axis=1)
    where = np.take_along_axis(where, best_first, axis=1)
    sentence = np.sort(pairs.sentence[where], axis=1)
    crowded = (sentence[:, 1:] == sentence[:, :-1]).any(axis=1)
    crowded |= pairs.wordless[where].any(axis=1)
    largest = np.maximum(sentence[:, -1], pairs.image[where].max(axis=1))
    reach = pairs.total[where[:, 0]] + (np.abs(pairs.extra[where]) + step).sum(axis=1)
    narrow = (reach < NARROW) & (largest < NARROW)
    broken = pairs.broken[where]
    breaks = broken.any(axis=1)
    for is_crowded, is_narrow, is_lost in product((False, True), (True, False), (False, True)):
        chosen = (crowded == is_crowded) & (narrow == is_narrow) & (breaks == is_lost)
        if chosen.any():
            dtype = np.dtype(np.int16 if is_narrow else np.int32)
            group = _group(pairs, where[chosen].T, dtype, crowded=is_crowded)
            lost_from = broken[chosen].argmax(axis=1) if is_lost else None
            yield replace(group, lost_from=lost_from)


def _group(
    pairs: Matches, where: NDArray[np.int64], dtype: np.dtype[Any], *, crowded: bool
) -> Group:
    fields = {
        name: getattr(pairs, name).astype(dtype)[where]
        for name in ("image", "sentence", "before", "extra")
    }
    return Group(
        pairs.document[where[0]],
        total=pairs.total.astype(dtype)[where[0]],
        score=pairs.score[where],
        crowded=crowded,
        beyond=pairs.beyond[:, where],
        **fields,
    )


# ``kept_always`` is 0; products of small integers are faster than choices.
_SINGLE, _AT_END = np.int8(CLASS["kept_single_image"]), np.int8(CLASS["single_image_at_end"])
_UNREADABLE = np.int8(CLASS["unreadable"])
_WIDTH: Final = 8192  # documents resolved together, to fit the CPU cache


@dataclass(frozen=True)
class States:
    """Outcomes of documents with 1 … m pairs left, every array of shape (m, documents).

    A document without any is ``below_threshold`` and has 0 tokens; so has one that is lost to a
    broken image, which is ``unreadable``.

    Attributes
    ----------
    kind : ndarray of int8
        Class (`mmc4viz.sweep.statistics.CLASSES`).
    reaching : ndarray of int16 or int32
        Image tokens.
    text_tokens, mispaired : ndarray of int16 or int32
    text_before, text_between, followed, length : ndarray of int16 or int32
        As in `mmc4viz.types.SequenceShape`.

    Under a loader that draws at random, all that are counted in text tokens are means, of type
    float64, and so is ``followed``.
    """

    kind: NDArray[np.int8]
    reaching: Array
    text_tokens: NDArray[Any]
    mispaired: Array
    text_before: NDArray[Any]
    text_between: NDArray[Any]
    followed: NDArray[Any]
    length: NDArray[Any]

    @classmethod
    def empty(cls, shape: tuple[int, ...], dtype: np.dtype[Any]) -> States:
        """Return arrays to fill in."""
        kind, *others = (np.empty(shape, np.int8 if n == 0 else dtype) for n in range(8))
        return cls(kind, *others)

    def part(self, here: tuple[int, slice]) -> States:
        """Return views of some states."""
        return States(*(values[here] for values in vars(self).values()))


COUNTED: Final = ("mispaired", "text_tokens", "text_before", "text_between", "followed", "length")
"""What is counted in a state besides its class and its image tokens."""


def resolve(group: Group, config: LoaderConfig, tokenizer: Tokenizer) -> States:
    """Resolve all states of a group of documents.

    Parameters
    ----------
    group : Group
        D documents of m pairs each.
    config : LoaderConfig
        Only the loader, the cap, the minimum of images and the token limit matter; the loader is
        the same for all of several settings.
    tokenizer : Tokenizer
        Only the tokens that it and the loader add to a sequence matter.
    """
    return resolve_each(group, [config], tokenizer)[0]


def resolve_each(
    group: Group,
    configs: Sequence[LoaderConfig],
    tokenizer: Tokenizer,
    counted: Collection[str] = COUNTED,
) -> list[States]:
    """Resolve all states under several settings at once.

    Parameters
    ----------
    group : Group
        D documents of m pairs each.
    configs : sequence of LoaderConfig
    tokenizer : Tokenizer
    counted : collection of str
        Those of `COUNTED` that are needed; the others are undefined.

    Returns
    -------
    list of States
        One for each of the settings; those with the same cap and token limit share their arrays.
        Of a cap that is neither the largest nor m or more, only the states of as many pairs as the
        cap and more: all before are those of the largest.
    """
    m, dtype, profile = len(group.score), group.before.dtype, profile_of(configs[0])
    if profile.is_random:
        return _means_of_each(group, configs, tokenizer, counted)
    in_page_order = profile.order is Order.PAGE
    cuts = {one.max_tokens: _cut(one, group, tokenizer, counted) for one in configs}
    caps = [min(profile.cap_of(one), m) for one in configs]
    *smaller, largest = sorted(set(caps))
    found = {
        (cap, limit): States.empty((m if cap == largest else m - cap + 1, len(group)), dtype)
        for cap in (*smaller, largest)
        for limit in cuts
    }
    for start in range(0, len(group), _WIDTH):
        here = slice(start, start + _WIDTH)
        ranked = in_page_order and "mispaired" in counted
        every = [_Kept(group.part(here), largest, step_of(configs[0]), ranked=ranked)]
        for state in range(m):
            for kept in every:
                kept.enter(state)
            if state + 1 in smaller:
                every.append(every[0].fork(cap=state + 1))
            for kept, (limit, cut) in product(every, cuts.items()):
                cut.apply(kept, found[kept.cap, limit].part(np.s_[state - m, here]))
    return [
        _with_lost(_with_minimum(found[cap, one.max_tokens], one.min_images), group)
        for cap, one in zip(caps, configs, strict=True)
    ]


def _with_minimum(states: States, min_images: int) -> States:
    """Apply the minimum of images."""
    if not min_images:
        return states
    kind = states.kind.copy()
    np.putmask(kind, states.reaching < min_images, CLASS["too_few_images"])
    return replace(states, kind=kind)


def _means_of_each(
    group: Group, configs: Sequence[LoaderConfig], tokenizer: Tokenizer, counted: Collection[str]
) -> list[States]:
    """Return what `resolve_each` does where a loader draws at random."""
    m, profile = len(group.score), profile_of(configs[0])
    tokenizer = profile.tokenizer(tokenizer)
    own = tokenizer.n_before + tokenizer.n_after + tokenizer.n_closing
    caps = [min(profile.cap_of(one), m) for one in configs]
    found = {}
    for cap in set(caps):
        first = 1 if cap == max(caps) else cap
        stay = np.minimum(np.arange(first, m + 1), cap)[:, None]
        reaching = np.broadcast_to(stay, (len(stay), len(group)))
        text, before, between, followed = (np.empty(reaching.shape) for _ in range(4))
        found[cap] = States(
            (reaching == 1) * _SINGLE,
            reaching.astype(np.int16 if cap < NARROW else np.int32),
            text,
            np.zeros(reaching.shape, np.int8),
            before,
            between,
            followed,
            text,
        )
    for start in range(0, len(group), _WIDTH):
        here = slice(start, start + _WIDTH)
        part = group.part(here)
        sentences = Sentences.of(part.sentence, part.before, part.extra, part.total, part.beyond)
        passed = Passed(sentences)
        for state in range(m):
            passed.enter()
            for cap, states in found.items():
                if m - state <= len(states.kind):
                    some = passed.means(min(passed.n, cap), counted)
                    for name, values in vars(some).items():
                        getattr(states, name)[state - m, here] = values
    for cap, states in found.items():
        length = states.text_tokens + own + states.reaching * np.float64(profile.template.cost)
        found[cap] = replace(states, length=length)
    return [
        _with_lost(_with_minimum(found[cap], one.min_images), group)
        for cap, one in zip(caps, configs, strict=True)
    ]


def _with_lost(states: States, group: Group) -> States:
    """Apply what broken images lose to the last states of a group."""
    if group.lost_from is None:
        return states
    m = len(group.score)
    lost = np.arange(m - len(states.kind), m)[:, None] >= group.lost_from
    left = {name: np.where(lost, 0, values) for name, values in vars(states).items()}
    return States(**left | {"kind": np.where(lost, _UNREADABLE, states.kind)})


def _cut(
    config: LoaderConfig, group: Group, tokenizer: Tokenizer, counted: Collection[str]
) -> _Cut:
    """Return the truncation of a group's sequences."""
    profile = profile_of(config)
    tokenizer = profile.tokenizer(tokenizer)
    own = tokenizer.n_before + tokenizer.n_after + tokenizer.n_closing
    limit = config.max_tokens - tokenizer.n_before - tokenizer.n_after
    whole = profile.template.cut is CutRule.WHOLE
    if whole:  # with begin- and end-of-text, whatever the tokenizer adds
        own, limit = 2, config.max_tokens - 2
    if group.before.dtype == np.int16:
        # No document is that long, so results are the same without overflow.
        limit = min(limit, NARROW + tokenizer.n_closing)
    last = profile.checks_end and tokenizer.n_after == 0  # an image token may be
    end = limit - 1 if last else -1
    return _Cut(limit, end, own, frozenset(counted), tokenizer.chunks, whole)


class _Kept:
    """The kept pairs of D documents in one state: n slots, in any order.

    Comparisons are computed as a subtraction and a shift, giving -1 (all bits set) for true, so
    that numbers are selected by bitwise and, without conversions or branches.

    Attributes
    ----------
    image, sentence : ndarray, shape (slots, D)
    extra : ndarray, shape (slots, D)
        Tokens added by opening a chunk; of pairs that share a sentence, counted for the first
        image's only.
    position : ndarray, shape (slots, D)
        Position of each pair's image token, without the tokenizer's own first tokens.
    past_first, past_last : ndarray, shape (slots, D)
        Difference between a pair's rank among images and the first, and the last, rank of its
        sentence among image tokens: between them, the token at that rank gets an image of its own
        sentence. The same array unless crowded; unused unless ranked.
    rank : ndarray, shape (slots, D)
        Rank among images; unused unless crowded.
    ranked : bool
        Whether `mispaired` can be counted; without, images come in the order of their tokens.
    step : int
        Tokens that a pair adds before the next: its image's and, if it is written,
        ``<|endofchunk|>``.
    added : ndarray, shape (D,)
        Tokens that the kept pairs add to the text.
    """

    def __init__(self, group: Group, max_images: int, step: int, *, ranked: bool) -> None:
        self.group, self.cap, self.n, self.counts_ranks = group, max_images, 0, ranked
        dtype = group.before.dtype
        self.step = dtype.type(step)
        shape = (min(len(group.score), max_images + 1), len(group))
        self.ranked = ranked or group.crowded
        n_slots = 7 if group.crowded else 4 + self.ranked
        self.slots = [np.empty(shape, dtype) for _ in range(n_slots)]
        self.image, self.sentence, self.extra, self.position = self.slots[:4]
        self.past_first = self.slots[4] if self.ranked else self.position
        self.past_last, self.rank = self.slots[5:] or (self.past_first, self.past_first)
        self.added = np.zeros(len(group), dtype)
        self.shift = dtype.itemsize * 8 - 1

    def enter(self, pair: int) -> None:
        """Add the pair at one position to all documents."""
        n, group = self.n, self.group
        image, sentence, extra = group.image[pair], group.sentence[pair], group.extra[pair]
        above = (sentence - self.sentence[:n]) >> self.shift  # the new sentence comes first
        if self.ranked:
            sooner = (image - self.image[:n]) >> self.shift  # the new image comes first
        ahead, below, opening = above, ~above, extra  # of the new pair's token and sentence
        if group.crowded:
            same = below & ~((self.sentence[:n] - sentence) >> self.shift)
            ahead, below, opening = above | (same & sooner), below & ~same, extra & ~_any(same)
            self.extra[:n] &= ~(same & sooner)
            extra = extra & ~_any(same & ~sooner)
        step = self.extra[:n] & below
        self.position[:n] += (above & opening) + (ahead & self.step)
        self.position[n] = group.before[pair] + _sum(step + (~ahead & self.step))
        if self.ranked:
            turn = above - sooner
            self.past_first[:n] += turn
            self.past_last[n] = -_sum(turn)
        if group.crowded:
            turn = ~below - sooner
            self.past_last[:n] += turn
            self.past_first[n] = -_sum(turn)
            self.rank[:n] -= sooner
            self.rank[n] = -_sum(~sooner)
        self.added += opening + self.step
        self.image[n], self.sentence[n], self.extra[n] = image, sentence, extra
        if n == self.cap:
            self._leave()
        self.n = min(n + 1, self.cap)

    def fork(self, cap: int) -> _Kept:
        """Return a copy to go on with under a smaller cap, which the pairs so far just reach."""
        copy = _Kept(self.group, cap, int(self.step), ranked=self.counts_ranks)
        for own, copied in zip(self.slots, copy.slots, strict=True):
            copied[:cap] = own[:cap]
        copy.added[:], copy.n = self.added, self.n
        return copy

    def mispaired(self, inside: NDArray[np.bool_], reaching: Array) -> Array:
        """Count the mispaired among the ``reaching`` image tokens within the limit."""
        if not self.counts_ranks:
            return np.zeros_like(reaching)
        past_first, past_last = self.past_first[: self.n], self.past_last[: self.n]
        if not self.group.crowded:
            return _count(inside & (past_first != 0))
        own = (past_first >= 0) & (past_last <= 0) & (self.rank[: self.n] < reaching)
        return np.asarray(reaching - _count(own))

    def side_by_side(self, inside: NDArray[np.bool_]) -> Array:
        """Count the image tokens within the limit that directly follow another one."""
        far = np.iinfo(self.position.dtype).max
        ordered = np.sort(np.where(inside, self.position[: self.n], far), axis=0)
        return _count((np.diff(ordered, axis=0) == self.step) & (ordered[1:] != far))

    def _leave(self) -> None:
        """Remove the pair of the last image, and put the newest one in its slot."""
        out = ~((self.image - self.image.max(axis=0)) >> self.shift)
        sentence, extra = _any(self.sentence & out), _any(self.extra & out)
        # It is the last of the pairs that share its sentence, so it only precedes later sentences.
        above = (sentence - self.sentence) >> self.shift
        self.position -= above & (extra + self.step)
        if self.ranked:
            self.past_first -= above
        if self.group.crowded:
            self.past_last -= ~((self.sentence - sentence) >> self.shift)
        self.added -= extra + self.step
        for slots in self.slots:
            slots[:-1] += (slots[-1] - slots[:-1]) & out[:-1]


def _any(values: Array) -> Array:
    """Combine masks, or numbers of which at most one is not 0, over the slots."""
    return np.asarray(np.bitwise_or.reduce(values, axis=0))


def _sum(values: Array) -> Array:
    return np.asarray(np.add.reduce(values, axis=0, dtype=values.dtype))


def _count(mask: NDArray[np.bool_]) -> Array:
    dtype = np.int8 if len(mask) < 128 else np.int32
    return np.asarray(np.add.reduce(mask.view(np.int8), axis=0, dtype=dtype))


@dataclass(frozen=True)
class _Cut:
    """Truncation at the token limit, and the outcome.

    Attributes
    ----------
    limit : int
        Token limit without the tokenizer's own tokens.
    end : int
        Position at which an image token is the last of ``max_tokens``; -1 if impossible.
    own : int
        Tokens that the tokenizer itself adds, and closing ones.
    counted : frozenset of str
        What to count, of `COUNTED`.
    chunks : bool
        Whether ``<|endofchunk|>`` is written.
    whole : bool
        Whether a sequence ends before the first text or image that does not fit whole.
    """

    limit: int
    end: int
    own: int
    counted: frozenset[str]
    chunks: bool
    whole: bool

    def apply(self, kept: _Kept, states: States) -> None:
        """Fill in one state of D documents, whatever the minimum of images."""
        position = kept.position[: kept.n]
        inside = position <= self.limit - kept.step if self.whole else position < self.limit
        states.reaching[:] = _count(inside)
        at_end = (position == self.end).any(axis=0)
        np.multiply(states.reaching == 1, _SINGLE + at_end * (_AT_END - _SINGLE), out=states.kind)
        if "mispaired" in self.counted:
            states.mispaired[:] = kept.mispaired(inside, states.reaching)
        if self.counted & {"length", "text_tokens", "followed"}:
            self._measure(kept, position, states)
        if self.counted & {"text_before", "text_between", "followed"}:
            self._measure_around(kept, position, inside, states)

    def _measure(self, kept: _Kept, position: Array, states: States) -> None:
        """Fill in length and text tokens."""
        length, specials = kept.group.total + kept.added, states.reaching
        states.length[:] = length + self.own
        if self.whole:
            fits = position <= self.limit  # with the text before it
            reached = (position * fits).max(axis=0) - kept.step * np.maximum(_count(fits) - 1, 0)
            everything = (states.reaching == kept.n) & (length <= self.limit)
            text = length - kept.step * np.int64(kept.n)
            states.text_tokens[:] = np.where(everything, text, reached)
            return
        if self.chunks:
            before = _count(position <= self.limit) - 1  # each <|endofchunk|> precedes its image
            # One <|endofchunk|> less at the start, one more at the end.
            specials = specials + np.maximum(before, 0) + (length <= self.limit)
        states.text_tokens[:] = np.minimum(length, self.limit) - specials

    def _measure_around(
        self, kept: _Kept, position: Array, inside: NDArray[np.bool_], states: States
    ) -> None:
        """Fill in the text around images, in text tokens."""
        reaching, some = states.reaching, states.reaching > 0
        last = (position * inside).max(axis=0) - kept.step * (reaching - 1)
        if self.counted & {"text_before", "text_between"}:
            first = position.min(axis=0)
            np.multiply(first, some, out=states.text_before)
            np.multiply(last - first, some, out=states.text_between)
        if "followed" not in self.counted:
            return
        np.subtract(reaching, some & (last == states.text_tokens), out=states.followed)
        if kept.group.crowded:
            np.subtract(states.followed, kept.side_by_side(inside), out=states.followed)
