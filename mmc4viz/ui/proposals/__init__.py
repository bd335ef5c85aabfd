"""Suggested thresholds: targets, cached proposals, the proposal in use, and their widgets.

The proposal in use is saved with what it depends on, and dropped as soon as any of that changes.
The address has only the record's id, so a link cannot claim a false provenance. Slow proposals are
computed in background jobs, which all sessions share.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from mmc4viz.export.provenance import BASES
from mmc4viz.text import plain
from mmc4viz.thresholds.by_yield import (
    ASSUMPTION,
    SHARE_OF,
    YIELDS,
    Steps,
    Target,
    by_yield,
    sampled_assumption,
    steps_of_curves,
)
from mmc4viz.thresholds.combined import (
    Combined,
    Condition,
    combine,
    of_fdr,
    of_passes,
    of_precision,
    of_single_image,
    of_yields,
)
from mmc4viz.thresholds.fdr.estimate import FDR_CAVEAT, by_fdr
from mmc4viz.thresholds.labels.precision import FEW_AT_LINE, propose
from mmc4viz.thresholds.labels.sampling import Design
from mmc4viz.thresholds.proposal import Proposal
from mmc4viz.types import ConfigError, Mmc4vizError
from mmc4viz.ui import cache, data, fields, label_data, model_data, state
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.html import note, part
from mmc4viz.ui.proposals import budget
from mmc4viz.ui.saved import store
from mmc4viz.ui.saved.accepted import Grounds, difference, grounds, is_same
from mmc4viz.ui.saved.store import RecordKind
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.state import number

_TOO_FEW: Final = (
    " Too few to rely on: the estimate depends on the pairs just above the threshold. On the page "
    "Label, prioritize pairs at this threshold."
)


def row(key: str) -> DeltaGenerator:
    """Return the container of a target's fields and of the button to apply the suggestion."""
    return st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=key)


def show_proposal(found: Proposal, choice: Choice, words: str, place: DeltaGenerator) -> None:
    """Show a proposal with its assumptions and a button to apply it, or why there is none."""
    if found.threshold is None:
        note(f"No threshold for {found.target}: {found.reason}.")
        return
    with place:
        key = f"use-{found.basis}"
        if _in_use(found, choice):
            st.button("In use", key=key, disabled=True)
        else:
            st.button("Apply", key=key, on_click=use, args=(found, choice))
    st.html(part("finding", f"{found.threshold:.12g}", words, found.assumption, "mmc-narrow"))


def _rate(found: Proposal) -> str:
    """Return the estimated false-discovery rate of a proposal in words."""
    if found.estimate is None or found.low is None or found.high is None:
        return ""
    return (
        f"Lowest threshold with {found.target}. An estimated {found.estimate:.1%} of kept pairs "
        f"are incorrect (95% CI {found.low:.1%} to {found.high:.1%})."
    )


def promise(found: Proposal) -> str:
    """Return the precision of a proposal from labels in words."""
    if found.threshold is None or found.estimate is None:
        return ""
    assert found.low is not None and found.high is not None and found.lower_bound is not None
    words = (
        f"Lowest threshold with {found.target}. Estimated precision {found.estimate:.1%} "
        f"(one-sided 95% lower bound {found.lower_bound:.1%}; two-sided 95% CI {found.low:.1%} to "
        f"{found.high:.1%}), from {found.labels:,} labels at or above it"
    )
    if found.labels_near_threshold == found.labels:
        return f"{words}."
    few = (found.labels_near_threshold or 0) < FEW_AT_LINE
    return f"{words}, {found.labels_near_threshold:,} of them just above it.{_TOO_FEW * few}"


_TAKEN: Final = "taken-proposal"
_NOTED: Final = "note-taken"  # id and text of the user's note
_REASON, _NOTE = "reason", "note"
"""Query parameters: ids of the record of the proposal in use, and of the user's note."""


@dataclass(frozen=True)
class _Taken:
    """How the threshold was chosen: a proposal (`Proposal.as_dict`), or a basis named by the user.

    Attributes
    ----------
    name : str
        The record's id.
    reasons : mapping
    grounds : Grounds
    """

    name: str
    reasons: Mapping[str, Any]
    grounds: Grounds


def use(proposal: Proposal, choice: Choice) -> None:
    """Apply a proposal: set its threshold and save the proposal."""
    if proposal.threshold is not None:
        choice.keep(proposal.threshold)
        take(proposal.as_dict(), proposal.threshold, choice)


def take(reasons: Mapping[str, Any], threshold: float, choice: Choice) -> None:
    """Save how a threshold was chosen, with what that depends on."""
    found = grounds(reasons, threshold, choice)
    record = {"reasons": dict(reasons), "grounds": found.as_dict()}
    name = store.keep(choice, RecordKind.ACCEPTED, record)
    st.session_state[_TAKEN] = _Taken(name, record["reasons"], found)
    state.put(_REASON, name)


def take_note(words: str, choice: Choice) -> None:
    """Save the user's note."""
    name = store.keep(choice, RecordKind.NOTE, {"note": words}) if words else ""
    st.session_state[_NOTED] = name, words
    state.put(_NOTE, name or None)


def forget() -> None:
    """Drop the proposal in use and the note."""
    for key, name in ((_TAKEN, _REASON), (_NOTED, _NOTE)):
        st.session_state.pop(key, None)
        state.put(name, None)


def review(choice: Choice) -> None:
    """Restore what the address refers to; drop the proposal in use if it no longer applies."""
    _restore_note(choice)
    taken: _Taken | None = st.session_state.get(_TAKEN)
    linked = (taken.name if taken else "") != state.get(_REASON)
    if linked:
        taken = _found(choice)
    st.session_state.pop(_TAKEN, None)
    if taken is None:
        return
    why = difference(taken.grounds, taken.reasons, choice)
    if not why:
        st.session_state[_TAKEN] = taken
        return
    state.put(_REASON, None)
    moved = not linked and not is_same(taken.grounds.threshold, choice.config.threshold)
    if not moved and taken.reasons["basis"] != BASES[0]:
        words = "The suggestion in this address" if linked else "The accepted suggestion"
        state.tell(
            f"{words} ({_in_words(taken.reasons)}) no longer applies: it was made {why}. The basis "
            "of the threshold is now manual."
        )


def _found(choice: Choice) -> _Taken | None:
    """Return the record that the address refers to."""

    def parse(name: str) -> _Taken | None:
        record = store.find(choice, RecordKind.ACCEPTED, name) or {}
        reasons, found = record.get("reasons"), Grounds.of_record(record.get("grounds"))
        known = isinstance(reasons, dict) and reasons.get("basis") in BASES
        return _Taken(name, reasons, found) if known and found is not None else None  # type: ignore[arg-type]

    found = state.understood(_REASON, parse, "a suggestion saved on this server", "basis manual")
    if found is None:
        state.put(_REASON, None)
    return found


def _restore_note(choice: Choice) -> None:
    name = state.get(_NOTE)
    if st.session_state.get(_NOTED, ("", ""))[0] == name:
        return

    def parse(name: str) -> str | None:
        words = (store.find(choice, RecordKind.NOTE, name) or {}).get("note")
        return words if isinstance(words, str) else None

    words = state.understood(_NOTE, parse, "a note saved on this server")
    if words is None:
        state.put(_NOTE, None)
    st.session_state[_NOTED] = state.get(_NOTE), words or ""


def _in_words(reasons: Mapping[str, Any]) -> str:
    return plain(str(reasons.get("target") or f"basis {reasons['basis']}"))[:200]


def _in_use(found: Proposal, choice: Choice) -> bool:
    """Whether a proposal is the one in use."""
    return is_current(found, choice) and proposal() == found.as_dict()


def is_current(found: Proposal, choice: Choice) -> bool:
    """Whether a proposal's threshold is the current one."""
    return found.threshold is not None and is_same(found.threshold, choice.config.threshold)


def proposal() -> dict[str, Any]:
    """Return how the threshold was chosen: the proposal in use or the basis named by the user."""
    taken: _Taken | None = st.session_state.get(_TAKEN)
    return {} if taken is None else dict(taken.reasons)


def user_note() -> str | None:
    """Return the user's note; None if there was none in this session."""
    found: tuple[str, str] | None = st.session_state.get(_NOTED)
    return None if found is None else found[1]


_KEEP: Final = {name: f"p.{name}" for name in YIELDS}
_FDR: Final = "p.fdr"
_PASSES, _SINGLE, _PRECISE_TOO = "p.passes", "p.single", "p.precision"
PRECISION: Final = "l.precision"
"""Query parameters; the last one is also the target of the page Label."""
LIKELY: Final = 0.9
"""The default target precision."""

_PRECISE: Memo[Proposal] = Memo()
_CONDITIONS: Memo[Condition] = Memo()


@dataclass(frozen=True)
class Waiting:
    """A computation that a proposal is waiting for."""

    words: str
    key: Hashable
    work: Callable[[Callable[[int], None]], object]
    ready: Callable[[], bool]


Answer = Proposal | Waiting | None
"""A proposal, a pending computation, or None without a target."""


def share(text: str) -> float:
    """Parse a share such as ``10%`` or ``0.1``; a blank before the sign does no harm.

    Raises
    ------
    ConfigError
        If it is not a share.

    Examples
    --------
    >>> share("10%"), share("0.1")
    (0.1, 0.1)
    """
    percent = text.strip().endswith("%")
    value = number(text.strip().rstrip("%"), -1.0) / (100 if percent else 1)
    if not 0 < value < 1:
        raise ConfigError(
            f"{text!r} is not a share between 0 and 1: enter, for example, 10% or 0.1"
        )
    return value


def _targets() -> list[Target]:
    """Return the yield targets; raises a ConfigError for an invalid one."""
    asked = {name: state.get(short).strip() for name, short in _KEEP.items()}
    return [Target.parse(f"{name}={text}") for name, text in asked.items() if text]


def _of_yield(choice: Choice) -> Answer:
    """Propose a threshold for the yield targets, on the control's grid."""
    wanted = _targets()
    if not wanted:
        return None
    found = by_yield(_steps(choice), wanted)
    return replace(found, assumption=_assumption(choice))


def _assumption(choice: Choice) -> str:
    """Return what yields assume."""
    if choice.source.sample is None:
        return ASSUMPTION
    return sampled_assumption(data.facts_of(choice.source).documents)


def _steps(choice: Choice) -> Steps:
    """Return the yields at the thresholds of the control's grid."""
    curves, grid = data.curves_of(choice.source, choice.config), choice.scale.thresholds()
    return steps_of_curves(curves, choice.config.single_image_keep, grid)


def _needed_amounts(choice: Choice) -> dict[str, Fraction]:
    """Return the target amount of each yield."""
    whole = _steps(choice).whole
    return {
        one.quantity: one.amount * (Fraction(whole[one.quantity]) if one.share else 1)
        for one in _targets()
    }


def _of_fdr(choice: Choice) -> Answer:
    """Propose a threshold by label-free FDR; None without a target or for a sample."""
    text = state.get(_FDR).strip()
    if not text:
        return None
    wanted = share(text)
    if choice.source.sample is not None:
        return None
    side = model_data.side(choice.config.clip_model, choice.source, choice.config)
    if model_data.has_fdr(side):
        return _with_yields(by_fdr(model_data.fdr_of(side), wanted), choice)
    return Waiting(
        "Estimating the false-discovery rate",
        ("fdr", side),
        lambda _: model_data.fdr_of(side),
        lambda: model_data.has_fdr(side),
    )


def _wanted_precision() -> float:
    """Return the target precision."""

    def parse(text: str) -> float | None:
        value = number(text, 0.0)
        return value if 0.5 <= value <= 0.999 else None

    found = state.understood(PRECISION, parse, "a number from 0.5 to 0.999", f"{LIKELY:g}")
    return LIKELY if found is None else found


def _design_here(choice: Choice) -> Design | None:
    """Return the label sample of the current settings; None if there is none.

    Raises
    ------
    LabelsError
        If the label file cannot be read.
    """
    return label_data.design_of(label_data.path_of(choice), choice)


def _of_precision(choice: Choice, design: Design | None) -> Answer:
    """Propose a threshold by precision from labels; None without labels for these settings."""
    if design is None or choice.whole != choice.source:
        return None
    path, wanted = label_data.path_of(choice), _wanted_precision()
    key = label_data.key_of(path, design, choice), wanted

    def make() -> Proposal:
        return propose(label_data.labelled_of(path, design, choice).sample, wanted)

    if key in _PRECISE:
        return _with_yields(_PRECISE.get(key, make), choice)
    return Waiting("Reading the labels", ("precision", *key), lambda _: _PRECISE.get(key, make),
                   lambda: key in _PRECISE)  # fmt: skip


def _with_yields(found: Proposal, choice: Choice) -> Proposal:
    """Add the yields at the proposed threshold, unless the source is a sample."""
    if found.threshold is None or choice.source.sample is not None:
        return found
    curves = data.curves_of(choice.source, choice.config)
    step = curves.step(found.threshold)
    return found.leaving(steps_of_curves(curves, choice.config.single_image_keep).at(step))


def _of_all(choice: Choice) -> Combined | None:
    """Propose a threshold that meets all targets at once; None with fewer than two.

    Passes and single-image sequences are limited here only, so one of them is enough.

    Raises
    ------
    Mmc4vizError
        For a target that says nothing, or labels that cannot be read.
    """
    steps, curves = _steps(choice), data.curves_of(choice.source, choice.config)
    keep = choice.config.single_image_keep
    grid = np.searchsorted(curves.thresholds, choice.scale.thresholds())
    assumption = _assumption(choice)
    yields, limits = of_yields(steps, _targets(), assumption), list[Condition]()
    if text := state.get(_PASSES).strip():
        most = number(text, -1.0)
        if most <= 0:
            raise ConfigError(f"{text!r} is not a number of passes: enter, for example, 4")
        limits.append(of_passes(budget.passes(choice, curves), most).at(grid))
    if text := state.get(_SINGLE).strip():
        limits.append(of_single_image(curves, keep, share(text), assumption).at(grid))
    fdr = _fdr_at_once(choice, steps)
    rates = [*(fdr or ()), *_precision_at_once(choice, steps)]
    several = bool(limits) or bool(yields) + len(rates) > 1
    return combine(steps, [*yields, *limits, *rates]) if several and fdr is not None else None


def _fdr_at_once(choice: Choice, steps: Steps) -> list[Condition] | None:
    """Return the condition of the target FDR; None until it has been estimated."""
    text = state.get(_FDR).strip()
    if not text:
        return []
    if choice.source.sample is not None:
        return None
    side = model_data.side(choice.config.clip_model, choice.source, choice.config)
    if not model_data.has_fdr(side):
        return None
    return [of_fdr(model_data.fdr_of(side), steps.threshold, share(text))]


def _precision_at_once(choice: Choice, steps: Steps) -> list[Condition]:
    """Return the condition of the target precision, if it is to be met as well."""
    design = None if state.get(_PRECISE_TOO) != "yes" else _design_here(choice)
    if design is None or choice.whole != choice.source:
        return []
    path, wanted = label_data.path_of(choice), _wanted_precision()
    key = label_data.key_of(path, design, choice), wanted, choice.scale
    return [
        _CONDITIONS.get(
            key,
            lambda: of_precision(
                label_data.labelled_of(path, design, choice).sample, steps.threshold, wanted
            ),
        )
    ]


def available(choice: Choice) -> list[Proposal]:
    """Return the available proposals that have a threshold."""
    if not choice.config.has_threshold:
        return []
    found: list[Proposal] = []
    by_precision = lambda one: _of_precision(one, _design_here(one))  # noqa: E731
    for ask in (_of_yield, _of_fdr, by_precision, _of_all):
        try:
            answer = ask(choice)
        except Mmc4vizError:
            continue  # the page Threshold shows the error
        if isinstance(answer, Proposal) and answer.threshold is not None:
            found.append(answer)
    return found


def from_labels(choice: Choice) -> Proposal:
    """Propose a threshold from labels now; raises a Mmc4vizError without labels."""
    path, design = label_data.path_of(choice), _design_here(choice)
    if design is None:
        raise ConfigError(f"no pairs labeled for {choice.config.clip_model} with these settings")
    found = propose(label_data.labelled_of(path, design, choice).sample, _wanted_precision())
    return _with_yields(found, choice)


_HELP: Final = "Percent of {} (50%), or count. All targets are met simultaneously."
_LONGEST: Final = 30  # characters of a target
_WAIT: Final = "Available once all documents are matched."
_SAMPLED: Final = (
    "Not available for a sample, which consists of whole shards: the CI would be too narrow. Set "
    "the sample size in the sidebar to 0."
)


def show_suggestions(choice: Choice) -> None:
    """Draw the section."""
    if not choice.config.has_threshold:
        return
    known = (*_KEEP.values(), _FDR, _PASSES, _SINGLE, _PRECISE_TOO)
    state.known_only("p.", [name.removeprefix("p.") for name in known], "a target")
    st.header("Suggested thresholds", anchor=False)
    with st.container(key="proposals"):
        waiting = [
            found
            for found in (_yield(choice), _fdr(choice), _precision(choice))
            if isinstance(found, Waiting)
        ]
        _all_at_once(choice)
    if waiting:
        _wait(waiting)


def _field(label: str, name: str, placeholder: str, words: str, width: int = 130) -> None:
    """Draw a text field whose value is kept in the address."""
    key = f"target-{name}"
    state.seed(key, state.get(name)[:_LONGEST])

    def keep() -> None:
        state.put(name, st.session_state[key].strip() or None)

    st.text_input(
        label, key=key, placeholder=placeholder, help=words, width=width, max_chars=_LONGEST,
        on_change=keep,
    )  # fmt: skip


def _yield(choice: Choice) -> Answer:
    """Ask for yield targets, and show the proposal."""
    place = row("targets-yield")
    with place:
        for name, short in _KEEP.items():
            example = "50%" if name == "documents" else ""
            words, help_ = name.replace("_", " "), _HELP.format(SHARE_OF[name])
            if name == YIELDS[0]:
                _field(f"Keep at least: {words}", short, example, help_, 200)
            else:
                _field(words.capitalize(), short, example, help_)
    try:
        found = _of_yield(choice)
    except ConfigError as error:
        note(str(error))
        return None
    if isinstance(found, Proposal):
        show_proposal(found, choice, _yields_in_words(found, choice), place)
    return found


def _yields_in_words(found: Proposal, choice: Choice) -> str:
    """Return the yields of a proposal and its targets in words."""
    if found.threshold is None:
        return ""
    needed = _needed_amounts(choice)
    whole = _steps(choice).whole
    parts = [
        f"{found.kept[name]:,.10g} {name.replace('_', ' ')}, "
        f"{found.kept[name] / (whole[name] or 1):.1%} of {SHARE_OF[name]} "
        f"(target {float(amount):,.10g})"
        for name, amount in needed.items()
    ]
    exact = "" if choice.source.sample is not None else " Exact."
    return f"Highest threshold that meets the target: keeps {', '.join(parts)}.{exact}"


def _fdr(choice: Choice) -> Answer:
    """Ask for a maximum FDR, and show the label-free proposal."""
    with st.expander("Without labels", expanded=bool(state.get(_FDR))):
        note(FDR_CAVEAT)
        return _without_labels(choice)


def _without_labels(choice: Choice) -> Answer:
    place = row("targets-fdr")
    with place:
        _field("Max false-discovery rate (no labels needed)", _FDR, "10%",
           "The maximum share of incorrect pairs, such as 10%. Estimated in the background from "
           "at most 10,000 documents.", 330)  # fmt: skip
    try:
        found = _of_fdr(choice)
    except ConfigError as error:
        note(str(error))
        return None
    if found is None and state.get(_FDR):
        note(_SAMPLED if choice.whole == choice.source else _WAIT)
    if isinstance(found, Proposal):
        show_proposal(found, choice, _rate(found), place)
    return found


def _precision(choice: Choice) -> Answer:
    """Ask for a minimum precision, and show the proposal from labels."""
    try:
        design = _design_here(choice)
        found = _of_precision(choice, design)
    except Mmc4vizError as error:
        note(f"No suggestion from labels: {error}")
        return None
    place = row("targets-precision")
    if choice.source.sample is not None:
        note(
            "Min precision (from labels): not available for a sample."
            if choice.whole == choice.source
            else _WAIT
        )
    elif design is None:
        note("No labels yet for this model with these settings.")
        with place:
            st.page_link(state.pages()["Label"], label="Start labeling")
    elif found is None:
        note(_WAIT)
    else:
        with place:
            _ask_precision()
    if isinstance(found, Proposal):
        show_proposal(found, choice, promise(found), place)
    return found


def _ask_precision() -> None:
    """Ask for the target precision, which is shared with the page Label."""

    def keep() -> None:
        try:
            value = share(st.session_state["target-precision"])
        except ConfigError:
            value = LIKELY
        state.put(PRECISION, None if value == LIKELY else f"{value:g}")
        state.begin_anew()

    state.seed("target-precision", f"{100 * _wanted_precision():g}%")
    st.text_input(
        "Min precision (from labels)",
        key="target-precision",
        width=330,
        on_change=keep,
        max_chars=_LONGEST,
        help="The minimum share of correct pairs, from 50% to 99.9%.",
    )


def _all_at_once(choice: Choice) -> None:
    """Ask for limits that have no suggestion of their own; show what meets all targets at once."""
    place = row("targets-all")
    with place:
        words = f"How often each kept document is seen in {budget.in_words()}, at most. The "
        words += "budget and the size of the corpus are those of the picture Passes."
        _field("All at once: max passes", _PASSES, "4", words, 200)
        _field("Max single-image", _SINGLE, "40%", "Share of single-image sequences among kept "
               "ones, after the single-image rule.", 170)  # fmt: skip
        if _has_labels(choice):
            fields.yes_or_no("With min precision", "target-precise", _PRECISE_TOO, default=False)
    try:
        found = _of_all(choice)
    except Mmc4vizError as error:
        note(str(error))
        return
    if found is None:
        note("Targets of several kinds, and these two, are also met all at once.")
        return
    reached = "; ".join(f"{one.words} ({one.target})" for one in found.targets)
    show_proposal(found, choice, f"{found.in_words()} Reached: {reached}.", place)


def _has_labels(choice: Choice) -> bool:
    try:
        return choice.whole == choice.source and _design_here(choice) is not None
    except Mmc4vizError:
        return False  # the suggestion from labels says so


def _wait(waiting: Sequence[Waiting]) -> None:
    """Show what is being computed, and redraw the page when it is done."""
    turns = itertools.count()

    @st.fragment(run_every=0.5)
    def wait() -> None:
        first = next(turns) == 0
        for one in waiting:
            if first and not cache.is_known(one.key):
                note(f"{one.words}…")  # starts after the page is drawn
                continue
            job = cache.ask(one.key, one.work)
            if job.error is not None:
                note(str(job.error), "error")
            elif job.running:
                note(f"{one.words}…")
            elif one.ready():
                cache.forget(one.key)
                st.rerun()
            else:
                note(f"{one.words}: no result. Reload the page to try again.", "error")

    wait()
