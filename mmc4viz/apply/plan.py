"""Plan the changes to one document.

A plan refers to images, sentences and matrix entries by the document's original indices.
`edit_json` carries it out, and the reference walk confirms that the loader then does what was
planned (`Plan.holds`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmc4viz.apply.options import OWN, Options, loader_config
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.loader.tokenizer_files import END_OF_CHUNK, IMAGE
from mmc4viz.loader.walk import matched_pairs, walk
from mmc4viz.types import Document, DocumentError, Image, LoaderConfig, Outcome, PairStatus, Verdict

Match = tuple[int, int, float]
"""Image, sentence, score."""


def choose(
    document: Document, config: LoaderConfig, options: Options, lowest: float
) -> tuple[list[Match], list[Match], list[Match]]:
    """Return the selected pairs in image order, those over the cap, and those between thresholds.

    The last are below the document's threshold but reach ``lowest``, the loader's.
    """
    if options.drop_undecodable:
        document = all_decodable(document, config.min_kb)
    try:
        matched = matched_pairs(document, config)
    except DocumentError:
        return [], [], []
    surviving = [pair for pair in matched if not pair[2] < config.threshold]
    cap = config.max_images
    if options.cap == "best":
        ranked = sorted(range(len(surviving)), key=lambda at: -surviving[at][2])
        chosen = set(ranked[:cap])
    else:
        chosen = set(range(min(cap, len(surviving))))
    pairs = [pair for at, pair in enumerate(surviving) if at in chosen]
    over = [pair for at, pair in enumerate(surviving) if at not in chosen]
    return pairs, over, [pair for pair in matched if lowest <= pair[2] < config.threshold]


def all_decodable(document: Document, min_kb: int) -> Document:
    """Return a document without undecodable images; the same object if there are none."""
    images = tuple(if_decodable(image, min_kb) for image in document.images)
    same = all(new is old for new, old in zip(images, document.images, strict=True))
    return document if same else replace(document, images=images)


def if_decodable(image: Image, min_kb: int) -> Image:
    """Return an image, or a missing image if it would make its document unreadable."""
    unreadable = image.entry_error or (image.pixel_error and not image.too_small(min_kb))
    return Image(present=False) if unreadable else image


def expected_of(
    document: Document, pairs: list[Match], config: LoaderConfig, tokenizer: Tokenizer
) -> Verdict | None:
    """Return the reference walk of the selected pairs alone, in order."""
    if not pairs:
        return None
    matrix = np.zeros((len(pairs), max(sentence for _, sentence, _ in pairs) + 1))
    for row, (_, sentence, _) in enumerate(pairs):
        matrix[row, sentence] = 1.0
    alone = replace(document, images=(Image(present=True),) * len(pairs), similarity=matrix)
    sure = loader_config(config).with_(threshold=0.5, assignment="argmax")
    return walk(alone, sure, tokenizer)


def several(pairs: list[Match]) -> str | None:
    """Describe a sentence with several of the pairs' images; None if there is none."""
    sentences = [sentence for _, sentence, _ in pairs]
    for sentence in sentences:
        if (count := sentences.count(sentence)) > 1:
            return f"{count} images on sentence {sentence + 1}"
    return None


def is_mispaired(verdict: Verdict) -> bool:
    """Whether some image token does not get its own image."""
    return verdict.mispaired > 0 or any(bound.pair_image is None for bound in verdict.binding)


Scores = Mapping[tuple[int, int], float]
"""Scores by image and sentence."""

_SPECIALS = (IMAGE, END_OF_CHUNK)


@dataclass(frozen=True, slots=True)
class Edit:
    """Changes to one document's JSON.

    Attributes
    ----------
    drop : frozenset of int
        Images whose ``image_base64`` is removed.
    order : tuple of int
        The image at each position; empty if the order is unchanged.
    sentences : mapping of int to str
        New texts of sentences.
    matrix : list of list of float, or None
        Replacement for the whole matrix, rows in the original image order.
    scores : mapping of (int, int) to float
        New values of matrix entries, by image and sentence.
    lowered : int
        How many of these were lowered because they compete with selected pairs.
    """

    drop: frozenset[int] = frozenset()
    order: tuple[int, ...] = ()
    sentences: Mapping[int, str] = field(default_factory=dict)
    matrix: list[list[float]] | None = None
    scores: Scores = field(default_factory=dict)
    lowered: int = 0


def valid_images(document: Document, min_kb: int) -> frozenset[int]:
    """Return the images that are present and large enough."""
    return frozenset(
        at
        for at, image in enumerate(document.images)
        if image.present and not image.too_small(min_kb)
    )


def to_drop(
    document: Document,
    pairs: list[Match],
    others: list[Match],
    config: LoaderConfig,
    options: Options,
) -> frozenset[int]:
    """Return the images whose bytes are removed, given other pairs that the loader would take."""
    images, chosen = document.images, {image for image, _, _ in pairs}
    if not options.keep_rejected_images:
        return frozenset(at for at, image in enumerate(images) if image.present) - chosen
    small = valid_images(document, OWN.min_kb) - valid_images(document, config.min_kb)
    bad = {
        at
        for at, image in enumerate(images)
        if image.present and not if_decodable(image, OWN.min_kb).present
    }
    return frozenset({image for image, _, _ in others} | small | bad)


def new_order(document: Document, pairs: list[Match]) -> tuple[int, ...]:
    """Return the image at each position: selected images are permuted among their positions."""
    images = [image for image, _, _ in pairs]
    order = list(range(len(document.images)))
    for place, image in zip(sorted(images), images, strict=True):
        order[place] = image
    return tuple(order) if images != sorted(images) else ()


def spaced_sentences(document: Document, pairs: list[Match]) -> tuple[dict[int, str], int]:
    """Break up literal special tokens by a space; return the changed sentences and a count."""
    texts = document.sentences if isinstance(document.sentences, list) else []
    own = {sentence for _, sentence, _ in pairs}
    spaced, count = {}, 0
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            if at not in own:
                continue
            text = f"{text}"  # as the loader formats it
        found = sum(text.count(special) for special in _SPECIALS)
        if found:
            spaced[at] = text.replace(IMAGE, "< image>").replace(END_OF_CHUNK, "< |endofchunk|>")
            count += found
    return spaced, count


def rescored(document: Document, pairs: list[Match], config: LoaderConfig) -> dict[Any, float]:
    """Return the matrix entries of selected pairs whose stored score differs from the matrix."""
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
    """Return the matrix entries to lower, with their new value.

    With ``low`` below the threshold and no entry of the valid rows below ``low``, every assignment
    with the largest total contains the selected pairs: if one were missing, swapping the two or
    three partners involved would increase the total.
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


_HANDED_OVER = (PairStatus.KEPT, PairStatus.TRUNCATED)


@dataclass(frozen=True)
class Plan:
    """What is selected from one document, and how to achieve it.

    Attributes
    ----------
    pairs : tuple of Match
        The selected pairs in the order in which the loader should hand over their images; empty
        for a document that the settings drop.
    expected : Verdict or None
        The expected result of the loader; None for a dropped document.
    edit : Edit
        The first edit to try.
    is_right : bool
        Whether the document is correct without changes.
    spaced : int
        Number of literal special tokens to break up.
    shared : str or None
        Description of a sentence with several images, which the loader cannot produce.
    impossible : str or None
        Why the document cannot be rewritten.
    rescued : bool
        Whether a removed image would have made the document unreadable.
    rejected_anyway : bool
        Whether the loader drops the document as it is.
    other_odds : bool
        Whether the options change the document's keep probability.
    """

    pairs: tuple[Match, ...] = ()
    expected: Verdict | None = None
    edit: Edit = field(default_factory=Edit)
    is_right: bool = False
    spaced: int = 0
    shared: str | None = None
    impossible: str | None = None
    rescued: bool = False
    rejected_anyway: bool = False
    other_odds: bool = False

    def holds(self, verdict: Verdict, order: tuple[int, ...]) -> bool:
        """Whether the walk of the rewritten document is as planned; ``order`` is the edit's."""
        if self.expected is None:
            return verdict.keep_probability == 0
        wanted = [
            (image, sentence, pair.status)
            for (image, sentence, _), pair in zip(self.pairs, self.expected.pairs, strict=True)
        ]
        return _handed_over(verdict, order) == wanted and all(
            getattr(verdict, name) == getattr(self.expected, name)
            for name in ("outcome", "keep_probability", "image_tokens", "text_tokens", "mispaired",
                         "token_ids")
        )  # fmt: skip


def _handed_over(verdict: Verdict, order: tuple[int, ...]) -> list[tuple[int, int, PairStatus]]:
    """Return the pairs within the cap, by original image indices."""
    return [
        (order[pair.image] if order else pair.image, pair.sentence, pair.status)
        for pair in verdict.pairs
        if pair.status in _HANDED_OVER
    ]


def plan_document(
    document: Document,
    config: LoaderConfig,
    options: Options,
    tokenizer: Tokenizer,
    own: Document | None = None,
    lowest: float | None = None,
) -> Plan:
    """Plan the changes to one document.

    Parameters
    ----------
    document : Document
        With validated images and the scores on which the settings were chosen.
    config : LoaderConfig
        The chosen settings.
    options : Options
    tokenizer : Tokenizer
    own : Document, optional
        The document in the shard, if its scores are different.
    lowest : float, optional
        The loader's threshold, if it is lower than this document's.
    """
    lowest = config.threshold if lowest is None else lowest
    loader = walk(own or document, loader_config(config).with_(threshold=lowest), tokenizer)
    sorting = options.order == "sentence"
    pairs, over, between = choose(document, config, options, lowest)
    if sorting:
        pairs = sorted(pairs, key=lambda pair: pair[1])
    sentences, spaced = spaced_sentences(document, pairs) if sorting else ({}, 0)
    expected = expected_of(_with(document, sentences), pairs, config, tokenizer)
    probability = 0.0 if expected is None else expected.keep_probability
    bad = options.drop_undecodable and all_decodable(document, config.min_kb) is not document
    other = bool(spaced or bad or (options.cap == "best" and over))
    other = other and walk(document, config, tokenizer).keep_probability != probability
    if expected is None or expected.outcome is not Outcome.KEPT:
        return replace(_rejected(document, loader, options), other_odds=other)
    plan = Plan(tuple(pairs), expected, shared=several(pairs), rescued=bad, other_odds=other)
    if plan.shared is not None:
        return plan
    if sorting and is_mispaired(expected):
        return replace(
            plan, impossible="a literal <image> token in its text cannot be given an image"
        )
    drop = to_drop(document, pairs, over + between, config, options)
    untouched = own is None and not sentences and (options.keep_rejected_images or not drop)
    if untouched and plan.holds(loader, ()):
        return replace(plan, is_right=True)
    edit = Edit(
        drop,
        new_order(document, pairs),
        sentences,
        None if own is None else np.array(document.similarity).tolist(),
        rescored(document, pairs, config),
    )
    return replace(plan, edit=edit, spaced=spaced)


def attempts(plan: Plan, document: Document, config: LoaderConfig) -> Iterator[Edit]:
    """Yield edits that may achieve a plan, smallest changes first.

    The planned edit; the same with competing matrix entries lowered; the same with all entries but
    those of the selected pairs set to one low value.
    """
    yield plan.edit
    if plan.expected is None:
        return
    rows = np.array(document.similarity).astype(np.float64)
    valid = valid_images(document, OWN.min_kb) - plan.edit.drop
    for level in (False, True):
        scores = lowered_entries(rows, sorted(valid), plan.pairs, config.threshold, level=level)
        yield replace(plan.edit, scores={**plan.edit.scores, **scores}, lowered=len(scores))


def _with(document: Document, sentences: Mapping[int, str]) -> Document:
    if not sentences:
        return document
    texts = [sentences.get(at, text) for at, text in enumerate(document.sentences)]
    return replace(document, sentences=texts)


def _rejected(document: Document, loader: Verdict, options: Options) -> Plan:
    """Plan for a document that the settings drop: the loader must drop it as well."""
    present = frozenset(at for at, image in enumerate(document.images) if image.present)
    rejects = loader.keep_probability == 0
    keep = options.keep_rejected_images or document.error is not None or not present
    return Plan(edit=Edit(drop=present), is_right=rejects and keep, rejected_anyway=rejects)
