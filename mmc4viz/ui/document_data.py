"""One document re-read from its shard, and its training sequence in pieces.

Images are re-encoded at a small size, so that no bytes of an unknown format reach the browser.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

from mmc4viz.data.columns import Columns
from mmc4viz.data.shards import fetch, image_source, is_packed
from mmc4viz.data.storage import is_remote
from mmc4viz.data.thumbnails import SIDE, Thumbnail, entries, picture, pictures, read_thumbnail
from mmc4viz.loader.images import Embedded, ImageSource, decode_quickly
from mmc4viz.loader.parse import parse_document, read_json
from mmc4viz.loader.profile import profile_of
from mmc4viz.loader.template import TokenizedUnit
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.loader.tokenizer_files import IMAGE
from mmc4viz.loader.walk import training_chunks, training_text
from mmc4viz.types import (
    Binding,
    Document,
    DocumentError,
    LoaderConfig,
    ShardError,
    Verdict,
)
from mmc4viz.ui import data
from mmc4viz.ui.cache import cached

_MOST_IMAGES: Final = 100
_SMALL: Final = 72  # pixels of an image in a list
_AT_ONCE: Final = 4  # images decoded for one document
_FIRST_IMAGES: Final = 3  # tried for a document's image in a list
_LARGE: Final = 640  # pixels of an enlarged image
_LONGEST: Final = 100_000  # characters of raw JSON shown
_BASE64: Final = ("image_base64", "base64_image")
_SHORT: Final = 60  # characters shown of base64


@dataclass(frozen=True)
class Opened:
    """A document with its images.

    Attributes
    ----------
    shard : str
        Base name.
    document : Document
        With the chosen model's scores.
    pictures : tuple of (str or None)
        A small JPEG of each of the first images as a data URI; None if it cannot be shown.
    icons : tuple of (str or None)
        The same, very small.
    """

    shard: str
    document: Document
    pictures: tuple[str | None, ...] = ()
    icons: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Enlarged:
    """One image of a document, enlarged, and all sentences."""

    picture: str | None
    sentences: tuple[str, ...]


@cached()
def opened(source: data.CorpusKey, part: int, row: int) -> Opened:
    """Re-read a document; raises a ShardError if its shard has changed."""
    columns = data.columns_of(source)[part]
    try:
        return _read_whole(source, columns, part, row)
    except MemoryError:
        raise ShardError(
            f"{columns.shard.path}: document {row + 1:,} does not fit into memory"
        ) from None


def _read_whole(source: data.CorpusKey, columns: Columns, part: int, row: int) -> Opened:
    raw, images = _read(source, part, row)
    if raw is None:
        return Opened(columns.shard.name, columns.document(row))
    key = str(columns.batch.column("key")[row])
    document = parse_document(key, raw, images, decode_quickly)
    if source.other_model:
        document = columns.rescored(document, row)
    shown = _pictures(document, raw, images)
    large, small = zip(*shown, strict=True) if shown else ((), ())
    return Opened(columns.shard.name, document, large, small)


def _read(source: data.CorpusKey, part: int, row: int) -> tuple[bytes | None, ImageSource]:
    """Return a document's JSON (None if it has none) and the source of its images."""
    shard, folder = data.shard_at(source, part)
    offset, size = data.columns_of(source)[part].place(row)
    raw = fetch(shard, offset, size) if offset >= 0 else None
    return raw, image_source(shard, folder)


@cached()
def thumbnail_of(
    source: data.CorpusKey, part: int, row: int, image: int, sentence: int
) -> Thumbnail:
    """Re-read one image and one sentence; raises a ShardError if the shard has changed."""
    shard, folder = data.shard_at(source, part)
    place = data.columns_of(source)[part].place(row)
    return read_thumbnail(shard, place, image_source(shard, folder), image, sentence)


@cached()
def first_picture(source: data.CorpusKey, part: int, row: int) -> str | None:
    """Re-read a document's first image that can be shown, very small; None if there is none."""
    try:
        raw, images = _read(source, part, row)
        info = read_json(raw or b"")
    except (ShardError, ValueError):
        return None
    found, from_ = _entries(info, images)
    pictures = (picture(entry, from_, _SMALL) for entry in islice(found, _FIRST_IMAGES))
    return next((one for one in pictures if one is not None), None)


def has_pictures_at_hand(source: data.CorpusKey, part: int) -> bool:
    """Whether single documents of a shard can be read quickly: it is local and not compressed."""
    path = data.columns_of(source)[part].shard.path
    return not is_remote(path) and not is_packed(path)


@cached()
def enlarged(source: data.CorpusKey, part: int, row: int, image: int) -> Enlarged:
    """Re-read one image, enlarged, and all sentences; raises a ShardError on a changed shard."""
    raw, images = _read(source, part, row)
    try:
        info = read_json(raw or b"")
    except ValueError:
        return Enlarged(None, ())
    texts = info.get("text_list") if isinstance(info, dict) else None
    entry = next(islice(entries(info), image, None), None)
    sentences = tuple(map(str, texts)) if isinstance(texts, list) else ()
    return Enlarged(picture(entry, images, _LARGE), sentences)


def raw_json(source: data.CorpusKey, part: int, row: int) -> str:
    """Return a document's JSON as text with base64 shortened; invalid JSON unchanged."""
    raw, _ = _read(source, part, row)
    if raw is None:
        return "This document has no JSON."
    try:
        info = read_json(raw)
        text = json.dumps(_shortened(info), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        text = raw[: 4 * _LONGEST].decode("utf-8", "backslashreplace")
    beyond = len(text) - _LONGEST
    return text if beyond <= 0 else f"{text[:_LONGEST]}\n… {beyond:,} more characters"


def _shortened(value: Any, name: str = "") -> Any:
    """Shorten base64 values at any depth."""
    if isinstance(value, dict):
        return {key: _shortened(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    if isinstance(value, str) and name in _BASE64 and len(value) > _SHORT:
        return f"{value[:_SHORT]}… ({len(value):,} characters)"
    return value


def _pictures(document: Document, raw: bytes, images: ImageSource) -> list[tuple[str | None, ...]]:
    """Return each image small and very small; None for one that cannot be shown."""
    try:
        info = read_json(raw)
    except ValueError:
        return []
    found, source = _entries(info, images)
    shown = islice(found, min(len(document.images), _MOST_IMAGES))
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # Pillow decodes without the interpreter's lock
        return list(pool.map(lambda entry: pictures(entry, source, SIDE, _SMALL), shown))


def _entries(info: Any, images: ImageSource) -> tuple[Iterator[Any], ImageSource]:
    """Return a document's entries of images, and the source of their bytes."""
    if isinstance(info, dict) and "is_gpt" in info:
        return _chatgpt_entries(info), Embedded()
    return entries(info), images


def _chatgpt_entries(info: Any) -> Iterator[Any]:
    image_map = info.get("image_map")
    for number in range(1, len(image_map) + 1) if isinstance(image_map, dict) else ():
        entry = image_map.get(f"_!_IMAGE{number}_!_")
        yield {"image_base64": entry.get("base64_image")} if isinstance(entry, dict) else None


@dataclass(frozen=True)
class Piece:
    """A part of the sequence: text, an image token (mispaired or not), or truncated text.

    ``image`` is the image that an image token receives, if any.
    """

    kind: Literal["text", "kept", "mispaired", "cut"]
    text: str
    image: int | None = None


@dataclass(frozen=True)
class Token:
    """An image token of the untruncated sequence: its position and its status."""

    place: int
    kind: Literal["kept", "mispaired", "truncated"]
    words: str


@dataclass(frozen=True)
class TrainingSequence:
    """A document's training sequence, including the truncated part.

    Attributes
    ----------
    pieces : tuple of Piece
    tokens : tuple of Token
        The image tokens.
    length, limit : int
        Number of tokens before truncation, special tokens included; maximum number of tokens.
    """

    pieces: tuple[Piece, ...]
    tokens: tuple[Token, ...]
    length: int
    limit: int


def sequence_of(
    document: Document, verdict: Verdict, config: LoaderConfig, tokenizer: Tokenizer
) -> TrainingSequence | None:
    """Split a document's training sequence into pieces; None if there is none."""
    if not verdict.token_ids:
        return None
    profile = profile_of(config)
    if profile.template.unit is TokenizedUnit.CHUNKS:
        return _chunked(document, verdict, config, tokenizer)
    tokenizer = profile.tokenizer(tokenizer)
    try:
        text = training_text(document, verdict, config, tokenizer).text
        uncut = tokenizer.encode(text, None)
    except (DocumentError, UnicodeEncodeError):
        return None
    own = [
        (start, token)
        for start, token, added in zip(uncut.starts, uncut.ids, uncut.added, strict=True)
        if not added
    ]
    room = config.max_tokens - tokenizer.n_before - tokenizer.n_after
    end = own[room][0] if room < len(own) else len(text)
    places = [n for n, (_, token) in enumerate(own) if token == tokenizer.image_id]
    starts = [own[n][0] for n in places if n < room]
    shown = tuple(_pieces(text, end, starts, verdict.binding))
    marked = (piece for piece in shown if piece.kind in ("kept", "mispaired"))
    before = tokenizer.n_before
    tokens = [Token(before + n, *_marked(piece)) for n, piece in zip(places, marked, strict=False)]
    tokens += [Token(before + n, "truncated", "truncated") for n in places[len(tokens) :]]
    return TrainingSequence(shown, tuple(tokens), len(uncut.ids), config.max_tokens)


def _chunked(
    document: Document, verdict: Verdict, config: LoaderConfig, tokenizer: Tokenizer
) -> TrainingSequence:
    """Write chunks and images in turn; the first that does not fit and all after it are cut.

    Two tokens, begin- and end-of-text, enclose them all.
    """
    template = profile_of(config).template
    chunks, images = training_chunks(document, config, tokenizer)
    before_mark = template.tokens.index(template.mark)
    text, length, end, starts, places = "", 1, None, list[int](), list[int]()
    for number, chunk in enumerate(chunks):
        if end is None and length + chunk.n_tokens + 1 > config.max_tokens:
            end = len(text)
        starts += [len(text) + at for at, _ in chunk.marks]
        places += [length + at for _, at in chunk.marks]
        text, length = text + chunk.text, length + chunk.n_tokens
        if number == len(images):
            break
        if end is None and length + template.cost + 1 > config.max_tokens:
            end = len(text)
        starts.append(len(text))
        places.append(length + before_mark)
        text, length = text + template.mark, length + template.cost
    shown = tuple(
        _pieces(
            text,
            len(text) if end is None else end,
            starts[: len(verdict.binding)],
            verdict.binding,
            template.mark,
        )
    )
    marked = [piece for piece in shown if piece.kind in ("kept", "mispaired")]
    tokens = [Token(at, *_marked(piece)) for at, piece in zip(places, marked, strict=False)]
    tokens += [Token(at, "truncated", "truncated") for at in places[len(tokens) :]]
    return TrainingSequence(shown, tuple(tokens), int(verdict.shape.length), config.max_tokens)


def _marked(piece: Piece) -> tuple[Literal["kept", "mispaired"], str]:
    return ("mispaired" if piece.kind == "mispaired" else "kept"), piece.text


def _pieces(
    text: str, end: int, starts: list[int], binding: tuple[Binding, ...], mark: str = IMAGE
) -> Iterator[Piece]:
    position = 0
    for start, bound in zip(starts, binding, strict=False):
        if start > position:
            yield Piece("text", text[position:start])
        yield _token(bound, mark)
        position = start + len(mark)
    if position < end:
        yield Piece("text", text[position:end])
    if end < len(text):
        yield Piece("cut", text[end:])


def _token(bound: Binding, mark: str) -> Piece:
    """Label an image token with the image it receives, and the expected one if different."""
    got = "no image" if bound.bound_image is None else f"image {bound.bound_image + 1}"
    words = f"⟨{got}⟩"
    if bound.pair_image is None:
        return Piece("mispaired", f"{words} ✗ {mark} in the page's own text", bound.bound_image)
    if bound.pair_image == bound.bound_image:
        return Piece("kept", words, bound.bound_image)
    if not bound.mispaired and bound.bound_image is not None:
        return Piece("kept", f"{words} of the same sentence", bound.bound_image)
    return Piece("mispaired", f"{words} ✗ expected image {bound.pair_image + 1}", bound.bound_image)
