"""How far people agree on the pairs that several of them judged: Cohen's κ for each two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from mmc4viz.choice.labelling.labels import Answer, Judgement, PairId


@dataclass(frozen=True)
class Agreement:
    """Of two people.

    Attributes
    ----------
    people : (str, str)
    pairs : int
        Pairs on which both were sure.
    agreed : int
        Of these, where they said the same.
    kappa : float or None
        Agreement beyond chance: 1 is full, 0 what chance gives. None where chance alone gives
        full agreement, because both said one thing only, or where there is no such pair.
    """

    people: tuple[str, str]
    pairs: int
    agreed: int
    kappa: float | None


def kappa(both_yes: int, first_only: int, second_only: int, both_no: int) -> float | None:
    """Return Cohen's κ of two people's answers.

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


def agreements(judgements: Iterable[Judgement]) -> list[Agreement]:
    """Return every two people's agreement on pairs that both were sure of, most pairs first."""
    said: dict[str, dict[PairId, bool]] = defaultdict(dict)
    for judgement in judgements:
        if judgement.undone is None and judgement.answer in (Answer.YES, Answer.NO):
            said[judgement.person][judgement.pair] = judgement.answer is Answer.YES
    found = [_of(one, other, said[one], said[other]) for one, other in combinations(said, 2)]
    return sorted((a for a in found if a.pairs), key=lambda a: -a.pairs)


def _of(one: str, other: str, mine: dict[PairId, bool], theirs: dict[PairId, bool]) -> Agreement:
    common = [(mine[pair], theirs[pair]) for pair in mine.keys() & theirs.keys()]
    table = [common.count(cell) for cell in ((True, True), (True, False), (False, True),
                                             (False, False))]  # fmt: skip
    return Agreement((one, other), len(common), table[0] + table[3], kappa(*table))
