"""Columns of another file are joined as pandas joins them."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz.pairs.choose import count_kept
from mmc4viz.pairs.count import count, plan_of
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.join import KeyedRows, digests
from mmc4viz.pairs.selection import PairSelection, RowCondition
from mmc4viz.pairs.slices.division import attribute_of
from mmc4viz.pairs.slices.sliced import slices_of
from mmc4viz.pairs.table import open_table
from mmc4viz.types import ConfigError
from tests.support import pairs

TEXTS = st.lists(st.one_of(st.none(), st.text("ab\0é", max_size=3)), max_size=12)


@given(TEXTS, TEXTS)
def test_keys_are_found_where_they_are(held: list[str | None], asked: list[str | None]) -> None:
    rows = KeyedRows.of(digests(pa.array(held, pa.string())))
    first = [n for n, one in enumerate(held) if one is not None and one not in held[:n]]
    assert rows.doubled().size == len([one for one in held if one is not None]) - len(first)
    alone = [held[n] for n in first]
    found = KeyedRows.of(digests(pa.array(alone, pa.string()))).rows_of(
        pa.array(asked, pa.string())
    )
    places = {one: n for n, one in enumerate(alone)}
    assert found.tolist() == [places.get(one, -1) for one in asked]


def test_texts_of_any_length_have_digests_of_their_own() -> None:
    rng = np.random.default_rng(0)
    letters = "".join(rng.choice([*"ab\0"], 400))
    texts = {letters[:n] for n in range(400)} | {letters[:n] + "c" for n in range(0, 400, 3)}
    texts |= {str(n) for n in range(20_000)} | {"a" * n for n in range(300)}
    every = pa.array(sorted(texts))
    found = digests(every)
    assert len(np.unique(found, axis=0)) == len(texts)
    assert all(len(np.unique(half)) == len(texts) for half in found.T)
    assert (digests(every.slice(777)) == found[777:]).all()
    assert (digests(every.cast(pa.large_string())) == found).all()
    bits = np.unpackbits(found.view(np.uint8)).reshape(-1, 128).mean(0)
    assert (abs(bits - 0.5) < 0.03).all()


def others(frame: pd.DataFrame, seed: int = 0) -> pa.Table:
    """Return scores of some of a table's rows, and of others, in another order."""
    rng = np.random.default_rng(seed)
    keys = [*frame.uid.sample(frac=0.7, random_state=seed), "nobody", "no one"]
    rng.shuffle(keys)
    return pa.table(
        {
            "key": keys,
            "quality_score": rng.uniform(0, 3, len(keys)).astype(np.float32),
            "word": rng.choice(["a", "b"], len(keys)),
            "text": ["of the other file"] * len(keys),
        }
    )


@pytest.fixture(params=["parquet", "csv", "two files"])
def joined(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, pd.DataFrame]:
    rows = pairs.datacomp(3000)
    pairs.write(rows, tmp_path / "t", 2, 400)
    frame = rows.to_pandas()
    more = others(frame)
    path = tmp_path / "scores.parquet"
    if request.param == "csv":
        path = tmp_path / "scores.csv"
        more.to_pandas().to_csv(path, index=False)
    elif request.param == "two files":
        path = pairs.write(more, tmp_path / "scores", 2)
    else:
        pq.write_table(more, path, 500)
    found = open_table([str(tmp_path / "t")], others=str(path))
    both = frame.merge(more.to_pandas(), "left", left_on="uid", right_on="key", suffixes=("", "_"))
    return found, both


def test_joined_scores_and_conditions_are_those_of_pandas(joined: Any) -> None:
    table, frame = joined
    assert [one.name for one in table.scores] == [
        "clip_b32_similarity_score", "clip_l14_similarity_score", "quality_score"
    ]  # fmt: skip
    assert "text" in table.first.columns and table.joined.columns == ("quality_score", "word")
    quality, b32 = table.scores[2], table.scores[0]
    plan = plan_of(table, (quality, b32), [RowCondition.parse("word=a")])
    curves = PairCurves(plan, count(table, plan))
    here = frame.word == "a"
    assert curves.tally.errors == () and curves.tally.pool == here.sum()
    for at in (0.5, 1.5, 2.5):
        assert curves.kept([quality], [at]) == (here & (frame.quality_score >= at)).sum()
    both = here & (frame.quality_score >= 1) & (frame[b32.name] >= np.float32(0.25))
    assert curves.kept([quality, b32], [1.0, 0.25], "and") == both.sum()
    selection = PairSelection((quality, b32), (1.0, 0.25), "and", plan.where, plan.rule)
    assert count_kept(table, [selection], []) == [both.sum()]


def test_rows_without_a_match_are_counted_as_missing(joined: Any) -> None:
    table, frame = joined
    plan = plan_of(table, (table.scores[2],))
    tally = count(table, plan)
    assert tally.columns[0].missing == frame.key.isna().sum() > 0
    found = slices_of(table, attribute_of(table, "word"), plan)
    expected = frame.word.fillna("no value").value_counts()
    assert dict(zip(found.names, found.rows.tolist(), strict=True)) == expected.to_dict()


@pytest.mark.slow
def test_workers_join_what_one_process_joins(joined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = joined
    plan = plan_of(table, (table.scores[2], table.scores[0]))
    monkeypatch.setattr("mmc4viz.pairs.count.is_small", lambda _: False)
    found = count(table, plan, partial(ProcessPoolExecutor, 2), 2)
    np.testing.assert_equal(found.packed(), count(table, plan).packed())


def test_a_key_can_be_a_column_that_both_have(tmp_path: Path) -> None:
    table = pa.table({"url": ["a", "b", "c"], "text": ["t"] * 3, "similarity": [0.1, 0.2, 0.3]})
    pq.write_table(table, tmp_path / "t.parquet")
    scores = pa.table({"url": ["c", "a"], "mine": [30.0, 10.0]})
    pq.write_table(scores, tmp_path / "s.parquet")
    found = open_table(
        [str(tmp_path / "t.parquet")], ["mine=ViT-H/14"], f"{tmp_path}/s.parquet:url"
    )
    assert (found.scores[0].model, found.scores[0].scale.name) == ("ViT-H/14", "×100")
    tally = count(found, plan_of(found, found.scores[:1]))
    assert tally.columns[0].missing == 1 and tally.columns[0].highest == 30.0


def test_numbers_as_ids_are_joined(tmp_path: Path) -> None:
    pairs.write(pairs.laion(50), tmp_path / "t")
    ids = pairs.laion(50)["SAMPLE_ID"].to_pylist()
    pq.write_table(pa.table({"SAMPLE_ID": ids[:20], "mine": [0.5] * 20}), tmp_path / "s.parquet")
    found = open_table([str(tmp_path / "t")], ["mine"], str(tmp_path / "s.parquet"))
    tally = count(found, plan_of(found, found.scores[:1]))
    assert tally.columns[0].missing == 30


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    pairs.write(pairs.laion(5), tmp_path / "t")
    ids, path = pairs.laion(5)["SAMPLE_ID"].to_pylist(), tmp_path / "s.parquet"
    for value in (0.25, 0.75):
        pq.write_table(pa.table({"SAMPLE_ID": ids, "mine": [value] * 5}), path)
        found = open_table([str(tmp_path / "t")], ["mine"], str(path))
        assert count(found, plan_of(found, found.scores[:1])).columns[0].lowest == value


@pytest.mark.parametrize(
    ("columns", "key", "words"),
    [
        (
            {"key": ["a", "b", "a"], "x": [1, 2, 3]},
            "",
            "'a' in column 'key' has two rows; keep one",
        ),
        ({"name": ["a"], "x": [1]}, "", "no column 'uid' or 'key'; name the one"),
        ({"key": ["a"], "x": [1]}, ":name", "no column 'name'; name the one .* one of key, x"),
        ({"key": ["a"], "url": ["b"]}, "", "no column that the table does not have"),
    ],
)
def test_what_cannot_be_joined_is_one_line(
    columns: dict[str, Any], key: str, words: str, tmp_path: Path
) -> None:
    pairs.write(pairs.datacomp(10), tmp_path / "t")
    pq.write_table(pa.table(columns), tmp_path / "s.parquet")
    with pytest.raises(ConfigError, match=words):
        found = open_table([str(tmp_path / "t")], others=f"{tmp_path / 's.parquet'}{key}")
        plan = plan_of(found, (found.scores[0],), [RowCondition.parse("x=1")])
        count(found, plan)
