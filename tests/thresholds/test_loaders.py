"""One corpus under every loader: the numbers are those of the walks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmc4viz import Document, LoaderConfig, parse_document, walk
from mmc4viz.data.columns import Columns
from mmc4viz.loader.profile import PROFILES
from mmc4viz.thresholds.compare.loaders import (
    LoaderComparison,
    LoaderYield,
    compare_loaders,
    kept_and_lost,
    table_of,
)
from mmc4viz.types import ConfigError, Verdict
from tests.support import nasty
from tests.sweep.test_sweep import TOKENIZER, columns_of

CONFIG = LoaderConfig(threshold=0.25, max_images=4)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [parse_document(key, raw) for key, raw in nasty.documents(seed=8, n=300)]


@pytest.fixture(scope="module")
def found(documents: list[Document]) -> LoaderComparison:
    columns: Columns = columns_of(documents)
    return compare_loaders([columns], CONFIG)


def walked(documents: list[Document], config: LoaderConfig) -> list[Verdict]:
    return [walk(document, config, TOKENIZER) for document in documents]


def expected(verdicts: list[Verdict]) -> dict[str, Any]:
    odds = np.array([verdict.keep_probability for verdict in verdicts])
    images = np.array([verdict.image_tokens for verdict in verdicts])
    single = np.array([verdict.image_tokens == 1 and bool(verdict.pairs) for verdict in verdicts])
    return {
        "documents": odds.sum(),
        "image_tokens": odds @ images,
        "text_tokens": odds @ np.array([verdict.text_tokens for verdict in verdicts]),
        "single_image": odds @ single / odds.sum(),
        "mispaired": odds @ np.array([v.mispaired for v in verdicts]) / (odds @ images),
    }


def assert_equal(one: LoaderYield, verdicts: list[Verdict]) -> None:
    for name, value in expected(verdicts).items():
        assert getattr(one, name) == pytest.approx(value, rel=1e-12), name


@pytest.mark.slow
def test_every_loader_is_there_and_the_one_at_hand_first(found: LoaderComparison) -> None:
    names = [one.config.loader for one in found.loaders]
    assert names[0] == CONFIG.loader
    assert set(names) == set(PROFILES)
    assert found.loaders[0].config == CONFIG
    assert len(table_of(found)[0]) == len(table_of(found)[1])


@pytest.mark.slow
def test_the_numbers_are_those_of_the_walks(
    documents: list[Document], found: LoaderComparison
) -> None:
    for one in found.loaders:
        assert_equal(one.present, walked(documents, one.config))
        own = LoaderConfig.of_loader(one.config.loader).threshold
        assert_equal(one.default, walked(documents, one.config.with_(threshold=own)))


@pytest.mark.slow
def test_documents_that_one_keeps_and_another_loses(
    documents: list[Document], found: LoaderComparison
) -> None:
    odds = [
        np.array([verdict.keep_probability for verdict in walked(documents, one.config)])
        for one in found.loaders
    ]
    table = kept_and_lost(found)[1:]
    for i, kept in enumerate(odds):
        np.testing.assert_array_equal(found.loaders[i].probability, kept)
        for j, lost in enumerate(odds):
            documents_of = np.flatnonzero((kept > 0) & (lost == 0))
            there = found.lost(by=found.loaders[j], kept_by=found.loaders[i])
            np.testing.assert_array_equal(there, documents_of)
            assert table[i][j + 1] == f"{len(documents_of):,}"
    assert any(cell != "0" for row in table for cell in row[1:])
    differ = np.flatnonzero(found.differing())
    np.testing.assert_array_equal(differ, np.flatnonzero(np.ptp(odds, axis=0) > 0))


@pytest.mark.slow
def test_the_equal_threshold_keeps_as_much_as_it_says(
    documents: list[Document], found: LoaderComparison
) -> None:
    wanted = found.loaders[0].present.documents
    for one in found.loaders:
        assert (one.equal is None) == (not one.config.has_threshold)
        if one.equal is None:
            continue
        threshold, kept = one.equal
        verdicts = walked(documents, one.config.with_(threshold=threshold))
        assert sum(verdict.keep_probability for verdict in verdicts) == pytest.approx(kept)
        assert abs(kept - wanted) <= abs(one.present.documents - wanted) + 1e-9


def test_a_loader_that_is_not_known_is_refused(documents: list[Document]) -> None:
    with pytest.raises(ConfigError, match="loader 'nobody' is not known"):
        compare_loaders([columns_of(documents[:5])], CONFIG, ["nobody"])
