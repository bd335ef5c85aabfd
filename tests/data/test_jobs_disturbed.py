"""Every command that writes, interrupted by power cuts, disk errors or orphaned workers.

Files left behind are complete or rebuilt, and read errors are reported by every run.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mmc4viz import parse_document, samples
from mmc4viz.apply import tar
from mmc4viz.cli import main
from mmc4viz.data.shards import Shard
from tests.support import nasty
from tests.support.disturbed import Power, PowerCutError, failing, left_of_group, wait_for_a_file
from tests.support.documents import info, write_tar
from tests.support.slowly import slow

MODEL = Path(__file__).parents[2] / "sample_data" / "encoders" / "sample-b"
CROSSED = info([[0.1, 0.9], [0.8, 0.1]])
KEYS = [f"k{number}" for number in range(6)]


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use threads as workers, which start at once."""
    for name in ("index", "apply"):
        module = importlib.import_module(f"mmc4viz.cli.{name}")
        monkeypatch.setattr(module, "processes", lambda workers: threads())
    monkeypatch.setattr("mmc4viz.data.jobs.get_ready", lambda _: None)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        write_tar(folder / f"s-{number}.tar", [(key, CROSSED) for key in KEYS])
    (tmp_path / "c.yaml").write_text("threshold: 0.2\n")
    return folder


def command(name: str, corpus: Path, out: Path) -> list[str]:
    """Return a command that writes a corpus into a folder."""
    more = {
        "index": ["--out", str(out)],
        "apply": ["--out", str(out), "--order", "sentence", "--config", f"{corpus}/../c.yaml"],
        "score": ["--out", f"{out}/b.parquet", "--decoys", f"{out}/d.parquet",
                  "--model", str(MODEL), "--provider", "cpu"],
        "export": ["--out", f"{out}/c.yaml", "--manifest", f"{out}/m.parquet",
                   "--ids", f"{out}/i.npy", "--report", f"{out}/r.html"],
    }  # fmt: skip
    return [name, str(corpus), *more[name]]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if ".partial" not in path.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in found if p.is_file()}


# ------------------------------------------------------------ power is cut


def cut(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], out: Path, at: int, honest: bool
) -> bool:
    """Run a command and cut the power at a rename; return whether it finished before."""
    with monkeypatch.context() as patched:
        power = Power(patched, out)
        power.cut_at = at
        if not honest:
            patched.setattr(os, "fsync", lambda file: None)
        try:
            run(*arguments)
            return True
        except PowerCutError:
            return False
        finally:
            power.cut()


@pytest.mark.parametrize("honest", [True, *slow(False)])
@pytest.mark.parametrize("name", ["index", "apply", *slow("score", "export")])
def test_a_power_cut_costs_time_only(
    name: str, honest: bool, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any rename, and after the end; on a disk that never syncs, damage is noticed."""
    (tmp_path / "whole").mkdir()
    (corpus / "s-2.tar").unlink()
    assert run(*command(name, corpus, tmp_path / "whole")) == 0
    whole = contents(tmp_path / "whole")
    for at in count():
        out = tmp_path / f"cut-{at}"
        out.mkdir()
        ended = cut(monkeypatch, command(name, corpus, out), out, at, honest)
        if honest:
            left = {path: raw for path, raw in contents(out).items() if raw}
            assert all(any(raw) for raw in left.values())
            assert left == whole or not ended
        assert run(*command(name, corpus, out)) == 0
        assert contents(out) == whole, at
        if ended:
            break
    assert at > 2


# ------------------------------------------------------------ a disk fails in passing


@pytest.mark.parametrize("name", ["index", "apply", "score"])
def test_a_read_error_that_passes_costs_nothing_but_a_run(
    name: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in ("whole", "out"):
        (tmp_path / folder).mkdir()
    assert run(*command(name, corpus, tmp_path / "whole")) == 0
    shard = corpus / "s-1.tar"
    with failing(monkeypatch, {shard: shard.stat().st_size // 2}):
        assert run(*command(name, corpus, tmp_path / "out")) == 2
    said = capsys.readouterr().err
    assert f"{shard}: reading failed after 3 documents: [Errno 5] Input/output error" in said
    assert contents(tmp_path / "out") != contents(tmp_path / "whole")
    assert run(*command(name, corpus, tmp_path / "out")) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("name", ["index", "apply", "score"])
def test_what_is_there_of_a_shard_stays_unless_more_can_be_read(
    name: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, size = tmp_path / "out", (corpus / "s-1.tar").stat().st_size
    out.mkdir()
    seen = []
    for place in (size // 2, size // 4, 600, 3 * size // 4):
        with failing(monkeypatch, {corpus / "s-1.tar": place}, for_good=place == size // 4):
            assert run(*command(name, corpus, out)) == 2
        found = contents(out)
        seen.append({path: raw for path, raw in found.items() if not path.endswith(".lock")})
    assert seen[0] == seen[1] == seen[2] != seen[3]


def test_what_was_not_walked_is_never_carried_over(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it could be copied, but the loader's result on the rest is unknown."""
    shard, out = corpus / "s-1.tar", tmp_path / "out"
    with failing(monkeypatch, {shard: shard.stat().st_size // 2}):
        assert run(*command("apply", corpus, out)) == 2
    kept = list(samples(Shard(str(out / "s-1.tar"))))
    assert [sample.key for sample in kept] == KEYS[:3]
    for sample in kept:
        assert parse_document(sample.key, sample.raw).similarity == [[0.8, 0.1], [0.1, 0.9]]


def test_a_shard_that_breaks_off_for_good_is_complained_of_each_time(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = corpus / "s-2.tar"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    for name in ("index", "apply", "score"):
        out = tmp_path / name
        out.mkdir()
        said = []
        for _ in range(3):
            assert run(*command(name, corpus, out)) == 2
            said.append(capsys.readouterr().err.splitlines()[-1])
        assert said[0].startswith(f"mmc4viz: {shard}: reading failed after 3 documents: ")
        assert said == [said[0]] * 3


def test_a_shard_that_cannot_be_copied_any_more_fails_alone(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It was indexed before the disk failed; that is not a full disk."""

    class Bad(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            raise OSError(5, "Input/output error")

    class BadOriginal(tar._Original, Bad):
        pass

    sound = tar._Original

    def opened(path: Path, shown: str) -> tar._Original:
        return (BadOriginal if shown == bad else sound)(path, shown)

    index, out, bad = tmp_path / "index", tmp_path / "out", str(corpus / "s-1.tar")
    assert run(*command("index", corpus, index)) == 0
    monkeypatch.setattr("mmc4viz.apply.tar._Original", opened)
    arguments = command("apply", corpus, out)
    assert run("apply", "--index", str(index), *arguments[2:]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"mmc4viz: {bad}: cannot be read: [Errno 5] Input/output error"
    assert {"s-0.tar", "s-2.tar"} == {name for name in contents(out) if name.endswith(".tar")}


# ------------------------------------------------------------ out of memory


@pytest.mark.parametrize("name", ["index", "apply", "score"])
def test_out_of_memory_names_the_shard_and_the_others_go_on(
    name: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = sys.modules["mmc4viz.data.ingest"]
    reader = "read_document"
    if name == "score":
        module, reader = sys.modules["mmc4viz.clip.pages"], "document_from"
    whole = getattr(module, reader)

    def short(first: Any, *more: Any) -> Any:
        if getattr(first, "key", first) == "huge":
            raise MemoryError
        return whole(first, *more)

    monkeypatch.setattr(module, reader, short)
    write_tar(corpus / "s-1.tar", [("k0", CROSSED), ("huge", CROSSED)])
    out = tmp_path / "out"
    out.mkdir()
    assert run(*command(name, corpus, out)) == 2
    captured = capsys.readouterr()
    last = captured.err.splitlines()[-1]
    assert re.match(rf"mmc4viz: {corpus}/s-1.tar: .*(out of|not enough) memory", last)
    assert re.search(r"^(read|written|scored) +2 ", captured.out, re.MULTILINE)


# ------------------------------------------------------------ workers orphaned


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards that take long enough to be interrupted between two of them."""
    folder = tmp_path_factory.mktemp("long") / "in"
    folder.mkdir()
    for number in range(12):
        nasty.write_tar(folder / f"n-{number}.tar", nasty.documents(seed=92 + number, n=40))
    (folder.parent / "c.yaml").write_text("threshold: 0.2\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index", "apply"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_workers_end_with_the_command(
    name: str, number: signal.Signals, long: Path, tmp_path: Path
) -> None:
    """And close its output, for which others may wait."""
    out = tmp_path / "out"
    arguments = [sys.executable, "-m", "mmc4viz", *command(name, long, out), "--workers", "2"]
    process = subprocess.Popen(
        arguments, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) if number != 9 else None,
    )  # fmt: skip
    wait_for_a_file(out, "*.arrow" if name == "index" else "*.tar", process)
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=60)
    assert left_of_group(process.pid, 60) == []
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        last = said.decode().splitlines()[-1]
        assert last == f"mmc4viz: ended by {number.name}; run the same command again to resume"
