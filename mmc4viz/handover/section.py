"""A section of the report: a title, and below it words, tables and pictures. All text is escaped.

Says nothing of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmc4viz.handover.markup import table
from mmc4viz.output import escaped


@dataclass(frozen=True)
class Words:
    """A paragraph of plain text; ``small`` for what is said beside the point."""

    text: str
    small: bool = False

    def html(self) -> str:
        """Write it."""
        kind = ' class="soft"' if self.small else ""
        return f"<p{kind}>{escaped(self.text)}</p>"


@dataclass(frozen=True)
class Heading:
    """A heading within a section, plain text."""

    text: str

    def html(self) -> str:
        """Write it."""
        return f"<h3>{escaped(self.text)}</h3>"


@dataclass(frozen=True)
class Folded:
    """Plain text that is shown when its summary is opened."""

    summary: str
    text: str

    def html(self) -> str:
        """Write it."""
        summary = f"<summary>{escaped(self.summary)}</summary>"
        return f'<details>{summary}<p class="soft">{escaped(self.text)}</p></details>'


@dataclass(frozen=True)
class Table:
    """A table of plain text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def html(self) -> str:
        """Write it."""
        return f'<div class="wide">{table(self.head, self.rows)}</div>'


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side: SVG as `mmc4viz.handover.drawing` writes it, whose text is escaped."""

    drawn: Sequence[str]

    def html(self) -> str:
        """Write them."""
        each = "".join(f"<div>{one}</div>" for one in self.drawn)
        return f'<div class="curves">{each}</div>'


Part = Words | Heading | Folded | Table | Pictures


@dataclass(frozen=True)
class Section:
    """A section that some way of choosing adds."""

    title: str
    parts: Sequence[Part] = ()

    def html(self) -> str:
        """Write it."""
        return f"<h2>{escaped(self.title)}</h2>{''.join(part.html() for part in self.parts)}"
