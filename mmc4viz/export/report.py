"""The HTML report.

``report.html.j2`` has the markup and escapes all text. Thumbnails are re-encoded JPEGs, and the
page's content security policy allows neither scripts nor external resources.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mmc4viz.export.provenance import to_text
from mmc4viz.export.svg import curve, histogram
from mmc4viz.export.tables import Line, Section, counted, findings
from mmc4viz.export.trainer import advice, openflamingo_flags
from mmc4viz.sweep.pairs import Example, Folder, examples, pairs_of
from mmc4viz.sweep.statistics import Curves, Loss, document_funnel, image_funnel
from mmc4viz.sweep.sweep import Matched, sweep
from mmc4viz.text import template
from mmc4viz.types import SETTINGS, LoaderConfig, PairStatus

__all__ = ["Content", "Section", "write_report"]

_FARTHEST: Final = 1e290  # larger scores would overflow
_EXAMPLES: Final = 8  # on each side of the threshold
_SHARDS: Final = 50  # shown in the provenance
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
    config, found, step = content.config, content.provenance, content.step
    keep = config.single_image_keep
    page = template(_asset("report.html.j2"))
    return page.render(
        style=Markup(_asset("report.css")),
        title=f"CLIP-similarity threshold {config.threshold:g}",
        about=_about(content),
        numbers=_numbers(found.get("yields", {})),
        expected=_expected(content),
        rationale=_rationale(found.get("chosen", {})),
        note=found.get("note", ""),
        settings=[(name, value, SETTINGS[name].help) for name, value in config.as_dict().items()],
        flags=openflamingo_flags(config),
        advice=advice(config),
        curves=_curves(content),
        histogram=histogram(
            content.scores, config.threshold, _span(content), "score distribution of matched pairs"
        ),
        documents=_funnel("documents", document_funnel(content.curves, step, keep)),
        images=_funnel("images", image_funnel(content.curves, step, keep)),
        findings=content.findings,
        sections=content.sections,
        threshold=f"{config.threshold:g}",
        above=[_card(one) for one in content.above],
        below=[_card(one) for one in content.below],
        **_config(content),
    )


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _about(content: Content) -> str:
    found, corpus = content.provenance, content.provenance.get("corpus", {})
    documents = corpus.get("documents")
    size = f"{counted(documents, 'document')} in " if documents is not None else ""
    words = [
        f"CLIP model {content.config.clip_model}",
        f"tokenizer {content.config.tokenizer}",
        f"{size}{counted(len(corpus.get('shards', ())), 'shard')}",
        f"created {found.get('created', '')} by mmc4viz {found.get('version', '')}",
    ]
    return "; ".join(words)


def _numbers(yields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the headline numbers with description, share and interval, if they are estimates."""
    per = float(yields.get("per", 0) or 0)
    tokens = float(yields.get("image_tokens", {}).get("value", 0))
    shown = [
        ("documents", f"documents kept (of {per:,.0f})", per),
        ("pairs", "pairs at or above the threshold", 0.0),
        ("image_tokens", "image tokens", 0.0),
        ("text_tokens", "text tokens", 0.0),
        ("mispaired", "mispaired image tokens", tokens),
    ]
    return [_number(yields[name], words, of) for name, words, of in shown if name in yields]


def _number(found: Mapping[str, Any], words: str, of: float) -> dict[str, Any]:
    value, low, high = float(found["value"]), found.get("low"), found.get("high")
    lines = [words]
    if of:
        lines.append(f"{value / of:.1%}")
    if high is not None:
        lines.append(f"{_count(low)}–{_count(high)}")
    elif low is not None:
        lines.append(f"≥ {_count(low)}")
    return {"value": _count(value), "lines": lines}


def _count(value: float | None) -> str:
    """Format a count; expected values that are not whole have one decimal."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"


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
    return _count(value)


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
        words.append(f"Estimate: {_percent(chosen['estimate'])}{_interval(chosen)}.")
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
        f"bound {_percent(least)}."
    )


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def _interval(chosen: Mapping[str, Any]) -> str:
    low, high = chosen.get("low"), chosen.get("high")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return ""
    return f" (95% CI {_percent(low)}–{_percent(high)})"


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
            "size": f"{_count(size)}{share}",
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


def _config(content: Content) -> dict[str, str]:
    """Return the exported config, with at most `_SHARDS` shards, and the number of others."""
    found = dict(content.provenance)
    shards = found.get("corpus", {}).get("shards", [])
    more = len(shards) - _SHARDS
    if more > 0:
        found["corpus"] = {**found["corpus"], "shards": shards[:_SHARDS]}
    text = to_text(content.config, found)
    return {"config": text, "more_shards": f"{more:,}" if more > 0 else ""}


def report_content(
    matched: Matched,
    config: LoaderConfig,
    provenance: Mapping[str, Any],
    folder: Folder,
    *,
    images: bool = True,
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
    curves : Curves, optional
        Curves to draw, including the threshold; by default those of ``matched``.
    sections : sequence of Section
        Further sections.
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
    )
