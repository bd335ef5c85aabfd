"""Shards of ordinary size to measure on: photo-like JPEGs, sentences and a similarity matrix.

On average 5.6 images of 20-150 KB and 25 sentences of about 20 words a document. The images come
from a pool made once: smooth random fields, edges and sensor noise, so that their pixels are as
hard to decode as a photograph's. Run as a script, it writes shards into a folder. Nothing here is
malformed: that is the affair of ``tests/support/nasty.py``.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

POOL = 240
SMALLEST, LARGEST = 20_000, 150_000  # bytes of a JPEG
MEAN_IMAGES, MEAN_SENTENCES, MEAN_WORDS = 5.6, 25, 20
COMMON = """
the of and to a in is it that was for on are with as I his they be at one have this from or had by
but some what there we can out other were all your when up use word how said an each she which do
their time if will way about many then them would write like so these her long make thing see him
two has look more day could go come did my sound no most number who over know water than call first
people may down side been now find any new work part take get place made live where after back
little only round man year came show every good me give our under name very through just form much
great think say help low line before turn cause same mean differ move right boy old too does tell
sentence set three want air well also play small end put home read hand port large spell add even
land here must big high such follow act why ask men change went light kind off need house picture
try us again animal point mother world near build self earth father don't it's can't 2019 12 $40
"""
SYLLABLES = """
ba ber bi con cre da den di dor el en er fa fi for gar gen gra ha hel in ing is ka ken la ler li lo
ma men mi mor na ner ni nor o ol on or pa per pi por ra re ri ro sa sen si sol ta ter ti ton tra u
un va ver vi wa wen y é ü tion ness ment able ize
"""
N_WORDS = 40_000  # the rare ones are made of syllables, and all are drawn by Zipf's law


def photo(rng: np.random.Generator) -> bytes:
    """Make one JPEG that looks, to a decoder, like a photograph of 300-800 pixels."""
    while True:
        width, height = (int(side) for side in rng.integers(300, 801, 2))
        pixels = np.stack([_field(rng, width, height) for _ in range(3)], axis=-1)
        grey = _field(rng, width, height)[..., None]
        scene = 128 + 30 * pixels + 60 * grey + rng.uniform(3, 12) * rng.standard_normal(grey.shape)
        buffer = io.BytesIO()
        image = Image.fromarray(scene.clip(0, 255).astype(np.uint8))
        image.save(buffer, "JPEG", quality=int(rng.integers(75, 93)))
        if SMALLEST <= buffer.tell() <= LARGEST:
            return buffer.getvalue()


def _field(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Sum random fields from coarse to fine, as natural images have them (about 1/f)."""
    total = np.zeros((height, width), np.float32)
    for octave in range(6):
        cells = 4 << octave
        coarse = rng.standard_normal((cells, cells)).astype(np.float32)
        fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(fine) / 2**octave
    return np.asarray(total / total.std(), np.float32)


@cache
def pool() -> tuple[str, ...]:
    """Return the photographs as base64, made once."""
    rng = np.random.default_rng(4)
    return tuple(base64.b64encode(photo(rng)).decode() for _ in range(POOL))


def document(rng: np.random.Generator) -> dict[str, Any]:
    """Make one document's JSON object, its images all different."""
    n_images = 1 + int(rng.poisson(MEAN_IMAGES - 1))
    n_sentences = max(n_images, 3 + int(rng.poisson(MEAN_SENTENCES - 3)))
    similarity = rng.normal(0.2, 0.045, (n_images, n_sentences)).astype(np.float32)
    matched = similarity.argmax(axis=1).tolist()
    chosen = rng.choice(POOL, n_images, replace=False)
    return {
        "url": f"https://example.org/page/{rng.integers(1 << 40)}",
        "text_list": [_sentence(rng) for _ in range(n_sentences)],
        "image_info": [
            {
                "image_name": f"{rng.integers(1 << 60):015x}.jpg",
                "raw_url": f"https://images.example.org/{rng.integers(1 << 60):015x}.jpg",
                "matched_text_index": column,
                "matched_sim": float(similarity[row, column]),
                "face_detections": None,
                "image_base64": pool()[photograph],
            }
            for row, (column, photograph) in enumerate(zip(matched, chosen, strict=True))
        ],
        "similarity_matrix": similarity.tolist(),
        "could_have_url_duplicate": 0,
    }


@cache
def _vocabulary() -> tuple[list[str], NDArray[np.float64]]:
    """Return words from common to rare, and how often one of the first n is used."""
    rng, syllables, words = np.random.default_rng(5), SYLLABLES.split(), COMMON.split()
    while len(words) < N_WORDS:
        made = "".join(rng.choice(syllables, 2 + int(rng.integers(3))))
        words.append(made.capitalize() if rng.random() < 0.2 else made)
    shares = np.cumsum(1 / (2.7 + np.arange(N_WORDS)))
    return words, shares / shares[-1]


def _sentence(rng: np.random.Generator) -> str:
    vocabulary, shares = _vocabulary()
    ranks = np.searchsorted(shares, rng.random(max(3, int(rng.poisson(MEAN_WORDS)))))
    words = [vocabulary[rank] for rank in ranks]
    if len(words) > 8:
        words[len(words) // 2] += ","
    return " ".join([words[0].capitalize(), *words[1:]]) + "."


def write_shard(path: Path, n_documents: int, seed: int) -> int:
    """Write one tar of documents; return its size in bytes."""
    rng = np.random.default_rng([seed, n_documents])
    with tarfile.open(path, "w") as tar:
        for number in range(n_documents):
            raw = json.dumps(document(rng)).encode()
            member = tarfile.TarInfo(f"{seed:05d}_{number:06d}.json")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return path.stat().st_size


def write_shards(folder: Path, n_shards: int, n_documents: int) -> list[Path]:
    """Write so many shards of so many documents each; those that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{n_documents}-{number:05d}.tar" for number in range(n_shards)]
    for number, path in enumerate(paths):
        if not path.exists():
            beside = path.with_suffix(".part")
            write_shard(beside, n_documents, number)
            beside.rename(path)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--documents", type=int, default=500, help="in each shard")
    options = parser.parse_args()
    for path in write_shards(options.folder, options.shards, options.documents):
        print(path, f"{path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
