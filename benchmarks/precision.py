"""What the labels' statistics promise, against simulated corpora whose truth is known.

    python -m benchmarks.precision [--corpora 1000] [--jobs 2] [--only intervals|proposals|labels]

Prints three tables: how often 95 % intervals of precision from 200 labels hold the truth, how often
a threshold proposed for precision ≥ 0.9 really has it, and how many labels an interval of width 0.1
takes against labels drawn uniformly.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Floats
from mmc4viz.thresholds.labels import sampling
from mmc4viz.thresholds.labels.precision import LabelledSample, curve, propose
from mmc4viz.thresholds.labels.queue import FIRST, STAGE

PAIRS, LABELS, WANTED, WIDTH = 10_000, 200, 0.9, 0.1
REACHING = (0.8, 0.6, 0.4, 0.2, 0.07)  # shares of the pairs at or above the five thresholds
# How many noise deviations right pairs stand out, and their share: from easy to hopeless.
CORPORA = ((4, 0.6), (3, 0.6), (2.5, 0.3), (2, 0.7), (2, 0.4), (1, 0.8), (1, 0.4), (0, 0.5))


@dataclass(frozen=True)
class Corpus:
    """Scores of matched pairs, ascending, and which of them are right; shape (N,) each."""

    scores: Floats
    correct: NDArray[np.bool_]

    def precision(self, threshold: float) -> float:
        return float(self.correct[np.searchsorted(self.scores, threshold) :].mean())

    def kept(self, threshold: float) -> float:
        above = self.correct[np.searchsorted(self.scores, threshold) :].sum()
        return float(above / self.correct.sum())


def simulate(rng: np.random.Generator, apart: float, share: float, n: int = PAIRS) -> Corpus:
    """Draw a corpus: right pairs score higher by so many deviations of the noise."""
    correct = rng.random(n) < share
    scores = 0.2 + 0.03 * (rng.normal(size=n) + apart * correct)
    order = np.argsort(scores)
    return Corpus(scores[order], correct[order])


class Labeller:
    """Labels a corpus as the app does: in stages, within strata by lot."""

    def __init__(self, rng: np.random.Generator, corpus: Corpus) -> None:
        self.corpus = corpus
        span = sampling.usual_range(corpus.scores)
        self.edges = sampling.stratum_edges(corpus.scores, *span, 0.001, 3)
        self.population = sampling.populations(corpus.scores, self.edges)
        ends = np.concatenate([[0], np.cumsum(self.population)])
        self._lots = [
            first + rng.permutation(size)
            for first, size in zip(ends.tolist(), self.population.tolist(), strict=False)
        ]
        self.drawn = np.zeros(len(self.population), np.int64)

    def label(self, n: int, threshold: float | None) -> None:
        """Give out n labels, for one threshold or for all in question."""
        asked = sampling.thresholds_of(self.edges, threshold)
        value = sampling.importance(
            self.population, sampling.above(self.corpus.scores, self.edges, asked)
        )
        while n > 0:
            if threshold is not None:
                right = np.array([self.corpus.correct[ranks].sum() for ranks in self._ranks()])
                weighed = value * sampling.spread_of(self.drawn, right)
            else:
                weighed = value
            size = min(n, STAGE if self.drawn.any() else FIRST)
            more = sampling.allocate(self.population, self.drawn, weighed, size)
            if not more.any():
                return
            self.drawn = self.drawn + more
            n -= size

    def _ranks(self) -> list[NDArray[np.int64]]:
        return [lot[:n] for lot, n in zip(self._lots, self.drawn.tolist(), strict=True)]

    def sample(self) -> LabelledSample:
        at = np.sort(np.concatenate(self._ranks()))
        return LabelledSample(
            self.corpus.scores, self.edges, self.corpus.scores[at], self.corpus.correct[at]
        )


def intervals(apart: float, share: float, seed: int) -> Floats:
    """Return for the five thresholds: truth held, kept held, wrong labels, width; shape (4, 5)."""
    rng = np.random.default_rng([seed, int(10 * apart), int(100 * share)])
    labeller = Labeller(rng, simulate(rng, apart, share))
    labeller.label(LABELS, None)
    corpus = labeller.corpus
    thresholds = np.quantile(corpus.scores, 1 - np.array(REACHING))
    found = curve(labeller.sample(), thresholds)
    truth = np.array([corpus.precision(t) for t in thresholds])
    kept = np.array([corpus.kept(t) for t in thresholds])
    held = (found.precision.low - 1e-9 <= truth) & (truth <= found.precision.high + 1e-9)
    kept_held = (found.kept.low - 1e-9 <= kept) & (kept <= found.kept.high + 1e-9)
    return np.array([held, kept_held, found.wrong, found.precision.high - found.precision.low])


def focused(apart: float, share: float, seed: int) -> Floats:
    """Return the same where 140 of the 200 labels are given out for the threshold itself."""
    rng = np.random.default_rng([seed, int(10 * apart), int(100 * share), 1])
    corpus, rows = simulate(rng, apart, share), []
    for reaching in REACHING:
        threshold = float(np.quantile(corpus.scores, 1 - reaching))
        labeller = Labeller(rng, corpus)
        labeller.label(FIRST, None)
        labeller.label(LABELS - FIRST, threshold)
        found = curve(labeller.sample(), np.array([threshold]))
        truth, kept = corpus.precision(threshold), corpus.kept(threshold)
        low, high = found.precision.low[0], found.precision.high[0]
        kept_held = found.kept.low[0] - 1e-9 <= kept <= found.kept.high[0] + 1e-9
        rows.append((low - 1e-9 <= truth <= high + 1e-9, kept_held, found.wrong[0], high - low))
    return np.array(rows, np.float64).T


def proposal(apart: float, share: float, seed: int) -> tuple[bool, bool, bool, float]:
    """Return whether a threshold is proposed, is right, could be, and the pairs it costs."""
    rng = np.random.default_rng([seed, int(10 * apart), int(100 * share), 2])
    labeller = Labeller(rng, simulate(rng, apart, share))
    labeller.label(LABELS, None)
    corpus, found = labeller.corpus, propose(labeller.sample(), WANTED)
    can = [edge for edge in labeller.edges.tolist() if corpus.precision(edge) >= WANTED]
    if found.threshold is None:
        return False, False, bool(can), np.nan
    right = corpus.precision(found.threshold) >= WANTED
    best = can[0] if can else np.nan
    between = np.searchsorted(corpus.scores, [best, found.threshold])
    return True, right, bool(can), float(between[1] - between[0]) / PAIRS if can else np.nan


def labels_needed(apart: float, share: float, reaching: float, seed: int) -> tuple[float, ...]:
    """Return labels for an interval of width 0.1: uniform, spread over all thresholds, for one."""
    rng = np.random.default_rng([seed, int(10 * apart), int(100 * share), 3])
    corpus = simulate(rng, apart, share)
    threshold = float(np.quantile(corpus.scores, 1 - reaching))

    def reached(sample: LabelledSample) -> bool:
        found = curve(sample, np.array([threshold])).precision
        return bool(found.high[0] - found.low[0] <= WIDTH)

    counts = []
    lot, uniform = rng.permutation(PAIRS), STAGE
    while not reached(_uniform(corpus, lot[:uniform])):
        uniform += STAGE
    counts.append(uniform)
    for asked in (None, threshold):
        labeller = Labeller(rng, corpus)
        labeller.label(STAGE, asked)
        while not reached(labeller.sample()):
            labeller.label(STAGE, asked)
        counts.append(int(labeller.drawn.sum()))
    return tuple(map(float, counts))


def _uniform(corpus: Corpus, lot: NDArray[np.int64]) -> LabelledSample:
    at = np.sort(lot)
    return LabelledSample(corpus.scores, np.zeros(0), corpus.scores[at], corpus.correct[at])


def _row(cells: Iterable[object]) -> None:
    print("".join(f"{cell!s:>12}" for cell in cells), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=("intervals", "focused", "proposals", "labels"))
    parser.add_argument("--kinds", type=int, nargs="*", default=list(range(len(CORPORA))))
    asked = parser.parse_args(arguments)
    kinds = [CORPORA[n] for n in asked.kinds]
    with ProcessPoolExecutor(asked.jobs) as pool:
        seeds = range(asked.corpora)
        for name, make in (("intervals", intervals), ("focused", focused)):
            if asked.only in (None, name):
                print(f"{name}: held, kept held, wrong labels, width at five thresholds")
                for kind in kinds:
                    found = np.mean(list(pool.map(partial(make, *kind), seeds, chunksize=8)), 0)
                    _row([kind, *np.round(100 * found[0], 1), "held %"])
                    _row(["", *np.round(100 * found[1], 1), "kept held %"])
                    _row(["", *np.round(found[2], 1), "wrong"])
                    _row(["", *np.round(found[3], 3), "width"])
        if asked.only in (None, "proposals"):
            print(f"proposals of precision ≥ {WANTED}, % of the corpora; pairs lost to the best, %")
            _row(["", "none", "right", "wrong", "none can", "lost"])
            for kind in kinds:
                rows = np.array(list(pool.map(partial(proposal, *kind), seeds, chunksize=8)))
                made, right, can, lost = rows.T
                wrong = (made > 0) & (right == 0)
                means = (1 - made.mean(), right.mean(), wrong.mean(), 1 - can.mean())
                loss = np.nanmean(lost) if np.isfinite(lost).any() else np.nan
                _row([kind, *(f"{100 * m:.1f}" for m in means), f"{100 * loss:.1f}"])
        if asked.only in (None, "labels"):
            print(f"labels for an interval of width {WIDTH}: uniform, spread, for the threshold")
            for kind in kinds:
                for reaching in REACHING[-3:]:
                    make_row = partial(labels_needed, *kind, reaching)
                    found = np.mean(list(pool.map(make_row, seeds[: max(len(seeds) // 20, 4)])), 0)
                    fewer = [f"{100 * (n / found[0] - 1):+.0f} %" for n in found[1:]]
                    _row([kind, f"top {reaching:.0%}", *np.round(found).astype(int), *fewer])


if __name__ == "__main__":
    main()
