"""Images of a table's rows that are at hand: in img2dataset's tars or folders, or in a folder.

Nothing is fetched from the web. img2dataset (rom1504/img2dataset, ``writer.py``) writes ``KEY.jpg``
into ``SHARD.tar`` or ``SHARD/`` beside ``SHARD.parquet``.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mmc4viz.data.storage import is_remote

_KINDS: Final = (".jpg", ".jpeg", ".png", ".webp")
_ID: Final = re.compile(r"[\w-]{1,200}", re.ASCII)
_MOST_MEMBERS: Final = 200_000
_LARGEST: Final = 64 << 20  # bytes of an image


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """Where the bytes of an image are: a file, or a part of a tar.

    Attributes
    ----------
    path : str
    offset, size : int
        In bytes.
    """

    path: str
    offset: int
    size: int

    def read(self) -> bytes | None:
        """Return the image's bytes; None if they cannot be read."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                return file.read(self.size) if self.size <= _LARGEST else None
        except (OSError, ValueError):
            return None


def tar_beside(path: str) -> str | None:
    """Return the local tar with the images of a file of a table; None if there is none."""
    tar = path if path.endswith(".tar") else f"{path.removesuffix('.parquet')}.tar"
    return tar if not is_remote(tar) and os.path.isfile(tar) else None


def images_in(tar: str) -> dict[str, ImagePlace]:
    """Return where the images of a tar are, by key; only the headers are read.

    What follows a damaged header is left out.
    """
    found: dict[str, ImagePlace] = {}
    try:
        with tarfile.open(tar, "r:") as opened:
            for member in opened:
                stem, dot, suffix = member.name.rpartition("/")[2].partition(".")
                if member.isreg() and not member.issparse() and f"{dot}{suffix}".lower() in _KINDS:
                    found.setdefault(stem, ImagePlace(tar, member.offset_data, member.size))
                if len(found) >= _MOST_MEMBERS:
                    break
    except (OSError, tarfile.TarError, ValueError):
        pass
    return found


def image_place(
    path: str, name: str, in_tar: Mapping[str, ImagePlace], folder: str | None = None
) -> ImagePlace | None:
    """Return where the image of a row is; None if it is not at hand.

    Parameters
    ----------
    path : str
        The file of the table with the row.
    name : str
        The row's id or key; anything but letters, digits, ``_`` and ``-`` has no image.
    in_tar : mapping of str to ImagePlace
        The images of the tar beside the file.
    folder : str, optional
        A folder with images named ``ID.jpg`` (or .jpeg, .png, .webp).
    """
    if name in in_tar:
        return in_tar[name]
    if is_remote(path) or not _ID.fullmatch(name):
        return None
    for place in filter(None, (folder, path.removesuffix(".parquet"))):
        for kind in _KINDS:
            file = os.path.join(place, name + kind)
            if os.path.isfile(file) and not os.path.islink(file):
                return ImagePlace(file, 0, os.path.getsize(file))
    return None
