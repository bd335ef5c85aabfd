"""Images decode as in the loader, in bounded memory, without running other programs."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL
import pytest
from PIL import EpsImagePlugin
from PIL import Image as PillowImage

from mmc4viz.clip.document_scores import prepared
from mmc4viz.clip.pages import pages
from mmc4viz.clip.preprocess import preprocessing_of
from mmc4viz.data.build_index import IndexTask, index_shard
from mmc4viz.data.columns import Verify
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.index import open_index, write_manifest
from mmc4viz.data.ingest import read_columns
from mmc4viz.data.shards import Shard, image_source
from mmc4viz.data.thumbnails import thumbnail
from mmc4viz.export.provenance import basics_of, corpus_of_index, provenance
from mmc4viz.loader import images
from mmc4viz.loader.images import (
    FORMATS,
    OLD_CONVERTER,
    Embedded,
    Folder,
    decode,
    decode_quickly,
    measure,
    pillow_version,
    words,
)
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.sweep.audit import undecodable
from mmc4viz.sweep.sweep import match_corpus
from mmc4viz.types import ConfigError, LoaderConfig
from tests.support.documents import entry, info, jpeg, write_tar
from tests.support.nasty import png_of_zeros
from tests.support.pictures import chunk, damaged, drawn, icns, ico, iptc, odd_png, pictures, saved

LEFT_OUT = ("EPS", "FPX", "MIC")


def plain(data: bytes) -> tuple[int, int, str, str | None] | None:
    """Return Pillow's result under the loader's limit; None if the image exceeds it."""
    width, height, kind = 0, 0, ""
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            width, height, kind = *image.size, image.format or ""
            if width * height > 10**7:
                return None
            image.convert("RGB")
    except PillowImage.DecompressionBombError:
        return None
    except Exception as error:
        return width, height, kind, words(error)
    return width, height, kind, None


def agree(r: random.Random, count: int) -> int:
    """Compare intact and damaged images with plain Pillow; return how many failed."""
    decode(pictures()["TIFF RGB "])  # Pillow knows all of its formats now, in its usual order
    whole = list(pictures().values())
    failed = 0
    for data in [*whole, *(damaged(r.choice(whole), r) for _ in range(count))]:
        expected = plain(data)
        if expected is not None:
            assert decode(data) == expected
            assert decode_quickly(data) == expected
            failed += expected[3] is not None
    return failed


def test_images_decode_exactly_when_pillow_decodes_them() -> None:
    assert len(pictures()) > 100
    assert agree(random.Random(11), 200) > 80


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_many_more_images(seed: int) -> None:
    assert agree(random.Random(seed), 10_000) > 4_000


def test_formats_are_pillows_in_its_order() -> None:
    """In a separate process, because the order depends on what was opened before."""
    code = "from PIL import Image; Image.preinit(); Image.init(); print(*Image.ID)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    known = ran.stdout.split()
    expected = [name for name in known if name not in LEFT_OUT]
    assert [name for name in FORMATS if name in known] == expected


def test_the_pixel_limit_is_the_loaders_and_does_not_change_pillows() -> None:
    assert images.LOADER_MAX_PIXELS == 10**9
    assert PillowImage.MAX_IMAGE_PIXELS == 1024**3 // 4 // 3  # as whoever imports us has it


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Make Pillow believe that Ghostscript is installed; collect what it runs."""
    calls: list[Any] = []
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    monkeypatch.setattr(EpsImagePlugin.subprocess, "check_call", lambda *a, **k: calls.append(a))
    yield calls


def test_no_image_runs_another_program(started: list[Any], tmp_path: Path) -> None:
    eps = saved(drawn("L"), "EPS")
    (tmp_path / "a.eps").write_bytes(eps)
    take = preprocessing_of({"size": 32, "crop_size": 32, "do_normalize": False})
    for data in (eps, b"\xc5\xd0\xd3\xc6" + eps, iptc(b"\5", eps), iptc(b"\5", iptc(b"\5", eps))):
        assert decode(data)[3] is not None
        assert decode_quickly(data)[3] is not None
        assert thumbnail(data) is None
        assert prepared(take, data) is None
    assert Folder((tmp_path,)).data({"image_name": "a.eps"}) is None
    assert decode(eps)[3] == "EPS is not supported (the loader would need Ghostscript)"
    assert not started
    with PillowImage.open(io.BytesIO(eps)) as image, pytest.raises(OSError):
        image.load()  # what is left to others is as it was
    assert started


@pytest.fixture
def nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "limit_bytes", lambda *_: 0)


def test_a_png_too_large_fails_where_pillow_fails(nothing_fits: None) -> None:
    r = random.Random(5)
    ends = set()
    for data in [odd_png(r) for _ in range(300)]:
        expected = plain(data)
        assert expected is not None
        assert (decode(data)[3] is None) == (expected[3] is None)
        ends.add(expected[3] is None)
    assert ends == {True, False}


def test_a_jpeg_too_large_fails_where_pillow_fails(nothing_fits: None) -> None:
    r = random.Random(6)
    for mode in ("L", "RGB", "CMYK"):
        whole = saved(drawn(mode, (160, 120)), "JPEG")
        for data in [whole, *(damaged(whole, r) for _ in range(60))]:
            expected, found = plain(data), decode(data)
            if (
                expected is not None
                and "progressive" not in PillowImage.open(io.BytesIO(whole)).info
            ):
                assert found == decode_quickly(data)
                if found[3] is not None:
                    assert expected[3] is not None
                elif expected[3] is not None:  # only its header was read
                    assert data.count(b"\xff\xda") != 1 or data.find(b"\xff\xc3") >= 0
    cut = saved(drawn("RGB", (160, 120)), "JPEG")[:-300]
    assert decode(cut)[3] is not None


def with_size(data: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose header claims another size."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def bombs() -> dict[str, tuple[bytes, bool]]:
    """Return small files of huge images, and whether they are known to be broken."""
    png = png_of_zeros(17_000, 17_000)
    beyond = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", 50_000, 40_001, 1, 0, 0, 0, 0)
    )
    beyond += chunk(b"IDAT", b"x")
    rgb = drawn("RGB", (64, 64))
    jpeg, progressive = saved(rgb, "JPEG"), saved(rgb, "JPEG", progressive=True)
    gif, bmp = saved(drawn("L", (64, 64)), "GIF"), saved(rgb, "BMP")
    return {
        "png": (png, False),
        "png, cut": (png[:-100], True),
        "jpeg, cut": (with_size(jpeg, 20_000, 20_000)[:-2], True),
        "jpeg, all in memory": (with_size(progressive, 20_000, 20_000), False),
        "gif": (gif[:6] + struct.pack("<HH", 65_535, 30_000) + gif[10:], False),
        "bmp, cut": (bmp[:18] + struct.pack("<ii", 40_000, 40_000) + bmp[26:], True),
        "in an icon": (ico(png), False),
        "in a Macintosh icon": (icns(png), False),
        "beyond the loader's limit": (beyond, True),
        "beyond it, in an icon": (ico(beyond), True),
    }


LIMITED = """
import resource, sys
from pathlib import Path
from mmc4viz.loader.images import decode, decode_quickly, open_only
own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (own + int(sys.argv[1]), -1))
for path in sys.argv[2:]:
    data = Path(path).read_bytes()
    for look in (decode, decode_quickly, open_only):
        try:
            print(look(data)[3], end="|")
        except MemoryError:
            print("not enough memory", end="|")
    print()
"""


def limited(most: int, folder: Path, files: dict[str, bytes]) -> dict[str, list[str]]:
    """Decode files in every way in a process with limited memory."""
    for number, data in enumerate(files.values()):
        (folder / str(number)).write_bytes(data)
    paths = [str(folder / str(number)) for number in range(len(files))]
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(most), *paths], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    lines = [line.split("|")[:3] for line in ran.stdout.splitlines()]
    return dict(zip(files, lines, strict=True))


def test_no_image_takes_gigabytes(tmp_path: Path) -> None:
    given = bombs()
    found = limited(4 * 10**8, tmp_path, {name: data for name, (data, _) in given.items()})
    for name, (_, broken) in given.items():
        assert [found[name][0] != "None", found[name][1] != "None"] == [broken, broken], name
    assert "exceeds limit of 2000000000 pixels" in found["beyond the loader's limit"][2]


@pytest.mark.slow
def test_the_largest_decoded_images_stay_within_the_limit(tmp_path: Path) -> None:
    """The limit is on memory: an image just below it decodes within it."""
    side = int((2e9 / 8) ** 0.5) - 1
    found = limited(22 * 10**8, tmp_path, {"png": png_of_zeros(side, side)})
    assert found == {"png": ["None", "None", "None"]}


def test_lack_of_memory_is_not_an_image_error(tmp_path: Path) -> None:
    found = limited(2 * 10**8, tmp_path, {"png": png_of_zeros(8_000, 8_000), "bad": b"GIF89a"})
    assert found["png"] == ["not enough memory", "not enough memory", "None"]
    assert found["bad"][0] not in ("None", "not enough memory")


def test_the_limit_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.LIMIT, "1")
    large = saved(drawn("RGB", (500, 400)), "BMP")
    assert images.is_too_large("BMP", 500, 400)
    assert decode(large[:-50])[3] is None  # its header is in order, and nobody looks further
    assert prepared(preprocessing_of({"size": 8, "crop_size": 8, "do_normalize": False}),
                    large) is None  # fmt: skip
    monkeypatch.setenv(images.LIMIT, "2")
    assert decode(large[:-50])[3] is not None
    monkeypatch.setenv(images.LIMIT, "much")
    with pytest.raises(ConfigError, match="MMC4VIZ_MAX_IMAGE_MB must be a positive integer"):
        decode(large)


def test_links_are_followed_but_names_stay_in_the_folder(tmp_path: Path) -> None:
    folder, cache = tmp_path / "images", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    (cache / "blob").write_bytes(saved(drawn("RGB"), "PNG"))
    (folder / "own.png").write_bytes(saved(drawn("RGB"), "PNG"))
    (folder / "link.png").symlink_to("../cache/blob")
    (folder / "deep").symlink_to(cache)
    source = Folder((folder,))
    for name in ("own.png", "link.png", "deep/blob", str(folder / "own.png"), "./own.png"):
        assert source.data({"image_name": name}) is not None, name
    for name in ("../cache/blob", str(cache / "blob"), "deep/../cache/blob", "", ".", "a\0b", "x"):
        assert source.data({"image_name": name}) is None, name


def test_only_regular_files_of_sane_size_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "empty.jpg").touch()
    with (tmp_path / "huge.webp").open("wb") as file:
        file.write(saved(drawn("RGB"), "WEBP"))
        file.truncate(2**40)
    source, found = Folder((tmp_path,)), dict[str, bytes | None]()

    def look() -> None:
        for name in ("pipe.jpg", "zero.jpg", "empty.jpg", "huge.webp"):
            found[name] = source.data({"image_name": name})

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(20)  # it would wait for ever for the other end of the pipe
    assert found == dict.fromkeys(("pipe.jpg", "zero.jpg", "empty.jpg", "huge.webp"))


@pytest.mark.parametrize("name", ["s_0.jsonl", "s_0.jsonl.gz", "s_0.jsonl.zip", "s_0.zip"])
def test_files_of_mmc4s_downloader_are_found(tmp_path: Path, name: str) -> None:
    data, shard = saved(drawn("RGB"), "PNG"), Shard(str(tmp_path / name), 3)
    assert image_source(shard).sizes_unknown
    for folder, given in (
        (tmp_path / "s_0_images", None),
        (tmp_path / "d/s_0_images", "d"),
        (tmp_path / "e/3", "e"),
        (tmp_path / "f", "f"),
    ):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(data)
        source = image_source(shard, given and str(tmp_path / given))
        assert not source.sizes_unknown
        assert source.data({"image_name": "a.png"}) is not None


@pytest.mark.parametrize("n_bytes", [12_000, 12_001, 12_002])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_base64_written_as_bytes_is_named(n_bytes: int, quote: str) -> None:
    """Before July 2023 the converter wrote ``str`` of bytes, which does not decode to an image."""
    data = saved(drawn("RGB"), "JPEG").ljust(n_bytes, b"\0")
    text = f"b{quote}{base64.b64encode(data).decode()}{quote}"
    found = measure({"image_base64": text}, Embedded())
    failure = found.entry_error or found.pixel_error or ""
    assert failure.endswith(f"; {OLD_CONVERTER}")
    try:
        expected = base64.b64decode(text)
    except ValueError as error:
        assert found.entry_error == f"{words(error)}; {OLD_CONVERTER}"
    else:
        assert found.n_bytes == len(expected)
    sound = measure({"image_base64": base64.b64encode(data).decode()}, Embedded())
    assert not (sound.entry_error or sound.pixel_error)


def shard_of(folder: Path, *entries: dict[str, Any], name: str = "s.tar") -> Shard:
    """Write a shard of one document for each image."""
    documents = [(f"d{n}", info([[0.3, 0.2]], images=[one])) for n, one in enumerate(entries)]
    if name.endswith(".tar"):
        return Shard(str(write_tar(folder / name, documents)))
    (folder / name).write_text("".join(json.dumps(one) + "\n" for _, one in documents))
    return Shard(str(folder / name))


def notes_everywhere(shard: Shard, folder: Path, image_dir: str | None = None) -> list[str]:
    """Return a shard's notes, which must be the same however it is read."""
    tokenizer = load_tokenizer()
    read = Shards([shard], tokenizer, image_dir)
    list(read.documents(with_text=False))
    found = read.notes
    for look in (lambda one: one.columns(lambda _: None), lambda one: one.sample(9, 0, print)):
        one = Shards([shard], tokenizer, image_dir)
        look(one)
        assert one.notes == found
    job = IndexTask(shard, str(folder), "gpt2", Verify.FULL, image_dir)
    assert list(index_shard(job).notes) == [
        line for line in found if "sizes are unknown" not in line
    ]
    write_manifest(str(folder), folder)
    assert Indexed(open_index(str(folder))).notes == found
    return found


def test_all_images_missing_is_noted_with_the_folders_searched(tmp_path: Path) -> None:
    inside = shard_of(tmp_path, entry(), entry())
    assert notes_everywhere(inside, tmp_path / "a") == [
        "s.tar: all 2 images are missing: the loader reads images only from image_base64 in the "
        "JSON, not from other tar members"
    ]
    lines = shard_of(tmp_path, entry(), name="s.jsonl")
    (tmp_path / "wrong").mkdir()
    where = str(tmp_path / "wrong")
    assert notes_everywhere(lines, tmp_path / "b", where) == [
        f"s.jsonl: the only image is missing: a.jpg is not in {where}/0, {where}/s_images, {where}"
    ]
    [unknown] = notes_everywhere(lines, tmp_path / "c")
    assert unknown.startswith("s.jsonl: no images, so image sizes are unknown")
    assert "--image-dir" in unknown and "s_images/" in unknown
    assert not notes_everywhere(shard_of(tmp_path, entry(), entry(jpeg())), tmp_path / "d")
    (tmp_path / "s_images").mkdir()
    (tmp_path / "s_images/a.jpg").write_bytes(jpeg())
    assert not notes_everywhere(lines, tmp_path / "c")  # found by itself, and indexed again


def test_scoring_notes_that_all_images_are_missing(tmp_path: Path) -> None:
    shard, notes = shard_of(tmp_path, entry(), name="s.jsonl"), list[str]()
    assert [page.images for page in pages(shard, str(tmp_path), notes)] == [[None]]
    assert [note.partition(": a.jpg")[0] for note in notes] == [
        "s.jsonl: the only image is missing"
    ]


def test_unusual_images_are_counted_in_notes(tmp_path: Path) -> None:
    if "AVIF RGB {'speed': 10}" not in pictures():
        pytest.skip("this Pillow writes no AVIF")
    avif = pictures()["AVIF RGB {'speed': 10}"].ljust(12_000, b"\0")
    as_bytes = entry(jpeg())
    as_bytes["image_base64"] = str(as_bytes["image_base64"].encode())
    shard = shard_of(
        tmp_path, entry(avif), entry(avif), as_bytes, entry(png_of_zeros(17_000, 17_000)),
        entry(ico(png_of_zeros(17_000, 17_000))),
    )  # fmt: skip
    assert notes_everywhere(shard, tmp_path / "a") == [
        "s.tar: 1 image cannot be decoded: written as b'…' by OpenFlamingo's converter before July "
        "2023; convert the shard again",
        "s.tar: 2 AVIF images: a loader with Pillow before 11.3 cannot decode them and drops their "
        "documents",
        "s.tar: 2 images too large to decode here (up to 289 megapixels), counted as valid; the "
        "loader needs gigabytes of memory for each; raise the limit with MMC4VIZ_MAX_IMAGE_MB",
    ]
    columns = read_columns(shard, load_tokenizer())
    seen = undecodable(match_corpus([columns], LoaderConfig()), LoaderConfig())
    assert seen.newer == {"AVIF": 2}


def test_the_pillow_that_decoded_is_recorded_and_not_compared(tmp_path: Path) -> None:
    job = IndexTask(
        shard_of(tmp_path, entry(jpeg())), str(tmp_path / "i"), "gpt2", Verify.FULL, None
    )
    assert index_shard(job).status == "read"
    write_manifest(job.folder, tmp_path / "i")
    index = open_index(job.folder)
    assert [origin.pillow for origin in index.origins] == [pillow_version()]
    assert pillow_version().startswith(f"{PIL.__version__} with")
    assert index.origins[0].made_like(replace(index.origins[0], pillow="9.5.0 without AVIF"))
    here = basics_of(Shards([job.shard], load_tokenizer()), LoaderConfig())
    assert corpus_of_index(index).pillow == here.corpus.pillow == pillow_version()
    assert provenance(here, {})["corpus"]["pillow"] == pillow_version()
