"""The HTML report.

Numbers come in; this room writes them. All text is escaped, pictures are JPEGs of our own making,
and the page's policy allows neither scripts nor anything from elsewhere.
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
from mmc4viz.export.tables import Line, Section, card, findings, funnel, html_table, number, short
from mmc4viz.export.trainer import advice, openflamingo_flags
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.pairs import Example, Folder, examples, pairs_of
from mmc4viz.sweep.statistics import Curves, document_funnel, image_funnel
from mmc4viz.sweep.sweep import Matched, sweep
from mmc4viz.text import escaped
from mmc4viz.types import LoaderConfig

__all__ = ["Content", "Section", "write_report"]

_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
_FARTHEST: Final = 1e290  # what no similarity is; beyond it numbers overflow
_SHARDS: Final = 50  # of the provenance that are written out
_BASIS: Final = {
    "manual": "Chosen manually.",
    "yield": "Chosen by what it leaves.",
    "fdr": "Chosen by the false-discovery rate estimated from random pairs.",
    "decoys": "Chosen by the false-discovery rate estimated from decoys.",
    "precision": "Chosen by the precision of labelled pairs.",
}
_SETTINGS: Final = {
    "threshold": "a pair is dropped when its score is below",
    "min_images": "fewest image tokens in a sequence",
    "max_images": "so many surviving pairs are kept, in image order",
    "max_tokens": "the sequence is cut here",
    "min_kb": "an image of n bytes is too small when n // 1000 is at most this; −1: no limit",
    "assignment": "how images are matched to sentences",
    "single_image_keep": "odds that a document with a single image token stays",
    "tokenizer": "counts the text",
    "clip_model": "whose similarity decides",
}


@dataclass(frozen=True)
class Content:
    """All that a report says.

    Attributes
    ----------
    config : LoaderConfig
    provenance : mapping
        As the config has it (`mmc4viz.export.provenance.provenance`).
    curves : Curves
        Over the thresholds that are drawn.
    step : int
        Position of the threshold in them.
    scores : ndarray of float64, shape (pairs,)
        All matched scores, ascending.
    findings : sequence of Line
        The audit's.
    above, below : sequence of Example
        Pairs on both sides of the line, nearest first.
    sections : sequence of Section
        What other ways of choosing say.
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
    """Write a report as one HTML page."""
    title = f"Similarity threshold {content.config.threshold:g}"
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    parts = [
        f"<h1>{escaped(title)}</h1>",
        _about(content),
        _numbers(content),
        _why(content),
        _setting(content.config),
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
    counted = f"{documents:,} documents in " if documents is not None else ""
    words = [
        f"CLIP model {content.config.clip_model}",
        f"tokenizer {content.config.tokenizer}",
        f"{counted}{len(shards):,} shards",
        f"written {found.get('created', '')} by mmc4viz {found.get('version', '')}",
    ]
    return f'<p class="soft">{escaped("; ".join(words))}</p>'


def _numbers(content: Content) -> str:
    """Write the large numbers, with intervals where they are estimates."""
    found = content.provenance.get("yields", {})
    per = float(found.get("per", 0) or 0)
    tokens = float(found.get("image_tokens", {}).get("value", 0))
    cells = [
        ("documents", f"documents of {per:,.0f}", per),
        ("pairs", "pairs at or above the threshold", 0.0),
        ("image_tokens", "image tokens", 0.0),
        ("text_tokens", "text tokens", 0.0),
        ("mispaired", "mispaired image tokens", tokens),
    ]
    written = "".join(number(found[name], words, of) for name, words, of in cells if name in found)
    said = "In expectation over the coin that the loader tosses over single-image documents."
    if found.get("sampled"):
        percent = f"{100 * found.get('confidence', 0.95):g} %"
        said += f" Estimated from {found['sampled']:,} documents, with {percent} intervals."
    return f'<div class="numbers">{written}</div><p class="soft">{escaped(said)}</p>'


def _why(content: Content) -> str:
    """Write how the threshold was chosen, and the person's note."""
    chosen = content.provenance.get("chosen", {})
    words = [_BASIS.get(str(chosen.get("basis")), "")]
    if chosen.get("target"):
        words.append(f"Wished for: {chosen['target']}.")
    if isinstance(chosen.get("estimate"), (int, float)):
        words.append(f"Estimated: {_percent(chosen['estimate'])}{_interval(chosen)}.")
    words.append(_from_labels(chosen))
    if chosen.get("assumption"):
        words.append(str(chosen["assumption"]))
    body = f"<p>{escaped(' '.join(word for word in words if word))}</p>"
    if content.provenance.get("note"):
        body += f'<p class="note">{escaped(str(content.provenance["note"]))}</p>'
    return f"<h2>Why</h2>{body}"


def _from_labels(chosen: Mapping[str, Any]) -> str:
    """Say how many labels decided, and the one-sided limit that they showed."""
    labels, least = chosen.get("labels"), chosen.get("lower_bound")
    if not isinstance(labels, int) or not isinstance(least, (int, float)):
        return ""
    line = chosen.get("labels_near_threshold")
    near = f", {line:,} of them just above it" if isinstance(line, int) and line != labels else ""
    return (
        f"From {labels:,} labels at or above the threshold{near}. With 95 % confidence at least "
        f"{_percent(least)} (one-sided; the interval is two-sided)."
    )


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _interval(chosen: Mapping[str, Any]) -> str:
    low, high = chosen.get("low"), chosen.get("high")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return ""
    return f" (95 % interval {_percent(low)} to {_percent(high)})"


def _setting(config: LoaderConfig) -> str:
    rows = [(name, str(value), _SETTINGS[name]) for name, value in config.as_dict().items()]
    return f"<h2>The setting</h2>{html_table(('setting', 'value', 'meaning'), rows)}"


def _training(config: LoaderConfig) -> str:
    parts = []
    for title, lines in advice(config).items():
        points = "".join(f"<li>{escaped(line)}</li>" for line in lines)
        parts.append(f"<h3>{escaped(title)}</h3><ul>{points}</ul>")
    flags = f"<pre>{escaped(openflamingo_flags(config))}</pre>"
    return f"<h2>In training</h2><p>OpenFlamingo's train.py:</p>{flags}{''.join(parts)}"


def _curves(content: Content) -> str:
    """Draw what every threshold leaves, and where the scores lie."""
    curves, keep = content.curves, content.config.single_image_keep
    span = _span(content)
    whole = float(curves.total("documents")[content.step]) or 1.0
    drawn: list[tuple[str, NDArray[np.float64], Callable[[float], str]]] = [
        ("documents", curves.expected("documents", keep) / whole, lambda v: f"{v:.1%}"),
        ("pairs", curves.total("pairs").astype(np.float64), short),
        ("image tokens", curves.expected("image_tokens", keep), short),
    ]
    pictures = [
        f"<div>{curve(curves.thresholds, values, content.step, span, title, words)}</div>"
        for title, values, words in drawn
    ]
    scores = histogram(content.scores, content.config.threshold, span, "scores of matched pairs")
    return (
        f'<h2>What every threshold leaves</h2><div class="curves">{"".join(pictures)}</div>{scores}'
    )


def _span(content: Content) -> tuple[float, float]:
    """Return the thresholds shown: all scores, and the threshold if it lies near, with a margin."""
    finite = np.clip(content.scores[np.isfinite(content.scores)], -_FARTHEST, _FARTHEST)
    line = min(max(content.config.threshold, -_FARTHEST), _FARTHEST)
    low, high = (float(finite[0]), float(finite[-1])) if len(finite) else (line, line)
    if low - (high - low) < line < high + (high - low):
        low, high = min(low, line), max(high, line)
    margin = max(0.03 * (high - low), 1e-3 * max(abs(low), abs(high)), 1e-6)
    return low - margin, high + margin


def _funnels(content: Content) -> str:
    step, keep = content.step, content.config.single_image_keep
    documents = funnel("documents", document_funnel(content.curves, step, keep))
    images = funnel("images", image_funnel(content.curves, step, keep))
    return (
        "<h2>Where documents and images go</h2>"
        f'<div class="pair"><div>{documents}</div><div>{images}</div></div>'
    )


def _findings(lines: Sequence[Line]) -> str:
    if not lines:
        return ""
    return f"<h2>What the loader does unseen</h2>{html_table(('number', 'counts', 'more'), lines)}"


def _examples(content: Content) -> str:
    if not (content.above or content.below):
        return ""
    line = f"{content.config.threshold:g}"
    sides = ((f"Just at or above {line}", content.above), (f"Just below {line}", content.below))
    parts = [
        f'<h3>{escaped(title)}</h3><div class="cards">{"".join(map(card, shown))}</div>'
        for title, shown in sides
        if shown
    ]
    return f"<h2>Pairs around the line</h2>{''.join(parts)}"


def _provenance(content: Content) -> str:
    """Write the config as it is exported; of many shards the first."""
    found = dict(content.provenance)
    shards = found.get("corpus", {}).get("shards", [])
    more = ""
    if len(shards) > _SHARDS:
        found["corpus"] = {**found["corpus"], "shards": shards[:_SHARDS]}
        more = f"<p>{len(shards) - _SHARDS:,} more shards stand in the config.</p>"
    text = escaped(to_text(content.config, found))
    return (
        "<h2>Provenance</h2><details><summary>The config, as mmc4viz --config reads it</summary>"
        f"<pre>{text}</pre>{more}</details>"
    )


def gather(
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
    """Gather a report's content.

    Parameters
    ----------
    matched : Matched
        Under the setting's size limit and assignment.
    config : LoaderConfig
        The whole setting.
    provenance : mapping
        As the config has it.
    folder : callable
        Returns where a part's images are, None for in the shard itself.
    images : bool
        Whether examples have pictures.
    n_examples : int
        On each side of the threshold.
    curves : Curves, optional
        Those to draw, with the threshold among them; those of ``matched`` when left out.
    sections : sequence of Section
        What other ways of choosing add.
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
