"""What is another than when a config was exported: corpus, similarity, tokenizer. In words.

Compares what is recorded with what is there; judges no numbers and changes no setting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mmc4viz.corpus.files import digest
from mmc4viz.corpus.storage import alike
from mmc4viz.handover.basics import Basics, CorpusFacts, ShardFacts, SimilarityFacts
from mmc4viz.model import LoaderConfig

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
        notes += _corpus(found["corpus"], basics.corpus)
    if found:
        notes += _similarity(settings, found.get("similarity", {}), basics.similarity)
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


def _similarity(settings: Recorded, recorded: Recorded, here: SimilarityFacts) -> list[str]:
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


def _corpus(recorded: Recorded, here: CorpusFacts) -> list[str]:
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
