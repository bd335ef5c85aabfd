"""Samples: confidence intervals have their coverage, and seeds are reproducible."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, parse_document
from mmc4viz.data.columns import Columns, build_batch, row_of
from mmc4viz.data.corpus import Shards
from mmc4viz.data.sample import choose_shards, draw, read_sample
from mmc4viz.data.shards import Shard
from mmc4viz.formats.format import Sample
from mmc4viz.sweep.estimate import interval, rate, sweep_clusters
from mmc4viz.sweep.sweep import sweep
from tests.support.documents import entry, info, write_tar
from tests.support.slowly import slow

TOKENIZER = load_tokenizer()
GRID = np.array([0.2, 0.3])


def corpus(n_shards: int, per_shard: int, seed: int) -> list[Columns]:
    """Shards whose documents resemble each other: each has its own match rate."""
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


@pytest.mark.slow
@pytest.mark.parametrize("n_shards", [60, *slow(8)])
def test_intervals_have_their_nominal_coverage(n_shards: int) -> None:
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


def test_a_complete_sample_has_no_uncertainty() -> None:
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
    chosen = choose_shards([1] * 1000, 10_000, 0, lambda _: 100)
    assert len(set(chosen)) == len(chosen) == 100


SIZES: dict[str, Callable[[np.random.Generator], Any]] = {
    "tiny": lambda rng: rng.integers(1, 4, 400),
    "one has nearly all": lambda rng: np.append(rng.integers(0, 3, 80), 3000),
    "as files are": lambda rng: np.ceil(rng.lognormal(2, 1.5, 250)).astype(int),
    "mostly empty": lambda rng: rng.binomial(1, 0.1, 3000) * 9,
    "two": lambda _: np.array([5, 900]),
}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("wanted", [2, 500])
def test_what_is_asked_for_is_drawn_where_it_exists(kind: str, wanted: int) -> None:
    sizes = SIZES[kind](np.random.default_rng(0))
    columns = [_of_size(int(size), at) for at, size in enumerate(sizes)]
    for seed in range(2):
        drawn = draw(columns, wanted, seed)
        assert drawn.n_documents == min(wanted, sizes.sum())
        names = [(part.shard.name, key) for parts in drawn.clusters for part in parts
                 for key in part.batch.column("key").to_pylist()]  # fmt: skip
        assert len(set(names)) == drawn.n_documents


@cache
def _rows() -> tuple[Columns, Columns]:
    good, poor = (row_of(_document(score), Sample("k", b""), TOKENIZER) for score in (0.4, 0.1))
    rows = [{**row, "key": str(n)} for n in range(3000) for row in (good, poor)]
    shard = Shard("all.tar")
    return tuple(Columns(shard, build_batch(some), TOKENIZER) for some in (rows[::2], rows[1::2]))


def _of_size(size: int, at: int, share: float = 1.0) -> Columns:
    """Make a shard of good and poor documents."""
    good, poor = _rows()
    n = round(share * size)
    batches = [part.take(np.arange(k)).batch for part, k in ((good, n), (poor, size - n))]
    batch = pa.Table.from_batches(batches).combine_chunks().to_batches()
    whole = batch[0] if batch else batches[0]
    return Columns(Shard(f"{at}.tar", at), whole, TOKENIZER)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SIZES)
def test_intervals_hold_where_shards_are_of_different_size(kind: str) -> None:
    """Also if larger shards are better, and more shards are drawn than at first."""
    rng, hits, trials = np.random.default_rng(1), 0, 60
    sizes = SIZES[kind](rng)
    shares = np.clip(rng.beta(4, 4, len(sizes)) + 0.1 * (sizes > np.median(sizes)), 0, 1)
    columns = [_of_size(int(n), at, share)
               for at, (n, share) in enumerate(zip(sizes, shares, strict=True))]  # fmt: skip
    truth = sum(_good(part) for part in columns) / sizes.sum()
    for seed in range(trials):
        drawn = draw(columns, 200, seed)
        assert drawn.n_documents == min(200, sizes.sum())
        good = np.array([sum(map(_good, parts)) for parts in drawn.clusters])
        n = np.array([sum(map(len, parts)) for parts in drawn.clusters])
        total = (good / n * drawn.sizes)[:, None]
        found = interval(total, drawn.sizes[:, None], drawn.fraction)
        hits += bool(found.low[0] - 1e-9 <= truth <= found.high[0] + 1e-9)
    assert hits >= 51  # 95 % of 60 is 57; 3.5 standard errors below it


def _good(part: Columns) -> int:
    starts = part.offsets("similarity")
    return int((part.values("similarity")[starts[:-1]] > 0.3).sum())


@pytest.mark.slow
def test_shards_that_are_read_give_what_is_asked_for(tmp_path: Path) -> None:
    for number, size in enumerate([1, 1, 2, 60, 1, 1, 1, 3, 1, 2, 1, 1]):
        documents = [(f"{n:03}", info([[0.9]])) for n in range(size)]
        write_tar(tmp_path / f"{number:02}.tar", documents)
    source = Shards(expand([str(tmp_path)]), TOKENIZER)
    for wanted in (2, 5, 9, 40, 75, 100):
        for seed in range(2):
            drawn = source.sample(wanted, seed, lambda _: None)
            assert drawn.n_documents == min(wanted, 75)
            places = [(part.shard.name, key) for parts in drawn.clusters for part in parts
                      for key in part.batch.column("key").to_pylist()]  # fmt: skip
            assert len(set(places)) == len(places)


def test_one_pass_over_a_shard_draws_documents_in_its_order(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [(f"{n:03}", info([[0.9]])) for n in range(40)])
    [shard] = expand([str(path)])
    columns, total = read_sample(shard, TOKENIZER, 10, seed=[0])
    keys = columns.batch.column("key").to_pylist()
    assert (len(columns), total) == (10, 40)
    assert keys == sorted(set(keys))
