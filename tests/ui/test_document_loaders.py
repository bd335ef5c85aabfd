"""The document view under every loader: keep probabilities, and sequences as trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers.decoders import ByteLevel

from mmc4viz import (
    Document,
    LoaderConfig,
    Shard,
    expand,
    load_tokenizer,
    match_corpus,
    parse_document,
    read_columns,
    samples,
    walk,
)
from mmc4viz.loader.profile import DREAMLLM, PROFILES
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.types import Outcome
from mmc4viz.ui import document_data
from mmc4viz.ui.components import document_list
from tests.support import nasty
from tests.support.documents import entry, info, jpeg, write_tar
from tests.ui.test_pages import SAMPLE, cells, markup, opened

TOKENIZER = load_tokenizer()
LOADERS = list(PROFILES)


def single(text: str = "A boat.") -> dict[str, object]:
    stored = entry(jpeg(), matched_text_index=0, matched_sim=0.9)
    return info([[0.9]], [text], images=[stored])


def config_of(loader: str, keep: float) -> LoaderConfig:
    return LoaderConfig.of_loader(loader).with_(min_kb=-1, single_image_keep=keep)


REASONS = {1.0: "single image, always kept", 0.0: "single image, never kept"}


@pytest.mark.parametrize("keep", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("loader", LOADERS)
def test_the_list_says_how_often_a_single_image_is_kept(
    tmp_path: Path, loader: str, keep: float
) -> None:
    config = config_of(loader, keep)
    shard = Shard(str(write_tar(tmp_path / "a.tar", [("d", single())])))
    columns = [read_columns(shard, TOKENIZER)]
    found = verdicts(match_corpus(columns, config), config)
    [row] = document_list.csv_rows(columns, found, found.row, keep)
    reason = row[document_list.CSV_HEAD.index("reason")]
    assert reason == REASONS.get(keep, "single image, kept with p = 0.5")
    verdict = walk(parse_document("d", json.dumps(single()).encode()), config, TOKENIZER)
    assert (verdict.outcome, verdict.keep_probability) == (Outcome.KEPT, keep)
    assert found.odds(keep).tolist() == [keep]
    assert ("kept with p" in (verdict.detail or "")) == (keep < 1)


def test_one_image_is_single_whatever_tokens_the_page_has(tmp_path: Path) -> None:
    one = single("a <|beginofimage|> b")
    config = config_of("mm-interleaved", 0.5)
    verdict = walk(parse_document("d", json.dumps(one).encode()), config, TOKENIZER)
    assert (verdict.image_tokens, verdict.keep_probability, verdict.single_image) == (2, 0.5, True)
    shard = Shard(str(write_tar(tmp_path / "a.tar", [("d", one)])))
    found = verdicts(match_corpus([read_columns(shard, TOKENIZER)], config), config)
    assert found.odds(0.5).tolist() == [0.5]


@pytest.mark.parametrize("loader", ["vila", "dreamllm", "mm-interleaved", "openflamingo"])
def test_the_page_never_says_at_random_of_what_is_always_kept(
    monkeypatch: pytest.MonkeyPatch, loader: str
) -> None:
    app = opened(monkeypatch, "documents", loader=loader, keep="1", **{"f.sort": "image_tokens"})
    reasons = set(cells(app, "reason"))
    assert any("always kept" in reason for reason in reasons)
    assert not any("p =" in reason or "random" in reason for reason in reasons)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    path = tmp_path_factory.mktemp("nasty") / "n.tar"
    nasty.write_tar(path, nasty.documents(21, 300))
    shards = [*expand([SAMPLE]), Shard(str(path))]
    return [parse_document(one.key, one.raw) for shard in shards for one in samples(shard)]


@pytest.mark.slow
@pytest.mark.parametrize("max_tokens", [2048, 700, 340, 60])
def test_chunks_are_what_is_trained_on(documents: list[Document], max_tokens: int) -> None:
    config = LoaderConfig.of_loader("dreamllm").with_(max_tokens=max_tokens)
    tokenizer = DREAMLLM.tokenizer(TOKENIZER)
    reader = tokenizers.Tokenizer.from_str(tokenizer._backend.to_str())
    reader.decoder = ByteLevel()
    n_cut = n_shown = n_read = 0
    for document in documents:
        verdict = walk(document, config, TOKENIZER)
        shown = document_data.sequence_of(document, verdict, config, TOKENIZER)
        if not verdict.token_ids:
            assert shown is None
            continue
        assert shown is not None
        written = [_written(piece) for piece in shown.pieces if piece.kind != "cut"]
        end = tokenizer.end_of_text
        trained = reader.decode(list(verdict.token_ids), skip_special_tokens=False)
        if "\ufffd" not in trained:  # else a character's first byte was dropped: it is shown whole
            assert trained == "".join([end, *written, end]), document.key
            n_read += 1
        kept = [token for token in shown.tokens if token.kind != "truncated"]
        mark = tokenizer.image_id
        places = [n for n, token in enumerate(verdict.token_ids) if token == mark]
        assert [token.place for token in kept] == places
        n_shown += 1
        n_cut += any(piece.kind == "cut" for piece in shown.pieces)
    assert n_shown >= n_read > 200
    assert n_cut > 0


def _written(piece: document_data.Piece) -> str:
    if piece.kind == "text":
        return piece.text
    own = "in the page's own text" in piece.text
    return DREAMLLM.template.mark if own else DREAMLLM.template.text


def test_the_document_view_shows_chunks_or_says_why_there_is_no_sequence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = opened(monkeypatch, "documents", loader="dreamllm", doc="0.5")
    said = markup(app)
    assert "mmc-sequence" in said
    assert "all pairs were dropped" not in said
    app = opened(monkeypatch, "documents", loader="mm-interleaved", doc="0.5", t="0.1")
    said = markup(app)
    assert "no single training sequence: the loader draws at random" in said
    assert "all pairs were dropped" not in said


def test_what_cannot_be_tokenized_is_shown_as_cut(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stored = entry(jpeg(), matched_text_index=0, matched_sim=0.9)
    one = info([[0.9, 0.1]], ["A boat. " * 40, "\ude00 rest"], images=[stored])
    shard = write_tar(tmp_path / "a.tar", [("d", one)])
    start = {"roots": [str(tmp_path)]}
    app = opened(
        monkeypatch,
        "documents",
        str(shard),
        start,
        loader="dreamllm",
        doc="0.0",
        kb="-1",
        len="300",
    )
    said = markup(app)
    assert "mmc-sequence" in said
    assert "rest" in said.partition("mmc-sequence")[2]
