"""The page Export: settings with provenance, training flags, manifests and the report.

Files are created on download.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, cast

import numpy as np
import streamlit as st

from mmc4viz.config_file import parse_config
from mmc4viz.data.scale import COSINE
from mmc4viz.data.storage import fingerprint
from mmc4viz.export import manifest
from mmc4viz.export.contents import Contents
from mmc4viz.export.manifest import IdList
from mmc4viz.export.methods import citation, methods
from mmc4viz.export.provenance import (
    BASES,
    Basics,
    LabelFacts,
    SimilarityFacts,
    basics_of,
    exact_yields,
    provenance,
    sampled_yields,
    to_text,
    with_documents,
)
from mmc4viz.export.report import BaselineYields, outline, report_content, write_report
from mmc4viz.export.sections import Paragraph, Section
from mmc4viz.export.slices import slices_section
from mmc4viz.export.tables import label_facts_at, labels_section, models_section, without_labels
from mmc4viz.export.trainer import advice, openflamingo_flags, training_command
from mmc4viz.export.verify import differences
from mmc4viz.sweep.estimate import RATES
from mmc4viz.sweep.sweep import Matched
from mmc4viz.text import without_folders
from mmc4viz.thresholds.compare.agreement import Candidate
from mmc4viz.thresholds.compare.roc import Evidence, evidence
from mmc4viz.thresholds.proposal import Basis
from mmc4viz.types import Config, ConfigError, LoaderConfig, Mmc4vizError
from mmc4viz.ui import data, fields, label_data, model_data, proposals, slice_data, state
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.components.download import offer
from mmc4viz.ui.components.saved_settings import baseline_of
from mmc4viz.ui.html import NO_DOCUMENTS, note, pair_of_columns, part
from mmc4viz.ui.sidebar import NAMES, Choice
from mmc4viz.ui.start import Start, read_start
from mmc4viz.ui.views import export_data

_REASONS: Final = "export-reasons"  # basis chosen by the user
_LOADED: Final = "loaded-config"
_BASICS: Memo[Basics] = Memo()
_LABELS: Memo[LabelFacts] = Memo()


@dataclass(frozen=True)
class _Loaded:
    """A loaded config with its file name."""

    name: str
    file: Config


def basics_for(source: data.CorpusKey, config: LoaderConfig) -> Basics:
    """Return the provenance of the data, without the score scale."""
    return _BASICS.get((source, config.clip_model), lambda: _basics(source, config))


def _basics(source: data.CorpusKey, config: LoaderConfig) -> Basics:
    basics = basics_of(data.corpus_of(source), config)
    if source.sidecar is not None:
        path = os.path.abspath(source.sidecar.path)
        contents = Contents.of(path, fingerprint(path))
        facts = SimilarityFacts(config.clip_model, path, contents)
        basics = replace(basics, similarity=facts)
    if source.index:
        return basics
    if source.sample is None:
        return with_documents(basics, data.columns_of(source))
    whole = data.facts_of(source).whole
    return replace(basics, corpus=replace(basics.corpus, documents=whole))


def _with_scale(basics: Basics, source: data.CorpusKey, config: LoaderConfig) -> Basics:
    """Add the score scale and range, given the size limit and assignment."""
    spread = data.spread_of(source, config)
    seen = replace(
        basics.similarity,
        scale=spread.scale.name,
        lowest=spread.low if np.isfinite(spread.low) else np.nan,
        highest=spread.high if np.isfinite(spread.high) else np.nan,
    )
    return replace(basics, similarity=seen)


def _use_loaded(loaded: _Loaded, choice: Choice, start: Start) -> None:
    """Apply a config's settings; a model that is not available is ignored."""
    config = loaded.file.loader_config()
    for name, short in NAMES.items():
        state.put(short, str(getattr(config, name)))
    source = loaded.file.provenance.get("similarity", {}).get("source")
    model = next(
        (name for name, one in choice.models.items() if source and one.similarity == source),
        config.clip_model if config.clip_model in choice.models else choice.config.clip_model,
    )
    state.put("model", model)
    state.choose(state.name_of(model, next(iter(choice.models))), config.threshold)
    st.session_state[_LOADED] = loaded
    st.session_state.pop(_REASONS, None)
    proposals.forget()
    state.begin_anew()


def _loaded_reasons(start: Start, value: float) -> tuple[dict[str, Any], str]:
    """Return how the threshold was chosen, if known, and the note of the loaded config."""
    now = current(start)
    words = proposals.user_note()
    if words is None:
        words = "" if now is None else str(now.file.provenance.get("note", ""))
    if proposal := proposals.proposal():
        return proposal, words
    if now is not None and now.file.loader_config().threshold == value:
        return now.file.provenance.get("chosen", {}), words
    return {}, words


def current(start: Start) -> _Loaded | None:
    """Return the config loaded last, else the one that the app was started with."""
    found: _Loaded | None = st.session_state.get(_LOADED)
    if found is None and start.file.settings:
        return _Loaded(start.file_name, start.file)
    return found


def show_differences(loaded: _Loaded, choice: Choice) -> int:
    """Show what differs from when a config was exported; return the number of differences."""
    if loaded.file.slice_thresholds is not None:
        note(
            f"{loaded.name}: its slice thresholds are not used in the app, which has one "
            "threshold for all; mmc4viz curve, export, verify and apply use them.",
            "error",
        )
    if not loaded.file.provenance:
        return 0
    source, config = choice.whole, choice.config
    basics = basics_for(source, config)
    if data.is_matched(source, config):
        basics = _with_scale(basics, source, config)
    found = differences(loaded.file.settings, loaded.file.provenance, basics)
    for line in found:
        note(f"{loaded.name}: {line}", "error")
    return len(found)


def _report_html(
    choice: Choice,
    found: Mapping[str, Any],
    *,
    images: bool,
    models: bool,
    divided: slice_data.DividedBy | None = None,
    baseline: BaselineYields | None = None,
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    choice : Choice
        Must not be a sample.
    found : mapping
        The provenance, as in the config.
    images : bool
        Whether to include thumbnails.
    models : bool
        Whether to include a model comparison.
    divided : DividedBy, optional
        What divides into slices that are included.
    baseline : BaselineYields, optional
        What the choice is compared with.
    """

    def folder(part: int) -> str | None:
        return data.shard_at(choice.source, part)[1]

    source, config = choice.source, choice.config
    comparison = _models(choice) if models else None
    labels = _labels(choice)
    content = report_content(
        data.matched_of(source, config),
        config,
        found,
        folder,
        images=images,
        curves=data.curves_of(source, config),
        sections=[*filter(None, [_slices(choice, divided), comparison]), labels],
        baseline=baseline,
    )
    return write_report(content)


def _others(choice: Choice) -> list[str]:
    """Return the names of the other CLIP models."""
    return [name for name in choice.models if name != choice.config.clip_model]


def _labels(choice: Choice) -> Section:
    """Return the section on labels, or why the label file cannot be read."""
    path = label_data.path_of(choice)
    try:
        if label_data.design_of(path, choice) is None:
            return without_labels()
        return labels_section(path, choice.config, label_data.population_for(choice))
    except Mmc4vizError as error:
        return without_labels(str(error))


def _slices(choice: Choice, divided: slice_data.DividedBy | None) -> Section | None:
    """Return the section on slices, or why there are none."""
    if divided is None:
        return None
    try:
        found, _ = slice_data.comparison_of(choice, divided)
    except Mmc4vizError as error:
        return Section("Slices", [Paragraph(without_folders(str(error)))])
    return slices_section([found])


def _models(choice: Choice) -> Section | None:
    """Return the model comparison, with errors of models that cannot be read."""
    first = model_data.side(choice.config.clip_model, choice.source, choice.config)
    sides, problems = {first.name: first}, []
    for name in _others(choice):
        side = model_data.side(name, choice.models[name], choice.config)
        try:
            model_data.candidate(side)
            sides[name] = side
        except Mmc4vizError as error:
            problems.append(f"{name}: {error}")
    candidates = [model_data.candidate(side) for side in sides.values()]
    known = _evidence(choice, candidates)
    threshold = choice.config.threshold
    return models_section(candidates[0], candidates[1:], threshold, known, problems)


def _evidence(choice: Choice, candidates: list[Candidate]) -> Evidence | None:
    """Return the labels as evidence on the models; None without labels or if unreadable."""
    path = label_data.path_of(choice)
    try:
        if label_data.design_of(path, choice) is None:
            return None
        return evidence(path, candidates)
    except Mmc4vizError:
        return None  # the section on labels shows the error


_CHOSEN_BY: Final = {
    "manual": "manual",
    "yield": "yield",
    "fdr": "label-free FDR",
    "decoys": "decoys",
    "precision": "label precision",
    "combined": "several targets",
}
_SHOWN_SHARDS: Final = 20


def show(choice: Choice) -> None:
    """Draw the page."""
    start = read_start()
    st.title("Export", anchor=False)
    if not data.facts_of(choice.source).documents:
        note(NO_DOCUMENTS, "error")
        return
    _load(choice, start)
    st.header("Settings and provenance", anchor=False)
    found = _provenance(choice, *_reasons(choice, start))
    _config(choice.config, found)
    st.header("Training flags", anchor=False)
    _training(choice.config, found)
    st.header("Methods", anchor=False)
    _methods(choice.config, found)
    st.header("Manifest and report", anchor=False)
    _files(choice, found)

    def whole_manifest() -> bytes:
        matched = data.matched_of(choice.source, choice.config)
        return _manifest(matched, choice.config, "documents", "parquet")

    export_data.show(choice, start, whole_manifest)


def _load(choice: Choice, start: Start) -> None:
    """Offer to load a config, and show differences from the one loaded last."""
    with st.expander("Load settings"):
        file = st.file_uploader(
            "Config file (YAML or JSON)",
            type=["yaml", "yml", "json"],
            key="export-load",
            max_upload_size=32,
        )
        if file is not None:
            _loaded(file.getvalue(), file.name, choice, start)
    now = current(start)
    if now is not None and now.file.provenance:
        made = now.file.provenance
        note(f"{now.name} was exported {made.get('created', '')} {_by(made)}".strip())
        if made.get("note"):
            note(f"{now.name}: {made['note']}")
        if not show_differences(now, choice):
            note("Corpus, model and tokenizer match the exported config.")
    elif now is not None:
        show_differences(now, choice)


def _by(made: dict[str, Any]) -> str:
    return f"by mmc4viz {made['version']}" if "version" in made else ""


def _loaded(content: bytes, name: str, choice: Choice, start: Start) -> None:
    """Read an uploaded config, and offer to apply it."""
    try:
        file = parse_config(content, name)
    except ConfigError as error:
        note(str(error), "error")
        return
    found = _Loaded(name, file)
    if st.button("Apply settings", key="export-use", type="primary"):
        _use_loaded(found, choice, start)
        st.rerun()


def _reasons(choice: Choice, start: Start) -> tuple[str, dict[str, Any]]:
    """Ask for the basis of the threshold and a note, with known values filled in."""
    known, comment = _loaded_reasons(start, choice.config.threshold)
    likely = known.get("basis", BASES[0])
    of = choice.config.threshold, likely, known.get("target")
    kept = st.session_state.get(_REASONS, (of, likely))
    if kept[0] != of:  # the threshold changed, so the old basis does not apply
        kept = of, likely
        st.session_state["export-basis"] = likely
    left, right = st.columns([1, 2])
    with left:
        state.seed("export-basis", kept[1])
        basis = st.selectbox(
            "Basis",
            BASES,
            format_func=lambda name: _CHOSEN_BY.get(name, name),
            key="export-basis",
            help="How the threshold was chosen.",
        )
    with right:
        state.seed("export-note", comment)
        words = st.text_input("Note", key="export-note", max_chars=2000)
    st.session_state[_REASONS] = of, basis
    found = known if known.get("basis") == basis else _filled_in(basis, choice)
    if found != (known or {"basis": BASES[0]}):
        proposals.take(found, choice.config.threshold, choice)
        st.session_state[_REASONS] = (of[0], found["basis"], found.get("target")), basis
    if words != comment:
        proposals.take_note(words, choice)
    if found.get("target"):
        note(f"Target: {found['target']}. Exported with the estimate, CI and assumptions.")
    return words, found


def _filled_in(basis: str, choice: Choice) -> dict[str, Any]:
    """Return the proposal of a basis for the current threshold; labels must support it."""
    threshold = choice.config.threshold
    for one in proposals.available(choice):
        if one.basis == basis and proposals.is_current(one, choice):
            return one.as_dict()
    if basis != Basis.PRECISION:
        return {"basis": basis}
    try:
        found = proposals.from_labels(choice)
    except Mmc4vizError as error:
        reason = str(error)
    else:
        if proposals.is_current(found, choice):
            return found.as_dict()
        reason = found.reason or f"for {found.target}, labels suggest {found.threshold:.12g}"
    note(
        f"Labels do not support {threshold:.12g}: {reason}. It is exported with basis manual; "
        "apply the suggestion on the page Label, or set another target precision there.",
        "error",
    )
    return {"basis": BASES[0]}


def _provenance(choice: Choice, words: str, reasons: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance of the settings, with yields."""
    source, config = choice.source, choice.config
    curves = data.curves_of(source, config)
    step, keep = curves.step(config.threshold), config.single_image_keep
    if source.sample is None:
        yields = exact_yields(curves, step, keep)
    else:
        found = data.estimate_of(source, config)
        rates = {name: found.band(name, keep) for name in RATES}
        yields = sampled_yields(rates, step, found.documents, found.whole, data.SEED)
    basics = _with_scale(basics_for(source, config), source, config)
    basics = replace(basics, labels=_label_facts(choice))
    return provenance(basics, yields, reasons, words)


def _label_facts(choice: Choice) -> LabelFacts | None:
    """Return what is recorded of the label file; None without labels for these settings."""
    try:
        path = label_data.path_of(choice)
        design = label_data.design_of(path, choice)
        if design is None:
            return None
        key = label_data.key_of(path, design, choice), choice.config.threshold
        population = label_data.population_for(choice)
        return _LABELS.get(key, lambda: label_facts_at(path, choice.config, population))
    except Mmc4vizError:
        return None  # the section on labels shows the error


def _config(config: LoaderConfig, found: dict[str, Any]) -> None:
    """Show the config, and offer it for download."""
    shards = found["corpus"]["shards"]
    shown = found
    if len(shards) > _SHOWN_SHARDS:
        shown = found | {"corpus": found["corpus"] | {"shards": shards[:_SHOWN_SHARDS]}}
    with st.container(horizontal=True):
        for form, mime in (("yaml", "application/yaml"), ("json", "application/json")):
            name = f"mmc4viz-config.{form}"
            offer(f"Download {form.upper()}", name, partial(to_text, config, found, name), mime)
    with st.expander("Show the file"):
        st.code(to_text(config, shown), language="yaml", wrap_lines=True)
    if shown is not found:
        note(f"{len(shards) - _SHOWN_SHARDS:,} more shards are in the files.")


def _training(config: LoaderConfig, found: dict[str, Any]) -> None:
    """Show flags, advice and the command."""
    if flags := openflamingo_flags(config):
        st.text("OpenFlamingo's train.py:")
        st.code(flags, language="bash", wrap_lines=True)
    for title, lines in advice(config).items():
        st.html(part("document", part("points", title, lines)))
    with st.expander("Full training command"):
        names = [one["path"] for one in found["corpus"]["shards"]]
        st.code(training_command(config, names), language="bash", wrap_lines=True)


def _methods(config: LoaderConfig, found: dict[str, Any]) -> None:
    """Show the sentences for a paper, with a button that copies them, and how to cite."""
    st.text("For a paper, as in the report:")
    st.code(methods(config, found), language=None, wrap_lines=True)
    if cite := citation():
        with st.expander("How to cite mmc4viz"):
            st.code(cite, language=None, wrap_lines=True)


def _baseline(choice: Choice) -> BaselineYields | None:
    """Return what the page Threshold compares with; None if that is the choice itself."""
    scale = data.spread_of(choice.source, choice.config).scale.name
    if state.get("vs", "") == "" and scale != COSINE.name:  # the reference threshold is a cosine
        return None
    found = baseline_of(choice)
    yields = exact_yields(found.curves, found.curves.step(found.threshold), found.keep)
    same = found.label == f"{choice.config.threshold:g}"
    return None if same else BaselineYields(found.label, yields)


def _files(choice: Choice, found: dict[str, Any]) -> None:
    """Offer manifest, ids and report, each created on download."""
    if choice.source.sample is not None:
        note("These files need all documents: set the sample size in the sidebar to 0.")
        return
    config, matched = choice.config, data.matched_of(choice.source, choice.config)
    left, right = pair_of_columns("files")
    with left:
        rows = st.segmented_control(
            "One row per",
            ["documents", "pairs"],
            format_func=lambda name: name.removesuffix("s"),
            default="documents",
            required=True,
            key="export-rows",
        )
        rows = rows or "documents"
        with st.container(horizontal=True):
            for form, label in (("parquet", "Parquet"), ("jsonl", "JSONL")):
                name = f"manifest-{rows}.{form}" if rows == "pairs" else f"manifest.{form}"
                make = partial(_manifest, matched, config, cast(manifest.Rows, rows), form)
                offer(f"Download manifest ({label})", name, make)
            ids = partial(_ids, matched, config)
            offer("Download IDs", "ids.npy", ids)
        st.caption(
            "IDs: sorted 128-bit ids of kept documents (NumPy u8,u8), DataComp format. An id is "
            "the key if it has 32 hexadecimal digits, else the first half of the SHA-256 of "
            "SHARD/KEY (SHARD/NUMBER/KEY if the key is not unique)."
        )
    with right:
        images, models, divided = _in_the_report(choice)
        before = _baseline(choice)
        write = partial(
            _report_html, choice, found, images=images, models=models, divided=divided,
            baseline=before,
        )  # fmt: skip
        offer("Download report (HTML)", "mmc4viz-report.html", write, "text/html")
        beside = None if before is None else before.label
        shards = len(found["corpus"]["shards"])
        held = outline(beside, shards, models=models, images=images, slices=divided is not None)
        note(f"Self-contained HTML (no scripts): {'; '.join(held)}.")


def _in_the_report(choice: Choice) -> tuple[bool, bool, slice_data.DividedBy | None]:
    """Ask whether the report includes thumbnails, a model comparison, and slices."""
    images = fields.yes_or_no("Include thumbnails", "export-images", "x.images", default=True)
    models = bool(_others(choice)) and fields.yes_or_no(
        "Include model comparison", "export-models", "x.models", default=True
    )
    slices = fields.yes_or_no(
        "Include slices", "export-slices", "x.slices", default=False,
        help="Divided as on the page Slices.",
    )  # fmt: skip
    try:
        return images, models, slice_data.chosen(choice) if slices else None
    except ConfigError as error:
        note(str(error), "error")
        return images, models, None


def _manifest(matched: Matched, config: LoaderConfig, rows: manifest.Rows, form: str) -> bytes:
    buffer = io.BytesIO()
    write = manifest.parquet if form == "parquet" else manifest.json_lines
    with write(buffer, rows, config) as take:
        for chunk in manifest.chunks(matched, config):
            take(chunk)
    return buffer.getvalue()


def _ids(matched: Matched, config: LoaderConfig) -> bytes:
    ids, buffer = IdList(), io.BytesIO()
    for chunk in manifest.chunks(matched, config):
        ids.add(chunk)
    np.save(buffer, ids.sorted())
    return buffer.getvalue()
