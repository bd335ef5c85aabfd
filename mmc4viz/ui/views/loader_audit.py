"""The page Loader audit: silent loader behavior in numbers, with links to the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from mmc4viz import charts
from mmc4viz.export.tables import duplicate_findings
from mmc4viz.loader.images import needs_newer_pillow
from mmc4viz.sweep.audit import EQUAL
from mmc4viz.ui import data, html, state
from mmc4viz.ui.components import document_filters
from mmc4viz.ui.components.charts import show_figure
from mmc4viz.ui.html import NO_DOCUMENTS, many, note, part, plural
from mmc4viz.ui.sidebar import Choice

_HEAD: Final = ("finding", "number", "meaning")
_CAP: Final = "First images kept, not the best"


@dataclass(frozen=True)
class _Finding:
    """One number of the audit.

    Attributes
    ----------
    number, words : str
        The number, and what it counts.
    more : str
        Details, as plain text.
    filters : tuple of (str, str)
        Filters of the page Documents that select its documents; may be empty.
    examples : tuple of (int, int)
        Pairs of documents to open, by position in the corpus.
    """

    number: str
    words: str
    more: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    examples: tuple[tuple[int, int], ...] = ()


def show(choice: Choice) -> None:
    """Draw the page."""
    st.title("Loader audit", anchor=False)
    if not data.matched_of(choice.source, choice.config).n_documents:
        note(NO_DOCUMENTS, "error")
        return
    found = data.audit_for(choice.source, choice.config)
    sections = {
        "Threshold and scale": _scale(choice, found),
        "Mispaired images": _mispaired(found),
        "Image tokens truncated": _truncated(choice, found),
        _CAP: _capped(choice, found),
        "Documents dropped by one undecodable image": _undecodable(found),
        "Images just under the size limit": _band(choice, found),
        "Unmatched images": _surplus(found),
        "Stored scores vs. matrix": _stored(choice, found),
        "Duplicates": _duplicates(found),
    }
    everything = [(f.words, f.number, f.more) for fs in sections.values() for f in fs]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text("Silent loader behavior with the current settings.")
        if choice.source.sample is not None:
            st.text("Counted on the sample, not on the whole corpus.")
        html.csv_button("audit", _HEAD, lambda: everything, "audit")
    for number, (title, findings) in enumerate(sections.items()):
        st.header(title, anchor=False)
        for place, finding in enumerate(findings):
            _draw(choice, finding, f"{number}-{place}")
        if title == _CAP and found.capped.displaced:
            _displaced(choice, found)


def _draw(choice: Choice, finding: _Finding, key: str) -> None:
    """Draw one finding, with links to its documents."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(part("finding", finding.number, finding.words, finding.more, "mmc-doc"))
        if finding.filters:
            with st.container(horizontal=True, gap="small", width="content"):
                _links(choice, finding, key)


def _links(choice: Choice, finding: _Finding, key: str) -> None:
    """Draw links to an example and to the list of a finding's documents."""
    found = dict(finding.filters)
    if finding.examples:
        for words, document in zip(("first", "duplicate"), finding.examples[0], strict=True):
            if st.button(f"Open {words}", key=f"{words}-{key}", type="tertiary"):
                place = data.place_of(choice.source, choice.config, document)
                state.go_to_document(choice.source, *place)
    elif st.button("Open example", key=f"example-{key}", type="tertiary"):
        state.put_filters(**found)
        state.go_to_document(choice.source, *_first(choice))
    if st.button("List documents", key=f"all-{key}", type="tertiary"):
        state.put_filters(**found)
        state.go_to_list()


def _first(choice: Choice) -> tuple[int, int]:
    """Return the first document that matches the filters."""
    now = document_filters.filters_of_address()
    source, config = choice.source, choice.config
    listed = data.ordered_for(source, config, now.query, now.sort, now.upside_down)
    return data.place_of(source, config, int(listed.page(0, 1)[0]))


def _share(count: float, whole: float) -> str:
    return f"{count / whole:.1%}" if whole else "–"


def _filters_if(count: float, *filters: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return filters if count else ()


def _scale(choice: Choice, found: data.Audit) -> Sequence[_Finding]:
    """Report the score scale."""
    fit, threshold = found.fit, choice.config.threshold
    words = "is the score scale, recognized from the values"
    more = (
        f"Pair scores range from {fit.low:.4g} to {fit.high:.4g}; the threshold is {threshold:g}."
    )
    return [_Finding(choice.scale.name, words, more)]


def _mispaired(found: data.Audit) -> Sequence[_Finding]:
    seen = found.mispaired
    return [
        _Finding(
            _share(seen.wrong_sequences, seen.sequences),
            "of kept sequences have a mispaired image token",
            f"{seen.wrong_sequences:,.10g} of {seen.sequences:,.10g} (expected, given the "
            "single-image keep probability).",
            _filters_if(seen.wrong_sequences, ("outcome", "kept"), ("has", "mispaired")),
        ),
        _Finding(
            _share(seen.wrong_tokens, seen.tokens),
            "of their image tokens receive another sentence's image",
            f"{seen.wrong_tokens:,.10g} of {seen.tokens:,.10g}. Images are passed in image order, "
            "but image tokens are in sentence order.",
        ),
    ]


def _truncated(choice: Choice, found: data.Audit) -> Sequence[_Finding]:
    seen, limit = found.lost, choice.config.max_tokens
    return [
        _Finding(
            f"{seen.truncated:,}",
            f"{plural(seen.truncated, 'image token')} truncated at {limit:,} tokens",
            f"{_share(seen.truncated, seen.written)} of all image tokens before truncation.",
            _filters_if(seen.truncated, ("has", "pair_truncated"), ("sort", "matched")),
        )
    ]


def _capped(choice: Choice, found: data.Audit) -> Sequence[_Finding]:
    cap, seen = choice.config.max_images, found.capped
    documents = int(seen.documents.sum())
    return [
        _Finding(
            f"{seen.over_cap:,}",
            f"{plural(seen.over_cap, 'pair')} above the threshold dropped by the image cap "
            f"(first {cap} kept)",
            filters=_filters_if(seen.over_cap, ("has", "pair_over_cap"), ("sort", "surviving")),
        ),
        _Finding(
            f"{seen.outscoring:,}",
            "of them with a higher score than a kept pair of the same document",
            f"In {many(documents, 'document')}. Keeping the best {cap} instead of the first {cap} "
            f"would swap {many(seen.displaced, 'pair')}.",
            _filters_if(documents, ("has", "outscored"), ("sort", "surviving")),
        ),
    ]


def _displaced(choice: Choice, found: data.Audit) -> None:
    """Draw the scores of pairs dropped at the cap and of those kept in their place."""
    lost, instead = found.capped.lost, found.capped.instead
    figure, title = charts.displaced(lost, instead), "Scores of the swapped pairs"
    rows = [("dropped", s) for s in lost.tolist()] + [("kept", s) for s in instead.tolist()]
    show_figure(
        figure,
        title,
        "displaced",
        ("pair", "score"),
        lambda: rows,
        what="scores of the swapped pairs",
        alt="Scores of pairs dropped at the cap, and of those kept in their place",
    )


def _undecodable(found: data.Audit) -> Sequence[_Finding]:
    seen = found.undecodable
    documents, single = int(seen.documents.sum()), int(seen.single.sum())
    return [
        _Finding(
            f"{documents:,}",
            f"{plural(documents, 'document')} dropped because an image cannot be decoded",
            f"Valid images lost with them: {seen.sound:,}.",
            _filters_if(documents, ("has", "image_undecodable"), ("sort", "images")),
        ),
        _Finding(
            f"{single:,}",
            "of them with exactly one such image and at least one valid image",
            filters=_filters_if(single, ("has", "one_bad_image"), ("sort", "images")),
        ),
        *(
            _Finding(
                f"{n:,}",
                f"{plural(n, 'image')} in {kind} format",
                f"{needs_newer_pillow(kind)}.".capitalize(),
            )
            for kind, n in seen.newer.items()
        ),
    ]


def _band(choice: Choice, found: data.Audit) -> Sequence[_Finding]:
    seen = found.band
    if choice.config.min_kb < 0:
        return [_Finding("off", "no size limit is set")]
    documents = int(seen.documents.sum())
    return [
        _Finding(
            f"{seen.images:,}",
            f"{plural(seen.images, 'image')} of {max(seen.low, 0):,} to {seen.high:,} bytes "
            "dropped",
            f"In {many(documents, 'document')}. The '{choice.config.min_kb} kB' limit actually "
            f"requires ≥ {seen.high + 1:,} bytes.",
            _filters_if(documents, ("has", "size_band"), ("sort", "images")),
        )
    ]


def _surplus(found: data.Audit) -> Sequence[_Finding]:
    seen = found.lost
    return [
        _Finding(
            f"{seen.surplus:,}",
            f"valid {plural(seen.surplus, 'image')} without a matching sentence",
            f"In {many(seen.surplus_documents, 'document')}, mostly with more images than "
            "sentences.",
            _filters_if(seen.surplus, ("has", "image_unmatched"), ("sort", "images")),
        )
    ]


def _stored(choice: Choice, found: data.Audit) -> Sequence[_Finding]:
    seen = found.stored
    documents = int(seen.documents.sum())
    if not seen.compared:
        return [_Finding("–", "no image has a stored sentence and score to compare")]
    other = "The matrix is from another model, so they are expected to differ. "
    about = other if choice.source.other_model else ""
    nothing = f" {many(seen.nowhere, 'image')} without a stored score." if seen.nowhere else ""
    return [
        _Finding(
            _share(seen.equal, seen.compared),
            f"of stored scores equal the matrix, within {EQUAL:g}",
            f"{about}{seen.equal:,} of {seen.compared:,} images; the largest difference is "
            f"{seen.largest:.6g}.{nothing}",
            _filters_if(documents, ("has", "stored_differs"), ("sort", "images")),
        )
    ]


def _duplicates(found: data.Audit) -> Sequence[_Finding]:
    """Report documents and images that occur more than once."""
    return [
        _Finding(
            *one.line,
            _filters_if(bool(one.contains), ("has", one.contains), ("sort", "url")),
            one.examples,
        )
        for one in duplicate_findings(found.repeated, found.once)
    ]
