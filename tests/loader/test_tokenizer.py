"""Tokenizers: additive counts where declared, set-up, and error messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers, trainers

from mmc4viz.loader import tokenizer as counting
from mmc4viz.loader.sequence import interleave
from mmc4viz.loader.tokenizer import SentenceCounter, Tokenizer, additive_pipeline, load_tokenizer
from mmc4viz.types import TokenizerError

PROSE = [
    "The boat lies in the harbour, and nobody's there.",
    "It's 3.50 € for two; don't miss it!",
    "Ein Häuschen am See — schön.",
    "海辺の町で、船を見た。",
    "🙂 emoji and \u200bzero width",
    "x" * 40,
    "a  b   c\td",
    "<b>bold</b> [link](javascript:alert(1)) $x^2$",
    "\u0301begins with an accent",
]
KINDS = ["gpt2", "gpt2_prefix", "metaspace_first", "metaspace_always", "unigram", "llama"]


def trained(kind: str) -> tokenizers.Tokenizer:
    """Train a small tokenizer of some kind on prose."""
    unigram = kind == "unigram"
    tokenizer = tokenizers.Tokenizer(models.Unigram() if unigram else models.BPE(unk_token="<unk>"))
    specials = ["<unk>", "<s>", "</s>"]
    if kind == "llama":
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        # Train within words, as SentencePiece does; the finished model has no pre-tokenizer.
        tokenizer.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex("▁+[^▁]*"), "isolated")
    else:
        scheme = "first" if kind == "metaspace_first" else "always"
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    trainer: Any = (
        trainers.UnigramTrainer(vocab_size=150, special_tokens=specials, unk_token="<unk>")
        if unigram
        else trainers.BpeTrainer(vocab_size=300, special_tokens=specials)
    )
    tokenizer.train_from_iterator(PROSE * 5, trainer)
    if kind == "llama":
        tokenizer.pre_tokenizer = None
    return tokenizer


@pytest.fixture(scope="session")
def of_kind(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder = tmp_path_factory.mktemp("tokenizers")
    found = {"gpt2": load_tokenizer()}
    for kind in KINDS[1:]:
        path = folder / f"{kind}.json"
        if kind == "gpt2_prefix":
            settings = json.loads(load_tokenizer()._backend.to_str())
            settings["pre_tokenizer"]["add_prefix_space"] = True
            settings["normalizer"] = {"type": "NFC"}
            path.write_text(json.dumps(settings))
        else:
            trained(kind).save(str(path))
        found[kind] = load_tokenizer(str(path))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_additive_pipelines_are_declared(of_kind: dict[str, Tokenizer], kind: str) -> None:
    assert of_kind[kind].additive


sentence = st.one_of(
    st.sampled_from(PROSE),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    st.text("ab'st ,.1é\u0301\u1161한\u00a0", min_size=1, max_size=8),
)


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(sentence, min_size=1, max_size=5), data=st.data())
def test_counts_of_sentences_add_up(
    of_kind: dict[str, Tokenizer], kind: str, texts: list[str], data: st.DataObject
) -> None:
    tokenizer = of_kind[kind]
    assume(not any(tokenizer.is_exception(text) for text in texts))
    kept = data.draw(st.sets(st.integers(0, len(texts) - 1), min_size=1))
    counts = tokenizer.count(texts)
    total = tokenizer.n_before + tokenizer.n_after + tokenizer.n_closing
    for n in range(len(texts)):
        total += counts.first[n] + 2 if n in kept else counts.rest[n] if n else counts.head
    text = interleave(list(texts), sorted(kept), tokenizer.end_of_text)
    assert len(tokenizer.encode(text.text, 10_000).ids) == total


pages = st.lists(
    st.lists(
        st.one_of(
            sentence,
            st.lists(st.one_of(sentence, st.text("ab'st,.1é\u0301▁", max_size=4))).map(" ".join),
        ),
        max_size=5,
    ),
    max_size=3,
)


@pytest.mark.parametrize("kind", KINDS)
@given(pages=pages)
def test_counting_word_by_word_gives_the_same(
    of_kind: dict[str, Tokenizer], kind: str, pages: list[list[str]]
) -> None:
    tokenizer = of_kind[kind]
    pages = [[text for text in page if not tokenizer.is_exception(text)] for page in pages]
    expected = [tokenizer.count(page) for page in pages]
    assert SentenceCounter(tokenizer).count(pages) == expected
    assert counting.counter_of(tokenizer).count(pages) == expected


def test_the_cache_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_MOST_CACHED", 20)
    tokenizer = load_tokenizer()
    counter = SentenceCounter(tokenizer)
    for text in PROSE[:-1]:
        assert counter.count([[text]]) == [tokenizer.count([text])]


@pytest.mark.parametrize(
    "text",
    ["", " a", "a ", "a\u00a0", "\ta", "a<image>", "<|endofchunk|>", "x<PAD>y", "a <|endoftext|>",
     "\u0301a", "\u1161", "\ud800", "a\udc00b"],
)  # fmt: skip
def test_exceptions_are_named(text: str) -> None:
    assert load_tokenizer().is_exception(text)


def test_ordinary_sentences_are_not_exceptions() -> None:
    assert not any(load_tokenizer().is_exception(text) for text in PROSE[:-1])


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"normalizer": {"type": "NFKC"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "ByteLevel", "use_regex": False}},
    ],
)
def test_any_other_pipeline_is_not_declared(change: dict[str, Any]) -> None:
    settings = json.loads(load_tokenizer()._backend.to_str())
    assert additive_pipeline(settings)
    assert not additive_pipeline(settings | change)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"normalizer": {"type": "NFC"}},
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                           "use_regex": False}},
        {"dropout": 0.5},
        {"lstrip": True},
        {"pre_tokenizer": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_told_without_the_vocabulary_is_what_is_told_with_it(
    change: dict[str, Any],
) -> None:
    settings = json.loads(load_tokenizer()._backend.to_str())
    settings["model"] |= {name: change[name] for name in change if name == "dropout"}
    settings["added_tokens"][0] |= {name: change[name] for name in change if name == "lstrip"}
    settings |= {name: change[name] for name in change if name in settings}
    backend = tokenizers.Tokenizer.from_str(json.dumps(settings))
    found = Tokenizer("changed", backend, "<|endoftext|>")
    assert found.additive is additive_pipeline(found._settings)
    for name, part in found._settings_without_vocabulary.items():
        whole = found._settings[name]
        if name == "model":
            whole = {key: whole[key] for key in part}
        elif name == "added_tokens":
            whole = [{key: token[key] for key in token if key != "id"} for token in whole]
        assert part == whole


@pytest.mark.parametrize("change", [{"ignore_merges": True}, {"fuse_unk": True}])
def test_merges_across_words_are_not_declared(
    of_kind: dict[str, Tokenizer], change: dict[str, Any]
) -> None:
    settings = of_kind["llama"]._settings
    assert additive_pipeline(settings)
    vocabulary = {text: n for text, n in settings["model"]["vocab"].items() if text != "▁"}
    model = settings["model"] | {"vocab": vocabulary} | change
    assert not additive_pipeline(settings | {"model": model})


@pytest.mark.parametrize("field", ["lstrip", "rstrip", "single_word"])
def test_added_tokens_that_absorb_spaces_are_not_additive(field: str) -> None:
    settings = json.loads(load_tokenizer()._backend.to_str())
    settings["added_tokens"][0][field] = True
    assert not additive_pipeline(settings)


def opt_folder(folder: Path) -> Path:
    """Write a folder as OPT has it: GPT-2's files, no tokenizer.json, </s> first."""
    settings = json.loads(load_tokenizer()._backend.to_str())
    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    vocab |= {token: number + 4 for token, number in settings["model"]["vocab"].items()}
    vocab.pop("<|endoftext|>")
    merges = "\n".join(" ".join(pair) for pair in settings["model"]["merges"])
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    config = {
        "bos_token": {"content": "</s>"},
        "eos_token": {"content": "</s>"},
        "unk_token": "</s>",
        "pad_token": "<pad>",
        "add_bos_token": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.slow
def test_opt_is_built_from_its_files_and_puts_its_token_first(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(opt_folder(tmp_path)))
    assert tokenizer.end_of_text == "</s>"
    assert (tokenizer.n_before, tokenizer.n_after, tokenizer.additive) == (1, 0, True)
    encoded = tokenizer.encode("A boat.<|endofchunk|></s>", 256)
    gpt2 = load_tokenizer().encode("A boat.", 256)
    assert encoded.ids[0] == encoded.ids[-1] == 2
    assert [number - 4 for number in encoded.ids[1:-2]] == gpt2.ids
    assert encoded.added == [True] + [False] * (len(encoded.ids) - 1)
    assert "<PAD>" not in tokenizer._backend.get_vocab()  # it has a padding token of its own


@pytest.mark.slow
def test_the_limit_counts_the_tokenizers_own_tokens(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(opt_folder(tmp_path)))
    assert len(tokenizer.encode("one two three four five", 3).ids) == 3
    with pytest.raises(TokenizerError, match="is too small"):
        tokenizer.encode("one", 1)


def test_truncation_and_padding_of_the_file_are_dropped(tmp_path: Path) -> None:
    backend = tokenizers.Tokenizer.from_str(load_tokenizer()._backend.to_str())
    backend.enable_truncation(4)
    backend.enable_padding(length=50)
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.json"))
    assert len(tokenizer.encode("one two three four five six", 256).ids) == 6


def test_a_vocabulary_without_an_end_is_refused(tmp_path: Path) -> None:
    tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(tmp_path / "t.json"))
    with pytest.raises(TokenizerError, match="no end-of-text token"):
        load_tokenizer(str(tmp_path / "t.json"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": 3}'])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(TokenizerError) as error:
        load_tokenizer(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_tokenizer_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (str(tmp_path), str(tmp_path / "none.json")):
        with pytest.raises(TokenizerError):
            load_tokenizer(name)
