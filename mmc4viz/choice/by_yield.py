"""By yield: the highest step of the grid at which at least the wanted quantities are left.

Nothing is estimated here. Yields need not fall as the threshold rises: of an image that is dropped
the place under the cap, and the room in the sequence, go to the next one. So every step is
looked at, and the highest that leaves enough is taken, even if some lower one leaves less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

import numpy as np

from mmc4viz.choice.proposal import Basis, Proposal
from mmc4viz.choice.steps import YIELDS, Steps
from mmc4viz.model import ConfigError

_ASSUMPTION: Final = (
    "Nothing is estimated: what the loader leaves was counted at every step of the grid, documents "
    "and tokens in expectation over the coin for single-image documents; whether the pairs are "
    "right plays no part."
)


@dataclass(frozen=True, slots=True)
class Wish:
    """How much of a quantity is to be left at least.

    Attributes
    ----------
    quantity : str
        One of `mmc4viz.choice.steps.YIELDS`.
    amount : Fraction
        A number of them, or a share from 0 to 1.
    share : bool
        Whether it is a share: of all documents, or of the most pairs or tokens there ever are.

    Raises
    ------
    ConfigError
        When it makes no sense.

    Examples
    --------
    >>> str(Wish.parse("documents=50%")), str(Wish.parse("pairs=1000000"))
    ('documents ≥ 50 %', 'pairs ≥ 1,000,000')
    """

    quantity: str
    amount: Fraction
    share: bool

    def __post_init__(self) -> None:
        if self.quantity not in YIELDS:
            raise ConfigError(f"{self.quantity!r} cannot be kept: choose from {', '.join(YIELDS)}")
        if self.amount <= 0 or (self.share and self.amount > 1):
            most = "at most 100 %" if self.share else "a number"
            raise ConfigError(f"{self}: keep more than nothing, and {most}")

    @classmethod
    def parse(cls, text: str) -> Wish:
        """Read ``QUANTITY=NUMBER`` or ``QUANTITY=SHARE%``."""
        name, equals, amount = text.partition("=")
        percent = amount.strip().endswith("%")
        try:
            value = Decimal(amount.strip().rstrip("%").replace(",", ""))
            number = Fraction(value) if abs(value.adjusted()) < 300 or not value else None
        except (InvalidOperation, ValueError, OverflowError):
            number = None
        if not equals or number is None:
            raise ConfigError(
                f"{text!r} says not how much to keep: documents=50% or pairs=1000000, for example"
            )
        quantity = name.strip().replace("-", "_").replace(" ", "_")
        return cls(quantity, number / 100 if percent else number, percent)

    def needed(self, steps: Steps) -> float:
        """Return how much must be left."""
        return float(self.amount * Fraction(steps.whole[self.quantity] if self.share else 1))

    def __str__(self) -> str:
        name = self.quantity.replace("_", " ")
        if self.share:
            return f"{name} ≥ {float(100 * self.amount):g} %"
        number = float(self.amount)
        return f"{name} ≥ {int(number):,}" if number.is_integer() else f"{name} ≥ {number:g}"


def by_yield(steps: Steps, wishes: Sequence[Wish]) -> Proposal:
    """Propose the highest threshold at which at least the wanted quantities are left, all of them.

    Parameters
    ----------
    steps : Steps
        Of the scale's grid, whose steps are the thresholds to choose from.
    wishes : sequence of Wish
        At least one.

    Returns
    -------
    Proposal
        Without a threshold where none leaves as much, and where any does.
    """
    text = " and ".join(map(str, wishes))
    needed = [(wish.quantity, wish.needed(steps)) for wish in wishes]
    enough = np.ones(len(steps.threshold), bool)
    for name, amount in needed:
        enough &= steps.left[name] >= amount
    found, reason = np.flatnonzero(enough), None
    if steps.beyond is not None and all(steps.beyond[name] >= n for name, n in needed):
        reason = "any threshold leaves that much: it is left even where no pair is"
    elif not len(found):
        reason = _too_much(steps, needed)
    if reason is not None:
        return Proposal(Basis.YIELD, text, _ASSUMPTION, reason=reason)
    step = int(found[-1])
    threshold = float(steps.threshold[step])
    return Proposal(Basis.YIELD, text, _ASSUMPTION, threshold, left=steps.at(step))


def _too_much(steps: Steps, needed: Sequence[tuple[str, float]]) -> str:
    """Say what falls short."""
    for name, amount in needed:
        most = float(steps.left[name].max(initial=0))
        if most < amount:
            words = name.replace("_", " ")
            return f"no threshold leaves {amount:,.10g} {words}: the most is {most:,.10g}"
    return "each wish can be had, but no threshold grants all of them at once"
