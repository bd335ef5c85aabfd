"""What becomes of every document and pair under a setting, some shards at a time.

Built chunk by chunk from matched columns, so that memory does not grow with the corpus; equal to
what the walk says of each document. Nothing is read from shards; `tables` and `ids` write it down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.arrays import Ints
from mmc4viz.corpus.matched import Matched, Part
from mmc4viz.corpus.tally import CLASS
from mmc4viz.corpus.verdicts import Verdicts, verdicts
from mmc4viz.loader.walk import walk
from mmc4viz.model import Fate, LoaderConfig

CHUNK: Final = 1 << 16  # documents that are resolved and written together, at least a shard

FATES: Final = tuple(str(fate) for fate in Fate)


@dataclass(frozen=True)
class Chunk:
    """Some shards' documents with their pairs, in the corpus's order.

    Attributes
    ----------
    parts : sequence of Part
    found : Verdicts
    probability : ndarray of float64, shape (documents,)
        With which the model gets the document.
    first : ndarray of int64, shape (documents + 1,)
        Where each document's pairs begin.
    image, sentence : ndarray of int64, shape (pairs,)
    score : ndarray of float64, shape (pairs,)
    fate : ndarray of int8, shape (pairs,)
        Its place among `mmc4viz.model.Fate`.
    """

    parts: list[Part]
    found: Verdicts
    probability: NDArray[np.float64]
    first: Ints
    image: Ints
    sentence: Ints
    score: NDArray[np.float64]
    fate: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.probability)


def chunks(matched: Matched, config: LoaderConfig, size: int = CHUNK) -> Iterator[Chunk]:
    """Say what becomes of every document and pair, some shards at a time.

    Parameters
    ----------
    matched : Matched
        Under the setting's size limit and assignment.
    config : LoaderConfig
        The whole setting.
    size : int
        Documents of a chunk, at the least one shard's.
    """
    waiting: list[Part] = []
    for part in matched.parts:
        waiting.append(part)
        if sum(len(one.columns) for one in waiting) >= size:
            yield _chunk(waiting, config)
            waiting = []
    if waiting:
        yield _chunk(waiting, config)


def _chunk(parts: list[Part], config: LoaderConfig) -> Chunk:
    found = verdicts(Matched(parts, config), config)
    document, image, sentence, score = _plain_pairs(parts)
    fate = _plain_fates(document, image, sentence, score, found, config)
    kind = found.kind
    probability = (kind == CLASS["kept_surely"]).astype(np.float64)
    probability[kind == CLASS["kept_by_coin"]] = config.single_image_keep
    walked = _walked(parts, config)
    columns = zip((document, image, sentence, score, fate), walked, strict=True)
    document, image, sentence, score, fate = (np.concatenate(both) for both in columns)
    order = np.lexsort((image, document))
    first = np.concatenate([[0], np.cumsum(np.bincount(document, minlength=len(kind)))])
    return Chunk(
        parts,
        found,
        probability,
        first.astype(np.int64),
        image[order].astype(np.int64),
        sentence[order].astype(np.int64),
        score[order],
        fate[order].astype(np.int8),
    )


def _starts(parts: list[Part]) -> Ints:
    return np.cumsum([0, *(len(part.columns) for part in parts)])


def _plain_pairs(parts: list[Part]) -> tuple[NDArray[Any], ...]:
    """Return document, image, sentence and score of plain documents' pairs, by image."""
    matches = [part.matches for part in parts]
    starts = _starts(parts)
    document = np.concatenate(
        [np.zeros(0, np.int64), *(m.document + s for m, s in zip(matches, starts, strict=False))]
    )
    others = (
        np.concatenate([np.zeros(0, dtype), *(getattr(m, name) for m in matches)])
        for name, dtype in (("image", np.int32), ("sentence", np.int32), ("score", np.float64))
    )
    image, sentence, score = others
    order = np.lexsort((image, document))
    return document[order], image[order], sentence[order], score[order]


def _plain_fates(
    document: Ints,
    image: Ints,
    sentence: Ints,
    score: NDArray[np.float64],
    found: Verdicts,
    config: LoaderConfig,
) -> NDArray[np.int8]:
    """Say what becomes of plain documents' pairs, which stand by document, then image.

    Image tokens stand in the text by sentence, then image; the cut leaves the first of them.
    """
    fate = np.full(len(document), FATES.index(Fate.BELOW_THRESHOLD), np.int8)
    surviving = np.flatnonzero(score >= config.threshold)
    within = _rank(document[surviving]) < config.max_images
    fate[surviving[~within]] = FATES.index(Fate.OVER_CAP)
    kept = surviving[within]
    kept = kept[np.lexsort((image[kept], sentence[kept], document[kept]))]
    left = _rank(document[kept]) < found.image_tokens[document[kept]]
    fate[kept[left]] = FATES.index(Fate.KEPT)
    fate[kept[~left]] = FATES.index(Fate.TRUNCATED)
    return fate


def _rank(document: Ints) -> Ints:
    """Count the entries of each document from 0, where documents stand together.

    Examples
    --------
    >>> _rank(np.array([3, 3, 5, 5, 5]))
    array([0, 1, 0, 1, 2])
    """
    here = np.arange(len(document))
    begins = np.concatenate([[True], document[1:] != document[:-1]])[: len(document)]
    return here - np.maximum.accumulate(np.where(begins, here, 0))


def _walked(parts: list[Part], config: LoaderConfig) -> tuple[NDArray[Any], ...]:
    """Return document, image, sentence, score and fate of the pairs that the walk tells."""
    rows: list[tuple[int, int, int, float, int]] = []
    for part, start in zip(parts, _starts(parts).tolist(), strict=False):
        for row, document in part.literal.items():
            verdict = walk(document, config, part.columns.tokenizer)
            rows += [
                (start + row, p.image, p.sentence, p.score, FATES.index(p.fate))
                for p in verdict.pairs
            ]
    whole = [np.array([row[n] for row in rows], np.int64) for n in (0, 1, 2, 4)]
    return (*whole[:3], np.array([row[3] for row in rows], np.float64), whole[3])


def storable(text: str) -> str:
    """Escape the lone surrogates of a path, which no file takes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
