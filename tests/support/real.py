"""107 real MMC4 documents (tests/recordings) with placeholder images, as a shard."""

from __future__ import annotations

import base64
import json
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.documents import jpeg, write_tar

DATA = Path(__file__).parents[1] / "recordings"
DOCUMENTS = DATA / "mmc4_core_ff_107.jsonl"


def documents() -> list[tuple[str, dict[str, Any]]]:
    """Return the documents by key, as OpenFlamingo's converter would write them.

    Of ten images one is missing and one too small, as some are gone from the web.
    """
    found, numbers = [], count()
    large, small = (base64.b64encode(jpeg(size)).decode() for size in (11_000, 10_999))
    for line in DOCUMENTS.read_text().splitlines():
        document = json.loads(line)
        for image in document["image_info"]:
            digit = next(numbers) % 10
            if digit != 3:
                image["image_base64"] = small if digit == 7 else large
        found.append((f"real-{len(found):03}", document))
    return found


def shard(folder: Path) -> Path:
    """Write them as a shard."""
    return write_tar(folder / "real.tar", documents())
