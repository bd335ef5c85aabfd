"""The options of `mmc4viz app`, and the roots within which its pages may read and write.

A root is a local folder or file with links resolved, or a URL prefix of a remote store.
``mmc4viz app`` passes its options in the process (`give`), because a long list of shards does not
fit into an environment variable. ``streamlit run app.py`` reads them as JSON from ``MMC4VIZ_APP``.
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

from mmc4viz.config_file import read_config
from mmc4viz.data.index import UNKNOWN, model_of_shards, sample_folder
from mmc4viz.data.shards import SUFFIXES, Shard, expand
from mmc4viz.data.storage import is_remote
from mmc4viz.formats.registry import RECOGNISED, InputFormat
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.pairs.recognise import SUFFIXES as TABLES
from mmc4viz.pairs.recognise import table_files
from mmc4viz.types import Config, ConfigError, LoaderConfig
from mmc4viz.ui import data
from mmc4viz.ui.cache import Memo

_MAGIC: Final = re.compile(r"[*?\[{]")
_HUB_ID: Final = re.compile(r"[A-Za-z0-9](?:[\w.-]*\w)?(?:/[A-Za-z0-9](?:[\w.-]*\w)?)?", re.ASCII)
# Matches braces that could expand to ".."; a range such as {0..3} cannot.
_CLIMBS: Final = re.compile(r"(?:^|[/{},])\.(?:\.(?:$|[/{},])|[{},])|\\")


@dataclass(frozen=True)
class Roots:
    """Where pages may read and write.

    Attributes
    ----------
    read, write : tuple of str
        Real paths, and URLs of stores such as ``s3://bucket/folder``.
    named : frozenset of str
        Shards that the app was started with; they are read whatever their names.
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
            Their folders become roots.
        folders : iterable of str
            The index and the image folder.
        files : iterable of str
            Files that are read and written; their folders are not roots.
        given : sequence of str or None
            Explicit roots. Only these and ``files`` are writable; with None, all folders above
            are.
        here : str
            The current folder.
        """
        alone = tuple(map(_real, files))
        named = {_real(folder) for folder in (*map(_folder, shards), *folders)}
        linked = {
            _real(shard) for shard in shards if not is_remote(shard) and os.path.islink(shard)
        }
        roots = tuple(map(_real, given)) if given else (*sorted(named), _real(here))
        write = tuple(filter(None, (*alone, *roots)))  # drops URLs that cannot be resolved
        return cls((*filter(None, (*named, *linked)), *write), write, frozenset(shards))

    def allow(self, path: str, *, writing: bool = False) -> bool:
        """Whether a path is within a root."""
        if "::" in path:
            return False  # chained fsspec URLs
        try:
            real = _real(path)
        except ValueError:
            return False
        return bool(real) and any(
            real == root or real.startswith(root.rstrip("/") + "/")
            for root in (self.write if writing else self.read)
        )

    def path(self, path: str, *, writing: bool = False) -> str:
        """Return a path if it is within a root; it need not exist.

        Raises
        ------
        ConfigError
            If it is outside the roots.
        """
        if not self.allow(path, writing=writing):
            raise ConfigError(f"{path}: {_outside(path, writing=writing)}")
        return path

    def pattern(self, pattern: str) -> str:
        """Return a path, glob or brace pattern if it matches nothing outside the roots."""
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
        """Return a tokenizer's name, unless it is a path outside the roots.

        Raises
        ------
        ConfigError
        """
        if not _HUB_ID.fullmatch(name):
            return self.path(os.path.expanduser(name))
        return self.path(name) if os.path.lexists(name) else name

    def shards(self, patterns: Sequence[str], notes: list[str] | None = None) -> list[Shard]:
        """Expand patterns to shards within the roots, with notes as `expand` adds them.

        Raises
        ------
        ConfigError, ShardError
            For the first path that is outside the roots or not a shard.
        """
        found = expand(list(map(self.pattern, patterns)), notes=notes)
        self.shard_files([shard.path for shard in found], patterns)
        return found

    def tables(self, patterns: Sequence[str]) -> list[str]:
        """Expand patterns to the files of a table of pairs within the roots.

        Raises
        ------
        ConfigError, ShardError
            For the first path that is outside the roots or no table.
        """
        found = table_files(list(map(self.pattern, patterns)))
        self.shard_files(found, patterns, TABLES)
        return found

    def shard_files(
        self,
        paths: Sequence[str],
        patterns: Sequence[str] | None = None,
        suffixes: tuple[str, ...] = SUFFIXES,
    ) -> None:
        """Reject files outside the roots, and files without a shard's or a table's suffix.

        Raises
        ------
        ConfigError
            For the first one. The target of a link found by a pattern is not disclosed.
        """
        others = [path for path in paths if path not in self.named]
        inside = {folder: self.allow(folder) for folder in set(map(_folder, others))}
        for path in others:
            if not path.partition("?")[0].lower().endswith(suffixes):
                what = "shard" if suffixes == SUFFIXES else "table"
                raise ConfigError(f"{path}: not a {what} (expected {' '.join(suffixes)})")
            if not (self.allow(path) if os.path.islink(path) else inside[_folder(path)]):
                where = path if path in (patterns or paths) else f"a link in {_folder(path)}"
                raise ConfigError(f"{where}: {_outside(path)}")


def _outside(path: str, *, writing: bool = False) -> str:
    if "::" in path:
        return "chained URLs are not supported"
    if is_remote(path):
        return "remote stores must be allowed when the app is started: --root URL"
    done = "write to" if writing else "read"
    return f"outside the folders this app may {done}; start it with --root FOLDER to allow one"


def _folder(path: str) -> str:
    if is_remote(path):
        return path.partition("?")[0].rpartition("/")[0]
    return path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path))


def _real(path: str) -> str:
    """Return the resolved path or URL; empty if a URL cannot be resolved safely.

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
"""The file of saved settings, accepted suggestions and notes, next to the label file."""


@dataclass(frozen=True)
class Start:
    """The options that the app was started with. Empty strings mean "not given".

    Attributes
    ----------
    shards : tuple of str
        Paths or patterns; empty when there is nothing to open.
    config : LoaderConfig
    image_dir : str
        The image folder.
    index : str
        An index, used instead of shards.
    sample : int
        The sample size; 0 means all documents.
    similarity : str
        The index's score set to start with; empty for the shards' own scores.
    problem : str
        Why the options could not be read.
    file : Config
        The config that the app was started with.
    file_name : str
        Its base name.
    labels : str
        The label file.
    roots : Roots
        Where pages may read and write.
    read_only : bool
        Whether pages write nothing.
    given : InputFormat
        How shards are to be read.
    named, where : tuple of str
        Of a table of pairs: scores that were named, and conditions.
    strict : bool
        Of a table of pairs: whether scores must exceed the threshold.
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
    given: InputFormat = RECOGNISED
    named: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    strict: bool = False


_FILES: Memo[Config] = Memo()
_given: dict[str, Any] | None = None


def give(start: dict[str, Any]) -> None:
    """Set the options: the attributes of `Start`, and ``roots`` as given."""
    global _given
    _given = start


def read_start() -> Start:
    """Return the options that the dashboard was started with."""
    try:
        given = json.loads(os.environ.get(VARIABLE) or "{}") if _given is None else _given
        shards = tuple(str(path) for path in given.get("shards") or ())
        image_dir, path = given.get("image_dir") or "", given.get("config")
        index, sample = str(given.get("index") or ""), int(given.get("sample") or 0)
        similarity = str(given.get("similarity") or "")
        labels = str(given.get("labels") or "")
        roots = tuple(map(str, given.get("roots") or ()))
        read_only = bool(given.get("read_only"))
        named, where = (tuple(map(str, given.get(name) or ())) for name in ("named", "where"))
        as_named = InputFormat(
            str(given.get("input_format") or ""), TextUnit(given.get("unit") or "sentence")
        )
    except (ConfigError, ValueError, AttributeError, TypeError):
        bounds, problem = (
            _roots(sample_shards(), cwd=os.getcwd()),
            f"{VARIABLE} is not valid JSON with the app's options: unset or correct it",
        )
        return Start(sample_shards(), LoaderConfig(), problem=problem, roots=bounds)
    file, problem = Config({}), ""
    try:
        file = _config_at(str(path)) if path else file
    except ConfigError as error:
        problem = str(error)
    similarity = similarity or str(file.provenance.get("similarity", {}).get("source") or "")
    shards = shards or (() if index else sample_shards())
    config = file.loader_config()
    name = os.path.basename(str(path or ""))
    bounds = _roots(shards, index, str(image_dir), labels, roots, os.getcwd())
    return Start(
        shards, config, str(image_dir), index, sample, similarity, problem, file, name, labels,
        bounds, read_only, as_named, named, where, bool(given.get("strict")),
    )  # fmt: skip


def label_file(start: Start, index: str) -> str:
    """Return the label file: from the app's options, else next to the index, else here.

    If that is not writable, it is in the first folder that is.

    Raises
    ------
    ConfigError
        If there is no such folder.
    """
    if start.labels:
        return start.labels
    local = index and not is_remote(index)
    near = [os.path.dirname(os.path.abspath(index))] if local else []
    folders = [*near, os.getcwd(), *start.roots.write]
    found = (os.path.join(folder, LABELS) for folder in folders if not is_remote(folder))
    here = next((path for path in found if start.roots.allow(path, writing=True)), None)
    if here is None:
        raise ConfigError("no writable folder for labels: start the app with --labels FILE")
    return here


@lru_cache(maxsize=4)
def _roots(
    shards: tuple[str, ...],
    index: str = "",
    image_dir: str = "",
    labels: str = "",
    given: tuple[str, ...] = (),
    cwd: str = "",
) -> Roots:
    near = [os.path.abspath(path) for path in (labels, index) if path and not is_remote(path)]
    files = [os.path.join(os.path.dirname(path), n) for path in near for n in (LABELS, SETTINGS)]
    folders = [path for path in (index, image_dir) if path]
    return Roots.of(shards, folders, filter(None, (labels, *files)), given or None, cwd)


def _config_at(path: str) -> Config:
    """Read a config file, again only when it has changed."""
    try:
        facts = os.stat(path)
    except OSError:
        return read_config(path)
    return _FILES.get((path, facts.st_size, facts.st_mtime_ns), lambda: read_config(path))


def own_model(source: data.CorpusKey, config: LoaderConfig, others: Collection[str]) -> str:
    """Return the model of the shards' own scores: as recorded, else from the start's config.

    ``others`` are models with score sets of their own; their names are not used.
    """
    if source.index:
        known = data.index_of(source.index).own_model
    else:
        known = model_of_shards(shard.path for shard in source.shards)
    return known if known != UNKNOWN or config.clip_model in others else config.clip_model


def sample_shards() -> tuple[str, ...]:
    """Return the path of the bundled sample, relative to the current folder if possible."""
    folder = sample_folder()
    if folder is None:
        return ()
    here = Path.cwd()
    return (str(folder.relative_to(here) if folder.is_relative_to(here) else folder),)
