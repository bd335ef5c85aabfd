"""Shared data types: documents, pairs, settings, outcomes, statuses and errors, all frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

ASSIGNMENT_NAMES = ("one_to_one", "argmax", "stored", "greedy")


class Mmc4vizError(Exception):
    """A user-correctable error; its message is one line: what is wrong, where, what to do."""


class ShardError(Mmc4vizError):
    """A shard that is missing, malformed or truncated."""


class ConfigError(Mmc4vizError):
    """An invalid setting."""


class TokenizerError(Mmc4vizError):
    """A tokenizer that cannot be loaded or lacks what the loader needs."""


class DocumentError(Mmc4vizError):
    """The loader would fail on this document; the message says why."""


class Outcome(StrEnum):
    """What happens to a document."""

    KEPT = "kept"
    UNREADABLE = "unreadable"
    NO_VALID_IMAGE = "no_valid_image"
    BELOW_THRESHOLD = "below_threshold"
    TOO_FEW_IMAGES = "too_few_images"
    SINGLE_IMAGE_AT_END = "single_image_at_end"


class PairStatus(StrEnum):
    """What happens to a matched pair, even if its document is then dropped."""

    KEPT = "kept"
    BELOW_THRESHOLD = "below_threshold"
    OVER_CAP = "over_cap"
    TRUNCATED = "truncated"


class ImageStatus(StrEnum):
    """What happens to an image up to the matching."""

    MISSING = "missing"
    TOO_SMALL = "too_small"
    UNMATCHED = "unmatched"
    MATCHED = "matched"
    UNDECODABLE = "undecodable"
    LOST_WITH_DOCUMENT = "lost_with_document"


@dataclass(frozen=True, slots=True)
class LoaderConfig:
    """Every setting of the loader, with OpenFlamingo's defaults.

    The exception is the threshold: OpenFlamingo's command line defaults to 30, which drops
    everything at cosine scale; here it is 0.24, as in OpenFlamingo's reference training script.

    Attributes
    ----------
    threshold : float
        A pair is dropped when its score is below this value (compared in double precision).
    min_images : int
        Fewest ``<image>`` tokens that a sequence must have.
    max_images : int
        The image cap: maximum number of pairs kept, in image order.
    max_tokens : int
        The sequence is truncated to this many tokens.
    min_kb : int
        An image of n bytes is too small when ``n // 1000 <= min_kb``; -1 disables the limit.
    assignment : str
        One of `ASSIGNMENT_NAMES`.
    single_image_keep : float
        Probability of keeping a document with exactly one ``<image>`` token.
    tokenizer : str
        ``"gpt2"`` (built in), a ``tokenizer.json``, a folder, or a Hugging Face id.
    clip_model : str
        Name of the model that produced the scores; a label only.

    Raises
    ------
    ConfigError
        When a value has the wrong type or is out of range.

    Examples
    --------
    >>> LoaderConfig(threshold=0.3).max_images
    6
    >>> LoaderConfig(max_images=0)
    Traceback (most recent call last):
    ...
    mmc4viz.types.ConfigError: max_images must be an integer of at least 1, not 0
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
                raise ConfigError(f"{name} must be an integer of at least {least}, not {value!r}")
        for name in ("threshold", "single_image_keep"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not _finite(value):
                raise ConfigError(f"{name} must be a finite number, not {value!r}")
            object.__setattr__(self, name, float(value))
        if not 0 <= self.single_image_keep <= 1:
            raise ConfigError(
                f"single_image_keep must be from 0 to 1, not {self.single_image_keep!r}"
            )
        if self.assignment not in ASSIGNMENT_NAMES:
            raise ConfigError(
                f"assignment must be one of {', '.join(ASSIGNMENT_NAMES)}, not {self.assignment!r}"
            )
        for name in ("tokenizer", "clip_model"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ConfigError(f"{name} must be non-empty text, not {getattr(self, name)!r}")

    def with_(self, **changes: Any) -> Self:
        """Return a copy with some settings changed."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary, as ``--config`` reads them."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Build from a mapping of settings; absent ones keep their defaults.

        Raises
        ------
        ConfigError
            For an unknown setting or an invalid value.
        """
        known = [f.name for f in fields(cls)]
        for name in settings:
            if name not in known:
                raise ConfigError(f"{name!r} is not a setting; use one of {', '.join(known)}")
        return cls(**settings)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


@dataclass(frozen=True, slots=True)
class Image:
    """One measured entry of ``image_info`` (``image_map`` in a ChatGPT-generated document).

    Attributes
    ----------
    n_bytes : int or None
        Number of bytes of the decoded base64; None if the image is missing or its size unknown.
    present : bool
        Whether the loader would try to decode it. An image of MMC4's own ``.jsonl`` without image
        files is ``present`` but has no ``n_bytes``: its size is unknown and not filtered.
    entry_error : str or None
        Why the entry or its base64 makes the document unreadable, whatever the image's size.
    pixel_error : str or None
        Why the pixels make the document unreadable, if the image is large enough to be decoded.
    width, height : int
        In pixels; 0 when unknown.
    format : str
        Pillow's name for the file format; empty when unknown.
    name, url : str
        ``image_name`` and ``raw_url`` if they are strings, else empty.
    stored_sentence, stored_score
        ``matched_text_index`` and ``matched_sim`` as found; values of any type.
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
        """Whether the size limit drops this image (never one of unknown size)."""
        return self.n_bytes is not None and self.n_bytes // 1000 <= min_kb


@dataclass(frozen=True, slots=True)
class SentenceCounts:
    """Token counts of a document's sentences, for a tokenizer whose counts are additive.

    Attributes
    ----------
    head : int
        Tokens of the first sentence at the start of the text.
    first : sequence of int
        Tokens of each sentence directly after ``<image>``.
    rest : sequence of int
        Tokens of each sentence after another sentence and a space.
    """

    head: int
    first: Sequence[int]
    rest: Sequence[int]


@dataclass(frozen=True, slots=True)
class Document:
    """One sample of a shard as far as it could be read; pixels are measured, not kept.

    ``error`` is set if the document is unreadable before any image is examined. The fields hold
    the JSON values unvalidated: the walk requires no more of them than the loader does. A document
    from an index may have token ``counts`` instead of ``sentences``.
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
    """An image matched to a sentence, as indices into the document."""

    image: int
    sentence: int
    score: float
    status: PairStatus


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the loader does to one document under given settings.

    ``images`` and ``pairs`` use the document's own indices, in image order. ``binding`` has one
    entry per ``<image>`` token of the truncated sequence; ``handed_over`` counts the images that
    the model receives with it. Counts are 0 if no sequence was built.
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
    """An ``<image>`` token of the truncated sequence: its own image and the image it receives.

    ``pair_image`` is None for a literal ``<image>`` in the page's text; ``bound_image`` is None
    if the model receives fewer images than tokens. The token is ``mispaired`` when it comes from a
    pair but does not receive an image matched to that pair's sentence.
    """

    pair_image: int | None
    bound_image: int | None
    mispaired: bool
