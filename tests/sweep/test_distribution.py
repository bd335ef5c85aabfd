"""Pairs by score and outcome against the curves and the reference walk; positions on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from mmc4viz import LoaderConfig, match_corpus, parse_document, walk
from mmc4viz.data.columns import Columns
from mmc4viz.sweep.distribution import DROPPED, OUTCOMES, by_outcome, by_place, some
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.pairs import Pairs, document_starts, pairs_of, place_of
from mmc4viz.sweep.sweep import Matched, sweep
from mmc4viz.types import Outcome, PairStatus
from tests.support import nasty
from tests.sweep.test_sweep import SETTINGS, columns_of

EDGES = np.linspace(0.1, 0.4, 13)
LOSING = ("too_few_images", "single_image_at_end")


@pytest.fixture(scope="module")
def columns() -> Columns:
    return columns_of([parse_document(*one) for one in nasty.documents(seed=5, n=1500)])


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("threshold", [-0.1, 0.24, 0.3])
def test_outcomes_add_up_to_the_curves(
    columns: Columns,
    settings: dict[str, object],
    threshold: float,
) -> None:
    config = LoaderConfig(threshold=threshold, single_image_keep=0.3).with_(**settings)
    matched = match_corpus([columns], config)
    curves = sweep(matched, config, np.array([threshold]))
    found = by_outcome(matched, config, pairs_of(matched), verdicts(matched, config), EDGES)
    single = float(curves.in_class("reaching", "kept_single_image")[0])
    wanted = {
        "kept": float(curves.expected("reaching", 0.3)[0]),
        "below_threshold": float(curves.total("rejected_pairs")[0]),
        "over_cap": float(curves.total("over_cap")[0]),
        "truncated": float(curves.total("truncated")[0]),
        DROPPED: float(curves.in_class("reaching", *LOSING)[0]) + 0.7 * single,
    }
    gpt = _images_of_chatgpt(matched, config)  # images that are paired by rank only
    for name in OUTCOMES:
        assert found.of(name).sum() == pytest.approx(wanted[name] - gpt.get(name, 0.0)), name


def _images_of_chatgpt(matched: Matched, config: LoaderConfig) -> dict[str, float]:
    """Return the curves' images of ChatGPT-generated documents, which have no pairs."""
    total: dict[str, float] = {}
    for part in matched.parts:
        for document in part.literal.values():
            found = walk(document, config, part.columns.tokenizer)
            if not document.is_gpt or found.outcome is Outcome.UNREADABLE:
                continue
            bound = len({b.bound_image for b in found.binding if b.bound_image is not None})
            valid = sum(str(status) == "matched" for status in found.images)
            numbers = {
                "kept" if found.outcome is Outcome.KEPT else DROPPED: bound,
                "over_cap": valid - found.handed_over,
                "truncated": found.handed_over - bound,
            }
            for name, number in numbers.items():
                total[name] = total.get(name, 0.0) + number
    return total


@pytest.mark.parametrize("settings", SETTINGS[:5])
def test_every_pair_is_counted_where_the_walk_puts_it(
    columns: Columns,
    settings: dict[str, object],
) -> None:
    config = LoaderConfig(threshold=0.24, single_image_keep=1.0).with_(**settings)
    matched = match_corpus([columns], config)
    pairs = pairs_of(matched)
    counts = by_outcome(matched, config, pairs, verdicts(matched, config), EDGES).counts
    wanted, starts = np.zeros_like(counts), document_starts(matched)
    for document in np.unique(pairs.document).tolist():
        part, row = place_of(starts, document)
        here = matched.parts[part]
        verdict = walk(
            here.literal.get(row) or here.columns.document(row), config, here.columns.tokenizer
        )
        if verdict.outcome is Outcome.UNREADABLE:
            continue
        for pair in verdict.pairs:
            name = str(pair.status)
            if pair.status is PairStatus.KEPT and verdict.outcome is not Outcome.KEPT:
                name = DROPPED
            place = np.searchsorted(EDGES[1:-1], pair.score, side="right")
            wanted[OUTCOMES.index(name), place] += 1
    assert counts.tolist() == wanted.tolist()


@pytest.mark.parametrize("place", ["sentence", "image"])
def test_positions_add_up_to_the_pairs(columns: Columns, place: str) -> None:
    matched = match_corpus([columns], LoaderConfig(min_kb=-1))
    everything = pairs_of(matched)
    usual = np.abs(everything.score) < 10  # sums of the largest numbers overflow
    pairs = Pairs(*(column[usual] for column in vars(everything).values()))
    found = by_place(matched, pairs, EDGES, place)  # type: ignore[arg-type]
    assert found.counts.sum() == len(pairs) > 100
    weights = found.counts.sum(axis=1)
    known = weights > 0
    assert np.nansum(found.mean[known] * weights[known]) == pytest.approx(pairs.score.sum())


def test_a_sentence_is_where_it_is_on_its_page(columns: Columns) -> None:
    matched = match_corpus([columns], LoaderConfig(min_kb=-1))
    pairs = pairs_of(matched)
    starts, wanted = document_starts(matched), np.zeros(20, int)
    for document, sentence in zip(pairs.document.tolist(), pairs.sentence.tolist(), strict=True):
        part, row = place_of(starts, document)
        here = matched.parts[part]
        one = here.literal.get(row)
        n = int(here.columns.numbers("n_sentences")[row])
        if one and isinstance(one.sentences, Sequence):
            n = len(one.sentences)
        wanted[min(19, int((sentence + 0.5) / max(n, 1) * 20))] += 1
    assert (
        by_place(matched, pairs, EDGES, "sentence").counts.sum(axis=1).tolist() == wanted.tolist()
    )


def test_of_many_pairs_those_of_some_documents_are_counted(columns: Columns) -> None:
    config = LoaderConfig(threshold=0.2, min_kb=-1)
    matched = match_corpus([columns], config)
    pairs = pairs_of(matched)
    fewer, drawn = some(pairs, matched.n_documents, most=1000)
    assert 500 < len(fewer) < 2000 and 0 < drawn < matched.n_documents
    counted = np.bincount(fewer.document, minlength=matched.n_documents)
    whole = np.bincount(pairs.document, minlength=matched.n_documents)
    assert (counted[counted > 0] == whole[counted > 0]).all()  # documents are whole
    assert (np.diff(fewer.score) >= 0).all()
    assert some(pairs, matched.n_documents)[0] is pairs


def test_scores_beyond_the_bins_are_in_the_outermost(columns: Columns) -> None:
    config = LoaderConfig(threshold=0.2, min_kb=-1)
    matched = match_corpus([columns], config)
    pairs, found = pairs_of(matched), verdicts(matched, config)
    narrow = by_outcome(matched, config, pairs, found, np.array([0.249, 0.25, 0.251]))
    wide = by_outcome(matched, config, pairs, found, np.array([-1.0, 0.25, 2.0]))
    assert narrow.counts.tolist() == wide.counts.tolist()
    assert replace(wide, edges=narrow.edges).counts.sum() > 0
