"""Labels of rows of a table: who is drawn, and precision against a truth that is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz.pairs.labels.estimate import (
    by_other_score,
    labels_for,
)
from mmc4viz.pairs.selection import RowCondition
from mmc4viz.thresholds.labels import queue, store
from mmc4viz.thresholds.labels.precision import curve, propose
from mmc4viz.thresholds.labels.store import Answer, Judgement, LabelsError, PairId
from tests.support import pairs
from tests.support.pair_labels import label, population_of, truth_of

B32, L14 = "clip_b32_similarity_score", "clip_l14_similarity_score"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pairs.write(pairs.datacomp(6000), tmp_path_factory.mktemp("table") / "datacomp", 3)


def test_counts_are_those_of_the_rule_row_by_row(folder: Path) -> None:
    for add in (False, True):
        for where in ((), (RowCondition.parse("original_width>=500"),)):
            population = population_of([str(folder)], 0, where, add=add)
            edges = np.array([0.4, 0.45, 0.5] if add else [0.2, 0.25, 0.281])
            thresholds = np.array([0.1, 0.25, 0.281, 0.43, 0.6])
            rows = pa.concat_tables([pq.read_table(one) for one in sorted(folder.iterdir())])
            values = [rows[name].to_numpy() for name in (B32, L14)]
            values = values[0].astype(float) + values[1] if add else values[0]
            pool = rows["original_width"].to_numpy() >= (500 if where else 0)

            def reached(at: float, values: np.ndarray = values) -> np.ndarray:
                return np.asarray(values >= values.dtype.type(at))

            stratum = sum(reached(edge).astype(int) for edge in edges)
            assert population.strata(edges).tolist() == np.bincount(stratum[pool]).tolist()
            for at, counts in zip(thresholds, population.above(edges, thresholds), strict=True):
                mine = stratum[pool & reached(at)]
                assert counts.tolist() == np.bincount(mine, minlength=len(edges) + 1).tolist()


def test_drawn_rows_are_the_same_in_any_order_of_files(folder: Path, tmp_path: Path) -> None:
    files = sorted(map(str, folder.iterdir()))
    edges = np.array([0.2, 0.25, 0.3])
    first, again = population_of(files), population_of(files[::-1])
    one = pa.concat_tables([pq.read_table(path) for path in files])
    pq.write_table(one, tmp_path / "one.parquet")
    whole = population_of([str(tmp_path / "one.parquet")])
    assert first.key == again.key != whole.key
    for h in range(4):
        drawn = [found.candidates(edges, h, 40) for found in (first, again, whole)]
        assert drawn[0] == drawn[1]
        names = [[candidate.pair.key for candidate in one] for one in drawn]
        assert names[0] == names[2] and len(set(names[0])) == 40
        assert [c.lot for c in drawn[0]] == sorted(c.lot for c in drawn[0])
    # All of a stratum are drawn in the end, each once, although fewer are remembered at first.
    size = int(first.strata(edges)[1])
    every = first.candidates(edges, 1, size)
    assert [one.pair for one in every[:40]] == [one.pair for one in first.candidates(edges, 1, 40)]
    assert len({one.pair for one in every}) == len(every) == size
    assert first.candidates(edges, 1, size + 10) == every


def test_rows_are_drawn_by_the_rule_and_conditions(folder: Path) -> None:
    where = (RowCondition.parse("original_width>=1000"),)
    population = population_of([str(folder)], 1, where)
    edges = np.array([0.2, 0.25])
    found = population.candidates(edges, 1, 30)
    rows = pa.concat_tables([pq.read_table(one) for one in sorted(folder.iterdir())])
    known = {row["uid"]: row for row in rows.to_pylist()}
    for one in found:
        row = known[one.pair.key]
        assert row["original_width"] >= 1000
        assert np.float32(0.2) <= np.float32(row[L14]) and not row[L14] >= np.float32(0.25)
        assert one.score == pytest.approx(row[L14], abs=0.0011)


def test_rows_without_ids_are_drawn_by_their_place(tmp_path: Path) -> None:
    rows = 500
    table = pa.table({"text": [str(n) for n in range(rows)], "url": ["u"] * rows,
                      "similarity": np.random.default_rng(0).uniform(0.1, 0.4, rows)})  # fmt: skip
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "part.parquet")
    drawn = [
        population_of([str(tmp_path / name / "part.parquet")]).candidates(np.array([0.2]), 1, 50)
        for name in ("a", "b")
    ]
    assert drawn[0] == drawn[1] and len({one.pair.number for one in drawn[0]}) == 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_precision_is_unbiased_and_covered_for_both_scores(tmp_path: Path, seed: int) -> None:
    errors, covered = list[np.ndarray](), list[np.ndarray]()
    for n in range(12):
        table, right = truth_of(seed + 10 * n, 4000)
        path = pairs.write(table, tmp_path / str(n))
        population = population_of([str(path)])
        answers = dict(zip(table["uid"].to_pylist(), right.tolist(), strict=True))
        found = label(str(tmp_path / f"{n}.sqlite"), population, answers, 120)
        other = by_other_score(found, population, population.curves, population.table.scores[1])
        for name, sample in ((B32, found.sample), (L14, other)):
            at = np.array([0.18, 0.22, 0.25, 0.29])
            scores = table[name].to_numpy()
            truth = np.array([right[scores >= np.float32(one)].mean() for one in at])
            precision = curve(sample, at).precision
            errors.append(precision.estimate - truth)
            covered.append((precision.low <= truth) & (truth <= precision.high))
    error = np.array(errors)
    assert (np.abs(error.mean(0)) < 4 * error.std(0) / np.sqrt(len(error))).all()
    assert np.mean(covered) > 0.88


def test_a_census_is_the_truth_for_both_scores(tmp_path: Path) -> None:
    table, right = truth_of(3, 300)
    population = population_of([str(pairs.write(table, tmp_path / "t"))])
    answers = dict(zip(table["uid"].to_pylist(), right.tolist(), strict=True))
    some = label(str(tmp_path / "labels.sqlite"), population, answers, 5)
    edges, sizes = some.sample.edges, some.sample.population.tolist()
    every = [(h, one) for h, n in enumerate(sizes) for one in population.candidates(edges, h, n)]
    assert len(every) == 300
    sample = replace(
        some.sample,
        drawn_from=np.array([h for h, _ in every]),
        score=np.array([one.score for _, one in every]),
        correct=np.array([answers[one.pair.key] for _, one in every]),
        cluster=None,
    )
    found = replace(some, sample=sample, pairs=tuple(one.pair for _, one in every))
    other = by_other_score(found, population, population.curves, population.table.scores[1])
    at = np.array([0.15, 0.2, 0.25, 0.281])
    for name, each in ((B32, sample), (L14, other)):
        precision = curve(each, at).precision
        kept = [table[name].to_numpy() >= np.float32(one) for one in at]
        truth = [right[one].mean() for one in kept]
        assert precision.estimate == pytest.approx(truth)
        for end in (precision.low, precision.high):  # found by bisection
            assert end == pytest.approx(truth, rel=1e-5)


@pytest.mark.slow
def test_labels_of_another_table_and_of_unsure_people_do_not_count(
    folder: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "labels.sqlite")
    population = population_of([str(folder)])
    rows = pa.concat_tables([pq.read_table(one) for one in sorted(folder.iterdir())])
    found = label(path, population, dict.fromkeys(rows["uid"].to_pylist(), True), 30)
    assert len(found.pairs) == 30 and found.drawn >= 60 and not found.foreign
    queued = queue.next_existing(path, found.design, population, "Ada")
    assert queued is not None
    for pair, answer in (
        (queued[0].pair, Answer.UNSURE),
        (PairId("x", "y", 0, 0, "other", 3), Answer.NO),
        (replace(queued[0].pair, number=5999 + 1), Answer.NO),
    ):
        store.add(path, Judgement(pair, "Ada", answer, store.now(), "", B32, None))
    again = labels_for(path, population)
    assert (again.unsure, again.foreign, again.elsewhere) == (1, 1, 1)
    assert again.pairs == found.pairs
    with pytest.raises(LabelsError, match=f"no labels for {L14}.*it has: {B32}"):
        labels_for(path, population_of([str(folder)], 1))


@pytest.mark.slow
def test_the_suggestion_reaches_its_target(tmp_path: Path) -> None:
    table, right = truth_of(5, 6000)
    population = population_of([str(pairs.write(table, tmp_path / "t"))])
    answers = dict(zip(table["uid"].to_pylist(), right.tolist(), strict=True))
    found = label(str(tmp_path / "labels.sqlite"), population, answers, 240)
    proposal = propose(found.sample, 0.6)
    assert proposal.threshold in found.design.edges
    assert proposal.lower_bound is not None and proposal.lower_bound >= 0.6
    kept = table[B32].to_numpy() >= np.float32(proposal.threshold)
    assert right[kept].mean() >= 0.6
