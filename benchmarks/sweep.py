"""Times opening, matching, sweeping and looking up over synthetic indexes; prints a table.

    python benchmarks/sweep.py FOLDER [--documents 10000 100000 1000000]

Indexes are written into FOLDER once and used again. Each size runs in a process of its own, so that
memory is its own. The last column compares a sweep of all 2,001 thresholds with walking every
document once at each of them.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks import synthetic
from mmc4viz import LoaderConfig, match_corpus, walk
from mmc4viz.data.index import open_index
from mmc4viz.data.scale import COSINE
from mmc4viz.sweep.settings.two_settings import setting_map
from mmc4viz.sweep.statistics import QUANTITY
from mmc4viz.sweep.sweep import sweep

R = TypeVar("R")
N_WALKED = 200
VALUES = {"max_images": range(1, 11), "max_tokens": range(64, 704, 64), "min_images": range(10)}


def timed(run: Callable[[], R]) -> tuple[float, R]:
    """Return seconds and answer."""
    start = time.perf_counter()
    answer = run()
    return time.perf_counter() - start, answer


def held() -> float:
    """Return this process's own memory in bytes: what is mapped from files does not count."""
    status = Path("/proc/self/status").read_text()
    return 1024 * float(status.partition("RssAnon:")[2].split()[0])


def measure(folder: str) -> None:
    """Print a line for each thing timed on one index."""
    config, grid = LoaderConfig(), COSINE.thresholds()
    before = held()
    opening, index = timed(lambda: open_index(folder))
    columns, n = index.columns, index.n_documents
    matching, matched = timed(lambda: match_corpus(columns, config))
    first, curves = timed(lambda: sweep(matched, config, grid))
    report = {"open": opening, "match": matching, "first sweep": first}
    for change in ({"max_images": 4}, {"max_tokens": 200}, {"min_images": 2}):
        changed = config.with_(**change)
        report[f"sweep, {next(iter(change))}"], _ = timed(lambda c=changed: sweep(matched, c, grid))
    memory = (held() - before) / n
    sixty = np.round(np.linspace(0.1, 0.4, 60), 3)
    for setting, values in VALUES.items():
        for statistic in ("share", "followed"):
            report[f"60 × 10 {statistic}, {setting}"], _ = timed(
                lambda s=setting, v=values, of=statistic: setting_map(
                    matched, config, of, s, list(v), sixty
                )
            )
    smaller = config.with_(min_kb=12)
    report["match and sweep, min_kb"], _ = timed(
        lambda: sweep(match_corpus(columns, smaller, previous=matched), smaller, grid)
    )
    for name in ("argmax", "stored", "greedy"):
        other = config.with_(assignment=name)
        report[f"match and sweep, {name}"], _ = timed(
            lambda c=other: sweep(match_corpus(columns, c), c, grid)
        )
    looking, _ = timed(lambda: [curves.counts[QUANTITY["documents"], :, 1240] for _ in range(1000)])
    report["look-up (ms)"] = looking
    report["bytes a document"] = memory
    report["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    rows = range(min(N_WALKED, len(columns[0])))
    documents = [columns[0].document(row) for row in rows]
    walking, _ = timed(lambda: [walk(d, config, index.tokenizer) for d in documents])
    report["sweep against walks (×)"] = walking / len(documents) * n * len(grid) / first
    for name, value in report.items():
        print(f"{n:>10,}  {name:<26} {value:>14,.3f}")


def main() -> None:
    """Write what is missing and measure each size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(str(options.folder))
        return
    for n_documents in options.documents:
        folder = options.folder / str(n_documents)
        if not folder.exists():
            synthetic.write_index(folder, n_documents)
        command = [sys.executable, "-m", "benchmarks.sweep", str(folder), "--one"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
