"""Loader profiles: what sets one loader apart from another, as a choice among the same few parts.

A profile is read by the reference walk (`mmc4viz.loader.walk`), which knows no loader by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.loader.assignment import ASSIGNMENTS, Match, one_to_one, rows_of
from mmc4viz.loader.template import CutRule, Placing, Template, TokenizedUnit
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.loader.tokenizer_files import IMAGE, LOADERS_TOKENS, OPENFLAMINGO_TOKENS, PADDING
from mmc4viz.types import (
    ABSENT,
    LOADER_DEFAULTS,
    ConfigError,
    Document,
    DocumentError,
    Image,
    ImageStatus,
    LoaderConfig,
)

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
class SourceCode:
    """Where a loader's code is."""

    repository: str
    file: str
    commit: str

    def __str__(self) -> str:
        return f"{self.repository}, {self.file}, commit {self.commit[:10]}"


@dataclass(frozen=True, slots=True)
class LoaderProfile:
    """What one loader does to a document.

    Attributes
    ----------
    name : str
        Short, as in the recorded verdicts of its original.
    label : str
        As shown to people.
    source : SourceCode
        The code that it describes.
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
    flags : tuple of str
        The settings for which OpenFlamingo's ``train.py`` has a flag; none for other trainers.
    special_tokens : tuple of str
        Added to the tokenizer, in this order (`mmc4viz.loader.tokenizer.load_tokenizer`).
    settings : mapping of str to Any
        The loader's own defaults, where they differ from `LoaderConfig`'s. With ``assignment``, it
        is the only one that the loader knows; with None for ``threshold``, it has none.

    Examples
    --------
    >>> PROFILES["openflamingo-1"].settings["max_images"]
    5
    """

    name: str
    label: str
    source: SourceCode
    matcher: Matcher
    needs_matrix: bool = True
    to_shorter: bool = False
    missing_is_fatal: bool = False
    broken_is_fatal: bool = True
    fills_truncated: bool = False
    decodes_all: bool = True
    reads_chatgpt: bool = True
    checks_end: bool = True
    cap: Cap = Cap.FIRST
    order: Order = Order.PAGE
    template: Template = _TEXT
    hands_over_cut: bool = True
    counts_images: bool = False
    flags: tuple[str, ...] = ()
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

    def tokenizer(self, tokenizer: Tokenizer) -> Tokenizer:
        """Return a tokenizer as the loader sets it up."""
        return tokenizer.with_special(self.special_tokens, self.template.mark)

    def cap_of(self, config: LoaderConfig) -> int:
        """Return the most images that stay in a document."""
        return 2**31 - 1 if self.cap is Cap.NONE else config.max_images

    @property
    def is_vectorized(self) -> bool:
        """Whether ordinary documents take the fast path; the others are always walked."""
        drawn_from_all = self.cap is not Cap.FIRST and self.template.placing is Placing.EITHER
        return self.matcher in VECTORIZED and (drawn_from_all or not self.is_random)

    @property
    def follows_pairs(self) -> bool:
        """Whether what becomes of a matched document depends on its surviving pairs alone.

        And its texts are OpenFlamingo's. Not so where a pair that survives loses its document.
        """
        by_pairs = self.decodes_all and self.matcher is by_assignment
        return by_pairs and self.checks_end and self.special_tokens == OPENFLAMINGO_TOKENS


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
    return one_to_one(softmax(rows), [document.images[i] for i in valid])


def softmax(rows: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return each row's softmax, to the last bit the same whatever other rows there are.

    Parameters
    ----------
    rows : ndarray, shape (R, S)
        At least one column; infinities become NaN.

    Examples
    --------
    >>> softmax(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    with np.errstate(all="ignore"):
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


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


MATCHING_MATRICES: Final = (by_assignment, by_row, by_own_rows, by_row_softmax)
"""The matchers that read no stored match, unless that is the assignment chosen."""
MATCHING_ALL: Final = (
    by_row,
    as_stored,
    as_stored_without_scores,
    as_stored_slices,
    as_stored_everywhere,
)
"""The matchers that, on sound rows and stored matches, give every valid image a sentence."""
VECTORIZED: Final = (
    by_assignment,
    by_row,
    by_own_rows,
    by_row_softmax,
    as_stored,
    as_stored_without_scores,
    as_stored_slices,
    as_stored_everywhere,
)
"""The matchers that, on sound rows, are an assignment of `mmc4viz.sweep.match`."""


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
    "OpenFlamingo",
    SourceCode(
        "mlfoundations/open_flamingo",
        "open_flamingo/train/data.py",
        "655f693fbfa04cd6e9a987d960654624d48917cf",
    ),
    by_assignment,
    flags=("threshold", "max_images", "min_images"),
)
OPENFLAMINGO_2: Final = LoaderProfile(
    "openflamingo-2.0",
    "OpenFlamingo 2.0 (argmax)",
    SourceCode(
        "mlfoundations/open_flamingo",
        "open_flamingo/train/data.py",
        "a05dcba7c985ec22b55fb78fcef7bee62c78ef25",
    ),
    by_row,
    flags=("threshold", "max_images", "min_images"),
    to_shorter=True,
    decodes_all=False,
    settings=LOADER_DEFAULTS["openflamingo-2.0"],
)
OPENFLAMINGO_1: Final = LoaderProfile(
    "openflamingo-1",
    "OpenFlamingo 1, Otter",
    SourceCode(
        "mlfoundations/open_flamingo",
        "open_flamingo/train/data.py",
        "95426dd25fd8334db295311b95ea1add686e654c",
    ),
    as_stored,
    flags=("threshold",),
    needs_matrix=False,
    missing_is_fatal=True,
    decodes_all=False,
    reads_chatgpt=False,
    checks_end=False,
    settings=LOADER_DEFAULTS["openflamingo-1"],
)
OMNICORPUS_OPENFLAMINGO: Final = LoaderProfile(
    "omnicorpus-openflamingo",
    "OmniCorpus's OpenFlamingo",
    SourceCode(
        "OpenGVLab/OmniCorpus",
        "mllm_openflamingo/open_flamingo/train/data.py",
        "ce4a012c6adf7c298cd6943a7ad875ec1af1ab6b",
    ),
    by_assignment,
    missing_is_fatal=True,
)
OMNICORPUS_SIMILARITY: Final = LoaderProfile(
    "omnicorpus-similarity",
    "OmniCorpus's OpenFlamingo, on its similarity files",
    SourceCode(
        "OpenGVLab/OmniCorpus",
        "mllm_openflamingo/open_flamingo/train/data.py",
        "ce4a012c6adf7c298cd6943a7ad875ec1af1ab6b",
    ),
    by_row_softmax,
    missing_is_fatal=True,
    reads_chatgpt=False,
    settings=LOADER_DEFAULTS["omnicorpus-similarity"],
)
OMNICORPUS_LLAVA: Final = LoaderProfile(
    "omnicorpus-llava",
    "OmniCorpus's LLaVA",
    SourceCode(
        "OpenGVLab/OmniCorpus",
        "mllm_llava/llava/train/datasets.py",
        "ce4a012c6adf7c298cd6943a7ad875ec1af1ab6b",
    ),
    by_own_rows,
    missing_is_fatal=True,
    reads_chatgpt=False,
    checks_end=False,
    special_tokens=(IMAGE,),
    settings=LOADER_DEFAULTS["omnicorpus-llava"],
)
VILA: Final = LoaderProfile(
    "vila",
    "VILA 1.5",
    SourceCode(
        "NVlabs/VILA",
        "llava/data/dataset.py",
        "6b941da19e31ddfdfaa60160908ccf0978d96615",
    ),
    as_stored_without_scores,
    to_shorter=True,
    missing_is_fatal=True,
    fills_truncated=True,
    reads_chatgpt=False,
    checks_end=False,
    order=Order.SENTENCE,
    template=Template(unit=TokenizedUnit.PIECES, guard="<IMAGE>"),
    hands_over_cut=False,
    special_tokens=(PADDING, IMAGE),
    settings=LOADER_DEFAULTS["vila"],
)
DREAMLLM: Final = LoaderProfile(
    "dreamllm",
    "DreamLLM",
    SourceCode(
        "RunpeiDong/DreamLLM",
        "omni/data/builders/builder_dreamllm.py",
        "9dc767781b9bf81c0f2c857585665328ed782068",
    ),
    as_stored_slices,
    needs_matrix=False,
    missing_is_fatal=True,
    reads_chatgpt=False,
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
    settings=LOADER_DEFAULTS["dreamllm"],
)
MM_INTERLEAVED: Final = LoaderProfile(
    "mm-interleaved",
    "MM-Interleaved",
    SourceCode(
        "OpenGVLab/MM-Interleaved",
        "mm_interleaved/custom_datasets/mmc4_wds.py",
        "ac539d00ead0c438328ac1788849d560703a6b15",
    ),
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
    settings=LOADER_DEFAULTS["mm-interleaved"],
)
"""Its documents run on into sequences of ``max_tokens``; here each is counted by itself, uncut.

What Pillow cannot open it tries to read with OpenCV; here such an image is broken.
"""

PROFILES: Final[dict[str, LoaderProfile]] = {
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
"""All profiles, by the name that `LoaderConfig.loader` takes."""


def profile_of(config: LoaderConfig) -> LoaderProfile:
    """Return the profile of the loader that settings are for."""
    return PROFILES[config.loader]


def register(profile: LoaderProfile) -> None:
    """Make a profile available under its name, as long as the program runs.

    Raises
    ------
    ConfigError
        If another profile has this name, its own settings are invalid, or it adds special tokens
        that no other loader does, so that sentences cannot be counted by themselves.
    """
    strange = [token for token in profile.special_tokens if token not in LOADERS_TOKENS]
    if strange:
        raise ConfigError(
            f"the loader {profile.name!r} adds the special tokens {', '.join(strange)}: only "
            f"{', '.join(LOADERS_TOKENS)} are supported"
        )
    if PROFILES.get(profile.name, profile) is not profile:
        raise ConfigError(
            f"there is a loader {profile.name!r} already: give the profile another name"
        )
    LOADER_DEFAULTS[profile.name] = profile.settings
    try:
        LoaderConfig.of_loader(profile.name)
    except ConfigError:
        del LOADER_DEFAULTS[profile.name]
        raise
    PROFILES[profile.name] = profile


def load_profile(place: str) -> LoaderProfile:
    """Import a profile that somebody else wrote, given as ``module:NAME``, and register it.

    Raises
    ------
    ConfigError
        If there is none; the module's own errors are named in it.
    """
    module, _, name = place.partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # of any type, as the module is
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"--loader {place}: cannot be imported ({reason})") from None
    if not isinstance(found, LoaderProfile):
        raise ConfigError(f"--loader {place}: is not a LoaderProfile but {type(found).__name__}")
    register(found)
    return found
