"""A setting → what a training run is told: OpenFlamingo's flags, code for a WebDataset pipeline.

What the original loader has no flag for is named with what can be done about it. Flags and fixed
values are those of OpenFlamingo's ``train/train.py`` and ``train/data.py``.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import Final

from mmc4viz.loader.tokenizer import BUILT_IN
from mmc4viz.types import LoaderConfig

_OWN: Final = LoaderConfig()  # but for the threshold, what the original loader does by itself


@dataclass(frozen=True)
class Unflagged:
    """Something that the original loader has no flag for.

    Attributes
    ----------
    name : str
        The setting, in words.
    wanted, fixed : str
        What the setting asks for, and what the loader does; empty ``wanted`` where no setting asks.
    advice : str
        What can be done about it.
    agrees : bool
        Whether the loader does what is asked for by itself.
    """

    name: str
    wanted: str
    fixed: str
    advice: str
    agrees: bool


def openflamingo_flags(config: LoaderConfig) -> str:
    """Return the flags of OpenFlamingo's ``train.py`` that say what a setting says.

    Examples
    --------
    >>> openflamingo_flags(LoaderConfig(threshold=0.28))
    '--mmc4_textsim_threshold 0.28 --mmc4_max_num_images 6 --mmc4_min_num_images 1'
    >>> openflamingo_flags(LoaderConfig(threshold=-0.1, tokenizer="facebook/opt-30b"))[-34:]
    ' --tokenizer_path facebook/opt-30b'
    """
    threshold = repr(config.threshold)
    sign = "=" if threshold.startswith("-") else " "  # else it would be read as another flag
    flags = [
        f"--mmc4_textsim_threshold{sign}{threshold}",
        f"--mmc4_max_num_images {config.max_images}",
        f"--mmc4_min_num_images {config.min_images}",
    ]
    if config.tokenizer != BUILT_IN:
        flags.append(f"--tokenizer_path {shlex.quote(_folder(config.tokenizer))}")
    return " ".join(flags)


def _folder(tokenizer: str) -> str:
    """Return what Transformers takes for a tokenizer: the folder of a ``tokenizer.json``."""
    folder, name = os.path.split(tokenizer)
    return (folder or ".") if name == "tokenizer.json" else tokenizer


def unflagged(config: LoaderConfig) -> list[Unflagged]:
    """Name what the original loader has no flag for, what disagrees first."""
    found = [
        _size(config),
        _tokens(config),
        _assignment(config),
        _single_image_keep(config),
        *_beyond(),
    ]
    return sorted(found, key=lambda one: one.agrees)


def _size(config: LoaderConfig) -> Unflagged:
    """Say what becomes of the size limit; a larger one can be put into the data."""
    larger = config.min_kb > _OWN.min_kb
    advice = "mmc4viz apply leaves the smaller images out of the shards"
    if not larger:
        advice = "lower MIN_KB in open_flamingo/train/data.py; the data alone cannot do it"
    return Unflagged(
        "size limit",
        "none" if config.min_kb < 0 else f"n // 1000 > {config.min_kb}",
        f"n // 1000 > {_OWN.min_kb}",
        advice,
        config.min_kb == _OWN.min_kb,
    )


def _tokens(config: LoaderConfig) -> Unflagged:
    return Unflagged(
        "token limit",
        str(config.max_tokens),
        str(_OWN.max_tokens),
        "change max_tokens of preprocess_interleaved in open_flamingo/train/data.py; the data "
        "alone cannot do it",
        config.max_tokens == _OWN.max_tokens,
    )


def _assignment(config: LoaderConfig) -> Unflagged:
    return Unflagged(
        "assignment",
        config.assignment,
        _OWN.assignment,
        "mmc4viz apply writes shards on which the loader's own assignment comes out as this one, "
        "as long as no sentence has several images",
        config.assignment == _OWN.assignment,
    )


def _single_image_keep(config: LoaderConfig) -> Unflagged:
    return Unflagged(
        "odds of a single-image document",
        f"{config.single_image_keep!r}",
        f"{_OWN.single_image_keep!r}",
        "change the coin in preprocess_interleaved in open_flamingo/train/data.py; the data alone "
        "cannot do it",
        config.single_image_keep == _OWN.single_image_keep,
    )


def _beyond() -> list[Unflagged]:
    """Name what no setting here asks for and rewritten shards can do."""
    return [
        Unflagged(
            "cap by score",
            "",
            "the first images on the page stay, not the best",
            "mmc4viz apply --cap best",
            True,
        ),
        Unflagged(
            "order of images",
            "",
            "images stand in image order, their tokens in sentence order",
            "mmc4viz apply --order sentence",
            True,
        ),
    ]


def advice(config: LoaderConfig) -> dict[str, list[str]]:
    """Say in words what `unflagged` names, under a heading each; empty ones are left out.

    Examples
    --------
    >>> list(advice(LoaderConfig()))
    ['No flag is needed', 'What rewritten shards can do beyond flags']
    >>> advice(LoaderConfig(min_kb=20))["No flag says this"]
    ['size limit n // 1000 > 20, fixed at n // 1000 > 10: mmc4viz apply leaves the smaller images \
out of the shards']
    """
    found: dict[str, list[str]] = {"No flag says this": [], "No flag is needed": []}
    beyond = found.setdefault("What rewritten shards can do beyond flags", [])
    for one in unflagged(config):
        if not one.wanted:
            beyond.append(f"{one.name}: {one.fixed}; {one.advice}")
        elif one.agrees:
            found["No flag is needed"].append(f"{one.name} {one.wanted}, fixed in the loader")
        else:
            words = f"{one.name} {one.wanted}, fixed at {one.fixed}: {one.advice}"
            found["No flag says this"].append(words)
    return {title: lines for title, lines in found.items() if lines}


_SNIPPET: Final = '''\
import os
import random
from collections import Counter
from functools import lru_cache

import pyarrow.parquet as pq
import webdataset as wds

MANIFEST = {manifest}  # mmc4viz export … --manifest
SHARDS = set(pq.read_table(MANIFEST, columns=["shard"])["shard"].unique().to_pylist())


def shard_of(url):
    """Return the shard's name in the manifest: the end of its path."""
    path = url.partition("?")[0] if "://" in url else os.path.abspath(url)
    parts = path.split("/")
    for n in range(len(parts)):
        if "/".join(parts[n:]) in SHARDS:
            return "/".join(parts[n:])
    raise LookupError(f"{{url}} is not in {{MANIFEST}}")


@lru_cache(maxsize=16)
def rows_of(shard):
    rows, columns = {{}}, ["key", "probability", "pairs"]
    table = pq.read_table(MANIFEST, columns=columns, filters=[("shard", "==", shard)])
    for row in table.to_pylist():  # in the shard's order: a key may come twice
        rows.setdefault(row["key"], []).append(row)
    return rows


def chosen(samples):
    """Keep documents with the probability that they have under the setting.

    Adds (image, sentence, score) of the pairs that the model gets. Comes right after WebDataset,
    before any shuffling: of documents with one key, the order tells which is which.
    """
    url = None
    for sample in samples:
        if sample["__url__"] != url:
            url, seen = sample["__url__"], Counter()
            rows = rows_of(shard_of(url))
        key = sample["__key__"].encode("utf-8", "backslashreplace").decode()
        row = rows[key][seen[key] % len(rows[key])]
        seen[key] += 1
        if random.random() < row["probability"]:
            kept = [pair for pair in row["pairs"] if pair["status"] == "kept"]
            pairs = [(pair["image"], pair["sentence"], pair["score"]) for pair in kept]
            yield sample | {{"pairs": pairs}}


dataset = wds.WebDataset({shards}).compose(chosen)
'''


def webdataset_snippet(
    manifest: str = "manifest.parquet", shards: str = "shards/{000000000..000000099}.tar"
) -> str:
    """Return code for a plain WebDataset pipeline that filters by a manifest of documents."""
    return _SNIPPET.format(manifest=repr(manifest), shards=repr(shards))
