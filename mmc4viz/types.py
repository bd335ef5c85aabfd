"""The nouns of the project: documents, pairs, settings, outcomes, statuses and errors, all frozen.

This module holds data only. It reads nothing, matches nothing and imports nothing of ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

ASSIGNMENT_NAMES = ("one_to_one", "argmax", "stored", "greedy")


class Mmc4vizError(Exception):
    """Whatever a person can put right; its text is one line saying what, where and what to do."""


class ShardError(Mmc4vizError):
    """A shard that is missing, is none, or breaks off."""


class ConfigError(Mmc4vizError):
    """A setting that makes no sense."""


class TokenizerError(Mmc4vizError):
    """A tokenizer that cannot be loaded or lacks what the loader needs."""


class DocumentError(Mmc4vizError):
    """The loader would fail on this document; the text says why, in words for a person."""


class Outcome(StrEnum):
    """What becomes of a document (DESIGN.md, Names)."""

    KEPT = "kept"
    UNREADABLE = "unreadable"
    NO_VALID_IMAGE = "no_valid_image"
    BELOW_THRESHOLD = "below_threshold"
    TOO_FEW_IMAGES = "too_few_images"
    SINGLE_IMAGE_AT_END = "single_image_at_end"


class PairStatus(StrEnum):
    """What becomes of a matched pair, whether or not its document is then lost."""

    KEPT = "kept"
    BELOW_THRESHOLD = "below_threshold"
    OVER_CAP = "over_cap"
    TRUNCATED = "truncated"


class ImageStatus(StrEnum):
    """What becomes of one image of a document before its pair is judged."""

    MISSING = "missing"
    TOO_SMALL = "too_small"
    UNMATCHED = "unmatched"
    MATCHED = "matched"
    UNDECODABLE = "undecodable"
    LOST_WITH_DOCUMENT = "lost_with_document"


@dataclass(frozen=True, slots=True)
class LoaderConfig:
    """Every setting of the loader, with OpenFlamingo's defaults.

    The threshold alone departs from OpenFlamingo's command line (whose 30 rejects everything at
    cosine scale): its default is the 0.24 of OpenFlamingo's reference training script.

    Attributes
    ----------
    threshold : float
        A pair is dropped when its score is below this, in double precision.
    min_images : int
        Fewest ``<image>`` tokens a sequence may have.
    max_images : int
        The cap: so many surviving pairs are kept, in image order.
    max_tokens : int
        Length at which the sequence is cut, in tokens.
    min_kb : int
        An image of n bytes is too small when ``n // 1000 <= min_kb``; -1 turns the limit off.
    assignment : str
        One of `ASSIGNMENT_NAMES`.
    single_image_keep : float
        Probability with which a sequence with exactly one ``<image>`` token survives the coin.
    tokenizer : str
        ``"gpt2"`` (built in), a ``tokenizer.json``, a folder, or a Hugging Face id.
    clip_model : str
        Name of the model whose similarity is used; a label, never computed with.

    Raises
    ------
    ConfigError
        When a value is of the wrong kind or out of range.

    Examples
    --------
    >>> LoaderConfig(threshold=0.3).max_images
    6
    >>> LoaderConfig(max_images=0)
    Traceback (most recent call last):
    ...
    mmc4viz.types.ConfigError: max_images must be a whole number of at least 1, not 0
    """

    threshold: float = 0.24
    min_images: int = 1
    max_images: int = 6
    max_tokens: int = 256
    min_kb: int = 10
    assignment: str = "one_to_one"
    single_image_keep: float = 0.5
    tokenizer: str = "gpt2"
    clip_model: str = "unknown"

    def __post_init__(self) -> None:
        for name, least in (
            ("min_images", 0),
            ("max_images", 1),
            ("max_tokens", 1),
            ("min_kb", -1),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value < 2**31:
                raise ConfigError(
                    f"{name} must be a whole number of at least {least}, not {value!r}"
                )
        for name in ("threshold", "single_image_keep"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not _finite(value):
                raise ConfigError(f"{name} must be a finite number, not {value!r}")
            object.__setattr__(self, name, float(value))
        if not 0 <= self.single_image_keep <= 1:
            raise ConfigError(
                f"single_image_keep is a probability from 0 to 1, not {self.single_image_keep!r}"
            )
        if self.assignment not in ASSIGNMENT_NAMES:
            raise ConfigError(
                f"assignment must be one of {', '.join(ASSIGNMENT_NAMES)}, not {self.assignment!r}"
            )
        for name in ("tokenizer", "clip_model"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ConfigError(f"{name} must be a name, not {getattr(self, name)!r}")

    def with_(self, **changes: Any) -> Self:
        """Return a copy with some settings changed."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings by name, as ``--config`` reads them."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Build a config from settings by name; what is absent keeps its default.

        Raises
        ------
        ConfigError
            For a name that is no setting, or a value that makes no sense.
        """
        known = [f.name for f in fields(cls)]
        for name in settings:
            if name not in known:
                raise ConfigError(f"{name!r} is no setting; the settings are {', '.join(known)}")
        return cls(**settings)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


@dataclass(frozen=True, slots=True)
class Image:
    """One entry of ``image_info`` (or of a ChatGPT-written document's ``image_map``), measured.

    Attributes
    ----------
    n_bytes : int or None
        Bytes of the decoded base64; None without any (missing, or size unknown).
    present : bool
        Whether the loader would try to decode it. A document of MMC4's own ``.jsonl`` without
        images has ``present`` and no ``n_bytes``: its size is unknown and not filtered.
    entry_error : str or None
        Why the entry or its base64 loses the document, whatever the image's size.
    pixel_error : str or None
        Why the pixels lose the document, if the image is large enough to be decoded.
    width, height : int
        In pixels; 0 when unknown.
    format : str
        Pillow's name of the file format; empty when unknown.
    name, url : str
        ``image_name`` and ``raw_url`` where they are strings.
    stored_sentence, stored_score
        ``matched_text_index`` and ``matched_sim`` as they stand; any kind of value.
    """

    present: bool
    n_bytes: int | None = None
    entry_error: str | None = None
    pixel_error: str | None = None
    width: int = 0
    height: int = 0
    format: str = ""
    name: str = ""
    url: str = ""
    stored_sentence: Any = None
    stored_score: Any = None

    def too_small(self, min_kb: int) -> bool:
        """Whether the size limit drops this image (unknown sizes are never dropped)."""
        return self.n_bytes is not None and self.n_bytes // 1000 <= min_kb


@dataclass(frozen=True, slots=True)
class SentenceCounts:
    """Token counts of a document's sentences, for a pipeline whose counts add up.

    Attributes
    ----------
    head : int
        Tokens of the first sentence where it opens the text.
    first : sequence of int
        Tokens of each sentence right after ``<image>``.
    rest : sequence of int
        Tokens of each sentence after another one and a space.
    """

    head: int
    first: Sequence[int]
    rest: Sequence[int]


@dataclass(frozen=True, slots=True)
class Document:
    """One sample of a shard as far as it could be read; pixels are measured, not kept.

    ``error`` is set where the document is unreadable before any image is looked at. The fields
    hold whatever kind of value the JSON had: the walk asks no more of them than the loader does.
    A document that comes back from an index may have its sentences' token ``counts`` in place of
    the ``sentences``.
    """

    key: str
    images: tuple[Image, ...] = ()
    sentences: Any = None
    similarity: Any = None
    error: str | None = None
    is_gpt: bool = False
    example: Any = None
    url: str = ""
    counts: SentenceCounts | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """An image matched to a sentence, by the document's own indices."""

    image: int
    sentence: int
    score: float
    status: PairStatus


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the loader does to one document at one setting.

    ``images`` and ``pairs`` use the document's own indices, in image order; ``binding`` has one
    entry for each ``<image>`` token of the cut sequence, and ``handed_over`` counts the images
    that the model gets with it. Counts are 0 where no sequence was built.
    """

    key: str
    outcome: Outcome
    detail: str | None = None
    keep_probability: float = 0.0
    image_tokens: int = 0
    text_tokens: int = 0
    mispaired: int = 0
    images: tuple[ImageStatus, ...] = ()
    pairs: tuple[Pair, ...] = ()
    token_ids: tuple[int, ...] = ()
    binding: tuple[Binding, ...] = ()
    handed_over: int = 0


@dataclass(frozen=True, slots=True)
class Binding:
    """An ``<image>`` token of the cut sequence: the pair it came from and the image it gets.

    ``pair_image`` is None for a literal ``<image>`` of the page's text; ``bound_image`` is None
    when fewer images than tokens are handed over. The token is ``mispaired`` when it comes from a
    pair and does not get an image that is matched to its sentence.
    """

    pair_image: int | None
    bound_image: int | None
    mispaired: bool
