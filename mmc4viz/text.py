"""Format verdicts and rows as JSON, CSV or aligned tables, and escape untrusted text.

Document text must pass through `printable` for a terminal, `plain`, `escaped` or a `template` for
HTML.
"""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from markupsafe import Markup

from mmc4viz.types import Verdict

if TYPE_CHECKING:
    from jinja2 import Template

_FOLDERS = re.compile(r"(?<![\w:/.~-])/(?:[^\s/:;,'\"]+/)+(?=[^\s/])")
_SHOWN = {"\n", "\t", "\u00ad", "\u200c", "\u200d"}  # breaks, and joiners that scripts need
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_TABLE = "{:<18} {:>6} {:<34} {:<20} {:>11} {:>6} {:>6} {:>12} {:>11} {:>9}  {}"
TABLE_HEAD = _TABLE.format(
    "shard",
    "number",
    "key",
    "outcome",
    "probability",
    "images",
    "pairs",
    "image tokens",
    "text tokens",
    "mispaired",
    "detail",
)


def verdict_json(shard: str, number: int, verdict: Verdict, token_ids: bool = False) -> str:
    """Return a verdict as one line of JSON, as printed by ``explain --format jsonl``.

    Parameters
    ----------
    shard : str
        Name of the document's shard.
    number : int
        Position of the document in the shard, from 0.
    verdict : Verdict
    token_ids : bool
        Whether to include the sequence's token ids.
    """
    record = {
        "shard": shard,
        "number": number,
        "key": verdict.key,
        "outcome": verdict.outcome,
        "detail": verdict.detail,
        "keep_probability": verdict.keep_probability,
        "image_tokens": verdict.image_tokens,
        "text_tokens": verdict.text_tokens,
        "mispaired": verdict.mispaired,
        **asdict(verdict.shape),
        "images": [{"image": i, "status": status} for i, status in enumerate(verdict.images)],
        "pairs": [
            {"image": p.image, "sentence": p.sentence, "score": p.score, "status": p.status}
            for p in verdict.pairs
        ],
    }
    return json_text(record | ({"token_ids": list(verdict.token_ids)} if token_ids else {}))


def verdict_row(shard: str, number: int, verdict: Verdict) -> str:
    """Return a verdict as a row of the table headed by `TABLE_HEAD`."""
    return _TABLE.format(
        printable(shard),
        number,
        printable(verdict.key),
        verdict.outcome,
        f"{verdict.keep_probability:g}",
        len(verdict.images),
        len(verdict.pairs),
        verdict.image_tokens,
        verdict.text_tokens,
        verdict.mispaired,
        printable(verdict.detail or ""),
    )


def json_text(value: Any, indent: int | None = None, *, ascii_only: bool = True) -> str:
    """Return plain values as JSON, which knows neither NaN (null here) nor infinity (a text).

    Examples
    --------
    >>> json_text({"a": [float("nan"), float("-inf")], "b": 0.5})
    '{"a": [null, "-inf"], "b": 0.5}'
    """
    how: dict[str, Any] = {"indent": indent, "ensure_ascii": ascii_only, "allow_nan": False}
    try:
        return json.dumps(value, **how)
    except ValueError:
        return json.dumps(_finite(value), **how)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return json_number(value) if isinstance(value, float) else value


def json_number(value: float) -> float | str | None:
    """Return a number as JSON has it.

    Examples
    --------
    >>> json_number(0.3), json_number(float("nan")), json_number(float("inf"))
    (0.3, None, 'inf')
    """
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def write_rows(rows: list[dict[str, Any]], form: str, out: IO[str]) -> None:
    """Write rows as CSV, or as a JSON array of objects."""
    if form == "json":
        out.write(json_text(rows, 1) + "\n")
        return
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Return CSV in which no cell can be read as a formula by a spreadsheet.

    Examples
    --------
    >>> csv_text(["a", "b"], [["=1+1", -0.5]])
    '"a","b"\r\n"\'=1+1",-0.5\r\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return "" if value != value else value  # NaN: nothing to say
    text = plain(value)
    begins = unicodedata.normalize("NFKC", text.lstrip()[:1])  # includes full-width characters
    return f"'{text}" if (begins and begins in "=+-@|%") or text[:1] in ("\t", "\n") else text


def table(rows: Iterable[Iterable[Any]], left: Container[int] = (0,)) -> str:
    """Return rows of cells as aligned text; ``left`` are the left-aligned columns.

    Examples
    --------
    >>> print(table([("read", 2), ("skipped", 10)]))
    read      2
    skipped  10
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def printable(text: str) -> str:
    r"""Escape everything that a terminal might act on.

    Examples
    --------
    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_code(lines: str) -> str:
    """Escape what a terminal might act on in lines, except for the ends of lines."""
    return "\n".join(map(printable, lines.splitlines()))


def plain(text: str) -> str:
    r"""Escape control and formatting characters, so that they are visible and inert.

    Examples
    --------
    >>> plain("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode()
        if unicodedata.category(c) in _HIDDEN and c not in _SHOWN
        else c
        for c in text
    )


def without_folders(text: str) -> str:
    """Return a message with the last names of absolute paths only, as it may leave this machine.

    Examples
    --------
    >>> without_folders("/home/me/x.parquet: not valid; see s3://bucket/a and b/c")
    'x.parquet: not valid; see s3://bucket/a and b/c'
    """
    return _FOLDERS.sub("", text)


def storable(text: str) -> str:
    r"""Escape lone surrogates, which stand for bytes of a name that are not UTF-8.

    Examples
    --------
    >>> storable("a\udcff")
    'a\\udcff'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def escaped(text: str) -> str:
    """Escape text for HTML, including attribute values.

    Examples
    --------
    >>> escaped("<b onclick='x'>")
    '&lt;b onclick=&#x27;x&#x27;&gt;'
    """
    return html.escape(plain(text), quote=True)


def template(source: str) -> Template:
    """Return a Jinja template that escapes every value as `escaped` does, except `Markup`.

    Examples
    --------
    >>> template("<b>{{ a }}</b>").render(a="1 < 2")
    '<b>1 &lt; 2</b>'
    """
    from jinja2 import Environment, StrictUndefined  # slow to import

    environment = Environment(
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else Markup(escaped(str(value))),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(source)
