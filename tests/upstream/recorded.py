"""What the original loader did to two corpora, recorded by `record_upstream.py`."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import nasty, real

GENERATED = real.DATA / "generated.tar.xz"
N_GENERATED, SEED = 1500, 2026
SETTINGS: tuple[dict[str, Any], ...] = (
    {"threshold": 0.24},
    {"threshold": 0.3, "max_images": 2},
    {"threshold": 0.2, "max_images": 3, "min_images": 2, "max_tokens": 64},
    {"threshold": 0.28, "max_tokens": 1024, "max_images": 20},
)


@dataclass(frozen=True)
class Recorded:
    """A corpus with what the original loader did to it.

    Attributes
    ----------
    upstream : Path
        A compressed line a document: its key, its matched pairs, and for each of `SETTINGS` what
        `verdict` keeps of the oracle's record.
    shard : callable
        Writes the corpus into a folder as a shard.
    """

    upstream: Path
    shard: Callable[[Path], Path]

    def records(self, number: int) -> list[dict[str, Any]]:
        """Return the oracle's records under one of the settings, token ids as a digest."""
        found = []
        for line in map(json.loads, lzma.decompress(self.upstream.read_bytes()).splitlines()):
            status, n_kept, *rest = line["verdicts"][number]
            record = {"key": line["key"], "status": status, "n_kept": n_kept}
            if line["pairs"] is not None:
                record["pairs"] = line["pairs"]
            if rest:
                record["n_image_tokens"], record["n_tensor_images"], ids = rest
                record["ids"] = [ids]
            found.append(record)
        return found

    def write(self, runs: list[list[dict[str, Any]]]) -> None:
        """Keep the oracle's records of every setting."""
        lines = []
        for records in zip(*runs, strict=True):
            pairs = next((record["pairs"] for record in records if "pairs" in record), None)
            verdicts = [verdict(record) for record in records]
            lines.append(
                json.dumps({"key": records[0]["key"], "pairs": pairs, "verdicts": verdicts})
            )
        self.upstream.write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))


def verdict(record: dict[str, Any]) -> list[Any]:
    """Return what is kept of the oracle's record."""
    found = [record["status"], record.get("n_kept", 0)]
    if record["status"] == "ok":
        found += [record["n_image_tokens"], record["n_tensor_images"], digest(record["ids"])]
    return found


def digest(ids: list[int]) -> str:
    """Return a digest of token ids."""
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


def draw() -> None:
    """Draw the generated corpus anew."""
    path = GENERATED.with_suffix("")
    nasty.write_tar(path, nasty.documents(seed=SEED, n=N_GENERATED))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    GENERATED.write_bytes(lzma.compress(path.read_bytes(), filters=filters))
    path.unlink()


def _unpacked(folder: Path) -> Path:
    path = folder / GENERATED.stem
    path.write_bytes(lzma.decompress(GENERATED.read_bytes()))
    return path


CORPORA = {
    "real": Recorded(real.DATA / "mmc4_core_ff_107_upstream.jsonl.xz", real.shard),
    "generated": Recorded(real.DATA / "generated_upstream.jsonl.xz", _unpacked),
}
