"""Known tables of image–text pairs: which columns hold what, and by which rule a score is kept.

A layout is recognized by the names of its columns (or by what the first row holds, where there are
no names), never by the name of a file. Which column is a score of which CLIP model, and which is a
further number to filter by, is known by column, since tools such as img2dataset carry columns over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.data.scale import COSINE, Scale

UNKNOWN: Final = "unknown"
ASPECT: Final = "aspect"
"""The name of the computed ratio of the longer to the shorter side of an image."""


@dataclass(frozen=True, slots=True)
class KeepRule:
    """How a score is compared with a threshold.

    Attributes
    ----------
    strict : bool
        Whether a score must be above the threshold (>), not just reach it (≥).
    own_precision : bool
        Whether the threshold is first rounded to the column's own type, as pandas and NumPy do;
        else both are compared in double precision.
    """

    strict: bool = False
    own_precision: bool = False

    @property
    def sign(self) -> str:
        """The comparison as a sign."""
        return ">" if self.strict else "≥"

    def compared(self, thresholds: float | Floats, single: bool) -> Floats:
        """Return what thresholds are compared as, in double precision.

        Parameters
        ----------
        thresholds : float or ndarray of float64
        single : bool
            Whether the column is stored in single precision.

        Examples
        --------
        >>> float(KeepRule(own_precision=True).compared(0.281, single=True))
        0.2809999883174896
        """
        values = np.asarray(thresholds, np.float64)
        return values.astype(np.float32).astype(np.float64) if self.rounds(single) else values

    def rounds(self, single: bool) -> bool:
        """Whether thresholds for a column are rounded to single precision."""
        return self.own_precision and single

    def reached(self, values: Floats, threshold: float, single: bool) -> np.ndarray:
        """Return which values are kept at a threshold; NaN never is."""
        at = self.compared(threshold, single)
        return np.asarray(values > at if self.strict else values >= at)


DEFAULT_RULE: Final = KeepRule()
"""A score is kept when it reaches the threshold, in double precision."""


@dataclass(frozen=True, slots=True)
class ScoreColumn:
    """A numeric column with a grid of thresholds.

    Attributes
    ----------
    name : str
        As in the table.
    model : str
        The CLIP model, or other model, whose score it is; ``unknown``, or empty if it is no score.
    scale : Scale
    """

    name: str
    model: str
    scale: Scale = COSINE

    @property
    def is_score(self) -> bool:
        """Whether it is a model's score of the pair, as opposed to another number."""
        return bool(self.model)


@dataclass(frozen=True, slots=True)
class PairLayout:
    """A known kind of table.

    Attributes
    ----------
    name : str
        As printed and recorded.
    words : str
        What it is, in a few words.
    marks : tuple of str
        Columns by which it is recognized; all must be present.
    any_of : tuple of str
        Columns of which one must be present, if any are named.
    id, url, text, width, height : tuple of str
        Candidates for the column of each role; the first that is present counts.
    rule : KeepRule
    source : str
        Where the columns and the rule are from.
    models : tuple of (str, str)
        Models of columns whose meaning depends on the layout.
    uids : bool
        Whether ids are 128-bit hexadecimal numbers, as DataComp's uid.
    """

    name: str
    words: str
    marks: tuple[str, ...]
    rule: KeepRule
    source: str
    any_of: tuple[str, ...] = ()
    id: tuple[str, ...] = ("uid", "id", "key", "SAMPLE_ID", "sample_id")
    url: tuple[str, ...] = ("url", "URL", "image_url")
    text: tuple[str, ...] = ("text", "TEXT", "caption")
    width: tuple[str, ...] = ("original_width", "width", "WIDTH")
    height: tuple[str, ...] = ("original_height", "height", "HEIGHT")
    models: tuple[tuple[str, str], ...] = ()
    uids: bool = False

    def column_of(self, role: str, columns: Collection[str]) -> str | None:
        """Return the column of a role, such as ``url``; None if there is none."""
        names: tuple[str, ...] = getattr(self, role)
        return next((name for name in names if name in columns), None)


LAYOUTS: Final = (
    PairLayout(
        "datacomp",
        "DataComp metadata",
        ("uid", "clip_b32_similarity_score", "clip_l14_similarity_score"),
        KeepRule(own_precision=True),
        "mlfoundations/datacomp, baselines/apply_filter.py: df[key] >= threshold in pandas",
        id=("uid",),
        uids=True,
    ),
    PairLayout(
        "coyo",
        "COYO-700M",
        ("url", "text", "clip_similarity_vitb32", "clip_similarity_vitl14"),
        DEFAULT_RULE,
        "kakaobrain/coyo-dataset; published without a rule, so compared like the others",
        id=("id",),
        width=("width",),
        height=("height",),
    ),
    PairLayout(
        "img2dataset",
        "rows of img2dataset",
        ("key", "status", "url", "caption"),
        DEFAULT_RULE,
        "rom1504/img2dataset; the rule is that of the table it downloaded",
        id=("key",),
    ),
    PairLayout(
        "laion-5b",
        "LAION-5B metadata",
        ("URL", "TEXT", "similarity"),
        DEFAULT_RULE,
        "rom1504/laion-prepro; scores by ViT-B/32 for English and by mCLIP for other languages",
        any_of=("LANGUAGE", "hash", "pwatermark", "punsafe"),
        models=(("similarity", UNKNOWN),),
    ),
    PairLayout(
        "laion-400m",
        "LAION-400M metadata",
        ("URL", "TEXT", "similarity"),
        DEFAULT_RULE,
        "rvencu/crawlingathome-gpu-hcloud, clip_filter.py: dropped if similarity < threshold, "
        "in double precision",
        models=(("similarity", "ViT-B/32"),),
    ),
    PairLayout(
        "wit",
        "WIT",
        ("language", "page_url", "image_url", "caption_reference_description"),
        DEFAULT_RULE,
        "google-research-datasets/wit: tsv of 17 columns",
        id=("image_url",),
        text=("caption_reference_description", "caption_attribution_description"),
    ),
    PairLayout(
        "captions",
        "captions and urls, as in CC3M and CC12M",
        ("caption", "url"),
        DEFAULT_RULE,
        "google-research-datasets/conceptual-captions: tsv without a header",
        id=("url",),
    ),
    PairLayout(
        "unifilter",
        "quality scores of UniFilter",
        ("key", "quality_score"),
        DEFAULT_RULE,
        "Victorwz/UniFilter, data_scoring: a Parquet file per tar, with each sample's key; the "
        "probability of the upper of two classes, or the output of a regression on classes 0 to 3",
        id=("key",),
        models=(("quality_score", "UniFilter"),),
    ),
    PairLayout(
        "finevision",
        "ratings of FineVision",
        ("relevance_min", "image_correspondence_min", "visual_dependency_min", "formatting_min"),
        DEFAULT_RULE,
        "HuggingFaceM4/FineVision (arXiv 2510.17269): the lowest rating of a row's turns; "
        "huggingface/nanoVLM, data/datasets.py: a turn is dropped if its rating < threshold",
        text=("source",),
        models=(
            ("relevance_min", UNKNOWN),
            ("image_correspondence_min", UNKNOWN),
            ("visual_dependency_min", UNKNOWN),
            ("formatting_min", UNKNOWN),
        ),
    ),
    PairLayout("table", "a table with a text and a url", ("text", "url"), DEFAULT_RULE, "columns"),
    PairLayout("table", "a table with a text and a url", ("TEXT", "URL"), DEFAULT_RULE, "columns"),
)
"""Known tables; the first whose marks are present counts."""

OTHER: Final = PairLayout("table", "a table", (), DEFAULT_RULE, "named by --score")
"""A table of no known kind, whose score a person named."""

MODELS: Final = {
    "clip_b32_similarity_score": "ViT-B/32",
    "clip_l14_similarity_score": "ViT-L/14",
    "clip_similarity_vitb32": "ViT-B/32",
    "clip_similarity_vitl14": "ViT-L/14",
    "similarity": UNKNOWN,
}
"""Columns that are CLIP scores in every layout, and whose."""

_TURNS: Final = Scale("rating", 1, 5, 1, 0)
SCALES: Final = {
    "quality_score": Scale("quality", -0.5, 3.5, 0.001, 3),
    "relevance_min": _TURNS,
    "image_correspondence_min": _TURNS,
    "visual_dependency_min": _TURNS,
    "formatting_min": _TURNS,
}
"""Scales of known scores that are no cosines."""

_PIXELS: Final = Scale("pixels", 0, 4000, 1, 0)
_PROBABILITY: Final = Scale("probability", 0, 1, 0.001, 3)
_RATING: Final = Scale("rating", 0, 10, 0.01, 2)
_COUNT: Final = Scale("count", 0, 1000, 1, 0)
NUMBERS: Final = {
    ASPECT: Scale("ratio", 1, 21, 0.01, 2),
    "width": _PIXELS,
    "height": _PIXELS,
    "original_width": _PIXELS,
    "original_height": _PIXELS,
    "pwatermark": _PROBABILITY,
    "punsafe": _PROBABILITY,
    "watermark_score": _PROBABILITY,
    "nsfw_score_opennsfw2": _PROBABILITY,
    "nsfw_score_gantman": _PROBABILITY,
    "aesthetic": _RATING,
    "aesthetic_score": _RATING,
    "aesthetic_score_laion_v2": _RATING,
    "num_faces": _COUNT,
    "text_length": _PIXELS,
    "word_count": _COUNT,
    "num_tokens_bert": _COUNT,
    "num_tokens_gpt": _COUNT,
}
"""Known numbers besides scores, by column in lower case, with their grids."""


def recognised(columns: Sequence[str]) -> PairLayout | None:
    """Return the layout of a table by its columns; None if it is of no known kind.

    Examples
    --------
    >>> recognised(["URL", "TEXT", "similarity", "WIDTH"]).name
    'laion-400m'
    >>> recognised(["sample_id", "position", "modality"])
    """
    present = set(columns)
    return next(
        (
            one
            for one in LAYOUTS
            if present.issuperset(one.marks)
            and (not one.any_of or not present.isdisjoint(one.any_of))
        ),
        None,
    )


def scores_in(layout: PairLayout, columns: Sequence[str]) -> list[ScoreColumn]:
    """Return the columns that are known to be scores, in the order of the table."""
    known = {**MODELS, **dict(layout.models)}
    return [
        ScoreColumn(name, known[name], SCALES.get(name, COSINE))
        for name in columns
        if name in known
    ]


def numbers_in(layout: PairLayout, columns: Sequence[str]) -> list[ScoreColumn]:
    """Return the other columns that are known to be numbers, and the aspect ratio if computable."""
    found = [
        ScoreColumn(name, "", NUMBERS[name.lower()]) for name in columns if name.lower() in NUMBERS
    ]
    sides = (layout.column_of("width", columns), layout.column_of("height", columns))
    if None not in sides and ASPECT not in columns:
        found.append(ScoreColumn(ASPECT, "", NUMBERS[ASPECT]))
    return found


def named_column(asked: str, columns: Sequence[ScoreColumn]) -> ScoreColumn | None:
    """Return the column that a person means: its name, its CLIP model, or a part of only one name.

    Examples
    --------
    >>> both = [ScoreColumn("clip_b32", "ViT-B/32"), ScoreColumn("clip_l14", "ViT-L/14")]
    >>> named_column("l14", both).name, named_column("vit-b/32", both).name
    ('clip_l14', 'clip_b32')
    >>> named_column("clip", both)
    """
    exact = [one for one in columns if one.name == asked]
    by_model = [one for one in columns if one.model and _bare(one.model) == _bare(asked)]
    by_part = [one for one in columns if _bare(asked) and _bare(asked) in _bare(one.name)]
    for found in (exact, by_model, by_part):
        if len(found) == 1:
            return found[0]
    return None


def _bare(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
