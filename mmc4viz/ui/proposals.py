"""Proposals for the present setting: what is wished for, in the address, and the core's answers.

Wishes are texts, as a person types them. What takes long is computed in the background and kept
here for all sessions; nothing is drawn, and nothing but what the core's ways of choosing say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from mmc4viz.choice.by_yield import Wish, by_yield
from mmc4viz.choice.fdr.by_fdr import by_fdr
from mmc4viz.choice.labelling.by_precision import propose
from mmc4viz.choice.labelling.design import Design
from mmc4viz.choice.proposal import Proposal
from mmc4viz.choice.steps import YIELDS, Steps, steps_of_curves
from mmc4viz.model import ConfigError, Mmc4vizError
from mmc4viz.ui import compared, data, label_file, state
from mmc4viz.ui.compared import Side
from mmc4viz.ui.memo import Memo
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.threshold import number

KEEP: Final = {name: f"p.{name}" for name in YIELDS}
FDR: Final = "p.fdr"
PRECISION: Final = "l.precision"
"""Names in the address; the last one is the wish of the page Label, too."""
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


def wishes() -> list[Wish]:
    """Return what is to be left at least; raises a ConfigError where that makes no sense."""
    asked = {name: state.get(short).strip() for name, short in KEEP.items()}
    return [Wish.parse(f"{name}={text}") for name, text in asked.items() if text]


def of_yield(choice: Choice) -> Answer:
    """Propose by what is left, over the steps of the control's grid."""
    wanted = wishes()
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


def needed(choice: Choice) -> dict[str, Fraction]:
    """Return how much of each yield is wished for."""
    whole = _steps(choice).whole
    return {wish.quantity: wish.amount * (Fraction(whole[wish.quantity]) if wish.share else 1)
            for wish in wishes()}  # fmt: skip


def of_fdr(choice: Choice) -> Answer:
    """Propose by the share of wrong pairs, estimated without labels; None also of a sample."""
    text = state.get(FDR).strip()
    if not text:
        return None
    wanted = share(text)
    if choice.source.sample is not None:
        return None
    side = compared.side(choice.config.clip_model, choice.source, choice.config)
    if compared.has_fdr(side):
        return _with_left(by_fdr(compared.fdr_of(side), wanted), choice)
    return _to_estimate(side)


def _to_estimate(side: Side) -> Waiting:
    return Waiting(
        "Estimating the share of wrong pairs without labels",
        ("fdr", side),
        lambda _: compared.fdr_of(side),
        lambda: compared.has_fdr(side),
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
    return label_file.design_of(label_file.path_of(choice), choice)


def of_precision(choice: Choice, design: Design | None) -> Answer:
    """Propose by the precision that labels show, where there are labels for this setting."""
    if design is None or choice.whole != choice.source:
        return None
    path, wanted = label_file.path_of(choice), wanted_precision()
    key = label_file.key_of(path, design, choice), wanted

    def make() -> Proposal:
        return propose(label_file.labelled_of(path, design, choice).sample, wanted)

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
            continue  # the page Tune says why, where it draws the wish
        if isinstance(answer, Proposal) and answer.threshold is not None:
            found.append(answer)
    return found


def from_labels(choice: Choice) -> Proposal:
    """Propose from labels at once; raises a Mmc4vizError in words where there are none."""
    path = label_file.path_of(choice)
    design = label_file.design_of(path, choice) if os.path.exists(path) else None
    if design is None:
        raise ConfigError(f"no pair was labelled for {choice.config.clip_model} and this setting")
    found = propose(label_file.labelled_of(path, design, choice).sample, wanted_precision())
    return _with_left(found, choice)
