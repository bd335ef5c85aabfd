"""The fast path against the reference walk, under every loader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import synthetic
from mmc4viz import Document, LoaderConfig, match_corpus, parse_document
from mmc4viz.data.columns import Columns, Kind
from mmc4viz.export import manifest
from mmc4viz.loader.profile import PROFILES
from mmc4viz.loader.walk import matched_pairs, walk
from mmc4viz.slices.attributes import ATTRIBUTES, SlicedCorpus
from mmc4viz.slices.comparison import pair_curves
from mmc4viz.sweep.document_table import DocumentTable, verdicts
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.sweep.query import Corpus, containing
from mmc4viz.sweep.settings.two_settings import setting_map
from mmc4viz.sweep.statistics import CLASSES, QUANTITY, class_of
from mmc4viz.sweep.sweep import sweep
from mmc4viz.thresholds.by_yield import steps_of_curves, steps_of_scores
from mmc4viz.types import (
    DEFAULT_LOADER,
    LOADER_DEFAULTS,
    DocumentError,
    Image,
    ImageStatus,
    PairStatus,
)
from tests.support import nasty
from tests.sweep.test_sweep import (
    THRESHOLDS,
    TOKENIZER,
    assert_equal,
    columns_of,
    sum_of_walks,
)

OTHERS = [name for name in PROFILES if name != DEFAULT_LOADER]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"max_images": 2, "max_tokens": 40, "min_images": 2},
    {"max_images": 3, "max_tokens": 700},
]


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [parse_document(key, raw) for key, raw in nasty.documents(seed=6, n=400)]


@pytest.fixture(scope="module")
def columns(documents: list[Document]) -> Columns:
    return columns_of(documents)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("loader", OTHERS)
def test_curves_are_the_sums_of_walks(
    documents: list[Document], columns: Columns, loader: str, settings: dict[str, Any]
) -> None:
    config = LoaderConfig.from_mapping({"loader": loader, **settings})
    curves = sweep(match_corpus([columns], config), config, THRESHOLDS)
    for step, threshold in enumerate(THRESHOLDS.tolist()):
        assert_equal(curves, step, sum_of_walks(documents, config.with_(threshold=threshold)))


@pytest.mark.parametrize("loader", OTHERS)
def test_documents_and_pairs_are_what_the_walk_finds(
    documents: list[Document], columns: Columns, loader: str
) -> None:
    config = LoaderConfig.of_loader(loader)
    matched = match_corpus([columns], config)
    table = verdicts(matched, config)
    pairs = pairs_of(matched)
    expected = set()
    for row, document in enumerate(documents):
        verdict = walk(document, config, TOKENIZER)
        assert CLASSES[table.kind[row]] == class_of(verdict), document.key
        found = (table.image_tokens[row], table.text_tokens[row], table.mispaired[row])
        wanted = (verdict.image_tokens, verdict.text_tokens, verdict.mispaired)
        assert found == pytest.approx(wanted, rel=1e-12)
        odds = table.odds(config.single_image_keep)[row]
        assert odds == pytest.approx(verdict.keep_probability, rel=1e-12)
        try:
            for image, sentence, score in matched_pairs(document, config):
                expected.add((row, image, sentence, repr(score)))
        except DocumentError:
            pass
    assert expected == {
        (int(d), int(i), int(s), repr(float(score)))
        for d, i, s, score in zip(
            pairs.document, pairs.image, pairs.sentence, pairs.score, strict=True
        )
    }


@pytest.mark.parametrize("loader", OTHERS)
def test_most_documents_take_the_fast_path_and_some_do_not(columns: Columns, loader: str) -> None:
    plain = (columns.kind_under(loader) == Kind.PLAIN).sum()
    if not PROFILES[loader].is_vectorized:
        assert plain == 0
    else:
        assert 50 < plain <= (columns.kind == Kind.PLAIN).sum()


def test_every_profile_has_its_defaults_in_one_place() -> None:
    assert set(PROFILES) == set(LOADER_DEFAULTS)
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert profile.settings == LOADER_DEFAULTS[name]


def test_thresholds_only_matter_where_a_loader_has_one(columns: Columns) -> None:
    config = LoaderConfig.of_loader("omnicorpus-llava")
    assert not config.has_threshold
    curves = sweep(match_corpus([columns], config), config, THRESHOLDS)
    assert (np.diff(curves.counts, axis=-1) == 0).all()


READING_LATE = [name for name, profile in PROFILES.items() if not profile.decodes_all]


@pytest.fixture(scope="module")
def often_broken() -> Columns:
    return synthetic.corpus(400, synthetic.Recipe(bad_pixels=0.1), seed=8)[0]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [*SETTINGS, {"min_images": 0, "min_kb": -1}], ids=str)
@pytest.mark.parametrize("loader", READING_LATE)
def test_a_broken_image_loses_its_document_once_its_score_passes(
    often_broken: Columns, loader: str, settings: dict[str, Any]
) -> None:
    columns = often_broken
    assert (columns.kind_under(loader) == Kind.PLAIN).all()
    config = LoaderConfig.from_mapping({"loader": loader, **settings})
    documents = [columns.document(row) for row in range(len(columns))]
    matched = match_corpus([columns], config)
    # The same pairs come out of the groups when only some documents are matched again.
    again = match_corpus([columns], config, previous=match_corpus([columns], config))
    grid = np.array([-1.0, 0.2, 0.25, 0.28, 0.32, 0.4])
    curves = sweep(matched, config, grid)
    np.testing.assert_array_equal(curves.counts, sweep(again, config, grid).counts)
    table = DocumentTable(matched, config)
    for step, threshold in enumerate(grid.tolist()):
        now = config.with_(threshold=threshold)
        assert_equal(curves, step, sum_of_walks(documents, now))
        found = table.at(threshold)
        for row, document in enumerate(documents):
            verdict = walk(document, now, TOKENIZER)
            assert CLASSES[found.kind[row]] == class_of(verdict)
            assert found.matched[row] == len(verdict.pairs)
            below = [pair.status is PairStatus.BELOW_THRESHOLD for pair in verdict.pairs]
            assert found.surviving[row] == len(below) - sum(below)
            assert np.isnan(found.best[row]) == np.isnan(found.nearest[row]) == (not verdict.pairs)
    lost = curves.in_class("documents", "unreadable")
    assert lost[-1] < lost[0] and lost[0] > 50


@pytest.mark.parametrize("loader", READING_LATE)
def test_a_lost_document_has_no_pairs_anywhere(often_broken: Columns, loader: str) -> None:
    config = LoaderConfig.of_loader(loader).with_(threshold=0.25)
    matched = match_corpus([often_broken], config)
    found, pairs = verdicts(matched, config), pairs_of(matched)
    walked = [
        walk(often_broken.document(row), config, TOKENIZER) for row in range(len(often_broken))
    ]
    (chunk,) = manifest.chunks(matched, config)
    assert np.diff(chunk.first).tolist() == [len(verdict.pairs) for verdict in walked]
    corpus = Corpus(matched, config, found, pairs)
    for status in ImageStatus:
        mask = containing(corpus, f"image_{status}")
        assert mask.tolist() == [status in verdict.images for verdict in walked], status
    for kind in PairStatus:
        mask = containing(corpus, f"pair_{kind}")
        expected = [kind in {pair.status for pair in verdict.pairs} for verdict in walked]
        assert mask.tolist() == expected, kind
    curves = sweep(matched, config, THRESHOLDS)
    steps, inside = steps_of_scores(matched, config), pairs.score.max() > THRESHOLDS
    at = np.searchsorted(steps.threshold, THRESHOLDS[inside])
    for name, kept in steps_of_curves(curves, config.single_image_keep).kept.items():
        np.testing.assert_allclose(steps.kept[name][at], kept[inside])
    sliced = SlicedCorpus(matched)
    whole = pair_curves(sliced, ATTRIBUTES["site"].divide(sliced, 4), config, THRESHOLDS)
    np.testing.assert_array_equal(whole.sum(axis=0), curves.total("pairs"))


@pytest.mark.slow
@pytest.mark.parametrize("loader", READING_LATE)
def test_maps_of_two_settings_lose_the_same_documents(often_broken: Columns, loader: str) -> None:
    config = LoaderConfig.of_loader(loader)
    matched = match_corpus([often_broken], config)
    for setting, values in (("max_images", [1, 2, 5, 9]), ("max_tokens", [60, 300])):
        for statistic in ("share", "text_tokens"):
            cells = setting_map(matched, config, statistic, setting, values, THRESHOLDS).cells
            for value, row in zip(values, cells, strict=True):
                curves = sweep(matched, config.with_(**{setting: value}), THRESHOLDS)
                name = "documents" if statistic == "share" else statistic
                expected = curves.expected(name, config.single_image_keep)
                n = len(often_broken) if statistic == "share" else 1
                np.testing.assert_allclose(row, expected / n)


@pytest.fixture(scope="module")
def drawn() -> Columns:
    return synthetic.corpus(100, synthetic.Recipe(sentences=12), seed=4)[0]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"max_images": 2, "min_images": 2}], ids=str)
def test_means_over_draws_are_those_of_the_walk(drawn: Columns, settings: dict[str, Any]) -> None:
    """Means agree with the exact ones to 1e-9, and numbers of documents and images exactly."""
    assert (drawn.kind_under("mm-interleaved") == Kind.PLAIN).all()
    config = LoaderConfig.from_mapping({"loader": "mm-interleaved", **settings})
    documents = [drawn.document(row) for row in range(len(drawn))]
    matched, grid = match_corpus([drawn], config), np.array([-1.0, 0.2, 0.28, 0.34])
    curves = sweep(matched, config, grid)
    table = DocumentTable(matched, config)
    for step, threshold in enumerate(grid.tolist()):
        now = config.with_(threshold=threshold)
        assert_equal(curves, step, sum_of_walks(documents, now))
        found = table.at(threshold)
        (chunk,) = manifest.chunks(match_corpus([drawn], now), now)
        for row, document in enumerate(documents):
            verdict = walk(document, now, TOKENIZER)
            assert found.text_tokens[row] == pytest.approx(verdict.text_tokens, rel=1e-9)
            assert found.length[row] == pytest.approx(verdict.shape.length, rel=1e-9)
            pairs = slice(chunk.first[row], chunk.first[row + 1])
            status = [manifest.STATUSES[code] for code in chunk.status[pairs]]
            assert status == [pair.status for pair in verdict.pairs]
    whole = ("documents", "pairs", "rejected_pairs", "over_cap", "reaching", "image_tokens")
    for name in whole:
        assert (curves.counts[QUANTITY[name]] % 1 == 0).all()


def test_yields_and_maps_under_draws_are_those_of_the_curves(drawn: Columns) -> None:
    config = LoaderConfig.of_loader("mm-interleaved")
    matched, grid = match_corpus([drawn], config), np.array([0.2, 0.25, 0.28])
    curves = sweep(matched, config, grid)
    steps = steps_of_scores(matched, config)
    at = np.searchsorted(steps.threshold, grid)
    for name, kept in steps_of_curves(curves, config.single_image_keep).kept.items():
        np.testing.assert_allclose(steps.kept[name][at], kept, rtol=1e-9)
    caps = [1, 3, 30]
    for statistic in ("text_tokens", "followed", "text_before_mean"):
        cells = setting_map(matched, config, statistic, "max_images", caps, grid).cells
        for cap, row in zip(caps, cells, strict=True):
            alone = setting_map(matched, config, statistic, "max_images", [cap], grid).cells[0]
            np.testing.assert_allclose(row, alone, rtol=1e-9)


@pytest.mark.parametrize("sentence", [[0, 0, 1, 1, 1, 3], [2, 2, 2], [0], [5, 4, 3, 2, 1, 0]])
def test_images_that_share_a_sentence_or_meet(sentence: list[int]) -> None:
    texts = ["A boat.", "The sea", "at noon.", "And", "a harbour", "(old)."]
    scores = [0.2 + 0.02 * n for n in range(len(sentence))]
    matrix = [[0.1] * len(texts) for _ in sentence]
    images = tuple(
        Image(present=True, stored_sentence=column, stored_score=score)
        for column, score in zip(sentence, scores, strict=True)
    )
    columns = columns_of([Document("k", images, texts, matrix)])
    assert columns.kind_under("mm-interleaved")[0] == Kind.PLAIN
    for cap in (1, 2, 4, 6):
        config = LoaderConfig.of_loader("mm-interleaved").with_(max_images=cap)
        curves = sweep(match_corpus([columns], config), config, np.array(scores))
        for step, threshold in enumerate(scores):
            now = config.with_(threshold=threshold)
            assert_equal(curves, step, sum_of_walks([columns.document(0)], now))
