"""Exports to trainers hold exactly the chosen documents; resuming, refusals and commands."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from braceexpand import braceexpand

from mmc4viz import LoaderConfig, Shard, expand, samples
from mmc4viz.apply.tasks import ReplacingError
from mmc4viz.cli import main
from mmc4viz.data.build_index import IndexTask, build
from mmc4viz.data.columns import Verify
from mmc4viz.data.ingest import read_columns
from mmc4viz.export.trainers import energon_loader, mds
from mmc4viz.export.trainers import run as exporting
from mmc4viz.export.trainers.energon import write_energon
from mmc4viz.export.trainers.rows import ExportError, TrainingRow
from mmc4viz.export.trainers.run import (
    Exported,
    RowFormat,
    RowOptions,
    export_shards,
    export_size,
    export_tasks,
)
from mmc4viz.loader.profile import PROFILES
from mmc4viz.text import storable
from mmc4viz.types import SliceThresholds
from tests.support import nasty, real
from tests.support.chosen import BY_SENTENCES, own_threshold
from tests.support.documents import chatgpt, entry, info, jpeg, write_tar
from tests.support.training_rows import (
    TOKENIZER,
    ExpectedRow,
    expected_rows,
    kept_documents,
)

SAMPLE = [Path("sample_data") / f"sample-000{n}.tar" for n in range(2)]
SETTINGS = [
    LoaderConfig(),
    LoaderConfig(threshold=0.2, assignment="argmax", max_images=3, min_images=2),
    LoaderConfig(threshold=0.15, assignment="stored", max_tokens=64, single_image_keep=1.0),
    LoaderConfig(min_images=0, max_tokens=16, single_image_keep=0.0),
]
SOME = ["vila", "omnicorpus-llava", "openflamingo-2.0", "dreamllm"]
LOADERS = [
    pytest.param(name, marks=() if name in SOME else pytest.mark.slow)
    for name, profile in PROFILES.items()
    if not profile.is_random
]


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def export(
    paths: list[Path], out: Path, config: LoaderConfig, kind: str = "parquet", **more: Any
) -> list[Exported]:
    index = more.pop("index", None)
    shards = [] if index else [Shard(str(path), n) for n, path in enumerate(paths)]
    tasks = export_tasks(shards, index, str(out), config, RowOptions(RowFormat(kind)), **more)
    return export_shards(tasks, threads, lambda one: None)


def rows_of(path: Path) -> list[ExpectedRow]:
    """Read a Parquet file; that images and texts are aligned is checked on the way."""
    found = []
    for row in pq.read_table(path).to_pylist():
        both = list(zip(row["images"], row["texts"], strict=True))
        assert all((image is None) != (text is None) for image, text in both)
        sequence = tuple(image["bytes"] if text is None else text for image, text in both)
        found.append(ExpectedRow(row["shard"], row["key"], row["probability"], sequence))
    return found


def stored(row: ExpectedRow) -> tuple[str, float, tuple[bytes | str, ...]]:
    texts = (storable(p) if isinstance(p, str) else p for p in row.sequence)
    return storable(row.key), row.probability, tuple(texts)


def check(paths: list[Path], out: Path, config: LoaderConfig) -> int:
    n = 0
    for path in paths:
        found = [stored(row) for row in rows_of(out / f"{path.stem}.parquet")]
        assert found == [stored(row) for row in expected_rows(path, config)]
        n += len(found)
    return n


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("index"))
    jobs = [
        IndexTask(shard, folder, "gpt2", Verify.FULL, None) for shard in expand(map(str, SAMPLE))
    ]
    build(jobs, threads, lambda done: None)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("config", SETTINGS, ids=range(len(SETTINGS)))
def test_rows_are_what_the_walk_keeps(tmp_path: Path, index: str, config: LoaderConfig) -> None:
    export(SAMPLE, tmp_path / "a", config)
    assert check(SAMPLE, tmp_path / "a", config) > 0
    export(SAMPLE, tmp_path / "b", config, index=(index, None))
    assert check(SAMPLE, tmp_path / "b", config) > 0


@pytest.mark.slow
def test_rows_of_malformed_documents_are_what_the_walk_keeps(tmp_path: Path) -> None:
    path = tmp_path / "nasty.tar"
    nasty.write_tar(path, nasty.documents(11, 600))
    for number, config in enumerate(SETTINGS):
        (done,) = export([path], tmp_path / str(number), config)
        assert done.status == "written", done.reason
        assert check([path], tmp_path / str(number), config) > 20


@pytest.mark.slow
@pytest.mark.parametrize("loader", LOADERS)
def test_rows_of_every_loader_are_what_its_walk_keeps(
    tmp_path: Path, index: str, loader: str
) -> None:
    config, path = LoaderConfig.of_loader(loader), tmp_path / "nasty.tar"
    export(SAMPLE, tmp_path / "a", config)
    assert check(SAMPLE, tmp_path / "a", config) > 0
    export(SAMPLE, tmp_path / "b", config, index=(index, None))
    assert check(SAMPLE, tmp_path / "b", config) > 0
    nasty.write_tar(path, nasty.documents(12, 400))
    (done,) = export([path], tmp_path / "c", config)
    assert done.status == "written", done.reason
    assert check([path], tmp_path / "c", config) > 0


@pytest.mark.slow
@pytest.mark.parametrize("loader", SOME)
def test_energon_has_every_loader_s_pairs(tmp_path: Path, loader: str) -> None:
    config = LoaderConfig.of_loader(loader)
    paths = [Path(shutil.copy(path, tmp_path)) for path in SAMPLE]
    parts = [read_columns(Shard(str(path)), TOKENIZER) for path in paths]
    done = write_energon(parts, config, str(tmp_path))
    wanted = {
        one.key: sorted(one.pairs, key=lambda pair: (pair[1], pair[0]))
        for path in paths
        for one in kept_documents(path, config)
    }
    with closing(sqlite3.connect(tmp_path / ".nv-meta" / "chosen.sqlite")) as store:
        found = store.execute("SELECT key, pairs FROM chosen").fetchall()
    assert {key: list(map(tuple, json.loads(pairs))) for key, pairs in found} == wanted
    assert (done.documents, done.images) == (len(wanted), sum(map(len, wanted.values())))


@pytest.mark.slow
@pytest.mark.parametrize("loader", SOME)
def test_energon_s_loader_yields_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str
) -> None:
    config, path = LoaderConfig.of_loader(loader), tmp_path / "nasty.tar"
    seen, documents = set[str](), []
    for key, content in nasty.documents(13, 300):
        plain = key.encode("ascii", "ignore").decode()
        if plain not in seen:
            seen.add(plain)
            documents.append((plain, content))
    nasty.write_tar(path, documents)
    write_energon([read_columns(Shard(str(path)), TOKENIZER)], config, str(tmp_path))
    monkeypatch.setattr(energon_loader, "_tensor", base64.b64decode)
    rows = expected_rows(path, config)
    raw = {sample.key: sample.raw or b"" for sample in samples(Shard(str(path)))}
    for row in rows:
        given = {"__key__": row.key, "json": json.loads(raw[row.key])}
        given["__sources__"] = [SimpleNamespace(dataset_path=str(tmp_path))]
        assert tuple(energon_loader.sample_loader(given)["sequence"]) == row.sequence
    assert rows


def test_a_loader_that_does_not_know_chatgpt_reads_such_a_document_as_a_page(
    tmp_path: Path,
) -> None:
    images = [entry(jpeg(), matched_text_index=n) for n in range(2)]
    page = info([[0.9, 0], [0, 0.8]], ["a", "b"], images=images) | {"is_gpt": True}
    path = write_tar(tmp_path / "a.tar", [("d", page)])
    config = LoaderConfig.of_loader("vila")
    (done,) = export([path], tmp_path / "out", config)
    assert (done.counts["documents"], done.counts["chatgpt"]) == (1, 0)
    assert check([path], tmp_path / "out", config) == 1
    summary = write_energon([read_columns(Shard(str(path)), TOKENIZER)], config, str(tmp_path))
    assert (summary.documents, summary.images, summary.chatgpt) == (1, 2, 0)


def test_rows_of_real_documents(tmp_path: Path) -> None:
    path = real.shard(tmp_path)
    export([path], tmp_path / "out", LoaderConfig())
    assert check([path], tmp_path / "out", LoaderConfig()) > 50


@pytest.mark.slow
def test_slice_thresholds_are_respected(tmp_path: Path) -> None:
    config, slices = LoaderConfig(), SliceThresholds("sentences", 0.24, BY_SENTENCES)
    out, shard = tmp_path / "out", Path(shutil.copy(SAMPLE[0], tmp_path))
    export([shard], out, config, slices=slices)
    wanted = expected_rows(shard, config, own_threshold)
    assert [row.key for row in wanted] != [row.key for row in expected_rows(shard, config)]
    assert list(map(stored, rows_of(out / "sample-0000.parquet"))) == list(map(stored, wanted))
    parts = [read_columns(Shard(str(shard)), TOKENIZER)]
    done = write_energon(parts, config, str(tmp_path), slices)
    assert (done.documents, done.images) == (len(wanted), sum(len(row.images) for row in wanted))


def test_truncated_pairs_are_left_out(tmp_path: Path) -> None:
    long = ["one", "word " * 300, "two"]
    path = write_tar(tmp_path / "a.tar", [("d", info([[0.9, 0, 0], [0, 0, 0.8]], long))])
    (done,) = export([path], tmp_path / "out", LoaderConfig(single_image_keep=1))
    assert done.counts == {"documents": 1, "single": 0, "images": 1, "chatgpt": 0}
    (row,) = rows_of(tmp_path / "out" / "a.parquet")
    assert row.sequence == (jpeg(), " ".join(long))


def test_chatgpt_documents_are_counted_and_left_out(tmp_path: Path) -> None:
    documents = [("g", chatgpt("a _!_IMAGE1_!_ b", 1)), ("d", info([[0.9], [0.8]]))]
    path = write_tar(tmp_path / "a.tar", documents)
    (done,) = export([path], tmp_path / "out", LoaderConfig())
    assert (done.counts["documents"], done.counts["chatgpt"]) == (1, 1)


def test_finished_shards_are_skipped_and_damaged_ones_written_again(
    tmp_path: Path, index: str
) -> None:
    for kind, name in (("parquet", "sample-0000.parquet"), ("mds", "sample-0000/shard.00000.mds")):
        out = tmp_path / kind
        first = export(SAMPLE, out, LoaderConfig(), kind, index=(index, None))
        again = export(SAMPLE, out, LoaderConfig(), kind, index=(index, None))
        assert [one.status for one in again] == ["skipped", "skipped"]
        assert [one.counts for one in again] == [one.counts for one in first]
        assert [one.out_bytes for one in again] == [one.out_bytes for one in first]
        content = (out / name).read_bytes()
        (out / name).write_bytes(content[:-1] + b"?")
        statuses = [
            one.status for one in export(SAMPLE, out, LoaderConfig(), kind, index=(index, None))
        ]
        assert statuses == ["written", "skipped"]
        assert (out / name).read_bytes() == content


@pytest.mark.parametrize("kind", ["parquet", "mds"])
def test_a_stopped_export_leaves_nothing_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    class StoppedError(BaseException):
        pass

    def stop(*_: object) -> None:
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "put_in_place", stop)
        with pytest.raises(StoppedError):
            export(SAMPLE[:1], tmp_path / "out", LoaderConfig(), kind)
    visible = [p for p in (tmp_path / "out").rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert all(any(part.startswith(".") for part in p.relative_to(tmp_path).parts) for p in visible)
    (done,) = export(SAMPLE[:1], tmp_path / "out", LoaderConfig(), kind)
    assert done.status == "written"
    left = [p.name for p in (tmp_path / "out" / ".partial").iterdir() if p.suffix != ".lock"]
    assert left == []


@pytest.mark.parametrize("kind", ["parquet", "mds"])
def test_other_settings_need_overwrite(tmp_path: Path, kind: str) -> None:
    out, other = tmp_path / "out", LoaderConfig(threshold=0.3)
    (before,) = export(SAMPLE[:1], out, LoaderConfig(), kind)
    contents = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(ReplacingError, match=r"threshold 0\.24, now 0\.3.*add --overwrite"):
        export(SAMPLE[:1], out, other, kind)
    assert contents == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    (after,) = export(SAMPLE[:1], out, other, kind, overwrite=True)
    assert after.status == "written"
    assert after.counts["documents"] < before.counts["documents"]


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "sample-0000.parquet").write_bytes(b"mine")
    with pytest.raises(ExportError, match="was not written by mmc4viz export"):
        export(SAMPLE[:1], tmp_path, LoaderConfig(), overwrite=True)
    assert (tmp_path / "sample-0000.parquet").read_bytes() == b"mine"


def test_missing_images_are_one_line(tmp_path: Path) -> None:
    documents = [info([[0.9, 0.1], [0.1, 0.8]], images=[entry(), entry()])]
    path = tmp_path / "docs_shard_0.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in documents))
    with pytest.raises(ExportError, match=r"document '0' has no image bytes.*--image-dir"):
        export([path], tmp_path / "out", LoaderConfig())
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_a_truncated_shard_is_exported_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "cut.tar"
    path.write_bytes(SAMPLE[0].read_bytes()[:3_000_000])
    (done,) = export([path], tmp_path / "out", LoaderConfig())
    assert done.status == "incomplete" and "reading failed after" in str(done.reason)
    assert len(rows_of(tmp_path / "out" / "cut.parquet")) == done.counts["documents"] > 0


def test_two_shards_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    twin = Path(shutil.copy(SAMPLE[0], tmp_path / "x"))
    with pytest.raises(ExportError, match="has the same name"):
        export([SAMPLE[0], twin], tmp_path / "out", LoaderConfig())


@pytest.mark.slow
def test_the_size_is_known_from_an_index(tmp_path: Path, index: str) -> None:
    options = RowOptions(RowFormat.PARQUET)
    tasks = export_tasks([], (index, None), str(tmp_path / "out"), LoaderConfig(), options)
    found = export_size(tasks)
    rows = [row for path in SAMPLE for row in expected_rows(path, LoaderConfig())]
    assert found.images == sum(len(row.images) for row in rows)
    n_bytes = sum(len(image) for row in rows for image in row.images)
    assert n_bytes < found.n_bytes < 1.5 * n_bytes
    export_shards(tasks, threads, lambda one: None)
    assert export_size(tasks).n_bytes == 0


def test_no_space_is_told_before_anything_is_written(
    tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RowOptions(RowFormat.PARQUET)
    tasks = export_tasks([], (index, None), str(tmp_path / "out"), LoaderConfig(), options)
    monkeypatch.setattr(exporting, "_free", lambda out: 1000)
    with pytest.raises(ExportError, match=r"not enough space: about .* needed"):
        exporting.size_note(tasks)


def mds_row(key: str, images: tuple[bytes | None, ...]) -> TrainingRow:
    texts = tuple("t" if image is None else None for image in images)
    return TrainingRow(key, "u", 0, 1.0, images, texts, (None,) * len(images))


def test_mds_files_are_split_by_size(tmp_path: Path) -> None:
    rows = [mds_row(str(n), (None, bytes(1000))) for n in range(10)]
    files = mds.write_mds(tmp_path, "s", "a.tar", rows, most=3000)
    assert [file.samples for file in files] == [2] * 5
    assert all((tmp_path / file.name).stat().st_size == file.size <= 3000 for file in files)


def test_more_than_mds_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mds, "_LARGEST", mds.SHARD_BYTES + 1500)
    rows = [mds_row("a", (bytes(1000), None)), mds_row("b", (bytes(1000), bytes(1000)))]
    with pytest.raises(ExportError, match=r"document 'b'.*more than the 4 GB"):
        mds.write_mds(tmp_path, "s", "a.tar", rows)


def test_mds_code_for_users_gives_the_images() -> None:
    names: dict[str, Any] = {}
    exec(mds.IMAGES_OF, names)
    sample = {"sizes": [None, 2, 0, None, 3], "images": b"abcde"}
    assert names["images_of"](sample) == [None, b"ab", b"", None, b"cde"]


def command(words: list[str]) -> int:
    """Run a command and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def energon(folder: Path, *more: str) -> int:
    return command(["export", str(folder), "--for", "energon", "--out", str(folder), *more])


@pytest.mark.slow
def test_energon_excludes_what_is_not_kept_and_leaves_shards_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [Path(shutil.copy(path, tmp_path)) for path in SAMPLE]
    nothing = write_tar(tmp_path / "none.tar", [("a{1,2}", info([[0.1]])), ("b", info([[0.1]]))])
    before = {path: path.read_bytes() for path in [*paths, nothing]}
    assert energon(tmp_path) == 0
    assert before == {path: path.read_bytes() for path in before}
    split = yaml.safe_load((tmp_path / ".nv-meta" / "split.yaml").read_text())
    excluded = {name for entry in split["exclude"] for name in braceexpand(entry)}
    kept = {f"{r.shard}/{r.key}" for path in paths for r in expected_rows(path, LoaderConfig())}
    shards = {path.name: keys_of(path) for path in paths}
    every = {f"{name}/{key}" for name, keys in shards.items() for key in keys}
    assert excluded == (every - kept) | {"none.tar"} and kept
    assert split["split_parts"]["train"] == ["none.tar", *(path.name for path in paths)]
    assert energon(tmp_path) == 0
    capsys.readouterr()
    assert energon(tmp_path, "--threshold", "0.3") == 2
    assert "written with different settings; add --overwrite" in capsys.readouterr().err
    assert energon(tmp_path, "--threshold", "0.3", "--overwrite") == 0


def keys_of(path: Path) -> list[str]:
    return [sample.key for sample in samples(Shard(str(path)))]


def test_energon_keeps_the_split_parts_of_an_existing_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in SAMPLE:
        shutil.copy(path, tmp_path)
    (tmp_path / ".nv-meta").mkdir()
    split = tmp_path / ".nv-meta" / "split.yaml"
    split.write_text("split_parts:\n  train: [sample-0001.tar]\n  val: [sample-0000.tar]\n")
    assert energon(tmp_path) == 2
    assert "was not written by mmc4viz; add --overwrite" in capsys.readouterr().err
    assert energon(tmp_path, "--overwrite") == 0
    parts = yaml.safe_load(split.read_text())["split_parts"]
    assert parts == {"train": ["sample-0001.tar"], "val": ["sample-0000.tar"]}


@pytest.mark.parametrize(
    ("documents", "mode", "said"),
    [
        ([("k", info([[0.9]])), ("j", info([[0.9]])), ("k", info([[0.9]]))], "w", "occurs twice"),
        ([("k", info([[0.9]]))], "w:gz", "is compressed"),
        ([("k", info([[0.1]]))], "w", "no document is kept at 0.24"),
    ],
)
def test_what_energon_refuses_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], documents: Any, mode: str, said: str
) -> None:
    write_tar(tmp_path / "a.tar", documents, mode)
    assert energon(tmp_path) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert said in error[-1]
    assert not (tmp_path / ".nv-meta" / "split.yaml").exists()
    assert not list(tmp_path.rglob("chosen.sqlite*"))


def test_energon_refuses_shards_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["export", str(SAMPLE[0]), "--for", "energon", "--out", str(tmp_path)]) == 2
    assert "below its dataset's folder" in capsys.readouterr().err


@pytest.mark.parametrize("trainer", ["hf", "torchtitan", "mds"])
def test_the_command_says_how_training_starts(
    tmp_path: Path, index: str, capsys: pytest.CaptureFixture[str], trainer: str
) -> None:
    out = str(tmp_path / "out")
    words = ["export", "--index", index, "--for", trainer, "--out", out, "--workers", "1"]
    assert command(words) == 0
    said = capsys.readouterr()
    assert repr(out)[1:-1] in said.out and "documents" in said.out
    assert "about" in said.err and "will be written" in said.err
    code = said.out.partition("\n\n")[2].partition("\n\n")[2]
    compile(code, "code", "exec")
    assert command([*words, "--threshold", "0.3"]) == 2
    assert "add --overwrite" in capsys.readouterr().err


def test_openflamingo_and_webdataset_give_what_there_is(
    tmp_path: Path, index: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["export", "--index", index, "--for", "openflamingo", "--threshold", "0.3"]) == 0
    said = capsys.readouterr().out
    assert "--mmc4_textsim_threshold 0.3" in said and "mmc4viz apply --index" in said
    shards = ["sample_data", "--input-format", "mmc4"]
    assert command(["export", *shards, "--for", "openflamingo"]) == 0
    assert "mmc4viz apply sample_data --input-format mmc4 --config" in capsys.readouterr().out
    manifest = str(tmp_path / "m.parquet")
    assert command(["export", "--index", index, "--for", "webdataset", "--manifest", manifest]) == 0
    said = capsys.readouterr().out
    compile(said, "code", "exec")
    assert repr(manifest) in said
    assert command(["export", "--index", index, "--for", "webdataset"]) == 2
    assert "add --manifest FILE.parquet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--for", "hf"], "add --out DIR"),
        (["--for", "hf", "--out", "c.yaml"], "it is a folder"),
        (["--for", "hf", "--out", "x", "--ids", "i.npy"], "--ids cannot be combined"),
        (["--out", "c.yaml", "--overwrite"], "add --for NAME"),
    ],
)
def test_options_that_say_nothing_are_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["export", str(SAMPLE[0]), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_loader_that_draws_is_refused(tmp_path: Path) -> None:
    config = LoaderConfig.of_loader("mm-interleaved")
    with pytest.raises(ExportError, match="draws images at random"):
        export_tasks([], None, str(tmp_path), config, RowOptions(RowFormat.PARQUET))


@pytest.mark.parametrize(
    "words", [["energon", "--out", "."], ["webdataset", "--manifest", "m.parquet"]]
)
def test_a_loader_that_draws_is_refused_by_every_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["export", str(SAMPLE[0]), "--loader", "mm-interleaved", "--for", *words]) == 2
    assert "draws images at random" in capsys.readouterr().err


def test_a_folder_holds_one_format(tmp_path: Path) -> None:
    export(SAMPLE[:1], tmp_path, LoaderConfig())
    with pytest.raises(ExportError, match="were written there as parquet; choose another --out"):
        export(SAMPLE[:1], tmp_path, LoaderConfig(), "mds", overwrite=True)
    assert check(SAMPLE[:1], tmp_path, LoaderConfig()) > 0
