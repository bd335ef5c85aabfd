"""Slices in words: the cells of their table, and a sentence on the one that costs most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from mmc4viz.slices.attributes import ATTRIBUTES, Attribute
from mmc4viz.slices.comparison import Slice, SliceComparison
from mmc4viz.slices.division import NO_VALUE, OTHER
from mmc4viz.slices.site import ADDRESS, NOT_A_URL
from mmc4viz.text import plain

ALONE = " The CI of a precision holds for its slice alone."
"""Follows a table of slices with precisions."""
NOT_VALUES: Final = (ADDRESS, NOT_A_URL, OTHER, NO_VALUE)
"""Names of slices that are of no one value of what divides."""


def unit_of(found: SliceComparison) -> str:
    """Return what is counted: documents, or matched pairs."""
    return "documents" if found.unit == "document" else "matched pairs"


def table_of(
    found: SliceComparison, slices: Sequence[Slice], *, shape: bool = False
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return slices as a table: its head and its rows.

    Parameters
    ----------
    found : SliceComparison
    slices : sequence of Slice
        Those of ``found``, in the order of the rows.
    shape : bool
        Whether slices of documents have columns of the shape of their sequences.
    """
    shape &= found.unit == "document"
    labelled = any(one.precision for one in slices)
    head: tuple[str, ...] = ("slice", unit_of(found), "kept", "share", "difference", "95% CI")
    head += ("cost", "single-image drop", "median score")
    head += ("images per sequence", "single-image") * shape + ("precision", "95% CI") * labelled
    return head, [_row(one) + _shape(one) * shape + _precision(one) * labelled for one in slices]


def typeset(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return rows of a table for the eye: with minus signs, and nothing hidden in the names."""
    signs = str.maketrans("-", "−")
    return [(plain(name), *(cell.translate(signs) for cell in rest)) for name, *rest in rows]


def _row(one: Slice) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.size:,}",
        f"{one.kept:,.10g}",
        share(one.share),
        signed(one.difference),
        "–" if one.low is None else f"{signed(one.low)} to {signed(one.high)}",
        f"{round(one.cost, 1) + 0.0:,.1f}",
        dropped_singly(one),
        f"{one.median:g}" if one.quantiles else "–",
    )


def _shape(one: Slice) -> tuple[str, str]:
    mean = "–" if one.images_mean is None else f"{one.images_mean:.2f}"
    return mean, share(one.single_image)


def _precision(one: Slice) -> tuple[str, str]:
    of = one.precision
    if of is None or of.estimate is None or of.low is None or of.high is None:
        n = 0 if of is None else of.labels
        return f"{n:,} {'label' if n == 1 else 'labels'}", "–"
    return f"{of.estimate:.1%}", f"{of.low:.1%}–{of.high:.1%}"


class SliceShare(Protocol):
    """A slice with its kept share."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def share(self) -> float | None:
        """Kept share; None if nothing can be kept."""

    @property
    def low(self) -> float | None:
        """Lower end of the 95% interval of the difference from the whole's; None without one."""

    @property
    def high(self) -> float | None:
        """Upper end."""

    @property
    def cost(self) -> float:
        """How many more would be kept at the whole's share."""


def limits(one: SliceShare, whole: float) -> tuple[float, float] | None:
    """Return the 95% CI of a slice's kept share, from that of its difference from the whole's."""
    if one.low is None or one.high is None:
        return None
    return max(0.0, whole + one.low), min(1.0, whole + one.high)


def share(value: float | None) -> str:
    """Return a share as a percentage."""
    return "–" if value is None else f"{value:.1%}"


def dropped_singly(one: Slice) -> str:
    """Return how many of those that are not kept the single-image drop takes."""
    return f"{one.single_image_drop:,.10g} of {one.dropped:,.10g}"


def signed(value: float | None) -> str:
    """Return a difference of shares in percentage points."""
    return "–" if value is None else f"{round(100 * value, 1) + 0.0:+.1f}"


def by_words(found: SliceComparison) -> str:
    """Return what divides, to stand within a sentence."""
    label = found.label
    return label if _attribute(found) is None else f"{label[:1].lower()}{label[1:]}"


def _attribute(found: SliceComparison) -> Attribute | None:
    """Return the attribute that divides; None for a column of the user's table."""
    known = ATTRIBUTES.get(found.name)
    return known if known and known.label == found.label else None


def _named(found: SliceComparison, name: str) -> tuple[str, str]:
    """Return a slice in words that say what its name is a value of, and the verb after them.

    Examples
    --------
    >>> from types import SimpleNamespace as Of
    >>> by_images = Of(name="images", label="Images on the page")
    >>> _named(by_images, "1"), _named(by_images, "no value")
    (('pages with 1 image', 'cost'), ('the slice no value', 'costs'))
    >>> _named(Of(name="crawl", label="crawl"), "2019")
    ('the slice crawl: 2019', 'costs')
    """
    attribute = _attribute(found)
    if name in NOT_VALUES:
        return f"the slice {name}", "costs"
    if attribute is None:
        return f"the slice {found.label}: {name}", "costs"
    before, _, after = attribute.phrase.partition("{}")
    return f"{before}{name}{after.replace('[s]', '' if name == '1' else 's')}", "cost"


def costliest(found: SliceComparison) -> tuple[str, str, str]:
    """Return a sentence on the slice that costs most: before the slice, the slice, and after.

    Without one that costs anything, the slice is empty.
    """
    of = f"Of {len(found.slices):,} slices by {by_words(found)}"
    first = max(found.slices, key=lambda one: one.cost, default=None)
    if first is None or first.cost < 0.05 or first.share is None:
        return f"{of}, none keeps less than the whole's share.", "", ""
    named, verb = _named(found, first.name)
    words = (
        f"{verb} most: {first.cost:,.1f} {unit_of(found)} fewer than at the whole's share "
        f"({first.share:.1%} kept, {_against(first, found.share)}). The single-image drop takes "
        f"{first.single_image_drop:,.10g} of the {first.dropped:,.10g} that are not kept."
    )
    return f"{of},", named, words


def _against(one: Slice, whole: float) -> str:
    """Say where a slice's share is against the whole's, by its interval if it has one.

    Examples
    --------
    >>> from types import SimpleNamespace as Of
    >>> _against(Of(low=-0.36, high=-0.16, difference=-0.3), 0.433)
    "36 to 16 points below the whole's 43.3%"
    >>> _against(Of(low=-0.12, high=0.032, difference=-0.05), 0.433)
    "between 12 points below and 3 above the whole's 43.3%"
    >>> _against(Of(low=None, high=None, difference=-0.052), 0.433)
    "5.2 points below the whole's 43.3%; fewer than 10 documents in it or outside, so no CI"
    """
    of = f"the whole's {whole:.1%}"
    if one.low is None or one.high is None:
        below = 0.0 if one.difference is None else -100 * one.difference
        return f"{below:.1f} points below {of}; fewer than 10 documents in it or outside, so no CI"
    low, high = 100 * one.low, 100 * one.high
    if high < 0:
        return f"{-low:.0f} to {-high:.0f} points below {of}"
    return f"between {-low:.0f} points below and {high:.0f} above {of}"
