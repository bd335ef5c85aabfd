"""Fast reading into columns equals plain reading, on ordinary, malformed and malicious bytes."""

from __future__ import annotations

import base64
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmc4viz import Tokenizer, Verify, load_tokenizer, parse_document, read_columns, samples
from mmc4viz.data import ingest
from mmc4viz.data.columns import ImageCheck, Kind, build_batch, row_of, with_notes
from mmc4viz.data.ingest import ImageTally, read_document
from mmc4viz.data.shards import Shard, image_source
from mmc4viz.loader.describe import NOTHING, Description, perceptual_hash
from mmc4viz.loader.images import Embedded, decode, decode_quickly
from mmc4viz.loader.skim import decoded, skim
from tests.support import nasty
from tests.support.documents import chatgpt, entry, info, jpeg, write_tar
from tests.support.slowly import slow

GPT2 = load_tokenizer()


@pytest.fixture(scope="session")
def not_additive(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    settings = json.loads(GPT2.description().split("\n", 1)[1])
    path = tmp_path_factory.mktemp("tokenizers") / "tokenizer.json"
    path.write_text(json.dumps(settings | {"normalizer": {"type": "Lowercase"}}))
    tokenizer = load_tokenizer(str(path))
    assert not tokenizer.additive
    return tokenizer


def plain(
    shard: Shard,
    tokenizer: Tokenizer,
    image_dir: str | None = None,
    describe: frozenset[Description] = NOTHING,
) -> pa.RecordBatch:
    """Make a shard's columns by the specification."""
    source, notes, tally = image_source(shard, image_dir), list[str](), ImageTally()
    hash_of = perceptual_hash if Description.IMAGE_HASH in describe else None
    rows = []
    for sample in samples(shard, notes):
        document = parse_document(sample.key, sample.raw, source, None, hash_of)
        rows.append(row_of(document, sample, tokenizer, describe))
        tally.add(document)
    return with_notes(build_batch(rows, describe=describe), notes + tally.notes(shard, source))


def assert_same(found: pa.RecordBatch, expected: pa.RecordBatch) -> None:
    """Compare batches; by their text, in which NaN equals NaN and -0.0 is not 0.0."""
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.num_rows == expected.num_rows
    for ours, theirs in zip(found.to_pylist(), expected.to_pylist(), strict=True):
        assert repr(ours) == repr(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *slow(1, 2, 3)])
def test_a_tar_of_every_nasty_kind_gives_the_same_columns(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "s.tar"
    nasty.write_tar(path, nasty.every_kind(seed), random.Random(seed))
    columns = read_columns(Shard(str(path)), GPT2)
    assert columns.error is None
    assert columns.verify is Verify.FULL
    assert_same(columns.batch, plain(columns.shard, GPT2))


@pytest.mark.slow
@pytest.mark.parametrize("image_dir", [None, "nowhere"])
def test_lines_give_the_same_columns(tmp_path: Path, image_dir: str | None) -> None:
    path = tmp_path / "s.jsonl"
    nasty.write_jsonl(path, nasty.documents(11, 600))
    columns = read_columns(Shard(str(path)), GPT2, image_dir)
    assert_same(columns.batch, plain(columns.shard, GPT2, image_dir))


@pytest.mark.slow
def test_without_counts_that_add_up_the_columns_are_the_same(
    tmp_path: Path, not_additive: Tokenizer
) -> None:
    path = tmp_path / "s.tar"
    nasty.write_tar(path, nasty.documents(12, 600), random.Random(0))
    columns = read_columns(Shard(str(path)), not_additive)
    assert not (columns.kind == Kind.PLAIN).any()
    assert_same(columns.batch, plain(columns.shard, not_additive))


def test_parts_join_to_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matrices = [[[0.5]], [[0.1]], [[0.25]], [[0.1, 0.2]]]  # 0.1 is no single-precision number
    documents = [(f"{n}", info(matrix)) for n, matrix in enumerate(matrices)]
    path = write_tar(tmp_path / "s.tar", documents)
    monkeypatch.setattr(ingest, "_MOST_ROWS", 1)
    assert_same(read_columns(Shard(str(path)), GPT2).batch, plain(Shard(str(path)), GPT2))
    empty = write_tar(tmp_path / "empty.tar", [])
    assert_same(read_columns(Shard(str(empty)), GPT2).batch, plain(Shard(str(empty)), GPT2))


GOOD, BROKEN = (base64.b64encode(data).decode() for data in (jpeg(), b"no image" * 2000))
BASE64 = [GOOD, BROKEN, "", "AAAA", "AAA", "A A=", "AA==AA==", "\n".join([GOOD[:8], GOOD[8:]]),
          "\0", "\x000", "é", "\ud800", '"', 'x"image_base64": "AAAA']  # fmt: skip
NAMES = ["image_base64", "image_info", "text_list", "similarity_matrix", "url", "is_gpt",
         "matched_sim", "raw_url", '"image_base64"', '\\"image_base64', "x"]  # fmt: skip

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*BASE64, *NAMES]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=8,
)
entries = st.lists(
    st.fixed_dictionaries({"image_base64": st.sampled_from(BASE64[:5])})
    | st.dictionaries(st.sampled_from(NAMES), anything, max_size=3)
    | anything,
    max_size=4,
)
pages = st.fixed_dictionaries(
    {
        "text_list": st.just(["A boat."]) | anything,
        "image_info": entries | anything,
        "similarity_matrix": st.just([[0.25]]) | anything,
    },
    optional={"url": anything, "is_gpt": anything, "example": anything, "image_map": anything},
)
styles = st.fixed_dictionaries(
    {"ensure_ascii": st.booleans(), "indent": st.sampled_from([None, 1])},
    optional={"separators": st.just((" ,\t", "\r\n:\n"))},
)


def assert_read_alike(raw: bytes) -> None:
    source = Embedded()
    assert repr(read_document("k", raw, source)) == repr(parse_document("k", raw, source))


@given(pages | anything, styles, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"]))
def test_any_json_is_read_alike(page: Any, style: dict[str, Any], encoding: str) -> None:
    text = json.dumps(page, **style)
    assert_read_alike(text.encode(encoding, "surrogatepass"))


PIECES = [b'"', b"\\", b'\\"', b'"image_base64"', b'"image_base64": "AAAA"', b"\x00", b"\\u0000",
          b"\\u00000", b"\xff", b"\xed\xa0\x80", b"\n", b"{", b"}", b"]", b",", b":", b"NaN", b"=",
          b"-", b"1e999", b"9" * 5000, b'"is_gpt": 1,', b"\xef\xbb\xbf", b"[" * 2000]  # fmt: skip
TEMPLATE = json.dumps(
    info(
        [[0.25, 0.5], [1, 2]],
        images=[entry(b"abc", x='"image_base64": "AAAA"'), entry(jpeg(900), matched_sim=3)],
    )
).encode()


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(TEMPLATE)), st.integers(0, 30), st.sampled_from([*PIECES, b""])
        ),
        min_size=1,
        max_size=4,
    )
)
def test_damaged_json_is_read_alike(changes: list[tuple[int, int, bytes]]) -> None:
    raw = TEMPLATE
    for at, length, piece in changes:
        raw = raw[:at] + piece + raw[at + length :]
    assert_read_alike(raw)


@pytest.mark.parametrize("piece", PIECES)
def test_every_place_takes_every_piece_alike(piece: bytes) -> None:
    raw = json.dumps(info([[0.5]], images=[entry(b"abc")])).encode()
    for at in range(len(raw) + 1):
        assert_read_alike(raw[:at] + piece + raw[at:])


@pytest.mark.parametrize(
    "raw",
    [
        b'{"image_info": [{"image_base64": "AAAA", "image_base64": "BBBB"}]}',
        b'{"image_info": [{"image_base64": "AAAA"}], "image_info": []}',
        b'{"image_info": [{"x": {"image_base64": "AAAA"}}]}',
        b'{"image_info": [{"\\"image_base64": "AAAA"}]}',
        b'{"image_info": [{"image_base64": "AAAA", "x": "\\u00000"}]}',
        b'{"image_info": [{"image_base64": "AAA"}]}',
        b'[{"image_base64": "AAAA"}]',
    ],
)
def test_doubtful_images_are_not_extracted(raw: bytes) -> None:
    assert skim(raw, decoded) is None
    assert_read_alike(raw)


def test_ordinary_images_are_extracted() -> None:
    document = info([[0.5, float("nan")]] * 3, images=[entry(b"abc"), entry(), entry(b"")])
    for style in ({}, {"indent": 2}, {"separators": (",", ":")}):
        skimmed = skim(json.dumps(document, **style).encode(), decoded)  # type: ignore[arg-type]
        assert skimmed is not None
        assert skimmed[1] == [b"abc", b""]


def damaged(r: random.Random, whole: list[bytes]) -> bytes:
    """Cut, change, remove or insert bytes, anywhere or in the header."""
    data = bytearray(r.choice(whole))
    at = r.randrange(len(data)) if r.random() < 0.6 else r.randrange(2, 700) % len(data)
    match r.randrange(6):
        case 0:
            del data[at:]
        case 1:
            data[at] = r.randrange(256)
        case 2:
            del data[at : at + r.randrange(1, 900)]
        case 3:
            data[at:at] = r.randbytes(r.randrange(1, 300))
        case 4:
            data[at : at + 2] = bytes([0xFF, r.randrange(0xC0, 0x100)])
        case _:
            data[at:] = r.choice(whole)[at:]
    return bytes(data)


def test_a_draft_fails_where_the_full_decoding_fails() -> None:
    r = random.Random(3)
    noise = Image.effect_noise((90, 70), 60)
    options: list[dict[str, Any]] = [
        {}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2, "optimize": True},
        {"restart_marker_blocks": 3}, {"progressive": True, "restart_marker_rows": 1},
        {"keep_rgb": True},
    ]  # fmt: skip
    whole = []
    for mode in ("RGB", "L", "CMYK"):
        for option in options:
            out = io.BytesIO()
            noise.convert(mode).save(out, "JPEG", quality=80, **option)
            whole.append(out.getvalue())
    outcomes = []
    for data in whole + [damaged(r, whole) for _ in range(600)]:
        outcomes.append(decode(data))
        assert decode_quickly(data) == outcomes[-1]
    failures = sum(failure is not None for *_, failure in outcomes)
    assert 150 < failures < 450


def test_weaker_validation_finds_less_and_is_noted(tmp_path: Path) -> None:
    cut = jpeg(side=640)[:700] + b"\0" * 12_000
    images = [entry(jpeg(12_345)), entry(cut), entry(b"no image" * 2000), entry(image_base64="A")]
    path = write_tar(tmp_path / "s.tar", [("a", info([[0.5]] * 4, images=images))])
    sound, entry_bad, pixels_bad = ImageCheck.VALID, ImageCheck.BAD_ENTRY, ImageCheck.BAD_PIXELS
    expected = {
        Verify.FULL: ([sound, ImageCheck.TRUNCATED, pixels_bad, entry_bad], [16, 640, 0, 0]),
        Verify.HEADER: ([sound, sound, pixels_bad, entry_bad], [16, 640, 0, 0]),
        Verify.NONE: ([sound, sound, sound, entry_bad], [0, 0, 0, 0]),
    }
    for verify, (status, width) in expected.items():
        columns = read_columns(Shard(str(path)), GPT2, verify=verify)
        assert columns.verify is verify
        assert columns.image("n_bytes").tolist() == [12_345, 12_700, 16_000, -1]
        assert columns.image("status").tolist() == status
        assert columns.image("width").tolist() == width


def test_chatgpt_generated_documents_are_checked_likewise(tmp_path: Path) -> None:
    document = chatgpt("_!_IMAGE1_!_ A boat.", 1)
    document["image_map"]["_!_IMAGE1_!_"]["base64_image"] = BROKEN
    path = write_tar(tmp_path / "s.tar", [("a", document)])
    for verify, status in ((Verify.FULL, ImageCheck.BAD_PIXELS), (Verify.NONE, ImageCheck.VALID)):
        columns = read_columns(Shard(str(path)), GPT2, verify=verify)
        assert columns.image("status").tolist() == [status]


@pytest.mark.slow
def test_a_page_of_ten_thousand_images(tmp_path: Path) -> None:
    images = [entry(jpeg(1000))] * 10_000
    path = write_tar(tmp_path / "s.tar", [("a", info([[0.25, 0.5]] * 10_000, images=images))])
    columns = read_columns(Shard(str(path)), GPT2)
    assert columns.n_images.tolist() == [10_000]
    assert (columns.image("n_bytes") == 1000).all()


def test_progress_counts_documents(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [(str(n), info([[0.5]])) for n in range(7)])
    told: list[int] = []
    read_columns(Shard(str(path)), GPT2, progress=told.append)
    assert sum(told) == 7
