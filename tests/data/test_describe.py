"""What an index records besides what the loader looks at, and indexes that do not record it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from xxhash import xxh3_64_intdigest

from mmc4viz import LoaderConfig, load_tokenizer, match_corpus, read_columns
from mmc4viz.cli import cli
from mmc4viz.data.build_index import scratch_of
from mmc4viz.data.columns import Columns, core_schema
from mmc4viz.data.index import identity, map_columns, open_index, write_file, write_manifest
from mmc4viz.data.ingest import read_document
from mmc4viz.data.sample import draw
from mmc4viz.data.shards import Shard
from mmc4viz.loader import describe
from mmc4viz.loader.describe import Description, descriptions, language_of, perceptual_hash
from mmc4viz.loader.images import Embedded
from mmc4viz.loader.parse import parse_document
from mmc4viz.sweep.settings.sensitivity import pool
from tests.data.test_ingest import assert_same, plain
from tests.support import nasty
from tests.support.documents import chatgpt, entry, info, jpeg, write_tar

GPT2 = load_tokenizer()
BOTH = frozenset(Description)


def picture(seed: int, width: int = 700, height: int = 500) -> Image.Image:
    """Return a picture with structure at every scale, as photographs have it."""
    r = np.random.default_rng(seed)
    waves = np.fft.rfft2(r.standard_normal((height, width)))
    down, across = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width) * width
    found = np.fft.irfft2(waves / np.maximum(1, np.hypot(down, across)) ** 1.2, s=(height, width))
    found = (found - found.min()) / np.ptp(found) * 255
    return Image.fromarray(found.astype(np.uint8)).convert("RGB")


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


PHOTO = saved(picture(0))


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    """Two documents, of which the first has images of all sorts."""
    images = [
        entry(PHOTO, face_detections=[{"score": 0.9}, {"score": 0.5}]),
        entry(PHOTO[:-900], face_detections=[]),
        entry(face_detections=None),
        entry(jpeg(), face_detections="two"),
        entry(image_base64="A", face_detections=[1]),
    ]
    german = ["Die Katze schläft auf dem Sofa.", "Draußen regnet es seit heute Morgen."]
    documents = [("a", info([[0.5, 0.1]] * 5, german, images)), ("b", info([[0.5]], ["12"]))]
    return Shard(str(write_tar(tmp_path / "s.tar", documents)))


def test_faces_and_digests_are_read_with_the_shard(shard: Shard) -> None:
    columns = read_columns(shard, GPT2)
    digests = [*map(xxh3_64_intdigest, (PHOTO, PHOTO[:-900])), 0, xxh3_64_intdigest(jpeg()), 0]
    assert columns.faces is not None and columns.image_digests is not None
    assert columns.faces.tolist() == [2, 0, -1, -1, 1, -1]
    assert columns.image_digests.tolist() == [*digests, xxh3_64_intdigest(jpeg())]
    assert columns.image_hashes is columns.languages is columns.scripts is None


def test_hashes_and_languages_are_recorded_when_asked_for(shard: Shard) -> None:
    columns = read_columns(shard, GPT2, describe=BOTH)
    assert columns.image_hashes is not None and columns.languages is not None
    truth = int(str(imagehash.phash(Image.open(io.BytesIO(PHOTO)))), 16)
    found = columns.image_hashes.tolist()
    assert (found[0] ^ truth).bit_count() <= 2
    assert found[1:] == [0] * 5  # damaged, missing, of one color, no image; of one color
    assert columns.languages.to_pylist() == ["de", ""]
    assert columns.scripts is not None and columns.scripts.to_pylist() == ["Latin", ""]
    restored = columns.document(0).images
    assert [image.faces for image in restored] == [2, 0, None, None, 1]
    assert restored[0].perceptual_hash == found[0] and restored[2].digest is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 5])
def test_nasty_documents_are_described_alike_both_ways(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "s.jsonl"
    nasty.write_jsonl(path, nasty.documents(seed, 200))
    columns = read_columns(Shard(str(path)), GPT2, describe=BOTH)
    assert_same(columns.batch, plain(columns.shard, GPT2, describe=BOTH))
    raw = json.dumps(info([[0.5]], images=[entry(PHOTO, face_detections=[1, 2])])).encode()
    slow = parse_document("k", raw, Embedded(), None, perceptual_hash)
    assert repr(read_document("k", raw, Embedded(), describe=BOTH)) == repr(slow)


def test_the_hash_is_that_of_imagehash() -> None:
    assert perceptual_hash(saved(picture(1), "PNG")) == int(str(imagehash.phash(picture(1))), 16)
    for seed in range(12):
        data = saved(picture(seed, 1100 - 50 * seed, 900))
        truth = int(str(imagehash.phash(Image.open(io.BytesIO(data)))), 16)
        found = perceptual_hash(data)
        assert found is not None and (found ^ truth).bit_count() <= 2


def test_smaller_and_poorer_copies_have_nearly_the_same_hash_and_others_do_not() -> None:
    hashes = []
    for seed in range(8):
        whole = picture(seed)
        copy = saved(whole.resize((430, 307)), quality=60)
        one, two = perceptual_hash(saved(whole, quality=90)), perceptual_hash(copy)
        assert one is not None and two is not None and (one ^ two).bit_count() <= 4
        hashes.append(one)
    assert min((a ^ b).bit_count() for a in hashes for b in hashes if a != b) > 10


@pytest.mark.parametrize("data", [b"", b"no image", PHOTO[:200], saved(Image.new("L", (9, 9), 7))])
def test_what_has_nothing_to_compare_has_no_hash(data: bytes) -> None:
    assert perceptual_hash(data) is None


def test_the_language_is_told_from_the_text_of_any_document() -> None:
    text = "Москва является столицей России и её крупнейшим городом. Это был очень хороший день."
    raw = json.dumps(chatgpt(f"_!_IMAGE1_!_ {text}", 1))
    assert language_of(parse_document("a", raw.encode())) == ("ru", "Cyrillic")
    for odd in ("{}", "[]", '{"text_list": 5, "similarity_matrix": 1, "image_info": []}'):
        assert language_of(parse_document("a", odd.encode())) == ("", "")
    surrogate = info([[0.5]], ["\ud800 \ud800"])
    assert language_of(parse_document("a", json.dumps(surrogate).encode())) == ("", "")


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["index", *words])
    return done.exit_code, done.output


@pytest.mark.slow
def test_more_can_be_recorded_later_and_is_not_lost(shard: Shard, tmp_path: Path) -> None:
    out = str(tmp_path / "index")
    said = [run(shard.path, "--out", out, *more) for more in (
        (), ("--describe", "language"), ("--describe", "language"), (),
        ("--describe", "language, image-hash"),
    )]  # fmt: skip
    assert [(code, text.split("\n")[1].split()[0]) for code, text in said] == [
        (0, "read"), (0, "read"), (0, "skipped"), (0, "skipped"), (0, "read"),
    ]  # fmt: skip
    [columns] = open_index(out).columns
    direct = read_columns(shard, GPT2, describe=BOTH).batch
    assert repr(columns.batch.to_pylist()) == repr(direct.to_pylist())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("colour", "--describe takes language and image-hash, not 'colour'"),
        ("", "--describe takes language and image-hash, not ''"),
        ("language,,", "--describe takes language and image-hash, not ''"),
    ],
)
def test_unknown_words_are_refused(shard: Shard, tmp_path: Path, words: str, expected: str) -> None:
    with pytest.raises(Exception, match=expected):
        descriptions(words)
    with pytest.raises(Exception, match="--describe needs the SHARDs"):
        CliRunner().invoke(
            cli, ["index", "--out", str(tmp_path), "--prune", "--describe", "language"],
            standalone_mode=False, catch_exceptions=False,
        )  # fmt: skip


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "find_spec", lambda name: None)
    expected = r"image-hash needs imagehash: pip install 'mmc4viz\[describe\]'"
    with pytest.raises(Exception, match=expected):
        descriptions("image-hash")
    assert descriptions(None) == frozenset()


def older(index: Path) -> None:
    """Write an index's files again as an older version did."""
    for path in index.glob("*.arrow"):
        batch, origin = map_columns(path, in_memory=True)
        layout = core_schema(batch.schema.field("similarity").type.value_type)
        batch = batch.select(layout.names).cast(layout)
        part = Columns(Shard(origin.path), batch, GPT2)
        write_file(part, replace(origin, recorded=""), str(index), scratch_of(str(index)))
    write_manifest(str(index), scratch_of(str(index)))


def test_an_older_index_opens_and_says_that_nothing_was_recorded(
    shard: Shard, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    assert run(shard.path, "--out", str(out))[0] == 0
    now = open_index(str(out))
    older(out)
    then = open_index(str(out))
    [part] = then.columns
    assert part.faces is part.image_digests is part.image_hashes is part.languages is None
    assert identity(then.origins[0]) == identity(now.origins[0])  # score sets stay
    config = LoaderConfig()
    scores = [match_corpus(index.columns, config).scores() for index in (now, then)]
    np.testing.assert_array_equal(*scores)
    assert part.document(0).images[0].digest is None
    assert run(shard.path, "--out", str(out))[1].split("\n")[1].split()[0] == "read"
    assert open_index(str(out)).columns[0].faces is not None


@pytest.mark.slow
def test_a_sample_of_older_and_newer_shards_is_pooled(shard: Shard, tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    run(shard.path, "--out", str(new), "--describe", "language,image-hash")
    run(shard.path, "--out", str(old))
    older(old)
    mixed = [*open_index(str(new)).columns, *open_index(str(old)).columns]
    assert len(pool(draw(mixed, 4)).columns) == 4
