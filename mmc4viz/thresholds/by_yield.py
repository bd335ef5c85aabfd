"""The highest threshold that keeps enough.

A yield changes only at the scores of pairs, so its changes, sorted by score and summed from the
highest, give its exact curve over all thresholds. Yields need not be monotone: a dropped image
makes room under the cap and the token limit for the next one. So every step is checked, and the
highest sufficient one is taken, even if a lower one keeps less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats
from mmc4viz.data.scale import Thresholds
from mmc4viz.sweep.literal import LiteralStates
from mmc4viz.sweep.resolve import resolve
from mmc4viz.sweep.statistics import CLASS, QUANTITY, Curves
from mmc4viz.sweep.sweep import Matched, Progress, type_of_counts
from mmc4viz.thresholds.proposal import Basis, Proposal
from mmc4viz.types import ConfigError, LoaderConfig


def sampled_assumption(documents: int) -> str:
    """Return what yields of a random sample of so many documents assume."""
    return (
        f"Estimated from {documents:,} randomly sampled documents; documents and tokens are "
        "expected values, given the single-image keep probability. Does not consider whether pairs "
        "are correct."
    )


Changes = tuple[Floats, NDArray[np.int32] | Floats]
"""Scores, shape (S,), and the change of each counted quantity there, shape (7, S)."""

YIELDS: Final = ("documents", "pairs", "image_tokens", "text_tokens")
SHARE_OF: Final = {
    "documents": "all documents",
    "pairs": "all matched pairs",
    "image_tokens": "the most at any threshold",
    "text_tokens": "the most at any threshold",
}
"""The denominators of shares in words."""
_BY_CLASS: Final = ("documents", "image_tokens", "text_tokens")
_KEPT: Final = (CLASS["kept_always"], CLASS["kept_single_image"])
_COUNTED: Final = 1 + len(_BY_CLASS) * len(_KEPT)  # pairs; the others split by keep probability


@dataclass(frozen=True)
class Steps:
    """What is kept at each of T thresholds.

    Attributes
    ----------
    threshold : ndarray of float64, shape (T,)
        Ascending.
    kept : mapping of str to ndarray of float64, shape (T,)
        Each of `YIELDS`; documents and tokens as expected values.
    beyond : mapping of str to float or None
        What is kept when all pairs are dropped; None if unknown.
    whole : mapping of str to float
        The denominator of shares: all documents, readable or not; for the other yields, the most
        that any threshold keeps.
    every : bool
        Whether the thresholds are all scores, so that nothing changes between them.
    """

    threshold: Floats
    kept: Mapping[str, Floats]
    beyond: Mapping[str, float] | None
    whole: Mapping[str, float]
    every: bool

    def at(self, step: int) -> dict[str, float]:
        """Return what is kept at a step, by name."""
        return {name: float(self.kept[name][step]) for name in YIELDS}


def steps_of_curves(curves: Curves, keep: float, grid: Thresholds | None = None) -> Steps:
    """Return what is kept at the steps of a grid.

    Parameters
    ----------
    curves : Curves
    keep : float
        Single-image keep probability.
    grid : ndarray of float64, optional
        The steps to choose from, if the curves have others too.
    """
    if grid is not None:
        steps = np.searchsorted(curves.thresholds, grid)
        curves = curves.at(steps, grid)
    left = {
        name: curves.total(name).astype(np.float64)
        if name == "pairs"
        else curves.expected(name, keep)
        for name in YIELDS
    }
    none = bool(len(left["pairs"])) and left["pairs"][-1] == 0
    beyond = {name: float(values[-1]) for name, values in left.items()} if none else None
    total = curves.total("documents")
    whole = {name: float(values.max(initial=0)) for name, values in left.items()}
    whole["documents"] = float(total[0]) if len(total) else 0.0
    return Steps(curves.thresholds, left, beyond, whole, every=False)


def steps_of_scores(
    matched: Matched, config: LoaderConfig, progress: Progress | None = None
) -> Steps:
    """Return what is kept at every score of a corpus; takes 36 bytes per pair and a sort.

    Parameters
    ----------
    matched : Matched
        Matched with the size limit and assignment of ``config``.
    config : LoaderConfig
        The threshold is ignored.
    progress : callable, optional
        Called with the number of documents done since the last call.
    """
    config.require_threshold()
    changes = list(_changes(matched, config, progress or (lambda _: None)))
    score = np.concatenate([np.zeros(0), *(one[0] for one in changes)])
    counts = np.concatenate([np.zeros((_COUNTED, 0), np.int32), *(one[1] for one in changes)], 1)
    order = np.argsort(-score, kind="stable")
    score = score[order]
    last = np.flatnonzero(score != np.append(score[1:], -np.inf))  # among equal scores
    beyond = int(np.searchsorted(-score, -np.inf, side="right"))  # changes at no finite score
    dtype = type_of_counts(config)
    sums = [np.append(0, counted[order].cumsum(dtype=dtype)) for counted in counts]
    ends = last[last >= beyond][::-1] + 1
    left = _expected([counted[ends] for counted in sums], config.single_image_keep)
    above = _expected([counted[[beyond]] for counted in sums], config.single_image_keep)
    whole = {name: max(float(left[name].max(initial=0)), float(above[name][0])) for name in YIELDS}
    whole["documents"] = float(matched.n_documents)
    top = {name: float(values[0]) for name, values in above.items()}
    return Steps(score[ends - 1], left, top, whole, every=True)


def _expected(sums: list[NDArray[Any]], keep: float) -> dict[str, Floats]:
    """Return the yields from summed counts."""
    found = {"pairs": sums[0].astype(np.float64)}
    for n, name in enumerate(_BY_CLASS):
        always, single_image = sums[1 + 2 * n : 3 + 2 * n]
        found[name] = always + keep * single_image
    return found


def _changes(matched: Matched, config: LoaderConfig, progress: Progress) -> Iterator[Changes]:
    """Yield the changes of blocks of documents; initial states are at infinity."""
    for part in matched.parts:
        if part.literal:
            yield _of_literal(part.literal.states(config))
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group in run.groups():
            for here in group.blocks():
                block = group.part(here)
                states = resolve(block, config, tokenizer)
                amounts = (np.ones_like(states.reaching), states.reaching, states.text_tokens)
                entered = block.score > -np.inf
                values = _by_class(states.kind, amounts)
                readable = states.kind != CLASS["unreadable"]
                values[0] = np.arange(1, len(readable) + 1)[:, None] * readable
                changed = np.diff(values, axis=1, prepend=0)
                yield block.score[entered], changed[:, entered]
                progress(len(block))


def _by_class(kind: NDArray[Any], amounts: tuple[NDArray[Any], ...]) -> NDArray[Any]:
    """Return amounts split by class, shape (7, …); the first row is reserved for pairs."""
    are_means = any(amount.dtype.kind == "f" for amount in amounts)
    values = np.zeros((_COUNTED, *kind.shape), np.float64 if are_means else np.int32)
    for n, amount in enumerate(amounts):
        for k, kept in enumerate(_KEPT):
            np.multiply(amount, kind == kept, out=values[1 + 2 * n + k], casting="unsafe")
    return values


def _of_literal(states: LiteralStates) -> Changes:
    amounts = tuple(states.counts[:, QUANTITY[name]] for name in _BY_CLASS)
    values = _by_class(states.kind, amounts)
    values[0] = states.counts[:, QUANTITY["pairs"]]
    follows = np.append(False, states.document[1:] == states.document[:-1])
    values[:, follows] -= values[:, np.flatnonzero(follows) - 1]
    return states.score, values


ASSUMPTION: Final = (
    "Exact counts at every step of the grid; documents and tokens are expected values under the "
    "single-image keep probability. Does not consider whether pairs are correct."
)


@dataclass(frozen=True, slots=True)
class Target:
    """The least amount of a yield to keep.

    Attributes
    ----------
    quantity : str
        One of `mmc4viz.thresholds.by_yield.YIELDS`.
    amount : Fraction
        A count, or a share from 0 to 1.
    share : bool
        Whether it is a share, of all documents or of the most pairs or tokens at any threshold.

    Raises
    ------
    ConfigError
        If the yield is unknown or the amount out of range.

    Examples
    --------
    >>> str(Target.parse("documents=50%")), str(Target.parse("pairs=1000000"))
    ('documents ≥ 50%', 'pairs ≥ 1,000,000')
    """

    quantity: str
    amount: Fraction
    share: bool

    def __post_init__(self) -> None:
        if self.quantity not in YIELDS:
            raise ConfigError(f"{self.quantity!r} is not a yield; choose from {', '.join(YIELDS)}")
        if self.amount <= 0 or (self.share and self.amount > 1):
            limits = "above 0% and at most 100%" if self.share else "a positive number"
            raise ConfigError(f"{self}: the target must be {limits}")

    @classmethod
    def parse(cls, text: str) -> Target:
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
                f"{text!r}: enter a percent or a count, e.g. documents=50% or pairs=1000000"
            )
        quantity = name.strip().replace("-", "_").replace(" ", "_")
        return cls(quantity, number / 100 if percent else number, percent)

    def needed(self, steps: Steps) -> float:
        """Return the count to keep."""
        return float(self.amount * Fraction(steps.whole[self.quantity] if self.share else 1))

    def __str__(self) -> str:
        name = self.quantity.replace("_", " ")
        if self.share:
            return f"{name} ≥ {float(100 * self.amount):g}%"
        number = float(self.amount)
        return f"{name} ≥ {int(number):,}" if number.is_integer() else f"{name} ≥ {number:g}"


def by_yield(steps: Steps, targets: Sequence[Target]) -> Proposal:
    """Suggest the highest threshold that meets all targets.

    Parameters
    ----------
    steps : Steps
        At the thresholds to choose from.
    targets : sequence of Target
        At least one.

    Returns
    -------
    Proposal
        Without a threshold if none meets the targets, or if even dropping all pairs does.
    """
    text = " and ".join(map(str, targets))
    needed = [(target.quantity, target.needed(steps)) for target in targets]
    enough = np.ones(len(steps.threshold), bool)
    for name, amount in needed:
        enough &= steps.kept[name] >= amount
    found, reason = np.flatnonzero(enough), None
    if steps.beyond is not None and all(steps.beyond[name] >= n for name, n in needed):
        reason = "every threshold keeps that much, even one that drops all pairs"
    elif not len(found):
        reason = _unreached(steps, needed)
    if reason is not None:
        return Proposal(Basis.YIELD, text, ASSUMPTION, reason=reason)
    step = int(found[-1])
    threshold = float(steps.threshold[step])
    return Proposal(Basis.YIELD, text, ASSUMPTION, threshold, kept=steps.at(step))


def _unreached(steps: Steps, needed: Sequence[tuple[str, float]]) -> str:
    """Say which target is out of reach."""
    for name, amount in needed:
        most = float(steps.kept[name].max(initial=0))
        if most < amount:
            words = name.replace("_", " ")
            return f"at most {most:,.10g} {words} can be kept (target {amount:,.10g})"
    return "each target can be reached, but no threshold meets all of them at once"
