"""The command group, its error handling and signals; each command has a module of its own."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from mmc4viz.cli.commands import COMMANDS
from mmc4viz.cli.messages import print_error
from mmc4viz.types import ConfigError, Mmc4vizError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_MIN_ADDRESS_SPACE: Final = 1 << 30  # bytes, most of them for shared libraries
_WORKER_MODULES: Final = {
    "apply": "mmc4viz.apply.run",
    "export": "mmc4viz.export.trainers.run",  # with --for
    "index": "mmc4viz.data.build_index",
}
_ON_TABLES: Final = ("curve", "index", "slices", "suggest")  # count in workers
_TABLES: Final = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
_MAY_BE_EMPTY: Final = ("note",)


class _NonEmpty(click.types.StringParamType):
    """Non-empty text: an empty path would mean the current folder."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        text = super().convert(value, param, ctx)
        if not text.strip():
            self.fail("is empty", param, ctx)
        if isinstance(param, click.Option) and not _is_utf8(text):  # shard names may be
            self.fail(f"{text!a} is not valid UTF-8", param, ctx)
        return text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reject_empty_text(command: click.Command) -> click.Command:
    """Make a command reject empty text for all its parameters except the note."""
    for one in getattr(command, "commands", {}).values():
        _reject_empty_text(one)
    for param in command.params:
        if param.type is click.STRING and param.name not in _MAY_BE_EMPTY:
            param.type = _NonEmpty()
    return command


class Terminated(BaseException):
    """A signal asked this process to end."""


class _Commands(click.Group):
    """The command group; worker processes are prepared before anything is imported."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not {"-h", "--help"} & set(args) and (module := _worker_module(args)):
            from mmc4viz.data import jobs  # imported late to start faster

            jobs.get_ready(module)
        return super().resolve_command(ctx, args)


def _worker_module(args: Sequence[str]) -> str | None:
    """Return the module that the workers of a command need; None if it seems to need no workers."""
    if args[0] in _ON_TABLES and any(_is_large_table(one) for one in args[1:]):
        return "mmc4viz.pairs.count"
    if args[0] == "export" and "--for" not in args:
        return None
    return _WORKER_MODULES.get(args[0])


def _is_large_table(path: str) -> bool:
    """Whether a file or folder seems to be a large table of pairs, by names and sizes alone."""
    from mmc4viz.data.jobs import SMALL  # imported late to start faster

    try:
        files = [one.path for one in os.scandir(path)] if os.path.isdir(path) else [path]
        return sum(os.path.getsize(one) for one in files if one.endswith(_TABLES)) > SMALL
    except (OSError, ValueError):
        return False


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mmc4viz")
def cli() -> None:
    """Explore and choose CLIP-similarity thresholds for interleaved image–text shards.

    SHARD is a file of MMC4 (WebDataset tar or .jsonl), of another corpus (mmc4viz formats), or a
    table of image–text pairs; a folder, a glob or shard-{0000..0003}.tar names several.

    \b
    mmc4viz app                                  dashboard on the bundled sample
    mmc4viz app shards/                          dashboard on your shards
    mmc4viz app --index DIR                      dashboard on an index of your shards
    mmc4viz curve shards/ --grid 0.2:0.3:0.01    what each threshold keeps
    mmc4viz explain shards/ --threshold 0.24     the outcome of every document
    mmc4viz slices shards/ --by site             for which sites the threshold does not fit
    mmc4viz suggest shards/ --keep pairs=50%     a threshold that keeps half of the pairs
    mmc4viz export shards/ --out config.yaml     settings for a training run
    mmc4viz compare shards/ --models A B         the equivalent threshold of another CLIP model

    Documents over 256 MB are not read; set MMC4VIZ_MAX_DOCUMENT_MB=512 to raise the limit. Images
    that need over 2,000 MB to decode are not decoded; set MMC4VIZ_MAX_IMAGE_MB=4000 to raise it.
    """  # noqa: D301 - the \\b keeps click from wrapping the lines


for _command in COMMANDS:
    cli.add_command(_reject_empty_text(_command))


def _check_address_space() -> None:
    """Reject an address-space limit under which OpenBLAS would hang on allocation.

    Raises
    ------
    ConfigError
    """
    if resource is None:
        return
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread allocates a buffer
    if most < _MIN_ADDRESS_SPACE:
        raise ConfigError(
            f"out of memory: the address space is limited to {most / 1e6:,.0f} MB (ulimit -v); at "
            f"least {_MIN_ADDRESS_SPACE / 1e6:,.0f} MB are needed"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; every error is one line on standard error and exit code 2."""
    try:
        _check_address_space()
        with _terminating_on_signals():
            code = cli.main(arguments, prog_name="mmc4viz", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_asked:
        click.echo(help_asked.format_message())
        code = 0
    except click.ClickException as error:
        print_error(error.format_message())
        code = 2
    except Mmc4vizError as error:
        print_error(str(error))
        code = 2
    except BrokenPipeError:  # the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        print_error(f"{error.filename or 'input or output'}: {error.strerror or error}")
        code = 2
    except MemoryError:
        print_error("out of memory: pass fewer shards, or build an index and use --index DIR")
        code = 2
    except (KeyboardInterrupt, click.Abort):
        print_error("interrupted")
        code = 130
    except Terminated as ended:
        number = signal.Signals(ended.args[0])
        print_error(f"ended by {number.name}; run the same command again to resume")
        code = 128 + number
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _terminating_on_signals() -> Iterator[None]:
    """On SIGTERM and SIGHUP, stop the workers and raise `Terminated`."""

    def end(number: int, frame: object) -> None:
        from mmc4viz.data import jobs  # imported late to start faster

        jobs.stop_now()
        raise Terminated(number)

    asking = [signal.SIGTERM, signal.SIGHUP]
    if threading.current_thread() is not threading.main_thread():
        asking = []
    before: dict[signal.Signals, Any] = {one: signal.getsignal(one) for one in asking}
    ours = [one for one in asking if before[one] is signal.SIG_DFL]  # keep nohup's handler
    for one in ours:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in ours:
            signal.signal(one, signal.SIG_DFL)
