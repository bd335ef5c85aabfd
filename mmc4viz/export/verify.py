"""Compare what a config records with a corpus now: yields, contents, versions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

from mmc4viz.data.index import digest
from mmc4viz.export.contents import METHODS, Contents
from mmc4viz.export.provenance import (
    Basics,
    CorpusFacts,
    LabelFacts,
    ShardFacts,
    SimilarityFacts,
    last_name,
)
from mmc4viz.loader.profile import PROFILES
from mmc4viz.sweep.estimate import RATES
from mmc4viz.types import DEFAULT_LOADER, LoaderConfig

_Recorded = Mapping[str, Any]
_SHOWN: Final = 12  # characters of a digest


@dataclass(frozen=True)
class Verified:
    """One number of a config, and the same number now.

    Attributes
    ----------
    name : str
        A quantity, or an outcome.
    recorded : float
    low, high : float or None
        Ends of the recorded 95% CI; None if it was exact, or had no such end.
    now : float
    agrees : bool
        Whether both are equal, or the number now is within the interval.
    """

    name: str
    recorded: float
    low: float | None
    high: float | None
    now: float
    agrees: bool


def verified(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[Verified]:
    """Compare every recorded yield with the corpus's.

    Parameters
    ----------
    recorded : mapping
        ``yields`` of a config's provenance.
    now : mapping
        The exact ones of the whole corpus (`mmc4viz.export.provenance.exact_yields`).
    """
    sampled = recorded.get("sampled")
    per = float(recorded.get("per") or now["per"])
    times = per / now["per"] if sampled and now["per"] else 1.0
    found = []
    if not sampled and "per" in recorded:
        found.append(_exactly("all documents", per, now["per"]))
    for name in RATES:
        if name not in recorded:
            continue
        one, value = recorded[name], times * now[name]["value"]
        if sampled:
            low, high = one.get("low"), one.get("high")
            inside = (low is None or low <= value) and (high is None or value <= high)
            found.append(Verified(name, one["value"], low, high, value, inside))
        else:
            found.append(_exactly(name, one["value"], value))
    outcomes = recorded.get("outcomes", {})
    known = [name for name in now["outcomes"] if name in outcomes]
    return found + [_exactly(name, outcomes[name], now["outcomes"][name]) for name in known]


def _exactly(name: str, recorded: float, now: float) -> Verified:
    return Verified(name, recorded, None, None, now, recorded == now)


@dataclass(frozen=True)
class Check:
    """Something else that a config records, and the same thing now.

    Attributes
    ----------
    name : str
    recorded, now : str
        Short forms; empty if there is none.
    said : str
        What the comparison says.
    agrees : bool or None
        None if it is informational only.
    """

    name: str
    recorded: str
    now: str
    said: str
    agrees: bool | None = None


def checks(settings: _Recorded, found: _Recorded, basics: Basics) -> list[Check]:
    """Compare shards, scores, tokenizer, labels, loader and version with those of a config.

    Parameters
    ----------
    settings, found : mapping
        A config's settings and its provenance.
    basics : Basics
        What was read now (`mmc4viz.export.provenance.with_documents`).
    """
    done = _shard_checks(found["corpus"], basics.corpus) if "corpus" in found else []
    done.append(_scores_check(settings, found.get("similarity", {}), basics.similarity))
    named = settings.get("tokenizer", LoaderConfig().tokenizer)
    if "tokenizer" in found:
        same = found["tokenizer"]["digest"] == digest(basics.tokenizer)
        said = "same" if same else "different definition"
        done.append(Check("tokenizer", named, basics.tokenizer.name, said, same))
    if "labels" in found or basics.labels is not None:
        done.append(_labels_check(found.get("labels"), basics.labels))
    if validated := found.get("corpus", {}).get("verify"):
        here = basics.corpus.verify
        done.append(Check("image validation", validated, here, _informs(validated, here)))
    recorded = found.get("loader", {}).get("commit", "")
    known = PROFILES[settings.get("loader", DEFAULT_LOADER)].source.commit
    commits = recorded[:_SHOWN], known[:_SHOWN]
    done.append(Check("loader commit", *commits, _informs(recorded, known)))
    versions = found.get("version", ""), version("mmc4viz")
    return [*done, Check("mmc4viz version", *versions, _informs(*versions))]


def _informs(recorded: str, now: str) -> str:
    if not recorded:
        return "not recorded"
    return "same" if recorded == now else "another one"


def _labels_check(recorded: _Recorded | None, here: LabelFacts | None) -> Check:
    before = "" if recorded is None else recorded["sha256"][:_SHOWN]
    if here is None:
        return Check("labels (SHA-256)", before, "", "not compared: add --labels FILE")
    now = here.sha256[:_SHOWN]
    if recorded is None:
        return Check("labels (SHA-256)", before, now, "not recorded")
    same = recorded["sha256"] == here.sha256
    return Check("labels (SHA-256)", before, now, "same" if same else "changed", same)


def _scores_check(settings: _Recorded, recorded: _Recorded, here: SimilarityFacts) -> Check:
    notes = _score_notes(settings, recorded, here)
    named = settings.get("clip_model", LoaderConfig().clip_model)
    return Check("scores", named, here.model, "; ".join(notes) or "same", not notes)


@dataclass
class _Compared:
    """The shards of a config and of a corpus, by what became of them."""

    same: Counter[str] = field(default_factory=Counter)  # by method
    missing: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # nothing to compare but the size


def _shard_checks(recorded: _Recorded, here: CorpusFacts) -> list[Check]:
    seen = _compared(recorded["shards"], here.shards)
    how = ", ".join(
        f"{n:,} by {METHODS[name]}" if len(seen.same) > 1 else f"by {METHODS[name]}"
        for name, n in seen.same.most_common()
    )
    ends = f"{len(recorded['shards']):,}", f"{len(here.shards):,}"
    sound = not (seen.missing or seen.added or seen.changed)
    n = seen.same.total()
    all_same = n == len(recorded["shards"]) == len(here.shards)
    source = ", as the index recorded them" if here.index and n else ""
    same = ("same" if all_same else f"{n:,} same") + (f", {how}" if n else "") + source
    done = [Check("shards", *ends, same, sound)]
    for what, names in (("missing", seen.missing), ("added", seen.added),
                        ("changed", seen.changed)):  # fmt: skip
        if names:
            counts = ("", f"{len(names):,}") if what == "added" else (f"{len(names):,}", "")
            done.append(Check(f"shards {what}", *counts, _names(names), agrees=False))
    if seen.unknown:
        why = "same size, but no digest to compare"
        said = f"{_names(seen.unknown)}: {why}"
        done.append(Check("shards not compared", f"{len(seen.unknown):,}", "", said))
    return done


def _compared(before: Sequence[_Recorded], now: Sequence[ShardFacts]) -> _Compared:
    """Compare shards, each with the one whose path ends most like the recorded one."""
    found, left = _Compared(), dict[str, list[ShardFacts]]()
    for shard in now:
        left.setdefault(os.path.basename(shard.name), []).append(shard)
    waiting = sorted(before, key=lambda one: -one["path"].count("/"))
    for record in waiting:
        alike = left.get(os.path.basename(record["path"]), [])
        if not alike:
            found.missing.append(record["path"])
            continue
        here = max(alike, key=lambda one: _common_end(one.place or one.name, record["path"]))
        alike.remove(here)
        same, method = Contents.recorded(record).compared(here.contents)
        if same:
            found.same[method] += 1
        else:
            (found.unknown if same is None else found.changed).append(here.name)
    found.added += [shard.name for alike in left.values() for shard in alike]
    for names in (found.missing, found.changed, found.unknown):
        names.sort()
    return found


def _common_end(one: str, other: str) -> int:
    """Return how many names two paths share at their end.

    Examples
    --------
    >>> _common_end("/data/a/0.tar", "a/0.tar"), _common_end("/data/b/0.tar", "a/0.tar")
    (2, 1)
    """
    steps = zip(reversed(one.split("/")), reversed(other.split("/")), strict=False)
    n = 0
    for mine, its in steps:
        if mine != its:
            break
        n += 1
    return n


def _names(paths: Sequence[str]) -> str:
    """Name the first of some shards."""
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return f"{os.path.basename(paths[0])}{more}"


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
    notes = _score_notes(settings, recorded, here)
    return [f"different scores: {note}; a threshold is valid for one model only" for note in notes]


def _score_notes(settings: _Recorded, recorded: _Recorded, here: SimilarityFacts) -> list[str]:
    """Describe how the scores differ from those that a config records."""
    named = settings.get("clip_model", LoaderConfig().clip_model)
    notes = []
    if named != here.model:
        notes.append(f"exported for the CLIP model {named}, here it is {here.model}")
    elif "source" in recorded and last_name(recorded["source"]) != last_name(here.source):
        was, now = (last_name(one) or "the shards" for one in (recorded["source"], here.source))
        notes.append(f"scores were read from {was}, here from {now}")
    elif here.contents and Contents.recorded(recorded).compared(here.contents)[0] is False:
        notes.append(f"the scores in {last_name(here.source)} have changed since the export")
    if here.scale and recorded.get("scale") and recorded["scale"] != here.scale:
        notes.append(f"the score scale was {recorded['scale']}, here it is {here.scale}")
    return notes


def _corpus_differences(recorded: _Recorded, here: CorpusFacts) -> list[str]:
    seen = _compared(recorded["shards"], here.shards)
    parts = [
        _some(seen.missing, "missing"),
        _some(seen.added, "added"),
        _some(seen.changed, "changed"),
        _some(seen.unknown, "of the same size without a digest to compare"),
    ]
    found = [part for part in parts if part]
    documents = recorded.get("documents"), here.documents
    if None not in documents and documents[0] != documents[1]:
        found.append(f"{documents[0]:,} documents before, {documents[1]:,} here")
    if recorded.get("verify", here.verify) != here.verify:
        found.append(f"--verify {recorded['verify']} before, {here.verify} here")
    return [f"different corpus: {'; '.join(found)}"] if found else []


def _some(paths: Sequence[str], what: str) -> str:
    """Count shards and name the first."""
    noun = "shard" if len(paths) == 1 else "shards"
    return f"{len(paths):,} {noun} {what} ({_names(paths)})" if paths else ""
