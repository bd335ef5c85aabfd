"""The threshold control: headline numbers, score histogram and yield curves.

The message to the browser contains all curves and nothing that a drag changes, so dragging is
handled by the control's JavaScript, and Streamlit need not resend the message.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from mmc4viz.charts import COLOURS, TEXT_COLOURS
from mmc4viz.data.scale import Scale
from mmc4viz.reference_thresholds import references_for
from mmc4viz.sweep.estimate import Estimate
from mmc4viz.sweep.shape import by_images, median_images
from mmc4viz.sweep.statistics import Curves
from mmc4viz.thresholds.by_yield import SHARE_OF
from mmc4viz.thresholds.proposal import Basis, Proposal
from mmc4viz.types import LoaderConfig
from mmc4viz.ui import proposals as chosen
from mmc4viz.ui import state
from mmc4viz.ui.html import asset
from mmc4viz.ui.sidebar import Choice

_BASES: Final = {
    Basis.YIELD: "by yield",
    Basis.FDR: "by label-free FDR",
    Basis.DECOYS: "by FDR from decoys",
    Basis.PRECISION: "by label precision",
    Basis.COMBINED: "by all targets at once",
}


def references(model: str, scale: Scale) -> list[dict[str, Any]]:
    """Return published thresholds for a CLIP model; empty unless the scale is cosine."""
    if scale.name != "cosine":
        return []
    return [
        {
            "at": _step(reference.value, scale),
            "label": f"{reference.value:.2f}",
            "name": reference.name,
            "source": f"{reference.source} ({reference.model})",
        }
        for reference in references_for(model)
    ]


def proposals(proposed: Sequence[Proposal], scale: Scale) -> list[dict[str, Any]]:
    """Return suggested thresholds with their targets and assumptions."""
    return [
        {
            "at": _step(one.threshold, scale),
            "label": f"{one.threshold:.{scale.digits}f}",
            "name": "all targets" if one.basis == Basis.COMBINED else one.target,
            "source": f"Suggested {_BASES[one.basis]}: {one.target}. {one.assumption}",
            "basis": str(one.basis),
        }
        for one in proposed
        if one.threshold is not None
    ]


def _step(value: float, scale: Scale) -> int:
    return round(value / scale.step) - round(scale.start / scale.step)


@dataclass(frozen=True)
class _Headline:
    """The headline numbers at one threshold.

    Attributes
    ----------
    documents, image_tokens, text_tokens : float
        Expected values, given the single-image keep probability.
    share : float
        Share of all documents, readable or not.
    pairs : float
        Matched pairs at or above the threshold.
    images_mean, images_median : float
        Images per sequence; 0 where nothing is kept.
    single_image : float
        Share of sequences with one image, after the single-image drop.
    mispaired : float
        Share of the image tokens that are mispaired.
    """

    documents: float
    share: float
    pairs: float
    image_tokens: float
    text_tokens: float
    images_mean: float
    images_median: float
    single_image: float
    mispaired: float


@dataclass(frozen=True)
class Baseline:
    """Settings to compare with.

    Attributes
    ----------
    label : str
    curves : Curves
    threshold : float
    config : LoaderConfig
        The settings; its threshold may lie between the steps of the curves.
    """

    label: str
    curves: Curves
    threshold: float
    config: LoaderConfig

    @property
    def keep(self) -> float:
        """The single-image keep probability."""
        return self.config.single_image_keep


def headline(curves: Curves, threshold: float, keep: float) -> _Headline:
    """Return the headline numbers at a threshold."""
    step = curves.step(threshold)
    documents, tokens, text_tokens, mispaired = (
        float(curves.expected(name, keep)[step])
        for name in ("documents", "image_tokens", "text_tokens", "mispaired")
    )
    whole = float(curves.total("documents")[step])
    return _Headline(
        documents=documents,
        share=documents / whole if whole else 0.0,
        pairs=float(curves.total("pairs")[step]),
        image_tokens=tokens,
        text_tokens=text_tokens,
        images_mean=tokens / documents if documents else 0.0,
        images_median=float(np.nan_to_num(median_images(curves, keep)[step])),
        single_image=float(by_images(curves, keep)[1, step]) / documents if documents else 0.0,
        mispaired=mispaired / tokens if tokens else 0.0,
    )


_KEY: Final = "control"
YIELDS: Final = ("documents", "pairs", "image_tokens", "text_tokens", "mispaired")
_LABELS: Final = {
    "documents": ("Documents", 1),
    "pairs": ("Pairs", 0),
    "image_tokens": ("Image tokens", 1),
    "text_tokens": ("Text tokens", 0),
    "mispaired": ("Mispaired tokens", 1),
}
_OF: Final = SHARE_OF | {"mispaired": "image tokens kept"}


@dataclass(frozen=True)
class HeadlineNumber:
    """A number above the control, looked up in the browser while the threshold moves.

    Attributes
    ----------
    name, label : str
    digits : int or None
        None for a share.
    meaning : str
        Shown on hover.
    counted : str
        The array that it is read from.
    per : str, float or None
        The array or the constant that it is divided by.
    note : str
        An array whose value is added as the median.
    """

    name: str
    label: str
    digits: int | None
    meaning: str
    counted: str
    per: str | float | None = None
    note: str = ""

    def header(self) -> dict[str, Any]:
        """Return it as the browser takes it."""
        return {
            "name": self.name,
            "label": self.label,
            "digits": self.digits,
            "share": self.digits is None,
            "meaning": self.meaning,
            "yield": self.counted,
            "per": self.per,
            "note": self.note,
        }


def _numbers(whole: float) -> tuple[HeadlineNumber, ...]:
    """Return the headline numbers of a corpus of so many documents."""
    return (
        HeadlineNumber(
            "documents",
            "Documents kept (expected)",
            1,
            "Expected number of kept documents, given the single-image keep probability.",
            "documents",
        ),
        HeadlineNumber(
            "share",
            "% of all documents",
            None,
            "Kept documents as a share of all that were read, with or without an image.",
            "documents",
            whole,
        ),
        HeadlineNumber(
            "image_tokens",
            "Image tokens (expected)",
            1,
            "Expected number in kept sequences.",
            "image_tokens",
        ),
        HeadlineNumber(
            "images_mean",
            "Images per sequence",
            2,
            "Mean and median number of image tokens in a kept sequence, after the single-image "
            "drop.",
            "image_tokens",
            "documents",
            "images_median",
        ),
        HeadlineNumber(
            "single_image",
            "Single-image sequences",
            None,
            "Share of kept sequences with one image token, after the single-image drop.",
            "alone",
            "documents",
        ),
        HeadlineNumber(
            "mispaired",
            "Mispaired",
            None,
            "Share of image tokens whose sentence is trained with another sentence's image.",
            "mispaired",
            "image_tokens",
        ),
    )


_WORDS: Final = {
    "title": "Score distribution of matched pairs",
    "threshold": "Threshold",
    "across": "CLIP score",
    "yields": "What is kept at each threshold",
    "linear": "Linear",
    "log": "Log",
    "share": "%",
    "absolute": "Count",
    "kept": "pairs kept",
    "rejected": "pairs dropped",
    "marks": "Published:",
    "proposals": "Suggested:",
    "baseline": "baseline",
    "median": "median",
    "counted": "documents",
    "zoom": ["Zoom out", "Zoom in around the threshold", "Show all"],
}
_PARTS: Final = (
    "dom.js",
    "control_model.js",
    "control_draw.js",
    "control_move.js",
    "control_hover.js",
    "control.js",
)


_MOUNT: Final = st.components.v2.component(
    "mmc4viz.control",
    html='<div class="control"></div>',
    css=asset("control.css"),
    js=asset(*_PARTS),
)


@dataclass(frozen=True)
class Steered:
    """The threshold that a control moves.

    Attributes
    ----------
    threshold : float
    scale : Scale
    span : (float, float)
        The range of thresholds to show.
    keep : callable
        Stores another threshold for the next run.
    use : callable
        Takes a suggestion whose mark was pressed.
    """

    threshold: float
    scale: Scale
    span: tuple[float, float]
    keep: Callable[[float], object]
    use: Callable[[Proposal], object] = lambda _: None


def show(
    choice: Choice,
    curves: Curves,
    counts: NDArray[np.float64],
    compared: Baseline,
    estimated: Estimate | None,
    proposed: Sequence[Proposal] = (),
) -> None:
    """Draw the control of a corpus of documents.

    Parameters
    ----------
    choice : Choice
    curves : Curves
        Of the current settings.
    counts : ndarray of float64, shape (steps of the grid,)
        Pairs in each step of the grid.
    compared : Baseline
        The settings that differences refer to.
    estimated : Estimate or None
        Given if the curves are estimates from a sample.
    proposed : sequence of Proposal
        Suggestions to mark, at most one per basis.
    """
    header = _header(choice, curves, compared) | {"estimated": estimated is not None}
    steered = Steered(
        choice.config.threshold, choice.scale, choice.span, choice.keep,
        lambda one: chosen.use(one, choice),
    )  # fmt: skip
    draw(steered, header, _arrays(curves, counts, choice, estimated), proposed)


def draw(
    steered: Steered,
    header: dict[str, Any],
    arrays: dict[str, NDArray[np.float64]],
    proposed: Sequence[Proposal] = (),
) -> None:
    """Draw a control; callbacks store what the user does with it.

    Parameters
    ----------
    steered : Steered
    header : dict
        What is drawn besides the curves: ``numbers``, ``yields``, ``wholes``, ``all_pairs``,
        ``marks``, ``compared``, ``words``, ``estimated``.
    arrays : dict of str to ndarray of float64, shape (steps of the grid,)
        With ``pairs`` kept and the ``counts`` in each step.
    proposed : sequence of Proposal
        Suggestions to mark, at most one per basis.
    """
    scale = steered.scale
    first = round(scale.start / scale.step)
    values = np.concatenate(list(arrays.values())).astype("<f8").tobytes()
    header = header | {
        "first": first,
        "step": scale.step,
        "digits": scale.digits,
        "steps": len(scale.thresholds()),
        "span": [round(end / scale.step) - first for end in steered.span],
        "set": _set(steered.threshold),
        "view": _view(),
        "colours": {k: COLOURS[k] for k in ("kept", "rejected", "mispaired")}
        | {f"{side}_text": colour for side, colour in TEXT_COLOURS.items()},
        "words": _WORDS | header.get("words", {}),
        "arrays": list(arrays),
        "hash": hashlib.blake2b(values, digest_size=12).hexdigest(),
        "proposals": proposals(proposed, scale),
    }
    # From here on this page is shown, even if the run is cut short by the next one.
    st.session_state["page"] = "Threshold"
    text = json.dumps(header, separators=(",", ":")).encode()
    asked = _MOUNT(
        key=_KEY,
        data=struct.pack("<I", len(text)) + text + values,
        on_threshold_change=lambda: _threshold_changed(steered),
        on_view_change=_view_changed,
        on_proposed_change=lambda: _proposal_clicked(proposed, steered),
        on_bar_change=lambda: None,
    ).bar
    if (found := score_range(asked)) is not None:
        state.go_to_pairs(*found)


def score_range(asked: object) -> tuple[str | None, str | None] | None:
    """Return the ends of a bar's scores as the browser sent them, None at an open end.

    Examples
    --------
    >>> score_range(["0.21", "0.22"]), score_range([None, "0.1"]), score_range(["0.2", "<b>"])
    (('0.21', '0.22'), (None, '0.1'), None)
    """
    if not isinstance(asked, list) or len(asked) != 2:
        return None
    low, high = (None if end is None else state.number(str(end)[:20], math.nan) for end in asked)
    if any(end is not None and math.isnan(end) for end in (low, high)):
        return None
    return None if low is None else f"{low:.12g}", None if high is None else f"{high:.12g}"


def _arrays(
    curves: Curves, counts: NDArray[np.float64], choice: Choice, estimated: Estimate | None
) -> dict[str, NDArray[np.float64]]:
    """Return every curve at the steps of the grid, in double precision."""
    keep = choice.config.single_image_keep
    on_grid = np.searchsorted(curves.thresholds, choice.scale.thresholds())
    found = {name: curves.expected(name, keep)[on_grid] for name in YIELDS}
    found["pairs"] = curves.total("pairs")[on_grid].astype(np.float64)
    found["counts"] = counts
    found["alone"] = by_images(curves, keep)[1][on_grid]
    found["images_median"] = np.nan_to_num(median_images(curves, keep)[on_grid])
    if estimated is not None:
        for name in YIELDS:
            mispaired = name == "mispaired"
            band = (
                estimated.ratio(name, "image_tokens", keep)
                if mispaired
                else estimated.band(name, keep)
            )
            found[f"{name}_low"], found[f"{name}_high"] = band.low[on_grid], band.high[on_grid]
        shapes = {
            "images_mean": estimated.ratio("image_tokens", "documents", keep),
            "single_image": estimated.single_images(keep),
        }
        for name, band in shapes.items():
            found[f"{name}_low"], found[f"{name}_high"] = band.low[on_grid], band.high[on_grid]
    return found


def _header(choice: Choice, curves: Curves, compared: Baseline) -> dict[str, Any]:
    """Return what is drawn of a corpus of documents besides the curves."""
    scale, keep = choice.scale, choice.config.single_image_keep
    wholes = {name: float(curves.expected(name, keep).max(initial=0)) for name in YIELDS}
    whole = float(curves.total("documents").max(initial=0))
    pairs = float((curves.total("pairs") + curves.total("rejected_pairs")).max(initial=0))
    numbers = _numbers(whole)
    return {
        "wholes": wholes | {"documents": whole, "pairs": pairs},
        "all_pairs": pairs,
        "numbers": [one.header() for one in numbers],
        "yields": [
            {
                "name": n,
                "label": _LABELS[n][0],
                "digits": _LABELS[n][1],
                "of": f"of {_OF[n]}",
                "per": "image_tokens" if n == "mispaired" else None,
            }
            for n in YIELDS
        ],
        "marks": references(choice.config.clip_model, scale),
        "compared": _compared(compared, scale, [one.name for one in numbers]),
    }


def _compared(compared: Baseline, scale: Scale, names: Sequence[str]) -> dict[str, Any]:
    first = round(scale.start / scale.step)
    inside = scale.start <= compared.threshold <= scale.stop
    there = headline(compared.curves, compared.threshold, compared.keep)
    return {
        "label": compared.label,
        "at": compared.threshold / scale.step - first if inside else None,
        "numbers": {name: getattr(there, name) for name in names},
    }


def _set(value: float) -> dict[str, Any]:
    """Return the last threshold set by the server, with a serial number.

    A value reported by the control itself does not count, so that its message stays the same.
    """
    last = st.session_state.setdefault("control-set", {"value": value, "serial": 0})
    elsewhere = st.session_state.get("page") != "Threshold"
    if elsewhere or st.session_state.get("control-reported", last["value"]) != value:
        last = {"value": value, "serial": last["serial"] + 1}
        st.session_state["control-set"] = last
    st.session_state["control-reported"] = value
    return dict(last)


def _threshold_changed(steered: Steered) -> None:
    value = state.asked(_KEY, "threshold")
    if isinstance(value, int | float) and math.isfinite(value):
        nearest = state.on_grid(float(value), steered.scale)
        st.session_state["control-reported"] = nearest
        steered.keep(nearest)


def _proposal_clicked(proposed: Sequence[Proposal], steered: Steered) -> None:
    """Apply a proposal whose mark was clicked."""
    basis = state.asked(_KEY, "proposed")
    for one in proposed:
        if one.threshold is not None and str(one.basis) == basis:
            nearest = state.on_grid(one.threshold, steered.scale)
            st.session_state["control-reported"] = nearest
            steered.use(one)


def _view_changed() -> None:
    value = state.asked(_KEY, "view")
    if isinstance(value, str) and len(value) < 200:
        view = _checked(value)
        state.put("view", None if view == _checked("") else json.dumps(view, separators=(",", ":")))


def _view() -> dict[str, Any]:
    """Return the control's initial view, from the address; later changes are its own."""
    if st.session_state.get("page") != "Threshold" or "control-view" not in st.session_state:
        found = state.understood("view", _parsed, "a view of these charts", "the usual one")
        st.session_state["control-view"] = found or _checked("")
    view: dict[str, Any] = st.session_state["control-view"]
    return view


def _parsed(text: str) -> dict[str, Any] | None:
    """Parse a view; None unless all of it is valid."""
    view = _checked(text)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return view if isinstance(found, dict) and found.items() <= view.items() else None


class _Spanned(Protocol):
    @property
    def scale(self) -> Scale: ...
    @property
    def span(self) -> tuple[float, float]: ...


def shown(choice: _Spanned) -> tuple[float, float]:
    """Return the range of thresholds that the control shows; pictures below it share its axis."""
    view, scale = _checked(state.get("view")), choice.scale
    grid = scale.thresholds()
    low, high = view.get("from"), view.get("to")
    if low is None or high is None or high - low < _LEAST:
        return choice.span
    return float(grid[min(low, len(grid) - 2)]), float(grid[min(high, len(grid) - 1)])


_LEAST: Final = 10  # steps in view, as in control.js


def _checked(text: str) -> dict[str, Any]:
    """Parse a view, ignoring invalid values.

    Examples
    --------
    >>> _checked("{"), _checked('{"log":true,"from":"<b>"}')
    ({'form': 'share', 'log': False}, {'form': 'share', 'log': True})
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = {}
    found = found if isinstance(found, dict) else {}
    form = "absolute" if found.get("form") == "absolute" else "share"
    view: dict[str, Any] = {"form": form, "log": found.get("log") is True}
    low, high = found.get("from"), found.get("to")
    if type(low) is int and type(high) is int and 0 <= low < high < 5000:
        view |= {"from": low, "to": high}
    return view
