"""What is recorded of a file's bytes, by which a copy is recognized wherever it lies.

Each entry is named by what it is computed from. Modification times are not recorded: a copy has
another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from mmc4viz.data.storage import is_remote, parts_of_local

METHODS: Final = {
    "sha256": "SHA-256 of all bytes",
    "xxh3_128": "XXH3 of all bytes",
    "pieces": "size and XXH3 of 16 pieces",
    "tag": "size and ETag or time on the store",
    "time": "size and time",
}
"""What two files are compared by, the most conclusive first; ``time`` in old configs only."""
_RECORDED: Final = ("size", "sha256", "xxh3_128", "pieces", "tag")


@dataclass(frozen=True)
class Contents:
    """What is known of a file's bytes; empty entries are not known.

    Attributes
    ----------
    size : int or None
        In bytes.
    sha256, xxh3_128 : str
        Digests of all bytes.
    pieces : str
        XXH3 (64 bits) of 16 evenly spaced pieces of 64 KiB; of all bytes of a file up to 1 MiB.
    tag : str
        Of a remote file: size and ETag or time, as its store gives them.
    time : str
        Modification time; never recorded, but read from old configs.
    """

    size: int | None = None
    sha256: str = ""
    xxh3_128: str = ""
    pieces: str = ""
    tag: str = ""
    time: str = ""

    @classmethod
    def of(cls, path: str, fingerprint: str, sha256: str = "") -> Self:
        """Return what a fingerprint says (`mmc4viz.data.storage.fingerprint`), and a digest."""
        parts = None if is_remote(path) else parts_of_local(fingerprint)
        if parts is None:
            return cls(sha256=sha256, tag=fingerprint)
        size, time, pieces, whole = parts
        return cls(size, sha256, whole, pieces, "", time)

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> Self:
        """Return what a shard's record says; those of format 1 have a fingerprint."""
        if "fingerprint" in record:
            return cls.of(record.get("path", ""), record["fingerprint"])
        return cls(**{name: record[name] for name in _RECORDED if record.get(name) is not None})

    def record(self) -> dict[str, Any]:
        """Return what a config records, which does not say where or when the file was written.

        Examples
        --------
        >>> Contents.of("a.tar", "5:17000:00112233445566aa", "9f86d0").record()
        {'size': 5, 'sha256': '9f86d0', 'pieces': '00112233445566aa'}
        """
        found = {name: getattr(self, name) for name in _RECORDED}
        if self.sha256:
            del found["xxh3_128"]
        return {name: value for name, value in found.items() if value not in (None, "")}

    def compared(self, other: Contents) -> tuple[bool | None, str]:
        """Return whether two files have the same bytes, and the method that says so.

        None if there is nothing to compare but their equal size, or not even that.

        Examples
        --------
        >>> Contents(5, sha256="a", pieces="b").compared(Contents(5, pieces="b"))
        (True, 'pieces')
        >>> Contents(5, time="1").compared(Contents(5, time="2"))
        (None, '')
        """
        if None not in (self.size, other.size) and self.size != other.size:
            return False, "size"
        for name in METHODS:
            mine, its = getattr(self, name), getattr(other, name)
            if mine and its and (name != "time" or mine == its):
                return mine == its, name
        return None, ""
