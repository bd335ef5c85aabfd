"""The HTML report: what a paper has as its supplement.

It is a list of sections of a few kinds of parts (`mmc4viz.export.sections`). ``report.html.j2``
has the markup of each kind and escapes all text. Thumbnails are re-encoded JPEGs, and the page's
content security policy allows neither scripts nor external resources.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mmc4viz.export.methods import DEFINITIONS, citation_section, methods, quantity, share
from mmc4viz.export.provenance import to_text
from mmc4viz.export.sections import (
    Cards,
    Charts,
    Code,
    Folded,
    Funnels,
    Heading,
    Numbers,
    Paragraph,
    Part,
    Points,
    Section,
    Table,
    Terms,
    counted,
    html_page,
)
from mmc4viz.export.svg import curve, histogram
from mmc4viz.export.tables import Line, findings
from mmc4viz.export.trainer import advice, training_command
from mmc4viz.sweep.estimate import RATES
from mmc4viz.sweep.pairs import Example, Folder, examples, pairs_of
from mmc4viz.sweep.shape import (
    RATIOS,
    SHARES,
    by_images,
    by_length,
    length_names,
    median_images,
    ratio,
)
from mmc4viz.sweep.statistics import (
    MOST_IMAGES,
    Curves,
    Loss,
    document_funnel,
    image_funnel,
)
from mmc4viz.sweep.sweep import Matched, sweep
from mmc4viz.types import SETTINGS, LoaderConfig, Outcome, PairStatus

__all__ = ["BaselineYields", "Content", "Section", "write_report"]

_FARTHEST: Final = 1e290  # larger scores would overflow
_EXAMPLES: Final = 8  # on each side of the threshold
_SHARDS: Final = 50  # shown in the provenance
_DIGITS: Final = 16  # of a shard's digest
_MAX_CHARACTERS: Final = 600  # of a sentence
_DROPS: Final = {
    "single_image_drop": "single-image drop",
    "document_rejected": "document dropped",
    "lost_with_document": "dropped with document",
    "over_cap": "dropped at the cap",
    "single_image_at_end": "only image token is last",
}
_COLORS: Final = {
    "undecodable": "unreadable",
    "lost_with_document": "unreadable",
    "unreadable": "unreadable",
    "truncated": "truncated",
}
_BASIS: Final = {
    "manual": "Chosen manually.",
    "yield": "Chosen by target yield.",
    "fdr": "Chosen by false-discovery rate, estimated without labels.",
    "decoys": "Chosen by false-discovery rate, estimated from decoys.",
    "precision": "Chosen by precision, estimated from labels.",
    "combined": "Chosen by several targets at once.",
}
_QUANTITIES: Final = {
    "documents": "documents kept (expected)",
    "pairs": "pairs at or above the threshold",
    "image_tokens": "image tokens (expected)",
    "text_tokens": "text tokens (expected)",
    "mispaired": "mispaired image tokens (expected)",
}
_EXACT: Final = "Exact counts of all documents, no CI."


@dataclass(frozen=True)
class BaselineYields:
    """What the choice is compared with.

    Attributes
    ----------
    label : str
        A threshold, or the name of saved settings.
    yields : mapping
        As in the config (`mmc4viz.export.provenance.exact_yields`).
    """

    label: str
    yields: Mapping[str, Any]


@dataclass(frozen=True)
class Content:
    """The content of a report.

    Attributes
    ----------
    config : LoaderConfig
    provenance : mapping
        As in the config (`mmc4viz.export.provenance.provenance`).
    curves : Curves
        At the thresholds that are drawn.
    step : int
        Position of the threshold in them.
    scores : ndarray of float64, shape (pairs,)
        All matched scores, ascending.
    findings : sequence of Line
        Rows of the loader audit.
    above, below : sequence of Example
        Pairs on both sides of the threshold, closest first.
    sections : sequence of Section
        Further sections, on slices, other models and labels.
    baseline : BaselineYields or None
    """

    config: LoaderConfig
    provenance: Mapping[str, Any]
    curves: Curves
    step: int
    scores: NDArray[np.float64]
    findings: Sequence[Line] = ()
    above: Sequence[Example] = ()
    below: Sequence[Example] = ()
    sections: Sequence[Section] = ()
    baseline: BaselineYields | None = None


def write_report(content: Content) -> str:
    """Return a report as one HTML page."""
    return html_page(
        f"CLIP-similarity threshold {content.config.threshold:g}",
        _about(content),
        _corpus(content.provenance),
        _sections(content),
    )


def outline(
    baseline: str | None, shards: int, *, models: bool, images: bool, slices: bool = False
) -> list[str]:
    """Return what a report holds, in order, in a few words each.

    Parameters
    ----------
    baseline : str or None
        Label of the baseline.
    shards : int
        Number of shards.
    models, images : bool
        Whether other CLIP models are compared, and whether pairs have thumbnails.
    slices : bool
        Whether it has a section on slices.
    """
    beside = "yields" if baseline is None else f"yields beside the baseline {baseline}"
    near = "pairs near the threshold" + (" with thumbnails" if images else "")
    return [
        beside,
        "methods",
        "rationale",
        "settings",
        "training command",
        "kept data by threshold",
        "sequences by images and length",
        "document and image funnel",
        "silent loader behavior",
        *(["slices"] if slices else []),
        *(["CLIP model comparison"] if models else []),
        "precision from labels",
        near,
        "definitions",
        f"provenance with the digests of {counted(shards, 'shard')}",
        "how to cite",
    ]


def _sections(content: Content) -> list[Section]:
    """Return all sections in order."""
    return [
        _yields_section(content),
        Section("Methods", [Code(methods(content.config, content.provenance), prose=True)]),
        _rationale_section(content.provenance),
        _settings_section(content.config),
        _training_section(content),
        _curves_section(content),
        _sequences_section(content),
        _funnel_section(content),
        _audit_section(content),
        *content.sections,
        _near_section(content),
        Section("Definitions", [Terms(DEFINITIONS)]),
        _provenance_section(content),
        citation_section(),
    ]


def _about(content: Content) -> str:
    found = content.provenance
    return "; ".join(
        [
            f"CLIP model {content.config.clip_model}",
            f"tokenizer {content.config.tokenizer}",
            f"created {found.get('created', '')} by mmc4viz {found.get('version', '')}",
        ]
    )


def _corpus(found: Mapping[str, Any]) -> str:
    """Return the corpus as every caption names it."""
    corpus = found.get("corpus", {})
    documents, names = corpus.get("documents"), [one["path"] for one in corpus.get("shards", ())]
    size = f"n = {counted(documents, 'document')} in " if documents is not None else ""
    ends = f" ({' to '.join(dict.fromkeys((names[0], names[-1])))})" if names else ""
    return f"Corpus: {size}{counted(len(names), 'shard')}{ends}."


def _yields_section(content: Content) -> Section:
    """Return what the settings keep, beside the baseline."""
    yields, baseline = content.provenance.get("yields", {}), content.baseline
    if not yields:
        return Section("Yields")
    parts: list[Part] = [Numbers(_numbers(yields, baseline)), Paragraph(_expected(content), True)]
    sampled, at = yields.get("sampled"), f"{content.config.threshold:g}"
    label = "" if baseline is None else baseline.label
    head = ["quantity", f"at {at}"]
    head += ["95% CI"] if sampled else []
    head += [f"baseline {label}", "difference"] if baseline is not None else []
    names = [name for name in _QUANTITIES if name in yields]
    before = {} if baseline is None else baseline.yields
    rows = [
        [_QUANTITIES[name], *_cells(yields[name], before.get(name), len(head))] for name in names
    ]
    now, then = yields.get("outcomes", {}), before.get("outcomes", {})
    for name in (outcome for outcome in map(str, Outcome) if outcome in now):
        other = {"value": then[name]} if name in then else None
        words = f"outcome: {name.replace('_', ' ')}"
        rows.append([words, *_cells({"value": now[name]}, other, len(head))])
    compared = f", and the difference from the baseline {label}" if baseline is not None else ""
    caption = f"What the settings keep at the threshold {at}{compared}. {_certainty(yields)}"
    return Section("Yields", [*parts, Table(head, rows, caption, range(1, len(head)))])


def _cells(one: Mapping[str, Any], other: Mapping[str, Any] | None, columns: int) -> list[str]:
    """Return the cells after the first: value, perhaps interval, perhaps baseline, difference."""
    cells = [quantity(one["value"])]
    if columns in (3, 5):
        known = "low" in one
        cells.append(f"{quantity(one['low'])}–{quantity(one['high'])}" if known else "–")
    if other is not None:
        cells += [quantity(other["value"]), _difference(one["value"], other["value"])]
    return cells + ["–"] * (columns - 1 - len(cells))


def _difference(value: float, other: float) -> str:
    """Format a difference with its share of the baseline.

    Examples
    --------
    >>> _difference(90, 120), _difference(3, 0), _difference(5, 5)
    ('−30 (−25.0%)', '+3', '0')
    """
    by = value - other
    if not by:
        return "0"
    sign = "−" if by < 0 else "+"
    relative = f" ({sign}{abs(by) / other:.1%})" if other else ""
    return f"{sign}{quantity(abs(by))}{relative}"


def _certainty(yields: Mapping[str, Any]) -> str:
    if not yields.get("sampled"):
        return _EXACT
    percent = f"{100 * yields.get('confidence', 0.95):g}%"
    return f"Estimated from {counted(yields['sampled'], 'sampled document')}, with {percent} CIs."


def _numbers(yields: Mapping[str, Any], baseline: BaselineYields | None) -> list[dict[str, Any]]:
    """Return the headline numbers with description, share, interval and difference."""
    per = float(yields.get("per", 0) or 0)
    tokens = float(yields.get("image_tokens", {}).get("value", 0))
    shown = [
        ("documents", f"documents kept (of {per:,.0f})", per),
        ("pairs", "pairs at or above the threshold", 0.0),
        ("image_tokens", "image tokens", 0.0),
        ("text_tokens", "text tokens", 0.0),
        ("mispaired", "mispaired image tokens", tokens),
    ]
    assert [name for name, _, _ in shown] == list(RATES)
    found = []
    for name, words, of in shown:
        if name in yields:
            found.append(_number(yields[name], words, of))
            if baseline is not None and name in baseline.yields:
                by = _difference(yields[name]["value"], baseline.yields[name]["value"])
                found[-1]["lines"].append(f"{by} vs {baseline.label}")
    return found


def _number(found: Mapping[str, Any], words: str, of: float) -> dict[str, Any]:
    value, low, high = float(found["value"]), found.get("low"), found.get("high")
    lines = [words]
    if of:
        lines.append(f"{value / of:.1%}")
    if high is not None:
        lines.append(f"{quantity(low)}–{quantity(high)}")
    elif low is not None:
        lines.append(f"≥ {quantity(low)}")
    return {"value": quantity(value), "lines": lines}


def _short(value: float) -> str:
    """Format a count with a unit suffix.

    Examples
    --------
    >>> _short(1234567), _short(950.0), _short(12.5)
    ('1.23M', '950', '12.5')
    """
    for size, sign in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if sign == 'k' else size):.3g}{sign}"
    return quantity(value)


def _expected(content: Content) -> str:
    """Return what the headline numbers are: expected values, perhaps estimates."""
    found = content.provenance.get("yields", {})
    words = (
        "Documents and tokens are expected values: single-image documents are kept with "
        f"probability {content.config.single_image_keep:g}."
    )
    if not found.get("sampled"):
        return words
    percent = f"{100 * found.get('confidence', 0.95):g}%"
    return (
        f"{words} Estimated from a random sample of {found['sampled']:,} documents ({percent} CI)."
    )


def _rationale(chosen: Mapping[str, Any]) -> str:
    """Return how the threshold was chosen."""
    words = [_BASIS.get(str(chosen.get("basis")), "")]
    if chosen.get("target"):
        words.append(f"Target: {chosen['target']}.")
    if isinstance(chosen.get("estimate"), (int, float)):
        words.append(f"Estimate: {share(chosen['estimate'])}{_interval(chosen)}.")
    words.append(_from_labels(chosen))
    if chosen.get("assumption"):
        words.append(str(chosen["assumption"]))
    return " ".join(word for word in words if word)


def _from_labels(chosen: Mapping[str, Any]) -> str:
    """Return the number of labels and the one-sided lower bound."""
    labels, least = chosen.get("labels"), chosen.get("lower_bound")
    if not isinstance(labels, int) or not isinstance(least, (int, float)):
        return ""
    n = chosen.get("labels_near_threshold")
    near = f", {n:,} of them just above it" if isinstance(n, int) and n != labels else ""
    return (
        f"Based on {counted(labels, 'label')} at or above the threshold{near}; one-sided 95% lower "
        f"bound {share(least)}."
    )


def _interval(chosen: Mapping[str, Any]) -> str:
    low, high = chosen.get("low"), chosen.get("high")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return ""
    return f" (95% CI {share(low)}–{share(high)})"


def _rationale_section(found: Mapping[str, Any]) -> Section:
    parts: list[Part] = [Paragraph(words)] if (words := _rationale(found.get("chosen", {}))) else []
    if found.get("note"):
        parts.append(Paragraph(str(found["note"]), note=True))
    return Section("Rationale", parts)


def _settings_section(config: LoaderConfig) -> Section:
    rows = [(name, str(value), SETTINGS[name].help) for name, value in config.as_dict().items()]
    caption = "All settings of the loader, as in the config."
    return Section("Settings", [Table(("setting", "value", "meaning"), rows, caption)])


def _training_section(content: Content) -> Section:
    names = [one["path"] for one in content.provenance.get("corpus", {}).get("shards", ())]
    parts: list[Part] = [
        Paragraph(
            "The reference command of OpenFlamingo's README with these settings in its last lines; "
            "model, batch sizes and paths are examples."
        ),
        Code(training_command(content.config, names)),
    ]
    for title, lines in advice(content.config).items():
        parts += [Heading(title), Points(lines)]
    return Section("Training command", parts)


def _curves_section(content: Content) -> Section:
    at, n = f"{content.config.threshold:g}", len(content.scores)
    title = "score distribution of matched pairs"
    drawn, narrow = (
        histogram(content.scores, content.config.threshold, _span(content), title, bars, width)
        for bars, width in ((60, 1104), (30, 360))
    )
    return Section(
        "Kept data by threshold",
        [
            Charts(
                _curves(content),
                "Documents kept (share of all), pairs, and image tokens by threshold; the point is "
                f"the threshold {at}. {_EXACT}",
            ),
            Charts(
                [drawn],
                f"Scores of all matched pairs (n = {n:,}), below the threshold {at} in orange, at "
                "or above it in blue. Exact counts, no CI.",
                [narrow],
            ),
        ],
    )


def _sequences_section(content: Content) -> Section:
    """Return what kept sequences look like at the threshold; nothing if none is kept."""
    here = np.array([content.step])
    curves = content.curves.at(here, content.curves.thresholds[here])
    keep = content.config.single_image_keep
    images, length = by_images(curves, keep)[:, 0], by_length(curves, keep)[:, 0]
    whole = float(images.sum())
    if not whole:
        return Section("Sequences")
    at, limit = f"{content.config.threshold:g}", content.config.max_tokens
    rows = []
    for name, words in RATIOS.items():
        value = float(ratio(curves, name, keep)[0])
        written = "–" if value != value else f"{value:.1%}" if name in SHARES else f"{value:.2f}"
        rows.append([words, written])
    rows.append(["images per sequence, median", f"{median_images(curves, keep)[0]:.0f}"])
    counts = [
        (counted(n, "image") + (" or more" if n == MOST_IMAGES else ""), float(images[n]))
        for n in range(MOST_IMAGES + 1)
        if images[n]
    ]
    counts += zip(
        [*length_names(limit), f"truncated at {limit:,} tokens"], length.tolist(), strict=True
    )
    table = [[words, quantity(n), f"{n / whole:.1%}"] for words, n in counts]
    of = f"kept sequences at the threshold {at}, in expectation over the single-image drop"
    return Section(
        "Sequences",
        [
            Table(["quantity", f"at {at}"], rows, f"Shape of {of}. {_EXACT}", [1]),
            Table(
                ["sequences with", "number", "share"],
                table,
                f"Number of images, and length, of {of}. {_EXACT}",
                [1, 2],
            ),
        ],
    )


def _funnel_section(content: Content) -> Section:
    step, keep = content.step, content.config.single_image_keep
    drawn = [
        _funnel("documents", document_funnel(content.curves, step, keep)),
        _funnel("images", image_funnel(content.curves, step, keep)),
    ]
    caption = (
        "From all documents and all images to those kept, by reason for dropping, at the threshold "
        f"{content.config.threshold:g}. {_EXACT}"
    )
    return Section("Document and image funnel", [Funnels(drawn, caption)])


def _audit_section(content: Content) -> Section:
    caption = f"What the loader does without a message, in numbers. {_EXACT}"
    head = ("value", "description", "details")
    table = Table(head, content.findings, caption)
    return Section("Silent loader behavior", [table] if content.findings else [])


def _near_section(content: Content) -> Section:
    at = f"{content.config.threshold:g}"
    sides = [
        (f"{at} and just above", f"at or above {at}", content.above),
        (f"Just below {at}", f"below {at}", content.below),
    ]
    parts: list[Part] = []
    for title, where, pairs in sides:
        if pairs:
            caption = f"The {counted(len(pairs), 'pair')} with scores closest to {at}, {where}."
            parts += [Heading(title), Cards([_card(one) for one in pairs], caption)]
    return Section("Pairs near the threshold", parts)


def _provenance_section(content: Content) -> Section:
    found = content.provenance
    if not found:
        return Section("Provenance")
    corpus, shards = found.get("corpus", {}), found.get("corpus", {}).get("shards", [])
    facts = Table(("what", "value"), _facts(content), "What this report was made with.")
    parts: list[Part] = [facts]
    if shards:
        head = ("shard", "documents", "bytes", "content")
        caption = (
            "The shards with their contents: SHA-256 of all bytes if known, its first "
            f"{_DIGITS} digits; all are in the config."
        )
        rows = [_shard_cells(one) for one in shards[:_SHARDS]]
        parts.append(Table(head, rows, caption, (1, 2)))
        if len(shards) > _SHARDS:
            parts.append(Paragraph(f"Shards not shown here: {len(shards) - _SHARDS:,}.", True))
    shown = (
        found
        if len(shards) <= _SHARDS
        else {**found, "corpus": {**corpus, "shards": shards[:_SHARDS]}}
    )
    config = Folded("Config, as read by mmc4viz --config", to_text(content.config, shown), True)
    return Section("Provenance", [*parts, config])


def _facts(content: Content) -> list[tuple[str, str]]:
    """Return what is needed to make the report again."""
    found = content.provenance
    corpus, loader, labels = (found.get(name, {}) for name in ("corpus", "loader", "labels"))
    yields = found.get("yields", {})
    none = "none: every document is counted, and drops at random are expected values"
    rows = [
        ("mmc4viz", found.get("version", "")),
        ("created (UTC)", found.get("created", "")),
        ("loader", f"{loader.get('repository', '')}, {loader.get('file', '')}"),
        ("loader commit", loader.get("commit", "")),
        ("random seed", str(yields.get("seed", 0)) if yields.get("sampled") else none),
        ("corpus SHA-256", corpus.get("sha256") or "not known for all shards"),
        ("scores", found.get("similarity", {}).get("source") or "the shards' own"),
        ("score scale", found.get("similarity", {}).get("scale", "")),
        ("image validation", corpus.get("verify", "")),
        ("Pillow", corpus.get("pillow", "")),
        ("tokenizer digest", found.get("tokenizer", {}).get("digest", "")),
        ("label file", labels.get("file", "")),
        ("labels SHA-256", labels.get("sha256", "")),
    ]
    return [(name, str(value)) for name, value in rows if value and value != ", "]


def _shard_cells(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    documents, size = one.get("documents"), one.get("size")
    digest = next(
        (
            f"{words} {one[name][:_DIGITS]}"
            for name, words in (("sha256", "SHA-256"), ("xxh3_128", "XXH3"))
            if one.get(name)
        ),
        "size and samples only" if one.get("pieces") else "size and ETag only",
    )
    counts = ("–" if value is None else f"{value:,}" for value in (documents, size))
    return (one["path"], *counts, digest)


def _curves(content: Content) -> list[Markup]:
    """Draw what each threshold keeps."""
    curves, keep = content.curves, content.config.single_image_keep
    span = _span(content)
    whole = float(curves.total("documents")[content.step]) or 1.0
    drawn: list[tuple[str, NDArray[np.float64], Callable[[float], str]]] = [
        ("documents kept", curves.expected("documents", keep) / whole, lambda v: f"{v:.1%}"),
        ("pairs", curves.total("pairs").astype(np.float64), _short),
        ("image tokens", curves.expected("image_tokens", keep), _short),
    ]
    return [
        curve(curves.thresholds, values, content.step, span, title, words)
        for title, values, words in drawn
    ]


def _span(content: Content) -> tuple[float, float]:
    """Return the range of the charts: all scores, the threshold if it is near, and a margin."""
    finite = np.clip(content.scores[np.isfinite(content.scores)], -_FARTHEST, _FARTHEST)
    threshold = min(max(content.config.threshold, -_FARTHEST), _FARTHEST)
    low, high = (float(finite[0]), float(finite[-1])) if len(finite) else (threshold, threshold)
    if low - (high - low) < threshold < high + (high - low):
        low, high = min(low, threshold), max(high, threshold)
    margin = max(0.03 * (high - low), 1e-3 * max(abs(low), abs(high)), 1e-6)
    return low - margin, high + margin


def _funnel(what: str, losses: Sequence[Loss]) -> list[dict[str, str]]:
    """Return the bars of a funnel: the whole, one per drop reason, and the rest."""
    whole = losses[0].lost + losses[0].remaining

    def bar(name: str, meaning: str, color: str, start: float, size: float) -> dict[str, str]:
        share = f" ({size / whole:.1%})" if whole and size else ""
        return {
            "name": name,
            "meaning": meaning,
            "color": color,
            "left": f"{100 * start / whole if whole else 0.0:.2f}%",
            "width": f"{100 * size / whole if whole else 0.0:.2f}%" if size else "",
            "size": f"{quantity(size)}{share}",
        }

    return [
        bar(what, "", "kept", 0.0, whole),
        *(
            bar(
                _DROPS.get(loss.name, loss.name.replace("_", " ")),
                loss.meaning,
                _COLORS.get(loss.name, "rejected"),
                loss.remaining,
                loss.lost,
            )
            for loss in losses
        ),
        bar("kept", "", "kept", 0.0, losses[-1].remaining),
    ]


def _card(example: Example) -> dict[str, Any]:
    """Return one pair: image, score, sentence and status."""
    pair, words = example.pair, example.words
    if len(words) > _MAX_CHARACTERS:
        words = f"{words[:_MAX_CHARACTERS]} …"
    digits = 4 if not math.isfinite(pair.score) or abs(pair.score) < 2 else 2
    return {
        "picture": example.picture,
        "image": pair.image + 1,
        "score": f"{pair.score:.{digits}f}",
        "sentence": words,
        "color": pair.status if pair.status in (PairStatus.KEPT, PairStatus.TRUNCATED) else "",
        "status": f"pair {pair.status}, document {pair.outcome}".replace("_", " "),
        "place": f"{example.shard}, {example.key}: image {pair.image + 1}, "
        f"sentence {pair.sentence + 1}",
    }


def report_content(
    matched: Matched,
    config: LoaderConfig,
    provenance: Mapping[str, Any],
    folder: Folder,
    *,
    images: bool = True,
    curves: Curves | None = None,
    sections: Sequence[Section] = (),
    baseline: BaselineYields | None = None,
) -> Content:
    """Compute a report's content.

    Parameters
    ----------
    matched : Matched
        Under the settings' size limit and assignment.
    config : LoaderConfig
        All settings.
    provenance : mapping
        As in the config.
    folder : callable
        Returns a part's image folder; None if the images are in the shard.
    images : bool
        Whether examples have thumbnails.
    curves : Curves, optional
        Curves to draw, including the threshold; by default those of ``matched``.
    sections : sequence of Section
        Further sections.
    baseline : BaselineYields, optional
        What the choice is compared with.
    """
    pairs = pairs_of(matched)
    if curves is None:
        grid = np.union1d(matched.scale.thresholds(), [config.threshold])
        curves = sweep(matched, config, grid)
    above, below = examples(matched, config, pairs, _EXAMPLES, folder, images)
    return Content(
        config,
        provenance,
        curves,
        curves.step(config.threshold),
        pairs.score,
        findings(matched, config, pairs),
        above,
        below,
        sections,
        baseline,
    )
