"""The page Audit: what the loader does unseen, in numbers, with the documents behind each.

The numbers are the core's; each finding links to the list of its documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from mmc4viz import charts
from mmc4viz.loader.images import needs_newer_pillow
from mmc4viz.sweep.audit import EQUAL
from mmc4viz.sweep.pairs import place_of
from mmc4viz.text import escaped
from mmc4viz.ui import data, document_filters, document_view, html, sidebar, state
from mmc4viz.ui.html import note
from mmc4viz.ui.sidebar import Choice

_HEAD: Final = ("finding", "number", "meaning")


@dataclass(frozen=True)
class Finding:
    """One number of the audit.

    Attributes
    ----------
    number, words : str
        The number, and what it counts.
    more : str
        What else is to be said, as plain text.
    filters : dict
        Which documents stand behind it, as the page Documents has it; empty without any.
    """

    number: str
    words: str
    more: str = ""
    filters: tuple[tuple[str, str], ...] = ()


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Audit", anchor=False)
    if not data.matched_of(choice.source, choice.config).n_documents:
        note("No document could be read from these shards: name others in the sidebar.", "error")
        return
    found = data.audit_for(choice.source, choice.config)
    sections = {
        "Threshold and scale": _scale(choice, found),
        "Sentences trained on another sentence's image": _mispaired(found),
        "Image tokens behind the token limit": _truncated(choice, found),
        "The first images, not the best": _capped(choice, found),
        "One bad image loses the document": _undecodable(found),
        "Images just under the size limit": _band(choice, found),
        "Images left over": _surplus(found),
        "Stored scores against the matrix": _stored(choice, found),
    }
    everything = [(f.words, f.number, f.more) for fs in sections.values() for f in fs]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text("What the loader does unseen, under the setting on the left.")
        if choice.source.sample is not None:
            st.text("Counted on the sample, not on the whole corpus.")
        html.offer("audit", _HEAD, lambda: everything)
    for number, (title, findings) in enumerate(sections.items()):
        st.subheader(title, anchor=False)
        for place, finding in enumerate(findings):
            _draw(choice, finding, f"{number}-{place}")
        if title.startswith("The first") and found.capped.displaced:
            _displaced(choice, found)


def _draw(choice: Choice, finding: Finding, key: str) -> None:
    """Draw one number, and the ways to its documents."""
    more = f'<p class="mmc-note">{escaped(finding.more)}</p>' if finding.more else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(
            '<div class="mmc-doc mmc-finding"><div class="mmc-large mmc-num">'
            f"{escaped(finding.number)}</div><div><p>{escaped(finding.words)}</p>{more}</div></div>"
        )
        if finding.filters:
            with st.container(horizontal=True, gap="small", width="content"):
                _ways(choice, dict(finding.filters), key)


def _ways(choice: Choice, found: dict[str, str], key: str) -> None:
    """Draw the ways to one of a finding's documents, and to the list of them."""
    if st.button("Example", key=f"example-{key}", type="tertiary"):
        state.put_filters(**found)
        state.go_to_document(choice.source, *_first(choice))
    if st.button("All documents", key=f"all-{key}", type="tertiary"):
        state.put_filters(**found)
        state.go_to_list()


def _first(choice: Choice) -> tuple[int, int]:
    """Return the first document of the list that the filters make."""
    now = document_filters.asked()
    source, config = choice.source, choice.config
    listed = data.ordered_for(source, config, now.query, now.sort, now.upside_down)
    return place_of(data.starts_of(source, config), int(listed.page(0, 1)[0]))


def _share(count: float, whole: float) -> str:
    return f"{count / whole:.1%}" if whole else "–"


def _behind(count: float, *filters: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return filters if count else ()


def _scale(choice: Choice, found: data.Audit) -> Sequence[Finding]:
    """Say which scale the similarity has; that the threshold cannot divide it stands above."""
    fit, line = found.fit, choice.config.threshold
    words = "is the scale of the similarity, recognised from its values"
    more = (
        f"The matched scores reach from {fit.low:.4g} to {fit.high:.4g}; the threshold is {line:g}."
    )
    return [Finding(sidebar.scale_name(choice.source, choice.config), words, more)]


def _mispaired(found: data.Audit) -> Sequence[Finding]:
    seen = found.mispaired
    return [
        Finding(
            _share(seen.wrong_sequences, seen.sequences),
            "of the sequences that reach the model have a mispaired image token",
            f"{seen.wrong_sequences:,.10g} of {seen.sequences:,.10g}, in expectation over "
            "the coin.",
            _behind(seen.wrong_sequences, ("outcome", "kept"), ("has", "mispaired")),
        ),
        Finding(
            _share(seen.wrong_tokens, seen.tokens),
            "of their image tokens get another sentence's image",
            f"{seen.wrong_tokens:,.10g} of {seen.tokens:,.10g}: images stand in image order, "
            "their tokens in sentence order.",
        ),
    ]


def _truncated(choice: Choice, found: data.Audit) -> Sequence[Finding]:
    seen = found.lost
    return [
        Finding(
            f"{seen.truncated:,}",
            f"image tokens are cut off at {choice.config.max_tokens:,} tokens",
            f"{_share(seen.truncated, seen.written)} of those written into sequences.",
            _behind(seen.truncated, ("has", "pair_truncated"), ("sort", "matched")),
        )
    ]


def _capped(choice: Choice, found: data.Audit) -> Sequence[Finding]:
    cap, seen = choice.config.max_images, found.capped
    documents = int(seen.documents.sum())
    return [
        Finding(
            f"{seen.over_cap:,}",
            f"pairs reach the threshold and are dropped, for {cap} come before them on the page",
            filters=_behind(seen.over_cap, ("has", "pair_over_cap"), ("sort", "surviving")),
        ),
        Finding(
            f"{seen.outscoring:,}",
            "of them score higher than a pair that their document keeps",
            f"In {documents:,} documents. Keeping the best {cap} instead of the first {cap} would "
            f"exchange {seen.displaced:,} pairs.",
            _behind(documents, ("has", "outscored"), ("sort", "surviving")),
        ),
    ]


def _displaced(choice: Choice, found: data.Audit) -> None:
    """Draw the scores of the pairs lost to the first-come cap against those kept instead."""
    lost, instead = found.capped.lost, found.capped.instead
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.text("Scores of the exchanged pairs")
        rows = [("lost", s) for s in lost.tolist()] + [("kept", s) for s in instead.tolist()]
        html.offer("displaced", ("pair", "score"), lambda: rows)
    st.plotly_chart(
        charts.displaced(lost, instead),
        key="displaced",
        config=document_view.STILL,
        alt="Scores of pairs lost to the cap, and of those kept in their place",
    )


def _undecodable(found: data.Audit) -> Sequence[Finding]:
    seen = found.undecodable
    documents, single = int(seen.documents.sum()), int(seen.single.sum())
    return [
        Finding(
            f"{documents:,}",
            "documents are lost because an image does not decode",
            f"Sound images that go with them: {seen.sound:,}.",
            _behind(documents, ("has", "image_undecodable"), ("sort", "images")),
        ),
        Finding(
            f"{single:,}",
            "of them have exactly one such image, beside sound ones",
            filters=_behind(single, ("has", "one_bad_image"), ("sort", "images")),
        ),
        *(
            Finding(
                f"{n:,}",
                f"images are of the format {kind}",
                f"{needs_newer_pillow(kind)}.".capitalize(),
            )
            for kind, n in seen.newer.items()
        ),
    ]


def _band(choice: Choice, found: data.Audit) -> Sequence[Finding]:
    seen = found.band
    if choice.config.min_kb < 0:
        return [Finding("off", "is the size limit")]
    documents = int(seen.documents.sum())
    return [
        Finding(
            f"{seen.images:,}",
            f"images have {max(seen.low, 0):,} to {seen.high:,} bytes",
            f"In {documents:,} documents. A limit called {choice.config.min_kb} kB drops them: "
            f"{seen.high + 1:,} bytes is the least that passes.",
            _behind(documents, ("has", "size_band"), ("sort", "images")),
        )
    ]


def _surplus(found: data.Audit) -> Sequence[Finding]:
    seen = found.lost
    return [
        Finding(
            f"{seen.surplus:,}",
            "valid images are matched to no sentence",
            f"In {seen.surplus_documents:,} documents that have more of them than sentences, or "
            "none that fits.",
            _behind(seen.surplus, ("has", "image_unmatched"), ("sort", "images")),
        )
    ]


def _stored(choice: Choice, found: data.Audit) -> Sequence[Finding]:
    seen = found.stored
    documents = int(seen.documents.sum())
    if not seen.compared:
        return [Finding("–", "no image has a stored sentence and score to compare")]
    other = "The matrix is another model's, so they should differ. "
    about = other if choice.source.other_model else ""
    nothing = f" {seen.nowhere:,} images have nothing to compare." if seen.nowhere else ""
    return [
        Finding(
            _share(seen.equal, seen.compared),
            f"of the stored scores equal the matrix's, within {EQUAL:g}",
            f"{about}{seen.equal:,} of {seen.compared:,} images; the largest difference is "
            f"{seen.largest:.6g}.{nothing}",
            _behind(documents, ("has", "stored_differs"), ("sort", "images")),
        )
    ]
