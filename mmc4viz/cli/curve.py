"""The commands ``explain``, ``curve``, ``reference`` and ``loaders``."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from mmc4viz.cli.common import (
    check_budget,
    check_sample,
    finish,
    loader_named,
    open_corpus,
    progress,
    shifts_of,
    slice_thresholds_of,
    spare_inputs,
    unmatched,
)
from mmc4viz.cli.messages import print_note
from mmc4viz.data.columns import Columns
from mmc4viz.data.corpus import NO_SCORES, NOTHING_READABLE, Indexed, Shards
from mmc4viz.data.scale import MAX_STEPS, Thresholds, misfits, recognise
from mmc4viz.data.storage import whole_file
from mmc4viz.loader.walk import walk
from mmc4viz.text import (
    TABLE_HEAD,
    csv_text,
    json_text,
    printable,
    table,
    verdict_json,
    verdict_row,
    write_rows,
)
from mmc4viz.types import ConfigError, LoaderConfig, SliceThresholds

if TYPE_CHECKING:
    from mmc4viz.thresholds.compare.loaders import LoaderComparison

_MAX_ROWS = 20_000  # rows of matrices from which the scale is recognized


def explain(form: str, token_ids: bool, key: str | None, **options: Any) -> None:
    """Show the loader's decision for every document, with the reason."""
    config, corpus = open_corpus(options, by_slice=True)
    slices = slice_thresholds_of(options, config, corpus)
    own = None if slices is None else _own_thresholds(slices, config, corpus)
    ends, documents = [math.inf, -math.inf], 0  # of the matched scores
    seen: list[NDArray[np.float64]] = []  # rows of matrices, or single stored scores
    head = TABLE_HEAD if form == "table" else ""
    numbers = Counter[str]()
    with progress("documents") as advance:
        for shard, document in corpus.documents(with_text=token_ids):
            number = numbers[shard]
            numbers[shard] += 1
            at = config if own is None else config.with_(threshold=next(own))
            if key not in (None, document.key):
                continue
            if head:
                click.echo(head)
                head = ""
            verdict = walk(document, at, corpus.tokenizer)
            if form == "jsonl":
                click.echo(verdict_json(shard, number, verdict, token_ids))
            else:
                click.echo(verdict_row(shard, number, verdict))
            scores = [pair.score for pair in verdict.pairs]
            ends = [min([ends[0], *scores]), max([ends[1], *scores])]
            documents += 1
            if len(seen) < _MAX_ROWS:
                stored = config.assignment == "stored"
                seen += _rows([[score] for score in scores] if stored else document.similarity)
            advance(1)
    if head:
        click.echo(head)
    if ends[0] <= ends[1]:
        scale = recognise(np.concatenate([*seen, np.zeros(0)]), np.array([*map(len, seen)], int))
        corpus.notes += misfits(np.array([config.threshold]), scale, np.array(ends))
    elif key is not None and not documents:
        corpus.errors.append(f"no document has the key {key!r}")
    elif not {NOTHING_READABLE, NO_SCORES} & set(corpus.notes):
        corpus.notes.append(unmatched(documents, "each document's detail says why"))
    finish(corpus)


def _own_thresholds(
    slices: SliceThresholds, config: LoaderConfig, corpus: Indexed | Shards
) -> Iterator[float]:
    """Return every document's threshold, in order; reads the corpus once more."""
    from mmc4viz.sweep.sweep import match_corpus  # imported late: explain starts without it

    with progress("documents") as advance:
        matched = match_corpus(corpus.columns(advance), config)
    shifts = shifts_of(slices, matched, corpus)
    return iter([] if shifts is None else shifts.at(config.threshold).tolist())


def _rows(similarity: Any) -> list[NDArray[np.float64]]:
    """Return a matrix's rows; none if it is not a valid matrix."""
    try:
        matrix = np.array(similarity, np.float64)
    except (ValueError, TypeError, OverflowError):
        return []
    return list(matrix) if matrix.ndim == 2 else []


def curve(
    thresholds: str | None,
    grid: str | None,
    sample: int | None,
    seed: int,
    shape: bool,
    budget: str | None,
    corpus_size: str | None,
    form: str,
    **options: Any,
) -> None:
    """Print what each threshold keeps and drops: documents, pairs, tokens."""
    from mmc4viz.notebook import OpenedCorpus  # imported late: explain starts without it

    asked = thresholds_of(thresholds, grid)
    check_budget(budget, corpus_size)
    config, corpus = open_corpus(options, by_slice=True)
    slices = slice_thresholds_of(options, config, corpus)
    check_sample(sample)
    with progress("documents") as advance:
        opened = OpenedCorpus(corpus, config.clip_model, None, sample, seed, advance, slices)
        if opened.drawn is not None and not opened.drawn.n_documents:
            corpus.errors.append(unmatched(0))
            finish(corpus)
        found = opened.curves(config, asked, shape=shape, budget=budget, corpus_size=corpus_size)
        matched = opened.matched(config)
    write_rows(found.rows, form, sys.stdout)
    if found.passes is not None and found.passes.sampled is not None:
        corpus.notes.append(f"passes: {found.passes.assumption}")
    scores = matched.scores()
    if not len(scores):
        if NOTHING_READABLE not in corpus.notes:
            corpus.notes.append(unmatched(matched.n_documents))
    else:
        at = np.array([row["threshold"] for row in found.rows])
        corpus.notes += _misfits(at, matched.scale.name, scores, thresholds is not None)
    finish(corpus)


def reference(form: str, **options: Any) -> None:
    """Print published figures beside the same figures of the corpus."""
    from mmc4viz.notebook import OpenedCorpus  # imported late: explain starts without them
    from mmc4viz.reference_figures import HEAD, SOURCES, cells

    config, corpus = open_corpus(options)
    with progress("documents") as advance:
        found = OpenedCorpus(corpus, config.clip_model, progress=advance).reference()
    if form == "json":
        click.echo(json_text({"figures": found.rows(), "notes": found.notes}, 1))
    elif form == "csv":
        rows = [["" if x is None else x for x in row.values()] for row in found.rows()]
        click.echo(csv_text(list(found.rows()[0]), rows), nl=False)
    else:
        for source in SOURCES:
            figures = found.of(source)
            click.echo(f"{source.name}\n{table([HEAD, *map(cells, figures)])}")
            for reason in dict.fromkeys(one.reason for one in figures if one.reason):
                click.echo(printable(f"(–: {reason}.)"))
            click.echo(f"({source.how})\n")
        click.echo(f"({' '.join(found.notes)})")
    finish(corpus)


def loaders(names: tuple[str, ...], documents_file: str | None, form: str, **options: Any) -> None:
    """Show what is left of a corpus under the loader of each training code."""
    from mmc4viz.notebook import OpenedCorpus  # imported late: explain starts without them
    from mmc4viz.thresholds.compare.loaders import kept_and_lost, rows_of, table_of

    config, corpus = open_corpus(options)
    if documents_file is not None and not documents_file.endswith(".csv"):
        raise ConfigError(f"--documents {documents_file}: the name must end in .csv")
    others = [loader_named(name) for name in names]
    with progress("documents") as advance:
        opened = OpenedCorpus(corpus, config.clip_model, progress=advance)
        found = opened.compare_loaders(config, others)
    if documents_file is not None:
        spare_inputs(corpus, [options["config_file"]], [documents_file])
        head = "shard", "key", *(one.config.loader for one in found.loaders)
        with whole_file(documents_file) as file:
            file.write(csv_text(head, _differing(opened.columns, found)).encode())
        print_note(f"wrote {documents_file}: {int(found.differing().sum()):,} documents")
    if form == "json":
        click.echo(json_text(rows_of(found), 1))
    elif form == "csv":
        rows = [["" if x is None else x for x in row.values()] for row in rows_of(found)]
        click.echo(csv_text(list(rows_of(found)[0]), rows), nl=False)
    else:
        click.echo(f"{found.documents:,} documents\n{table(table_of(found))}")
        lost = table(kept_and_lost(found))
        click.echo(f"\nDocuments that one loader keeps, and another never\n{lost}")
    finish(corpus)


def _differing(
    corpus: Sequence[Columns], found: LoaderComparison
) -> Iterator[tuple[str | float, ...]]:
    """Yield the documents that not all loaders keep alike, with the probability that each does."""
    chosen, start = found.differing(), 0
    odds = np.array([one.probability for one in found.loaders]).T
    for part in corpus:
        keys = part.batch.column("key")
        rows = np.flatnonzero(chosen[start : start + len(part)]).tolist()
        for row in rows:
            yield part.shard.name, keys[row].as_py(), *odds[start + row].tolist()
        start += len(part)


def _misfits(asked: Thresholds, scale: str, scores: NDArray[np.float64], listed: bool) -> list[str]:
    """Return notes on thresholds that keep all or nothing; for a grid, only if all of it does."""
    if not listed and len(scores) and ((scores.min() < asked) & (asked <= scores.max())).any():
        return []
    return misfits(asked, scale, scores)


def thresholds_of(listed: str | None, grid: str | None) -> Thresholds | None:
    """Parse ``--thresholds`` or ``--grid``; ascending, without duplicates."""
    if listed is not None and grid is not None:
        raise ConfigError("give --thresholds or --grid, not both")
    if listed is not None:
        return np.unique([_number(text, "--thresholds") for text in listed.split(",")])
    if grid is None:
        return None
    parts = grid.split(":")
    if len(parts) != 3:
        raise ConfigError(f"--grid expects START:STOP:STEP, such as 0.2:0.3:0.01, not {grid!r}")
    start, stop, step = (_number(text, "--grid") for text in parts)
    if step <= 0 or stop < start:
        raise ConfigError(f"--grid {grid}: STOP must not be below START, and STEP must be positive")
    steps = (stop - start) / step + 1e-9
    if not steps < MAX_STEPS:  # nor infinitely many
        raise ConfigError(f"--grid {grid} has more than {MAX_STEPS:,} steps")
    digits = max(_decimals(text) for text in parts)
    values = [round(start + k * step, digits) for k in range(math.floor(steps) + 1)]
    return np.unique([*values, stop])


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a number") from None
    if not math.isfinite(value):
        raise ConfigError(f"{option}: {text!r} is not a finite number")
    return value


def _decimals(text: str) -> int:
    """Count a number's decimals as written.

    Examples
    --------
    >>> _decimals("0.25"), _decimals("1e-3"), _decimals("2")
    (2, 3, 0)
    """
    mantissa, _, exponent = text.strip().lower().partition("e")
    return max(0, len(mantissa.partition(".")[2]) - int(exponent or 0))
