"""Times matching and the first sweep under every loader; prints a table.

    python -m benchmarks.loaders FOLDER [--documents 1000000] [--loaders NAME ...] [--rounds 3]

A synthetic index is written into FOLDER once and used again. All loaders run in one process, in
turn, and the fastest of the rounds counts, in seconds of the processor, so that ratios to
OpenFlamingo's of today hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import synthetic
from mmc4viz import LoaderConfig, match_corpus
from mmc4viz.data.columns import Columns
from mmc4viz.data.index import open_index
from mmc4viz.data.scale import COSINE
from mmc4viz.loader.profile import PROFILES
from mmc4viz.sweep.sweep import sweep
from mmc4viz.types import DEFAULT_LOADER


def measure(columns: list[Columns], loader: str) -> tuple[float, float, int]:
    """Return the seconds of matching and of the first sweep, and how many documents are walked."""
    config = LoaderConfig.of_loader(loader)
    start = time.process_time()
    matched = match_corpus(columns, config)
    done = time.process_time()
    sweep(matched, config, COSINE.thresholds())
    end = time.process_time()
    return done - start, end - done, sum(len(part.literal) for part in matched.parts)


def main() -> None:
    """Write an index if there is none, and measure every loader on it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--loaders", nargs="+", default=list(PROFILES))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = options.folder / str(options.documents)
    if not folder.exists():
        synthetic.write_index(folder, options.documents)
    columns = open_index(str(folder)).columns
    found: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    names = [DEFAULT_LOADER, *(name for name in options.loaders if name != DEFAULT_LOADER)]
    for name in names * options.rounds:
        found[name].append(measure(columns, name))
    best = {name: [min(each) for each in zip(*runs, strict=True)] for name, runs in found.items()}
    usual = best[DEFAULT_LOADER]
    print(
        f"{'loader':<24} {'match (s)':>9} {'sweep (s)':>9} {'both (×)':>9} {'sweep (×)':>9}  walked"
    )
    for name, (matching, sweeping, walked) in best.items():
        both = (matching + sweeping) / (usual[0] + usual[1])
        seconds = f"{matching:>9.2f} {sweeping:>9.2f}"
        print(f"{name:<24} {seconds} {both:>9.2f} {sweeping / usual[1]:>9.2f}  {walked:,}")


if __name__ == "__main__":
    main()
