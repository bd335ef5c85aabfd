"""A table of image–text pairs in a few lines of Python: the commands' answers as data frames.

Examples
--------
>>> import os, tempfile
>>> import pyarrow as pa, pyarrow.parquet as pq
>>> import mmc4viz
>>> path = os.path.join(tempfile.mkdtemp(), "laion.parquet")
>>> columns = {"URL": ["a", "b", "c"], "TEXT": ["x", "y", "z"], "similarity": [0.2, 0.3, 0.4]}
>>> pq.write_table(pa.table(columns), path)
>>> pairs = mmc4viz.open_pairs(path)
>>> pairs
<mmc4viz pairs: 3 rows in 1 file, similarity (ViT-B/32)>
>>> pairs.kept(0.3)
2
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from mmc4viz.pairs.comparison import compared
from mmc4viz.pairs.opened import OpenedPairs, opened_index, opened_table
from mmc4viz.pairs.recognise import is_pair_index
from mmc4viz.pairs.rows.examples import NearRows, first_rows, named_model, rows_near
from mmc4viz.pairs.selection import PairSelection, Together
from mmc4viz.text import escaped
from mmc4viz.types import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from mmc4viz.thresholds.proposal import Proposal

_CELLS = 40  # along an axis of a picture


def open_pairs(
    *tables: str | os.PathLike[str],
    index: str | os.PathLike[str] | None = None,
    scores: Sequence[str] = (),
    where: str | Sequence[str] = (),
    strict: bool = False,
    progress: Callable[[int], object] | None = None,
) -> PairsInNotebook:
    """Open a table of image–text pairs, or its index.

    Parameters
    ----------
    *tables : str or path
        Files, folders or glob patterns; also a folder that ``mmc4viz index`` made of a table.
    index : str or path, optional
        An index, instead of a table.
    scores : sequence of str, optional
        Columns, each as ``COLUMN`` or ``COLUMN=MODEL``; by default all known scores.
    where : str or sequence of str, optional
        Conditions on rows, such as ``aspect<=3``.
    strict : bool
        Whether a score must be above the threshold, not just reach it.
    progress : callable, optional
        Called with the number of rows just read, ``tqdm.tqdm().update`` for example.

    Returns
    -------
    PairsInNotebook
        Nothing is counted before the first question.

    Raises
    ------
    Mmc4vizError
        When something named is missing or not what it should be.
    """
    names = [os.fspath(one) for one in tables]
    if index is None and len(names) == 1 and is_pair_index(names[0]):
        index, names = names[0], []
    if bool(names) == (index is not None):
        raise ConfigError("name a table or an index" + (", not both" if names else ""))
    given = scores, [where] if isinstance(where, str) else where
    if index is not None:
        opened = opened_index(os.fspath(index), *given, strict=strict)
    else:
        opened = opened_table(names, *given, strict=strict)
    if progress is not None:
        tell = progress
        opened = replace(opened, show_progress=lambda: nullcontext(tell))
    command = ["--index", os.fspath(index)] if index is not None else names
    return PairsInNotebook(opened, tuple(command))


@dataclass(frozen=True)
class PairsInNotebook:
    """A table of pairs, with every question as a method; made by `open_pairs`.

    Attributes
    ----------
    opened : OpenedPairs
        The engine, which the commands use as well.
    command : tuple of str
        The words of a command that open the same.
    """

    opened: OpenedPairs
    command: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.opened.tally.rows

    def __repr__(self) -> str:
        files = len(self.opened.paths)
        names = [
            f"{one.name} ({named_model(one.model)})" if one.is_score else one.name
            for one in self.opened.columns
        ]
        joint = {"one": ", ", "sum": " + "}.get(self.opened.together, f" {self.opened.together} ")
        where = "".join(f", {one}" for one in self.opened.plan.where)
        return (
            f"<mmc4viz pairs: {len(self):,} rows in {files:,} {'file' if files == 1 else 'files'}, "
            f"{joint.join(names)}{where}>"
        )

    @property
    def errors(self) -> list[str]:
        """What could not be read, one line each; grows while the table is read."""
        return list(dict.fromkeys(self.opened.errors))

    @property
    def notes(self) -> list[str]:
        """What is odd about the table, one line each."""
        return list(dict.fromkeys(self.opened.notes))

    def score(self, name: str) -> PairsInNotebook:
        """Return the same table with one score in use.

        Parameters
        ----------
        name : str
            The column, its CLIP model, or a part of the name that only one has; also another known
            number, such as ``aspect``.
        """
        return replace(self, opened=self.opened.deciding([self.opened.column(name)]))

    def two(self, first: str, second: str, together: Together = "and") -> PairsInNotebook:
        """Return the same table with two scores that decide together.

        Parameters
        ----------
        first, second : str
            As for `score`.
        together : {"and", "or", "sum"}
            Whether both must reach their thresholds, either, or their sum one threshold.
        """
        if together not in ("and", "or", "sum"):
            raise ConfigError(f"together must be and, or or sum, not {together!r}")
        columns = [self.opened.column(one) for one in (first, second)]
        if columns[0].name == columns[1].name:
            raise ConfigError(f"{first!r} and {second!r} are the same score")
        return replace(self, opened=self.opened.deciding(columns, together))

    def curve(self, thresholds: Iterable[float] | None = None) -> pd.DataFrame:
        """Return what each threshold keeps, with the columns of ``mmc4viz curve``.

        Parameters
        ----------
        thresholds : iterable of float, optional
            Some fifty over the range of the scores if left out. Of two scores with a threshold
            each, all pairs of them.
        """
        import pandas as pd

        asked = None if thresholds is None else np.unique(np.array([*thresholds], np.float64))
        return pd.DataFrame(list(self.opened.curve_rows(asked)))

    def surface(self) -> pd.DataFrame:
        """Return the rows kept at all pairs of thresholds of two scores.

        Returns
        -------
        pandas.DataFrame
            A row per step of the first score's grid, a column per step of the second's, from the
            lowest to the highest score.

        Raises
        ------
        ConfigError
            Unless two scores have a threshold each.
        """
        import pandas as pd

        if self.opened.together not in ("and", "or"):
            raise ConfigError("a surface needs two scores: two(FIRST, SECOND, 'and') or 'or'")
        columns, curves = self.opened.columns, self.opened.curves
        steps, grids = [], []
        for one in columns:
            grid, first, last = self.opened.span([one])
            steps.append(np.arange(first, last + 1))
            grids.append(pd.Index(grid[first : last + 1], name=one.name))
        found = curves.surface(columns, self.opened.together)[np.ix_(*steps)]
        return pd.DataFrame(found, index=grids[0], columns=grids[1])

    def at(self, *thresholds: float) -> ChosenPairs:
        """Return what is kept at a threshold, or at one for each of two scores.

        Raises
        ------
        ConfigError
            If there are too few or too many.
        """
        opened = self.opened
        wanted = 2 if opened.together in ("and", "or") else 1
        if len(thresholds) != wanted or not np.isfinite(thresholds).all():
            names = " and ".join(one.name for one in opened.alternatives()[0])
            raise ConfigError(f"give {wanted} finite threshold{'s' * (wanted > 1)}, for {names}")
        values = [float(one) for one in thresholds]
        return ChosenPairs(self, opened.selection(*values))

    def kept(self, *thresholds: float) -> int:
        """Return the number of rows kept; see `at`."""
        return self.at(*thresholds).kept

    def suggest(
        self, keep: str | float | None = None, *, fraction: float | None = None,
        second: float | None = None,
    ) -> list[Proposal]:  # fmt: skip
        """Suggest the highest threshold of the first score, or of the sum.

        Parameters
        ----------
        keep : str or float, optional
            The least to keep: ``"30%"`` of all rows, or a number of rows.
        fraction : float, optional
            DataComp's own rule, from 0 to below 1.
        second : float, optional
            The threshold of the second of two scores.
        """
        from mmc4viz.thresholds.by_yield import Target

        if keep is None and fraction is None:
            raise ConfigError("specify a target: keep='30%', keep=1_000_000 or fraction=0.3")
        if fraction is not None and not 0 <= fraction < 1:
            raise ConfigError(f"fraction must be from 0 to below 1, not {fraction}")
        amount = keep if isinstance(keep, str) or keep is None else str(Fraction(keep))
        targets = [] if amount is None else [Target.parse(f"pairs={amount}")]
        found = replace(self.opened, second=second)
        return found.suggest(targets, [] if fraction is None else [fraction])

    def compare(
        self, first: str, second: str, thresholds: float | Iterable[float] | None = None
    ) -> pd.DataFrame:
        """Find thresholds of two scores that keep as many rows, and how many both keep.

        Parameters
        ----------
        first, second : str
            As for `score`.
        thresholds : float or iterable of float, optional
            Of the first score; some fifty over its range if left out.

        Returns
        -------
        pandas.DataFrame
            With the columns of ``mmc4viz compare --format csv``.
        """
        import pandas as pd

        columns = self.two(first, second).opened.columns
        opened = self.opened.deciding(columns, joint=True)
        if thresholds is None:
            asked = [row["threshold"] for row in opened.deciding(columns[:1]).curve_rows()]
        else:
            asked = [thresholds] if isinstance(thresholds, int | float) else [*thresholds]
        found = [compared(opened.curves, columns[0], columns[1], float(at)) for at in asked]
        return pd.DataFrame([one.row() for one in found])

    def _repr_html_(self) -> str:
        import pandas as pd

        opened = self.opened
        rows = [
            (one.name, one.model, one.scale.name, int(opened.curves.of(one).kept[0]),
             opened.curves.of(one).lowest, opened.curves.of(one).highest)
            for one in opened.columns
        ]  # fmt: skip
        names = ["score", "CLIP model", "scale", "pairs", "lowest", "highest"]
        notes = "".join(f"<p>{escaped(line)}</p>" for line in (*self.notes, *self.errors))
        frame = _safe(pd.DataFrame(rows, columns=names))
        return f"<p>{escaped(repr(self)[1:-1])}</p>{frame}{notes}"


def _safe(frame: pd.DataFrame) -> str:
    """Return a data frame as HTML in which all text is escaped."""
    shown = frame.map(lambda one: escaped(one) if isinstance(one, str) else one)
    shown.columns = [escaped(str(name)) for name in frame.columns]
    return str(shown.to_html(escape=False, border=0, index=False))


@dataclass(frozen=True)
class ChosenPairs:
    """What is kept of a table at a threshold, or at one of each of two scores.

    Attributes
    ----------
    pairs : PairsInNotebook
    selection : PairSelection
    """

    pairs: PairsInNotebook
    selection: PairSelection

    @property
    def kept(self) -> int:
        """The number of rows kept, exact at every threshold."""
        return self.pairs.opened.kept(self.selection.scores, [self.selection.thresholds])[0]

    @property
    def share(self) -> float:
        """The rows kept as a share of all rows; NaN without any."""
        rows = len(self.pairs)
        return self.kept / rows if rows else float("nan")

    def __repr__(self) -> str:
        return f"<{self.selection}: {self.kept:,} of {len(self.pairs):,} rows kept>"

    def near(self, rows: int = 20) -> pd.DataFrame:
        """Return the rows nearest to the threshold, half of them on either side."""
        opened = self.pairs.opened
        wanted = NearRows(max(rows // 2, 1))
        return self._frame(rows_near(opened.table, self.selection, wanted, opened.errors))

    def first(self, rows: int = 20) -> pd.DataFrame:
        """Return the first rows of the table, with what happens to each."""
        opened = self.pairs.opened
        return self._frame(first_rows(opened.table, self.selection, rows, opened.errors))

    def _frame(self, rows: Iterable[Any]) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame([row.as_dict(self.selection) for row in rows])

    def slices(self, by: str | Sequence[str] = "site", *, most: int = 30) -> pd.DataFrame:
        """Compare the slices of the table with the whole, those that cost most first.

        Parameters
        ----------
        by : str or sequence of str
            ``site`` or columns.
        most : int
            Values that are slices of their own; all others are one slice.

        Returns
        -------
        pandas.DataFrame
            With the columns of ``mmc4viz slices --format csv``.
        """
        import pandas as pd

        from mmc4viz.pairs.slices.sliced import SLICE_HEAD, ordered_slices

        names = [by] if isinstance(by, str) else by
        found = self.pairs.opened.slices(names, self.selection, most)
        rows = [
            (of.division.attribute.name, *one.as_dict().values())
            for of, slices in found
            for one in ordered_slices(slices, "cost")
        ]
        return pd.DataFrame(rows, columns=["attribute", *SLICE_HEAD])

    def export(
        self,
        settings: str | None = None,
        *,
        ids: str | None = None,
        manifest: str | None = None,
        report: str | None = None,
        by: str | Sequence[str] = (),
        note: str = "",
        overwrite: bool = False,
    ) -> int:
        """Write the settings, the kept rows and the report, as ``mmc4viz export`` does.

        Parameters
        ----------
        settings : str, optional
            ``.yaml`` or ``.json``.
        ids : str, optional
            DataComp's list of uids, ``.npy``.
        manifest : str, optional
            The kept rows, ``.parquet``, ``.jsonl`` or ``.csv``.
        report : str, optional
            One self-contained HTML file.
        by : str or sequence of str
            What the report divides by.
        note : str
        overwrite : bool
            Whether files are replaced.

        Returns
        -------
        int
            The number of rows kept.
        """
        from mmc4viz.export.pairs import PairFiles, write_pairs
        from mmc4viz.pairs.settings import PairSettings

        opened = self.pairs.opened
        flags = PairSettings.of(opened.plan.layout, self.selection).flags()
        divided = (by,) if isinstance(by, str) else tuple(by)
        files = PairFiles(
            settings, ids, manifest, report, note, None, divided,
            ("mmc4viz", "export", *self.pairs.command, *flags), overwrite,
        )  # fmt: skip
        return write_pairs(opened, self.selection, files)

    def plot(self) -> go.Figure:
        """Draw what every threshold keeps; of two with a threshold each, what all pairs keep."""
        from mmc4viz import charts

        opened, selection = self.pairs.opened, self.selection
        if selection.together not in ("and", "or"):
            found = replace(opened, columns=selection.scores)
            return charts.yields(list(found.curve_rows()), ("pairs",), selection.thresholds[0])
        surface = self.pairs.surface()
        rows, columns = (
            np.unique(np.linspace(0, size - 1, min(size, _CELLS)).round().astype(int))
            for size in surface.shape
        )
        part = surface.iloc[rows, columns]
        grids = part.index.to_numpy(), part.columns.to_numpy()
        at = selection.thresholds[0], selection.thresholds[1]
        names = [escaped(one.name) for one in selection.scores]
        shares = part.to_numpy() / max(len(self.pairs), 1)
        return charts.both_thresholds(shares, grids, at, names, selection.together)

    def _repr_html_(self) -> str:
        return f"<p>{escaped(repr(self)[1:-1])}</p>"
