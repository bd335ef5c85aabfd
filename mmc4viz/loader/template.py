"""Text templates: what a loader writes into the page's text for an image, and where it is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mmc4viz.loader.tokenizer_files import IMAGE
from mmc4viz.types import DocumentError


class Placing(StrEnum):
    """Where an image's tokens are written."""

    BEFORE = "before"  # its sentence
    AFTER = "after"  # its sentence
    EITHER = "either"  # before or after its sentence, with equal probability


class TokenizedUnit(StrEnum):
    """What is tokenized at once."""

    TEXT = "text"  # the whole text with the image tokens in it
    PIECES = "pieces"  # the text between two image tokens, of the joined and cleaned text
    CHUNKS = "chunks"  # the sentences after one image's up to and including the next image's


class CutRule(StrEnum):
    """How a sequence is made to fit ``max_tokens``."""

    TOKENS = "tokens"  # further tokens are cut off
    WHOLE = "whole"  # the sequence ends before the first chunk or image that does not fit
    NONE = "none"  # it is not: longer sequences are divided later


@dataclass(frozen=True, slots=True)
class Template:
    """How a loader turns kept pairs and sentences into a sequence.

    Attributes
    ----------
    image : tuple of (str, int)
        The special tokens written for an image, each with how often it is repeated.
    mark : str
        The one of them that is counted as the image's token; it occurs once.
    placing : Placing
    unit : TokenizedUnit
    cut : CutRule
    guard : str
        What replaces the image token in the page's own text; empty if it is left there.
    strips : bool
        Whether white space at both ends of a sentence is removed.
    cleanup : tuple of str
        An image token with a blank on one side: all such blanks are removed, in this order.

    Examples
    --------
    >>> Template((("<image>", 1), ("<patch>", 3))).cost
    4
    """

    image: tuple[tuple[str, int], ...] = ((IMAGE, 1),)
    mark: str = IMAGE
    placing: Placing = Placing.BEFORE
    unit: TokenizedUnit = TokenizedUnit.TEXT
    cut: CutRule = CutRule.TOKENS
    guard: str = ""
    strips: bool = False
    cleanup: tuple[str, ...] = (f"{IMAGE} ", f" {IMAGE}")

    def __post_init__(self) -> None:
        chunks = self.unit is TokenizedUnit.CHUNKS
        if chunks != (self.cut is CutRule.WHOLE) or chunks != (self.placing is Placing.AFTER):
            raise ValueError("chunks are cut whole, with images after them; nothing else is")

    @property
    def cost(self) -> int:
        """Count the tokens of an image."""
        return sum(n for _, n in self.image)

    @property
    def tokens(self) -> list[str]:
        """List an image's tokens."""
        return [token for token, n in self.image for _ in range(n)]

    @property
    def text(self) -> str:
        """Write an image's tokens."""
        return "".join(self.tokens)

    def sentences(self, found: Any) -> Any:
        """Return a document's ``text_list`` with image tokens guarded and white space stripped.

        Raises
        ------
        DocumentError
            When it is none, or a sentence is not text.
        """
        if not self.guard and not self.strips:
            return found
        if not (self.strips and isinstance(found, str | dict)):
            check_list(found)
        texts = list(found)  # stripping reads a text as its letters, an object as its names
        check_texts(texts)
        if self.strips:
            texts = [text.strip() for text in texts]
        return [text.replace(self.mark, self.guard) for text in texts] if self.guard else texts


def check_list(sentences: Any) -> None:
    """Raise a DocumentError unless a document's ``text_list`` is a list."""
    if not isinstance(sentences, list):
        raise DocumentError("text_list is not a list")


def check_texts(sentences: Sequence[Any]) -> None:
    """Raise a DocumentError unless every sentence is text."""
    for number, text in enumerate(sentences):
        if not isinstance(text, str):
            raise DocumentError(f"sentence {number + 1} of {len(sentences)} is not text")


def chunks_of(sentences: Sequence[str], indices: Sequence[int]) -> list[str]:
    """Join the sentences up to and including each image's; what remains is the last chunk.

    Indices are those of a slice: one beyond the sentences means the end, -1 the beginning.

    Examples
    --------
    >>> chunks_of(["A.", "B.", "C."], [1, 1])
    ['A. B.', '', 'C.']
    """
    chunks, start = list[str](), 0
    for index in indices:
        chunks.append(" ".join(sentences[start : index + 1]))
        start = index + 1
    return chunks if start == len(sentences) else [*chunks, " ".join(sentences[start:])]
