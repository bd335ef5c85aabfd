"""The pictures of tables of pairs, as figures and as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmc4viz import charts
from mmc4viz.charts.pairs import level_line
from mmc4viz.export.figure_svg import sheet
from mmc4viz.pairs.count import count, plan_of
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.table import open_table
from tests.support import pairs
from tests.ui.test_pictures import assert_is_plain_svg

B32, L14 = "clip_b32_similarity_score", "clip_l14_similarity_score"


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> tuple[PairCurves, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("table")
    pairs.write(pairs.datacomp(2000), folder)
    table = open_table([str(folder)])
    plan = plan_of(table, table.scores)
    return PairCurves(plan, count(table, plan)), pd.read_parquet(table.paths[0])


@pytest.mark.parametrize("together", ["and", "or"])
def test_lines_of_equal_yield_keep_what_they_say(
    curves: tuple[PairCurves, pd.DataFrame], together: str
) -> None:
    found, known = curves
    surface = found.surface(found.scores, together)  # type: ignore[arg-type]
    grid = found.scores[0].scale.thresholds()
    shares = surface / len(known)
    line = level_line(shares, grid, 0.3)
    first, second = (known[name].to_numpy(np.float32) for name in (B32, L14))
    join = np.logical_and if together == "and" else np.logical_or
    for step in range(1150, 1400, 25):
        above = first >= np.float32(grid[step])
        if np.isnan(line[step]):
            assert join(above, second >= -1).mean() < 0.3
            continue
        assert join(above, second >= np.float32(line[step])).mean() >= 0.3
        higher = np.float32(round(float(line[step]) + 0.001, 3))
        assert join(above, second >= higher).mean() < 0.3 or line[step] == 1


@pytest.mark.parametrize("together", ["and", "or"])
def test_every_picture_is_a_file(
    curves: tuple[PairCurves, pd.DataFrame], together: str, tmp_path: Path
) -> None:
    found, known = curves
    grid, names = found.scores[0].scale.thresholds(), ["<first>", "second"]
    part = slice(1000, 1450)
    shares = found.surface(found.scores, together)[part, part] / len(known)  # type: ignore[arg-type]
    joint = found.histogram_of_both(found.scores)
    counted, edges = charts.rebinned(joint, (grid, grid), [(0.0, 0.45)] * 2)
    assert counted.sum() == len(known)
    along = [(0.2, 0.5), (0.3, 0.4)]
    figures = [
        charts.both_thresholds(shares, (grid[part], grid[part]), (0.2, 0.3), names, together),
        charts.joint_counts(counted.astype(float), edges, (0.2, 0.3), [1, 2, 3, 4], names),
        charts.overlaps(along, {"pairs": [0.4, 0.3]}, 0.25, names),
        charts.equivalents(along, [30, 20], 0.25, names),
        charts.number_yield(np.array([1.0, 2.0]), np.array([1.0, 0.5]), "aspect"),
    ]
    for figure in figures:
        text = assert_is_plain_svg(sheet([figure], "a picture"))
        assert "a picture" in text


def test_cells_of_a_joint_histogram_count_the_scores_in_them(
    curves: tuple[PairCurves, pd.DataFrame],
) -> None:
    found, known = curves
    grid = found.scores[0].scale.thresholds()
    joint = found.histogram_of_both(found.scores)
    counted, edges = charts.rebinned(joint, (grid, grid), [(0.1, 0.4), (0.1, 0.35)])
    values = [known[name].to_numpy(np.float32) for name in (B32, L14)]
    inner = [[-np.inf, *edge[1:-1].astype(np.float32), np.inf] for edge in edges]
    wanted, *_ = np.histogram2d(*values, bins=inner)
    assert (counted == wanted).all()
