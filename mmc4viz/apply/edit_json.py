"""Edit one document's JSON bytes, so that everything else stays as the loader reads it.

Plain base64 of images is neither parsed nor re-encoded: it is cut out before Python's JSON reader
and writer process the rest, and inserted afterwards. The result is read again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mmc4viz.apply.plan import Edit
from mmc4viz.loader.skim import put_back, skim
from mmc4viz.types import DocumentError


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
        pieces = put_back(text, images)
        return Edited(pieces, json.loads(text))
    except (RecursionError, TypeError, AttributeError, LookupError, ValueError) as error:
        raise DocumentError(f"its JSON cannot be edited safely ({error!s:.80})") from None


def _opened(raw: bytes) -> tuple[Any, list[memoryview]]:
    """Read JSON with the images cut out, or whole if that would not give the same."""
    if (skimmed := skim(raw, _plain)) is not None:
        return skimmed
    try:
        return json.loads(raw), []
    except (ValueError, RecursionError):
        raise DocumentError("its JSON cannot be read") from None


def _plain(base64: memoryview) -> memoryview | None:
    """Accept base64 that is written without escapes."""
    return None if b"\\" in bytes(base64) else base64


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
