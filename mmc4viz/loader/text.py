"""Kept pairs → the training sequence's text, and where each pair's ``<image>`` stands in it.

Text only: nothing here is tokenized or cut.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmc4viz.loader.pretrained import END_OF_CHUNK, IMAGE
from mmc4viz.model import DocumentError

MARK = re.compile(r"_!_IMAGE(\d+)_!_")

# What the loader deletes, in order: pattern, where in it the deletion begins, its length.
_CLEANUP = (
    (f" {END_OF_CHUNK}", 0, 1),
    (f"{IMAGE} ", len(IMAGE), 1),
    (f" {IMAGE}", 0, 1),
)


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A sequence's text before tokenization.

    Attributes
    ----------
    text : str
        Ends with ``<|endofchunk|>`` and the end-of-text token.
    image_starts : tuple of int
        For each pair (or mark) the offset of its ``<image>`` in the text; -1 where it was cut off.
    closing : int
        Offset of the closing end-of-text token.
    """

    text: str
    image_starts: tuple[int, ...]
    closing: int


def interleave(sentences: Any, columns: Sequence[int], end_of_text: str) -> Interleaved:
    """Write the pairs' image tokens into the sentences, as ``preprocess_interleaved`` does.

    Parameters
    ----------
    sentences : Any
        The document's ``text_list``.
    columns : sequence of int
        The sentence of each kept pair, in image order.
    end_of_text : str
        The tokenizer's end-of-text token.

    Raises
    ------
    DocumentError
        Where the loader fails on the sentences.

    Examples
    --------
    >>> interleave(["A boat.", "The sea."], [1], "</s>")
    Interleaved(text='A boat.<image>The sea.<|endofchunk|></s>', image_starts=(7,), closing=36)
    """
    if not isinstance(sentences, list):
        raise DocumentError("text_list is no list")
    parts = list(sentences)
    for column in columns:
        if column >= len(parts):
            raise DocumentError(f"sentence {column + 1} is matched, the text has {len(parts)}")
        parts[column] = f"{END_OF_CHUNK}{IMAGE}{parts[column]}"
    for number, part in enumerate(parts):
        if not isinstance(part, str):
            raise DocumentError(f"sentence {number + 1} of {len(parts)} is no text")
    return _clean(" ".join(parts), _prefix_starts(parts, columns), end_of_text)


def interleave_chatgpt(example: str, max_images: int, end_of_text: str) -> Interleaved:
    """Turn a ChatGPT-written text's marks into image tokens, as ``preprocess_gpt_interleaved``.

    Raises
    ------
    DocumentError
        Never; whatever is wrong with such a text shows when it is tokenized.
    """
    token = f"{END_OF_CHUNK}{IMAGE}"
    starts, shift = [], 0
    for mark in MARK.finditer(example):
        starts.append(mark.start() + shift + len(END_OF_CHUNK))
        shift += len(token) - len(mark.group())
    return _clean(MARK.sub(token, example), starts, end_of_text, max_images)


def mark_numbers(example: str) -> list[int]:
    """Return the image numbers (from 1) of a ChatGPT-written text's marks, in text order."""
    digits = (mark.group(1) for mark in MARK.finditer(example))
    return [int(number) if len(number) < 20 else 0 for number in digits]


def _prefix_starts(parts: Sequence[str], columns: Sequence[int]) -> list[int]:
    """Offsets of the pairs' image tokens in the joined parts; images of one sentence in order."""
    offsets, position = [], 0
    for part in parts:
        offsets.append(position)
        position += len(part) + 1
    seen: dict[int, int] = {}
    starts = []
    for column in columns:
        nth = seen.get(column, 0)
        seen[column] = nth + 1
        starts.append(offsets[column] + nth * len(END_OF_CHUNK + IMAGE) + len(END_OF_CHUNK))
    return starts


def _clean(
    text: str, starts: list[int], end_of_text: str, max_images: int | None = None
) -> Interleaved:
    """Delete the first end of chunk and the spaces around tokens, then close the sequence."""
    text, starts = _delete(text, starts, END_OF_CHUNK, 0, len(END_OF_CHUNK), first_only=True)
    for pattern, begin, length in _CLEANUP:
        text, starts = _delete(text, starts, pattern, begin, length)
    if max_images is not None:
        tokens = [match.start() for match in re.finditer(IMAGE, text)]
        if len(tokens) > max_images:
            text = text[: tokens[max_images - 1]]
            starts = [start if start < len(text) else -1 for start in starts]
    text = f"{text}{END_OF_CHUNK}"
    return Interleaved(text + end_of_text, tuple(starts), len(text))


def _delete(
    text: str,
    starts: list[int],
    pattern: str,
    begin: int,
    length: int,
    *,
    first_only: bool = False,
) -> tuple[str, list[int]]:
    """Delete part of every occurrence of a pattern, left to right, and shift the offsets."""
    found = [match.start() + begin for match in re.finditer(re.escape(pattern), text)]
    found = found[:1] if first_only else found
    if not found:
        return text, starts
    kept = pattern[:begin] + pattern[begin + length :]
    text = text.replace(pattern, kept, 1 if first_only else -1)
    return text, [start - length * bisect_left(found, start) for start in starts]
