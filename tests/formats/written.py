"""The same documents in every format, field by field as its own converter or card has them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mmc4viz.formats.mmc4 import hashed


@dataclass(frozen=True)
class Picture:
    """An image on a page."""

    name: str
    data: bytes

    @property
    def url(self) -> str:
        return f"https://example.org/{self.name}"


Piece = str | Picture


@dataclass(frozen=True)
class WebPage:
    """A page: texts and images in order."""

    pieces: tuple[Piece, ...]
    url: str = "https://example.org/page"

    def parallel(self, image: Callable[[Picture], Any]) -> dict[str, list[Any]]:
        """Return parallel lists, null where the other has something."""
        return {
            "texts": [one if isinstance(one, str) else None for one in self.pieces],
            "images": [None if isinstance(one, str) else image(one) for one in self.pieces],
        }

    @property
    def pictures(self) -> list[Picture]:
        return [one for one in self.pieces if isinstance(one, Picture)]


@dataclass(frozen=True)
class Written:
    """What a format keeps of the pages.

    Attributes
    ----------
    write : callable
        Pages → a file's bytes.
    file : str
        Its name.
    bytes_kept, names, urls : bool
        Whether images' bytes, names and URLs are kept, and the pages'.
    """

    write: Callable[[Sequence[WebPage]], bytes]
    file: str
    bytes_kept: bool = False
    names: bool = True
    urls: bool = True
    page_urls: bool = True
    more: dict[str, Any] = field(default_factory=dict)


def picture(number: int, size: int = 24) -> Picture:
    """Make a picture of its own color."""
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (number * 37 % 256, number * 91 % 256, 80)).save(buffer, "PNG")
    return Picture(f"{number}.png", buffer.getvalue())


def pages() -> list[WebPage]:
    """Return pages with images at the start, in the middle, side by side and at the end."""
    one, two, three, four = (picture(n) for n in range(1, 5))
    return [
        WebPage((one, "A boat. It is red.", two, three, "A lake.\n\nDr. Lee swims.")),
        WebPage(("Only words. No picture.",), "https://example.org/words"),
        WebPage(("A hill.", four), "https://example.org/hill"),
    ]


def lines(rows: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def array(rows: Sequence[Any]) -> bytes:
    return json.dumps(list(rows), indent=1).encode()


def parquet(rows: Sequence[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer, row_group_size=2)
    return buffer.getvalue()


def tar(members: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _obelics(page: WebPage, image: Callable[[Picture], Any]) -> dict[str, Any]:
    facts = [
        None
        if isinstance(one, str)
        else {"document_url": page.url, "src": one.url, "unformatted_src": one.url,
              "formatted_filename": one.name, "rendered_width": 24, "rendered_height": 24}
        for one in page.pieces
    ]  # fmt: skip
    return page.parallel(image) | {
        "metadata": json.dumps(facts),
        "general_metadata": json.dumps({"url": page.url, "warc_filename": "a.warc.gz"}),
    }


def _obelics_urls(page: WebPage) -> dict[str, Any]:
    lists = page.parallel(lambda one: one.url)
    return {
        "url": page.url,
        "texts": lists["texts"],
        "images_urls": [url or "" for url in lists["images"]],
        "num_found": len(page.pictures),
        "num_not_found": 0,
        "general_metadata": json.dumps({"url": page.url}),
    }


def _omnicorpus(page: WebPage) -> dict[str, Any]:
    facts = [
        None
        if isinstance(one, str)
        else {"aesthetic_prob": 0.5, "unsafe_prob": 0.1, "bytes": len(one.data), "width": 24,
              "height": 24, "img_url_sha": hashed(one.url)}
        for one in page.pieces
    ]  # fmt: skip
    general = {"id": "a", "url": page.url, "domain": ["web"], "fluency_prob": 0.9}
    return page.parallel(lambda one: one.url) | {"general_metadata": general, "metadata": facts}


def _textbook(page: WebPage) -> dict[str, Any]:
    lists = page.parallel(lambda one: one.name)
    ocr = [None if text is None else f"{text} 1+1" for text in lists["texts"]]
    return lists | {"text_ocr_list": ocr, "metadata": [], "image_num": len(page.pictures),
                    "text_num": 1, "token_num": 10}  # fmt: skip


def tiff(pictures: Sequence[Picture]) -> bytes:
    """Join pictures as the frames of a TIFF."""
    buffer, frames = io.BytesIO(), [Image.open(io.BytesIO(one.data)) for one in pictures]
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def _mint1t(pages: Sequence[WebPage]) -> bytes:
    members: list[tuple[str, bytes]] = []
    for number, page in enumerate(pages):
        lists = page.parallel(lambda one: f"page_0_image_{one.name[:-4]}")
        members.append((f"{number}.json", json.dumps(lists | {"url": page.url}).encode()))
        if page.pictures:
            members.append((f"{number}.tiff", tiff(page.pictures)))
    return tar(members)


CURATOR = pa.schema(
    {
        "sample_id": pa.string(),
        "position": pa.int32(),
        "modality": pa.string(),
        "content_type": pa.string(),
        "text_content": pa.string(),
        "binary_content": pa.large_binary(),
        "source_ref": pa.string(),
        "materialize_error": pa.string(),
        "url": pa.string(),
    }
)


def _curator(pages: Sequence[WebPage]) -> bytes:
    rows = []
    for number, page in enumerate(pages):
        rows.append({"position": -1, "modality": "metadata", "url": page.url})
        for position, one in enumerate(page.pieces):
            if isinstance(one, str):
                rows.append({"position": position, "modality": "text", "text_content": one})
            else:
                ref = {"path": "a.tar", "member": one.name, "byte_offset": 0, "frame_index": None}
                image = {"binary_content": one.data, "source_ref": json.dumps(ref)}
                rows.append({"position": position, "modality": "image"} | image)
        for row in rows:
            row.setdefault("sample_id", f"sample-{number}")
    return parquet(rows, CURATOR)


def _moscar(page: WebPage) -> dict[str, Any]:
    texts = [{"text": one, "text_idx": n} for n, one in enumerate(page.pieces)
             if isinstance(one, str)]  # fmt: skip
    images = [{"img_idx": n, "sha512": one.name, "url": one.url}
              for n, one in enumerate(page.pieces) if isinstance(one, Picture)]  # fmt: skip
    return {"images": images, "text": texts, "metadata": [{"url": page.url}]}


def _pin(page: WebPage) -> dict[str, Any]:
    words = [one if isinstance(one, str) else f"![]({one.name})" for one in page.pieces]
    return {"id": 1, "meta": {"language": "en"}, "license": "CC0", "quality_signals": {},
            "md": "\n\n".join(words), "content_image": [one.name for one in page.pictures],
            "overall_image": None}  # fmt: skip


def as_bytes(one: Picture) -> dict[str, Any]:
    return {"bytes": one.data, "path": one.name}


IMAGES = pa.struct({"bytes": pa.binary(), "path": pa.string()})
ROWS = pa.schema({"images": pa.list_(IMAGES), "texts": pa.list_(pa.string())})
FORMATS: dict[str, Written] = {
    "obelics": Written(
        lambda p: parquet([_obelics(one, lambda i: i.url) for one in p]), "0.parquet"
    ),
    "obelics with images": Written(
        lambda p: parquet([_obelics(one, as_bytes) for one in p]), "0.parquet", bytes_kept=True
    ),
    "obelics jsonl": Written(
        lambda p: gzip.compress(lines([_obelics(one, lambda i: i.url) for one in p])), "0.jsonl.gz"
    ),
    "obelics-urls": Written(
        lambda p: lines([_obelics_urls(one) for one in p]), "0.jsonl", names=False
    ),
    "omnicorpus": Written(
        lambda p: parquet([_omnicorpus(one) for one in p]), "0.parquet", names=False
    ),
    "omnicorpus jsonl": Written(
        lambda p: lzma.compress(lines([_omnicorpus(one) for one in p])), "0.jsonl.xz", names=False
    ),
    "textbook": Written(
        lambda p: array([_textbook(one) for one in p]), "0.json", urls=False, page_urls=False
    ),
    "mint-1t": Written(_mint1t, "0.tar", bytes_kept=True, names=False, urls=False),
    "interleaved": Written(
        lambda p: parquet([one.parallel(as_bytes) for one in p], ROWS),
        "0.parquet", bytes_kept=True, urls=False, page_urls=False,
    ),
    "interleaved array": Written(
        lambda p: bz2.compress(array([one.parallel(lambda i: i.url) for one in p])),
        "0.json.bz2", names=False, page_urls=False,
    ),
    "nemo-curator": Written(_curator, "0.parquet", bytes_kept=True, urls=False),
    "moscar": Written(lambda p: lines([_moscar(one) for one in p]), "0.jsonl"),
    "pin": Written(lambda p: lines([_pin(one) for one in p]), "0.jsonl", urls=False,
                   page_urls=False),
}  # fmt: skip


def written(folder: Path, name: str, found: Sequence[WebPage] | None = None) -> Path:
    """Write pages in a format."""
    one = FORMATS[name]
    path = folder / one.file
    path.write_bytes(one.write(pages() if found is None else found))
    return path
