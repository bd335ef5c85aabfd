"""Threshold and another setting at once: every cell of a heat map, exactly.

The states of documents are resolved once for all values of a setting where they can be: another
token limit or minimum of images leaves the kept pairs as they are, and another cap those of states
with no more pairs than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.data.scale import Thresholds
from mmc4viz.sweep.resolve import States, resolve_each
from mmc4viz.sweep.shape import median_images, ratio
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import Bins, Matched, Places, Progress, type_of_counts
from mmc4viz.types import ConfigError, LoaderConfig

SECOND: Final = ("max_images", "max_tokens", "min_images")
"""Settings that can be varied together with the threshold."""


@dataclass(frozen=True)
class Statistic:
    """What a heat map shows.

    Attributes
    ----------
    label : str
    is_share : bool
        Whether it is from 0 to 1.
    counted : tuple of str
        What it needs of `mmc4viz.sweep.sweep.EVERYTHING`; never pairs, as some states are added
        without those before them.
    of : callable
        Returns its values, shape (T,), from curves and the single-image keep probability; NaN
        where it is undefined.
    """

    label: str
    is_share: bool
    counted: tuple[str, ...]
    of: Callable[[Curves, float], Floats]


def _expected(name: str) -> Callable[[Curves, float], Floats]:
    return lambda curves, keep: curves.expected(name, keep)


def _ratio(name: str) -> Callable[[Curves, float], Floats]:
    return lambda curves, keep: ratio(curves, name, keep)


def _share_of_documents(curves: Curves, keep: float) -> Floats:
    return np.asarray(curves.expected("documents", keep) / np.maximum(1, curves.total("documents")))


def _mispaired(curves: Curves, keep: float) -> Floats:
    tokens = curves.expected("image_tokens", keep)
    share = curves.expected("mispaired", keep) / np.maximum(tokens, 1e-300)
    return np.asarray(np.where(tokens > 0, share, np.nan))


STATISTICS: Final = {
    "share": Statistic("Documents kept", True, (), _share_of_documents),
    "documents": Statistic("Sequences", False, (), _expected("documents")),
    "image_tokens": Statistic("Image tokens", False, ("image_tokens",), _expected("image_tokens")),
    "text_tokens": Statistic("Text tokens", False, ("text_tokens",), _expected("text_tokens")),
    "single_image": Statistic("Single-image sequences", True, ("images",), _ratio("single_image")),
    "images_mean": Statistic(
        "Images per sequence", False, ("image_tokens",), _ratio("images_mean")
    ),
    "images_median": Statistic("Median images per sequence", False, ("images",), median_images),
    "mispaired": Statistic("Mispaired tokens", True, ("image_tokens", "mispaired"), _mispaired),
    "truncated_sequences": Statistic(
        "Truncated sequences", True, ("length",), _ratio("truncated_sequences")
    ),
    "text_before_mean": Statistic(
        "Text tokens before the first image",
        False,
        ("images", "text_before"),
        _ratio("text_before_mean"),
    ),
    "text_between_mean": Statistic(
        "Text tokens between images",
        False,
        ("images", "image_tokens", "text_between"),
        _ratio("text_between_mean"),
    ),
    "followed": Statistic(
        "Images with text after them", True, ("image_tokens", "followed"), _ratio("followed")
    ),
}


@dataclass(frozen=True)
class SettingMap:
    """One statistic by threshold and another setting.

    Attributes
    ----------
    statistic : str
        One of `STATISTICS`.
    setting : str
        One of `SECOND`.
    values : tuple of int
        Of the setting, V.
    thresholds : ndarray of float64, shape (T,)
    cells : ndarray of float64, shape (V, T)
        NaN where the statistic is undefined, since nothing is kept.
    """

    statistic: str
    setting: str
    values: tuple[int, ...]
    thresholds: Thresholds
    cells: Floats


def setting_map(
    matched: Matched,
    config: LoaderConfig,
    statistic: str,
    setting: str,
    values: Sequence[int],
    thresholds: Thresholds,
    progress: Progress | None = None,
) -> SettingMap:
    """Compute a statistic at every threshold for each value of another setting.

    Parameters
    ----------
    matched : Matched
        Matched with the size limit and assignment of ``config``.
    config : LoaderConfig
        Its threshold and the setting itself do not matter.
    statistic : str
        One of `STATISTICS`.
    setting : str
        One of `SECOND`.
    values : sequence of int
        Of the setting.
    thresholds : ndarray of float64, shape (T,)
        Strictly ascending.
    progress : callable, optional
        Called with the number of documents done since the last call; may raise to cancel.

    Raises
    ------
    ConfigError
        For an unknown statistic or setting, or a value out of range.

    Examples
    --------
    >>> from mmc4viz import match_corpus
    >>> empty = match_corpus([], LoaderConfig())
    >>> found = setting_map(empty, LoaderConfig(), "share", "max_images", [1, 2], np.array([0.2]))
    >>> found.cells.tolist()
    [[0.0], [0.0]]
    """
    if statistic not in STATISTICS:
        raise ConfigError(f"{statistic!r} is not a statistic; use one of {', '.join(STATISTICS)}")
    if setting not in SECOND:
        raise ConfigError(f"{setting!r} cannot be varied here; use one of {', '.join(SECOND)}")
    wanted = STATISTICS[statistic]
    distinct = sorted(set(values))
    configs = [config.with_(**{setting: value}) for value in distinct]
    each = _curves(matched, configs, thresholds, wanted.counted, progress or (lambda _: None))
    row = {
        value: wanted.of(curves, config.single_image_keep)
        for value, curves in zip(distinct, each, strict=True)
    }
    cells = np.array([row[value] for value in values]).reshape(len(values), -1)
    return SettingMap(statistic, setting, tuple(values), thresholds, cells)


def _curves(
    matched: Matched,
    configs: Sequence[LoaderConfig],
    thresholds: Thresholds,
    counted: Sequence[str],
    progress: Progress,
) -> list[Curves]:
    """Return the curves under several settings, of which one ascends, and the others are alike."""
    dtype = type_of_counts(configs[0])
    bins = [Bins(thresholds, counted=counted, dtype=dtype) for _ in configs]
    shared = Bins(
        thresholds, len(configs), counted, dtype
    )  # by the first of the settings that share it
    for part in matched.parts:
        for own, config in zip(bins, configs, strict=True):
            own.add_everywhere(part.constants.counts[None], part.constants.images[None])
            if part.literal:
                everyone = np.zeros(len(part.literal), np.int64)
                own.add_literal(part.literal.states(config), config.max_tokens, everyone)
    progress(matched.n_documents - sum(len(g) for run in matched.runs() for g in run.groups()))
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group, place in run.with_places(thresholds):
            for here in group.blocks():
                block = group.part(here)
                found = resolve_each(block, configs, tokenizer, counted)
                _add(place[:, here], found, configs, bins, shared)
                progress(len(block))
    up_to = accumulate(shared.curves(), Curves.__add__)
    return [own.curves()[0] + before for own, before in zip(bins, up_to, strict=True)]


def _add(
    place: Places,
    found: Sequence[States],
    configs: Sequence[LoaderConfig],
    bins: Sequence[Bins],
    shared: Bins,
) -> None:
    """Add the states of documents of m pairs; those that larger caps share, once.

    Parameters
    ----------
    place : ndarray of unsigned integers, shape (m, D)
    found : sequence of States
        From `resolve_each`.
    configs : sequence of LoaderConfig
    bins : sequence of Bins
        Of what each of the settings has alone.
    shared : Bins
        Of what a setting, as a cluster, shares with all after it.
    """
    m, caps = len(place), [config.max_images for config in configs]
    if caps[0] == caps[-1]:
        for own, states, config in zip(bins, found, configs, strict=True):
            own.add_states(place, states, config)
        return
    first = np.searchsorted(caps[:-1], np.arange(1, m + 1))  # cap that has room for so many pairs
    shared.add_states(place, found[-1], configs[-1], first[:, None])
    for own, states, config in zip(bins[:-1], found, configs, strict=False):
        if config.max_images < m:
            later = place[config.max_images - 1 :].copy()
            later[0] = 0  # below all thresholds: this state is shared, and only left here
            own.add_states(later, states, config)
