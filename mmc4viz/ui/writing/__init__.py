"""Data for training, written in the background: what is asked for, and the run that writes it.

One run writes at a time, since it uses all workers. All sessions see it, and it continues when the
page is closed. A stopped run is resumed by the next one into the same folder.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, ClassVar, Final, Protocol, TypeVar

from mmc4viz.apply.separate import WriteShards, in_subprocess
from mmc4viz.apply.tasks import ApplyError
from mmc4viz.data.index import absolute
from mmc4viz.data.shards import Shard, named
from mmc4viz.data.storage import size_of
from mmc4viz.types import LoaderConfig
from mmc4viz.ui import cache, data
from mmc4viz.ui.cache import Memo
from mmc4viz.ui.start import read_start

CONFIG: Final = "mmc4viz-config.yaml"
"""The file that commands read, which the page offers for download."""
_QUICK: Final = 64_000_000  # bytes of shards that are written faster than processes start


@dataclass(frozen=True)
class Account:
    """What a run or a preview did, as it is shown.

    Attributes
    ----------
    shards : tuple of (str, int, int, int)
        Each status with its number of shards, bytes read and bytes written.
    counts : tuple of (str, str)
        Counts of documents and images with their titles.
    caption : str
        Of the table of shards.
    notes, problems : tuple of str
    """

    shards: tuple[tuple[str, int, int, int], ...] = ()
    counts: tuple[tuple[str, str], ...] = ()
    caption: str = ""
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """What a run would do, found without writing.

    Attributes
    ----------
    lines : tuple of str
    account : Account
    replaces : bool
        Whether it would replace what was written with different settings.
    """

    lines: tuple[str, ...]
    account: Account = Account()
    replaces: bool = False


@dataclass(frozen=True)
class WriteRequest(ABC):
    """A request to write data for one trainer; equal ones give the same data.

    Attributes
    ----------
    source : data.CorpusKey
        The whole corpus, not a sample.
    config : LoaderConfig
    out : str
        Output directory.
    overwrite : bool
        Whether what was written there with different settings may be replaced.
    """

    source: data.CorpusKey
    config: LoaderConfig
    out: str
    overwrite: bool = field(default=False, compare=False, kw_only=True)

    preview_words: ClassVar[str]
    """The button for a preview; empty if there is none."""
    write_words: ClassVar[str]
    """The button that writes."""
    overwrite_words: ClassVar[str] = "Overwrite shards written with different settings"
    writes_at_end: ClassVar[bool] = False
    """Whether a stopped run has written nothing."""

    @property
    @abstractmethod
    def purpose(self) -> str:
        """What the data is for, after "Written to …"; may be empty."""

    @abstractmethod
    def refusal(self) -> str | None:
        """Say why this cannot be written, as far as that shows without reading shards."""

    @abstractmethod
    def command(self, shards: Callable[[], Sequence[str]]) -> str:
        """Return the equivalent command, given how shards are named in one."""

    @abstractmethod
    def starts_training(self) -> tuple[str, str]:
        """Return how training on the data starts, and in which language that is."""

    @abstractmethod
    def write(self, run: WriteRun, tell: Callable[[int], object]) -> None:
        """Write; called in a run's own thread."""

    @abstractmethod
    def account(self, done: Sequence[Any]) -> Account:
        """Summarize the results of a run so far."""

    def preview_bytes(self) -> int:
        """Return the number of bytes that a preview reads; 0 if it does not tell its progress.

        Raises
        ------
        Mmc4vizError
            If nothing can be written.
        """
        return 0

    def preview(self, tell: Callable[[int], object]) -> Preview:
        """Find out what a run would do."""
        raise NotImplementedError

    def shards(self) -> list[Shard]:
        """Return the corpus's shards without an index, by their base names."""
        paths = (absolute(one.path) for one in self.source.shards)
        return [replace(one, name="") for one in named(paths, self.source.given)]

    def index(self) -> tuple[str, str | None] | None:
        """Return the index's folder and its score set, if there is an index."""
        source = self.source
        return (source.index[0].path, source.similarity) if source.index else None


@dataclass
class WriteRun:
    """A run that writes, or has written.

    Attributes
    ----------
    request : WriteRequest
    n_parts : int
        Results to come; 0 until known.
    size : int
        Bytes or documents to be done; 0 until known.
    unit : str
        ``MB`` or ``documents``.
    notes : list of str
        Messages about what is written and what is replaced.
    done : list
        Results so far.
    job : cache.Job
    """

    request: WriteRequest
    n_parts: int = 0
    size: int = 0
    unit: str = "MB"
    notes: list[str] = field(default_factory=list)
    done: list[Any] = field(default_factory=list)
    job: cache.Job = field(init=False)


_PREVIEWS: Memo[Preview] = Memo()
_RUNS: list[WriteRun] = []  # the last one, if any
_GUARD = Lock()


def previewed(request: WriteRequest) -> Preview | None:
    """Return the result of a finished preview, None without one."""
    return _PREVIEWS.kept(lambda key: key == request)


def ask_preview(request: WriteRequest) -> cache.Job:
    """Start a preview, or return the running one; it ends when no longer polled."""
    return cache.ask(request, lambda tell: _PREVIEWS.get(request, lambda: request.preview(tell)))


def forget_preview(request: WriteRequest) -> None:
    """Drop a finished preview, so that the next one looks again."""
    _PREVIEWS.drop(request)


def end_preview(request: WriteRequest) -> None:
    """Drop the job of a preview that has ended."""
    cache.forget(request)


def last_run() -> WriteRun | None:
    """Return the current or last run."""
    return _RUNS[-1] if _RUNS else None


def begin(request: WriteRequest) -> WriteRun:
    """Start writing.

    Raises
    ------
    ApplyError
        If another run is writing, or the app is read-only.
    ConfigError
        If the output directory is outside the roots.
    """
    start = read_start()
    if start.read_only:
        raise ApplyError("the app was started with --read-only")
    start.roots.path(request.out, writing=True)
    with _GUARD:
        before = last_run()
        if before is not None and before.job.running:
            raise ApplyError(
                f"another run is writing to {before.request.out}: wait for it or stop it"
            )
        forget_preview(request)
        run = WriteRun(request)
        run.job = cache.Job(lambda tell: request.write(run, tell), cache.FOR_GOOD)
        _RUNS[:] = [run]
        return run


class _ShardTask(Protocol):
    """One shard to be written."""

    @property
    def shard(self) -> Shard: ...


class _ShardResult(Protocol):
    """The result of one shard."""

    @property
    def n_bytes(self) -> int: ...


T = TypeVar("T", bound=_ShardTask)
R = TypeVar("R", bound=_ShardResult)


def size_of_shards(tasks: Sequence[_ShardTask]) -> int:
    """Return the number of bytes to read."""
    return sum(size_of(task.shard.path) for task in tasks)


def write_shards(
    work: WriteShards[T, R], tasks: Sequence[T], on_done: Callable[[R], object]
) -> list[R]:
    """Write shards: a few bytes in this process, more in others, leaving one core free."""
    if size_of_shards(tasks) < _QUICK:
        return work(tasks, lambda: ThreadPoolExecutor(1), on_done)
    return in_subprocess(work, tasks, max(1, (os.cpu_count() or 2) - 1), on_done)


def run_shards(
    run: WriteRun, work: WriteShards[T, R], tasks: Sequence[T], tell: Callable[[int], object]
) -> None:
    """Write shards in a run, and record each."""
    run.n_parts, run.size = len(tasks), size_of_shards(tasks)

    def record(one: R) -> None:
        run.done.append(one)
        tell(one.n_bytes)

    write_shards(work, tasks, record)


def check_score_source(request: WriteRequest) -> str | None:
    """Say why scores of a similarity file are not written; None for other scores."""
    if request.source.sidecar is None:
        return None
    path = request.source.sidecar.path
    return (
        f"the scores are those of {path}, which are written from an index only: take it into an "
        f"index, mmc4viz index --out DIR --similarity NAME={path}, and open that"
    )
