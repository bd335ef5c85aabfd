"""A proposal that was taken as the threshold, remembered for the config and the report.

It is forgotten as soon as the threshold is another, or something that it rests on. The address
only says which kind was taken: after a reload it is proposed again, and counts if it still gives
the same threshold, so no link can bring a reason that does not hold. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from mmc4viz.choice.proposal import Basis, Proposal
from mmc4viz.model import LoaderConfig, Mmc4vizError
from mmc4viz.ui import proposals, state
from mmc4viz.ui.sidebar import Choice

_TAKEN: Final = "taken-proposal"
_BASIS: Final = "basis"
"""Of the taken proposal, in the address."""
_NEAR: Final = 1e-9  # thresholds this near are the same step of the grid


@dataclass(frozen=True)
class _Taken:
    """A proposal (`Proposal.as_dict`) with its threshold and what it rests on."""

    proposal: Mapping[str, Any]
    threshold: float
    rests_on: Hashable


def use(proposal: Proposal, choice: Choice) -> None:
    """Take a proposal's threshold, and keep the proposal with it; without one do nothing."""
    if proposal.threshold is None:
        return
    choice.keep(proposal.threshold)
    _remember(proposal, proposal.threshold, choice)


def _remember(proposal: Proposal, threshold: float, choice: Choice) -> None:
    basis = str(proposal.basis)
    st.session_state[_TAKEN] = _Taken(proposal.as_dict(), threshold, _rests_on(basis, choice))
    state.put(_BASIS, basis)


def review(choice: Choice) -> None:
    """Forget a proposal whose threshold, model or setting is not the chosen one any more."""
    taken: _Taken | None = st.session_state.get(_TAKEN)
    if taken is None:
        _take_again(state.get(_BASIS), choice)
        return
    moved = not _same(taken.threshold, choice.config.threshold)
    if moved or taken.rests_on != _rests_on(str(taken.proposal["basis"]), choice):
        del st.session_state[_TAKEN]
        state.put(_BASIS, None)


def _take_again(basis: str, choice: Choice) -> None:
    """After a reload, take the proposal of the kind that the address names, if it still holds."""
    if not basis:
        return
    found = [one for one in proposals.standing(choice) if one.basis == basis]
    if basis == Basis.PRECISION and not found:
        with suppress(Mmc4vizError):  # the page Label says what is wrong with the labels
            found = [proposals.from_labels(choice)]
    for one in found:
        if one.threshold is not None and is_at(one, choice):
            _remember(one, one.threshold, choice)
            return
    if found or basis == Basis.YIELD:
        state.put(_BASIS, None)


def stands(found: Proposal, choice: Choice) -> bool:
    """Whether a proposal is the one that was taken."""
    return is_at(found, choice) and proposal() == found.as_dict()


def is_at(found: Proposal, choice: Choice) -> bool:
    """Whether a proposal's threshold is the chosen one."""
    return found.threshold is not None and _same(found.threshold, choice.config.threshold)


def _same(one: float, other: float) -> bool:
    return abs(one - other) < _NEAR


def proposal() -> dict[str, Any]:
    """Return the proposal that was taken, empty where none stands."""
    taken: _Taken | None = st.session_state.get(_TAKEN)
    return {} if taken is None else dict(taken.proposal)


def _rests_on(basis: str, choice: Choice) -> Hashable:
    """Return what a proposal would change with: of a yield, every setting but the threshold."""
    config = choice.config
    if basis != Basis.YIELD:
        config = LoaderConfig(
            clip_model=config.clip_model, min_kb=config.min_kb, assignment=config.assignment
        )
    return basis, choice.whole, config.with_(threshold=0.0)
