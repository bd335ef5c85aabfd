"""Means over what a loader draws at random, for many documents at once.

Of n images that pass the threshold k stay, every subset with the same probability, and each is
placed before or after its sentence, with equal probability. `mmc4viz.loader.draws` counts the same
exactly for one document. Here no image token is the text's own, and no sentence is without tokens.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

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
    slot : ndarray of int64, shape (m, D)
        The slot of each pair's sentence; best pair first.
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
    sides : ndarray of int64, shape (m, D)
        Places beside the sentence that have text after them, if no image is next: 1 or 2.
    """

    slot: Ints
    before: Floats
    until: Floats
    from_here: Floats
    after: Floats
    opening: Floats
    opening_next: Floats
    follows: NDArray[np.bool_]
    sides: Ints

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
        order = np.argsort(sentence, axis=0, kind="stable")
        ranked = np.take_along_axis(sentence, order, axis=0)
        is_new = np.ones(ranked.shape, bool)
        is_new[1:] = ranked[1:] != ranked[:-1]
        slot = np.empty(ranked.shape, np.int64)
        np.put_along_axis(slot, order, np.cumsum(is_new, axis=0) - 1, axis=0)

        def placed(values: NDArray[np.signedinteger], empty: float = 0) -> Floats:
            found = np.full(slot.shape, float(empty))
            np.put_along_axis(found, slot, values.astype(np.float64), axis=0)
            return found

        number, start, own = placed(sentence, -9), placed(before), placed(beyond[0])
        opening, opening_next = placed(extra), placed(beyond[1])
        follows, until = number[1:] == number[:-1] + 1, start + own
        apart = np.ones(slot.shape, bool)
        apart[:-1] = ~follows
        return cls(
            slot,
            start,
            until,
            total - start + opening,
            total - until + opening_next,
            opening,
            opening_next * apart,
            follows,
            2 - placed(beyond[2]).astype(np.int64),
        )


@dataclass(frozen=True)
class Means:
    """Means of D documents in one state, shape (D,) each; as in `mmc4viz.types.SequenceShape`."""

    text_tokens: Floats
    text_before: Floats
    text_between: Floats
    followed: Floats


def means(
    sentences: Sentences, n_here: Ints, n: int, k: int, total: Floats, counted: Collection[str]
) -> Means:
    """Return the means of documents of which n images have passed, when k of them stay.

    Parameters
    ----------
    sentences : Sentences
    n_here : ndarray of int64, shape (m, D)
        The images that have passed by slot; n in each document.
    n, k : int
    total : ndarray of float64, shape (D,)
        Text tokens without any image.
    counted : collection of str
        What is needed; of `AROUND`, the rest is 0.
    """
    none = chance_of_none(n, k)
    some = 1 - none[0]  # by the number of images with equal probability to be there or elsewhere
    beside = n_here.copy()  # before a sentence: its own images and those of the sentence before
    beside[1:] += n_here[:-1] * sentences.follows
    here, opened = some[n_here], some[beside]
    text = total + (sentences.opening * opened + sentences.opening_next * here).sum(axis=0)
    if not AROUND & set(counted):
        nothing = np.zeros_like(text)
        return Means(text, nothing, nothing, nothing)
    width = n + 1
    both = np.minimum(np.arange(width)[:, None] + np.arange(width), n)
    first = (none[:, :1] - none).ravel()  # no image on one side, but on the near side of a sentence
    second = (none - none[both, 0]).ravel()  # but on its far side
    earlier = np.cumsum(n_here, axis=0) - n_here
    at = earlier * width + n_here
    text_before = (first[at] * sentences.before + second[at] * sentences.until).sum(axis=0)
    at = (n - earlier - n_here) * width + n_here
    closing = (first[at] * sentences.after + second[at] * sentences.from_here).sum(axis=0)
    # Nothing is between an image after a sentence and one before the next.
    meeting = (here[:-1] + here[1:] - opened[1:]) * sentences.follows
    followed = (here * sentences.sides).sum(axis=0) - meeting.sum(axis=0)
    return Means(text, text_before, text - text_before - closing, followed)
