"""Which folders and stores the pages may read from and write to; every path of a page passes here.

A root is a folder or a file on this machine, after resolving links, or the beginning of a store's
address. Opens nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from mmc4viz.corpus.shards import SUFFIXES, Shard, expand
from mmc4viz.corpus.storage import is_remote
from mmc4viz.model import ConfigError

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
