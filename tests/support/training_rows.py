"""What an export must hold of a shard: a simple, slow reference by the walk."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmc4viz import Document, LoaderConfig, Shard, load_tokenizer, parse_document, samples, walk
from mmc4viz.loader.profile import profile_of
from mmc4viz.types import PairStatus

TOKENIZER = load_tokenizer()


@dataclass(frozen=True)
class ExpectedRow:
    """A document that the settings keep; ``sequence`` holds image bytes and texts in order."""

    shard: str
    key: str
    probability: float
    sequence: tuple[bytes | str, ...]

    @property
    def images(self) -> list[bytes]:
        return [part for part in self.sequence if isinstance(part, bytes)]


Own = Callable[[Document, LoaderConfig], LoaderConfig]


@dataclass(frozen=True)
class KeptDocument:
    """A document that the settings keep; pairs are (image, sentence)."""

    key: str
    raw: bytes
    probability: float
    pairs: list[tuple[int, int]]


def kept_documents(
    path: Path, config: LoaderConfig, own: Own = lambda _, config: config
) -> list[KeptDocument]:
    """Walk a tar, in its order; ``own`` gives a document's own settings."""
    found = []
    for sample in samples(Shard(str(path))):
        document = parse_document(sample.key, sample.raw)
        verdict = walk(document, own(document, config), TOKENIZER)
        if verdict.keep_probability == 0 or profile_of(config).page_of(document).is_gpt:
            continue
        kept = [(p.image, p.sentence) for p in verdict.pairs if p.status is PairStatus.KEPT]
        found.append(KeptDocument(sample.key, sample.raw or b"", verdict.keep_probability, kept))
    return found


def expected_rows(
    path: Path, config: LoaderConfig, own: Own = lambda _, config: config
) -> list[ExpectedRow]:
    """Return the rows of a tar, in its order; ``own`` gives a document's own settings."""
    return [
        ExpectedRow(
            path.name, one.key, one.probability, tuple(_sequence(json.loads(one.raw), one.pairs))
        )
        for one in kept_documents(path, config, own)
    ]


def _sequence(info: dict[str, Any], kept: list[tuple[int, int]]) -> list[bytes | str]:
    """Go through the sentences: before each its images; runs of sentences become one text.

    An image that belongs to the first of no sentences stands alone.
    """
    sequence: list[bytes | str] = []
    run: list[str] = []
    for number, sentence in enumerate([*info["text_list"]] or [""]):
        images = [image for image, its in kept if its == number]
        if images:
            sequence += [" ".join(run)] * bool(" ".join(run))
            run = []
            entries = [info["image_info"][image] for image in images]
            sequence += [base64.b64decode(entry["image_base64"]) for entry in entries]
        run.append(str(sentence))
    return [*sequence, *[" ".join(run)] * bool(" ".join(run))]
