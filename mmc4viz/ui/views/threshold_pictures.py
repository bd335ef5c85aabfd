"""The pictures below the threshold control, one at a time: only the one shown is computed.

Those with scores share the control's axis. Of a large corpus, densities and positions are counted
on a random sample of documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

import numpy as np
import streamlit as st

from mmc4viz import charts
from mmc4viz.charts import COLOURS, INK, tradeoff
from mmc4viz.sweep.distribution import (
    DROPPED,
    OUTCOMES,
    Place,
    PositionMap,
    ScoreDensity,
    by_outcome,
    by_place,
    some,
)
from mmc4viz.sweep.pairs import Pairs
from mmc4viz.sweep.statistics import Curves, Loss, document_funnel, image_funnel
from mmc4viz.thresholds.budget import REFERENCE
from mmc4viz.thresholds.labels.precision import curve, propose
from mmc4viz.types import ConfigError, LoaderConfig, Mmc4vizError, PairStatus
from mmc4viz.ui import data, fields, html, label_data, state
from mmc4viz.ui.cache import cached
from mmc4viz.ui.components import control, frontier, funnel
from mmc4viz.ui.components.charts import show_figure
from mmc4viz.ui.components.control import Baseline
from mmc4viz.ui.html import many, note
from mmc4viz.ui.proposals import LIKELY, PRECISION, budget
from mmc4viz.ui.sidebar import Choice
from mmc4viz.ui.state import number
from mmc4viz.ui.views import shape_pictures

_WORDS: Final = {
    str(PairStatus.KEPT): ("kept", COLOURS["kept"]),
    str(PairStatus.BELOW_THRESHOLD): ("below threshold", COLOURS["rejected"]),
    str(PairStatus.OVER_CAP): ("dropped at the cap", COLOURS["rejected"]),
    str(PairStatus.TRUNCATED): ("truncated", COLOURS["truncated"]),
    DROPPED: ("in a dropped document", COLOURS["rejected"]),
}
Edges = tuple[float, ...]


_GROUPS: Final = {
    "Drop reasons": {"drops": "Drop reasons"},
    "Scores": {
        "scores": "Score density",
        "position": "Position on the page",
        "precision": "Precision and recall",
    },
    "Training": {"sequences": "Sequences", "passes": "Passes"},
    "Trade-offs": {
        "baseline": "Current vs baseline",
        "frontier": "Frontier",
        "settings": "Two settings",
    },
}
_GROUP_OF: Final = {name: group for group, names in _GROUPS.items() for name in names}
_FIRST: Final = "drops"
_PICTURE: Final = "picture"
_GROUP: Final = "threshold-group"


def show(choice: Choice, curves: Curves, compared: Baseline) -> None:
    """Draw the choice of a picture, and the picture."""
    pictures: dict[str, Callable[[], None]] = {
        "drops": lambda: _drops(choice, curves),
        "scores": lambda: _scores(choice, curves),
        "precision": lambda: _precision(choice),
        "baseline": lambda: _baseline(choice, curves, compared),
        "frontier": lambda: frontier.show_settings(choice, curves, compared),
        "position": lambda: _position(choice),
        "passes": lambda: _passes(choice, curves),
        "sequences": lambda: shape_pictures.show_sequences(choice, curves),
        "settings": lambda: shape_pictures.show_two_settings(choice),
    }
    shown = _choose()
    with st.container(key="threshold-picture-shown"):
        pictures[shown]()


def _choose() -> str:
    """Ask for a group of pictures and for one of it; the address has the picture only."""
    named = state.understood(
        _PICTURE, {name: name for name in _GROUP_OF}.get, f"one of {', '.join(_GROUP_OF)}", _FIRST
    )
    group = _GROUP_OF[named or _FIRST]
    st.session_state[_GROUP] = group
    with st.container(horizontal=True, key="threshold-pictures"):
        st.segmented_control(
            "Pictures",
            list(_GROUPS),
            key=_GROUP,
            on_change=_begin_group,
            required=True,
            label_visibility="collapsed",
        )
        names = _GROUPS[group]
        if len(names) == 1:
            return next(iter(names))
        return fields.one_of(
            st.segmented_control,
            "Picture",
            list(names),
            f"threshold-picture-{group}",
            _PICTURE,
            _FIRST,
            format_func=names.__getitem__,
            required=True,
            label_visibility="collapsed",
        )


def _begin_group() -> None:
    """Show the first picture of the group that was pressed."""
    first = next(iter(_GROUPS[st.session_state[_GROUP]]))
    state.put(_PICTURE, None if first == _FIRST else first)


def losses(curves: Curves, choice: Choice) -> list[tuple[str, Loss]]:
    """Return every drop reason of documents and of images at the current threshold."""
    step, keep = curves.step(choice.config.threshold), choice.config.single_image_keep
    return [
        *(("documents", loss) for loss in document_funnel(curves, step, keep)),
        *(("images", loss) for loss in image_funnel(curves, step, keep)),
    ]


def _drops(choice: Choice, curves: Curves) -> None:
    """Draw what becomes of documents and of images."""
    html.heading(
        "Drop reasons",
        "losses",
        ("of", "loss", "lost", "remaining"),
        lambda: [(of, x.name, x.lost, x.remaining) for of, x in losses(curves, choice)],
        what="drop reasons",
        svg=lambda: funnel.svg(curves, choice),
        explained=_reasons(curves, choice),
    )
    funnel.show(curves, choice)


def _reasons(curves: Curves, choice: Choice) -> str:
    """Say what each reason for dropping documents and images means, as lists in Markdown."""
    lines, last = [], ""
    for of, loss in losses(curves, choice):
        lines += [f"\n{of.capitalize()}\n"] * (of != last)
        lines.append(f"- **{funnel.label_of(loss)}**: {loss.meaning}")
        last = of
    return "\n".join(lines)


@cached("Drawing a sample of the pairs")
def _some(source: data.CorpusKey, config: LoaderConfig) -> tuple[Pairs, int]:
    return some(data.pairs_for(source, config), data.matched_of(source, config).n_documents)


@cached("Counting pairs by outcome")
def density_of(source: data.CorpusKey, config: LoaderConfig, edges: Edges) -> ScoreDensity:
    """Return the pairs by score and outcome; of many documents, of a random sample."""
    pairs, _ = _some(source, config.for_matching())
    found, matched = data.verdicts_for(source, config), data.matched_of(source, config)
    return by_outcome(matched, config, pairs, found, np.array(edges))


@cached("Counting pairs by position")
def positions_of(
    source: data.CorpusKey, config: LoaderConfig, edges: Edges, place: Place
) -> PositionMap:
    """Return the pairs by score and position; of many documents, of a random sample."""
    pairs, _ = _some(source, config)
    return by_place(data.matched_of(source, config), pairs, np.array(edges), place)


def _edges(choice: Choice, bars: int = 60, at: float | None = None) -> Edges:
    """Return edges of bins, one of them at a threshold."""
    return tuple(charts.bin_edges(control.shown(choice), choice.scale, bars, at).tolist())


def _sampled(choice: Choice) -> str:
    """Say of how many documents the pairs were counted, if not of all."""
    _, drawn = _some(choice.source, choice.config.for_matching())
    whole = data.facts_of(choice.source).documents
    if drawn == whole and choice.source.sample is None:
        return ""
    return f" Counted on a random sample of {many(drawn, 'document')}."


def _scores(choice: Choice, curves: Curves) -> None:
    """Draw the score density of pairs by outcome, and of labeled pairs by label."""
    edges = _edges(choice, at=choice.config.threshold)
    found = density_of(choice.source, choice.config, edges)
    rows = [(_WORDS[name][0], found.of(name), _WORDS[name][1]) for name in OUTCOMES]
    _densities(
        "Score density by outcome",
        "score-density",
        "score density by outcome",
        rows,
        found.edges.tolist(),
        choice,
        "pairs",
        "Each row has its own scale; hover for counts. Expected numbers, given the single-image "
        f"keep probability.{_sampled(choice)}",
    )
    _by_label(choice, found.edges.tolist())


def _densities(
    title: str,
    name: str,
    what: str,
    rows: Sequence[tuple[str, Any, str]],
    edges: Sequence[float],
    choice: Choice,
    of: str,
    words: str,
) -> None:
    """Draw densities with their downloads."""
    threshold, span = choice.config.threshold, control.shown(choice)
    figure = charts.densities(np.array(edges), rows, threshold, span, choice.scale, of)
    head = ("score_from", "score_to", *(row[0] for row in rows))

    def table() -> list[tuple[float, ...]]:
        columns = [counts.tolist() for _, counts, _ in rows]
        return list(zip(edges[:-1], edges[1:], *columns, strict=True))

    alt = f"{title}, against the threshold"
    show_figure(figure, title, name, head, table, what=what, alt=alt)
    note(words)


def _by_label(choice: Choice, edges: Sequence[float]) -> None:
    """Draw the scores of labeled pairs, or say that there are no labels."""
    found = _labels(choice)
    if found is None:
        return
    labelled = found.labelled
    sample = labelled.sample
    scores = {
        "correct": sample.score[sample.correct],
        "incorrect": sample.score[~sample.correct],
        "unsure": sample.scores[labelled.unsure_ranks],
    }
    rows = []
    for name, some_scores in scores.items():
        inside = np.clip(some_scores, edges[0], edges[-1])
        rows.append((name, np.histogram(inside, np.array(edges))[0].astype(np.float64), INK))
    _densities(
        "Labeled pairs by score",
        "label-density",
        "labeled pairs by score",
        rows,
        edges,
        choice,
        "labels",
        "Numbers of labels. Pairs are sampled within score strata, so these are not shares of all "
        "pairs; see Precision and recall.",
    )


def _labels(choice: Choice) -> label_data.Findings | None:
    """Return what the labels say; without any, say so in one line with a link to Label."""
    try:
        path = label_data.path_of(choice)
        design = label_data.design_of(path, choice)
        found = None if design is None else label_data.findings_for(path, design, choice)
    except Mmc4vizError as error:
        note(str(error), "error")
        return None
    if found is not None and len(found.labelled.sample):
        return found
    missing = f"No labels yet for {choice.config.clip_model} with these settings."
    if choice.source.sample is not None:
        missing = "Labels are for all documents; this is a sample."
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        note(f"{missing} About 200 labels show precision and recall at every threshold.")
        st.page_link(state.pages()["Label"], label="Label pairs", width="content")
    return None


def _precision(choice: Choice) -> None:
    """Draw precision and recall in line with the control."""
    found = _labels(choice)
    if found is None:
        return
    sample, at = found.labelled.sample, choice.config.threshold
    wanted = number(state.get(PRECISION), LIKELY)
    wanted = wanted if 0 < wanted < 1 else LIKELY
    proposal, title = propose(sample, wanted), "Precision and recall from labels"
    figure = charts.precision(found.curve, at, wanted, proposal.threshold, control.shown(choice))
    show_figure(
        figure,
        title,
        "precision",
        label_data.COLUMNS,
        found.rows,
        what="precision and recall",
        alt="Precision and recall against the threshold, with 95% CIs",
        key="threshold-precision",
    )
    here = curve(sample, np.array([at]))
    p, k, labels = here.precision, here.kept, int(here.labels[0])
    if not labels:
        note(f"No labeled pair is at or above {at:g}.")
        return
    note(
        f"At {at:g}: precision {p.estimate[0]:.1%} (95% CI {p.low[0]:.1%}–{p.high[0]:.1%}), recall "
        f"{k.estimate[0]:.1%} ({k.low[0]:.1%}–{k.high[0]:.1%}), from {labels:,} labels at or above "
        f"it. The horizontal line is the target of the page Label, {wanted:.0%}."
    )


_YIELDS: Final = {
    "documents": "documents kept (expected)",
    "pairs": "pairs at or above the threshold",
    "image_tokens": "image tokens (expected)",
    "text_tokens": "text tokens (expected)",
    "mispaired": "mispaired image tokens",
}


def against(
    choice: Choice, curves: Curves, compared: Baseline
) -> list[tuple[str, str, float, float, bool]]:
    """Return yields and drop reasons of the current settings and of the baseline.

    Returns
    -------
    list of (of, what, current, baseline, whether shares)
    """
    keep, at = choice.config.single_image_keep, choice.config.threshold
    now = control.headline(curves, at, keep)
    then = control.headline(compared.curves, compared.threshold, compared.keep)
    rows = [
        ("yields", words, getattr(now, name), getattr(then, name), name == "mispaired")
        for name, words in _YIELDS.items()
    ]
    steps = curves.step(at), compared.curves.step(compared.threshold)
    for of, losses_of in (("documents", document_funnel), ("images", image_funnel)):
        pairs = zip(
            losses_of(curves, steps[0], keep),
            losses_of(compared.curves, steps[1], compared.keep),
            strict=True,
        )
        for mine, other in pairs:
            label = f"{of} dropped: {funnel.label_of(mine)}"
            rows.append((of, label, float(mine.lost), float(other.lost), False))
    return rows


def _baseline(choice: Choice, curves: Curves, compared: Baseline) -> None:
    """Draw a table of the current settings and the baseline, side by side."""
    rows = against(choice, curves, compared)
    html.heading(
        "Current settings and baseline",
        "baseline",
        ("of", "what", "current", "baseline", "difference"),
        lambda: [(of, what, a, b, a - b) for of, what, a, b, _ in rows],
        what="comparison with the baseline",
    )
    head = ("", f"current ({choice.config.threshold:g})", f"baseline ({compared.label})",
            "difference", "relative")  # fmt: skip
    caption = (
        "Yields, then every reason for dropping documents and images. Reasons with no drop in "
        "either are left out."
    )
    cells = [_compared(*row[1:]) for row in rows if row[0] == "yields" or row[2] or row[3]]
    st.html(html.table(head, cells, caption))


def _compared(what: str, now: float, then: float, share: bool) -> tuple[str, ...]:
    """Return a row of the table.

    Examples
    --------
    >>> _compared("pairs", 90.0, 100.0, False)
    ('pairs', '90', '100', '−10', '−10.0%')
    """
    if share:
        points = 100 * (now - then)
        return what, f"{now:.1%}", f"{then:.1%}", f"{_signed(points, 1)} points", ""
    digits = 0 if float(now).is_integer() and float(then).is_integer() else 1
    relative = f"{_signed(100 * (now - then) / then, 1)}%" if then else "–"
    return what, f"{now:,.{digits}f}", f"{then:,.{digits}f}", _signed(now - then, digits), relative


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):,.{digits}f}"
    if not float(text.replace(",", "")):
        return "0"
    return f"{'−' if value < 0 else '+'}{text}"


def _passes(choice: Choice, curves: Curves) -> None:
    """Ask for a training budget, and draw the passes over the data that it takes."""
    budget.ask(choice)
    try:
        found = budget.passes(choice, curves)
    except ConfigError as error:
        note(str(error), "error")
        return
    threshold, columns = choice.config.threshold, found.columns()
    st.markdown(f"**{found.in_words(threshold)}**")
    show_figure(
        tradeoff.passes(found, threshold, control.shown(choice)),
        f"Passes over the data in {found.budget}",
        "passes",
        ("threshold", *columns),
        lambda: list(zip(found.thresholds.tolist(), *columns.values(), strict=True)),
        what="passes over the data",
        alt=f"Passes over the data in {found.budget} against the threshold, on a logarithmic axis",
    )
    note(f"{found.assumption} {REFERENCE}")


_PLACES: Final = {"sentence": "By sentence", "image": "By image"}


def _position(choice: Choice) -> None:
    """Draw the scores of pairs by their place on the page."""
    title = "Scores by position on the page"
    with st.container(horizontal=True, vertical_alignment="center"):
        place: Place = fields.one_of(
            st.segmented_control,
            "Position of",
            list(get_args(Place)),
            "threshold-place",
            "place",
            format_func=lambda name: _PLACES[name],
            required=True,
            label_visibility="collapsed",
            width="content",
        )
    found = positions_of(choice.source, choice.config.for_matching(), _edges(choice, 36), place)
    figure = charts.positions(found, choice.config.threshold, control.shown(choice), choice.scale)
    words = (
        "Stronger color: a larger share of the pairs at this place. If the mean line is not "
        f"straight down, scores depend on the position.{_sampled(choice)}"
    )
    show_figure(
        figure,
        title,
        "position",
        ("place", "score_from", "score_to", "pairs"),
        lambda: _position_rows(found),
        what="scores by position",
        alt="Pairs by score and position on the page, with the mean score at every position",
    )
    note(words)


def _position_rows(found: PositionMap) -> list[tuple[int, float, float, int]]:
    edges, counts = found.edges.tolist(), found.counts.tolist()
    return [
        (row + 1, edges[at], edges[at + 1], n)
        for row, line in enumerate(counts)
        for at, n in enumerate(line)
    ]
