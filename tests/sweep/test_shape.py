"""Shape statistics are what the verdicts of the walk add up to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmc4viz import Document, LoaderConfig, load_tokenizer, match_corpus, parse_document, walk
from mmc4viz.data.columns import Columns, Kind, build_batch, row_of
from mmc4viz.data.sample import DrawnSample
from mmc4viz.data.shards import Shard
from mmc4viz.formats.format import Sample
from mmc4viz.sweep.shape import RATIOS, estimated_shape_rows, shape_rows
from mmc4viz.sweep.statistics import LENGTHS, Tally, tally
from mmc4viz.sweep.sweep import sweep
from mmc4viz.types import ASSIGNMENT_NAMES, Outcome, Verdict
from tests.support import nasty

TOKENIZER = load_tokenizer()
THRESHOLDS = np.array([0.0, 0.2, 0.25, 0.3, 1e9])
KEEP = 0.3


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [parse_document(key, raw) for key, raw in nasty.documents(seed=11, n=600)]


def columns_of(documents: list[Document]) -> Columns:
    rows = [row_of(document, Sample(document.key, b""), TOKENIZER) for document in documents]
    return Columns(Shard("test.tar"), build_batch(rows), TOKENIZER)


def by_hand(verdicts: list[Verdict], config: LoaderConfig) -> dict[str, Any]:
    """Sum up kept sequences one by one, each with its probability."""
    kept = [v for v in verdicts if v.outcome is Outcome.KEPT]
    odds = np.array([v.keep_probability for v in kept])

    def per(tops: list[float], bottoms: list[float], weights: Any = odds) -> float | None:
        whole = float(weights @ np.array(bottoms, float))
        return float(weights @ np.array(tops, float)) / whole if whole else None

    ones, images = [1.0] * len(kept), [v.image_tokens for v in kept]
    single, some = [n == 1 for n in images], [n > 0 for n in images]
    cut = [v.shape.length > config.max_tokens for v in kept]
    found: dict[str, Any] = {
        "single_image_before": per(single, ones, np.ones(len(kept))),
        "single_image": per(single, ones),
        "images_mean": per(images, ones),
        "text_before_mean": per([v.shape.text_before for v in kept], some),
        "text_between_mean": per(
            [v.shape.text_between for v in kept],
            [n - one for n, one in zip(images, some, strict=True)],
        ),
        "followed": per([v.shape.followed for v in kept], images),
        "truncated_sequences": per(cut, ones),
    }
    half = odds.sum() / 2
    reached = ((n, odds @ (np.array(images) <= n)) for n in sorted(images))
    found["images_median"] = min((n for n, sure in reached if sure >= half - 1e-9), default=None)
    for n in range(1, config.max_images + 1):
        found[f"sequences_{n}"] = float(odds @ (np.array(images) == n))
    found["sequences_0"] = float(odds @ (np.array(images) == 0))
    found["sequences_more"] = float(odds @ (np.array(images) > config.max_images))
    for n in range(1, LENGTHS + 1):
        low, high = (n - 1) * config.max_tokens / LENGTHS, n * config.max_tokens / LENGTHS
        inside = [
            (low < v.shape.length <= high or (n == 1 and not v.shape.length)) and not one
            for v, one in zip(kept, cut, strict=True)
        ]
        found[f"length_{n}"] = float(odds @ np.array(inside, float)) if kept else 0.0
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"assignment": "argmax", "max_images": 3, "max_tokens": 64},
        {"assignment": "greedy", "min_images": 2, "max_images": 2, "min_kb": -1},
        {"assignment": "stored", "min_images": 0, "max_tokens": 30, "min_kb": 0},
        {"assignment": "argmax", "max_images": 100, "max_tokens": 512},
    ],
    ids=str,
)
def test_shape_is_the_sum_of_the_verdicts(
    documents: list[Document], settings: dict[str, Any]
) -> None:
    config = LoaderConfig(single_image_keep=KEEP, **settings)
    curves = sweep(match_corpus([columns_of(documents)], config), config, THRESHOLDS)
    rows = shape_rows(curves, KEEP, config.max_images)
    for row, threshold in zip(rows, THRESHOLDS.tolist(), strict=True):
        here = config.with_(threshold=threshold)
        expected = by_hand([walk(document, here, TOKENIZER) for document in documents], config)
        for name, value in expected.items():
            if name in row:
                assert row[name] == (value if value is None else pytest.approx(value)), name
        assert set(row) <= set(expected)


@pytest.mark.slow
def test_the_documents_have_every_shape(documents: list[Document]) -> None:
    found = [walk(document, LoaderConfig(threshold=0.0), TOKENIZER) for document in documents]
    kept = [one for one in found if one.outcome is Outcome.KEPT]
    assert {one.image_tokens for one in kept} >= {1, 2, 3, 4, 5, 6}
    assert any(one.shape.followed < one.image_tokens for one in kept)
    assert any(one.shape.text_between for one in kept)
    assert {one.shape.length > 256 for one in kept} == {True, False}


@pytest.mark.parametrize("assignment", ASSIGNMENT_NAMES)
def test_a_sentence_without_tokens_separates_no_images(assignment: str) -> None:
    """Token counts of 0 are those of a tokenizer that deletes what it does not know."""
    plain = [parse_document(key, raw) for key, raw in nasty.documents(seed=3, n=300)]
    rows = [row_of(document, Sample(document.key, b""), TOKENIZER) for document in plain]
    rows = [row for row in rows if row["kind"] == Kind.PLAIN]
    for row in rows:
        row["first"] = [0 for _ in row["first"]]
        row["rest"] = [n % 2 for n in row["rest"]]
    columns = Columns(Shard("test.tar"), build_batch(rows), TOKENIZER)
    config = LoaderConfig(assignment=assignment, threshold=0.1)
    curves = sweep(match_corpus([columns], config), config, np.array([0.1]))
    total = Tally.empty()
    for row_number in range(len(columns)):
        total += tally(walk(columns.document(row_number), config, TOKENIZER), config.max_tokens)
    np.testing.assert_array_equal(curves.counts[..., 0], total.counts)
    np.testing.assert_array_equal(curves.shapes[..., 0], total.shapes)


@pytest.mark.slow
def test_a_sample_of_everything_estimates_what_is_there(documents: list[Document]) -> None:
    config = LoaderConfig(single_image_keep=KEEP)
    clusters = [[columns_of(documents[n::20])] for n in range(20)]
    sizes = np.array([len(one) for (one,) in clusters], float)
    drawn = DrawnSample(clusters, sizes, fraction=0.0, shards=1)
    swept = [sweep(match_corpus(one, config), config, THRESHOLDS) for one in clusters]
    rows = estimated_shape_rows(drawn, swept, KEEP, config.max_images)
    whole = sweep(match_corpus([columns_of(documents)], config), config, THRESHOLDS)
    for row, exact in zip(rows, shape_rows(whole, KEEP, config.max_images), strict=True):
        for name, value in exact.items():
            per = 1 if name in (*RATIOS, "images_median") else len(documents)
            assert row[name] == (None if value is None else pytest.approx(value / per)), name
            if value is not None:
                assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        assert row["images_mean"] is None or row["images_mean_low"] < row["images_mean_high"]


@pytest.mark.slow
def test_the_shape_is_that_of_the_sequence_s_tokens(documents: list[Document]) -> None:
    """The walk from texts gives token ids; the one from counts must give the same shape."""
    config, columns = LoaderConfig(threshold=0.1, max_tokens=96), columns_of(documents)
    end = TOKENIZER.encode(TOKENIZER.end_of_text, None).ids[-1]
    special = {TOKENIZER.image_id, TOKENIZER.end_of_chunk_id}
    seen = 0
    for row, document in enumerate(documents):
        ids = walk(document, config, TOKENIZER).token_ids
        if not ids or end in ids[:-1]:
            continue
        seen += 1
        shape = walk(columns.document(row), config, TOKENIZER).shape
        is_text = [token not in special and token != end for token in ids]
        at = [n for n, token in enumerate(ids) if token == TOKENIZER.image_id]
        assert min(shape.length, 96) == len(ids)
        if at:
            assert shape.text_before == sum(is_text[: at[0]])
            assert shape.text_between == sum(is_text[at[0] : at[-1]])
            ends = [*at[1:], len(ids)]
            follows = [any(is_text[a:b]) for a, b in zip(at, ends, strict=True)]
            assert shape.followed == sum(follows)
    assert seen > 200
