"""Shared options, opening a corpus, CLIP models by name, progress.

A CLIP model's scores are a score set of the index, or a Parquet file next to the shards or given
by ``NAME=FILE``. Each is shown under one name (`mmc4viz.data.index`) and can be selected by the
score set's or the CLIP model's name; ``own`` always selects the scores in the shards.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from glob import escape, glob
from pathlib import Path
from typing import Any, TypeVar

import click
from tqdm import tqdm

from mmc4viz.cli.messages import print_error, print_note
from mmc4viz.config_file import Config, read_config
from mmc4viz.data.columns import Columns
from mmc4viz.data.corpus import Indexed, Shards, Source
from mmc4viz.data.index import OWN, UNKNOWN, checked_name, names_in, names_of, open_index
from mmc4viz.data.sample import DrawnSample
from mmc4viz.data.shards import expand
from mmc4viz.data.similarity_file import SimilarityFile, model_in, similarity_files, with_similarity
from mmc4viz.data.storage import is_remote, refuse_inputs, remember
from mmc4viz.export.provenance import basics_of, differences
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.fdr.estimate import FdrEstimate, estimate_fdr
from mmc4viz.thresholds.fdr.matrices import stack_of
from mmc4viz.types import ASSIGNMENT_NAMES, ConfigError, LoaderConfig

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS = (
    click.option("--threshold", type=float, help="Drop pairs with a score below this. [0.24]"),
    click.option("--min-images", type=int, help="Drop documents with fewer image tokens. [1]"),
    click.option(
        "--max-images",
        type=int,
        help="Maximum pairs per document; the first in image order are kept. [6]",
    ),
    click.option(
        "--max-tokens", type=int, help="Truncate each sequence to this many tokens. [256]"
    ),
    click.option(
        "--min-kb",
        type=int,
        help="Drop images smaller than (N+1) kB; -1 disables the limit. [10]",
        metavar="N",
    ),
    click.option(
        "--assignment",
        type=click.Choice(ASSIGNMENT_NAMES),
        help="Method that assigns images to sentences. [one_to_one]",
    ),
    click.option(
        "--single-image-keep",
        type=float,
        metavar="P",
        help="Probability of keeping a document with exactly one image token. [0.5]",
    ),
    click.option(
        "--tokenizer",
        help="gpt2 (built in), a tokenizer.json, a folder or a Hugging Face id. [gpt2, or the "
        "index's]",
    ),
    click.option("--clip-model", help="Name of the CLIP model that produced the shards' scores."),
    click.option(
        "--config",
        "config_file",
        metavar="FILE",
        help="Read settings from a YAML or JSON file; command-line options override it.",
    ),
    click.option(
        "--image-dir",
        metavar="DIR",
        help="Image folder for MMC4's .jsonl shards: DIR/k/NAME (k: the shard's position), "
        "DIR/SHARD_images/NAME or DIR/NAME. [SHARD_images/NAME next to the shard]",
    ),
)


SHARDS = click.argument("shards", nargs=-1, metavar="[SHARD...]")
INDEX = click.option("--index", "index_dir", metavar="DIR", help="Use an index instead of SHARDs.")

SIMILARITY = click.option(
    "--similarity",
    metavar="NAME",
    help="Score set of the index to use; own is the scores in the shards. [the config's, or own]",
)


SEED = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Random seed."
)

WORKERS = click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=os.cpu_count(),
    show_default=True,
    help="Number of worker processes.",
)


def with_settings(command: F) -> F:
    """Add the options for all settings to a command."""
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


def config_of(settings: dict[str, Any]) -> LoaderConfig:
    """Build the settings: defaults, overridden by the file, overridden by options."""
    return _with_flags(config_file_of(settings), settings)


def config_file_of(settings: dict[str, Any]) -> Config:
    """Read the ``--config`` file; an empty config without it."""
    file = settings.get("config_file")
    return read_config(file) if file else Config({})


def _with_flags(file: Config, settings: dict[str, Any]) -> LoaderConfig:
    names = [field.name for field in fields(LoaderConfig)]
    flags = {name: settings[name] for name in names if settings.get(name) is not None}
    return LoaderConfig.from_mapping({**file.settings, **flags})


def open_corpus(options: dict[str, Any]) -> tuple[LoaderConfig, Indexed | Shards]:
    """Open the shards or the index, and return the settings with tokenizer and model resolved."""
    if options["index_dir"]:
        options = {**options, "index_dir": remember(options["index_dir"])}
    shards, folder = options["shards"], options["index_dir"]
    if bool(shards) == bool(folder):
        raise ConfigError("give SHARDs or --index DIR" + (", not both" if shards else ""))
    if options.get("similarity") is not None and not folder:
        raise ConfigError("--similarity NAME selects a score set of an index: add --index DIR")
    file = config_file_of(options)
    config = _with_flags(file, options)
    if not folder:
        tokenizer = load_tokenizer(config.tokenizer)
        corpus: Indexed | Shards = Shards(
            expand(shards), tokenizer, checked_folder(options["image_dir"])
        )
    else:
        named = options["tokenizer"] or "tokenizer" in file.settings
        asked = config.tokenizer if named else None
        corpus = Indexed(open_index(folder, asked, _similarity(options, file)))
    corpus.tokenizer.check_room(config.max_tokens)
    config = _named(config, corpus, options)
    if file.provenance:
        found = differences(file.settings, file.provenance, basics_of(corpus, config))
        corpus.notes += [f"{options['config_file']}: {line}" for line in found]
    return config, corpus


def spare_inputs(
    corpus: Indexed | Shards, others: Iterable[str | None], outputs: Iterable[str | None]
) -> None:
    """Reject outputs that would overwrite a shard, a file of the index or another input."""
    if isinstance(corpus, Shards):
        inputs = [shard.path for shard in corpus.shards]
    else:
        inputs = [part.shard.path for part in corpus.index.columns]
        inputs += glob(f"{escape(corpus.index.folder)}/**/*.arrow", recursive=True)
        inputs += [os.path.join(corpus.index.folder, "manifest.json")]
    refuse_inputs(outputs, [*inputs, *others])


def named_file(text: str) -> tuple[str, str]:
    """Parse ``NAME=FILE``."""
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise ConfigError(f"--similarity expects NAME=FILE, not {text!r}")
    return checked_name(name), remember(path)


def _named(config: LoaderConfig, corpus: Indexed | Shards, options: dict[str, Any]) -> LoaderConfig:
    """Resolve the CLIP model's name: from the option, else the corpus, else the config."""
    known, flag = corpus.model, options.get("clip_model")
    sets = corpus.index.models if isinstance(corpus, Indexed) else {}
    taken = sets.keys() - {known}
    if flag in taken:
        raise ConfigError(
            f"--clip-model {flag}: the index has a score set of that model; select it with "
            f"--similarity {sets[flag]}"
        )
    if flag is None:
        unnamed = known == UNKNOWN and config.clip_model not in taken
        return config if unnamed else config.with_(clip_model=known)
    if known not in (UNKNOWN, flag):
        corpus.notes.append(f"--clip-model {flag}: the scores in use are recorded as {known}")
    return config


def _similarity(options: dict[str, Any], file: Config) -> str | None:
    """Return the score set to use: from the option, else the config's if the index has it."""
    asked: str | None = options.get("similarity")
    recorded = file.provenance.get("similarity", {}).get("source")
    if asked is None and recorded in names_in(options["index_dir"]):
        return str(recorded)
    return asked


def finish(corpus: Source) -> None:
    """Print notes and errors; exit with code 2 if anything could not be read."""
    for note in corpus.notes:
        print_note(note)
    for error in corpus.errors:
        print_error(error)
    if corpus.errors:
        sys.exit(2)


def unmatched(documents: int) -> str:
    """Return a message for a corpus without matched pairs."""
    if not documents:
        return "there are no documents: thresholds have no effect"
    noun = "document" if documents == 1 else "documents"
    return (
        f"no matched pairs in {documents:,} {noun}: thresholds have no effect; run mmc4viz explain "
        "to see why"
    )


def drawn_from(
    corpus: Indexed | Shards, n_documents: int, seed: int, advance: Callable[[int], Any]
) -> DrawnSample:
    """Sample documents at random; exit if there are none."""
    drawn = corpus.sample(n_documents, seed, advance)
    if not drawn.n_documents:
        corpus.errors.append(unmatched(0))
        finish(corpus)
    return drawn


def check_sample(sample: int | None) -> None:
    """Reject a sample size for which no interval can be computed."""
    if sample is not None and not 2 <= sample < 2**31:
        raise ConfigError(f"--sample must be at least 2 documents, not {sample:,}")


def checked_folder(image_dir: str | None) -> str | None:
    """Return the image folder's absolute path; raises ConfigError if it does not exist."""
    if image_dir is not None and not Path(image_dir).is_dir():
        raise ConfigError(f"--image-dir {image_dir}: no such folder")
    return None if image_dir is None else str(Path(image_dir).resolve())


@contextmanager
def progress(unit: str, total: int | None = None) -> Iterator[Callable[[int], Any]]:
    """Show a progress bar on standard error after a second, if it is a terminal."""
    unit = unit if unit == "B" else f" {unit}"
    with tqdm(
        total=total, unit=unit, unit_scale=True, delay=1, disable=None, file=sys.stderr
    ) as bar:
        yield bar.update


Advance = Callable[[int], object]


class ManyModels(click.Command):
    """A command whose ``--models`` takes all names up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each name."""
        spread: list[str] = []
        taking = False
        for word in args:
            if word == "--models" or word.startswith("-"):
                taking = word == "--models"
                spread += [] if taking else [word]
            else:
                spread += ["--models", word] if taking else [word]
        if args and args[-1] == "--models":
            raise ConfigError("--models needs at least one model name")
        return super().parse_args(ctx, spread)


@dataclass(frozen=True)
class Similarity:
    """One CLIP model's scores, not read yet.

    Attributes
    ----------
    name : str
        The name shown.
    others : tuple of str
        Other names by which it can be selected.
    read : callable
        Returns the columns; takes a callback for progress in documents.
    """

    name: str
    others: tuple[str, ...]
    read: Callable[[Advance], Sequence[Columns]]


def similarities(
    options: dict[str, Any], files: Sequence[str]
) -> tuple[LoaderConfig, Indexed | Shards, list[Similarity]]:
    """Open a corpus and find every CLIP model's scores of it.

    Parameters
    ----------
    options : dict
        The command's options, as for `open_corpus`.
    files : sequence of str
        ``NAME=FILE`` for shards.

    Raises
    ------
    Mmc4vizError
        If the corpus cannot be opened, or a file has no name.
    """
    config, corpus = open_corpus(options | {"similarity": None})
    return config, corpus, similarities_of(corpus, config, files)


def similarities_of(
    corpus: Indexed | Shards,
    config: LoaderConfig,
    files: Sequence[str],
    own: Sequence[Columns] | None = None,
) -> list[Similarity]:
    """Find every CLIP model's scores of a corpus; ``own`` is the shards' columns if read."""
    if not isinstance(corpus, Indexed):
        return _of_shards(corpus, config, [named_file(text) for text in files], own)
    if files:
        raise ConfigError(
            "--similarity NAME=FILE works with SHARDs only; to add the file to the index, run "
            f"mmc4viz index --out {corpus.index.folder} --similarity NAME=FILE"
        )
    return _of_index(corpus, config)


def _of_index(corpus: Indexed, config: LoaderConfig) -> list[Similarity]:
    def reading(name: str) -> Callable[[Advance], Sequence[Columns]]:
        return lambda _: corpus.index.with_similarity(name).columns

    index = corpus.index
    named = {name: one for name, one in index.models.items() if one != index.similarity}
    named[config.clip_model] = index.similarity  # the one in use, under its current name
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
    """Return the shards' own scores, and the given files or else those next to the shards."""
    own: list[Sequence[Columns]] = [] if columns is None else [columns]

    def read(advance: Advance) -> Sequence[Columns]:
        if not own:
            own.append(corpus.columns(advance))
        return own[0]

    def reading(path: str) -> Callable[[Advance], Sequence[Columns]]:
        return lambda advance: [
            with_similarity(part, SimilarityFile("", path)) for part in read(advance)
        ]

    folders = {Path(shard.path).parent for shard in corpus.shards if not is_remote(shard.path)}
    if named:
        models = {name: model_in(Path(path), name) for name, path in named}
        shown = {one: name for name, one in names_of(config.clip_model, models).items()}
        others = [Similarity(shown[n], (n, models[n]), reading(path)) for n, path in named]
    else:
        others = [
            Similarity(one.model, (), reading(one.path))
            for one in similarity_files(sorted(folders))
        ]
    return [Similarity(config.clip_model, (OWN,), read), *others]


def chosen(found: Sequence[Similarity], wanted: Sequence[str]) -> list[Similarity]:
    """Return the wanted models in their order, or all of them.

    Raises
    ------
    ConfigError
        If no model, or more than one, has a wanted name.
    """
    return [_one(found, name) for name in wanted] or list(found)


def _one(found: Sequence[Similarity], name: str) -> Similarity:
    by_name = [one for one in found if one.name == name]
    matching = by_name or [one for one in found if name in one.others]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(one.name for one in found)
    several = "several score sets are" if matching else "no score set is"
    raise ConfigError(f"{several} named {name!r}; available: {known}")


def rates_of(candidates: Sequence[Candidate]) -> dict[str, FdrEstimate]:
    """Estimate the false-discovery rate of every CLIP model."""
    found = {}
    with progress("models", len(candidates)) as advance:
        for one in candidates:
            found[one.name] = estimate_fdr(stack_of(one.model.matched))
            advance(1)
    return found
