"""What commands share: options, opening a corpus, progress.

A model is a score set of the index, or a Parquet file beside the shards or named; each is
shown by one name (`mmc4viz.data.index`), and may be asked for by the set's name and the CLIP
model's, too. ``own`` always asks for what the shards carry.
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

from mmc4viz.cli.messages import complain, say
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
    click.option("--threshold", type=float, help="Drop pairs scoring below this. [0.24]"),
    click.option("--min-images", type=int, help="Fewest image tokens in a sequence. [1]"),
    click.option("--max-images", type=int, help="Keep so many pairs, in image order. [6]"),
    click.option("--max-tokens", type=int, help="Cut the sequence at this length. [256]"),
    click.option(
        "--min-kb",
        type=int,
        help="An image of n bytes is too small when n // 1000 <= this; -1: no limit. [10]",
    ),
    click.option(
        "--assignment", type=click.Choice(ASSIGNMENT_NAMES), help="How to match. [one_to_one]"
    ),
    click.option(
        "--single-image-keep", type=float, help="Odds that a single-image document stays. [0.5]"
    ),
    click.option(
        "--tokenizer", help="gpt2 (built in), a tokenizer.json, a folder, or a Hugging Face id."
    ),
    click.option("--clip-model", help="Name of the model whose similarity the shards carry."),
    click.option(
        "--config",
        "config_file",
        metavar="FILE",
        help="Read settings from YAML or JSON; flags win.",
    ),
    click.option(
        "--image-dir",
        metavar="DIR",
        help="Images of MMC4's own jsonl: DIR/k/NAME (k: the shard's position), DIR/SHARD_images/"
        "NAME or DIR/NAME. [SHARD_images/NAME beside the shard]",
    ),
)


SHARDS = click.argument("shards", nargs=-1, metavar="[SHARD...]")
INDEX = click.option(
    "--index", "index_dir", metavar="DIR", help="Answer from an index in place of SHARDs."
)

SIMILARITY = click.option(
    "--similarity", metavar="NAME", help="Of the index's score sets, the one that decides."
)


SEED = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Random seed."
)

WORKERS = click.option(
    "--workers", type=click.IntRange(1, 1024), default=os.cpu_count(), show_default=True
)


def with_settings(command: F) -> F:
    """Give a command the options that every command shares."""
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


def config_of(settings: dict[str, Any]) -> LoaderConfig:
    """Build the setting: defaults, then the file, then flags."""
    return _with_flags(config_file_of(settings), settings)


def config_file_of(settings: dict[str, Any]) -> Config:
    """Read the file that ``--config`` names; an empty one without it."""
    file = settings.get("config_file")
    return read_config(file) if file else Config({})


def _with_flags(file: Config, settings: dict[str, Any]) -> LoaderConfig:
    names = [field.name for field in fields(LoaderConfig)]
    flags = {name: settings[name] for name in names if settings.get(name) is not None}
    return LoaderConfig.from_mapping({**file.settings, **flags})


def open_corpus(options: dict[str, Any]) -> tuple[LoaderConfig, Indexed | Shards]:
    """Open what the person named, shards or an index, and settle the tokenizer."""
    if options["index_dir"]:
        options = {**options, "index_dir": remember(options["index_dir"])}
    shards, folder = options["shards"], options["index_dir"]
    if bool(shards) == bool(folder):
        raise ConfigError("name SHARDs or --index DIR" + (", not both" if shards else ""))
    if options.get("similarity") is not None and not folder:
        raise ConfigError("--similarity NAME chooses among an index's sets: name --index DIR")
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
    """Refuse outputs that would take the place of a shard, an index's file or another input."""
    if isinstance(corpus, Shards):
        inputs = [shard.path for shard in corpus.shards]
    else:
        inputs = [part.shard.path for part in corpus.index.columns]
        inputs += glob(f"{escape(corpus.index.folder)}/**/*.arrow", recursive=True)
        inputs += [os.path.join(corpus.index.folder, "manifest.json")]
    refuse_inputs(outputs, [*inputs, *others])


def named_file(text: str) -> tuple[str, str]:
    """Read NAME=FILE."""
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise ConfigError(f"--similarity takes NAME=FILE, not {text!r}")
    return checked_name(name), remember(path)


def _named(config: LoaderConfig, corpus: Indexed | Shards, options: dict[str, Any]) -> LoaderConfig:
    """Settle the CLIP model's name: the flag's, else what the corpus says, else the config's."""
    known, flag = corpus.model, options.get("clip_model")
    sets = corpus.index.models if isinstance(corpus, Indexed) else {}
    taken = sets.keys() - {known}
    if flag in taken:
        raise ConfigError(
            f"--clip-model {flag}: the index has a score set of that model: choose it by "
            f"--similarity {sets[flag]}"
        )
    if flag is None:
        unnamed = known == UNKNOWN and config.clip_model not in taken
        return config if unnamed else config.with_(clip_model=known)
    if known not in (UNKNOWN, flag):
        corpus.notes.append(f"--clip-model {flag}: the similarity that decides is known as {known}")
    return config


def _similarity(options: dict[str, Any], file: Config) -> str | None:
    """Name the index's score set that decides: the flag's, else the config's if there."""
    asked: str | None = options.get("similarity")
    recorded = file.provenance.get("similarity", {}).get("source")
    if asked is None and recorded in names_in(options["index_dir"]):
        return str(recorded)
    return asked


def finish(corpus: Source) -> None:
    """Say what an answer rests on and what could not be read; then the exit code is 2."""
    for note in corpus.notes:
        say(note)
    for error in corpus.errors:
        complain(error)
    if corpus.errors:
        sys.exit(2)


def unmatched(documents: int) -> str:
    """Say that no threshold changes anything, since no document has a matched pair."""
    if not documents:
        return "there are no documents: no threshold changes anything"
    return (
        f"no pair is matched in any of the {documents:,} documents, so no threshold changes "
        "anything; mmc4viz explain says why of each"
    )


def drawn_from(
    corpus: Indexed | Shards, n_documents: int, seed: int, advance: Callable[[int], Any]
) -> DrawnSample:
    """Draw documents; without any the command ends here."""
    drawn = corpus.sample(n_documents, seed, advance)
    if not drawn.n_documents:
        corpus.errors.append(unmatched(0))
        finish(corpus)
    return drawn


def check_sample(sample: int | None) -> None:
    """Refuse a sample that no interval can come from."""
    if sample is not None and not 2 <= sample < 2**31:
        raise ConfigError(f"--sample takes at least 2 documents, not {sample:,}")


def checked_folder(image_dir: str | None) -> str | None:
    """Return a folder of images by its whole path, or refuse it."""
    if image_dir is not None and not Path(image_dir).is_dir():
        raise ConfigError(f"{image_dir}: no such folder of images")
    return None if image_dir is None else str(Path(image_dir).resolve())


@contextmanager
def progress(unit: str, total: int | None = None) -> Iterator[Callable[[int], Any]]:
    """Show progress on standard error, after a second, if that is a terminal."""
    unit = unit if unit == "B" else f" {unit}"
    with tqdm(
        total=total, unit=unit, unit_scale=True, delay=1, disable=None, file=sys.stderr
    ) as bar:
        yield bar.update


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
        return lambda tell: [with_similarity(part, SimilarityFile("", path)) for part in read(tell)]

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
    several = "several score sets are" if matching else "no score set is"
    raise ConfigError(f"{several} called {name!r}; there are: {known}")


def rates_of(candidates: Sequence[Candidate]) -> dict[str, FdrEstimate]:
    """Estimate every model's false-discovery rate."""
    found = {}
    with progress("models", len(candidates)) as advance:
        for one in candidates:
            found[one.name] = estimate_fdr(stack_of(one.model.matched))
            advance(1)
    return found
