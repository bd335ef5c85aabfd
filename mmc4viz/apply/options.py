"""What to rewrite, what the loader cannot do, and the counts of a run.

The loader has flags for the threshold and for the smallest and largest number of images; the rest
of a setting is brought about in the shards, as far as that can be.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from mmc4viz.types import ConfigError, LoaderConfig

ORDERS: Final = ("page", "sentence")
CAPS: Final = ("first", "best")
OWN: Final = LoaderConfig()
"""The loader as OpenFlamingo has it: its size limit, token limit, coin and assignment."""


@dataclass(frozen=True, slots=True)
class Options:
    """How shards are rewritten.

    Attributes
    ----------
    order : str
        ``page``: images stay in their order. ``sentence``: the images of the chosen pairs, and
        the matrix's rows with them, stand in the order of their sentences, so that every
        ``<image>`` token gets its own image.
    cap : str
        Which of too many surviving pairs stay: the ``first`` ones in image order, as in the
        loader, or the ``best`` ones.
    drop_undecodable : bool
        Whether an image that cannot be decoded is left out, instead of costing its document.
    keep_rejected_images : bool
        Whether images in no chosen pair keep their bytes where the loader rejects them anyway.

    Raises
    ------
    ConfigError
        For an order or a cap that there is not.

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


def loader_config(config: LoaderConfig) -> LoaderConfig:
    """Return what the unmodified loader does with a setting's flags on rewritten shards.

    Parameters
    ----------
    config : LoaderConfig
        The chosen setting, one that `refuse_impossible` lets pass.
    """
    return config.with_(
        assignment=OWN.assignment,
        min_kb=OWN.min_kb,
        max_tokens=OWN.max_tokens,
        single_image_keep=OWN.single_image_keep,
    )


def refuse_impossible(config: LoaderConfig) -> None:
    """Refuse a setting that no rewriting brings the unmodified loader to.

    Several images on one sentence, which ``argmax`` and ``stored`` can lead to, show in the
    documents only.

    Raises
    ------
    ConfigError
        One line with the reason.
    """
    if config.single_image_keep != OWN.single_image_keep:
        raise ConfigError(
            f"single_image_keep is {config.single_image_keep:g}: the loader's coin is one half "
            "and it has no flag for another; apply needs single_image_keep 0.5"
        )
    if config.max_tokens != OWN.max_tokens:
        raise ConfigError(
            f"max_tokens is {config.max_tokens}: the loader cuts at {OWN.max_tokens} tokens and "
            f"has no flag for another length; apply needs max_tokens {OWN.max_tokens}"
        )
    if config.min_kb < OWN.min_kb:
        raise ConfigError(
            f"min_kb is {config.min_kb}: the loader drops images of fewer than "
            f"{(OWN.min_kb + 1) * 1000:,} bytes whatever the shards hold; apply needs min_kb "
            f"{OWN.min_kb} or more"
        )


@dataclass
class RewriteCounts:
    """Counts over documents; each can be added to another's.

    Attributes
    ----------
    documents : int
        All samples.
    carried_over : int
        Byte for byte as they were.
    changed : int
        Rewritten, with `emptied` ones among them.
    always_yielded, sometimes_yielded : int
        Those that the unmodified loader yields with the exported flags, ChatGPT-written ones
        included.
    chatgpt : int
        Written by ChatGPT: carried over, outside the promise.
    reordered : int
        With images in another order.
    lowered : int
        With entries of the matrix lowered because they competed with chosen pairs.
    rescored : int
        With the corpus's stored score put into the matrix.
    rescued : int
        Lost by an image that does not decode, were it not left out.
    emptied : int
        Rejected by the setting, and by the loader only since their images lost their bytes.
    left_out : int
        Cannot be rewritten safely: not in the output, named in the report.
    shared : int
        With several images on one sentence, which refuses a run that writes.
    spaced : int
        Documents with literal special tokens that got a space.
    spaced_tokens : int
        These tokens.
    other_odds : int
        With another probability than the setting alone gives, because of a rescued image, the
        best in place of the first pairs, or a literal token that counted as an image's.
    dropped_images : int
        Images that lost their bytes.
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
        """Add another's counts."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    @property
    def expected(self) -> float:
        """Documents that the loader yields, in expectation over its coin."""
        return self.always_yielded + self.sometimes_yielded / 2

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)

    @classmethod
    def of(cls, found: dict[str, Any]) -> Self:
        """Build counts from a record; raises TypeError or ValueError for one that is none."""
        return cls(**{name: int(value) for name, value in found.items()})


TITLES: Final = {
    "documents": "documents",
    "carried_over": "carried over byte for byte",
    "changed": "rewritten",
    "reordered": "images sorted by sentence",
    "lowered": "competing similarity lowered",
    "rescored": "stored score put into the matrix",
    "rescued": "saved from an undecodable image",
    "emptied": "rejected ones emptied of images",
    "spaced": "literal tokens spaced",
    "other_odds": "other odds than without the options",
    "chatgpt": "ChatGPT-written, as they were",
    "shared": "several images on one sentence",
    "left_out": "left out, see below",
    "dropped_images": "images without bytes now, lest the loader take them",
    "spaced_tokens": "literal tokens that got a space",
    "always_yielded": "the loader yields each time",
    "sometimes_yielded": "it yields every other time, by its coin",
}
"""Words for each count, in the order of the end table."""
EXPECTED: Final = "so it yields on average"
"""Words for `RewriteCounts.expected`, below them."""


def apply_command(
    config: str,
    out: str,
    options: Options,
    *,
    shards: Sequence[str] = (),
    index: str | None = None,
    similarity: str | None = None,
) -> str:
    """Return the words of ``mmc4viz apply``, quoted for a shell.

    Parameters
    ----------
    config : str
        The file of the setting.
    out : str
        The folder of the rewritten shards.
    options : Options
        Those that are their defaults are left out.
    shards : sequence of str
        Paths or patterns.
    index : str, optional
        In place of shards.
    similarity : str, optional
        The index's score set that decides.

    Examples
    --------
    >>> apply_command("c.yaml", "my shards", Options("sentence"), shards=["a/*.tar"])
    "mmc4viz apply 'a/*.tar' --config c.yaml --out 'my shards' --order sentence"
    >>> apply_command("c.yaml", "b", Options(cap="best"), index="ix", similarity="far")
    'mmc4viz apply --index ix --similarity far --config c.yaml --out b --cap best'
    """
    words = ["mmc4viz", "apply", *shards]
    words += [] if index is None else ["--index", index]
    words += [] if similarity is None else ["--similarity", similarity]
    words += ["--config", config, "--out", out]
    own = Options()
    words += [] if options.order == own.order else ["--order", options.order]
    words += [] if options.cap == own.cap else ["--cap", options.cap]
    words += ["--drop-undecodable"] if options.drop_undecodable else []
    words += [] if options.keep_rejected_images else ["--keep-rejected-images", "no"]
    return shlex.join(words)
