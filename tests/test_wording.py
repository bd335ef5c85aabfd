"""The language: no phrase that was replaced comes back, and terms and percentages have one form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOBS = (
    "mmc4viz/**/*.py", "mmc4viz/**/*.js", "mmc4viz/**/*.json", "docs/*.md", "*.md",
    "tests/recordings/said/*",
)  # fmt: skip
FILES = [path for glob in GLOBS for path in sorted(ROOT.glob(glob))]
OLD = (ROOT / "tests" / "recordings" / "old_phrases.txt").read_text().splitlines()
TERMS = {
    "misbound": "mispaired",
    "fate": "status",
    "coin": "single-image keep probability",
    "similarity set": "score set",
    "knob": "setting",
    "wished": "target",
    "goes with": "is equivalent to",
    "lest": "so that … not",
}
CODED = re.compile(r"%[sdr(]|:%|strf?time|format\(")


def plain(text: str) -> str:
    """Return text as words in lower case, strings joined that are split over lines of code."""
    joined = re.sub(r'"\s*\n\s*f?"', " ", text)
    return f" {re.sub(r'[^a-zA-Z0-9]+', ' ', joined).lower()} "


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_phrase_that_was_replaced_comes_back(path: Path) -> None:
    text = plain(path.read_text())
    assert [phrase for phrase in OLD if plain(phrase) in text] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_terms_and_percentages_have_one_form(path: Path) -> None:
    lines = path.read_text().splitlines()
    found = [
        f"{number}: {term!r} is now {new!r}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        for term, new in TERMS.items()
        if re.search(rf"\b{term}s?\b", line, re.IGNORECASE)
    ]
    found += [
        f"{number}: a blank before %: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if re.search(r"\d %(?![a-z(.\d ])", line) and not CODED.search(line)
    ]
    assert found == []
