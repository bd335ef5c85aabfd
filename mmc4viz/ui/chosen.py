"""A proposal that was taken as the threshold, remembered for the config and the report.

It is forgotten as soon as the threshold is another, or something that it rests on. Proposes and
draws nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from mmc4viz.choice.proposal import Basis, Proposal
from mmc4viz.model import LoaderConfig
from mmc4viz.ui.sidebar import Choice

_TAKEN: Final = "taken-proposal"
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
    values = proposal.as_dict()
    st.session_state[_TAKEN] = _Taken(
        values, proposal.threshold, _rests_on(str(proposal.basis), choice)
    )


def review(choice: Choice) -> None:
    """Forget a proposal whose threshold, model or setting is not the chosen one any more."""
    taken: _Taken | None = st.session_state.get(_TAKEN)
    if taken is None:
        return
    moved = not _same(taken.threshold, choice.config.threshold)
    if moved or taken.rests_on != _rests_on(str(taken.proposal["basis"]), choice):
        del st.session_state[_TAKEN]


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
