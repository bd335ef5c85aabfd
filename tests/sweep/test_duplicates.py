"""Duplicates against a slow count in plain Python, near ones against all pairs of hashes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz import Columns, LoaderConfig, load_tokenizer, match_corpus, read_columns, walk
from mmc4viz.data.columns import build_batch, core_schema
from mmc4viz.data.shards import Shard
from mmc4viz.export.tables import duplicate_findings
from mmc4viz.loader.describe import Description
from mmc4viz.loader.parse import parse_document
from mmc4viz.sweep import duplicates
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.duplicates import NEAR, Duplicates, near_groups
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.sweep.query import Corpus, Query, chosen
from mmc4viz.types import Document
from tests.data.test_describe import picture, saved
from tests.support.corpora import SETTINGS, odd
from tests.support.documents import entry, info, write_tar

GPT2 = load_tokenizer()
CONFIG = LoaderConfig(threshold=0.24, min_kb=-1, single_image_keep=0.5)


def again(keys: Sequence[Hashable | None], owner: Sequence[int]) -> tuple[int, int, set[int]]:
    """Count groups and repeats of keys other than None, and the documents that have one."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for key, document in zip(keys, owner, strict=True):
        if key is not None:
            places[key].append(document)
    several = [found for found in places.values() if len(found) > 1]
    return len(several), sum(map(len, several)) - len(several), {d for f in several for d in f}


def counted(seen: duplicates.Repeated | None) -> tuple[int, int, set[int]]:
    assert seen is not None
    return seen.groups, seen.repeats, set(np.flatnonzero(seen.documents).tolist())


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=str)
def test_duplicates_are_those_of_a_slow_count(settings: dict[str, Any]) -> None:
    case = odd(settings)
    seen = duplicates.find([part.columns for part in case.corpus.matched.parts])
    documents = case.documents
    images = [image for document in documents for image in document.images]
    owner = [n for n, document in enumerate(documents) for _ in document.images]
    pages = again([d.url or None for d in documents], range(len(documents)))
    assert counted(seen.pages) == pages and pages[1] > 10
    assert counted(seen.urls) == again([image.url or None for image in images], owner)
    assert counted(seen.bytes) == again([image.digest for image in images], owner)
    assert seen.near is None and seen.unrecorded == 0
    first = set[str]()
    for document, once in zip(documents, seen.first_page.tolist(), strict=True):
        assert once == (not document.url or document.url not in first)
        first.add(document.url)


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=str)
def test_yields_are_sums_over_the_walks(settings: dict[str, Any]) -> None:
    case = odd(settings)
    corpus = case.corpus
    seen = duplicates.find([part.columns for part in corpus.matched.parts])
    found = duplicates.yields(seen, corpus.found, corpus.pairs, corpus.config)
    odds = np.array([verdict.keep_probability for verdict in case.walks])
    tokens = np.array([verdict.image_tokens for verdict in case.walks])
    once = np.where(seen.first_page, odds, 0)
    assert found.documents == pytest.approx(odds.sum())
    assert found.documents_once == pytest.approx(once.sum()) != found.documents
    assert (found.tokens, found.tokens_once) == pytest.approx((odds @ tokens, once @ tokens))
    pairs, starts = corpus.pairs, seen.starts
    reaching = pairs.score >= corpus.config.threshold
    images = starts[pairs.document[reaching]] + pairs.image[reaching]
    assert found.pairs == int(reaching.sum())
    assert found.images == len(set(seen.identity[images].tolist())) < found.pairs


def page(url: str, matrix: Any, images: Any = None, **more: Any) -> dict[str, Any]:
    return info(matrix, images=images, url=url, **more)


def stored(data: bytes | None, url: str, sentence: int, score: float) -> dict[str, Any]:
    return entry(data, raw_url=url, matched_text_index=sentence, matched_sim=score)


PHOTO = picture(0)
WHOLE, COPY, OTHER = saved(PHOTO, quality=95), saved(PHOTO, quality=60), saved(picture(9))
DOCUMENTS = [
    ("a", page("http://x/1", [[0.3, 0.1]], [stored(WHOLE, "u1", 0, 0.3)])),
    ("b", page("http://x/2", [[0.3, 0.1]], [stored(WHOLE, "u2", 0, 0.9)])),
    ("c", page("http://x/1", [[0.4, 0.1]], [stored(WHOLE, "u3", 0, 0.4)])),
    ("d", page("http://x/1", [[0.3, 0.1]], [stored(WHOLE, "u1", 1, 0.1)])),
    ("e", page("", [[0.1]], [stored(COPY, "u4", 0, 0.1)])),
    ("f", page("", [[0.5]], [stored(OTHER, "u5", 0, 0.5)])),
    ("g", page("http://x/3", [[0.2], [0.2]], [stored(None, "u6", 0, 0.2)] * 2)),
]


@pytest.fixture
def columns(tmp_path: Path) -> list[Columns]:
    """Three shards, so that duplicates lie in different ones."""
    found = []
    for n in range(3):
        path = write_tar(tmp_path / f"{n}.tar", DOCUMENTS[3 * n : 3 * n + 3])
        found.append(read_columns(Shard(str(path)), GPT2, describe=frozenset(Description)))
    return found


def test_a_worked_example(columns: list[Columns]) -> None:
    seen = duplicates.find(columns)
    assert counted(seen.pages) == (1, 2, {0, 2, 3}) and seen.pages.examples == ((0, 2),)
    assert counted(seen.urls) == (2, 2, {0, 3, 6})
    assert seen.urls.examples == ((0, 3), (6, 6))  # of different documents first
    assert counted(seen.bytes) == (1, 3, {0, 1, 2, 3})
    assert counted(seen.near) == (1, 1, {0, 4})  # other bytes, the same picture
    assert seen.identity.tolist() == [0, 0, 0, 0, 4, 5, 6, 6]
    # c has another matrix than a; d has the same. Of stored scores, only a and c have the same
    # image, sentence and page.
    assert (seen.matrices.compared, seen.matrices.examples) == (2, ((0, 2),))
    assert (seen.stored.compared, seen.stored.examples) == (1, ((0, 2),))
    matched = match_corpus(columns, CONFIG)
    found, pairs = verdicts(matched, CONFIG), pairs_of(matched)
    once = duplicates.yields(seen, found, pairs, CONFIG)
    assert (once.documents, once.documents_once) == (2.5, 1.5)  # a b c d f, with one image each
    assert (once.pairs, once.images) == (5, 2)
    corpus = Corpus(matched, CONFIG, found, pairs)
    for name, expected in {
        "same_url": [0, 2, 3],
        "same_image": [0, 1, 2, 3, 6],
        "near_image": [0, 4],
        "duplicate_differs": [0, 2],
    }.items():
        assert chosen(corpus, Query(contains=name)).tolist() == expected
    lines = {one.line[1]: one.line[0] for one in duplicate_findings(seen, once)}
    assert lines["documents with the URL of an earlier document"] == "2"
    assert lines["kept documents if each URL counts once"] == "1.5"


def older(part: Columns) -> Columns:
    layout = core_schema(part.batch.schema.field("similarity").type.value_type)
    return Columns(part.shard, part.batch.select(layout.names).cast(layout), GPT2)


def test_what_is_not_recorded_is_said(columns: list[Columns]) -> None:
    old = [older(part) for part in columns]
    seen = duplicates.find(old)
    assert seen.bytes is None and seen.near is None and seen.unrecorded == 8
    assert seen.identity.tolist() == [0, 1, 2, 0, 4, 5, 6, 6]  # by URL
    mixed = duplicates.find([columns[0], *old[1:]])
    assert mixed.unrecorded == 5 and counted(mixed.bytes) == (1, 2, {0, 1, 2})
    assert counted(mixed.near) == (0, 0, set())
    once = duplicates.YieldOnce(0, 0, 0, 0, 0, 0)
    said = [" ".join(one.line) for one in duplicate_findings(seen, once)]
    assert sum("Not recorded" in line for line in said) == 2
    assert any(
        "Not recorded for 5 images" in " ".join(o.line) for o in duplicate_findings(mixed, once)
    )


def test_nothing_has_no_duplicates() -> None:
    for parts in ([], [Columns(Shard("s"), build_batch([]), GPT2)]):
        seen = duplicates.find(parts)
        assert counted(seen.pages) == counted(seen.urls) == (0, 0, set())
        assert isinstance(seen, Duplicates) and seen.stored.compared == seen.matrices.compared == 0


def test_a_sample_of_documents_is_counted(columns: list[Columns]) -> None:
    taken = [part.take(np.arange(len(part))[::2]) for part in columns]
    assert counted(duplicates.find(taken).pages) == (1, 2, {0, 1, 2})  # a, c, d of a, c, d, f, g


def test_matrices_differ_beyond_rounding_only(tmp_path: Path) -> None:
    nan = float("nan")
    matrices = [[[0.25, nan]], [[0.25 + 5e-7, nan]], [[0.25, 0.1]], [[0.25]], [[0.25, nan, 1]]]
    documents = [(str(n), page("u", matrix)) for n, matrix in enumerate(matrices)]
    path = write_tar(tmp_path / "s.tar", documents)
    seen = duplicates.find([read_columns(Shard(str(path)), GPT2)]).matrices
    assert (seen.compared, seen.differing, seen.examples) == (2, 1, ((0, 2),))


def slow_groups(hashes: list[int]) -> list[int]:
    group = list(range(len(hashes)))
    for i, one in enumerate(hashes):
        for j in range(i):
            if (one ^ hashes[j]).bit_count() <= NEAR:
                old, new = max(group[i], group[j]), min(group[i], group[j])
                group = [new if g == old else g for g in group]
    return group


@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 63), max_size=6)), max_size=40)
)
def test_near_groups_are_those_of_all_pairs(made: list[tuple[int, list[int]]]) -> None:
    base = [0x0123456789ABCDEF, 0xFEDCBA9876543210, 0xF0F0F0F00F0F0F0F, 0x123]
    hashes = sorted({base[k] ^ sum(1 << b for b in set(bits)) for k, bits in made})
    group, crowded = near_groups(np.array(hashes, np.uint64))
    assert group.tolist() == slow_groups(hashes) and crowded == 0


@pytest.mark.slow
def test_too_many_similar_hashes_are_counted_not_compared_for_ever() -> None:
    crowd = (np.arange(50_000, dtype=np.uint64) << np.uint64(44)) | np.uint64(1)
    _, crowded = near_groups(crowd)
    assert crowded > 40_000


def test_documents_read_by_the_walk_are_the_same(columns: list[Columns]) -> None:
    """The example's yields are those of the documents themselves."""
    found: list[Document] = [parse_document(k, json.dumps(d).encode()) for k, d in DOCUMENTS]
    kept = [walk(document, CONFIG, GPT2).keep_probability for document in found]
    assert sum(kept) == 2.5


def test_pairs_of_duplicates_are_clustered(columns: list[Columns]) -> None:
    document, image = np.array([6, 0, 1, 2, 3, 4, 5, 6]), np.array([1, 0, 0, 0, 0, 0, 0, 0])
    sentence = np.zeros(8, np.int64)
    by_pair = duplicates.clusters(columns, document, image, sentence)
    # g's two images have one URL; a, b, c and d have the same bytes; e has another copy.
    assert by_pair.tolist() == [3, 0, 0, 0, 0, 1, 2, 3]
    assert duplicates.clusters(columns, document, image).tolist() == by_pair.tolist()
    old = [older(part) for part in columns]
    # Without digests, b is on its own, and c is of the same page as a and d.
    assert duplicates.clusters(old, document, image, sentence).tolist() == [4, 0, 1, 0, 0, 2, 3, 4]
    nothing = np.zeros(0, np.int64)
    assert duplicates.clusters(columns, nothing, nothing, nothing).tolist() == []


def test_other_sentences_of_a_page_are_other_pairs(tmp_path: Path) -> None:
    images = [entry(raw_url=""), entry(raw_url="")]
    documents = [(str(n), page("http://x/1", [[0.3, 0.1], [0.1, 0.3]], images)) for n in range(2)]
    columns = [read_columns(Shard(str(write_tar(tmp_path / "s.tar", documents))), GPT2)]
    document, number = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert duplicates.clusters(columns, document, number, number).tolist() == [0, 1, 0, 1]
    assert duplicates.clusters(columns, document, number).tolist() == [0, 0, 0, 0]
