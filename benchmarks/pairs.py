"""Times the curves of two score columns of a generated table; prints a table.

    python -m benchmarks.pairs [--rows 100000000] [--files 16] [--folder DIR]

Each is a process of its own, from the files to all curves: of both scores, of both together and of
their sum. Files are dropped from the page cache before each. The same histogram in pandas and in
DuckDB (``pip install duckdb``; left out without) is by ``floor``, so not exact at the steps.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ONE, OTHER = "clip_b32_similarity_score", "clip_l14_similarity_score"
GROUP = 1 << 20
MMC4VIZ = """
import sys
from mmc4viz.cli import main
main(["curve", sys.argv[1], "--sum", "l14", "--thresholds", "0.5"])
"""
INDEX = """
import sys, tempfile
from mmc4viz.cli import main
with tempfile.TemporaryDirectory() as out:
    main(["index", sys.argv[1], "--out", out, "--workers", "2"])
"""
PANDAS = f"""
import sys, glob
import numpy as np, pandas as pd
joint = np.zeros((2001, 2001), np.int64); sums = np.zeros(4001, np.int64)
for path in glob.glob(sys.argv[1] + "/*.parquet"):
    frame = pd.read_parquet(path, columns=["{ONE}", "{OTHER}"]).astype("float64")
    steps = np.floor(frame * 1000).clip(-1000, 1000).astype("int64") + 1000
    counts = steps.value_counts()
    joint[counts.index.get_level_values(0), counts.index.get_level_values(1)] += counts.to_numpy()
    counts = (np.floor(frame.sum(axis=1) * 1000).astype("int64") + 2000).value_counts()
    sums[counts.index] += counts.to_numpy()
print(joint.sum(), sums.sum())
"""
DUCKDB = f"""
import sys, duckdb
duckdb.execute("SET threads = 2")
for by in ('floor("{ONE}"::DOUBLE * 1000)::INT, floor("{OTHER}"::DOUBLE * 1000)::INT',
           'floor(("{ONE}"::DOUBLE + "{OTHER}"::DOUBLE) * 1000)::INT'):
    n = 2 if by.count("INT") == 2 else 1
    keys = ", ".join(str(k + 1) for k in range(n))
    print(len(duckdb.sql(f"SELECT {{by}}, count(*) FROM '{{sys.argv[1]}}/*.parquet' GROUP BY {{keys}}").fetchall()))
"""  # noqa: E501
WAYS = {"mmc4viz curve": MMC4VIZ, "mmc4viz index": INDEX, "pandas": PANDAS, "DuckDB": DUCKDB}


def generate(folder: Path, rows: int, files: int) -> None:
    """Write a table in DataComp's columns, as far as they are read, in single precision."""
    rng = np.random.default_rng(0)
    for n in range(files):
        size = rows // files
        path = folder / f"{n:03}.parquet"
        fixed = {"uid": "0" * 32, "url": "https://example.org/1.jpg", "text": "a photo"}
        schema = [*((name, pa.dictionary(pa.int8(), pa.string())) for name in fixed),
                  (ONE, pa.float32()), (OTHER, pa.float32())]  # fmt: skip
        with pq.ParquetWriter(path, pa.schema(schema)) as writer:
            for at in range(0, size, GROUP):
                here = min(GROUP, size - at)
                codes = pa.array(np.zeros(here, np.int8))
                texts = [
                    pa.DictionaryArray.from_arrays(codes, pa.array([v])) for v in fixed.values()
                ]
                first = rng.normal(0.25, 0.06, here)
                second = 0.5 * first + rng.normal(0.09, 0.05, here)
                scores = [pa.array(one.astype(np.float32)) for one in (first, second)]
                writer.write_table(pa.Table.from_arrays([*texts, *scores], schema=writer.schema))


def forget(folder: Path) -> None:
    """Drop files from the page cache."""
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def watched(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Wait for a process; return peak MB and CPU seconds, of it and its children together."""
    most, seconds = 0.0, dict[int, float]()
    tick = os.sysconf("SC_CLK_TCK")
    page = os.sysconf("SC_PAGE_SIZE")
    while process.poll() is None:
        found = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = entry.read_text().rpartition(")")[2].split()
                ran = (int(fields[11]) + int(fields[12])) / tick
                found[int(entry.parent.name)] = int(fields[1]), ran, int(fields[21]) * page / 1e6
        family = {process.pid}
        for _ in range(4):  # generations
            family |= {pid for pid, (parent, _, _) in found.items() if parent in family}
        most = max(most, sum(found[pid][2] for pid in family if pid in found))
        seconds |= {pid: found[pid][1] for pid in family if pid in found}
        time.sleep(0.2)
    return most, sum(seconds.values())


def main() -> None:
    """Generate the table if it is not there, and time each way once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", choices=list(WAYS), action="append")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = a.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            generate(folder, a.rows, a.files)
        rows = sum(pq.read_metadata(path).num_rows for path in folder.iterdir())
        print(f"{'what':<14} {'seconds':>8} {'million rows/s':>15} {'CPU s':>7} {'peak MB':>8}")
        for name in a.only or WAYS:
            if name == "DuckDB" and importlib.util.find_spec("duckdb") is None:
                continue
            forget(folder)
            start = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-c", WAYS[name], str(folder)], stdout=subprocess.DEVNULL
            )
            peak, cpu = watched(process)
            seconds = time.perf_counter() - start
            if process.returncode:
                raise SystemExit(f"{name} failed")
            speed = rows / seconds / 1e6
            print(f"{name:<14} {seconds:>8.1f} {speed:>15.1f} {cpu:>7.1f} {peak:>8,.0f}")


if __name__ == "__main__":
    main()
