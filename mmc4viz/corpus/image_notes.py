"""What is to be said of a shard's images as a whole: all missing, too large, of a rare format.

Counts measured images, document by document; decodes nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mmc4viz.corpus.shards import Shard
from mmc4viz.loader.images import (
    LIMIT,
    OLD_CONVERTER,
    SINCE,
    Folder,
    ImageSource,
    is_too_large,
    newer,
)
from mmc4viz.model import Document


@dataclass
class ImageTally:
    """Counts of a shard's images, for its notes.

    Attributes
    ----------
    images, missing : int
        All that the loader meets, and those that it does not find.
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
            elif image.n_bytes is not None:
                self.kinds[image.format] += 1
                if is_too_large(image.format, image.width, image.height):
                    self.large[image.width * image.height // 1_000_000] += 1

    def notes(self, shard: Shard, source: ImageSource) -> list[str]:
        """Return a line for whatever is to be said."""
        found = []
        if self.images and self.missing == self.images:
            what = "its only image is" if self.images == 1 else f"all {self.images:,} images are"
            found.append(f"{what} missing: {_looked_for(self.first, source)}")
        if self.old:
            found.append(f"{_count(self.old)} cannot be decoded: {OLD_CONVERTER}")
        rare = [kind for kind in SINCE if self.kinds[kind]]
        found += [f"{_count(self.kinds[kind], kind)}: {newer(kind)}" for kind in rare]
        if self.large:
            found.append(
                f"{_count(self.large.total())} too large to decode here (the largest has "
                f"{max(self.large):,} megapixels), counted as sound; the loader needs gigabytes "
                f"for each; {LIMIT} raises the limit"
            )
        return [f"{shard.name}: {line}" for line in found]


def _count(count: int, kind: str = "") -> str:
    return f"{count:,} {f'{kind} ' * bool(kind)}{'image' if count == 1 else 'images'}"


def _looked_for(name: str, source: ImageSource) -> str:
    """Say where images were looked for."""
    if isinstance(source, Folder):
        return f"{name or 'the first'} is not in {', '.join(map(str, source.folders))}"
    return (
        "the loader reads them from image_base64 inside the JSON, not from other members of the tar"
    )
