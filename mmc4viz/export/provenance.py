"""The exported settings with their provenance, and what differs from a file.

Facts of an opened corpus; nothing of it is read, and nothing is compared or written here.

The file extends what ``--config`` reads: the settings stand at its top, the rest under
``provenance``. It is read and checked by `mmc4viz.config_file`.

Compares what is recorded with what is there; judges no numbers and changes no setting.
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
from mmc4viz.thresholds.proposal import Basis
from mmc4viz.types import LoaderConfig, Outcome


@dataclass(frozen=True)
class ShardFacts:
    """One shard as it was: path, fingerprint, and its documents where they were counted."""

    path: str
    fingerprint: str
    documents: int | None = None


@dataclass(frozen=True)
class CorpusFacts:
    """A corpus as it was.

    Attributes
    ----------
    shards : tuple of ShardFacts
    documents : int or None
        Readable or not; None where nobody counted them.
    index : str or None
        The index that answered in place of the shards.
    verify : str
        How far images were checked.
    image_dir : str or None
    pillow : str
        The version, or versions, that decoded the images (`mmc4viz.loader.images.pillow_version`).
    """

    shards: tuple[ShardFacts, ...]
    documents: int | None = None
    index: str | None = None
    verify: str = "full"
    image_dir: str | None = None
    pillow: str = field(default_factory=pillow_version)


@dataclass(frozen=True)
class SimilarityFacts:
    """Whose similarity decides.

    Attributes
    ----------
    model : str
        The CLIP model's name.
    source : str or None
        The set or file it was read from; None for the shards' own.
    fingerprint : str or None
        Of that file.
    scale : str or None
    lowest, highest : float
        Of the matched scores; NaN where there are none or nobody looked.
    """

    model: str
    source: str | None = None
    fingerprint: str | None = None
    scale: str | None = None
    lowest: float = math.nan
    highest: float = math.nan


@dataclass(frozen=True)
class Basics:
    """What numbers rest on besides the setting: corpus, similarity, tokenizer."""

    corpus: CorpusFacts
    similarity: SimilarityFacts
    tokenizer: Tokenizer


def corpus_of_index(index: Index) -> CorpusFacts:
    """Return what an index was made from."""
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


def corpus_of_shards(paths: Iterable[str], image_dir: str | None = None) -> CorpusFacts:
    """Return what shards are now; raises a ShardError for one that is not there."""
    shards = tuple(ShardFacts(absolute(path), fingerprint(path)) for path in paths)
    return CorpusFacts(shards, image_dir=image_dir)


def basics_of(corpus: Indexed | Shards, config: LoaderConfig) -> Basics:
    """Return what the numbers of an opened corpus rest on; nothing of it is read.

    Raises
    ------
    ShardError
        For a shard that is not there.
    """
    if isinstance(corpus, Indexed):
        index = corpus.index
        source = None if index.similarity == OWN else index.similarity
        facts = corpus_of_index(index)
    else:
        source = None
        facts = corpus_of_shards([shard.path for shard in corpus.shards], corpus.image_dir)
    return Basics(facts, SimilarityFacts(config.clip_model, source), corpus.tokenizer)


def with_documents(basics: Basics, parts: Sequence[Columns]) -> Basics:
    """Return the same with the documents of shards that have been read whole."""
    counts = {absolute(part.shard.path): len(part) for part in parts}
    shards = tuple(replace(one, documents=counts.get(one.path)) for one in basics.corpus.shards)
    corpus = replace(basics.corpus, shards=shards, documents=sum(map(len, parts)))
    return replace(basics, corpus=corpus)


MANUAL: Final = "manual"
BASES: Final = (MANUAL, *(str(basis) for basis in Basis))
_HEAD: Final = (
    "# A setting of mmc4viz with where it comes from. mmc4viz app, curve, explain and export read\n"
    "# it with --config; nothing is computed with what stands under provenance.\n"
)


def exact_yields(curves: Curves, step: int, keep: float) -> dict[str, Any]:
    """Return what a setting yields, as the config has it.

    Parameters
    ----------
    curves : Curves
        Of the whole corpus.
    step : int
        Position of the threshold in them.
    keep : float
        Probability with which a single image's document survives.
    """
    row = curves.rows(keep)[step]
    named = {name: {"value": row[name]} for name in RATES}
    outcomes = {str(outcome): row[str(outcome)] for outcome in Outcome}
    per = float(curves.total("documents")[step])
    return {"sampled": None, "per": per, **named, "outcomes": outcomes}


def sampled_yields(
    rates: Mapping[str, Rate], step: int, sampled: int, per: float
) -> dict[str, Any]:
    """Return what a setting yields as a sample says, with intervals.

    Parameters
    ----------
    rates : mapping of str to Rate
        By the names of `mmc4viz.data.sample.RATES`, of ``per`` documents.
    step : int
    sampled : int
        Documents drawn.
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
    """Say where a setting comes from, as the schema has it.

    Parameters
    ----------
    basics : Basics
    yields : mapping
        `exact_yields` or `sampled_yields`.
    chosen : mapping, optional
        How the threshold was chosen: a ``basis`` of `BASES`, and whatever else is known, such as
        `mmc4viz.thresholds.proposal.Proposal.as_dict`. By hand when left out.
    note : str
        The person's.
    now : datetime, optional
    """
    found: dict[str, Any] = {
        "format": 1,
        "version": version("mmc4viz"),
        "created": (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if note.strip():
        found["note"] = note.strip()
    found["chosen"] = _plain(chosen or {"basis": MANUAL})
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
    """Return plain values: NumPy's become Python's, numbers that are not finite None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return str(value) if isinstance(value, str) else value
    return _finite(value) if isinstance(value, float) else _plain(value.item())


def to_text(config: LoaderConfig, found: Mapping[str, Any], name: str = "") -> str:
    r"""Write a config file: JSON where its name ends so, else YAML.

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
    """Escape lone surrogates, which no file takes."""
    if isinstance(value, dict):
        return {_storable(name): _storable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode()
    return value


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes what `mmc4viz.config_file` reads back: no aliases, special words quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    style = None if means_text(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


Recorded = Mapping[str, Any]

_TIMED: Final = re.compile(r"(\d+):\d+")  # a fingerprint of an older version


def differences(settings: Recorded, found: Recorded, basics: Basics) -> list[str]:
    """Say what is another than what a config's provenance records.

    Parameters
    ----------
    settings, found : mapping
        A config's settings and its provenance; one without provenance differs in nothing.
    basics : Basics
        What is there now.

    Returns
    -------
    list of str
        A line each, empty when all is the same.
    """
    notes = []
    if "corpus" in found:
        notes += _corpus_differences(found["corpus"], basics.corpus)
    if found:
        notes += _similarity_differences(settings, found.get("similarity", {}), basics.similarity)
    if "tokenizer" in found and found["tokenizer"]["digest"] != digest(basics.tokenizer):
        notes.append(_tokenizer(settings, basics.tokenizer.name))
    return notes


def _tokenizer(settings: Recorded, here: str) -> str:
    named = settings.get("tokenizer", LoaderConfig().tokenizer)
    what = (
        f"the tokenizer {named} has changed since"
        if named == here
        else (f"exported with the tokenizer {named}, counted here with {here}")
    )
    return f"another tokenizer: {what}; token counts, and what the token limit cuts, may differ"


def _similarity_differences(
    settings: Recorded, recorded: Recorded, here: SimilarityFacts
) -> list[str]:
    named = settings.get("clip_model", LoaderConfig().clip_model)
    notes = []
    if named != here.model:
        notes.append(f"exported for the CLIP model {named}, here {here.model}")
    elif "source" in recorded and recorded["source"] != here.source:
        was, now = recorded["source"] or "the shards", here.source or "the shards"
        notes.append(f"its similarity was read from {was}, here from {now}")
    elif recorded.get("fingerprint") and not alike(recorded["fingerprint"], here.fingerprint or ""):
        notes.append(f"the similarity in {here.source} has changed since")
    if here.scale and recorded.get("scale") and recorded["scale"] != here.scale:
        notes.append(f"scores had the scale {recorded['scale']}, here {here.scale}")
    return [f"another model: {note}; a threshold holds for one model only" for note in notes]


def _corpus_differences(recorded: Recorded, here: CorpusFacts) -> list[str]:
    before = [ShardFacts(**shard) for shard in recorded["shards"]]
    gone, added, changed, touched = _compared(before, here.shards)
    parts = [
        _some(gone, "of the config's shards not here"),
        _some(added, "here that it does not name"),
        _some(changed, "with other content"),
        _some(touched, "of the same size, but with another time: copied?"),
    ]
    said = [part for part in parts if part]
    documents = recorded.get("documents"), here.documents
    if None not in documents and documents[0] != documents[1]:
        said.append(f"{documents[0]:,} documents before, {documents[1]:,} here")
    if recorded.get("verify", here.verify) != here.verify:
        said.append(f"images checked by --verify {recorded['verify']} before, {here.verify} here")
    return [f"another corpus: {'; '.join(said)}"] if said else []


def _compared(
    before: Sequence[ShardFacts], now: Sequence[ShardFacts]
) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return names of shards that are gone, added, of other content, of another time only.

    A shard is found by its path, else by its name, for a corpus may have moved.
    """
    left = {shard.path: shard for shard in now}
    gone: list[str] = []
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
            gone.append(shard.path)
            continue
        del left[here.path]
        if not alike(here.fingerprint, shard.fingerprint):
            timed = _TIMED.fullmatch(shard.fingerprint)  # without a digest
            same_size = timed and here.fingerprint.startswith(f"{timed[1]}:")
            (touched if same_size else changed).append(here.path)
    return gone, list(left), changed, touched


def _some(paths: Sequence[str], what: str) -> str:
    """Count shards, and name the first."""
    if not paths:
        return ""
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return f"{len(paths):,} {what} ({os.path.basename(paths[0])}{more})"
