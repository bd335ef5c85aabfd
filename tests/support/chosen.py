"""What settings with options select of a document: a simple, slow reference for `mmc4viz apply`.

It follows the steps of docs/loader.md independently of `mmc4viz.apply.plan`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from mmc4viz import Document, ImageStatus, LoaderConfig, Outcome, Tokenizer, Verdict, walk
from mmc4viz.apply.options import Options
from mmc4viz.loader.sequence import interleave, owners_of_pairs, read_sequence
from mmc4viz.loader.walk import matched_pairs
from mmc4viz.slices.division import NO_VALUE
from mmc4viz.types import DocumentError, Image, PairStatus


@dataclass(frozen=True)
class Chosen:
    """A document's probability and, if that is not 0, its pairs in order and its tokens."""

    probability: float
    pairs: tuple[tuple[int, int, float], ...] = ()
    statuses: tuple[PairStatus, ...] = ()
    token_ids: tuple[int, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether a sentence has several images."""
        return len({sentence for _, sentence, _ in self.pairs}) < len(self.pairs)


NOTHING = Chosen(0.0)
BY_SENTENCES = {"1–9": 0.28, "10–19": 0.2, NO_VALUE: 0.25, "0": 0.31}
"""Slice thresholds by number of sentences."""


def own_threshold(document: Document, config: LoaderConfig) -> LoaderConfig:
    """Return the settings with the document's threshold in `BY_SENTENCES`, if it has one."""
    name = NO_VALUE
    if document.error is None and isinstance(document.sentences, list):
        n = len(document.sentences)
        name = "0" if not n else "1–9" if n < 10 else "10–19" if n < 20 else "more"
    return config.with_(threshold=BY_SENTENCES.get(name, config.threshold))


def chosen(
    document: Document, config: LoaderConfig, options: Options, tokenizer: Tokenizer
) -> Chosen:
    """Return what is chosen of an MMC4 document."""
    if options.drop_undecodable:
        document = _without_undecodable(document, config, tokenizer)
    try:
        pairs = [p for p in matched_pairs(document, config) if p[2] >= config.threshold]
        if options.cap == "best":
            best = sorted(pairs, key=lambda pair: (-pair[2], pair[0]))[: config.max_images]
            pairs = [pair for pair in pairs if pair in best]
        pairs = pairs[: config.max_images]
        if not pairs:
            return NOTHING
        if options.order == "sentence":
            pairs.sort(key=lambda pair: pair[1])
            document = replace(document, sentences=_spaced(document.sentences, pairs))
        columns = [sentence for _, sentence, _ in pairs]
        text = interleave(document.sentences, columns, tokenizer.end_of_text)
        cut = read_sequence(text, tokenizer, config.max_tokens, owners_of_pairs(columns))
    except DocumentError:
        return NOTHING
    at_end = cut.image_tokens == 1 and cut.ends_with_image
    if cut.image_tokens < config.min_images or at_end:
        return NOTHING
    return Chosen(
        config.single_image_keep if cut.image_tokens == 1 else 1.0,
        tuple(pairs),
        tuple(PairStatus.KEPT if survives else PairStatus.TRUNCATED for survives in cut.survives),
        cut.ids,
    )


def _without_undecodable(
    document: Document, config: LoaderConfig, tokenizer: Tokenizer
) -> Document:
    """Take out one undecodable image after another, until the walk finds none."""
    while ImageStatus.UNDECODABLE in (statuses := walk(document, config, tokenizer).images):
        images = list(document.images)
        images[statuses.index(ImageStatus.UNDECODABLE)] = Image(present=False)
        document = replace(document, images=tuple(images))
    return document


def _spaced(sentences: Any, pairs: list[tuple[int, int, float]]) -> Any:
    if not isinstance(sentences, list):
        return sentences
    own = {sentence for _, sentence, _ in pairs}
    return [
        re.sub(r"<(?=image>|\|endofchunk\|>)", "< ", str(text))
        if isinstance(text, str) or at in own
        else text
        for at, text in enumerate(sentences)
    ]


def problems(before: bytes, after: bytes, verdict: Verdict, wanted: Chosen) -> list[str]:
    """List how the walk of a rewritten document differs from the selection of the original.

    Parameters
    ----------
    before, after : bytes
        The JSON of both.
    verdict : Verdict
        The verdict on the rewritten document, under the flags of the unmodified loader.
    wanted : Chosen
    """
    if verdict.keep_probability != wanted.probability:
        return [f"probability {verdict.keep_probability}, chosen {wanted.probability}"]
    if not wanted.probability:
        return []
    found = []
    handed = [
        pair for pair in verdict.pairs if pair.status in (PairStatus.KEPT, PairStatus.TRUNCATED)
    ]
    old, new = json.loads(before)["image_info"], json.loads(after)["image_info"]
    mine = [(repr(new[p.image]), p.sentence, p.status) for p in handed]
    theirs = [
        (repr(old[image]), sentence, status)
        for (image, sentence, _), status in zip(wanted.pairs, wanted.statuses, strict=True)
    ]
    if mine != theirs:
        found.append("other pairs than chosen")
    if verdict.token_ids != wanted.token_ids:
        found.append("other tokens than chosen")
    if verdict.outcome is not Outcome.KEPT:
        found.append(f"outcome {verdict.outcome}")
    return found


def is_mispaired(verdict: Verdict) -> bool:
    """Whether an image token does not receive the image of its own pair."""
    return verdict.mispaired > 0 or any(
        bound.pair_image is None or bound.pair_image != bound.bound_image
        for bound in verdict.binding
    )


def damage(before: bytes, after: bytes, options: Options) -> list[str]:
    """List what rewriting changed in a document's JSON that it must not change."""
    old, new = json.loads(before), json.loads(after)
    found = []
    changeable = {"image_info", "similarity_matrix"}
    changeable |= {"text_list"} if options.order == "sentence" else set()
    if list(old) != list(new):
        found.append("other fields")
    found += [f"{n} changed" for n in old if n not in changeable and repr(old[n]) != repr(new[n])]
    stripped = [sorted(_bare(entry) for entry in one["image_info"]) for one in (old, new)]
    if stripped[0] != stripped[1]:
        found.append("images changed beyond their bytes")
    bytes_before = {repr(_base64(entry)) for entry in old["image_info"]}
    if not {repr(_base64(entry)) for entry in new["image_info"]} <= bytes_before | {"None"}:
        found.append("images' bytes changed")
    return found


def _bare(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "{}"  # may have become an empty object
    return repr({name: value for name, value in entry.items() if name != "image_base64"})


def _base64(entry: Any) -> Any:
    return entry.get("image_base64") if isinstance(entry, dict) else None
