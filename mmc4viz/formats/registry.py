"""All formats that are read, and how a shard's first samples tell which one it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from mmc4viz.formats import mmc4, moscar, nemo_curator, parallel, pin
from mmc4viz.formats.format import Container, Format
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.types import ConfigError

FORMATS: Final = (  # where several fit, the first one counts
    mmc4.MEMBERS,
    mmc4.MMC4,
    mmc4.OMNICORPUS_SIMILARITY,
    parallel.MINT1T,
    parallel.TEXTBOOK,
    parallel.OMNICORPUS,
    parallel.OBELICS,
    parallel.OBELICS_URLS,
    parallel.INTERLEAVED,
    nemo_curator.CURATOR,
    moscar.MOSCAR,
    pin.PIN,
)
NAMES: Final = tuple(one.name for one in FORMATS)


def format_named(name: str) -> Format:
    """Return a format by its name.

    Raises
    ------
    ConfigError
        When there is none of that name.
    """
    found = next((one for one in FORMATS if one.name == name), None)
    if found is None:
        raise ConfigError(f"{name!r} is not a format; use one of {', '.join(NAMES)}")
    return found


@dataclass(frozen=True, slots=True)
class InputFormat:
    """How shards are to be read.

    Attributes
    ----------
    name : str
        The format's name; empty to recognize it.
    unit : TextUnit
        What longer texts are cut into.

    Raises
    ------
    ConfigError
        When there is no format of that name.
    """

    name: str = ""
    unit: TextUnit = TextUnit.SENTENCE

    def __post_init__(self) -> None:
        if self.name:
            format_named(self.name)

    def options(self) -> list[str]:
        """Return the options of a command that reads shards so.

        Examples
        --------
        >>> InputFormat("pin", TextUnit.PARAGRAPH).options()
        ['--input-format', 'pin', '--unit', 'paragraph']
        """
        words = ["--input-format", self.name] if self.name else []
        return words if self.unit is TextUnit.SENTENCE else [*words, "--unit", str(self.unit)]


RECOGNISED: Final = InputFormat()


def recognise(samples: Iterable[tuple[Any, frozenset[str]]], container: Container) -> Format | None:
    """Return the format of a shard by its first samples: MMC4 if any has it, else the commonest.

    Parameters
    ----------
    samples : iterable of (Any, frozenset of str)
        Each sample's parsed fields, and the suffixes of its other members.
    container : Container

    Examples
    --------
    >>> row = {"images": [None], "texts": ["A boat."]}
    >>> recognise([(row, frozenset())], Container.LINES).name
    'interleaved'
    """
    counts: Counter[str] = Counter()
    for row, suffixes in samples:
        fitting = next((one for one in FORMATS if one.fits(row, suffixes, container)), None)
        if fitting is not None:
            counts[fitting.name] += 1
    for own in (mmc4.MMC4, mmc4.MEMBERS):
        if counts[own.name]:
            return own
    return format_named(max(NAMES, key=lambda name: counts[name])) if counts else None
