"""The commands: options in, lines out. Computes nothing, and loads Streamlit only to start it."""

from __future__ import annotations

import errno
import json
import math
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from tqdm import tqdm

from mmc4viz.corpus.build import Done, Job, build, prune
from mmc4viz.corpus.columns import Verify
from mmc4viz.corpus.curves import MAX_STEPS, Thresholds, scale_of
from mmc4viz.corpus.index import absolute, files_of, open_index
from mmc4viz.corpus.sampling import RATES, Drawn, rate, sweep_clusters
from mmc4viz.corpus.shards import expand
from mmc4viz.corpus.source import Indexed, Shards, Source
from mmc4viz.corpus.storage import size_of
from mmc4viz.corpus.sweep import match_corpus, sweep
from mmc4viz.corpus.workers import dask, processes
from mmc4viz.loader.tokens import load_tokenizer
from mmc4viz.loader.walk import walk
from mmc4viz.model import ASSIGNMENT_NAMES, ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.output import TABLE_HEAD, printable, table, verdict_json, verdict_row, write_rows
from mmc4viz.settings import read_settings

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
        "--config", "config_file", metavar="FILE", help="Read settings from JSON; flags win."
    ),
    click.option(
        "--image-dir",
        metavar="DIR",
        help="Images of MMC4's own jsonl: DIR/k/NAME (k: the shard's position) or DIR/NAME.",
    ),
)


_INDEX = click.option(
    "--index", "index_dir", metavar="DIR", help="Answer from an index in place of SHARDs."
)


def _with_settings(command: F) -> F:
    """Give a command the options that every command shares."""
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mmc4viz")
def cli() -> None:
    """See what a similarity threshold costs before a model is trained on images and text.

    SHARD is a WebDataset tar as OpenFlamingo's converter writes it, or MMC4's own .jsonl
    (.jsonl.gz, .jsonl.zip); also a folder, a glob, or shard-{0000..0003}.tar.

    \b
    mmc4viz app                                  the dashboard, on the sample
    mmc4viz app shards/                          the dashboard, on your shards
    mmc4viz app --index DIR                      the dashboard, on an index of them
    mmc4viz curve shards/ --grid 0.2:0.3:0.01    what each threshold leaves
    mmc4viz explain shards/ --threshold 0.24     what becomes of each document
    """  # noqa: D301 - the \\b keeps click from wrapping the lines


@cli.command()
@click.argument("shards", nargs=-1, metavar="[SHARD...]")
@_with_settings
@_INDEX
@click.option("--format", "form", type=click.Choice(["table", "jsonl"]), default="table")
@click.option("--token-ids", is_flag=True, help="Add each sequence's token ids (jsonl).")
def explain(form: str, token_ids: bool, **options: Any) -> None:
    """Say what the loader does to each document, and why."""
    config, corpus = _open(options)
    if form == "table":
        click.echo(TABLE_HEAD)
    with _progress("documents") as advance:
        for shard, document in corpus.documents(with_text=token_ids):
            verdict = walk(document, config, corpus.tokenizer)
            as_json = form == "jsonl"
            line = (
                verdict_json(shard, verdict, token_ids) if as_json else verdict_row(shard, verdict)
            )
            click.echo(line)
            advance(1)
    _finish(corpus)


@cli.command()
@click.argument("shards", nargs=-1, metavar="[SHARD...]")
@_with_settings
@_INDEX
@click.option("--thresholds", metavar="T,T,…", help="Thresholds to answer for.")
@click.option("--grid", metavar="START:STOP:STEP", help="Likewise, evenly spaced, with STOP.")
@click.option("--sample", type=int, metavar="N", help="Estimate from N documents, with intervals.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sample.")
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv")
def curve(
    thresholds: str | None,
    grid: str | None,
    sample: int | None,
    seed: int,
    form: str,
    **options: Any,
) -> None:
    """Say what is left at each threshold: documents, pairs, tokens, and every loss.

    Without --thresholds or --grid, the grid of the similarity's own scale. With --sample, rates per
    document of the corpus, each with its 95 % interval (columns NAME_low and NAME_high).
    """
    asked = _thresholds(thresholds, grid)
    config, corpus = _open(options)
    _check_sample(sample)
    with _progress("documents") as advance:
        if sample is None:
            matched = match_corpus(corpus.columns(advance), config)
            asked = scale_of(matched.scores()).thresholds() if asked is None else asked
            rows = sweep(matched, config, asked).rows(config.single_image_keep)
        else:
            rows = _sample_rows(corpus.sample(sample, seed, advance), config, asked)
    write_rows(rows, form, sys.stdout)
    _finish(corpus)


@cli.command()
@click.argument("shards", nargs=-1, metavar="[SHARD...]")
@click.option("--out", required=True, metavar="DIR", help="The index's folder, local or remote.")
@click.option("--tokenizer", help="Counts sentences: gpt2 (built in), a file, a folder, an id.")
@click.option("--image-dir", metavar="DIR", help="Images of MMC4's own jsonl.")
@click.option(
    "--verify",
    type=click.Choice([str(v) for v in Verify]),
    default="full",
    show_default=True,
    help="How far images are checked: pixels, opened only, not at all.",
)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count(), show_default=True)
@click.option("--scheduler", metavar="ADDRESS", help="Use a Dask cluster instead of --workers.")
@click.option(
    "--prune", "pruning", is_flag=True, help="Also drop what was made of shards that are gone."
)
@click.option("--config", "config_file", metavar="FILE", help="Read the tokenizer from settings.")
def index(
    shards: tuple[str, ...],
    out: str,
    verify: str,
    workers: int,
    scheduler: str | None,
    pruning: bool,
    image_dir: str | None,
    **settings: Any,
) -> None:
    """Read shards once, into an index that answers for millions of documents at once.

    Finished shards are skipped, changed ones done again, so a run that was stopped goes on.
    """
    if not shards and not pruning:
        raise ConfigError("name the SHARDs to index")
    config = _config(settings)
    load_tokenizer(config.tokenizer)
    found, folder = expand(shards), _checked_folder(image_dir)
    jobs = [Job(s, out, config.tokenizer, Verify(verify), folder) for s in found]
    done: list[Done] = []
    if jobs:
        make = (lambda: dask(scheduler)) if scheduler else (lambda: processes(workers))
        with _progress("B", sum(size_of(shard.path) for shard in found)) as advance:
            done = build(jobs, make, lambda finished: advance(size_of(finished.shard)))
    gone = prune(out) if pruning else []
    click.echo(_build_report(done, gone))
    for problem in (d for d in done if d.status in ("failed", "broken off")):
        _complain(str(problem.reason))
    if any(d.status in ("failed", "broken off") for d in done):
        sys.exit(2)


@cli.command(context_settings={"ignore_unknown_options": False})
@click.argument("shards", nargs=-1, metavar="[SHARD...]")
@click.option("--config", "config_file", metavar="FILE", help="Start from these settings (JSON).")
@click.option("--image-dir", metavar="DIR", help="Images of MMC4's own jsonl.")
@_INDEX
@click.option("--sample", type=int, metavar="N", help="Estimate from N documents, with intervals.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="[8501, or the next one free]")
@click.option("--browser/--no-browser", default=True, help="Open a browser window.")
def app(host: str, port: int | None, browser: bool, **options: Any) -> None:
    """Open the dashboard: on the sample, on SHARDs, or on an index."""
    os.environ["MMC4VIZ_APP"] = json.dumps(_app_start(**options))
    from streamlit.web import bootstrap

    import mmc4viz.ui

    options = {
        "server_address": host,
        "server_port": _bindable_port(host, port),
        "server_headless": not browser,
        "browser_gatherUsageStats": False,
        "client_toolbarMode": "minimal",
        "theme_base": str(Path(mmc4viz.ui.__file__).with_name("theme.toml")),
        "server_showEmailPrompt": False,
    }
    bootstrap.load_config_options(options)
    bootstrap.run(str(Path(mmc4viz.ui.__file__).with_name("main.py")), False, [], options)


def _bindable_port(host: str, asked: int | None) -> int:
    """Return the port asked for, or the first one free from Streamlit's own on."""
    for port in [asked] if asked else range(8501, 8601):
        try:
            with socket.create_server((host, port)):
                return port
        except (OSError, UnicodeError) as error:
            reason = f"{host}:{port} cannot be listened on: {error}"
            if getattr(error, "errno", None) != errno.EADDRINUSE:
                break
    raise ConfigError(f"{' '.join(reason.split())}; choose another --port or --host")


def _app_start(
    shards: Sequence[str],
    config_file: str | None,
    image_dir: str | None,
    index_dir: str | None,
    sample: int | None,
) -> dict[str, Any]:
    """Check what the dashboard is to open, and say it for its process."""
    if shards and index_dir:
        raise ConfigError("name SHARDs or --index DIR, not both")
    _check_sample(sample)
    if config_file is not None:
        _config({"config_file": config_file})
        config_file = str(Path(config_file).resolve())
    if index_dir is not None:
        files_of(index_dir)
    return {
        "shards": [absolute(shard.path) for shard in expand(shards)],
        "index": absolute(index_dir) if index_dir else None,
        "sample": sample,
        "config": config_file,
        "image_dir": _checked_folder(image_dir),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; every error is one line on standard error and exit code 2."""
    try:
        code = cli.main(arguments, prog_name="mmc4viz", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_asked:
        click.echo(help_asked.format_message())
        code = 0
    except click.ClickException as error:
        _complain(error.format_message())
        code = 2
    except Mmc4vizError as error:
        _complain(str(error))
        code = 2
    except BrokenPipeError:  # the reader had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        _complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
        code = 2
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _config(settings: dict[str, Any]) -> LoaderConfig:
    """Build the setting: defaults, then the file, then flags."""
    file = settings.get("config_file")
    names = [field.name for field in fields(LoaderConfig)]
    flags = {name: settings[name] for name in names if settings.get(name) is not None}
    return LoaderConfig.from_mapping({**(read_settings(file) if file else {}), **flags})


def _open(options: dict[str, Any]) -> tuple[LoaderConfig, Source]:
    """Open what the person named, shards or an index, and settle the tokenizer."""
    shards, folder = options["shards"], options["index_dir"]
    if bool(shards) == bool(folder):
        raise ConfigError("name SHARDs or --index DIR" + (", not both" if shards else ""))
    config = _config(options)
    if not folder:
        tokenizer = load_tokenizer(config.tokenizer)
        corpus: Source = Shards(expand(shards), tokenizer, _checked_folder(options["image_dir"]))
    else:
        asked = config.tokenizer if _tokenizer_asked(options) else None
        corpus = Indexed(open_index(folder, asked))
    corpus.tokenizer.check_room(config.max_tokens)
    return config, corpus


def _tokenizer_asked(options: dict[str, Any]) -> bool:
    file = options["config_file"]
    return bool(options["tokenizer"]) or bool(file and "tokenizer" in read_settings(file))


def _finish(corpus: Source) -> None:
    """Say what an answer rests on and what could not be read; then the exit code is 2."""
    for note in corpus.notes:
        click.echo(f"mmc4viz: note: {printable(note)}", err=True)
    for error in corpus.errors:
        _complain(error)
    if corpus.errors:
        sys.exit(2)


def _check_sample(sample: int | None) -> None:
    if sample is not None and sample < 2:
        raise ConfigError(f"--sample takes at least 2 documents, not {sample}")


def _sample_rows(
    drawn: Drawn, config: LoaderConfig, asked: Thresholds | None
) -> list[dict[str, Any]]:
    """Return a row a threshold: rates per document with their intervals."""
    if asked is None:
        scores = [match_corpus(parts, config).scores() for parts in drawn.clusters]
        asked = scale_of(np.concatenate(scores)).thresholds()
    curves = sweep_clusters(drawn, config, asked)
    columns: dict[str, list[float]] = {"threshold": asked.tolist()}
    for name in RATES:
        found = rate(drawn, curves, name, config.single_image_keep)
        columns[name] = found.estimate.tolist()
        columns[f"{name}_low"], columns[f"{name}_high"] = found.low.tolist(), found.high.tolist()
    columns["sampled"] = [drawn.n_documents] * len(asked)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _build_report(done: Sequence[Done], gone: Sequence[str]) -> str:
    """Return the table of what was read, skipped and failed."""
    rows: list[tuple[Any, ...]] = [("", "shards", "documents", "unreadable", "MB")]
    for status in ("read", "skipped", "broken off", "failed"):
        some = [d for d in done if d.status == status]
        if some:
            counts = (sum(d.documents for d in some), sum(d.unreadable for d in some))
            rows.append((status, len(some), *counts, f"{sum(d.n_bytes for d in some) / 1e6:.1f}"))
    if gone:
        rows.append(("pruned", len(gone), "", "", ""))
    return table(rows)


def _checked_folder(image_dir: str | None) -> str | None:
    if image_dir is not None and not Path(image_dir).is_dir():
        raise ConfigError(f"{image_dir}: no such folder of images")
    return None if image_dir is None else str(Path(image_dir).resolve())


def _thresholds(listed: str | None, grid: str | None) -> Thresholds | None:
    """Read ``--thresholds`` or ``--grid``; ascending and without repeats."""
    if listed is not None and grid is not None:
        raise ConfigError("give --thresholds or --grid, not both")
    if listed is not None:
        return np.unique([_number(text, "--thresholds") for text in listed.split(",")])
    if grid is None:
        return None
    parts = grid.split(":")
    if len(parts) != 3:
        raise ConfigError(f"--grid is START:STOP:STEP, for example 0.2:0.3:0.01, not {grid!r}")
    start, stop, step = (_number(text, "--grid") for text in parts)
    if step <= 0 or stop < start:
        raise ConfigError(f"--grid rises from START to STOP by a STEP above 0, unlike {grid!r}")
    steps = math.floor((stop - start) / step + 1e-9)
    if steps >= MAX_STEPS:
        raise ConfigError(f"--grid has {steps + 1:,} steps; the most is {MAX_STEPS:,}")
    digits = max(_decimals(text) for text in parts)
    values = [round(start + k * step, digits) for k in range(steps + 1)]
    return np.unique([*values, stop])


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is no number") from None
    if not math.isfinite(value):
        raise ConfigError(f"{option}: {text!r} is no finite number")
    return value


def _decimals(text: str) -> int:
    """Count the decimals a number is written with.

    Examples
    --------
    >>> _decimals("0.25"), _decimals("1e-3"), _decimals("2")
    (2, 3, 0)
    """
    mantissa, _, exponent = text.strip().lower().partition("e")
    return max(0, len(mantissa.partition(".")[2]) - int(exponent or 0))


@contextmanager
def _progress(unit: str, total: int | None = None) -> Iterator[Callable[[int], Any]]:
    """Show progress on standard error, after a second, if that is a terminal."""
    unit = unit if unit == "B" else f" {unit}"
    with tqdm(
        total=total, unit=unit, unit_scale=True, delay=1, disable=None, file=sys.stderr
    ) as bar:
        yield bar.update


def _complain(message: str) -> None:
    click.echo(f"mmc4viz: {printable(' '.join(message.split()))}", err=True)
