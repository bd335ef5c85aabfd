"""Generated tables of image–text pairs in the columns of real ones, with scores at grid points.

    python tests/support/pairs.py DATACOMP

Runs the filter of a clone of mlfoundations/datacomp (MIT) on the generated pool, and records the
SHA-256 of the lists of uids that it writes in ``tests/recordings/datacomp.json``. Its filters by
CLIP score use neither of the packages that are replaced by empty ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RECORDED = Path(__file__).parents[1] / "recordings" / "datacomp.json"
POOL = 100_000
FILES = 5
THRESHOLDS = (0.2, 0.243, 0.25, 0.281, 0.3)
FRACTIONS = (0.05, 0.2, 0.3, 0.5, 0.9)


def scores(rng: np.random.Generator, rows: int, mean: float) -> np.ndarray:
    """Return cosines of which some are decimals, and so are equal to thresholds."""
    found = rng.normal(mean, 0.06, rows)
    return np.where(rng.random(rows) < 0.3, found.round(3), found)


def datacomp(rows: int = POOL, seed: int = 0, kind: str = "float32") -> pa.Table:
    """Return a pool in the columns of DataComp's metadata."""
    rng = np.random.default_rng(seed)
    halves = rng.integers(0, 2**64, (rows, 2), np.uint64)
    text = [f"a photo, number {n}" for n in range(rows)]
    return pa.table(
        {
            "uid": [f"{high:016x}{low:016x}" for high, low in halves.tolist()],
            "url": [f"https://example.org/{n}.jpg" for n in range(rows)],
            "text": text,
            "original_width": rng.integers(50, 2000, rows),
            "original_height": rng.integers(50, 2000, rows),
            "clip_b32_similarity_score": scores(rng, rows, 0.25).astype(kind),
            "clip_l14_similarity_score": scores(rng, rows, 0.21).astype(kind),
            "face_bboxes": pa.array([[]] * rows, pa.list_(pa.list_(pa.float64()))),
            "sha256": [hashlib.sha256(one.encode()).hexdigest() for one in text],
        }
    )


def laion(rows: int, seed: int = 0) -> pa.Table:
    """Return rows in the columns of LAION-400M, one of them with an impossible similarity."""
    rng = np.random.default_rng(seed)
    similarity = scores(rng, rows, 0.33)
    similarity[rows // 2] = 6016.0
    return pa.table(
        {
            "SAMPLE_ID": rng.integers(0, 2**62, rows),
            "URL": [f"https://example.org/{n}.jpg" for n in range(rows)],
            "TEXT": [f"number {n}" for n in range(rows)],
            "HEIGHT": rng.integers(50, 2000, rows).astype(np.int32),
            "WIDTH": rng.integers(50, 2000, rows).astype(np.int32),
            "LICENSE": ["?"] * rows,
            "NSFW": np.where(rng.random(rows) < 0.9, "UNLIKELY", "NSFW"),
            "similarity": similarity,
        }
    )


def coyo(rows: int, seed: int = 0) -> pa.Table:
    """Return rows in the columns of COYO-700M, whose scores have half precision."""
    rng = np.random.default_rng(seed)
    half = [scores(rng, rows, mean).astype(np.float16).astype(np.float32) for mean in (0.25, 0.21)]
    return pa.table(
        {
            "id": np.arange(rows) + 4_000_000_000_000,
            "url": [f"https://example.org/{n}.jpg" for n in range(rows)],
            "text": [f"number {n}" for n in range(rows)],
            "width": rng.integers(200, 2000, rows),
            "height": rng.integers(200, 2000, rows),
            "image_phash": ["9f91e133b1924e4e"] * rows,
            "num_faces": rng.integers(0, 4, rows),
            "clip_similarity_vitb32": half[0],
            "clip_similarity_vitl14": half[1],
            "watermark_score": rng.random(rows).astype(np.float32),
            "aesthetic_score_laion_v2": rng.normal(5, 1, rows).astype(np.float32),
        }
    )


def write(table: pa.Table, folder: Path, files: int = 1, group: int = 10_000) -> Path:
    """Write a table as Parquet files into a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    each = -(-len(table) // files)
    for n in range(files):
        pq.write_table(table.slice(n * each, each), folder / f"part_{n}.parquet", group)
    return folder


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every filter that is recorded: its name, and the options of DataComp's baselines."""
    for kind in ("float32", "float64"):
        for arch in ("b32", "l14"):
            for threshold in THRESHOLDS:
                yield f"{kind} {arch} {threshold}", {"threshold": threshold, "fraction": None}
            for fraction in FRACTIONS:
                yield f"{kind} {arch} top {fraction}", {"threshold": None, "fraction": fraction}


def _record() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("datacomp", type=Path)
    clone = parser.parse_args().datacomp.resolve()
    for name in ("fasttext", "gcld3", "nltk", "nltk.corpus", "torch"):
        sys.modules[name] = _Empty(name)
    sys.path.insert(0, str(clone))
    from baselines import apply_filter

    apply_filter.worker_threadpool = _one_by_one
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        pools = {
            kind: write(datacomp(kind=kind), Path(folder, kind), FILES)
            for kind in ("float32", "float64")
        }
        for name, options in cases():
            kind, arch, *_ = name.split()
            out = Path(folder, "out.npy")
            apply_filter.apply_filter(
                argparse.Namespace(
                    name="clip_score", metadata_dir=str(pools[kind]), save_path=str(out),
                    arch=arch, num_workers=1, **options,
                )
            )  # fmt: skip
            data = out.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            found[name] = {"uids": len(np.load(out)), "sha256": digest}
    commit = subprocess.run(
        ["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    facts = {"repository": "mlfoundations/datacomp", "commit": commit, "numpy": np.__version__}
    RECORDED.write_text(json.dumps({**facts, "filters": found}, indent=1) + "\n")


def _one_by_one(worker: Any, join: Any, paths: Any, workers: int) -> Any:
    """Do in this process what DataComp does in others, which lack the empty modules."""
    return join([worker(path) for path in paths])


class _Empty(ModuleType):
    """A module in which any name is a function that returns its argument."""

    __path__: list[str] = []  # noqa: RUF012 - so that it has submodules

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()


class _Anything:
    def __call__(self, *args: Any, **named: Any) -> Any:
        return args[0] if args and callable(args[0]) else self

    def __getattr__(self, name: str) -> Any:
        return _Anything()

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__


if __name__ == "__main__":
    _record()
