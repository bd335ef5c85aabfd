"""How long it takes to compare two CLIP models over many documents, and in how much memory.

The second model's similarity is the first one's with noise, on another scale.

    python -m benchmarks.models [--documents N]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from benchmarks.synthetic import shards
from mmc4viz import Columns, LoaderConfig, load_tokenizer, match_corpus
from mmc4viz.data.similarity_file import put_over
from mmc4viz.thresholds.by_yield import YIELDS
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.disagreement import (
    correlation_of_entries,
    correlation_of_pairs,
    strongest,
    thresholds_of,
)
from mmc4viz.thresholds.compare.equivalent import along, match_by_yield
from mmc4viz.thresholds.model_scores import Model, check_comparable


def other(columns: Columns, seed: int) -> Columns:
    """Put another model's similarity over a shard's own."""
    rng = np.random.default_rng([seed, 1])
    own, width = columns.batch.column("similarity"), columns.batch.column("n_sentences")
    values = 2 * own.values.to_numpy() + rng.normal(0, 0.05, len(own.values)).astype(np.float32)
    similarity = pa.ListArray.from_arrays(own.offsets, pa.array(values.astype(np.float32)))
    arrays = [width, similarity, columns.batch.column("payload")]
    names = ["n_sentences", "similarity", "payload"]
    return put_over(columns, pa.RecordBatch.from_arrays(arrays, names))


@contextmanager
def timed(words: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{words:44} {time.perf_counter() - began:8.2f} s   peak {peak:6.2f} GB", flush=True)


def main() -> None:
    """Print a line a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    n, config, tokenizer = parser.parse_args().documents, LoaderConfig(), load_tokenizer()
    with timed("(drawing the documents)"):
        own = [Columns(shard, batch, tokenizer) for shard, batch in shards(n)]
        theirs = [other(columns, seed) for seed, columns in enumerate(own)]
    with timed("matching both"):
        candidates = [
            Candidate(Model(name, match_corpus(columns, config)), config)
            for name, columns in (("a", own), ("b", theirs))
        ]
    a, b = candidates
    with timed("lining them up"):
        check_comparable([a.model, b.model])
    with timed("pairs of both by score, and by image"):
        print(f"  {len(a.model.pairs):,} and {len(b.model.pairs):,} pairs")
        _ = a.model.by_image, b.model.by_image
    with timed("every yield at every score, of both"):
        _ = a.steps, b.steps
    with timed("kept documents of both"):
        _ = a.keeping, b.keeping
    with timed("one threshold, by each of four yields"):
        found = [match_by_yield(a, b, name, 0.24) for name in YIELDS]
        print("  " + ", ".join(f"{m.by} {m.second:g} {'exact' if m.exact else ''}" for m in found))
    thresholds = thresholds_of(a.model)
    with timed(f"agreement along {len(thresholds)} thresholds"):
        _ = list(along(a, b, "pairs", thresholds))
    with timed("strongest disagreements, both ways"):
        _ = strongest(a.model, b.model, 32), strongest(b.model, a.model, 32)
    with timed("rank correlation of shared pairs"):
        print(f"  {correlation_of_pairs(a.model, b.model)}")
    with timed("rank correlation of 10⁶ entries"):
        print(f"  {correlation_of_entries(a.model, b.model)}")


if __name__ == "__main__":
    main()
