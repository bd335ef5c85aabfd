"""The command `export`.

Opens what the person named; numbers and words are the core's.

Writes files; every number comes from the core.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click
import numpy as np

from mmc4viz.cli.common import (
    INDEX,
    SEED,
    SHARDS,
    F,
    ManyModels,
    Similarity,
    check_sample,
    chosen,
    config_file_of,
    drawn_from,
    finish,
    open_corpus,
    progress,
    similarities_of,
    spare_inputs,
    unmatched,
    with_settings,
)
from mmc4viz.cli.messages import say
from mmc4viz.config_file import read_marked
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.scale import misfits
from mmc4viz.data.storage import unchanged, whole_file
from mmc4viz.export import manifest
from mmc4viz.export.manifest import IdList
from mmc4viz.export.provenance import (
    BASES,
    Basics,
    basics_of,
    exact_yields,
    provenance,
    sampled_yields,
    to_text,
    with_documents,
)
from mmc4viz.export.report import gather, write_report
from mmc4viz.export.tables import Section, labels_section, models_section, without_labels
from mmc4viz.export.trainer import advice, openflamingo_flags, webdataset_snippet
from mmc4viz.sweep.estimate import RATES, estimate
from mmc4viz.sweep.pairs import Folder
from mmc4viz.sweep.sweep import Matched, match_corpus, sweep
from mmc4viz.text import printable
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.roc import evidence
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.model_scores import Model
from mmc4viz.types import ConfigError, LoaderConfig, Mmc4vizError, Outcome, ShardError


def reasons(options: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return the person's note and how the threshold was chosen: flags, else the config's own."""
    before = config_file_of(options)
    chosen, note = before.provenance.get("chosen"), before.provenance.get("note", "")
    moved = options["threshold"] not in (None, before.settings.get("threshold"))
    if options["proposal"] is not None:
        chosen = _proposal(options["proposal"])
        if options["chosen_by"] not in (None, chosen["basis"]):
            raise ConfigError(
                f"--chosen-by {options['chosen_by']}, but {options['proposal']} has the basis "
                f"{chosen['basis']}"
            )
    elif options["chosen_by"] is not None:
        kept = chosen if chosen and chosen["basis"] == options["chosen_by"] and not moved else {}
        chosen = {**kept, "basis": options["chosen_by"]}
    elif moved:
        chosen = None
    return options["note"] if options["note"] is not None else note, chosen


def with_proposed(options: dict[str, Any], chosen: dict[str, Any] | None) -> dict[str, Any]:
    """Return the options with the threshold of the proposal that they name, where it has one.

    Raises
    ------
    ConfigError
        When it proposes none, or another than ``--threshold``.
    """
    path, given = options["proposal"], options["threshold"]
    if path is None or chosen is None or "threshold" not in chosen:
        return options
    value = chosen["threshold"]
    if type(value) not in (int, float):
        raise ConfigError(f"{path}: proposes no threshold: {chosen.get('reason') or value}")
    if given not in (None, value):
        raise ConfigError(
            f"--threshold {given:g}, but {path} proposes {value!r}: leave one of them out"
        )
    return options | {"threshold": float(value)}


def _proposal(path: str) -> dict[str, Any]:
    """Read what ``mmc4viz suggest --format json`` printed."""
    marked = read_marked(path)
    value = marked.value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    elif isinstance(value, list) and len(value) > 1:
        raise marked.error(f"holds {len(value)} proposals: ask mmc4viz suggest for one")
    if not isinstance(value, dict) or value.get("basis") not in BASES:
        raise marked.error(f"no proposal: an object with a basis, one of {', '.join(BASES)}")
    return value


_OPTIONS = (
    click.option(
        "--similarity", "similarity", metavar="NAME", multiple=True,
        help="Of the index's score sets, the one that decides; or NAME=FILE, a model's "
        "similarity of the SHARDs for the report, repeatable.",
    ),
    click.option(
        "--labels", "labels_file", metavar="FILE",
        help="A file of labels for the report: precision with intervals, agreement.",
    ),
    click.option(
        "--models", multiple=True, metavar="A B ...",
        help="Models that the report puts beside the deciding one; own is the shards'. [all]",
    ),
)  # fmt: skip


def with_sections(command: F) -> F:
    """Give a command the options that say what its report is to hold."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settle(options: dict[str, Any]) -> dict[str, Any]:
    """Tell the set that decides from files to compare; refuse what only a report has room for."""
    given: tuple[str, ...] = options["similarity"]
    files = [text for text in given if "=" in text]
    sets = [text for text in given if "=" not in text]
    if len(sets) > 1:
        raise ConfigError(f"one similarity decides, not {len(sets)}: {', '.join(sets)}")
    if not options["report_file"]:
        for name, value in (
            ("--labels", options["labels_file"]),
            ("--models", options["models"]),
            ("--similarity NAME=FILE", files),
        ):
            if value:
                raise ConfigError(f"{name} is for the report: name --report FILE, too")
    return options | {"similarity": sets[0] if sets else None, "files": files}


def check(corpus: Indexed | Shards, config: LoaderConfig, options: dict[str, Any]) -> None:
    """Refuse labels and models that are not there before anything is read."""
    if options["labels_file"] is not None:
        store.check(options["labels_file"])
    chosen(similarities_of(corpus, config, options["files"]), options["models"])


def sections(
    corpus: Indexed | Shards, config: LoaderConfig, matched: Matched, options: dict[str, Any]
) -> list[Section]:
    """Return the report's sections on other models and on labels.

    Raises
    ------
    Mmc4vizError
        For a file of labels that cannot be used. A model that cannot be compared is said in its
        section, and noted.
    """
    first, path = Candidate(Model(config.clip_model, matched), config), options["labels_file"]
    labels = without_labels()
    if path is not None:
        columns = [part.columns for part in matched.parts]
        labels = labels_section(path, config, Population(columns, first.model.pairs))
    others, problems = _matched(_others(corpus, config, matched, options), first)
    beside: Section | None = None
    if others or problems:
        known = None if path is None else evidence(path, [first, *others])
        beside = models_section(first, others, config.threshold, known, problems)
    return [labels] if beside is None else [beside, labels]


def _others(
    corpus: Indexed | Shards, config: LoaderConfig, matched: Matched, options: dict[str, Any]
) -> list[tuple[str, Similarity]]:
    """Return the other models that are asked for, each by the name that its labels go by."""
    read = None if isinstance(corpus, Indexed) else [part.columns for part in matched.parts]
    found = similarities_of(corpus, config, options["files"], read)
    wanted = chosen(found, options["models"])
    return [(one.name, one) for one in wanted if one.name != config.clip_model]


def _matched(
    found: Sequence[tuple[str, Similarity]], first: Candidate
) -> tuple[list[Candidate], list[str]]:
    """Match the other models; say which cannot be."""
    others, problems = [], []
    with progress("documents") as advance:
        for name, one in found:
            try:
                matched = match_corpus(one.read(advance), first.config)
            except Mmc4vizError as error:
                problems.append(f"{name}: {error}")
                say(f"the report leaves out {name}: {error}")
                continue
            others.append(Candidate(Model(name, matched), first.config))
    return others, problems


_FORMS = (".parquet", ".jsonl")
_OUTPUTS = ("out", "manifest_file", "ids_file", "report_file")


@click.command(cls=ManyModels)
@SHARDS
@with_settings
@INDEX
@with_sections
@click.option("--out", metavar="FILE", help="The config: .yaml or .json, read by --config.")
@click.option("--note", help="Why, in your words; goes into the config.")
@click.option("--chosen-by", type=click.Choice(BASES), help="How the threshold was chosen. [hand]")
@click.option(
    "--proposal",
    metavar="FILE",
    help="What mmc4viz suggest --out FILE proposed: its threshold, and why.",
)
@click.option("--manifest", "manifest_file", metavar="FILE", help=".parquet or .jsonl")
@click.option("--rows", type=click.Choice(["documents", "pairs"]), default="documents")
@click.option("--ids", "ids_file", metavar="FILE", help="Sorted ids of what is kept: .npy (u8,u8)")
@click.option("--report", "report_file", metavar="FILE", help="One HTML file to pass on.")
@click.option("--images/--no-images", default=True, help="Thumbnails in the report.")
@click.option("--sample", type=int, metavar="N", help="Estimate yields from N documents.")
@SEED
def export(**options: Any) -> None:
    """Hand a setting over: the config, and what becomes of each document and pair.

    Prints OpenFlamingo's flags, what they cannot say, and code for a WebDataset pipeline.
    """
    options = settle(options)
    _check(options)
    note, chosen = reasons(options)
    options = with_proposed(options, chosen)
    config, corpus = open_corpus(options)
    read = (options["labels_file"], options["proposal"])
    spare_inputs(corpus, read, (options[name] for name in _OUTPUTS))
    config = config.with_(tokenizer=corpus.tokenizer.name)
    if options["report_file"]:
        check(corpus, config, options)
    basics = basics_of(corpus, config)
    if options["sample"] is not None:
        basics, yields = _estimated(corpus, config, basics, options)
    else:
        with progress("documents") as advance:
            parts = corpus.columns(advance)
            matched = match_corpus(parts, config)
        basics, yields = _counted(matched, config, with_documents(basics, parts))
        corpus.notes += _misfit(matched, config)
        _write_lists(matched, config, options)
    found = provenance(basics, yields, chosen, note, _now())
    if options["report_file"]:
        more = sections(corpus, config, matched, options)
        content = gather(
            matched, config, found, _folder(corpus), images=options["images"], sections=more
        )
        with whole_file(options["report_file"]) as file:
            file.write(write_report(content).encode())
        _wrote(options["report_file"])
    if options["out"]:
        with whole_file(options["out"]) as file:
            file.write(to_text(config, found, options["out"]).encode())
        _wrote(options["out"])
    say(_kept(yields, config))
    click.echo(_what_to_do(config, options["manifest_file"]))
    finish(corpus)


def _wrote(path: str, rows: int | None = None, of: str = "") -> None:
    """Say that a file was written, how large it is and what is in it."""
    content = "" if rows is None else f", {rows:,} {of}"
    say(f"{path}: written, {os.path.getsize(path) / 1000:,.1f} kB{content}")


def _kept(yields: dict[str, Any], config: LoaderConfig) -> str:
    """Say what is kept."""
    expected, pairs = yields["documents"], yields["pairs"]
    if yields["sampled"] is not None:
        low, high = ("?" if expected[n] is None else f"{expected[n]:,.0f}" for n in ("low", "high"))
        return (
            f"about {expected['value']:,.0f} ({low} to {high}) of {yields['per']:,.0f} documents "
            f"kept at {config.threshold:g}, as {yields['sampled']:,} of them say"
        )
    kept = yields["outcomes"][str(Outcome.KEPT)]
    line = (
        f"{kept:,} of {yields['per']:,.0f} documents kept at {config.threshold:g}, with "
        f"{pairs['value']:,} pairs"
    )
    if expected["value"] == kept:
        return line
    return (
        f"{line}; {expected['value']:,.10g} documents on average, as one with a single image is "
        f"kept with probability {config.single_image_keep:g}"
    )


def _misfit(matched: Matched, config: LoaderConfig) -> list[str]:
    """Say so where the threshold keeps all pairs or none, or where there are none."""
    scores = matched.scores()
    if not len(scores):
        return [unmatched(matched.n_documents)]
    return misfits(np.array([config.threshold]), matched.scale.name, scores)


def _check(options: dict[str, Any]) -> None:
    """Refuse what cannot be written before anything is read."""
    if not any(options[name] for name in _OUTPUTS):
        raise ConfigError("name what to write: --out, --manifest, --ids or --report FILE")
    form = options["manifest_file"]
    if form is not None and not form.lower().endswith(_FORMS):
        raise ConfigError(f"--manifest {form}: the name ends in .parquet or .jsonl")
    out = options["out"]
    if out is not None and not out.lower().endswith((".yaml", ".yml", ".json")):
        raise ConfigError(f"--out {out}: the name ends in .yaml or .json")
    paths = [os.path.abspath(options[name]) for name in _OUTPUTS if options[name]]
    if len(set(paths)) < len(paths):
        raise ConfigError("every file to write needs a name of its own")
    for path in paths:
        if not os.path.isdir(os.path.dirname(path)):
            raise ConfigError(f"{path}: no such folder to write into")
    check_sample(options["sample"])
    whole = [name for name in _OUTPUTS[1:] if options[name]]
    if options["sample"] is not None and whole:
        flag = whole[0].replace("_file", "")
        raise ConfigError(f"--{flag} is made from every document: leave --sample out")


def _counted(
    matched: Matched, config: LoaderConfig, basics: Basics
) -> tuple[Basics, dict[str, Any]]:
    """Sum up what the setting yields, and look at the scores' scale."""
    curves = sweep(matched, config, np.array([config.threshold]))
    yields = exact_yields(curves, 0, config.single_image_keep)
    return _with_scores(basics, matched), yields


def _with_scores(basics: Basics, matched: Matched) -> Basics:
    scores = matched.scores()
    finite = scores[np.isfinite(scores)]
    ends = (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)
    seen = replace(basics.similarity, scale=matched.scale.name, lowest=ends[0], highest=ends[1])
    return replace(basics, similarity=seen)


def _estimated(
    corpus: Indexed | Shards, config: LoaderConfig, basics: Basics, options: dict[str, Any]
) -> tuple[Basics, dict[str, Any]]:
    """Estimate what the setting yields from a sample, with intervals."""
    with progress("documents") as advance:
        drawn = drawn_from(corpus, options["sample"], options["seed"], advance)
    whole = basics.corpus.documents
    if whole is None and drawn.fraction:
        whole = round(drawn.n_documents / drawn.fraction)
    found = estimate(drawn, config, np.array([config.threshold]), whole)
    rates = {name: found.band(name, config.single_image_keep) for name in RATES}
    matched = match_corpus((part for parts in drawn.clusters for part in parts), config)
    basics = replace(basics, corpus=replace(basics.corpus, documents=whole))
    yields = sampled_yields(rates, 0, drawn.n_documents, found.whole)
    return _with_scores(basics, matched), yields


def _write_lists(matched: Matched, config: LoaderConfig, options: dict[str, Any]) -> None:
    """Write the manifest and the ids in one pass over all documents."""
    path, ids_file = options["manifest_file"], options["ids_file"]
    if not path and not ids_file:
        return
    ids, rows = IdList(), 0
    with ExitStack() as stack:
        takers: list[Callable[[manifest.Chunk], object]] = [ids.add] if ids_file else []
        if path:
            file = stack.enter_context(whole_file(path))
            write = manifest.parquet if path.lower().endswith(".parquet") else manifest.json_lines
            takers.append(stack.enter_context(write(file, options["rows"], config)))
        advance = stack.enter_context(progress("documents", matched.n_documents))
        for chunk in manifest.chunks(matched, config):
            for take in takers:
                take(chunk)
            rows += len(chunk.image) if options["rows"] == "pairs" else len(chunk)
            advance(len(chunk))
    if path:
        _wrote(path, rows, options["rows"])
    if ids_file:
        kept = ids.sorted()
        with whole_file(ids_file) as file:
            np.save(file, kept)
        _wrote(ids_file, len(kept), "ids")


def _what_to_do(config: LoaderConfig, manifest_file: str | None) -> str:
    """Say how a trainer is told the setting, and what it cannot be told."""
    lines = ["OpenFlamingo's train.py:", f"  {openflamingo_flags(config)}"]
    for title, points in advice(config).items():
        lines += ["", f"{title}:", *(f"  {point}" for point in points)]
    if manifest_file is not None and manifest_file.lower().endswith(".parquet"):
        lines += ["", "A plain WebDataset pipeline:", ""]
        lines += webdataset_snippet(manifest_file).splitlines()
    return "\n".join(map(printable, lines))


def _folder(corpus: Indexed | Shards) -> Folder:
    """Return where the images of a part are; an indexed shard that has changed is not read."""
    if isinstance(corpus, Shards):
        return lambda _: corpus.image_dir
    index = corpus.index

    def folder(part: int) -> str | None:
        origin, path = index.origins[part], index.columns[part].shard.path
        if not unchanged(path, origin.fingerprint):
            raise ShardError(f"{path}: has changed since it was indexed; index it again")
        return origin.image_dir

    return folder


def _now() -> datetime:
    """Return the time, or that of ``SOURCE_DATE_EPOCH``, for files that come out the same."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
