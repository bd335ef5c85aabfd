"""Two models compared → lines of text and plain values. Compares nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmc4viz.choice.comparing.cells import SPREAD_HEAD, agreed, areas, how_sure, spread, values
from mmc4viz.choice.comparing.disagreement import Correlation
from mmc4viz.choice.comparing.distribution import QUANTILES, Distribution
from mmc4viz.choice.comparing.models import Match, NoMatch
from mmc4viz.choice.comparing.separation import Separated as OneSeparated
from mmc4viz.choice.comparing.separation import Separation
from mmc4viz.model import LoaderConfig
from mmc4viz.output import table


@dataclass(frozen=True)
class Compared:
    """What was found of two models.

    Attributes
    ----------
    first, second : str
    matches : sequence of Match or NoMatch
    correlations : sequence of Correlation
    """

    first: str
    second: str
    matches: Sequence[Match | NoMatch]
    correlations: Sequence[Correlation]

    @property
    def names(self) -> dict[str, str]:
        """The models' names, for a row."""
        return {"first": self.first, "second": self.second}

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each respect in which thresholds were matched."""
        found = [match.row() for match in self.matches if isinstance(match, Match)]
        nothing = dict.fromkeys(found[0])
        return [self.names | nothing | _row(match) for match in self.matches]


@dataclass(frozen=True)
class Separated:
    """What labels say of the models, or why nothing; and among whose pairs they were drawn."""

    drawn_among: str
    found: Separation | str

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the curves as plain values."""
        found = self.found
        if isinstance(found, str):
            return {"drawn_among": self.drawn_among, "reason": found}
        return {
            "drawn_among": self.drawn_among,
            "labels": found.labels,
            "documents": found.documents,
            "unusable": found.unusable,
            "bootstrap_rounds": found.rounds,
            "models": [_areas(one) for one in found.models],
            "differences": [asdict(one) for one in found.against_first],
        }


def _areas(one: OneSeparated) -> dict[str, Any]:
    """Return a row for a model."""
    measures = {"auc": one.auc, "average_precision": one.average_precision}
    return {"model": one.model} | {name: asdict(value) for name, value in measures.items()}


def _row(match: Match | NoMatch) -> dict[str, Any]:
    if isinstance(match, Match):
        return match.row()
    return {"equal": match.by, "first_threshold": match.first, "rests_on": match.reason}


def as_json(
    config: LoaderConfig,
    spreads: Sequence[Distribution],
    compared: Sequence[Compared],
    separated: Separated | None,
) -> dict[str, Any]:
    """Return everything as plain values."""
    setting = config.as_dict()
    return {
        "setting": {k: v for k, v in setting.items() if k not in ("threshold", "clip_model")},
        "models": [_spread(one) for one in spreads],
        "matches": [row for one in compared for row in one.rows()],
        "rank_correlations": [one.names | asdict(c) for one in compared for c in one.correlations],
        "labels": None if separated is None else separated.as_dict(),
    }


def _spread(found: Distribution) -> dict[str, Any]:
    quantiles = found.quantiles or [None] * len(QUANTILES)
    named = {f"{100 * q:g} %": value for q, value in zip(QUANTILES, quantiles, strict=True)}
    return {
        "model": found.model,
        "scale": found.scale.name,
        "pairs": found.pairs,
        "quantiles": named,
    }


def as_text(
    spreads: Sequence[Distribution], compared: Sequence[Compared], separated: Separated | None
) -> str:
    """Return everything as tables with a few words."""
    rows = [SPREAD_HEAD, *map(spread, spreads)]
    last = [] if separated is None else [_separated(separated)]
    return "\n\n".join([table(rows), *(_text(one) for one in compared), *last])


def _text(found: Compared) -> str:
    head = ("equal in", found.first, found.second, f"left by {found.first}", "by " + found.second,
            "documents agreed", "pairs agreed", "how sure")  # fmt: skip
    lines = [table([head, *(_cells(match) for match in found.matches if isinstance(match, Match))])]
    lines += [f"{_words(m.by)}: {m.reason}" for m in found.matches if isinstance(m, NoMatch)]
    estimated = {m.by: m.rests_on for m in found.matches if isinstance(m, Match) and m.intervals}
    lines += [f"{_words(by)} rests on {words}" for by, words in estimated.items()]
    return "\n".join([*lines, *_correlated(found)])


def _separated(labels: Separated) -> str:
    """Write which model separates right pairs from wrong ones better."""
    found = labels.found
    if isinstance(found, str):
        return f"right from wrong pairs: not compared: {found}"
    rows = [("right from wrong pairs", "area under ROC", "average precision"), *areas(found)]
    among = f"{found.labels:,} labels drawn among the pairs of {labels.drawn_among}"
    unusable = f"; {found.unusable:,} have no score" if found.unusable else ""
    return f"{table(rows)}\n{among}, in {found.documents:,} documents{unusable}"


def _words(by: str) -> str:
    return {"fdr": "FDR"}.get(by, by.replace("_", " "))


def _cells(match: Match) -> tuple[str, ...]:
    return (
        _words(match.by),
        f"{match.first:.12g}",
        f"{match.second:.12g}",
        *values(match, "–"),
        *agreed(match),
        how_sure(match),
    )


def _correlated(found: Compared) -> Iterator[str]:
    of = {"pairs": "pairs that both match", "entries": "matrix entries that both score"}
    for one in found.correlations:
        if one.rho is None:
            yield f"rank correlation of {one.n:,} {of[one.of]}: not defined"
            continue
        sampled = f" ({one.low:.4f} to {one.high:.4f}, sampled)" if one.low is not None else ""
        yield f"rank correlation (Spearman) of {one.n:,} {of[one.of]}: {one.rho:.4f}{sampled}"
