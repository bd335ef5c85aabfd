"""By false-discovery rate, without labels: the lowest threshold at which few enough are wrong.

Proposes from an estimate (`estimate`), and says why it does not. Estimates nothing itself.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mmc4viz.choice.fdr.estimate import FEWEST_PAIRS, WITHIN, FdrEstimate
from mmc4viz.choice.proposal import Proposal
from mmc4viz.model import ConfigError


def by_fdr(estimate: FdrEstimate, wanted: float) -> Proposal:
    """Propose the lowest threshold whose estimated false-discovery rate is at most the wanted one.

    Parameters
    ----------
    estimate : FdrEstimate
    wanted : float
        A rate, from 0 to 1.

    Returns
    -------
    Proposal
        Of the thresholds at which the rate is known; without one, why, and how many labels would
        settle it.

    Raises
    ------
    ConfigError
        When what is wanted is no share.
    """
    if not 0 < wanted < 1:
        raise ConfigError(f"a wanted false-discovery rate lies between 0 and 1, not {wanted:g}")
    wish, needed = f"FDR ≤ {100 * wanted:.4g} %", labels_needed(wanted)
    usable = estimate.pairs >= FEWEST_PAIRS
    good = np.flatnonzero(usable & (estimate.rate <= wanted))
    reason = estimate.reason or (None if len(good) else _none(estimate, usable))
    if reason is not None:
        words = f"{reason}; about {needed:,} labels near the threshold would settle it"
        return Proposal(estimate.basis, wish, estimate.assumption, reason=words,
                        labels_needed=needed)  # fmt: skip
    at = int(good[0])
    return Proposal(
        estimate.basis,
        wish,
        estimate.assumption,
        float(estimate.threshold[at]),
        estimate=float(estimate.rate[at]),
        low=float(estimate.low[at]),
        high=float(estimate.high[at]),
    )


def labels_needed(rate: float, width: float = 0.05) -> int:
    """Return how many labels at random put a rate within a width of the truth, 95 times in 100.

    Examples
    --------
    >>> labels_needed(0.1), labels_needed(0.3)
    (139, 323)
    """
    return math.ceil(1.96**2 * rate * (1 - rate) / width**2)


def _none(estimate: FdrEstimate, usable: NDArray[np.bool_]) -> str:
    """Say why no threshold is good enough: none is, or it is not known of any."""
    if not usable.any():
        return f"there are fewer than {FEWEST_PAIRS} pairs"
    known = usable & ~np.isnan(estimate.rate)
    promise = f"to within {WITHIN[estimate.basis]:.0%}"
    if not known.any():
        return f"at no threshold is the rate known {promise}: too few pairs or documents to tell"
    at = int(np.argmin(np.where(known, estimate.rate, np.inf)))
    higher = usable & ~known & (np.arange(len(known)) > at)
    beyond = f"; at higher ones it is not known {promise}" * bool(higher.any())
    return (
        f"no threshold that leaves {FEWEST_PAIRS} pairs has it: the least is "
        f"{estimate.rate[at]:.1%} ({estimate.low[at]:.1%} to {estimate.high[at]:.1%}) at "
        f"{estimate.threshold[at]:g}{beyond}"
    )
