"""Slices add up to the whole, and each is what the corpus filtered by hand gives."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from mmc4viz.slices import comparison
from mmc4viz.slices.attributes import ATTRIBUTES, SlicedCorpus
from mmc4viz.slices.comparison import compare, document_curves, ordered, pair_curves
from mmc4viz.slices.division import NO_VALUE, OTHER, Division, Values, divide
from mmc4viz.slices.site import site_of_authority
from mmc4viz.sweep import statistics
from mmc4viz.sweep.distribution import by_outcome
from mmc4viz.sweep.pairs import document_starts
from mmc4viz.sweep.statistics import Curves
from mmc4viz.sweep.sweep import match_corpus, sweep
from mmc4viz.types import LoaderConfig, Outcome, PairStatus
from tests.support.corpora import SETTINGS, Odd, odd

GRID = np.array([-1e300, 0.0, 0.1, 0.2, 0.24, 0.25, 0.3, 1.0])
OF_DOCUMENTS = ("site", "images", "sentences")
OF_IMAGES = ("area", "aspect", "format", "bytes", "position", "sentence-length")


def sliced(settings: dict[str, Any]) -> tuple[Odd, SlicedCorpus, LoaderConfig]:
    found = odd(settings)
    return found, SlicedCorpus(found.corpus.matched, found.corpus.pairs), found.corpus.config


def at_random(corpus: SlicedCorpus, unit: str, n: int = 4) -> Division:
    size = corpus.matched.n_documents if unit == "document" else len(corpus.pairs)
    code = np.random.default_rng(7).integers(-1, n, size).astype(np.int32)
    return divide("random", "Random", unit, Values(code, [f"s{i}" for i in range(n)]))  # type: ignore[arg-type]


def equal(one: Curves, other: Curves) -> bool:
    names = ("counts", "images", "shapes")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_slices_of_documents_are_the_corpus_filtered_by_hand(settings: dict[str, Any]) -> None:
    _, corpus, config = sliced(settings)
    starts = document_starts(corpus.matched).tolist()
    divisions = [at_random(corpus, "document")]
    divisions += [ATTRIBUTES[name].divide(corpus, 3) for name in OF_DOCUMENTS[:2]]
    for division in divisions:
        found = document_curves(corpus.matched, division, config, GRID)
        for number, curves in enumerate(found):
            rows = np.flatnonzero(division.code == number)
            parts = [
                columns.take(rows[(rows >= a) & (rows < b)] - a)
                for columns, a, b in zip(corpus.columns, starts, starts[1:], strict=False)
            ]
            assert equal(curves, sweep(match_corpus(parts, config), config, GRID))
        assert equal(sum(found[1:], found[0]), sweep(corpus.matched, config, GRID))


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=str)
def test_many_slices_are_swept_in_several_times(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, corpus, config = sliced(settings)
    division = at_random(corpus, "document", 7)
    once = document_curves(corpus.matched, division, config, GRID)
    monkeypatch.setattr(statistics, "_MOST_BINS", 3 * (len(GRID) + 1))
    again = document_curves(corpus.matched, division, config, GRID)
    assert len(again) == 8 and all(map(equal, once, again))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_what_is_kept_of_each_slice_is_what_the_walks_say(settings: dict[str, Any]) -> None:
    found, corpus, config = sliced(settings)
    pairs = corpus.pairs
    for name in ("sentences", "position", "aspect"):
        division = ATTRIBUTES[name].divide(corpus)
        kept, size = defaultdict[str, float](float), defaultdict[str, int](int)
        singly = defaultdict[str, float](float)
        if division.unit == "document":
            for code, verdict in zip(division.code.tolist(), found.walks, strict=True):
                kept[division.names[code]] += verdict.keep_probability
                size[division.names[code]] += 1
                if verdict.outcome is Outcome.KEPT:
                    singly[division.names[code]] += 1 - verdict.keep_probability
        else:
            for code, document, image in zip(
                division.code.tolist(), pairs.document.tolist(), pairs.image.tolist(), strict=True
            ):
                verdict = found.walks[document]
                status = {pair.image: pair.status for pair in verdict.pairs}.get(image)
                size[division.names[code]] += 1
                if status is PairStatus.KEPT and verdict.outcome is Outcome.KEPT:
                    kept[division.names[code]] += verdict.keep_probability
                    singly[division.names[code]] += 1 - verdict.keep_probability
        seen = compare(corpus, division, config, GRID)
        assert {one.name: one.size for one in seen.slices} == dict(size)
        for one in seen.slices:
            assert one.kept == pytest.approx(kept[one.name])
            assert one.single_image_drop == pytest.approx(singly[one.name])
        assert (sum(singly.values()) > 0) == (config.min_images < 2)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_nothing_of_a_slice_is_lost_uncounted(settings: dict[str, Any]) -> None:
    found, corpus, config = sliced(settings)
    whole = sweep(corpus.matched, config, np.array([config.threshold]))
    by_score = by_outcome(
        corpus.matched, config, corpus.pairs, found.corpus.found, np.array([-1.0, 1.0])
    )
    for name in (*OF_DOCUMENTS, *OF_IMAGES):
        division = ATTRIBUTES[name].divide(corpus, 4)
        seen = compare(corpus, division, config, GRID)
        assert division.sizes.min() > 0 and len(set(division.names)) == len(division)
        for one in seen.slices:
            assert one.kept + sum(one.lost.values()) == pytest.approx(one.size)
        assert sum(one.cost for one in seen.slices) == pytest.approx(0, abs=1e-6)
        assert sum(one.above for one in seen.slices) == whole.total("pairs")[0]
        if division.unit == "document":
            assert seen.size == corpus.matched.n_documents
            assert seen.kept == pytest.approx(whole.expected("documents", 0.5)[0])
        else:
            assert seen.size == len(corpus.pairs)
            assert seen.kept == pytest.approx(by_score.of("kept").sum())


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_curves_of_pairs_add_up_where_texts_become_unreadable(settings: dict[str, Any]) -> None:
    _, corpus, config = sliced(settings)
    for division in (at_random(corpus, "image"), at_random(corpus, "document")):
        found = pair_curves(corpus, division, config, GRID)
        np.testing.assert_array_equal(
            found.sum(axis=0), sweep(corpus.matched, config, GRID).total("pairs")
        )


def test_curves_of_pairs_are_those_of_the_documents() -> None:
    _, corpus, config = sliced(SETTINGS[0])
    division = at_random(corpus, "document")
    curves = document_curves(corpus.matched, division, config, GRID)
    np.testing.assert_array_equal(
        pair_curves(corpus, division, config, GRID), [one.total("pairs") for one in curves]
    )


def test_quantiles_of_scores_are_rounded_down_to_the_grid() -> None:
    _, corpus, config = sliced(SETTINGS[0])
    division = at_random(corpus, "image", 2)
    grid = np.round(np.arange(-1.0, 1.001, 0.01), 2)
    for number, one in enumerate(compare(corpus, division, config, grid).slices):
        scores = np.sort(corpus.pairs.score[division.code == number])
        exact = [scores[len(scores) - max(1, int(np.ceil((1 - q) * len(scores))))] for q in
                 comparison.QUANTILES]  # fmt: skip
        clipped = np.clip(exact, grid[0], grid[-1])
        np.testing.assert_array_equal(
            one.quantiles, grid[np.searchsorted(grid, clipped, side="right") - 1]
        )


def test_sentence_lengths_of_both_kinds_of_documents_are_counted() -> None:
    found, corpus, _ = sliced(SETTINGS[0])
    division = ATTRIBUTES["sentence-length"].divide(corpus)
    assert set(division.names) >= {"under 5", "5–9", "10–19"}
    unknown = division.code == division.names.index(NO_VALUE) if NO_VALUE in division.names else []
    for at in np.flatnonzero(unknown).tolist():
        sentences = found.documents[int(corpus.pairs.document[at])].sentences
        if isinstance(sentences, list) and corpus.pairs.sentence[at] < len(sentences):
            text = sentences[int(corpus.pairs.sentence[at])]
            assert not isinstance(text, str) or text != text.encode(errors="ignore").decode()


def test_documents_of_a_slice() -> None:
    _, corpus, _ = sliced(SETTINGS[0])
    pairs = corpus.pairs
    position = ATTRIBUTES["position"].divide(corpus)
    images = ATTRIBUTES["images"].divide(corpus)
    at = pairs.document[(pairs.image == 1) | (pairs.image == 2)]
    assert position.documents_in("2–3", pairs).tolist() == sorted(set(at.tolist()))
    every = np.concatenate([images.documents_in(name, pairs) for name in images.names])
    assert sorted(every.tolist()) == list(range(corpus.matched.n_documents))


def test_too_many_values_become_other() -> None:
    code = np.array([0, 0, 1, 1, 2, 3, 4, -1], np.int32)
    values = Values(code, ["b", "a", "other", "d", "address"], apart=1)
    found = divide("x", "X", "document", values, most=2)
    assert found.names == ("a", "b", OTHER, "address", NO_VALUE)
    assert found.sizes.tolist() == [2, 2, 2, 1, 1]
    assert "4 values" in found.notes[0] and "largest 2" in found.notes[0]
    assert divide("x", "X", "document", values, most=9).names[2] == "d"
    assert '"other"' in divide("x", "X", "document", values, most=9).names


def test_every_attribute_says_what_its_slices_are_of() -> None:
    assert all(one.phrase.count("{}") == 1 for one in ATTRIBUTES.values())


def test_slices_are_sorted() -> None:
    _, corpus, config = sliced(SETTINGS[0])
    found = compare(corpus, ATTRIBUTES["images"].divide(corpus), config, GRID).slices
    costs = [one.cost for one in ordered(found, "cost")]
    assert costs == sorted(costs, reverse=True)
    shares = [one.share for one in ordered(found, "share")]
    assert shares == sorted(shares)
    assert [one.name for one in ordered(found, "order")] == [one.name for one in found]


@pytest.mark.parametrize(
    ("authority", "site"),
    [
        ("www.example.co.uk", "example.co.uk"),
        ("WWW.Example.COM.", "example.com"),
        ("user:pass@news.bbc.co.uk:8080", "bbc.co.uk"),
        ("someone.github.io", "someone.github.io"),
        ("github.io", "github.io"),
        ("localhost", "localhost"),
        ("127.0.0.1", "address"),
        ("2130706433", "address"),
        ("0x7f.1", "address"),
        ("[2001:db8::1]:443", "address"),
        ("[nonsense]", "not a URL"),
        ("", "not a URL"),
        ("a..b.com", "not a URL"),
        ("-a.com", "not a URL"),
        ("a b.com", "not a URL"),
        ("<script>.com", "not a URL"),
        ("=cmd.com", "not a URL"),
        (f"{'a' * 64}.com", "not a URL"),
        ("www.пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("аpple.com", "xn--pple-43d.com"),  # the first letter is Cyrillic
        ("\u202egro.elpmaxe", "not a URL"),
        (f"{'ü' * 70}.de", "not a URL"),
    ],
)
def test_the_site_of_a_page(authority: str, site: str) -> None:
    assert site_of_authority(authority) == site


def test_labels_are_counted_by_slice() -> None:
    from mmc4viz.slices.comparison import ENOUGH_LABELS
    from mmc4viz.thresholds.labels.intervals import interval
    from mmc4viz.thresholds.labels.precision import Labelled, LabelledSample

    _, corpus, config = sliced(SETTINGS[4])
    pairs, rng = corpus.pairs, np.random.default_rng(3)
    ranks = np.sort(rng.choice(len(pairs), 120, replace=False))
    correct = rng.random(120) < 0.8
    sample = LabelledSample(pairs.score, np.array([0.25]), pairs.score[ranks], correct)
    labelled = Labelled(None, sample, ranks, ranks[:0], 120, 0, 0, 0, (), 0)  # type: ignore[arg-type]
    division = at_random(corpus, "image", 3)
    found = compare(corpus, division, config, GRID, labelled)
    over = pairs.score >= config.threshold
    for number, one in enumerate(found.slices):
        mine = (division.code == number) & over
        of_slice = mine[ranks]
        assert one.precision is not None and one.precision.labels == of_slice.sum()
        if of_slice.sum() < ENOUGH_LABELS:
            assert one.precision.estimate is None
            continue
        counts = (mine.sum(), of_slice.sum(), correct[of_slice].sum())
        expected = interval(*(np.array([[0, n]]) for n in counts))
        assert one.precision.estimate == pytest.approx(expected.estimate[0])
        assert one.precision.low == pytest.approx(expected.low[0])
    total = sum(one.precision.labels for one in found.slices if one.precision)
    assert total == over[ranks].sum()
