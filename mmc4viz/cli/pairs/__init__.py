"""Commands on tables of image–text pairs; here, whether a command is about one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click
from click.core import ParameterSource

from mmc4viz.cli.options import PAIR_OPTIONS
from mmc4viz.types import ConfigError

_ACCEPTED: Final = {
    "app": {"shards", "index_dir", "image_dir", "labels", "roots", "read_only", "host", "port",
            "allowed", "base_path", "browser"},
    "compare": {"shards", "index_dir", "config_file", "models", "thresholds", "threshold", "form"},
    "curve": {"shards", "index_dir", "config_file", "thresholds", "grid", "threshold", "form"},
    "explain": {"shards", "index_dir", "config_file", "threshold", "form"},
    "export": {"shards", "index_dir", "config_file", "threshold", "out", "note", "proposal",
               "manifest_file", "ids_file", "report_file", "slices_by", "overwrite"},
    "index": {"shards", "out", "workers", "scheduler"},
    "slices": {"shards", "index_dir", "config_file", "names", "most", "sort", "threshold", "form"},
    "suggest": {"shards", "index_dir", "config_file", "keep", "precision", "labels_file", "out",
                "form"},
    "verify": {"shards", "index_dir", "config_file"},
}  # fmt: skip
_MODULES: Final = {
    "compare": "pairs.scores", "slices": "pairs.slices", "verify": "pairs.verify",
}  # fmt: skip


def place_of(module: str, name: str, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the module in which a command runs, and its parameters.

    Raises
    ------
    ConfigError
        For an option that means nothing for what is given: a table of pairs, or shards.
    """
    from mmc4viz.pairs.recognise import holds_pairs, is_pair_index  # imported late, for quick help

    folder = given.get("index_dir")
    named = bool(given.get("named") or given.get("score_file"))
    if _is_config_of_pairs(given.get("config_file")):
        is_table = True
    elif folder:
        is_table = is_pair_index(folder)
    else:
        is_table = bool(given["shards"]) and holds_pairs(given["shards"], named)
    own = {option for option in PAIR_OPTIONS if option in given}
    if not is_table:
        if asked := next(
            (option for option in own if given[option] not in (None, False, ())), None
        ):
            _refuse_unreadable(given["shards"])
            raise ConfigError(
                f"{_flag(asked)} is for tables of image–text pairs (Parquet, CSV, TSV, or tars of "
                "img2dataset), and this is none"
            )
        return module, {key: value for key, value in given.items() if key not in own}
    accepted = _ACCEPTED[name] | own
    context = click.get_current_context()
    for option in given:
        source = context.get_parameter_source(option)
        if option not in accepted and source is ParameterSource.COMMANDLINE:
            raise ConfigError(
                f"{_flag(option)} is for interleaved documents, and this is a table of image–text "
                "pairs"
            )
    return _MODULES.get(name, "pairs.run"), {
        key: value for key, value in given.items() if key in accepted
    }


def _is_config_of_pairs(path: str | None) -> bool:
    """Whether a config is given that says which rows of a table are kept."""
    if not path:
        return False
    from mmc4viz.pairs.settings import is_pair_config  # imported late, for quick help

    return is_pair_config(path)


def _refuse_unreadable(patterns: Sequence[str]) -> None:
    """Say why a file with the name of a table cannot be read, if that is why it is none."""
    from mmc4viz.pairs.recognise import SUFFIXES, table_files
    from mmc4viz.pairs.table import open_file

    for path in table_files(patterns[:1])[:1]:
        if path.lower().endswith(SUFFIXES) and not path.lower().endswith(".tar"):
            open_file(path)


def _flag(option: str) -> str:
    """Return a parameter's option as a person writes it."""
    params = click.get_current_context().command.params
    return next(param.opts[0] for param in params if param.name == option)
