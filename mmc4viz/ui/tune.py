"""The page Tune: one threshold, everything it costs. Draws; the numbers are the core's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from mmc4viz import plots
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.curves import Curves
from mmc4viz.corpus.funnel import document_funnel, image_funnel
from mmc4viz.ui import data, document, record, table
from mmc4viz.ui.inert import note
from mmc4viz.ui.sidebar import Choice

_STILL = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}


@dataclass(frozen=True)
class Headline:
    """The large numbers at one threshold.

    Attributes
    ----------
    documents, image_tokens, misbound : float
        In expectation over the coin.
    pairs : int
        Matched pairs at or above the threshold.
    whole : int
        All documents, readable or not.
    """

    documents: float
    pairs: int
    image_tokens: float
    misbound: float
    whole: int

    @property
    def share(self) -> float:
        """Documents of all."""
        return self.documents / self.whole if self.whole else 0.0

    @property
    def misbound_share(self) -> float:
        """Misbound of the image tokens."""
        return self.misbound / self.image_tokens if self.image_tokens else 0.0


def headline(curves: Curves, threshold: float, keep: float) -> Headline:
    """Look the large numbers up at the step of a threshold."""
    step = curves.step(threshold)
    return Headline(
        documents=float(curves.expected("documents", keep)[step]),
        pairs=int(curves.total("pairs")[step]),
        image_tokens=float(curves.expected("image_tokens", keep)[step]),
        misbound=float(curves.expected("misbound", keep)[step]),
        whole=int(curves.total("documents")[step]),
    )


def show(choice: Choice) -> None:
    """Draw the page."""
    config, columns = choice.config, data.columns_of(choice.source)
    matched, curves = (
        data.matched_of(choice.source, config),
        data.curves_of(choice.source, config),
    )
    st.title("Tune the threshold", anchor=False)
    _about(columns)
    if not matched.n_documents:
        note("No document could be read from these shards.", "error")
        return
    _numbers(curves, choice)
    _histogram(choice)
    _yields(curves, choice)
    _funnels(curves, choice)
    st.subheader("All documents", anchor=False)
    place = table.choose_document(matched, config)
    if place is not None:
        opened = record.opened(choice.source, *place)
        document.show(opened, config, data.tokenizer_of(choice.source))


def _about(columns: Sequence[Columns]) -> None:
    """Say what was read, and whatever is wrong with it."""
    shards, documents = len(columns), sum(len(part) for part in columns)
    st.text(f"{_many(documents, 'document')} in {_many(shards, 'shard')}")
    broken = [part.error for part in columns if part.error is not None]
    for error in broken[:5]:
        note(error, "error")
    if len(broken) > 5:
        note(f"{len(broken) - 5:,} more shards are broken", "error")
    unknown = sum(part.sizes_unknown for part in columns)
    if unknown:
        note(
            f"{_many(unknown, 'shard')} without images: image sizes are unknown there, and the "
            "size filter is off"
        )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _numbers(curves: Curves, choice: Choice) -> None:
    """Draw the large numbers, each with its change against the reference setting."""
    keep = choice.config.single_image_keep
    now = headline(curves, choice.config.threshold, keep)
    then = headline(curves, data.REFERENCE, keep)
    cells = (
        ("Documents, expected", _large(now.documents), _change(now.documents - then.documents),
         "Documents that reach the model, with the coin's expectation."),
        ("Share of all documents", f"{now.share:.1%}", _points(now.share - then.share),
         f"Of {now.whole:,} documents in the shards, readable or not."),
        ("Pairs", _large(now.pairs, 0), _change(now.pairs - then.pairs, 0),
         "Matched pairs at or above the threshold, before cap and cut."),
        ("Image tokens, expected", _large(now.image_tokens),
         _change(now.image_tokens - then.image_tokens),
         "Image tokens of the sequences that reach the model."),
        ("Misbound image tokens", f"{now.misbound_share:.1%}",
         _points(now.misbound_share - then.misbound_share),
         "Share of the image tokens whose sentence is trained on another sentence's image."),
    )  # fmt: skip
    with st.container(horizontal=True, gap="small", key="numbers"):
        for label, value, change, meaning in cells:
            st.metric(
                label,
                value,
                change,
                delta_color="off",
                delta_arrow="off",
                delta_description=f"vs {data.REFERENCE}",
                help=meaning,
                width=172,
            )


def _large(number: float, digits: int = 1) -> str:
    """Write a number in full, or in millions where that is too long for its place.

    Examples
    --------
    >>> _large(112.5), _large(310, 0), _large(12_345_678.5)
    ('112.5', '310', '12.35 M')
    """
    return f"{number:,.{digits}f}" if number < 1e6 else f"{number / 1e6:,.2f} M"


def _change(difference: float, digits: int = 1) -> str:
    """Write a change with its sign.

    Examples
    --------
    >>> _change(-3.5), _change(1200, 0), _change(0.0)
    ('−3.5', '+1,200', '±0')
    """
    text = _large(abs(difference), digits)
    if not text.strip("0."):
        return "±0"
    return f"{'+' if difference > 0 else '−'}{text}"


def _points(difference: float) -> str:
    return f"{_change(100 * difference)} pp"


def _histogram(choice: Choice) -> None:
    st.subheader("Matched pairs by similarity", anchor=False)
    scores = data.scores_of(choice.source, choice.config)
    figure = plots.score_histogram(scores, choice.config.threshold, choice.span, choice.scale)
    st.plotly_chart(figure, key="histogram", config=_STILL, alt="Histogram of matched scores")


def _yields(curves: Curves, choice: Choice) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.subheader("Yield by threshold", anchor=False, width="content")
        form = st.segmented_control(
            "Yield as",
            ["share", "absolute"],
            default="share",
            required=True,
            key="yield-form",
            label_visibility="collapsed",
            width="content",
        )
    figure = plots.yields(
        curves,
        curves.step(choice.config.threshold),
        choice.config.single_image_keep,
        choice.span,
        share=form != "absolute",
    )
    st.plotly_chart(figure, key="yields", config=_STILL, alt="Yield against the threshold")
    st.caption(
        "Documents: expected, of all. Pairs: at or above the threshold, of all matched pairs. "
        "Image tokens: expected, of the most at any threshold."
    )


def _funnels(curves: Curves, choice: Choice) -> None:
    step = curves.step(choice.config.threshold)
    keep = choice.config.single_image_keep
    left, right = st.container(key="funnels").columns(2, gap="medium")
    with left:
        st.subheader("Where the images go", anchor=False)
        figure = plots.funnel(image_funnel(curves, step, keep), "all images", "reach the model")
        st.plotly_chart(figure, key="images", config=_STILL, alt="Funnel of images")
    with right:
        st.subheader("Where the documents go", anchor=False)
        figure = plots.funnel(
            document_funnel(curves, step, keep), "all documents", "reach the model"
        )
        st.plotly_chart(figure, key="document-funnel", config=_STILL, alt="Funnel of documents")
