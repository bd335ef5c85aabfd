"""What is to be said of a shard's images as a whole: none there, of a kind some loaders lack, huge.

Counts measured images, document by document; decodes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mmc4viz.corpus.shards import Shard, downloaded_to
from mmc4viz.loader.images import (
    LIMIT,
    OLD_CONVERTER,
    SINCE,
    Folder,
    ImageSource,
    is_too_large,
)
from mmc4viz.model import Document


@dataclass
class ImageTally:
    """Counts of a shard's images, for its notes.

    Attributes
    ----------
    images, missing, unmeasured : int
        All that the loader meets, those that it does not find, and those of unknown size.
    first : str
        Name of the first that is missing.
    kinds : counter
        Formats of those that decode.
    large : counter
        Of those too large to be decoded here, how many have how many megapixels.
    old : int
        Those written as the converter did before July 2023.
    """

    images: int = 0
    missing: int = 0
    unmeasured: int = 0
    first: str = ""
    kinds: Counter[str] = field(default_factory=Counter)
    large: Counter[int] = field(default_factory=Counter)
    old: int = 0

    def add(self, document: Document) -> None:
        """Count a document's images, if the loader gets as far as to them."""
        if document.error is not None:
            return
        for image in document.images:
            failure = image.entry_error or image.pixel_error
            self.images += 1
            if not image.present:
                self.missing += 1
                self.first = self.first or image.name
            elif failure is not None:
                self.old += failure.endswith(OLD_CONVERTER)
            elif image.n_bytes is None:
                self.unmeasured += 1
            else:
                self.kinds[image.format] += 1
                if is_too_large(image.format, image.width, image.height):
                    self.large[image.width * image.height // 1_000_000] += 1

    def notes(self, shard: Shard, source: ImageSource) -> list[str]:
        """Return a line for whatever is to be said."""
        found = []
        if self.images and self.missing == self.images:
            found.append(f"none of its {self.images:,} images is there: {_where(self, source)}")
        if self.unmeasured and self.unmeasured == self.images:
            found.append(
                "no images, so sizes are unknown and the size filter is off; name their folder "
                f"by --image-dir, or put them into {downloaded_to(shard)}/ beside it"
            )
        if self.old:
            found.append(f"{_images(self.old)} cannot be read: {OLD_CONVERTER}")
        found += [
            f"{_images(self.kinds[kind])} of the format {kind}, which Pillow decodes since "
            f"{version}: a loader with an older one loses their documents"
            for kind, version in SINCE.items()
            if self.kinds[kind]
        ]
        if self.large:
            found.append(
                f"{_images(self.large.total())} of up to {max(self.large):,} megapixels too large "
                f"to be decoded here (raise {LIMIT}): they count as sound, and the loader needs "
                "gigabytes of memory for each"
            )
        return [f"{shard.name}: {line}" for line in found]


def _images(count: int) -> str:
    return f"{count:,} {'image' if count == 1 else 'images'}"


def _where(tally: ImageTally, source: ImageSource) -> str:
    """Say where images were looked for."""
    if not isinstance(source, Folder):
        return (
            "the loader takes them from image_base64 in the JSON, which the converter "
            "(convert_mmc4_to_wds.py) writes, and not from other members of the tar"
        )
    tried = ", ".join(str(folder) for folder in source.folders)
    return f"{tally.first or 'the first'} is not in {tried}"
