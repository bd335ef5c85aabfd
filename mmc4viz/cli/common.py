"""What commands share: opening a corpus, progress, notes and errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmc4viz.cli.messages import print_error, print_note
from mmc4viz.cli.options import UNITS
from mmc4viz.data.corpus import Indexed, Shards, check_page_order
from mmc4viz.data.index import UNKNOWN, checked_name, names_in, open_index
from mmc4viz.data.sample import DrawnSample
from mmc4viz.data.shards import expand
from mmc4viz.data.storage import refuse_inputs, remember
from mmc4viz.formats.registry import InputFormat
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.types import NEIGHBOR, Config, ConfigError, LoaderConfig, SliceThresholds

if TYPE_CHECKING:
    from mmc4viz.data.scale import Shifts
    from mmc4viz.sweep.sweep import Matched


def config_of(settings: dict[str, Any]) -> LoaderConfig:
    """Build the settings: defaults, overridden by the file, overridden by options."""
    return _with_flags(config_file_of(settings), settings)


def config_file_of(settings: dict[str, Any]) -> Config:
    """Read the ``--config`` file; an empty config without it."""
    file = settings.get("config_file")
    if not file:
        return Config({})
    from mmc4viz.config_file import read_config  # imported late to start faster

    return read_config(file)


def _with_flags(file: Config, settings: dict[str, Any]) -> LoaderConfig:
    names = [field.name for field in fields(LoaderConfig)]
    flags = {name: settings[name] for name in names if settings.get(name) is not None}
    if "loader" in flags:
        flags["loader"] = loader_named(flags["loader"])
    return LoaderConfig.from_mapping({**file.settings, **flags})


def loader_named(name: str) -> str:
    """Return a loader's name; of ``module:NAME``, that of the profile, which is then known."""
    if ":" not in name:
        return name
    from mmc4viz.loader.profile import load_profile  # imported late to start faster

    if "" not in sys.path:
        sys.path.insert(0, "")  # modules of the current folder
    return load_profile(name).name


def open_corpus(
    options: dict[str, Any], *, compare: bool = True, by_slice: bool = False
) -> tuple[LoaderConfig, Indexed | Shards]:
    """Open the shards or the index, and return the settings with tokenizer and model resolved.

    Unless ``compare`` is false, what differs from the config's provenance is noted. A config with
    slice thresholds is refused unless the command honors them (``by_slice``).
    """
    if options["index_dir"]:
        options = {**options, "index_dir": remember(options["index_dir"])}
    shards, folder = options["shards"], options["index_dir"]
    if bool(shards) == bool(folder):
        raise ConfigError("give SHARDs or --index DIR" + (", not both" if shards else ""))
    if options.get("similarity") is not None and not folder:
        raise ConfigError("--similarity NAME selects a score set of an index: add --index DIR")
    file = config_file_of(options)
    if file.slice_thresholds is not None and not by_slice:
        raise ConfigError(
            f"{options['config_file']}: has slice thresholds, which are known to curve, "
            "explain, suggest --keep, export, verify and apply only: remove slice_thresholds from "
            "a copy for other commands"
        )
    config = _with_flags(file, options)
    if not folder:
        tokenizer = load_tokenizer(config.tokenizer)
        notes: list[str] = []
        corpus: Indexed | Shards = Shards(
            expand(shards, input_format_of(options), notes),
            tokenizer,
            checked_folder(options["image_dir"]),
        )
        corpus.notes += notes
    else:
        named = options["tokenizer"] or "tokenizer" in file.settings
        asked = config.tokenizer if named else None
        corpus = Indexed(open_index(folder, asked, _similarity(options, file)))
    corpus.needs_scores = config.has_threshold
    if config.assignment == NEIGHBOR:
        check_page_order(corpus.formats())
    corpus.tokenizer.check_room(config.max_tokens)
    config = _named(config, corpus, options)
    if file.provenance and compare:
        from mmc4viz.export.provenance import basics_of  # slow to import
        from mmc4viz.export.verify import differences

        found = differences(file.settings, file.provenance, basics_of(corpus, config))
        corpus.notes += [f"{options['config_file']}: {line}" for line in found]
    return config, corpus


def input_format_of(options: dict[str, Any]) -> InputFormat:
    """Return how shards are to be read, from the options."""
    return InputFormat(options.get("input_format") or "", TextUnit(options.get("unit") or UNITS[0]))


def slice_thresholds_of(
    options: dict[str, Any], config: LoaderConfig, corpus: Indexed | Shards
) -> SliceThresholds | None:
    """Return the config's slice thresholds, moved along with the settings' threshold.

    Raises
    ------
    ConfigError
        If nothing can be divided by what they are for.
    """
    found = config_file_of(options).slice_thresholds
    if found is None:
        return None
    from mmc4viz.slices.thresholds import attribute_of  # imported late to start faster

    attribute_of(found)
    if config.threshold != found.base:
        corpus.notes.append(
            f"{options['config_file']}: slice thresholds move with the settings' one, from "
            f"{found.base!r} to {config.threshold!r}"
        )
    return found.at(config.threshold)


def shifts_of(
    slices: SliceThresholds | None, matched: Matched, corpus: Indexed | Shards
) -> Shifts | None:
    """Return every document's shift, None without slice thresholds; notes are added."""
    if slices is None:
        return None
    from mmc4viz.slices.attributes import SlicedCorpus  # imported late to start faster
    from mmc4viz.slices.thresholds import resolved

    found = resolved(slices, SlicedCorpus(matched))
    corpus.notes += found.notes
    return found.shifts


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


class Reporting(Protocol):
    """Anything that was read, with what there is to say about it."""

    @property
    def notes(self) -> list[str]: ...  # noqa: D102
    @property
    def errors(self) -> list[str]: ...  # noqa: D102


def finish(corpus: Reporting) -> None:
    """Print notes and errors; exit with code 2 if anything could not be read."""
    for note in dict.fromkeys(corpus.notes):
        print_note(note)
    for error in dict.fromkeys(corpus.errors):
        print_error(error)
    if corpus.errors:
        sys.exit(2)


def unmatched(documents: int, why: str = "run mmc4viz explain to see why") -> str:
    """Return a message for a corpus without matched pairs, and where to see the reason."""
    if not documents:
        return "there are no documents: thresholds have no effect"
    noun = "document" if documents == 1 else "documents"
    return f"no matched pairs in {documents:,} {noun}: thresholds have no effect; {why}"


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


def check_budget(budget: str | None, corpus_size: str | None) -> None:
    """Reject a budget or corpus size that says nothing, before any shard is read."""
    from mmc4viz.thresholds.budget import (
        TrainingBudget,
        parse_corpus_size,
    )  # imported late to start faster

    if budget is not None:
        TrainingBudget.parse(budget)
    if corpus_size is not None:
        parse_corpus_size(corpus_size)
        if budget is None:
            raise ConfigError("--corpus-size SIZE requires --budget AMOUNT")


def checked_folder(image_dir: str | None) -> str | None:
    """Return the image folder's absolute path; raises ConfigError if it does not exist."""
    if image_dir is not None and not Path(image_dir).is_dir():
        raise ConfigError(f"--image-dir {image_dir}: no such folder")
    return None if image_dir is None else str(Path(image_dir).resolve())


@contextmanager
def progress(unit: str, total: int | None = None) -> Iterator[Callable[[int], Any]]:
    """Show a progress bar on standard error after a second, if it is a terminal."""
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    from tqdm import tqdm  # imported late to start faster

    unit = unit if unit == "B" else f" {unit}"
    with tqdm(total=total, unit=unit, unit_scale=True, delay=1, file=sys.stderr) as bar:
        yield bar.update
