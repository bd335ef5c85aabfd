"""Exported settings with their provenance, and differences between a config and a corpus.

A config holds the settings at its top and everything else under ``provenance``. It is read and
validated by `mmc4viz.config_file`.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import yaml

from mmc4viz.config_file import PROVENANCE, means_text
from mmc4viz.data.columns import Columns
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.index import FORMAT, OWN, Index, absolute, digest
from mmc4viz.data.storage import alike, fingerprint
from mmc4viz.loader.images import pillow_version
from mmc4viz.loader.tokenizer import BUILT_IN, Tokenizer
from mmc4viz.sweep.estimate import CONFIDENCE, RATES, Rate
from mmc4viz.sweep.statistics import Curves
from mmc4viz.text import storable
from mmc4viz.thresholds.proposal import Basis
from mmc4viz.types import LoaderConfig, Outcome


@dataclass(frozen=True)
class ShardFacts:
    """One shard: path, fingerprint, and number of documents if counted."""

    path: str
    fingerprint: str
    documents: int | None = None


@dataclass(frozen=True)
class CorpusFacts:
    """A corpus at the time of export.

    Attributes
    ----------
    shards : tuple of ShardFacts
    documents : int or None
        Readable or not; None if not counted.
    index : str or None
        The index used instead of the shards.
    verify : str
        Image validation: full, header or none.
    image_dir : str or None
    pillow : str
        The version or versions that decoded the images (`mmc4viz.loader.images.pillow_version`).
    """

    shards: tuple[ShardFacts, ...]
    documents: int | None = None
    index: str | None = None
    verify: str = "full"
    image_dir: str | None = None
    pillow: str = field(default_factory=pillow_version)


@dataclass(frozen=True)
class SimilarityFacts:
    """The scores in use.

    Attributes
    ----------
    model : str
        The CLIP model's name.
    source : str or None
        The score set or file they were read from; None for the shards' own.
    fingerprint : str or None
        The fingerprint of that file.
    scale : str or None
    lowest, highest : float
        Range of the matched scores; NaN if there are none or they were not read.
    """

    model: str
    source: str | None = None
    fingerprint: str | None = None
    scale: str | None = None
    lowest: float = math.nan
    highest: float = math.nan


@dataclass(frozen=True)
class Basics:
    """What results depend on besides the settings: corpus, scores, tokenizer."""

    corpus: CorpusFacts
    similarity: SimilarityFacts
    tokenizer: Tokenizer


def corpus_of_index(index: Index) -> CorpusFacts:
    """Return the facts about an index's corpus."""
    shards = tuple(
        ShardFacts(part.shard.path, origin.fingerprint, origin.documents)
        for part, origin in zip(index.columns, index.origins, strict=True)
    )
    folders = {origin.image_dir for origin in index.origins}
    return CorpusFacts(
        shards,
        index.n_documents,
        absolute(index.folder),
        index.verify,
        folders.pop() if len(folders) == 1 else None,
        ", ".join(sorted({origin.pillow for origin in index.origins} - {""})),
    )


def _corpus_of_shards(paths: Iterable[str], image_dir: str | None = None) -> CorpusFacts:
    """Return the facts about shards; raises ShardError if one does not exist."""
    shards = tuple(ShardFacts(absolute(path), fingerprint(path)) for path in paths)
    return CorpusFacts(shards, image_dir=image_dir)


def basics_of(corpus: Indexed | Shards, config: LoaderConfig) -> Basics:
    """Return what results on an opened corpus depend on, without reading documents.

    Raises
    ------
    ShardError
        If a shard does not exist.
    """
    if isinstance(corpus, Indexed):
        index = corpus.index
        source = None if index.similarity == OWN else index.similarity
        facts = corpus_of_index(index)
    else:
        source = None
        facts = _corpus_of_shards([shard.path for shard in corpus.shards], corpus.image_dir)
    return Basics(facts, SimilarityFacts(config.clip_model, source), corpus.tokenizer)


def with_documents(basics: Basics, parts: Sequence[Columns]) -> Basics:
    """Return the basics with the numbers of documents of shards that have been read."""
    counts = {absolute(part.shard.path): len(part) for part in parts}
    shards = tuple(replace(one, documents=counts.get(one.path)) for one in basics.corpus.shards)
    corpus = replace(basics.corpus, shards=shards, documents=sum(map(len, parts)))
    return replace(basics, corpus=corpus)


_MANUAL: Final = "manual"
BASES: Final = (_MANUAL, *(str(basis) for basis in Basis))
_HEAD: Final = (
    "# mmc4viz settings. Load with --config. `provenance` records where they come from.\n"
)


def exact_yields(curves: Curves, step: int, keep: float) -> dict[str, Any]:
    """Return the settings' exact yields, as stored in the config.

    Parameters
    ----------
    curves : Curves
        The whole corpus's curves.
    step : int
        Position of the threshold in them.
    keep : float
        Single-image keep probability.
    """
    row = curves.rows(keep)[step]
    named = {name: {"value": row[name]} for name in RATES}
    outcomes = {str(outcome): row[str(outcome)] for outcome in Outcome}
    per = float(curves.total("documents")[step])
    return {"sampled": None, "per": per, **named, "outcomes": outcomes}


def sampled_yields(
    rates: Mapping[str, Rate], step: int, sampled: int, per: float
) -> dict[str, Any]:
    """Return the settings' yields estimated from a sample, with intervals.

    Parameters
    ----------
    rates : mapping of str to Rate
        Keyed by `mmc4viz.sweep.estimate.RATES`, per ``per`` documents.
    step : int
        Position of the threshold in them.
    sampled : int
        Number of sampled documents.
    per : float
    """
    named = {
        name: {
            "value": float(rate.estimate[step]),
            "low": _finite(rate.low[step]),
            "high": _finite(rate.high[step]),
        }
        for name, rate in rates.items()
    }
    return {"sampled": sampled, "per": float(per), "confidence": CONFIDENCE, **named}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def provenance(
    basics: Basics,
    yields: Mapping[str, Any],
    chosen: Mapping[str, Any] | None = None,
    note: str = "",
    now: datetime | None = None,
) -> dict[str, Any]:
    """Return the provenance of settings, as defined by the schema.

    Parameters
    ----------
    basics : Basics
    yields : mapping
        `exact_yields` or `sampled_yields`.
    chosen : mapping, optional
        How the threshold was chosen: a ``basis`` from `BASES`, and further details such as
        `mmc4viz.thresholds.proposal.Proposal.as_dict`. Manually by default.
    note : str
        The user's note.
    now : datetime, optional
    """
    found: dict[str, Any] = {
        "format": 1,
        "version": version("mmc4viz"),
        "created": (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if note.strip():
        found["note"] = note.strip()
    found["chosen"] = _plain(chosen or {"basis": _MANUAL})
    found["similarity"] = _similarity_record(basics.similarity)
    named = basics.tokenizer.name
    found["tokenizer"] = {"digest": digest(basics.tokenizer), "exact": named != BUILT_IN}
    found["yields"] = _plain(yields)
    found["corpus"] = _corpus_record(basics.corpus)
    return found


def _similarity_record(facts: SimilarityFacts) -> dict[str, Any]:
    found: dict[str, Any] = {"source": facts.source}
    if facts.fingerprint is not None:
        found["fingerprint"] = facts.fingerprint
    if facts.scale is not None:
        found["scale"] = facts.scale
    return found | {"lowest": _finite(facts.lowest), "highest": _finite(facts.highest)}


def _corpus_record(facts: CorpusFacts) -> dict[str, Any]:
    return {
        "documents": facts.documents,
        "index": facts.index,
        "index_format": FORMAT if facts.index else None,
        "verify": facts.verify,
        "image_dir": facts.image_dir,
        "pillow": facts.pillow,
        "shards": [vars(shard) for shard in facts.shards],
    }


def _plain(value: Any) -> Any:
    """Convert NumPy values to Python's and non-finite numbers to None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return str(value) if isinstance(value, str) else value
    return _finite(value) if isinstance(value, float) else _plain(value.item())


def to_text(config: LoaderConfig, found: Mapping[str, Any], name: str = "") -> str:
    r"""Return a config file's text: JSON if the name ends in ``.json``, else YAML.

    Examples
    --------
    >>> to_text(LoaderConfig(), {"format": 1}, "a.json")[:21]
    '{\n "threshold": 0.24,'
    """
    content = {**config.as_dict(), PROVENANCE: _storable(found)}
    if name.lower().endswith(".json"):
        return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return _HEAD + text


def _storable(value: Any) -> Any:
    """Make all text in plain values storable."""
    if isinstance(value, dict):
        return {_storable(name): _storable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return storable(value) if isinstance(value, str) else value


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes YAML that `mmc4viz.config_file` reads back: no aliases, special words quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    style = None if means_text(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


_Recorded = Mapping[str, Any]

_TIMED: Final = re.compile(r"(\d+):\d+")  # fingerprint written by an older version


def differences(settings: _Recorded, found: _Recorded, basics: Basics) -> list[str]:
    """Describe how the present corpus differs from a config's provenance.

    Parameters
    ----------
    settings, found : mapping
        A config's settings and its provenance, which may be empty.
    basics : Basics
        The present corpus, scores and tokenizer.

    Returns
    -------
    list of str
        One line per difference.
    """
    notes = []
    if "corpus" in found:
        notes += _corpus_differences(found["corpus"], basics.corpus)
    if found:
        notes += _similarity_differences(settings, found.get("similarity", {}), basics.similarity)
    if "tokenizer" in found and found["tokenizer"]["digest"] != digest(basics.tokenizer):
        notes.append(_tokenizer(settings, basics.tokenizer.name))
    return notes


def _tokenizer(settings: _Recorded, here: str) -> str:
    named = settings.get("tokenizer", LoaderConfig().tokenizer)
    what = (
        f"{named} has changed since the export"
        if named == here
        else f"exported with {named}, tokens are counted here with {here}"
    )
    return f"different tokenizer: {what}; token counts and truncation may differ"


def _similarity_differences(
    settings: _Recorded, recorded: _Recorded, here: SimilarityFacts
) -> list[str]:
    named = settings.get("clip_model", LoaderConfig().clip_model)
    notes = []
    if named != here.model:
        notes.append(f"exported for the CLIP model {named}, here it is {here.model}")
    elif "source" in recorded and recorded["source"] != here.source:
        was, now = recorded["source"] or "the shards", here.source or "the shards"
        notes.append(f"scores were read from {was}, here from {now}")
    elif recorded.get("fingerprint") and not alike(recorded["fingerprint"], here.fingerprint or ""):
        notes.append(f"the scores in {here.source} have changed since the export")
    if here.scale and recorded.get("scale") and recorded["scale"] != here.scale:
        notes.append(f"the score scale was {recorded['scale']}, here it is {here.scale}")
    return [f"different scores: {note}; a threshold is valid for one model only" for note in notes]


def _corpus_differences(recorded: _Recorded, here: CorpusFacts) -> list[str]:
    before = [ShardFacts(**shard) for shard in recorded["shards"]]
    missing, added, changed, touched = _compared(before, here.shards)
    parts = [
        _some(missing, "missing"),
        _some(added, "added"),
        _some(changed, "changed"),
        _some(touched, "with the same size but another modification time, perhaps copied"),
    ]
    found = [part for part in parts if part]
    documents = recorded.get("documents"), here.documents
    if None not in documents and documents[0] != documents[1]:
        found.append(f"{documents[0]:,} documents before, {documents[1]:,} here")
    if recorded.get("verify", here.verify) != here.verify:
        found.append(f"--verify {recorded['verify']} before, {here.verify} here")
    return [f"different corpus: {'; '.join(found)}"] if found else []


def _compared(
    before: Sequence[ShardFacts], now: Sequence[ShardFacts]
) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return the paths of shards that are missing, added, changed, or have only a new time.

    A shard is found by its path, else by its name, because a corpus may have moved.
    """
    left = {shard.path: shard for shard in now}
    missing: list[str] = []
    changed: list[str] = []
    touched: list[str] = []
    by_name: dict[str, list[ShardFacts]] = {}
    for shard in now:
        by_name.setdefault(os.path.basename(shard.path), []).append(shard)
    for shard in before:
        here = left.get(shard.path) or next(
            (one for one in by_name.get(os.path.basename(shard.path), ()) if one.path in left), None
        )
        if here is None:
            missing.append(shard.path)
            continue
        del left[here.path]
        if not alike(here.fingerprint, shard.fingerprint):
            timed = _TIMED.fullmatch(shard.fingerprint)  # without a digest
            same_size = timed and here.fingerprint.startswith(f"{timed[1]}:")
            (touched if same_size else changed).append(here.path)
    return missing, list(left), changed, touched


def _some(paths: Sequence[str], what: str) -> str:
    """Count shards and name the first."""
    if not paths:
        return ""
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    noun = "shard" if len(paths) == 1 else "shards"
    return f"{len(paths):,} {noun} {what} ({os.path.basename(paths[0])}{more})"
