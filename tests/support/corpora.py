"""A corpus of ordinary and unusual documents: two shards' columns, and the documents' walks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mmc4viz import Columns, Document, LoaderConfig, load_tokenizer, match_corpus, parse_document
from mmc4viz.data.columns import build_batch, row_of
from mmc4viz.data.shards import Shard
from mmc4viz.formats.format import Sample
from mmc4viz.loader.walk import walk
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.sweep.query import Corpus
from mmc4viz.types import Verdict
from tests.support import nasty
from tests.support.documents import entry, info, jpeg

TOKENIZER = load_tokenizer()
SETTINGS: list[dict[str, Any]] = [
    {},
    {"assignment": "argmax", "max_images": 2, "max_tokens": 64, "threshold": 0.2},
    {"assignment": "greedy", "max_images": 1, "min_kb": -1, "threshold": 0.1},
    {"assignment": "stored", "max_tokens": 30, "min_kb": 0, "threshold": -1.0},
    {"max_images": 3, "min_images": 2, "threshold": 0.25},
]


@dataclass(frozen=True)
class Odd:
    """The corpus under some settings, with the walk's verdict on each document."""

    documents: list[Document]
    corpus: Corpus
    walks: list[Verdict]


def _shard(documents: list[Document], name: str) -> Columns:
    rows = [row_of(document, Sample(document.key, b""), TOKENIZER) for document in documents]
    return Columns(Shard(name), build_batch(rows), TOKENIZER)


@cache
def documents() -> list[Document]:
    """Parse odd documents, and some that have a long page with many images."""
    odd = [parse_document(key, raw) for key, raw in nasty.documents(seed=11, n=900)]
    return odd + [parse_document(f"long-{n}", _long(n)) for n in range(12)]


def _long(n: int) -> bytes:
    """Write a document of nine images, whose best stand last, and of a size in the band."""
    rng = np.random.default_rng(n)
    matrix = (0.15 + 0.1 * rng.random((9, 11)) + 0.02 * np.arange(9)[:, None]).tolist()
    images = [
        entry(jpeg(10_500 + 300 * (i % 3)), matched_text_index=i, matched_sim=matrix[i][i])
        for i in range(9)
    ]
    images[0]["matched_sim"] += 0.5 if n % 2 else 0
    sentences = [f"Sentence {i} of a page with many words." for i in range(11)]
    return json.dumps(info(matrix, sentences, images)).encode()


@cache
def _columns() -> tuple[Columns, ...]:
    everything = documents()
    return _shard(everything[:400], "one.tar"), _shard(everything[400:], "two.tar")


def odd(settings: dict[str, Any]) -> Odd:
    """Match the corpus under some settings, and walk each document; once in a process."""
    return _odd(LoaderConfig(**settings))


@cache
def _odd(config: LoaderConfig) -> Odd:
    matched = match_corpus(_columns(), config)
    corpus = Corpus(matched, config, verdicts(matched, config), pairs_of(matched))
    return Odd(documents(), corpus, [walk(one, config, TOKENIZER) for one in documents()])
