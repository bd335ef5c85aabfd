"""Files that let Megatron-Energon train on exactly the chosen images, with shards left as they are.

``.nv-meta`` gets ``split.yaml``, whose ``exclude`` lists the documents that are not kept (whole
shards where none is); ``.info.json`` with the number of documents of each shard; ``dataset.yaml``
and ``sample_loader.py``, which turn a document into an ``InterleavedSample``; and
``chosen.sqlite``, in which the loader looks up a document's chosen images and their sentences. No
byte of a shard is copied or changed; ``energon prepare --tar-index-only`` then adds its own index.

What Energon refuses is refused here, in one line: compressed tars, shards outside the dataset's
folder, a key that occurs twice in the dataset, and keys that ``split.yaml`` cannot name.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml
from braceexpand import braceexpand

from mmc4viz.apply.tasks import ReplacingError
from mmc4viz.config_file import SLICE_THRESHOLDS
from mmc4viz.data.columns import Columns
from mmc4viz.data.shards import Shard
from mmc4viz.data.storage import is_remote, make_folder, open_for_reading, whole_file
from mmc4viz.export import manifest
from mmc4viz.export.trainers.rows import ExportError, chosen_of, refuse_random
from mmc4viz.formats.format import Container
from mmc4viz.loader.profile import profile_of
from mmc4viz.slices.attributes import SlicedCorpus
from mmc4viz.slices.thresholds import resolved
from mmc4viz.sweep.sweep import match_corpus
from mmc4viz.types import ConfigError, LoaderConfig, SliceThresholds

FOLDER: Final = ".nv-meta"
MARK: Final = "# mmc4viz "
_ESCAPED: Final = re.compile(r"[\\{}]")
_UNSTORABLE: Final = re.compile(r"\\ud[c-f][0-9a-f]{2}")
_DATASET: Final = """\
sample_type:
  __module__: megatron.energon
  __class__: InterleavedSample
sample_loader: sample_loader.py:sample_loader
part_filter: sample_loader.py:part_filter
"""


@dataclass(frozen=True, slots=True)
class EnergonSummary:
    """What was written.

    Attributes
    ----------
    documents, images : int
        Chosen ones.
    of : int
        All documents.
    excluded : int
        Entries in ``exclude``.
    chatgpt : int
        ChatGPT-generated documents, which are excluded.
    """

    documents: int
    images: int
    of: int
    excluded: int
    chatgpt: int

    def notes(self) -> list[str]:
        """Say what was written.

        Examples
        --------
        >>> EnergonSummary(2, 3, 9, 7, 1).notes()
        ['2 of 9 documents with 3 images; 7 entries in exclude; no shard was changed', \
'ChatGPT-generated documents, which are excluded: 1']
        """
        found = [
            f"{self.documents:,} of {self.of:,} documents with {self.images:,} images; "
            f"{self.excluded:,} entries in exclude; no shard was changed"
        ]
        if self.chatgpt:
            found.append(f"ChatGPT-generated documents, which are excluded: {self.chatgpt:,}")
        return found


def write_energon(
    parts: Sequence[Columns],
    config: LoaderConfig,
    out: str,
    slices: SliceThresholds | None = None,
    *,
    overwrite: bool = False,
    advance: Callable[[int], object] = lambda _: None,
) -> EnergonSummary:
    """Write Energon's files next to shards.

    Parameters
    ----------
    parts : sequence of Columns
        Of all shards, complete.
    config : LoaderConfig
    out : str
        The dataset's folder, in which or below which all shards are.
    slices : SliceThresholds, optional
    overwrite : bool
        Whether files that are there already may be replaced.
    advance : callable
        Called with the number of documents of each shard that is done; if it raises, nothing is
        written.

    Raises
    ------
    ExportError
        If the loader draws at random, Energon could not read the result, or files of others would
        be overwritten.
    ReplacingError
        If other settings' files are there, and may not be replaced.
    """
    refuse_random(config)
    names = [_name(part.shard, out) for part in parts]
    _check_keys(parts, names)
    folder = Path(out) / FOLDER
    head = _head(config, slices)
    same = _check_folder(folder, head, overwrite=overwrite)
    split_parts = _split_parts(folder, names, same=same)
    make_folder(str(folder), ExportError)
    excluded: list[str] = []
    beside = folder / f"chosen.sqlite.part-{os.getpid()}"
    try:
        with closing(sqlite3.connect(beside)) as store:
            store.execute("PRAGMA journal_mode = OFF")
            store.execute("CREATE TABLE chosen (key TEXT PRIMARY KEY, pairs TEXT) WITHOUT ROWID")
            found = _fill(store, excluded, parts, names, config, slices, advance)
            store.commit()
        if not found.documents:
            raise ExportError(
                f"no document is kept at {config.threshold:g}, and Energon refuses an empty "
                "dataset; run mmc4viz curve to see other thresholds"
            )
        os.replace(beside, folder / "chosen.sqlite")
    except (OSError, sqlite3.Error) as error:
        raise ExportError(f"{folder}: cannot be written: {error}") from None
    finally:
        beside.unlink(missing_ok=True)
    counts = {name: len(part) for name, part in zip(names, parts, strict=True)}
    loader = (files("mmc4viz.export.trainers") / "energon_loader.py").read_text("utf-8")
    _write(folder / "sample_loader.py", loader)
    _write(folder / "dataset.yaml", _DATASET)
    if not (folder / ".info.json").exists():
        _write(folder / ".info.json", json.dumps({"shard_counts": counts}, indent=2) + "\n")
    lines = [head, "split_parts:"]
    for part_name, its in split_parts.items():
        lines.append(f"  {json.dumps(part_name)}:{'' if its else ' []'}")
        lines += [f"  - {json.dumps(name)}" for name in its]
    lines += ["exclude:" if excluded else "exclude: []"]
    lines += [f"- {json.dumps(entry)}" for entry in excluded]
    _write(folder / "split.yaml", "\n".join(lines) + "\n")  # last: it makes the rest effective
    return found


def _fill(
    store: sqlite3.Connection,
    excluded: list[str],
    parts: Sequence[Columns],
    names: Sequence[str],
    config: LoaderConfig,
    slices: SliceThresholds | None,
    advance: Callable[[int], object],
) -> EnergonSummary:
    """Store the chosen pairs; append the entries for all other documents."""
    matched = match_corpus(parts, config)
    shifts = None if slices is None else resolved(slices, SlicedCorpus(matched)).shifts
    documents = images = chatgpt = place = 0
    for chunk in manifest.chunks(matched, config, size=1, shifts=shifts):
        (part,) = chunk.parts
        keys, chosen = part.columns.batch.column("key").to_pylist(), chosen_of(chunk)
        page_of = profile_of(config).page_of
        generated = {row for row, one in part.literal.items() if page_of(one).is_gpt}
        taken = []
        for at, row in enumerate(chosen.row.tolist()):
            if row in generated:
                chatgpt += 1
                continue
            taken.append(row)
            pairs = sorted(chosen.pairs(at), key=lambda pair: (pair[1], pair[0]))
            store.execute("INSERT INTO chosen VALUES (?, ?)", (keys[row], json.dumps(pairs)))
            images += len(pairs)
        documents += len(taken)
        name, kept = names[place], set(taken)
        if kept:
            rest = [key for row, key in enumerate(keys) if row not in kept]
            excluded += [_entry(f"{name}/{key}") for key in rest]
        else:
            excluded.append(_entry(name))
        place += 1
        advance(len(keys))
    return EnergonSummary(documents, images, sum(map(len, parts)), len(excluded), chatgpt)


def _entry(name: str) -> str:
    """Return an entry of ``exclude``, in which Energon expands braces.

    Raises
    ------
    ExportError
        If it cannot be named there.
    """
    entry = _ESCAPED.sub(r"\\\g<0>", name)
    try:
        expanded = list(braceexpand(entry))
    except ValueError:  # unbalanced braces
        expanded = []
    if expanded != [name]:
        raise ExportError(f"{name!r} cannot be named in Energon's split.yaml; rename it")
    return entry


def _name(shard: Shard, out: str) -> str:
    """Return a shard's name in the dataset: its path below the folder."""
    if is_remote(shard.path) or is_remote(out):
        raise ExportError(
            f"{shard.path}: --for energon needs local shards; download them, or use --for hf"
        )
    if (
        shard.layout is not Container.TAR
        or not shard.is_mmc4
        or not shard.path.lower().endswith(".tar")
    ):
        raise ExportError(
            f"{shard.path}: Energon reads uncompressed .tar shards only; use --for hf for others"
        )
    with open_for_reading(shard.path) as file:
        head = file.peek(tarfile.BLOCKSIZE)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")):
        raise ExportError(f"{shard.path}: is compressed, which Energon cannot read; unpack it")
    inside = os.path.relpath(os.path.realpath(shard.path), os.path.realpath(out))
    if inside.startswith(".."):
        raise ExportError(
            f"{shard.path}: Energon reads shards below its dataset's folder, not {out}; give --out "
            "a folder that contains all shards"
        )
    return inside


def _check_keys(parts: Sequence[Columns], names: Sequence[str]) -> None:
    """Reject keys that Energon or its ``split.yaml`` cannot have."""
    seen: dict[str, str] = {}
    for part, name in zip(parts, names, strict=True):
        if part.drawn is not None or part.error is not None:
            why = part.error or f"{part.shard.path}: is only a sample"
            raise ExportError(f"{why}; Energon reads whole shards only")
        for key in part.batch.column("key").to_pylist():
            if (other := seen.setdefault(key, name)) is not name or _UNSTORABLE.search(key):
                raise ExportError(_refused(key, name, other))
    for part, name in zip(parts, names, strict=True):
        counted = Counter(part.batch.column("key").to_pylist())
        if len(counted) < len(part):
            key = counted.most_common(1)[0][0]
            raise ExportError(_refused(key, name, name))


def _refused(key: str, name: str, other: str) -> str:
    if _UNSTORABLE.search(key):
        return f"{name}: the key {key!r} is not UTF-8, so Energon cannot exclude it; rename it"
    where = "twice" if other == name else f"in {other}, too"
    return (
        f"{name}: the key {key!r} occurs {where}, which Energon refuses; give documents unique "
        "keys, or use --for hf"
    )


def _head(config: LoaderConfig, slices: SliceThresholds | None) -> str:
    """Return the first line of ``split.yaml``, which tells settings apart."""
    settings = config.as_dict()
    settings |= {} if slices is None else {SLICE_THRESHOLDS: slices.as_dict()}
    text = json.dumps(settings, sort_keys=True)
    return f"{MARK}{version('mmc4viz')}, settings {sha256(text.encode()).hexdigest()[:16]}: {text}"


def _check_folder(folder: Path, head: str, *, overwrite: bool) -> bool:
    """Return whether the files there were made with these settings; refuse to replace others."""
    split = folder / "split.yaml"
    try:
        with split.open(encoding="utf-8") as file:
            first = file.readline().rstrip("\n")
    except FileNotFoundError:
        others = [n for n in ("dataset.yaml", "sample_loader.py") if (folder / n).exists()]
        if others and not overwrite:
            raise ReplacingError(
                f"{folder / others[0]}: already exists and was not written by mmc4viz; move it, or "
                "add --overwrite"
            ) from None
        return False
    except (OSError, ValueError) as error:
        raise ExportError(f"{split}: cannot be read: {error}") from None
    ours = first.startswith(MARK)
    if ours and first.partition("settings ")[2] == head.partition("settings ")[2]:
        return True
    if not overwrite:
        how = "written with different settings" if ours else "not written by mmc4viz"
        raise ReplacingError(
            f"{split}: already exists and was {how}; add --overwrite to replace it (its split "
            "parts are kept)"
        )
    return ours


def _split_parts(folder: Path, names: Sequence[str], *, same: bool) -> dict[str, list[str]]:
    """Return the split parts of an existing ``split.yaml``, else all shards as ``train``."""
    every = {"train": [_entry(name) for name in names], "val": [], "test": []}
    split = folder / "split.yaml"
    if same or not split.exists():
        return every
    try:
        found: Any = yaml.safe_load(split.read_bytes())["split_parts"]
        return {str(part): [str(name) for name in its] for part, its in found.items()}
    except (yaml.YAMLError, OSError, LookupError, TypeError, AttributeError):
        return every


def _write(path: Path, text: str) -> None:
    try:
        with whole_file(str(path)) as file:
            file.write(text.encode("utf-8", "surrogateescape"))
    except ConfigError as error:
        raise ExportError(str(error)) from None
