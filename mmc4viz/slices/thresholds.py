"""Slice thresholds of documents: what they are for every document, and how to propose them.

A slice's threshold differs from the settings' by a fixed amount, so that every curve, manifest and
rewritten shard needs to know only this shift for each document (`mmc4viz.data.scale.Shifts`). An
image's slice has no threshold of its own: whether its document is kept depends on all of its pairs.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa

from mmc4viz.config_file import SLICE_THRESHOLDS, is_file_name
from mmc4viz.data.scale import Shifts, Thresholds
from mmc4viz.data.storage import is_remote
from mmc4viz.slices.attributes import ATTRIBUTES, Attribute, SlicedCorpus
from mmc4viz.slices.comparison import document_curves
from mmc4viz.slices.division import MOST, NO_VALUE, Division, Values, divide, shown
from mmc4viz.slices.table import SliceTable, open_slice_table, plain_type
from mmc4viz.thresholds.labels.precision import Labelled, propose
from mmc4viz.types import ConfigError, LoaderConfig, SliceThresholds

FEWEST_DOCUMENTS: Final = 10
"""A slice of fewer documents is not given a threshold of its own."""


def refuse_unsuitable(attribute: Attribute, table: SliceTable | None) -> None:
    """Refuse what cannot have thresholds by slice.

    Raises
    ------
    ConfigError
        For images, and for a column of a user's table of which numbers are put into bins: these
        depend on the corpus, and one shard alone would have others.
    """
    name = attribute.name
    if attribute.unit != "document":
        documents = [one.name for one in ATTRIBUTES.values() if one.unit == "document"]
        raise ConfigError(
            f"{name} divides images, and only slices of documents can have thresholds: use "
            f"{', '.join(documents)}, or a column of a table of documents"
        )
    if table is not None and name in table.columns:
        kind = plain_type(table.data.schema.field(name).type)
        plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean)
        if not any(check(kind) for check in plain):
            raise ConfigError(
                f"{table.path}: column {name!r} has the type {kind}; thresholds by slice need text "
                "or yes/no: write numbers and dates as text"
            )


def attribute_of(table: SliceThresholds, *, verify: bool = True) -> Attribute:
    """Return what divides documents; opens the user's table if it is a column of one.

    Parameters
    ----------
    table : SliceThresholds
    verify : bool
        Whether to compare the digest of the user's table.

    Raises
    ------
    ConfigError
        If it cannot divide documents, or the user's table is missing or has changed.
    """
    if not table.file:
        if table.by not in ATTRIBUTES:
            raise ConfigError(
                f"{SLICE_THRESHOLDS}: by is {shown(table.by)!r}, which is not something to divide "
                f"by; use one of {', '.join(n for n, a in ATTRIBUTES.items() if a.unit != 'image')}"
            )
        refuse_unsuitable(ATTRIBUTES[table.by], None)
        return ATTRIBUTES[table.by]
    path = os.path.join(table.folder, table.file)
    if not os.path.isfile(path):
        raise ConfigError(
            f"{path}: no such file; {SLICE_THRESHOLDS} refers to the column {shown(table.by)!r} of "
            "it: put it next to the config"
        )
    if verify and digest_of(path) != table.sha256:
        raise ConfigError(
            f"{path}: has changed since {SLICE_THRESHOLDS} was written (another SHA-256): restore "
            "it, or propose thresholds again with mmc4viz slices --propose"
        )
    own = open_slice_table(path)
    attribute = own.attribute(table.by)
    refuse_unsuitable(attribute, own)
    return attribute


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file's bytes; raises ConfigError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None


@dataclass(frozen=True)
class ResolvedThresholds:
    """The table on a corpus.

    Attributes
    ----------
    shifts : Shifts
        Of all documents.
    notes : tuple of str
        What should be known, one line each.
    """

    shifts: Shifts
    notes: tuple[str, ...] = ()


def resolved(
    table: SliceThresholds, corpus: SlicedCorpus, attribute: Attribute | None = None
) -> ResolvedThresholds:
    """Find the shift of every document.

    Parameters
    ----------
    table : SliceThresholds
    corpus : SlicedCorpus
    attribute : Attribute, optional
        Of `attribute_of`, where it is at hand.
    """
    values = (attribute or attribute_of(table)).values(corpus)
    names = _names(values)
    notes, here = list(values.notes), {names[code] for code in np.unique(values.code).tolist()}
    absent = [name for name in table.thresholds if name not in here]
    if absent:
        more = f" and {len(absent) - 1:,} more" if len(absent) > 1 else ""
        notes.append(f"{SLICE_THRESHOLDS}: no document here is in the slice {absent[0]!r}{more}")
    return ResolvedThresholds(_shifts(table, values), tuple(notes))


def shifts_of_shard(table: SliceThresholds, corpus: SlicedCorpus, attribute: Attribute) -> Shifts:
    """Find the shift of every document of one shard of a corpus.

    A shard in which the attribute is not recorded has no values, though others may have.
    """
    try:
        values = attribute.values(corpus)
    except ConfigError:
        if table.file:
            raise
        values = Values(np.full(corpus.matched.n_documents, -1, np.int32), [])
    return _shifts(table, values)


def _names(values: Values) -> list[str]:
    """Return the slice of each value, as a division names it; the last is that of no value."""
    proper = len(values.names) - values.apart
    return [*map(shown, values.names[:proper]), *values.names[proper:], NO_VALUE]


def _shifts(table: SliceThresholds, values: Values) -> Shifts:
    shift = {name: table.shift(name) for name in table.thresholds}
    by = list(dict.fromkeys([Decimal(0), *shift.values()]))
    place = [by.index(shift.get(name, Decimal(0))) for name in _names(values)]
    return Shifts(np.array(place, np.int64)[values.code], tuple(by))


@dataclass(frozen=True)
class ProposedThreshold:
    """A threshold for one slice.

    Attributes
    ----------
    name : str
    size : int
        Its documents.
    before, kept : float
        How many are kept at the settings' threshold and at the proposed one, in expectation.
    threshold : float
    own : bool
        Whether it is proposed; otherwise it is the settings'.
    said : str
        Why it is not, or what should be known of it; may be empty.
    """

    name: str
    size: int
    before: float
    kept: float
    threshold: float
    own: bool
    said: str = ""

    @property
    def share(self) -> float:
        """The kept share."""
        return self.kept / self.size


@dataclass(frozen=True)
class ProposedThresholds:
    """A table of thresholds for all slices of a division.

    Attributes
    ----------
    table : SliceThresholds
        Empty if no slice has a threshold of its own.
    slices : tuple of ProposedThreshold
        All slices of the division, in its order.
    assumption : str
    notes : tuple of str
        Of the division.
    """

    table: SliceThresholds
    slices: tuple[ProposedThreshold, ...]
    assumption: str
    notes: tuple[str, ...] = ()

    def as_row(self, one: ProposedThreshold) -> dict[str, Any]:
        """Return a slice for CSV and JSON."""
        found = {"attribute": self.table.by, "slice": one.name, "size": one.size}
        found |= {"threshold": one.threshold, "own": one.own}
        return found | {"before": one.before, "kept": one.kept, "share": one.share,
                        "remark": one.said}  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        rows = [self.as_row(one) for one in self.slices]
        return {
            "threshold": self.table.base,
            "assumption": self.assumption,
            SLICE_THRESHOLDS: self.table.as_dict(),
            "slices": rows,
        }


EQUAL_SHARE: Final = (
    "Each slice has the highest threshold of the grid at which it keeps at least the whole's share "
    f"of its documents. Slices of fewer than {FEWEST_DOCUMENTS} documents, and those that are not "
    "named, have the settings' threshold."
)
EQUAL_PRECISION: Final = (
    "Each slice has the lowest threshold shown to have the precision in it, at 95% confidence for "
    "that slice alone; it assumes random sampling within score strata and correct labels. Slices "
    "without such a threshold, and those that are not named, have the settings' threshold."
)


def propose_equal_share(
    corpus: SlicedCorpus,
    attribute: Attribute,
    config: LoaderConfig,
    grid: Thresholds,
    most: int = MOST,
) -> ProposedThresholds:
    """Propose thresholds at which each slice keeps the share that the whole keeps now.

    Parameters
    ----------
    corpus : SlicedCorpus
        Matched with the size limit and assignment of ``config``.
    attribute : Attribute
        Of documents.
    config : LoaderConfig
    grid : ndarray of float64, shape (T,)
        Candidate thresholds.
    most : int
        Number of values that are slices of their own.
    """
    division, named = _divided(corpus, attribute, most)
    found = _KeptBySlice.of(corpus, division, config, grid)
    whole = found.kept[:, found.step].sum() / max(1, found.size.sum())
    rows = []
    for number in range(len(division)):
        size, kept = int(found.size[number]), found.kept[number]
        enough = np.flatnonzero((kept >= whole * size - 1e-9 * size) & found.on_grid)
        why = ""
        if not named[number]:
            why = _NOT_NAMED
        elif size < FEWEST_DOCUMENTS:
            why = f"fewer than {FEWEST_DOCUMENTS} documents"
        elif not len(enough):
            why = f"keeps at most {kept[found.on_grid].max() / size:.1%}"
        if why:
            rows.append(found.row(division, number, None, why))
            continue
        step = int(enough[-1])
        excess = kept[step] - whole * size
        after = kept[step + 1] if step + 1 < len(kept) else 0.0
        said = ""
        if excess >= 1:
            leave = kept[step] - after
            said = f"keeps {excess:,.4g} documents more than its share: {leave:,.10g} leave at once"
        rows.append(found.row(division, number, step, said))
    return _table(division, config, rows, "share", None, EQUAL_SHARE)


def propose_equal_precision(
    corpus: SlicedCorpus,
    attribute: Attribute,
    config: LoaderConfig,
    labelled: Labelled,
    wanted: float,
    most: int = MOST,
) -> ProposedThresholds:
    """Propose thresholds at which each slice is shown to have a precision.

    Parameters
    ----------
    corpus, attribute, config, most
        As for `propose_equal_share`.
    labelled : Labelled
        Labels of this corpus under these settings: within a stratum, a slice's are at random.
    wanted : float
        The precision, from 0 to 1.
    """
    division, named = _divided(corpus, attribute, most)
    sample, code = labelled.sample, division.of_pairs(corpus.pairs)
    of_label = code[labelled.ranks]
    chosen: list[float | None] = []
    said = []
    for number in range(len(division)):
        mine = of_label == number
        part = sample.part(corpus.pairs.score[code == number], mine)
        one = propose(part, wanted)
        own = one.threshold if named[number] else None
        chosen.append(own)
        why = _NOT_NAMED if not named[number] else str(one.reason or "")
        labels = "1 label" if len(part) == 1 else f"{len(part):,} labels"
        said.append(labels if own is not None else f"{labels}: {why}")
    grid = np.unique([value for value in chosen if value is not None] or [config.threshold])
    found = _KeptBySlice.of(corpus, division, config, grid)
    rows = [
        found.row(division, number, None if own is None else found.position(own), said[number])
        for number, own in enumerate(chosen)
    ]
    return _table(division, config, rows, "precision", wanted, EQUAL_PRECISION)


@dataclass(frozen=True)
class _KeptBySlice:
    """What each slice keeps at candidate thresholds and at the settings'.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (T,)
    kept : ndarray of float64, shape (slices, T)
        Documents, in expectation.
    size : ndarray of int64, shape (slices,)
    step : int
        Position of the settings' threshold.
    on_grid : ndarray of bool, shape (T,)
        Which thresholds are candidates.
    """

    thresholds: Thresholds
    kept: Any
    size: Any
    step: int
    on_grid: Any

    @classmethod
    def of(
        cls, corpus: SlicedCorpus, division: Division, config: LoaderConfig, grid: Thresholds
    ) -> _KeptBySlice:
        every = np.union1d(grid, [config.threshold])
        curves = document_curves(corpus.matched, division, config, every)
        kept = [one.expected("documents", config.single_image_keep) for one in curves]
        return cls(
            every, np.array(kept).reshape(len(division), len(every)), division.sizes,
            int(np.searchsorted(every, config.threshold)), np.isin(every, grid),
        )  # fmt: skip

    def position(self, threshold: float) -> int:
        return int(np.searchsorted(self.thresholds, threshold))

    def row(
        self, division: Division, number: int, step: int | None, said: str
    ) -> ProposedThreshold:
        """Return a slice at a candidate, or at the settings' threshold."""
        at = self.step if step is None else step
        kept = self.kept[number]
        return ProposedThreshold(
            division.names[number], int(self.size[number]), float(kept[self.step]),
            float(kept[at]), float(self.thresholds[at]), step is not None, said,
        )  # fmt: skip


_NOT_NAMED: Final = "not of one value, so it cannot be named"


def _divided(corpus: SlicedCorpus, attribute: Attribute, most: int) -> tuple[Division, list[bool]]:
    """Return the slices, and which of them are found again by name in any corpus."""
    values = attribute.values(corpus)
    division = divide(attribute.name, attribute.label, attribute.unit, values, most)
    times = Counter(_names(values))
    return division, [times[name] == 1 for name in division.names]


def _table(
    division: Division,
    config: LoaderConfig,
    rows: Sequence[ProposedThreshold],
    basis: str,
    target: float | None,
    assumption: str,
) -> ProposedThresholds:
    thresholds = {one.name: one.threshold for one in rows if one.own}
    table = SliceThresholds(division.name, config.threshold, thresholds, basis, target)
    return ProposedThresholds(table, tuple(rows), assumption, division.notes)


def with_file(found: ProposedThresholds, table: SliceTable | None) -> ProposedThresholds:
    """Record the user's table, if the slices are of one of its columns."""
    if table is None or found.table.by not in table.columns:
        return found
    folder, file = os.path.split(os.path.abspath(table.path))
    if is_remote(table.path) or not is_file_name(file):
        raise ConfigError(
            f"{table.path}: thresholds by slice refer to a table by its name next to the config: "
            "copy it to a local file with a plain name"
        )
    digest = digest_of(table.path)
    own = replace(found.table, file=file, sha256=digest, folder=folder)
    return replace(found, table=own)
