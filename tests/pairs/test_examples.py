"""Rows to look at: nearest to a threshold, and by quadrant, as pandas finds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mmc4viz.pairs.rows.examples import NearRows, rows_at, rows_near, rows_of_quadrant
from mmc4viz.pairs.selection import PairSelection, RowCondition, Together
from mmc4viz.pairs.table import PairTable, open_table
from tests.support import pairs

B32, L14 = "clip_b32_similarity_score", "clip_l14_similarity_score"


@pytest.fixture(scope="module", params=["parquet", "csv"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PairTable:
    """Write a table of two files; of Parquet, with several row groups."""
    folder = tmp_path_factory.mktemp("table")
    for part in range(2):
        found = pairs.datacomp(700, seed=part, kind="float64").drop(["face_bboxes"])
        if request.param == "parquet":
            pq.write_table(found, folder / f"{part}.parquet", row_group_size=97)
        else:
            found.to_pandas().to_csv(folder / f"{part}.csv", index=False)
    return open_table([str(folder)])


def frame(table: PairTable) -> pd.DataFrame:
    """Return the table with the place of each row."""
    read: Any = pd.read_parquet if table.paths[0].endswith("parquet") else pd.read_csv
    parts = [read(path).assign(path=path) for path in table.paths]
    return pd.concat([part.assign(row=np.arange(len(part))) for part in parts])


def select(table: PairTable, together: Together, *at: float, **more: Any) -> PairSelection:
    columns = table.scores if together != "one" else table.scores[:1]
    return PairSelection(columns, at, together, rule=table.layout.rule, **more)


def places(rows: Any) -> set[tuple[str, int]]:
    return {(row.path, row.number) for row in rows}


@pytest.mark.parametrize("bounds", [(None, None), (0.2, 0.3), (0.27, None)])
def test_the_nearest_rows_are_found_on_both_sides(table: PairTable, bounds: Any) -> None:
    where = (RowCondition.parse("original_width>=500"),)
    selection = select(table, "one", 0.25, where=where)
    rows = rows_near(table, selection, NearRows(20, bounds=bounds), [])
    known = frame(table).query("original_width >= 500")
    low, high = bounds
    known = known[(known[B32] >= (low or -2)) & (known[B32] < (high or 2))]
    for kept in (True, False):
        side = known[(known[B32] >= 0.25) == kept]
        far = (side[B32] - 0.25).abs()
        found = [row for row in rows if (row.status == "kept") == kept]
        assert len(found) == min(20, len(side))
        assert max((abs(row.margin) for row in found), default=0) == pytest.approx(
            far.nsmallest(20).max() if len(side) else 0
        )
    assert [row.margin for row in rows] == sorted((row.margin for row in rows), reverse=True)
    texts = known.set_index(["path", "row"])["text"]
    assert all(row.text == texts[row.path, row.number] for row in rows)


@pytest.mark.parametrize("together", ["and", "or"])
def test_by_the_first_score_only_rows_that_it_decides_about(
    table: PairTable, together: Together
) -> None:
    selection = select(table, together, 0.25, 0.2)
    rows = rows_near(table, selection, NearRows(30, by_first=True), [])
    assert len(rows) == 60
    for row in rows:
        first, second = row.scores
        assert (second >= 0.2) == (together == "and")
        assert (row.status == "kept") == (first >= 0.25)


def test_rows_by_position(table: PairTable) -> None:
    selection = select(table, "one", 0.25)
    path = table.paths[1]
    rows = list(rows_at(table, selection, path, [699, 0, 98, 96, 97]))
    known = frame(table).query("path == @path").set_index("row")
    assert [row.number for row in rows] == [0, 96, 97, 98, 699]
    assert [row.id for row in rows] == known.loc[[0, 96, 97, 98, 699], "uid"].tolist()


@pytest.mark.parametrize("quadrant", range(4))
def test_rows_of_a_quadrant_are_those_farthest_from_both_thresholds(
    table: PairTable, quadrant: int
) -> None:
    selection = select(table, "and", 0.25, 0.2)
    rows = rows_of_quadrant(table, selection, quadrant, 15, [])
    known = frame(table)
    first, second = known[B32] - 0.25, known[L14] - 0.2
    signs = (1 if quadrant in (0, 1) else -1), (1 if quadrant in (0, 2) else -1)
    inside = ((first >= 0) == (signs[0] > 0)) & ((second >= 0) == (signs[1] > 0))
    far = np.minimum(signs[0] * first, signs[1] * second)[inside]
    best = known[inside].assign(far=far).nlargest(15, "far")
    assert [(row.path, row.number) for row in rows] == list(
        zip(best["path"], best["row"], strict=True)
    )
