"""What a paper says about a filtered corpus: methods, definitions, citation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mmc4viz.export.sections import Code, Section, counted
from mmc4viz.export.trainer import unflagged
from mmc4viz.loader.profile import profile_of
from mmc4viz.types import LoaderConfig, SliceThresholds

DEFINITIONS: Final = {
    "document": "One web page: its sentences, its images and their similarity matrix.",
    "pair": "An image matched to a sentence.",
    "score": "The CLIP similarity of a matched pair.",
    "threshold": "A pair is dropped when its score is below this value; an equal score is kept.",
    "baseline": "The threshold or settings that numbers are compared with.",
    "documents": "Documents kept, in expectation over the single-image keep probability.",
    "single-image keep probability": "The probability of keeping a document with exactly one image "
    "token.",
    "pairs": "Matched pairs at or above the threshold, before the cap and truncation.",
    "image tokens": "Image tokens in kept sequences, in expectation.",
    "text tokens": "All other tokens in kept sequences, in expectation.",
    "mispaired": "Image tokens whose sentence is trained with another sentence's image.",
    "dropped at the cap": "max_images earlier pairs were kept.",
    "truncated": "The pair's image token is beyond the token limit.",
    "precision": "The share of pairs at or above the threshold that are correct.",
    "FDR": "False-discovery rate: the share of pairs at or above the threshold that are incorrect.",
    "95% CI": "The two-sided 95% confidence interval of the estimate.",
}
"""The terms that a report uses, in the words of the glossary."""
_ASSIGNED: Final = {
    "one_to_one": "one-to-one by maximum total CLIP similarity",
    "argmax": "each image to its most similar sentence",
    "stored": "as stored in the corpus",
    "greedy": "one-to-one, highest CLIP similarity first",
    "neighbor": "each image to the text that follows it on the page",
}
_CHOSEN: Final = {
    "manual": "manually",
    "yield": "by target yield",
    "fdr": "by false-discovery rate, estimated without labels",
    "decoys": "by false-discovery rate, estimated from decoys",
    "precision": "by precision, estimated from labels",
    "combined": "by several targets at once",
}


def methods(
    config: LoaderConfig, found: Mapping[str, Any], slices: SliceThresholds | None = None
) -> str:
    """Return two sentences for a paper's methods section, one more with slice thresholds.

    Parameters
    ----------
    config : LoaderConfig
    found : mapping
        Provenance with yields (`mmc4viz.export.provenance.provenance`).
    slices : SliceThresholds, optional
    """
    by_slice = "" if slices is None else f"{_by_slice(slices)} "
    return f"{_procedure(config, found)} {by_slice}{_result(config, found)}"


def _by_slice(slices: SliceThresholds) -> str:
    values = slices.thresholds.values()
    chosen = {
        "share": "so that each keeps the same share of its documents",
        "precision": f"so that each has a precision of at least {share(slices.target or 0)}",
    }.get(slices.basis, "manually")
    return (
        f"Documents were divided by {slices.by}: in {counted(len(values), 'slice')}, the threshold "
        f"was another one ({min(values):.12g} to {max(values):.12g}), chosen {chosen}."
    )


def _procedure(config: LoaderConfig, found: Mapping[str, Any]) -> str:
    model = "" if config.clip_model == LoaderConfig().clip_model else f" ({config.clip_model})"
    small = ""
    if config.min_kb >= 0:
        small = f"images of fewer than {1000 * (config.min_kb + 1):,} bytes were ignored, and "
    tokens = counted(config.max_tokens, "token")
    dropped = "and all pairs were used, whatever their CLIP similarity"
    if config.has_threshold:
        dropped = (
            f"and pairs with a CLIP similarity{model} below {config.threshold:.12g} were dropped, "
            f"a threshold chosen {choice(found.get('chosen', {}))}"
        )
    return (
        f"Images were matched to sentences {_ASSIGNED[config.assignment]}, {dropped}; {small}at "
        f"most {counted(config.max_images, 'pair')} per document and {tokens} per sequence "
        f"({_tokenizer(config.tokenizer)} tokenizer) were kept, {_loader(config)}."
    )


def _tokenizer(name: str) -> str:
    """Return a tokenizer's name; of one on this machine the name of its folder."""
    folder, file = os.path.split(name.rstrip("/"))
    if file == "tokenizer.json":
        return os.path.basename(folder) or file
    return file if os.path.isabs(name) else name


def _loader(config: LoaderConfig) -> str:
    """Return whether OpenFlamingo's loader does the same."""
    if config.loader != LoaderConfig().loader:
        profile = profile_of(config)
        return f"as in the data loader of {profile.label} ({profile.source})"
    commit = f"OpenFlamingo's data loader (commit {profile_of(config).source.commit[:10]})"
    others = [one.name for one in unflagged(config) if not one.agrees]
    if not others:
        return f"as in {commit}"
    *first, last = others
    names = f"{', '.join(first)} and {last}" if first else last
    return f"as in {commit} except for the {names}"


def choice(chosen: Mapping[str, Any]) -> str:
    """Return how the threshold was chosen, after the word "chosen"."""
    details = []
    if chosen.get("target"):
        details.append(f"target: {chosen['target']}")
    if isinstance(chosen.get("estimate"), (int, float)):
        details.append(f"estimate: {share(chosen['estimate'])}")
        if all(isinstance(chosen.get(end), (int, float)) for end in ("low", "high")):
            details.append(f"95% CI {share(chosen['low'])}–{share(chosen['high'])}")
    if isinstance(chosen.get("labels"), int):
        details.append(counted(chosen["labels"], "label"))
    words = _CHOSEN.get(str(chosen.get("basis")), _CHOSEN["manual"])
    return f"{words} ({', '.join(details)})" if details else words


def _result(config: LoaderConfig, found: Mapping[str, Any]) -> str:
    yields = found.get("yields", {})
    sampled, per = yields.get("sampled"), float(yields.get("per") or 0)
    if "documents" not in yields:
        return "No yields were computed."
    counts = [_amount(yields, name, sampled) for name in ("pairs", "image_tokens", "text_tokens")]
    drop = ""
    if 0 < config.single_image_keep < 1:
        drop = (
            ", in expectation over the random drop of single-image documents (keep probability "
            f"{config.single_image_keep:g})"
        )
    whole = found.get("corpus", {}).get("documents")
    of = f"{per:,.0f}" if whole is not None or not sampled else f"every {per:,.0f}"
    percent = share(yields["documents"]["value"] / per) if per else "0%"
    tool = f"mmc4viz {found.get('version', '')}"
    source = f"By the counts of {tool}"
    if sampled:
        seed = yields.get("seed", 0)
        sample = f"a random sample of {counted(sampled, 'document')} (seed {seed})"
        source = f"As estimated by {tool} from {sample}"
    return (
        f"{source}, this kept {_amount(yields, 'documents', sampled)} of {of} documents "
        f"({percent}{_share_interval(yields, per, sampled)}){drop}, with {counts[0]} at or above "
        f"the threshold, {counts[1]} and {counts[2]}{_precision(found)}."
    )


_NOUNS: Final = {"pairs": "pair", "image_tokens": "image token", "text_tokens": "text token"}


def _amount(yields: Mapping[str, Any], name: str, sampled: int | None) -> str:
    """Return a quantity with its noun, and its CI if it is an estimate; documents have neither."""
    value = quantity(yields[name]["value"])
    noun = _NOUNS.get(name)
    if noun is None:
        return value
    words = f"{value} {noun}{'' if value == '1' else 's'}"
    return words + (_interval(yields[name]) if sampled else "")


def _interval(one: Mapping[str, Any]) -> str:
    low, high = one.get("low"), one.get("high")
    if low is None:
        return ""
    if high is None:
        return f" (95% CI at least {quantity(low)})"
    return f" (95% CI {quantity(low)}–{quantity(high)})"


def _share_interval(yields: Mapping[str, Any], per: float, sampled: int | None) -> str:
    low, high = yields["documents"].get("low"), yields["documents"].get("high")
    if not sampled or low is None or not per:
        return ""
    if high is None:
        return f", 95% CI at least {share(low / per)}"
    return f", 95% CI {share(low / per)}–{share(high / per)}"


def _precision(found: Mapping[str, Any]) -> str:
    """Return the precision from labels, unless the first sentence says it already."""
    labels = found.get("labels", {})
    if "precision" not in labels or found.get("chosen", {}).get("basis") == "precision":
        return ""
    one = labels["precision"]
    return (
        f"; an estimated {share(one['value'])} of these pairs are correct (95% CI "
        f"{share(one['low'])}–{share(one['high'])}, {counted(labels['labels'], 'label')})"
    )


def quantity(value: float | None) -> str:
    """Format a count; expected values that are not whole have one decimal.

    Examples
    --------
    >>> quantity(1234.0), quantity(118.5), quantity(None)
    ('1,234', '118.5', '?')
    """
    if value is None:
        return "?"
    return f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"


def share(value: float) -> str:
    """Format a share as a percentage.

    Examples
    --------
    >>> share(0.49375), share(1.0)
    ('49.4%', '100%')
    """
    return f"{100 * value:.3g}%"


def citation() -> str:
    """Return how to cite mmc4viz, as BibTeX made from CITATION.cff; empty if that is missing."""
    package = Path(__file__).resolve().parents[1]  # a wheel has it there, a checkout beside
    files = (folder / "CITATION.cff" for folder in (package, package.parent))
    file = next((path for path in files if path.is_file()), None)
    if file is None:
        return ""
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    names = [
        one["name"] if "name" in one else f"{one['given-names']} {one['family-names']}"
        for one in found["authors"]
    ]
    fields = {
        "author": " and ".join(f"{{{name}}}" for name in names),
        "title": found["title"],
        "version": str(found["version"]),
        "year": str(found["date-released"])[:4],
        "url": found.get("url") or found.get("repository-code"),
        "doi": found.get("doi"),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@software{{{found['title']},", *lines, "}"])


def citation_section() -> Section:
    """Return how to cite mmc4viz as a section; without parts if that is not known."""
    text = citation()
    return Section("How to cite", [Code(text)] if text else [])
