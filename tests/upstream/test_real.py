"""Real documents of MMC4: what the original loader did to them, and that all ways agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmc4viz import LoaderConfig, Shard, Verdict, load_tokenizer, match_corpus, read_columns
from mmc4viz.cli import main
from mmc4viz.data.columns import Columns
from mmc4viz.loader.walk import walk
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.statistics import CLASSES, Tally, class_of, tally
from mmc4viz.sweep.sweep import sweep
from mmc4viz.types import ASSIGNMENT_NAMES, Document, Outcome
from tests.support import real
from tests.support.slowly import slow
from tests.upstream.compare_upstream import Settings, differences
from tests.upstream.recorded import CORPORA, SETTINGS, Recorded, digest

TOKENIZER = load_tokenizer()


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real.shard(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def columns(shard: Path) -> Columns:
    return read_columns(Shard(str(shard)), TOKENIZER)


@pytest.fixture(scope="module")
def documents(columns: Columns) -> list[Document]:
    return [columns.document(row) for row in range(len(columns))]


@pytest.mark.parametrize("number", [0, 2, *slow(1, 3)])
@pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)
def test_explain_says_what_the_original_did(
    corpus: Recorded, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = LoaderConfig(**SETTINGS[number])
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS[number].items()]
    with pytest.raises(SystemExit) as end:
        main(["explain", str(corpus.shard(tmp_path)), "--format", "jsonl", "--token-ids", *flags])
    assert end.value.code == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    settings = Settings("keep", config.min_images, config.max_images, config.max_tokens, "gpt2")
    for record, ours in zip(corpus.records(number), said, strict=True):
        ours["token_ids"] = [digest(ours["token_ids"])] if ours["token_ids"] else []
        assert ours["key"] == record["key"]
        assert differences(record, ours, config.threshold, settings) == [], record["key"]


def kept(documents: list[Document], assignment: str) -> list[Verdict]:
    config = LoaderConfig(assignment=assignment)
    found = [walk(document, config, TOKENIZER) for document in documents]
    return [verdict for verdict in found if verdict.outcome is Outcome.KEPT]


@pytest.mark.parametrize(
    ("assignment", "n_kept", "image_tokens", "mispaired", "by_rank"),
    [("one_to_one", 92, 205, 80, 80), ("argmax", 90, 212, 3, 4)],
)
def test_todays_loader_mispairs_what_the_one_before_did_not(
    documents: list[Document], assignment: str, n_kept: int, image_tokens: int, mispaired: int,
    by_rank: int,
) -> None:  # fmt: skip
    found = kept(documents, assignment)
    assert (len(found), sum(v.image_tokens for v in found)) == (n_kept, image_tokens)
    assert sum(v.mispaired for v in found) == mispaired
    bindings = [b for v in found for b in v.binding if b.pair_image is not None]
    assert sum(b.pair_image != b.bound_image for b in bindings) == by_rank


def test_images_stand_in_the_order_of_their_best_sentences() -> None:
    best = [np.argmax(one["similarity_matrix"], axis=1) for _, one in real.documents()]
    assert sum((np.diff(sentences) >= 0).all() for sentences in best) == 106


@pytest.mark.parametrize("assignment", ASSIGNMENT_NAMES)
def test_the_fast_path_and_the_curve_say_what_the_walk_says(
    columns: Columns, documents: list[Document], assignment: str
) -> None:
    thresholds = [0.2, 0.24, 0.28, 0.32]
    config = LoaderConfig(assignment=assignment)
    matched = match_corpus([columns], config)
    curves = sweep(matched, config, np.array(thresholds))
    for step, threshold in enumerate(thresholds):
        here, total = config.with_(threshold=threshold), Tally.empty()
        table = verdicts(matched, here)
        for row, document in enumerate(documents):
            verdict = walk(document, here, TOKENIZER)
            total += tally(verdict, here.max_tokens)
            assert CLASSES[table.kind[row]] == class_of(verdict)
            found = (table.image_tokens[row], table.text_tokens[row], table.mispaired[row])
            assert found == (verdict.image_tokens, verdict.text_tokens, verdict.mispaired)
        np.testing.assert_array_equal(curves.counts[:, :, step], total.counts)
        np.testing.assert_array_equal(curves.images[:, step], total.images)
        np.testing.assert_array_equal(curves.shapes[:, step], total.shapes)
