"""The commands ``export`` (config, manifest, ids, report) and ``verify`` (recomputes a config)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import click
import numpy as np

from mmc4viz.cli.common import (
    check_sample,
    config_file_of,
    drawn_from,
    finish,
    open_corpus,
    progress,
    shifts_of,
    slice_thresholds_of,
    spare_inputs,
    unmatched,
)
from mmc4viz.cli.compare import Similarity, chosen, similarities_of
from mmc4viz.cli.messages import print_error, print_note
from mmc4viz.config_file import read_marked
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.scale import COSINE, Shifts, misfits
from mmc4viz.data.storage import unchanged, whole_file
from mmc4viz.export import manifest
from mmc4viz.export.manifest import IdList
from mmc4viz.export.methods import methods
from mmc4viz.export.provenance import (
    BASES,
    Basics,
    basics_of,
    exact_yields,
    label_facts,
    provenance,
    sampled_yields,
    time_of_writing,
    to_text,
    with_documents,
)
from mmc4viz.export.report import BaselineYields, report_content, write_report
from mmc4viz.export.sections import Section
from mmc4viz.export.slices import slices_section
from mmc4viz.export.tables import label_facts_at, labels_section, models_section, without_labels
from mmc4viz.export.trainer import advice, openflamingo_flags, webdataset_snippet
from mmc4viz.export.trainers.rows import refuse_random
from mmc4viz.export.verify import Check, Verified, checks, verified
from mmc4viz.reference_thresholds import REFERENCE
from mmc4viz.slices.attributes import SlicedCorpus
from mmc4viz.slices.comparison import SliceComparison, compare
from mmc4viz.slices.table import attribute_named, attributes_asked
from mmc4viz.sweep.estimate import RATES, estimate
from mmc4viz.sweep.pairs import Folder
from mmc4viz.sweep.sweep import Matched, match_corpus, sweep
from mmc4viz.text import printable_code, table
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.roc import evidence
from mmc4viz.thresholds.labels import store
from mmc4viz.thresholds.labels.precision import labelled_for
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.model_scores import Model
from mmc4viz.thresholds.proposal import Basis
from mmc4viz.types import (
    ConfigError,
    LoaderConfig,
    Mmc4vizError,
    Outcome,
    ShardError,
    SliceThresholds,
)


def reasons(options: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return the note and how the threshold was chosen, from the options or else the config."""
    before = config_file_of(options)
    chosen, note = before.provenance.get("chosen"), before.provenance.get("note", "")
    moved = options["threshold"] not in (None, before.settings.get("threshold"))
    if options["proposal"] is not None:
        chosen = _proposal(options["proposal"])
        if options["chosen_by"] not in (None, chosen["basis"]):
            raise ConfigError(
                f"--chosen-by {options['chosen_by']} contradicts {options['proposal']}, which has "
                f"the basis {chosen['basis']}"
            )
    elif options["chosen_by"] is not None:
        kept = chosen if chosen and chosen["basis"] == options["chosen_by"] and not moved else {}
        chosen = {**kept, "basis": options["chosen_by"]}
    elif moved:
        chosen = None
    return options["note"] if options["note"] is not None else note, chosen


def with_proposed(options: dict[str, Any], chosen: dict[str, Any] | None) -> dict[str, Any]:
    """Return the options with the threshold of ``--proposal``, if it has one.

    Raises
    ------
    ConfigError
        If the proposal has no threshold, or a different one than ``--threshold``.
    """
    path, given = options["proposal"], options["threshold"]
    if path is None or chosen is None or "threshold" not in chosen:
        return options
    value = chosen["threshold"]
    if type(value) not in (int, float):
        raise ConfigError(f"{path}: has no threshold: {chosen.get('reason') or value}")
    if given not in (None, value):
        raise ConfigError(
            f"--threshold {given:g} contradicts {path}, which suggests {value!r}; omit one of them"
        )
    return options | {"threshold": float(value)}


def _proposal(path: str) -> dict[str, Any]:
    """Read the output of ``mmc4viz suggest --format json``."""
    marked = read_marked(path)
    value = marked.value
    if isinstance(value, list) and value:
        last = value[-1]  # if there are several, the one that meets all targets at once
        at_once = isinstance(last, dict) and last.get("basis") == Basis.COMBINED
        value = last if at_once or len(value) == 1 else value
    if isinstance(value, list) and len(value) > 1:
        raise marked.error(
            f"contains {len(value)} proposals: run mmc4viz suggest with a single target"
        )
    if not isinstance(value, dict) or value.get("basis") not in BASES:
        raise marked.error(
            f"not a proposal: expected an object with a basis, one of {', '.join(BASES)}"
        )
    return value


def settle(options: dict[str, Any]) -> dict[str, Any]:
    """Separate the score set in use from files to compare; reject report options without report."""
    given: tuple[str, ...] = options["similarity"]
    files = [text for text in given if "=" in text]
    sets = [text for text in given if "=" not in text]
    if len(sets) > 1:
        raise ConfigError(
            f"--similarity: only one score set can be used, not {len(sets)}: {', '.join(sets)}"
        )
    if not options["report_file"]:
        if options["labels_file"] and not options["out"]:
            raise ConfigError("--labels is for config and report: add --out or --report FILE")
        for name, value in (
            ("--baseline", options["baseline"] is not None),
            ("--models", options["models"]),
            ("--similarity NAME=FILE", files),
            ("--by", options["slices_by"]),
            ("--slices", options["slices_file"]),
        ):
            if value:
                raise ConfigError(f"{name} is for the report: add --report FILE")
    return options | {"similarity": sets[0] if sets else None, "files": files}


def check(corpus: Indexed | Shards, config: LoaderConfig, options: dict[str, Any]) -> None:
    """Reject missing labels and models before any shard is read."""
    if options["labels_file"] is not None:
        store.check(options["labels_file"])
    if options["report_file"]:
        chosen(similarities_of(corpus, config, options["files"]), options["models"])
        attributes_asked(options["slices_by"], options["slices_file"])


def sections(
    corpus: Indexed | Shards,
    config: LoaderConfig,
    matched: Matched,
    labeled: Population | None,
    options: dict[str, Any],
) -> list[Section]:
    """Return the report's sections on slices, on other models and on labels.

    Raises
    ------
    Mmc4vizError
        If the label file cannot be used. A model that cannot be compared is named in its section
        and in a note.
    """
    first, path = Candidate(Model(config.clip_model, matched), config), options["labels_file"]
    labels = without_labels()
    if labeled is not None:
        labels = labels_section(path, config, labeled)
    others, problems = _matched(_others(corpus, config, matched, options), first)
    comparison: Section | None = None
    if others or problems:
        known = None if path is None else evidence(path, [first, *others])
        comparison = models_section(first, others, config.threshold, known, problems)
    divided = _divided(corpus, config, matched, labeled, options)
    return [slices_section(divided), *filter(None, [comparison]), labels]


def _divided(
    corpus: Indexed | Shards,
    config: LoaderConfig,
    matched: Matched,
    labeled: Population | None,
    options: dict[str, Any],
) -> list[SliceComparison]:
    """Compare the slices that the report is to show."""
    names, own = attributes_asked(options["slices_by"], options["slices_file"])
    sliced, found = SlicedCorpus(matched), []
    labelled = None
    if names and labeled is not None:
        labelled = labelled_for(options["labels_file"], config, labeled)
    for name in names:
        division = attribute_named(name, own).divide(sliced)
        corpus.notes += division.notes
        found.append(compare(sliced, division, config, matched.scale.thresholds(), labelled))
    return found


def _population(matched: Matched, config: LoaderConfig) -> Population:
    """Return the matched pairs, from which labels were sampled."""
    pairs = Model(config.clip_model, matched).pairs
    return Population([part.columns for part in matched.parts], pairs)


def _baseline(
    matched: Matched, config: LoaderConfig, threshold: float | None
) -> BaselineYields | None:
    """Return what the settings keep at the baseline; None if that is the threshold itself.

    OpenFlamingo's threshold is a cosine, so on other scales there is no baseline by default.
    """
    if threshold is None and matched.scale.name != COSINE.name:
        return None
    at = REFERENCE if threshold is None else threshold
    if at == config.threshold:
        return None
    return BaselineYields(f"{at:g}", _yields(matched, config.with_(threshold=at)))


def _others(
    corpus: Indexed | Shards, config: LoaderConfig, matched: Matched, options: dict[str, Any]
) -> list[tuple[str, Similarity]]:
    """Return the other models to compare, under the names that their labels use."""
    read = None if isinstance(corpus, Indexed) else [part.columns for part in matched.parts]
    found = similarities_of(corpus, config, options["files"], read)
    wanted = chosen(found, options["models"])
    return [(one.name, one) for one in wanted if one.name != config.clip_model]


def _matched(
    found: Sequence[tuple[str, Similarity]], first: Candidate
) -> tuple[list[Candidate], list[str]]:
    """Match under the other models' scores; return problems with those that cannot be."""
    others, problems = [], []
    with progress("documents") as advance:
        for name, one in found:
            try:
                matched = match_corpus(one.read(advance), first.config)
            except Mmc4vizError as error:
                problems.append(f"{name}: {error}")
                print_note(f"{name} is not in the report: {error}")
                continue
            others.append(Candidate(Model(name, matched), first.config))
    return others, problems


_FORMS = (".parquet", ".jsonl")
_OUTPUTS = ("out", "manifest_file", "ids_file", "report_file")


def export(**options: Any) -> None:
    """Export settings, manifest, ids and report."""
    if options["trainer"] == "webdataset":
        _check_webdataset(options)
    else:
        for name in ("scheduler", "overwrite"):
            if options[name]:
                raise ConfigError(f"--{name} is for a trainer: add --for NAME")
    options = settle(options)
    _check(options)
    note, chosen = reasons(options)
    options = with_proposed(options, chosen)
    config, corpus = open_corpus(options, by_slice=True)
    if options["trainer"] is not None:
        refuse_random(config)
    slices = slice_thresholds_of(options, config, corpus)
    if slices is not None:
        _refuse_with_slices(options)
    own = None if slices is None or not slices.file else os.path.join(slices.folder, slices.file)
    read = (options["labels_file"], options["proposal"], own)
    spare_inputs(corpus, read, (options[name] for name in _OUTPUTS))
    config = config.with_(tokenizer=corpus.tokenizer.name)
    check(corpus, config, options)
    basics = basics_of(corpus, config)
    if options["sample"] is not None:
        basics, yields = _estimated(corpus, config, basics, options)
    else:
        with progress("documents") as advance:
            parts = corpus.columns(advance)
            matched = match_corpus(parts, config)
        shifts = shifts_of(slices, matched, corpus)
        basics, yields = _counted(matched, config, with_documents(basics, parts), shifts)
        labeled = _population(matched, config) if options["labels_file"] else None
        if labeled is not None:
            facts = label_facts_at(options["labels_file"], config, labeled)
            basics = replace(basics, labels=facts)
        corpus.notes += _misfit(matched, config, slices)
        _write_lists(matched, config, options, slices, shifts)
    found = provenance(basics, yields, chosen, note, time_of_writing())
    if options["report_file"]:
        content = report_content(
            matched,
            config,
            found,
            _folder(corpus),
            images=options["images"],
            sections=sections(corpus, config, matched, labeled, options),
            baseline=_baseline(matched, config, options["baseline"]),
        )
        with whole_file(options["report_file"]) as file:
            file.write(write_report(content).encode())
        _wrote(options["report_file"])
    if options["out"]:
        with whole_file(options["out"]) as file:
            file.write(to_text(config, found, options["out"], slices).encode())
        _wrote(options["out"])
        note_on_table(slices, options["out"])
    print_note(_kept(yields, config, slices))
    if options["trainer"] is not None:
        click.echo(printable_code(webdataset_snippet(options["manifest_file"])))
    else:
        click.echo(_what_to_do(config, found, options["manifest_file"], slices))
    finish(corpus)


def _check_webdataset(options: dict[str, Any]) -> None:
    """Reject a filter without the manifest that it reads."""
    if not (options["manifest_file"] or "").lower().endswith(".parquet"):
        raise ConfigError("--for webdataset filters by a manifest: add --manifest FILE.parquet")


def _refuse_with_slices(options: dict[str, Any]) -> None:
    """Reject outputs that know one threshold only."""
    for name in ("report_file", "sample", "labels_file"):
        if options[name] is not None:
            flag = name.removesuffix("_file")
            raise ConfigError(
                f"--{flag} knows one threshold only, and the config has slice thresholds: omit "
                f"--{flag}, or remove slice_thresholds from a copy"
            )


def note_on_table(slices: SliceThresholds | None, out: str) -> None:
    """Print a note if a config is not next to the user's table that it refers to."""
    if slices is None or not slices.file:
        return
    beside = os.path.join(os.path.dirname(os.path.abspath(out)), slices.file)
    if not os.path.exists(beside):
        print_note(f"{out} refers to {slices.file}: copy it next to this config")


def _wrote(path: str, rows: int | None = None, of: str = "") -> None:
    """Print a note that a file was written, with its size and number of rows."""
    content = "" if rows is None else f", {rows:,} {of}"
    print_note(f"wrote {path} ({os.path.getsize(path) / 1000:,.1f} kB{content})")


def _kept(
    yields: dict[str, Any], config: LoaderConfig, slices: SliceThresholds | None = None
) -> str:
    """Return a line on what is kept."""
    expected, pairs = yields["documents"], yields["pairs"]
    if yields["sampled"] is not None:
        low, high = ("?" if expected[n] is None else f"{expected[n]:,.0f}" for n in ("low", "high"))
        return (
            f"about {expected['value']:,.0f} of {yields['per']:,.0f} documents kept at "
            f"{config.threshold:g} (95% CI {low}–{high}), from a sample of {yields['sampled']:,}"
        )
    kept = yields["outcomes"][str(Outcome.KEPT)]
    others = "" if slices is None else f" and {len(slices.thresholds):,} slice thresholds"
    line = (
        f"{kept:,} of {yields['per']:,.0f} documents kept at {config.threshold:g}{others}, with "
        f"{pairs['value']:,} pairs"
    )
    if expected["value"] == kept:
        return line
    return (
        f"{line}; {expected['value']:,.10g} expected, because single-image documents are kept with "
        f"probability {config.single_image_keep:g}"
    )


def _misfit(matched: Matched, config: LoaderConfig, slices: SliceThresholds | None) -> list[str]:
    """Return notes on thresholds that keep all pairs or none, or that there are no pairs."""
    scores = matched.scores()
    if not len(scores):
        return [unmatched(matched.n_documents)]
    others = [] if slices is None else slices.thresholds.values()
    return misfits(np.unique([config.threshold, *others]), matched.scale.name, scores)


def _check(options: dict[str, Any]) -> None:
    """Reject outputs that cannot be written before any shard is read."""
    if not any(options[name] for name in _OUTPUTS):
        raise ConfigError("specify an output: --out, --manifest, --ids or --report FILE")
    form = options["manifest_file"]
    if form is not None and not form.lower().endswith(_FORMS):
        raise ConfigError(f"--manifest {form}: the name must end in .parquet or .jsonl")
    out = options["out"]
    if out is not None and not out.lower().endswith((".yaml", ".yml", ".json")):
        raise ConfigError(f"--out {out}: the name must end in .yaml or .json")
    paths = [os.path.abspath(options[name]) for name in _OUTPUTS if options[name]]
    if len(set(paths)) < len(paths):
        raise ConfigError("two outputs have the same path: give each its own file name")
    for path in paths:
        if not os.path.isdir(os.path.dirname(path)):
            raise ConfigError(f"{path}: cannot be written: no such folder")
    check_sample(options["sample"])
    whole = [name for name in _OUTPUTS[1:] if options[name]]
    if options["sample"] is not None and whole:
        flag = whole[0].replace("_file", "")
        raise ConfigError(f"--{flag} needs all documents: omit --sample")


def _counted(
    matched: Matched, config: LoaderConfig, basics: Basics, shifts: Shifts | None
) -> tuple[Basics, dict[str, Any]]:
    """Return the settings' yields, and the basics with the scores' scale."""
    return _with_scores(basics, matched), _yields(matched, config, shifts)


def _yields(matched: Matched, config: LoaderConfig, shifts: Shifts | None = None) -> dict[str, Any]:
    curves = sweep(matched, config, np.array([config.threshold]), shifts=shifts)
    return exact_yields(curves, 0, config.single_image_keep)


def _with_scores(basics: Basics, matched: Matched) -> Basics:
    scores = matched.scores()
    finite = scores[np.isfinite(scores)]
    ends = (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)
    seen = replace(basics.similarity, scale=matched.scale.name, lowest=ends[0], highest=ends[1])
    return replace(basics, similarity=seen)


def _estimated(
    corpus: Indexed | Shards, config: LoaderConfig, basics: Basics, options: dict[str, Any]
) -> tuple[Basics, dict[str, Any]]:
    """Estimate the settings' yields from a random sample, with intervals."""
    with progress("documents") as advance:
        drawn = drawn_from(corpus, options["sample"], options["seed"], advance)
    whole = basics.corpus.documents
    if whole is None and drawn.fraction:
        whole = round(drawn.n_documents / drawn.fraction)
    found = estimate(drawn, config, np.array([config.threshold]), whole)
    rates = {name: found.band(name, config.single_image_keep) for name in RATES}
    matched = match_corpus((part for parts in drawn.clusters for part in parts), config)
    basics = replace(basics, corpus=replace(basics.corpus, documents=whole))
    yields = sampled_yields(rates, 0, drawn.n_documents, found.whole, options["seed"])
    if options["labels_file"] is not None:
        basics = replace(basics, labels=label_facts(options["labels_file"]))
    return _with_scores(basics, matched), yields


def _write_lists(
    matched: Matched,
    config: LoaderConfig,
    options: dict[str, Any],
    slices: SliceThresholds | None,
    shifts: Shifts | None,
) -> None:
    """Write the manifest and the ids in one pass over the documents."""
    path, ids_file = options["manifest_file"], options["ids_file"]
    if not path and not ids_file:
        return
    ids, rows = IdList(), 0
    with ExitStack() as stack:
        takers: list[Callable[[manifest.Chunk], object]] = [ids.add] if ids_file else []
        if path:
            file = stack.enter_context(whole_file(path))
            write = manifest.parquet if path.lower().endswith(".parquet") else manifest.json_lines
            takers.append(stack.enter_context(write(file, options["rows"], config, slices)))
        advance = stack.enter_context(progress("documents", matched.n_documents))
        for chunk in manifest.chunks(matched, config, shifts=shifts):
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


def write_config(
    out: str,
    config: LoaderConfig,
    matched: Matched,
    corpus: Indexed | Shards,
    options: dict[str, Any],
    slices: SliceThresholds,
) -> None:
    """Write settings with slice thresholds, and what they keep; the rest is the config's."""
    given = options | {"proposal": None, "chosen_by": None, "note": None}
    note, chosen = reasons(given)
    config = config.with_(tokenizer=corpus.tokenizer.name)
    shifts = shifts_of(slices, matched, corpus)
    parts = [part.columns for part in matched.parts]
    basics = with_documents(basics_of(corpus, config), parts)
    basics, yields = _counted(matched, config, basics, shifts)
    found = provenance(basics, yields, chosen, note, time_of_writing())
    with whole_file(out) as file:
        file.write(to_text(config, found, out, slices).encode())
    _wrote(out)
    print_note(_kept(yields, config, slices))


def _what_to_do(
    config: LoaderConfig,
    found: dict[str, Any],
    manifest_file: str | None,
    slices: SliceThresholds | None,
) -> str:
    """Return the methods, the training flags, settings without a flag, and pipeline code."""
    lowest = config if slices is None else config.with_(threshold=slices.lowest)
    lines = ["Methods, for a paper:", f"  {methods(config, found, slices)}", ""]
    if flags := openflamingo_flags(lowest):
        lines += ["OpenFlamingo's train.py:", f"  {flags}"]
    for title, points in advice(config, slices).items():
        lines += ["", f"{title}:", *(f"  {point}" for point in points)]
    if manifest_file is not None and manifest_file.lower().endswith(".parquet"):
        lines += ["", "A plain WebDataset pipeline:", ""]
        lines += webdataset_snippet(manifest_file).splitlines()
    return printable_code("\n".join(lines))


def _folder(corpus: Indexed | Shards) -> Folder:
    """Return the image folder of each shard; an indexed shard that has changed is an error."""
    if isinstance(corpus, Shards):
        return lambda _: corpus.image_dir
    index = corpus.index

    def folder(part: int) -> str | None:
        origin, path = index.origins[part], index.columns[part].shard.path
        if not unchanged(path, origin.fingerprint):
            raise ShardError(f"{path}: has changed since it was indexed; run mmc4viz index again")
        return origin.image_dir

    return folder


def verify(config_file: str, **options: Any) -> None:
    """Recompute the yields of a config on a corpus, and compare."""
    options |= {"config_file": config_file}
    yields = config_file_of(options).provenance.get("yields")
    if not yields:
        raise ConfigError(
            f"{config_file}: records no yields, so there is nothing to verify; mmc4viz export "
            "--out writes a config that does"
        )
    config, corpus = open_corpus(options, compare=False, by_slice=True)
    slices = slice_thresholds_of(options, config, corpus)
    if options["labels_file"] is not None:
        store.check(options["labels_file"])
    basics = basics_of(corpus, config)
    with progress("documents") as advance:
        parts = corpus.columns(advance)
        matched = match_corpus(parts, config)
    shifts = shifts_of(slices, matched, corpus)
    found = verified(yields, _yields(matched, config, shifts))
    basics = _with_scores(with_documents(basics, parts), matched)
    if options["labels_file"] is not None:
        basics = replace(basics, labels=label_facts(options["labels_file"]))
    file = config_file_of(options)
    others = checks(file.settings, file.provenance, basics)
    rows = [("", "recorded", "now", ""), *map(_row, found), *map(_check_row, others)]
    click.echo(table(rows, left=(0, 3)))
    wrong = [one.name.replace("_", " ") for one in found if not one.agrees]
    wrong += [one.name for one in others if one.agrees is False]
    if wrong:
        print_error(f"{config_file}: not the same on this corpus: {', '.join(wrong)}")
    finish(corpus)
    if wrong:
        sys.exit(1)


def _check_row(one: Check) -> tuple[str, ...]:
    return one.name, one.recorded or "–", one.now or "–", one.said


def _row(one: Verified) -> tuple[str, ...]:
    recorded = f"{one.recorded:,.12g}"
    if one.low is not None or one.high is not None:
        low, high = ("?" if end is None else f"{end:,.6g}" for end in (one.low, one.high))
        recorded += f" (95% CI {low} to {high})"
    said = "same" if one.recorded == one.now else "within the CI" if one.agrees else "differs"
    return one.name.replace("_", " "), recorded, f"{one.now:,.12g}", said
