"""Changes to one document, told by its own images, sentences and entries of the matrix.

Pure: each function says what is to change for a given choice of pairs. Why the pairs were chosen,
and how JSON is changed, is not this room's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc4viz.handover.chosen import Match, if_decodable
from mmc4viz.handover.options import OWN, Options
from mmc4viz.loader.pretrained import END_OF_CHUNK, IMAGE
from mmc4viz.model import Document, LoaderConfig

Scores = Mapping[tuple[int, int], float]
"""By image and sentence."""

_SPECIALS = (IMAGE, END_OF_CHUNK)


@dataclass(frozen=True, slots=True)
class Edit:
    """Changes to one document's JSON.

    Attributes
    ----------
    drop : frozenset of int
        Images that lose their ``image_base64``.
    order : tuple of int
        The image that stands at each place; empty where all stay.
    sentences : mapping of int to str
        Sentences with another text.
    matrix : list of list of float, or None
        What takes the place of the whole matrix, rows in the images' old order.
    scores : mapping of (int, int) to float
        Entries with another value, by image and sentence.
    lowered : int
        How many of these were lowered because they compete with chosen pairs.
    """

    drop: frozenset[int] = frozenset()
    order: tuple[int, ...] = ()
    sentences: Mapping[int, str] = field(default_factory=dict)
    matrix: list[list[float]] | None = None
    scores: Scores = field(default_factory=dict)
    lowered: int = 0


def valid_images(document: Document, min_kb: int) -> frozenset[int]:
    """Return the images that are there and large enough."""
    return frozenset(
        at
        for at, image in enumerate(document.images)
        if image.present and not image.too_small(min_kb)
    )


def to_drop(
    document: Document,
    pairs: list[Match],
    over: list[Match],
    config: LoaderConfig,
    options: Options,
) -> frozenset[int]:
    """Return the images that the loader must not see, or need not."""
    images, chosen = document.images, {image for image, _, _ in pairs}
    if not options.keep_rejected_images:
        return frozenset(at for at, image in enumerate(images) if image.present) - chosen
    small = valid_images(document, OWN.min_kb) - valid_images(document, config.min_kb)
    bad = {
        at
        for at, image in enumerate(images)
        if image.present and not if_decodable(image, OWN.min_kb).present
    }
    return frozenset({image for image, _, _ in over} | small | bad)


def new_order(document: Document, pairs: list[Match]) -> tuple[int, ...]:
    """Return which image stands where: the chosen ones in their order, in each other's places."""
    images = [image for image, _, _ in pairs]
    order = list(range(len(document.images)))
    for place, image in zip(sorted(images), images, strict=True):
        order[place] = image
    return tuple(order) if images != sorted(images) else ()


def spaced_sentences(document: Document, pairs: list[Match]) -> tuple[dict[int, str], int]:
    """Put a space into the literal special tokens of a text; return the sentences and a count."""
    texts = document.sentences if isinstance(document.sentences, list) else []
    own = {sentence for _, sentence, _ in pairs}
    spaced, count = {}, 0
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            if at not in own:
                continue
            text = f"{text}"  # as the loader writes it
        found = sum(text.count(special) for special in _SPECIALS)
        if found:
            spaced[at] = text.replace(IMAGE, "< image>").replace(END_OF_CHUNK, "< |endofchunk|>")
            count += found
    return spaced, count


def rescored(document: Document, pairs: list[Match], config: LoaderConfig) -> dict[Any, float]:
    """Return the entries of chosen pairs whose stored score is not the matrix's."""
    if config.assignment != "stored":
        return {}
    matrix = np.array(document.similarity)
    return {
        (image, sentence): score
        for image, sentence, score in pairs
        if float(matrix[image, sentence]) != score
    }


def lowered_entries(
    matrix: NDArray[np.float64],
    valid: list[int],
    pairs: tuple[Match, ...],
    threshold: float,
    *,
    level: bool,
) -> dict[tuple[int, int], float]:
    """Return the entries to be lowered, with their new value.

    With ``low`` below the threshold and no entry of the valid rows below ``low``, the chosen
    pairs are in every assignment of largest total: where one is not, exchanging the two or three
    partners concerned gains their difference and loses nothing.
    """
    values = matrix[valid]
    finite = values[np.isfinite(values)]
    low = float(finite.min()) if len(finite) and not level else np.inf
    if not low < threshold:
        low = threshold - max(1.0, abs(threshold))
    competes = ~(values < threshold)
    rows = [valid.index(image) for image, _, _ in pairs]
    columns = [sentence for _, sentence, _ in pairs]
    competes[rows, :] = True
    competes[:, columns] = True
    competes |= level
    competes[rows, columns] = False
    change = competes & (values != low if level else ~(values <= low))
    return {(valid[row], column): low for row, column in np.argwhere(change).tolist()}
