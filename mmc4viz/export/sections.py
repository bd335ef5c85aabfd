"""The parts that a report is made of; `report.html.j2` has a macro for each kind.

Text is plain and not escaped. Figures and tables with a caption are numbered in the order in which
they are shown; the report adds to every caption which corpus it is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from markupsafe import Markup

from mmc4viz.text import template


def counted(n: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless the number is 1.

    Examples
    --------
    >>> counted(1, "pair"), counted(2000, "pair")
    ('1 pair', '2,000 pairs')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text; ``small`` for secondary remarks, ``note`` for the user's own."""

    kind: ClassVar[str] = "paragraph"
    text: str
    small: bool = False
    note: bool = False


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Points:
    """A list of points."""

    kind: ClassVar[str] = "points"
    lines: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Text to be copied, such as a command; one click selects all of it. ``prose`` is no code."""

    kind: ClassVar[str] = "code"
    text: str
    prose: bool = False


@dataclass(frozen=True)
class Folded:
    """Plain text that is collapsed under a summary; as code if that is what it is."""

    kind: ClassVar[str] = "folded"
    summary: str
    text: str
    code: bool = False


@dataclass(frozen=True)
class Terms:
    """Terms with their meanings."""

    kind: ClassVar[str] = "terms"
    meanings: Mapping[str, str]


@dataclass(frozen=True)
class Numbers:
    """The headline: for each number its value and the lines below it."""

    kind: ClassVar[str] = "numbers"
    shown: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Table:
    """A table of plain text; ``right`` are the columns of numbers."""

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    right: Sequence[int] = ()


@dataclass(frozen=True)
class Charts:
    """A figure of charts side by side; ``narrow`` are shown instead on a narrow screen, if any."""

    kind: ClassVar[str] = "charts"
    drawn: Sequence[Markup]
    caption: str = ""
    narrow: Sequence[Markup] = ()


@dataclass(frozen=True)
class Funnels:
    """A figure of funnels side by side, each a list of bars."""

    kind: ClassVar[str] = "funnels"
    drawn: Sequence[Sequence[Mapping[str, str]]]
    caption: str = ""


@dataclass(frozen=True)
class Cards:
    """A figure of pairs, each with image, sentence and status."""

    kind: ClassVar[str] = "cards"
    shown: Sequence[Mapping[str, Any]] = field(default=())
    caption: str = ""


Part = (
    Paragraph
    | Heading
    | Points
    | Code
    | Folded
    | Terms
    | Numbers
    | Table
    | Charts
    | Funnels
    | Cards
)


@dataclass(frozen=True)
class Section:
    """A titled section of the report."""

    title: str
    parts: Sequence[Part] = ()


def html_page(title: str, about: str, corpus: str, sections: Sequence[Section]) -> str:
    """Return sections as one self-contained HTML page; one without parts is left out.

    Parameters
    ----------
    title, about : str
    corpus : str
        What it is about, as every caption says.
    sections : sequence of Section
    """
    return template(_asset("report.html.j2")).render(
        style=Markup(_asset("report.css")),
        title=title,
        about=about,
        corpus=corpus,
        sections=[section for section in sections if section.parts],
        count=_Counter(),
    )


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


class _Counter:
    """Numbers figures and tables in the order in which they are shown."""

    def __init__(self) -> None:
        self._seen = {"Figure": 0, "Table": 0}

    def next(self, kind: str) -> str:
        self._seen[kind] += 1
        return f"{kind} {self._seen[kind]}."
