"""What the unmodified loader can be made to do, and what it is run with. Rewrites nothing.

The loader has flags for the threshold and for the smallest and largest number of images; the rest
of a setting is brought about in the shards, as far as that can be.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from mmc4viz.model import ConfigError, LoaderConfig

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
