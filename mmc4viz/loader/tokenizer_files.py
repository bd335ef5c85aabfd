"""Where a tokenizer's files are: on disk, in the Hugging Face cache, or to be downloaded.

A name that was mistyped never reaches the network, and what is read is of bounded size.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final

from mmc4viz.model import TokenizerError

Files = dict[str, Path]
"""The files that are there, by the name that transformers knows them by."""

_NAMES: Final = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
)
_LARGEST: Final = 256 << 20  # bytes; the largest vocabularies published take 40 MB
_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_PATIENCE: Final = 5  # seconds until Hugging Face answers


def find_files(name: str) -> Files:
    """Find a tokenizer's files by a path or a Hugging Face id.

    Raises
    ------
    TokenizerError
        Where there is none, or a file is too large to be one.
    """
    try:
        path = Path(name).expanduser()
        there, folder = path.exists(), path.is_dir()
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, no such user
        there = folder = False
    if there:
        files = _in(path if folder else path.parent)
        files = files if folder else {**files, "tokenizer.json": path}
    else:
        files = _from_hub(name)
    if "tokenizer.json" not in files and not {"vocab.json", "merges.txt"} <= files.keys():
        raise TokenizerError(
            f"{name}: no tokenizer there: neither tokenizer.json nor vocab.json with merges.txt"
        )
    for file in files.values():
        _check_size(file)
    return files


def read_json(path: Path | None) -> dict[str, Any]:
    """Read an object; an empty one where there is no file, or something else in it.

    Raises
    ------
    TokenizerError
        For a file that cannot be read.
    """
    if path is None:
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{path}: cannot be read: {one_line(error)}") from None
    return found if isinstance(found, dict) else {}


def one_line(error: BaseException) -> str:
    """Return what an error says in one line of bounded length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _in(folder: Path) -> Files:
    return {name: folder / name for name in _NAMES if (folder / name).is_file()}


def _check_size(path: Path) -> None:
    try:
        if not path.is_file():
            raise TokenizerError(f"{path}: no file, but something else")
        if (size := path.stat().st_size) > _LARGEST:
            raise TokenizerError(
                f"{path}: {size >> 20:,} MB: no tokenizer is larger than {_LARGEST >> 20} MB"
            )
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read: {error.strerror}") from None


def _from_hub(name: str) -> Files:
    """Take a tokenizer's files from the Hugging Face cache, else download those that exist."""
    nowhere = f"{name}: no such tokenizer file or folder"
    if name.endswith(".json") or ".." in name or os.path.isdir(name.partition("/")[0]):
        raise TokenizerError(nowhere)
    if _ID.fullmatch(name) is None:
        raise TokenizerError(f"{nowhere}, and no Hugging Face id (owner/name)")
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    try:
        cached = {file: try_to_load_from_cache(name, file) for file in _NAMES}
        files = {file: Path(path) for file, path in cached.items() if isinstance(path, str)}
        whole = "tokenizer.json" in files or {"vocab.json", "merges.txt"} <= files.keys()
        if whole and cached["tokenizer_config.json"] is not None:  # it, or that there is none
            return files
        found = HfApi().model_info(name, timeout=_PATIENCE)  # unlike others, asks but once
        listed = {one.rfilename for one in found.siblings or ()}
        return {
            file: Path(hf_hub_download(name, file, etag_timeout=_PATIENCE))
            for file in _NAMES
            if file in listed
        }
    except Exception as error:  # offline, unknown id, no permission: many kinds, one meaning
        raise TokenizerError(
            f"{nowhere}, and no such Hugging Face tokenizer could be had: {one_line(error)}"
        ) from None
