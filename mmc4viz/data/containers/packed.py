"""How a file is compressed, told by its first bytes."""

from __future__ import annotations

from typing import Final

PEEKED: Final = 6
"""Number of bytes that tell."""
_MAGIC: Final[dict[str, tuple[bytes, ...]]] = {
    "gzip": (b"\x1f\x8b",),
    "bz2": (b"BZh",),
    "xz": (b"\xfd7zXZ\0",),
    "zstd": (b"\x28\xb5\x2f\xfd",),
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),  # a file's header, or the end of an empty zip
}


def packing(head: bytes) -> str:
    r"""Return how a file is compressed: ``gzip``, ``bz2``, ``xz``, ``zstd``, ``zip``, or empty.

    Parameters
    ----------
    head : bytes
        Its first bytes, at least `PEEKED` if it has them.

    Examples
    --------
    >>> packing(b"BZh91AY"), packing(b"PK,url")
    ('bz2', '')
    """
    return next((name for name, magic in _MAGIC.items() if head.startswith(magic)), "")
