"""The same corpus under every loader: what each keeps, and at which threshold they keep as much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from mmc4viz.arrays import Bools, Floats, Ints
from mmc4viz.data.columns import Columns
from mmc4viz.data.scale import Thresholds
from mmc4viz.loader.profile import PROFILES
from mmc4viz.sweep.document_table import Verdicts, verdicts
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import Matched, Progress, match_corpus, sweep
from mmc4viz.thresholds.by_yield import Steps, steps_of_scores
from mmc4viz.thresholds.compare.equivalent import equal_yield
from mmc4viz.types import LoaderConfig

RATES: Final = {
    "documents": "documents kept",
    "image_tokens": "image tokens",
    "text_tokens": "text tokens",
    "single_image": "single-image sequences",
    "mispaired": "mispaired image tokens",
}
"""What is compared, in words; the last two are shares of sequences and of image tokens."""


@dataclass(frozen=True, slots=True)
class LoaderYield:
    """What a loader keeps at one threshold, in expectation over what it does at random.

    Attributes
    ----------
    threshold : float or None
        None if the loader has none.
    documents, image_tokens, text_tokens : float
    single_image : float or None
        Share of sequences with one image; None without sequences.
    mispaired : float or None
        Share of image tokens; None without image tokens.
    """

    threshold: float | None
    documents: float
    image_tokens: float
    text_tokens: float
    single_image: float | None
    mispaired: float | None


@dataclass(frozen=True, slots=True)
class UnderLoader:
    """A corpus under one loader.

    Attributes
    ----------
    config : LoaderConfig
        The loader's own settings, but for the threshold; those at hand for the one at hand.
    present, default : LoaderYield
        At the threshold at hand, and at the loader's own.
    equal : (float, float) or None
        The threshold at which it keeps as many documents as the loader at hand does, or as close
        to that as it can, and how many; None if it has no threshold.
    probability : ndarray of float64, shape (documents,)
        At the threshold at hand, the probability that each document is kept.
    """

    config: LoaderConfig
    present: LoaderYield
    default: LoaderYield
    equal: tuple[float, float] | None
    probability: Floats

    @property
    def label(self) -> str:
        """The loader's name, as shown to people."""
        return PROFILES[self.config.loader].label

    def row(self) -> dict[str, Any]:
        """Return the numbers by name."""
        found: dict[str, Any] = {"loader": self.config.loader}
        for prefix, one in (("", self.present), ("default_", self.default)):
            found |= {f"{prefix}{name}": getattr(one, name) for name in ("threshold", *RATES)}
        threshold, documents = self.equal or (None, None)
        return found | {"equal_threshold": threshold, "equal_documents": documents}


@dataclass(frozen=True, slots=True)
class LoaderComparison:
    """A corpus under several loaders.

    Attributes
    ----------
    config : LoaderConfig
        The settings at hand.
    documents : int
        Number of documents, readable or not.
    loaders : tuple of UnderLoader
    """

    config: LoaderConfig
    documents: int
    loaders: tuple[UnderLoader, ...]

    def lost(self, by: UnderLoader, kept_by: UnderLoader) -> Ints:
        """Return the documents that one loader always loses and another may keep."""
        return np.flatnonzero((kept_by.probability > 0) & (by.probability == 0))

    def differing(self) -> Bools:
        """Return which documents are not kept alike by all loaders, shape (documents,)."""
        each = np.array([one.probability for one in self.loaders])
        return np.asarray((each != each[:1]).any(axis=0))


class Resolved(Protocol):
    """A corpus matched and resolved under one loader's settings."""

    def curves(self, thresholds: Thresholds) -> Curves:
        """Return every statistic at these thresholds, at least."""

    def steps(self) -> Steps:
        """Return what is kept at every score."""

    def verdicts(self) -> Verdicts:
        """Return the outcome of each document at the threshold of the settings."""


@dataclass(frozen=True)
class _Resolved:
    matched: Matched
    config: LoaderConfig

    def curves(self, thresholds: Thresholds) -> Curves:
        return sweep(self.matched, self.config, thresholds)

    def steps(self) -> Steps:
        return steps_of_scores(self.matched, self.config)

    def verdicts(self) -> Verdicts:
        return verdicts(self.matched, self.config)


def compare_loaders(
    corpus: Sequence[Columns],
    config: LoaderConfig,
    names: Sequence[str] = (),
    progress: Progress | None = None,
) -> LoaderComparison:
    """Put a corpus through several loaders, each with its own settings.

    Parameters
    ----------
    corpus : sequence of Columns
        One per shard.
    config : LoaderConfig
        The settings at hand; the threshold, the tokenizer and the CLIP model hold for all loaders.
    names : sequence of str, optional
        Of the loaders; by default all. The one at hand comes first in any case.
    progress : callable, optional
        Called with the number of documents done since the last call.

    Raises
    ------
    ConfigError
        If a loader is not known.
    """

    def resolve(own: LoaderConfig) -> Resolved:
        return _Resolved(match_corpus(corpus, own, progress), own)

    return compare_resolved(config, names, resolve, sum(map(len, corpus)))


def compare_resolved(
    config: LoaderConfig,
    names: Sequence[str],
    resolve: Callable[[LoaderConfig], Resolved],
    documents: int,
) -> LoaderComparison:
    """Do the same with a corpus of so many documents that ``resolve`` resolves."""
    wanted = dict.fromkeys((config.loader, *(names or PROFILES)))
    found: list[UnderLoader] = []
    for name in wanted:
        own = config if name == config.loader else _own(name, config)
        target = found[0].present.documents if found else None
        found.append(_under(resolve(own), own, target))
    return LoaderComparison(config, documents, tuple(found))


def _own(name: str, config: LoaderConfig) -> LoaderConfig:
    """Return a loader's own settings at the threshold at hand."""
    return LoaderConfig.of_loader(name).with_(
        threshold=config.threshold, tokenizer=config.tokenizer, clip_model=config.clip_model
    )


def _under(resolved: Resolved, config: LoaderConfig, wanted: float | None) -> UnderLoader:
    default = LoaderConfig.of_loader(config.loader).threshold
    curves = resolved.curves(np.unique([config.threshold, default]))
    present, equal = _yield_at(curves, config, config.threshold), None
    if config.has_threshold:
        target = present.documents if wanted is None else wanted
        as_many = equal_yield(resolved.steps(), "documents", target)
        equal = as_many.best.threshold, as_many.best.kept
    odds = resolved.verdicts().odds(config.single_image_keep)
    return UnderLoader(config, present, _yield_at(curves, config, default), equal, odds)


def _yield_at(curves: Curves, config: LoaderConfig, threshold: float) -> LoaderYield:
    step, keep = curves.step(threshold), config.single_image_keep

    def expected(name: str) -> float:
        return float(curves.expected(name, keep)[step])

    documents, images = expected("documents"), expected("image_tokens")
    alone = keep * float(curves.in_class("documents", "kept_single_image")[step])
    return LoaderYield(
        threshold if config.has_threshold else None,
        documents,
        images,
        expected("text_tokens"),
        alone / documents if documents else None,
        expected("mispaired") / images if images else None,
    )


HEAD: Final = (
    "loader", "threshold", "documents", "share", "image tokens", "text tokens", "single image",
    "mispaired", "equal at",
)  # fmt: skip


def table_of(found: LoaderComparison) -> list[tuple[str, ...]]:
    """Return the comparison as rows of text, the head first; a loader's own threshold below."""
    rows: list[tuple[str, ...]] = [HEAD]
    for one in found.loaders:
        equal = "" if one.equal is None else f"{one.equal[0]:g}"
        rows.append((one.config.loader, *_cells(one.present, found.documents), equal))
        if one.default.threshold != one.present.threshold:
            rows.append(("– at its own threshold", *_cells(one.default, found.documents), ""))
    return rows


def _cells(one: LoaderYield, whole: int) -> tuple[str, ...]:
    return (
        "none" if one.threshold is None else f"{one.threshold:g}",
        _number(one.documents),
        _share(one.documents / whole if whole else None),
        _number(one.image_tokens),
        _number(one.text_tokens),
        _share(one.single_image),
        _share(one.mispaired),
    )


def _number(value: float) -> str:
    return f"{round(value, 1):,.10g}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def kept_and_lost(found: LoaderComparison) -> list[tuple[str, ...]]:
    """Return, for each loader, how many documents it may keep that each other one loses.

    Rows of text, the head first; loaders are numbered.
    """
    names = [f"{n} {one.config.loader}" for n, one in enumerate(found.loaders, 1)]
    rows: list[tuple[str, ...]] = [("kept by", *(f"not {n}" for n in range(1, len(names) + 1)))]
    for name, one in zip(names, found.loaders, strict=True):
        rows.append((name, *(f"{len(found.lost(other, one)):,}" for other in found.loaders)))
    return rows


def rows_of(found: LoaderComparison) -> list[Mapping[str, Any]]:
    """Return the comparison as rows by name."""
    return [one.row() for one in found.loaders]
