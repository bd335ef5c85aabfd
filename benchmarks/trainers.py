"""How fast documents are exported to trainers from an index, against copying by Python's tarfile.

    python benchmarks/trainers.py FOLDER [--shards 16] [--documents 150] [--workers 2] …

As `benchmarks/apply.py`: shards of photo-like images are written into the folder, if they are not
there, and indexed; the copy (member by member, one process) and the exports take turns. Before each
pass what was written is deleted and the shards are read once. The whole command counts, its start
and its workers' too; the best of the rounds is shown. ``ratio`` is the speed against the copy's, in
bytes of shards read per second.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.apply import copy_by_tarfile, mmc4viz, read  # noqa: E402
from benchmarks.shards import write_shards  # noqa: E402

TRAINERS = ("hf", "mds")


def measure(options: argparse.Namespace) -> None:
    """Take all passes in turn and print the table."""
    folder: Path = options.folder
    paths = write_shards(folder, options.shards, options.documents)
    index, out = folder / "index", folder / "out"
    workers = ["--workers", str(options.workers)]
    mmc4viz("index", *paths, "--out", index, *workers)
    passes: dict[str, Callable[[], object]] = {"tarfile": lambda: copy_by_tarfile(paths, out)}
    for name in TRAINERS:

        def export(name: str = name) -> None:
            words = ["--for", name, "--out", out, "--threshold", str(options.threshold), *workers]
            mmc4viz("export", "--index", index, *words)

        passes[name] = export
    size = sum(path.stat().st_size for path in paths)
    best = dict.fromkeys(passes, float("inf"))
    written = dict.fromkeys(passes, 0)
    for _ in range(options.rounds):
        for name, work in passes.items():
            shutil.rmtree(out, ignore_errors=True)
            read(paths)
            time.sleep(options.pause)
            start = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - start)
            written[name] = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    shutil.rmtree(out, ignore_errors=True)
    print(f"{size / 1e9:.2f} GB in {len(paths)} shards, {options.workers} workers")
    print(f"{'':10} {'s':>7} {'MB/s':>7} {'ratio':>6} {'written':>9}")
    for name, seconds in best.items():
        ratio = best["tarfile"] / seconds
        print(
            f"{name:10} {seconds:7.2f} {size / 1e6 / seconds:7.0f} {ratio:6.2f} "
            f"{written[name] / 1e6:6.0f} MB"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--documents", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pause", type=float, default=3.0)
    parser.add_argument("--threshold", type=float, default=0.0)
    measure(parser.parse_args())
