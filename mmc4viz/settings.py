"""Settings from a ``--config`` file: YAML or JSON, with or without where they come from.

Reads and checks; does not write, and knows no command line. What a file may hold is said by
``config.schema.json`` beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from mmc4viz.marked import Marked, parse_marked, read_marked
from mmc4viz.model import ConfigError, LoaderConfig

PROVENANCE: Final = "provenance"
SCHEMA: Final = Path(__file__).with_name("config.schema.json")
_LONGEST: Final = 60  # characters of a value that an error repeats


@dataclass(frozen=True)
class Config:
    """A config file.

    Attributes
    ----------
    settings : dict
        By name, as `mmc4viz.model.LoaderConfig` takes them; what is absent keeps its default.
    provenance : dict
        Where they come from, as the schema says; empty in a file of settings alone.
    """

    settings: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)

    def loader_config(self) -> LoaderConfig:
        """Return the whole setting."""
        return LoaderConfig.from_mapping(self.settings)


def read_config(path: str) -> Config:
    """Read a config from a file of YAML or JSON.

    Raises
    ------
    ConfigError
        With the line where the file makes no sense.
    """
    return _checked(read_marked(path))


def parse_config(data: bytes, name: str) -> Config:
    """Likewise from bytes; errors begin with the name.

    Examples
    --------
    >>> parse_config(b"threshold: high", "a.yaml")
    Traceback (most recent call last):
    ...
    mmc4viz.model.ConfigError: a.yaml, line 1: threshold must be a finite number, not 'high'
    """
    return _checked(parse_marked(data, name))


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema of a config."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return found


def _checked(marked: Marked) -> Config:
    value = marked.value
    if not isinstance(value, dict):
        raise marked.error("settings are an object, threshold: 0.24 …")
    settings = {name: one for name, one in value.items() if name != PROVENANCE}
    for name, one in settings.items():
        try:
            LoaderConfig.from_mapping({name: one})
        except ConfigError as error:
            raise marked.error(_short(str(error)), (name,)) from None
    if PROVENANCE in value:
        _check_provenance(marked, value[PROVENANCE])
    return Config(settings, value.get(PROVENANCE) or {})


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:200]} …"


def _check_provenance(marked: Marked, provenance: Any) -> None:
    """Refuse what the schema does not allow, one at a time."""
    from jsonschema import Draft202012Validator  # only who reads a provenance waits for it

    written = provenance.get("format") if isinstance(provenance, dict) else None
    if type(written) is int and written != 1:
        reason = f"format {written} of the config, this version reads 1: a newer mmc4viz may"
        raise marked.error(f"{reason} read it", (PROVENANCE, "format"))
    own = {name: schema()[name] for name in ("$schema", "$defs")}
    validator = Draft202012Validator({**own, "$ref": "#/$defs/provenance"})
    for error in validator.iter_errors(provenance):  # in the order of the schema
        path, message = _at(error)
        raise marked.error(message, (PROVENANCE, *path))


def _at(error: Any) -> tuple[tuple[str | int, ...], str]:
    """Return where something is wrong, and what, in a few words."""
    path = tuple(error.absolute_path)
    where = ".".join(map(str, (PROVENANCE, *path)))
    found, wanted = error.instance, error.validator_value
    if error.validator == "additionalProperties":
        known: Mapping[str, Any] = error.schema.get("properties", {})
        name = next(name for name in found if name not in known)
        return (*path, name), f"{name[:_LONGEST]!a} is no part of {where}: {', '.join(known)}"
    if error.validator == "required":
        missing = next(name for name in wanted if name not in found)
        return path, f"{where} lacks {missing}"
    shown = f"{found!a}"
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
    words = {
        "type": f"must be of type {_listed(wanted)}",
        "enum": f"must be one of {_listed(wanted)}",
        "const": f"must be {wanted!a}",
        "minimum": f"must be at least {wanted}",
        "maximum": f"must be at most {wanted}",
        "minLength": "must not be empty",
    }
    return path, f"{where} {words.get(error.validator, 'makes no sense')}, not {shown}"


def _listed(wanted: Any) -> str:
    return ", ".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)
