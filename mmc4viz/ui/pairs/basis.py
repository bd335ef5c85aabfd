"""What the threshold of a table of pairs was chosen by: a target, as long as it gives that.

The address has the target only. What it gives is computed again, so that a link cannot claim a
basis that the table or its labels do not support.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from mmc4viz.export.methods import choice as in_words
from mmc4viz.pairs.choose import ASSUMPTION
from mmc4viz.pairs.labels.estimate import by_precision_of_rows
from mmc4viz.pairs.settings import recorded
from mmc4viz.thresholds.by_yield import Target
from mmc4viz.thresholds.proposal import Basis, Proposal
from mmc4viz.types import Mmc4vizError
from mmc4viz.ui import state
from mmc4viz.ui.pairs import row_labels
from mmc4viz.ui.pairs.table_data import PairChoice
from mmc4viz.ui.saved.accepted import is_same

_REASON: Final = "reason"
"""Query parameter: the basis and the target in percent, such as ``precision=90``."""


def by_share(choice: PairChoice, share: float) -> Proposal:
    """Suggest the highest threshold of the grid that keeps a share of all rows."""
    target, kept = str(Target.parse(f"pairs={100 * share:.12g}%")), choice.kept
    enough = np.flatnonzero(kept >= share * choice.curves.tally.rows)
    if not len(enough):
        return Proposal(Basis.YIELD, target, ASSUMPTION, reason="no threshold keeps that much")
    grid = choice.scale.thresholds()
    at = min(int(enough[-1]), int(np.searchsorted(grid, choice.span[1] - 1e-9)))
    found = Proposal(Basis.YIELD, target, ASSUMPTION, float(grid[at]))
    return found.leaving({"pairs": float(kept[at])})


def by_precision(choice: PairChoice, wanted: float) -> Proposal | None:
    """Suggest the lowest threshold with a precision; None without labels of what is thresholded.

    Raises
    ------
    LabelsError
        If the label file cannot be read.
    """
    if choice.selection.together in ("and", "or"):
        return None
    found = row_labels.results_for(choice)
    return None if found is None else by_precision_of_rows(found.labelled.sample, wanted)


def use(found: Proposal, wanted: float, choice: PairChoice) -> None:
    """Use a suggested threshold, and remember its target, a share of 1."""
    if found.threshold is not None:
        state.put(_REASON, f"{found.basis}={100 * wanted:.12g}")
        choice.use(found.threshold)


def target_of() -> tuple[Basis, float] | None:
    """Return the basis that was used last and its target; None if none was."""

    def parse(text: str) -> tuple[Basis, float] | None:
        basis, _, amount = text.partition("=")
        percent = state.finite(amount)
        if basis not in (Basis.YIELD, Basis.PRECISION) or percent is None or not 0 < percent <= 100:
            return None
        return Basis(basis), percent / 100

    return state.understood(_REASON, parse, "yield=PERCENT or precision=PERCENT", "basis manual")


def reasons_of(choice: PairChoice) -> tuple[dict[str, Any], str]:
    """Return how the threshold was chosen, as settings record it, and the same in a line.

    It is empty for a threshold that was chosen by hand, or that its target gives no longer.
    """
    asked, why = target_of(), ""
    if asked is not None:
        basis, wanted = asked
        try:
            found = (by_share if basis == Basis.YIELD else by_precision)(choice, wanted)
        except Mmc4vizError as error:
            found, why = None, f" Basis {basis}: {error}."
        if found is not None and found.threshold is not None:
            if is_same(found.threshold, choice.threshold):
                reasons = recorded({"score": choice.name, **found.as_dict()})
                return reasons, f"Threshold chosen {in_words(reasons)}."
            why = f" For {found.target}, {found.threshold:.12g} is suggested now."
    return {}, f"Threshold chosen {in_words({})}.{why}"
