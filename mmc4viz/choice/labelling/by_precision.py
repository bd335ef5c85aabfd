"""The lowest threshold whose precision is surely at least the wanted one, from labels.

Fixed-sequence testing on `precision`'s sample. Knows nothing of how labels are stored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.choice.labelling import planning, strata
from mmc4viz.choice.labelling.precision import LabelledSample, curve
from mmc4viz.choice.labelling.stratified import surely
from mmc4viz.choice.proposal import Basis, Proposal
from mmc4viz.model import ConfigError

ASSUMPTION: Final = (
    "Pairs were drawn at random within strata of score, and the labels are right; walking down "
    "from the strictest threshold, each passed with 95 % confidence until the first that did not. "
    "The promise is one-sided: the precision may be higher, hardly lower."
)
FEW_AT_LINE: Final = 10
"""Labels just above the line without which it hangs on few: were all of ten right, a quarter of
these pairs might be wrong (0.95 one-sided)."""


def propose(
    sample: LabelledSample,
    wanted: float,
    candidates: Floats | None = None,
    confidence: float = 0.95,
) -> Proposal:
    """Propose the lowest threshold whose precision is surely at least the wanted one.

    Fixed-sequence testing: from the strictest candidate down, each must have its one-sided lower
    limit at or above what is wanted; the first that has not ends the walk. So the odds that a
    proposed threshold has less are at most one less the confidence, however many are walked.
    The walk begins at the strictest candidate with labels enough to pass were all of them right,
    which is known before any of them is looked at.

    Parameters
    ----------
    sample : LabelledSample
    wanted : float
        A precision, from 0 to 1.
    candidates : ndarray of float64, optional
        Thresholds to walk; the strata's borders unless given. They must not come from the labels.
    confidence : float

    Returns
    -------
    Proposal
        With a reason and no threshold when the first of the walk fails already. Its interval is
        two-sided; the limit that the wish was tested against is ``at_least``.

    Raises
    ------
    ConfigError
        When what is wanted is no share.

    References
    ----------
    Maurer, Hothorn and Lehmacher, Biometrie in der chemisch-pharmazeutischen Industrie 6 (1995).
    """
    wish = f"precision ≥ {wanted:.0%}" if round(wanted * 100, 9) % 1 == 0 else (
        f"precision ≥ {wanted:.1%}")  # fmt: skip
    if not 0 < wanted < 1:
        raise ConfigError(f"a wanted precision lies between 0 and 1, not {wanted:g}")
    blank = Proposal(Basis.PRECISION, wish, ASSUMPTION, reason="there is no label yet")
    thresholds = np.sort(sample.edges if candidates is None else candidates)[::-1]
    if not len(sample) or not len(thresholds):
        return blank
    pairs, labelled, right = sample.above(thresholds)
    able = surely(pairs, labelled, labelled, wanted, confidence)
    if not able.any():
        return replace(blank, reason=_too_few(sample, wanted, confidence),
                       labels_needed=_least_labels(sample, wanted, confidence))  # fmt: skip
    first = int(np.argmax(able))
    sure = surely(pairs[first:], labelled[first:], right[first:], wanted, confidence)
    passed = int(np.argmin(np.append(sure, False)))
    at = thresholds[first + max(passed - 1, 0)]
    found = curve(sample, np.array([at])).precision
    estimate, ends = float(found.estimate[0]), (float(found.low[0]), float(found.high[0]))
    filled = replace(blank, estimate=estimate, low=ends[0], high=ends[1],
                     **_seen(sample, float(at), confidence))  # fmt: skip
    if passed:  # the test's own inversion: its limit is nowhere below what has passed
        least = max(filled.at_least or 0.0, wanted)
        return replace(filled, threshold=float(at), reason=None, at_least=least)
    over = strata.above(sample.scores, sample.edges, np.array([at]))[0]
    more = planning.needed_to_show(
        sample.population, over, *sample.counts(), wanted, confidence
    )  # as right as the strata look now
    return replace(filled, reason=_failed(float(at), estimate, ends, wanted), labels_needed=more)


def _seen(sample: LabelledSample, at: float, confidence: float) -> dict[str, Any]:
    """Count the labels that decide, and give the one-sided limit that they show."""
    one_sided = curve(sample, np.array([at]), level=2 * confidence - 1)
    _, labelled, _ = sample.above(np.array([at]))
    line = int(np.searchsorted(sample.edges, at, side="right"))
    return {
        "labels": int(labelled.sum()),
        "labels_at_line": int(labelled[0, line]),
        "at_least": float(one_sided.precision.low[0]),
    }


def _too_few(sample: LabelledSample, wanted: float, confidence: float) -> str:
    return (
        f"{len(sample):,} labels, spread over the strata, are too few to show a precision of "
        f"{wanted:.0%} with {confidence:.0%} confidence even if all were right"
    )


def _least_labels(sample: LabelledSample, wanted: float, confidence: float) -> int:
    """Return how many more labels would pass if all were right (½ wanted**n ≤ 1 − confidence)."""
    least = int(np.ceil(np.log(2 * (1 - confidence)) / np.log(wanted)))
    _, labelled, _ = sample.above(sample.edges[-1:])
    return max(least - int(labelled.sum()), 1)


def _failed(at: float, estimate: float, ends: tuple[float, float], wanted: float) -> str:
    words = f"at {at:g}, the strictest threshold with labels enough, precision is {estimate:.0%}"
    words += f" ({ends[0]:.0%} to {ends[1]:.0%})"
    more = "more labels there may show it" if estimate > wanted else "try a stricter threshold"
    return f"{words}: not surely {wanted:.0%}; {more}"
