"""Tar headers read with distrust: little memory, no end without end mark, damage in plain words.

What a member holds is not looked at.
"""

from __future__ import annotations

import errno
import lzma
import re
import tarfile
import zlib
from typing import IO, Any, Final, Self, cast

MOST_HEADER: Final = 1 << 18
"""Bytes of one member's headers, long names and maps of sparse files included."""

_MOST_NAME: Final = 8192  # twice what a file system takes
_MOST_BYTES: Final = 1 << 62  # of a file that can be sought in
_RECORD: Final = re.compile(rb"(\d{1,9}) [^=]+=")
_DIGITS: Final = re.compile(rb"\d{1000}")  # through which tarfile's patterns go once a digit
_SAID = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError)


class _Header:
    """A tar's file while one member's headers are read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MOST_HEADER
        self._ahead = b""

    def read(self, size: int) -> bytes:
        """Read so many bytes, unless they are more than headers have."""
        if self._ahead:
            found, self._ahead = self._ahead, b""
            return found
        if not 0 <= size <= self._left:
            raise OverflowError
        self._left -= size
        return self._file.read(size)

    def look_ahead(self, size: int) -> bytes:
        """Read what the next call will return again."""
        self._ahead = self.read(size)
        return self._ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class StrictHeader(tarfile.TarInfo):
    """A tar header that complains about an end without end mark, where tarfile is silent."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        """Read the next header."""
        file: Any = tar.fileobj
        if isinstance(file, _Header):  # the header behind one with a long name or the like
            return super().fromtarfile(tar)
        tar.fileobj = _Header(file)
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            kind = type(error).__name__  # tarfile does not publish its kinds of header error
            if kind == "EOFHeaderError":
                raise
            what = "not a tar" if not tar.offset else f"no tar header at byte {tar.offset}"
            if kind == "EmptyHeaderError":
                what = "no end mark, so it may be cut off" if tar.offset else "the file is empty"
            raise tarfile.ReadError(what) from None
        except _SAID:
            raise
        except Exception:  # a hostile header makes tarfile raise nearly anything
            raise tarfile.ReadError(f"a damaged tar header at byte {tar.offset}") from None
        finally:
            tar.fileobj = file

    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        if self.type == tarfile.XGLTYPE and isinstance(tar, StrictTar):
            tar.of_all_members += self.size
            if tar.of_all_members > MOST_HEADER:
                raise OverflowError
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]

    def _proc_pax(self, tar: tarfile.TarFile) -> Self:
        """Refuse records of which tarfile would make endless work or memory."""
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
    """Take a place that no file of this file system has for one after the end."""
    beyond = error.errno == errno.EINVAL
    return tarfile.ReadError("unexpected end of data") if beyond else error


class StrictTar(tarfile.TarFile):
    """A plain tar of whose damage every kind is a `tarfile.TarError`, read in order.

    It keeps no member; where a damaged one is given out, the next call raises.
    """

    tarinfo = StrictHeader
    of_all_members = 0  # bytes of headers that hold for all members after them
    _last: tarfile.TarInfo | None = None

    def next(self) -> tarfile.TarInfo | None:
        """Return the next member; None at the end mark."""
        self.members.clear()  # type: ignore[attr-defined]  # else it keeps every header
        last, self._last = self._last, None
        if last is not None and last is not cast(Any, self).firstmember and last.size < 0:
            raise tarfile.ReadError(f"a member of negative size at byte {last.offset}")
        try:
            member = super().next()
        except OSError as error:
            raise _as_end(error) from None
        if self.offset > _MOST_BYTES or (member and member.size > _MOST_BYTES):
            raise tarfile.ReadError("unexpected end of data")
        if member is not None and len(member.name) > _MOST_NAME:
            raise tarfile.ReadError(f"a damaged tar header at byte {member.offset}")
        self._last = member
        return member

    def check_end(self, member: tarfile.TarInfo) -> None:
        """Make sure that a member ends before the file does, without reading it."""
        file = cast(IO[bytes], self.fileobj)
        try:
            file.seek(member.offset_data + member.size - 1)
            there = file.read(1)
        except OSError as error:
            raise _as_end(error) from None
        if not there:
            raise tarfile.ReadError("unexpected end of data")
