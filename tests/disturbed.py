"""Runs that are disturbed half-way: waited for until they have written something, and killed."""

from __future__ import annotations

import subprocess
from pathlib import Path


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
