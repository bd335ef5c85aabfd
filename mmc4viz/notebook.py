"""A corpus in a few lines of Python: open it, then ask for curves, decisions, pairs and thresholds.

Examples
--------
>>> import mmc4viz
>>> corpus = mmc4viz.open()  # the sample; else your shards or index
>>> corpus
<mmc4viz corpus: 240 documents in 2 shards, CLIP model sample-a>
>>> config = mmc4viz.LoaderConfig(threshold=0.24)
>>> curves = corpus.curves(config)
>>> curves.at(0.24)["documents"]
104.0
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mmc4viz.data.columns import Columns
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.index import MANIFEST, OWN, UNKNOWN, open_index, sample_folder
from mmc4viz.data.sample import DrawnSample
from mmc4viz.data.scale import Shifts, Thresholds
from mmc4viz.data.shards import expand, fetch, image_source
from mmc4viz.data.thumbnails import entries, picture
from mmc4viz.formats.registry import InputFormat
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.loader.parse import parse_document, read_json
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.loader.walk import training_text, walk
from mmc4viz.sweep.estimate import RATES, rate, sweep_clusters
from mmc4viz.sweep.pairs import Pairs, pairs_of
from mmc4viz.sweep.shape import estimated_shape_rows, shape_rows
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import Matched, match_corpus, sweep
from mmc4viz.text import escaped
from mmc4viz.thresholds import by_yield as by_yields
from mmc4viz.thresholds.budget import (
    Passes,
    TrainingBudget,
    as_sample,
    check_corpus_size,
    exact_passes,
    merged,
    parse_corpus_size,
    part_of,
    passes_of,
)
from mmc4viz.thresholds.by_yield import (
    YIELDS,
    Target,
    by_yield,
    sampled_assumption,
    steps_of_curves,
)
from mmc4viz.thresholds.proposal import Proposal
from mmc4viz.types import ConfigError, Document, LoaderConfig, SliceThresholds, Verdict

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from mmc4viz.reference_figures import ReferenceComparison
    from mmc4viz.slices.comparison import SliceComparison
    from mmc4viz.slices.table import SliceTable
    from mmc4viz.thresholds.combined import Combined, Condition
    from mmc4viz.thresholds.compare.agreement import Candidate
    from mmc4viz.thresholds.compare.frontier import Frontier, SharedYield
    from mmc4viz.thresholds.compare.loaders import LoaderComparison
    from mmc4viz.thresholds.compare.roc import Evidence
    from mmc4viz.thresholds.labels.precision import Labelled

Progress = Callable[[int], object]
_Rated = Callable[[Thresholds], "Condition"]

_MOST_PICTURES: Final = 20  # of one document in a notebook
_STYLE: Final = (
    "<style>.mmc4viz td, .mmc4viz th {text-align: left; vertical-align: top} "
    ".mmc4viz img {max-width: 9em; max-height: 9em} .mmc4viz pre {white-space: pre-wrap}</style>"
)


def open(
    *shards: str | os.PathLike[str],
    index: str | os.PathLike[str] | None = None,
    similarity: str | None = None,
    tokenizer: str | None = None,
    clip_model: str | None = None,
    image_dir: str | None = None,
    input_format: str = "",
    unit: str = TextUnit.SENTENCE,
    sample: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> OpenedCorpus:
    """Open shards or an index.

    Parameters
    ----------
    *shards : str or path
        Shards, folders of shards or glob patterns; also a folder that ``mmc4viz index`` wrote.
        Without shards and index, the sample.
    index : str or path, optional
        An index, instead of shards.
    similarity : str, optional
        Score set of the index; the shards' own scores if left out.
    tokenizer : str, optional
        Name or folder of a tokenizer; the index's own, or GPT-2.
    clip_model : str, optional
        Name of the CLIP model that produced the scores, where neither index nor shards say it.
    image_dir : str, optional
        Images of MMC4's own jsonl.
    input_format : str, optional
        Format of the shards, as ``mmc4viz formats`` lists them; recognized if left out.
    unit : {"sentence", "paragraph"}
        What the texts of formats other than MMC4's are cut into.
    sample : int, optional
        Estimate from a random sample of so many documents, with 95% confidence intervals.
    seed : int
        Of that sample.
    progress : callable, optional
        Called with the number of documents just read, ``tqdm.tqdm().update`` for example.

    Returns
    -------
    OpenedCorpus
        Nothing is read from shards before the first question.

    Raises
    ------
    Mmc4vizError
        When something named is missing or not what it should be.

    Examples
    --------
    >>> open(clip_model="my-clip").clip_model
    'my-clip'
    """
    names = [os.fspath(one) for one in shards]
    if index is None and len(names) == 1 and os.path.isfile(os.path.join(names[0], MANIFEST)):
        index, names = names[0], []
    if names and index is not None:
        raise ConfigError("name shards or an index, not both")
    if index is None and not names and (folder := sample_folder()) is not None:
        names = [str(folder)]
    if sample is not None and not 2 <= sample < 2**31:
        raise ConfigError(f"sample: {sample:,} documents; at least 2 are needed for an interval")
    source: Indexed | Shards
    if index is not None:
        source = Indexed(open_index(os.fspath(index), tokenizer, similarity))
    elif similarity is not None:
        raise ConfigError("similarity chooses a score set of an index: name index=")
    else:
        if unit not in list(TextUnit):
            raise ConfigError(f"unit must be {' or '.join(TextUnit)}, not {unit!r}")
        counter = load_tokenizer(tokenizer or LoaderConfig().tokenizer)
        given = InputFormat(input_format, TextUnit(unit))
        notes: list[str] = []
        source = Shards(expand(names, given, notes), counter, image_dir)
        source.notes += notes
    model = clip_model or source.model
    return OpenedCorpus(source, model, image_dir, sample, seed, progress or _silent)


def _silent(documents: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class YieldCurves:
    """What is kept at each threshold.

    Attributes
    ----------
    rows : list of dict
        One per threshold, with the columns of ``mmc4viz curve``; estimates from a sample carry
        ``NAME_low`` and ``NAME_high``, rates per document of the corpus.
    config : LoaderConfig
        The settings they were computed for.
    passes : Passes or None
        The passes over the data that a budget takes, if one was given; also in the rows.
    """

    rows: list[dict[str, Any]]
    config: LoaderConfig
    passes: Passes | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with one row per threshold."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def at(self, threshold: float) -> dict[str, Any]:
        """Return the row of the nearest threshold.

        Raises
        ------
        ConfigError
            When the threshold lies outside the curves.
        """
        values = [row["threshold"] for row in self.rows]
        if not values or not values[0] <= threshold <= values[-1]:
            between = f"between {values[0]:g} and {values[-1]:g}" if values else "none"
            raise ConfigError(f"no curve at {threshold:g}; thresholds: {between}")
        return self.rows[int(np.abs(np.array(values) - threshold).argmin())]

    def plot(self, *quantities: str) -> go.Figure:
        """Draw quantities against the threshold, each as a share of its highest value.

        Parameters
        ----------
        *quantities : str
            Columns; documents, pairs, image and text tokens if none is named.
        """
        from mmc4viz.charts import yields

        return yields(self.rows, quantities or RATES[:4], self.config.threshold)

    def plot_passes(self) -> go.Figure:
        """Draw the passes that the budget takes against the threshold.

        Raises
        ------
        ConfigError
            When no budget was given.
        """
        from mmc4viz.charts.tradeoff import passes

        if self.passes is None:
            raise ConfigError("no budget: give one to curves, such as budget='60M'")
        return passes(self.passes, self.config.threshold)

    def _repr_html_(self) -> str:
        return str(self.to_pandas()._repr_html_())  # type: ignore[operator]


@dataclass(frozen=True)
class DocumentView:
    """One document with what the loader does to it; shown as HTML in a notebook.

    Attributes
    ----------
    shard : str
    number : int
        In its shard, from 0.
    document : Document
    verdict : Verdict
    text : str
        What the training sequence is cut from, empty where there is none.
    pictures : tuple of (str or None)
        Small JPEGs as data URIs, one per image.
    """

    shard: str
    number: int
    document: Document
    verdict: Verdict
    text: str
    pictures: tuple[str | None, ...]

    def _repr_html_(self) -> str:
        found = self.verdict
        detail = f": {found.detail}" if found.detail else ""
        head = (
            f"<h4>{escaped(found.key)}</h4><p>{escaped(self.shard)}, document {self.number + 1:,}. "
            f"<b>{escaped(str(found.outcome).replace('_', ' '))}</b>{escaped(detail)}. "
            f"Keep probability {found.keep_probability:g}, {found.image_tokens} image tokens "
            f"({found.mispaired} mispaired), {found.text_tokens:,} text tokens.</p>"
        )
        rows = "".join(map(self._row, found.pairs))
        names = "".join(f"<th>{name}</th>" for name in ("image", "sentence", "score", "status"))
        pairs = f"<table><tr>{names}</tr>{rows}</table>" if rows else ""
        text = f"<summary>Training sequence</summary><pre>{escaped(self.text)}</pre>"
        text = f"<details>{text}</details>" if self.text else ""
        return f'{_STYLE}<div class="mmc4viz">{head}{pairs}{text}</div>'

    def _row(self, pair: Any) -> str:
        shown = self.pictures[pair.image] if pair.image < len(self.pictures) else None
        words = self.document.sentences[pair.sentence]
        image = f'<img src="{escaped(shown)}" alt="">' if shown else f"image {pair.image + 1}"
        status = str(pair.status).replace("_", " ")
        return (
            f'<tr><td>{image}</td><td dir="auto">{escaped(str(words))}</td>'
            f"<td>{pair.score:.4f}</td><td>{escaped(status)}</td></tr>"
        )


@dataclass(frozen=True)
class SliceTables:
    """Slices of a corpus compared with the whole.

    Attributes
    ----------
    comparisons : list of SliceComparison
        One per attribute.
    """

    comparisons: list[SliceComparison]

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with one row per slice, those that the threshold costs most first."""
        import pandas as pd

        from mmc4viz.slices.comparison import ordered
        from mmc4viz.slices.rows import HEAD, cells

        rows = [row for one in self.comparisons for row in cells(one, ordered(one.slices, "cost"))]
        return pd.DataFrame(rows, columns=list(HEAD)).replace("", None)

    def _repr_html_(self) -> str:
        from mmc4viz.slices.comparison import ASSUMPTION

        frame = self.to_pandas()._repr_html_()  # type: ignore[operator]
        return f"{frame}<p>{escaped(ASSUMPTION)}</p>"


@dataclass(frozen=True)
class FrontierView:
    """What is kept against how good it is, or what two selections share at equal yield.

    Attributes
    ----------
    found : Frontier or SharedYield
    settings : bool
        Whether all lines are settings of one corpus, not CLIP models.
    """

    found: Frontier | SharedYield
    settings: bool

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with one row per line and threshold."""
        import pandas as pd

        return pd.DataFrame(self.found.rows())

    def plot(self) -> go.Figure:
        """Draw quality, or the share that the other keeps too, against what is kept."""
        from mmc4viz.charts import tradeoff
        from mmc4viz.thresholds.compare.frontier import Frontier

        if isinstance(self.found, Frontier):
            return tradeoff.frontier(self.found, settings=self.settings)
        return tradeoff.shared(self.found)

    def _repr_html_(self) -> str:
        words = self.found.in_words()
        lines = [words] if isinstance(words, str) else [*words, *getattr(self.found, "missing", ())]
        return "".join(f"<p>{escaped(line)}</p>" for line in lines)


class OpenedCorpus:
    """Shards or an index, with every question as a method; made by `open`.

    Attributes
    ----------
    source : Shards or Indexed
    clip_model : str
        Whose scores are used, ``unknown`` where nothing says it.

    Slice thresholds, which a command passes on from its config, count in curves, pairs and yields.
    """

    def __init__(
        self,
        source: Indexed | Shards,
        clip_model: str = UNKNOWN,
        image_dir: str | None = None,
        sample: int | None = None,
        seed: int = 0,
        progress: Progress = _silent,
        slice_thresholds: SliceThresholds | None = None,
    ) -> None:
        self.source, self.clip_model = source, clip_model
        self._slices = slice_thresholds
        self._shifts: Shifts | None = None
        self._image_dir, self._sample, self._seed, self._progress = (
            image_dir,
            sample,
            seed,
            progress,
        )
        self._matched: tuple[LoaderConfig, Matched] | None = None

    def __len__(self) -> int:
        return sum(map(len, self.columns))

    def __repr__(self) -> str:
        n_shards = len({part.shard.path for part in self.columns})
        shards = "1 shard" if n_shards == 1 else f"{n_shards:,} shards"
        what = "sampled documents" if self._sample else "documents"
        return f"<mmc4viz corpus: {len(self):,} {what} in {shards}, CLIP model {self.clip_model}>"

    @property
    def errors(self) -> list[str]:
        """What could not be read, one line each; grows while shards are read."""
        return self.source.errors

    @property
    def notes(self) -> list[str]:
        """What answers are based on, one line each."""
        return self.source.notes

    @cached_property
    def drawn(self) -> DrawnSample | None:
        """The random sample, None where all documents are read."""
        if self._sample is None:
            return None
        return self.source.sample(self._sample, self._seed, self._progress)

    @cached_property
    def columns(self) -> Sequence[Columns]:
        """The documents as columns: those of the sample if there is one."""
        if self.drawn is not None:
            return [part for parts in self.drawn.clusters for part in parts]
        return self.source.columns(self._progress)

    def matched(self, config: LoaderConfig) -> Matched:
        """Return matched pairs under a size limit and assignment; the last ones are kept."""
        wanted = config.for_matching()
        if self._matched is None or self._matched[0] != wanted:
            before = self._matched[1] if self._matched else None
            self._matched = wanted, match_corpus(self.columns, wanted, None, before)
        return self._matched[1]

    def shifts(self, matched: Matched) -> Shifts | None:
        """Return how far documents' own thresholds are from the settings'; None without any."""
        if self._slices is None:
            return None
        if self._shifts is None:
            from mmc4viz.slices.attributes import SlicedCorpus
            from mmc4viz.slices.thresholds import resolved

            found = resolved(self._slices, SlicedCorpus(matched))
            self.notes.extend(found.notes)
            self._shifts = found.shifts
        return self._shifts

    def _swept(self, matched: Matched, config: LoaderConfig, thresholds: Thresholds) -> Curves:
        """Sweep all documents, each at its own threshold if slices have some."""
        return sweep(matched, config, thresholds, shifts=self.shifts(matched))

    def curves(
        self,
        config: LoaderConfig | None = None,
        thresholds: Iterable[float] | None = None,
        *,
        shape: bool = False,
        budget: str | TrainingBudget | None = None,
        corpus_size: str | int | None = None,
    ) -> YieldCurves:
        """Compute what is kept at each threshold.

        Parameters
        ----------
        config : LoaderConfig, optional
            The loader's defaults if left out; its threshold does not matter.
        thresholds : iterable of float, optional
            The grid that suits the scores' scale if left out.
        shape : bool
            Whether to add the columns of ``mmc4viz curve --shape``.
        budget : str, optional
            What is trained on in all, such as ``60M``, ``2.4B tokens`` or ``300M images``: adds
            the passes over the data that it takes, in the columns ``passes``, ``passes_low`` and
            ``passes_high``.
        corpus_size : str or int, optional
            Documents of the corpus that these are a part of, such as ``101.2M``.
        """
        config = config or LoaderConfig()
        wanted = TrainingBudget.parse(budget) if isinstance(budget, str) else budget
        size = self._corpus_size(corpus_size, wanted)
        matched = self.matched(config)
        asked = self._grid(matched, config) if thresholds is None else np.unique([*thresholds])
        keep, found = config.single_image_keep, None
        if self.drawn is None:
            curves = self._swept(matched, config, asked)
            rows = curves.rows(keep)
            if shape:
                rows = _joined(rows, shape_rows(curves, keep, config.max_images))
            if wanted is not None:
                found = self._passes(curves, config, wanted, size)
        else:
            self._refuse_slices("a sample")
            swept = sweep_clusters(self.drawn, config, asked)
            rows = self._estimated(swept, keep, asked)
            if shape:
                more = estimated_shape_rows(self.drawn, swept, keep, config.max_images)
                rows = _joined(rows, more)
            if wanted is not None:
                found = _passes_of_sample(self.drawn, swept, keep, wanted, size)
        return YieldCurves(merged(rows, found) if found else rows, config, found)

    def _corpus_size(self, given: str | int | None, budget: TrainingBudget | None) -> int:
        """Return the number of documents of the corpus; 0 if nothing depends on it."""
        if budget is None:
            if given is not None:
                raise ConfigError("a corpus size needs a budget: add one, such as 60M")
            return 0
        size = None if given is None else parse_corpus_size(str(given))
        here, known = len(self), self._documents()
        if size is not None:
            check_corpus_size(size, known or here)
            return size
        if known is None:
            raise ConfigError(
                "a budget needs the corpus size, since a sample leaves shards unread: add it, such "
                "as --corpus-size 101.2M"
            )
        return known

    def _refuse_slices(self, what: str) -> None:
        if self._slices is not None:
            raise ConfigError(f"slice thresholds cannot be used with {what}: omit one of them")

    def _documents(self) -> int | None:
        """Return the number of documents at hand, sampled or not; None if it is unknown."""
        if self.drawn is None:
            return len(self)
        if isinstance(self.source, Indexed):
            return self.source.index.n_documents
        fraction = self.drawn.fraction
        return round(self.drawn.n_documents / fraction) if fraction else None

    def _passes(
        self, curves: Curves, config: LoaderConfig, budget: TrainingBudget, corpus_size: int
    ) -> Passes:
        """Return the passes over these documents, or over a larger corpus if they are a part."""
        if self.drawn is not None:
            swept, keep = (
                sweep_clusters(self.drawn, config, curves.thresholds),
                config.single_image_keep,
            )
            return _passes_of_sample(self.drawn, swept, keep, budget, corpus_size)
        if corpus_size <= len(self):
            return exact_passes(curves, config.single_image_keep, budget)
        self._refuse_slices("a corpus larger than the documents at hand")
        drawn = as_sample(self.columns, corpus_size, self._seed)
        swept = sweep_clusters(drawn, config, curves.thresholds)
        return _passes_of_sample(drawn, swept, config.single_image_keep, budget, corpus_size)

    def explain(self, config: LoaderConfig | None = None) -> pd.DataFrame:
        """Return the loader's decision for every document, one row each."""
        import pandas as pd

        self._refuse_slices("decisions in a notebook")
        config = config or LoaderConfig()
        rows = [
            {
                "shard": part.shard.name,
                "number": part.number(row),
                "key": verdict.key,
                "outcome": str(verdict.outcome),
                "detail": verdict.detail,
                "keep_probability": verdict.keep_probability,
                "images": len(verdict.images),
                "pairs": len(verdict.pairs),
                "image_tokens": verdict.image_tokens,
                "text_tokens": verdict.text_tokens,
                "mispaired": verdict.mispaired,
                **asdict(verdict.shape),
            }
            for part, row, verdict in self._verdicts(config)
        ]
        return pd.DataFrame(rows)

    def pairs(self, config: LoaderConfig | None = None) -> pd.DataFrame:
        """Return every matched pair with its score and status, one row each."""
        import pyarrow as pa

        from mmc4viz.export.manifest import SCHEMAS, chunks, table

        config = config or LoaderConfig()
        matched = self.matched(config)
        found_chunks = chunks(matched, config, shifts=self.shifts(matched))
        batches = [table(chunk, "pairs") for chunk in found_chunks]
        found: pd.DataFrame = pa.Table.from_batches(batches, SCHEMAS["pairs"]).to_pandas()
        return found

    def suggest(
        self,
        config: LoaderConfig | None = None,
        *,
        keep: Mapping[str, str | float] | None = None,
        fdr: float | None = None,
        precision: float | None = None,
        labels: str | None = None,
        passes: float | None = None,
        budget: str | None = None,
        corpus_size: str | int | None = None,
        single_image: float | None = None,
    ) -> list[Proposal]:
        """Suggest thresholds, one for each kind of target, and one that meets all at once.

        Parameters
        ----------
        config : LoaderConfig, optional
        keep : mapping, optional
            Least yields, all at once: ``{"documents": "50%", "pairs": 1000}``.
        fdr : float, optional
            Highest share of incorrect pairs, estimated without labels.
        precision : float, optional
            Lowest share of correct pairs, estimated from ``labels``.
        labels : str, optional
            The SQLite file of labels.
        passes : float, optional
            Most passes over the data in ``budget``, of ``corpus_size`` documents (see `curves`).
        budget : str, optional
        corpus_size : str or int, optional
        single_image : float, optional
            Highest share of single-image sequences among kept ones.

        Returns
        -------
        list of Proposal
            The last one is a `Combined` if there are several kinds of targets, or passes or
            single-image sequences are limited.
        """
        config = config or LoaderConfig()
        if (precision is None) != (labels is None):
            raise ConfigError("precision and labels are given together")
        if (passes is None) != (budget is None):
            raise ConfigError("passes and budget are given together")
        if corpus_size is not None and budget is None:
            raise ConfigError("a corpus size needs passes and a budget")
        targets = [*map(_target, (keep or {}).items())]
        matched = self.matched(config)
        rated = []
        if fdr is not None:
            rated.append(self._by_fdr(matched, fdr))
        if precision is not None and labels is not None:
            rated.append(self._by_precision(matched, config, precision, labels))
        found, rates = [one for one, _ in rated], [at for _, at in rated]
        found = self.with_yields(found, config, targets)
        limited = passes is not None or single_image is not None
        if limited or len(rates) + bool(targets) > 1:
            limits = Limits(passes, budget, corpus_size, single_image)
            found.append(self.combined(config, targets, limits, rates))
        return found

    def combined(
        self,
        config: LoaderConfig,
        targets: Sequence[Target],
        limits: Limits,
        rates: Sequence[_Rated] = (),
    ) -> Combined:
        """Suggest the highest threshold of the grid that meets all targets at once.

        Parameters
        ----------
        config : LoaderConfig
        targets : sequence of Target
            Least yields.
        limits : Limits
        rates : sequence of callable
            Each returns the condition of an estimated rate at the steps of a grid.
        """
        from mmc4viz.thresholds import combined  # imported late to start faster

        matched, keep = self.matched(config), config.single_image_keep
        curves = self._swept(matched, config, matched.scale.thresholds())
        steps = steps_of_curves(curves, keep)
        sampled = None if self.drawn is None else self.drawn.n_documents
        words = by_yields.ASSUMPTION if sampled is None else sampled_assumption(sampled)
        conditions = combined.of_yields(steps, targets, words)
        if limits.passes is not None and limits.budget is not None:
            budget = TrainingBudget.parse(limits.budget)
            size = self._corpus_size(limits.corpus_size, budget)
            found = self._passes(curves, config, budget, size)
            conditions.append(combined.of_passes(found, limits.passes))
        if limits.single_image is not None:
            share = limits.single_image
            conditions.append(combined.of_single_image(curves, keep, share, words))
        return combined.combine(steps, [*conditions, *(rate(steps.threshold) for rate in rates)])

    def with_yields(
        self, proposals: Iterable[Proposal], config: LoaderConfig, targets: Sequence[Target] = ()
    ) -> list[Proposal]:
        """Add what is kept at each proposal, after one by yield if there are targets."""
        matched, proposals = self.matched(config), list(proposals)
        grid, keep = matched.scale.thresholds(), config.single_image_keep
        chosen = [one.threshold for one in proposals if one.threshold is not None]
        curves = self._swept(matched, config, np.union1d(grid, chosen))
        found = [by_yield(steps_of_curves(curves, keep, grid), targets)] if targets else []
        every = steps_of_curves(curves, keep)
        return found + [
            one if one.threshold is None else one.leaving(every.at(curves.step(one.threshold)))
            for one in proposals
        ]

    def slices(
        self,
        by: str | Sequence[str] = "site",
        config: LoaderConfig | None = None,
        *,
        table: str | os.PathLike[str] | None = None,
        most: int = 30,
        labels: str | None = None,
    ) -> SliceTables:
        """Compare slices of documents, or of images, with the whole at the config's threshold.

        Parameters
        ----------
        by : str or sequence of str
            What to divide by, as for ``mmc4viz slices --by``; or columns of ``table``.
        config : LoaderConfig, optional
        table : str or path, optional
            Your own table (Parquet) with the columns shard and key, and image in one of images.
        most : int
            Values that are slices of their own; all others are one slice.
        labels : str, optional
            The SQLite file of labels, for precision.
        """
        from mmc4viz.slices.table import open_slice_table

        own = None if table is None else open_slice_table(os.fspath(table))
        names = [by] if isinstance(by, str) else by
        found = self.compare_slices(names, config or LoaderConfig(), own, most, labels)
        return SliceTables(found)

    def reference(self) -> ReferenceComparison:
        """Compare these documents with the published figures of MMC4 and others.

        Each figure is computed the way its source did, whatever the settings in use.
        """
        from mmc4viz.reference_figures import compare_figures

        source, model = self.source, self.clip_model
        own = not isinstance(source, Indexed) or source.index.similarity == OWN
        return compare_figures(self.columns, self.matched, model, own_scores=own, drawn=self.drawn)

    def compare_loaders(self, config: LoaderConfig, names: Sequence[str] = ()) -> LoaderComparison:
        """Put these documents through several loaders; by default through all."""
        from mmc4viz.thresholds.compare.loaders import compare_loaders

        if self.drawn is not None:
            raise ConfigError("loaders are compared on all documents: open them without sample=")
        self._refuse_slices("a comparison of loaders")
        return compare_loaders(self.columns, config, names, self._progress)

    def loaders(
        self, config: LoaderConfig | None = None, *, names: Sequence[str] = ()
    ) -> pd.DataFrame:
        """Return what is left under the loader of each training code.

        Parameters
        ----------
        config : LoaderConfig, optional
            The settings at hand: its threshold, tokenizer and CLIP model hold for all loaders.
        names : sequence of str, optional
            Loaders to compare with; by default all.

        Returns
        -------
        pandas.DataFrame
            One row per loader: what it keeps at the threshold at hand and at its own, and the
            threshold at which it keeps as many documents as the loader at hand.
        """
        import pandas as pd

        from mmc4viz.thresholds.compare.loaders import rows_of

        return pd.DataFrame(rows_of(self.compare_loaders(config or LoaderConfig(), names)))

    def compare_slices(
        self,
        names: Iterable[str],
        config: LoaderConfig,
        table: SliceTable | None = None,
        most: int = 30,
        labels: str | None = None,
    ) -> list[SliceComparison]:
        """Compare the slices of several attributes; columns of a table come before others."""
        from mmc4viz.slices.attributes import SlicedCorpus
        from mmc4viz.slices.comparison import compare
        from mmc4viz.slices.table import attribute_named

        if self.drawn is not None:
            raise ConfigError("slices need all documents: open the corpus without sample=")
        self._refuse_slices("a comparison of slices")
        asked = [attribute_named(name, table) for name in names]
        matched = self.matched(config)
        corpus, grid = SlicedCorpus(matched), self._grid(matched, config)
        labelled = None if labels is None else self.labelled(corpus.pairs, config, labels)
        found = []
        for attribute in asked:
            division = attribute.divide(corpus, most)
            self.notes.extend(division.notes)
            found.append(compare(corpus, division, config, grid, labelled))
        return found

    def frontier(
        self,
        config: LoaderConfig | None = None,
        *,
        against: Mapping[str, LoaderConfig | OpenedCorpus] | None = None,
        of: str = "documents",
        labels: str | None = None,
        fdr: bool = False,
    ) -> FrontierView:
        """Put what is kept against how good it is, for CLIP models or settings.

        Parameters
        ----------
        config : LoaderConfig, optional
            Its threshold is marked; on the other lines, the threshold that keeps as much.
        against : mapping, optional
            Other lines by name: other settings, or the same documents opened with another CLIP
            model's scores.
        of : str
            What is kept: documents, pairs, image_tokens or text_tokens.
        labels : str, optional
            The SQLite file of labels: quality is precision.
        fdr : bool
            Whether quality is 1 − FDR, estimated without labels.

        Returns
        -------
        FrontierView
            Without labels and ``fdr``, what the two selections have in common at equal yield.
        """
        from mmc4viz.thresholds.compare import frontier as core  # imported late to start faster
        from mmc4viz.thresholds.fdr.estimate import estimate_fdr
        from mmc4viz.thresholds.fdr.matrices import stack_of
        from mmc4viz.thresholds.model_scores import check_comparable

        config, others = config or LoaderConfig(), dict(against or {})
        if of not in YIELDS:
            raise ConfigError(f"of: {of!r} is not one of {', '.join(YIELDS)}")
        if labels is not None and fdr:
            raise ConfigError("give labels or fdr=True, not both")
        if labels is None and not fdr and len(others) != 1:
            raise ConfigError(
                "without labels, two lines are compared: give labels=, fdr=True or one of against="
            )
        if self.drawn is not None:
            raise ConfigError("a frontier needs all documents: open the corpus without sample=")
        lines = {self.clip_model: self._candidate(self.clip_model, config)}
        corpora: dict[str, OpenedCorpus] = {self.clip_model: self}
        for name, other in others.items():
            if name in lines:
                raise ConfigError(f"against: {name!r} is the name of the first line; use another")
            corpora[name] = other if isinstance(other, OpenedCorpus) else self
            setting = config if isinstance(other, OpenedCorpus) else other
            lines[name] = corpora[name]._candidate(name, setting)
            if corpora[name] is not self:
                check_comparable([lines[self.clip_model].model, lines[name].model])
        candidates, at = list(lines.values()), config.threshold
        found: Frontier | SharedYield
        if labels is not None:
            evidence = _evidence_of(corpora, lines, labels)
            found = core.by_precision(candidates, evidence, of, at)
        elif fdr:
            stacks = {name: stack_of(one.model.matched) for name, one in lines.items()}
            estimates = {n: estimate_fdr(stack, seed=self._seed) for n, stack in stacks.items()}
            found = core.by_fdr(candidates, estimates, of, at)
        else:
            found = core.shared(candidates[0], candidates[1], of, at)
        return FrontierView(found, all(one is self for one in corpora.values()))

    def _candidate(self, name: str, config: LoaderConfig) -> Candidate:
        from mmc4viz.thresholds.compare.agreement import Candidate
        from mmc4viz.thresholds.model_scores import Model

        return Candidate(Model(name, self.matched(config)), config)

    def document(
        self, key: str, config: LoaderConfig | None = None, shard: str | None = None
    ) -> DocumentView:
        """Read one document again, with its images and training sequence.

        Parameters
        ----------
        key : str
        config : LoaderConfig, optional
        shard : str, optional
            Name of its shard, where several documents have this key.

        Raises
        ------
        ConfigError
            When no document, or more than one, has this key.
        ShardError
            When its shard has changed.
        """
        self._refuse_slices("decisions in a notebook")
        config = config or LoaderConfig()
        part, row = self._find(key, shard)
        images = image_source(part.shard, self._image_dir)
        offset, size = part.place(row)
        raw = fetch(part.shard, offset, size) if offset >= 0 else b""
        document = part.rescored(parse_document(key, raw, images), row)
        verdict = walk(document, config, part.tokenizer)
        text = ""
        if verdict.token_ids:
            text = training_text(document, verdict, config, part.tokenizer).text
        shown = [] if document.is_gpt or document.error else entries(read_json(raw))
        pictures = tuple(
            picture(e, images) for e, _ in zip(shown, range(_MOST_PICTURES), strict=False)
        )
        return DocumentView(part.shard.name, part.number(row), document, verdict, text, pictures)

    def _find(self, key: str, shard: str | None) -> tuple[Columns, int]:
        import pyarrow.compute as pc  # slow to import

        found = [
            (part, int(row))
            for part in self.columns
            if shard in (None, part.shard.name)
            for row in np.flatnonzero(pc.equal(part.batch.column("key"), key))
        ]
        if len(found) != 1:
            names = ", ".join(sorted({part.shard.name for part, _ in found}))
            raise ConfigError(
                f"{len(found):,} documents have the key {key!r} ({names}): name shard="
                if found
                else f"no document has the key {key!r}"
            )
        return found[0]

    def _verdicts(self, config: LoaderConfig) -> Iterator[tuple[Columns, int, Verdict]]:
        for part in self.columns:
            for row in range(len(part)):
                yield part, row, walk(part.document(row), config, part.tokenizer)

    def _grid(self, matched: Matched, config: LoaderConfig) -> Thresholds:
        """Return the grid of the scores' own scale; without scores, the threshold alone."""
        some = len(matched.scores()) > 0
        return matched.scale.thresholds() if some else np.array([config.threshold])

    def _estimated(
        self, swept: Sequence[Curves], keep: float, asked: Thresholds
    ) -> list[dict[str, Any]]:
        """Return one row per threshold: rates per document with their intervals."""
        assert self.drawn is not None
        columns: dict[str, list[float]] = {"threshold": asked.tolist()}
        for name in RATES:
            found = rate(self.drawn, swept, name, keep)
            columns[name] = found.estimate.tolist()
            columns[f"{name}_low"] = found.low.tolist()
            columns[f"{name}_high"] = found.high.tolist()
        columns["sampled"] = [self.drawn.n_documents] * len(asked)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _by_fdr(self, matched: Matched, wanted: float) -> tuple[Proposal, _Rated]:
        from mmc4viz.thresholds.combined import of_fdr
        from mmc4viz.thresholds.fdr.estimate import by_fdr, estimate_fdr
        from mmc4viz.thresholds.fdr.matrices import stack_of

        found = estimate_fdr(stack_of(matched), seed=self._seed)
        return by_fdr(found, wanted), lambda grid: of_fdr(found, grid, wanted)

    def _by_precision(
        self, matched: Matched, config: LoaderConfig, wanted: float, labels: str
    ) -> tuple[Proposal, _Rated]:
        from mmc4viz.thresholds.combined import of_precision
        from mmc4viz.thresholds.labels.precision import propose

        sample = self.labelled(pairs_of(matched), config, labels).sample
        return propose(sample, wanted), lambda grid: of_precision(sample, grid, wanted)

    def labelled(self, pairs: Pairs, config: LoaderConfig, labels: str) -> Labelled:
        """Read the labels of this corpus under some settings; what does not count is noted."""
        from mmc4viz.thresholds.labels.precision import labelled_for, remarks
        from mmc4viz.thresholds.labels.sampling import Population

        config = config.with_(clip_model=self.clip_model)
        found = labelled_for(labels, config, Population(self.columns, pairs))
        self.notes.extend(f"{labels}: {remark}" for remark in remarks(found))
        return found


@dataclass(frozen=True)
class Limits:
    """What a sequence may be like, and how often it may be seen; None without a limit.

    Attributes
    ----------
    passes : float or None
        Most passes over the data in ``budget``.
    budget : str or None
    corpus_size : str or int or None
        Documents of the corpus that these are a part of.
    single_image : float or None
        Highest share of single-image sequences among kept ones.
    """

    passes: float | None = None
    budget: str | None = None
    corpus_size: str | int | None = None
    single_image: float | None = None


def _evidence_of(
    corpora: Mapping[str, OpenedCorpus], lines: Mapping[str, Candidate], labels: str
) -> Evidence:
    """Read the labels of each line's pairs, whatever its name."""
    from mmc4viz.thresholds.compare.roc import Evidence
    from mmc4viz.thresholds.labels.store import LabelsError

    found, without = dict[str, Any](), dict[str, str]()
    for name, one in lines.items():
        try:
            found[name] = corpora[name].labelled(one.model.pairs, one.config, labels)
        except LabelsError as error:
            without[name] = str(error)
    if not found:
        raise LabelsError(next(iter(without.values())))
    return Evidence(found, without)


def _joined(rows: list[dict[str, Any]], more: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one | other for one, other in zip(rows, more, strict=True)]


def _passes_of_sample(
    drawn: DrawnSample,
    swept: Sequence[Curves],
    keep: float,
    budget: TrainingBudget,
    corpus_size: int,
) -> Passes:
    """Return the passes over a corpus of which a sample was swept, cluster by cluster."""
    kept = rate(part_of(drawn, corpus_size), swept, budget.quantity, keep)
    return passes_of(budget, swept[0].thresholds, kept, corpus_size, drawn.n_documents)


def _target(item: tuple[str, str | float]) -> Target:
    name, amount = item
    return Target.parse(f"{name}={amount if isinstance(amount, str) else Fraction(amount)}")
