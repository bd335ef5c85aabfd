"""What a setting with options chooses of one document: its pairs, and what comes of exactly them.

The walk's own steps with another cap, another order, and images left out. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmc4viz.handover.options import Options, loader_config
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.loader.walk import matched_pairs, walk
from mmc4viz.model import Document, DocumentError, Image, LoaderConfig, Verdict

Match = tuple[int, int, float]
"""Image, sentence, score."""


def choose(
    document: Document, config: LoaderConfig, options: Options
) -> tuple[list[Match], list[Match]]:
    """Return the chosen pairs in image order, and the surviving ones over the cap."""
    if options.drop_undecodable:
        document = all_decodable(document, config.min_kb)
    try:
        matched = matched_pairs(document, config)
    except DocumentError:
        return [], []
    surviving = [pair for pair in matched if not pair[2] < config.threshold]
    cap = config.max_images
    if options.cap == "best":
        ranked = sorted(range(len(surviving)), key=lambda at: -surviving[at][2])
        chosen = set(ranked[:cap])
    else:
        chosen = set(range(min(cap, len(surviving))))
    pairs = [pair for at, pair in enumerate(surviving) if at in chosen]
    return pairs, [pair for at, pair in enumerate(surviving) if at not in chosen]


def all_decodable(document: Document, min_kb: int) -> Document:
    """Return a document without the images that would cost it; itself where there is none."""
    images = tuple(if_decodable(image, min_kb) for image in document.images)
    same = all(new is old for new, old in zip(images, document.images, strict=True))
    return document if same else replace(document, images=images)


def if_decodable(image: Image, min_kb: int) -> Image:
    """Return an image, or a missing one in the place of one that would cost its document."""
    lost = image.entry_error or (image.pixel_error and not image.too_small(min_kb))
    return Image(present=False) if lost else image


def expected_of(
    document: Document, pairs: list[Match], config: LoaderConfig, tokenizer: Tokenizer
) -> Verdict | None:
    """Walk the chosen pairs alone: their images, in order, and no doubt about their sentences."""
    if not pairs:
        return None
    matrix = np.zeros((len(pairs), max(sentence for _, sentence, _ in pairs) + 1))
    for row, (_, sentence, _) in enumerate(pairs):
        matrix[row, sentence] = 1.0
    alone = replace(document, images=(Image(present=True),) * len(pairs), similarity=matrix)
    sure = loader_config(config).with_(threshold=0.5, assignment="argmax")
    return walk(alone, sure, tokenizer)


def several(pairs: list[Match]) -> str | None:
    """Return words for a sentence that has several of the pairs' images, if any has."""
    sentences = [sentence for _, sentence, _ in pairs]
    for sentence in sentences:
        if (count := sentences.count(sentence)) > 1:
            return f"{count} images on sentence {sentence + 1}"
    return None


def is_misbound(verdict: Verdict) -> bool:
    """Whether some image token is without its own image."""
    return verdict.misbound > 0 or any(bound.pair_image is None for bound in verdict.binding)
