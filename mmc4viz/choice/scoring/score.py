"""Documents → similarity of every image and sentence, by a dual encoder.

The rows of images that are missing, or do not decode, are NaN: the loader drops such images before
it looks at the matrix, or loses their document whatever stands there, so the verdict is the same;
and where an image was never checked (``--verify none``), NaN loses the document as the image would.
Rows of the matrix stay where they are, one for each image. What is written where is `parts`' job.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from threading import Lock
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmc4viz.choice.scoring.encoders import DualEncoder
from mmc4viz.choice.scoring.halves import Embeddings
from mmc4viz.choice.scoring.pages import Page
from mmc4viz.choice.scoring.preprocess import Pixels, Preprocessing
from mmc4viz.loader.images import is_too_large, open_image

A = TypeVar("A")
B = TypeVar("B")
Matrix = NDArray[np.float32]
Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_BLOCK: Final = 128  # documents that are scored together
_LARGE: Final = 2**24  # pixels of an image beside which no other large one is decoded
_ONE_AT_A_TIME: Final = Lock()


@dataclass(frozen=True, slots=True)
class Scored:
    """One document's similarity.

    Attributes
    ----------
    key : str
    similarity : ndarray of float32, shape (images, sentences)
    decoys : ndarray of float32, shape (images, sentences)
        Of its images to as many sentences of another document; NaN where there is none.
    lacking : int
        Images that are missing or do not decode.
    """

    key: str
    similarity: Matrix
    decoys: Matrix
    lacking: int


def scored(
    pages: Iterable[Page],
    encoder: DualEncoder,
    batch: int,
    scale: Scale,
) -> Iterator[Scored]:
    """Score documents, in order.

    Parameters
    ----------
    pages : iterable of Page
    encoder : DualEncoder
    batch : int
        Images, and sentences, that the model gets at once.
    scale : callable
        From cosines to what is written.
    """
    broken: list[Exception] = []
    stream = _until_broken(pages, broken)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while block := list(islice(stream, _BLOCK)):
            yield from _block(block, encoder, batch, scale, pool)
    if broken:
        raise broken[0]


def _until_broken(pages: Iterable[A], broken: list[Exception]) -> Iterator[A]:
    """Hand on what comes before a break; keep its error for the end."""
    try:
        yield from pages
    except Exception as error:
        broken.append(error)


def _block(
    block: Sequence[Page],
    encoder: DualEncoder,
    batch: int,
    scale: Scale,
    pool: ThreadPoolExecutor,
) -> Iterator[Scored]:
    prepare = partial(prepared, encoder.preprocessing)
    pixels = _ahead(pool, prepare, [data for page in block for data in page.images], 2 * batch)
    of_images = _split(_embedded_images(pixels, encoder, batch), [len(p.images) for p in block])
    of_texts = _split(_embedded_texts(block, encoder, batch), [len(p.sentences) for p in block])
    for at, page in enumerate(block):
        images = of_images[at].astype(np.float64)
        others = _others(block, of_texts, at).astype(np.float64)
        yield Scored(
            page.key,
            scale(images @ of_texts[at].astype(np.float64).T).astype(np.float32),
            scale(images @ others.T).astype(np.float32),
            int(np.isnan(images[:, :1]).sum()),
        )


def prepared(preprocessing: Preprocessing, data: bytes | None) -> Pixels | None:
    """Decode an image and make of it what the model takes.

    None for one that does not decode, or that is too large to be decoded here.
    """
    if data is None:
        return None
    try:
        with open_image(io.BytesIO(data)) as image:
            if is_too_large(image.format or "", *image.size):
                return None
            large = image.width * image.height > _LARGE
            with _ONE_AT_A_TIME if large else nullcontext():
                return preprocessing(image)
    except MemoryError:
        raise
    except Exception:  # Pillow's plugins raise errors of every kind on hostile bytes
        return None


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[A], B], items: Iterable[A], most: int
) -> Iterator[B]:
    """Apply a function in threads, in order, and never to many more items than were taken."""
    waiting: deque[Future[B]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _embedded_images(
    pixels: Iterable[Pixels | None], encoder: DualEncoder, batch: int
) -> Embeddings:
    """Embed images; NaN for those that are not there."""
    found: list[Embeddings] = []
    numbered = enumerate(pixels)
    places: list[int] = []
    total = 0
    while some := list(islice(numbered, batch)):
        total = some[-1][0] + 1
        there = [(number, image) for number, image in some if image is not None]
        places += [number for number, _ in there]
        if there:
            found.append(encoder.embed_pixels([image for _, image in there]))
    made = np.full((total, encoder.dimension), np.nan, np.float32)
    if found:
        made[places] = np.concatenate(found)
    return made


def _embedded_texts(block: Sequence[Page], encoder: DualEncoder, batch: int) -> Embeddings:
    sentences = [text for page in block for text in page.sentences]
    starts = range(0, len(sentences), batch)
    made = [encoder.embed_sentences(sentences[start : start + batch]) for start in starts]
    return np.concatenate([np.zeros((0, encoder.dimension), np.float32), *made])


def _split(rows: Embeddings, counts: Sequence[int]) -> list[Embeddings]:
    return np.split(rows, np.cumsum(counts)[:-1])


def _others(block: Sequence[Page], of_texts: Sequence[Embeddings], at: int) -> Embeddings:
    """Return as many sentences of another document as a document has.

    Of the next one that has enough of them; else of several; NaN where even all are too few.
    """
    own, wanted = block[at].sentences, len(block[at].sentences)
    following = [(at + step) % len(block) for step in range(1, len(block))]
    other = [n for n in following if block[n].sentences != own]
    enough = [n for n in other if len(block[n].sentences) >= wanted][:1]
    found = np.concatenate([of_texts[at][:0], *(of_texts[n] for n in enough or other)])[:wanted]
    missing = np.full((wanted - len(found), found.shape[1]), np.nan, np.float32)
    return np.concatenate([found, missing])
