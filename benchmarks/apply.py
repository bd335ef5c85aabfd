"""How fast shards are rewritten from an index, against copying the same bytes by Python's tarfile.

    python benchmarks/apply.py FOLDER [--shards 16] [--documents 150] [--workers 2] …

Writes shards of photo-like images into the folder, if they are not there, and indexes them. Then
the copy (`tarfile`, member by member, one process) and ``mmc4viz apply`` with each of the choices
take turns; both write beside the shards. Before each pass what was written is deleted, and the
shards are read once, so that all begin with them in memory: else it is the disk that is timed. Then
comes a pause: a virtual machine gives freed memory back to its host, and getting it again costs ten
times what the copying does; without the pause only the pass that begins to write at once is spared
that (``--pause 0`` shows it). The whole command counts, its start and its workers' too; the best of
the rounds is shown. ``ratio`` is the speed against the copy's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.shards import write_shards  # noqa: E402

CHOICES = {
    "nothing to change": [],
    "--cap best": ["--cap", "best"],
    "--order sentence": ["--order", "sentence"],
    "all three": ["--order", "sentence", "--cap", "best", "--drop-undecodable"],
    "smaller shards": ["--order", "sentence", "--keep-rejected-images", "no"],
}
CONFIG = "threshold: 0.24\n"


def copy_by_tarfile(paths: list[Path], out: Path) -> None:
    """Copy shards member by member."""
    out.mkdir()
    for path in paths:
        with tarfile.open(path) as source, tarfile.open(out / path.name, "w") as target:
            for member in source:
                target.addfile(member, source.extractfile(member))


def read(paths: list[Path]) -> None:
    """Read shards to the end."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def mmc4viz(*arguments: str | Path) -> str:
    """Run a command; return what it says."""
    command = [sys.executable, "-m", "mmc4viz", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-500:]}")
    return done.stdout


def measure(options: argparse.Namespace) -> None:
    """Take all passes in turn and print the table."""
    folder: Path = options.folder
    paths = write_shards(folder, options.shards, options.documents)
    index, out, config = folder / "index", folder / "out", folder / "config.yaml"
    config.write_text(CONFIG)
    workers = ["--workers", str(options.workers)]
    mmc4viz("index", *paths, "--out", index, *workers)
    passes: dict[str, Callable[[], object]] = {"tarfile": lambda: copy_by_tarfile(paths, out)}
    said: dict[str, str] = {}
    for name, flags in CHOICES.items():

        def rewrite(name: str = name, flags: list[str] = flags) -> None:
            arguments = ["--index", index, "--config", config, "--out", out, *workers, *flags]
            said[name] = mmc4viz("apply", *arguments)

        passes[name] = rewrite
    best: dict[str, float] = {}
    for _ in range(options.rounds):
        for name, take in passes.items():
            shutil.rmtree(out, ignore_errors=True)
            os.sync()
            read(paths)
            time.sleep(options.pause)
            began = time.perf_counter()
            take()
            best[name] = min(best.get(name, float("inf")), time.perf_counter() - began)
    shutil.rmtree(out, ignore_errors=True)
    gigabytes = sum(path.stat().st_size for path in paths) / 1e9
    n_documents = options.shards * options.documents
    print(f"{gigabytes:.2f} GB, {n_documents} documents, {options.shards} shards", end=", ")
    print(f"{options.workers} workers, best of {options.rounds} rounds")
    print(f"{'':20}{'seconds':>9}{'MB/s':>8}{'ratio':>8}{'rewritten':>11}")
    for name, seconds in best.items():
        changed = [line.split()[-1] for line in said.get(name, "").splitlines() if "rewrit" in line]
        ratio = best["tarfile"] / seconds
        row = f"{name:20}{seconds:9.2f}{gigabytes * 1e3 / seconds:8.0f}{ratio:8.2f}"
        print(f"{row}{changed[0] if changed else '':>11}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--documents", type=int, default=150, help="in each shard")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds before each pass")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
