"""Labels as CSV, and agreement between annotators."""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Final

from mmc4viz.thresholds.labels import chosen, store
from mmc4viz.thresholds.labels.store import PAIR, Answer, Judgement, LabelsError, PairId


@dataclass(frozen=True)
class AnnotatorAgreement:
    """Agreement between two annotators.

    Attributes
    ----------
    people : (str, str)
    pairs : int
        Pairs that both were sure of.
    agreed : int
        Of these, pairs with the same answer.
    kappa : float or None
        Cohen's κ: 1 is full agreement, 0 is chance. None if undefined, because there are no
        such pairs or both always gave the same answer.
    """

    people: tuple[str, str]
    pairs: int
    agreed: int
    kappa: float | None


def kappa(both_yes: int, first_only: int, second_only: int, both_no: int) -> float | None:
    """Return Cohen's κ of two annotators' answers.

    Source: Cohen, Educational and Psychological Measurement 20 (1960).

    Examples
    --------
    >>> kappa(20, 5, 10, 15)
    0.4
    >>> kappa(7, 0, 0, 0) is None
    True
    """
    n = both_yes + first_only + second_only + both_no
    chance = (both_yes + first_only) * (both_yes + second_only)
    chance += (both_no + first_only) * (both_no + second_only)
    agreed = (both_yes + both_no) * n
    return None if n * n == chance else (agreed - chance) / (n * n - chance)


def agreements(judgements: Iterable[Judgement]) -> list[AnnotatorAgreement]:
    """Return the agreement of every two annotators, most common pairs first."""
    said: dict[str, dict[PairId, bool]] = defaultdict(dict)
    for judgement in judgements:
        if judgement.undone is None and judgement.answer in (Answer.YES, Answer.NO):
            said[judgement.person][judgement.pair] = judgement.answer is Answer.YES
    found = [_of(one, other, said[one], said[other]) for one, other in combinations(said, 2)]
    return sorted((a for a in found if a.pairs), key=lambda a: -a.pairs)


def _of(
    one: str, other: str, mine: dict[PairId, bool], theirs: dict[PairId, bool]
) -> AnnotatorAgreement:
    common = [(mine[pair], theirs[pair]) for pair in mine.keys() & theirs.keys()]
    table = [common.count(cell) for cell in ((True, True), (True, False), (False, True),
                                             (False, False))]  # fmt: skip
    return AnnotatorAgreement((one, other), len(common), table[0] + table[3], kappa(*table))


_NEEDED: Final = ("shard", "key", "image", "sentence", "person", "answer", "time")
HEAD: Final = (*_NEEDED, "version", "clip_model", "score", "undone", *PAIR[4:])
_RISKY: Final = ("=", "+", "-", "@", "|", "%", "'")
_LARGEST: Final = 2**31
_LONGEST: Final = 200  # characters of an error message, which may quote a cell


def export_csv(path: str) -> str:
    """Return all judgements of a file as CSV, including undone ones.

    Cells that a spreadsheet might read as formulas are prefixed with an apostrophe, which import
    removes. Indices count from 0, as in the shard.
    """
    return _written(HEAD, store.read(path, history=True))


def export_chosen_csv(path: str) -> str:
    """Return the labels of chosen pairs as CSV.

    The column of answers has another name, so that they cannot be imported as labels of pairs drawn
    at random.
    """
    head = ["chosen_answer" if name == "answer" else name for name in HEAD]
    return _written(head, chosen.read(path))


def _written(head: Sequence[str], judgements: Iterable[Judgement]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(head)
    for judgement in judgements:
        writer.writerow(map(_cell, _values(judgement)))
    return buffer.getvalue()


def _values(j: Judgement) -> tuple[object, ...]:
    score = "" if j.score is None else j.score
    shard, key, image, sentence, *document = j.pair.values
    about = j.person, str(j.answer), j.time, j.version, j.clip_model, score, j.undone or ""
    return (shard, key, image, sentence, *about, *document)


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _risky(value) else value


def _risky(text: str) -> bool:
    """Whether a spreadsheet might read a cell as a formula, or it begins with an apostrophe."""
    begins = unicodedata.normalize("NFKC", text.lstrip()[:1])  # full-width signs count
    return begins in _RISKY or text[:1] in ("\t", "\n", "\r")


def _unescaped(cell: str) -> str:
    """Undo `_cell`."""
    return cell[1:] if cell.startswith("'") and _risky(cell[1:]) else cell


def import_csv(path: str, text: str, name: str) -> tuple[int, int]:
    """Import judgements from CSV, all or none; existing ones are skipped.

    Parameters
    ----------
    path : str
        The label file.
    text : str
        CSV as exported: a header and one judgement per line. Only the first seven columns are
        required. Without ``content`` and ``number`` a document is identified by shard and key.
    name : str
        The CSV's name, for error messages.

    Returns
    -------
    (int, int)
        Number imported and number already present.

    Raises
    ------
    LabelsError
        If a line is invalid; then nothing is imported.
    """
    coming = list(_parsed(text, name))
    with store.writing(path) as connection:
        old = store.select(connection, path, history=True)
        there = {(judgement.pair, judgement.person, judgement.time) for judgement in old}
        new = []
        for judgement in coming:
            key = judgement.pair, judgement.person, judgement.time
            if key not in there:
                there.add(key)
                new.append(judgement)
        store.insert(connection, new)
    return len(new), len(coming) - len(new)


def _parsed(text: str, name: str) -> Iterator[Judgement]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        head = [cell.strip() for cell in next(reader, [])]
        missing = [column for column in _NEEDED if column not in head]
        if missing:
            raise LabelsError(
                f"{name} is not a label file (CSV): missing column {', '.join(missing)}"
            )
        if twice := [column for column in HEAD if head.count(column) > 1]:
            raise LabelsError(f"{name}: two columns are named {twice[0]}; remove one")
        for cells in reader:
            if cells:
                yield _judgement(head, cells, f"{name}, line {reader.line_num}")
    except csv.Error as error:
        raise LabelsError(f"{name}, line {reader.line_num}: invalid CSV: {error}") from None


def _judgement(head: Sequence[str], cells: Sequence[str], where: str) -> Judgement:
    if len(cells) != len(head):
        raise LabelsError(f"{where}: {len(cells)} fields, but the header has {len(head)}")
    row = dict(zip(head, map(_unescaped, cells), strict=True))
    try:
        image, sentence = (_index(row[n]) for n in ("image", "sentence"))
        score = row.get("score") or None
        undone = row.get("undone") or None
        return Judgement(
            PairId(row["shard"], row["key"], image, sentence, *_document(row)),
            store.checked_name(row["person"]),
            Answer(row["answer"].strip().lower()),
            _time(row["time"]),
            row.get("version", ""),
            row.get("clip_model", ""),
            None if score is None else _score(score),
            None if undone is None else _time(undone),
        )
    except (ValueError, LabelsError) as error:
        words = str(error)
        words = words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"
        raise LabelsError(f"{where}: {words}") from None


def _document(row: Mapping[str, str]) -> tuple[str, int]:
    """Read a document's content and number, if given."""
    content, number = row.get("content", ""), row.get("number", "")
    return (content, _index(number)) if content and number not in ("", "-1") else ("", -1)


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text[:12]) >= _LARGEST:
        raise ValueError(f"{text[:40]!r} is not an image or sentence index")
    return int(text)


def _score(text: str) -> float:
    value = float(text)
    if math.isnan(value):
        raise ValueError("the score is not a number")
    return value


def _time(text: str) -> str:
    datetime.fromisoformat(text)
    return text
