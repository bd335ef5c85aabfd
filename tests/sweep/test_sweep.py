"""The fast path against the reference walk, on ordinary and malformed documents."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import synthetic
from mmc4viz import Document, LoaderConfig, load_tokenizer, match_corpus, parse_document, walk
from mmc4viz.data.columns import Columns, Kind, build_batch, row_of
from mmc4viz.data.scale import MAX_STEPS, scale_of
from mmc4viz.data.shards import Shard
from mmc4viz.formats.format import Sample
from mmc4viz.sweep import resolve
from mmc4viz.sweep import sweep as matched
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.statistics import (
    CLASSES,
    QUANTITY,
    Curves,
    Tally,
    class_of,
    document_funnel,
    image_funnel,
    tally,
)
from mmc4viz.sweep.sweep import Matched, sweep, sweep_each
from mmc4viz.types import ASSIGNMENT_NAMES, Image, PairStatus
from tests.support import nasty
from tests.support.documents import info
from tests.support.slowly import slow

TOKENIZER = load_tokenizer()
SETTINGS: list[dict[str, Any]] = [
    {},
    {"assignment": "argmax", "max_images": 3, "max_tokens": 64},
    {"assignment": "greedy", "min_images": 2, "max_images": 2, "min_kb": -1},
    {"assignment": "stored", "min_images": 0, "max_tokens": 30, "min_kb": 0},
    {"max_images": 1, "max_tokens": 8, "min_kb": -1},
    {"assignment": "argmax", "min_images": 2, "max_images": 100, "max_tokens": 512, "min_kb": 11},
]
THRESHOLDS = np.array([-1e300, -0.1, 0.0, 0.2, 0.24, 0.25, 0.3, 1.0, 1e9])


def columns_of(documents: list[Document]) -> Columns:
    rows = [row_of(document, Sample(document.key, b""), TOKENIZER) for document in documents]
    return Columns(Shard("test.tar"), build_batch(rows), TOKENIZER)


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    return [parse_document(key, raw) for key, raw in nasty.documents(seed=5, n=1500)]


@pytest.fixture(scope="session")
def some_columns(documents: list[Document]) -> Columns:
    """Return fewer documents, where two ways of matching are compared and not their results."""
    return columns_of(documents[:500])


@pytest.fixture(scope="session")
def columns(documents: list[Document]) -> Columns:
    return columns_of(documents)


def sum_of_walks(documents: list[Document], config: LoaderConfig) -> Tally:
    total = Tally.empty()
    for document in documents:
        total += tally(walk(document, config, TOKENIZER), config.max_tokens)
    return total


def assert_equal(curves: Curves, step: int, total: Tally) -> None:
    found = curves.counts[:, :, step]
    if found.dtype == total.counts.dtype == np.int64:
        np.testing.assert_array_equal(found, total.counts)
    else:  # means
        np.testing.assert_allclose(found, total.counts, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(curves.images[:, step], total.images)
    np.testing.assert_array_equal(curves.shapes[:, step], total.shapes)


@pytest.mark.parametrize("settings", [SETTINGS[0], *slow(*SETTINGS[1:])], ids=str)
def test_curves_are_the_sums_of_walks(
    documents: list[Document], columns: Columns, settings: dict[str, Any]
) -> None:
    config = LoaderConfig(**settings)
    curves = sweep(match_corpus([columns], config), config, THRESHOLDS)
    for step, threshold in enumerate(THRESHOLDS.tolist()):
        assert_equal(curves, step, sum_of_walks(documents, config.with_(threshold=threshold)))


def test_the_comparison_covers_both_ways_and_every_class(columns: Columns) -> None:
    assert (np.bincount(columns.kind, minlength=len(Kind)) > 50).all()
    config = LoaderConfig(max_tokens=64)
    curves = sweep(match_corpus([columns], config), config, THRESHOLDS)
    assert (curves.counts[QUANTITY["documents"]].max(axis=1) > 0).sum() >= len(CLASSES) - 1


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS[:4], ids=str)
def test_the_table_of_documents_says_what_the_walk_says(
    documents: list[Document], columns: Columns, settings: dict[str, Any]
) -> None:
    config = LoaderConfig(threshold=0.25, **settings)
    table = verdicts(match_corpus([columns], config), config)
    for row, document in enumerate(documents):
        verdict = walk(document, config, TOKENIZER)
        assert CLASSES[table.kind[row]] == class_of(verdict), document.key
        found = (table.image_tokens[row], table.text_tokens[row], table.mispaired[row])
        assert found == (verdict.image_tokens, verdict.text_tokens, verdict.mispaired)
        assert table.matched[row] == len(verdict.pairs)
        assert table.length[row] == verdict.shape.length


def test_funnels_lose_nothing_uncounted(columns: Columns) -> None:
    config = LoaderConfig()
    curves = sweep(match_corpus([columns], config), config, THRESHOLDS)
    for step in range(len(THRESHOLDS)):
        images, documents = image_funnel(curves, step, 0.5), document_funnel(curves, step, 0.5)
        reaching = curves.expected("reaching", 0.5)[step]
        assert images[-1].remaining == pytest.approx(reaching)
        assert documents[-1].remaining == pytest.approx(curves.expected("documents", 0.5)[step])
        assert sum(loss.lost for loss in images) + reaching == pytest.approx(columns.n_images.sum())
        assert all(loss.lost >= 0 for loss in images + documents)


def test_an_estimates_funnels_are_the_samples_scaled(columns: Columns) -> None:
    config = LoaderConfig()
    curves = sweep(match_corpus([columns], config), config, THRESHOLDS)
    scaled = replace(curves, counts=2.4 * curves.counts, images=2.4 * curves.images)
    for funnel in (image_funnel, document_funnel):
        for whole, estimated in zip(funnel(curves, 3, 0.5), funnel(scaled, 3, 0.5), strict=True):
            assert estimated.lost == pytest.approx(2.4 * whole.lost)
            assert estimated.remaining == pytest.approx(2.4 * whole.remaining)


# Few values, so that ties within and between documents are common.
scores = st.sampled_from([0.1, 0.2, 0.2, 0.25, 0.3])
words = st.lists(st.sampled_from(["boat", "sea.", "", " ", "a b c d", "<image>"]), max_size=3)


@st.composite
def small_documents(draw: st.DrawFn) -> Document:
    rows, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    matrix = draw(
        st.lists(st.lists(scores, min_size=width, max_size=width), min_size=rows, max_size=rows)
    )
    texts = draw(st.lists(words.map(" ".join), min_size=width, max_size=width + 1))
    return parse_document("k", json.dumps(info(matrix, texts)).encode())


@given(
    st.lists(small_documents(), min_size=1, max_size=3),
    st.sampled_from(["one_to_one", "argmax", "greedy"]),
    st.integers(1, 4),
    st.integers(1, 24),
)
def test_ties_telescope(
    corpus: list[Document], assignment: str, max_images: int, max_tokens: int
) -> None:
    config = LoaderConfig(assignment=assignment, max_images=max_images, max_tokens=max_tokens)
    grid = np.array([0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35])
    curves = sweep(match_corpus([columns_of(corpus)], config), config, grid)
    for step, threshold in enumerate(grid.tolist()):
        assert_equal(curves, step, sum_of_walks(corpus, config.with_(threshold=threshold)))


def mispaired_by_hand(sentences: list[str], columns: list[int], reaching: int) -> int:
    """Count those of the first image tokens that precede another image's sentence.

    Sentence 3 of the page's own begins with "s3".
    """
    parts = list(sentences)
    for column in columns:
        parts[column] = f"<|endofchunk|><image>{parts[column]}"
    text, wrong = " ".join(parts), 0
    for rank, token in enumerate(list(re.finditer("<image>", text))[:reaching]):
        before = re.match(r"(?:<\|endofchunk\|><image>)*s(\d)", text[token.end() :])
        got = columns[rank] if rank < len(columns) else None
        wrong += before is not None and int(before.group(1)) != got
    return wrong


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.2, 0.25, 0.3])), min_size=1,
             max_size=7),
    st.lists(st.sampled_from(["", " a boat", " a <image> boat"]), min_size=4, max_size=4),
    st.sampled_from(ASSIGNMENT_NAMES),
    st.integers(1, 7),
    st.integers(1, 40),
)  # fmt: skip
def test_mispaired_is_what_stands_before_another_images_sentence(
    matches: list[tuple[int, float]], ends: list[str], assignment: str, cap: int, limit: int
) -> None:
    sentences = [f"s{number}{end}" for number, end in enumerate(ends)]
    matrix = [[score if n == column else 0.1 for n in range(4)] for column, score in matches]
    images = tuple(
        Image(present=True, stored_sentence=column, stored_score=score) for column, score in matches
    )
    document = Document("k", images, sentences, matrix)
    config = LoaderConfig(
        threshold=0.22, assignment=assignment, max_images=cap, max_tokens=limit, min_images=0
    )
    verdict = walk(document, config, TOKENIZER)
    kept = [
        p.sentence for p in verdict.pairs if p.status in (PairStatus.KEPT, PairStatus.TRUNCATED)
    ]
    expected = mispaired_by_hand(sentences, kept, verdict.image_tokens)
    assert verdict.mispaired == sum(b.mispaired for b in verdict.binding) == expected
    columns = columns_of([document])
    assert verdicts(match_corpus([columns], config), config).mispaired.tolist() == [expected]
    if columns.kind[0] == Kind.PLAIN:
        assert walk(columns.document(0), config, TOKENIZER).mispaired == expected


@pytest.mark.slow
def test_curves_of_shards_add_up(documents: list[Document]) -> None:
    config, half = LoaderConfig(), len(documents) // 2
    parts = [columns_of(documents[:half]), columns_of(documents[half:])]
    whole = sweep(match_corpus(parts, config), config, THRESHOLDS)
    separate = [sweep(match_corpus([part], config), config, THRESHOLDS) for part in parts]
    np.testing.assert_array_equal(whole.counts, (separate[0] + separate[1]).counts)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_clusters_of_documents_are_swept_as_if_alone(
    some_columns: Columns, settings: dict[str, Any]
) -> None:
    config = LoaderConfig(**settings)
    parts = [some_columns.take(np.arange(n, 500, 3)) for n in range(3)]
    once = match_corpus(parts, config)
    cluster = np.random.default_rng(1).integers(0, 4, once.n_documents) % 3 + 1  # none in 0
    found = sweep_each(once, cluster, 4, config, THRESHOLDS)
    starts = np.cumsum([0, *map(len, parts)])
    for number, curves in enumerate(found):
        here = [
            part.take(np.flatnonzero(cluster[start : start + len(part)] == number))
            for part, start in zip(parts, starts.tolist(), strict=False)
        ]
        assert equal(curves, sweep(match_corpus(here, config), config, THRESHOLDS))
    assert equal(sum(found[1:], found[0]), sweep(once, config, THRESHOLDS))


@given(st.lists(st.floats(allow_nan=True), max_size=20))
def test_every_scale_has_a_grid_of_decimals(values: list[float]) -> None:
    grid: NDArray[np.float64] = scale_of(np.array(values)).thresholds()
    assert 1 < len(grid) <= MAX_STEPS
    assert (np.diff(grid) > 0).all()


def test_an_empty_corpus_has_curves() -> None:
    matched: Matched = match_corpus([], LoaderConfig())
    assert sweep(matched, LoaderConfig(), THRESHOLDS).total("documents").tolist() == [0] * 9
    assert len(verdicts(matched, LoaderConfig()).kind) == 0


def equal(one: Curves, other: Curves) -> bool:
    names = ("counts", "images", "shapes")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


@pytest.mark.slow
def test_one_matching_serves_every_setting_in_turn(
    documents: list[Document], columns: Columns
) -> None:
    once = match_corpus([columns], LoaderConfig())
    for cap, limit, least in ((6, 256, 1), (2, 256, 1), (3, 40, 0), (6, 12, 2), (1, 1, 1)):
        config = LoaderConfig(max_images=cap, max_tokens=limit, min_images=least, threshold=0.2)
        found = sweep(once, config, np.array([0.1, 0.2]))
        assert_equal(found, 1, sum_of_walks(documents, config))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("min_kb", [-1, 11, 60])
def test_what_still_holds_is_taken_over(
    some_columns: Columns, settings: dict[str, Any], min_kb: int
) -> None:
    columns = [some_columns]
    before, now = LoaderConfig(**settings), LoaderConfig(**settings | {"min_kb": min_kb})
    previous = match_corpus(columns, before)
    sweep(previous, before, THRESHOLDS)
    again = match_corpus(columns, now, previous=previous)
    assert equal(sweep(again, now, THRESHOLDS), sweep(match_corpus(columns, now), now, THRESHOLDS))
    other = now.with_(assignment="argmax" if now.assignment != "argmax" else "greedy")
    anew = match_corpus(columns, other, previous=previous)
    assert equal(
        sweep(anew, other, THRESHOLDS), sweep(match_corpus(columns, other), other, THRESHOLDS)
    )


@pytest.mark.slow
@pytest.mark.parametrize("settings", [*SETTINGS[1:3], *slow(SETTINGS[0], *SETTINGS[3:])], ids=str)
def test_blocks_of_any_size_give_the_same(
    documents: list[Document], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LoaderConfig(**settings)
    parts = [columns_of(documents[start : start + 100]) for start in range(0, 600, 100)]
    whole = match_corpus(parts, config)
    expected, table = sweep(whole, config, THRESHOLDS), verdicts(whole, config)
    monkeypatch.setattr(matched, "_BLOCK", 250)
    monkeypatch.setattr(resolve, "STATES", 7)
    monkeypatch.setattr(resolve, "_WIDTH", 3)
    cut_up = match_corpus(parts, config)
    assert len({id(part.block) for part in cut_up.parts}) == 2
    assert equal(sweep(cut_up, config, THRESHOLDS), expected)
    some = [4, 0, 2, 3]
    chosen = [sweep(Matched([cut_up.parts[i]], config), config, THRESHOLDS) for i in some]
    together = sweep(Matched([cut_up.parts[i] for i in some], config), config, THRESHOLDS)
    assert equal(sum(chosen[1:], chosen[0]), together)
    for name in vars(table):
        np.testing.assert_array_equal(getattr(verdicts(cut_up, config), name), vars(table)[name])
    assert sorted(cut_up.scores()) == sorted(whole.scores())


@pytest.mark.slow
def test_progress_counts_every_document_and_may_abandon(columns: Columns) -> None:
    config, done = LoaderConfig(), list[int]()
    once = match_corpus([columns, columns], config, done.append)
    assert sum(done) == once.n_documents
    done.clear()
    sweep(once, config, THRESHOLDS, done.append)
    assert sum(done) == once.n_documents

    class AbandonedError(Exception):
        pass

    def abandon(_: int) -> None:
        raise AbandonedError

    for run in (
        lambda: match_corpus([columns], config, abandon),
        lambda: sweep(once, config, THRESHOLDS, abandon),
    ):
        with pytest.raises(AbandonedError):
            run()
    assert equal(
        sweep(once, config, THRESHOLDS),
        sweep(match_corpus([columns, columns], config), config, THRESHOLDS),
    )


@pytest.mark.parametrize("assignment", ["one_to_one", "argmax", "stored", "greedy"])
@pytest.mark.parametrize("scale", [1, 3000])
def test_ordinary_documents_in_numbers(assignment: str, scale: int) -> None:
    """Documents with many pairs, at ordinary lengths and at lengths beyond 16 bits."""
    (columns,) = synthetic.corpus(250, synthetic.Recipe(bad_pixels=0.01, lengthened=scale), seed=3)
    assert {group.before.dtype.itemsize for part in match_corpus([columns], LoaderConfig()).parts
            for group in part.groups()} >= {2 if scale == 1 else 4}  # fmt: skip
    documents = [columns.document(row) for row in range(len(columns))]
    for cap, limit in ((6, 256), (3, 80), (20, 400 * scale), (2, 2**31 - 1), (1000, 60 * scale)):
        config = LoaderConfig(
            assignment=assignment, max_images=cap, max_tokens=limit, threshold=0.23
        )
        found = sweep(match_corpus([columns], config), config, np.array([0.23]))
        assert_equal(found, 0, sum_of_walks(documents, config))


@pytest.mark.parametrize("assignment", ["one_to_one", "argmax"])
@pytest.mark.parametrize("cap", [6, 126, 127, 128, 1000])
def test_a_page_of_very_many_images(assignment: str, cap: int) -> None:
    rng = np.random.default_rng(cap)
    matrix = rng.integers(0, 40, (150, 170)) / 64
    page = parse_document("k", json.dumps(info(matrix.tolist())).encode())
    config = LoaderConfig(assignment=assignment, max_images=cap, max_tokens=1000)
    grid = np.array([0.0, 0.2, 0.4, 0.5, 0.6, 0.609375])
    curves = sweep(match_corpus([columns_of([page])], config), config, grid)
    for step, threshold in enumerate(grid.tolist()):
        assert_equal(curves, step, sum_of_walks([page], config.with_(threshold=threshold)))
