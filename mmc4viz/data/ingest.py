"""Read a shard into columns, fast.

`parse_document` and `row_of` are the specification and the fallback. Three shortcuts give the same
result faster: base64 images are cut out before the JSON is parsed, JPEGs are decoded in draft mode,
and the sentences of many documents are counted together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa

from mmc4viz.data.columns import (
    Columns,
    Kind,
    Verify,
    build_batch,
    count_fields,
    uncounted_row,
    with_notes,
    with_sha256,
)
from mmc4viz.data.shards import Shard, image_source, samples
from mmc4viz.data.storage import Digest, digesting
from mmc4viz.formats.format import Sample
from mmc4viz.loader.describe import NOTHING, Description, perceptual_hash
from mmc4viz.loader.images import (
    LIMIT,
    OLD_CONVERTER,
    SINCE,
    Embedded,
    Folder,
    Hash,
    ImageSource,
    Look,
    decode_quickly,
    is_too_large,
    needs_newer_pillow,
    open_only,
    skip_check,
)
from mmc4viz.loader.parse import document_of, parse_document
from mmc4viz.loader.skim import decoded, image_number, skim
from mmc4viz.loader.tokenizer import Tokenizer, counter_of
from mmc4viz.types import ConfigError, Document, Mmc4vizError


@dataclass
class ImageTally:
    """Counts of a shard's images, for its notes.

    Attributes
    ----------
    images, missing : int
        Images that the loader reaches, and those of them without data.
    first : str
        Name of the first missing image.
    kinds : counter
        Formats of images that decode.
    large : counter
        Images too large to decode here, by megapixels.
    old : int
        Images written by the converter of before July 2023.
    """

    images: int = 0
    missing: int = 0
    first: str = ""
    kinds: Counter[str] = field(default_factory=Counter)
    large: Counter[int] = field(default_factory=Counter)
    old: int = 0

    def add(self, document: Document) -> None:
        """Count a document's images, if the loader reaches them."""
        if document.error is not None:
            return
        for image in document.images:
            failure = image.entry_error or image.pixel_error
            self.images += 1
            if not image.present:
                self.missing += 1
                self.first = self.first or image.name
            elif failure is not None:
                self.old += failure.endswith(OLD_CONVERTER)
            elif image.n_bytes is not None:
                self.kinds[image.format] += 1
                if is_too_large(image.format, image.width, image.height):
                    self.large[image.width * image.height // 1_000_000] += 1

    def notes(self, shard: Shard, source: ImageSource) -> list[str]:
        """Return the notes, one line each."""
        found = []
        if self.images and self.missing == self.images:
            what = "the only image is" if self.images == 1 else f"all {self.images:,} images are"
            found.append(f"{what} missing: {_looked_for(self.first, source)}")
        if self.old:
            found.append(f"{_count(self.old)} cannot be decoded: {OLD_CONVERTER}")
        rare = [kind for kind in SINCE if self.kinds[kind]]
        found += [f"{_count(self.kinds[kind], kind)}: {needs_newer_pillow(kind)}" for kind in rare]
        if self.large:
            found.append(
                f"{_count(self.large.total())} too large to decode here (up to "
                f"{max(self.large):,} megapixels), counted as valid; the loader needs gigabytes "
                f"of memory for each; raise the limit with {LIMIT}"
            )
        return [f"{shard.name}: {line}" for line in found]


def _count(count: int, kind: str = "") -> str:
    return f"{count:,} {f'{kind} ' * bool(kind)}{'image' if count == 1 else 'images'}"


def _looked_for(name: str, source: ImageSource) -> str:
    """Return where images were searched for."""
    if isinstance(source, Folder):
        return f"{name or 'the first'} is not in {', '.join(map(str, source.folders))}"
    return "the loader reads images only from image_base64 in the JSON, not from other tar members"


LOOKS: Final[dict[Verify, Look]] = {
    Verify.FULL: decode_quickly,
    Verify.HEADER: open_only,
    Verify.NONE: skip_check,
}
_MOST_ROWS, _MOST_SENTENCES = 256, 20_000  # per batch


def read_columns(
    shard: Shard,
    tokenizer: Tokenizer,
    image_dir: str | None = None,
    progress: Callable[[int], object] | None = None,
    verify: Verify = Verify.FULL,
    describe: frozenset[Description] = NOTHING,
) -> Columns:
    """Read one shard into columns.

    Parameters
    ----------
    shard : Shard
        The shard to read.
    tokenizer : Tokenizer
        Counts the sentences' tokens.
    image_dir : str, optional
        Folder with the images of MMC4's own JSONL.
    progress : callable, optional
        Called with the number of documents read since the last call.
    verify : Verify
        How images are validated.
    describe : frozenset of Description
        What to record besides; its packages must be installed.

    Returns
    -------
    Columns
        All documents that could be read; if reading failed midway, ``error`` says why.
    """
    source = image_source(shard, image_dir)
    rows, tally = _Rows(tokenizer, verify, describe), ImageTally()
    error, notes, found = None, list[str](), shard.format
    try:
        for sample in samples(shard, notes):
            found = sample.format or found
            document = document_in(sample, source, verify, describe)
            rows.add(document, sample)
            tally.add(document)
            if progress is not None:
                progress(1)
    except ConfigError:
        raise
    except Mmc4vizError as broken:
        error = str(broken)
    except MemoryError:
        error = f"{shard.path}: reading failed: not enough memory for a document"
    notes += tally.notes(shard, source)
    read = replace(shard, format=found)
    return Columns(read, with_notes(rows.batch(), notes), tokenizer, error)


def read_digested(
    shard: Shard,
    tokenizer: Tokenizer,
    image_dir: str | None = None,
    progress: Callable[[int], object] | None = None,
    verify: Verify = Verify.FULL,
    describe: frozenset[Description] = NOTHING,
) -> tuple[Columns, Digest]:
    """Read one shard into columns as `read_columns` does, and digest all of its bytes.

    The bytes are digested as they are read; only those that reading leaves out, such as what
    follows damage in a local file, are read for the digest.
    """
    with digesting(shard.path) as digest:
        columns = read_columns(shard, tokenizer, image_dir, progress, verify, describe)
    digest.finish()
    return replace(columns, batch=with_sha256(columns.batch, digest.sha256)), digest


class _Rows:
    """Collects documents as rows, and turns them into columns in batches."""

    def __init__(
        self, tokenizer: Tokenizer, verify: Verify, describe: frozenset[Description]
    ) -> None:
        self._tokenizer = tokenizer
        self._verify = verify
        self._describe = describe
        self._counter = counter_of(tokenizer)
        self._rows: list[dict[str, Any]] = []
        self._uncounted: list[tuple[dict[str, Any], list[str]]] = []
        self._n_sentences = 0
        self._batches: list[pa.RecordBatch] = []

    def add(self, document: Document, sample: Sample) -> None:
        """Add a document."""
        row = uncounted_row(document, sample, self._tokenizer, self._describe)
        self._rows.append(row)
        if row["kind"] == Kind.PLAIN:
            self._uncounted.append((row, document.sentences))
            self._n_sentences += len(document.sentences)
        if len(self._rows) >= _MOST_ROWS or self._n_sentences >= _MOST_SENTENCES:
            self._pack()

    def _pack(self) -> None:
        counts = self._counter.count([sentences for _, sentences in self._uncounted])
        for (row, _), counted in zip(self._uncounted, counts, strict=True):
            row |= count_fields(counted)
        self._batches.append(build_batch(self._rows, self._verify, self._describe))
        self._rows, self._uncounted, self._n_sentences = [], [], 0

    def batch(self) -> pa.RecordBatch:
        """Return the columns of all documents."""
        if self._rows or not self._batches:
            self._pack()
        return _joined(self._batches)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """Join the batches of a shard; the result equals that of one batch of all rows."""
    widest = max((batch.schema for batch in batches), key=_similarity_bits)
    alike = [batch if batch.schema == widest else batch.cast(widest) for batch in batches]
    return pa.concat_batches(alike)


def _similarity_bits(layout: pa.Schema) -> int:
    return int(layout.field("similarity").type.value_type.bit_width)


def document_in(
    sample: Sample,
    source: ImageSource,
    verify: Verify = Verify.FULL,
    describe: frozenset[Description] = NOTHING,
) -> Document:
    """Parse one sample and measure its images; if it was not read, ``error`` says why."""
    if sample.page is not None or sample.raw is None:
        hash_of = perceptual_hash if Description.IMAGE_HASH in describe else None
        return document_from(sample, images_in(sample, source), LOOKS[verify], hash_of)
    return read_document(sample.key, sample.raw, source, verify, describe)


def images_in(sample: Sample, source: ImageSource) -> ImageSource:
    """Return where a sample's images come from: its page, if it has them, else the source."""
    return source if sample.page is None else Extracted(sample.page.images, source)


def document_from(
    sample: Sample, images: ImageSource, look: Look | None = None, hash_of: Hash | None = None
) -> Document:
    """Parse one sample; ``images`` are those of `images_in`, and the rest as in `parse_document`.

    If it was not read, ``error`` says why.
    """
    if sample.page is not None:
        return document_of(sample.key, sample.page.info, images, look, hash_of)
    if sample.raw is None:
        return Document(sample.key, error=sample.why)
    return parse_document(sample.key, sample.raw, images, look, hash_of)


def read_document(
    key: str,
    raw: bytes | None,
    source: ImageSource,
    verify: Verify = Verify.FULL,
    describe: frozenset[Description] = NOTHING,
) -> Document:
    """Parse one sample and measure its images, like `parse_document`, but faster.

    Parameters
    ----------
    key, raw, source
        As for `parse_document`.
    verify : Verify
        How images are validated.
    describe : frozenset of Description
        Whether images are hashed.
    """
    look = LOOKS[verify]
    hash_of = perceptual_hash if Description.IMAGE_HASH in describe else None
    if raw is not None and isinstance(source, Embedded):
        skimmed = skim(raw, decoded)
        if skimmed is not None:
            info, images = skimmed
            extracted = Extracted(images, source)
            return document_of(key, info, extracted, look, hash_of)
    return parse_document(key, raw, source, look, hash_of)


@dataclass(frozen=True, slots=True)
class Extracted:
    """Images that stand beside the parsed JSON; all others from where they come otherwise."""

    images: list[bytes]
    others: ImageSource

    @property
    def sizes_unknown(self) -> bool:
        """Whether an entry without bytes counts as an image of unknown size."""
        return self.others.sizes_unknown

    def data(self, entry: Any) -> bytes | None:
        """Return the entry's image, if it has any."""
        number = image_number(entry)
        return self.others.data(entry) if number is None else self.images[number]
