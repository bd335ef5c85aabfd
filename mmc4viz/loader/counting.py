"""Token counts of many documents' sentences, word by word: what `Tokenizer.count` says, sooner.

For pipelines whose counts add up only (`additive_pipeline`), and for sentences that are no
exception. All of these pipelines cut before every space that follows a visible character, and what
they make of the text behind such a cut depends on nothing before it. So a sentence has as many
tokens as its words have, each behind a space, and only its first word asks what stood before the
sentence. Few words are new: each is tokenized once and remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from mmc4viz.loader.pretrained import IMAGE
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.model import SentenceCounts

_MOST_REMEMBERED = 1_500_000  # characters tokenized: some 150,000 words, 20 MB with their counts


@dataclass(frozen=True, slots=True)
class _Known:
    """Tokens of words by what stands before them."""

    behind_space: dict[str, int] = field(default_factory=dict)
    behind_image: dict[str, int] = field(default_factory=dict)
    at_start: dict[str, int] = field(default_factory=dict)


@lru_cache(maxsize=4)
def counter_of(tokenizer: Tokenizer) -> SentenceCounter:
    """Return the counter that this process has for a tokenizer."""
    return SentenceCounter(tokenizer)


class SentenceCounter:
    """Counts sentences' tokens and remembers their words; threads may share it.

    Parameters
    ----------
    tokenizer : Tokenizer
        One whose counts add up.

    Examples
    --------
    >>> from mmc4viz.loader.tokens import load_tokenizer
    >>> SentenceCounter(load_tokenizer()).count([["A boat.", "The sea."]])
    [SentenceCounts(head=3, first=[3, 3], rest=[3, 3])]
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known = _Known()
        self._remembered = 0

    def count(self, pages: Sequence[Sequence[str]]) -> list[SentenceCounts]:
        """Count the tokens of several documents' sentences, none of which is an exception.

        Parameters
        ----------
        pages : sequence of sequences of str
            Each document's sentences in page order.
        """
        split = [[_words(sentence) for sentence in page] for page in pages]
        known = self._learn(split)
        return [_sum(page, known) for page in split]

    def _learn(self, split: Sequence[Sequence[Sequence[str]]]) -> _Known:
        """Tokenize what is not known yet, in one call."""
        if self._remembered > _MOST_REMEMBERED:
            self._known, self._remembered = _Known(), 0
        known = self._known
        anywhere = _new((w for page in split for words in page for w in words), known.behind_space)
        first = _new((words[0] for page in split for words in page), known.behind_image)
        opening = _new((page[0][0] for page in split if page), known.at_start)
        # Any visible character may stand before a word's space.
        texts = [f". {word}" for word in anywhere] + [IMAGE + word for word in first] + opening
        *lengths, dot = self._tokenizer.lengths([*texts, "."])
        found = iter(lengths)
        known.behind_space.update((word, next(found) - dot) for word in anywhere)
        known.behind_image.update((word, next(found) - 1) for word in first)
        known.at_start.update((word, next(found)) for word in opening)
        self._remembered += sum(map(len, texts))
        return known


def _sum(page: list[list[str]], known: _Known) -> SentenceCounts:
    """Add up the words of one document's sentences."""
    if not page:
        return SentenceCounts(0, [], [])
    rest = [sum(map(known.behind_space.__getitem__, words)) for words in page]
    first = [
        total - known.behind_space[words[0]] + known.behind_image[words[0]]
        for total, words in zip(rest, page, strict=True)
    ]
    opening = page[0][0]
    head = rest[0] - known.behind_space[opening] + known.at_start[opening]
    return SentenceCounts(head, first, rest)


def _new(words: Iterable[str], known: dict[str, int]) -> list[str]:
    """Return the words that are not known, each once, in an order that is the same on every run."""
    return sorted(set(words).difference(known))


def _words(sentence: str) -> list[str]:
    """Split a sentence at its spaces where each of them is a cut for certain; else leave it whole.

    Words must be of visible characters, so that no other white space joins a space, and without
    the character that stands for a space in SentencePiece's vocabularies.
    """
    if sentence.isprintable() and "  " not in sentence and "▁" not in sentence:
        return sentence.split(" ")
    return [sentence]
