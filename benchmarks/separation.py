"""How many labels of each model's pairs make it fair to say which model separates better.

The sample's pairs with their truth, labels drawn anew in each round as the page Label draws them:
by strata of score, the samples of both models by the same lots. How often the interval of the
difference in area under ROC, and in average precision, holds the difference over all pairs.

    python -m benchmarks.separation [--rounds N]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.roc import (
    Evidence,
    LabelledPairs,
    Paired,
    labelled_pairs,
    separation,
)
from mmc4viz.thresholds.labels import sampling
from mmc4viz.thresholds.labels.precision import LabelledSample
from mmc4viz.thresholds.model_scores import Model
from tests.thresholds.test_compare import SAMPLE, sample

DRAWN = [(200, 0), (200, 10), (200, 30), (200, 50), (200, 100), (200, 200), (50, 50), (100, 100)]
FIELDS = ("document", "image", "sentence")


@dataclass(frozen=True)
class Known:
    """A model's matched pairs with their truth, and where they stand among those of both."""

    model: Model
    edges: NDArray[np.float64]
    triples: list[tuple[int, ...]]
    right: NDArray[np.bool_]

    def drawn(self, n: int, lots: dict[tuple[int, ...], float]) -> Any:
        """Draw labels, evenly over the strata."""
        score, size = self.model.pairs.score, len(self.edges) + 1
        stratum = np.searchsorted(self.edges, score, side="right")
        mine = np.array([lots[triple] for triple in self.triples])
        taken: list[int] = []
        for s in range(size):
            members = np.flatnonzero(stratum == s)
            count = n // size + (s < n % size)
            taken += members[np.argsort(mine[members])[:count]].tolist()
        at = np.array(sorted(taken), np.int64)
        return SimpleNamespace(
            sample=LabelledSample(score, self.edges, score[at], self.right[at]), ranks=at
        )


def known(one: Candidate) -> Known:
    """Put the sample's truth onto a model's pairs."""
    rows = pq.read_table(SAMPLE / "truth.parquet").to_pylist()
    truth = {(row["shard"], row["key"], row["image"]): row["sentences"] for row in rows}
    parts = [part.columns for part in one.model.matched.parts]
    names = [(c.shard.name, c.document(row).key) for c in parts for row in range(len(c))]
    pairs = one.model.pairs
    triples = list(zip(*(getattr(pairs, name).tolist() for name in FIELDS), strict=True))
    right = np.array([s in truth.get((*names[d], i), []) for d, i, s in triples])
    low, high = sampling.usual_range(pairs.score)
    return Known(
        one.model, sampling.stratum_edges(pairs.score, low, high, 0.001, 3), triples, right
    )


def main() -> None:
    """Print a line for each number of labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    both = [known(one) for one in sample()]
    models = [one.model for one in both]
    truth = {t: bool(r) for one in both for t, r in zip(one.triples, one.right, strict=True)}
    index, right = np.array(list(truth)).T, np.array(list(truth.values()))
    ones = np.ones(len(right))
    (whole,) = separation(models, LabelledPairs(*index, right, ones), rounds=2).against_first
    print(f"over all: {whole.auc.value:.3f}, {whole.average_precision.value:.3f}")
    print("labels of a, of b   mean difference   interval holds it, %", flush=True)
    rng = np.random.default_rng(0)
    for sizes in DRAWN:
        found: list[Paired] = []
        for seed in range(rounds):
            lots = dict(zip(truth, rng.random(len(truth)), strict=True))
            of = {k.model.name: k.drawn(n, lots) for k, n in zip(both, sizes, strict=True) if n}
            pairs = labelled_pairs(models, Evidence(of, {}))
            found += separation(models, pairs, rounds=200, seed=seed).against_first
        means, holds = [], []
        for name in ("auc", "average_precision"):
            true = getattr(whole, name).value
            these = [getattr(one, name) for one in found]
            means.append(f"{np.mean([one.value for one in these]):7.3f}")
            holds.append(f"{100 * np.mean([one.low <= true <= one.high for one in these]):5.0f}")
        print(f"{sizes[0]:11} {sizes[1]:5}   {' '.join(means)}   {' '.join(holds)}", flush=True)


if __name__ == "__main__":
    main()
