"""Interrupted runs: killed, without power, or with a disk that fails once."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest


def wait_for_a_file(out: Path, pattern: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a run has finished a shard, looking again whenever a moment has passed."""
    while not list(out.glob(pattern)):
        try:
            process.wait(timeout=0.02)
            raise AssertionError("the run ended before it could be disturbed")
        except subprocess.TimeoutExpired:
            continue


def worker_of(run: int) -> int:
    """Return a process that does a run's jobs: a copy of the child that has loaded all it needs."""
    [source] = [pid for pid in _children(run) if b"forkserver" in _command(pid)]
    return _children(source)[0]


def _children(parent: int) -> list[int]:
    return [*map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def alive_in_group(group: int) -> list[int]:
    """Return the processes of a group that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state, _, its = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its) == group and state != "Z":
                found.append(int(entry.name))
    return found


def left_of_group(group: int, seconds: float) -> list[int]:
    """Wait until a group's processes have ended; return those that have not after so long."""
    deadline = time.monotonic() + seconds
    while (left := alive_in_group(group)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


class Failing(io.FileIO):
    """A file that cannot be read beyond a place."""

    left: dict[str, int]  # bytes that can be read of a file, by its path
    for_good: bool

    def readinto(self, buffer: Any) -> int | None:
        room = self.left.get(str(self.name))
        if room is not None and self.tell() >= room:
            if not self.for_good:
                del self.left[str(self.name)]
            raise OSError(errno.EIO, "Input/output error")
        view = memoryview(buffer)[: None if room is None else room - self.tell()]
        return super().readinto(view)


@contextmanager
def failing(
    monkeypatch: pytest.MonkeyPatch, places: dict[Path, int], *, for_good: bool = False
) -> Iterator[None]:
    """Let shards' bytes from a place on be unreadable, for good or when first asked for."""
    from mmc4viz.data import shards, storage

    left = {str(path): place for path, place in places.items()}
    before = shards.open_for_reading

    def raw(path: str) -> Failing:
        file = Failing(path)
        file.left, file.for_good = left, for_good
        return file

    @contextmanager
    def opened(path: str) -> Iterator[Any]:
        if path in left:
            with io.BufferedReader(raw(path)) as file:
                yield file
            return
        with before(path) as plain:
            yield plain

    def plainly(path: Any, mode: str = "r", *more: Any) -> Any:
        if not for_good or path not in left:
            return open(path, mode, *more)
        return io.BufferedReader(raw(path))

    with monkeypatch.context() as patched:
        patched.setattr(shards, "open_for_reading", opened)
        patched.setattr(storage, "open", plainly, raising=False)
        yield


class PowerCutError(BaseException):
    """The power is off; nothing after it is executed."""


class Power:
    """The machine's power, which can be cut: data not synced before is lost.

    A file not synced since it was written keeps its length, but every byte is zero; a rename in a
    folder not synced since is undone.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._folder = folder
        self._synced: dict[int, tuple[int, int]] = {}
        self._names: dict[str, tuple[str, bytes | None]] = {}
        self.renames, self.cut_at = 0, -1
        self._fsync, self._replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", self._sync)
        monkeypatch.setattr(os, "replace", self._rename)
        monkeypatch.setattr(os, "rename", self._rename)

    def _sync(self, file: int) -> None:
        self._fsync(file)
        facts = os.fstat(file)
        self._synced[facts.st_ino] = facts.st_size, facts.st_mtime_ns
        place = os.readlink(f"/proc/self/fd/{file}")
        self._names = {to: old for to, old in self._names.items() if os.path.dirname(to) != place}

    def _rename(self, source: Any, target: Any) -> None:
        if self.renames == self.cut_at:
            raise PowerCutError
        self.renames += 1
        to = os.path.realpath(target)
        before = Path(to).read_bytes() if os.path.exists(to) else None
        self._replace(source, target)
        self._names[to] = str(source), before

    def cut(self) -> None:
        """Leave on the disk what a power cut would leave."""
        for to, (_, before) in self._names.items():
            if before is None:
                Path(to).unlink(missing_ok=True)
            elif os.path.exists(to):
                Path(to).write_bytes(before)
        for path in self._folder.rglob("*"):
            facts = path.stat()
            known = self._synced.get(facts.st_ino) == (facts.st_size, facts.st_mtime_ns)
            if path.is_file() and not known:
                path.write_bytes(bytes(facts.st_size))
