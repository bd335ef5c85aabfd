"""Images of rows that are at hand, re-encoded as small JPEGs; nothing is fetched from the web."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mmc4viz.data.thumbnails import thumbnail
from mmc4viz.pairs.rows.examples import PairRow
from mmc4viz.pairs.rows.images import ImagePlace, image_place, images_in, tar_beside
from mmc4viz.types import ConfigError
from mmc4viz.ui.cache import Memo, cached
from mmc4viz.ui.data import FileId, identify
from mmc4viz.ui.start import Roots, read_start

_LARGE: Final = 640  # pixels of an enlarged image
_THUMBNAILS: Final = Memo[str | None]()


def thumbnails_of(rows: Iterable[PairRow]) -> dict[tuple[str, int], str | None]:
    """Return the thumbnail of each row, by path and position; None if its image is not at hand."""
    return {(row.path, row.number): _thumbnail(row) for row in rows}


def enlarged(row: PairRow) -> str | None:
    """Return a larger picture of a row."""
    place = _place(row)
    data = None if place is None else place.read()
    return None if data is None else thumbnail(data, _LARGE)


def _thumbnail(row: PairRow) -> str | None:
    place = _place(row)
    if place is None:
        return None

    def make() -> str | None:
        data = place.read()
        return None if data is None else thumbnail(data)

    return _THUMBNAILS.get((identify(place.path), place), make)


def _place(row: PairRow) -> ImagePlace | None:
    """Return where a row's image is, within the roots."""
    start = read_start()
    tar = tar_beside(row.path)
    inside = tar if tar is not None and _may_read(tar, start.roots) else None
    in_tar = {} if inside is None else _in_tar(identify(inside))
    return image_place(row.path, row.id, in_tar, start.image_dir or None)


def _may_read(path: str, roots: Roots) -> bool:
    try:
        return bool(roots.path(path))
    except ConfigError:
        return False


@cached("Reading the names of images")
def _in_tar(tar: FileId) -> dict[str, ImagePlace]:
    return images_in(tar.path)
