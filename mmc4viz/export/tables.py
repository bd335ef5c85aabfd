"""Results as titled tables of plain cells, for command line, pages and report.

Says nothing of its own.

Nothing is escaped: whoever shows the models' names as HTML does that. Compares nothing.

Every number is `mmc4viz.choice.comparing`'s, as on the page Models and in ``mmc4viz compare``.

Every number is `mmc4viz.choice.labelling`'s, as on the page Label and in ``mmc4viz suggest``.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.data.scale import Scale, scale_of
from mmc4viz.export.svg import HALF, band, histogram
from mmc4viz.loader.images import needs_newer_pillow
from mmc4viz.sweep import audit
from mmc4viz.sweep.audit import stored
from mmc4viz.sweep.document_table import Verdicts
from mmc4viz.sweep.pairs import Example, Pairs, image_counts
from mmc4viz.sweep.statistics import Loss
from mmc4viz.sweep.sweep import Matched
from mmc4viz.text import escaped, table
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.disagreement import (
    QUANTILES,
    Correlation,
    Distribution,
    correlation_of_entries,
    correlation_of_pairs,
    distribution,
)
from mmc4viz.thresholds.compare.equivalent import EquivalentThreshold, NoEquivalent
from mmc4viz.thresholds.compare.roc import (
    Evidence,
    Measure,
    Separation,
    match_in_every_respect,
    tell_apart,
)
from mmc4viz.thresholds.compare.roc import ModelSeparation as OneSeparated
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.exchange import AnnotatorAgreement, agreements
from mmc4viz.thresholds.labels.intervals import Interval
from mmc4viz.thresholds.labels.precision import Curve, Labelled, curve, labelled_for, remarks
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.labels.store import Judgement
from mmc4viz.thresholds.model_scores import ModelsError, line_up
from mmc4viz.types import ImageStatus, LoaderConfig, PairStatus

_LONGEST: Final = 600  # characters of a sentence
_BARS: Final = {
    "undecodable": "unreadable",
    "lost_with_document": "unreadable",
    "unreadable": "unreadable",
    "truncated": "truncated",
}


def number(found: Mapping[str, Any], words: str, of: float) -> str:
    """Write a large number with what it counts, its share of something, and its interval."""
    value = float(found["value"])
    share = f"{value / of:.1%}" if of else ""
    low, high = found.get("low"), found.get("high")
    between = ""
    if low is not None or high is not None:
        between = f"{count(low)} to {count(high)}" if high is not None else f"from {count(low)}"
    lines = [words, *(line for line in (share, between) if line)]
    spans = "".join(f"<span>{escaped(line)}</span>" for line in lines)
    return f"<div><b>{escaped(count(value))}</b>{spans}</div>"


def count(value: float | None) -> str:
    """Write a count; halves, which the coin makes, with their decimal."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"


def short(value: float) -> str:
    """Write a count short.

    Examples
    --------
    >>> short(1234567), short(950.0), short(12.5)
    ('1.23 M', '950', '12.5')
    """
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if sign == 'k' else size):.3g} {sign}"
    return count(value)


def funnel(what: str, losses: Sequence[Loss]) -> str:
    """Write a funnel: every loss a bar at its place, with its name and number."""
    whole = losses[0].lost + losses[0].remaining
    rows = [_bar(what, "", "kept", 0.0, whole, whole)]
    rows += [
        _bar(
            loss.name.replace("_", " "),
            loss.meaning,
            _BARS.get(loss.name, "rejected"),
            loss.remaining,
            loss.lost,
            whole,
        )
        for loss in losses
    ]
    rows.append(_bar("reach the model", "", "kept", 0.0, losses[-1].remaining, whole))
    return f'<table class="funnel"><tbody>{"".join(rows)}</tbody></table>'


def _bar(name: str, meaning: str, kind: str, start: float, size: float, whole: float) -> str:
    left, width = (100 * value / whole if whole else 0.0 for value in (start, size))
    drawn = f'<div class="bar {kind}" style="margin-left:{left:.2f}%;width:{width:.2f}%"></div>'
    share = f" ({size / whole:.1%})" if whole and size else ""
    title = f' title="{escaped(meaning)}"' if meaning else ""
    return (
        f"<tr><th{title}>{escaped(name)}</th><td>{drawn if size else ''}</td>"
        f'<td class="right">{escaped(count(size))}{share}</td></tr>'
    )


def html_table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of plain text."""
    heads = "".join(f'<th scope="col">{escaped(name)}</th>' for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escaped(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def card(example: Example) -> str:
    """Write one pair: image, score, sentence, and what becomes of it."""
    pair, picture = example.pair, ""
    if example.picture is not None:
        picture = f'<img src="{escaped(example.picture)}" alt="image {pair.image + 1}">'
    kind = (
        "kept"
        if pair.status is PairStatus.KEPT
        else "truncated"
        if pair.status is PairStatus.TRUNCATED
        else ""
    )
    beyond = len(example.words) - _LONGEST
    words = example.words if beyond <= 0 else f"{example.words[:_LONGEST]} …"
    digits = 4 if not math.isfinite(pair.score) or abs(pair.score) < 2 else 2
    status = f"{pair.status}; document {pair.outcome}".replace("_", " ")
    where = f"{example.shard}, {example.key}: image {pair.image + 1}, sentence {pair.sentence + 1}"
    return (
        f'<div class="card">{picture}<b>{pair.score:.{digits}f}</b>'
        f'<div class="words" dir="auto">{escaped(words)}</div>'
        f'<div class="status {kind}">{escaped(status)}</div>'
        f'<div class="soft">{escaped(where)}</div></div>'
    )


@dataclass(frozen=True)
class Words:
    """A paragraph of plain text; ``small`` for what is said beside the point."""

    text: str
    small: bool = False

    def html(self) -> str:
        """Write it."""
        kind = ' class="soft"' if self.small else ""
        return f"<p{kind}>{escaped(self.text)}</p>"


@dataclass(frozen=True)
class Heading:
    """A heading within a section, plain text."""

    text: str

    def html(self) -> str:
        """Write it."""
        return f"<h3>{escaped(self.text)}</h3>"


@dataclass(frozen=True)
class Folded:
    """Plain text that is shown when its summary is opened."""

    summary: str
    text: str

    def html(self) -> str:
        """Write it."""
        summary = f"<summary>{escaped(self.summary)}</summary>"
        return f'<details>{summary}<p class="soft">{escaped(self.text)}</p></details>'


@dataclass(frozen=True)
class Table:
    """A table of plain text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def html(self) -> str:
        """Write it."""
        return f'<div class="wide">{html_table(self.head, self.rows)}</div>'


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side: SVG as `mmc4viz.export.svg` writes it, whose text is escaped."""

    drawn: Sequence[str]

    def html(self) -> str:
        """Write them."""
        each = "".join(f"<div>{one}</div>" for one in self.drawn)
        return f'<div class="curves">{each}</div>'


Part = Words | Heading | Folded | Table | Pictures


@dataclass(frozen=True)
class Section:
    """A section that some way of choosing adds."""

    title: str
    parts: Sequence[Part] = ()

    def html(self) -> str:
        """Write it."""
        return f"<h2>{escaped(self.title)}</h2>{''.join(part.html() for part in self.parts)}"


SPREAD_HEAD = ("matched scores", "scale", "pairs", *(f"{100 * q:g} %" for q in QUANTILES))


def spread(found: Distribution) -> tuple[str, ...]:
    """Return where a model's matched scores lie on its own scale, under `SPREAD_HEAD`."""
    quantiles = [f"{value:.{found.scale.digits + 1}f}" for value in found.quantiles]
    named = found.model, found.scale.name, f"{found.pairs:,}"
    return *named, *(quantiles or ["–"] * len(QUANTILES))


def values(match: EquivalentThreshold, between: str = " to ") -> list[str]:
    """Return what both thresholds leave, or both rates with their intervals."""
    if not match.intervals:
        return [f"{value:,.10g}" for value in (match.wanted, match.found)]
    each = zip((match.wanted, match.found), match.intervals, strict=True)
    return [f"{value:.1%} ({low:.1%}{between}{high:.1%})" for value, (low, high) in each]


def agreed(match: EquivalentThreshold) -> tuple[str, str]:
    """Return how far the kept documents agree, and the kept pairs."""
    return f"{match.agreement.documents.jaccard:.1%}", f"{match.agreement.pairs.jaccard:.1%}"


def how_sure(match: EquivalentThreshold) -> str:
    """Say in a word what a match is worth."""
    return "exact" if match.exact else "estimated" if match.intervals else "nearest"


def areas(found: Separation) -> list[tuple[str, str, str]]:
    """Return each model's name and areas, then each other model's difference from the first."""
    models = [
        (one.model, _measure(one.auc), _measure(one.average_precision)) for one in found.models
    ]
    return models + [
        (
            f"{one.second} less {one.first}",
            f"{_measure(one.auc)}, p = {one.p_auc:.2g}",
            f"{_measure(one.average_precision)}, p = {one.p_average_precision:.2g}",
        )
        for one in found.against_first
    ]


def _measure(one: Measure) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


Line = tuple[str, str, str]  # the number, what it counts, more about it


def findings(matched: Matched, config: LoaderConfig, found: Verdicts, pairs: Pairs) -> list[Line]:
    """Say in numbers what the loader does unseen under a setting.

    Parameters
    ----------
    matched : Matched
    config : LoaderConfig
    found : Verdicts
        Of the setting.
    pairs : Pairs
        All of the corpus.
    """
    unmatched = image_counts(matched, ImageStatus.UNMATCHED)
    fit = audit.fit(pairs.score, config.threshold, matched.scale)
    lines = [
        (fit.scale.name, "scale of the matched scores", f"from {fit.low:.4g} to {fit.high:.4g}")
    ]
    if fit.problem is not None:
        lines.append(("!", "the threshold does not fit these scores", fit.problem))
    lines += _bound(found, config.single_image_keep)
    lines += _cut(audit.lost(matched, found, config, unmatched))
    crowded = audit.crowded(pairs, found, config.max_images)
    lines += _capped(audit.capped(crowded, found, config), config)
    lines += _decoded(audit.undecodable(matched, config))
    if config.min_kb >= 0:
        band = audit.band(matched, config)
        words = f"images of {max(band.low, 0):,} to {band.high:,} bytes"
        lines.append((f"{band.images:,}", words, f"dropped by a limit called {config.min_kb} kB"))
    seen = stored(matched)
    if seen.compared:
        words = "stored scores equal the matrix's"
        lines.append((_share(seen.equal, seen.compared), words, f"{seen.compared:,} compared"))
    return lines


def _share(count: float, whole: float) -> str:
    return f"{count / whole:.1%}" if whole else "–"


def _bound(found: Verdicts, keep: float) -> list[Line]:
    seen = audit.mispaired(found, keep)
    return [
        (
            _share(seen.wrong_sequences, seen.sequences),
            "of the sequences that reach the model have a mispaired image token",
            f"{seen.wrong_sequences:,.10g} of {seen.sequences:,.10g}, in expectation",
        ),
        (
            _share(seen.wrong_tokens, seen.tokens),
            "of their image tokens get another sentence's image",
            f"{seen.wrong_tokens:,.10g} of {seen.tokens:,.10g}",
        ),
    ]


def _cut(seen: audit.Lost) -> list[Line]:
    return [
        (
            f"{seen.truncated:,}",
            "image tokens behind the token limit",
            f"{_share(seen.truncated, seen.written)} of those written",
        ),
        (
            f"{seen.surplus:,}",
            "valid images without a sentence",
            f"in {seen.surplus_documents:,} documents",
        ),
    ]


def _capped(seen: audit.Capped, config: LoaderConfig) -> list[Line]:
    cap = config.max_images
    return [
        (f"{seen.over_cap:,}", "pairs reach the threshold behind the image cap", ""),
        (
            f"{seen.outscoring:,}",
            "of them score higher than a pair that is kept",
            f"the best {cap} instead of the first {cap} would exchange {seen.displaced:,}",
        ),
    ]


def _decoded(seen: audit.Undecodable) -> list[Line]:
    return [
        (
            f"{int(seen.documents.sum()):,}",
            "documents lost because an image does not decode",
            f"{int(seen.single.sum()):,} of them by exactly one image; {seen.sound:,} sound images "
            "go with them",
        ),
        *(
            (f"{n:,}", f"images are of the format {kind}", needs_newer_pillow(kind))
            for kind, n in seen.newer.items()
        ),
    ]


@dataclass(frozen=True)
class ModelComparison:
    """What was found of two models.

    Attributes
    ----------
    first, second : str
    matches : sequence of EquivalentThreshold or NoEquivalent
    correlations : sequence of Correlation
    """

    first: str
    second: str
    matches: Sequence[EquivalentThreshold | NoEquivalent]
    correlations: Sequence[Correlation]

    @property
    def names(self) -> dict[str, str]:
        """The models' names, for a row."""
        return {"first": self.first, "second": self.second}

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each respect in which thresholds were matched."""
        found = [match.row() for match in self.matches if isinstance(match, EquivalentThreshold)]
        nothing = dict.fromkeys(found[0])
        return [self.names | nothing | _row(match) for match in self.matches]


@dataclass(frozen=True)
class LabelComparison:
    """What labels say of the models, or why nothing; and among whose pairs they were drawn."""

    drawn_among: str
    found: Separation | str

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the curves as plain values."""
        found = self.found
        if isinstance(found, str):
            return {"drawn_among": self.drawn_among, "reason": found}
        return {
            "drawn_among": self.drawn_among,
            "labels": found.labels,
            "documents": found.documents,
            "unusable": found.unusable,
            "bootstrap_rounds": found.rounds,
            "models": [_areas(one) for one in found.models],
            "differences": [asdict(one) for one in found.against_first],
        }


def _areas(one: OneSeparated) -> dict[str, Any]:
    """Return a row for a model."""
    measures = {"auc": one.auc, "average_precision": one.average_precision}
    return {"model": one.model} | {name: asdict(value) for name, value in measures.items()}


def _row(match: EquivalentThreshold | NoEquivalent) -> dict[str, Any]:
    if isinstance(match, EquivalentThreshold):
        return match.row()
    return {"equal": match.by, "first_threshold": match.first, "rests_on": match.reason}


def as_json(
    config: LoaderConfig,
    spreads: Sequence[Distribution],
    compared: Sequence[ModelComparison],
    separated: LabelComparison | None,
) -> dict[str, Any]:
    """Return everything as plain values."""
    setting = config.as_dict()
    return {
        "setting": {k: v for k, v in setting.items() if k not in ("threshold", "clip_model")},
        "models": [_spread(one) for one in spreads],
        "matches": [row for one in compared for row in one.rows()],
        "rank_correlations": [one.names | asdict(c) for one in compared for c in one.correlations],
        "labels": None if separated is None else separated.as_dict(),
    }


def _spread(found: Distribution) -> dict[str, Any]:
    quantiles = found.quantiles or [None] * len(QUANTILES)
    named = {f"{100 * q:g} %": value for q, value in zip(QUANTILES, quantiles, strict=True)}
    return {
        "model": found.model,
        "scale": found.scale.name,
        "pairs": found.pairs,
        "quantiles": named,
    }


def as_text(
    spreads: Sequence[Distribution],
    compared: Sequence[ModelComparison],
    separated: LabelComparison | None,
) -> str:
    """Return everything as tables with a few words."""
    rows = [SPREAD_HEAD, *map(spread, spreads)]
    last = [] if separated is None else [_separation_line(separated)]
    return "\n\n".join([table(rows), *(_text(one) for one in compared), *last])


def _text(found: ModelComparison) -> str:
    head = ("equal in", found.first, found.second, f"left by {found.first}", "by " + found.second,
            "documents agreed", "pairs agreed", "how sure")  # fmt: skip
    lines = [
        table(
            [
                head,
                *(
                    _match_line(match)
                    for match in found.matches
                    if isinstance(match, EquivalentThreshold)
                ),
            ]
        )
    ]
    lines += [
        f"{_basis_words(m.by)}: {m.reason}" for m in found.matches if isinstance(m, NoEquivalent)
    ]
    estimated = {
        m.by: m.rests_on
        for m in found.matches
        if isinstance(m, EquivalentThreshold) and m.intervals
    }
    lines += [f"{_basis_words(by)} rests on {words}" for by, words in estimated.items()]
    return "\n".join([*lines, *_correlation_lines(found)])


def _separation_line(labels: LabelComparison) -> str:
    """Write which model separates right pairs from wrong ones better."""
    found = labels.found
    if isinstance(found, str):
        return f"right from wrong pairs: not compared: {found}"
    rows = [("right from wrong pairs", "area under ROC", "average precision"), *areas(found)]
    among = f"{found.labels:,} labels drawn among the pairs of {labels.drawn_among}"
    unusable = f"; {found.unusable:,} have no score" if found.unusable else ""
    return f"{table(rows)}\n{among}, in {found.documents:,} documents{unusable}"


def _basis_words(by: str) -> str:
    return {"fdr": "FDR"}.get(by, by.replace("_", " "))


def _match_line(match: EquivalentThreshold) -> tuple[str, ...]:
    return (
        _basis_words(match.by),
        f"{match.first:.12g}",
        f"{match.second:.12g}",
        *values(match, "–"),
        *agreed(match),
        how_sure(match),
    )


def _correlation_lines(found: ModelComparison) -> Iterator[str]:
    of = {"pairs": "pairs that both match", "entries": "matrix entries that both score"}
    for one in found.correlations:
        if one.rho is None:
            yield f"rank correlation of {one.n:,} {of[one.of]}: not defined"
            continue
        sampled = f" ({one.low:.4f} to {one.high:.4f}, sampled)" if one.low is not None else ""
        yield f"rank correlation (Spearman) of {one.n:,} {of[one.of]}: {one.rho:.4f}{sampled}"


_DRAWN: Final = "pairs"  # the yield that holds the thresholds of the pictures equal
_RATES: Final = {"fdr": "false-discovery rate", "precision": "precision"}
_CAPTION: Final = (
    "Each line: the thresholds that leave the same of one quantity, counted over all of them and "
    "nearest where none leaves the same, or that are estimated to be equally pure, with 95 % "
    "intervals. Agreed: kept by both, of what either keeps; a pair is the same when image and "
    "sentence are."
)


def models_section(
    first: Candidate,
    others: Sequence[Candidate],
    threshold: float,
    labels: Evidence | None = None,
    problems: Sequence[str] = (),
) -> Section | None:
    """Put the deciding model beside the others.

    Parameters
    ----------
    first : Candidate
        The model whose threshold is chosen.
    others : sequence of Candidate
        Of the same documents, under the same setting.
    threshold : float
        The first model's.
    labels : Evidence, optional
        Without, nothing is said of precision.
    problems : sequence of str
        Why other models are not here, a line each.

    Returns
    -------
    Section or None
        None where there is no other model, nor a reason why.
    """
    sound, problems = list[Candidate](), list(problems)
    for other in others:
        try:
            line_up([first.model, other.model])
            sound.append(other)
        except ModelsError as error:
            problems.append(str(error))
    if not sound and not problems:
        return None
    parts: list[Part] = [Words(problem) for problem in problems]
    if sound:
        lines = [spread(distribution(one.model)) for one in (first, *sound)]
        parts = [Table(SPREAD_HEAD, lines), *parts]
    for other in sound:
        parts += _beside(first, other, threshold, labels)
    if labels is not None and sound:
        parts += _separation_part([first, *sound], labels)
    return Section("CLIP models side by side", parts)


def _beside(
    first: Candidate,
    other: Candidate,
    threshold: float,
    labels: Evidence | None,
) -> list[Part]:
    """Put one model beside the first: thresholds that go together, agreement, ranks."""
    matches = match_in_every_respect(first, other, threshold, {}, labels)
    found = [match for match in matches if isinstance(match, EquivalentThreshold)]
    drawn = next(match for match in found if match.by == _DRAWN)
    head = ("equal in", first.name, other.name, f"of {first.name}", f"of {other.name}",
            "documents agreed", "pairs agreed", "how sure")  # fmt: skip
    ranks = (correlation_of_pairs, correlation_of_entries)
    return [
        Heading(f"{first.name} and {other.name}"),
        Pictures([_scores(first, drawn.first), _scores(other, drawn.second)]),
        Table(head, [_match_cells(match) for match in found]),
        *(Words(_why_not(match)) for match in matches if isinstance(match, NoEquivalent)),
        *(Words(_correlation_words(rank(first.model, other.model))) for rank in ranks),
        Words(_CAPTION, small=True),
        *(Words(_basis(match), small=True) for match in found if match.intervals),
    ]


def _scores(one: Candidate, threshold: float) -> str:
    """Draw a model's matched scores on their own scale, with its threshold."""
    edges = distribution(one.model).edges
    span, scores = (float(edges[0]), float(edges[-1])), one.model.pairs.score
    return histogram(scores, threshold, span, f"{one.name} at {threshold:.12g}", 40, HALF)


def _match_cells(match: EquivalentThreshold) -> tuple[str, ...]:
    return (
        _rate_words(match.by),
        f"{match.first:.12g}",
        f"{match.second:.12g}",
        *values(match),
        *agreed(match),
        how_sure(match),
    )


def _rate_words(by: str) -> str:
    return _RATES.get(by, by.replace("_", " "))


def _why_not(match: NoEquivalent) -> str:
    return f"No threshold of equal {_rate_words(match.by)}: {match.reason}."


def _basis(match: EquivalentThreshold) -> str:
    return f"The {_rate_words(match.by)} is estimated from {match.rests_on}."


def _correlation_words(one: Correlation) -> str:
    """Say how alike two models rank."""
    of = "pairs that both match" if one.of == "pairs" else "matrix entries that both score"
    if one.rho is None:
        return f"Rank correlation of {one.n:,} {of}: not defined."
    sampled = f" ({one.low:.3f} to {one.high:.3f}, of a sample)" if one.low is not None else ""
    return f"Rank correlation (Spearman) of {one.n:,} {of}: {one.rho:.3f}{sampled}."


def _separation_part(candidates: Sequence[Candidate], labels: Evidence) -> list[Part]:
    """Write which model separates labelled pairs better, or why nobody can tell."""
    models = [one.model for one in candidates]
    title = Heading("Right pairs from wrong ones")
    try:
        found = tell_apart(models, labels)
    except ModelsError as error:
        return [title, Words(f"Not told apart: {error}.")]
    unusable = f" {found.unusable:,} labels have no score." if found.unusable else ""
    words = (
        f"{found.labels:,} labels of pairs of {labels.words}, in {found.documents:,} documents, "
        "each weighted by one over its probability to be drawn. 95 % intervals and the two-sided "
        f"test of the difference: {found.rounds:,} draws of these documents with replacement, the "
        f"same for all models.{unusable}"
    )
    head = ("model", "area under ROC", "average precision")
    return [title, Table(head, areas(found)), Words(words, small=True)]


TITLE: Final = "What labels say"
_POINTS: Final = 48  # thresholds of a drawn curve
_NONE: Final = "No pair was labelled, so how many of the pairs are right is not known from labels."
_ASSUMPTION: Final = (
    "The pairs were drawn at random within strata of score that were fixed before the first label, "
    "each label stands for the pairs of its stratum, and the labels are taken to be right. "
    "Intervals are of 95 %, each for its own threshold."
)
_AGREEMENT: Final = (
    "On pairs of which both were sure. Cohen’s κ: 1 is full agreement, 0 what chance gives; none "
    "(–) where both said one thing only."
)


def without_labels() -> Section:
    """Say that there are no labels."""
    return Section(TITLE, [Words(_NONE)])


def labels_section(path: str, config: LoaderConfig, population: Population) -> Section:
    """Say what a file of labels says of a setting.

    Parameters
    ----------
    path : str
        The file.
    config : LoaderConfig
        Its CLIP model, size limit and assignment name the sample; its threshold is looked at.
    population : Population
        The matched pairs of the setting.

    Raises
    ------
    LabelsError
        When the file cannot be read, or holds no sample of this setting.
    """
    found, holds = labelled_for(path, config, population), population.documents.holds
    said = [one for one in store.read(path) if holds(one.pair.content)]
    parts: list[Part] = [Words(_judged(os.path.basename(path), said)), Words(_counted(found))]
    if len(found.sample):
        scale = scale_of(population.pairs.score, population.columns)
        parts += _estimated(found, config.threshold, scale)
    return Section(TITLE, [*parts, *_unused(found), *_agreed(agreements(said)), _rule()])


def _rule() -> Part:
    """Cite the rule that the page Label gives to those who label."""
    lines = " ".join(f"{answer}: {words}" for answer, words in store.RULE.items())
    return Folded("When a sentence describes an image, as the page Label has it", lines)


def _judged(name: str, said: Sequence[Judgement]) -> str:
    """Say how many judged how many pairs."""
    people = len({one.person for one in said})
    each = Counter(str(one.answer) for one in said)
    answers = ", ".join(f"{n:,} {answer}" for answer, n in each.most_common())
    by = f"by {people:,} {'person' if people == 1 else 'people'}"
    return f"{name} holds {len(said):,} judgements {by}" + (f": {answers}." if said else ".")


def _counted(found: Labelled) -> str:
    """Say how many labels count, and what became of the other pairs that were drawn."""
    n, right = len(found.sample), int(found.sample.correct.sum())
    words = f"Of {found.drawn:,} pairs drawn for {found.design}, {n:,} have a label that counts"
    words += f": {right:,} right, {n - right:,} wrong." if n else "."
    return f"{words} {found.waiting:,} have no answer." if found.waiting else words


def _unused(found: Labelled) -> list[Part]:
    """Say which labels do not count, and why; those whose pair is gone by name when asked."""
    lines = remarks(found)
    if not found.gone:
        return [Words(line, small=True) for line in lines]
    which = "of pairs that are not matched here (another model's, or no more)"
    words = f"{len(found.gone):,} labels are {which}"
    return [*(Words(line, small=True) for line in lines[1:]), Folded(words, lines[0])]


def _estimated(found: Labelled, threshold: float, scale: Scale) -> list[Part]:
    """Say, and draw, what share is right, and what share of the right ones is kept."""
    here = curve(found.sample, np.array([threshold]))
    drawn = curve(found.sample, _thresholds(found, threshold, scale))
    rows = [
        (words, *_interval_cells(one, bool(here.labels[0])))
        for words, one in (
            ("of the pairs at or above are right (precision)", here.precision),
            ("of all right pairs are at or above", here.kept),
        )
    ]
    n, wrong = int(here.labels[0]), int(here.wrong[0])
    return [
        Heading(f"At the threshold {threshold:.12g}"),
        Table(("share", "of what", "95 % interval"), [(c[1], c[0], c[2]) for c in rows]),
        Words(f"From {n:,} labels at or above it, {wrong:,} of them wrong. {_ASSUMPTION}"),
        Pictures(_pictures(drawn, here)),
    ]


def _thresholds(found: Labelled, threshold: float, scale: Scale) -> NDArray[np.float64]:
    """Return the strata's borders, steps of the grid between them, and the threshold if near."""
    edges = found.design.borders
    between = np.linspace(edges[0], edges[-1], _POINTS)
    on_grid = np.round(np.round(between / scale.step) * scale.step, scale.digits)
    reach = 0.5 * (edges[-1] - edges[0])
    near = [threshold] if edges[0] - reach <= threshold <= edges[-1] + reach else []
    return np.unique(np.concatenate([edges, on_grid, near]))


def _interval_cells(found: Interval, any_label: bool) -> tuple[str, str]:
    if not any_label or np.isnan(found.estimate[0]):
        return "–", "not known: no label there"
    return f"{found.estimate[0]:.1%}", f"{found.low[0]:.1%} to {found.high[0]:.1%}"


def _pictures(drawn: Curve, here: Curve) -> list[str]:
    titles = {"precision": "pairs that are right", "kept": "right pairs kept"}
    return [_picture(drawn, here, name, title) for name, title in titles.items()]


def _picture(drawn: Curve, here: Curve, name: str, title: str) -> str:
    """Draw one share; where no label lies at or above a threshold it is not known."""
    along, now = getattr(drawn, name), getattr(here, name)
    estimate = np.where(drawn.labels > 0, along.estimate, np.nan)
    found = (float(end[0]) for end in (now.estimate, now.low, now.high))
    point = found if here.labels[0] else (np.nan, np.nan, np.nan)
    estimated, low, high = point
    chosen = float(here.thresholds[0]), estimated, low, high
    return band(drawn.thresholds, (estimate, along.low, along.high), chosen, title)


def _agreed(found: Sequence[AnnotatorAgreement]) -> list[Part]:
    """Write Cohen's κ of every two people."""
    if not found:
        return []
    rows = [
        (
            f"{a.people[0]} and {a.people[1]}",
            f"{a.pairs:,}",
            f"{a.agreed / a.pairs:.0%}",
            "–" if a.kappa is None else f"{a.kappa:.2f}",
        )
        for a in found
    ]
    head = ("people", "pairs", "agree", "κ")
    return [Heading("Agreement between people"), Table(head, rows), Words(_AGREEMENT, small=True)]
