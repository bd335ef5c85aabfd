"""Cut texts into sentences as MMC4 does, or into paragraphs."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache, lru_cache
from itertools import pairwise
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


_SIGN: Final = re.compile("[.?!…]")
_PLACE: Final = re.compile(  # words with a sign, and the word after them
    r"[^.?!…]*+[.?!…]\S*+(?:\s++[^\s.?!…]*+[.?!…]\S*+)*+(?:\s++\S++)?+"
)
_CERTAIN: Final = re.compile(r"(?:([^\W\d_]{2,})\.|[^\W\d_]+[?!]) (?=[^\W\d_][^\s.?!…]*+(?!\S))")
_ONE: Final = re.compile("[^.?!…]*+[.?!…]*+[\"')\\]}»”’]*+")  # nothing follows the last sign
_LONG: Final = re.compile(r"(\S{200})(\S{1600,})(\S{200})")
_REMEMBERED: Final = 200  # characters of a place, at most


def _sentences(paragraph: str) -> list[str]:
    """Cut a paragraph without white space at its ends.

    Whether Punkt ends a sentence at a sign depends on the word with the sign and the next one, and
    on whether the paragraph begins there. So it is asked for each such place by itself, and once
    only if it occurs again; or not at all where its rules leave no doubt, as at the end: it does
    not cut between a last sign and what closes the sentence.
    """
    if _ONE.fullmatch(paragraph):
        return [paragraph]
    found, start, at = list[str](), 0, 0
    doubtful = _doubtful()
    while sign := _SIGN.search(paragraph, at):
        at = paragraph.rfind(" ", at, sign.start()) + 1 or at
        certain = _CERTAIN.match(paragraph, at) if at else None
        if certain and not (certain[1] and certain[1].lower() in doubtful):
            at = certain.end()
            found.append(paragraph[start : at - 1])
            start = at
            continue
        if _ONE.fullmatch(paragraph, at):
            break
        place = _PLACE.match(paragraph, at)
        assert place is not None
        last = place.end() == len(paragraph)
        before = "x " if at else ""
        shown = f"{before}{place[0]}{'' if last else ' x'}"
        ends = _ends if len(shown) <= _REMEMBERED else _ends.__wrapped__
        for end, following in ends(shown):
            found.append(paragraph[start : at - len(before) + end].strip())
            start = at - len(before) + following
        at = place.end()
    return [*found, paragraph[start:].strip()]


@lru_cache(1 << 15)
def _ends(text: str) -> tuple[tuple[int, int], ...]:
    """Return where Punkt ends the sentences of a text but the last, and where the next one begins.

    Within text without a blank, Punkt considers the last possible end only, but takes quadratic
    time to find it; so the middle of a long one is not shown to it.
    """
    shown = _LONG.sub(lambda found: f"{found[1]}{'x' * len(found[2])}{found[3]}", text)
    spans = [
        (end - len(text[start:end].lstrip()), start + len(text[start:end].rstrip()))
        for start, end in _tokenizer().span_tokenize(shown)
        if text[start:end].strip()
    ]
    return tuple((end, following) for (_, end), (following, _) in pairwise(spans))


@cache
def _doubtful() -> frozenset[str]:
    """Return words after which a full stop may not end a sentence: abbreviations, collocations."""
    known = _tokenizer()
    return frozenset(known.abbreviations).union(word for word, _ in known.parameters.collocations)


@cache
def _tokenizer() -> Any:
    import nupunkt  # imported late to start faster

    return nupunkt.load("default")
