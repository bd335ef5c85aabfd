"""Random choices of a loader: which images stay, in which order, before or after their sentence.

`draws_of` gives every outcome with its probability. `Expected` gives the means over all outcomes
without enumerating them, by counting the subsets of images in which an event occurs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, combinations, groupby, permutations, product
from typing import Final, Self

from mmc4viz.loader.assignment import Match
from mmc4viz.loader.profile import Cap, LoaderProfile
from mmc4viz.loader.sequence import (
    CutSequence,
    delete_blanks,
    encoded,
    image_ids,
    interleave_sides,
    owners_of_pairs,
    read_sequence,
)
from mmc4viz.loader.template import Placing, Template
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.types import Document, LoaderConfig, SequenceShape

_HALVES_BEFORE: Final = {Placing.BEFORE: 2, Placing.EITHER: 1, Placing.AFTER: 0}


@dataclass(frozen=True, slots=True)
class Draw:
    """One outcome of the random choices.

    Attributes
    ----------
    matches : tuple of Match
        The images that stay, in the order in which they are handed over.
    before : tuple of bool
        For each, whether it is placed before its sentence; otherwise after it.
    """

    matches: tuple[Match, ...]
    before: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Draws:
    """All outcomes of one document whose images have passed the threshold.

    Every subset of ``n_drawn`` candidates is equally likely, and so is every order of the images of
    one sentence. A subset with an image that has no sentence makes the document unreadable.

    Attributes
    ----------
    candidates : tuple of Match
        The images that passed, as the page lists them.
    n_drawn : int
        How many of them stay.
    placing : Placing
    """

    candidates: tuple[Match, ...]
    n_drawn: int
    placing: Placing

    @classmethod
    def of(cls, passed: Sequence[Match], config: LoaderConfig, profile: LoaderProfile) -> Self:
        """Return the outcomes for the images that passed the threshold."""
        if profile.cap is Cap.FIRST:
            passed = passed[: config.max_images]
        most = len(passed) if profile.cap is Cap.NONE else config.max_images
        return cls(tuple(passed), min(len(passed), most), profile.template.placing)

    @property
    def placed(self) -> tuple[Match, ...]:
        """The candidates that have a sentence."""
        return tuple(match for match in self.candidates if match.sentence >= 0)

    @property
    def readable(self) -> Fraction:
        """The probability that every image drawn has a sentence."""
        n_subsets = math.comb(len(self.candidates), self.n_drawn)
        return Fraction(math.comb(len(self.placed), self.n_drawn), n_subsets)

    @property
    def each(self) -> Fraction:
        """The probability that a placed candidate stays, in a readable document."""
        return Fraction(self.n_drawn, len(self.placed)) if self.placed else Fraction(0)

    def draw_of(self, rows: Sequence[int], before: Sequence[bool]) -> Draw | None:
        """Return the outcome with these matches by row, in order; None if there is none."""
        known = {match.row: match for match in self.placed}
        if not known.keys() >= set(rows):
            return None
        draw = Draw(tuple(known[row] for row in rows), tuple(before))
        return draw if self.probability(draw) else None

    def probability(self, draw: Draw) -> Fraction:
        """Return how likely an outcome is in a readable document; 0 if it is impossible."""
        rows = [match.row for match in draw.matches]
        known = set(draw.matches) <= set(self.placed) and len(set(rows)) == len(rows)
        places = [match.place for match in draw.matches]
        if not known or len(rows) != self.n_drawn or places != sorted(places):
            return Fraction(0)
        halves = _HALVES_BEFORE[self.placing]
        sides = math.prod(Fraction(halves if one else 2 - halves, 2) for one in draw.before)
        orders = math.prod(math.factorial(n) for n in Counter(places).values())
        return Fraction(sides) / orders / math.comb(len(self.placed), self.n_drawn)

    def __iter__(self) -> Iterator[Draw]:
        """Yield every possible outcome once. Their number grows fast with that of the images."""
        halves = _HALVES_BEFORE[self.placing]
        sides = [side for side, possible in ((True, halves), (False, 2 - halves)) if possible]
        for subset in combinations(self.placed, self.n_drawn):
            ordered = sorted(subset, key=lambda match: match.place)
            tied = [list(group) for _, group in groupby(ordered, key=lambda match: match.place)]
            for orders in product(*(permutations(group) for group in tied)):
                matches = tuple(match for group in orders for match in group)
                for before in product(sides, repeat=len(matches)):
                    yield Draw(matches, before)


def sequence_of_draw(
    document: Document, draw: Draw, tokenizer: Tokenizer, profile: LoaderProfile
) -> CutSequence:
    """Return the sequence of one outcome.

    Raises
    ------
    DocumentError
        When the loader fails on the sentences.
    """
    template = profile.template
    columns = [match.sentence for match in draw.matches]
    sentences = template.sentences(profile.page_of(document).sentences)
    text = interleave_sides(sentences, columns, draw.before, template, tokenizer.end_of_text)
    return read_sequence(text, tokenizer, None, owners_of_pairs(columns), template)


@dataclass(frozen=True, slots=True)
class Expected:
    """Means over all outcomes of a readable document.

    Attributes
    ----------
    image_tokens : int
        The same in every outcome.
    text_tokens, mispaired : float
    shape : SequenceShape
    """

    image_tokens: int
    text_tokens: float
    mispaired: float
    shape: SequenceShape


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Text between two images, or an image and an end of the text.

    Attributes
    ----------
    segments : tuple of int
        Its text tokens, divided at image tokens of the page's own text.
    probability : Fraction
    opens, closes : bool
        Whether it begins the text; whether it ends it.
    """

    segments: tuple[int, ...]
    probability: Fraction
    opens: bool
    closes: bool


def expected(
    document: Document, draws: Draws, tokenizer: Tokenizer, template: Template
) -> Expected:
    """Return the means over all outcomes, at least one of which is readable.

    Raises
    ------
    DocumentError
        When the loader fails on the sentences.
    """
    texts = _Texts(document, tokenizer, template)
    literals = texts.literals(template.mark)
    tokens = {token for token, _ in template.image}
    n_literals = sum(sum(texts.literals(token)) for token in tokens)
    stretches = list(_stretches(draws, texts))
    total = sum(one.probability * sum(one.segments) for one in stretches)
    opening = sum(one.probability * one.segments[0] for one in stretches if one.opens)
    closing = sum(one.probability * one.segments[-1] for one in stretches if one.closes)
    followed = sum(
        one.probability * sum(n > 0 for n in one.segments[one.opens :]) for one in stretches
    )
    own = tokenizer.n_before + tokenizer.n_after + tokenizer.n_closing
    n_images = draws.n_drawn + sum(literals)
    length = own + total + n_literals + draws.n_drawn * template.cost
    return Expected(
        n_images,
        float(total),
        float(_mispaired(draws, literals)),
        SequenceShape(
            float(length), float(opening), float(total - opening - closing), float(followed)
        ),
    )


class _Texts:
    """What stands between images: the text tokens there, from sentences or from their counts."""

    def __init__(self, document: Document, tokenizer: Tokenizer, template: Template) -> None:
        self._counts, self._tokenizer, self._template = document.counts, tokenizer, template
        self._image_ids = image_ids(tokenizer, template)
        self._sentences: list[str] = []
        if document.counts is not None:
            self.n_sentences = len(document.counts.rest)
            self._rest = [0, *accumulate(document.counts.rest)]
        else:
            self._sentences = template.sentences(document.sentences)
            whole = interleave_sides(self._sentences, [], [], template, "")
            self._count(whole.text)  # what cannot be tokenized fails here, whatever is drawn
            self.n_sentences = len(self._sentences)

    def literals(self, token: str) -> list[int]:
        """Count a special token in each sentence's own text."""
        if self._counts is not None:
            return [0] * self.n_sentences
        return [text.count(token) for text in self._sentences]

    def segments(self, left: int, right: int) -> tuple[int, ...]:
        """Count the text tokens between two places, divided at image tokens of the text itself.

        Before sentence s is place 2 s, after it place 2 s + 1. The beginning of the text is place
        -1, its end twice the number of sentences.
        """
        first, last = (left + 1) // 2, (right + 1) // 2
        if first >= last:
            return (0,)
        opens, closes = left < 0, right >= 2 * self.n_sentences
        if self._counts is not None:
            opening = self._counts.head if opens else self._counts.first[first]
            return (opening + self._rest[last] - self._rest[first + 1],)
        image = [token for token, _ in self._template.image]
        before = "" if opens else image[-1] + " " * (left % 2)
        after = "" if closes else " " * (1 - right % 2) + image[0]
        text = before + " ".join(self._sentences[first:last]) + after
        found = self._count(delete_blanks(text, [], self._template.cleanup)[0])
        at_left = not opens and image[-1] == self._template.mark
        at_right = not closes and image[0] == self._template.mark
        return found[at_left : len(found) - at_right]

    def _count(self, text: str) -> tuple[int, ...]:
        """Count the text tokens before, between and after the image tokens of a text."""
        tokens = encoded(text, self._tokenizer)
        counts = [0]
        for token, added in zip(tokens.ids, tokens.added, strict=True):
            if token == self._tokenizer.image_id:
                counts.append(0)
            elif not added and token not in self._image_ids:
                counts[-1] += 1
        return tuple(counts)


def _stretches(draws: Draws, texts: _Texts) -> Iterator[_Stretch]:
    """Yield every possible stretch of text without an image of a pair in it."""
    placed, halves = draws.placed, _HALVES_BEFORE[draws.placing]
    n_here = Counter(match.sentence for match in placed)
    up_to = [0, *accumulate(n_here[s] for s in range(texts.n_sentences))]
    end = 2 * texts.n_sentences
    places = sorted(
        2 * sentence + side
        for sentence in n_here
        for side, possible in enumerate((halves, 2 - halves))
        if possible
    )
    all_draws = 2**draws.n_drawn * math.comb(len(placed), draws.n_drawn)

    def empty(low: int, high: int) -> Fraction:
        """Return the probability that no image is placed from one place to another."""
        if low > high:
            return Fraction(1)
        classes = [0, 0, len(placed)]  # images by the halves of their probability to be elsewhere
        inside = range((low + 1) // 2, (high + 1) // 2)  # sentences with both places there
        n = up_to[inside.stop] - up_to[inside.start] if inside else 0
        classes[0] += n
        classes[2] -= n
        edges = ((low // 2, halves, low % 2 == 1), (high // 2, 2 - halves, high % 2 == 0))
        for sentence, elsewhere, is_edge in edges:
            if is_edge:
                classes[2] -= n_here[sentence]
                classes[elsewhere] += n_here[sentence]
        ways = sum(
            math.comb(classes[1], one)
            * math.comb(classes[2], draws.n_drawn - one)
            * 2 ** (draws.n_drawn - one)
            for one in range(draws.n_drawn + 1)
        )
        return Fraction(ways, all_draws)

    for at, left in enumerate([-1, *places]):
        for right in [*places[at:], end]:
            if left < 0 and right == end:
                continue  # there is always an image
            nothing = empty(left + 1, right - 1)
            if not nothing:
                break
            if left >= 0:
                nothing -= empty(left, right - 1)
            if right < end:
                nothing -= empty(left + 1, right)
            if left >= 0 and right < end:
                nothing += empty(left, right)
            if nothing:
                yield _Stretch(texts.segments(left, right), nothing, left < 0, right == end)


def _mispaired(draws: Draws, literals: Sequence[int]) -> Fraction:
    """Return the mean number of image tokens of pairs that receive another sentence's image.

    The k-th token receives the k-th image. Both are in the order of the sentences, so there are
    some only where an index counts from the end, or a token of the page's own text takes a rank.
    """
    placed, n_drawn = draws.placed, draws.n_drawn
    if all(match.stored is None for match in placed) and not any(literals):
        return Fraction(0)
    halves = _HALVES_BEFORE[draws.placing]
    matching = Fraction(0)
    for own, side in product(placed, (0, 1)):
        chance = Fraction((halves, 2 - halves)[side], 2)
        earlier = sum(literals[: own.sentence + side])
        for image in placed:
            if chance and image.sentence == own.sentence:
                equal = _equal_ranks(placed, n_drawn, own, side, image, earlier, halves)
                matching += chance * equal
    return n_drawn - matching


def _equal_ranks(
    placed: Sequence[Match],
    n_drawn: int,
    own: Match,
    side: int,
    image: Match,
    earlier: int,
    halves: int,
) -> Fraction:
    """Return the probability that both stay, the token of one at the rank of the other.

    Counts subsets by how many more tokens precede the token than images precede the image.
    """
    ways: Counter[tuple[int, int]] = Counter({(0, earlier): 1})  # by number drawn and difference
    for other in placed:
        if other.sentence != own.sentence:
            token = 2 * (other.sentence < own.sentence)
        elif other is own:
            token = 0
        elif side:
            token = 2 if other.row < own.row else halves
        else:
            token = halves if other.row < own.row else 0
        ahead = (other.place, other.row) < (image.place, image.row)
        must = other is own or other is image
        after: Counter[tuple[int, int]] = Counter()
        for (n, difference), count in ways.items():
            if not must:
                after[n, difference] += 2 * count
            if n < n_drawn:
                after[n + 1, difference - ahead] += (2 - token) * count
                after[n + 1, difference + 1 - ahead] += token * count
        ways = after
    total = math.comb(len(placed), n_drawn) * 2 ** len(placed)
    return Fraction(ways[n_drawn, 0], total)
