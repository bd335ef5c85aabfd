"""Times indexing by one worker and by two over the same shards; prints the ratio.

    python -m benchmarks.workers FOLDER [--shards 16] [--documents 150]

Start-up is left out: each of the pool's processes has indexed a shard before the clock runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import shards
from mmc4viz import expand
from mmc4viz.data.build_index import IndexTask, build, index_shard
from mmc4viz.data.columns import Verify
from mmc4viz.data.jobs import processes


def warm(job: IndexTask) -> None:
    """Load what a worker needs once, by one whole job."""
    with tempfile.TemporaryDirectory() as out:
        index_shard(replace(job, folder=out))
    time.sleep(1)  # so that every worker gets one of these jobs


def seconds(folder: Path, workers: int, verify: Verify) -> float:
    """Index all shards with warm workers."""
    with processes(workers) as pool, tempfile.TemporaryDirectory() as out:

        @contextmanager
        def same_pool() -> Iterator[Executor]:
            yield pool

        jobs = [IndexTask(shard, out, "gpt2", verify, None) for shard in expand([str(folder)])]
        list(pool.map(warm, jobs[:workers]))
        start = time.perf_counter()
        build(jobs, same_pool, lambda done: None)
        return time.perf_counter() - start


def main() -> None:
    """Write shards if there are none, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--documents", type=int, default=150)
    options = parser.parse_args()
    if not options.folder.exists():
        options.folder.mkdir(parents=True)
        shards.write_shards(options.folder, options.shards, options.documents)
    for verify in (Verify.FULL, Verify.HEADER):
        one, two = (min(seconds(options.folder, n, verify) for _ in range(2)) for n in (1, 2))
        print(f"{verify}: one worker {one:.2f} s, two {two:.2f} s, ratio {one / two:.2f}")


if __name__ == "__main__":
    main()
