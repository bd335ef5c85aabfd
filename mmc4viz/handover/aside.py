"""Shards rewritten in a process of its own, for a program that cannot start worker processes.

Workers begin by loading their parent's main module, and a dashboard's is the script that draws it.
So another Python is started, which has workers, is told the tasks, and tells of each shard. It ends
when it is done, and when nobody listens any more: the shards at work are finished, no other begun.
When the program that asked is gone altogether, it ends at once.
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
from typing import BinaryIO, Final

import mmc4viz
from mmc4viz.corpus.storage import remember_users, users
from mmc4viz.corpus.workers import processes
from mmc4viz.handover.apply import Applied, apply_shards
from mmc4viz.handover.records import ApplyError
from mmc4viz.handover.tasks import Task
from mmc4viz.model import Mmc4vizError

_HERE: Final = str(Path(mmc4viz.__file__).resolve().parents[1])
_CODE: Final = """\
import sys
sys.path.append(sys.argv[1])
from mmc4viz.handover.aside import main
main()
"""


class _NobodyListensError(Exception):
    """Raised where the process that asked is gone."""


def apply_aside(
    tasks: Sequence[Task], workers: int, on_done: Callable[[Applied], object]
) -> list[Applied]:
    """Do what `mmc4viz.handover.apply.apply_shards` does, by so many workers of another process.

    Parameters
    ----------
    tasks : sequence of Task
    workers : int
    on_done : callable
        Told of each shard as it is finished; when it raises, no other shard is begun.

    Returns
    -------
    list of Applied
        In the order of the tasks.

    Raises
    ------
    Mmc4vizError
        As `apply_shards` does; an `ApplyError` when the other process dies.
    """
    # Without this program's own search path, on which a script's neighbours hide Python's modules;
    # in a session of its own, so that what interrupts this program leaves its shards whole.
    command = [sys.executable, "-P", "-c", _CODE, _HERE]
    with Popen(command, stdin=PIPE, stdout=PIPE, start_new_session=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.dump((os.getpid(), users(), workers, list(tasks)), process.stdin)
            process.stdin.flush()
            while True:
                said = pickle.load(process.stdout)
                if isinstance(said, Mmc4vizError):
                    raise said
                if isinstance(said, list):
                    return said
                on_done(said)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise ApplyError(
                "the process that rewrites shards died (out of memory?): run again, it goes on "
                "where it stopped"
            ) from None


def main() -> None:
    """Do the work that is asked for on standard input, and tell of it on standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed must not get between
    parent, known, workers, tasks = pickle.load(sys.stdin.buffer)
    remember_users(known)
    gone = Event()
    Thread(target=_listen, args=(gone, parent), daemon=True).start()

    def told(applied: Applied) -> None:
        _tell(out, applied)
        if gone.is_set():
            raise _NobodyListensError

    try:
        _tell(out, apply_shards(tasks, lambda: processes(workers), told))
    except Mmc4vizError as error:
        _tell(out, error)
    except (_NobodyListensError, BrokenPipeError):
        os._exit(1)  # nothing is left to be flushed to anybody
    except OSError as error:
        _tell(out, ApplyError(f"{error.filename or tasks[0].out}: {error.strerror or error}"))


def _listen(gone: Event, parent: int) -> None:
    """Wait until the other end is closed; end when the process there is gone."""
    while os.read(0, 4096):
        pass
    gone.set()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _tell(out: BinaryIO, what: object) -> None:
    pickle.dump(what, out)
    out.flush()
