"""Suggested thresholds: state, cache, drawing.

Computes nothing.

It is forgotten as soon as the threshold is another, or something that it rests on. The address
only says which kind was taken: after a reload it is proposed again, and counts if it still gives
the same threshold, so no link can bring a reason that does not hold. Draws nothing.

Draws; the numbers are the core's, by way of `proposals`. What takes long goes on in the background.

Wishes are texts, as a person types them. What takes long is computed in the background and kept
here for all sessions; nothing is drawn, and nothing but what the core's ways of choosing say.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mmc4viz.text import escaped
from mmc4viz.thresholds.by_yield import YIELDS, Steps, Target, by_yield, steps_of_curves
from mmc4viz.thresholds.fdr.estimate import FDR_CAVEAT, by_fdr
from mmc4viz.thresholds.labels.precision import FEW_AT_LINE, propose
from mmc4viz.thresholds.labels.sampling import Design
from mmc4viz.thresholds.proposal import Basis, Proposal
from mmc4viz.types import ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.ui import cache, data, label_data, model_data, state
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.html import note
from mmc4viz.ui.model_data import Side
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.state import number

_FEW: Final = (
    " So few say little of the pairs just above the line, and the estimate hangs on them: let the "
    "page Label give more labels to this threshold before you rely on it."
)


def row(key: str) -> DeltaGenerator:
    """Return the place of a target's fields and of the button that takes what is proposed."""
    return st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=key)


def show_proposal(found: Proposal, choice: Choice, words: str, place: DeltaGenerator) -> None:
    """Say what is proposed and on what it rests, or why nothing is; offer it at a place."""
    if found.threshold is None:
        note(f"For {found.target}, no threshold is proposed: {found.reason}.")
        return
    with place:
        if stands(found, choice):
            st.button("In use", key=f"use-{found.basis}", disabled=True)
        else:
            key = f"use-{found.basis}"
            st.button("Use it", key=key, on_click=use, args=(found, choice))
    st.html(
        '<div class="mmc-finding" style="grid-template-columns: 5.5rem minmax(0, 1fr)">'
        f'<div class="mmc-large mmc-num">{found.threshold:.12g}</div>'
        f'<div><p>{escaped(words)}</p><p class="mmc-note">{escaped(found.assumption)}</p></div>'
        "</div>"
    )


def rate(found: Proposal) -> str:
    """Say what share of the pairs is estimated to be wrong at a proposed threshold."""
    if found.estimate is None or found.low is None or found.high is None:
        return ""
    return (
        f"is the lowest threshold with {found.target}: {found.estimate:.1%} of its pairs are "
        f"estimated to be wrong (95 % interval {found.low:.1%} to {found.high:.1%})."
    )


def promise(found: Proposal) -> str:
    """Say what labels promise of a proposed threshold, and how many labels that hangs on."""
    if found.threshold is None or found.estimate is None:
        return ""
    assert found.low is not None and found.high is not None and found.lower_bound is not None
    words = (
        f"is the lowest threshold with {found.target}: with 95 % confidence, at least "
        f"{found.lower_bound:.1%} of its pairs are right (one-sided). {found.estimate:.1%} is "
        f"estimated, with a two-sided 95 % interval of {found.low:.1%} to {found.high:.1%}, from "
        f"{found.labels:,} labels at or above it"
    )
    if found.labels_near_threshold == found.labels:
        return f"{words}."
    few = (found.labels_near_threshold or 0) < FEW_AT_LINE
    return f"{words}, {found.labels_near_threshold:,} of them just above it.{_FEW * few}"


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
    found = [one for one in standing(choice) if one.basis == basis]
    if basis == Basis.PRECISION and not found:
        with suppress(Mmc4vizError):  # the page Label says what is wrong with the labels
            found = [from_labels(choice)]
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


KEEP: Final = {name: f"p.{name}" for name in YIELDS}
FDR: Final = "p.fdr"
PRECISION: Final = "l.precision"
"""Names in the address; the last one is the target of the page Label, too."""
LIKELY: Final = 0.9
"""The precision that is wished for where nobody has said another."""

_PRECISE: Memo[Proposal] = Memo()


@dataclass(frozen=True)
class Waiting:
    """What has to be computed before there is a proposal."""

    words: str
    key: Hashable
    work: Callable[[Callable[[int], None]], object]
    ready: Callable[[], bool]


Answer = Proposal | Waiting | None
"""A proposal, what is waited for, or nothing where nothing is wished for."""


def share(text: str) -> float:
    """Read a share, as in ``10%``, ``10 %`` or ``0.1``.

    Raises
    ------
    ConfigError
        When it is none.

    Examples
    --------
    >>> share("10%"), share("0.1")
    (0.1, 0.1)
    """
    percent = text.strip().endswith("%")
    value = number(text.strip().rstrip("%"), -1.0) / (100 if percent else 1)
    if not 0 < value < 1:
        raise ConfigError(f"{text!r} is no share between 0 and 1: 10% or 0.1, for example")
    return value


def targets() -> list[Target]:
    """Return what is to be left at least; raises a ConfigError where that makes no sense."""
    asked = {name: state.get(short).strip() for name, short in KEEP.items()}
    return [Target.parse(f"{name}={text}") for name, text in asked.items() if text]


def of_yield(choice: Choice) -> Answer:
    """Propose by what is left, over the steps of the control's grid."""
    wanted = targets()
    if not wanted:
        return None
    found = by_yield(_steps(choice), wanted)
    if choice.source.sample is None:
        return found
    documents = data.facts_of(choice.source).documents
    return replace(
        found,
        assumption=f"Estimated from {documents:,} documents drawn at random, documents and tokens "
        "in expectation over the coin for single-image documents; whether the pairs are right "
        "plays no part.",
    )


def _steps(choice: Choice) -> Steps:
    """Return what is left at the thresholds that the control can take."""
    curves, grid = data.curves_of(choice.source, choice.config), choice.scale.thresholds()
    return steps_of_curves(curves, choice.config.single_image_keep, grid)


def needed_amounts(choice: Choice) -> dict[str, Fraction]:
    """Return how much of each yield is wished for."""
    whole = _steps(choice).whole
    return {
        one.quantity: one.amount * (Fraction(whole[one.quantity]) if one.share else 1)
        for one in targets()
    }


def of_fdr(choice: Choice) -> Answer:
    """Propose by the share of wrong pairs, estimated without labels; None also of a sample."""
    text = state.get(FDR).strip()
    if not text:
        return None
    wanted = share(text)
    if choice.source.sample is not None:
        return None
    side = model_data.side(choice.config.clip_model, choice.source, choice.config)
    if model_data.has_fdr(side):
        return _with_left(by_fdr(model_data.fdr_of(side), wanted), choice)
    return _to_estimate(side)


def _to_estimate(side: Side) -> Waiting:
    return Waiting(
        "Estimating the share of wrong pairs without labels",
        ("fdr", side),
        lambda _: model_data.fdr_of(side),
        lambda: model_data.has_fdr(side),
    )


def wanted_precision() -> float:
    """Return the precision that is wished for."""
    found = number(state.get(PRECISION), LIKELY)
    return found if 0.5 <= found <= 0.999 else LIKELY


def design_here(choice: Choice) -> Design | None:
    """Return the labels' sample of the present setting; None where there is none, or no file.

    Raises
    ------
    LabelsError
        When the file cannot be read.
    """
    return label_data.design_of(label_data.path_of(choice), choice)


def of_precision(choice: Choice, design: Design | None) -> Answer:
    """Propose by the precision that labels show, where there are labels for this setting."""
    if design is None or choice.whole != choice.source:
        return None
    path, wanted = label_data.path_of(choice), wanted_precision()
    key = label_data.key_of(path, design, choice), wanted

    def make() -> Proposal:
        return propose(label_data.labelled_of(path, design, choice).sample, wanted)

    if key in _PRECISE:
        return _with_left(_PRECISE.get(key, make), choice)
    return Waiting("Reading the labels", ("precision", *key), lambda _: _PRECISE.get(key, make),
                   lambda: key in _PRECISE)  # fmt: skip


def _with_left(found: Proposal, choice: Choice) -> Proposal:
    """Add what is left at a proposed threshold, where every document was counted."""
    if found.threshold is None or choice.source.sample is not None:
        return found
    curves = data.curves_of(choice.source, choice.config)
    step = curves.step(found.threshold)
    return found.leaving(steps_of_curves(curves, choice.config.single_image_keep).at(step))


def standing(choice: Choice) -> list[Proposal]:
    """Return the proposals with a threshold that are known by now, whatever page is shown."""
    found: list[Proposal] = []
    for ask in (of_yield, of_fdr, lambda one: of_precision(one, design_here(one))):
        try:
            answer = ask(choice)
        except Mmc4vizError:
            continue  # the page Tune says why, where it draws the target
        if isinstance(answer, Proposal) and answer.threshold is not None:
            found.append(answer)
    return found


def from_labels(choice: Choice) -> Proposal:
    """Propose from labels at once; raises a Mmc4vizError in words where there are none."""
    path = label_data.path_of(choice)
    design = label_data.design_of(path, choice) if os.path.exists(path) else None
    if design is None:
        raise ConfigError(f"no pair was labelled for {choice.config.clip_model} and this setting")
    found = propose(label_data.labelled_of(path, design, choice).sample, wanted_precision())
    return _with_left(found, choice)


_HELP: Final = "A share, as in 50%, or a number. Several targets are granted all at once."
_LONGEST: Final = 30  # characters of a target
_WAIT: Final = "Waits until every document is matched."
_SAMPLED: Final = (
    "Not from a sample: it comes in whole shards, and the interval would be too narrow. Set the "
    "sample in the sidebar to 0."
)


def show_suggestions(choice: Choice) -> None:
    """Draw the section."""
    st.subheader("Proposals", anchor=False)
    with st.container(key="proposals"):
        waiting = [
            found
            for found in (_yield(choice), _fdr(choice), _precision(choice))
            if isinstance(found, Waiting)
        ]
    if waiting:
        _wait(waiting)


def _field(label: str, name: str, placeholder: str, words: str, width: int = 130) -> None:
    """Draw a line of text that stands in the address."""
    key = f"target-{name}"
    state.seed(key, state.get(name)[:_LONGEST])

    def keep() -> None:
        state.put(name, st.session_state[key].strip() or None)

    st.text_input(
        label, key=key, placeholder=placeholder, help=words, width=width, max_chars=_LONGEST,
        on_change=keep,
    )  # fmt: skip


def _yield(choice: Choice) -> Answer:
    """Ask what is to be left, and propose."""
    place = row("targets-yield")
    with place:
        for name, short in KEEP.items():
            example = "50%" if name == "documents" else ""
            words = name.replace("_", " ")
            _field(
                f"Keep {words}" if name == YIELDS[0] else words.capitalize(), short, example, _HELP
            )
    try:
        found = of_yield(choice)
    except ConfigError as error:
        note(str(error))
        return None
    if isinstance(found, Proposal):
        show_proposal(found, choice, _left(found, choice), place)
    return found


def _left(found: Proposal, choice: Choice) -> str:
    """Say what of the wished is left."""
    if found.threshold is None:
        return ""
    needed = needed_amounts(choice)
    parts = [
        f"{found.kept[name]:,.10g} {name.replace('_', ' ')}, {float(amount):,.10g} wished for"
        for name, amount in needed.items()
    ]
    exact = "" if choice.source.sample is not None else " Counted, so no interval."
    return f"is the highest threshold that leaves {'; '.join(parts)}.{exact}"


def _fdr(choice: Choice) -> Answer:
    """Ask how many pairs may be wrong, and propose without labels: not unless it is opened."""
    with st.expander("Without labels", expanded=bool(state.get(FDR))):
        note(FDR_CAVEAT)
        return _without_labels(choice)


def _without_labels(choice: Choice) -> Answer:
    place = row("targets-fdr")
    with place:
        _field("Pairs wrong at most, estimated without labels", FDR, "10%",
           "A share, as in 10%. Estimated in the background from at most 10,000 documents; where "
           "it cannot be told, it says so.", 330)  # fmt: skip
    try:
        found = of_fdr(choice)
    except ConfigError as error:
        note(str(error))
        return None
    if found is None and state.get(FDR):
        note(_SAMPLED if choice.whole == choice.source else _WAIT)
    if isinstance(found, Proposal):
        show_proposal(found, choice, rate(found), place)
    return found


def _precision(choice: Choice) -> Answer:
    """Propose by labels, where there are any."""
    try:
        design = design_here(choice)
        found = of_precision(choice, design)
    except Mmc4vizError as error:
        note(f"No proposal from labels: {error}")
        return None
    place = row("targets-precision")
    if choice.source.sample is not None:
        note(
            "By precision, from labels: not of a sample."
            if choice.whole == choice.source
            else _WAIT
        )
    elif design is None:
        note("By precision, from labels: there are none yet for this model and setting.")
        with place:
            st.page_link(st.session_state["pages"]["Label"], label="Label pairs")
    elif found is None:
        note(_WAIT)
    else:
        with place:
            _ask_precision()
    if isinstance(found, Proposal):
        show_proposal(found, choice, promise(found), place)
    return found


def _ask_precision() -> None:
    """Ask for the wanted precision, which the page Label asks for as well."""

    def keep() -> None:
        try:
            value = share(st.session_state["target-precision"])
        except ConfigError:
            value = LIKELY
        state.put(PRECISION, None if value == LIKELY else f"{value:g}")
        state.begin_anew()

    state.seed("target-precision", f"{100 * wanted_precision():g}%")
    st.text_input(
        "Pairs right at least, from labels",
        key="target-precision",
        width=330,
        on_change=keep,
        max_chars=_LONGEST,
        help="A share from 50% to 99.9%.",
    )


def _wait(waiting: Sequence[Waiting]) -> None:
    """Say what is computed, and draw the page anew when it is there."""
    turns = itertools.count()

    @st.fragment(run_every=0.5)
    def wait() -> None:
        first = next(turns) == 0
        for one in waiting:
            if first and not cache.is_known(one.key):
                note(f"{one.words} …")  # it begins when the page stands
                continue
            job = cache.ask(one.key, one.work)
            if job.error is not None:
                note(str(job.error), "error")
            elif job.running:
                note(f"{one.words} …")
            elif one.ready():
                cache.forget(one.key)
                st.rerun()
            else:
                note(f"{one.words} ended without an answer", "error")

    wait()
