"""Published rules, and the highest threshold that keeps enough, against pandas and DataComp."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmc4viz.pairs.choose import by_fraction, by_share, count_kept, shortest
from mmc4viz.pairs.count import count, plan_of
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.layout import KeepRule
from mmc4viz.pairs.rows.manifest import write_uids
from mmc4viz.pairs.selection import PairSelection, Together
from mmc4viz.pairs.table import PairTable, open_table
from tests.support import pairs


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PairCurves]:
    folder = tmp_path_factory.mktemp("pools")
    found = {}
    for kind in ("float32", "float64"):
        pairs.write(pairs.datacomp(kind=kind), folder / kind, pairs.FILES)
        found[kind] = opened(folder / kind)
    return found


def opened(folder: Path, strict: bool = False) -> tuple[PairTable, PairCurves]:
    table = open_table([str(folder)])
    plan = plan_of(table, table.scores, strict=strict)
    return table, PairCurves(plan, count(table, plan))


RECORDED = json.loads(pairs.RECORDED.read_text())["filters"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [*pairs.cases()], ids=lambda value: str(value))
def test_uids_are_those_that_datacomp_writes(
    name: str, options: dict[str, Any], pools: dict[str, Any], tmp_path: Path
) -> None:
    kind, arch, *_ = name.split()
    table, curves = pools[kind]
    column = table.column(f"clip_{arch}_similarity_score")
    selection = PairSelection((column,), (0.0,), rule=curves.plan.rule)
    errors: list[str] = []
    threshold = options["threshold"]
    if threshold is None:
        found = by_fraction(table, curves, selection, options["fraction"], errors)
        threshold = found.threshold
        assert found.kept["pairs"] == RECORDED[name]["uids"]
    elif threshold is not None:
        assert curves.kept([column], [threshold]) == RECORDED[name]["uids"]
    out = tmp_path / "uids.npy"
    written, invalid = write_uids(str(out), table, selection.at(threshold), errors)
    assert (written, invalid, errors) == (RECORDED[name]["uids"], 0, [])
    assert hashlib.sha256(out.read_bytes()).hexdigest() == RECORDED[name]["sha256"]


@pytest.mark.parametrize("threshold", [0.28, 0.3, 0.305, 0.3217, 0.35])
def test_the_rule_of_laion_is_that_of_pandas(threshold: float, tmp_path: Path) -> None:
    rows = pairs.laion(20_000)
    table, curves = opened(pairs.write(rows, tmp_path / "t", 3))
    frame = rows.to_pandas()
    expected = int((~(frame.similarity < threshold)).sum())
    selection = PairSelection(table.scores, (threshold,), rule=curves.plan.rule)
    assert count_kept(table, [selection], []) == [expected]
    if round(threshold, 3) == threshold:
        assert curves.kept(table.scores, [threshold]) == expected
    assert curves.notes() == [
        "similarity: 1 row outside -1 to 1 (the cosine scale; up to 6016), counted at the end of "
        "the scale"
    ]


@pytest.mark.parametrize("threshold", [0.45, 0.5, 0.55, 0.6, 0.65])
def test_the_sum_of_both_scores_of_coyo_is_that_of_pandas(threshold: float, tmp_path: Path) -> None:
    rows = pairs.coyo(20_000)
    table, curves = opened(pairs.write(rows, tmp_path / "t", 3), strict=True)
    frame = rows.to_pandas()
    both = frame.clip_similarity_vitb32 + frame.clip_similarity_vitl14
    expected = int((both > threshold).sum())  # exact in single precision: the scores have half
    assert curves.kept(table.scores, [threshold], "sum") == expected
    selection = PairSelection(table.scores, (threshold,), "sum", rule=curves.plan.rule)
    assert count_kept(table, [selection], []) == [expected]
    for together, join in (("and", pd.Series.__and__), ("or", pd.Series.__or__)):
        masks = frame.clip_similarity_vitb32 > 0.25, frame.clip_similarity_vitl14 > threshold / 2
        at = 0.25, threshold / 2
        two = PairSelection(table.scores, at, together, rule=curves.plan.rule)  # type: ignore[arg-type]
        assert count_kept(table, [two], []) == [int(join(*masks).sum())]


@pytest.mark.slow
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("together", "second"), [("one", ()), ("sum", ()), ("and", (0.2137,)),
                                                  ("or", (0.3,))])  # fmt: skip
@pytest.mark.parametrize("share", [0.001, 0.1, 0.37, 0.7, 0.9])
def test_the_highest_threshold_keeps_enough_and_none_above_does(
    together: Together, second: tuple[float, ...], share: float, strict: bool, tmp_path: Path
) -> None:
    table, curves = opened(pairs.write(pairs.datacomp(3000), tmp_path / "t", 2), strict)
    columns = table.scores if together != "one" else table.scores[:1]
    selection = PairSelection(columns, (0.0, *second), together, rule=curves.plan.rule)
    frame = pairs.datacomp(3000).to_pandas()
    b32, l14 = (frame[one.name].astype(float) for one in table.scores)
    rule = curves.plan.rule
    value = b32 + l14 if together == "sum" else b32
    compare = pd.Series.gt if strict else pd.Series.ge
    other = compare(l14, float(rule.compared(second[0], True))) if second else None

    def joined(mask: Any) -> int:
        mask = mask if other is None else (mask & other if together == "and" else mask | other)
        return int(mask.sum())

    wanted = int(share * 3000)
    enough = [one for one in sorted(set(value)) if joined(value >= one) >= wanted]
    found = by_share(table, curves, selection, wanted, "…", [])
    if found.threshold is None:
        assert not enough or joined(value > 9) >= wanted
        return
    at = found.threshold if together == "sum" else float(rule.compared(found.threshold, True))
    assert found.kept["pairs"] == joined(compare(value, at)) == joined(value >= enough[-1])


@settings(max_examples=100, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.booleans(), st.booleans())
def test_the_shortest_decimal_separates(a: float, b: float, strict: bool, single: bool) -> None:
    low, high = sorted((float(np.float32(a)), float(np.float32(b))))
    if low == high:
        return
    rule = KeepRule(strict, own_precision=True)
    at = shortest(low, high, rule, single)
    reached = rule.reached(np.array([low, high]), at, single)
    assert reached.tolist() == [False, True]
