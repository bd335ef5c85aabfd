"""Pairs around the threshold with their image and sentence, read again from the shards.

Which pairs they are and what becomes of them is `mmc4viz.corpus.pairs`' answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmc4viz.corpus.glimpse import Glimpse, glimpse
from mmc4viz.corpus.pairs import Judged, Pairs, around, document_starts, judged, place_of
from mmc4viz.corpus.shards import image_source
from mmc4viz.corpus.sweep import Matched
from mmc4viz.model import LoaderConfig, ShardError

Folder = Callable[[int], str | None]


@dataclass(frozen=True)
class Example:
    """One pair to show.

    Attributes
    ----------
    shard, key : str
    pair : Judged
    picture : str or None
        A small JPEG as a data URI.
    words : str
        Its sentence, or why there is none to show.
    """

    shard: str
    key: str
    pair: Judged
    picture: str | None
    words: str


def examples(
    matched: Matched,
    config: LoaderConfig,
    pairs: Pairs,
    n: int,
    folder: Folder,
    images: bool = True,
) -> tuple[list[Example], list[Example]]:
    """Return the n pairs just at or above the threshold and the n just below, nearest first each.

    Parameters
    ----------
    matched : Matched
    config : LoaderConfig
    pairs : Pairs
        All of its pairs.
    n : int
    folder : callable
        Returns where a part's images are, None for in the shard; may raise a `ShardError`.
    images : bool
        Whether to show pictures.
    """
    below, above = around(pairs, config.threshold, n)
    starts = document_starts(matched)

    def example(pair: Judged) -> Example:
        part, row = place_of(starts, pair.document)
        columns = matched.parts[part].columns
        seen, problem = Glimpse(None, None), "(no text)"
        try:
            source = image_source(columns.shard, folder(part))
            shown = source if images else None
            seen = glimpse(columns.shard, columns.place(row), shown, pair.image, pair.sentence)
        except ShardError as error:
            problem = str(error)
        key = str(columns.batch.column("key")[row])
        words = problem if seen.sentence is None else seen.sentence
        return Example(columns.shard.name, key, pair, seen.picture, words)

    found = [
        [example(pair) for pair in judged(matched, config, pairs, some.tolist())]
        for some in (above, below)
    ]
    return found[0], found[1]
