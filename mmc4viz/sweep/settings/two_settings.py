"""Threshold and another setting at once: every cell of a heat map, exactly.

The states of documents are resolved once for all values of a setting where they can be: another
token limit or minimum of images leaves the kept pairs as they are, and another cap those of
documents with no more pairs than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np

from mmc4viz.arrays import Floats
from mmc4viz.data.scale import Thresholds
from mmc4viz.sweep.resolve import resolve_each
from mmc4viz.sweep.shape import median_images, ratio
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import Bins, Matched, Progress
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
        What it needs of `mmc4viz.sweep.resolve.COUNTED`.
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


_AROUND: Final = ("text_before", "text_between", "followed")

STATISTICS: Final = {
    "share": Statistic("Documents kept", True, (), _share_of_documents),
    "documents": Statistic("Sequences", False, (), _expected("documents")),
    "image_tokens": Statistic("Image tokens", False, (), _expected("image_tokens")),
    "text_tokens": Statistic("Text tokens", False, ("text_tokens",), _expected("text_tokens")),
    "single_image": Statistic("Single-image sequences", True, (), _ratio("single_image")),
    "images_mean": Statistic("Images per sequence", False, (), _ratio("images_mean")),
    "images_median": Statistic("Median images per sequence", False, (), median_images),
    "mispaired": Statistic("Mispaired tokens", True, ("mispaired",), _mispaired),
    "truncated_sequences": Statistic(
        "Truncated sequences", True, ("length",), _ratio("truncated_sequences")
    ),
    "text_before_mean": Statistic(
        "Text tokens before the first image", False, _AROUND, _ratio("text_before_mean")
    ),
    "text_between_mean": Statistic(
        "Text tokens between images", False, _AROUND, _ratio("text_between_mean")
    ),
    "followed": Statistic("Images with text after them", True, _AROUND, _ratio("followed")),
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
    configs = [config.with_(**{setting: value}) for value in values]
    each = _curves(matched, configs, thresholds, wanted.counted, progress or (lambda _: None))
    keep = config.single_image_keep
    cells = np.array([wanted.of(curves, keep) for curves in each]).reshape(len(values), -1)
    return SettingMap(statistic, setting, tuple(values), thresholds, cells)


def _curves(
    matched: Matched,
    configs: Sequence[LoaderConfig],
    thresholds: Thresholds,
    counted: Sequence[str],
    progress: Progress,
) -> list[Curves]:
    """Return the curves under each of several settings."""
    bins: dict[tuple[int, ...], Bins] = {}  # by the settings that they hold for

    def of(users: Sequence[int]) -> Bins:
        if (key := tuple(users)) not in bins:
            bins[key] = Bins(thresholds, counted=counted)
        return bins[key]

    for part in matched.parts:
        for number, config in enumerate(configs):
            of([number]).add_everywhere(part.constants.counts[None], part.constants.images[None])
            if part.literal:
                everyone = np.zeros(len(part.literal), np.int64)
                of([number]).add_literal(part.literal.states(config), config.max_tokens, everyone)
    progress(matched.n_documents - sum(len(g) for run in matched.runs() for g in run.groups()))
    for run in matched.runs():
        tokenizer = matched.parts[0].columns.tokenizer
        for group, place in run.with_places(thresholds):
            alike = _alike(configs, len(group.score))
            for here in group.blocks():
                block = group.part(here)
                for _, same_cap in groupby(alike, lambda users: configs[users[0]].max_images):
                    each = list(same_cap)
                    firsts = [configs[users[0]] for users in each]
                    found = resolve_each(block, firsts, tokenizer, counted)
                    for users, config, states in zip(each, firsts, found, strict=True):
                        of(users).add_states(place[:, here], states, config)
                progress(len(block))
    found_of = {users: one.curves()[0] for users, one in bins.items()}
    return [
        sum(
            (curves for users, curves in found_of.items() if number in users),
            Curves.none(thresholds),
        )
        for number in range(len(configs))
    ]


def _alike(configs: Sequence[LoaderConfig], m: int) -> list[tuple[int, ...]]:
    """Divide settings into those that do the same to documents of m pairs, by cap.

    Examples
    --------
    >>> caps = [LoaderConfig(max_images=cap) for cap in (1, 2, 3, 4)]
    >>> _alike(caps, 3)
    [(0,), (1,), (2, 3)]
    """
    found: dict[tuple[int, int, int], list[int]] = {}
    for number, one in enumerate(configs):
        key = min(one.max_images, m), one.max_tokens, one.min_images
        found.setdefault(key, []).append(number)
    return [tuple(found[key]) for key in sorted(found)]
