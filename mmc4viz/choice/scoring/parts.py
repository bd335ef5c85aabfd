"""Shards → a sidecar of similarity: a part a shard, kept until all are there, then one file.

A run that is killed leaves whole parts only, and the same command goes on; the same input gives the
same bytes. Files are written beside their places and renamed. Embeds nothing itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from mmc4viz.choice.scoring.encoders import DualEncoder
from mmc4viz.choice.scoring.pages import pages
from mmc4viz.choice.scoring.score import Scale, Scored, scored
from mmc4viz.choice.scoring.score_files import merge, metadata_of, table_of, write_whole
from mmc4viz.corpus.files import absolute, file_name
from mmc4viz.corpus.shards import Shard, image_source
from mmc4viz.corpus.storage import fingerprint, is_remote
from mmc4viz.model import ConfigError, ShardError

FORMAT: Final = "1"
SCALES: Final = ("cosine", "model")  # of what is written


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be scored, and how.

    Attributes
    ----------
    out : str
        The sidecar to be written.
    decoys : str or None
        Another one, of the same shape, of images with another document's sentences.
    image_dir : str or None
        Images of MMC4's own jsonl.
    batch : int
    scale : str
        ``cosine``, or ``model`` for the model's own logits.
    """

    out: str
    decoys: str | None = None
    image_dir: str | None = None
    batch: int = 32
    scale: str = "cosine"


@dataclass(frozen=True, slots=True)
class Part:
    """What became of one shard.

    Attributes
    ----------
    shard : str
    status : str
        ``scored``, ``skipped`` (it was scored before), ``broken off`` or ``failed``.
    reason : str or None
        Why it broke off or failed.
    documents, images, lacking, sentences : int
        Documents with similarity, all their images, those without embedding, and sentences.
    notes : sequence of str
        What of it was not read, a line each.
    """

    shard: str
    status: str
    reason: str | None = None
    documents: int = 0
    images: int = 0
    lacking: int = 0
    sentences: int = 0
    notes: Sequence[str] = ()


def score_shards(
    shards: Sequence[Shard],
    encoder: DualEncoder,
    task: Task,
    progress: Callable[[int], object] = lambda _: None,
) -> list[Part]:
    """Score shards into a sidecar; those that were scored already are skipped.

    Parameters
    ----------
    shards : sequence of Shard
    encoder : DualEncoder
    task : Task
    progress : callable, optional
        Told of documents as they are scored.

    Returns
    -------
    list of Part
        In the order of the shards. Where one failed or broke off the file lacks it or its rest,
        the parts are kept, and the same command tries it again.

    Raises
    ------
    Mmc4vizError
        For a shard named twice, a place that cannot be written, a scale that the model has not,
        a model that fails, or shards that hold nothing to score.
    """
    _check(shards, task)
    scale = scale_of_model(encoder, task.scale)
    wanted = [_made_from(shard, encoder, task) for shard in shards]
    identity = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    files = {"values": task.out} | ({"decoys": task.decoys} if task.decoys else {})
    with _locked(Path(f"{task.out}.parts")) as folder:
        if all(_is_of(path, identity) for path in files.values()):
            shutil.rmtree(folder)
            return [Part(shard.path, "skipped") for shard in shards]
        made = []
        for shard, facts in zip(shards, wanted, strict=True):
            path = folder / f"{file_name(shard.path)}.parquet"
            part = before = _existing(path, facts)
            if part is None or part.status == "broken off":
                notes: list[str] = []
                rows = scored(pages(shard, task.image_dir, notes), encoder, task.batch, scale)
                part = _make(path, facts, shard, shard.name, task, rows, notes, progress, before)
            made.append((path, part))
        there = [path for path, part in made if part.status != "failed"]
        complete = all(part.status in ("scored", "skipped") for _, part in made)
        if not any(part.documents for _, part in made):
            _refuse_nothing(task, [part for _, part in made])
            there = []
        for column, out in files.items() if there else ():
            about = _about(encoder, task, column)
            merge(there, column, Path(out), about, identity if complete else None)
        if complete:
            shutil.rmtree(folder)
    return [part for _, part in made]


def _check(shards: Sequence[Shard], task: Task) -> None:
    counts = Counter(absolute(shard.path) for shard in shards)
    for path, n in counts.items():
        if n > 1:
            raise ShardError(f"{path}: named twice; name each shard once")
    for out in filter(None, (task.out, task.decoys)):
        if is_remote(out):
            raise ConfigError(f"{out}: write to a file of this machine, and copy it then")
    if task.out == task.decoys:
        raise ConfigError(f"{task.out}: --out and --decoys are two files")


def scale_of_model(encoder: DualEncoder, scale: str) -> Scale:
    """Return what makes of cosines what is written.

    Raises
    ------
    ConfigError
        For the model's own scale where ``config.json`` does not have it.
    """
    if scale == "cosine":
        return lambda cosines: cosines
    if encoder.logit_scale is None:
        raise ConfigError(
            f"{encoder.name}: its config.json has no logit_scale, so its own scale is not known; "
            "leave --scale model out"
        )
    factor, bias = math.exp(encoder.logit_scale), encoder.logit_bias or 0.0
    return lambda cosines: factor * cosines + bias


def _made_from(shard: Shard, encoder: DualEncoder, task: Task) -> dict[str, Any]:
    """Say what a shard's part is made from; the size of a batch changes nothing but rounding."""
    return {
        "path": absolute(shard.path),
        "name": shard.name,
        "fingerprint": _fingerprint(shard),
        "weights": encoder.weights,
        "prepared": encoder.prepared,
        "image_dir": task.image_dir,
        "scale": task.scale,
        "decoys": task.decoys is not None,
        "format": FORMAT,
    }


def _fingerprint(shard: Shard) -> str | None:
    try:
        return fingerprint(shard.path)
    except (OSError, ShardError):  # reading it will say what is wrong
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Hold the folder of parts, with a lock that dies with its process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made: {error.strerror}") from None
    lock = FileLock(str(folder / ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"{folder}: another run is scoring into it right now; wait for it"
        ) from None
    try:
        yield folder
    finally:
        lock.release()


def _is_of(path: str, identity: str) -> bool:
    return metadata_of(Path(path)).get("made_from") == identity


def _existing(path: Path, facts: dict[str, Any]) -> Part | None:
    """Return what is there of a shard, if it is what would be made now, as far as can be told."""
    found = metadata_of(path)
    made_from = found.get("made_from")
    if made_from is not None and facts["fingerprint"] is None:
        facts = facts | {"fingerprint": made_from.get("fingerprint")}
    if made_from != facts:
        return None
    before = Part(**found["part"])
    return before if before.status == "broken off" else replace(before, status="skipped")


def _refuse_nothing(task: Task, parts: Sequence[Part]) -> None:
    """Refuse shards that could be read and hold nothing to score."""
    if all(part.status in ("scored", "skipped") for part in parts):
        several = f"{len(parts):,} shards have" if len(parts) > 1 else f"{parts[0].shard} has"
        raise ConfigError(
            f"{task.out}: nothing to write: {several} no document that the loader would match "
            "(none at all, or all are unreadable or written by ChatGPT)"
        )


def _make(
    path: Path,
    facts: dict[str, Any],
    shard: Shard,
    name: str,
    task: Task,
    rows: Iterator[Scored],
    notes: Sequence[str],
    progress: Callable[[int], object],
    before: Part | None,
) -> Part:
    """Score one shard and write its part; what is there stays unless more can be read now."""
    done: list[Scored] = []
    error = None
    try:
        for row in rows:
            done.append(row)
            progress(1)
    except ShardError as broken:
        error = str(broken)
    except MemoryError:
        return Part(shard.path, "failed", f"{shard.path}: out of memory; give a smaller --batch")
    if error is not None and before is not None and len(done) <= before.documents:
        return replace(before, reason=error)
    images, lacking = sum(len(r.similarity) for r in done), sum(r.lacking for r in done)
    if error is not None and not done:
        return Part(shard.path, "failed", error)
    if images and lacking == images and image_source(shard, task.image_dir).sizes_unknown:
        reason = f"{shard.path}: holds no images; name their folder by --image-dir"
        return Part(shard.path, "failed", reason)
    sentences = sum(r.similarity.shape[1] for r in done)
    status = "scored" if error is None else "broken off"
    part = Part(shard.path, status, error, len(done), images, lacking, sentences, notes)
    write_whole(path, [table_of(name, done)], {"made_from": facts, "part": asdict(part)}, {})
    return part


def _about(encoder: DualEncoder, task: Task, column: str) -> dict[str, str]:
    """Return a sidecar's metadata, as `mmc4viz.corpus.sidecar` says."""
    prepared = encoder.prepared
    if column == "decoys":
        prepared += "; decoys: each document's images with another one's sentences"
    of_model = math.exp(encoder.logit_scale or 0.0), encoder.logit_bias or 0.0
    times_100 = abs(of_model[0] - 100) < 1 and of_model[1] == 0
    own = "×100" if times_100 else "unknown"
    return {
        "clip_model": encoder.name + (" (decoys)" if column == "decoys" else ""),
        "weights": encoder.weights,
        "preprocessing": prepared,
        "scale": "cosine" if task.scale == "cosine" else own,
    }
