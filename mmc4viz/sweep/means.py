"""Means over what a loader draws at random, for many documents at once.

Of n images that pass the threshold k stay, every subset with the same probability, and each is
placed before or after its sentence, with equal probability. `mmc4viz.loader.draws` counts the same
exactly for one document. Here no image token is the text's own, and no sentence is without tokens.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats, Ints

AROUND = frozenset({"text_before", "text_between", "followed"})


@lru_cache(maxsize=512)
def chance_of_none(n: int, k: int) -> Floats:
    """Return the probability that no image is at some places, when k of n images stay.

    Returns
    -------
    ndarray of float64, shape (n + 1, n + 1)
        By the number of images that are there if they stay, and of those that are there with
        probability 0.5 if they stay; of no meaning where they are more than n.

    Notes
    -----
    An image of the second kind is of the first kind or not there at all, with equal probability.

    Examples
    --------
    >>> chance_of_none(2, 1)[1].tolist()[:2]
    [0.5, 0.25]
    """
    none, certain = np.zeros((n + 1, n + 1)), np.arange(n)
    none[:, 0] = np.append(1.0, np.cumprod(np.maximum(n - k - certain, 0) / (n - certain)))
    for either in range(1, n + 1):
        none[:, either] = none[:, either - 1] / 2
        none[:-1, either] += none[1:, either - 1] / 2
    return none


@dataclass(frozen=True)
class Sentences:
    """The sentences of D documents to which m images each are matched, in m slots.

    Slots are in the order of the page; the last ones are empty where images share a sentence.

    Attributes
    ----------
    place : ndarray of int64, shape (m, D)
        The slot of each pair's sentence, best pair first: its position among all m * D.
    total : ndarray of float64, shape (D,)
        Text tokens of the page without any image.
    before, until : ndarray of float64, shape (m, D)
        Text tokens of the page before the sentence, and with it, without any image.
    from_here, after : ndarray of float64, shape (m, D)
        Text tokens from the sentence on, and after it, where an image precedes.
    opening : ndarray of float64, shape (m, D)
        Tokens that an image directly before the sentence adds.
    opening_next : ndarray of float64, shape (m, D)
        Tokens that one adds to the next sentence, if that is not in the next slot.
    follows : ndarray of bool, shape (m - 1, D)
        Whether the next slot's sentence is the next one of the page.
    sides : ndarray of float64, shape (m, D)
        Places beside the sentence that have text after them, if no image is next: 1 or 2.
    """

    place: Ints
    total: Floats
    before: Floats
    until: Floats
    from_here: Floats
    after: Floats
    opening: Floats
    opening_next: Floats
    follows: NDArray[np.bool_]
    sides: Floats

    @classmethod
    def of(
        cls,
        sentence: NDArray[np.signedinteger],
        before: NDArray[np.signedinteger],
        extra: NDArray[np.signedinteger],
        total: NDArray[np.signedinteger],
        beyond: NDArray[np.signedinteger],
    ) -> Sentences:
        """Return the slots of documents' pairs, as `mmc4viz.sweep.match.Matches` describes them.

        Parameters
        ----------
        sentence, before, extra : ndarray of integers, shape (m, D)
        total : ndarray of integers, shape (D,)
        beyond : ndarray of integers, shape (3, m, D)
        """
        m, n = sentence.shape
        everyone = np.arange(n)
        order = np.argsort(sentence, axis=0, kind="stable") * n + everyone
        ranked = sentence.ravel()[order]
        is_new = np.ones(ranked.shape, bool)
        is_new[1:] = ranked[1:] != ranked[:-1]
        place = np.empty(m * n, np.int64)
        place[order] = (np.cumsum(is_new, axis=0) - 1) * n + everyone

        def placed(values: NDArray[np.signedinteger], empty: float = 0) -> Floats:
            found = np.full(m * n, float(empty))
            found[place] = values.ravel()
            return found.reshape(m, n)

        number, start = placed(sentence, -9), placed(before)
        opening, opening_next = placed(extra), placed(beyond[1])
        follows, until = number[1:] == number[:-1] + 1, start + placed(beyond[0])
        from_here, after = total - start + opening, total - until + opening_next
        opening_next[:-1] *= ~follows
        return cls(
            place.reshape(m, n),
            total.astype(np.float64),
            start,
            until,
            from_here,
            after,
            opening,
            opening_next,
            follows,
            2 - placed(beyond[2]),
        )


@dataclass(frozen=True)
class Means:
    """Means of D documents in one state, shape (D,) each; as in `mmc4viz.types.SequenceShape`."""

    text_tokens: Floats
    text_before: Floats
    text_between: Floats
    followed: Floats


class Passed:
    """The images of D documents that have passed the threshold, as it falls.

    Attributes
    ----------
    n : int
        How many, in each document.
    n_here : ndarray of int64, shape (m, D)
        How many by slot.
    foremost, hindmost : ndarray of int64, shape (D,)
        The first and the last slot that has any: positions among all m * D.
    """

    def __init__(self, sentences: Sentences) -> None:
        self.sentences, self.n = sentences, 0
        self.n_here = np.zeros(sentences.place.shape, np.int64)
        self.foremost = self.hindmost = sentences.place[0]

    def enter(self) -> None:
        """Add the best image that has not passed."""
        place = self.sentences.place[self.n]
        self.n_here.reshape(-1)[place] += 1
        self.foremost = np.minimum(self.foremost, place)
        self.hindmost = np.maximum(self.hindmost, place)
        self.n += 1

    def means(self, k: int, counted: Collection[str]) -> Means:
        """Return the means when k images stay; of `AROUND`, what is not counted may be 0."""
        sentences, n_here = self.sentences, self.n_here
        none = chance_of_none(self.n, k)
        some = 1 - none[0]  # by the images with equal probability to be there or elsewhere
        beside = n_here.copy()  # before a sentence: its own images and those of the one before
        beside[1:] += n_here[:-1] * sentences.follows
        here, opened = some[n_here], some[beside]
        text = sentences.total + _sum(sentences.opening, opened)
        text += _sum(sentences.opening_next, here)
        if not AROUND & set(counted):
            nothing = np.zeros_like(text)
            return Means(text, nothing, nothing, nothing)
        text_before, closing = self._ends(none, stay=k == self.n)
        # Nothing is between an image after a sentence and one before the next.
        meeting = _sum(here[:-1] + here[1:] - opened[1:], sentences.follows)
        followed = _sum(here, sentences.sides) - meeting
        return Means(text, text_before, text - text_before - closing, followed)

    def _ends(self, none: Floats, *, stay: bool) -> tuple[Floats, Floats]:
        """Return the mean text before the first and after the last image; all may ``stay``."""
        own = self.sentences
        if stay:
            first, last = (self.n_here.ravel()[at] for at in (self.foremost, self.hindmost))
            near, far = 0.5**first, 0.5**last  # all are on one side of the sentence
            before = own.before.ravel()[self.foremost], own.until.ravel()[self.foremost]
            after = own.after.ravel()[self.hindmost], own.from_here.ravel()[self.hindmost]
            return (
                before[0] * (1 - near) + before[1] * near,
                after[0] * (1 - far) + after[1] * far,
            )
        width = self.n + 1
        both = np.minimum(np.arange(width)[:, None] + np.arange(width), self.n)
        first = (none[:, :1] - none).ravel()  # the end is on the near side of a sentence
        second = (none - none[both, 0]).ravel()  # or on its far side
        earlier = np.zeros_like(self.n_here)
        for slot in range(1, len(earlier)):  # along rows, faster than a cumulative sum across them
            np.add(earlier[slot - 1], self.n_here[slot - 1], out=earlier[slot])
        at = earlier * width + self.n_here
        text_before = _sum(first[at], own.before) + _sum(second[at], own.until)
        at = (self.n - earlier - self.n_here) * width + self.n_here
        return text_before, _sum(first[at], own.after) + _sum(second[at], own.from_here)


def _sum(chance: NDArray[Any], values: NDArray[Any]) -> Floats:
    return np.asarray(np.einsum("md,md->d", chance, values))
