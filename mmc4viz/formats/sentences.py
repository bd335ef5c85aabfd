"""Cut texts into sentences as MMC4 does, or into paragraphs."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import Any, Final


class TextUnit(StrEnum):
    """What a page's texts are cut into."""

    SENTENCE = "sentence"
    PARAGRAPH = "paragraph"


def cut(text: str, unit: TextUnit) -> list[str]:
    r"""Cut a text into units, without the white space between them.

    A line break always ends a unit, as a sentence does not continue in the next paragraph.

    Parameters
    ----------
    text : str
    unit : TextUnit
        Paragraphs are lines that are not blank. Sentences are found in them by Punkt (Kiss and
        Strunk, Unsupervised Multilingual Sentence Boundary Detection, 2006), in the
        implementation and with the model of nupunkt.

    Examples
    --------
    >>> cut("Dr. Lee has a boat. It is red.\n\nA lake.", TextUnit.SENTENCE)
    ['Dr. Lee has a boat.', 'It is red.', 'A lake.']
    >>> cut("Dr. Lee has a boat. It is red.\n\nA lake.", TextUnit.PARAGRAPH)
    ['Dr. Lee has a boat. It is red.', 'A lake.']
    """
    paragraphs = [line.strip() for line in text.splitlines() if line.strip()]
    if unit is TextUnit.PARAGRAPH:
        return paragraphs
    return [one for paragraph in paragraphs for one in _sentences(paragraph)]


_ONE: Final = re.compile("[^.?!…]*+[.?!…]*+[\"')\\]}»”’]*+")
_LONG: Final = re.compile(r"(\S{200})(\S{1600,})(\S{200})")


def _sentences(paragraph: str) -> list[str]:
    """Cut a paragraph.

    Within text without a blank, Punkt considers the last possible end only, but takes quadratic
    time to find it; so the middle of a long one is not shown to it.
    """
    if _ONE.fullmatch(paragraph):
        return [paragraph]  # Punkt looks for ends at these signs only
    shown = _LONG.sub(lambda found: f"{found[1]}{'x' * len(found[2])}{found[3]}", paragraph)
    found = (paragraph[start:end].strip() for start, end in _tokenizer().span_tokenize(shown))
    return [one for one in found if one]


@cache
def _tokenizer() -> Any:
    import nupunkt  # imported late to start faster

    return nupunkt.load("default")
