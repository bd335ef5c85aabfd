"""Turn documents into columns, the input of the sweep: one Arrow record batch per shard.

A row holds what is needed to answer for any settings: image sizes and decodability, similarity,
token counts of sentences; the text only for documents whose counts are not additive. No pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from functools import cached_property
from itertools import accumulate, chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmc4viz.data.checked import CheckedBatch
from mmc4viz.data.shards import Shard
from mmc4viz.formats.format import Sample
from mmc4viz.loader.assignment import stored_score
from mmc4viz.loader.describe import NOTHING, Description, language_of
from mmc4viz.loader.profile import (
    MATCHING_ALL,
    MATCHING_MATRICES,
    PROFILES,
    LoaderProfile,
    by_assignment,
    by_row_softmax,
)
from mmc4viz.loader.template import TokenizedUnit
from mmc4viz.loader.tokenizer import Tokenizer
from mmc4viz.text import storable
from mmc4viz.types import ABSENT, DEFAULT_LOADER, Document, Image, SentenceCounts, ShardError


class Kind(IntEnum):
    """How a document's outcome is computed."""

    PLAIN = 0  # by the fast path, from its columns
    LITERAL = 1  # by the reference walk, from its payload
    UNREADABLE = 2  # under any settings


class ImageCheck(IntEnum):
    """Result of checking an image."""

    MISSING = 0
    VALID = 1
    BAD_ENTRY = 2  # its document is unreadable, whatever the image's size
    BAD_PIXELS = 3  # its document is unreadable if the image is large enough
    TRUNCATED = 4  # so, too, unless the loader fills what is missing of truncated images


BAD_PIXELS: Final = (ImageCheck.BAD_PIXELS, ImageCheck.TRUNCATED)


class Verify(StrEnum):
    """How images are validated."""

    FULL = "full"  # base64 and pixels of every image, whatever its size
    HEADER = "header"  # base64 and image header; pixels are assumed valid
    NONE = "none"  # base64 only; images are assumed valid


_VERIFY = b"verify"  # key of the validation level in the schema's metadata
_FLOATS: Final = {"float": "float32", "double": "float64"}  # Arrow's names, NumPy's
_NOTES = b"notes"  # key of the notes on what was not read
_SHA256 = b"sha256"  # key of the digest of the shard's bytes
INTEGERS: Final = "integers"
"""In a plain document's payload: its matrix holds integers, which some loaders refuse."""
_PAYLOADS = b"payloads"  # key of what a payload may hold: "2" since it serves every loader
# What every index has of an image; those of an older version have no more.
CORE_IMAGE: Final = pa.struct(
    {
        "n_bytes": pa.int64(),  # -1 when unknown
        "status": pa.uint8(),
        "width": pa.int32(),
        "height": pa.int32(),
        "format": pa.string(),
        "url": pa.string(),
        "error": pa.string(),
        "stored_sentence": pa.int64(),  # -1 if not an integer in range
        "stored_score": pa.float64(),  # NaN if not a finite number
    }
)
IMAGE: Final = pa.struct(
    [
        *CORE_IMAGE,
        pa.field("faces", pa.int32()),  # -1 if not given
        pa.field("digest", pa.uint64()),  # 0 without bytes
    ]
)
HASHED_IMAGE: Final = pa.struct([*IMAGE, pa.field("perceptual_hash", pa.uint64())])  # 0 if none


def schema(
    similarity: pa.DataType,
    verify: Verify = Verify.FULL,
    describe: frozenset[Description] = NOTHING,
) -> pa.Schema:
    """Return the columns' schema for similarity in float64 or float32."""
    image = HASHED_IMAGE if Description.IMAGE_HASH in describe else IMAGE
    language = {"language": pa.string(), "script": pa.string()}
    return _schema(similarity, verify, image, language if Description.LANGUAGE in describe else {})


def core_schema(similarity: pa.DataType, verify: Verify = Verify.FULL) -> pa.Schema:
    """Return the schema of what every index has, also one of an older version."""
    return _schema(similarity, verify, CORE_IMAGE, {})


def schemas() -> list[pa.Schema]:
    """Return every schema that an index file can have."""
    kinds = pa.float32(), pa.float64()
    wanted = [NOTHING, *map(frozenset, ([d] for d in Description)), frozenset(Description)]
    return [
        *(core_schema(kind) for kind in kinds),
        *(schema(kind, describe=these) for kind in kinds for these in wanted),
    ]


def _schema(
    similarity: pa.DataType, verify: Verify, image: pa.DataType, more: dict[str, pa.DataType]
) -> pa.Schema:
    return pa.schema(
        {
            "key": pa.string(),
            "url": pa.string(),
            "offset": pa.int64(),
            "size": pa.int64(),
            "kind": pa.uint8(),
            "detail": pa.string(),
            "images": pa.list_(image),
            "first": pa.list_(pa.int32()),
            "rest": pa.list_(pa.int32()),
            "head": pa.int32(),
            "n_sentences": pa.int32(),  # number of matrix columns
            "similarity": pa.list_(similarity),
            "payload": pa.large_binary(),
            **more,
        },
        metadata={_VERIFY: verify.value} | ({} if image is CORE_IMAGE else {_PAYLOADS: b"2"}),
    )


def row_of(
    document: Document,
    sample: Sample,
    tokenizer: Tokenizer,
    describe: frozenset[Description] = NOTHING,
) -> dict[str, Any]:
    """Turn a document into a row of columns.

    Parameters
    ----------
    document : Document
        As parsed.
    sample : Sample
        Gives its place in the shard.
    tokenizer : Tokenizer
        Counts the sentences' tokens if counts are additive.
    describe : frozenset of Description
        What to record besides.
    """
    row = uncounted_row(document, sample, tokenizer, describe)
    if row["kind"] == Kind.PLAIN:
        row |= count_fields(tokenizer.count(document.sentences))
    return row


def count_fields(counts: SentenceCounts) -> dict[str, Any]:
    """Return the token count fields of a plain document's row."""
    return {"first": counts.first, "rest": counts.rest, "head": counts.head}


def uncounted_row(
    document: Document,
    sample: Sample,
    tokenizer: Tokenizer,
    describe: frozenset[Description] = NOTHING,
) -> dict[str, Any]:
    """Turn a document into a row without the token counts of a plain document."""
    row: dict[str, Any] = {
        "key": storable(document.key),
        "url": storable(document.url),
        "offset": sample.offset,
        "size": sample.size,
        "kind": int(Kind.PLAIN),
        "detail": document.error,
        "images": [_image_row(image) for image in document.images],
        "first": [],
        "rest": [],
        "head": 0,
        "n_sentences": 0,
        "similarity": [],
        "payload": None,
    }
    if Description.LANGUAGE in describe:
        row["language"], row["script"] = language_of(document)
    if document.error is not None:
        by_others = document.similarity is ABSENT or document.page is not None
        payload = _payload(document) if by_others else None
        return row | {"kind": int(Kind.UNREADABLE), "payload": payload}
    matrix = None if document.is_gpt else _plain_matrix(document.similarity)
    if matrix is None or not _plain_text(document.sentences, matrix.shape[1], tokenizer):
        return row | {"kind": int(Kind.LITERAL), "payload": _payload(document)}
    return row | {
        "n_sentences": matrix.shape[1],
        "similarity": matrix.astype(np.float64).ravel(),
        "payload": _as_found(document, row["images"], matrix),
    }


def _as_found(document: Document, rows: list[dict[str, Any]], matrix: NDArray[Any]) -> bytes | None:
    """Serialize what a plain document's columns do not hold as found; None if they hold all."""
    found: dict[str, Any] = {INTEGERS: True} if matrix.dtype.kind != "f" else {}
    for image, row in zip(document.images, rows, strict=True):
        known = row["stored_sentence"], row["stored_score"]
        if known[0] < 0 or known != (image.stored_sentence, image.stored_score):
            return write_payload(found | _matches(document))
    return write_payload(found) if found else None


def _plain_matrix(similarity: Any) -> NDArray[Any] | None:
    """Return the matrix, or None if it is malformed or float64 loses precision."""
    try:
        matrix = np.array(similarity)
    except Exception:  # the reference walk reports what is wrong
        return None
    if matrix.ndim != 2 or matrix.dtype.kind not in "iuf" or not matrix.shape[1]:
        return None
    if matrix.dtype.kind in "iu" and np.abs(matrix.astype(np.float64)).max(initial=0) >= 2**53:
        return None
    return matrix


def _plain_text(sentences: Any, n_columns: int, tokenizer: Tokenizer) -> bool:
    """Whether every sentence can be counted separately and every matrix column has one."""
    if not tokenizer.additive or not isinstance(sentences, list) or n_columns > len(sentences):
        return False
    return not any(type(text) is not str or tokenizer.is_exception(text) for text in sentences)


def _image_row(image: Image) -> dict[str, Any]:
    status = ImageCheck.VALID
    if not image.present:
        status = ImageCheck.MISSING
    elif image.entry_error is not None:
        status = ImageCheck.BAD_ENTRY
    elif image.pixel_error is not None:
        status = ImageCheck.TRUNCATED if image.truncated else ImageCheck.BAD_PIXELS
    sentence, score = image.stored_sentence, stored_score(image.stored_score)
    in_range = type(sentence) is int and 0 <= sentence < 2**31
    return {
        "n_bytes": -1 if image.n_bytes is None else image.n_bytes,
        "status": int(status),
        "width": min(image.width, 2**31 - 1),
        "height": min(image.height, 2**31 - 1),
        "format": image.format,
        "url": storable(image.url),
        "error": image.entry_error or image.pixel_error,
        "stored_sentence": sentence if in_range else -1,
        "stored_score": float("nan") if score is None else score,
        "faces": -1 if image.faces is None else image.faces,
        "digest": image.digest or 0,
        "perceptual_hash": image.perceptual_hash or 0,
    }


def _payload(document: Document) -> bytes:
    """Serialize what the reference walk needs besides the measured images."""
    return write_payload(_payload_fields(document))


def _payload_fields(document: Document) -> dict[str, Any]:
    fields = {
        "sentences": document.sentences,
        "similarity": _known(document.similarity),
        "is_gpt": document.is_gpt,
        "example": document.example,
        **_matches(document),
    }
    if document.similarity is ABSENT:
        fields["no_similarity"] = True
    if document.page is not None:
        page = document.page
        images = [_image_row(image) for image in page.images]
        fields["page"] = {"images": images, "error": page.error, **_payload_fields(page)}
    return fields


def _matches(document: Document) -> dict[str, Any]:
    """Return the stored matches as found, and which of their values are absent."""
    stored = [[image.stored_sentence, image.stored_score] for image in document.images]
    absent = [n for n, value in enumerate(chain.from_iterable(stored)) if value is ABSENT]
    known = [[_known(value) for value in pair] for pair in stored]
    return {"stored": known, "absent": absent} if absent else {"stored": known}


def _known(value: Any) -> Any:
    return None if value is ABSENT else value


def write_payload(fields: dict[str, Any]) -> bytes:
    """Serialize a payload, preserving lone surrogates."""
    return json.dumps(fields, ensure_ascii=False, default=np.ndarray.tolist).encode(
        "utf-8", "surrogatepass"
    )


def read_payload(payload: bytes | None) -> dict[str, Any]:
    """Deserialize a payload; it is empty for a plain document."""
    fields: dict[str, Any] = json.loads((payload or b"{}").decode("utf-8", "surrogatepass"))
    return fields


def arrow_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return Python values as an Arrow array.

    `pyarrow.array` does the same, but first loads pandas, which takes longer than all of NumPy.

    Parameters
    ----------
    values : sequence
        Numbers; str, bytes or None; sequences; or dictionaries that have every field.
    kind : pyarrow.DataType
        Of numbers, string or large_binary, a list of these, or a struct of these.

    Raises
    ------
    OverflowError
        When there is more than the type can hold.

    Examples
    --------
    >>> arrow_array([[1, 2], []], pa.list_(pa.int32())).to_pylist()
    [[1, 2], []]
    >>> arrow_array([{"a": "é"}, {"a": None}], pa.struct({"a": pa.string()})).to_pylist()
    [{'a': 'é'}, {'a': None}]
    """
    if pa.types.is_list(kind):
        return arrow_lists(
            map(len, values), arrow_array(list(chain.from_iterable(values)), kind.value_type)
        )
    if pa.types.is_struct(kind):
        fields = [
            arrow_array([value[field.name] for value in values], field.type) for field in kind
        ]
        return pa.StructArray.from_arrays(fields, fields=list(kind))
    if pa.types.is_string(kind):
        return _arrow_bytes(
            [None if text is None else text.encode() for text in values], kind, np.int32
        )
    if pa.types.is_large_binary(kind):
        return _arrow_bytes(values, kind, np.int64)
    return arrow_numbers(np.array(values, _FLOATS.get(str(kind), str(kind))))


def arrow_numbers(values: NDArray[Any]) -> pa.Array:
    """Return NumPy's numbers as an array, uncopied."""
    content = pa.py_buffer(np.ascontiguousarray(values))
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, content])


def arrow_lists(sizes: Iterable[int], values: pa.Array) -> pa.Array:
    """Return values as lists of these sizes."""
    return pa.ListArray.from_arrays(arrow_numbers(_ends(sizes, np.int32)), values)


def _ends(sizes: Iterable[int], kind: type[np.integer[Any]]) -> NDArray[Any]:
    return np.array(list(accumulate(sizes, initial=0)), kind)


def _arrow_bytes(
    values: Sequence[bytes | None], kind: pa.DataType, offset: type[np.integer[Any]]
) -> pa.Array:
    there = [value or b"" for value in values]
    known = None
    if None in values:
        known = pa.py_buffer(np.packbits([v is not None for v in values], bitorder="little"))
    ends = pa.py_buffer(_ends(map(len, there), offset))
    return pa.Array.from_buffers(kind, len(values), [known, ends, pa.py_buffer(b"".join(there))])


def build_batch(
    rows: list[dict[str, Any]],
    verify: Verify = Verify.FULL,
    describe: frozenset[Description] = NOTHING,
) -> pa.RecordBatch:
    """Turn rows into a record batch, with similarity in float32 if that is lossless."""
    values = [np.asarray(row["similarity"], np.float64) for row in rows]
    flat = np.concatenate(values) if values else np.zeros(0)
    with np.errstate(over="ignore"):
        narrow = flat.astype(np.float32)
    lossless = np.array_equal(narrow.astype(np.float64), flat, equal_nan=True)
    layout = schema(pa.float32() if lossless else pa.float64(), verify, describe)
    similarity = arrow_lists(map(len, values), arrow_numbers(narrow if lossless else flat))
    arrays = [
        similarity
        if field.name == "similarity"
        else arrow_array([row[field.name] for row in rows], field.type)
        for field in layout
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=layout)


def with_notes(batch: pa.RecordBatch, notes: list[str]) -> pa.RecordBatch:
    """Attach notes on what was not read to a shard's batch, one line each."""
    if not notes:
        return batch
    metadata = batch.schema.metadata or {}
    return batch.replace_schema_metadata({**metadata, _NOTES: json.dumps(notes)})


def with_sha256(batch: pa.RecordBatch, digest: str) -> pa.RecordBatch:
    """Attach the SHA-256 of all bytes of a shard to its batch; an empty one is not known."""
    metadata = batch.schema.metadata or {}
    return batch.replace_schema_metadata({**metadata, _SHA256: digest}) if digest else batch


def _view(column: pa.Array) -> NDArray[Any]:
    """Return numbers as a NumPy view (pyarrow's own conversion imports pandas)."""
    if column.null_count or pa.types.is_boolean(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    return np.from_dlpack(column)


@dataclass(frozen=True)
class Columns:
    """One shard's columns, as NumPy views over its record batch.

    Attributes
    ----------
    shard : Shard
        Where the documents come from.
    batch : pyarrow.RecordBatch or CheckedBatch
        One row per document (`schema`).
    tokenizer : Tokenizer
        The tokenizer that counted the sentences.
    error : str or None
        Why reading the shard stopped early, if it did.
    drawn : ndarray of int64 or None
        If these are only some of the shard's documents, their numbers in the shard.
    """

    shard: Shard
    batch: pa.RecordBatch
    tokenizer: Tokenizer
    error: str | None = None
    drawn: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def numbers(self, name: str) -> NDArray[Any]:
        """Return a column of numbers, shape (documents,)."""
        return _view(self.batch.column(name))

    def _raw(self, name: str) -> pa.Array:
        batch = self.batch
        return (batch.raw if isinstance(batch, CheckedBatch) else batch).column(name)

    def _checked(self, array: pa.Array) -> pa.Array:
        return self.batch.checked(array) if isinstance(self.batch, CheckedBatch) else array

    def offsets(self, name: str) -> NDArray[np.int64]:
        """Return the offsets of a list column, shape (documents + 1,)."""
        return _view(self._checked(self._raw(name).offsets)).astype(np.int64)

    def values(self, name: str) -> NDArray[Any]:
        """Return the concatenated values of a list column."""
        return _view(self._checked(self._raw(name).values))

    def image(self, name: str) -> NDArray[Any]:
        """Return a field of all images, shape (images,)."""
        return _view(self._checked(self._raw("images").values.field(name)))

    def image_text(self, name: str) -> pa.Array:
        """Return a text field of all images, shape (images,)."""
        return self._checked(self._raw("images").values.field(name))

    def _recorded_of_images(self, name: str) -> NDArray[Any] | None:
        known = self._raw("images").type.value_type
        return self.image(name) if known.get_field_index(name) >= 0 else None

    @property
    def faces(self) -> NDArray[np.int32] | None:
        """Stored face detections of all images, shape (images,); -1 where none are given.

        None if they were not recorded, as in an index of an older version.
        """
        return self._recorded_of_images("faces")

    @property
    def image_digests(self) -> NDArray[np.uint64] | None:
        """Digests of all images' bytes (XXH3), shape (images,); 0 for an image without bytes.

        None if they were not recorded, as in an index of an older version.
        """
        return self._recorded_of_images("digest")

    @property
    def image_hashes(self) -> NDArray[np.uint64] | None:
        """Perceptual hashes (64-bit pHash) of all images, shape (images,); 0 where there is none.

        None if they were not recorded (``mmc4viz index --describe image-hash``).
        """
        return self._recorded_of_images("perceptual_hash")

    @property
    def languages(self) -> pa.StringArray | None:
        """Languages of all documents (ISO 639-1), shape (documents,); empty without letters.

        None if they were not recorded (``mmc4viz index --describe language``).
        """
        return self._recorded_of_documents("language")

    @property
    def scripts(self) -> pa.StringArray | None:
        """Scripts of all documents (``Latin``), shape (documents,); recorded with `languages`."""
        return self._recorded_of_documents("script")

    def _recorded_of_documents(self, name: str) -> pa.StringArray | None:
        known = self.batch.schema.get_field_index(name) >= 0
        return self.batch.column(name) if known else None

    @cached_property
    def kind(self) -> NDArray[np.uint8]:
        """How each document's outcome is computed (`Kind`), shape (documents,).

        That is under the default loader; it also says what each row holds.
        """
        return self.numbers("kind")

    @cached_property
    def _kinds(self) -> dict[str, NDArray[np.uint8]]:
        return {DEFAULT_LOADER: self.kind}

    def kind_under(self, loader: str) -> NDArray[np.uint8]:
        """Return how each document's outcome is computed under a loader, shape (documents,).

        Raises
        ------
        ShardError
            When an index of an older version lacks what this loader reads.
        """
        if loader not in self._kinds:
            profile, metadata = PROFILES[loader], self.batch.schema.metadata or {}
            if profile.matcher not in MATCHING_MATRICES and _PAYLOADS not in metadata:
                raise ShardError(
                    f"{self.shard.path}: its index lacks what the loader {loader} reads: index it "
                    "again"
                )
            self._kinds[loader] = self._kind_under(profile)
        return self._kinds[loader]

    def _kind_under(self, profile: LoaderProfile) -> NDArray[np.uint8]:
        kind = self.kind.copy()
        plain, has_payload = kind == Kind.PLAIN, _is_known(self._raw("payload"))
        owner = np.repeat(np.arange(len(self)), self.n_images)
        inside = slice(*self.offsets("images")[[0, -1]])
        status = self.image("status")[inside]
        width = self.numbers("n_sentences").astype(np.int64)
        of_image = np.zeros(len(owner), bool)
        walked = np.zeros(len(self), bool)
        if not profile.decodes_all and profile.matcher not in MATCHING_ALL:
            of_image |= np.isin(status, BAD_PIXELS)
        if profile.matcher not in MATCHING_MATRICES:
            sentence, score = self.image("stored_sentence"), self.image("stored_score")
            of_image |= (sentence[inside] < 0) | (sentence[inside] >= width[owner])
            of_image |= ~np.isfinite(score[inside])
            walked |= has_payload
        elif profile.matcher is not by_assignment:
            values, starts = self.values("similarity"), self.offsets("similarity")
            odd = np.flatnonzero(~np.isfinite(values[starts[0] : starts[-1]])) + starts[0]
            walked[np.searchsorted(starts, odd, side="right") - 1] = True
        if profile.matcher is by_row_softmax:
            walked[self._with_integers(np.flatnonzero(plain & has_payload))] = True
        if profile.to_shorter:
            n_rows = np.diff(self.offsets("similarity")) // np.maximum(width, 1)
            walked |= n_rows < self.n_images
        if profile.is_random:
            starts = self.offsets("first")
            wordless = np.flatnonzero(self.values("first")[starts[0] : starts[-1]] <= 0) + starts[0]
            walked[np.searchsorted(starts, wordless, side="right") - 1] = True
        if not (profile.is_vectorized and self._counts_hold(profile)):
            walked[:] = True
        walked[owner[of_image & (status != ImageCheck.MISSING)]] = True
        kind[plain & walked] = Kind.LITERAL
        if not profile.needs_matrix or not profile.reads_chatgpt:
            kind[(kind == Kind.UNREADABLE) & has_payload] = Kind.LITERAL
        return kind

    def _with_integers(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
        """Return those of some plain documents whose matrix holds integers."""
        if not len(rows):
            return rows
        payload = self.batch.column("payload")
        found = [bool(read_payload(payload[row].as_py()).get(INTEGERS)) for row in rows.tolist()]
        return np.asarray(rows[np.array(found)])

    @cached_property
    def n_images(self) -> NDArray[np.int64]:
        """Number of images of each document, shape (documents,)."""
        return np.diff(self.offsets("images"))

    def _counts_hold(self, profile: LoaderProfile) -> bool:
        """Whether sentences' counts give those of a text that is tokenized in parts."""
        tokenizer = profile.tokenizer(self.tokenizer)
        whole = profile.template.unit is TokenizedUnit.TEXT
        return whole or (tokenizer.n_before <= 1 and not tokenizer.n_after)

    @property
    def verify(self) -> Verify:
        """How the images were validated."""
        metadata = self.batch.schema.metadata or {}
        return Verify(metadata.get(_VERIFY, Verify.FULL.value.encode()).decode())

    @property
    def notes(self) -> list[str]:
        """Notes on what was not read, one line each."""
        metadata = self.batch.schema.metadata or {}
        notes: list[str] = json.loads(metadata.get(_NOTES, b"[]"))
        return notes

    @property
    def sha256(self) -> str:
        """SHA-256 of all bytes of the shard when it was read; empty if that is not known."""
        return str((self.batch.schema.metadata or {}).get(_SHA256, b"").decode())

    @property
    def sizes_unknown(self) -> bool:
        """Whether some images count although their size is unknown."""
        readable = np.repeat(self.kind != Kind.UNREADABLE, self.n_images)
        valid = readable & (self.image("status") == ImageCheck.VALID)
        return bool((valid & (self.image("n_bytes") < 0)).any())

    def place(self, row: int) -> tuple[int, int]:
        """Return a document's offset and size in its shard."""
        return int(self.numbers("offset")[row]), int(self.numbers("size")[row])

    def take(self, rows: NDArray[np.integer[Any]]) -> Columns:
        """Return some of the documents."""
        places = pa.py_buffer(np.ascontiguousarray(rows, np.int64))
        wanted = pa.Array.from_buffers(pa.int64(), len(rows), [None, places])
        drawn = np.asarray(rows, np.int64) if self.drawn is None else self.drawn[rows]
        return replace(self, batch=self.batch.take(wanted), drawn=drawn)

    def number(self, row: int) -> int:
        """Return a document's number in its shard."""
        return row if self.drawn is None else int(self.drawn[row])

    def row_of(self, number: int) -> int | None:
        """Return the row of the document with a number in the shard, or None."""
        if self.drawn is None:
            return number if 0 <= number < len(self) else None
        found = np.flatnonzero(self.drawn == number)
        return int(found[0]) if len(found) else None

    def rescored(self, document: Document, row: int) -> Document:
        """Give a document that was read again the scores in the columns: those of the score set."""
        kind = Kind(int(self.kind[row]))
        if kind is Kind.UNREADABLE or document.is_gpt:
            return document
        if kind is Kind.LITERAL:
            return replace(document, similarity=self.document(row).similarity)
        starts = self.offsets("similarity")
        values = self.values("similarity")[starts[row] : starts[row + 1]].astype(np.float64)
        return replace(
            document, similarity=values.reshape(-1, int(self.numbers("n_sentences")[row]))
        )

    def lacks_scores(self, row: int) -> bool:
        """Whether a document has a matrix without any score: it was not scored yet."""
        if self.kind[row] == Kind.LITERAL:
            matrix = _plain_matrix(self.document(row).similarity)
        else:
            matrix = _view(self._checked(self._raw("similarity").slice(row, 1).flatten()))
        return matrix is not None and matrix.size > 0 and bool(np.isnan(matrix).all())

    def document(self, row: int) -> Document:
        """Rebuild a document for the reference walk.

        A plain document has token counts instead of its text, which is not in the columns.
        """
        record = self.batch.slice(row, 1).to_pylist()[0]
        payload = read_payload(record["payload"])
        if record["kind"] == Kind.PLAIN:
            fields = _plain_fields(record)
            if payload.get(INTEGERS):
                fields["similarity"] = fields["similarity"].astype(np.int64)
            payload = {**fields, **payload}
        return _document(record["key"], record["images"], record["detail"], payload, record["url"])


def _is_known(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False))


def _document(
    key: str, images: list[dict[str, Any]], error: str | None, fields: dict[str, Any], url: str
) -> Document:
    stored = [list(pair) for pair in fields.get("stored", [[None, None]] * len(images))]
    for number in fields.get("absent", ()):
        stored[number // 2][number % 2] = ABSENT
    page = fields.get("page")
    return Document(
        key=key,
        images=tuple(_image_of(one, *kept) for one, kept in zip(images, stored, strict=True)),
        sentences=fields.get("sentences"),
        similarity=ABSENT if fields.get("no_similarity") else fields.get("similarity"),
        error=error,
        is_gpt=fields.get("is_gpt", False),
        example=fields.get("example"),
        url=url,
        counts=fields.get("counts"),
        page=None if page is None else _document(key, page["images"], page["error"], page, url),
    )


def _plain_fields(record: dict[str, Any]) -> dict[str, Any]:
    matrix = np.array(record["similarity"], np.float64).reshape(-1, record["n_sentences"])
    return {
        "similarity": matrix,
        "counts": SentenceCounts(record["head"], record["first"], record["rest"]),
        "stored": [[image["stored_sentence"], image["stored_score"]] for image in record["images"]],
    }


def _image_of(record: dict[str, Any], stored_sentence: Any, score: Any) -> Image:
    status = record["status"]
    return Image(
        present=status != ImageCheck.MISSING,
        n_bytes=None if record["n_bytes"] < 0 else record["n_bytes"],
        entry_error=record["error"] if status == ImageCheck.BAD_ENTRY else None,
        pixel_error=record["error"] if status in BAD_PIXELS else None,
        truncated=status == ImageCheck.TRUNCATED,
        width=record["width"],
        height=record["height"],
        format=record["format"],
        url=record["url"],
        stored_sentence=stored_sentence,
        stored_score=score,
        faces=None if record.get("faces", -1) < 0 else record["faces"],
        digest=record.get("digest") or None,
        perceptual_hash=record.get("perceptual_hash") or None,
    )
