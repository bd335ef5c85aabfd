"""HTML of the pages, CSV buttons and error messages.

Streamlit interprets most text as Markdown. Text from corpora or users is therefore shown as HTML
from ``assets/parts.j2``, which escapes every value, or in table cells.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import streamlit as st
from markupsafe import Markup
from streamlit.delta_generator import DeltaGenerator

from mmc4viz.text import csv_text, plain, template
from mmc4viz.types import SETTINGS, ImageStatus, Outcome, PairStatus


def asset(*names: str) -> str:
    """Return the text of style sheets or scripts of the package, joined in this order."""
    folder = Path(__file__).with_name("assets")
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


_BREAKS: Final = re.compile(r"(?<=[>}])\n\s*|\n\s*(?=[<{])")  # next to a tag
_PARTS: Final = template(_BREAKS.sub("", asset("parts.j2"))).module


def part(name: str, *values: object, **named: object) -> Markup:
    """Return a macro's HTML with all values escaped that are not HTML from here.

    Examples
    --------
    >>> part("bold", "1 < 2")
    Markup('<b>1 &lt; 2</b>')
    """
    html: Markup = getattr(_PARTS, name)(*values, **named)
    return html


def note(text: str, kind: Literal["note", "error"] = "note") -> None:
    """Show a one-line note; an error is announced to screen readers."""
    st.html(part("note", " ".join(text.split()), kind))


def show_problems(errors: Sequence[str], notes: Iterable[str]) -> None:
    """Show the first errors of shards, how many more there are, and notes."""
    for error in errors[:_MOST_ERRORS]:
        note(error, "error")
    if len(errors) > _MOST_ERRORS:
        note(f"{len(errors) - _MOST_ERRORS:,} more shards have errors", "error")
    for line in notes:
        note(line)


_MOST_ERRORS: Final = 5
NO_DOCUMENTS: Final = "No document could be read from these shards. Select others in the sidebar."
ASSIGNMENTS: Final = {
    "one_to_one": "One-to-one (current loader)",
    "argmax": "Argmax (loader before Aug 2023)",
    "stored": "Stored in MMC4",
    "greedy": "Greedy",
    "neighbor": "Neighbor on the page",
}


def setting_in_words(name: str, value: object) -> str:
    """Return a setting with its value, to stand within a sentence.

    Examples
    --------
    >>> setting_in_words("max_images", 3), setting_in_words("assignment", "greedy")
    ('max images 3', 'assignment Greedy')
    """
    label = SETTINGS[name].label
    shown = ASSIGNMENTS.get(value, value) if isinstance(value, str) else value
    return f"{label[:1].lower()}{label[1:]} {plain(str(shown))}"


PAIR_STATUSES: Final = {
    PairStatus.KEPT: ("kept", "kept"),
    PairStatus.BELOW_THRESHOLD: ("rejected", "below threshold"),
    PairStatus.OVER_CAP: ("rejected", "dropped at the cap"),
    PairStatus.TRUNCATED: ("truncated", "truncated"),
}
IMAGE_STATUSES: Final = {
    ImageStatus.MISSING: ("rejected", "missing"),
    ImageStatus.TOO_SMALL: ("rejected", "too small"),
    ImageStatus.UNMATCHED: ("rejected", "unmatched"),
    ImageStatus.MATCHED: ("kept", "valid"),
    ImageStatus.UNDECODABLE: ("unreadable", "undecodable: drops the document"),
    ImageStatus.LOST_WITH_DOCUMENT: ("unreadable", "dropped with its document"),
}


def chip(meaning: str, words: str) -> Markup:
    """Mark text with a color class."""
    return part("chip", meaning, words)


def web_link(url: str, what: str = "") -> Markup | str:
    """Return a link to a web page that says where it leads; other text is only shown.

    Parameters
    ----------
    url : str
        From a corpus; nothing but http and https becomes a link.
    what : str
        Shown with the site's name instead of the whole address.

    Examples
    --------
    >>> "image on a.org" in web_link("https://a.org/b.jpg", "image on")
    True
    >>> web_link("javascript:alert(1)")
    'javascript:alert(1)'
    """
    host = site_of(url)
    if not host:
        return plain(url)
    return part("link", url.strip(), f"{what} {host}" if what else plain(url))


def site_of(url: str) -> str:
    """Return the host of an http or https address, look-alike letters as xn--…; else empty.

    Examples
    --------
    >>> site_of("https://a.org/b.jpg"), site_of("javascript:alert(1)"), site_of("//a.org")
    ('a.org', '', '')
    """
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        return ""
    return host if parts.scheme in ("http", "https") else ""


def outcome_chip(outcome: Outcome, detail: str | None = None) -> Markup:
    """Return an outcome as a chip, with its reason."""
    words = str(outcome).replace("_", " ")
    return chip(outcome_meaning(outcome), f"{words}: {detail}" if detail else words)


def outcome_meaning(outcome: Outcome) -> str:
    """Return the name of an outcome's color."""
    return {Outcome.KEPT: "kept", Outcome.UNREADABLE: "unreadable"}.get(outcome, "rejected")


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, current: int | None = None
) -> Markup:
    """Return a table; ``current`` is the number of a row to highlight."""
    return part("table", head, rows, caption, current)


def heading(
    words: str,
    *csv: Any,
    what: str = "",
    svg: Callable[[], bytes] | None = None,
    explained: str | None = None,
) -> None:
    """Draw a section's heading, with buttons for its picture's data and for the picture.

    Parameters
    ----------
    words : str
        Words that are not the page's own must be HTML from `part`.
    *csv
        Arguments of `csv_button`, if there are data.
    what : str
        What is downloaded, as in "Download ROC curves (SVG)".
    svg : callable, optional
        Returns the picture; called when the button is pressed.
    explained : str, optional
        Shown on request next to plain words; Markdown.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if isinstance(words, Markup):
            st.html(words, width="content")
        else:
            st.header(words, anchor=False, width="content", help=explained)
        if csv:
            name, head, rows = csv
            csv_button(name, head, rows, what)
        if svg is not None:
            svg_button(csv[0], svg, what)


def csv_button(
    name: str, head: Sequence[str], rows: Callable[[], Iterable[Sequence[Any]]], what: str = ""
) -> None:
    """Draw a button that downloads rows as ``name``.csv; they are made when it is pressed."""
    _download(name, "csv", "text/csv", lambda: csv_text(head, rows()), what)


def svg_button(name: str, draw: Callable[[], bytes], what: str = "") -> None:
    """Draw a button that downloads a picture as ``name``.svg; it is drawn when it is pressed."""
    _download(name, "svg", "image/svg+xml", draw, what)


def _download(name: str, form: str, mime: str, make: Callable[[], str | bytes], what: str) -> None:
    """Draw a download button. Only its format is visible; its name says what it downloads."""
    words = f"Download {what or name.replace('-', ' ')} ({form.upper()})"
    st.download_button(
        words,
        data=make,
        file_name=f"{name}.{form}",
        mime=mime,
        key=f"{form}-{name}",
        help=words,
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
    )


def plural(count: float, noun: str) -> str:
    """Return a noun in singular or plural.

    Examples
    --------
    >>> plural(1, "pair"), plural(0, "pair")
    ('pair', 'pairs')
    """
    return noun if count == 1 else f"{noun}s"


def many(count: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> many(1, "shard"), many(1200, "document")
    ('1 shard', '1,200 documents')
    """
    return f"{count:,} {plural(count, noun)}"


def pair_of_columns(name: str) -> list[DeltaGenerator]:
    """Return two columns; the name must be unique on the page."""
    with st.container(key=f"beside-{name}"):
        return list(st.columns(2))


_LOG: Final = logging.getLogger("mmc4viz")


def log(error: BaseException) -> None:
    """Log a traceback."""
    _LOG.error("a page failed", exc_info=error)


def show_error(error: BaseException) -> bool:
    """Show an error as one line; True tells Streamlit that the error was handled."""
    note(error_message(error), "error")
    return True


def error_message(error: BaseException) -> str:
    """Return a one-line message for an error.

    Examples
    --------
    >>> error_message(KeyError("a"))
    'This page failed (KeyError). Undo your last change or reload; see the server log for details.'
    """
    if isinstance(error, MemoryError):
        what = " ".join(str(error).split())[:200]
        return (
            f"Out of memory{f': {what}' if what else ''}. Open fewer shards, set a sample size, or "
            "open an index."
        )
    return (
        f"This page failed ({type(error).__name__}). Undo your last change or reload; see the "
        "server log for details."
    )
