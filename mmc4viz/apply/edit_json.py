"""Edit one document's JSON bytes, so that everything else stays as the loader reads it.

Plain base64 of images is neither parsed nor re-encoded: it is cut out before Python's JSON reader
and writer process the rest, and inserted afterwards. The result is read again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from mmc4viz.apply.plan import Edit
from mmc4viz.types import DocumentError

_KEY: Final = b'"image_base64"'
_TO_VALUE: Final = re.compile(rb'\s*:\s*"')
_NUL: Final = rb"\u0000"  # the only JSON spelling of this character
_MARK: Final = re.compile(rb'"\\u0000(\d+)"')


@dataclass(frozen=True)
class Edited:
    """An edited document.

    Attributes
    ----------
    raw : list of bytes or memoryview
        Its JSON in pieces.
    info : dict
        The parsed JSON, where placeholders may stand for images' base64.
    """

    raw: list[bytes | memoryview]
    info: dict[str, Any]

    @property
    def size(self) -> int:
        """Size of the JSON in bytes."""
        return sum(len(piece) for piece in self.raw)


def edit_json(raw: bytes, edit: Edit) -> Edited:
    r"""Edit a document.

    Parameters
    ----------
    raw : bytes
        JSON that the loader can read: an object with the loader's fields.
    edit : Edit

    Returns
    -------
    Edited
        In UTF-8. Lone surrogates are written as three bytes each, so that two adjacent ones are
        not combined.

    Raises
    ------
    DocumentError
        If Python cannot write what it has read, or the fields do not fit the edit.

    Examples
    --------
    >>> raw = b'{"image_info": [{"image_base64": "TU1DNA=="}], "text_list": ["a"], "x": NaN}'
    >>> edit_json(raw, Edit(drop=frozenset([0]))).raw
    [b'{"image_info": [{}], "text_list": ["a"], "x": NaN}']
    """
    info, images = _opened(raw)
    try:
        _change(info, edit)
        text = json.dumps(info, ensure_ascii=False).encode("utf-8", "surrogatepass")
        pieces = _put_back(text, images)
        return Edited(pieces, json.loads(text))
    except (RecursionError, TypeError, AttributeError, LookupError, ValueError) as error:
        raise DocumentError(f"its JSON cannot be edited safely ({error!s:.80})") from None


def _opened(raw: bytes) -> tuple[Any, list[memoryview]]:
    """Read JSON with the images cut out, or whole if that would not give the same."""
    rest, images = _cut_out(raw)
    if images and rest.count(_NUL) == len(images):
        try:
            info = json.loads(rest)
            if sum(_is_mark(entry) for entry in info["image_info"]) == len(images):
                return info, images
        except (ValueError, RecursionError, TypeError, KeyError):
            pass
    try:
        return json.loads(raw), []
    except (ValueError, RecursionError):
        raise DocumentError("its JSON cannot be read") from None


def _cut_out(raw: bytes) -> tuple[bytes, list[memoryview]]:
    """Replace each image's base64 without escapes by a placeholder."""
    view = memoryview(raw)
    pieces: list[bytes | memoryview] = []
    images: list[memoryview] = []
    done, at = 0, raw.find(_KEY)
    while at >= 0:
        after = at + len(_KEY)
        opening = _TO_VALUE.match(raw, after)
        if opening is not None and raw[at - 1 : at] != b"\\":
            begin = opening.end()
            end = raw.find(b'"', begin)
            if end >= 0 and raw.find(b"\\", begin, end) < 0:
                pieces += [view[done:begin], b"%b%d" % (_NUL, len(images))]
                images.append(view[begin:end])
                done = after = end
        at = raw.find(_KEY, after)
    return b"".join([*pieces, view[done:]]), images


def _is_mark(entry: Any) -> bool:
    value = entry.get("image_base64") if isinstance(entry, dict) else None
    return isinstance(value, str) and value.startswith("\0")


def _put_back(text: bytes, images: list[memoryview]) -> list[bytes | memoryview]:
    """Replace the placeholders, in whatever order, by their images."""
    if not images:
        return [text]
    parts = _MARK.split(text)
    pieces: list[bytes | memoryview] = [parts[0]]
    for number, part in zip(parts[1::2], parts[2::2], strict=True):
        pieces += [b'"', images[int(number)], b'"', part]
    return pieces


def _change(info: dict[str, Any], edit: Edit) -> None:
    entries = info["image_info"]
    for image in edit.drop:
        if isinstance(entries[image], dict):
            entries[image].pop("image_base64", None)
        else:
            entries[image] = {}  # anything but an object would make the document unreadable
    for sentence, text in edit.sentences.items():
        info["text_list"][sentence] = text
    if edit.matrix is not None:
        info["similarity_matrix"] = [list(row) for row in edit.matrix]
    matrix = info["similarity_matrix"] if edit.scores or edit.order else []
    for (image, sentence), score in edit.scores.items():
        matrix[image][sentence] = score
    before, rows = list(entries), list(matrix)
    for place, image in enumerate(edit.order):
        if place != image:
            entries[place], matrix[place] = before[image], rows[image]
