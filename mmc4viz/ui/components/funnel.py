"""The document and image funnels as Sankey diagrams; every reason links to its documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from mmc4viz.charts import COLOURS
from mmc4viz.export import sankey
from mmc4viz.export.sankey import Flow
from mmc4viz.sweep.statistics import Curves, Loss, document_funnel, image_funnel
from mmc4viz.types import ImageStatus, Outcome, PairStatus
from mmc4viz.ui import state
from mmc4viz.ui.html import asset
from mmc4viz.ui.sidebar import Choice

_KEY: Final = "funnels"
# Color classes of reasons; the default is "rejected".
_MEANING: Final = {
    "undecodable": "unreadable",
    "lost_with_document": "unreadable",
    "unreadable": "unreadable",
    "truncated": "truncated",
}
# The filter of the page Documents for each reason for dropping images.
_HAVING: Final = {
    str(status): f"image_{status}" for status in ImageStatus if status is not ImageStatus.MATCHED
} | {str(status): f"pair_{status}" for status in PairStatus if status is not PairStatus.KEPT}
_LABELS: Final = {
    "single_image_drop": "single-image drop",
    "over_cap": "dropped at the cap",
    "lost_with_document": "dropped with document",
    "document_rejected": "document dropped",
}


_MOUNT: Final = st.components.v2.component(
    "mmc4viz.funnel",
    html='<div class="room"><div class="funnels"></div></div>',
    css=asset("funnel.css"),
    js=asset("dom.js", "funnel.js"),
)


def show(curves: Curves, choice: Choice) -> None:
    """Draw both funnels at the current threshold; clicking a reason opens its documents."""
    asked = _MOUNT(
        key=_KEY,
        data={"funnels": [_funnel(*one) for one in _funnels(curves, choice)]},
        on_open_change=lambda: None,
    ).open
    if isinstance(asked, str):
        _open(asked, choice.config.min_images)


def svg(curves: Curves, choice: Choice) -> bytes:
    """Return both funnels as an SVG file."""
    diagrams = [
        (title, f"{whole}: {_whole(losses, exact)}", _flows(losses, exact))
        for _, title, whole, losses, exact in _funnels(curves, choice)
    ]
    return sankey.svg(diagrams, f"Drop reasons at threshold {choice.config.threshold:g}")


def _funnels(curves: Curves, choice: Choice) -> list[tuple[str, str, str, list[Loss], bool]]:
    exact = curves.counts.dtype.kind == "i"
    step, keep = curves.step(choice.config.threshold), choice.config.single_image_keep
    documents, images = document_funnel(curves, step, keep), image_funnel(curves, step, keep)
    return [
        ("document", "Document funnel", "all documents", documents, exact),
        ("image", "Image funnel", "all images", images, exact),
    ]


def _whole(losses: Sequence[Loss], exact: bool) -> str:
    whole = losses[0].remaining + losses[0].lost
    return _count(whole if exact else round(whole))


def label_of(loss: Loss) -> str:
    """Return a reason for dropping in words."""
    return _LABELS.get(loss.name, loss.name.replace("_", " "))


def _flows(losses: Sequence[Loss], exact: bool) -> list[Flow]:
    """Return the rows of a diagram: every reason, then what is kept."""
    whole, kept = losses[0].remaining + losses[0].lost, losses[-1].remaining
    if not exact:  # estimates have no decimals
        whole, kept = round(whole), round(kept)
    rows = [
        (label_of(x), x.lost if exact else round(x.lost), COLOURS[_MEANING.get(x.name, "rejected")])
        for x in losses
    ]
    return [
        Flow(label, number, colour, (_count(number), _share(number, whole)))
        for label, number, colour in (*rows, ("kept", kept, COLOURS["kept"]))
    ]


def _count(number: float) -> str:
    """Write a number of documents or images, as the diagram on the page does.

    Examples
    --------
    >>> _count(1234.0), _count(1234.5), _count(2e7)
    ('1,234', '1,234.5', '20.00M')
    """
    if number >= 1e7:
        return f"{number / 1e6:,.2f}M"
    return f"{number:,.0f}" if abs(number - round(number)) < 0.05 else f"{number:,.1f}"


def _share(number: float, whole: float) -> str:
    return f"{number / whole:.1%}" if whole else "0.0%"


def _funnel(of: str, title: str, whole: str, losses: Sequence[Loss], exact: bool) -> dict[str, Any]:
    """Return the data of one funnel."""
    flows = _flows(losses, exact)
    found = sankey.ribbons([flow.number for flow in flows])
    start, high = sankey.trunk(len(flows))
    names = [*((loss.name, loss.meaning) for loss in losses), ("", "")]
    return {
        "of": of,
        "title": title,
        "whole": {"label": whole, "number": _whole(losses, exact)},
        "height": sankey.height_of(len(flows)),
        "width": sankey.WIDTH,
        "trunk": [start, high],
        "lines": [
            {
                "name": name,
                "meaning": meaning,
                "label": flow.label,
                "words": flow.words,
                "lost": bool(name),
                "none": not flow.number > 0,
                "colour": flow.colour,
                "height": one.height,
                "path": one.path,
            }
            for (name, meaning), flow, one in zip(names, flows, found, strict=True)
        ],
    }


def _open(asked: str, min_images: int) -> None:
    """Open the page Documents with the filter of a reason for dropping."""
    of, _, name = asked.partition("/")
    if name == "single_image_drop":
        state.put_filters(outcome="kept_single_image")
    elif of == "image" and name in _HAVING:
        state.put_filters(has=_HAVING[name])
    elif of == "image" and name == "document_rejected":
        state.put_filters(outcome="too_few_images" if min_images > 1 else "single_image_at_end")
    elif of == "document" and name in list(Outcome):
        state.put_filters(outcome=name)
    else:
        return
    state.go_to_list()
