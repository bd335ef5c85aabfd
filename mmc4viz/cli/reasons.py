"""Why a threshold was chosen, as the person says it or a proposal has it. Chooses nothing."""

from __future__ import annotations

from typing import Any

from mmc4viz.cli.shared import config_file_of
from mmc4viz.handover.config import BASES
from mmc4viz.marked import read_marked
from mmc4viz.model import ConfigError


def reasons(options: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return the person's note and how the threshold was chosen: flags, else the config's own."""
    before = config_file_of(options)
    chosen, note = before.provenance.get("chosen"), before.provenance.get("note", "")
    moved = options["threshold"] not in (None, before.settings.get("threshold"))
    if options["proposal"] is not None:
        chosen = _proposal(options["proposal"])
        if options["chosen_by"] not in (None, chosen["basis"]):
            raise ConfigError(
                f"--chosen-by {options['chosen_by']}, but {options['proposal']} has the basis "
                f"{chosen['basis']}"
            )
    elif options["chosen_by"] is not None:
        kept = chosen if chosen and chosen["basis"] == options["chosen_by"] and not moved else {}
        chosen = {**kept, "basis": options["chosen_by"]}
    elif moved:
        chosen = None
    return options["note"] if options["note"] is not None else note, chosen


def with_proposed(options: dict[str, Any], chosen: dict[str, Any] | None) -> dict[str, Any]:
    """Return the options with the threshold of the proposal that they name, where it has one.

    Raises
    ------
    ConfigError
        When it proposes none, or another than ``--threshold``.
    """
    path, given = options["proposal"], options["threshold"]
    if path is None or chosen is None or "threshold" not in chosen:
        return options
    value = chosen["threshold"]
    if type(value) not in (int, float):
        raise ConfigError(f"{path}: proposes no threshold: {chosen.get('reason') or value}")
    if given not in (None, value):
        raise ConfigError(
            f"--threshold {given:g}, but {path} proposes {value!r}: leave one of them out"
        )
    return options | {"threshold": float(value)}


def _proposal(path: str) -> dict[str, Any]:
    """Read what ``mmc4viz suggest --format json`` printed."""
    marked = read_marked(path)
    value = marked.value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    elif isinstance(value, list) and len(value) > 1:
        raise marked.error(f"holds {len(value)} proposals: ask mmc4viz suggest for one")
    if not isinstance(value, dict) or value.get("basis") not in BASES:
        raise marked.error(f"no proposal: an object with a basis, one of {', '.join(BASES)}")
    return value
