"""The document and image funnels: every reason for dropping, with a link to its documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from mmc4viz.charts import COLOURS
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
    "single_image_at_end": "only image token is last",
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
    exact = curves.counts.dtype.kind == "i"
    step, keep = curves.step(choice.config.threshold), choice.config.single_image_keep
    documents, images = document_funnel(curves, step, keep), image_funnel(curves, step, keep)
    asked = _MOUNT(
        key=_KEY,
        data={
            "funnels": [
                _funnel("document", "Document funnel", "all documents", documents, exact),
                _funnel("image", "Image funnel", "all images", images, exact),
            ],
        },
        on_open_change=lambda: None,
    ).open
    if isinstance(asked, str):
        _open(asked, choice.config.min_images)


def _funnel(of: str, title: str, whole: str, losses: Sequence[Loss], exact: bool) -> dict[str, Any]:
    """Return the data of one funnel; estimates have no decimals."""
    written = float if exact else round

    total, left = losses[0].remaining + losses[0].lost, losses[-1].remaining
    ends = {"lost": False, "colour": COLOURS["kept"], "meaning": "", "name": "", "start": 0.0}
    lines = [
        {
            "name": loss.name,
            "label": _LABELS.get(loss.name, loss.name.replace("_", " ")),
            "meaning": loss.meaning,
            "number": written(loss.lost),
            "start": loss.remaining,
            "lost": True,
            "colour": COLOURS[_MEANING.get(loss.name, "rejected")],
        }
        for loss in losses
    ]
    first = ends | {"label": whole, "number": written(total)}
    last = ends | {"label": "kept", "number": written(left)}
    return {"of": of, "title": title, "whole": total, "lines": [first, *lines, last]}


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
