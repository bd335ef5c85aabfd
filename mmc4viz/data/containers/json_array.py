"""JSON arrays, read one element after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Final, NamedTuple

_CHUNK: Final = 1 << 20
_OUTER: Final = re.compile(rb'["{}\[\],]')  # what matters between the elements
_INNER: Final = re.compile(rb'["{}\[\]]')  # and within one
_WITHIN_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_STRINGS: Final = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_SPACE: Final = b" \t\r\n"


class Element(NamedTuple):
    """An element of an array: its first byte, its size, and its bytes (None if too large)."""

    offset: int
    size: int
    raw: bytes | None


def elements(stream: IO[bytes], limit: int) -> Iterator[Element]:
    r"""Yield the elements of a JSON array, as bytes; none is parsed.

    Parameters
    ----------
    stream : binary file
        At the start of the array, or of white space before it.
    limit : int
        Largest element that is kept, in bytes.

    Raises
    ------
    EOFError
        When the array ends before its closing bracket.
    ValueError
        When more than white space follows it, or a closing brace is one too many.

    Examples
    --------
    >>> import io
    >>> [element.raw for element in elements(io.BytesIO(b'[{"a": "]"}, 2 ]'), 100)]
    [b'{"a": "]"}', b'2']
    """
    scanner = _Scanner(stream, limit)
    if scanner.skip_to_bracket():
        while (found := scanner.element()) is not None:
            yield found
        scanner.check_end()


class _Scanner:
    """Finds where elements end: outside strings, only brackets and commas matter."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._data = bytearray()
        self._at = 0  # in the data
        self._before = 0  # bytes of the file before the data
        self._ended = False

    def _more(self) -> None:
        chunk = self._stream.read(_CHUNK)
        if not chunk:
            raise EOFError("the JSON array is not complete, so the file may be truncated")
        self._data += chunk

    def skip_to_bracket(self) -> bool:
        """Move behind the bracket that opens the array; False without one."""
        while not self._data.lstrip(b"\xef\xbb\xbf" + _SPACE):
            self._more()
        self._at = len(self._data) - len(self._data.lstrip(b"\xef\xbb\xbf" + _SPACE)) + 1
        return self._data[self._at - 1 : self._at] == b"["

    def element(self) -> Element | None:
        """Return the next element; None at the end of the array."""
        if self._ended:
            return None
        self._before += self._at
        del self._data[: self._at]
        self._at, dropped, depth = 0, 0, 0
        while True:
            if depth and (strings := _STRINGS.match(self._data, self._at)) is not None:
                self._at = strings.end()
            match = (_INNER if depth else _OUTER).search(self._data, self._at)
            if match is None:
                self._at = len(self._data)
                dropped += self._let_go()
                self._more()
                continue
            sign, self._at = match[0], match.end()
            if sign == b'"':
                dropped += self._skip_string()
            elif sign in b"{[":
                depth += 1
            elif depth:
                depth -= 1
            elif sign == b"}":
                raise ValueError(f"a brace too many at byte {self._before + self._at - 1}")
            else:
                self._ended = sign != b","
                break
        if dropped:
            return Element(self._before - dropped, dropped + self._at - 1, None)
        raw = bytes(self._data[: self._at - 1])
        first = len(raw) - len(raw.lstrip(_SPACE))
        raw = raw.strip(_SPACE)
        if not raw and self._ended:
            return None
        return Element(self._before + first, len(raw), raw)

    def check_end(self) -> None:
        """Refuse what follows the array: it would be lost."""
        rest: bytes | bytearray = self._data[self._at :]
        while not rest.strip(_SPACE):
            if not (rest := self._stream.read(_CHUNK)):
                return
        raise ValueError("more follows after the end of the JSON array; it is not read")

    def _skip_string(self) -> int:
        """Move behind the quote that ends a string; return the bytes let go of meanwhile."""
        dropped = 0
        while True:
            inside = _WITHIN_STRING.match(self._data, self._at)
            assert inside is not None  # it may be empty
            self._at = inside.end()  # a backslash at the end of the data waits for its letter
            if self._data[self._at : self._at + 1] == b'"':
                self._at += 1
                return dropped
            dropped += self._let_go()
            self._more()

    def _let_go(self) -> int:
        """Drop what was read of an element above the limit; return how much that is."""
        if self._at <= self._limit:
            return 0
        size = self._at
        self._before += size
        del self._data[:size]
        self._at = 0
        return size
