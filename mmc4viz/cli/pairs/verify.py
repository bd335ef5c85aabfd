"""The command ``verify`` on a table of pairs: what a config records, counted again."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import click

from mmc4viz.cli.common import finish, progress
from mmc4viz.cli.messages import print_error
from mmc4viz.cli.pairs.opened import open_pairs
from mmc4viz.pairs.choose import count_kept
from mmc4viz.pairs.settings import PairFacts, read_facts
from mmc4viz.text import table


def verify(config_file: str, **options: Any) -> None:
    """Count the rows that a config keeps, and compare with what it records."""
    facts = read_facts(config_file)
    opened = open_pairs(options | {"config_file": config_file}, count_now=False)
    assert opened.settings is not None
    read = [0]
    with progress("rows") as advance:

        def tell(rows: int) -> None:
            read[0] += rows
            advance(rows)

        (kept,) = count_kept(opened.table, [opened.chosen(None)], opened.errors, tell)
    names = [os.path.basename(path) for path in opened.table.paths]
    counts = [("pairs kept", facts.kept, kept), ("rows", facts.rows, read[0])]
    rows: list[Sequence[str]] = [("", "recorded", "now", "")]
    rows += [_count(*one) for one in counts]
    rows += _files(facts, names)
    rows.append(_told("table", opened.settings.layout, opened.table.layout.name))
    rows.append(_told("mmc4viz version", facts.version, version("mmc4viz")))
    click.echo(table(rows, left=(0, 3)))
    wrong = [name for name, before, now in counts if before not in (None, now)]
    wrong += ["files"] * (Counter(names) != Counter(facts.files))
    if wrong:
        print_error(f"{config_file}: not the same on this table: {', '.join(wrong)}")
    finish(opened)
    if wrong:
        sys.exit(1)


def _count(name: str, recorded: int | None, now: int) -> tuple[str, ...]:
    if recorded is None:
        return name, "–", f"{now:,}", "not recorded"
    return name, f"{recorded:,}", f"{now:,}", "same" if recorded == now else "differs"


def _files(facts: PairFacts, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return how many files have the names of those that were read, and which do not."""
    before, now = Counter(facts.files), Counter(names)
    found = [_count("files", len(facts.files), len(names))]
    for words, others in (("missing", before - now), ("not recorded", now - before)):
        if others:
            shown = ", ".join(sorted(others.elements())[:5]) + ", …" * (others.total() > 5)
            found.append((f"files {words}", "", f"{others.total():,}", shown))
    return found


def _told(name: str, recorded: str, now: str) -> tuple[str, ...]:
    """Return something that may differ."""
    said = "not recorded" if not recorded else "same" if recorded == now else "another one"
    return name, recorded or "–", now, said
