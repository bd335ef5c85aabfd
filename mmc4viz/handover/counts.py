"""What rewriting did, counted: the numbers behind the end table, the records and a dry run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self


@dataclass
class Counts:
    """Counts over documents; each can be added to another's.

    Attributes
    ----------
    documents : int
        All samples.
    carried_over : int
        Byte for byte as they were.
    changed : int
        Rewritten, with `emptied` ones among them.
    yielded_surely, yielded_by_coin : int
        Those that the unmodified loader yields with the exported flags, ChatGPT-written ones
        included.
    chatgpt : int
        Written by ChatGPT: carried over, outside the promise.
    reordered : int
        With images in another order.
    lowered : int
        With entries of the matrix lowered because they competed with chosen pairs.
    rescored : int
        With the corpus's stored score put into the matrix.
    rescued : int
        Lost by an image that does not decode, were it not left out.
    emptied : int
        Rejected by the setting, and by the loader only since their images lost their bytes.
    left_out : int
        Cannot be rewritten safely: not in the output, named in the report.
    shared : int
        With several images on one sentence, which refuses a run that writes.
    spaced : int
        Documents with literal special tokens that got a space.
    spaced_tokens : int
        These tokens.
    other_odds : int
        With another probability than the setting alone gives, because of a rescued image, the
        best in place of the first pairs, or a literal token that counted as an image's.
    dropped_images : int
        Images that lost their bytes.
    """

    documents: int = 0
    carried_over: int = 0
    changed: int = 0
    yielded_surely: int = 0
    yielded_by_coin: int = 0
    chatgpt: int = 0
    reordered: int = 0
    lowered: int = 0
    rescored: int = 0
    rescued: int = 0
    emptied: int = 0
    left_out: int = 0
    shared: int = 0
    spaced: int = 0
    spaced_tokens: int = 0
    other_odds: int = 0
    dropped_images: int = 0

    def add(self, other: Counts) -> None:
        """Add another's counts."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    @property
    def expected(self) -> float:
        """Documents that the loader yields, in expectation over its coin."""
        return self.yielded_surely + self.yielded_by_coin / 2

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)

    @classmethod
    def of(cls, found: dict[str, Any]) -> Self:
        """Build counts from a record; raises TypeError or ValueError for one that is none."""
        return cls(**{name: int(value) for name, value in found.items()})


TITLES: Final = {
    "documents": "documents",
    "carried_over": "carried over byte for byte",
    "changed": "rewritten",
    "reordered": "images sorted by sentence",
    "lowered": "competing similarity lowered",
    "rescored": "stored score put into the matrix",
    "rescued": "saved from an undecodable image",
    "emptied": "rejected ones emptied of images",
    "spaced": "literal tokens spaced",
    "other_odds": "other odds than without the options",
    "chatgpt": "ChatGPT-written, as they were",
    "shared": "several images on one sentence",
    "left_out": "left out, see below",
    "dropped_images": "images without bytes now, lest the loader take them",
    "spaced_tokens": "literal tokens that got a space",
    "yielded_surely": "the loader yields each time",
    "yielded_by_coin": "it yields every other time, by its coin",
}
"""Words for each count, in the order of the end table."""
EXPECTED: Final = "so it yields on average"
"""Words for `Counts.expected`, below them."""
