"""Scores documents: every image with every sentence."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import Lock
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from mmc4viz.clip.encoder import Embeddings, Encoder
from mmc4viz.clip.pages import Page
from mmc4viz.loader.images import is_too_large, open_image

A = TypeVar("A")
B = TypeVar("B")
Matrix = NDArray[np.float32]
Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_BLOCK: Final = 128  # documents scored together
_LARGE: Final = 2**24  # pixels; larger images are decoded one at a time
_ONE_AT_A_TIME: Final = Lock()


@dataclass(frozen=True, slots=True)
class Scored:
    """One document's scores.

    Attributes
    ----------
    key : str
    similarity : ndarray of float32, shape (images, sentences)
    decoys : ndarray of float32, shape (images, sentences)
        Its images against as many sentences of other documents; NaN if there are too few.
    of_images, of_sentences : ndarray of float32, shape (images or sentences, dimension)
        Unit vectors; NaN for missing or undecodable images.
    n_bytes : int
        As in `Page`.
    """

    key: str
    similarity: Matrix
    decoys: Matrix
    of_images: Embeddings
    of_sentences: Embeddings
    n_bytes: int

    @property
    def lacking(self) -> int:
        """Missing or undecodable images."""
        return int(np.isnan(self.of_images[:, :1]).sum())


@dataclass(frozen=True, slots=True)
class _Reading:
    """A block of documents whose images are being prepared."""

    pages: Sequence[Page]
    images: Iterator[Any]


def scored(
    pages: Iterable[Page], encoder: Encoder, batch: int | None, scale: Scale
) -> Iterator[list[Scored]]:
    """Score documents, in order; yield them in blocks.

    The next block's images are prepared while the model works on this one.

    Parameters
    ----------
    pages : iterable of Page
    encoder : Encoder
    batch : int or None
        Images, or sentences, per model call; by default what the encoder asks for.
    scale : callable
        Converts cosines to the scores to write.
    """
    broken: list[Exception] = []
    stream = _until_error(pages, broken)
    size = batch or encoder.batch
    with encoder.threads() as pool:
        now = _next_block(stream, encoder, size, pool)
        while now.pages:
            following = _next_block(stream, encoder, size, pool)
            yield _block(now, encoder, size, scale)
            now = following
    if broken:
        raise broken[0]


def _next_block(stream: Iterator[Page], encoder: Encoder, batch: int, pool: Executor) -> _Reading:
    block = list(islice(stream, _BLOCK))
    images = [data for page in block for data in page.images]
    return _Reading(block, _ahead(pool, partial(prepared, encoder.prepare), images, 2 * batch))


def _until_error(pages: Iterable[A], broken: list[Exception]) -> Iterator[A]:
    """Yield items up to an error, which is kept for the end."""
    try:
        yield from pages
    except Exception as error:
        broken.append(error)


def _block(now: _Reading, encoder: Encoder, batch: int, scale: Scale) -> list[Scored]:
    block = now.pages
    counts = [len(page.images) for page in block]
    of_images = _split(_embedded_images(now.images, sum(counts), encoder, batch), counts)
    of_texts = _split(_embedded_texts(block, encoder, batch), [len(p.sentences) for p in block])
    found = []
    for at, page in enumerate(block):
        images = of_images[at].astype(np.float64)
        others = _others(block, of_texts, at).astype(np.float64)
        similarity = scale(images @ of_texts[at].astype(np.float64).T).astype(np.float32)
        decoys = scale(images @ others.T).astype(np.float32)
        found.append(
            Scored(page.key, similarity, decoys, of_images[at], of_texts[at], page.n_bytes)
        )
    return found


def prepared(prepare: Callable[[Image], Any], data: bytes | None) -> Any:
    """Decode and preprocess an image; None if it is undecodable or too large."""
    if data is None:
        return None
    try:
        with open_image(io.BytesIO(data)) as image:
            if is_too_large(image.format or "", *image.size):
                return None
            large = image.width * image.height > _LARGE
            with _ONE_AT_A_TIME if large else nullcontext():
                return prepare(image)
    except MemoryError:
        raise
    except Exception:  # Pillow's plugins raise errors of every kind on hostile bytes
        return None


def _ahead(
    pool: Executor, function: Callable[[A], B], items: Iterable[A], most: int
) -> Iterator[B]:
    """Apply a function in threads, in order, at most ``most`` items ahead; start at once."""
    following = iter(items)
    waiting = deque(pool.submit(function, item) for item in islice(following, most))
    return _results(pool, function, following, waiting)


def _results(
    pool: Executor, function: Callable[[A], B], following: Iterator[A], waiting: deque[Future[B]]
) -> Iterator[B]:
    while waiting:
        found = waiting.popleft().result()
        waiting.extend(pool.submit(function, item) for item in islice(following, 1))
        yield found


def _embedded_images(pixels: Iterable[Any], n: int, encoder: Encoder, batch: int) -> Embeddings:
    """Embed ``n`` images; NaN for missing ones."""
    there = ((place, image) for place, image in enumerate(pixels) if image is not None)
    made = np.full((n, encoder.dimension), np.nan, np.float32)
    while some := list(islice(there, batch)):
        places, images = zip(*some, strict=True)
        made[list(places)] = encoder.embed_images(images)
    return made


def _embedded_texts(block: Sequence[Page], encoder: Encoder, batch: int) -> Embeddings:
    """Embed sentences, those of like length together, so that little is padded."""
    sentences = [text for page in block for text in page.sentences]
    order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))
    made = np.zeros((len(sentences), encoder.dimension), np.float32)
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        made[places] = encoder.embed_sentences([sentences[place] for place in places])
    return made


def _split(rows: Embeddings, counts: Sequence[int]) -> list[Embeddings]:
    return np.split(rows, np.cumsum(counts)[:-1])


def _others(block: Sequence[Page], of_texts: Sequence[Embeddings], at: int) -> Embeddings:
    """Return as many sentences of other documents as a document has.

    From the next document that has enough; else from several, with NaN for those still lacking.
    """
    own, wanted = block[at].sentences, len(block[at].sentences)
    following = [(at + step) % len(block) for step in range(1, len(block))]
    other = [n for n in following if block[n].sentences != own]
    enough = [n for n in other if len(block[n].sentences) >= wanted][:1]
    found = np.concatenate([of_texts[at][:0], *(of_texts[n] for n in enough or other)])[:wanted]
    missing = np.full((wanted - len(found), found.shape[1]), np.nan, np.float32)
    return np.concatenate([found, missing])
