"""Several models' similarity of one corpus, as a person names them. Matches and compares nothing.

A model is a similarity set of the index, or a Parquet file beside the shards or named; each is
shown by one name (`mmc4viz.corpus.naming`), and may be asked for by the set's name and the CLIP
model's, too. ``own`` always asks for what the shards carry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mmc4viz.choice.comparing.candidate import Candidate
from mmc4viz.choice.fdr.estimate import FdrEstimate, estimate_fdr
from mmc4viz.choice.fdr.stack import stack_of
from mmc4viz.cli.shared import named_file, open_corpus, progress
from mmc4viz.corpus.columns import Columns
from mmc4viz.corpus.naming import names_of
from mmc4viz.corpus.sets import OWN
from mmc4viz.corpus.sidecar import Sidecar, model_in, sidecars
from mmc4viz.corpus.similarity import with_similarity
from mmc4viz.corpus.source import Indexed, Shards
from mmc4viz.corpus.storage import is_remote
from mmc4viz.model import ConfigError, LoaderConfig

Tell = Callable[[int], object]


class ManyModels(click.Command):
    """A command whose --models takes every name that follows, up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the option before each of the names."""
        spread: list[str] = []
        taking = False
        for word in args:
            if word == "--models" or word.startswith("-"):
                taking = word == "--models"
                spread += [] if taking else [word]
            else:
                spread += ["--models", word] if taking else [word]
        if args and args[-1] == "--models":
            raise ConfigError("--models takes the names of models")
        return super().parse_args(ctx, spread)


@dataclass(frozen=True)
class Similarity:
    """One model's similarity, not read yet.

    Attributes
    ----------
    name : str
        By which it is shown.
    others : tuple of str
        By which it may be named as well.
    read : callable
        Returns the columns; told of documents read.
    """

    name: str
    others: tuple[str, ...]
    read: Callable[[Tell], Sequence[Columns]]


def similarities(
    options: dict[str, Any], files: Sequence[str]
) -> tuple[LoaderConfig, Indexed | Shards, list[Similarity]]:
    """Open a corpus and find every model's similarity of it.

    Parameters
    ----------
    options : dict
        Of the command, as `open_corpus` takes them.
    files : sequence of str
        ``NAME=FILE`` for shards.

    Raises
    ------
    Mmc4vizError
        For a corpus that cannot be opened, or a file that is not named.
    """
    config, corpus = open_corpus(options | {"similarity": None})
    return config, corpus, similarities_of(corpus, config, files)


def similarities_of(
    corpus: Indexed | Shards,
    config: LoaderConfig,
    files: Sequence[str],
    own: Sequence[Columns] | None = None,
) -> list[Similarity]:
    """Find every model's similarity of a corpus; ``own`` are shards' columns if read already."""
    if not isinstance(corpus, Indexed):
        return _of_shards(corpus, config, [named_file(text) for text in files], own)
    if files:
        raise ConfigError(
            "--similarity NAME=FILE is for SHARDs; an index takes files in by mmc4viz index "
            f"--out {corpus.index.folder} --similarity NAME=FILE"
        )
    return _of_index(corpus, config)


def _of_index(corpus: Indexed, config: LoaderConfig) -> list[Similarity]:
    def reading(name: str) -> Callable[[Tell], Sequence[Columns]]:
        return lambda _: corpus.index.with_similarity(name).columns

    index = corpus.index
    named = {name: one for name, one in index.models.items() if one != index.similarity}
    named[config.clip_model] = index.similarity  # by which the deciding one is known here
    order = list(index.models.values())
    found = sorted(named.items(), key=lambda item: order.index(item[1]))
    return [
        Similarity(name, (one, *([] if one == OWN else [index.set_models[one]])), reading(one))
        for name, one in found
    ]


def _of_shards(
    corpus: Shards,
    config: LoaderConfig,
    named: Sequence[tuple[str, str]],
    columns: Sequence[Columns] | None = None,
) -> list[Similarity]:
    """Take the shards' own similarity, and the files named, else those beside the shards."""
    own: list[Sequence[Columns]] = [] if columns is None else [columns]

    def read(tell: Tell) -> Sequence[Columns]:
        if not own:
            own.append(corpus.columns(tell))
        return own[0]

    def reading(path: str) -> Callable[[Tell], Sequence[Columns]]:
        return lambda tell: [with_similarity(part, Sidecar("", path)) for part in read(tell)]

    folders = {Path(shard.path).parent for shard in corpus.shards if not is_remote(shard.path)}
    if named:
        models = {name: model_in(Path(path), name) for name, path in named}
        shown = {one: name for name, one in names_of(config.clip_model, models).items()}
        others = [Similarity(shown[n], (n, models[n]), reading(path)) for n, path in named]
    else:
        others = [Similarity(one.model, (), reading(one.path)) for one in sidecars(sorted(folders))]
    return [Similarity(config.clip_model, (OWN,), read), *others]


def chosen(found: Sequence[Similarity], wanted: Sequence[str]) -> list[Similarity]:
    """Return the models wanted, in their order; all of them when none is named.

    Raises
    ------
    ConfigError
        For a name that none has, or that several have.
    """
    return [_one(found, name) for name in wanted] or list(found)


def _one(found: Sequence[Similarity], name: str) -> Similarity:
    by_name = [one for one in found if one.name == name]
    matching = by_name or [one for one in found if name in one.others]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(one.name for one in found)
    several = "several similarity sets are" if matching else "no similarity set is"
    raise ConfigError(f"{several} called {name!r}; there are: {known}")


def rates_of(candidates: Sequence[Candidate]) -> dict[str, FdrEstimate]:
    """Estimate every model's false-discovery rate."""
    found = {}
    with progress("models", len(candidates)) as advance:
        for one in candidates:
            found[one.name] = estimate_fdr(stack_of(one.model.matched))
            advance(1)
    return found
