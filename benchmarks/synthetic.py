"""Synthetic columns of any number of documents, drawn in vectorised chunks, to measure sweeps on.

On average 5.6 images, of which 5 are valid, and 25 sentences of 20 tokens a document; similarity
is normal around 0.20, each image's true sentence stands out. Run as a script, it writes an index
that `mmc4viz` opens. There are no shards behind it, so nothing can be fetched from them, unless
they are asked for: then `bodies` makes them, and writes the documents that are to be opened.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import bodies
from mmc4viz.arrays import Ints
from mmc4viz.data.columns import IMAGE, Columns, ImageCheck, Kind, schema, write_payload
from mmc4viz.data.index import Origin, digest, write_file
from mmc4viz.data.shards import Shard
from mmc4viz.data.storage import fingerprint
from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer

A_SHARD = 4400  # documents, as in MMC4
MOST_IMAGES = 20
WORDS = [
    "a",
    "the",
    "sea",
    "boat",
    "harbour",
    "quiet",
    "morning",
    "paints",
    "old",
    "stone",
    "water",
    "light",
    "under",
    "moved",
    "1906",
]


@dataclass(frozen=True)
class Recipe:
    """What the documents are like.

    Attributes
    ----------
    sentences : int
        Mean number of sentences.
    literal : float
        Share of documents that the literal walk answers: a sentence begins with a space.
    unreadable : float
        Share of documents lost before any setting has a say.
    bad_pixels : float
        Share of images that do not decode.
    lengthened : int
        How many times as long as usual the sentences are.
    """

    sentences: int = 25
    literal: float = 0.0
    unreadable: float = 0.0
    bad_pixels: float = 0.0005
    lengthened: int = 1


def shards(
    n_documents: int, recipe: Recipe | None = None, seed: int = 0
) -> Iterator[tuple[Shard, pa.RecordBatch]]:
    """Draw a corpus, a shard at a time; the same seed gives the same corpus."""
    for position, start in enumerate(range(0, n_documents, A_SHARD)):
        rng = np.random.default_rng([seed, position])
        size = min(A_SHARD, n_documents - start)
        batch = _batch(rng, size, recipe or Recipe())
        yield Shard(f"synthetic-{position:06d}.tar", position), batch


def corpus(n_documents: int, recipe: Recipe | None = None, seed: int = 0) -> list[Columns]:
    """Draw a corpus into memory."""
    tokenizer = load_tokenizer()
    return [Columns(shard, batch, tokenizer) for shard, batch in shards(n_documents, recipe, seed)]


def write_index(
    folder: Path,
    n_documents: int,
    recipe: Recipe | None = None,
    seed: int = 0,
    shards_in: Path | None = None,
) -> None:
    """Write a corpus as an index; files of an earlier run are overwritten.

    With ``shards_in``, its shards are made there, with room for every document.
    """
    tokenizer = load_tokenizer()
    for shard, batch in shards(n_documents, recipe, seed):
        print_of = "synthetic"
        if shards_in is not None:
            path = shards_in / shard.path
            shard = Shard(str(path.resolve()), shard.position)
            batch = bodies.with_room(batch, Columns(shard, batch, tokenizer))
            bodies.make_file(path, batch)
            print_of = fingerprint(shard.path)
        origin = _origin(shard, tokenizer, batch.num_rows, print_of)
        write_file(Columns(shard, batch, tokenizer), origin, str(folder), folder / "partial")
    (folder / "partial").rmdir()


def _origin(shard: Shard, tokenizer: Tokenizer, n_documents: int, print_of: str) -> Origin:
    made_of = (os.path.abspath(shard.path), shard.position, print_of)
    return Origin(*made_of, tokenizer.name, digest(tokenizer), "full", documents=n_documents)


def _batch(rng: np.random.Generator, n: int, recipe: Recipe) -> pa.RecordBatch:
    """Draw one shard of n documents."""
    kind = rng.choice(
        np.array([Kind.PLAIN, Kind.LITERAL, Kind.UNREADABLE], np.uint8),
        n,
        p=[1 - recipe.literal - recipe.unreadable, recipe.literal, recipe.unreadable],
    )
    n_images = np.minimum(rng.geometric(0.17, n), MOST_IMAGES)
    n_sentences = 1 + rng.poisson(rng.gamma(4, (recipe.sentences - 1) / 4, n))
    counted = np.where(kind == Kind.PLAIN, n_sentences, 0)
    similarity, sentence, score = _similarity(rng, n_images, n_sentences)
    sizes = np.where(kind == Kind.PLAIN, n_images * n_sentences, 0)
    plain = np.repeat(kind == Kind.PLAIN, n_images * n_sentences)
    rest = np.maximum(1, rng.normal(20, 8, int(counted.sum()))).astype(np.int32)
    rest *= recipe.lengthened
    first = rest + (rng.random(len(rest)) < 0.1)
    heads = np.append(rest, 0)[np.minimum(_starts(counted)[:-1], len(rest))]
    details = [None if one != Kind.UNREADABLE else "no valid JSON" for one in kind]
    columns: dict[str, Any] = {
        "key": [f"{i:06d}" for i in range(n)],
        "url": pa.repeat(pa.scalar("http://example.org/page"), n),
        "offset": np.arange(n) * 512,
        "size": np.full(n, 512),
        "kind": kind,
        "detail": pa.array(details, pa.string()),
        "images": _lists(_images(rng, recipe, sentence, score), n_images),
        "first": _lists(pa.array(first.astype(np.int32)), counted),
        "rest": _lists(pa.array(rest), counted),
        "head": pa.array(heads.astype(np.int32)),
        "n_sentences": pa.array(counted.astype(np.int32)),
        "similarity": _lists(pa.array(similarity[plain]), sizes),
        "payload": pa.array(
            _payloads(rng, kind, n_images, n_sentences, similarity), pa.large_binary()
        ),
    }
    layout = schema(pa.float32())
    arrays = [pa.array(values) if isinstance(values, (list, np.ndarray)) else values
              for values in columns.values()]  # fmt: skip
    return pa.RecordBatch.from_arrays(arrays, schema=layout)


def _starts(lengths: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(lengths)])


def _lists(values: pa.Array, lengths: Ints) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(_starts(lengths).astype(np.int32)), values)


def _similarity(
    rng: np.random.Generator, n_images: Ints, n_sentences: Ints
) -> tuple[NDArray[np.float32], Ints, NDArray[np.float64]]:
    """Draw matrices, and return each image's true sentence with its score."""
    sizes = n_images * n_sentences
    values = rng.standard_normal(int(sizes.sum()), np.float32) * np.float32(0.04)
    values += np.float32(0.2)
    width = np.repeat(n_sentences, n_images)
    rank = np.arange(len(width)) - np.repeat(_starts(n_images)[:-1], n_images)
    # Images stand near the sentence that they show, in rough page order.
    wanted = (rank + 0.5) / np.repeat(n_images, n_images) + rng.normal(0, 0.15, len(width))
    sentence = np.clip(wanted * width, 0, width - 1).astype(np.int64)
    at = _starts(width)[:-1] + sentence
    values[at] += rng.gamma(3, 0.02, len(at)).astype(np.float32)
    return values, sentence, values[at].astype(np.float64)


def _images(
    rng: np.random.Generator, recipe: Recipe, sentence: Ints, score: NDArray[np.float64]
) -> pa.Array:
    """Draw images; five in a hundred are missing, eight are around or under the size limit."""
    n = len(sentence)
    n_bytes = rng.lognormal(np.log(60_000), 0.6, n).astype(np.int64)
    near = rng.random(n) < 0.08
    n_bytes[near] = rng.integers(2_000, 13_000, int(near.sum()))
    shares = [0.05, 0.95 - recipe.bad_pixels, recipe.bad_pixels]
    kinds = np.array([ImageCheck.MISSING, ImageCheck.VALID, ImageCheck.BAD_PIXELS], np.uint8)
    status = rng.choice(kinds, n, p=shares)
    n_bytes[status == ImageCheck.MISSING] = -1
    fields = {
        "n_bytes": pa.array(n_bytes),
        "status": pa.array(status),
        "width": pa.array(rng.integers(100, 1000, n).astype(np.int32)),
        "height": pa.array(rng.integers(100, 1000, n).astype(np.int32)),
        "format": pa.repeat(pa.scalar("JPEG"), n),
        "url": pa.repeat(pa.scalar("http://example.org/image.jpg"), n),
        "error": pa.array(np.where(status == ImageCheck.BAD_PIXELS, "damaged", None), pa.string()),
        "stored_sentence": pa.array(sentence),
        "stored_score": pa.array(score),
        "faces": pa.repeat(pa.scalar(-1, pa.int32()), n),
        "digest": pa.array(np.where(n_bytes < 0, 0, rng.integers(1, 2**63, n)).astype(np.uint64)),
    }
    return pa.StructArray.from_arrays(list(fields.values()), fields=list(IMAGE))


def _payloads(
    rng: np.random.Generator,
    kind: NDArray[np.uint8],
    n_images: Ints,
    n_sentences: Ints,
    similarity: NDArray[np.float32],
) -> list[bytes | None]:
    """Write what the literal walk needs of the documents that are answered by it."""
    starts = _starts(n_images * n_sentences)
    payloads: list[bytes | None] = [None] * len(kind)
    for row in np.flatnonzero(kind == Kind.LITERAL).tolist():
        matrix = similarity[starts[row] : starts[row + 1]].reshape(-1, n_sentences[row])
        sentences = [" ".join(rng.choice(WORDS, 16)) + "." for _ in range(n_sentences[row])]
        sentences[int(rng.integers(len(sentences)))] = " begins with a space."
        fields = {
            "sentences": sentences,
            "similarity": matrix.astype(np.float64).tolist(),
            "stored": [[None, None]] * len(matrix),
            "is_gpt": False,
            "example": None,
        }
        payloads[row] = write_payload(fields)
    return payloads


def main() -> None:
    """Write an index of synthetic documents."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--sentences", type=int, default=Recipe.sentences)
    parser.add_argument("--literal", type=float, default=0.0)
    parser.add_argument("--unreadable", type=float, default=0.0)
    asked = parser.parse_args()
    recipe = Recipe(asked.sentences, asked.literal, asked.unreadable)
    asked.folder.mkdir(parents=True, exist_ok=True)
    write_index(asked.folder, asked.documents, recipe)


if __name__ == "__main__":
    main()
