"""The audit's numbers and document lists against the reference walk."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz import LoaderConfig, match_corpus
from mmc4viz.data.scale import COSINE
from mmc4viz.loader.assignment import stored_score
from mmc4viz.loader.walk import matched_pairs, matrix_of
from mmc4viz.sweep import audit
from mmc4viz.sweep.audit import EQUAL, stored
from mmc4viz.sweep.document_table import DocumentTable, verdicts
from mmc4viz.sweep.pairs import image_counts
from mmc4viz.sweep.query import (
    CONTENTS,
    FINDINGS,
    IMAGE_STATUSES,
    PAIR_STATUSES,
    SORTS,
    Query,
    chosen,
    containing,
    ordered,
    ranks,
    sort_values,
)
from mmc4viz.types import DocumentError, ImageStatus, Outcome, PairStatus
from tests.support.corpora import SETTINGS, Odd, odd


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def case(request: pytest.FixtureRequest) -> Odd:
    return odd(request.param)


@pytest.mark.parametrize("threshold", [-1e300, -1.0, 0.0, 0.1, 0.2, 0.25, 0.3, 1.0, 1e9])
def test_standings_are_verdicts(case: Odd, threshold: float) -> None:
    matched, config = case.corpus.matched, case.corpus.config
    found = DocumentTable(matched, config).at(threshold)
    expected = verdicts(matched, config.with_(threshold=threshold))
    for field in dataclasses.fields(expected):
        here, there = getattr(found, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(here, there, field.name)


def test_mispaired(case: Odd) -> None:
    kept = [verdict for verdict in case.walks if verdict.outcome is Outcome.KEPT]
    expected = np.zeros(4)
    for verdict in kept:
        counts = (1, verdict.mispaired > 0, verdict.image_tokens, verdict.mispaired)
        expected += verdict.keep_probability * np.array(counts)
    found = audit.mispaired(case.corpus.found, case.corpus.config.single_image_keep)
    assert dataclasses.astuple(found) == pytest.approx(tuple(expected))


def surviving(case: Odd, number: int) -> list[float]:
    """Return a document's scores at or above the threshold in image order; none on an error."""
    config = case.corpus.config
    try:
        pairs = matched_pairs(case.documents[number], config)
    except DocumentError:
        return []
    lost = case.walks[number].outcome is Outcome.UNREADABLE
    return [] if lost else [score for *_, score in pairs if score >= config.threshold]


def test_the_first_pairs_and_the_best_ones(case: Odd) -> None:
    corpus = case.corpus
    cap = corpus.config.max_images
    pairs = audit.crowded(corpus.pairs, corpus.found, cap)
    found = audit.capped(pairs, corpus.found, corpus.config)
    over = outscoring = 0
    lost: list[float] = []
    instead: list[float] = []
    flagged = []
    for number in range(len(case.walks)):
        scores = surviving(case, number)
        first, rest = scores[:cap], scores[cap:]
        higher = [score for score in rest if score > min(first)]
        over, outscoring = over + len(rest), outscoring + len(higher)
        flagged.append(bool(higher))
        best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:cap]
        lost += [scores[i] for i in best if i >= cap]
        instead += [scores[i] for i in range(len(first)) if i not in best]
    assert (found.over_cap, found.outscoring, found.displaced) == (over, outscoring, len(lost))
    assert found.lost.tolist() == sorted(lost)
    assert found.instead.tolist() == sorted(instead)
    assert found.documents.tolist() == flagged


def test_what_is_cut_off_and_left_over(case: Odd) -> None:
    corpus = case.corpus
    statuses = [pair.status for verdict in case.walks for pair in verdict.pairs]
    surplus = [
        verdict.images.count(ImageStatus.UNMATCHED)
        for verdict in case.walks
        if verdict.outcome is not Outcome.UNREADABLE
    ]
    truncated = statuses.count(PairStatus.TRUNCATED)
    unmatched = image_counts(corpus.matched, ImageStatus.UNMATCHED)
    assert audit.lost(corpus.matched, corpus.found, corpus.config, unmatched) == audit.Lost(
        statuses.count(PairStatus.KEPT) + truncated,
        truncated,
        sum(surplus),
        sum(count > 0 for count in surplus),
    )


def test_documents_lost_to_an_image(case: Odd) -> None:
    corpus, sound, single = case.corpus, 0, []
    found = audit.undecodable(corpus.matched, corpus.config)
    lost = [ImageStatus.UNDECODABLE in verdict.images for verdict in case.walks]
    assert found.documents.tolist() == lost
    for document, is_lost in zip(case.documents, lost, strict=True):
        limit = -1 if document.is_gpt else corpus.config.min_kb
        large = [i for i in document.images if i.present and not i.too_small(limit)]
        entries = [i for i in document.images if i.entry_error]
        bad = [i for i in large if i.pixel_error and not i.entry_error] + entries
        good = [i for i in large if not i.pixel_error and not i.entry_error]
        sound += len(good) * is_lost
        single.append(is_lost and len(bad) == 1 and len(good) > 0)
    assert found.single.tolist() == single
    assert found.sound == sound


def test_sizes_in_the_band(case: Odd) -> None:
    found = audit.band(case.corpus.matched, case.corpus.config)
    counts = [
        sum(i.n_bytes is not None and found.low <= i.n_bytes <= found.high for i in d.images)
        if d.error is None
        else 0
        for d in case.documents
    ]
    assert found.images == sum(counts)
    assert found.documents.tolist() == [count > 0 for count in counts]
    if case.corpus.config.min_kb == 10:
        assert (found.low, found.high) == (10_000, 10_999)
        assert found.images > 0


def test_stored_scores_against_the_matrix(case: Odd) -> None:
    found, differs = stored(case.corpus.matched), []
    compared, equal, largest = 0, 0, 0.0
    for document in case.documents:
        here = []
        matrix = None if document.error or document.is_gpt else matrix_of(document)
        for image, row in zip(document.images, [] if matrix is None else matrix, strict=False):
            sentence, score = image.stored_sentence, stored_score(image.stored_score)
            if type(sentence) is int and 0 <= sentence < len(row) and score is not None:
                here.append(abs(float(row[sentence]) - score))
        compared += len(here)
        equal += sum(one <= EQUAL for one in here)
        largest = max([largest, *(one for one in here if np.isfinite(one))])
        differs.append(any(not one <= EQUAL for one in here))
    assert (found.compared, found.equal, found.largest) == (compared, equal, largest)
    assert found.documents.tolist() == differs
    assert found.compared > 0
    assert found.nowhere > 0


def test_a_threshold_that_does_not_fit() -> None:
    scores = np.array([0.1, 0.2, 0.3])
    assert audit.fit(scores, 0.2, COSINE).problem is None
    assert audit.fit(scores, 0.3, COSINE).problem is None
    assert "no pair is kept" in str(audit.fit(scores, 0.301, COSINE).problem)
    assert "no pair is dropped" in str(audit.fit(scores, 0.1, COSINE).problem)
    assert "outside" in str(audit.fit(scores, 0.05, COSINE).problem)
    assert audit.fit(np.zeros(0), 0.24, COSINE).problem is not None


def test_what_documents_contain(case: Odd) -> None:
    for name, status in PAIR_STATUSES.items():
        expected = [any(pair.status is status for pair in verdict.pairs) for verdict in case.walks]
        assert containing(case.corpus, name).tolist() == expected, name
    for name, image_status in IMAGE_STATUSES.items():
        expected = [image_status in verdict.images for verdict in case.walks]
        assert containing(case.corpus, name).tolist() == expected, name
    wrong = [verdict.mispaired > 0 for verdict in case.walks]
    assert containing(case.corpus, "mispaired").tolist() == wrong
    for name in FINDINGS:
        assert containing(case.corpus, name).shape == (len(case.walks),)
    assert not containing(case.corpus, "nothing known").any()


def scores_of(case: Odd, number: int) -> float:
    return max((pair.score for pair in case.walks[number].pairs), default=np.nan)


QUERIES: list[dict[str, Any]] = [
    {},
    *({"outcome": str(outcome)} for outcome in Outcome),
    {"best_from": 0.2, "best_to": 0.26},
    {"best_from": -1e9},
    {"images_from": 2, "images_to": 3},
    {"tokens_from": 10, "tokens_to": 60},
    {"shard": "TWO", "outcome": "kept"},
    {"shard": "three"},
    {"url": "EXAMPLE.org"},
    {"contains": "pair_below_threshold", "images_from": 4},
    {"outcome": "no such outcome"},
]


@pytest.mark.parametrize("asked", QUERIES, ids=str)
def test_queries(case: Odd, asked: dict[str, Any]) -> None:
    query = Query(**asked)

    def wanted(number: int) -> bool:
        document, verdict = case.documents[number], case.walks[number]
        best = scores_of(case, number)
        return all(
            [
                not query.outcome or str(verdict.outcome) == query.outcome,
                query.best_from is None or best >= query.best_from,
                query.best_to is None or best <= query.best_to,
                query.images_from is None or len(document.images) >= query.images_from,
                query.images_to is None or len(document.images) <= query.images_to,
                query.tokens_from is None or verdict.text_tokens >= query.tokens_from,
                query.tokens_to is None or verdict.text_tokens <= query.tokens_to,
                query.shard.lower() in ("one.tar" if number < 400 else "two.tar"),
                query.url.lower() in document.url.lower(),
                not query.contains or any(p.status == "below_threshold" for p in verdict.pairs),
            ]
        )

    expected = [number for number in range(len(case.walks)) if wanted(number)]
    assert chosen(case.corpus, query).tolist() == expected
    assert query.is_empty == (not asked)


@pytest.mark.parametrize("name", [*SORTS, "nothing known"])
def test_every_sort_is_a_sort(case: Odd, name: str) -> None:
    columns = [part.columns for part in case.corpus.matched.parts]
    values = ranks(columns, name) if name in ("key", "url") else sort_values(case.corpus, name)
    everything = np.arange(len(case.walks))
    for largest_first in (False, True):
        order = ordered(everything, values, largest_first)
        page = order.page(0, len(everything)).tolist()
        keys = np.asarray(values)[page].astype(float)
        keys[np.isnan(keys)] = -np.inf if largest_first else np.inf
        first, then = keys[:-1], keys[1:]
        assert ((first >= then) if largest_first else (first <= then)).all()
        assert sorted(page) == everything.tolist()


def test_keys_sort_as_text() -> None:
    case = odd({})
    columns = [part.columns for part in case.corpus.matched.parts]
    order = ordered(np.arange(len(case.walks)), ranks(columns, "key"), False)
    keys = [case.documents[number].key for number in order.page(0, len(order)).tolist()]
    assert keys == sorted(keys)


numbers = st.lists(st.sampled_from([0.1, 0.2, 0.3, np.nan, np.inf, -np.inf]), max_size=30)


@given(numbers, st.integers(0, 35), st.integers(0, 35), st.booleans())
def test_pages_and_neighbours(
    values: list[float], start: int, length: int, largest_first: bool
) -> None:
    documents = np.arange(len(values)) * 2
    of_all = np.repeat(np.array(values, float), 2)
    order = ordered(documents, of_all, largest_first)
    sign = -1 if largest_first else 1

    def key(at: int) -> tuple[float, int]:
        value = sign * values[at]
        return (np.inf if np.isnan(value) else value), at

    expected = [2 * at for at in sorted(range(len(values)), key=key)]
    assert order.page(start, start + length).tolist() == expected[start : start + length]
    for rank, document in enumerate(expected):
        assert order.rank(document) == rank
        before = expected[rank - 1] if rank else None
        after = expected[rank + 1] if rank + 1 < len(expected) else None
        assert order.beside(document) == (before, after)
    assert order.rank(1) is None
    assert order.beside(1) == (None, expected[0] if expected else None)


def test_an_audit_of_nothing() -> None:
    config = LoaderConfig()
    matched = match_corpus([], config)
    assert stored(matched).compared == 0
    assert audit.band(matched, config).images == 0
    assert audit.undecodable(matched, config).sound == 0
    assert all(name in CONTENTS for name in FINDINGS)
