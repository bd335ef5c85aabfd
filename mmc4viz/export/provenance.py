"""Exported settings with their provenance.

A config holds the settings at its top and everything else under ``provenance``. It is read and
validated by `mmc4viz.config_file`, and compared with a corpus by `mmc4viz.export.verify`. It does
not say where files lie on this machine: shards have the names of `mmc4viz.data.shards.named`, other
files and folders their last name, and contents their digests (`mmc4viz.export.contents`).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import yaml

from mmc4viz.config_file import PROVENANCE, PROVENANCE_FORMAT, SLICE_THRESHOLDS, means_text
from mmc4viz.data.columns import Columns
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.index import FORMAT, OWN, Index, absolute, digest
from mmc4viz.data.shards import Shard
from mmc4viz.data.storage import fingerprint, is_remote
from mmc4viz.export.contents import Contents
from mmc4viz.loader.images import pillow_version
from mmc4viz.loader.profile import PROFILES
from mmc4viz.loader.tokenizer import BUILT_IN, Tokenizer
from mmc4viz.sweep.estimate import CONFIDENCE, RATES, Rate
from mmc4viz.sweep.statistics import Curves
from mmc4viz.text import json_text, storable
from mmc4viz.thresholds.labels.exchange import export_csv
from mmc4viz.thresholds.proposal import Basis
from mmc4viz.types import DEFAULT_LOADER, LoaderConfig, Outcome, SliceThresholds


def time_of_writing() -> datetime:
    """Return the time, or ``SOURCE_DATE_EPOCH`` for reproducible files."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)


@dataclass(frozen=True)
class ShardFacts:
    """One shard.

    Attributes
    ----------
    name : str
        The shortest end of its path that is unique in the corpus.
    contents : Contents
    documents : int or None
        Number of documents, if counted.
    place : str
        Where it is; never recorded.
    """

    name: str
    contents: Contents
    documents: int | None = None
    place: str = ""


@dataclass(frozen=True)
class CorpusFacts:
    """A corpus at the time of export.

    Attributes
    ----------
    shards : tuple of ShardFacts
    documents : int or None
        Readable or not; None if not counted.
    index : str or None
        The index used instead of the shards; recorded by its last name.
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
    contents : Contents or None
        The bytes of that file.
    scale : str or None
    lowest, highest : float
        Range of the matched scores; NaN if there are none or they were not read.
    """

    model: str
    source: str | None = None
    contents: Contents | None = None
    scale: str | None = None
    lowest: float = math.nan
    highest: float = math.nan


@dataclass(frozen=True)
class LabelFacts:
    """A label file.

    Attributes
    ----------
    file : str
        Its name.
    sha256 : str
        SHA-256 of its labels as CSV, as ``mmc4viz labels export`` prints them.
    precision : tuple of float or None
        Estimate, low and high of the precision at the threshold, if the labels give one.
    labels : int
        Labels of pairs at or above the threshold.
    """

    file: str
    sha256: str
    precision: tuple[float, float, float] | None = None
    labels: int = 0


@dataclass(frozen=True)
class Basics:
    """What results depend on besides the settings: corpus, scores, tokenizer, labels."""

    corpus: CorpusFacts
    similarity: SimilarityFacts
    tokenizer: Tokenizer
    labels: LabelFacts | None = None
    loader: str = DEFAULT_LOADER


def corpus_of_index(index: Index) -> CorpusFacts:
    """Return the facts about an index's corpus."""
    shards = tuple(
        _facts(part.shard, origin.fingerprint, part.sha256, origin.documents)
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


def _corpus_of_shards(shards: Iterable[Shard], image_dir: str | None = None) -> CorpusFacts:
    """Return the facts about shards; raises ShardError if one does not exist."""
    found = tuple(_facts(shard, fingerprint(shard.path)) for shard in shards)
    return CorpusFacts(found, image_dir=image_dir)


def _facts(shard: Shard, known: str, sha256: str = "", documents: int | None = None) -> ShardFacts:
    place = absolute(shard.path)
    return ShardFacts(shard.name, Contents.of(place, known, sha256), documents, place)


def label_facts(
    path: str, precision: tuple[float, float, float] | None = None, labels: int = 0
) -> LabelFacts:
    """Return the facts about a label file; raises a LabelsError if it cannot be read."""
    found = hashlib.sha256(export_csv(path).encode()).hexdigest()
    return LabelFacts(os.path.basename(path), found, precision, labels)


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
        facts = _corpus_of_shards(corpus.shards, corpus.image_dir)
    return Basics(
        facts, SimilarityFacts(config.clip_model, source), corpus.tokenizer, None, config.loader
    )


def with_documents(basics: Basics, parts: Sequence[Columns]) -> Basics:
    """Return the basics with documents and digests of shards that have been read as a whole."""
    read = {absolute(part.shard.path): part for part in parts}
    shards = tuple(
        replace(one, documents=len(part), contents=replace(one.contents, sha256=part.sha256))
        if (part := read.get(one.place)) is not None
        else replace(one, documents=None)
        for one in basics.corpus.shards
    )
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
    rates: Mapping[str, Rate], step: int, sampled: int, per: float, seed: int = 0
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
    seed : int
        Of the sample.
    """
    named = {
        name: {
            "value": float(rate.estimate[step]),
            "low": _finite(rate.low[step]),
            "high": _finite(rate.high[step]),
        }
        for name, rate in rates.items()
    }
    about = {"sampled": sampled, "seed": seed, "per": float(per), "confidence": CONFIDENCE}
    return {**about, **named}


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
        "format": PROVENANCE_FORMAT,
        "version": version("mmc4viz"),
        "created": (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if note.strip():
        found["note"] = note.strip()
    found["chosen"] = _plain(chosen or {"basis": _MANUAL})
    found["similarity"] = _similarity_record(basics.similarity)
    named = basics.tokenizer.name
    found["tokenizer"] = {"digest": digest(basics.tokenizer), "exact": named != BUILT_IN}
    found["loader"] = asdict(PROFILES[basics.loader].source)
    if basics.labels is not None:
        found["labels"] = _labels_record(basics.labels)
    found["yields"] = _plain(yields)
    found["corpus"] = _corpus_record(basics.corpus)
    return found


def _similarity_record(facts: SimilarityFacts) -> dict[str, Any]:
    found: dict[str, Any] = {"source": last_name(facts.source)}
    if facts.contents is not None:
        found |= facts.contents.record()
    if facts.scale is not None:
        found["scale"] = facts.scale
    return found | {"lowest": _finite(facts.lowest), "highest": _finite(facts.highest)}


def _corpus_record(facts: CorpusFacts) -> dict[str, Any]:
    return {
        "documents": facts.documents,
        "index": last_name(facts.index),
        "index_format": FORMAT if facts.index else None,
        "verify": facts.verify,
        "image_dir": last_name(facts.image_dir),
        "pillow": facts.pillow,
        **_corpus_digest(facts),
        "shards": [
            {"path": one.name, "documents": one.documents, **one.contents.record()}
            for one in facts.shards
        ],
    }


def _corpus_digest(facts: CorpusFacts) -> dict[str, str]:
    """Return a digest of all shards, whatever their names and order, if all of theirs are known."""
    digests = sorted(shard.contents.sha256 for shard in facts.shards)
    if not digests or not digests[0]:
        return {}
    lines = "".join(f"{one}\n" for one in digests)
    return {"sha256": hashlib.sha256(lines.encode()).hexdigest()}


def _labels_record(facts: LabelFacts) -> dict[str, Any]:
    found: dict[str, Any] = {"file": facts.file, "sha256": facts.sha256}
    if facts.precision is not None:
        value, low, high = facts.precision
        found |= {"precision": {"value": value, "low": low, "high": high}}
        found |= {"labels": facts.labels}
    return found


def last_name(path: str | None) -> str | None:
    """Return the last name in a local path; a URL, which is the same everywhere, as it is.

    Examples
    --------
    >>> last_name("/data/mmc4/index/"), last_name("s3://bucket/index"), last_name("own")
    ('index', 's3://bucket/index', 'own')
    """
    return path if path is None or is_remote(path) else os.path.basename(path.rstrip("/")) or path


def _plain(value: Any) -> Any:
    """Convert NumPy values to Python's and non-finite numbers to None."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return str(value) if isinstance(value, str) else value
    return _finite(value) if isinstance(value, float) else _plain(value.item())


def to_text(
    config: LoaderConfig,
    found: Mapping[str, Any],
    name: str = "",
    slices: SliceThresholds | None = None,
) -> str:
    r"""Return a config file's text: JSON if the name ends in ``.json``, else YAML.

    Examples
    --------
    >>> to_text(LoaderConfig(), {"format": 1}, "a.json")[:21]
    '{\n "loader": "openfla'
    """
    by_slice = {} if slices is None else {SLICE_THRESHOLDS: slices.as_dict()}
    content = {**config.as_dict(), **_storable(by_slice), PROVENANCE: _storable(found)}
    if name.lower().endswith(".json"):
        return json_text(content, 1, ascii_only=False) + "\n"
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
