"""Times writing manifests and ids of an index; prints a table.

    python benchmarks/manifest.py INDEX

Each form is written by a process of its own, from the index to the closed file, so that opening,
matching and memory count.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FORMS = {
    "documents, Parquet": ["--manifest", "m.parquet", "--rows", "documents"],
    "pairs, Parquet": ["--manifest", "m.parquet", "--rows", "pairs"],
    "documents, JSON lines": ["--manifest", "m.jsonl", "--rows", "documents"],
    "pairs, JSON lines": ["--manifest", "m.jsonl", "--rows", "pairs"],
    "ids": ["--ids", "ids.npy"],
    "documents, Parquet, ids, config": [
        *("--manifest", "m.parquet", "--ids", "ids.npy", "--out", "c.yaml"),
    ],
}  # fmt: skip


def main() -> None:
    """Write each form once."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("index", type=Path)
    index = parser.parse_args().index.resolve()
    print(f"{'what':<34} {'seconds':>8} {'MB':>8} {'peak MB so far':>15}")
    for name, options in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "mmc4viz", "export", "--index", str(index), *options]
            start = time.perf_counter()
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
            size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
        print(f"{name:<34} {seconds:>8.1f} {size:>8.1f} {peak:>15,.0f}")


if __name__ == "__main__":
    main()
