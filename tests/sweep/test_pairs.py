"""Pairs around a threshold against the reference walk."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from mmc4viz import LoaderConfig, match_corpus, parse_document, walk
from mmc4viz.loader.walk import assigned, matched_pairs, matrix_of, runner_ups, states
from mmc4viz.sweep import pairs as pairs_module
from mmc4viz.sweep.pairs import (
    Pairs,
    around,
    differing,
    document_starts,
    highest_dropped,
    image_starts,
    judged,
    lowest_kept,
    pairs_of,
    place_of,
)
from mmc4viz.types import ASSIGNMENT_NAMES, Document, DocumentError, Outcome, PairStatus
from tests.support.corpora import SETTINGS, TOKENIZER, Odd, documents, odd

Known = dict[tuple[int, int], tuple[int, float]]


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def case(request: pytest.FixtureRequest) -> Odd:
    return odd(request.param)


@cache
def by_image(config: LoaderConfig) -> Known:
    """Return every matched pair of the walk, by document and image."""
    found: Known = {}
    for number, document in enumerate(documents()):
        try:
            pairs = matched_pairs(document, config)
        except DocumentError:
            continue
        found |= {(number, image): (sentence, score) for image, sentence, score in pairs}
    return found


def listed(pairs: Pairs) -> Known:
    columns = (pairs.document, pairs.image, pairs.sentence, pairs.score)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {(document, image): (sentence, score) for document, image, sentence, score in rows}


def test_all_pairs_are_the_walk_s(case: Odd) -> None:
    pairs = case.corpus.pairs
    assert listed(pairs) == by_image(case.corpus.config)
    assert len(pairs) == len(listed(pairs))
    assert (np.diff(pairs.score) >= 0).all()


@pytest.mark.parametrize("n", [1, 7, 10_000])
def test_pairs_around_the_threshold(case: Odd, n: int) -> None:
    pairs, threshold = case.corpus.pairs, case.corpus.config.threshold
    below, above = around(pairs, threshold, n)
    scores = np.sort(pairs.score)
    rejected, kept = scores[scores < threshold], scores[scores >= threshold]
    assert pairs.score[below].tolist() == rejected[::-1][:n].tolist()
    assert pairs.score[above].tolist() == kept[:n].tolist()


def test_statuses_are_the_walk_s(case: Odd) -> None:
    corpus, some = case.corpus, range(0, len(case.corpus.pairs), 7)
    for pair in judged(corpus.matched, corpus.config, corpus.pairs, some):
        verdict = case.walks[pair.document]
        assert pair.outcome is verdict.outcome
        statuses = {p.image: p.status for p in verdict.pairs}
        assert statuses.get(pair.image, pair.status) is pair.status


def reaching(case: Odd) -> tuple[list[float], list[float]]:
    """Split the scores of all pairs by whether they are used for training, by the walk."""
    got, lost = [], []
    for (document, image), (_, score) in by_image(case.corpus.config).items():
        verdict = case.walks[document]
        status = next((p.status for p in verdict.pairs if p.image == image), None)
        reaches = verdict.outcome is Outcome.KEPT and status is PairStatus.KEPT
        (got if reaches else lost).append(score)
    return sorted(got), sorted(lost, reverse=True)


@pytest.mark.parametrize("n", [3, 50, 100_000])
def test_highest_lost_and_lowest_kept(case: Odd, n: int) -> None:
    corpus = case.corpus
    asked = (corpus.matched, corpus.config, corpus.pairs, corpus.found, n)
    got, lost = reaching(case)
    assert [pair.score for pair in lowest_kept(*asked)] == got[:n]
    assert [pair.score for pair in highest_dropped(*asked)] == lost[:n]


@pytest.mark.parametrize("other", ASSIGNMENT_NAMES)
def test_pairs_that_one_assignment_keeps_and_another_loses(case: Odd, other: str) -> None:
    corpus = case.corpus
    config = corpus.config.with_(assignment=other)
    columns = [part.columns for part in corpus.matched.parts]
    theirs = pairs_of(match_corpus(columns, config))
    count, shown = differing(
        corpus.pairs, theirs, image_starts(corpus.matched), config.threshold, 10_000
    )
    mine, other_pairs = by_image(corpus.config), by_image(config)
    kept = {at: pair for at, pair in mine.items() if pair[1] >= config.threshold}
    expected = {}
    for at, pair in kept.items():
        sentence, score = other_pairs.get(at, (None, np.nan))
        if sentence != pair[0] or not score >= config.threshold:
            expected[at] = (*pair, sentence)
    found = {(d.document, d.image): (d.sentence, d.score, d.other_sentence) for d in shown}
    assert found == expected
    assert count == len(expected)
    assert all(a.score >= b.score for a, b in pairwise(shown))


def test_no_pairs_at_all() -> None:
    matched = match_corpus([], LoaderConfig())
    pairs = pairs_of(matched)
    assert len(pairs) == 0
    assert [len(part) for part in around(pairs, 0.24, 5)] == [0, 0]
    assert differing(pairs, pairs, image_starts(matched), 0.24, 5) == (0, [])


def test_places(case: Odd) -> None:
    starts = document_starts(case.corpus.matched)
    found = case.corpus.found
    for document in range(0, len(found.kind), 13):
        assert place_of(starts, document) == (found.part[document], found.row[document])


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=str)
def test_states_are_what_the_walk_says_between_their_ends(settings: dict[str, Any]) -> None:
    config = LoaderConfig(**settings)
    for document in documents()[::9]:
        found = states(document, config, TOKENIZER)
        assert found[0].high == np.inf
        assert found[-1].low == -np.inf
        for before, after in pairwise(found):
            assert before.low == after.high
        for threshold in (-1e9, -1.0, 0.1, 0.2, 0.24, 0.3, 1e9, config.threshold):
            state = next(one for one in found if one.holds(threshold))
            verdict = walk(document, config.with_(threshold=threshold), TOKENIZER)
            shown = (state.verdict.outcome, state.verdict.image_tokens, state.verdict.mispaired)
            assert shown == (verdict.outcome, verdict.image_tokens, verdict.mispaired)


def test_assignments_and_runner_ups() -> None:
    config = LoaderConfig(threshold=0.1)
    for document in documents()[::11]:
        for name, verdict in assigned(document, config, TOKENIZER).items():
            assert verdict == walk(document, config.with_(assignment=name), TOKENIZER)
        verdict, matrix = walk(document, config, TOKENIZER), matrix_of(document)
        for pair, second in zip(verdict.pairs, runner_ups(matrix, verdict.pairs), strict=True):
            if second.sentence is not None:
                assert matrix is not None
                row = np.delete(matrix[pair.image], pair.sentence)
                assert second.score == row.max()
                assert second.margin == pair.score - second.score


def test_a_matrix_that_is_none() -> None:
    for similarity in (None, [[1], [2, 3]], "a", [[True]], [[None]], [], 3, [[[1]]]):
        assert matrix_of(Document("a", similarity=similarity)) is None
    assert parse_document("a", b"{").error is not None
    assert pairs_module.__doc__
