"""The index: equal results, atomic writes, resuming, and damage of every kind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmc4viz import LoaderConfig, ShardError, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.data.build_index import Done, IndexTask, build, prune, scratch_of
from mmc4viz.data.checked import IndexFileError, open_checked, write_checked
from mmc4viz.data.columns import Verify
from mmc4viz.data.corpus import Indexed, Shards
from mmc4viz.data.index import file_name, open_index
from mmc4viz.data.shards import Shard
from mmc4viz.loader.walk import walk
from mmc4viz.sweep.sweep import sweep
from tests.loader.test_tokenizer import opt_folder
from tests.support import nasty
from tests.support.documents import info, write_tar
from tests.support.slowly import slow
from tests.sweep.test_sweep import SETTINGS, THRESHOLDS


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def index(shards: list[Shard], out: Path, **options: Any) -> list[Done]:
    verify, tokenizer = options.get("verify", Verify.FULL), options.get("tokenizer", "gpt2")
    jobs = [IndexTask(shard, str(out), tokenizer, verify, None) for shard in shards]
    return build(jobs, threads, lambda done: None)


def statuses(done: list[Done]) -> list[str]:
    return [d.status for d in done]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.fixture(scope="module")
def nasty_shards(tmp_path_factory: pytest.TempPathFactory) -> list[Shard]:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(3):
        nasty.write_tar(folder / f"n-{number}.tar", nasty.documents(seed=20 + number, n=400))
    (folder / "n-2.tar").write_bytes((folder / "n-2.tar").read_bytes()[:-20_000])
    return expand([str(folder)])


@pytest.fixture(scope="module")
def nasty_index(nasty_shards: list[Shard], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("index")
    assert statuses(index(nasty_shards, out)) == ["read", "read", "incomplete"]
    return out


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    for number in range(3):
        matrix = [[0.1 * number + 0.2, 0.1], [0.1, 0.3]]
        write_tar(tmp_path / f"s-{number}.tar", [("a", info(matrix)), ("b", info(matrix))])
    return expand([str(tmp_path)])


@pytest.mark.slow
@pytest.mark.parametrize("settings", [*SETTINGS[1:4], *slow(SETTINGS[0], *SETTINGS[4:])], ids=str)
def test_curves_from_an_index_equal_those_from_its_shards(
    nasty_shards: list[Shard], nasty_index: Path, settings: dict[str, Any]
) -> None:
    config, tokenizer = LoaderConfig(**settings), load_tokenizer()
    direct = [read_columns(shard, tokenizer) for shard in nasty_shards]
    mapped = open_index(str(nasty_index)).columns
    curves = [sweep(match_corpus(c, config), config, THRESHOLDS) for c in (direct, mapped)]
    np.testing.assert_array_equal(curves[0].counts, curves[1].counts)
    np.testing.assert_array_equal(curves[0].images, curves[1].images)


@pytest.mark.slow
@pytest.mark.parametrize("with_text", [False, *slow(True)])
def test_verdicts_from_an_index_equal_those_from_its_shards(
    nasty_shards: list[Shard], nasty_index: Path, with_text: bool
) -> None:
    config, tokenizer = LoaderConfig(max_tokens=64), load_tokenizer()
    sources = Shards(nasty_shards, tokenizer), Indexed(open_index(str(nasty_index)))
    answers = []
    for source in sources:
        found = [(s, walk(d, config, tokenizer)) for s, d in source.documents(with_text)]
        answers.append([(s, v if with_text else _without_ids(v)) for s, v in found])
        assert len(source.errors) == 1
    assert answers[0] == answers[1]


def _without_ids(verdict: Any) -> Any:
    from dataclasses import replace

    return replace(verdict, token_ids=())


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(nasty_shards: list[Shard], tmp_path: Path) -> None:
    for name in ("one", "two"):
        index(nasty_shards, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_finished_shards_are_skipped_and_changed_ones_indexed_again(
    shards: list[Shard], tmp_path: Path
) -> None:
    out = tmp_path / "index"
    assert statuses(index(shards, out)) == ["read"] * 3
    assert statuses(index(shards, out)) == ["skipped"] * 3
    write_tar(Path(shards[1].path), [("c", info([[0.9]]))])
    assert statuses(index(shards, out)) == ["skipped", "read", "skipped"]
    assert statuses(index(shards, out, verify=Verify.HEADER)) == ["read"] * 3
    assert open_index(str(out)).verify == "header"


def test_other_shards_are_unchanged_and_removed_ones_pruned(
    shards: list[Shard], tmp_path: Path
) -> None:
    out = tmp_path / "index"
    index(shards[:2], out)
    index(shards[2:], out)
    assert open_index(str(out)).n_documents == 6
    os.unlink(shards[0].path)
    assert prune(str(out)) == [shards[0].path]
    assert open_index(str(out)).n_documents == 4
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["documents"], len(manifest["shards"])) == (4, 2)


def test_the_same_shard_twice_in_one_run_is_refused(shards: list[Shard], tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="listed twice"):
        index([shards[0], shards[0]], tmp_path / "index")


def test_the_same_shard_by_two_runs_at_once_is_refused(shards: list[Shard], tmp_path: Path) -> None:
    from filelock import FileLock

    out = tmp_path / "index"
    scratch = scratch_of(str(out))
    scratch.mkdir(parents=True)
    with (
        FileLock(str(scratch / f"{file_name(shards[0].path)}.lock"), thread_local=False),
        pytest.raises(IndexFileError, match="another run"),
    ):
        index(shards[:1], out)
    assert statuses(index(shards[:1], out)) == ["read"]


def test_a_shard_that_changes_while_it_is_read_is_not_kept(
    shards: list[Shard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = iter("ab")
    monkeypatch.setattr("mmc4viz.data.build_index.fingerprint", lambda path: next(prints))
    [done] = index(shards[:1], tmp_path / "index")
    assert (done.status, "changed while it was read" in str(done.reason)) == ("failed", True)


def test_a_failed_shard_does_not_stop_the_others(shards: list[Shard], tmp_path: Path) -> None:
    Path(shards[0].path).write_bytes(b"no tar" * 300)
    done = index(shards, tmp_path / "index")
    assert statuses(done) == ["failed", "read", "read"]
    assert "looks like text" in str(done[0].reason)
    assert open_index(str(tmp_path / "index")).n_documents == 4


def spoil_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_foreign(path: Path) -> None:
    table = pa.table({"a": [1]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write(table)


def spoil_older(path: Path) -> None:
    batch = open_checked(path, str, in_memory=True).raw
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def spoil_newer(path: Path) -> None:
    batch = open_checked(path, str, in_memory=True).raw
    metadata = {key: value.replace(b'"format": "2"', b'"format": "3"')
                for key, value in batch.schema.metadata.items()}  # fmt: skip
    write_checked(batch.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    "spoil", [spoil_truncate, spoil_empty, spoil_foreign, spoil_older, spoil_newer]
)
def test_a_damaged_file_is_an_error_and_rebuilt(
    shards: list[Shard], tmp_path: Path, spoil: Any
) -> None:
    out = tmp_path / "index"
    index(shards, out)
    before = contents(out)
    path = out / file_name(shards[1].path)
    path.chmod(0o644)
    spoil(path)
    with pytest.raises(IndexFileError, match=r"s-1.tar-.*run mmc4viz index SHARD... --out .*index"):
        open_index(str(out))
    assert statuses(index(shards, out)) == ["skipped", "read", "skipped"]
    assert contents(out) == before


@pytest.mark.slow
def test_an_index_of_another_tokenizer_is_refused(shards: list[Shard], tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    opt = str(opt_folder(tmp_path / "opt"))
    out = tmp_path / "index"
    index(shards, out)
    with pytest.raises(IndexFileError, match="index again with --tokenizer"):
        open_index(str(out), opt)
    index(shards[:1], out, tokenizer=opt)
    with pytest.raises(IndexFileError, match="different tokenizers"):
        open_index(str(out))
    index(shards, out, tokenizer=opt)
    assert open_index(str(out), opt).tokenizer.end_of_text == "</s>"


def test_a_folder_that_is_not_an_index_is_reported(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(IndexFileError, match="mmc4viz index SHARD"):
            open_index(str(folder))


def test_a_full_disk_is_reported_and_leaves_no_file(
    shards: list[Shard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmc4viz.data.checked.pa.ipc.new_file", full)
    with pytest.raises(IndexFileError, match="No space left on device"):
        index(shards, tmp_path / "index")
    assert contents(tmp_path / "index") == {}


def test_text_from_shards_that_changed_is_refused(shards: list[Shard], tmp_path: Path) -> None:
    index(shards, tmp_path / "index")
    write_tar(Path(shards[0].path), [("other", info([[0.9]]))])
    source = Indexed(open_index(str(tmp_path / "index")))
    with pytest.raises(ShardError, match="has changed since it was indexed"):
        list(source.documents(with_text=True))


@pytest.mark.slow
def test_a_page_of_ten_thousand_images(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    matrix = generator.uniform(0.1, 0.4, (10_000, 3)).round(4).tolist()
    document = info(matrix, images=[{"image_name": "a.jpg"}] * 10_000)
    (tmp_path / "s.jsonl").write_text(json.dumps(document) + "\n")
    shards = expand([str(tmp_path)])
    index(shards, tmp_path / "index")
    config = LoaderConfig(assignment="argmax", max_images=50, max_tokens=100)
    columns = open_index(str(tmp_path / "index")).columns
    grid = np.array([0.2, 0.399])
    curves = sweep(match_corpus(columns, config), config, grid)
    for step, threshold in enumerate(grid.tolist()):
        verdict = walk(columns[0].document(0), config.with_(threshold=threshold), load_tokenizer())
        assert curves.rows(0.5)[step]["image_tokens"] == verdict.image_tokens
        assert curves.total("pairs")[step] == sum(
            pair.status != "below_threshold" for pair in verdict.pairs
        )


def test_an_index_is_where_it_was_put(shards: list[Shard], tmp_path: Path) -> None:
    index(shards, tmp_path / "index")
    assert not any(p.stat().st_mode & 0o222 for p in (tmp_path / "index").glob("*.arrow"))
    shutil.move(tmp_path / "index", tmp_path / "elsewhere")
    assert open_index(str(tmp_path / "elsewhere")).n_documents == 6


def test_a_corpus_that_was_copied_or_touched_is_the_same(
    shards: list[Shard], tmp_path: Path
) -> None:
    out = tmp_path / "index"
    index(shards, out)
    os.utime(shards[0].path)
    assert statuses(index(shards, out)) == ["skipped"] * 3
    assert len(list(Indexed(open_index(str(out))).documents(with_text=True))) == 6
    raw = bytearray(Path(shards[0].path).read_bytes())
    raw[len(raw) // 3] ^= 1
    Path(shards[0].path).write_bytes(raw)
    with pytest.raises(ShardError, match=r"s-0.tar: has changed since it was indexed"):
        list(Indexed(open_index(str(out))).documents(with_text=True))
    assert index(shards, out)[0].status != "skipped"


@pytest.mark.parametrize("where", ["corpus/index", "corpus/deep/index", "index"])
def test_a_corpus_that_was_moved_with_its_index_is_found(
    shards: list[Shard], tmp_path: Path, where: str
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "corpus").mkdir(parents=True)
    for shard in shards:
        shutil.move(shard.path, old / "corpus")
    index(expand([str(old / "corpus")]), old / where)
    old.rename(new)
    found = Indexed(open_index(str(new / where)))
    here = {str(new / "corpus" / shard.name) for shard in shards}
    assert {part.shard.path for part in found.columns(lambda _: None)} == here
    assert len(list(found.documents(with_text=True))) == 6
    assert prune(str(new / where)) == []
    before = contents(new / where)
    again = index(expand([str(new / "corpus")]), new / where)
    assert statuses(again) == ["skipped"] * 3
    assert open_index(str(new / where)).n_documents == 6
    assert len(contents(new / where)) == len(before)
    os.unlink(new / "corpus" / shards[1].name)
    assert len(prune(str(new / where))) == 1
    assert open_index(str(new / where)).n_documents == 4
