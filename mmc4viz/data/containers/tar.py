"""Tars that are read in order, and in which all damage is reported."""

from __future__ import annotations

import errno
import lzma
import re
import tarfile
import zlib
from typing import IO, Any, Final, Self, cast

MOST_HEADER: Final = 1 << 18
"""Maximum size of one member's headers, including long names and sparse file maps."""

_MOST_NAME: Final = 8192  # twice the limit of file systems
_MOST_BYTES: Final = 1 << 62  # of a seekable file
_RECORD: Final = re.compile(rb"(\d{1,9}) [^=]+=")
_DIGITS: Final = re.compile(rb"\d{1000}")  # on which tarfile's patterns take quadratic time
_TAR_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError)


class _Header:
    """Limits how much is read from a tar for one member's headers."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MOST_HEADER
        self._ahead = b""

    def read(self, size: int) -> bytes:
        """Read up to the limit; raises an OverflowError beyond it."""
        if self._ahead:
            found, self._ahead = self._ahead, b""
            return found
        if not 0 <= size <= self._left:
            raise OverflowError
        self._left -= size
        return self._file.read(size)

    def look_ahead(self, size: int) -> bytes:
        """Read bytes that the next call of `read` returns again."""
        self._ahead = self.read(size)
        return self._ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class StrictHeader(tarfile.TarInfo):
    """A tar header that reports every kind of damage, including a missing end-of-archive marker."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        """Read the next header."""
        file: Any = tar.fileobj
        if isinstance(file, _Header):  # the header that follows one with a long name or the like
            return super().fromtarfile(tar)
        tar.fileobj = _Header(file)
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            kind = type(error).__name__  # the classes are private in tarfile
            if kind == "EOFHeaderError":
                raise
            what = "not a tar" if not tar.offset else f"no tar header at byte {tar.offset}"
            if kind == "EmptyHeaderError":
                what = "no end-of-archive marker, so the file may be truncated"
                what = what if tar.offset else "the file is empty"
            raise tarfile.ReadError(what) from None
        except _TAR_ERRORS:
            raise
        except Exception:  # a malicious header makes tarfile raise almost anything
            raise tarfile.ReadError(f"damaged tar header at byte {tar.offset}") from None
        finally:
            tar.fileobj = file

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        if self.type == tarfile.XGLTYPE and isinstance(tar, StrictTar):
            tar.of_all_members += self.size
            if tar.of_all_members > MOST_HEADER:
                raise OverflowError
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]

    def _proc_pax(self, tar: tarfile.TarFile) -> Self:
        """Refuse records that would take tarfile excessive time or memory."""
        size = self._block(self.size)  # type: ignore[attr-defined]
        records = cast(_Header, tar.fileobj).look_ahead(size)[: self.size]
        at = 0
        while at < len(records):
            found = _RECORD.match(records, at)
            end = at + int(found[1]) if found else 0
            if found is None or found.end() > end or records[end - 1 : end] != b"\n":
                raise ValueError
            at = end
        if _DIGITS.search(records):
            raise ValueError
        return super()._proc_pax(tar)  # type: ignore[misc, no-any-return]


def _as_end(error: OSError) -> Exception:
    """Turn the error for an offset beyond the file system's limit into one for a truncated file."""
    beyond = error.errno == errno.EINVAL
    return tarfile.ReadError("unexpected end of data") if beyond else error


class StrictTar(tarfile.TarFile):
    """An uncompressed tar, read in order, in which all damage raises a `tarfile.TarError`.

    Members are not stored. If `next` returns a damaged member, the following call raises.
    """

    tarinfo = StrictHeader
    of_all_members = 0  # bytes of global headers
    _last: tarfile.TarInfo | None = None

    def next(self) -> tarfile.TarInfo | None:
        """Return the next member; None at the end of the archive."""
        self.members.clear()  # type: ignore[attr-defined]  # else it keeps every header
        last, self._last = self._last, None
        if last is not None and last is not cast(Any, self).firstmember and last.size < 0:
            raise tarfile.ReadError(f"member of negative size at byte {last.offset}")
        try:
            member = super().next()
        except OSError as error:
            raise _as_end(error) from None
        if self.offset > _MOST_BYTES or (member and member.size > _MOST_BYTES):
            raise tarfile.ReadError("unexpected end of data")
        if member is not None and len(member.name) > _MOST_NAME:
            raise tarfile.ReadError(f"damaged tar header at byte {member.offset}")
        self._last = member
        return member

    def check_end(self, member: tarfile.TarInfo) -> None:
        """Verify that the file contains a whole member, without reading it."""
        file = cast(IO[bytes], self.fileobj)
        try:
            file.seek(member.offset_data + member.size - 1)
            there = file.read(1)
        except OSError as error:
            raise _as_end(error) from None
        if not there:
            raise tarfile.ReadError("unexpected end of data")
