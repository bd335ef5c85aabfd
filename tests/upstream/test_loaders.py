"""Other loaders' recorded verdicts: the reference walk under each profile gives the same."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from mmc4viz.loader.profile import PROFILES
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.types import Document
from tests.upstream import loaders
from tests.upstream.loaders import ORIGINALS

RECORDED = [(name, corpus) for name in ORIGINALS for corpus in loaders.recorded(name)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpora")


@cache
def documents(corpus: str, folder: Path) -> list[Document]:
    return list(loaders.documents_of(loaders.SHARDS[corpus](folder)))


@pytest.mark.parametrize(("name", "corpus"), RECORDED)
def test_the_walk_does_what_the_original_did(name: str, corpus: str, folder: Path) -> None:
    profile = PROFILES[name]
    tokenizer = profile.tokenizer(load_tokenizer("gpt2"))
    runs = loaders.recorded(name)[corpus]
    for settings, records in zip(ORIGINALS[name].settings, runs, strict=True):
        config = loaders.config_of(profile, settings)
        wrong = [
            f"{document.key}: {found}"
            for document, record in loaders.paired(documents(corpus, folder), records)
            for found in loaders.differences(record, document, config, tokenizer, profile)
        ]
        assert not wrong, f"{len(wrong)} differ under {settings}: {wrong[:5]}"


def test_every_loader_is_recorded() -> None:
    assert {name for name, _ in RECORDED} == PROFILES.keys() - {"openflamingo"}
    assert all({"real", "generated"} <= loaders.recorded(name).keys() for name in ORIGINALS)


def test_loaders_differ() -> None:
    """The recorded verdicts are not the same for all, so the profiles are needed."""
    kept = {
        name: [
            (one["key"], one["images"], one["sentences"])
            for one in loaders.recorded(name)["real"][0]
            if one["outcome"] == "kept"
        ]
        for name in ORIGINALS
    }
    assert len({str(found) for found in kept.values()}) == len(kept)
