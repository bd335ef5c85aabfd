"""CLIP models beside the deciding one → the report's section on them.

Every number is `mmc4viz.choice.comparing`'s, as on the page Models and in ``mmc4viz compare``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mmc4viz.choice.comparing.candidate import Candidate
from mmc4viz.choice.comparing.cells import SPREAD_HEAD, agreed, areas, how_sure, spread, values
from mmc4viz.choice.comparing.disagreement import (
    Correlation,
    correlation_of_entries,
    correlation_of_pairs,
)
from mmc4viz.choice.comparing.distribution import distribution
from mmc4viz.choice.comparing.evidence import Evidence, tell_apart
from mmc4viz.choice.comparing.models import Match, NoMatch
from mmc4viz.choice.comparing.respects import match_in_every_respect
from mmc4viz.choice.lineup import ModelsError, line_up
from mmc4viz.handover.drawing import HALF, histogram
from mmc4viz.handover.section import Heading, Part, Pictures, Section, Table, Words

_DRAWN: Final = "pairs"  # the yield that holds the thresholds of the pictures equal
_RATES: Final = {"fdr": "false-discovery rate", "precision": "precision"}
_CAPTION: Final = (
    "Each line: the thresholds that leave the same of one quantity, counted over all of them and "
    "nearest where none leaves the same, or that are estimated to be equally pure, with 95 % "
    "intervals. Agreed: kept by both, of what either keeps; a pair is the same when image and "
    "sentence are."
)


def models_section(
    first: Candidate,
    others: Sequence[Candidate],
    threshold: float,
    labels: Evidence | None = None,
    problems: Sequence[str] = (),
) -> Section | None:
    """Put the deciding model beside the others.

    Parameters
    ----------
    first : Candidate
        The model whose threshold is chosen.
    others : sequence of Candidate
        Of the same documents, under the same setting.
    threshold : float
        The first model's.
    labels : Evidence, optional
        Without, nothing is said of precision.
    problems : sequence of str
        Why other models are not here, a line each.

    Returns
    -------
    Section or None
        None where there is no other model, nor a reason why.
    """
    sound, problems = list[Candidate](), list(problems)
    for other in others:
        try:
            line_up([first.model, other.model])
            sound.append(other)
        except ModelsError as error:
            problems.append(str(error))
    if not sound and not problems:
        return None
    parts: list[Part] = [Words(problem) for problem in problems]
    if sound:
        lines = [spread(distribution(one.model)) for one in (first, *sound)]
        parts = [Table(SPREAD_HEAD, lines), *parts]
    for other in sound:
        parts += _beside(first, other, threshold, labels)
    if labels is not None and sound:
        parts += _separated([first, *sound], labels)
    return Section("CLIP models side by side", parts)


def _beside(
    first: Candidate,
    other: Candidate,
    threshold: float,
    labels: Evidence | None,
) -> list[Part]:
    """Put one model beside the first: thresholds that go together, agreement, ranks."""
    matches = match_in_every_respect(first, other, threshold, {}, labels)
    found = [match for match in matches if isinstance(match, Match)]
    drawn = next(match for match in found if match.by == _DRAWN)
    head = ("equal in", first.name, other.name, f"of {first.name}", f"of {other.name}",
            "documents agreed", "pairs agreed", "how sure")  # fmt: skip
    ranks = (correlation_of_pairs, correlation_of_entries)
    return [
        Heading(f"{first.name} and {other.name}"),
        Pictures([_scores(first, drawn.first), _scores(other, drawn.second)]),
        Table(head, [_cells(match) for match in found]),
        *(Words(_why_not(match)) for match in matches if isinstance(match, NoMatch)),
        *(Words(_correlated(rank(first.model, other.model))) for rank in ranks),
        Words(_CAPTION, small=True),
        *(Words(_basis(match), small=True) for match in found if match.intervals),
    ]


def _scores(one: Candidate, threshold: float) -> str:
    """Draw a model's matched scores on their own scale, with its threshold."""
    edges = distribution(one.model).edges
    span, scores = (float(edges[0]), float(edges[-1])), one.model.pairs.score
    return histogram(scores, threshold, span, f"{one.name} at {threshold:.12g}", 40, HALF)


def _cells(match: Match) -> tuple[str, ...]:
    return (
        _words(match.by),
        f"{match.first:.12g}",
        f"{match.second:.12g}",
        *values(match),
        *agreed(match),
        how_sure(match),
    )


def _words(by: str) -> str:
    return _RATES.get(by, by.replace("_", " "))


def _why_not(match: NoMatch) -> str:
    return f"No threshold of equal {_words(match.by)}: {match.reason}."


def _basis(match: Match) -> str:
    return f"The {_words(match.by)} is estimated from {match.rests_on}."


def _correlated(one: Correlation) -> str:
    """Say how alike two models rank."""
    of = "pairs that both match" if one.of == "pairs" else "matrix entries that both score"
    if one.rho is None:
        return f"Rank correlation of {one.n:,} {of}: not defined."
    sampled = f" ({one.low:.3f} to {one.high:.3f}, of a sample)" if one.low is not None else ""
    return f"Rank correlation (Spearman) of {one.n:,} {of}: {one.rho:.3f}{sampled}."


def _separated(candidates: Sequence[Candidate], labels: Evidence) -> list[Part]:
    """Write which model separates labelled pairs better, or why nobody can tell."""
    models = [one.model for one in candidates]
    title = Heading("Right pairs from wrong ones")
    try:
        found = tell_apart(models, labels)
    except ModelsError as error:
        return [title, Words(f"Not told apart: {error}.")]
    unusable = f" {found.unusable:,} labels have no score." if found.unusable else ""
    words = (
        f"{found.labels:,} labels of pairs of {labels.words}, in {found.documents:,} documents, "
        "each weighted by one over its probability to be drawn. 95 % intervals and the two-sided "
        f"test of the difference: {found.rounds:,} draws of these documents with replacement, the "
        f"same for all models.{unusable}"
    )
    head = ("model", "area under ROC", "average precision")
    return [title, Table(head, areas(found)), Words(words, small=True)]
