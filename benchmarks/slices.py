"""Whether the intervals of slices cover the truth of simulated corpora; how long slices take.

    python benchmarks/slices.py                        coverage
    python benchmarks/slices.py --index FOLDER         seconds, on an index of `synthetic`

Documents belong to sites of very unequal size, some with a few dozen documents, and of unequal
quality; their pairs share the document's quality, so that pairs of one document rise and fall
together. A document with one image counts with the single-image keep probability. The truth is
what the same simulation gives for three million documents. Each corpus is compared twice: by site
(slices of documents) and by format (slices of images, several in one document).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc4viz.slices.differences import (
    Differences,
    Moments,
    differences,
    moments_of_documents,
    moments_of_pairs,
)

KEEP = 0.5
SITES, FORMATS = 20, 8


@dataclass(frozen=True)
class World:
    """What documents are drawn from.

    Attributes
    ----------
    threshold : float
        In standard deviations of a pair's score.
    """

    threshold: float

    def moments(self, n: int, rng: np.random.Generator) -> tuple[Moments, Moments]:
        """Draw n documents; return the moments by site and by format."""
        share = 1 / np.arange(1, SITES + 1) ** 1.2
        site = rng.choice(SITES, n, p=share / share.sum())
        quality = np.linspace(-0.8, 0.8, SITES)[np.argsort(np.arange(SITES) * 7 % SITES)]
        size = np.minimum(rng.geometric(0.25, n), 20)
        document = np.repeat(np.arange(n), size)
        leaning = rng.integers(0, FORMATS, n)[document]  # pages mix formats, but have a favourite
        own = rng.random(len(document)) < 0.6
        code = np.where(own, leaning, rng.integers(0, FORMATS, len(document)) ** 2 // FORMATS)
        common = quality[site] + rng.normal(0, 0.7, n)
        score = common[document] + 0.1 * code + rng.normal(0, 0.7, len(document))
        reaching = score >= self.threshold
        n_kept = np.bincount(document[reaching], minlength=n)
        chance = np.where(n_kept == 1, KEEP, 1.0) * (n_kept > 0)
        always, single = (
            np.bincount(site[n_kept > 1], minlength=SITES),
            np.bincount(site[n_kept == 1], minlength=SITES),
        )
        by_site = moments_of_documents(
            always.astype(float), single.astype(float), np.bincount(site, minlength=SITES), KEEP
        )
        kept = reaching * chance[document]
        codes = code.astype(np.int32)
        return by_site, moments_of_pairs(document.astype(np.int32), codes, kept, n, FORMATS)


@dataclass
class Covered:
    """How often intervals held the truth, by slice."""

    held: NDArray[np.int64]
    given: NDArray[np.int64]
    together: int = 0
    corpora: int = 0

    def add(self, found: Differences, truth: NDArray[np.float64], together: Differences) -> None:
        """Count one corpus."""
        given = ~np.isnan(found.low)
        self.held += given & (found.low <= truth) & (truth <= found.high)
        self.given += given
        given = ~np.isnan(together.low)
        fits = (together.low <= truth) & (truth <= together.high)
        self.together += int(fits[given].all())
        self.corpora += 1


def coverage(world: World, n: int, corpora: int, seed: int = 0) -> tuple[Covered, Covered]:
    """Simulate corpora of n documents and count how often their intervals hold the truth."""
    large = [world.moments(100_000, np.random.default_rng([seed, 1, k])) for k in range(30)]
    found = []
    for number, size in enumerate((SITES, FORMATS)):
        x, y = (sum(getattr(one[number], name) for one in large) for name in ("x", "y"))
        truth = y / x - y.sum() / x.sum()
        covered = Covered(np.zeros(size, np.int64), np.zeros(size, np.int64))
        for k in range(corpora):
            moments = world.moments(n, np.random.default_rng([seed, 2, k]))[number]
            together = differences(moments)
            covered.add(differences(moments, simultaneous=False), truth, together)
        found.append(covered)
    return found[0], found[1]


def seconds(folder: str) -> None:
    """Time thirty slices of documents against one sweep."""
    from mmc4viz import LoaderConfig, match_corpus
    from mmc4viz.data.index import open_index
    from mmc4viz.slices.attributes import ATTRIBUTES, SlicedCorpus
    from mmc4viz.slices.comparison import compare, document_curves, of_curves
    from mmc4viz.slices.division import Values, divide
    from mmc4viz.sweep.sweep import sweep

    config = LoaderConfig()
    matched = match_corpus(open_index(folder).columns, config)
    grid, n = matched.scale.thresholds(), matched.n_documents
    code = np.minimum(np.random.default_rng(0).zipf(1.5, n), 40).astype(np.int32) - 1
    values = Values(code, [f"site {number}" for number in range(40)])
    sweep(matched, config, grid)

    def timed(run: Any) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    def sliced() -> None:
        division = divide("site", "Site", "document", values, 29)
        of_curves(division, document_curves(matched, division, config, grid), config)

    one = min(timed(lambda: sweep(matched, config, grid)) for _ in range(5))
    thirty = min(timed(sliced) for _ in range(5))
    print(f"{n:>10,}  one sweep                  {one:8.3f} s")
    print(f"{n:>10,}  thirty slices, all curves  {thirty:8.3f} s   {thirty / one:.2f} ×")
    corpus = SlicedCorpus(matched)
    print(f"{n:>10,}  all pairs                  {timed(lambda: corpus.pairs):8.3f} s")
    for attribute in ATTRIBUTES.values():
        if attribute.name in ("language", "script", "faces"):
            continue
        dividing = timed(lambda a=attribute: a.divide(corpus))
        division = attribute.divide(corpus)
        comparing = timed(lambda d=division: compare(corpus, d, config, grid))
        print(f"{n:>10,}  by {attribute.name:<16} {dividing:7.3f} s, compared {comparing:7.3f} s")


def main() -> None:
    """Print coverage, or seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--index")
    parser.add_argument("--corpora", type=int, default=1000)
    a = parser.parse_args()
    if a.index:
        seconds(a.index)
        return
    head = ("documents", "threshold", "slices of", "single", "least", "most", "simultaneous")
    print("{:>9}  {:>9}  {:<9}  {:>7}  {:>7}  {:>7}  {:>12}".format(*head))
    for n in (500, 2_000, 10_000):
        for threshold in (0.0, 1.2):
            both = coverage(World(threshold), n, a.corpora)
            for name, found in zip(("documents", "images"), both, strict=True):
                often = found.given >= found.corpora / 2
                each = found.held[often] / found.given[often]
                single = found.held.sum() / found.given.sum()
                print(
                    f"{n:>9,}  {threshold:>9}  {name:<9}  {single:>7.1%}  {each.min():>7.1%}  "
                    f"{each.max():>7.1%}  {found.together / found.corpora:>12.1%}"
                )


if __name__ == "__main__":
    main()
