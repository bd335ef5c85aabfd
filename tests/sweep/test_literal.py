"""Sequences truncated from one tokenization against tokenizing at each limit."""

from __future__ import annotations

import json
import random
from dataclasses import astuple
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors

from mmc4viz.loader.sequence import (
    CutSequence,
    Interleaved,
    Owners,
    interleave,
    owners_of_pairs,
    read_sequence,
)
from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer
from mmc4viz.sweep import literal
from mmc4viz.sweep.literal import cut, layouts, parts_cleanly
from tests.loader.test_tokenizer import KINDS, PROSE, trained

CLOSED_KIND = "closed"  # adds a token before and after every sequence
FRAGMENTS = [
    *PROSE, "", " ", "<image>", "<|endofchunk|>", "<im<|endofchunk|>age>", " <image> a",
    "</s>", "<|endoftext|>", "<PAD>", "\u00a0a", "\u1161b",
]  # fmt: skip


@pytest.fixture(scope="session")
def tokenizers_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder: Path = tmp_path_factory.mktemp("kinds")
    found = {"gpt2": load_tokenizer()}
    settings = json.loads(load_tokenizer().description().split("\n", 1)[1])
    settings["pre_tokenizer"]["add_prefix_space"] = True
    settings["normalizer"] = {"type": "NFC"}
    (folder / "gpt2_prefix.json").write_text(json.dumps(settings))
    for kind in KINDS[2:]:
        trained(kind).save(str(folder / f"{kind}.json"))
    closed = trained("unigram")
    ends = [(token, closed.token_to_id(token)) for token in ("<s>", "</s>")]
    closed.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A $B </s>", special_tokens=ends
    )
    closed.save(str(folder / f"{CLOSED_KIND}.json"))
    for path in folder.glob("*.json"):
        found[path.stem] = load_tokenizer(str(path))
    return found


def text_of(seed: int, tokenizer: Tokenizer) -> tuple[Interleaved, Owners]:
    r = random.Random(seed)
    sentences = ["".join(r.choices(FRAGMENTS, k=r.randint(0, 3))) for _ in range(r.randint(1, 6))]
    columns = [r.randrange(len(sentences)) for _ in range(r.randint(1, 5))]
    return interleave(sentences, columns, tokenizer.end_of_text), owners_of_pairs(columns)


def read(text: Interleaved, owners: Owners, tokenizer: Tokenizer, limit: int) -> CutSequence:
    return read_sequence(text, tokenizer, limit, owners)


def assert_same(text: Interleaved, owners: Owners, tokenizer: Tokenizer) -> None:
    own = tokenizer.n_before + tokenizer.n_after
    (layout,) = layouts([(text, owners)], tokenizer)
    for limit in [*(own + n for n in (1, 2, 5, 11, 19, 30)), 2000]:
        expected, found = read(text, owners, tokenizer, limit), cut([layout], limit, tokenizer)
        assert (found.image_tokens[0], found.text_tokens[0], found.mispaired[0]) == (
            expected.image_tokens,
            expected.text_tokens,
            expected.mispaired,
        )
        shape = found.length[0], found.text_before[0], found.text_between[0], found.followed[0]
        assert shape == astuple(expected.shape)
        assert found.own_tokens[0] == sum(expected.survives)
        assert found.ends_with_image[0] == expected.ends_with_image
        assert not found.failed[0]


@pytest.mark.parametrize("kind", [*KINDS, CLOSED_KIND])
@given(seed=st.integers(0, 2**32))
def test_pieces_add_up_under_every_tokenizer(
    tokenizers_of: dict[str, Tokenizer], kind: str, seed: int
) -> None:
    tokenizer = tokenizers_of[kind]
    assert parts_cleanly(tokenizer)
    assert_same(*text_of(seed, tokenizer), tokenizer)


@given(seed=st.integers(0, 2**32))
def test_a_tokenizer_that_does_not_part_cleanly_is_asked_for_all_tokens(
    tokenizers_of: dict[str, Tokenizer], seed: int
) -> None:
    tokenizer = tokenizers_of[CLOSED_KIND]
    text, owners = text_of(seed, tokenizer)
    whole = literal._from_tokens(text, owners, tokenizer)
    assert [whole] == layouts([(text, owners)], tokenizer)


@pytest.mark.parametrize("content", ["<image>s", "x<im", "<image", "age>", "<|endofchunk|><image>"])
def test_tokens_that_overlap_are_noticed(content: str) -> None:
    backend = tokenizers.Tokenizer.from_str(load_tokenizer().description().split("\n", 1)[1])
    backend.add_special_tokens([content])
    assert not parts_cleanly(Tokenizer("odd", backend, "<|endoftext|>"))
