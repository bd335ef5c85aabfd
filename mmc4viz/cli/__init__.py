"""The commands: options in, lines out. Computes nothing; each command has a room of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import click

from mmc4viz.cli.messages import complain
from mmc4viz.data import jobs
from mmc4viz.types import ConfigError, Mmc4vizError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

COMMANDS: Final = {
    "app": "app",
    "apply": "apply",
    "compare": "compare",
    "curve": "curve",
    "explain": "curve",
    "export": "export",
    "index": "index",
    "labels": "labels",
    "sample": "sample",
    "score": "score",
    "suggest": "suggest",
}
"""The module of each command."""
_LEAST_ROOM: Final = 1 << 30  # bytes of addresses, most of them of libraries
_WITH_WORKERS: Final = ("apply", "index")
_MAY_BE_EMPTY: Final = ("note",)


class _Filled(click.types.StringParamType):
    """Text that is not empty: an empty name would mean the current folder."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        text = super().convert(value, param, ctx)
        if not text.strip():
            self.fail("is empty", param, ctx)
        if isinstance(param, click.Option) and not _is_utf8(text):  # shards may be named so
            self.fail(f"{text!a} is not in UTF-8", param, ctx)
        return text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusing_empty(command: click.Command) -> click.Command:
    """Let a command refuse empty text wherever it takes text, but for a note."""
    for one in getattr(command, "commands", {}).values():
        _refusing_empty(one)
    for param in command.params:
        if param.type is click.STRING and param.name not in _MAY_BE_EMPTY:
            param.type = _Filled()
    return command


class Ended(BaseException):
    """A signal that asks this process to end."""


class _Commands(click.Group):
    """The commands; a room is opened when its command is asked for, so that each starts soon."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in _WITH_WORKERS and not {"-h", "--help"} & set(args):
            jobs.get_ready()
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = getattr(import_module(f"mmc4viz.cli.{COMMANDS[cmd_name]}"), cmd_name)
        return _refusing_empty(found)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mmc4viz")
def cli() -> None:
    """See what a similarity threshold costs before a model is trained on images and text.

    SHARD is a WebDataset tar as OpenFlamingo's converter writes it, or MMC4's own .jsonl
    (.jsonl.gz, .jsonl.zip); also a folder, a glob, or shard-{0000..0003}.tar.

    \b
    mmc4viz app                                  the dashboard, on the sample
    mmc4viz app shards/                          the dashboard, on your shards
    mmc4viz app --index DIR                      the dashboard, on an index of them
    mmc4viz curve shards/ --grid 0.2:0.3:0.01    what each threshold leaves
    mmc4viz explain shards/ --threshold 0.24     what becomes of each document
    mmc4viz suggest shards/ --keep pairs=50%     a threshold for what is wanted
    mmc4viz export shards/ --out config.yaml     the setting, for a training run
    mmc4viz compare shards/ --models A B         the same threshold under another CLIP model

    A document of more than 256 MB is not read; MMC4VIZ_MAX_DOCUMENT_MB=512 raises the limit.
    Likewise an image that takes more than 2,000 MB to decode, and MMC4VIZ_MAX_IMAGE_MB=4000.
    """  # noqa: D301 - the \\b keeps click from wrapping the lines


def _check_room() -> None:
    """Refuse an address space in which OpenBLAS would look for room for good.

    Raises
    ------
    ConfigError
    """
    if resource is None:
        return
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each takes room of its own
    if most < _LEAST_ROOM:
        raise ConfigError(
            f"out of memory: {most / 1e6:,.0f} MB of addresses are allowed (ulimit -v), at least "
            f"{_LEAST_ROOM / 1e6:,.0f} MB are needed"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; every error is one line on standard error and exit code 2."""
    try:
        _check_room()
        with _ending_on_signals():
            code = cli.main(arguments, prog_name="mmc4viz", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_asked:
        click.echo(help_asked.format_message())
        code = 0
    except click.ClickException as error:
        complain(error.format_message())
        code = 2
    except Mmc4vizError as error:
        complain(str(error))
        code = 2
    except BrokenPipeError:  # the reader had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
        code = 2
    except MemoryError:
        complain("out of memory: name fewer shards at once, or index them and name --index DIR")
        code = 2
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        code = 130
    except Ended as ended:
        number = signal.Signals(ended.args[0])
        complain(f"ended by {number.name}; the same command goes on where it stopped")
        code = 128 + number
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Turn signals that ask to end into an exception, after the workers were ended."""

    def end(number: int, frame: object) -> None:
        jobs.stop_now()
        raise Ended(number)

    asking = [signal.SIGTERM, signal.SIGHUP]
    if threading.current_thread() is not threading.main_thread():
        asking = []
    before: dict[signal.Signals, Any] = {one: signal.getsignal(one) for one in asking}
    ours = [one for one in asking if before[one] is signal.SIG_DFL]  # nohup's stays
    for one in ours:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)
