"""The HTML report.

All text is escaped, thumbnails are re-encoded JPEGs, and the page's content security policy allows
neither scripts nor external resources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mmc4viz.export.provenance import to_text
from mmc4viz.export.svg import curve, histogram
from mmc4viz.export.tables import (
    Line,
    Section,
    card,
    counted,
    findings,
    funnel,
    html_table,
    number,
    short,
)
from mmc4viz.export.trainer import advice, openflamingo_flags
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.pairs import Example, Folder, examples, pairs_of
from mmc4viz.sweep.statistics import Curves, document_funnel, image_funnel
from mmc4viz.sweep.sweep import Matched, sweep
from mmc4viz.text import escaped
from mmc4viz.types import SETTINGS, LoaderConfig

__all__ = ["Content", "Section", "write_report"]

_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
_FARTHEST: Final = 1e290  # larger scores would overflow
_SHARDS: Final = 50  # shown in the provenance
_BASIS: Final = {
    "manual": "Chosen manually.",
    "yield": "Chosen by target yield.",
    "fdr": "Chosen by false-discovery rate, estimated without labels.",
    "decoys": "Chosen by false-discovery rate, estimated from decoys.",
    "precision": "Chosen by precision, estimated from labels.",
}


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
        Further sections, on labels and other models.
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


def write_report(content: Content) -> str:
    """Return a report as one HTML page."""
    title = f"CLIP-similarity threshold {content.config.threshold:g}"
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    parts = [
        f"<h1>{escaped(title)}</h1>",
        _about(content),
        _numbers(content),
        _rationale(content),
        _settings(content.config),
        _training(content.config),
        _curves(content),
        _funnels(content),
        _findings(content.findings),
        *(section.html() for section in content.sections),
        _examples(content),
        _provenance(content),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="referrer" content="no-referrer">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)} – mmc4viz</title>"
        f'<link rel="icon" href="data:,"><style>{css}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _about(content: Content) -> str:
    found, corpus = content.provenance, content.provenance.get("corpus", {})
    shards = corpus.get("shards", ())
    documents = corpus.get("documents")
    size = f"{counted(documents, 'document')} in " if documents is not None else ""
    words = [
        f"CLIP model {content.config.clip_model}",
        f"tokenizer {content.config.tokenizer}",
        f"{size}{counted(len(shards), 'shard')}",
        f"created {found.get('created', '')} by mmc4viz {found.get('version', '')}",
    ]
    return f'<p class="muted">{escaped("; ".join(words))}</p>'


def _numbers(content: Content) -> str:
    """Return the headline numbers, with intervals if they are estimates."""
    found = content.provenance.get("yields", {})
    per = float(found.get("per", 0) or 0)
    tokens = float(found.get("image_tokens", {}).get("value", 0))
    cells = [
        ("documents", f"documents kept (of {per:,.0f})", per),
        ("pairs", "pairs at or above the threshold", 0.0),
        ("image_tokens", "image tokens", 0.0),
        ("text_tokens", "text tokens", 0.0),
        ("mispaired", "mispaired image tokens", tokens),
    ]
    written = "".join(number(found[name], words, of) for name, words, of in cells if name in found)
    words = (
        "Documents and tokens are expected values: single-image documents are kept with "
        f"probability {content.config.single_image_keep:g}."
    )
    if found.get("sampled"):
        percent = f"{100 * found.get('confidence', 0.95):g}%"
        words += (
            f" Estimated from a random sample of {found['sampled']:,} documents ({percent} CI)."
        )
    return f'<div class="headline">{written}</div><p class="muted">{escaped(words)}</p>'


def _rationale(content: Content) -> str:
    """Return how the threshold was chosen, and the user's note."""
    chosen = content.provenance.get("chosen", {})
    words = [_BASIS.get(str(chosen.get("basis")), "")]
    if chosen.get("target"):
        words.append(f"Target: {chosen['target']}.")
    if isinstance(chosen.get("estimate"), (int, float)):
        words.append(f"Estimate: {_percent(chosen['estimate'])}{_interval(chosen)}.")
    words.append(_from_labels(chosen))
    if chosen.get("assumption"):
        words.append(str(chosen["assumption"]))
    body = f"<p>{escaped(' '.join(word for word in words if word))}</p>"
    if content.provenance.get("note"):
        body += f'<p class="note">{escaped(str(content.provenance["note"]))}</p>'
    return f"<h2>Rationale</h2>{body}"


def _from_labels(chosen: Mapping[str, Any]) -> str:
    """Return the number of labels and the one-sided lower bound."""
    labels, least = chosen.get("labels"), chosen.get("lower_bound")
    if not isinstance(labels, int) or not isinstance(least, (int, float)):
        return ""
    n = chosen.get("labels_near_threshold")
    near = f", {n:,} of them just above it" if isinstance(n, int) and n != labels else ""
    return (
        f"Based on {counted(labels, 'label')} at or above the threshold{near}; one-sided 95% lower "
        f"bound {_percent(least)}."
    )


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def _interval(chosen: Mapping[str, Any]) -> str:
    low, high = chosen.get("low"), chosen.get("high")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return ""
    return f" (95% CI {_percent(low)}–{_percent(high)})"


def _settings(config: LoaderConfig) -> str:
    rows = [(name, str(value), SETTINGS[name].help) for name, value in config.as_dict().items()]
    return f"<h2>Settings</h2>{html_table(('setting', 'value', 'meaning'), rows)}"


def _training(config: LoaderConfig) -> str:
    parts = []
    for title, lines in advice(config).items():
        points = "".join(f"<li>{escaped(line)}</li>" for line in lines)
        parts.append(f"<h3>{escaped(title)}</h3><ul>{points}</ul>")
    flags = f"<pre>{escaped(openflamingo_flags(config))}</pre>"
    return f"<h2>Training flags</h2><p>OpenFlamingo's train.py:</p>{flags}{''.join(parts)}"


def _curves(content: Content) -> str:
    """Return the charts of what each threshold keeps and of the score distribution."""
    curves, keep = content.curves, content.config.single_image_keep
    span = _span(content)
    whole = float(curves.total("documents")[content.step]) or 1.0
    drawn: list[tuple[str, NDArray[np.float64], Callable[[float], str]]] = [
        ("documents kept", curves.expected("documents", keep) / whole, lambda v: f"{v:.1%}"),
        ("pairs", curves.total("pairs").astype(np.float64), short),
        ("image tokens", curves.expected("image_tokens", keep), short),
    ]
    pictures = [
        f"<div>{curve(curves.thresholds, values, content.step, span, title, words)}</div>"
        for title, values, words in drawn
    ]
    scores = histogram(
        content.scores, content.config.threshold, span, "score distribution of matched pairs"
    )
    return f'<h2>Kept data by threshold</h2><div class="curves">{"".join(pictures)}</div>{scores}'


def _span(content: Content) -> tuple[float, float]:
    """Return the range of the charts: all scores, the threshold if it is near, and a margin."""
    finite = np.clip(content.scores[np.isfinite(content.scores)], -_FARTHEST, _FARTHEST)
    threshold = min(max(content.config.threshold, -_FARTHEST), _FARTHEST)
    low, high = (float(finite[0]), float(finite[-1])) if len(finite) else (threshold, threshold)
    if low - (high - low) < threshold < high + (high - low):
        low, high = min(low, threshold), max(high, threshold)
    margin = max(0.03 * (high - low), 1e-3 * max(abs(low), abs(high)), 1e-6)
    return low - margin, high + margin


def _funnels(content: Content) -> str:
    step, keep = content.step, content.config.single_image_keep
    documents = funnel("documents", document_funnel(content.curves, step, keep))
    images = funnel("images", image_funnel(content.curves, step, keep))
    return (
        "<h2>Document and image funnel</h2>"
        f'<div class="columns"><div>{documents}</div><div>{images}</div></div>'
    )


def _findings(lines: Sequence[Line]) -> str:
    if not lines:
        return ""
    body = html_table(("value", "description", "details"), lines)
    return f"<h2>Silent loader behavior</h2>{body}"


def _examples(content: Content) -> str:
    if not (content.above or content.below):
        return ""
    threshold = f"{content.config.threshold:g}"
    sides = (
        (f"{threshold} and just above", content.above),
        (f"Just below {threshold}", content.below),
    )
    parts = [
        f'<h3>{escaped(title)}</h3><div class="cards">{"".join(map(card, shown))}</div>'
        for title, shown in sides
        if shown
    ]
    return f"<h2>Pairs near the threshold</h2>{''.join(parts)}"


def _provenance(content: Content) -> str:
    """Return the exported config, with at most `_SHARDS` shards."""
    found = dict(content.provenance)
    shards = found.get("corpus", {}).get("shards", [])
    more = ""
    if len(shards) > _SHARDS:
        found["corpus"] = {**found["corpus"], "shards": shards[:_SHARDS]}
        more = f"<p>Shards not shown here: {len(shards) - _SHARDS:,}.</p>"
    text = escaped(to_text(content.config, found))
    return (
        "<h2>Provenance</h2><details><summary>Config, as read by mmc4viz --config</summary>"
        f"<pre>{text}</pre>{more}</details>"
    )


def report_content(
    matched: Matched,
    config: LoaderConfig,
    provenance: Mapping[str, Any],
    folder: Folder,
    *,
    images: bool = True,
    n_examples: int = 8,
    curves: Curves | None = None,
    sections: Sequence[Section] = (),
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
    n_examples : int
        Number of examples on each side of the threshold.
    curves : Curves, optional
        Curves to draw, including the threshold; by default those of ``matched``.
    sections : sequence of Section
        Further sections.
    """
    pairs = pairs_of(matched)
    if curves is None:
        grid = np.union1d(matched.scale.thresholds(), [config.threshold])
        curves = sweep(matched, config, grid)
    above, below = examples(matched, config, pairs, n_examples, folder, images)
    return Content(
        config,
        provenance,
        curves,
        curves.step(config.threshold),
        pairs.score,
        findings(matched, config, verdicts(matched, config), pairs),
        above,
        below,
        sections,
    )
