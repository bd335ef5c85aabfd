"""Results as titled tables of plain cells, for the command line, the dashboard and the report.

Text is plain and not escaped.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mmc4viz.data.scale import Scale, scale_of
from mmc4viz.export.provenance import LabelFacts, label_facts
from mmc4viz.export.sections import (
    Charts,
    Folded,
    Heading,
    Paragraph,
    Part,
    Section,
    Table,
    counted,
)
from mmc4viz.export.svg import HALF, band, histogram
from mmc4viz.loader.images import needs_newer_pillow
from mmc4viz.sweep import audit, duplicates
from mmc4viz.sweep.document_table import Verdicts, verdicts
from mmc4viz.sweep.pairs import Pairs, image_counts
from mmc4viz.sweep.sweep import Matched
from mmc4viz.text import table, without_folders
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
    compare_separation,
    equivalent_thresholds,
)
from mmc4viz.thresholds.fdr.estimate import FdrEstimate
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.exchange import AnnotatorAgreement, agreements
from mmc4viz.thresholds.labels.intervals import Interval
from mmc4viz.thresholds.labels.precision import Curve, Labelled, curve, labelled_for, remarks
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.labels.store import Judgement
from mmc4viz.thresholds.model_scores import ModelsError, check_comparable
from mmc4viz.types import ImageStatus, LoaderConfig

Line = tuple[str, str, str]  # value, description, details


def findings(matched: Matched, config: LoaderConfig, pairs: Pairs) -> list[Line]:
    """Return the numbers of the loader audit; ``pairs`` are all pairs of the corpus."""
    found = verdicts(matched, config)
    unmatched = image_counts(matched, ImageStatus.UNMATCHED)
    fit = audit.fit(pairs.score, config.threshold, matched.scale)
    lines = [(fit.scale.name, "scale of the scores", f"range {fit.low:.4g} to {fit.high:.4g}")]
    if fit.problem is not None:
        lines.append(("!", "the threshold does not fit the scores", fit.problem))
    lines += _mispaired(found, config.single_image_keep)
    lines += _truncated(audit.lost(matched, found, config, unmatched))
    crowded = audit.crowded(pairs, found, config.max_images)
    lines += _capped(audit.capped(crowded, found, config), config)
    lines += _undecodable(audit.undecodable(matched, config))
    if config.min_kb >= 0:
        sizes = audit.band(matched, config)
        words = f"images of {max(sizes.low, 0):,} to {sizes.high:,} bytes dropped"
        least = f"min_kb {config.min_kb} requires {1000 * (config.min_kb + 1):,} bytes"
        lines.append((f"{sizes.images:,}", words, least))
    seen = audit.stored(matched)
    if seen.compared:
        words = "of stored scores equal the matrix"
        lines.append((_share(seen.equal, seen.compared), words, f"{seen.compared:,} compared"))
    repeated = duplicates.find([part.columns for part in matched.parts])
    once = duplicates.yields(repeated, found, pairs, config)
    return lines + [finding.line for finding in duplicate_findings(repeated, once)]


@dataclass(frozen=True)
class DuplicateFinding:
    """A number about duplicates, for the report and the page Loader audit.

    Attributes
    ----------
    line : Line
    contains : str
        The filter that selects its documents (`mmc4viz.sweep.query.DUPLICATES`); may be empty.
    examples : tuple of (int, int)
        Two documents each.
    """

    line: Line
    contains: str = ""
    examples: tuple[tuple[int, int], ...] = ()


def duplicate_findings(
    seen: duplicates.Duplicates, once: duplicates.YieldOnce
) -> list[DuplicateFinding]:
    """Describe the duplicates of a corpus, and what is kept with and without them."""
    several = f"occurring more than once: {seen.urls.groups:,}, in one document or several."
    found = [
        _repeats(
            seen.pages,
            "documents with the URL of an earlier document",
            f"URLs occurring more than once: {seen.pages.groups:,}.",
            "same_url",
        ),
        _repeats(
            seen.urls, "images with the URL of an earlier image", f"URLs {several}", "same_image"
        ),
        _same_bytes(seen),
        _near(seen),
    ]
    for what, differing, rule in (
        (
            "documents whose matrix differs from that of an earlier one with the same URL",
            seen.matrices,
            "documents with the same URL, number of images and number of sentences",
        ),
        (
            "stored scores that differ from that of the same image with the same sentence",
            seen.stored,
            "the same image and sentence number, in documents with the same URL",
        ),
    ):
        if differing.compared:
            more = f"Compared: {differing.compared:,} ({rule}); tolerance {audit.EQUAL:g}."
            line = f"{differing.differing:,}", what, more
            contains = "duplicate_differs" if differing.differing else ""
            found.append(DuplicateFinding(line, contains, differing.examples))
    first = "Of documents with the same URL only the first counts; all without a URL count."
    lines = [
        (
            f"{once.documents_once:,.10g}",
            "kept documents if each URL counts once",
            f"{once.documents:,.10g} with duplicates (expected). {first}",
        ),
        (
            f"{once.tokens_once:,.10g}",
            "image tokens of these documents",
            f"{once.tokens:,.10g} with duplicates (expected).",
        ),
        (
            f"{once.images:,}",
            "different images among pairs at or above the threshold",
            f"{once.pairs:,} pairs. Images are the same by their bytes, or by URL where there are "
            "no bytes.",
        ),
    ]
    return found + [DuplicateFinding(line) for line in lines]


def _repeats(seen: duplicates.Repeated, words: str, more: str, contains: str) -> DuplicateFinding:
    line = f"{seen.repeats:,}", words, more
    return DuplicateFinding(line, contains if seen.repeats else "", seen.examples)


def _same_bytes(seen: duplicates.Duplicates) -> DuplicateFinding:
    words = "images with the same bytes as an earlier image"
    again = "index the shards again to record them."
    if seen.bytes is None:
        return DuplicateFinding(("–", words, f"Not recorded by the older version: {again}"))
    more = f"Contents occurring more than once: {seen.bytes.groups:,}."
    if seen.unrecorded:
        more += f" Not recorded for {counted(seen.unrecorded, 'image')}: {again}"
    return _repeats(seen.bytes, words, more, "same_image")


def _near(seen: duplicates.Duplicates) -> DuplicateFinding:
    words = "images nearly the same as an earlier image with other bytes"
    if seen.near is None:
        how = "Not recorded: mmc4viz index --describe image-hash records perceptual hashes."
        return DuplicateFinding(("–", words, how))
    more = (
        f"In {counted(seen.near.groups, 'group')} whose perceptual hashes differ in at most "
        f"{duplicates.NEAR} of 64 bits, directly or by way of others."
    )
    if seen.crowded:
        more += f" {seen.crowded:,} hashes have too many similar ones to compare all."
    return _repeats(seen.near, words, more, "near_image")


def _share(count: float, whole: float) -> str:
    return f"{count / whole:.1%}" if whole else "–"


def _mispaired(found: Verdicts, keep: float) -> list[Line]:
    seen = audit.mispaired(found, keep)
    return [
        (
            _share(seen.wrong_sequences, seen.sequences),
            "of kept documents have a mispaired image token",
            f"{seen.wrong_sequences:,.10g} of {seen.sequences:,.10g} expected",
        ),
        (
            _share(seen.wrong_tokens, seen.tokens),
            "of image tokens are mispaired: trained with another sentence's image",
            f"{seen.wrong_tokens:,.10g} of {seen.tokens:,.10g} expected",
        ),
    ]


def _truncated(seen: audit.Lost) -> list[Line]:
    return [
        (
            f"{seen.truncated:,}",
            "image tokens truncated",
            f"{_share(seen.truncated, seen.written)} of all image tokens",
        ),
        (
            f"{seen.surplus:,}",
            "valid images unmatched",
            f"in {counted(seen.surplus_documents, 'document')}",
        ),
    ]


def _capped(seen: audit.Capped, config: LoaderConfig) -> list[Line]:
    cap = config.max_images
    return [
        (f"{seen.over_cap:,}", "pairs above the threshold dropped at the cap", ""),
        (
            f"{seen.outscoring:,}",
            "of them score higher than a kept pair",
            f"keeping the best {cap} instead of the first {cap} would swap "
            f"{counted(seen.displaced, 'pair')}",
        ),
    ]


def _undecodable(seen: audit.Undecodable) -> list[Line]:
    return [
        (
            f"{int(seen.documents.sum()):,}",
            "documents dropped because of an undecodable image",
            f"{int(seen.single.sum()):,} of them by exactly one image; valid images dropped with "
            f"them: {seen.sound:,}",
        ),
        *(
            (f"{n:,}", f"images in the format {kind}", needs_newer_pillow(kind))
            for kind, n in seen.newer.items()
        ),
    ]


@dataclass(frozen=True)
class ModelComparison:
    """The comparison of two CLIP models.

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
    def found(self) -> list[EquivalentThreshold]:
        """The equivalent thresholds."""
        return [match for match in self.matches if isinstance(match, EquivalentThreshold)]

    @property
    def missing(self) -> list[NoEquivalent]:
        """Why there are no others."""
        return [match for match in self.matches if isinstance(match, NoEquivalent)]

    @property
    def names(self) -> dict[str, str]:
        """The models' names, as columns of a row."""
        return {"first": self.first, "second": self.second}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per pair of equivalent thresholds."""
        nothing = dict.fromkeys(self.found[0].row())
        return [self.names | nothing | _row(match) for match in self.matches]


def _row(match: EquivalentThreshold | NoEquivalent) -> dict[str, Any]:
    if isinstance(match, EquivalentThreshold):
        return match.row()
    return {"equal": match.by, "first_threshold": match.first, "rests_on": match.reason}


def compare_models(
    first: Candidate,
    second: Candidate,
    thresholds: Sequence[float],
    labels: Evidence | None,
    rates: Mapping[str, FdrEstimate],
) -> ModelComparison:
    """Compare two models at each threshold of the first.

    Parameters
    ----------
    first, second : Candidate
    thresholds : sequence of float
    labels : Evidence or None
        Without labels, precision is not compared.
    rates : mapping of str to FdrEstimate
        By model; FDR is compared only if both models have one.
    """
    matches = [
        match
        for threshold in thresholds
        for match in equivalent_thresholds(first, second, threshold, rates, labels)
    ]
    models = first.model, second.model
    ranks = [correlation_of_pairs(*models), correlation_of_entries(*models)]
    return ModelComparison(first.name, second.name, matches, ranks)


@dataclass(frozen=True)
class LabelComparison:
    """How well the models separate labeled pairs, or why that is unknown.

    ``drawn_among`` names the models whose pairs were sampled.
    """

    drawn_among: str
    found: Separation | str

    def as_dict(self) -> dict[str, Any]:
        """Return everything except the curves as plain values."""
        found = self.found
        if isinstance(found, str):
            return {"drawn_among": self.drawn_among, "reason": found}
        return {
            "drawn_among": self.drawn_among,
            "labels": found.labels,
            "documents": found.documents,
            "unusable": found.unusable,
            "bootstrap_rounds": found.rounds,
            "models": [
                {
                    "model": one.model,
                    "auc": asdict(one.auc),
                    "average_precision": asdict(one.average_precision),
                }
                for one in found.models
            ],
            "differences": [asdict(one) for one in found.against_first],
        }


def compare_labels(candidates: Sequence[Candidate], labels: Evidence) -> LabelComparison:
    """Compare how well the models separate labeled pairs."""
    try:
        found = compare_separation([one.model for one in candidates], labels)
    except ModelsError as error:
        return LabelComparison(labels.words, str(error))
    return LabelComparison(labels.words, found)


def as_json(
    config: LoaderConfig,
    spreads: Sequence[Distribution],
    compared: Sequence[ModelComparison],
    separated: LabelComparison | None,
) -> dict[str, Any]:
    """Return a comparison as plain values."""
    settings = config.as_dict()
    return {
        "setting": {k: v for k, v in settings.items() if k not in ("threshold", "clip_model")},
        "models": [
            {
                "model": one.model,
                "scale": one.scale.name,
                "pairs": one.pairs,
                "quantiles": dict(
                    zip(_QUANTILES, one.quantiles or [None] * len(_QUANTILES), strict=True)
                ),
            }
            for one in spreads
        ],
        "matches": [row for one in compared for row in one.rows()],
        "rank_correlations": [one.names | asdict(c) for one in compared for c in one.correlations],
        "labels": None if separated is None else separated.as_dict(),
    }


def as_text(
    spreads: Sequence[Distribution],
    compared: Sequence[ModelComparison],
    separated: LabelComparison | None,
) -> str:
    """Return a comparison as text."""
    rows = [_SPREAD_HEAD, *map(_spread, spreads)]
    last = [] if separated is None else [_separation_text(separated)]
    return "\n\n".join([table(rows), *(_comparison_text(one) for one in compared), *last])


def _comparison_text(compared: ModelComparison) -> str:
    """Return equivalent thresholds, what they rest on, and rank correlations."""
    found = compared.found
    estimated = {one.by: one.rests_on for one in found if one.intervals}
    return "\n".join(
        [
            table([match_head(compared.first, compared.second), *map(match_cells, found)]),
            *(f"{_words(one.by)}: {one.reason}" for one in compared.missing),
            *(f"{_words(by)}: estimated from {source}" for by, source in estimated.items()),
            *(f"rank {_correlation(one, 4)}" for one in compared.correlations),
        ]
    )


def _separation_text(labels: LabelComparison) -> str:
    """Return how well each model separates correct from incorrect pairs."""
    found = labels.found
    if isinstance(found, str):
        return f"model discrimination: not available: {found}"
    unusable = f"; {found.unusable:,} without a score" if found.unusable else ""
    return f"{table([_AREAS_HEAD, *areas(found)])}\n{_among(labels, found)}{unusable}"


def _among(labels: LabelComparison, found: Separation) -> str:
    """Return how many labels a comparison rests on."""
    return (
        f"{counted(found.labels, 'label')} of pairs sampled from {labels.drawn_among}, in "
        f"{counted(found.documents, 'document')}"
    )


_QUANTILES: Final = tuple(f"{100 * q:g}%" for q in QUANTILES)
_SPREAD_HEAD: Final = ("CLIP model", "scale", "pairs", *_QUANTILES)
_AREAS_HEAD: Final = ("CLIP model", "ROC AUC", "average precision")
_CORRELATED: Final = {
    "pairs": "pairs matched by both",
    "entries": "matrix entries scored by both",
}


def _spread(found: Distribution) -> tuple[str, ...]:
    """Return a model's score quantiles as cells under `_SPREAD_HEAD`."""
    quantiles = [f"{value:.{found.scale.digits + 1}f}" for value in found.quantiles]
    named = found.model, found.scale.name, f"{found.pairs:,}"
    return *named, *(quantiles or ["–"] * len(QUANTILES))


def match_head(first: str, second: str) -> tuple[str, ...]:
    """Return the head of a table of two models' equivalent thresholds."""
    return ("same number of", first, second, f"kept ({first})", f"kept ({second})",
            "document overlap (IoU)", "pair overlap (IoU)", "method")  # fmt: skip


def match_cells(match: EquivalentThreshold) -> tuple[str, ...]:
    """Return two equivalent thresholds as cells under `match_head`."""
    return (
        _words(match.by),
        f"{match.first:.12g}",
        f"{match.second:.12g}",
        *values(match),
        *overlaps(match),
        "exact" if match.exact else "estimated" if match.intervals else "closest",
    )


def _words(by: str) -> str:
    return {"fdr": "FDR"}.get(by, by.replace("_", " "))


def values(match: EquivalentThreshold) -> list[str]:
    """Return what both thresholds keep, or both rates with their intervals."""
    if not match.intervals:
        return [f"{value:,.10g}" for value in (match.wanted, match.found)]
    each = zip((match.wanted, match.found), match.intervals, strict=True)
    return [f"{value:.1%} ({low:.1%}–{high:.1%})" for value, (low, high) in each]


def overlaps(match: EquivalentThreshold) -> tuple[str, str]:
    """Return the overlap (IoU) of the kept documents, and of the kept pairs."""
    return f"{match.agreement.documents.jaccard:.1%}", f"{match.agreement.pairs.jaccard:.1%}"


def areas(found: Separation) -> list[tuple[str, str, str]]:
    """Return each model's ROC AUC and average precision, then differences from the first model."""
    models = [
        (one.model, _measure(one.auc), _measure(one.average_precision)) for one in found.models
    ]
    return models + [
        (
            f"{one.second} − {one.first}",
            f"{_measure(one.auc)}, p = {one.p_auc:.2g}",
            f"{_measure(one.average_precision)}, p = {one.p_average_precision:.2g}",
        )
        for one in found.against_first
    ]


def _measure(one: Measure) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _correlation(one: Correlation, digits: int) -> str:
    """Describe the rank correlation of two models, after the word "rank"."""
    what = f"{one.n:,} {_CORRELATED[one.of]}"
    if one.rho is None:
        return f"correlation of {what}: not defined"
    sampled = ""
    if one.low is not None:
        sampled = f" ({one.low:.{digits}f} to {one.high:.{digits}f}, sampled)"
    return f"correlation (Spearman) of {what}: {one.rho:.{digits}f}{sampled}"


_DRAWN: Final = "pairs"  # the yield for which the charts' thresholds are equivalent
_CAPTION: Final = (
    "Each row: the two thresholds that keep the same number (exact, or the closest possible), or "
    "have the same estimated precision (with 95% CI). Overlap (IoU): kept by both models divided "
    "by kept by either; a pair is the same if its image and sentence are the same."
)


def models_section(
    first: Candidate,
    others: Sequence[Candidate],
    threshold: float,
    labels: Evidence | None,
    problems: Sequence[str],
) -> Section | None:
    """Return the section that compares the model in use with others.

    Parameters
    ----------
    first : Candidate
        The model in use.
    others : sequence of Candidate
        The other models on the same documents, under the same settings.
    threshold : float
        The first model's threshold.
    labels : Evidence or None
        Without labels, precision is not compared.
    problems : sequence of str
        Reasons why other models cannot be compared, one line each.

    Returns
    -------
    Section or None
        None if there are neither other models nor problems.
    """
    sound = list[Candidate]()
    parts = list[Part](Paragraph(without_folders(line)) for line in problems)
    for other in others:
        try:
            check_comparable([first.model, other.model])
            sound.append(other)
        except ModelsError as error:
            parts.append(Paragraph(without_folders(str(error))))
    if sound:
        lines = [_spread(distribution(one.model)) for one in (first, *sound)]
        caption = "Quantiles of the scores of matched pairs, by CLIP model. Exact, no CI."
        parts = [Table(_SPREAD_HEAD, lines, caption, range(2, len(_SPREAD_HEAD))), *parts]
    for other in sound:
        parts += _comparison(first, other, threshold, labels)
    if labels is not None and sound:
        parts += _separation_part([first, *sound], labels)
    return Section("CLIP model comparison", parts) if parts else None


def _comparison(
    first: Candidate,
    other: Candidate,
    threshold: float,
    labels: Evidence | None,
) -> list[Part]:
    """Compare a model with the first: equivalent thresholds, overlap, rank correlation."""
    compared = compare_models(first, other, [threshold], labels, {})
    found = compared.found
    drawn = next(match for match in found if match.by == _DRAWN)
    return [
        Heading(f"{first.name} and {other.name}"),
        Charts(
            [_scores(first, drawn.first), _scores(other, drawn.second)],
            f"Scores of matched pairs under {first.name} (n = {len(first.model.pairs.score):,}) "
            f"and {other.name} (n = {len(other.model.pairs.score):,}), each with the threshold "
            "that keeps the same number of pairs, or nearly. Exact, no CI.",
        ),
        Table(
            match_head(compared.first, compared.second),
            [match_cells(match) for match in found],
            f"Equivalent thresholds of {first.name} and {other.name}. {_CAPTION}",
        ),
        *(
            Paragraph(f"No threshold with equal {_words(match.by)}: {match.reason}.")
            for match in compared.missing
        ),
        *(Paragraph(f"Rank {_correlation(one, 3)}.") for one in compared.correlations),
        *(
            Paragraph(f"The {_words(match.by)} is estimated from {match.rests_on}.", small=True)
            for match in found
            if match.intervals
        ),
    ]


def _scores(one: Candidate, threshold: float) -> Markup:
    """Draw a model's score distribution with its threshold."""
    edges = distribution(one.model).edges
    span, scores = (float(edges[0]), float(edges[-1])), one.model.pairs.score
    return histogram(scores, threshold, span, f"{one.name} at {threshold:.12g}", 40, HALF)


def _separation_part(candidates: Sequence[Candidate], labels: Evidence) -> list[Part]:
    """Describe how well the models separate labeled pairs, or why that is unknown."""
    compared = compare_labels(candidates, labels)
    title, found = Heading("Model discrimination"), compared.found
    if isinstance(found, str):
        return [title, Paragraph(f"Not available: {found}.")]
    unusable = f" Labels without a score: {found.unusable:,}." if found.unusable else ""
    words = (
        f"How well the scores separate correct from incorrect pairs. {_among(compared, found)}, "
        "weighted by inverse sampling probability. 95% CIs and the two-sided test of the "
        f"difference: {found.rounds:,} bootstrap resamples of documents, paired across models."
        f"{unusable}"
    )
    return [title, Table(_AREAS_HEAD, areas(found), words)]


_TITLE: Final = "Precision from labels"
_POINTS: Final = 48  # thresholds at which curves are drawn
_ASSUMPTION: Final = (
    "Pairs were sampled at random within score strata that were fixed before the first label; each "
    "label represents the pairs of its stratum, and labels are assumed to be correct. Labels of "
    "duplicates (the same image, or the same pair of documents with one URL) count as one. Each "
    "95% CI holds for its own threshold."
)
_AGREEMENT: Final = (
    "On pairs of which both annotators were sure. Cohen’s κ: 1 is full agreement, 0 is chance; "
    "undefined (–) if both gave only one answer."
)


def without_labels(
    reason: str = "No pairs are labeled, so precision is unknown.",
) -> Section:
    """Return the section for a report without labels, or without usable ones."""
    return Section(_TITLE, [Paragraph(without_folders(reason))])


def label_facts_at(path: str, config: LoaderConfig, population: Population) -> LabelFacts:
    """Return what the provenance records of a label file, as `labels_section` reads it.

    Raises
    ------
    LabelsError
        If the file cannot be read, or has no sample for these settings.
    """
    sample = labelled_for(path, config, population).sample
    if not len(sample):
        return label_facts(path)
    here = curve(sample, np.array([config.threshold]))
    found = here.precision
    value, low, high = (float(end[0]) for end in (found.estimate, found.low, found.high))
    n = int(here.labels[0])
    return label_facts(path, (value, low, high) if n and not np.isnan(value) else None, n)


def labels_section(path: str, config: LoaderConfig, population: Population) -> Section:
    """Return the section on precision estimated from a label file.

    Parameters
    ----------
    path : str
        The label file.
    config : LoaderConfig
        Its CLIP model, size limit and assignment select the sample; its threshold is evaluated.
    population : Population
        The matched pairs under these settings.

    Raises
    ------
    LabelsError
        If the file cannot be read, or has no sample for these settings.
    """
    found, holds = labelled_for(path, config, population), population.documents.holds
    given = [one for one in store.read(path) if holds(one.pair.content)]
    parts: list[Part] = [
        Paragraph(_judged(os.path.basename(path), given)),
        Paragraph(_labeled(found)),
    ]
    if len(found.sample):
        scale = scale_of(population.pairs.score, population.columns)
        parts += _estimated(found, config.threshold, scale)
    return Section(_TITLE, [*parts, *_unused(found), *_agreement(agreements(given)), _guidelines()])


def _guidelines() -> Part:
    """Return the guidelines that annotators were given."""
    lines = " ".join(f"{answer}: {words}" for answer, words in store.RULE.items())
    return Folded("Labeling guidelines", lines)


def _judged(name: str, given: Sequence[Judgement]) -> str:
    """Return how many labels there are, by how many annotators."""
    annotators = counted(len({one.person for one in given}), "annotator")
    each = Counter(str(one.answer) for one in given)
    answers = ", ".join(f"{n:,} {answer}" for answer, n in each.most_common())
    words = f"{name} contains {counted(len(given), 'label')} by {annotators}"
    return words + (f": {answers}." if given else ".")


def _labeled(found: Labelled) -> str:
    """Return how many of the sampled pairs are labeled."""
    n, correct = len(found.sample), int(found.sample.correct.sum())
    words = f"{n:,} of {found.drawn:,} pairs sampled for {found.design} have a usable label"
    words += f": {correct:,} correct, {n - correct:,} incorrect." if n else "."
    return f"{words} {found.waiting:,} unlabeled." if found.waiting else words


def _unused(found: Labelled) -> list[Part]:
    """Return remarks on labels that do not count; those of unmatched pairs are collapsed."""
    lines = remarks(found)
    if not found.gone:
        return [Paragraph(line, small=True) for line in lines]
    words = f"Labels of pairs that are not matched here: {len(found.gone):,}"
    return [*(Paragraph(line, small=True) for line in lines[1:]), Folded(words, lines[0])]


def _estimated(found: Labelled, threshold: float, scale: Scale) -> list[Part]:
    """Return precision and recall at the threshold, and their curves."""
    here = curve(found.sample, np.array([threshold]))
    drawn = curve(found.sample, _thresholds(found, threshold, scale))
    rows = [
        (words, *_interval_cells(one, bool(here.labels[0])))
        for words, one in (
            ("precision (correct pairs among those at or above the threshold)", here.precision),
            ("recall (matched correct pairs that are at or above the threshold)", here.kept),
        )
    ]
    labels, wrong = counted(int(here.labels[0]), "label"), int(here.wrong[0])
    return [
        Heading(f"At threshold {threshold:.12g}"),
        Table(
            ("quantity", "estimate", "95% CI"),
            rows,
            f"Precision and recall at the threshold {threshold:.12g}, estimated from labels "
            f"(n = {len(found.sample):,}), with 95% CIs.",
        ),
        Paragraph(f"From {labels} at or above the threshold, {wrong:,} incorrect. {_ASSUMPTION}"),
        Charts(
            [
                _chart(drawn, here, drawn.precision, here.precision, "precision"),
                _chart(drawn, here, drawn.kept, here.kept, "recall of matched correct pairs"),
            ],
            "Precision and recall by threshold, estimated from labels "
            f"(n = {len(found.sample):,}). Bands and bars: 95% CIs.",
        ),
    ]


def _thresholds(found: Labelled, threshold: float, scale: Scale) -> NDArray[np.float64]:
    """Return the strata's edges, grid steps between them, and the threshold if near."""
    edges = found.design.borders
    between = np.linspace(edges[0], edges[-1], _POINTS)
    on_grid = np.round(np.round(between / scale.step) * scale.step, scale.digits)
    reach = 0.5 * (edges[-1] - edges[0])
    near = [threshold] if edges[0] - reach <= threshold <= edges[-1] + reach else []
    return np.unique(np.concatenate([edges, on_grid, near]))


def _interval_cells(found: Interval, any_label: bool) -> tuple[str, str]:
    if not any_label or np.isnan(found.estimate[0]):
        return "–", "unknown: no labels at or above the threshold"
    return f"{found.estimate[0]:.1%}", f"{found.low[0]:.1%}–{found.high[0]:.1%}"


def _chart(drawn: Curve, here: Curve, along: Interval, now: Interval, title: str) -> Markup:
    """Draw precision or recall; it is unknown where no label is at or above a threshold."""
    estimate = np.where(drawn.labels > 0, along.estimate, np.nan)
    ends = (now.estimate, now.low, now.high)
    estimated, low, high = (float(end[0]) if here.labels[0] else np.nan for end in ends)
    chosen = float(here.thresholds[0]), estimated, low, high
    return band(drawn.thresholds, (estimate, along.low, along.high), chosen, title)


def _agreement(found: Sequence[AnnotatorAgreement]) -> list[Part]:
    """Return Cohen's κ of every two annotators."""
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
    head = ("annotators", "pairs", "agreement", "κ")
    return [
        Heading("Inter-annotator agreement"),
        Table(head, rows, f"Agreement of annotators. {_AGREEMENT}", (1, 2, 3)),
    ]
