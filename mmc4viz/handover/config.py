"""A setting with where it comes from → a config file, and what is another when it is used again.

The file extends what ``--config`` reads: the settings stand at its top, the rest under
``provenance``. Reading and checking it is `mmc4viz.settings`' affair, and nothing is computed here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import yaml

from mmc4viz.choice.proposal import Basis
from mmc4viz.corpus.curves import Curves
from mmc4viz.corpus.estimate import CONFIDENCE, RATES, Rate
from mmc4viz.corpus.files import FORMAT, digest
from mmc4viz.handover.basics import Basics, CorpusFacts, SimilarityFacts
from mmc4viz.loader.tokens import BUILT_IN
from mmc4viz.marked import means_text
from mmc4viz.model import LoaderConfig, Outcome
from mmc4viz.settings import PROVENANCE

BY_HAND: Final = "hand"
BASES: Final = (BY_HAND, *(str(basis) for basis in Basis))
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
        By the names of `mmc4viz.corpus.sampling.RATES`, of ``per`` documents.
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
        `mmc4viz.choice.proposal.Proposal.as_dict`. By hand when left out.
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
    found["chosen"] = _plain(chosen or {"basis": BY_HAND})
    found["similarity"] = _similarity(basics.similarity)
    named = basics.tokenizer.name
    found["tokenizer"] = {"digest": digest(basics.tokenizer), "exact": named != BUILT_IN}
    found["yields"] = _plain(yields)
    found["corpus"] = _corpus(basics.corpus)
    return found


def _similarity(facts: SimilarityFacts) -> dict[str, Any]:
    found: dict[str, Any] = {"source": facts.source}
    if facts.fingerprint is not None:
        found["fingerprint"] = facts.fingerprint
    if facts.scale is not None:
        found["scale"] = facts.scale
    return found | {"lowest": _finite(facts.lowest), "highest": _finite(facts.highest)}


def _corpus(facts: CorpusFacts) -> dict[str, Any]:
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
    """Writes what `mmc4viz.marked` reads back: no aliases, words that mean something quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    style = None if means_text(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
