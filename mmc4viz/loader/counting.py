"""Token counts of many documents' sentences, word by word: what `Tokenizer.count` says, sooner.

For pipelines whose counts add up only (`additive_pipeline`), and for sentences that are no
exception. All of these pipelines cut before every space that follows a visible character, and what
they make of the text behind such a cut depends on nothing before it. So a sentence has as many
tokens as its words have, each behind a space, and only its first word asks what stood before the
sentence. Few words are new: each is tokenized once and remembered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmc4viz.loader.text import IMAGE
from mmc4viz.loader.tokens import Tokenizer
from mmc4viz.model import SentenceCounts

_MOST_REMEMBERED = 4_000_000  # characters of words, some 20 MB with their counts


class SentenceCounter:
    """Counts sentences' tokens and remembers their words.

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
        self._behind_space: dict[str, int] = {}
        self._behind_image: dict[str, int] = {}
        self._at_start: dict[str, int] = {}
        self._remembered = 0

    def count(self, pages: Sequence[Sequence[str]]) -> list[SentenceCounts]:
        """Count the tokens of several documents' sentences, none of which is an exception.

        Parameters
        ----------
        pages : sequence of sequences of str
            Each document's sentences in page order.
        """
        split = [[_words(sentence) for sentence in page] for page in pages]
        self._learn(split)
        return [self._sum(page) for page in split]

    def _sum(self, page: list[list[str]]) -> SentenceCounts:
        if not page:
            return SentenceCounts(0, [], [])
        behind_space, behind_image = self._behind_space, self._behind_image
        rest = [sum(map(behind_space.__getitem__, words)) for words in page]
        first = [
            total - behind_space[words[0]] + behind_image[words[0]]
            for total, words in zip(rest, page, strict=True)
        ]
        opening = page[0][0]
        head = rest[0] - behind_space[opening] + self._at_start[opening]
        return SentenceCounts(head, first, rest)

    def _learn(self, split: Sequence[Sequence[Sequence[str]]]) -> None:
        """Tokenize what is not known yet, in one call."""
        if self._remembered > _MOST_REMEMBERED:
            self._behind_space, self._behind_image, self._at_start = {}, {}, {}
            self._remembered = 0
        anywhere = _new((w for page in split for words in page for w in words), self._behind_space)
        first = _new((words[0] for page in split for words in page), self._behind_image)
        opening = _new((page[0][0] for page in split if page), self._at_start)
        # Any visible character may stand before a word's space.
        texts = [f". {word}" for word in anywhere] + [IMAGE + word for word in first] + opening
        if not texts:
            return
        *lengths, dot = self._tokenizer.lengths([*texts, "."])
        found = iter(lengths)
        self._behind_space.update((word, next(found) - dot) for word in anywhere)
        self._behind_image.update((word, next(found) - 1) for word in first)
        self._at_start.update((word, next(found)) for word in opening)
        self._remembered += sum(map(len, texts))


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
