"""The config of a table of pairs: which rows are kept, with how that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

import yaml

from mmc4viz.config_file import read_marked
from mmc4viz.pairs.selection import PairSelection
from mmc4viz.text import json_text
from mmc4viz.types import ConfigError

_TOGETHER: Final = ("one", "and", "or", "sum")


@dataclass(frozen=True)
class PairSettings:
    """Which rows are kept, as a config says it.

    Attributes
    ----------
    layout : str
    scores : tuple of str
        Columns, one or two.
    models : tuple of str
        Their CLIP models.
    thresholds : tuple of float
    together : str
    strict : bool
    where : tuple of str
    scores_file : str
        Another file whose columns are joined, as ``FILE:KEY``; empty without.
    """

    layout: str
    scores: tuple[str, ...]
    models: tuple[str, ...]
    thresholds: tuple[float, ...]
    together: str
    strict: bool
    where: tuple[str, ...]
    scores_file: str = ""

    @classmethod
    def of(cls, layout: str, selection: PairSelection, joined: str = "") -> PairSettings:
        """Return the settings of a selection of a table, perhaps with a file joined to it."""
        return cls(
            layout,
            tuple(one.name for one in selection.scores),
            tuple(one.model for one in selection.scores),
            selection.thresholds,
            selection.together,
            selection.rule.strict,
            tuple(map(str, selection.where)),
            joined,
        )

    def options(self) -> dict[str, Any]:
        """Return the options of a command that mean the same."""
        found: dict[str, Any] = dict.fromkeys(("and_", "or_", "sum_"))
        found |= {"named": (self.scores[0],), "where": self.where, "strict": self.strict}
        found["score_file"] = self.scores_file or None
        if self.together != "one":
            end = "" if self.together == "sum" else f"={self.thresholds[1]!r}"
            found[f"{self.together}_"] = f"{self.scores[1]}{end}"
        return found

    def flags(self, named: str = "", *, threshold: bool = True) -> list[str]:
        """Return the options of a command as words.

        Parameters
        ----------
        named : str
            How the first score is named; by its column by default.
        threshold : bool
            Whether the threshold is among them.

        Examples
        --------
        >>> found = PairSettings("", ("b32", "l14"), (), (0.28, 0.2), "and", False, ("width>=200",))
        >>> " ".join(found.flags())
        '--score b32 --and l14=0.2 --where width>=200 --threshold 0.28'
        """
        words = ["--score", named or self.scores[0]]
        other = self.options().get(f"{self.together}_")
        words += [f"--{self.together}", str(other)] if other else []
        words += [word for one in self.where for word in ("--where", one)]
        words += ["--strict"] if self.strict else []
        words += ["--scores", self.scores_file] if self.scores_file else []
        return [*words, "--threshold", repr(self.thresholds[0])] if threshold else words


def settings_text(settings: PairSettings, facts: dict[str, Any], name: str) -> str:
    """Return a config's text: JSON if the name ends in ``.json``, else YAML."""
    pairs = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(settings).items()}
    if not settings.scores_file:
        del pairs["scores_file"]
    content = {"pairs": pairs, "provenance": {"mmc4viz": version("mmc4viz"), **facts}}
    if name.lower().endswith(".json"):
        return json_text(content, 1, ascii_only=False) + "\n"
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return text


def read_settings(path: str) -> PairSettings:
    """Read a config of a table of pairs.

    Raises
    ------
    ConfigError
        Names the line of the problem.
    """
    marked = read_marked(path)
    value = marked.value
    if not isinstance(value, dict) or not isinstance(value.get("pairs"), dict):
        raise marked.error("has no part 'pairs', so it is no config of a table of image–text pairs")
    found = value["pairs"]
    unknown = sorted(found.keys() - PairSettings.__dataclass_fields__.keys())
    if unknown:
        raise marked.error(f"unknown setting {unknown[0]!r}", ("pairs", unknown[0]))
    try:
        scores, together = tuple(map(str, found["scores"])), str(found.get("together", "one"))
        thresholds = tuple(float(one) for one in found["thresholds"])
    except KeyError as missing:
        raise marked.error(f"pairs needs {missing.args[0]}", ("pairs",)) from None
    except (TypeError, ValueError):
        raise marked.error("scores must be a list of columns, thresholds one of numbers",
                           ("pairs", "scores")) from None  # fmt: skip
    wanted = (1 if together == "one" else 2, 2 if together in ("and", "or") else 1)
    if together not in _TOGETHER or (len(scores), len(thresholds)) != wanted:
        raise marked.error(
            "together must be one (a score), sum (two scores, one threshold), and or or (two of "
            "each)",
            ("pairs", "together"),
        )
    models = tuple(map(str, found.get("models", ())))
    where = tuple(map(str, found.get("where", ())))
    layout = str(found.get("layout", ""))
    strict = bool(found.get("strict", False))
    file = str(found.get("scores_file", ""))
    return PairSettings(layout, scores, models, thresholds, together, strict, where, file)


@dataclass(frozen=True)
class PairFacts:
    """What a config records of the table.

    Attributes
    ----------
    kept : int
        Rows.
    rows : int or None
        All rows; None if not recorded.
    files : tuple of str
        Names without folders.
    version : str
        Of mmc4viz; empty if not recorded.
    """

    kept: int
    rows: int | None
    files: tuple[str, ...]
    version: str


def read_facts(path: str) -> PairFacts:
    """Read what a config records of the table.

    Raises
    ------
    ConfigError
        If it is no config of a table, or records nothing.
    """
    read_settings(path)
    marked = read_marked(path)
    found = marked.value.get("provenance")
    found = found if isinstance(found, dict) else {}
    kept, rows, files = (found.get(name) for name in ("kept", "rows", "files"))
    if kept is None:
        raise ConfigError(
            f"{path}: records no number of kept rows, so there is nothing to verify; mmc4viz "
            "export --out writes a config that does"
        )
    whole = [one for one in (kept, rows) if one is not None]
    if not all(type(one) is int for one in whole) or not isinstance(files, list):
        raise marked.error(
            "kept and rows must be whole numbers, files a list of names", ("provenance",)
        )
    return PairFacts(kept, rows, tuple(map(str, files)), str(found.get("mmc4viz", "")))


def is_pair_config(path: str | None) -> bool:
    """Whether a file is a config of a table of pairs; false if it cannot be read."""
    if not path:
        return False
    with suppress(ConfigError):
        value = read_marked(path).value
        return isinstance(value, dict) and isinstance(value.get("pairs"), dict)
    return False


def chosen_by(path: str) -> dict[str, Any]:
    """Read the only proposal with a threshold that ``mmc4viz suggest --out`` wrote.

    Raises
    ------
    ConfigError
        If there is none, or several.
    """
    value = read_marked(path).value
    found = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    found = [one for one in found if isinstance(one.get("threshold"), int | float)]
    if len(found) != 1:
        raise ConfigError(f"{path}: has {len(found)} proposals with a threshold; one is needed")
    return recorded(found[0])


def recorded(proposal: Mapping[str, Any]) -> dict[str, Any]:
    """Return a proposal (`Proposal.as_dict`) as settings record it: without what it does not say.

    Examples
    --------
    >>> recorded({"target": "pairs ≥ 30%", "threshold": 0.3, "estimate": None, "kept": {}})
    {'target': 'pairs ≥ 30%', 'threshold': 0.3}
    """
    return {key: one for key, one in proposal.items() if one not in (None, {})}
