"""Write mmc4viz's sample: two shards, two encoders, two similarity sets and the truth.

    python sample_data/make_sample.py [--out FOLDER]

No network, one seed, and with the versions that `versions.json` records the same bytes each time.
`scenes.py` and `things.py` draw, `prose.py` writes, `pages.py` puts pages together, `fit.py` fits
the encoders, `encoders.py` runs them; this file decides what the shards hold and writes them.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import platform
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from encoders import Array, DualEncoder
from fit import RECIPES, fit_encoder, place
from pages import Page, random_page, write_page
from scenes import paint, photo_bytes
from scipy.optimize import linear_sum_assignment

Rng = np.random.Generator

SEED = 20231014
N_DOCUMENTS = 240
N_SHARDS = 2
N_CALIBRATION = 250
RECORDED = ("numpy", "scipy", "pillow", "pyarrow", "tokenizers")

#: what some documents are made to be, by their place among all
SPECIAL = {
    17: "truncated",
    33: "chatgpt",
    58: "all missing",
    121: "all small",
    **dict.fromkeys((9, 44, 88, 131, 170, 215), "crowded"),
    **dict.fromkeys((12, 37, 66, 95, 119, 140, 163, 188, 207, 231), "long"),
    **dict.fromkeys((25, 77, 106, 152, 199, 224), "many"),
    **dict.fromkeys((51, 176), "out of order"),
}
LARGE = ((304, 228), (228, 304), (296, 222), (256, 256), (320, 208))
SMALL = ((208, 156), (156, 208), (200, 150), (176, 176))

#: share of images, their sizes in bytes, and how large they are drawn; the rest is not stored
SIZES: tuple[tuple[float, tuple[int, int], tuple[tuple[int, int], ...]], ...] = (
    (0.76, (11_050, 12_700), LARGE),
    (0.03, (13_000, 18_000), LARGE),
    (0.06, (10_050, 10_800), SMALL),
    (0.08, (6_500, 9_900), SMALL),
)
WHOLE, TOO_SMALL = 0, 3


@dataclass(frozen=True)
class Picture:
    """A picture's JPEG, whether the shard holds it, and how many bytes are cut off it there."""

    jpeg: bytes
    stored: bool
    cut: int = 0


@dataclass(frozen=True)
class Draft:
    """A document before it is written."""

    key: str
    shard: str
    special: str
    page: Page
    pictures: tuple[Picture, ...]

    def listed(self, order: Sequence[int]) -> Draft:
        """Return the document with its pictures in another order."""
        scenes = tuple(self.page.scenes[k] for k in order)
        pictures = tuple(self.pictures[k] for k in order)
        return replace(self, page=replace(self.page, scenes=scenes), pictures=pictures)

    @property
    def jpegs(self) -> list[bytes]:
        """Return every picture's JPEG, stored or not."""
        return [picture.jpeg for picture in self.pictures]

    @property
    def texts(self) -> list[str]:
        """Return the sentences."""
        return [sentence.text for sentence in self.page.sentences]


# --- what the documents are ---------------------------------------------------------------------


def special_page(rng: Rng, special: str) -> Page:
    """Make up the page of a document that is made to be something."""
    match special:
        case "crowded":
            return write_page(rng, int(rng.integers(4, 7)), 3, caption_share=0.9)
        case "long":
            return write_page(rng, int(rng.integers(2, 7)), int(rng.integers(30, 41)))
        case "many":
            return write_page(rng, 9, int(rng.integers(16, 30)), caption_share=1.0)
        case "out of order":
            return write_page(rng, int(rng.integers(3, 6)), 10, caption_share=1.0)
        case "truncated" | "all missing" | "all small":
            return write_page(rng, 2, 8)
        case "chatgpt":
            return write_page(rng, 3, 7, caption_share=1.0)
    return random_page(rng)


def draw_pictures(rng: Rng, page: Page, special: str) -> tuple[Picture, ...]:
    """Draw a page's pictures, each of a size in bytes by chance, some not stored."""
    pictures = []
    for k, scene in enumerate(page.scenes):
        shares = [share for share, _, _ in SIZES]
        size = int(rng.choice(len(SIZES) + 1, p=[*shares, 1 - sum(shares)]))
        if special in ("truncated", "chatgpt", "many"):
            size = WHOLE
        if special == "all small":
            size = TOO_SMALL
        stored = size < len(SIZES) and special != "all missing"
        _, (low, high), shapes = SIZES[size if stored else WHOLE]
        shape = shapes[int(rng.integers(len(shapes)))]
        n_bytes = int(rng.integers(low, high))
        cut = 3_000 if special == "truncated" and k == 0 else 0
        n_bytes = 15_000 if cut else n_bytes
        jpeg = photo_bytes(paint(scene, shape, oversample=2), n_bytes, scene.seed + 1)
        pictures.append(Picture(jpeg, stored, cut))
    return tuple(pictures)


def drafts() -> Iterator[Draft]:
    """Make up all documents; each depends on the seed and its place only."""
    for k in range(N_DOCUMENTS):
        rng = np.random.default_rng((SEED, k))
        special = SPECIAL.get(k, "")
        page = special_page(rng, special)
        shard = f"sample-{k * N_SHARDS // N_DOCUMENTS:04d}.tar"
        yield Draft(rng.bytes(16).hex(), shard, special, page, draw_pictures(rng, page, special))


def as_listed(draft: Draft, similarity: Array) -> list[int]:
    """Return the order of pictures that MMC4's files have: by their most similar sentence.

    About one page in a hundred has another order there, too.
    """
    if draft.special == "out of order":
        return list(range(len(similarity)))[::-1]
    return np.argsort(similarity.argmax(axis=1), kind="stable").tolist()


# --- MMC4's format ------------------------------------------------------------------------------


def mmc4_match(similarity: Array) -> tuple[list[int], list[float]]:
    """Match as MMC4 does: one-to-one, and surplus images to their most similar sentence."""
    match = similarity.argmax(axis=1)
    images, sentences = linear_sum_assignment(-similarity)
    match[images] = sentences
    return match.tolist(), similarity[np.arange(len(match)), match].tolist()


def _text64(jpeg: bytes) -> str:
    return base64.b64encode(jpeg).decode("ascii")


def mmc4_document(draft: Draft, similarity: Array) -> dict[str, Any]:
    """Return a document as OpenFlamingo's converter writes it."""
    rng = np.random.default_rng((SEED, int(draft.key[:8], 16)))
    site = f"http://www.{draft.page.topic}-{rng.integers(10, 99)}.example.org"
    match, scores = mmc4_match(similarity)
    image_info = []
    for k, picture in enumerate(draft.pictures):
        name = rng.bytes(6).hex() + ".jpg"
        entry: dict[str, Any] = {
            "face_detections": None,
            "image_name": name,
            "matched_sim": scores[k],
            "matched_text_index": match[k],
            "raw_url": f"{site}/pictures/{rng.integers(10_000)}.jpg",
        }
        if picture.stored:
            entry["image_base64"] = _text64(picture.jpeg[: len(picture.jpeg) - picture.cut])
        image_info.append(entry)
    return {
        "image_info": image_info,
        "similarity_matrix": similarity.tolist(),
        "text_list": draft.texts,
        "url": f"{site}/{rng.integers(2009, 2022)}/{draft.key[-6:]}.html",
        "could_have_url_duplicate": int(rng.random() < 0.05),
    }


def chatgpt_document(draft: Draft) -> dict[str, Any]:
    """Return a document as ChatGPT's are: marks in a text, and a map of images."""
    places = {}
    for k in range(len(draft.pictures)):
        free = [j for j in draft.page.describing(k) if j not in places]
        places[(free or [k])[0]] = k
    parts = [
        f"_!_IMAGE{places[j] + 1}_!_ {text}" if j in places else text
        for j, text in enumerate(draft.texts)
    ]
    images = {
        f"_!_IMAGE{k + 1}_!_": {"base64_image": _text64(jpeg)} for k, jpeg in enumerate(draft.jpegs)
    }
    return {"is_gpt": True, "example": " ".join(parts), "image_map": images}


# --- files --------------------------------------------------------------------------------------


def write_shard(path: Path, documents: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Write a WebDataset tar with one `json` member a sample, the same bytes each time."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, document in documents:
            data = json.dumps(document).encode("utf-8")
            member = tarfile.TarInfo(f"{key}.json")
            member.size, member.mode = len(data), 0o444
            member.uname = member.gname = "bigdata"
            tar.addfile(member, io.BytesIO(data))


def write_similarity(path: Path, drafts: Sequence[Draft], matrices: Sequence[Array]) -> None:
    """Write a similarity set: a row a document, the values row by row; metadata names the model."""
    table = pa.table(
        {
            "shard": pa.array([d.shard for d in drafts], pa.string()),
            "key": pa.array([d.key for d in drafts], pa.string()),
            "images": pa.array([m.shape[0] for m in matrices], pa.int32()),
            "sentences": pa.array([m.shape[1] for m in matrices], pa.int32()),
            "values": pa.array(
                [m.ravel().astype(np.float32) for m in matrices], pa.list_(pa.float32())
            ),
        }
    )
    pq.write_table(table.replace_schema_metadata({"clip_model": "sample-b"}), path)


def write_truth(path: Path, drafts: Sequence[Draft]) -> None:
    """Write, for each image, the sentences that truly describe it."""
    rows = [(d, k, scene) for d in drafts for k, scene in enumerate(d.page.scenes)]
    table = pa.table(
        {
            "shard": pa.array([d.shard for d, _, _ in rows], pa.string()),
            "key": pa.array([d.key for d, _, _ in rows], pa.string()),
            "image": pa.array([k for _, k, _ in rows], pa.int32()),
            "sentences": pa.array([d.page.describing(k) for d, k, _ in rows], pa.list_(pa.int32())),
            "scene": pa.array([scene.words() for _, _, scene in rows], pa.string()),
        }
    )
    pq.write_table(table, path)


def write_encoders(out: Path) -> dict[str, DualEncoder]:
    """Fit and store the encoders, and return them as stored."""
    rng = np.random.default_rng((SEED, 1_000_000))
    calibration = [random_page(rng) for _ in range(N_CALIBRATION)]
    encoders = {}
    for k, (name, recipe) in enumerate(RECIPES.items()):
        fitted = fit_encoder(np.random.default_rng((SEED, 1_000_001 + k)), recipe)
        folder = out / "encoders" / name
        place(fitted, recipe, calibration).save(folder)
        encoders[name] = DualEncoder.load(folder)
    return encoders


def main(out: Path) -> None:
    """Write the whole sample into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    encoders = write_encoders(out)
    documents = list(drafts())
    matched = [draft for draft in documents if draft.special != "chatgpt"]
    first, second = (
        {d.key: encoders[name].similarity(d.jpegs, d.texts) for d in matched}
        for name in ("sample-a", "sample-b")
    )
    orders = {d.key: as_listed(d, first[d.key]) for d in matched}
    documents = [d.listed(orders[d.key]) if d.key in orders else d for d in documents]
    first, second = (
        {key: values[orders[key]] for key, values in one.items()} for one in (first, second)
    )
    matched = [draft for draft in documents if draft.key in orders]
    for shard in sorted({draft.shard for draft in documents}):
        members = [
            (d.key, mmc4_document(d, first[d.key]) if d.key in first else chatgpt_document(d))
            for d in documents
            if d.shard == shard
        ]
        write_shard(out / shard, members)
    write_similarity(out / "similarity_b.parquet", matched, list(second.values()))
    write_truth(out / "truth.parquet", matched)
    versions = {"python": platform.python_version()} | {name: version(name) for name in RECORDED}
    (out / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write mmc4viz's sample.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to fill")
    main(parser.parse_args().out)
