"""The fast path against the reference walk, under every loader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmc4viz import Document, LoaderConfig, match_corpus, parse_document
from mmc4viz.data.columns import Columns, Kind
from mmc4viz.loader.profile import PROFILES
from mmc4viz.loader.walk import matched_pairs, walk
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.sweep.statistics import CLASSES, class_of
from mmc4viz.sweep.sweep import sweep
from mmc4viz.types import DEFAULT_LOADER, LOADER_DEFAULTS, DocumentError
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
    return [parse_document(key, raw) for key, raw in nasty.documents(seed=6, n=900)]


@pytest.fixture(scope="module")
def columns(documents: list[Document]) -> Columns:
    return columns_of(documents)


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
