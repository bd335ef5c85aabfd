"""Samples: rates with intervals that hold what they promise, and the same seed the same sample."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, parse_document, sweep
from mmc4viz.corpus.columns import Columns, build_batch, row_of
from mmc4viz.corpus.sampling import choose_shards, draw, rate, read_sample, sweep_clusters
from mmc4viz.corpus.shards import Sample, Shard
from tests.documents import entry, info, write_tar

TOKENIZER = load_tokenizer()
GRID = np.array([0.2, 0.3])


def corpus(n_shards: int, per_shard: int, seed: int) -> list[Columns]:
    """Shards whose documents resemble each other: each has its own share of matches."""
    generator = np.random.default_rng(seed)
    good = row_of(_document(0.4), Sample("k", b""), TOKENIZER)
    poor = row_of(_document(0.1), Sample("k", b""), TOKENIZER)
    shards = []
    for number in range(n_shards):
        share = generator.beta(4, 4)
        rows = [good if generator.random() < share else poor for _ in range(per_shard)]
        shards.append(Columns(Shard(f"{number}.tar", number), build_batch(rows), TOKENIZER))
    return shards


def _document(score: float) -> object:
    matrix = [[score, 0.0], [0.0, score]]
    raw = json.dumps(info(matrix, images=[entry(), entry()]) | {"n": 1}).encode()
    from mmc4viz.loader.images import Embedded

    return parse_document("k", raw, Embedded(sizes_unknown=True))


@pytest.mark.parametrize("n_shards", [60, 8])
def test_intervals_contain_the_truth_about_as_often_as_they_say(n_shards: int) -> None:
    config, hits, trials = LoaderConfig(), 0, 40
    columns = corpus(n_shards, 60, seed=n_shards)
    truth = sweep(match_corpus(columns, config), config, GRID).expected("documents", 0.5)
    truth = truth / sum(map(len, columns))
    for seed in range(trials):
        drawn = draw(columns, 240 if n_shards == 60 else 120, seed)
        found = rate(drawn, sweep_clusters(drawn, config, GRID), "documents", 0.5)
        hits += bool(found.low[0] <= truth[0] <= found.high[0])
    # 95 % of 40 is 38; five standard errors below it.
    assert hits >= 31


def test_everything_drawn_leaves_no_uncertainty() -> None:
    columns, config = corpus(3, 20, seed=1), LoaderConfig()
    drawn = draw(columns, 1000)
    found = rate(drawn, sweep_clusters(drawn, config, GRID), "pairs", 0.5)
    exact = sweep(match_corpus(columns, config), config, GRID).total("pairs") / 60
    np.testing.assert_allclose(found.estimate, exact)
    np.testing.assert_allclose(found.high - found.low, 0, atol=1e-12)


def test_the_same_seed_draws_the_same() -> None:
    columns = corpus(30, 10, seed=2)
    first, again, other = (draw(columns, 50, seed) for seed in (4, 4, 5))
    shards = [[part.shard.name for cluster in d.clusters for part in cluster]
              for d in (first, again, other)]  # fmt: skip
    assert shards[0] == shards[1] != shards[2]


def test_shards_are_chosen_without_repeats() -> None:
    chosen, each = choose_shards(1000, 10_000, seed=0)
    assert len(set(chosen)) == 100 == each


def test_one_pass_over_a_shard_draws_documents_in_its_order(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [(f"{n:03}", info([[0.9]])) for n in range(40)])
    [shard] = expand([str(path)])
    columns, total = read_sample(shard, TOKENIZER, 10, seed=[0])
    keys = columns.batch.column("key").to_pylist()
    assert (len(columns), total) == (10, 40)
    assert keys == sorted(set(keys))
