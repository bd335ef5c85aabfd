"""Other loaders' recorded verdicts: the reference walk under each profile gives the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmc4viz import load_tokenizer
from tests.upstream import loaders
from tests.upstream.recorded import CORPORA


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("name", loaders.ORIGINALS)
def test_the_walk_does_what_the_original_did(name: str, corpus: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer("gpt2")
    documents = list(loaders.documents_of(CORPORA[corpus].shard(tmp_path)))
    runs = loaders.recorded(name)[corpus]
    for settings, records in zip(loaders.ORIGINALS[name].settings, runs, strict=True):
        config = loaders.config_of(name, settings)
        wrong = [
            f"{document.key}: {found}"
            for document, record in loaders.paired(documents, records)
            for found in loaders.differences(record, document, config, tokenizer)
        ]
        assert not wrong, f"{len(wrong)} differ under {settings}: {wrong[:5]}"


def test_loaders_differ(tmp_path: Path) -> None:
    """The recorded verdicts are not the same for all, so the profiles are needed."""
    kept = {
        name: [one["key"] for one in loaders.recorded(name)["real"][0] if one["outcome"] == "kept"]
        for name in loaders.ORIGINALS
    }
    assert len({tuple(keys) for keys in kept.values()}) == len(kept)
