"""Settings from a ``--config`` file. Reads; does not write, and knows no command line."""

from __future__ import annotations

import json
from typing import Any

from mmc4viz.model import ConfigError, LoaderConfig


def read_settings(path: str) -> dict[str, Any]:
    """Read settings by name from a JSON file.

    Raises
    ------
    ConfigError
        With the line where the file makes no sense.
    """
    try:
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}, line {error.lineno}: no valid JSON: {error.msg}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: no JSON text in UTF-8") from None
    if not isinstance(settings, dict):
        raise ConfigError(f'{path}: settings are an object, {{"threshold": 0.24, …}}')
    try:
        LoaderConfig.from_mapping(settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return settings
