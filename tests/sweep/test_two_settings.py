"""Cells of a heat map are what a sweep of their settings says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmc4viz import LoaderConfig, load_tokenizer, match_corpus, parse_document
from mmc4viz.data.columns import Columns, build_batch, row_of
from mmc4viz.data.shards import Shard
from mmc4viz.formats.format import Sample
from mmc4viz.sweep import resolve
from mmc4viz.sweep.settings.two_settings import STATISTICS, setting_map
from mmc4viz.sweep.sweep import EVERYTHING, sweep
from mmc4viz.types import ConfigError
from tests.support import nasty

TOKENIZER = load_tokenizer()
THRESHOLDS = np.array([0.0, 0.2, 0.25, 0.3, 1e9])
VALUES: dict[str, tuple[int, ...]] = {
    "max_images": (1, 2, 3, 5, 8, 40),
    "max_tokens": (16, 64, 256, 2000),
    "min_images": (0, 1, 2, 4),
}


@pytest.fixture(scope="module")
def columns() -> Columns:
    documents = [parse_document(key, raw) for key, raw in nasty.documents(seed=7, n=500)]
    rows = [row_of(document, Sample(document.key, b""), TOKENIZER) for document in documents]
    return Columns(Shard("test.tar"), build_batch(rows), TOKENIZER)


@pytest.mark.slow
@pytest.mark.parametrize("assignment", ["one_to_one", "argmax"])
@pytest.mark.parametrize("setting", VALUES)
@pytest.mark.parametrize("other", [{}, {"min_images": 2, "max_images": 3, "max_tokens": 100}])
def test_every_cell_is_what_a_sweep_says(
    columns: Columns, setting: str, assignment: str, other: dict[str, Any]
) -> None:
    config = LoaderConfig(assignment=assignment, single_image_keep=0.3, **other)
    matched = match_corpus([columns], config)
    for name, statistic in STATISTICS.items():
        found = setting_map(matched, config, name, setting, VALUES[setting], THRESHOLDS)
        for value, row in zip(VALUES[setting], found.cells, strict=True):
            curves = sweep(matched, config.with_(**{setting: value}), THRESHOLDS)
            np.testing.assert_array_equal(row, statistic.of(curves, 0.3), name)


@pytest.mark.slow
@pytest.mark.parametrize("setting", VALUES)
def test_values_in_any_order_and_blocks_of_any_size_give_the_same(
    columns: Columns, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, values = LoaderConfig(), VALUES[setting]
    matched = match_corpus([columns], config)
    expected = setting_map(matched, config, "followed", setting, values, THRESHOLDS).cells
    monkeypatch.setattr(resolve, "STATES", 7)
    monkeypatch.setattr(resolve, "_WIDTH", 3)
    order = [2, 0, 3, 2, 1]
    shuffled = [values[position] for position in order]
    found = setting_map(matched, config, "followed", setting, shuffled, THRESHOLDS)
    assert found.values == tuple(shuffled)
    np.testing.assert_array_equal(found.cells, expected[order])


def test_no_statistic_counts_pairs_by_status() -> None:
    for name, statistic in STATISTICS.items():
        assert set(statistic.counted) <= set(EVERYTHING) - {"pairs"}, name


def test_what_cannot_be_varied_is_refused() -> None:
    nothing = match_corpus([], LoaderConfig())
    with pytest.raises(ConfigError, match="'min_kb' cannot be varied here"):
        setting_map(nothing, LoaderConfig(), "share", "min_kb", [1], THRESHOLDS)
    with pytest.raises(ConfigError, match="'beauty' is not a statistic"):
        setting_map(nothing, LoaderConfig(), "beauty", "max_images", [1], THRESHOLDS)
    with pytest.raises(ConfigError, match="max_images must be an integer of at least 1, not 0"):
        setting_map(nothing, LoaderConfig(), "share", "max_images", [0], THRESHOLDS)
