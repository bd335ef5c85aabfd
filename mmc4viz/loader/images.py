"""An entry of ``image_info`` → a measured `Image`: bytes, size, and whether its pixels decode.

Where an image's bytes come from is the choice of an image source: embedded base64, as in the
WebDataset tars, or a folder, as OpenFlamingo's converter reads for MMC4's own ``.jsonl``. This
module does not filter: whether an image is too small depends on a setting, so the walk decides.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from mmc4viz.model import DocumentError, Image

# OpenFlamingo's train/data.py sets this limit before it decodes anything: a warning from here, an
# error from twice this on. Pillow knows only a global one.
LOADER_MAX_PIXELS = 1_000_000_000
PillowImage.MAX_IMAGE_PIXELS = LOADER_MAX_PIXELS
# What Pillow warns of is no failure of the loader's, and would be said once an image.
warnings.filterwarnings("ignore", module="PIL")

# The converter runs under Pillow's own default, whose error comes at twice 89,478,485 pixels.
CONVERTER_MAX_PIXELS = 2 * (1024 * 1024 * 1024 // 4 // 3)

# Larger JPEGs are decoded in full, lest a shortage of memory be overlooked.
_MOST_DRAFTED_PIXELS = 2**26

# An image's bytes → width, height, format and the words of a failure, if any.
Look = Callable[[bytes], tuple[int, int, str, str | None]]


class ImageSource(Protocol):
    """Where the bytes of an image come from."""

    def data(self, entry: Any) -> bytes | None:
        """Return the bytes the loader would decode, or None where it would see no image.

        Raises whatever the loader would stumble over.
        """

    @property
    def sizes_unknown(self) -> bool:
        """Whether an entry without bytes stands for an image of unknown size."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Images as base64 in the document itself.

    With ``sizes_unknown``, an entry without base64 counts as an image whose size nobody knows
    (MMC4's own ``.jsonl`` looked at without its images).
    """

    sizes_unknown: bool = False

    def data(self, entry: Any) -> bytes | None:
        """Decode the entry's base64, if it has any."""
        if "image_base64" not in entry:
            return None
        return base64.b64decode(entry["image_base64"])


@dataclass(frozen=True, slots=True)
class Folder:
    """Images in folders, re-encoded as OpenFlamingo's ``convert_mmc4_to_wds.py`` does it.

    The folders are tried in order. A name that leads out of its folder counts as not found.
    """

    folders: tuple[Path, ...]
    sizes_unknown: bool = False

    def data(self, entry: Any) -> bytes | None:
        """Open, convert and save the named file; else fall back on the entry's base64."""
        name = entry["image_name"]
        for folder in self.folders:
            try:
                path = folder / name
                if not path.resolve().is_relative_to(folder.resolve()):
                    continue
                return _reencoded(path)
            except Exception:  # the converter leaves out whatever it cannot open
                continue
        return Embedded().data(entry)


def _reencoded(path: Path) -> bytes:
    with PillowImage.open(path) as image:
        if image.width * image.height > CONVERTER_MAX_PIXELS:
            raise DocumentError("more pixels than the converter opens")
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, format="JPEG")
    return buffer.getvalue()


def measure(entry: Any, source: ImageSource, look: Look | None = None) -> Image:
    """Measure one entry of ``image_info``, decoding it as the loader would.

    Parameters
    ----------
    entry : Any
        Whatever stands in the list.
    source : ImageSource
        Where its bytes come from.
    look : callable, optional
        How far its pixels are looked at: `decode` unless given.

    Returns
    -------
    Image
        With the words of the first failure, if any; never raises for what is in the entry.
    """
    facts = entry if isinstance(entry, dict) else {}
    described: dict[str, Any] = {
        "name": _text(facts.get("image_name")),
        "url": _text(facts.get("raw_url")),
        "stored_sentence": facts.get("matched_text_index"),
        "stored_score": facts.get("matched_sim"),
    }
    try:
        data = source.data(entry)
    except Exception as error:  # the loader asks nothing of an entry before it fails on it
        return Image(present=True, entry_error=words(error), **described)
    if data is None:
        return Image(present=source.sizes_unknown and isinstance(entry, dict), **described)
    width, height, kind, failure = (look or decode)(data)
    return Image(
        present=True,
        n_bytes=len(data),
        pixel_error=failure,
        width=width,
        height=height,
        format=kind,
        **described,
    )


def decode(data: bytes) -> tuple[int, int, str, str | None]:
    """Decode an image to RGB as the loader does; return width, height, format and any failure."""
    width, height, kind = 0, 0, ""
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            width, height, kind = *image.size, image.format or ""
            image.convert("RGB")
    except Exception as error:  # Pillow's plugins raise errors of every kind on hostile bytes
        return width, height, kind, words(error)
    return width, height, kind, None


def decode_quickly(data: bytes) -> tuple[int, int, str, str | None]:
    """Say what `decode` says, in little more than half its time for a JPEG.

    A draft reads and checks the whole compressed stream, but reconstructs one grey pixel in 64;
    it fails exactly where the full decoding fails, which then gives the words.
    """
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            width, height = image.size
            known = image.format == "JPEG" and image.mode in ("L", "RGB", "CMYK")
            if known and width * height <= _MOST_DRAFTED_PIXELS:
                image.draft("L", (1, 1))
                image.load()
                return width, height, "JPEG", None
    except Exception:  # whatever it was, the full decoding finds it again
        return decode(data)
    return decode(data)


def open_only(data: bytes) -> tuple[int, int, str, str | None]:
    """Read an image's header only: what its pixels hide is not found."""
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            return *image.size, image.format or "", None
    except Exception as error:  # as in `decode`
        return 0, 0, "", words(error)


def look_away(data: bytes) -> tuple[int, int, str, str | None]:
    """Find nothing wrong with an image, and nothing else about it."""
    return 0, 0, "", None


def words(error: BaseException) -> str:
    r"""One line for a person out of an exception, the same on every run.

    Examples
    --------
    >>> words(OSError("broken file <_io.BytesIO object at 0x7f>\nread"))
    'broken file read'
    """
    if isinstance(error, UnidentifiedImageError):
        return "no image format that can be read"
    text = re.sub(r"<[^>]* at 0x[0-9a-fA-F]+>", " ", str(error))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return (text or type(error).__name__)[:200]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
