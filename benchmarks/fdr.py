"""Measures the false-discovery rate without labels against simulated truth; prints a table.

    python -m benchmarks.fdr [--corpora 300] [--workers 2] [--rivals] [--only easy] [--pairs 100]

A line a kind of corpus and way of estimating: how often it said anything; of the rates it gave,
how often all of a corpus's were within the target of the truth, and each was; the same at each
true rate, with the number of rates given of those there were; the bias; how often the interval
held the truth; the median shift found, and the least mean shift that 1 % of the corpora were sure
of. Thresholds looked at are the lowest ones with a true rate of at most 0.02, 0.05, 0.1, 0.2, 0.3,
where such a rate is really had there and enough pairs are left to have one: of 100 pairs' true
rate, chance alone is worth ±0.06 at 0.1. (A threshold chosen by the truth is one at which chance
was kind: even of true probabilities, the mean is a little above the truth there, where few pairs
are left.)
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import Pool

import numpy as np

from benchmarks.rivals import mirrored, runner_up
from benchmarks.simulate import Floats, Recipe, Simulated, simulate
from mmc4viz.thresholds.fdr.estimate import estimate_fdr

TARGETS = (0.02, 0.05, 0.1, 0.2, 0.3)
WITHIN = {"alone": 0.05, "decoys": 0.03, "runner-up": 0.05, "mirrored": 0.05}
SMALL = {"sentences": 8.0, "image": 0.5, "sentence": 0.5}
CELLS = {
    "easy 4σ 60 %": Recipe(4, 0.6),
    "easy 4σ 30 %": Recipe(4, 0.3),
    "3σ 90 %": Recipe(3, 0.9),
    "3σ 60 %": Recipe(3, 0.6),
    "3σ 30 %": Recipe(3, 0.3),
    "3σ 10 %": Recipe(3, 0.1),
    "3σ 60 % small": Recipe(3, 0.6, **SMALL),
    "3σ 30 % small": Recipe(3, 0.3, **SMALL),
    "3σ 60 % spread 1": Recipe(3, 0.6, spread=1.0),
    "2.5σ 60 % small": Recipe(2.5, 0.6, **SMALL),
    "2σ 80 % small": Recipe(2, 0.8, **SMALL),
    "2σ 30 % small": Recipe(2, 0.3, **SMALL),
    "1.5σ 80 % small": Recipe(1.5, 0.8, **SMALL),
    "hopeless 1σ 60 %": Recipe(1, 0.6, **SMALL),
    "hopeless 0.5σ 90 %": Recipe(0.5, 0.9, **SMALL),
    "stress 4σ t4": Recipe(4, 0.6, tail=4),
    "stress 3σ t8": Recipe(3, 0.6, tail=8, **SMALL),
    "stress 3σ topics": Recipe(3, 0.6, alike=0.3),
    "stress 3σ second 20 %": Recipe(3, 0.6, second=0.2),
    "3σ 60 % strong effects": Recipe(3, 0.6, image=2.0, sentence=2.0),
    "3σ 60 % no effects": Recipe(3, 0.6, image=0.0, sentence=0.0),
}


@dataclass(frozen=True)
class Found:
    """What one way said of one corpus: errors and coverage at the targets, NaN without them."""

    way: str
    answered: bool
    truth: Floats
    error: Floats
    covered: Floats
    shift: float = np.nan
    surely: float = np.nan


def thresholds_of(corpus: Simulated, fewest: int) -> tuple[Floats, Floats]:
    """Return the threshold of each target with its true rate; NaN where there is none."""
    order = np.argsort(-corpus.stack.score)
    wrong = np.cumsum(~corpus.right[order]) / np.arange(1, len(order) + 1)
    found, rates = np.full(len(TARGETS), np.nan), np.full(len(TARGETS), np.nan)
    for k, target in enumerate(TARGETS):
        good = np.flatnonzero(wrong <= target)
        if len(good) and good[-1] >= fewest - 1 and wrong[good[-1]] > 0.8 * target:
            found[k], rates[k] = corpus.stack.score[order[good[-1]]], wrong[good[-1]]
    return found, rates


def judge(recipe: Recipe, rivals: bool, fewest: int, seed: int) -> list[Found]:
    """Ask every way of one corpus."""
    corpus = simulate(recipe, [seed, 5])
    at, truth = thresholds_of(corpus, fewest)
    asked = np.unique(np.append(at[~np.isnan(at)], corpus.stack.score.max()))
    place = np.searchsorted(asked, np.nan_to_num(at, nan=asked[-1]))
    answers = []
    for way in ("alone", "decoys"):
        decoys = corpus.decoys if way == "decoys" else None
        said = estimate_fdr(corpus.stack, asked, decoys, seed=seed)
        error = said.rate[place] - truth
        covered = (said.low[place] <= truth) & (truth <= said.high[place])
        held = np.where(np.isnan(error), np.nan, covered)
        shift = said.signal.mean_shift if said.signal else np.nan
        given = said.reason is None
        answers.append(Found(way, given, truth, error, held, shift, said.surely))
    if rivals:
        nothing = np.full(len(TARGETS), np.nan)
        for way, rival in (("runner-up", runner_up), ("mirrored", mirrored)):
            error = rival(corpus.stack, asked)[place] - truth
            answers.append(Found(way, True, truth, error, nothing))
    return answers


def lines(name: str, found: list[Found]) -> Iterator[str]:
    """Put what was found of one kind of corpora into words, a line a way."""
    for way in dict.fromkeys(one.way for one in found):
        mine = [one for one in found if one.way == way]
        said = [one for one in mine if one.answered]
        error = np.array([one.error for one in said]).reshape(-1, len(TARGETS))
        held = np.array([one.covered for one in said]).reshape(-1, len(TARGETS))
        known, had = ~np.isnan(error), ~np.isnan([one.truth for one in mine])
        worst = np.where(known, np.abs(error), 0).max(axis=1)[known.any(axis=1)]
        near = np.abs(error) <= WITHIN[way]
        given = [f"({known[:, k].sum()}/{had[:, k].sum()})" for k in range(len(TARGETS))]
        each = " ".join(
            (f"{near[known[:, k], k].mean():4.0%}" if known[:, k].any() else "   –")
            + f"{given[k]:<9}"
            for k in range(len(TARGETS))
        )
        bias = " ".join(
            f"{error[known[:, k], k].mean():+.3f}" if known[:, k].any() else "   –  "
            for k in range(len(TARGETS))
        )
        all_of = f"{(worst <= WITHIN[way]).mean():4.0%}" if len(worst) else "   –"
        one_by_one = f"{near[known].mean():4.0%}" if known.any() else "   –"
        cover = f"{held[~np.isnan(held)].mean():4.0%}" if (~np.isnan(held)).any() else "   –"
        shift = np.nanmedian([m.shift for m in mine]) if way in ("alone", "decoys") else np.nan
        least = np.nanquantile([m.surely for m in mine], 0.01) if not np.isnan(shift) else np.nan
        yield (
            f"{name:<24} {way:<9} {len(said) / len(mine):4.0%}  {all_of}  {one_by_one}  {each}  "
            f"{bias}  {cover}  {shift:4.1f} {least:4.1f}"
        )


def timing(documents: int) -> str:
    """Time one estimate."""
    corpus = simulate(replace(Recipe(), documents=documents), 1)
    start = time.perf_counter()
    estimate_fdr(corpus.stack, rounds=200)
    return f"{documents:,} documents, 200 rounds: {time.perf_counter() - start:.1f} s"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpora", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="Seed of the first corpus.")
    parser.add_argument("--rivals", action="store_true")
    parser.add_argument("--only", default="", help="Kinds whose name begins so.")
    parser.add_argument("--pairs", type=int, default=100, help="Fewest at a threshold looked at.")
    parser.add_argument("--time", type=int, metavar="DOCUMENTS", help="Only time one estimate.")
    options = parser.parse_args()
    if options.time:
        print(timing(options.time))
        return
    print(
        f"{'corpora':<24} {'way':<9} said   all  each  "
        + " ".join(f"at {target:<9}" for target in TARGETS)
        + "bias there                            covers shift surely (1 %)"
    )
    with Pool(options.workers) as pool:
        for name, recipe in CELLS.items():
            if not name.startswith(options.only):
                continue
            asked = partial(judge, recipe, options.rivals, options.pairs)
            seeds = range(options.first, options.first + options.corpora)
            found = pool.map(asked, seeds, chunksize=2)
            for line in lines(name, [one for some in found for one in some]):
                print(line, flush=True)


if __name__ == "__main__":
    main()
