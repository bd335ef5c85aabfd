"""Training flags for OpenFlamingo, and code for a WebDataset pipeline.

Settings for which the loader has no flag are listed with what can be done about them. Flags and
fixed values are those of OpenFlamingo's ``train/train.py`` and ``train/data.py``.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mmc4viz.loader.profile import profile_of
from mmc4viz.loader.tokenizer import BUILT_IN
from mmc4viz.types import DEFAULT_LOADER, SETTINGS, LoaderConfig, SliceThresholds


@dataclass(frozen=True)
class Unflagged:
    """A setting for which the loader has no flag.

    Attributes
    ----------
    name : str
        The setting in words.
    wanted, fixed : str
        The settings' value and the loader's.
    advice : str
        What can be done if they differ.
    """

    name: str
    wanted: str
    fixed: str
    advice: str

    @property
    def agrees(self) -> bool:
        """Whether the loader does what is wanted."""
        return self.wanted == self.fixed


def openflamingo_flags(config: LoaderConfig) -> str:
    """Return the flags of OpenFlamingo's ``train.py`` for the settings; empty for other trainers.

    Examples
    --------
    >>> openflamingo_flags(LoaderConfig(threshold=0.28))
    '--mmc4_textsim_threshold 0.28 --mmc4_max_num_images 6 --mmc4_min_num_images 1'
    >>> openflamingo_flags(LoaderConfig(threshold=-0.1, tokenizer="facebook/opt-30b"))[-34:]
    ' --tokenizer_path facebook/opt-30b'
    """
    return " ".join(_flags(config))


def _flags(config: LoaderConfig) -> list[str]:
    threshold = repr(config.threshold)
    sign = "=" if threshold.startswith("-") else " "  # otherwise parsed as another flag
    known = {
        "threshold": f"--mmc4_textsim_threshold{sign}{threshold}",
        "max_images": f"--mmc4_max_num_images {config.max_images}",
        "min_images": f"--mmc4_min_num_images {config.min_images}",
    }
    flags = [known[name] for name in profile_of(config).flags]
    if flags and config.tokenizer != BUILT_IN:
        flags.append(f"--tokenizer_path {shlex.quote(_folder(config.tokenizer))}")
    return flags


_SCRIPT: Final = """\
torchrun --nnodes=1 --nproc_per_node=4 open_flamingo/train/train.py \\
  --lm_path anas-awadalla/mpt-1b-redpajama-200b \\
  --cross_attn_every_n_layers 1 \\
  --dataset_resampled \\
  --batch_size_mmc4 32 \\
  --batch_size_laion 64 \\
  --train_num_samples_mmc4 125000 \\
  --train_num_samples_laion 250000 \\
  --loss_multiplier_laion 0.2 \\
  --workers=4 \\
  --run_name OpenFlamingo-3B-vitl-mpt1b \\
  --num_epochs 480 \\
  --warmup_steps 1875 \\
  --seed 42 \\
  --laion_shards "/path/to/laion/shard-{0000..0999}.tar" \\
  --mmc4_shards {shards} \\
"""  # of OpenFlamingo's README, with the default of --seed


def training_command(
    config: LoaderConfig, shards: Sequence[str], folder: str = "/path/to/mmc4"
) -> str:
    """Return OpenFlamingo's reference training command with the settings.

    Parameters
    ----------
    config : LoaderConfig
    shards : sequence of str
        Names of the shards.
    folder : str
        Their folder.
    """
    flags = " \\\n  ".join(_flags(config))
    named = shlex.quote(f"{folder}/{braced(shards)}")
    if not flags:
        source = profile_of(config).source
        return f"# No flags: these settings are in the code of {source}"
    return _SCRIPT.replace("{shards}", named) + f"  {flags}"


def braced(names: Sequence[str]) -> str:
    """Return one pattern for shards numbered without a gap, else an example of one.

    Examples
    --------
    >>> braced(["s-08.tar", "s-09.tar", "s-10.tar"]), braced(["one.tar"])
    ('s-{08..10}.tar', 'one.tar')
    >>> braced(["s-1.tar", "s-3.tar"])
    '{000000000..000000099}.tar'
    """
    if len(names) == 1:
        return names[0]
    parts = [_NUMBERED.fullmatch(name) for name in names]
    if names and all(parts):
        found = [part.groups() for part in parts if part]
        first, last = int(found[0][1]), int(found[-1][1])
        alike = {(before, len(number), after) for before, number, after in found}
        numbers = [int(number) for _, number, _ in found]
        if len(alike) == 1 and numbers == list(range(first, last + 1)):
            return f"{found[0][0]}{{{found[0][1]}..{found[-1][1]}}}{found[0][2]}"
    return "{000000000..000000099}.tar"


_NUMBERED: Final = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


def _folder(tokenizer: str) -> str:
    """Return the tokenizer's name for Transformers: the folder of a ``tokenizer.json``."""
    folder, name = os.path.split(tokenizer)
    return (folder or ".") if name == "tokenizer.json" else tokenizer


def unflagged(config: LoaderConfig) -> list[Unflagged]:
    """Return the settings for which the loader has no flag."""
    own, profile = LoaderConfig.of_loader(config.loader), profile_of(config)
    applies = config.loader == DEFAULT_LOADER  # rewritten shards are for that one
    in_code = f"change it in {profile.source.file} (cannot be done in the data)"
    size = in_code
    if applies and config.min_kb > own.min_kb:
        size = "mmc4viz apply removes the smaller images from the shards"
    pairs = (
        "mmc4viz apply writes shards on which the loader's assignment gives the same pairs, unless "
        "a sentence has several images"
    )
    found = [
        Unflagged("size limit", _size(config), _size(own), size),
        Unflagged("token limit", str(config.max_tokens), str(own.max_tokens), in_code),
        Unflagged("assignment", config.assignment, own.assignment, pairs if applies else in_code),
        Unflagged(
            "single-image keep probability",
            repr(config.single_image_keep),
            repr(own.single_image_keep),
            in_code,
        ),
    ]
    others = {"threshold": config.has_threshold, "max_images": True, "min_images": True}
    return found + [
        Unflagged(
            SETTINGS[name].label.lower(), str(getattr(config, name)), str(getattr(own, name)),
            in_code,
        )
        for name, there in others.items()
        if there and name not in profile.flags
    ]  # fmt: skip


def _size(config: LoaderConfig) -> str:
    return "none" if config.min_kb < 0 else f"n // 1000 > {config.min_kb}"


_BY_SLICE: Final = (
    "slice thresholds: {n:,} besides the settings' own, in the loader one for all; the flag "
    "has the lowest of them, for shards that mmc4viz apply wrote with this config: these carry the "
    "others, as the manifest does"
)
_BY_REWRITING: Final = [
    "cap by score: the loader keeps the first pairs on the page, not the highest-scoring; use "
    "mmc4viz apply --cap best",
    "image order: the loader has images in page order but image tokens in sentence order; use "
    "mmc4viz apply --order sentence",
]


def advice(config: LoaderConfig, slices: SliceThresholds | None = None) -> dict[str, list[str]]:
    """Say what is done without a flag, and what could be done, grouped by heading.

    Parameters
    ----------
    config : LoaderConfig
    slices : SliceThresholds, optional
        Slice thresholds; the flag has the lowest of all.

    Examples
    --------
    >>> list(advice(LoaderConfig()))
    ['Fixed in the loader (no flag)', 'Only possible by rewriting shards (mmc4viz apply)']
    >>> advice(LoaderConfig(min_kb=20))["Different in the loader (no flag)"]
    ['size limit: n // 1000 > 20, in the loader n // 1000 > 10; mmc4viz apply removes the smaller \
images from the shards']
    """
    settings, applies = unflagged(config), config.loader == DEFAULT_LOADER
    different = [
        f"{one.name}: {one.wanted}, in the loader {one.fixed}; {one.advice}"
        for one in settings
        if not one.agrees
    ]
    if slices is not None:
        different.insert(0, _BY_SLICE.format(n=len(slices.thresholds)))
    found = {
        "Different in the loader (no flag)": different,
        "Fixed in the loader (no flag)": [
            f"{one.name}: {one.wanted}" for one in settings if one.agrees
        ],
        "Only possible by rewriting shards (mmc4viz apply)": _BY_REWRITING * applies,
    }
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
    """Return the shard's name in the manifest, which is the end of its path."""
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
    for row in table.to_pylist():  # in the shard's order: keys may repeat
        rows.setdefault(row["key"], []).append(row)
    return rows


def chosen(samples):
    """Keep each document with its keep probability, and add its kept pairs.

    Pairs are (image, sentence, score). Use this directly after WebDataset, before shuffling,
    because documents with the same key are distinguished by their order.
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
    """Return code for a WebDataset pipeline that filters by a document manifest."""
    return _SNIPPET.format(manifest=repr(manifest), shards=repr(shards))
