"""Write shards in a separate process, which owns the workers.

Worker processes start by importing their parent's main module, which in the dashboard is a
Streamlit script; hence another Python process. If its input is closed, it finishes the shards in
progress and exits; if its parent is gone, it exits immediately.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Event, Thread
from typing import BinaryIO, Final, TypeVar

from mmc4viz.apply.tasks import ApplyError
from mmc4viz.data.jobs import MakeExecutor, get_ready, processes
from mmc4viz.data.storage import remember_users, users
from mmc4viz.types import Mmc4vizError

Task = TypeVar("Task")
Done = TypeVar("Done")
WriteShards = Callable[[Sequence[Task], MakeExecutor, Callable[[Done], object]], list[Done]]
"""Write one shard per task with the workers of an executor; called with each result."""

_HERE: Final = str(Path(__file__).resolve().parents[2])
_CODE: Final = """\
import sys
sys.path.append(sys.argv[1])
from mmc4viz.apply.separate import main
main()
"""


class _ParentGoneError(Exception):
    """The parent process no longer listens."""


def in_subprocess(
    work: WriteShards[Task, Done],
    tasks: Sequence[Task],
    workers: int,
    on_done: Callable[[Done], object],
) -> list[Done]:
    """Write shards in a separate process.

    Parameters
    ----------
    work : callable
        A function of a module, such as `mmc4viz.apply.run.apply_shards`.
    tasks : sequence
        One per shard, all into the same folder.
    workers : int
        Number of worker processes.
    on_done : callable
        Called with each finished shard; if it raises, no further shard is started.

    Returns
    -------
    list
        In the order of the tasks.

    Raises
    ------
    Mmc4vizError
        As in ``work``; `ApplyError` if the other process dies.
    """
    # -P: modules next to the script must not shadow the standard library. A new session: an
    # interrupt of this program must not leave partial shards.
    command = [sys.executable, "-P", "-c", _CODE, _HERE]
    with Popen(command, stdin=PIPE, stdout=PIPE, start_new_session=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump((os.getpid(), users(), workers, work, list(tasks)), process.stdin)
            process.stdin.flush()
            while True:
                message = pickle.load(process.stdout)
                if isinstance(message, Mmc4vizError):
                    raise message
                if isinstance(message, list):
                    return message
                on_done(message)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise ApplyError(
                "the process that writes shards died (out of memory?); run again to resume"
            ) from None


def main() -> None:
    """Read tasks from standard input, run them, and send results to standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # other prints must not mix with the results
    parent, known, workers, work, tasks = pickle.load(sys.stdin.buffer)
    get_ready(work.__module__)
    remember_users(known)
    gone = Event()
    Thread(target=_listen, args=(gone, parent), daemon=True).start()

    def on_done(one: object) -> None:
        _send(out, one)
        if gone.is_set():
            raise _ParentGoneError

    try:
        _send(out, work(tasks, lambda: processes(workers), on_done))
    except Mmc4vizError as error:
        _send(out, error)
    except (_ParentGoneError, BrokenPipeError):
        os._exit(1)  # there is nobody to flush to
    except OSError as error:
        _send(out, ApplyError(f"{error.filename or tasks[0].out}: {error.strerror or error}"))


def _listen(gone: Event, parent: int) -> None:
    """Set ``gone`` when the input is closed; exit when the parent process is gone."""
    while os.read(0, 4096):
        pass
    gone.set()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _send(out: BinaryIO, what: object) -> None:
    pickle.dump(what, out)
    out.flush()
