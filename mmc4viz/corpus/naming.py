"""Which CLIP model a similarity is of: one name for each, known by index, place of shards, or not.

The name that nobody said is `UNKNOWN`, everywhere. An index records what it was told of its shards'
own similarity in ``DIR/similarity/own.json``; a similarity set says it itself. Of shards nothing is
known but of those of the sample. Settles no setting: a person may always name a model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import mmc4viz
from mmc4viz.corpus.checked import sealed, unsealed
from mmc4viz.corpus.files import IndexFileError, put_text
from mmc4viz.corpus.sets import FOLDER, OWN
from mmc4viz.corpus.storage import is_remote, open_for_reading
from mmc4viz.model import LoaderConfig, ShardError

UNKNOWN: Final = LoaderConfig().clip_model
"""The name of a CLIP model that nobody has named."""
SAMPLE_MODEL: Final = "sample-a"
_FILE: Final = "own.json"


def sample_folder() -> Path | None:
    """Return the folder of the sample shards beside the package; None in an installed wheel."""
    folder = Path(mmc4viz.__file__).resolve().parents[1] / "sample_data"
    return folder if any(folder.glob("*.tar")) else None


def model_of_shards(paths: Iterable[str]) -> str:
    """Name the CLIP model whose similarity shards carry, as far as their place tells it.

    Examples
    --------
    >>> model_of_shards(["/corpus/0.tar"])
    'unknown'
    """
    sample = sample_folder()
    folders = {"" if is_remote(path) else os.path.realpath(os.path.dirname(path)) for path in paths}
    return SAMPLE_MODEL if sample is not None and folders == {str(sample)} else UNKNOWN


def model_of_index(index: str, paths: Iterable[str]) -> str:
    """Name the CLIP model whose similarity an index's shards carry: as told, else by their place.

    Raises
    ------
    IndexFileError
        When what was recorded is no name.
    """
    found = recorded(index)
    return model_of_shards(paths) if found == UNKNOWN else found


def recorded(index: str) -> str:
    """Read what an index was told of its shards' model; `UNKNOWN` if nothing.

    Raises
    ------
    IndexFileError
        When the record is none.
    """
    path = _place(index)
    try:
        with open_for_reading(path) as file:
            found = _told(file.read())
    except (FileNotFoundError, NotADirectoryError, ShardError):
        return UNKNOWN
    except OSError as error:
        raise IndexFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        found = None
    if not isinstance(found, str) or not found or not found.isprintable():
        raise IndexFileError(
            f"{path}: names no CLIP model, or is damaged: run mmc4viz index --out {index} "
            "--clip-model NAME"
        )
    return found


def _told(raw: bytes) -> Any:
    """Return what a record says; those of older versions have no digest."""
    found = json.loads(raw)
    return (found if found.keys() == {"clip_model"} else unsealed(raw))["clip_model"]


def record(index: str, name: str, scratch: Path) -> None:
    """Record which model's similarity the shards of an index carry; told again, the last counts."""
    put_text(sealed({"clip_model": name}), scratch / f"{os.getpid()}-{_FILE}", _place(index))


def _place(index: str) -> str:
    return f"{index.rstrip('/')}/{FOLDER}/{_FILE}"


def names_of(own: str, models: Mapping[str, str]) -> dict[str, str]:
    """Give every similarity set a name to be shown and labelled by: that of its CLIP model.

    Where several are of one model, the shards' own has its name, else the set that is called like
    it; the others have the set's name behind it.

    Parameters
    ----------
    own : str
        The model whose similarity the shards carry.
    models : mapping of str to str
        The model of each further set, by the set's name.

    Returns
    -------
    dict of str to str
        Sets by their shown names, the shards' own first.

    Examples
    --------
    >>> names_of("a", {"mine": "b", "other": "c"})
    {'a': 'own', 'b': 'mine', 'c': 'other'}
    >>> names_of("a", {"b": "b", "again": "b", "third": "a"})
    {'a': 'own', 'b': 'b', 'b (again)': 'again', 'a (third)': 'third'}
    """
    plain = {own: OWN}
    for name, model in sorted(models.items(), key=lambda item: (item[0] != item[1], item[0])):
        plain.setdefault(model, name)
    shown = {own: OWN}
    for name, model in models.items():
        words = model if plain[model] == name else f"{model} ({name})"
        shown[words if words not in shown else f"{words} ({name})"] = name
    return shown
