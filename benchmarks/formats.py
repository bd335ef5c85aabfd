"""How fast a Parquet file in the shape of OBELICS becomes columns, against MMC4's tar.

    python benchmarks/formats.py [--documents 1000] [--rounds 3] [--unit paragraph] [--index]

Both hold the same documents with the same images, those of MMC4's in base64. The passes take turns
in one process on one core; the best of the rounds counts. Images are only opened (``--verify
header``). ``ratio`` is documents a second against the tar's. Each pass cuts its texts anew. With
``--index``, ``mmc4viz index`` as a whole is measured, start and writing included, by the clock.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.shards import write_shards  # noqa: E402
from mmc4viz import Shard, Verify, load_tokenizer, read_columns, samples  # noqa: E402
from mmc4viz.formats import sentences  # noqa: E402
from mmc4viz.formats.sentences import TextUnit  # noqa: E402
from mmc4viz.loader.skim import decoded, image_number, skim  # noqa: E402

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
SCHEMA = pa.schema(
    {
        "images": pa.list_(IMAGE),
        "texts": pa.list_(pa.string()),
        "metadata": pa.string(),
        "general_metadata": pa.string(),
    }
)


def row_of(raw: bytes) -> dict[str, Any]:
    """Return a document in the shape of OBELICS; sentences between two images are one text."""
    found = skim(raw, decoded)
    info, images = found if found is not None else (json.loads(raw), [])
    before: dict[int, list[bytes]] = {}
    for entry in info["image_info"]:
        number = image_number(entry)
        if number is not None:
            before.setdefault(entry.get("matched_text_index", 0), []).append(images[number])
    places: list[tuple[str | None, dict[str, Any] | None]] = []
    for sentence, text in enumerate(info["text_list"]):
        places += [(None, {"bytes": data, "path": None}) for data in before.get(sentence, ())]
        if places and places[-1][0] is not None:
            places[-1] = f"{places[-1][0]} {text}", None
        else:
            places.append((text, None))
    return {
        "texts": [text for text, _ in places],
        "images": [image for _, image in places],
        "metadata": json.dumps([image and {"src": "https://example.org/"} for _, image in places]),
        "general_metadata": json.dumps({"url": info.get("url", "")}),
    }


def columns_seconds(path: Path, unit: TextUnit, count: int) -> float:
    """Return the CPU seconds in which a file becomes columns."""
    tokenizer = load_tokenizer()
    sentences._ends.cache_clear()
    began = time.process_time()
    columns = read_columns(Shard(str(path), unit=unit), tokenizer, verify=Verify.HEADER)
    assert (columns.error, len(columns)) == (None, count)
    return time.process_time() - began


def index_seconds(path: Path, unit: TextUnit, count: int) -> float:
    """Return the seconds that ``mmc4viz index`` takes for a file, with a worker."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mmc4viz", "index", str(path), "--out", f"{folder}/index"]
        options = ["--unit", unit, "--verify", "header", "--workers", "1"]
        began = time.perf_counter()
        done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        assert f" {count} " in done.stdout, done.stdout
        return seconds


def main() -> None:
    """Write both files and measure them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--unit", choices=[*TextUnit], default=TextUnit.SENTENCE)
    parser.add_argument("--index", action="store_true")
    options = parser.parse_args()
    seconds_of = index_seconds if options.index else columns_seconds
    with tempfile.TemporaryDirectory() as folder:
        [tar] = write_shards(Path(folder), 1, options.documents)
        parquet = Path(folder) / "0.parquet"
        rows = [row_of(sample.raw) for sample in samples(Shard(str(tar))) if sample.raw]
        pq.write_table(
            pa.Table.from_pylist(rows, SCHEMA), parquet, row_group_size=100, use_dictionary=False
        )
        best = {path: float("inf") for path in (Path(tar), parquet)}
        for _ in range(options.rounds):
            for path in best:
                best[path] = min(best[path], seconds_of(path, TextUnit(options.unit), len(rows)))
        base = best[Path(tar)]
        for path, seconds in best.items():
            size = path.stat().st_size / 1e6
            print(
                f"{path.name:12} {size:7.0f} MB {seconds:6.2f} s {size / seconds:6.0f} MB/s "
                f"{len(rows) / seconds:6.0f} documents/s, ratio {base / seconds:.2f}"
            )


if __name__ == "__main__":
    main()
