"""Shared data types: documents, pairs, settings, outcomes, statuses and errors, all frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal, localcontext
from enum import Enum, StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Self

NEIGHBOR: Final = "neighbor"
"""The assignment of a corpus that records where its images stand among its texts."""
ASSIGNMENT_NAMES = ("one_to_one", "argmax", "stored", "greedy", NEIGHBOR)
DEFAULT_LOADER: Final = "openflamingo"
_LARGEST: Final = 2**31 - 1


class Absent(Enum):
    """In place of a JSON value: the field is not there, as opposed to null."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


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


@dataclass(frozen=True)
class Config:
    """The content of a config file.

    Attributes
    ----------
    settings : dict
        By name, as `LoaderConfig` takes them; absent ones keep their defaults.
    provenance : dict
        Where the settings come from (`mmc4viz.config_file.Provenance`); empty without provenance.
    slice_thresholds : SliceThresholds or None
        Slice thresholds, if they differ from the settings'.
    """

    settings: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)
    slice_thresholds: SliceThresholds | None = None

    def loader_config(self) -> LoaderConfig:
        """Return the complete settings."""
        return LoaderConfig.from_mapping(self.settings)


@dataclass(frozen=True)
class SliceThresholds:
    """A table of thresholds, one a slice of documents; all others have the settings' own.

    It belongs to one threshold of the settings. If that moves, all of the table moves by as much.

    Attributes
    ----------
    by : str
        The attribute that divides documents, or a column of the user's own table.
    base : float
        The threshold of the settings that the table belongs to.
    thresholds : mapping of str to float
        By slice, as ``mmc4viz slices`` names them.
    basis : str
        ``share``, ``precision``, or ``manual``.
    target : float or None
        The precision that was asked for.
    file, sha256 : str
        The last name of the user's table and the SHA-256 of its bytes; empty without one.
    folder : str
        Where that file is looked for; never recorded.
    """

    by: str
    base: float
    thresholds: Mapping[str, float]
    basis: str = "manual"
    target: float | None = None
    file: str = ""
    sha256: str = ""
    folder: str = ""

    def shift(self, name: str) -> Decimal:
        """Return by how much a slice's threshold exceeds the settings', exactly; 0 for others.

        Examples
        --------
        >>> SliceThresholds("site", 0.24, {"a.com": 0.3}).shift("a.com")
        Decimal('0.06')
        """
        if name not in self.thresholds:
            return Decimal(0)
        return moved(self.thresholds[name], -Decimal(repr(self.base)))

    def at(self, threshold: float) -> Self:
        """Return the table that belongs to another threshold of the settings.

        Examples
        --------
        >>> SliceThresholds("site", 0.24, {"a.com": 0.3}).at(0.25).thresholds
        {'a.com': 0.31}
        """
        found = {name: float(moved(threshold, self.shift(name))) for name in self.thresholds}
        return replace(self, base=threshold, thresholds=found)

    @property
    def lowest(self) -> float:
        """The lowest threshold that any document can have."""
        return min(self.base, *self.thresholds.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the table as a config records it."""
        found: dict[str, Any] = {"by": self.by, "basis": self.basis}
        found |= {} if self.target is None else {"target": self.target}
        found |= {"file": self.file, "sha256": self.sha256} if self.file else {}
        return {**found, "thresholds": dict(self.thresholds)}


def moved(threshold: float, by: Decimal) -> Decimal:
    """Add to a threshold in decimals: 0.1 and 0.2 give 0.3, as neither is exact in binary."""
    with localcontext(prec=60):
        return Decimal(repr(threshold)) + by


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
class Setting:
    """A setting's words and range, for command line, sidebar, schema, report and checks.

    Attributes
    ----------
    label : str
        As written in the sidebar.
    help : str
        Its meaning, in a sentence or two.
    least, most : float or None
        Smallest and largest value of a number.
    choices : tuple of str
        The values allowed, if it is one of a few words.
    """

    label: str
    help: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


def _setting(default: Any, label: str, help: str, **more: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(label, help, **more)})


_ANY_DOCUMENT: Final = {
    "threshold": None, "min_kb": -1, "min_images": 0, "single_image_keep": 1.0
}  # fmt: skip
LOADER_DEFAULTS: Final[dict[str, Mapping[str, Any]]] = {
    DEFAULT_LOADER: MappingProxyType({}),
    "openflamingo-2.0": MappingProxyType({"assignment": "argmax"}),
    "openflamingo-1": MappingProxyType(
        {"assignment": "stored", "max_images": 5, "threshold": 0.32}
    ),
    "omnicorpus-openflamingo": MappingProxyType({}),
    "omnicorpus-similarity": MappingProxyType({"assignment": "one_to_one"}),
    "omnicorpus-llava": MappingProxyType(
        {**_ANY_DOCUMENT, "assignment": "one_to_one", "max_tokens": 4096}
    ),
    "vila": MappingProxyType({**_ANY_DOCUMENT, "assignment": "stored", "max_tokens": 4096}),
    "dreamllm": MappingProxyType({**_ANY_DOCUMENT, "assignment": "stored", "max_tokens": 2048}),
    "mm-interleaved": MappingProxyType({"assignment": "stored", "min_kb": -1, "max_tokens": 2048}),
}
"""The loaders known (`mmc4viz.loader.profile`), with their own defaults where they differ from
OpenFlamingo's. One with an assignment here knows no other; one whose threshold is None has none."""


@dataclass(frozen=True, slots=True)
class LoaderConfig:
    """Every setting of the loader, with OpenFlamingo's defaults.

    The exception is the threshold: OpenFlamingo's command line defaults to 30, which drops
    everything at cosine scale; here it is 0.24, as in OpenFlamingo's reference training script.

    Each field's meaning and range are in `SETTINGS`.

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
    >>> LoaderConfig.of_loader("openflamingo-1").max_images
    5
    """

    loader: str = _setting(
        DEFAULT_LOADER,
        "Loader",
        "The training code whose treatment of documents is predicted (mmc4viz loaders).",
    )
    threshold: float = _setting(0.24, "Threshold", "Pairs with a score below this are dropped.")
    min_images: int = _setting(
        1, "Min images", "Documents with fewer image tokens are dropped.", least=0, most=_LARGEST
    )
    max_images: int = _setting(
        6,
        "Max images",
        "Maximum number of pairs kept per document, in image order, whatever their scores.",
        least=1,
        most=_LARGEST,
    )
    max_tokens: int = _setting(
        256,
        "Max tokens",
        "Each sequence is truncated to this many tokens.",
        least=1,
        most=_LARGEST,
    )
    min_kb: int = _setting(
        10,
        "Min image size (kB)",
        "Images of n bytes are dropped when n // 1000 is at most this value: 10 requires at least "
        "11,000 bytes. -1 disables the limit.",
        least=-1,
        most=_LARGEST,
    )
    assignment: str = _setting(
        "one_to_one",
        "Assignment",
        "How images are matched to sentences. One-to-one maximizes the total score; argmax gives "
        "each image its most similar sentence, so that a sentence can get several images; stored "
        "takes MMC4's own pairs; greedy takes the highest remaining score first; neighbor takes "
        "the text that follows the image on the page (not known of MMC4).",
        choices=ASSIGNMENT_NAMES,
    )
    single_image_keep: float = _setting(
        0.5,
        "Single-image keep probability",
        "Probability of keeping a document with exactly one image token.",
        least=0.0,
        most=1.0,
    )
    tokenizer: str = _setting(
        "gpt2",
        "Tokenizer",
        "gpt2 (built in), a tokenizer.json, a folder, or a Hugging Face id.",
    )
    clip_model: str = _setting(
        "unknown", "CLIP model", "Name of the CLIP model that produced the scores."
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            value, known = getattr(self, each.name), each.metadata["setting"]
            wanted = _complaint(type(each.default), value, known)
            if wanted:
                raise ConfigError(f"{each.name} must be {wanted}, not {value!r}")
            if type(each.default) is float:
                object.__setattr__(self, each.name, float(value))
        if self.loader not in LOADER_DEFAULTS:
            raise ConfigError(
                f"loader {self.loader!r} is not known; use one of {', '.join(LOADER_DEFAULTS)}"
            )
        if self.assignment not in self.assignments:
            raise ConfigError(
                f"the loader {self.loader} knows only the assignment {self.assignments[0]}, not "
                f"{self.assignment}"
            )

    @property
    def assignments(self) -> tuple[str, ...]:
        """The assignments that the loader knows, on a corpus without page order."""
        own = LOADER_DEFAULTS[self.loader].get("assignment")
        if own is not None:
            return (own,)
        return tuple(n for n in ASSIGNMENT_NAMES if n != NEIGHBOR or self.assignment == NEIGHBOR)

    @property
    def has_threshold(self) -> bool:
        """Whether the loader drops pairs below ``threshold``; otherwise it ignores the scores."""
        return LOADER_DEFAULTS[self.loader].get("threshold", 0.0) is not None

    def require_threshold(self) -> None:
        """Raise a ConfigError if the loader has no threshold, so that none can be chosen."""
        if not self.has_threshold:
            raise ConfigError(
                f"the loader {self.loader} has no threshold: it uses all pairs whatever their "
                "scores; choose another loader"
            )

    @property
    def lowest_score(self) -> float:
        """The lowest score of a pair that is not dropped: the threshold, if the loader has one."""
        return self.threshold if self.has_threshold else -math.inf

    @property
    def pairing(self) -> str:
        """How images are matched, in a word: the assignment, and the loader if it is another."""
        if self.loader == DEFAULT_LOADER:
            return self.assignment
        return self.loader if len(self.assignments) == 1 else f"{self.loader} {self.assignment}"

    def with_(self, **changes: Any) -> Self:
        """Return a copy with some settings changed."""
        return replace(self, **changes)

    def for_matching(self) -> Self:
        """Return what matched pairs depend on, with all other settings at their defaults."""
        return self.of_loader(self.loader).with_(min_kb=self.min_kb, assignment=self.assignment)

    def for_verdicts(self) -> Self:
        """Return what verdicts depend on, with all other settings at their defaults."""
        return self._without("single_image_keep", "tokenizer", "clip_model")

    def for_curves(self) -> Self:
        """Return what curves depend on, with all other settings at their defaults."""
        return self._without("threshold", "single_image_keep", "tokenizer", "clip_model")

    def for_yields(self) -> Self:
        """Return what yields at any threshold depend on, with all other settings at defaults."""
        return self._without("threshold", "tokenizer", "clip_model")

    def _without(self, *names: str) -> Self:
        own = self.of_loader(self.loader)
        return self.with_(**{name: getattr(own, name) for name in names})

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary, as ``--config`` reads them."""
        return asdict(self)

    @classmethod
    def of_loader(cls, name: str) -> Self:
        """Return a loader's own defaults; raises a ConfigError if it is not known."""
        return cls.from_mapping({"loader": name})

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> Self:
        """Build from a mapping of settings; absent ones keep the loader's defaults.

        Raises
        ------
        ConfigError
            For an unknown setting or an invalid value.
        """
        known = [f.name for f in fields(cls)]
        for name in settings:
            if name not in known:
                raise ConfigError(f"{name!r} is not a setting; use one of {', '.join(known)}")
        loader = settings.get("loader")
        own = LOADER_DEFAULTS.get(loader, {}) if isinstance(loader, str) else {}
        own = {name: value for name, value in own.items() if value is not None}
        return cls(**{**own, **settings})


def _complaint(kind: type, value: Any, setting: Setting) -> str | None:
    """Return what a value should be, None if it is."""
    least, most = setting.least, setting.most
    if kind is int:
        if type(value) is int and least <= value <= most:  # type: ignore[operator]
            return None
        return f"an integer of at least {least}"
    if kind is float:
        if type(value) not in (int, float) or not _finite(value):
            return "a finite number"
        if least is None or most is None or least <= value <= most:
            return None
        return f"from {least:g} to {most:g}"
    if setting.choices:
        return None if value in setting.choices else f"one of {', '.join(setting.choices)}"
    return None if isinstance(value, str) and value else "non-empty text"


SETTINGS: Final[Mapping[str, Setting]] = {
    each.name: each.metadata["setting"] for each in fields(LoaderConfig)
}


def choices_of(name: str) -> tuple[str, ...]:
    """Return the words that a setting may be; empty if it is a number or any text.

    Examples
    --------
    >>> choices_of("assignment")[0], choices_of("threshold")
    ('one_to_one', ())
    """
    return tuple(LOADER_DEFAULTS) if name == "loader" else SETTINGS[name].choices


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
    truncated : bool
        Whether a loader decodes it all the same that fills the missing part of truncated images.
    width, height : int
        In pixels; 0 when unknown.
    format : str
        Pillow's name for the file format; empty when unknown.
    name, url : str
        ``image_name`` and ``raw_url`` if they are strings, else empty.
    stored_sentence, stored_score
        ``matched_text_index`` and ``matched_sim`` as found; values of any type, or ABSENT.
    faces : int or None
        Number of ``face_detections``; None if there is no such list.
    digest : int or None
        XXH3 (64 bit) of the bytes that the loader decodes; None without them.
    perceptual_hash : int or None
        Its pHash (64 bit); None if there is none, or it was not asked for.
    """

    present: bool
    n_bytes: int | None = None
    entry_error: str | None = None
    pixel_error: str | None = None
    truncated: bool = False
    width: int = 0
    height: int = 0
    format: str = ""
    name: str = ""
    url: str = ""
    stored_sentence: Any = ABSENT
    stored_score: Any = ABSENT
    faces: int | None = None
    digest: int | None = None
    perceptual_hash: int | None = None

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

    ``error`` is set if the document is unreadable before any image is examined; if only its matrix
    is absent, ``similarity`` is ABSENT and the images are measured. The fields hold the JSON values
    unvalidated: the walk requires no more of them than the loader does. A document from an index
    may have token ``counts`` instead of ``sentences``. A ChatGPT-generated one that also has the
    fields of a page has that ``page``, for a loader that reads no other.
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
    page: Document | None = None

    @property
    def in_page_order(self) -> bool:
        """Whether it is known where its images stand: each has a sentence, and none a score."""
        return bool(self.images) and all(
            type(image.stored_sentence) is int and image.stored_score is ABSENT
            for image in self.images
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """An image matched to a sentence, as indices into the document.

    ``probability`` is that of staying within the cap, for a pair that is kept where a loader draws
    at random, and 1 for all others.
    """

    image: int
    sentence: int
    score: float
    status: PairStatus
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class SequenceShape:
    """How a sequence divides into images and text; means under a loader that draws at random.

    Attributes
    ----------
    length : int
        Tokens before truncation, with the special ones.
    text_before, text_between : int
        Text tokens before the first image token, and between the first and the last; 0 without
        image tokens.
    followed : int
        Image tokens with text between them and the next image token, or the end.
    """

    length: float = 0
    text_before: float = 0
    text_between: float = 0
    followed: float = 0

    @classmethod
    def of(cls, length: int, before: Sequence[int], text: int) -> Self:
        """Return the shape of a sequence, given how much text precedes each image token.

        Parameters
        ----------
        length : int
        before : sequence of int
            For each image token, the text tokens before it.
        text : int
            All text tokens.

        Examples
        --------
        >>> SequenceShape.of(256, [3, 10, 10], 20)
        SequenceShape(length=256, text_before=3, text_between=7, followed=2)
        """
        if not before:
            return cls(length)
        followed = sum(here < then for here, then in pairwise([*before, text]))
        return cls(length, before[0], before[-1] - before[0], followed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the loader does to one document under given settings.

    ``images`` and ``pairs`` use the document's own indices, in image order. ``binding`` has one
    entry per ``<image>`` token of the truncated sequence; ``handed_over`` counts the images that
    the model receives with it. Counts are 0 if no sequence was built.

    Under a loader that draws at random which images stay, or where they are placed, counts are
    means over all outcomes in which the document is kept, and there are neither token ids nor a
    binding (`mmc4viz.loader.draws` has each outcome's). ``readable`` is the probability that the
    images drawn do not make the document unreadable. ``single_image`` says whether the loader's
    rule for documents with one image applies, whatever its keep probability.
    """

    key: str
    outcome: Outcome
    detail: str | None = None
    keep_probability: float = 0.0
    image_tokens: int = 0
    text_tokens: float = 0
    mispaired: float = 0
    shape: SequenceShape = SequenceShape()
    images: tuple[ImageStatus, ...] = ()
    pairs: tuple[Pair, ...] = ()
    token_ids: tuple[int, ...] = ()
    binding: tuple[Binding, ...] = ()
    handed_over: int = 0
    readable: float = 1.0
    single_image: bool = False


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
