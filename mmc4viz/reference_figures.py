"""Published figures of MMC4 and similar corpora, and the same figures of the corpus at hand.

Each figure is computed the way its source did: with the source's assignment and settings, whatever
the settings in use. The corpus at hand is taken for a random sample of a larger one, with documents
as the unit (`mmc4viz.sweep.estimate.interval`). A share published of a sample has Wilson's
interval.

ChatGPT-generated and unreadable documents are left out, and counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mmc4viz.arrays import Bools, Floats, Ints, joined
from mmc4viz.data.columns import Columns, Kind
from mmc4viz.data.sample import DrawnSample
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.reference_thresholds import is_model
from mmc4viz.sweep.document_table import Verdicts, verdicts
from mmc4viz.sweep.estimate import Rate, interval
from mmc4viz.sweep.pairs import Pairs, pairs_of
from mmc4viz.sweep.statistics import CLASS
from mmc4viz.sweep.sweep import Matched
from mmc4viz.text import escaped
from mmc4viz.types import Document, LoaderConfig, TokenizerError

if TYPE_CHECKING:
    import pandas as pd

MODEL: Final = "ViT-L/14"
"""The CLIP model of all published figures that depend on scores."""

_LOADER: Final = LoaderConfig(assignment="argmax")
_STORED: Final = LoaderConfig(assignment="stored", min_kb=-1)
_Z: Final = 1.959963984540054  # the normal quantile of a two-sided 95% CI


@dataclass(frozen=True, slots=True)
class FigureSource:
    """Where figures are published, and how they are computed here.

    Attributes
    ----------
    name, how : str
    scored : LoaderConfig or None
        Settings that pairs are matched with; None if the figures do not depend on scores.
    """

    name: str
    how: str
    scored: LoaderConfig | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure of the corpus at hand.

    Attributes
    ----------
    value : float or None
        None without anything to count.
    low, high : float or None
        Its 95% CI; None for extremes, and where there are fewer than two documents.
    documents : int
        Documents that it rests on.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    documents: int = 0


@dataclass(frozen=True, slots=True)
class ReferenceFigure:
    """A published figure.

    Attributes
    ----------
    name : str
        As in files; several corpora may share it.
    label : str
    value : float
    unit : str
        ``share``, ``score``, ``images`` or ``tokens``.
    source : FigureSource
    corpus : str
        The corpus that it describes.
    measure : callable or None
        Computes it; None if documents cannot tell it.
    sample : int or None
        What the published figure was counted on; None for all, and if it is not stated.
    """

    name: str
    label: str
    value: float
    unit: str
    source: FigureSource
    corpus: str
    measure: Callable[[_Corpus], Measured] | None
    sample: int | None = None

    @property
    def limits(self) -> tuple[float, float] | None:
        """The published figure's own 95% CI, if it is a share of a sample."""
        if self.sample is None or self.unit != "share":
            return None
        return wilson(self.value, self.sample)


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """A published figure and the same figure of the corpus at hand.

    Attributes
    ----------
    figure : ReferenceFigure
    here : Measured
    reason : str
        Why the corpus cannot tell it; empty if it can.
    """

    figure: ReferenceFigure
    here: Measured
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceComparison:
    """All published figures beside those of the corpus at hand.

    Attributes
    ----------
    figures : tuple of ComparedFigure
        Those of a source follow each other.
    notes : tuple of str
        What they are based on, one line each.
    """

    figures: tuple[ComparedFigure, ...]
    notes: tuple[str, ...]

    def of(self, source: FigureSource) -> list[ComparedFigure]:
        """Return the figures of one source."""
        return [one for one in self.figures if one.figure.source is source]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row of plain values per figure; what is not known is None."""
        return [_row(one) for one in self.figures]

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with one row per figure."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        notes = escaped(" ".join(self.notes))
        return f"{self.to_pandas()._repr_html_()}<p>{notes}</p>"  # type: ignore[operator]


def _row(one: ComparedFigure) -> dict[str, Any]:
    figure, here = one.figure, one.here
    low, high = figure.limits or (None, None)
    return {
        "figure": figure.name,
        "corpus": figure.corpus,
        "unit": figure.unit,
        "published": figure.value,
        "published_low": low,
        "published_high": high,
        "published_sample": figure.sample,
        "here": here.value,
        "here_low": here.low,
        "here_high": here.high,
        "documents": here.documents,
        "reason": one.reason or None,
        "source": figure.source.name,
        "how": figure.source.how,
    }


HEAD: Final = ("figure", "published", "95% CI", "here", "95% CI", "documents")
"""Columns of `cells`."""


def cells(one: ComparedFigure) -> tuple[str, ...]:
    """Return a figure as words, under `HEAD`."""
    figure, here = one.figure, one.here
    published = figure.value if figure.unit != "images" else round(figure.value, 2)
    return (
        figure.label,
        f"{published:g}" if figure.unit == "images" else _shown(published, figure.unit),
        _between(figure.limits or (None, None), figure.unit),
        _shown(here.value, figure.unit),
        _between((here.low, here.high), figure.unit),
        f"{here.documents:,}" if here.documents else "–",
    )


def _between(limits: tuple[float | None, float | None], unit: str) -> str:
    low, high = (_shown(limit, unit) for limit in limits)
    return "–" if low == "–" else f"{low} to {high}"


def _shown(value: float | None, unit: str) -> str:
    """Write a figure; images are counts, or means with two decimals.

    Examples
    --------
    >>> _shown(0.427, "share"), _shown(5.6, "images"), _shown(2, "images"), _shown(None, "score")
    ('42.7%', '5.60', '2', '–')
    """
    if value is None:
        return "–"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "images":
        return f"{value:,.2f}".removesuffix(".00")
    return f"{value:,.0f}" if unit == "tokens" else f"{value:.3f}"


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95% CI of a share of n.

    Examples
    --------
    >>> "{:.3f} {:.3f}".format(*wilson(0.38, 1000))
    '0.350 0.410'
    """
    middle, spread = share + _Z**2 / (2 * n), share * (1 - share) / n + _Z**2 / (4 * n**2)
    half, whole = _Z * spread**0.5, 1 + _Z**2 / n
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


class _Corpus:
    """The corpus at hand, asked for one figure after the other."""

    def __init__(
        self,
        columns: Sequence[Columns],
        matched: Callable[[LoaderConfig], Matched],
        drawn: DrawnSample | None,
    ) -> None:
        self.columns = columns
        self._matched = matched
        self._drawn = drawn
        self._found: dict[LoaderConfig, Matched] = {}
        self._verdicts: dict[float, Verdicts] = {}

    def matched(self, config: LoaderConfig) -> Matched:
        """Return the pairs under a size limit and assignment; the last ones are held."""
        if config not in self._found:
            self._found.clear()
            self._found[config] = self._matched(config)
        return self._found[config]

    @cached_property
    def literal(self) -> list[tuple[int, Tokenizer, Document]]:
        """Documents whose text is at hand, each with its position in the corpus."""
        found, start = list[tuple[int, Tokenizer, Document]](), 0
        for part in self.columns:
            rows = np.flatnonzero(part.kind == Kind.LITERAL).tolist()
            found += [(start + row, part.tokenizer, part.document(row)) for row in rows]
            start += len(part)
        return found

    @cached_property
    def chatgpt(self) -> Bools:
        """Which documents are ChatGPT-generated, shape (documents,)."""
        found = np.zeros(sum(map(len, self.columns)), bool)
        found[[place for place, _, document in self.literal if document.is_gpt]] = True
        return found

    @cached_property
    def readable(self) -> Bools:
        """Which documents count: neither unreadable JSON nor ChatGPT-generated."""
        kind = joined(part.kind for part in self.columns)
        return np.asarray((kind != Kind.UNREADABLE) & ~self.chatgpt)

    @cached_property
    def n_images(self) -> Ints:
        """Entries of ``image_info``, shape (documents,)."""
        return np.asarray(joined(part.n_images for part in self.columns), np.int64)

    @cached_property
    def n_tokens(self) -> Floats:
        """Tokens of each document's text, shape (documents,); NaN if it cannot be tokenized."""
        found = np.asarray(joined(map(_plain_tokens, self.columns)), np.float64)
        for place, tokenizer, document in self.literal:
            found[place] = _tokens_of(document, tokenizer)
        return found

    def verdicts(self, threshold: float) -> Verdicts:
        """Return all documents' outcomes at a threshold, matched as the loader did it."""
        if threshold not in self._verdicts:
            config = _LOADER.with_(threshold=threshold)
            self._verdicts[threshold] = verdicts(self.matched(_LOADER), config)
        return self._verdicts[threshold]

    def sequences(self, threshold: float, keep: float) -> Floats:
        """Return each document's probability to become a sequence, shape (documents,)."""
        by_class = np.zeros(len(CLASS))
        by_class[[CLASS["kept_always"], CLASS["kept_single_image"]]] = 1.0, keep
        return np.asarray(by_class[self.verdicts(threshold).kind] * self.readable)

    @cached_property
    def stored(self) -> Pairs:
        """All pairs that the corpus itself names."""
        return pairs_of(self.matched(_STORED))

    def ratio(self, top: Floats, bottom: Floats, *, share: bool = False) -> Measured:
        """Return a ratio of totals over documents, each of shape (documents,)."""
        rests_on = int((bottom > 0).sum())
        if not rests_on:
            return Measured()
        found = self._rate(top, bottom)
        value, low, high = (float(one[0]) for one in (found.estimate, found.low, found.high))
        if not np.isfinite(high):
            return Measured(value, None, None, rests_on)
        if share and not 0 < value < 1:  # no variation: the linearized interval would be empty
            low, high = wilson(min(max(value, 0.0), 1.0), rests_on)
        return Measured(value, low, min(1.0, high) if share else high, rests_on)

    def _rate(self, top: Floats, bottom: Floats) -> Rate:
        cluster, weight, n = self._clusters
        sums = (np.bincount(cluster, weight * one, n) for one in (top, bottom))
        tops, bottoms = (np.asarray(one[:, None], np.float64) for one in sums)
        return interval(tops, bottoms, 0.0)

    @cached_property
    def _clusters(self) -> tuple[Ints, Floats, int]:
        """Return each document's cluster and weight, and the number of clusters."""
        drawn, n = self._drawn, sum(map(len, self.columns))
        if drawn is None:
            return np.arange(n), np.ones(n), n
        sampled = np.array([sum(map(len, parts)) for parts in drawn.clusters], np.int64)
        weight = drawn.sizes / np.maximum(sampled, 1)
        cluster = np.repeat(np.arange(len(sampled)), sampled)
        return cluster, weight[cluster], len(sampled)

    def median(self, values: Ints, probability: Floats) -> Measured:
        """Return a median; its interval inverts that of the share at or below a value."""
        there = probability > 0
        if not there.any():
            return Measured()
        known = np.unique(values[there])

        def first(end: str) -> float:
            def reaches_half(number: int) -> bool:
                rate = self._rate(probability * (values <= known[number]), probability)
                return bool(getattr(rate, end)[0] >= 0.5)

            last = len(known) - 1  # at it, the share is 1
            return float(known[bisect_left(range(last), True, key=reaches_half)])

        alone = int(there.sum()) < 2 or self._clusters[2] < 2
        low, high = (None, None) if alone else (first("high"), first("low"))
        return Measured(first("estimate"), low, high, int(there.sum()))


def _plain_tokens(part: Columns) -> Floats:
    """Return the tokens of plain documents' texts, NaN for the others, shape (documents,)."""
    starts, rest = part.offsets("rest"), part.values("rest")
    total = np.concatenate([[0], np.cumsum(rest[starts[0] : starts[-1]], dtype=np.int64)])
    starts = starts - starts[0]
    some = starts[1:] > starts[:-1]
    opening = np.zeros(len(part), np.int64)  # counted as if another sentence came before it
    opening[some] = np.diff(total)[starts[:-1][some]]
    found = total[starts[1:]] - total[starts[:-1]] - opening + part.numbers("head")
    return np.where(part.kind == Kind.PLAIN, found.astype(np.float64), np.nan)


def _tokens_of(document: Document, tokenizer: Tokenizer) -> float:
    sentences = document.sentences
    if not isinstance(sentences, list) or not all(type(text) is str for text in sentences):
        return float("nan")
    try:
        return float(tokenizer.lengths([" ".join(sentences)])[0])
    except (TokenizerError, UnicodeError):  # a lone surrogate
        return float("nan")


def _discarded(corpus: _Corpus, threshold: float) -> Measured:
    kind = corpus.verdicts(threshold).kind
    judged = corpus.readable & (kind != CLASS["unreadable"]) & (kind != CLASS["no_valid_image"])
    lost = judged & (kind == CLASS["below_threshold"])
    return corpus.ratio(lost.astype(np.float64), judged.astype(np.float64), share=True)


def _single_image(corpus: _Corpus, threshold: float, keep: float) -> Measured:
    kept = corpus.sequences(threshold, keep)
    single = corpus.verdicts(threshold).image_tokens == 1
    return corpus.ratio(kept * single, kept, share=True)


def _images(corpus: _Corpus, extreme: Callable[[Ints], int] | None) -> Measured:
    """Return the images of a sequence: an extreme, or the median."""
    images = corpus.verdicts(_LOADER.threshold).image_tokens
    kept = corpus.sequences(_LOADER.threshold, _LOADER.single_image_keep)
    if extreme is None:
        return corpus.median(images, kept)
    return _extreme(images[kept > 0], extreme)


def _length(corpus: _Corpus) -> Measured:
    length = np.minimum(corpus.verdicts(_LOADER.threshold).length, _LOADER.max_tokens)
    return corpus.median(length, corpus.sequences(_LOADER.threshold, _LOADER.single_image_keep))


def _extreme(values: Ints, extreme: Callable[[Ints], int]) -> Measured:
    if not len(values):
        return Measured()
    return Measured(float(extreme(values)), documents=len(values))


def _stored_share(corpus: _Corpus, threshold: float) -> Measured:
    pairs = corpus.stored
    kept = pairs.document[pairs.cut(threshold) :]
    return corpus.ratio(_per_document(corpus, kept), _per_document(corpus, pairs.document),
                        share=True)  # fmt: skip


def _stored_mean(corpus: _Corpus) -> Measured:
    pairs = corpus.stored
    total = _per_document(corpus, pairs.document, pairs.score + 1)  # not negative
    found = corpus.ratio(total, _per_document(corpus, pairs.document))
    value, low, high = (x if x is None else x - 1 for x in (found.value, found.low, found.high))
    return Measured(value, low, high, found.documents)


def _per_document(corpus: _Corpus, document: Ints | Any, weight: Floats | None = None) -> Floats:
    found = np.bincount(document, weight, len(corpus.readable))
    return np.asarray(found * corpus.readable, np.float64)


def _page_images(corpus: _Corpus, extreme: Callable[[Ints], int] | None) -> Measured:
    """Return the images of a document: an extreme, or the mean."""
    if extreme is None:
        images = np.where(corpus.readable, corpus.n_images, 0).astype(np.float64)
        return corpus.ratio(images, corpus.readable.astype(np.float64))
    return _extreme(corpus.n_images[corpus.readable], extreme)


def _page_tokens(corpus: _Corpus) -> Measured:
    known = corpus.readable & np.isfinite(corpus.n_tokens)
    return corpus.ratio(np.where(known, corpus.n_tokens, 0.0), known.astype(np.float64))


REPORT: Final = FigureSource(
    "OpenFlamingo's report (arXiv 2308.01390), appendix B, figure 4 and table 2",
    "Argmax matching, as in the loader before pull request 238, with its defaults: images of at "
    "least 11,000 bytes, at most 6 images and 256 tokens, single-image keep probability 0.5. "
    "Discarded: documents of which no image reaches the threshold, among those with a valid image "
    "(these the loader rejects before its single-image drop). Single-image sequences were counted "
    "on 1,000; the source does not say whether before or after that drop, so both are given. "
    "Images and tokens per sequence: after it, at 0.24.",
    _LOADER,
)
TABLE_3: Final = FigureSource(
    "MMC4's paper (arXiv 2304.06939), table 3",
    "The corpus's own assignment (matched_text_index, matched_sim) of all images that are not "
    "missing, whatever their size.",
    _STORED,
)
JUDGED: Final = FigureSource(
    "MMC4's paper (arXiv 2304.06939), text: 799 images",
    "Judged by hand. The published CI takes the images for independent.",
)
README: Final = FigureSource(
    "README of allenai/mmc4, v1.1",
    "Totals per document. Images: entries of image_info. Tokens: of the whole text, by the "
    "tokenizer in use; the README does not name its own.",
)
TEXTBOOK: Final = FigureSource(
    "Multimodal Textbook (arXiv 2501.00958), table 1",
    "Images: entries of image_info. Tokens: of the whole text, by the tokenizer in use; the "
    "published ones may have been counted by another.",
)
SOURCES: Final = (REPORT, TABLE_3, JUDGED, README, TEXTBOOK)

_SAMPLED: Final = 1000  # sequences, in the report
_TOTALS: Final = {  # documents and images in millions, tokens in billions
    "MMC4": (101.2, 571, 43),
    "MMC4-ff": (77.7, 375, 33),
    "MMC4-core": (7.3, 29.9, 2.4),
    "MMC4-core-ff": (5.5, 22.4, 1.8),
}
_PAGES: Final = {  # images of a document: minimum, maximum, mean; mean tokens
    "MMC4": (0, 117, 5.7, 417),
    "MMC4-core-ff": (0, 15, 4.1, 329),
    "OBELICS": (1, 30, 2.5, 816),
    "OmniCorpus": (1, 16, 3.9, 574),
}


def _of_report() -> list[ReferenceFigure]:
    discarded, single = {0.24: 0.427, 0.32: 0.887}, {0.24: 0.38, 0.32: 0.58}
    keep, shares = _LOADER.single_image_keep, list[ReferenceFigure]()
    for threshold, share in discarded.items():
        shares.append(ReferenceFigure(
            f"discarded_{threshold}", f"documents discarded at {threshold}", share, "share",
            REPORT, "MMC4", partial(_discarded, threshold=threshold),
        ))  # fmt: skip
    for name, words, p in (
        ("", "single-image sequences at", keep),
        ("_before", "single-image before the drop,", 1.0),
    ):
        shares += [ReferenceFigure(
            f"single_image{name}_{threshold}",
            f"{words} {threshold}", share, "share",
            REPORT, "MMC4", partial(_single_image, threshold=threshold, keep=p), _SAMPLED,
        ) for threshold, share in single.items()]  # fmt: skip
    kinds = {"min": (1, np.min, "minimum"), "max": (6, np.max, "maximum"),
             "median": (2, None, "median")}  # fmt: skip
    images = [
        ReferenceFigure(
            f"sequence_images_{name}", f"images per sequence, {word}", value, "images",
            REPORT, "MMC4", partial(_images, extreme=extreme),
        ) for name, (value, extreme, word) in kinds.items()
    ]  # fmt: skip
    tokens = ReferenceFigure(
        "sequence_tokens_median", "tokens per sequence, median", 256, "tokens",
        REPORT, "MMC4", _length,
    )  # fmt: skip
    return [*shares, *images, tokens]


def _of_mmc4() -> list[ReferenceFigure]:
    reaching = {0.15: 0.980, 0.20: 0.725, 0.25: 0.373, 0.30: 0.093}
    pairs = [
        ReferenceFigure(
            f"pairs_{threshold:.2f}", f"pairs at or above {threshold:.2f}", share, "share",
            TABLE_3, "MMC4", partial(_stored_share, threshold=threshold),
        ) for threshold, share in reaching.items()
    ]  # fmt: skip
    mean = ReferenceFigure(
        "pair_score_mean", "mean score of pairs", 0.240, "score", TABLE_3, "MMC4", _stored_mean
    )
    judged = [
        ReferenceFigure(f"images_{name}", f"images that fit {words}", share, "share",
                        JUDGED, "MMC4", None, 799)
        for name, words, share in (
            ("fit_sentence", "their assigned sentence", 0.776), ("fit_topic", "the topic", 0.895),
        )
    ]  # fmt: skip
    return [*pairs, mean, *judged]


def _of_pages() -> list[ReferenceFigure]:
    found = []
    for source, corpora in ((README, _TOTALS), (TEXTBOOK, _PAGES)):
        for corpus, numbers in corpora.items():
            if source is README:
                documents, images, tokens = numbers  # type: ignore[misc]
                values = {"mean": images / documents}, 1000 * tokens / documents
            else:
                least, most, mean, tokens = numbers  # type: ignore[misc]
                values = {"min": least, "max": most, "mean": mean}, tokens
            found += _of_documents(source, corpus, *values)
    return found


def _of_documents(
    source: FigureSource, corpus: str, images: dict[str, float], tokens: float
) -> list[ReferenceFigure]:
    kinds = {"min": (np.min, "minimum"), "max": (np.max, "maximum"), "mean": (None, "mean")}
    found = [
        ReferenceFigure(
            f"document_images_{name}", f"images per document, {kinds[name][1]} ({corpus})", value,
            "images", source, corpus, partial(_page_images, extreme=kinds[name][0]),
        ) for name, value in images.items()
    ]  # fmt: skip
    label = f"tokens per document, mean ({corpus})"
    mean = ReferenceFigure("document_tokens_mean", label, tokens, "tokens", source, corpus,
                           _page_tokens)  # fmt: skip
    return [*found, mean]


FIGURES: Final = (*_of_report(), *_of_mmc4(), *_of_pages())


def compare_figures(
    columns: Sequence[Columns],
    matched: Callable[[LoaderConfig], Matched],
    clip_model: str,
    *,
    own_scores: bool = True,
    drawn: DrawnSample | None = None,
) -> ReferenceComparison:
    """Compute every published figure on the corpus at hand.

    Parameters
    ----------
    columns : sequence of Columns
    matched : callable
        Returns them matched under a size limit and assignment; only called if scores are needed.
    clip_model : str
        The model that produced the scores, ``unknown`` if it was never named.
    own_scores : bool
        Whether the scores are the shards' own, to which the stored assignment belongs.
    drawn : DrawnSample, optional
        If only a sample is at hand, its clusters, which contain ``columns`` in order.
    """
    corpus, found, used = _Corpus(columns, matched, drawn), list[ComparedFigure](), False
    for source in SOURCES:  # one after the other: one assignment's pairs are held at a time
        reason = _reason(corpus, source, clip_model, own_scores=own_scores)
        used |= not reason and source.scored is not None
        found += [_measured(corpus, f, reason) for f in FIGURES if f.source is source]
    return ReferenceComparison(tuple(found), tuple(_notes(corpus, clip_model, used=used)))


def _measured(corpus: _Corpus, figure: ReferenceFigure, reason: str) -> ComparedFigure:
    if reason or figure.measure is None:
        return ComparedFigure(figure, Measured(), reason)
    here = figure.measure(corpus)
    return ComparedFigure(
        figure, here, "" if here.value is not None else "nothing is left to count"
    )


def _reason(corpus: _Corpus, source: FigureSource, clip_model: str, *, own_scores: bool) -> str:
    """Return why the corpus cannot tell the figures of a source, or nothing."""
    if source is JUDGED:
        return "documents do not tell: label pairs on the page Label (mmc4viz app)"
    if not corpus.readable.any():
        return "no document can be read"
    if source.scored is None:
        return ""
    if clip_model != "unknown" and not is_model(clip_model, MODEL):
        return f"published for {MODEL}; the scores here are by {clip_model}"
    if source is TABLE_3 and not own_scores:
        return "the stored assignment belongs to the shards' own scores; choose these"
    pairs = corpus.matched(source.scored)
    scores = pairs.scores()
    if not len(scores):
        return "no stored pair" if source is TABLE_3 else "no matched pair: no images or no scores"
    if pairs.scale.name != "cosine":
        return f"published for cosines; the scale of the scores here is {pairs.scale.name}"
    return ""


def _notes(corpus: _Corpus, clip_model: str, *, used: bool) -> list[str]:
    found = []
    if used and clip_model == "unknown":
        found.append(f"The CLIP model is not named; its scores are taken for those of {MODEL}.")
    if used and any(part.sizes_unknown for part in corpus.columns):
        found.append("Images without known size are not dropped by the size limit.")
    out = len(corpus.readable) - int((corpus.readable | corpus.chatgpt).sum())
    for count, what in ((out, "unreadable"), (int(corpus.chatgpt.sum()), "ChatGPT-generated")):
        if count:
            noun = "document is" if count == 1 else "documents are"
            found.append(f"{count:,} {what} {noun} left out.")
    lost = int((corpus.readable & ~np.isfinite(corpus.n_tokens)).sum())
    if lost:
        noun = "document has" if lost == 1 else "documents have"
        found.append(f"{lost:,} {noun} no text that can be tokenized, and no tokens in the mean.")
    found.append(ASSUMPTION)
    return found


ASSUMPTION: Final = (
    "The 95% CIs take these documents for a random sample of many more; the unit is the document. "
    "Minima and maxima grow apart with the number of documents and have none."
)
