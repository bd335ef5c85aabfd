"""Score shards into a similarity file.

The file has every document that the loader would match, that is, all except unreadable and
ChatGPT-generated ones, with one matrix row per image. Rows of missing or undecodable images are
NaN: the loader ignores such images or drops their document anyway, so the outcome is the same; and
if images were never checked (``--verify none``), NaN makes the document unreadable, as the image
would.

Each shard is first scored into a part, with both scores and decoy scores. The parts are then merged
into the similarity file and the decoy file. An interrupted run leaves only complete parts, and the
same command resumes it; the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmc4viz.clip.encoder import DualEncoder, Embeddings
from mmc4viz.clip.preprocess import Pixels, Preprocessing
from mmc4viz.data.index import absolute, file_name
from mmc4viz.data.ingest import ImageTally, document_from, images_in
from mmc4viz.data.shards import Shard, image_source, samples
from mmc4viz.data.similarity_file import check_rows, digests_of, own_metadata, seal
from mmc4viz.data.storage import fingerprint, is_remote, locked, put_in_place
from mmc4viz.loader.images import ImageSource, is_too_large, open_image, skip_check
from mmc4viz.text import storable
from mmc4viz.types import ConfigError, Document, ShardError


@dataclass(frozen=True, slots=True)
class Page:
    """One document.

    Attributes
    ----------
    key : str
        As written in the index.
    images : list of (bytes or None)
        None for missing images.
    sentences : list of str
        Values that are not strings are formatted as Python would; empty if there is no list.
    """

    key: str
    images: list[bytes | None]
    sentences: list[str]


@dataclass(slots=True)
class _Keeping:
    """An image source that records what it returns; each entry is requested once, in order."""

    source: ImageSource
    kept: list[bytes | None] = field(default_factory=list)

    @property
    def sizes_unknown(self) -> bool:
        return self.source.sizes_unknown

    def data(self, entry: Any) -> bytes | None:
        self.kept.append(None)
        self.kept[-1] = self.source.data(entry)
        return self.kept[-1]


def pages(
    shard: Shard, image_dir: str | None = None, notes: list[str] | None = None
) -> Iterator[Page]:
    """Stream a shard's documents; unread content is noted in ``notes``, one line each.

    Raises
    ------
    ShardError
        If the shard cannot be read or is truncated, after yielding what precedes the damage.
    """
    source, tally = image_source(shard, image_dir), ImageTally()
    for sample in samples(shard, notes):
        keeping = _Keeping(images_in(sample, source))
        document = document_from(sample, keeping, skip_check)
        if document.error is None and not document.is_gpt:
            tally.add(document)
            yield Page(storable(document.key), keeping.kept, _sentences(document))
    if notes is not None:
        notes += tally.notes(shard, source)


def _sentences(document: Document) -> list[str]:
    texts = document.sentences
    return [str(text) for text in texts] if isinstance(texts, list) else []


A = TypeVar("A")
B = TypeVar("B")
Matrix = NDArray[np.float32]
Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_BLOCK: Final = 128  # documents scored together
_LARGE: Final = 2**24  # pixels; larger images are decoded one at a time
_ONE_AT_A_TIME: Final = Lock()


@dataclass(frozen=True, slots=True)
class Scored:
    """One document's scores.

    Attributes
    ----------
    key : str
    similarity : ndarray of float32, shape (images, sentences)
    decoys : ndarray of float32, shape (images, sentences)
        Its images against as many sentences of other documents; NaN if there are too few.
    lacking : int
        Missing or undecodable images.
    """

    key: str
    similarity: Matrix
    decoys: Matrix
    lacking: int


def scored(
    pages: Iterable[Page],
    encoder: DualEncoder,
    batch: int,
    scale: Scale,
) -> Iterator[Scored]:
    """Score documents, in order.

    Parameters
    ----------
    pages : iterable of Page
    encoder : DualEncoder
    batch : int
        Images, or sentences, per model call.
    scale : callable
        Converts cosines to the scores to write.
    """
    broken: list[Exception] = []
    stream = _until_error(pages, broken)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while block := list(islice(stream, _BLOCK)):
            yield from _block(block, encoder, batch, scale, pool)
    if broken:
        raise broken[0]


def _until_error(pages: Iterable[A], broken: list[Exception]) -> Iterator[A]:
    """Yield items up to an error, which is kept for the end."""
    try:
        yield from pages
    except Exception as error:
        broken.append(error)


def _block(
    block: Sequence[Page],
    encoder: DualEncoder,
    batch: int,
    scale: Scale,
    pool: ThreadPoolExecutor,
) -> Iterator[Scored]:
    prepare = partial(prepared, encoder.preprocessing)
    pixels = _ahead(pool, prepare, [data for page in block for data in page.images], 2 * batch)
    of_images = _split(_embedded_images(pixels, encoder, batch), [len(p.images) for p in block])
    of_texts = _split(_embedded_texts(block, encoder, batch), [len(p.sentences) for p in block])
    for at, page in enumerate(block):
        images = of_images[at].astype(np.float64)
        others = _others(block, of_texts, at).astype(np.float64)
        yield Scored(
            page.key,
            scale(images @ of_texts[at].astype(np.float64).T).astype(np.float32),
            scale(images @ others.T).astype(np.float32),
            int(np.isnan(images[:, :1]).sum()),
        )


def prepared(preprocessing: Preprocessing, data: bytes | None) -> Pixels | None:
    """Decode and preprocess an image; None if it is undecodable or too large."""
    if data is None:
        return None
    try:
        with open_image(io.BytesIO(data)) as image:
            if is_too_large(image.format or "", *image.size):
                return None
            large = image.width * image.height > _LARGE
            with _ONE_AT_A_TIME if large else nullcontext():
                return preprocessing(image)
    except MemoryError:
        raise
    except Exception:  # Pillow's plugins raise errors of every kind on hostile bytes
        return None


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[A], B], items: Iterable[A], most: int
) -> Iterator[B]:
    """Apply a function in threads, in order, at most ``most`` items ahead."""
    waiting: deque[Future[B]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _embedded_images(
    pixels: Iterable[Pixels | None], encoder: DualEncoder, batch: int
) -> Embeddings:
    """Embed images; NaN for missing ones."""
    found: list[Embeddings] = []
    numbered = enumerate(pixels)
    places: list[int] = []
    total = 0
    while some := list(islice(numbered, batch)):
        total = some[-1][0] + 1
        there = [(number, image) for number, image in some if image is not None]
        places += [number for number, _ in there]
        if there:
            found.append(encoder.embed_pixels([image for _, image in there]))
    made = np.full((total, encoder.dimension), np.nan, np.float32)
    if found:
        made[places] = np.concatenate(found)
    return made


def _embedded_texts(block: Sequence[Page], encoder: DualEncoder, batch: int) -> Embeddings:
    sentences = [text for page in block for text in page.sentences]
    starts = range(0, len(sentences), batch)
    made = [encoder.embed_sentences(sentences[start : start + batch]) for start in starts]
    return np.concatenate([np.zeros((0, encoder.dimension), np.float32), *made])


def _split(rows: Embeddings, counts: Sequence[int]) -> list[Embeddings]:
    return np.split(rows, np.cumsum(counts)[:-1])


def _others(block: Sequence[Page], of_texts: Sequence[Embeddings], at: int) -> Embeddings:
    """Return as many sentences of other documents as a document has.

    From the next document that has enough; else from several, with NaN for those still lacking.
    """
    own, wanted = block[at].sentences, len(block[at].sentences)
    following = [(at + step) % len(block) for step in range(1, len(block))]
    other = [n for n in following if block[n].sentences != own]
    enough = [n for n in other if len(block[n].sentences) >= wanted][:1]
    found = np.concatenate([of_texts[at][:0], *(of_texts[n] for n in enough or other)])[:wanted]
    missing = np.full((wanted - len(found), found.shape[1]), np.nan, np.float32)
    return np.concatenate([found, missing])


_SCHEMA: Final = pa.schema(
    {
        "shard": pa.string(),
        "key": pa.string(),
        "images": pa.int32(),
        "sentences": pa.int32(),
        "values": pa.list_(pa.float32()),
        "decoys": pa.list_(pa.float32()),
    }
)


def metadata_of(path: Path) -> dict[str, Any]:
    """Read the metadata of one of our files; empty if it is not one or is damaged."""
    try:
        return dict(_facts(path, lambda _: None))
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return {}


def _facts(path: Path, take: Callable[[pa.Table], object]) -> dict[str, Any]:
    """Read and check one of our files, shard by shard; return its metadata."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        found = own_metadata(file.metadata.metadata)
        for group in range(file.num_row_groups) if found else ():
            rows = file.read_row_group(group)
            check_rows(rows, found.get("rows", {}))
            take(rows)
    return found


def table_of(name: str, rows: Sequence[Scored]) -> pa.Table:
    """Return a shard's documents as a table, under the shard's name in the similarity file."""
    columns = [
        [name] * len(rows),
        [row.key for row in rows],
        [row.similarity.shape[0] for row in rows],
        [row.similarity.shape[1] for row in rows],
        [row.similarity.ravel() for row in rows],
        [row.decoys.ravel() for row in rows],
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def merge(
    paths: Sequence[Path], column: str, out: Path, about: dict[str, str], identity: str | None
) -> None:
    """Write the parts' rows as one similarity file, with one column as its values."""
    names = ["shard", "key", "images", "sentences", column]
    tables = (
        table.select(names).rename_columns([*names[:4], "values"])
        for path in paths
        for table in _read_part(path)
    )
    write_whole(out, tables, {"made_from": identity}, about)


def _read_part(path: Path) -> list[pa.Table]:
    """Read a part."""
    found: list[pa.Table] = []
    try:
        _facts(path, found.append)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ConfigError(
            f"{path} is damaged ({error!s:.80}); run the same command again to rewrite it"
        ) from None
    return found or [_SCHEMA.empty_table()]


def write_whole(
    path: Path, tables: Iterable[pa.Table], facts: dict[str, Any], about: dict[str, str]
) -> None:
    """Write tables atomically as one Parquet file, each as a row group.

    Parameters
    ----------
    path : Path
    tables : iterable of pyarrow.Table
        At least one, each of whole shards.
    facts : dict
        Metadata returned by `metadata_of`.
    about : dict of str
        Further metadata, about the model.

    Raises
    ------
    ConfigError
        If the file cannot be written or the disk is full.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        stream = iter(tables)
        first = next(stream)
        layout = first.schema.with_metadata(about)
        digests: dict[str, str] = {}
        with pq.ParquetWriter(beside, layout, write_page_checksum=True) as writer:
            for table in chain([first], stream):
                writer.write_table(table.cast(layout), max(1, len(table)))  # in one group
                digests |= digests_of(table)
            writer.add_key_value_metadata(seal(facts, about, digests))
        put_in_place(beside, str(path))
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}; free some space and run the "
            "same command again to resume"
        ) from None


FORMAT: Final = "1"
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
    batch : int
    scale : str
        ``cosine``, or ``model`` for the model's logits.
    """

    out: str
    decoys: str | None = None
    image_dir: str | None = None
    batch: int = 32
    scale: str = "cosine"


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


def score_shards(
    shards: Sequence[Shard],
    encoder: DualEncoder,
    task: ScoreTask,
    progress: Callable[[int], object] = lambda _: None,
) -> list[ScoredPart]:
    """Score shards into a similarity file, skipping those already scored.

    Parameters
    ----------
    shards : sequence of Shard
    encoder : DualEncoder
    task : ScoreTask
    progress : callable, optional
        Called with numbers of documents scored.

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
    scale = scale_of_model(encoder, task.scale)
    wanted = [_made_from(shard, encoder, task) for shard in shards]
    identity = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    files = {"values": task.out} | ({"decoys": task.decoys} if task.decoys else {})
    folder = Path(f"{task.out}.parts")
    busy = f"{folder} is in use by another scoring run; wait for it to finish"
    with locked(folder / ".lock", ConfigError(busy)):
        if all(_is_of(path, identity) for path in files.values()):
            shutil.rmtree(folder)
            return [ScoredPart(shard.path, "skipped") for shard in shards]
        made = []
        for shard, facts in zip(shards, wanted, strict=True):
            path = folder / f"{file_name(shard.path)}.parquet"
            part = before = _existing(path, facts)
            if part is None or part.status == "incomplete":
                notes: list[str] = []
                rows = scored(pages(shard, task.image_dir, notes), encoder, task.batch, scale)
                part = _make(path, facts, shard, shard.name, task, rows, notes, progress, before)
            made.append((path, part))
        there = [path for path, part in made if part.status != "failed"]
        complete = all(part.status in ("scored", "skipped") for _, part in made)
        if not any(part.documents for _, part in made):
            _check_not_empty(task, [part for _, part in made])
            there = []
        for column, out in files.items() if there else ():
            about = _about(encoder, task, column)
            merge(there, column, Path(out), about, identity if complete else None)
        if complete:
            shutil.rmtree(folder)
    return [part for _, part in made]


def _check(shards: Sequence[Shard], task: ScoreTask) -> None:
    counts = Counter(absolute(shard.path) for shard in shards)
    for path, n in counts.items():
        if n > 1:
            raise ShardError(f"{path} is listed twice; list each shard once")
    for out in filter(None, (task.out, task.decoys)):
        if is_remote(out):
            raise ConfigError(f"{out} is not a local path; write to a local file and copy it")
    if task.out == task.decoys:
        raise ConfigError(f"{task.out}: --out and --decoys must be different files")


def scale_of_model(encoder: DualEncoder, scale: str) -> Scale:
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


def _made_from(shard: Shard, encoder: DualEncoder, task: ScoreTask) -> dict[str, Any]:
    """Return the inputs of a shard's part; batch size is ignored, as it only affects rounding."""
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
    except (OSError, ShardError):  # reported when the shard is read
        return None


def _is_of(path: str, identity: str) -> bool:
    return metadata_of(Path(path)).get("made_from") == identity


def _existing(path: Path, facts: dict[str, Any]) -> ScoredPart | None:
    """Return a shard's existing part if it has the same inputs, as far as known."""
    found = metadata_of(path)
    made_from = found.get("made_from")
    if made_from is not None and facts["fingerprint"] is None:
        facts = facts | {"fingerprint": made_from.get("fingerprint")}
    if made_from != facts:
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


def _make(
    path: Path,
    facts: dict[str, Any],
    shard: Shard,
    name: str,
    task: ScoreTask,
    rows: Iterator[Scored],
    notes: Sequence[str],
    progress: Callable[[int], object],
    before: ScoredPart | None,
) -> ScoredPart:
    """Score one shard and write its part; an existing one stays unless more can be read now."""
    done: list[Scored] = []
    error = None
    try:
        for row in rows:
            done.append(row)
            progress(1)
    except ShardError as broken:
        error = str(broken)
    except MemoryError:
        return ScoredPart(
            shard.path, "failed", f"{shard.path}: out of memory; use a smaller --batch"
        )
    if error is not None and before is not None and len(done) <= before.documents:
        return replace(before, reason=error)
    images, lacking = sum(len(r.similarity) for r in done), sum(r.lacking for r in done)
    if error is not None and not done:
        return ScoredPart(shard.path, "failed", error)
    if images and lacking == images and image_source(shard, task.image_dir).sizes_unknown:
        reason = f"{shard.path} contains no images; pass their folder with --image-dir"
        return ScoredPart(shard.path, "failed", reason)
    sentences = sum(r.similarity.shape[1] for r in done)
    status = "scored" if error is None else "incomplete"
    part = ScoredPart(shard.path, status, error, len(done), images, lacking, sentences, notes)
    write_whole(path, [table_of(name, done)], {"made_from": facts, "part": asdict(part)}, {})
    return part


def _about(encoder: DualEncoder, task: ScoreTask, column: str) -> dict[str, str]:
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
