"""Sensitivity to each setting against sums over the walk, for whole corpora and samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmc4viz.data.sample import draw
from mmc4viz.loader.walk import walk
from mmc4viz.sweep import estimate, statistics
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.estimate import RATES
from mmc4viz.sweep.settings.sensitivity import (
    SETTING_VALUES,
    YIELDS,
    estimated,
    exact,
    pool,
    variations,
)
from mmc4viz.sweep.sweep import match_corpus, sweep
from mmc4viz.types import LoaderConfig
from tests.support.corpora import SETTINGS, TOKENIZER, odd

GRID = np.array([-0.9, 0.1, 0.2, 0.24, 0.25, 0.3])


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS[1:4], ids=str)
def test_a_sample_of_everything_says_what_the_walk_says(settings: dict[str, Any]) -> None:
    found = odd(settings)
    config = found.corpus.config
    columns = [part.columns for part in found.corpus.matched.parts]
    sample = pool(draw(columns, 10**6))
    matched = match_corpus([sample.columns], config)
    rates = estimated(sample, matched, config, GRID)
    whole = exact(found.corpus.matched, config, GRID)
    for at in (1, 3):
        threshold = float(GRID[at])
        walks = [walk(d, config.with_(threshold=threshold), TOKENIZER) for d in found.documents]
        odds = np.array([verdict.keep_probability for verdict in walks])
        tokens = np.array([verdict.image_tokens for verdict in walks])
        for name, truth in zip(YIELDS, (odds.mean(), (odds * tokens).mean()), strict=True):
            assert whole[name].estimate[at] == pytest.approx(truth)
            for value in (rates[name].estimate, rates[name].low, rates[name].high):
                assert value[at] == pytest.approx(truth)


def test_a_sample_s_interval_is_that_of_its_clusters() -> None:
    found = odd({})
    columns, config = [part.columns for part in found.corpus.matched.parts], LoaderConfig()
    sample = pool(draw(columns, 300, seed=3))
    matched = match_corpus([sample.columns], config)
    rate = estimated(sample, matched, config, GRID)["documents"]
    said = verdicts(matched, config.with_(threshold=0.24))
    odds = (said.kind == 0) + 0.5 * (said.kind == 1)
    each = [odds[sample.cluster == k].mean() for k in range(len(sample.drawn.clusters))]
    assert rate.estimate[3] == pytest.approx(np.average(each, weights=sample.drawn.sizes))
    assert rate.low[3] < rate.estimate[3] < rate.high[3]


@pytest.mark.parametrize("most_bins", [10**6, 1])
def test_an_estimate_is_made_of_its_clusters_curves(
    monkeypatch: pytest.MonkeyPatch, most_bins: int
) -> None:
    monkeypatch.setattr(statistics, "_MOST_BINS", most_bins)
    matched, config = odd({}).corpus.matched, LoaderConfig()
    drawn = draw([part.columns for part in matched.parts], 300, seed=3)
    found = estimate.estimate(drawn, config, GRID, None)
    each = [sweep(match_corpus(parts, config), config, GRID) for parts in drawn.clusters]
    sampled = [sum(map(len, parts)) for parts in drawn.clusters]
    weights = drawn.sizes / drawn.sizes.sum() * 1000 / sampled
    for statistic in ("counts", "images"):
        total = sum(w * getattr(c, statistic) for w, c in zip(weights, each, strict=True))
        np.testing.assert_allclose(getattr(found.curves, statistic), total)
    for at, name in enumerate(RATES[2:], start=2):
        always = [w * c.in_class(name, "kept_always") for w, c in zip(weights, each, strict=True)]
        np.testing.assert_allclose(found.always[:, at], always)


def test_every_knob_is_varied_alone_the_present_value_among_them() -> None:
    config = LoaderConfig(max_images=5)
    tried = variations(config)
    assert {effect.setting for effect in tried} == set(SETTING_VALUES)
    assert [e.value for e in tried if e.setting == "max_images"] == [1, 2, 3, 4, 5, 6, 8, 12, 20]
    for effect in tried:
        assert effect.config == config.with_(**{effect.setting: effect.value})
