"""Options for rewriting shards, settings that are impossible, and the counts of a run.

The loader has flags for the threshold and for the minimum and maximum number of images; all other
settings are applied by rewriting the shards, as far as possible.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from mmc4viz.formats.registry import RECOGNISED, InputFormat
from mmc4viz.types import ConfigError, LoaderConfig, SliceThresholds

ORDERS: Final = ("page", "sentence")
CAPS: Final = ("first", "best")
OWN: Final = LoaderConfig()
"""The values fixed in OpenFlamingo's loader, except for the threshold."""


@dataclass(frozen=True, slots=True)
class Options:
    """How shards are rewritten.

    Attributes
    ----------
    order : str
        ``page``: image order is unchanged. ``sentence``: the images of the selected pairs, and
        the matrix's rows with them, are sorted by sentence, so that every ``<image>`` token gets
        its own image.
    cap : str
        Which pairs are kept over the cap: the ``first`` in image order, as in the loader, or the
        ``best``.
    drop_undecodable : bool
        Whether undecodable images are removed; otherwise they cost the whole document.
    keep_rejected_images : bool
        Whether images outside the selection keep their bytes if the loader drops them anyway.

    Raises
    ------
    ConfigError
        If order or cap is unknown.

    Examples
    --------
    >>> Options(order="sentence").cap
    'first'
    """

    order: str = "page"
    cap: str = "first"
    drop_undecodable: bool = False
    keep_rejected_images: bool = True

    def __post_init__(self) -> None:
        for name, known in (("order", ORDERS), ("cap", CAPS)):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise ConfigError(f"{name} must be one of {', '.join(known)}, not {value!r}")

    def as_dict(self) -> dict[str, Any]:
        """Return the options by name."""
        return asdict(self)


def loader_config(config: LoaderConfig, slices: SliceThresholds | None = None) -> LoaderConfig:
    """Return the settings of the unmodified loader when run with these settings' flags.

    Parameters
    ----------
    config : LoaderConfig
        The chosen settings, accepted by `refuse_impossible`.
    slices : SliceThresholds, optional
        Slice thresholds; the loader's is the lowest of all.
    """
    return config.with_(
        threshold=config.threshold if slices is None else slices.lowest,
        assignment=OWN.assignment,
        min_kb=OWN.min_kb,
        max_tokens=OWN.max_tokens,
        single_image_keep=OWN.single_image_keep,
    )


def refuse_impossible(config: LoaderConfig) -> None:
    """Reject settings that rewritten shards cannot reproduce with the unmodified loader.

    Several images on one sentence, which are possible under ``argmax`` and ``stored``, are only
    detected per document.

    Raises
    ------
    ConfigError
    """
    if config.loader != OWN.loader:
        raise ConfigError(
            f"loader is {config.loader}, but rewritten shards are for OpenFlamingo's loader: set "
            f"loader to {OWN.loader}"
        )
    if config.single_image_keep != OWN.single_image_keep:
        raise ConfigError(
            f"single_image_keep is {config.single_image_keep:g}, but the loader's is fixed at 0.5: "
            "set single_image_keep to 0.5"
        )
    if config.max_tokens != OWN.max_tokens:
        raise ConfigError(
            f"max_tokens is {config.max_tokens}, but the loader's is fixed at {OWN.max_tokens}: "
            f"set max_tokens to {OWN.max_tokens}"
        )
    if config.min_kb < OWN.min_kb:
        raise ConfigError(
            f"min_kb is {config.min_kb}, but the loader always drops images of fewer than "
            f"{(OWN.min_kb + 1) * 1000:,} bytes: set min_kb to {OWN.min_kb} or more"
        )


@dataclass
class RewriteCounts:
    """Counts of a run.

    Attributes
    ----------
    documents : int
        All documents.
    carried_over : int
        Documents copied byte for byte.
    changed : int
        Rewritten documents, including `emptied` ones.
    always_yielded, sometimes_yielded : int
        Documents that the unmodified loader keeps with the exported flags, always or with
        probability 0.5; includes ChatGPT-generated documents.
    chatgpt : int
        ChatGPT-generated documents, which are copied and not covered by the guarantee.
    reordered : int
        Documents with reordered images.
    lowered : int
        Documents with lowered matrix entries that competed with selected pairs.
    rescored : int
        Documents with MMC4's stored scores written to the matrix.
    rescued : int
        Documents kept because an undecodable image was removed.
    emptied : int
        Documents dropped by the settings, which the loader drops only because the bytes of their
        images were removed.
    left_out : int
        Documents that cannot be rewritten safely; not written, and named in the report.
    shared : int
        Documents with several images on one sentence; an error unless it is a dry run.
    spaced : int
        Documents with literal special tokens that were broken up by a space.
    spaced_tokens : int
        Number of these tokens.
    other_odds : int
        Documents whose keep probability differs from that of the settings alone, because of a
        removed image, another choice of pairs over the cap, or a literal special token.
    dropped_images : int
        Images whose bytes were removed.
    """

    documents: int = 0
    carried_over: int = 0
    changed: int = 0
    always_yielded: int = 0
    sometimes_yielded: int = 0
    chatgpt: int = 0
    reordered: int = 0
    lowered: int = 0
    rescored: int = 0
    rescued: int = 0
    emptied: int = 0
    left_out: int = 0
    shared: int = 0
    spaced: int = 0
    spaced_tokens: int = 0
    other_odds: int = 0
    dropped_images: int = 0

    def add(self, other: RewriteCounts) -> None:
        """Add other counts to these."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    @property
    def expected(self) -> float:
        """Expected number of documents that the loader keeps."""
        return self.always_yielded + self.sometimes_yielded / 2

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)

    @classmethod
    def of(cls, found: dict[str, Any]) -> Self:
        """Build counts from a record; raises TypeError or ValueError if it is malformed."""
        return cls(**{name: int(value) for name, value in found.items()})


TITLES: Final = {
    "documents": "documents",
    "carried_over": "copied byte for byte",
    "changed": "rewritten",
    "reordered": "images reordered by sentence",
    "lowered": "competing scores lowered",
    "rescored": "stored scores written to the matrix",
    "rescued": "kept by removing an undecodable image",
    "emptied": "dropped by removing their images",
    "spaced": "literal special tokens broken up",
    "other_odds": "keep probability changed by the options",
    "chatgpt": "ChatGPT-generated (copied unchanged)",
    "shared": "several images on one sentence",
    "left_out": "not written (see below)",
    "dropped_images": "images removed so that the loader cannot select them",
    "spaced_tokens": "special tokens broken up",
    "always_yielded": "always kept",
    "sometimes_yielded": "kept with probability 0.5",
}
"""Title of each count, in the order of the summary."""
EXPECTED: Final = "expected documents"
"""Title of `RewriteCounts.expected`."""


def apply_command(
    config: str,
    out: str,
    options: Options,
    *,
    shards: Sequence[str] = (),
    index: str | None = None,
    similarity: str | None = None,
    given: InputFormat = RECOGNISED,
) -> str:
    """Return an ``mmc4viz apply`` command, quoted for a shell.

    Parameters
    ----------
    config : str
        The config file.
    out : str
        The output folder.
    options : Options
        Defaults are omitted.
    shards : sequence of str
        Paths or patterns.
    index : str, optional
        The index to use instead of shards.
    similarity : str, optional
        The score set to use.
    given : InputFormat
        How shards are read.

    Examples
    --------
    >>> apply_command("c.yaml", "my shards", Options("sentence"), shards=["a/*.tar"])
    "mmc4viz apply 'a/*.tar' --config c.yaml --out 'my shards' --order sentence"
    >>> apply_command("c.yaml", "b", Options(cap="best"), index="ix", similarity="far")
    'mmc4viz apply --index ix --similarity far --config c.yaml --out b --cap best'
    """
    words = ["mmc4viz", "apply", *corpus_words(shards, index, similarity, given)]
    words += ["--config", config, "--out", out]
    own = Options()
    words += [] if options.order == own.order else ["--order", options.order]
    words += [] if options.cap == own.cap else ["--cap", options.cap]
    words += ["--drop-undecodable"] if options.drop_undecodable else []
    words += [] if options.keep_rejected_images else ["--keep-rejected-images", "no"]
    return shlex.join(words)


def corpus_words(
    shards: Sequence[str],
    index: str | None = None,
    similarity: str | None = None,
    given: InputFormat = RECOGNISED,
) -> list[str]:
    """Return the words of a command that name its shards, or its index and score set."""
    words = [*shards, *given.options()] if shards else []
    words += [] if index is None else ["--index", index]
    return words + ([] if similarity is None else ["--similarity", similarity])
