"""Shards to a similarity file.

Every document that the loader would match is here, with all of its images and sentences, in order;
none that is unreadable or ChatGPT-written. Decodes no pixels.

The rows of images that are missing, or do not decode, are NaN: the loader drops such images before
it looks at the matrix, or loses their document whatever stands there, so the verdict is the same;
and where an image was never checked (``--verify none``), NaN loses the document as the image would.
Rows of the matrix stay where they are, one for each image. What is written where is `parts`' job.

A part has a shard's similarity and, beside it, its decoys'; a merged file has one of the two and is
a sidecar (`mmc4viz.data.similarity_file`).

A run that is killed leaves whole parts only, and the same command goes on; the same input gives the
same bytes. Files are written beside their places and renamed. Embeds nothing itself.
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
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from mmc4viz.clip.encoder import DualEncoder, Embeddings
from mmc4viz.clip.preprocess import Pixels, Preprocessing
from mmc4viz.data.index import absolute, file_name
from mmc4viz.data.ingest import ImageTally
from mmc4viz.data.shards import Shard, image_source, samples
from mmc4viz.data.similarity_file import check_rows, digests_of, own_metadata, seal
from mmc4viz.data.storage import fingerprint, is_remote, put_in_place
from mmc4viz.loader.images import ImageSource, is_too_large, open_image, skip_check
from mmc4viz.loader.parse import parse_document
from mmc4viz.types import ConfigError, Document, ShardError


@dataclass(frozen=True, slots=True)
class Page:
    """One document.

    Attributes
    ----------
    key : str
        As the index writes it.
    images : list of (bytes or None)
        None for one that is missing.
    sentences : list of str
        What is no text in the document is written as Python does; none where there is no list.
    """

    key: str
    images: list[bytes | None]
    sentences: list[str]


@dataclass(slots=True)
class _Keeping:
    """An image source that keeps what it hands out: each entry is asked for once, in order."""

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
    """Stream a shard's documents; ``notes`` gets a line for what of it is not read.

    Raises
    ------
    ShardError
        When the shard cannot be read, or breaks off; after what came before the break.
    """
    source, tally = image_source(shard, image_dir), ImageTally()
    for sample in samples(shard, notes):
        keeping = _Keeping(source)
        document = parse_document(sample.key, sample.raw, keeping, skip_check)
        if document.error is None and not document.is_gpt:
            tally.add(document)
            yield Page(_storable(document.key), keeping.kept, _sentences(document))
    if notes is not None:
        notes += tally.notes(shard, source)


def _sentences(document: Document) -> list[str]:
    texts = document.sentences
    return [str(text) for text in texts] if isinstance(texts, list) else []


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


A = TypeVar("A")
B = TypeVar("B")
Matrix = NDArray[np.float32]
Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_BLOCK: Final = 128  # documents that are scored together
_LARGE: Final = 2**24  # pixels of an image beside which no other large one is decoded
_ONE_AT_A_TIME: Final = Lock()


@dataclass(frozen=True, slots=True)
class Scored:
    """One document's similarity.

    Attributes
    ----------
    key : str
    similarity : ndarray of float32, shape (images, sentences)
    decoys : ndarray of float32, shape (images, sentences)
        Of its images to as many sentences of another document; NaN where there is none.
    lacking : int
        Images that are missing or do not decode.
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
        Images, and sentences, that the model gets at once.
    scale : callable
        From cosines to what is written.
    """
    broken: list[Exception] = []
    stream = _until_broken(pages, broken)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while block := list(islice(stream, _BLOCK)):
            yield from _block(block, encoder, batch, scale, pool)
    if broken:
        raise broken[0]


def _until_broken(pages: Iterable[A], broken: list[Exception]) -> Iterator[A]:
    """Hand on what comes before a break; keep its error for the end."""
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
    """Decode an image and make of it what the model takes.

    None for one that does not decode, or that is too large to be decoded here.
    """
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
    """Apply a function in threads, in order, and never to many more items than were taken."""
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
    """Embed images; NaN for those that are not there."""
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
    """Return as many sentences of another document as a document has.

    Of the next one that has enough of them; else of several; NaN where even all are too few.
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
    """Read what a file of ours says of itself; nothing where it is none, or is damaged."""
    try:
        return dict(_facts(path, lambda _: None))
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return {}


def _facts(path: Path, take: Callable[[pa.Table], object]) -> dict[str, Any]:
    """Read and check a file of ours, a shard at a time; return what it says of itself."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        found = own_metadata(file.metadata.metadata)
        for group in range(file.num_row_groups) if found else ():
            rows = file.read_row_group(group)
            check_rows(rows, found.get("rows", {}))
            take(rows)
    return found


def table_of(name: str, rows: Sequence[Scored]) -> pa.Table:
    """Return a shard's documents as a table, the shard by the name that the sidecar has for it."""
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
    """Write the parts' rows as one sidecar, the column named as its values."""
    names = ["shard", "key", "images", "sentences", column]
    tables = (
        table.select(names).rename_columns([*names[:4], "values"])
        for path in paths
        for table in _whole(path)
    )
    write_whole(out, tables, {"made_from": identity}, about)


def _whole(path: Path) -> list[pa.Table]:
    """Read a part again."""
    found: list[pa.Table] = []
    try:
        _facts(path, found.append)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise ConfigError(
            f"{path}: is damaged ({error!s:.80}); run the same command again: it is made anew"
        ) from None
    return found or [_SCHEMA.empty_table()]


def write_whole(
    path: Path, tables: Iterable[pa.Table], facts: dict[str, Any], about: dict[str, str]
) -> None:
    """Write tables as one whole Parquet file, each as a group of rows of its own.

    Parameters
    ----------
    path : Path
    tables : iterable of pyarrow.Table
        At least one, each of whole shards.
    facts : dict
        What `metadata_of` will say.
    about : dict of str
        More of its metadata, what a sidecar says of its model.

    Raises
    ------
    ConfigError
        When the disk is full or the file cannot be written.
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
            f"{path}: cannot be written: {error.strerror or error}; free some room, then run the "
            "same command again: it goes on where it stopped"
        ) from None


FORMAT: Final = "1"
SCALES: Final = ("cosine", "model")  # of what is written


@dataclass(frozen=True, slots=True)
class ScoreTask:
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
class ScoredPart:
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
    task: ScoreTask,
    progress: Callable[[int], object] = lambda _: None,
) -> list[ScoredPart]:
    """Score shards into a sidecar; those that were scored already are skipped.

    Parameters
    ----------
    shards : sequence of Shard
    encoder : DualEncoder
    task : ScoreTask
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
            return [ScoredPart(shard.path, "skipped") for shard in shards]
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


def _check(shards: Sequence[Shard], task: ScoreTask) -> None:
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


def _made_from(shard: Shard, encoder: DualEncoder, task: ScoreTask) -> dict[str, Any]:
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


def _existing(path: Path, facts: dict[str, Any]) -> ScoredPart | None:
    """Return what is there of a shard, if it is what would be made now, as far as can be told."""
    found = metadata_of(path)
    made_from = found.get("made_from")
    if made_from is not None and facts["fingerprint"] is None:
        facts = facts | {"fingerprint": made_from.get("fingerprint")}
    if made_from != facts:
        return None
    before = ScoredPart(**found["part"])
    return before if before.status == "broken off" else replace(before, status="skipped")


def _refuse_nothing(task: ScoreTask, parts: Sequence[ScoredPart]) -> None:
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
    task: ScoreTask,
    rows: Iterator[Scored],
    notes: Sequence[str],
    progress: Callable[[int], object],
    before: ScoredPart | None,
) -> ScoredPart:
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
        return ScoredPart(
            shard.path, "failed", f"{shard.path}: out of memory; give a smaller --batch"
        )
    if error is not None and before is not None and len(done) <= before.documents:
        return replace(before, reason=error)
    images, lacking = sum(len(r.similarity) for r in done), sum(r.lacking for r in done)
    if error is not None and not done:
        return ScoredPart(shard.path, "failed", error)
    if images and lacking == images and image_source(shard, task.image_dir).sizes_unknown:
        reason = f"{shard.path}: holds no images; name their folder by --image-dir"
        return ScoredPart(shard.path, "failed", reason)
    sentences = sum(r.similarity.shape[1] for r in done)
    status = "scored" if error is None else "broken off"
    part = ScoredPart(shard.path, status, error, len(done), images, lacking, sentences, notes)
    write_whole(path, [table_of(name, done)], {"made_from": facts, "part": asdict(part)}, {})
    return part


def _about(encoder: DualEncoder, task: ScoreTask, column: str) -> dict[str, str]:
    """Return a sidecar's metadata, as `mmc4viz.data.similarity_file` says."""
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
