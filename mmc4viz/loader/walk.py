"""The reference walk: what the loader does to one document, step by step.

It is the specification that the fast path must match, and serves ``explain`` and the document view.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.loader.assignment import Match
from mmc4viz.loader.draws import Draws, expected
from mmc4viz.loader.profile import (
    NOT_STORED,
    OPENFLAMINGO,
    Cap,
    LoaderProfile,
    Order,
    n_rows,
    profile_of,
    valid_images,
)
from mmc4viz.loader.sequence import (
    NO_SEQUENCE,
    ChunkText,
    CutSequence,
    Interleaved,
    Owners,
    chunk_texts,
    interleave,
    interleave_chatgpt,
    mark_numbers,
    read_sequence,
    sequence_of,
)
from mmc4viz.loader.template import TokenizedUnit
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.types import (
    ABSENT,
    NEIGHBOR,
    Binding,
    Document,
    DocumentError,
    Image,
    ImageStatus,
    LoaderConfig,
    Outcome,
    Pair,
    PairStatus,
    Verdict,
)

_NO_POSITION: Final = "a matched_text_index is not the position of a sentence"


def walk(document: Document, config: LoaderConfig, tokenizer: Tokenizer) -> Verdict:
    """Return what the loader does to one document.

    Parameters
    ----------
    document : Document
        As parsed, with measured images.
    config : LoaderConfig
        The settings; ``config.loader`` says which loader.
    tokenizer : Tokenizer
        The tokenizer named by ``config.tokenizer``, with any loader's special tokens.

    Returns
    -------
    Verdict
        Malformed documents give a verdict, never an exception.

    Notes
    -----
    Follows ``preprocess_interleaved`` in OpenFlamingo's ``train/data.py``, with the random drop of
    single-image documents expressed as a probability.
    """
    profile = profile_of(config)
    tokenizer = profile.tokenizer(tokenizer)
    document = profile.page_of(document)
    images, failure = _examined(document, config.min_kb, profile)
    if failure is not None:
        return _unreadable(document, images, failure)
    if document.is_gpt:
        return _walk_chatgpt(document, config, tokenizer)
    try:
        matches = profile.matcher(document, images, config)
        if ImageStatus.MATCHED not in images:
            return Verdict(
                document.key, Outcome.NO_VALID_IMAGE, _no_valid_image(images), images=tuple(images)
            )
        return _judge(document, config, tokenizer, profile, images, matches)
    except DocumentError as error:
        return _unreadable(document, _none_matched(images), str(error))


def matched_pairs(document: Document, config: LoaderConfig) -> list[tuple[int, int, float]]:
    """Return a document's matched pairs as (image, sentence, score), whatever their status.

    Raises
    ------
    DocumentError
        When the document is unreadable before or during matching.
    """
    return _pairs(*_matches(document, config))


def pairs_and_turns(
    document: Document, config: LoaderConfig
) -> tuple[list[tuple[int, int, float]], list[float]]:
    """Return a document's matched pairs, and the thresholds up to which an image survives.

    The latter descend, and are all thresholds at which the verdict may change. Both are empty if
    the document is unreadable before or during matching.
    """
    try:
        valid, matches = _matches(document, config)
    except DocumentError:
        return [], []
    scores = {match.score for match in matches if math.isfinite(match.score)}
    return _pairs(valid, matches), sorted(scores, reverse=True) if config.has_threshold else []


def _pairs(valid: Sequence[int], matches: Sequence[Match]) -> list[tuple[int, int, float]]:
    return [
        (valid[match.row], match.sentence, match.score) for match in matches if match.sentence >= 0
    ]


def _matches(document: Document, config: LoaderConfig) -> tuple[list[int], list[Match]]:
    """Return the valid images, and the matches among them."""
    profile = profile_of(config)
    document = profile.page_of(document)
    images, failure = _examined(document, config.min_kb, profile)
    if failure is not None or document.is_gpt:
        raise DocumentError(failure or "this document has no matched pairs")
    return valid_images(images), profile.matcher(document, images, config)


def _examined(
    document: Document, min_kb: int, profile: LoaderProfile
) -> tuple[list[ImageStatus], str | None]:
    """Return the images' statuses in loader order, and why the document is unreadable, if it is.

    Valid images count as matched until matching. The first image that makes the document
    unreadable is the last one examined, and no image is matched.
    """
    error = document.error
    if document.similarity is ABSENT and not profile.needs_matrix:
        error = None
    if document.is_gpt and not profile.reads_chatgpt:
        error = error or "ChatGPT-generated, which this loader cannot read"
    if document.is_gpt:  # read alike by all that read it, without a size limit
        profile, min_kb = OPENFLAMINGO, -1
    lost = ImageStatus.LOST_WITH_DOCUMENT
    try:
        within = n_rows(document) if profile.to_shorter else None
    except DocumentError as failure:
        error = error or str(failure)
    if error is not None:
        return [lost] * len(document.images), error
    statuses: list[ImageStatus] = []
    for image in document.images[:within]:
        status, failed = _status(image, profile, min_kb)
        statuses.append(status)
        if failed is not None:
            n_images = len(document.images)
            reason = f"image {len(statuses)} of {n_images} {failed}"
            return _none_matched(statuses) + [lost] * (n_images - len(statuses)), reason
    beyond = document.images[len(statuses) :]
    unread = [ImageStatus.UNMATCHED if one.present else ImageStatus.MISSING for one in beyond]
    return statuses + unread, None


def _status(image: Image, profile: LoaderProfile, min_kb: int) -> tuple[ImageStatus, str | None]:
    """Return an image's status before matching, and what makes its document unreadable."""
    if not image.present:
        return ImageStatus.MISSING, "is missing" if profile.missing_is_fatal else None
    if image.entry_error is not None:
        reason = f"cannot be decoded: {image.entry_error}"
        return ImageStatus.UNDECODABLE, reason if profile.broken_is_fatal else None
    if image.too_small(min_kb):
        return ImageStatus.TOO_SMALL, None
    filled = profile.fills_truncated and image.truncated
    if image.pixel_error is not None and profile.decodes_all and not filled:
        reason = f"cannot be decoded: {image.pixel_error}"
        return ImageStatus.UNDECODABLE, reason if profile.broken_is_fatal else None
    return ImageStatus.MATCHED, None


def _none_matched(statuses: Sequence[ImageStatus]) -> list[ImageStatus]:
    return [
        ImageStatus.UNMATCHED if status is ImageStatus.MATCHED else status for status in statuses
    ]


def _no_valid_image(images: Sequence[ImageStatus]) -> str:
    if not images:
        return "the document has no images"
    words = {
        ImageStatus.MISSING: "missing",
        ImageStatus.TOO_SMALL: "too small",
        ImageStatus.UNDECODABLE: "broken",
        ImageStatus.UNMATCHED: "without a matrix row",
    }
    counts = [f"{n} {word}" for status, word in words.items() if (n := images.count(status))]
    return f"{_count(len(images), 'image')}: {', '.join(counts)}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _unreadable(document: Document, images: Sequence[ImageStatus], reason: str) -> Verdict:
    return Verdict(document.key, Outcome.UNREADABLE, reason, images=tuple(images))


def _passed(matches: Sequence[Match], config: LoaderConfig) -> list[Match]:
    return [match for match in matches if not match.score < config.lowest_score]


def _judge(
    document: Document,
    config: LoaderConfig,
    tokenizer: Tokenizer,
    profile: LoaderProfile,
    before: Sequence[ImageStatus],
    found: Sequence[Match],
) -> Verdict:
    """Apply everything after matching: threshold, cap, text and tokens."""
    valid = valid_images(before)
    surviving = _passed(found, config)
    kept = surviving if profile.cap is Cap.NONE else surviving[: config.max_images]
    if not profile.decodes_all:
        lost = _lost_late(document, before, [(valid[one.row], one.sentence) for one in surviving])
        if lost is not None:
            return lost
    if not profile.is_random and any(match.sentence < 0 for match in kept):
        raise DocumentError(_NO_POSITION)
    candidates = surviving if profile.cap is Cap.RANDOM else kept
    matches = [match for match in found if match.sentence >= 0]
    surviving = [match for match in surviving if match.sentence >= 0]
    matched = {valid[match.row] for match in matches}
    images = [
        ImageStatus.UNMATCHED if status is ImageStatus.MATCHED and i not in matched else status
        for i, status in enumerate(before)
    ]
    status_of = {match.row: PairStatus.OVER_CAP for match in surviving}

    def pair(match: Match) -> Pair:
        status = status_of.get(match.row, PairStatus.BELOW_THRESHOLD)
        return Pair(valid[match.row], match.sentence, match.score, status)

    if kept and profile.is_random:
        pairs = [(match, pair(match)) for match in matches]
        return _draw(document, config, tokenizer, profile, images, pairs, candidates)
    n_images = 0
    if not kept:
        best = max((match.score for match in matches), default=None)
        outcome, sequence = Outcome.BELOW_THRESHOLD, NO_SEQUENCE
        detail: str | None = "no image is matched to a sentence"
        if best is not None:
            detail = f"best score {best:.4g} ({_count(len(matches), 'pair')})"
    else:
        if profile.order is Order.SENTENCE:
            kept = sorted(kept, key=lambda match: match.place)
        sequence = sequence_of(document, kept, tokenizer, config.max_tokens, profile.template)
        n_images = len(kept) if profile.counts_images else sequence.image_tokens
        at_end = profile.checks_end and sequence.ends_with_image
        outcome, detail = _outcome(n_images, config, at_end=at_end, counted=_unit(profile))
    status_of |= {
        match.row: PairStatus.KEPT if survives else PairStatus.TRUNCATED
        for match, survives in zip(kept, sequence.survives, strict=False)
    }
    handed = kept if profile.hands_over_cut else kept[: sum(sequence.survives)]
    return Verdict(
        document.key,
        outcome,
        detail,
        keep_probability=_keep_probability(outcome, n_images, config),
        image_tokens=sequence.image_tokens,
        text_tokens=sequence.text_tokens,
        mispaired=sequence.mispaired,
        shape=sequence.shape,
        images=tuple(images),
        pairs=tuple(pair(match) for match in matches),
        token_ids=sequence.ids,
        binding=tuple(
            Binding(
                None if place is None else valid[kept[place].row],
                valid[handed[rank].row] if rank < len(handed) else None,
                mispaired,
            )
            for rank, (place, mispaired) in enumerate(_image_tokens(sequence))
        ),
        handed_over=len(handed),
        single_image=outcome is Outcome.KEPT and n_images == 1,
    )


def _draw(
    document: Document,
    config: LoaderConfig,
    tokenizer: Tokenizer,
    profile: LoaderProfile,
    images: Sequence[ImageStatus],
    pairs: Sequence[tuple[Match, Pair]],
    candidates: Sequence[Match],
) -> Verdict:
    """Return the means over what a loader draws at random: images that stay, and their places."""
    draws = Draws.of(candidates, config, profile)
    readable = float(draws.readable)
    if not readable:
        raise DocumentError(_NO_POSITION)
    found = expected(document, draws, tokenizer, profile.template)
    n_images = draws.n_drawn if profile.counts_images else found.image_tokens
    outcome, detail = _outcome(n_images, config, at_end=False, counted=_unit(profile))
    if outcome is Outcome.KEPT and readable < 1:
        detail = f"kept with p = {readable:.4g}: a matched_text_index is no sentence's position"
    chance = float(draws.each)
    return Verdict(
        document.key,
        outcome,
        detail,
        keep_probability=_keep_probability(outcome, n_images, config) * readable,
        image_tokens=found.image_tokens,
        text_tokens=found.text_tokens,
        mispaired=found.mispaired,
        shape=found.shape,
        images=tuple(images),
        pairs=tuple(
            replace(pair, status=PairStatus.KEPT, probability=chance)
            if match in draws.candidates
            else pair
            for match, pair in pairs
        ),
        handed_over=draws.n_drawn,
        readable=readable,
        single_image=outcome is Outcome.KEPT and n_images == 1,
    )


def draws_of(document: Document, config: LoaderConfig) -> Draws | None:
    """Return what a loader that draws at random can make of a document; None if nothing.

    Rows of its matches are the document's images. `mmc4viz.loader.draws.sequence_of_draw` gives an
    outcome's sequence.
    """
    profile = profile_of(config)
    if not profile.is_random:
        return None
    try:
        valid, matches = _matches(document, config)
    except DocumentError:
        return None
    passed = _passed([match._replace(row=valid[match.row]) for match in matches], config)
    return Draws.of(passed, config, profile) if passed else None


def _lost_late(
    document: Document, before: Sequence[ImageStatus], surviving: Iterable[tuple[int, int]]
) -> Verdict | None:
    """Return the verdict of a document that an image loses once its score has passed, if any does.

    Surviving matches are given as (image, sentence). Raises a DocumentError for an image whose
    sentence is not stored.
    """
    for number, sentence in surviving:
        reason = document.images[number].pixel_error
        if reason is not None:
            images = _none_matched(before)
            images[number] = ImageStatus.UNDECODABLE
            where = f"image {number + 1} of {len(images)}"
            return _unreadable(document, images, f"{where} cannot be decoded: {reason}")
        if sentence == NOT_STORED:
            raise DocumentError(f"image {number + 1} has no matched_text_index")
    return None


def training_text(
    document: Document, verdict: Verdict, config: LoaderConfig, tokenizer: Tokenizer
) -> Interleaved:
    """Write the text that a kept document's sequence is cut from.

    Raises
    ------
    DocumentError
        When the loader fails to write it, or writes no text as a whole.
    """
    profile = profile_of(config)
    tokenizer, document = profile.tokenizer(tokenizer), profile.page_of(document)
    if profile.template.unit is TokenizedUnit.CHUNKS:
        raise DocumentError("this loader writes chunks, and no text as a whole")
    if document.is_gpt:
        return interleave_chatgpt(document.example, config.max_images, tokenizer.end_of_text)
    with_token = PairStatus.KEPT, PairStatus.TRUNCATED
    kept = [pair.sentence for pair in verdict.pairs if pair.status in with_token]
    sentences = profile.template.sentences(document.sentences)
    return interleave(sentences, kept, tokenizer.end_of_text, chunks=tokenizer.chunks)


def training_chunks(
    document: Document, config: LoaderConfig, tokenizer: Tokenizer
) -> tuple[list[ChunkText], list[int]]:
    """Return the chunks that a document's sequence is cut from, and the image after each.

    Only for a loader that writes chunks. There may be a last chunk without an image.

    Raises
    ------
    DocumentError
        When the loader fails on the document.
    """
    profile = profile_of(config)
    valid, matches = _matches(document, config)
    passed = _passed(matches, config)
    kept = sorted(passed[: profile.cap_of(config)], key=lambda match: match.place)
    sentences, indices = profile.page_of(document).sentences, [match.place for match in kept]
    chunks = chunk_texts(sentences, indices, profile.tokenizer(tokenizer), profile.template)
    return chunks, [valid[match.row] for match in kept]


def _walk_chatgpt(document: Document, config: LoaderConfig, tokenizer: Tokenizer) -> Verdict:
    """Walk a ChatGPT-generated document: no matching, size filter or single-image rules."""
    images = (ImageStatus.MATCHED,) * len(document.images)
    text = interleave_chatgpt(document.example, config.max_images, tokenizer.end_of_text)
    targets = [number - 1 for number in mark_numbers(document.example)]
    try:
        sequence = read_sequence(text, tokenizer, config.max_tokens, Owners(targets))
    except DocumentError as error:
        return _unreadable(document, _none_matched(images), str(error))
    few = sequence.image_tokens < config.min_images
    handed_over = min(len(images), config.max_images)
    return Verdict(
        document.key,
        Outcome.TOO_FEW_IMAGES if few else Outcome.KEPT,
        _too_few(sequence.image_tokens, config, "image token") if few else None,
        keep_probability=0.0 if few else 1.0,
        image_tokens=sequence.image_tokens,
        text_tokens=sequence.text_tokens,
        mispaired=sequence.mispaired,
        shape=sequence.shape,
        images=images,
        token_ids=sequence.ids,
        binding=tuple(
            Binding(
                None if place is None else targets[place],
                rank if rank < handed_over else None,
                mispaired,
            )
            for rank, (place, mispaired) in enumerate(_image_tokens(sequence))
        ),
        handed_over=handed_over,
    )


def _image_tokens(sequence: CutSequence) -> Iterator[tuple[int | None, bool]]:
    return zip(sequence.places, sequence.is_mispaired, strict=True)


def _unit(profile: LoaderProfile) -> str:
    return "image" if profile.counts_images else "image token"


def _outcome(
    n_images: int, config: LoaderConfig, *, at_end: bool, counted: str
) -> tuple[Outcome, str | None]:
    """Return the outcome of a document with so many images (or image tokens, as counted)."""
    if n_images < config.min_images:
        return Outcome.TOO_FEW_IMAGES, _too_few(n_images, config, counted)
    if n_images == 1 and at_end:
        return Outcome.SINGLE_IMAGE_AT_END, "the only image token is the last token"
    if n_images == 1 and config.single_image_keep < 1:
        return Outcome.KEPT, f"single image, kept with p = {config.single_image_keep:g}"
    return Outcome.KEPT, None


def _too_few(n_images: int, config: LoaderConfig, counted: str) -> str:
    after = " after truncation" if counted == "image token" else ""
    return f"{_count(n_images, counted)}{after}, fewer than {config.min_images}"


def _keep_probability(outcome: Outcome, n_images: int, config: LoaderConfig) -> float:
    if outcome is not Outcome.KEPT:
        return 0.0
    return config.single_image_keep if n_images == 1 else 1.0


MOST_STATES: Final = 100


@dataclass(frozen=True, slots=True)
class State:
    """A document's verdict at every threshold above ``low`` and up to ``high``.

    ``high`` is infinity in the first state, ``low`` minus infinity in the last. A threshold equal
    to a pair's score keeps the pair.
    """

    low: float
    high: float
    verdict: Verdict

    def holds(self, threshold: float) -> bool:
        """Whether the document is in this state at a threshold."""
        return self.low < threshold <= self.high


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The best sentence not assigned to an image; ``sentence`` is None if there is no other."""

    sentence: int | None
    score: float
    margin: float


def states(
    document: Document, config: LoaderConfig, tokenizer: Tokenizer, most: int = MOST_STATES
) -> list[State]:
    """Return a document's states, from the highest threshold down.

    A document with m pairs has up to m + 1 states, of which at most ``most`` are returned.
    """
    _, scores = pairs_and_turns(document, config)
    above = float(np.nextafter(scores[0], np.inf)) if scores else config.threshold
    above = min(above, float(np.finfo(np.float64).max))
    at = [above, *scores][:most]
    ends = [math.inf, *scores, -math.inf]
    return [
        State(low, high, walk(document, config.with_(threshold=threshold), tokenizer))
        for threshold, high, low in zip(at, ends, ends[1:], strict=False)
    ]


def assigned(document: Document, config: LoaderConfig, tokenizer: Tokenizer) -> dict[str, Verdict]:
    """Return a document's verdict under each assignment that the loader knows."""
    by_page = len(config.assignments) > 1 and document.in_page_order
    extra = [NEIGHBOR] if by_page else []
    return {
        name: walk(document, config.with_(assignment=name), tokenizer)
        for name in dict.fromkeys((*config.assignments, *extra))
    }


def matrix_of(document: Document) -> NDArray[np.float64] | None:
    """Return the similarity matrix, images × sentences; None if it is malformed."""
    try:
        matrix = np.array(document.similarity)
    except Exception:  # the walk reports what is wrong
        return None
    if matrix.ndim != 2 or matrix.dtype.kind not in "iuf" or not matrix.size:
        return None
    return matrix.astype(np.float64)


def runner_ups(matrix: NDArray[Any] | None, pairs: Iterable[Pair]) -> list[RunnerUp]:
    """Return, for each pair, the highest score of its image with another sentence.

    The margin is the pair's score minus that score; it is negative if the assignment gave up a
    better sentence for this image.

    Examples
    --------
    >>> from mmc4viz.types import PairStatus
    >>> runner_ups(np.array([[0.3, 0.5, 0.1]]), [Pair(0, 0, 0.25, PairStatus.KEPT)])
    [RunnerUp(sentence=1, score=0.5, margin=-0.25)]
    """
    return [_runner_up(matrix, pair) for pair in pairs]


def _runner_up(matrix: NDArray[Any] | None, pair: Pair) -> RunnerUp:
    if matrix is None or pair.image >= len(matrix) or matrix.shape[1] < 2:
        return RunnerUp(None, math.nan, math.nan)
    others = np.where(np.isnan(matrix[pair.image]), -np.inf, matrix[pair.image])
    if pair.sentence < len(others):
        others[pair.sentence] = -np.inf
    best = int(others.argmax())
    score = float(others[best])
    return RunnerUp(best, score, pair.score - score)
