"""Parse JSON bytes into a `Document`; like the loader, check only that fields are present."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from mmc4viz.loader.images import Embedded, Hash, ImageSource, Look, measure, words
from mmc4viz.types import ABSENT, Document, Image

NEEDED = ("text_list", "similarity_matrix", "image_info")
NO_JSON = "the sample has no json member"


def read_json(raw: bytes) -> Any:
    """Read JSON bytes exactly as the loader does, with Python's `json`.

    Raises
    ------
    ValueError
        With a one-line message, for invalid JSON.
    """
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not valid JSON: {words(error)}") from None


def parse_document(
    key: str,
    raw: bytes | None,
    source: ImageSource | None = None,
    look: Look | None = None,
    hash_of: Hash | None = None,
) -> Document:
    """Parse one sample and measure its images.

    Parameters
    ----------
    key : str
        The sample's key.
    raw : bytes or None
        The ``json`` member; None if the sample has none.
    source : ImageSource, optional
        Where image bytes come from; embedded base64 by default.
    look : callable, optional
        How images are checked; by default, decoded as the loader does.
    hash_of : callable, optional
        How images are hashed; not at all by default.

    Returns
    -------
    Document
        With ``error`` set if the loader would fail before examining an image.

    Examples
    --------
    >>> parse_document("a", b"{").error
    'not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)'
    """
    if raw is None:
        return Document(key, error=NO_JSON)
    try:
        info = read_json(raw)
    except ValueError as error:
        return Document(key, error=str(error))
    return document_of(key, info, source or Embedded(), look, hash_of)


def document_of(
    key: str,
    info: Any,
    source: ImageSource,
    look: Look | None = None,
    hash_of: Hash | None = None,
) -> Document:
    """Build a document from parsed JSON (see `parse_document`)."""
    if not isinstance(info, dict):
        return Document(key, error=f"the JSON is {_kind(info)}, not an object")
    url = info.get("url")
    url = url if isinstance(url, str) else ""
    if "is_gpt" in info:
        return replace(
            _chatgpt_document(key, info, url, look, hash_of),
            page=_page(key, info, source, look, hash_of),
        )
    absent = [name for name in NEEDED if name not in info]
    entries = info.get("image_info", ())
    error = f"no {', '.join(absent)}" if absent else None
    if absent not in ([], ["similarity_matrix"]):
        return Document(key, _unmeasured(entries), error=error, url=url)
    if not isinstance(entries, Iterable):
        return Document(key, error=f"image_info is {_kind(entries)}, not a list", url=url)
    return Document(
        key,
        images=tuple(measure(entry, source, look, hash_of) for entry in entries),
        sentences=info["text_list"],
        similarity=info.get("similarity_matrix", ABSENT),
        error=error,
        url=url,
    )


def _chatgpt_document(
    key: str, info: dict[str, Any], url: str, look: Look | None, hash_of: Hash | None
) -> Document:
    """Build a document marked ``is_gpt``, whose images are in ``image_map``, numbered from 1."""
    example, image_map = info.get("example"), info.get("image_map")
    if not isinstance(example, str) or not isinstance(image_map, dict):
        what = "example is not text" if not isinstance(example, str) else "image_map is no object"
        images = _unmeasured(image_map)
        return Document(key, images, error=f"ChatGPT-generated, but {what}", is_gpt=True, url=url)
    if not image_map:
        error = "ChatGPT-generated, but image_map is empty"
        return Document(key, error=error, is_gpt=True, url=url)
    images = tuple(
        _numbered_image(image_map, f"_!_IMAGE{number}_!_", look, hash_of)
        for number in range(1, len(image_map) + 1)
    )
    return Document(key, images, is_gpt=True, example=example, url=url)


def _page(
    key: str, info: dict[str, Any], source: ImageSource, look: Look | None, hash_of: Hash | None
) -> Document | None:
    """Return what a document marked ``is_gpt`` is without the mark, if it has a page's fields."""
    if not {"text_list", "image_info"} <= info.keys():
        return None
    unmarked = {name: value for name, value in info.items() if name != "is_gpt"}
    return document_of(key, unmarked, source, look, hash_of)


def _numbered_image(
    image_map: dict[str, Any], name: str, look: Look | None, hash_of: Hash | None
) -> Image:
    try:
        entry = {"image_base64": image_map[name]["base64_image"]}
    except KeyError as absent:
        return Image(present=True, entry_error=f"image_map has no {absent.args[0]} for {name}")
    except Exception as error:  # the loader fails on any other value
        return Image(present=True, entry_error=words(error))
    return measure(entry, Embedded(), look, hash_of)


def _unmeasured(entries: Any) -> tuple[Image, ...]:
    """Return placeholders for the images of a document that fails before they are examined."""
    return (Image(present=True),) * len(entries) if isinstance(entries, list | dict) else ()


def _kind(value: Any) -> str:
    names = {"NoneType": "null", "bool": "a boolean", "str": "text", "list": "a list"}
    return names.get(type(value).__name__, "a number")
