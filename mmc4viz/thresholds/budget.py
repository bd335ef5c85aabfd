"""How often a training budget repeats what a threshold keeps.

A budget is fixed before the threshold: so many sequences are trained on, whatever is kept. If one
pass over the data yields K of them, the budget takes budget / K passes, and each kept document is
seen that often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.data.columns import Columns
from mmc4viz.data.sample import DrawnSample, cluster
from mmc4viz.data.scale import Thresholds
from mmc4viz.sweep.estimate import Rate
from mmc4viz.sweep.statistics import Curves
from mmc4viz.types import ConfigError

UNITS: Final = {
    "sequences": "documents",
    "text tokens": "text_tokens",
    "images": "image_tokens",
}
"""What a budget counts, with the yield that one pass over the data adds to it."""

CHEAP: Final = 4.0
"""Passes up to which repeating data was found to cost little."""
SOURCE: Final = "(Muennighoff et al., 2023)"
REFERENCE: Final = (
    "Language models trained on repeated data lose little up to about four passes, and gain ever "
    "less from more (Muennighoff et al., NeurIPS 2023); the more a filter drops, the sooner this "
    "matters (Goyal et al., CVPR 2024). Neither study used interleaved images and text: a "
    "reference, not a rule."
)
RANDOM: Final = "The CI holds if the documents at hand are a random sample of the corpus."

_UNIT_OF: Final = {
    "": "sequences",
    "sequence": "sequences",
    "document": "sequences",
    "token": "text tokens",
    "text token": "text tokens",
    "image": "images",
    "image token": "images",
}
_SIZES: Final = {"B": 10**9, "M": 10**6, "K": 10**3}


def _amount(text: str) -> Fraction | None:
    """Read a number with an optional K, M or B; None for anything else, infinities included.

    Examples
    --------
    >>> _amount("101.2M"), _amount("2,500"), _amount("nan"), _amount("1e999")
    (Fraction(101200000, 1), Fraction(2500, 1), None, None)
    """
    digits = text.strip().replace(",", "")
    times = _SIZES.get(digits[-1:].upper(), 1)
    try:
        value = Decimal(digits if times == 1 else digits[:-1])
    except (InvalidOperation, ValueError):
        return None
    if not value.is_finite() or abs(value.adjusted()) > 30:
        return None
    return Fraction(value) * times


def short(number: float) -> str:
    """Write a number as people enter it.

    Examples
    --------
    >>> short(60e6), short(101.2e6), short(1234), short(2_345_678_901)
    ('60M', '101.2M', '1,234', '2,345,678,901')
    """
    for letter, size in _SIZES.items():
        rounded = round(number / size, 2)
        if number >= size and math.isclose(rounded * size, number, rel_tol=1e-12):
            return f"{rounded:,g}{letter}"
    return f"{number:,.12g}"


@dataclass(frozen=True, slots=True)
class TrainingBudget:
    """What is trained on in all.

    Attributes
    ----------
    amount : Fraction
    unit : str
        One of `UNITS`.

    Raises
    ------
    ConfigError
        If the amount is not positive, or the unit unknown.

    Examples
    --------
    >>> str(TrainingBudget.parse("60M")), str(TrainingBudget.parse("2.4B tokens"))
    ('60M sequences', '2.4B text tokens')
    """

    amount: Fraction
    unit: str = "sequences"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ConfigError(f"{self.unit!r} is not a unit; choose from {', '.join(UNITS)}")
        if self.amount <= 0:
            raise ConfigError(f"budget {float(self.amount):,.10g}: must be a positive number")

    @classmethod
    def parse(cls, text: str) -> TrainingBudget:
        """Read ``60M``, ``2.4B tokens`` or ``300M images``."""
        words = text.split()
        split = 1 + (len(words) > 1 and words[1].upper() in _SIZES)
        amount, unit = _amount("".join(words[:split])), " ".join(words[split:]).lower()
        if amount is None:
            raise ConfigError(
                f"budget {text[:80]!r}: expected a number such as 60M, 2.4B tokens or 300M images"
            )
        known = _UNIT_OF.get(unit.replace("_", " ").removesuffix("s"))
        if known is None:
            raise ConfigError(
                f"budget {text[:80]!r}: {unit!r} is not a unit; choose from {', '.join(UNITS)}"
            )
        return cls(amount, known)

    @property
    def quantity(self) -> str:
        """The yield that is used up, one of `mmc4viz.thresholds.by_yield.YIELDS`."""
        return UNITS[self.unit]

    def __str__(self) -> str:
        return f"{short(float(self.amount))} {self.unit}"


def parse_corpus_size(text: str) -> int:
    """Read the number of documents of a corpus, such as ``101.2M``.

    Raises
    ------
    ConfigError
        If it is not a positive whole number.
    """
    size = _amount(text)
    if size is None or size <= 0 or size.denominator != 1:
        raise ConfigError(
            f"corpus size {text[:80]!r}: expected a number of documents such as 101.2M"
        )
    return int(size)


def check_corpus_size(size: int, documents: int) -> None:
    """Reject a corpus smaller than the part of it at hand.

    Raises
    ------
    ConfigError
    """
    if size < documents:
        raise ConfigError(
            f"corpus size {size:,}: below the {documents:,} documents at hand; give the size of "
            "the whole corpus, or leave it out"
        )


@dataclass(frozen=True)
class Passes:
    """Passes over the data that a budget takes at every threshold.

    Attributes
    ----------
    budget : TrainingBudget
    thresholds : ndarray of float64, shape (T,)
    estimate : ndarray of float64, shape (T,)
        Infinite where nothing is kept.
    low, high : ndarray of float64, shape (T,)
        The 95% CI; the estimate itself if it is exact.
    documents : float
        Of the whole corpus.
    sampled : int or None
        Documents that the estimate rests on; None if all were counted.
    """

    budget: TrainingBudget
    thresholds: Thresholds
    estimate: Floats
    low: Floats
    high: Floats
    documents: float
    sampled: int | None = None

    @property
    def assumption(self) -> str:
        """What the numbers rest on, in a few sentences."""
        words = "Every pass draws single-image documents anew."
        if self.sampled is None:
            return f"Exact for these {self.documents:,.0f} documents. {words}"
        return (
            f"Estimated from {self.sampled:,} of {self.documents:,.0f} documents. {RANDOM} {words}"
        )

    def columns(self) -> dict[str, list[float | None]]:
        """Return ``passes``, and its CI if it is estimated; None for never or without limit."""
        named = {"passes": self.estimate}
        if self.sampled is not None:
            named |= {"passes_low": self.low, "passes_high": self.high}
        return {
            name: [float(one) if np.isfinite(one) else None for one in values]
            for name, values in named.items()
        }

    def in_words(self, threshold: float) -> str:
        """Say how many passes over what is kept the budget takes at the nearest threshold."""
        at = int(np.abs(self.thresholds - threshold).argmin())
        value, low, high = (float(one[at]) for one in (self.estimate, self.low, self.high))
        if not np.isfinite(value):
            return f"At {threshold:g} nothing is kept: {self.budget} are never reached."
        between = ""
        if self.sampled is not None:
            between = f" (95% CI {times(low)}–{times(high)})"
        return (
            f"At {threshold:g}, {self.budget} are {times(value)} passes{between} over what is "
            "kept: documents with several images are seen as often, single-image documents only "
            "when they are drawn."
        )


def times(value: float) -> str:
    """Write a number of passes.

    Examples
    --------
    >>> times(0.034), times(5.83), times(123.4), times(576923.1)
    ('0.034', '5.8', '123', '576,923')
    """
    if not math.isfinite(value):
        return "∞"
    return f"{value:,.2g}" if value < 10 else f"{value:,.0f}"


def passes_of(
    budget: TrainingBudget,
    thresholds: Thresholds,
    kept: Rate,
    documents: float,
    sampled: int | None = None,
) -> Passes:
    """Return the passes that a budget takes.

    Parameters
    ----------
    budget : TrainingBudget
    thresholds : ndarray of float64, shape (T,)
    kept : Rate
        What the budget counts, kept per document of the corpus.
    documents : float
        Of the whole corpus.
    sampled : int, optional
        Documents that the rate was estimated from.

    Examples
    --------
    >>> kept = Rate(*np.array([[0.5, 0.0], [0.4, 0.0], [0.625, 0.0]]))
    >>> found = passes_of(TrainingBudget.parse("2000"), np.array([0.2, 0.3]), kept, 1000.0, 100)
    >>> found.estimate.tolist(), found.low.tolist(), found.high.tolist()
    ([4.0, inf], [3.2, inf], [5.0, inf])
    """
    amount = float(budget.amount)
    with np.errstate(divide="ignore"):
        estimate, low, high = (
            np.divide(amount, documents * one) for one in (kept.estimate, kept.high, kept.low)
        )
    return Passes(budget, thresholds, estimate, low, high, float(documents), sampled)


def exact_passes(curves: Curves, keep: float, budget: TrainingBudget) -> Passes:
    """Return the passes over a corpus of which every document was counted."""
    documents = float(curves.total("documents").max(initial=0))
    kept = curves.expected(budget.quantity, keep) / (documents or 1.0)
    return passes_of(budget, curves.thresholds, Rate(kept, kept, kept), documents)


def as_sample(columns: Sequence[Columns], corpus_size: int, seed: int = 0) -> DrawnSample:
    """Treat the documents at hand as a random sample of a larger corpus.

    They are dealt at random into clusters, as `mmc4viz.data.sample` does if documents of every
    shard are sampled.

    Parameters
    ----------
    columns : sequence of Columns
        One per shard at hand.
    corpus_size : int
        Documents of the corpus.
    seed : int
    """
    totals = np.array([len(part) for part in columns], np.float64)
    return part_of(cluster(columns, totals, len(columns), seed), corpus_size)


def part_of(drawn: DrawnSample, corpus_size: int) -> DrawnSample:
    """Return a sample of documents as one of a larger corpus; one of shards stays as it is."""
    if not drawn.fraction:
        return drawn
    return replace(drawn, fraction=min(1.0, drawn.n_documents / corpus_size))


def merged(rows: Sequence[dict[str, Any]], found: Passes) -> list[dict[str, Any]]:
    """Return the rows of curves with the columns of the passes, threshold by threshold."""
    columns = found.columns()
    added = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [row | more for row, more in zip(rows, added, strict=True)]
