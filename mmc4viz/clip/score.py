"""Scores shards into a similarity file.

The file has every document that the loader would match, that is, all except unreadable and
ChatGPT-generated ones, with one matrix row per image. Rows of missing or undecodable images are
NaN: the loader ignores such images or drops their document anyway, so the outcome is the same; and
if images were never checked (``--verify none``), NaN makes the document unreadable, as the image
would.

Each shard is first scored into a part, with both scores and decoy scores. The parts are then merged
into the similarity file and the decoy file. An interrupted run leaves only complete parts and
pieces of parts, and the same command resumes it; the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from mmc4viz.clip.document_scores import Scale, scored
from mmc4viz.clip.embeddings import made_from, read_embeddings, write_embeddings
from mmc4viz.clip.encoder import Encoder
from mmc4viz.clip.models import ModelChoice, open_encoder
from mmc4viz.clip.pages import Page, pages
from mmc4viz.clip.parts import Pieces, beside, counts_of, merge, metadata_of, write_whole
from mmc4viz.data.index import absolute, file_name
from mmc4viz.data.jobs import processes, run
from mmc4viz.data.shards import Shard, image_source
from mmc4viz.data.storage import fingerprint, is_remote, locked, make_folder, size_of
from mmc4viz.types import ConfigError, ShardError

FORMAT: Final = "2"
SCALES: Final = ("cosine", "model")


@dataclass(frozen=True, slots=True)
class ScoreTask:
    """Options of a scoring run.

    Attributes
    ----------
    out : str
        The similarity file to write.
    decoys : str or None
        The decoy file to write: each document's images with another document's sentences.
    image_dir : str or None
        Image folder of MMC4's JSONL.
    batch : int or None
        Images, or sentences, per model call; by default what fills the device.
    scale : str
        ``cosine``, or ``model`` for the model's logits.
    embeddings : str or None
        Where to keep embeddings: a file, if its name ends in ``.parquet``, else a folder with a
        file per shard.
    """

    out: str
    decoys: str | None = None
    image_dir: str | None = None
    batch: int | None = None
    scale: str = "cosine"
    embeddings: str | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """A step of a scoring run.

    Attributes
    ----------
    documents, images, sentences : int
        Scored now.
    n_bytes, skipped : int
        Bytes of shards that are dealt with now, and that were before.
    """

    documents: int = 0
    images: int = 0
    sentences: int = 0
    n_bytes: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class ScoredPart:
    """Result for one shard.

    Attributes
    ----------
    shard : str
    status : str
        ``scored``, ``skipped`` (scored before), ``incomplete`` (read in part) or ``failed``.
    reason : str or None
        Why it is incomplete or failed.
    documents, images, lacking, sentences : int
        Scored documents, their images, images without embedding, and sentences.
    notes : sequence of str
        What was not read, one line each.
    """

    shard: str
    status: str
    reason: str | None = None
    documents: int = 0
    images: int = 0
    lacking: int = 0
    sentences: int = 0
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Job:
    """One shard to score.

    Attributes
    ----------
    shard : Shard
    path : Path
        Of its part.
    facts : dict
        What the part is made from.
    task : ScoreTask
    before : ScoredPart or None
        An earlier part, of a shard that could be read in part only.
    """

    shard: Shard
    path: Path
    facts: dict[str, Any]
    task: ScoreTask
    before: ScoredPart | None


Progress = Callable[[Advance], object]


def score_shards(
    shards: Sequence[Shard],
    encoder: Encoder,
    task: ScoreTask,
    progress: Progress = lambda _: None,
    workers: int = 1,
    choice: ModelChoice | None = None,
) -> list[ScoredPart]:
    """Score shards into a similarity file, skipping those already scored.

    Parameters
    ----------
    shards : sequence of Shard
    encoder : Encoder
    task : ScoreTask
    progress : callable, optional
        Called with every `Advance`.
    workers : int, optional
        Worker processes, each with its own GPU if there are several.
    choice : ModelChoice, optional
        With which workers open the encoder; needed for several.

    Returns
    -------
    list of ScoredPart
        In the order of the shards. If a shard failed or is truncated, the file lacks it or its
        rest, and the same command tries it again.

    Raises
    ------
    Mmc4vizError
        For a shard listed twice, an unwritable path, a scale that the model does not have, a
        failing model, or shards without anything to score.
    """
    _check(shards, task)
    scale_of_model(encoder, task.scale)
    wanted = [_made_from(shard, encoder, task) for shard in shards]
    identity = _identity(wanted)
    files = {"values": task.out} | ({"decoys": task.decoys} if task.decoys else {})
    kept = _EmbeddingFiles(task.embeddings, shards, wanted)
    folder = Path(f"{task.out}.parts")
    busy = f"{folder} is in use by another scoring run; wait for it to finish"
    with locked(folder / ".lock", ConfigError(busy)):
        if all(_is_of(path, identity) for path in files.values()) and kept.complete():
            shutil.rmtree(folder)
            return [ScoredPart(shard.path, "skipped") for shard in shards]
        paths = [folder / _part_name(shard) for shard in shards]
        jobs = [
            _Job(shard, path, facts, task, _existing(path, facts))
            for shard, path, facts in zip(shards, paths, wanted, strict=True)
        ]
        done = _score(jobs, encoder, progress, workers, choice)
        parts = dict(zip(paths, done, strict=True))
        there = [path for path, part in parts.items() if part.status != "failed"]
        complete = all(part.status in ("scored", "skipped") for part in done)
        if not any(part.documents for part in done):
            _check_not_empty(task, done)
            there = []
        for column, out in files.items() if there else ():
            about = _about(encoder, task, column)
            merge(there, column, Path(out), about, identity if complete else None)
        if there:
            kept.write({path: parts[path] for path in there}, _about(encoder, task, "values"))
        if complete:
            shutil.rmtree(folder)
    return done


def _score(
    jobs: Sequence[_Job],
    encoder: Encoder,
    progress: Progress,
    workers: int,
    choice: ModelChoice | None,
) -> list[ScoredPart]:
    """Score what is not scored yet; return all results in order."""
    done: dict[str, ScoredPart] = {}
    left: list[_Job] = []
    for job in jobs:
        if job.before is None or job.before.status == "incomplete":
            left.append(job)
        else:
            done[job.shard.path] = job.before
            progress(Advance(skipped=shard_size(job.shard)))

    def add(part: ScoredPart) -> None:
        done[part.shard] = part

    if workers > 1 and choice is not None and len(left) > 1:
        sizes = {job.shard.path: shard_size(job.shard) for job in left}

        def finished(part: ScoredPart) -> None:
            add(part)
            n_bytes = sizes[part.shard]
            progress(Advance(part.documents, part.images, part.sentences, n_bytes))

        run(
            partial(_in_worker, choice),
            left,
            lambda: processes(min(workers, len(left))),
            finished,
            lambda job, reason: ScoredPart(job.shard.path, "failed", reason),
        )
    else:
        for job in left:
            add(_score_shard(job, encoder, progress))
    return [done[job.shard.path] for job in jobs]


@cache
def _encoder_of(choice: ModelChoice) -> Encoder:
    return open_encoder(choice)


def _in_worker(choice: ModelChoice, job: _Job) -> ScoredPart:
    return _score_shard(job, _encoder_of(choice), lambda _: None)


def _check(shards: Sequence[Shard], task: ScoreTask) -> None:
    counts = Counter(absolute(shard.path) for shard in shards)
    for path, n in counts.items():
        if n > 1:
            raise ShardError(f"{path} is listed twice; list each shard once")
    outs = [out for out in (task.out, task.decoys, task.embeddings) if out is not None]
    for out in outs:
        if is_remote(out):
            raise ConfigError(f"{out} is not a local path; write to a local file and copy it")
    if len(set(map(os.path.abspath, outs))) < len(outs):
        raise ConfigError(f"{task.out}: --out, --decoys and --embeddings must be different files")


def scale_of_model(encoder: Encoder, scale: str) -> Scale:
    """Return the function from cosines to scores.

    Raises
    ------
    ConfigError
        For the model's scale if ``config.json`` does not give it.
    """
    if scale == "cosine":
        return lambda cosines: cosines
    if encoder.logit_scale is None:
        raise ConfigError(
            f"{encoder.name}: no logit_scale in config.json, so the model's scale is unknown; omit "
            "--scale model"
        )
    factor, bias = math.exp(encoder.logit_scale), encoder.logit_bias or 0.0
    return lambda cosines: factor * cosines + bias


def _made_from(shard: Shard, encoder: Encoder, task: ScoreTask) -> dict[str, Any]:
    """Return the inputs of a shard's part; batch size is ignored, as it only affects rounding."""
    return {
        "path": absolute(shard.path),
        "name": shard.name,
        "fingerprint": _fingerprint(shard),
        "weights": encoder.weights,
        "prepared": encoder.prepared,
        "image_dir": task.image_dir,
        "read_as": [shard.format, shard.unit],
        "scale": task.scale,
        "decoys": task.decoys is not None,
        "embeddings": task.embeddings is not None,
        "format": FORMAT,
    }


def _identity(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _fingerprint(shard: Shard) -> str | None:
    try:
        return fingerprint(shard.path)
    except (OSError, ShardError):  # reported when the shard is read
        return None


def _is_of(path: str, identity: str) -> bool:
    return metadata_of(Path(path)).get("made_from") == identity


def _existing(path: Path, facts: dict[str, Any]) -> ScoredPart | None:
    """Return a shard's existing part if it has the same inputs, as far as known."""
    found = metadata_of(path)
    made = found.get("made_from")
    if made is not None and facts["fingerprint"] is None:
        facts = facts | {"fingerprint": made.get("fingerprint")}
    if made != facts or (facts["embeddings"] and not beside(path).is_file()):
        return None
    before = ScoredPart(**found["part"])
    return before if before.status == "incomplete" else replace(before, status="skipped")


def _check_not_empty(task: ScoreTask, parts: Sequence[ScoredPart]) -> None:
    """Raise an error if the shards are readable but have nothing to score."""
    if all(part.status in ("scored", "skipped") for part in parts):
        where = f"the {len(parts):,} shards" if len(parts) > 1 else parts[0].shard
        raise ConfigError(
            f"{task.out}: nothing to score: all documents in {where} are unreadable or "
            "ChatGPT-generated, or there are none"
        )


def _score_shard(job: _Job, encoder: Encoder, progress: Progress) -> ScoredPart:
    """Score one shard and write its part; an existing one stays unless more can be read now."""
    shard, task, before = job.shard, job.task, job.before
    pieces = Pieces(job.path, job.facts, shard.name, task.embeddings is not None)
    notes: list[str] = []
    told, error = 0, None

    def tell(step: Advance) -> None:
        nonlocal told
        told += step.n_bytes + step.skipped
        progress(step)

    stream = _after(pages(shard, task.image_dir, notes), pieces.counts.documents, tell)
    scale = scale_of_model(encoder, task.scale)
    try:
        for block in scored(stream, encoder, task.batch, scale):
            pieces.add(block)
            new = counts_of(block)
            n_bytes = sum(row.n_bytes for row in block)
            tell(Advance(new.documents, new.images, new.sentences, n_bytes))
    except ShardError as broken:
        error = str(broken)
    except MemoryError:
        return ScoredPart(
            shard.path, "failed", f"{shard.path}: out of memory; use a smaller --batch"
        )
    finally:
        progress(Advance(n_bytes=max(0, shard_size(shard) - told)))
    counts = pieces.counts
    if error is not None and before is not None and counts.documents <= before.documents:
        return replace(before, reason=error)
    if error is not None and not counts.documents:
        return ScoredPart(shard.path, "failed", error)
    none_there = counts.images and counts.lacking == counts.images
    if none_there and image_source(shard, task.image_dir).sizes_unknown:
        reason = f"{shard.path} contains no images; pass their folder with --image-dir"
        return ScoredPart(shard.path, "failed", reason)
    status = "scored" if error is None else "incomplete"
    part = ScoredPart(shard.path, status, error, **asdict(counts), notes=notes)
    if task.embeddings is not None and counts.documents:
        write_embeddings(beside(job.path), pieces.embeddings(), {})
    write_whole(job.path, [pieces.table()], {"made_from": job.facts, "part": asdict(part)}, {})
    if error is None:
        pieces.remove()
    return part


def _after(stream: Iterator[Page], n_documents: int, tell: Progress) -> Iterator[Page]:
    """Yield the documents after those that an earlier run has scored."""
    for page in islice(stream, n_documents):
        tell(Advance(skipped=page.n_bytes))
    yield from stream


def _part_name(shard: Shard) -> str:
    return file_name(shard.path).removesuffix(".arrow") + ".parquet"


def shard_size(shard: Shard) -> int:
    """Return a shard's size in bytes; 0 if it is unknown."""
    try:
        return size_of(shard.path)
    except (OSError, ShardError):  # reported when the shard is read
        return 0


@dataclass(frozen=True)
class _EmbeddingFiles:
    """The files of embeddings that a run keeps.

    Attributes
    ----------
    place : str or None
        A file or a folder.
    shards : sequence of Shard
    facts : sequence of dict
        What each shard's are made from.
    """

    place: str | None
    shards: Sequence[Shard]
    facts: Sequence[dict[str, Any]]

    def _files(self) -> dict[Path, str]:
        """Return each file with what it is made from."""
        if self.place is None:
            return {}
        if self.place.endswith(".parquet"):
            return {Path(self.place): _identity(list(self.facts))}
        return {
            Path(self.place, _part_name(shard)): _identity(facts)
            for shard, facts in zip(self.shards, self.facts, strict=True)
        }

    def complete(self) -> bool:
        """Whether all files are there."""
        return all(made_from(path) == identity for path, identity in self._files().items())

    def write(self, parts: Mapping[Path, ScoredPart], about: dict[str, str]) -> None:
        """Write the files from the parts of shards, as far as there are any."""
        if self.place is None:
            return
        whole = {path: part.status in ("scored", "skipped") for path, part in parts.items()}
        there = {path: beside(path) for path in parts if beside(path).is_file()}
        if self.place.endswith(".parquet"):
            [(path, identity)] = self._files().items()
            complete = len(whole) == len(self.shards) and all(whole.values())
            tables = (table for file in there.values() for table in read_embeddings(file))
            write_embeddings(path, tables, about | ({"made_from": identity} if complete else {}))
            return
        make_folder(self.place, ConfigError)
        files = {path.name: (path, identity) for path, identity in self._files().items()}
        for part, file in there.items():
            path, identity = files[part.name]
            known = {"made_from": identity} if whole[part] else {}
            write_embeddings(path, read_embeddings(file), about | known)


def _about(encoder: Encoder, task: ScoreTask, column: str) -> dict[str, str]:
    """Return a similarity file's metadata (`mmc4viz.data.similarity_file`)."""
    prepared = encoder.prepared
    if column == "decoys":
        prepared += "; decoys: each document's images with another document's sentences"
    of_model = math.exp(encoder.logit_scale or 0.0), encoder.logit_bias or 0.0
    times_100 = abs(of_model[0] - 100) < 1 and of_model[1] == 0
    own = "×100" if times_100 else "unknown"
    return {
        "clip_model": encoder.name + (" (decoys)" if column == "decoys" else ""),
        "weights": encoder.weights,
        "preprocessing": prepared,
        "scale": "cosine" if task.scale == "cosine" else own,
    }
