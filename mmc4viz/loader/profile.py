"""Loader profiles: what sets one loader apart from another, as a choice among the same few parts.

A profile is read by the reference walk (`mmc4viz.loader.walk`), which knows no loader by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from mmc4viz.loader.assignment import ASSIGNMENTS, Match, one_to_one, rows_of
from mmc4viz.loader.template import CutRule, Placing, Template, TokenizedUnit
from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer
from mmc4viz.loader.tokenizer_files import IMAGE, OPENFLAMINGO_TOKENS, PADDING
from mmc4viz.types import ABSENT, Document, DocumentError, Image, ImageStatus, LoaderConfig

NO_SENTENCE: Final = -1
"""In place of a match's sentence: what is stored is no position of a sentence."""
NOT_STORED: Final = -2
"""In place of a match's sentence: nothing is stored."""

Matcher = Callable[[Document, Sequence[ImageStatus], LoaderConfig], list[Match]]
"""Match the images whose status is ``matched``, given the status of all.

A match's row counts these images only. Raises a DocumentError where the loader fails on the
document at any threshold.
"""


_TEXT: Final = Template()


class Order(StrEnum):
    """The order in which kept images are handed over."""

    PAGE = "page"  # as listed
    SENTENCE = "sentence"  # by sentence; images of one sentence as listed


class Cap(StrEnum):
    """Which images stay when more than ``max_images`` pass the threshold."""

    FIRST = "first"  # on the page
    RANDOM = "random"  # all with the same probability
    NONE = "none"  # all of them: the token limit alone ends a sequence


@dataclass(frozen=True, slots=True)
class LoaderProfile:
    """What one loader does to a document.

    Attributes
    ----------
    name : str
        Short, as in the recorded verdicts of its original.
    label : str
        As shown to people.
    source : str
        The code that it describes: repository, file, and commit or tag.
    matcher : Matcher
        How images get their sentences and scores.
    needs_matrix : bool
        Whether a document without ``similarity_matrix`` is unreadable.
    to_shorter : bool
        Whether images and matrix rows are read together, and those beyond the shorter ignored.
    missing_is_fatal : bool
        Whether a missing image makes its document unreadable.
    broken_is_fatal : bool
        Whether a broken image makes its document unreadable; otherwise it alone is dropped.
    fills_truncated : bool
        Whether the missing part of a truncated image is filled, so that it is not broken.
    decodes_all : bool
        Whether every image that is large enough is decoded; otherwise only those whose score
        reaches the threshold, so that a broken one costs the document at low thresholds only.
    reads_chatgpt : bool
        Whether ChatGPT-generated documents are read as such.
    has_threshold : bool
        Whether pairs below ``threshold`` are dropped.
    checks_end : bool
        Whether a document is dropped whose only image token is the last of ``max_tokens``.
    cap : Cap
    order : Order
    template : Template
        What is written for an image, and how a sequence is cut.
    hands_over_cut : bool
        Whether the model receives kept images whose token is cut off.
    counts_images : bool
        Whether the minimum and the single-image rule count images rather than image tokens.
    special_tokens : tuple of str
        Added to the tokenizer, in this order (`mmc4viz.loader.tokenizer.load_tokenizer`).
    settings : mapping of str to Any
        The loader's own defaults, where they differ from `LoaderConfig`'s.

    Examples
    --------
    >>> PROFILES["openflamingo-1"].settings["max_images"]
    5
    """

    name: str
    label: str
    source: str
    matcher: Matcher
    needs_matrix: bool = True
    to_shorter: bool = False
    missing_is_fatal: bool = False
    broken_is_fatal: bool = True
    fills_truncated: bool = False
    decodes_all: bool = True
    reads_chatgpt: bool = True
    has_threshold: bool = True
    checks_end: bool = True
    cap: Cap = Cap.FIRST
    order: Order = Order.PAGE
    template: Template = _TEXT
    hands_over_cut: bool = True
    counts_images: bool = False
    special_tokens: tuple[str, ...] = OPENFLAMINGO_TOKENS
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.is_random and self.template.cut is not CutRule.NONE:
            raise ValueError("means are only known for sequences that are not cut")

    @property
    def is_random(self) -> bool:
        """Whether one document can give several sequences."""
        return self.cap is Cap.RANDOM or self.template.placing is Placing.EITHER

    def page_of(self, document: Document) -> Document:
        """Return a document as the loader reads it: as a page, if it does not know ``is_gpt``."""
        return document if self.reads_chatgpt else document.page or document

    def tokenizer(self, name: str) -> Tokenizer:
        """Load a tokenizer as the loader sets it up; raises a TokenizerError if it cannot be."""
        return load_tokenizer(name, self.special_tokens, self.template.mark)


def by_assignment(
    document: Document, statuses: Sequence[ImageStatus], config: LoaderConfig
) -> list[Match]:
    """Match by ``config.assignment``, on the matrix rows of the valid images."""
    valid = valid_images(statuses)
    if not valid:
        return []
    rows = rows_of(document.similarity, valid)
    return ASSIGNMENTS[config.assignment](rows, [document.images[i] for i in valid])


def by_row(
    document: Document, statuses: Sequence[ImageStatus], config: LoaderConfig
) -> list[Match]:
    """Give each image the most similar sentence of its own row, NaN before all others.

    The row of each image that is there is read by itself, also if the image is too small.
    """
    found: list[Match] = []
    rows = zip(statuses, _listed(document.similarity), strict=False)
    for number, (status, row) in enumerate(rows):
        if status is ImageStatus.MISSING:
            continue
        try:
            sentence = int(np.argmax(row))
            score = row[sentence]
        except Exception as error:  # of any type, as the row is
            raise DocumentError(f"row {number + 1} of the matrix has no best sentence") from error
        if status is ImageStatus.MATCHED:
            found.append(Match(len(found), sentence, _compared(score, number)))
    return found


def by_own_rows(
    document: Document, statuses: Sequence[ImageStatus], config: LoaderConfig
) -> list[Match]:
    """Match one-to-one on the valid images' rows alone, whatever the others are."""
    valid = valid_images(statuses)
    if not valid:
        return []
    try:
        own = [document.similarity[number] for number in valid]
    except Exception as error:  # of any type, as the matrix is
        raise DocumentError("the similarity matrix has no row for an image") from error
    return one_to_one(rows_of(own, range(len(valid))), [document.images[i] for i in valid])


def by_row_softmax(
    document: Document, statuses: Sequence[ImageStatus], config: LoaderConfig
) -> list[Match]:
    """Match one-to-one on each row's softmax, which is the score; integers are refused.

    Between equal scores the last bit of the exponentials decides, which differs among processors.
    """
    valid = valid_images(statuses)
    if not valid:
        return []
    rows = rows_of(document.similarity, valid)
    if rows.dtype.kind != "f":
        raise DocumentError("the similarity matrix holds integers, which have no softmax")
    if not rows.shape[1]:
        return []
    with np.errstate(all="ignore"):  # infinities become NaN, and are refused as such
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
    return one_to_one(shares, [document.images[i] for i in valid])


def as_stored(
    document: Document, statuses: Sequence[ImageStatus], config: LoaderConfig
) -> list[Match]:
    """Use ``matched_text_index`` and ``matched_sim`` as they stand, whatever they are."""
    n_sentences, found = _n_sentences(document), list[Match]()
    for number in valid_images(statuses):
        image = document.images[number]
        sentence = _position(image.stored_sentence, n_sentences)
        found.append(Match(len(found), sentence, _compared(image.stored_score, number)))
    return found


def as_stored_without_scores(
    document: Document, statuses: Sequence[ImageStatus], config: LoaderConfig
) -> list[Match]:
    """Use ``matched_text_index`` as it stands; a score is only shown, NaN if it is no number.

    Every image that is read must have an index, but only those within the cap need a sound one.
    """
    n_sentences, found = _n_sentences(document), list[Match]()
    for number in valid_images(statuses):
        stored = document.images[number].stored_sentence
        if stored is ABSENT:
            raise DocumentError(f"image {number + 1} has no matched_text_index")
        sentence = _position(stored, n_sentences)
        index = stored if sentence >= 0 and stored != sentence else None
        found.append(Match(len(found), sentence, _shown(document.images[number]), index))
    return found


def as_stored_slices(
    document: Document, statuses: Sequence[ImageStatus], config: LoaderConfig
) -> list[Match]:
    """Use ``matched_text_index`` as the end of a slice, beyond the last sentence too.

    Such an image belongs to the last sentence, one before the first to the first.
    """
    n_sentences, found = _n_sentences(document), list[Match]()
    for number in valid_images(statuses):
        stored = document.images[number].stored_sentence
        if not isinstance(stored, int):
            raise DocumentError(f"the matched_text_index of image {number + 1} is not an integer")
        last = range(n_sentences)[: stored + 1][-1:] or (0,)
        index = None if stored == last[0] else int(stored)
        found.append(Match(len(found), last[0], _shown(document.images[number]), index))
    return found


def as_stored_everywhere(
    document: Document, statuses: Sequence[ImageStatus], config: LoaderConfig
) -> list[Match]:
    """Use ``matched_text_index`` and ``matched_sim`` of every entry, also where its image is lost.

    Any number is an index until the image is placed.
    """
    n_sentences, found = _n_sentences(document), list[Match]()
    for number, image in enumerate(document.images[: n_rows(document)]):
        if image.stored_sentence is ABSENT:
            raise DocumentError(f"image {number + 1} has no matched_text_index")
        score = _compared(image.stored_score, number)
        if statuses[number] is ImageStatus.MATCHED:
            stored, sentence = image.stored_sentence, _position(image.stored_sentence, n_sentences)
            index = int(stored) if sentence >= 0 and stored != sentence else None
            found.append(Match(len(found), sentence, score, index))
    return found


def _shown(image: Image) -> float:
    try:
        return _compared(image.stored_score, 0)
    except DocumentError:
        return math.nan


def valid_images(statuses: Sequence[ImageStatus]) -> list[int]:
    """Return the images to match, given the status of all."""
    return [number for number, one in enumerate(statuses) if one is ImageStatus.MATCHED]


def _listed(similarity: Any) -> list[Any]:
    try:
        return list(similarity)
    except TypeError:
        raise DocumentError("the similarity matrix is not a list") from None


def n_rows(document: Document) -> int:
    """Return the number of matrix rows; raises a DocumentError if it has none to count."""
    return len(_listed(document.similarity))


def _n_sentences(document: Document) -> int:
    if document.counts is not None:
        return len(document.counts.rest)
    return len(document.sentences) if isinstance(document.sentences, list | str | dict) else 0


def _position(stored: Any, n_sentences: int) -> int:
    """Return the sentence that an index of a Python list means; a negative one counts from the end.

    Examples
    --------
    >>> _position(-1, 4), _position(True, 4), _position(4, 4) == NO_SENTENCE
    (3, 1, True)
    """
    if stored is ABSENT:
        return NOT_STORED
    if not isinstance(stored, int) or not -n_sentences <= stored < n_sentences:
        return NO_SENTENCE
    return int(stored) % n_sentences


def _compared(score: Any, number: int) -> float:
    """Return what a score is when compared with a threshold; raises if it cannot be."""
    try:
        below = bool(score < 0.0)
        return float(score)
    except OverflowError:  # an integer beyond all floats
        return -math.inf if below else math.inf
    except Exception:
        raise DocumentError(f"the score of image {number + 1} is not a number") from None


OPENFLAMINGO: Final = LoaderProfile(
    "openflamingo",
    "OpenFlamingo (since August 2023)",
    "mlfoundations/open_flamingo, open_flamingo/train/data.py, since pull request 238",
    by_assignment,
)
OPENFLAMINGO_2: Final = LoaderProfile(
    "openflamingo-2.0",
    "OpenFlamingo 2.0",
    "mlfoundations/open_flamingo, open_flamingo/train/data.py, tags 2.0.0 and 2.0.1",
    by_row,
    to_shorter=True,
    decodes_all=False,
    settings=MappingProxyType({"assignment": "argmax"}),
)
OPENFLAMINGO_1: Final = LoaderProfile(
    "openflamingo-1",
    "OpenFlamingo 1 and Otter",
    "mlfoundations/open_flamingo, open_flamingo/train/data.py, commit 95426dd; "
    "Luodian/Otter, pipeline/mimicit_utils/data.py",
    as_stored,
    needs_matrix=False,
    missing_is_fatal=True,
    decodes_all=False,
    reads_chatgpt=False,
    checks_end=False,
    settings=MappingProxyType({"assignment": "stored", "max_images": 5, "threshold": 0.32}),
)
OMNICORPUS_OPENFLAMINGO: Final = LoaderProfile(
    "omnicorpus-openflamingo",
    "OmniCorpus's OpenFlamingo",
    "OpenGVLab/OmniCorpus, mllm_openflamingo/open_flamingo/train/data.py",
    by_assignment,
    missing_is_fatal=True,
)
OMNICORPUS_SIMILARITY: Final = LoaderProfile(
    "omnicorpus-similarity",
    "OmniCorpus's OpenFlamingo, on its similarity files",
    "OpenGVLab/OmniCorpus, mllm_openflamingo/open_flamingo/train/data.py, "
    "preprocess_interleaved_omnicorpus_w_similarities",
    by_row_softmax,
    missing_is_fatal=True,
    reads_chatgpt=False,
)
OMNICORPUS_LLAVA: Final = LoaderProfile(
    "omnicorpus-llava",
    "OmniCorpus's LLaVA",
    "OpenGVLab/OmniCorpus, mllm_llava/llava/train/datasets.py",
    by_own_rows,
    missing_is_fatal=True,
    reads_chatgpt=False,
    has_threshold=False,
    checks_end=False,
    special_tokens=(IMAGE,),
    settings=MappingProxyType(
        {"min_kb": -1, "min_images": 0, "single_image_keep": 1.0, "max_tokens": 4096}
    ),
)
_EVERY_DOCUMENT: Final = {"min_kb": -1, "min_images": 0, "single_image_keep": 1.0}
VILA: Final = LoaderProfile(
    "vila",
    "VILA 1.5",
    "NVlabs/VILA, llava/data/dataset.py, branch vila1.5",
    as_stored_without_scores,
    to_shorter=True,
    missing_is_fatal=True,
    fills_truncated=True,
    reads_chatgpt=False,
    has_threshold=False,
    checks_end=False,
    order=Order.SENTENCE,
    template=Template(unit=TokenizedUnit.PIECES, guard="<IMAGE>"),
    hands_over_cut=False,
    special_tokens=(PADDING, IMAGE),
    settings=MappingProxyType({**_EVERY_DOCUMENT, "assignment": "stored", "max_tokens": 4096}),
)
DREAMLLM: Final = LoaderProfile(
    "dreamllm",
    "DreamLLM",
    "RunpeiDong/DreamLLM, omni/data/datasets/unified_it_interleaved_webdataset.py and "
    "omni/data/builders/builder_dreamllm.py",
    as_stored_slices,
    needs_matrix=False,
    missing_is_fatal=True,
    reads_chatgpt=False,
    has_threshold=False,
    checks_end=False,
    cap=Cap.NONE,
    order=Order.SENTENCE,
    template=Template(
        image=(
            ("<dream_start>", 1),
            ("<im_patch>", 64),
            ("<dream_end>", 1),
            ("<im_start>", 1),
            ("<im_patch>", 256),
            ("<im_end>", 1),
        ),
        mark="<im_start>",
        placing=Placing.AFTER,
        unit=TokenizedUnit.CHUNKS,
        cut=CutRule.WHOLE,
        strips=True,
    ),
    hands_over_cut=False,
    special_tokens=(
        "[PAD]",
        IMAGE,
        "<im_patch>",
        "<im_start>",
        "<im_end>",
        "<dream>",
        "<dream_start>",
        "<dream_end>",
    ),
    settings=MappingProxyType({**_EVERY_DOCUMENT, "assignment": "stored", "max_tokens": 2048}),
)
MM_INTERLEAVED: Final = LoaderProfile(
    "mm-interleaved",
    "MM-Interleaved",
    "OpenGVLab/MM-Interleaved, mm_interleaved/custom_datasets/mmc4_wds.py",
    as_stored_everywhere,
    to_shorter=True,
    broken_is_fatal=False,
    reads_chatgpt=False,
    checks_end=False,
    cap=Cap.RANDOM,
    order=Order.SENTENCE,
    template=Template(
        image=(("<|beginofimage|>", 1), ("<|image|>", 64)),
        mark="<|beginofimage|>",
        placing=Placing.EITHER,
        cut=CutRule.NONE,
        cleanup=("<|image|> ", " <|image|>", " <|beginofimage|>", "<|beginofimage|> "),
    ),
    counts_images=True,
    special_tokens=("<|beginofimage|>", "<|image|>"),
    settings=MappingProxyType({"min_kb": -1, "assignment": "stored", "max_tokens": 2048}),
)
"""Its documents run on into sequences of ``max_tokens``; here each is counted by itself, uncut.

What Pillow cannot open it tries to read with OpenCV; here such an image is broken.
"""

PROFILES: Final[Mapping[str, LoaderProfile]] = {
    profile.name: profile
    for profile in (
        OPENFLAMINGO,
        OPENFLAMINGO_2,
        OPENFLAMINGO_1,
        OMNICORPUS_OPENFLAMINGO,
        OMNICORPUS_SIMILARITY,
        OMNICORPUS_LLAVA,
        VILA,
        DREAMLLM,
        MM_INTERLEAVED,
    )
}
