"""Record what the original loader does to the real documents, for `test_real.py`.

    python tests/record_upstream.py --upstream-python PY --oracle SCRIPT --data-py FILE
        --tokenizer TOKENIZER.json

The oracle is run as by `compare_rewritten.py`, once a setting; TOKENIZER is the built-in gpt2's.
Writes a line a document: its key, the matched pairs, and for each setting the loader's own words,
its image tokens, its images, and a digest of its token ids.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from mmc4viz import LoaderConfig
from tests import real
from tests.compare_rewritten import run_original

SETTINGS: tuple[dict[str, Any], ...] = (
    {"threshold": 0.24},
    {"threshold": 0.3, "max_images": 2},
    {"threshold": 0.2, "max_images": 3, "min_images": 2, "max_tokens": 64},
    {"threshold": 0.28, "max_tokens": 1024, "max_images": 20},
)


def digest(ids: list[int]) -> str:
    """Return a digest of token ids."""
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


def verdict(record: dict[str, Any]) -> list[Any]:
    """Return what is kept of the oracle's record."""
    found = [record["status"], record.get("n_kept", 0)]
    if record["status"] == "ok":
        found += [record["n_image_tokens"], record["n_tensor_images"], digest(record["ids"])]
    return found


def main() -> None:
    """Run the original under every setting, and write what it did."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("--upstream-python", "--oracle", "--data-py", "--tokenizer"):
        parser.add_argument(name, required=True)
    a = parser.parse_args()
    a.coin = "keep"
    with tempfile.TemporaryDirectory() as folder:
        shard = real.shard(Path(folder))
        runs = [run_original(a, shard, LoaderConfig(**settings)) for settings in SETTINGS]
    with real.UPSTREAM.open("w") as out:
        for records in zip(*runs, strict=True):
            pairs = next((r["pairs"] for r in records if "pairs" in r), None)
            line = {
                "key": records[0]["key"],
                "pairs": None if pairs is None else [pair[:2] for pair in pairs],
                "verdicts": [verdict(record) for record in records],
            }
            out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
