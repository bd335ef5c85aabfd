"""Read and validate a config file (YAML or JSON); every error names its line.

Both formats are parsed as events, without recursion. YAML is restricted to what JSON can express:
one document, no anchors, aliases or tags. Plain scalars follow YAML 1.2's core schema, so ``on`` is
text and ``1e-3`` a number. Duplicate keys and non-finite numbers are errors. `SETTINGS` describes
the settings, `Provenance` the rest of the file.
"""

from __future__ import annotations

import json
import math
import os
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Annotated, Any, Final, Literal, NoReturn

import msgspec
import yaml
from msgspec import UNSET, Meta, Struct, UnsetType

from mmc4viz.types import (
    SETTINGS,
    Config,
    ConfigError,
    LoaderConfig,
    SliceThresholds,
    choices_of,
)

LARGEST: Final = 32 << 20  # bytes; a config listing the largest corpora's shards has 3 MB
_DEEPEST: Final = 40

KeyPath = tuple[str | int, ...]
_Event = tuple[str, Any, int]  # "{", "}", "[", "]", or "=" with a key or value; line number

_Yaml: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE: Final = yaml.reader.Reader.NON_PRINTABLE
_WORDS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NUMBER: Final = re.compile(
    r"[-+]?(?:[0-9]+|(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_TOKEN: Final = re.compile(r'[{}\[\]]|"(?:[^"\\]|\\.)*"|[-+\w.]+')


@dataclass(frozen=True)
class Marked:
    """A parsed file with line numbers.

    Attributes
    ----------
    name : str
        The file's name, for errors.
    value : object
        Dictionaries, lists, strings, numbers, booleans and None.
    lines : dict
        The line (from 1) of each value or its key, by the path of keys and list positions.
    """

    name: str
    value: Any
    lines: dict[KeyPath, int]

    def error(self, message: str, at: KeyPath = ()) -> ConfigError:
        """Return an error about the value at a path, or its nearest ancestor with a line."""
        while at and at not in self.lines:
            at = at[:-1]
        return _error(self.name, self.lines.get(at, 1), message)


def read_marked(path: str) -> Marked:
    """Read a YAML or JSON file.

    Raises
    ------
    ConfigError
        Names the line of the problem.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    return parse_marked(data, path)


def parse_marked(data: bytes, name: str) -> Marked:
    """Parse YAML or JSON, by the name's extension or else by the first character.

    Raises
    ------
    ConfigError
        Names the line of the problem.

    Examples
    --------
    >>> parse_marked(b"threshold: 1e-1", "a.yaml").value
    {'threshold': 0.1}
    >>> parse_marked(b"a: [1, *b]", "a.yaml")
    Traceback (most recent call last):
    ...
    mmc4viz.types.ConfigError: a.yaml, line 1: anchors and aliases (& and *) are not supported
    """
    if len(data) > LARGEST:
        raise ConfigError(f"{name}: not a config file: larger than {LARGEST >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(name, data.count(b"\n", 0, error.start) + 1, "not UTF-8 text") from None
    ending = name.lower().rpartition(".")[2]
    is_json = ending == "json" or (ending not in ("yaml", "yml") and text.lstrip()[:1] in "{[")
    return _build(_json_events(text, name) if is_json else _yaml_events(text, name), name)


def _error(name: str, line: int, message: str) -> ConfigError:
    return ConfigError(f"{name}, line {line}: {' '.join(message.split())}")


def _json_events(text: str, name: str) -> Iterator[_Event]:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise _error(name, error.lineno, f"invalid JSON: {error.msg}") from None
    except (RecursionError, ValueError):  # too deep, or too many digits: reported below
        pass
    ends = [match.start() for match in re.finditer("\n", text)]
    for match in _TOKEN.finditer(text):
        token, line = match.group(), bisect_left(ends, match.start()) + 1
        if token in "{}[]":
            yield token, None, line
        elif token[0] == '"':
            yield "=", json.loads(token, strict=False), line
        elif token in ("NaN", "Infinity", "-Infinity"):
            yield "=", float(token), line
        else:
            yield "=", _plain(token), line


def _yaml_events(text: str, name: str) -> Iterator[_Event]:
    if (bad := _UNPRINTABLE.search(text)) is not None:
        line = text.count("\n", 0, bad.start()) + 1
        raise _error(name, line, f"the character {bad.group()!a} is not allowed in YAML")
    try:
        yield from _yaml_plain(text, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise _error(name, line, f"invalid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError:
        raise _error(name, 1, "invalid YAML") from None


def _yaml_plain(text: str, name: str) -> Iterator[_Event]:
    """Yield the events of YAML that have a counterpart in JSON; refuse the others."""
    documents = 0
    for event in yaml.parse(text, Loader=_Yaml):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _error(name, line, "a second YAML document begins; only one is allowed")
        if getattr(event, "anchor", None) is not None:
            raise _error(name, line, "anchors and aliases (& and *) are not supported")
        if (tag := getattr(event, "tag", None)) is not None:
            raise _error(name, line, f"tags such as {tag[:60]!a} are not supported")
        if isinstance(event, yaml.ScalarEvent):
            yield "=", event.value if event.style else _Word(event.value), line
        elif (sign := _SIGNS.get(type(event))) is not None:
            yield sign, None, line


_SIGNS: Final = {
    yaml.MappingStartEvent: "{",
    yaml.MappingEndEvent: "}",
    yaml.SequenceStartEvent: "[",
    yaml.SequenceEndEvent: "]",
}


class _Word(str):
    """An unquoted scalar: text as a key, interpreted by `_plain` as a value."""


def _plain(word: str) -> Any:
    """Return the value of an unquoted scalar.

    Examples
    --------
    >>> _plain("-7"), _plain("1e-3"), _plain(".5"), _plain("on"), _plain("~")
    (-7, 0.001, 0.5, 'on', None)
    """
    if word in _WORDS:
        return _WORDS[word]
    if _NUMBER.fullmatch(word) is None:
        return str(word)
    if word.lower().endswith(("inf", "nan")):
        return float(word.replace(".", ""))
    is_whole = word.lstrip("+-").isdigit() and len(word) < 40
    return int(word) if is_whole else float(word)


def means_text(word: str) -> bool:
    """Whether an unquoted scalar is read as text."""
    return word not in _WORDS and _NUMBER.fullmatch(word) is None


class _Builder:
    """Builds values from events."""

    def __init__(self, name: str) -> None:
        self.name, self.lines = name, dict[KeyPath, int]()
        self.top: list[Any] = []
        self.open: list[tuple[Any, KeyPath]] = []  # open containers with their paths
        self.waiting: list[str | None] = []  # for each, the key whose value comes next

    def take(self, sign: str, value: Any, line: int) -> None:
        if sign in "}]":
            self.open.pop()
            self.waiting.pop()
        elif self.open and isinstance(self.open[-1][0], dict) and self.waiting[-1] is None:
            self._name(sign, value, line)
        elif sign == "=":
            self._put(self._checked(value, line), line)
        else:
            if len(self.open) >= _DEEPEST:
                self._refuse(line, f"nested more than {_DEEPEST} deep")
            container: Any = {} if sign == "{" else []
            path = self._put(container, line)
            self.open.append((container, path))
            self.waiting.append(None)

    def _name(self, sign: str, value: Any, line: int) -> None:
        container, path = self.open[-1]
        if sign != "=" or not isinstance(value, str):
            self._refuse(line, "a key must be text")
        self._checked(str(value), line)
        if value in container:
            first = self.lines[*path, str(value)]
            self._refuse(line, f"duplicate key {value[:60]!a} (first in line {first})")
        self.waiting[-1] = str(value)
        self.lines[*path, str(value)] = line

    def _put(self, value: Any, line: int) -> KeyPath:
        if not self.open:
            self.top.append(value)
            return ()
        container, path = self.open[-1]
        if isinstance(container, list):
            here: KeyPath = (*path, len(container))
            container.append(value)
            self.lines[here] = line
        else:
            name, self.waiting[-1] = self.waiting[-1], None
            here = (*path, str(name))
            container[str(name)] = value
        return here

    def _checked(self, value: Any, line: int) -> Any:
        value = _plain(value) if isinstance(value, _Word) else value
        if isinstance(value, float) and not math.isfinite(value):
            name = self.waiting[-1] if self.waiting else None
            self._refuse(line, f"{f'{name}: '[:60] if name else ''}{value} is not a finite number")
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                self._refuse(line, "text contains a lone surrogate")
        return value

    def _refuse(self, line: int, message: str) -> NoReturn:
        raise _error(self.name, line, message)


def _build(events: Iterator[_Event], name: str) -> Marked:
    builder = _Builder(name)
    for sign, value, line in events:
        builder.take(sign, value, line)
    if not builder.top:
        raise _error(name, 1, "the file is empty")
    return Marked(name, builder.top[0], builder.lines)


PROVENANCE: Final = "provenance"
PROVENANCE_FORMAT: Final = 2
SLICE_THRESHOLDS: Final = "slice_thresholds"
_LARGEST_THRESHOLD: Final = 1e6  # of a slice, and of the settings that it belongs to
_MOST_SLICES: Final = 1000
_LONGEST: Final = 60  # characters of a value that an error quotes
_REF: Final = "#/$defs/"  # before the name of a part of the schema
_Count = Annotated[int, Meta(ge=0)]
_Outcomes = dict[str, Annotated[float, Meta(ge=0)]]


class _Record(Struct, forbid_unknown_fields=True):
    """A part of the provenance; fields without a default must be given."""


class _Contents(_Record, kw_only=True):
    """A file's bytes."""

    size: Annotated[_Count | UnsetType, Meta(description="In bytes.")] = UNSET
    sha256: Annotated[str | UnsetType, Meta(description="SHA-256 of all bytes.")] = UNSET
    xxh3_128: Annotated[
        str | UnsetType,
        Meta(description="XXH3 (128 bits) of all bytes, if their SHA-256 is not known."),
    ] = UNSET
    pieces: Annotated[
        str | UnsetType,
        Meta(
            description="XXH3 (64 bits) of 16 evenly spaced pieces of 64 KiB; of all bytes up to "
            "1 MiB."
        ),
    ] = UNSET
    tag: Annotated[str | UnsetType, Meta(description="Size and ETag or time of a remote file.")] = (
        UNSET
    )
    fingerprint: Annotated[
        str | UnsetType,
        Meta(description="In format 1: size, modification time and digests; or the tag."),
    ] = UNSET


class ShardRecord(_Contents, kw_only=True):
    """A shard at the time of export."""

    path: Annotated[
        str,
        Meta(
            description="The shortest end of its path that is unique in the corpus; in format 1 "
            "the whole path."
        ),
    ]
    documents: _Count | UnsetType | None = UNSET


class CorpusRecord(_Record, kw_only=True):
    """The corpus at the time of export."""

    documents: _Count | UnsetType | None = UNSET
    index: str | UnsetType | None = UNSET
    index_format: str | UnsetType | None = UNSET
    verify: Literal["full", "header", "none"] | UnsetType = UNSET
    image_dir: str | UnsetType | None = UNSET
    pillow: Annotated[
        str | UnsetType,
        Meta(description="Pillow version that decoded the images, and whether it supports AVIF."),
    ] = UNSET
    sha256: Annotated[
        str | UnsetType,
        Meta(
            description="SHA-256 of the sorted SHA-256 of all shards, one a line: sha256sum "
            "SHARD... | cut -c-64 | LC_ALL=C sort | sha256sum."
        ),
    ] = UNSET
    shards: list[ShardRecord]


class SimilarityRecord(_Contents, kw_only=True):
    """The scores in use."""

    source: Annotated[
        str | UnsetType | None,
        Meta(
            description="Score set or similarity file of another CLIP model; null: the shards' own "
            "scores."
        ),
    ] = UNSET
    scale: Annotated[
        str | UnsetType,
        Meta(description="Score scale: cosine, ×100, softmax, sigmoid or unknown."),
    ] = UNSET
    lowest: Annotated[
        float | UnsetType | None, Meta(description="Range of the matched pairs' scores.")
    ] = UNSET
    highest: float | UnsetType | None = UNSET


class TokenizerRecord(_Record):
    """The tokenizer in use."""

    digest: Annotated[str, Meta(description="Digest of the tokenizer's complete definition.")]
    exact: Annotated[
        bool | UnsetType,
        Meta(
            description="Whether token counts are exact for the trained model; false for the "
            "built-in gpt2."
        ),
    ] = UNSET


class YieldRecord(_Record):
    """One quantity."""

    value: float
    low: Annotated[
        float | UnsetType | None,
        Meta(description="Ends of the confidence interval; null: unbounded."),
    ] = UNSET
    high: float | UnsetType | None = UNSET


class LoaderRecord(_Record):
    """The loader whose behavior the yields are."""

    repository: str
    file: str
    commit: str


class LabelsRecord(_Record):
    """The label file."""

    file: str
    sha256: Annotated[
        str,
        Meta(description="SHA-256 of the labels as CSV: mmc4viz labels export FILE | sha256sum."),
    ]
    precision: Annotated[
        YieldRecord | UnsetType,
        Meta(description="Share of correct pairs at or above the threshold, with its 95% CI."),
    ] = UNSET
    labels: Annotated[_Count | UnsetType, Meta(description="Labels at or above the threshold.")] = (
        UNSET
    )


class YieldsRecord(_Record):
    """What these settings keep, in expectation over the single-image keep probability."""

    sampled: Annotated[
        int | UnsetType | None,
        Meta(
            description="Number of documents that the yields were estimated from; null: exact, "
            "from all documents."
        ),
    ] = UNSET
    seed: Annotated[int | UnsetType, Meta(description="Random seed of the sample.")] = UNSET
    per: Annotated[
        float | UnsetType,
        Meta(
            description="Number of documents that the yields refer to: all of the corpus, or 1,000 "
            "if not counted."
        ),
    ] = UNSET
    confidence: Annotated[
        float | UnsetType, Meta(description="Confidence level of the intervals.")
    ] = UNSET
    documents: YieldRecord | UnsetType = UNSET
    pairs: YieldRecord | UnsetType = UNSET
    image_tokens: YieldRecord | UnsetType = UNSET
    text_tokens: YieldRecord | UnsetType = UNSET
    mispaired: YieldRecord | UnsetType = UNSET
    outcomes: _Outcomes | UnsetType = UNSET


class ChosenRecord(Struct):
    """How the threshold was chosen: the basis, and further fields of the proposal."""

    basis: Literal["manual", "yield", "fdr", "decoys", "precision", "combined"]


class Provenance(_Record):
    """Where the settings come from. Informational only."""

    format: Literal[1, 2]
    version: Annotated[str | UnsetType, Meta(description="Version of mmc4viz.")] = UNSET
    created: Annotated[
        str | UnsetType, Meta(description="Time in UTC, such as 2025-01-31T12:00:00Z.")
    ] = UNSET
    note: Annotated[str | UnsetType, Meta(description="The user's note.")] = UNSET
    chosen: ChosenRecord | UnsetType = UNSET
    similarity: SimilarityRecord | UnsetType = UNSET
    tokenizer: TokenizerRecord | UnsetType = UNSET
    loader: LoaderRecord | UnsetType = UNSET
    labels: LabelsRecord | UnsetType = UNSET
    corpus: CorpusRecord | UnsetType = UNSET
    yields: YieldsRecord | UnsetType = UNSET


class SliceThresholdsRecord(_Record, kw_only=True):
    """Slice thresholds of documents; all other documents have the settings' threshold.

    If that is overridden, all of these move by as much.
    """

    by: Annotated[
        str,
        Meta(
            description="What divides documents: an attribute of mmc4viz slices, or a column of "
            "file."
        ),
    ]
    basis: Annotated[
        Literal["share", "precision", "manual"] | UnsetType,
        Meta(description="How they were chosen: an equal share kept, an equal precision, by hand."),
    ] = UNSET
    target: Annotated[float | UnsetType, Meta(description="The precision that was asked for.")] = (
        UNSET
    )
    file: Annotated[
        str | UnsetType,
        Meta(description="Name of the user's own table, which lies next to the config."),
    ] = UNSET
    sha256: Annotated[str | UnsetType, Meta(description="SHA-256 of that table's bytes.")] = UNSET
    thresholds: Annotated[
        dict[str, float], Meta(description="By slice, as mmc4viz slices names them.")
    ]


def read_config(path: str) -> Config:
    """Read a config from a YAML or JSON file.

    Raises
    ------
    ConfigError
        Names the line of the problem.
    """
    found = _checked(read_marked(path))
    if found.slice_thresholds is None:
        return found
    folder = os.path.dirname(os.path.abspath(path))
    return replace(found, slice_thresholds=replace(found.slice_thresholds, folder=folder))


def parse_config(data: bytes, name: str) -> Config:
    """Read a config from bytes; errors begin with the name.

    Examples
    --------
    >>> parse_config(b"threshold: high", "a.yaml")
    Traceback (most recent call last):
    ...
    mmc4viz.types.ConfigError: a.yaml, line 1: threshold must be a finite number, not 'high'
    """
    return _checked(parse_marked(data, name))


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema of a config."""
    [provenance, slices], parts = msgspec.json.schema_components(
        [Provenance, SliceThresholdsRecord], ref_template=_REF + "{name}"
    )
    settings = {each.name: _schema_of(each.name, each.default) for each in fields(LoaderConfig)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mmc4viz config",
        "description": "Loader settings, as read by --config from YAML or JSON; mmc4viz export "
        "adds their provenance.",
        "type": "object",
        "additionalProperties": False,
        "properties": {**settings, SLICE_THRESHOLDS: slices, PROVENANCE: provenance},
        "$defs": parts,
    }


def _schema_of(name: str, default: object) -> dict[str, Any]:
    """Return a setting's JSON Schema."""
    setting = SETTINGS[name]
    kind = {int: "integer", float: "number", str: "string"}[type(default)]
    found: dict[str, Any] = {"type": kind, "description": setting.help, "default": default}
    if choices := choices_of(name):
        found["enum"] = list(choices)
    elif kind == "string":
        found["minLength"] = 1
    bounds = {"minimum": setting.least, "maximum": setting.most}
    return found | {word: bound for word, bound in bounds.items() if bound is not None}


def _checked(marked: Marked) -> Config:
    value = marked.value
    if not isinstance(value, dict):
        raise marked.error("must contain settings, such as threshold: 0.24")
    apart = (PROVENANCE, SLICE_THRESHOLDS)
    settings = {name: one for name, one in value.items() if name not in apart}
    for name, one in settings.items():
        try:
            LoaderConfig.from_mapping({name: one})
        except ConfigError as error:
            raise marked.error(_short(str(error)), (name,)) from None
    if PROVENANCE in value:
        _check_provenance(marked, value[PROVENANCE])
    slices = None
    if SLICE_THRESHOLDS in value:
        _check_record(marked, value[SLICE_THRESHOLDS], SLICE_THRESHOLDS, SliceThresholdsRecord)
        slices = _slice_thresholds(marked, settings, value[SLICE_THRESHOLDS])
    return Config(settings, value.get(PROVENANCE) or {}, slices)


def is_file_name(name: str) -> bool:
    """Whether a text is a file's name, without a folder or an address.

    Examples
    --------
    >>> is_file_name("pages.parquet"), is_file_name(".."), is_file_name("a/b"), is_file_name("s3:b")
    (True, False, False, False)
    """
    return bool(name.strip(".")) and not re.search(r"[/\\:\x00]", name)


def _slice_thresholds(
    marked: Marked, settings: dict[str, Any], found: dict[str, Any]
) -> SliceThresholds:
    """Return the table of a config whose types are right, or refuse what makes no sense."""
    where, table = (SLICE_THRESHOLDS,), found["thresholds"]
    file, digest = found.get("file", ""), found.get("sha256", "")
    if not found["by"]:
        raise marked.error(f"{SLICE_THRESHOLDS}.by must not be empty", (*where, "by"))
    if bool(file) != bool(digest):
        raise marked.error(f"{SLICE_THRESHOLDS} must have both file and sha256, or neither", where)
    if file and not is_file_name(file):
        reason = "must be the name of a table next to the config, without a folder or address"
        raise marked.error(f"{SLICE_THRESHOLDS}.file {reason}", (*where, "file"))
    if digest and not re.fullmatch("[0-9a-f]{64}", digest):
        reason = "must be 64 hexadecimal digits in lower case"
        raise marked.error(f"{SLICE_THRESHOLDS}.sha256 {reason}", (*where, "sha256"))
    if not 0 < len(table) <= _MOST_SLICES:
        reason = f"must name from 1 to {_MOST_SLICES:,} slices, not {len(table):,}"
        raise marked.error(f"{SLICE_THRESHOLDS}.thresholds {reason}", (*where, "thresholds"))
    base = settings.get("threshold", LoaderConfig().threshold)
    if abs(base) > _LARGEST_THRESHOLD:
        reason = f"must be at most {_LARGEST_THRESHOLD:,.0f} in size with {SLICE_THRESHOLDS}"
        raise marked.error(f"threshold {reason}", ("threshold",))
    for name, value in table.items():
        at = (*where, "thresholds", name)
        shown = f"the threshold of {name[:_LONGEST]!a}"
        if abs(value) > _LARGEST_THRESHOLD:
            raise marked.error(f"{shown} must be at most {_LARGEST_THRESHOLD:,.0f} in size", at)
        if name == "other":
            reason = "slices that are not named have the threshold of the settings"
            raise marked.error(f"{SLICE_THRESHOLDS}: 'other' cannot be named: {reason}", at)
    return SliceThresholds(
        found["by"],
        float(base),
        {name: float(value) for name, value in table.items()},
        found.get("basis", "manual"),
        found.get("target"),
        file,
        digest,
    )


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:200]} …"


def _check_provenance(marked: Marked, provenance: Any) -> None:
    """Refuse the first thing that is not as `Provenance` says."""
    written = provenance.get("format") if isinstance(provenance, dict) else None
    if type(written) is int and written > PROVENANCE_FORMAT:
        reason = (
            f"config format {written} is not supported (expected up to {PROVENANCE_FORMAT}): "
            "update mmc4viz"
        )
        raise marked.error(reason, (PROVENANCE, "format"))
    _check_record(marked, provenance, PROVENANCE, Provenance)


def _check_record(marked: Marked, value: Any, name: str, kind: type[_Record]) -> None:
    """Refuse the first thing of a part of a config that is not as its record says."""
    try:
        msgspec.convert([value], list[kind])  # type: ignore[valid-type]  # so errors have a path
    except msgspec.ValidationError as error:
        problem, _, place = str(error).rpartition(" - at `$[0]")
        path, message = _complaint(problem, place, value, name)
        raise marked.error(message, (name, *path)) from None


_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")
_TYPES: Final = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}


def _complaint(problem: str, place: str, record: Any, of: str) -> tuple[KeyPath, str]:
    """Return the path of what msgspec complains about, and a short message.

    Parameters
    ----------
    problem : str
        As msgspec words it, without the place.
    place : str
        Below the record: ``.corpus.shards[0].path``; ``[...]`` is one of the outcomes, or slices.
    record : object
    of : str
        The record's name in the config.
    """
    path: KeyPath = ()
    value, known = record, _part(schema()["properties"][of])
    for name, number in _STEP.findall(place):
        step: str | int
        if name:
            step, known = name, known["properties"][name]
        elif number:
            step, known = int(number), known["items"]
        else:
            known = known["additionalProperties"]
            step = _wrong_number(value, known)
        path, value, known = (*path, step), value[step], _part(known)
    where = ".".join(map(str, (of, *path)))
    if problem.startswith("Object contains unknown field"):
        names = known["properties"]
        name = next(name for name in value if name not in names)
        reason = f"{where} has no field {name[:_LONGEST]!a}; use one of {', '.join(names)}"
        return (*path, name), reason
    quoted = problem.split("`")[1::2]
    if problem.startswith("Object missing required field"):
        return path, f"{where} has no {quoted[0]}"
    if "enum" in known:
        wanted = f"one of {', '.join(map(str, known['enum']))}"
    elif " >= " in problem:
        wanted = f"at least {float(problem.rpartition(' ')[2]):g}"
    else:
        kinds = quoted[0].split(" | ")
        wanted = f"of type {', '.join(_TYPES.get(kind, kind) for kind in kinds)}"
    shown = f"{value!a}"
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
    return path, f"{where[:_LONGEST]} must be {wanted}, not {shown}"


def _wrong_number(numbers: dict[str, Any], known: dict[str, Any]) -> str:
    """Return the name of the first number, or count, that is not one."""
    kind: Any = _Outcomes if "minimum" in known else dict[str, float]
    for name, number in numbers.items():
        try:
            msgspec.convert({name: number}, kind)
        except msgspec.ValidationError:
            return name
    raise ValueError("all are numbers")


def _part(schema_of_it: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the schema, which may be a reference to one."""
    name = schema_of_it.get("$ref", "").removeprefix(_REF)
    found: dict[str, Any] = schema()["$defs"][name] if name else schema_of_it
    return found
