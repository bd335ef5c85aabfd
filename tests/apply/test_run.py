"""Rewriting whole shards: copied bytes, output paths, resuming, and every failure."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from mmc4viz import LoaderConfig, Shard, expand, load_tokenizer, parse_document, samples, walk
from mmc4viz.apply.options import Options, loader_config
from mmc4viz.apply.run import Applied, apply_shards
from mmc4viz.apply.tasks import (
    ApplyError,
    ReplacingError,
    disk_use,
    read_record,
    tasks_for_index,
    tasks_for_shards,
)
from mmc4viz.cli import main
from mmc4viz.data.build_index import IndexTask, attach, build, scratch_of
from mmc4viz.data.columns import Verify
from mmc4viz.formats.format import LIMIT
from tests.data.test_similarity_file import odd_shards
from tests.support import nasty
from tests.support.chosen import chosen, problems
from tests.support.disturbed import wait_for_a_file, worker_of
from tests.support.documents import entry, info, jpeg, write_tar

TOKENIZER = load_tokenizer()
SORTED = Options("sentence", "best", drop_undecodable=True)
CROSSED = info([[0.1, 0.9], [0.8, 0.1]])  # its images must be reordered
STRAIGHT = info([[0.9, 0.1], [0.1, 0.8]])


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def apply(
    shards: list[Shard], out: Path | str, options: Options = SORTED, **more: Any
) -> list[Applied]:
    tasks = tasks_for_shards(shards, str(out), more.pop("config", LoaderConfig()), options, **more)
    return apply_shards(tasks, threads, lambda applied: None)


def one(path: Path) -> list[Shard]:
    return [Shard(str(path))]


def statuses(done: list[Applied]) -> list[str]:
    return [applied.status for applied in done]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def keys(path: Path) -> list[str]:
    return [sample.key for sample in samples(Shard(str(path)))]


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    for number in range(3):
        write_tar(tmp_path / f"in/s-{number}.tar", [("a", CROSSED), ("b", STRAIGHT)])
    return expand([str(tmp_path / "in")])


@pytest.fixture(autouse=True)
def _inputs(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()


# ----------------------------------------------------------------------------- copied bytes


def test_a_shard_that_needs_no_change_is_the_same_file(tmp_path: Path) -> None:
    shard = tmp_path / "in/s.tar"
    nasty.write_tar(shard, nasty.documents(seed=90, n=150), random.Random(1))
    [applied] = apply(one(shard), tmp_path / "out", Options())
    assert (applied.counts.changed, applied.counts.carried_over) == (0, applied.counts.documents)
    assert (tmp_path / "out/s.tar").read_bytes() == shard.read_bytes()


def members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return a tar's members with all of their bytes, headers included."""
    found, raw = [], path.read_bytes()
    with tarfile.open(path) as tar:
        infos = list(tar)
    ends = [info.offset for info in infos[1:]]
    for info_, end in zip(infos, [*ends, None], strict=True):
        found.append((info_, raw[info_.offset : end].rstrip(b"\0")))
    return found


FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("form", FORMATS)
def test_headers_and_untouched_members_stay_as_they_are(tmp_path: Path, form: str) -> None:
    shard, long = tmp_path / "in/s.tar", "d/" * 60 + "e" * 90 if form != "ustar" else "d/e"
    pax = {"comment": "kept", "size": ""} if form == "pax" else {}
    with tarfile.open(shard, "w", format=FORMATS[form], pax_headers={"comment": "all"}) as tar:
        for number, document in enumerate([STRAIGHT, CROSSED, CROSSED, STRAIGHT]):
            raw = json.dumps(document).encode()
            member = tarfile.TarInfo(f"{long}{number}.json")
            member.size, member.mtime, member.uname, member.mode = len(raw), 1e9, "me", 0o640
            member.pax_headers = {name: value or str(len(raw)) for name, value in pax.items()}
            tar.addfile(member, io.BytesIO(raw))
            beside = tarfile.TarInfo(f"{long}{number}.txt")
            beside.size = 3
            tar.addfile(beside, io.BytesIO(b"abc"))
    [applied] = apply(one(shard), tmp_path / "out")
    assert applied.counts.changed == 2
    before, after = members(shard), members(tmp_path / "out/s.tar")
    for (old, raw), (new, rewritten) in zip(before, after, strict=True):
        for name in ("name", "mtime", "uname", "mode", "type"):
            assert getattr(new, name) == getattr(old, name)
        changed = old.name.endswith(("1.json", "2.json"))
        assert (rewritten != raw) is changed
    assert keys(tmp_path / "out/s.tar") == keys(shard)


def sparse_tar() -> bytes:
    """Build a GNU sparse member: a hole before its JSON, which tarfile fills with NULs."""
    raw = json.dumps(CROSSED).encode()
    size, hole = len(raw) + 512, 512
    header = tarfile.TarInfo("k.json")
    header.size, header.type = len(raw), tarfile.GNUTYPE_SPARSE
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (hole, len(raw))
    block[410:434] = b"%011o\0%011o\0" % (size, 0)
    block[482:483], block[483:495] = b"\0", b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + raw + bytes(-len(raw) % 512) + bytes(1024)


def test_a_sparse_member_is_read_and_written_whole(tmp_path: Path) -> None:
    (tmp_path / "in/s.tar").write_bytes(sparse_tar())
    [sample] = samples(Shard(str(tmp_path / "in/s.tar")))
    [applied] = apply(one(tmp_path / "in/s.tar"), tmp_path / "out")
    [after] = samples(Shard(str(tmp_path / "out/s.tar")))
    assert (after.key, applied.counts.documents) == (sample.key, 1)


@pytest.mark.parametrize(
    ("name", "pack", "unpack"),
    [("s.tar.gz", gzip.compress, gzip.decompress), ("s.tar.bz2", bz2.compress, bz2.decompress),
     ("s.tar.xz", lzma.compress, lzma.decompress)],
)  # fmt: skip
def test_packed_shards_are_packed_again(
    tmp_path: Path,
    name: str,
    pack: Callable[[bytes], bytes],
    unpack: Callable[[bytes], bytes],
) -> None:
    plain = write_tar(tmp_path / "in/s.tar", [("a", CROSSED), ("b", STRAIGHT)])
    packed = tmp_path / "in" / name
    packed.write_bytes(pack(plain.read_bytes()))
    assert statuses(apply(expand([str(tmp_path / "in")]), tmp_path / "out")) == ["written"] * 2
    expected = (tmp_path / "out/s.tar").read_bytes()
    assert unpack((tmp_path / "out" / name).read_bytes()) == expected
    again = apply(one(packed), tmp_path / "again")
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert [p.name for p in scratch_of(str(tmp_path / "again")).iterdir()] == [f"{name}.lock"]
    assert statuses(again) == ["written"]


# ------------------------------------------------------------------------------------ from an index


def index(shards: list[Shard], out: Path, verify: Verify = Verify.FULL) -> str:
    build(
        [IndexTask(s, str(out), "gpt2", verify, None) for s in shards], threads, lambda done: None
    )
    return str(out)


@pytest.mark.slow
@pytest.mark.parametrize("options", [Options(), SORTED, Options(keep_rejected_images=False)])
def test_an_index_gives_the_same_bytes(tmp_path: Path, options: Options) -> None:
    nasty.write_tar(tmp_path / "in/s.tar", nasty.documents(seed=91, n=150), random.Random(2))
    shards, config = (
        expand([str(tmp_path / "in")]),
        LoaderConfig(assignment="greedy", threshold=0.2),
    )
    direct = apply(shards, tmp_path / "out", options, config=config)
    tasks = tasks_for_index(
        index(shards, tmp_path / "index"), str(tmp_path / "again"), config, options
    )
    indexed = apply_shards(tasks, threads, lambda applied: None)
    assert contents(tmp_path / "out") == contents(tmp_path / "again")
    assert [one.counts for one in direct] == [one.counts for one in indexed]


def test_an_index_that_did_not_look_at_pixels(tmp_path: Path) -> None:
    rising = [[0.8, 0.1], [0.1, 0.9]]
    bad = info(rising, images=[entry(b"x" * 12_000), entry(jpeg())])
    write_tar(tmp_path / "in/s.tar", [("sound", info(rising)), ("bad", bad)])
    folder = index(expand([str(tmp_path / "in")]), tmp_path / "index", Verify.NONE)
    best, config = Options(cap="best"), LoaderConfig(max_images=1)
    tasks = tasks_for_index(folder, str(tmp_path / "out"), config, best)
    [applied] = apply_shards(tasks, threads, lambda applied: None)
    # Its undecodable image is over the cap, but still makes the second document unreadable.
    assert (applied.counts.changed, applied.counts.sometimes_yielded) == (1, 1)
    with pytest.raises(ApplyError, match="needs an index built with --verify full"):
        tasks_for_index(folder, str(tmp_path / "out"), config, SORTED)


@pytest.mark.slow
def test_another_similarity_is_written_into_the_shards(tmp_path: Path) -> None:
    near, far, sidecar = odd_shards(tmp_path)
    folder = index(near, tmp_path / "index")
    attach(folder, "far", str(sidecar), lambda done: None)
    config, out, options = LoaderConfig(threshold=0.25, max_images=3), tmp_path / "out", SORTED
    tasks = tasks_for_index(folder, str(out), config, options, similarity="far")
    done = apply_shards(tasks, threads, lambda applied: None)
    assert [applied.left_out for applied in done] == [(), ()]
    compared = 0
    for shard in far:
        for before, after in zip(
            samples(shard), samples(Shard(str(out / shard.name))), strict=True
        ):
            document = parse_document(before.key, before.raw)
            verdict = walk(parse_document(after.key, after.raw), loader_config(config), TOKENIZER)
            if document.is_gpt:
                continue
            wanted = chosen(document, config, options, TOKENIZER)
            found = problems(before.raw or b"", after.raw or b"", verdict, wanted)
            assert not found, before.key
            compared += wanted.probability > 0
    assert compared > 50
    with pytest.raises(ApplyError, match="no score set 'none'"):
        tasks_for_index(folder, str(out), config, options, similarity="none")


def test_a_shard_that_changed_since_it_was_indexed_fails(
    tmp_path: Path, shards: list[Shard]
) -> None:
    folder = index(shards, tmp_path / "index")
    write_tar(Path(shards[1].path), [("a", STRAIGHT)])
    tasks = tasks_for_index(folder, str(tmp_path / "out"), LoaderConfig(), SORTED)
    done = apply_shards(tasks, threads, lambda applied: None)
    assert statuses(done) == ["written", "failed", "written"]
    assert "has changed since it was indexed" in str(done[1].reason)


# ------------------------------------------------------------------------------- going on, and ends


def test_finished_shards_are_skipped_and_others_done_again(
    tmp_path: Path, shards: list[Shard]
) -> None:
    out = tmp_path / "out"
    first = apply(shards, out)
    before = contents(out)
    second = apply(shards, out)
    assert (statuses(first), statuses(second)) == (["written"] * 3, ["skipped"] * 3)
    assert [one.counts for one in first] == [one.counts for one in second]
    (out / "s-1.tar").write_bytes((out / "s-1.tar").read_bytes()[:-512])
    assert statuses(apply(shards, out)) == ["skipped", "written", "skipped"]
    assert contents(out) == before
    assert statuses(apply(shards, out, Options(), overwrite=True)) == ["written"] * 3
    write_tar(Path(shards[2].path), [("c", STRAIGHT)])
    assert statuses(apply(shards, out, Options())) == ["skipped", "skipped", "written"]


def test_a_record_says_what_a_shard_was_made_of(tmp_path: Path, shards: list[Shard]) -> None:
    [applied] = apply(shards[:1], tmp_path / "out")
    record = read_record(str(tmp_path / "out/s-0.tar"))
    assert record is not None
    assert (record.shard, record.whole) == (shards[0].path, True)
    assert (record.config, record.options) == (LoaderConfig().as_dict(), SORTED.as_dict())
    assert record.counts == applied.counts.as_dict()
    assert record.size == applied.out_bytes == (tmp_path / "out/s-0.tar").stat().st_size


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards that take long enough to be interrupted between two of them, and their rewritten form.

    Settings stand beside them.
    """
    folder = tmp_path_factory.mktemp("many")
    (folder / "in").mkdir()
    for number in range(12):
        documents = nasty.documents(seed=92 + number, n=40)
        nasty.write_tar(folder / f"in/n-{number}.tar", documents)
    (folder / "c.yaml").write_text("threshold: 0.2\nmin_kb: 11\n")
    again(folder, folder / "undisturbed")
    return folder


def begun(many: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """Start rewriting many shards; return the process once it has finished one."""
    command = [sys.executable, "-m", "mmc4viz", "apply", str(many / "in"), "--out", str(out)]
    command += ["--config", str(many / "c.yaml"), "--order", "sentence", "--workers", str(workers)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    wait_for_a_file(out, "*.tar", process)
    return process


def again(many: Path, out: Path) -> list[Applied]:
    shards, config = expand([str(many / "in")]), LoaderConfig(threshold=0.2, min_kb=11)
    return apply(shards, out, Options("sentence"), config=config)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = begun(many, out, workers=1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for lock in scratch_of(str(out)).glob("*.lock"):
        with FileLock(str(lock), timeout=60):  # until its worker has exited as well
            continue
    left = {path.name: path.read_bytes() for path in out.glob("*.tar")}
    assert 0 < len(left) < 12
    done = statuses(again(many, out))
    assert len(left) - 2 <= done.count("skipped") <= len(left)  # records are written last
    assert contents(out) == contents(many / "undisturbed")
    assert all(contents(out)[name] == content for name, content in left.items())


@pytest.mark.slow
def test_a_worker_that_dies_costs_nothing(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = begun(many, out, workers=2)
    os.kill(worker_of(process.pid), signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert contents(out) == contents(many / "undisturbed")


@pytest.mark.parametrize("cut", [-5000, -1024, -600])
def test_a_shard_that_breaks_off_ends_there(tmp_path: Path, cut: int) -> None:
    whole = write_tar(tmp_path / "w.tar", [(key, CROSSED) for key in "abc"])
    with tarfile.open(whole) as tar:
        size = tar.getmembers()[-1].offset_data + tar.getmembers()[-1].size + 1024 - 100
    (tmp_path / "in/s.tar").write_bytes(whole.read_bytes()[: size + cut + 100])
    [applied] = apply(one(tmp_path / "in/s.tar"), tmp_path / "out")
    assert applied.status == "incomplete"
    assert str(applied.reason).startswith(f"{tmp_path}/in/s.tar: reading failed after ")
    assert len(keys(tmp_path / "out/s.tar")) == applied.counts.documents > 0
    record = read_record(str(tmp_path / "out/s.tar"))
    assert (record is not None and record.whole, record and record.error) == (False, applied.reason)
    there = contents(tmp_path / "out")
    assert apply(one(tmp_path / "in/s.tar"), tmp_path / "out") == [applied]
    assert contents(tmp_path / "out") == there


def test_a_packed_shard_that_breaks_off_ends_there(tmp_path: Path) -> None:
    plain = write_tar(tmp_path / "w.tar", [(key, CROSSED) for key in "abcdef"])
    noise = random.Random(1).randbytes(30_000).hex()
    write_tar(plain, [(key, CROSSED | {"noise": noise}) for key in "abcdef"])
    (tmp_path / "in/s.tar.gz").write_bytes(gzip.compress(plain.read_bytes())[:-40_000])
    [applied] = apply(one(tmp_path / "in/s.tar.gz"), tmp_path / "out")
    assert (applied.status, applied.counts.changed) == ("incomplete", len("abcd"))
    assert str(applied.reason).startswith(
        f"{tmp_path}/in/s.tar.gz: reading failed after 4 documents"
    )
    assert keys(tmp_path / "out/s.tar.gz") == list("abcd")


def test_what_is_no_tar_fails_alone(tmp_path: Path, shards: list[Shard]) -> None:
    Path(shards[0].path).write_bytes(b"no tar" * 300)
    done = apply(shards, tmp_path / "out")
    assert statuses(done) == ["failed", "written", "written"]
    assert "looks like text" in str(done[0].reason)
    assert not (tmp_path / "out/s-0.tar").exists()


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, shards: list[Shard], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmc4viz.apply.tar.Output.copy", full)
    with pytest.raises(ApplyError, match="No space left on device; free some space"):
        apply(shards, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    assert not list(scratch_of(str(tmp_path / "out")).glob("*.part"))


def test_the_same_shard_by_two_runs_at_once_is_refused(tmp_path: Path, shards: list[Shard]) -> None:
    scratch = scratch_of(str(tmp_path / "out"))
    scratch.mkdir(parents=True)
    with (
        FileLock(str(scratch / "s-0.tar.lock"), thread_local=False),
        pytest.raises(ApplyError, match="another run is writing this shard"),
    ):
        apply(shards[:1], tmp_path / "out")


# ---------------------------------------------------------------------------------- where shards go


def test_nothing_is_done_in_place(tmp_path: Path, shards: list[Shard]) -> None:
    before = contents(tmp_path / "in")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for out in (tmp_path / "in", tmp_path / "in/../in/", tmp_path / "link"):
        with pytest.raises(ApplyError, match="never changed in place"):
            apply(shards, out)
    assert contents(tmp_path / "in") == before


def test_what_is_not_its_own_is_left_alone(tmp_path: Path, shards: list[Shard]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "s-1.tar").write_text("mine")
    with pytest.raises(ApplyError, match="not written by apply; choose another --out"):
        apply(shards, out)
    assert contents(out) == {"notes.txt": b"mine", "s-1.tar": b"mine"}
    assert statuses(apply(shards[:1], out)) == ["written"]


@pytest.mark.parametrize(
    "record", [b"", b"{}", b"\0" * 900, b"[1]", b'{"shard": 3}', b"\xff", b"[" * 100_000]
)
def test_a_record_that_cannot_be_read_means_make_it_again(
    tmp_path: Path, shards: list[Shard], record: bytes
) -> None:
    apply(shards, tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "out/s-1.tar.apply.json").write_bytes(record)
    assert statuses(apply(shards, tmp_path / "out")) == ["skipped", "written", "skipped"]
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("spoil", [lambda raw: bytes(len(raw)), lambda raw: raw[:-1] + b"\1"])
def test_a_finished_shard_is_believed_by_its_content(
    tmp_path: Path, shards: list[Shard], spoil: Callable[[bytes], bytes]
) -> None:
    """As after a power failure: the full length, but not the written contents."""
    apply(shards, tmp_path / "out")
    before = contents(tmp_path / "out")
    for name in ("s-0.tar", "s-2.tar"):
        (tmp_path / "out" / name).write_bytes(spoil(before[name]))
    assert statuses(apply(shards, tmp_path / "out")) == ["written", "skipped", "written"]
    assert contents(tmp_path / "out") == before


def test_shards_of_another_setting_are_replaced_only_where_that_is_asked_for(
    tmp_path: Path, shards: list[Shard]
) -> None:
    apply(shards[:2], tmp_path / "out")
    there = contents(tmp_path / "out")
    changes: list[dict[str, Any]] = [
        {"options": Options()}, {"config": LoaderConfig(threshold=0.3)},
        {"config": LoaderConfig(threshold=0.3), "options": Options()},
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(ReplacingError, match=r"different settings.*--overwrite"):
            apply(shards, tmp_path / "out", **change)
        kept = {name: raw for name, raw in contents(tmp_path / "out").items() if name in there}
        assert kept == there
    (tmp_path / "more").mkdir()
    write_tar(tmp_path / "more/s-0.tar", [("other", CROSSED)])
    with pytest.raises(ReplacingError, match=r"made from .*in/s-0\.tar"):
        apply(one(tmp_path / "more/s-0.tar"), tmp_path / "out")
    assert statuses(apply(shards, tmp_path / "out", Options(), overwrite=True)) == ["written"] * 3


def test_shards_of_one_name_are_refused(tmp_path: Path, shards: list[Shard]) -> None:
    (tmp_path / "more").mkdir()
    shutil.copy(shards[0].path, tmp_path / "more")
    with pytest.raises(ApplyError, match="has the same name"):
        apply([*shards, Shard(str(tmp_path / "more/s-0.tar"))], tmp_path / "out")


def test_a_shard_with_a_document_above_the_limit_is_not_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = json.dumps(CROSSED).encode() + b" " * 1_000_000
    write_tar(tmp_path / "in/s.tar", [("a", large), ("b", CROSSED)])
    monkeypatch.setenv(LIMIT, "1")
    [applied] = apply(one(tmp_path / "in/s.tar"), tmp_path / "out")
    assert applied.status == "failed"
    assert LIMIT in str(applied.reason)
    assert not (tmp_path / "out/s.tar").exists()


def test_jsonl_and_a_file_in_the_folders_place_are_refused(
    tmp_path: Path, shards: list[Shard]
) -> None:
    with pytest.raises(ApplyError, match=r"convert_mmc4_to_wds\.py"):
        apply([Shard("docs.jsonl.gz")], tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ApplyError, match="is not a folder"):
        apply(shards, tmp_path / "file")


def test_stores_are_read_and_written(tmp_path: Path, shards: list[Shard]) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    apply(shards, tmp_path / "out")
    for shard in shards:
        store.pipe_file(f"/far/in/{shard.name}", Path(shard.path).read_bytes())
    far = expand(["memory://far/in/*.tar"])
    assert statuses(apply(far, "memory://far/out")) == ["written"] * 3
    assert statuses(apply(far, "memory://far/out")) == ["skipped"] * 3
    for shard in shards:
        written = store.cat_file(f"/far/out/{shard.name}")
        assert written == (tmp_path / "out" / shard.name).read_bytes()
    with pytest.raises(ApplyError, match="never changed in place"):
        apply(far, "memory://far/in")


# -------------------------------------------------------------------------------------- the command


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a config; the command's workers are threads, which start quickly."""
    monkeypatch.setattr("mmc4viz.cli.apply.processes", lambda workers: threads())
    path = tmp_path / "config.yaml"
    path.write_text("threshold: 0.24\n")
    return path


def test_a_dry_run_counts_and_writes_nothing(
    tmp_path: Path, shards: list[Shard], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["apply", *(s.path for s in shards), "--config", config, "--order", "sentence"]
    assert run(*command, "--out", out, "--dry-run") == 0
    counted = capsys.readouterr().out
    assert not out.exists()
    assert run(*command, "--out", out) == 0
    written = capsys.readouterr().out
    assert counted.replace("counted", "written") == written
    assert re.search(r"^images reordered by sentence +3$", written, re.MULTILINE)
    assert re.search(r"^expected documents +6$", written, re.MULTILINE)
    assert "--mmc4_textsim_threshold 0.24 --mmc4_max_num_images 6" in written


def test_shards_of_another_setting_are_told_before_they_are_replaced(
    tmp_path: Path, shards: list[Shard], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["apply", *(s.path for s in shards), "--config", config, "--out", tmp_path / "out"]
    for more in ([], []):
        assert run(*command, *more) == 0
        assert "different settings" not in capsys.readouterr().err
    config.write_text("threshold: 0.3\n")
    there = contents(tmp_path / "out")
    assert run(*command, "--dry-run") == 0
    assert "(threshold 0.24, now 0.3) and would be replaced" in capsys.readouterr().err
    assert contents(tmp_path / "out") == there
    command = [*command[:2], *command[-4:], "--order", "sentence"]
    assert run(*command) == 2
    assert "or add --overwrite" in capsys.readouterr().err
    assert contents(tmp_path / "out") == there
    assert run(*command, "--overwrite") == 0
    told = capsys.readouterr().err
    assert "1 of 1 shards in" in told
    assert "about 0.0 MB" not in told
    assert "(threshold 0.24, now 0.3; order page, now sentence) and will be replaced" in told


def test_disk_use_is_told_before(
    tmp_path: Path, shards: list[Shard], config: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out = str(tmp_path / "out")
    sizes = [Path(shard.path).stat().st_size for shard in shards]
    tasks = tasks_for_shards(shards, out, LoaderConfig(), SORTED)
    needed, free = disk_use(tasks)
    assert needed == sum(sizes)
    assert free is not None
    apply(shards[:1], out)
    assert disk_use(tasks)[0] == sum(sizes[1:])
    monkeypatch.setattr("mmc4viz.apply.run.disk_use", lambda tasks: (5 * 10**9, 10**9))
    assert run("apply", tmp_path / "in", "--config", config, "--out", tmp_path / "more") == 2
    assert "not enough space: 5.0 GB needed, 1.0 GB free" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()


def test_the_command_ends_with_one_line_for_each_trouble(
    tmp_path: Path, shards: list[Shard], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = info([[0.9, 0.1], [0.8, 0.1]])
    write_tar(Path(shards[0].path), [("k", shared)])
    config.write_text("assignment: argmax\n")
    command = ["apply", tmp_path / "in", "--config", config, "--out", tmp_path / "out"]
    assert run(*command) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "document 'k' has 2 images on sentence 1, but the loader assigns one" in error
    assert run(*command, "--dry-run") == 2
    captured = capsys.readouterr()
    assert "several images on one sentence" in captured.out
    assert captured.err.splitlines()[-1] == error
    config.write_text("max_tokens: 512\n")
    assert run(*command) == 2
    assert "the loader's is fixed at 256" in capsys.readouterr().err
