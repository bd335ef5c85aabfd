"""What `mmc4viz app` was given, and what its pages may read and write.

A root is a folder or a file on this machine, after resolving links, or the beginning of a store's
address. Opens nothing.

``mmc4viz app`` gives it within its process (`give`), for nothing that grows with a corpus may go
through the environment. ``streamlit run app.py`` may give a little, as JSON, in ``MMC4VIZ_APP``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from mmc4viz.config_file import Config, read_config
from mmc4viz.data.index import UNKNOWN, model_of_shards, sample_folder
from mmc4viz.data.shards import SUFFIXES, Shard, expand
from mmc4viz.data.storage import is_remote
from mmc4viz.types import ConfigError, LoaderConfig
from mmc4viz.ui import data
from mmc4viz.ui.cache import Memo

_MAGIC: Final = re.compile(r"[*?\[{]")
# Braces can put a ".." together from pieces; a range such as {0..3} cannot.
_HUB_ID: Final = re.compile(r"[A-Za-z0-9](?:[\w.-]*\w)?(?:/[A-Za-z0-9](?:[\w.-]*\w)?)?", re.ASCII)
_CLIMBS: Final = re.compile(r"(?:^|[/{},])\.(?:\.(?:$|[/{},])|[{},])|\\")


@dataclass(frozen=True)
class Roots:
    """What may be read, and what may be written.

    Attributes
    ----------
    read, write : tuple of str
        Real paths, and addresses of stores as ``s3://bucket/folder``.
    named : frozenset of str
        Shards that the app was started with: they are read whatever they are called.
    """

    read: tuple[str, ...]
    write: tuple[str, ...]
    named: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        shards: Sequence[str],
        folders: Iterable[str],
        files: Iterable[str],
        given: Sequence[str] | None,
        here: str,
    ) -> Roots:
        """Return the roots of a start.

        Parameters
        ----------
        shards : sequence of str
            With their folders.
        folders : iterable of str
            An index, a folder of images.
        files : iterable of str
            Read and written themselves; their folders are not.
        given : sequence of str or None
            Named as roots: only into these, and ``files``, is anything written. None makes roots
            of all folders here.
        here : str
            The current folder.
        """
        alone = tuple(map(_real, files))
        named = {_real(folder) for folder in (*map(_folder, shards), *folders)}
        linked = {
            _real(shard) for shard in shards if not is_remote(shard) and os.path.islink(shard)
        }
        roots = tuple(map(_real, given)) if given else (*sorted(named), _real(here))
        write = tuple(filter(None, (*alone, *roots)))  # without addresses that may be anywhere
        return cls((*filter(None, (*named, *linked)), *write), write, frozenset(shards))

    def allow(self, path: str, *, writing: bool = False) -> bool:
        """Whether a path lies within a root."""
        if "::" in path:
            return False  # fsspec's chains: an address within an address
        try:
            real = _real(path)
        except ValueError:
            return False
        return bool(real) and any(
            real == root or real.startswith(root.rstrip("/") + "/")
            for root in (self.write if writing else self.read)
        )

    def path(self, path: str, *, writing: bool = False) -> str:
        """Return a path that lies within a root.

        Raises
        ------
        ConfigError
            For another one; whether anything is there is not looked at.
        """
        if not self.allow(path, writing=writing):
            raise ConfigError(f"{path}: {_outside(path, writing=writing)}")
        return path

    def pattern(self, pattern: str) -> str:
        """Return a path, a glob or braces that name nothing outside the roots."""
        if pattern in self.named:
            return pattern
        magic = _MAGIC.search(pattern)
        if magic is None:
            return self.path(pattern)
        fixed = pattern[: pattern.rfind("/", 0, magic.start()) + 1]
        if _CLIMBS.search(pattern) or not self.allow(fixed or os.curdir):
            raise ConfigError(f"{pattern}: {_outside(pattern)}")
        return pattern

    def tokenizer(self, name: str) -> str:
        """Return a tokenizer's name, if it is no path outside the roots.

        Raises
        ------
        ConfigError
        """
        if not _HUB_ID.fullmatch(name):
            return self.path(os.path.expanduser(name))
        return self.path(name) if os.path.lexists(name) else name

    def shards(self, patterns: Sequence[str]) -> list[Shard]:
        """Expand patterns to shards within the roots, which are called as shards are.

        Raises
        ------
        ConfigError, ShardError
            One line with the first that is not.
        """
        found = expand(list(map(self.pattern, patterns)))
        self.shard_files([shard.path for shard in found], patterns)
        return found

    def shard_files(self, paths: Sequence[str], patterns: Sequence[str] | None = None) -> None:
        """Refuse files outside the roots, and those that are not called as shards are.

        Raises
        ------
        ConfigError
            One line with the first; of patterns, in which a link leads outside, not where to.
        """
        others = [path for path in paths if path not in self.named]
        inside = {folder: self.allow(folder) for folder in set(map(_folder, others))}
        for path in others:
            if not path.partition("?")[0].lower().endswith(SUFFIXES):
                raise ConfigError(f"{path}: not named as a shard is ({' '.join(SUFFIXES)})")
            if not (self.allow(path) if os.path.islink(path) else inside[_folder(path)]):
                where = path if path in (patterns or paths) else f"{_folder(path)}: a link in it"
                raise ConfigError(f"{where}: {_outside(path)}")


def _outside(path: str, *, writing: bool = False) -> str:
    if "::" in path:
        return "chained addresses are not opened"
    if is_remote(path):
        return "stores are opened from a page only below what the app was started with: --root URL"
    done = "writes to" if writing else "reads"
    return f"outside the folders that this app {done}; start it with --root FOLDER to allow one"


def _folder(path: str) -> str:
    if is_remote(path):
        return path.partition("?")[0].rpartition("/")[0]
    return path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path))


def _real(path: str) -> str:
    """Return what a path leads to, or where in a store it is; nothing where it may be elsewhere.

    Examples
    --------
    >>> _real("s3://bucket/a/b.tar"), _real("s3://bucket/a/../b"), _real("s3://bucket/a/%2e%2e/b")
    ('s3://bucket/a/b.tar', '', '')
    """
    if not is_remote(path):
        return os.path.realpath(path)
    try:
        parts = urlsplit(path)
    except ValueError:
        return ""
    inside = unquote(parts.path)
    if re.search(r"[\\\s\0]", path) or {"..", "."} & set(inside.split("/")):
        return ""
    return f"{parts.scheme}://{parts.netloc}{inside}".rstrip("/")


VARIABLE: Final = "MMC4VIZ_APP"
LABELS: Final = "mmc4viz-labels.sqlite"
SETTINGS: Final = "mmc4viz-settings.json"


@dataclass(frozen=True)
class Start:
    """What to open with.

    Attributes
    ----------
    shards : tuple of str
        Paths or patterns; empty when there is nothing to open.
    config : LoaderConfig
    image_dir : str
        Folder of images, empty without.
    index : str
        An index in place of shards, empty without.
    sample : int
        Documents to estimate from, 0 for all.
    similarity : str
        The index's score set to begin with, empty for the shards' own.
    problem : str
        One line about a start that could not be read, empty without.
    file : Config
        The config that it was started with, empty without.
    file_name : str
        Its base name.
    labels : str
        A file of labels, empty without.
    roots : Roots
        What the pages may read and write.
    read_only : bool
        Whether they write nothing.
    """

    shards: tuple[str, ...]
    config: LoaderConfig
    image_dir: str = ""
    index: str = ""
    sample: int = 0
    similarity: str = ""
    problem: str = ""
    file: Config = field(default_factory=lambda: Config({}))
    file_name: str = ""
    labels: str = ""
    roots: Roots = field(default_factory=lambda: Roots((), ()))
    read_only: bool = False


_FILES: Memo[Config] = Memo()
_given: dict[str, Any] | None = None


def give(start: dict[str, Any]) -> None:
    """Say what to open with: the attributes of `Start`, and ``roots`` as they were named."""
    global _given
    _given = start


def read_start() -> Start:
    """Read what the dashboard was started with."""
    try:
        given = json.loads(os.environ.get(VARIABLE) or "{}") if _given is None else _given
        shards = tuple(str(path) for path in given.get("shards") or ())
        image_dir, path = given.get("image_dir") or "", given.get("config")
        index, sample = str(given.get("index") or ""), int(given.get("sample") or 0)
        similarity = str(given.get("similarity") or "")
        labels = str(given.get("labels") or "")
        roots = tuple(map(str, given.get("roots") or ()))
        read_only = bool(given.get("read_only"))
    except (ValueError, AttributeError, TypeError):
        bounds, problem = _roots(_sample(), cwd=os.getcwd()), f"{VARIABLE} is set, but is no start"
        return Start(_sample(), LoaderConfig(), problem=problem, roots=bounds)
    file, problem = Config({}), ""
    try:
        file = _config_at(str(path)) if path else file
    except ConfigError as error:
        problem = str(error)
    similarity = similarity or str(file.provenance.get("similarity", {}).get("source") or "")
    shards = shards or (() if index else _sample())
    config = file.loader_config()
    name = os.path.basename(str(path or ""))
    bounds = _roots(shards, index, str(image_dir), labels, roots, os.getcwd())
    return Start(
        shards, config, str(image_dir), index, sample, similarity, problem, file, name, labels,
        bounds, read_only,
    )  # fmt: skip


@lru_cache(maxsize=4)
def _roots(
    shards: tuple[str, ...],
    index: str = "",
    image_dir: str = "",
    labels: str = "",
    given: tuple[str, ...] = (),
    cwd: str = "",
) -> Roots:
    beside = [os.path.abspath(path) for path in (labels, index) if path and not is_remote(path)]
    files = [os.path.join(os.path.dirname(path), n) for path in beside for n in (LABELS, SETTINGS)]
    folders = [path for path in (index, image_dir) if path]
    return Roots.of(shards, folders, filter(None, (labels, *files)), given or None, cwd)


def _config_at(path: str) -> Config:
    """Read a config file, once for each of its versions."""
    try:
        facts = os.stat(path)
    except OSError:
        return read_config(path)
    return _FILES.get((path, facts.st_size, facts.st_mtime_ns), lambda: read_config(path))


def own_model(source: data.CorpusKey, config: LoaderConfig, others: Collection[str]) -> str:
    """Name the model whose similarity the shards carry: as known, else as the start's config says.

    A name that is one of ``others``, which have a similarity of their own, is not theirs.
    """
    if source.index:
        known = data.index_of(source.index).own_model
    else:
        known = model_of_shards(shard.path for shard in source.shards)
    return known if known != UNKNOWN or config.clip_model in others else config.clip_model


def _sample() -> tuple[str, ...]:
    """Name the sample as a person standing in the repository would."""
    folder = sample_folder()
    if folder is None:
        return ()
    here = Path.cwd()
    return (str(folder.relative_to(here) if folder.is_relative_to(here) else folder),)
