"""What a loader that draws at random made of the same few documents, many times over.

`compare_loaders.py record` counts how often the original drew each outcome, for `test_drawn.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmc4viz.loader.draws import sequence_of_draw
from mmc4viz.loader.profile import LoaderProfile
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.loader.walk import draws_of
from mmc4viz.types import Document, LoaderConfig
from tests.support.documents import entry, info, jpeg, write_tar
from tests.support.real import DATA
from tests.upstream.recorded import digest

COPIES = 1000
SETTINGS: dict[str, Any] = {"max_images": 2, "min_images": 1}
DROPPED = "dropped"
_STORED = {
    "three": [2, 0, 1],
    "seven": [0, 1, 2, 3, 0, 1, 2],
    "tied": [1, 1, 1, 1],
    "out_of_range": [0, 9, 1],
    "from_the_end": [-1, 1, -2],
}
Counts = dict[str, dict[str, int]]


def pages() -> Iterator[tuple[str, bytes]]:
    """Yield the documents, by key."""
    sentences = ["A boat.", " The sea. ", "x <|beginofimage|> y", "The end"]
    for key, stored in _STORED.items():
        images = [
            entry(jpeg(), image_name=f"{n}.jpg", matched_text_index=at, matched_sim=0.3)
            for n, at in enumerate(stored)
        ]
        matrix = [[0.3] * len(sentences) for _ in stored]
        yield key, json.dumps(info(matrix, sentences, images)).encode()


def shard(folder: Path) -> Path:
    """Write every document many times."""
    copies = ((f"{key}-{number:04}", raw) for key, raw in pages() for number in range(COPIES))
    return write_tar(folder / "drawn.tar", copies)


def counted(records: Iterable[dict[str, Any]]) -> Counts:
    """Count the original's outcomes of each document."""
    found: dict[str, Counter[str]] = {}
    for record in records:
        outcome = DROPPED
        if record["outcome"] == "kept":
            outcome = _name(record["images"], record["ids"])
        found.setdefault(record["key"].rpartition("-")[0], Counter())[outcome] += 1
    return {key: dict(counts) for key, counts in found.items()}


def chances(document: Document, config: LoaderConfig, profile: LoaderProfile) -> dict[str, float]:
    """Return the probability of each outcome of a document of several images, by the walk."""
    tokenizer, draws = profile.tokenizer(load_tokenizer("gpt2")), draws_of(document, config)
    assert draws is not None
    found = Counter({DROPPED: 1 - draws.readable} if draws.readable < 1 else {})
    for draw in draws:
        sequence = sequence_of_draw(document, draw, tokenizer, profile)
        images = [match.row for match in draw.matches]
        found[_name(images, sequence.ids)] += draws.readable * draws.probability(draw)
    return {name: float(chance) for name, chance in found.items()}


def _name(images: Iterable[int], ids: Iterable[int]) -> str:
    """Name an outcome by what is trained on: the sides of an empty sentence make no difference."""
    return f"{' '.join(map(str, images))}: {digest(list(ids))}"


def recording(name: str) -> Path:
    """Return the file of the counts of a loader."""
    return DATA / "loaders" / f"{name}-draws.json"


def recorded(name: str) -> Counts:
    """Return the counts of a loader."""
    found: Counts = json.loads(recording(name).read_text())
    return found
