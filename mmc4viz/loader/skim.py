r"""Parse a document's JSON without its base64 images.

In entries of ``image_info``, the base64 of the n-th image is replaced by the string ``"\0n"``.
Everything else is parsed by Python's `json`, so that numbers, duplicate keys and errors are the
same as in the loader.

This is sound because an unescaped ``"image_base64"`` is a complete string in any valid JSON, and so
is the value that follows it. The value ends at the next quote, as it is accepted only without a
backslash. If the JSON contains no NUL, no other string has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pybase64

Image = TypeVar("Image")

_KEY: Final = b'"image_base64"'
_TO_VALUE: Final = re.compile(rb'\s*:\s*"')
_NUL: Final = rb"\u0000"  # the only representation of NUL in JSON
_MARK: Final = re.compile(rb'"\\u0000(\d+)"')


def decoded(text: memoryview) -> bytes | None:
    """Decode strict base64, correctly padded and without other characters; else return None."""
    try:
        return bytes(pybase64.b64decode(text, validate=True))
    except ValueError:
        return None


def skim(
    raw: bytes, accept: Callable[[memoryview], Image | None]
) -> tuple[dict[str, Any], list[Image]] | None:
    r"""Parse JSON bytes without their base64 images.

    Parameters
    ----------
    raw : bytes
        A JSON document.
    accept : callable
        Returns an image, given its base64; None if that is to stay in the JSON, as it must if it
        has a backslash.

    Returns
    -------
    tuple of dict and list, or None
        The parsed object and its images; None if there are no images to extract, or the result
        might differ.

    Examples
    --------
    >>> raw = b'{"image_info": [{"image_base64": "TU1DNA=="}], "text_list": [1, NaN]}'
    >>> skim(raw, decoded)
    ({'image_info': [{'image_base64': '\x000'}], 'text_list': [1, nan]}, [b'MMC4'])
    """
    rest, images = _extract(raw, accept)
    if not images or rest.count(_NUL) != len(images):
        return None
    try:
        info = json.loads(rest)
    except (ValueError, RecursionError):  # the fallback reports the error
        return None
    entries = info.get("image_info") if isinstance(info, dict) else None
    if not isinstance(entries, list):
        return None
    found = sum(image_number(entry) is not None for entry in entries)
    return (info, images) if found == len(images) else None


def _extract(raw: bytes, accept: Callable[[memoryview], Image | None]) -> tuple[bytes, list[Image]]:
    """Replace each image's base64 by a mark; return the resulting JSON and the images."""
    view = memoryview(raw)
    pieces: list[bytes | memoryview] = []
    images: list[Image] = []
    done, at = 0, raw.find(_KEY)
    while at >= 0:
        after = at + len(_KEY)
        opening = _TO_VALUE.match(raw, after)
        if opening is not None and raw[at - 1 : at] != b"\\":
            begin = opening.end()
            end = raw.find(b'"', begin)
            image = accept(view[begin:end]) if end >= 0 else None
            if image is not None:
                pieces += [view[done:begin], b"%b%d" % (_NUL, len(images))]
                images.append(image)
                done = after = end
        at = raw.find(_KEY, after)
    return b"".join([*pieces, view[done:]]), images


def image_number(entry: Any) -> int | None:
    """Return the number of the extracted image of an entry, if it has one."""
    value = entry.get("image_base64") if isinstance(entry, dict) else None
    return int(value[1:]) if isinstance(value, str) and value.startswith("\0") else None


def image_mark(number: int) -> str:
    """Return what stands for the base64 of the n-th extracted image."""
    return f"\0{number}"


def put_back(text: bytes, images: list[memoryview]) -> list[bytes | memoryview]:
    """Replace the marks in JSON, in whatever order, by their images' base64."""
    if not images:
        return [text]
    parts = _MARK.split(text)
    pieces: list[bytes | memoryview] = [parts[0]]
    for number, part in zip(parts[1::2], parts[2::2], strict=True):
        pieces += [b'"', images[int(number)], b'"', part]
    return pieces
