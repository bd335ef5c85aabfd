"""Profiles of loaders that take the stored matches: worked examples of what sets them apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFile

from mmc4viz import ImageStatus, LoaderConfig, Outcome, PairStatus, Verdict, parse_document
from mmc4viz.loader.draws import sequence_of_draw
from mmc4viz.loader.profile import (
    DREAMLLM,
    MM_INTERLEAVED,
    OMNICORPUS_LLAVA,
    PROFILES,
    VILA,
    Cap,
    LoaderProfile,
    Order,
    register,
)
from mmc4viz.loader.tokenizer import load_tokenizer
from mmc4viz.loader.walk import draws_of, training_text, walk
from mmc4viz.types import LOADER_DEFAULTS, Document
from tests.support import nasty
from tests.support.documents import entry, info, jpeg

TOKENIZER = load_tokenizer()


def page(sentences: list[Any], stored: list[Any], **fields: Any) -> Document:
    """Return a document whose images are there, with these stored sentences and score 0.3."""
    images = [entry(jpeg(), matched_text_index=at, matched_sim=0.3) for at in stored]
    matrix = [[0.3] * len(sentences) for _ in stored]
    return parse_document("k", json.dumps(info(matrix, sentences, images, **fields)).encode())


def config(profile: LoaderProfile, **changed: Any) -> LoaderConfig:
    return LoaderConfig.from_mapping({"loader": profile.name, **changed})


def judged(document: Document, profile: LoaderProfile, **changed: Any) -> Verdict:
    return walk(document, config(profile, **changed), TOKENIZER)


@contextmanager
def known(profile: LoaderProfile) -> Iterator[LoaderProfile]:
    """Make a profile known for a while."""
    register(profile)
    try:
        yield profile
    finally:
        del PROFILES[profile.name], LOADER_DEFAULTS[profile.name]


def handed(verdict: Verdict) -> list[int | None]:
    return [bound.bound_image for bound in verdict.binding]


@pytest.mark.parametrize("profile", [VILA, DREAMLLM])
def test_images_are_put_in_the_order_of_their_sentences(profile: LoaderProfile) -> None:
    verdict = judged(page(["A.", "B.", "C."], [2, 0, 1]), profile)
    assert (handed(verdict), verdict.mispaired) == ([1, 2, 0], 0)
    with known(replace(profile, name="new", order=Order.PAGE)) as other:
        in_page_order = judged(page(["A.", "B.", "C."], [2, 0, 1]), other)
    assert handed(in_page_order) == [0, 1, 2]


def test_vila_guards_image_tokens_of_the_page() -> None:
    verdict = judged(page(["An <image> here.", "B."], [1]), VILA)
    assert (verdict.image_tokens, handed(verdict)) == (1, [0])
    plain = judged(page(["An <IMAGE> here.", "B."], [1]), VILA)
    assert verdict.token_ids == plain.token_ids


def test_vila_receives_no_image_whose_token_is_cut_off() -> None:
    document = page(["one two three four five six", "B."], [0, 1])
    verdict = judged(document, VILA, max_tokens=5)
    assert [pair.status for pair in verdict.pairs] == [PairStatus.KEPT, PairStatus.TRUNCATED]
    assert (verdict.handed_over, verdict.outcome) == (1, Outcome.KEPT)


def test_an_index_from_the_end_sorts_first_but_marks_a_late_sentence() -> None:
    verdict = judged(page(["A.", "B.", "C."], [0, -1]), VILA)
    assert (handed(verdict), verdict.mispaired) == ([1, 0], 2)
    assert [pair.sentence for pair in verdict.pairs] == [0, 2]


@pytest.mark.parametrize("name", ["jpeg_truncated", "garbage"])
def test_a_truncated_image_is_filled_or_costs_the_document(name: str) -> None:
    document = page(["A."], [0, 0])
    odd = entry(matched_text_index=0) | {"image_base64": nasty.pool().odd[name]}
    images = [odd, entry(jpeg(), matched_text_index=0)]
    raw = json.dumps(info([[0.3], [0.3]], ["A."], images)).encode()
    document = parse_document("k", raw)
    assert document.images[0].pixel_error is not None
    filled = name == "jpeg_truncated"
    assert document.images[0].truncated == filled
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    kept = judged(document, VILA).outcome is Outcome.KEPT
    assert kept == filled
    assert judged(document, DREAMLLM).outcome is Outcome.UNREADABLE


def test_dreamllm_writes_an_image_after_its_sentence() -> None:
    verdict = judged(page([" A. ", "B."], [0]), DREAMLLM)
    tokenizer = DREAMLLM.tokenizer(TOKENIZER)
    start = verdict.token_ids.index(tokenizer.id_of("<dream_start>"))
    # Begin of text; "A." without its first token, which the loader takes for begin of text.
    assert start == 2
    assert verdict.token_ids[start + 324 :] == (13, tokenizer.id_of("<|endoftext|>"))
    assert DREAMLLM.template.cost == 324


@pytest.mark.parametrize(("limit", "n_images"), [(2048, 6), (975, 2), (650, 1), (325, 0)])
def test_dreamllm_ends_before_an_image_that_does_not_fit(limit: int, n_images: int) -> None:
    verdict = judged(page(["A."] * 9, list(range(9))), DREAMLLM, max_tokens=limit)
    assert (verdict.image_tokens, verdict.handed_over) == (n_images, n_images)
    assert verdict.outcome is Outcome.KEPT, "without an image too"
    assert len(verdict.token_ids) <= limit
    assert verdict.shape.length == 2 + 9 * (324 + 1)


@pytest.mark.parametrize("index", [None, "0", 0.0])
def test_what_is_no_index_loses_the_document(index: Any) -> None:
    document = page(["A.", "B."], [0, index])
    for profile in (VILA, DREAMLLM, MM_INTERLEAVED):
        assert judged(document, profile).outcome is Outcome.UNREADABLE


def test_an_index_too_large_is_the_end_for_dreamllm_only() -> None:
    document = page(["A.", "B."], [0, 7])
    assert judged(document, VILA).outcome is Outcome.UNREADABLE
    assert [pair.sentence for pair in judged(document, DREAMLLM).pairs] == [0, 1]


def test_mm_interleaved_loses_a_broken_image_only() -> None:
    images = [
        entry(jpeg(), matched_text_index=0, matched_sim=0.3),
        entry(matched_text_index=0, matched_sim=0.3),
        entry(matched_text_index=0, matched_sim=0.3)
        | {"image_base64": nasty.pool().odd["garbage"]},
    ]
    document = parse_document("k", json.dumps(info([[0.3]] * 3, ["A."], images)).encode())
    verdict = judged(document, MM_INTERLEAVED)
    assert verdict.images == (
        ImageStatus.MATCHED,
        ImageStatus.MISSING,
        ImageStatus.UNDECODABLE,
    )
    assert (verdict.outcome, verdict.keep_probability) == (Outcome.KEPT, 0.5)


def test_each_of_eight_images_stays_with_six_in_eight() -> None:
    document = page(["A."] * 8, list(range(8)))
    verdict = judged(document, MM_INTERLEAVED)
    assert [pair.probability for pair in verdict.pairs] == [0.75] * 8
    assert (verdict.image_tokens, verdict.handed_over, verdict.token_ids) == (6, 6, ())
    draws = draws_of(document, config(MM_INTERLEAVED))
    assert draws is not None
    assert sum(1 for _ in draws) == 28 * 2**6


def test_an_index_out_of_range_loses_the_document_if_it_is_drawn() -> None:
    verdict = judged(page(["A."] * 3, [0, 1, 9]), MM_INTERLEAVED, max_images=2)
    assert verdict.keep_probability == pytest.approx(1 / 3)
    assert [pair.probability for pair in verdict.pairs] == [1.0, 1.0]
    assert verdict.images[2] is ImageStatus.UNMATCHED


SENTENCES = st.lists(
    st.sampled_from(["A boat.", "", " B ", "x <|beginofimage|> y", "<|image|> ", "the sea"]),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(st.data(), SENTENCES)
def test_means_are_those_of_all_outcomes(data: st.DataObject, sentences: list[str]) -> None:
    n = len(sentences)
    stored = data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=4))
    document = page(sentences, stored)
    changed = {"max_images": data.draw(st.integers(1, 3)), "min_images": 0}
    verdict = judged(document, MM_INTERLEAVED, **changed)
    draws = draws_of(document, config(MM_INTERLEAVED, **changed))
    assert draws is not None
    tokenizer = MM_INTERLEAVED.tokenizer(TOKENIZER)
    sums, total = [Fraction(0)] * 6, Fraction(0)
    for draw in draws:
        chance = draws.probability(draw)
        total += chance
        sequence = sequence_of_draw(document, draw, tokenizer, MM_INTERLEAVED)
        shape = sequence.shape
        found = (
            *(sequence.text_tokens, sequence.mispaired, shape.length),
            *(shape.text_before, shape.text_between, shape.followed),
        )
        sums = [so_far + chance * Fraction(one) for so_far, one in zip(sums, found, strict=True)]
        assert sequence.image_tokens == verdict.image_tokens
    assert total == 1
    shape = verdict.shape
    means = (
        *(verdict.text_tokens, verdict.mispaired, shape.length),
        *(shape.text_before, shape.text_between, shape.followed),
    )
    assert means == pytest.approx([float(one) for one in sums], abs=1e-12)


@pytest.mark.parametrize("profile", [VILA, DREAMLLM, MM_INTERLEAVED])
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_counts_of_sentences_give_the_same(profile: LoaderProfile, data: st.DataObject) -> None:
    texts = st.sampled_from(["A boat.", "It lay there", "the sea, again", "B"])
    sentences = data.draw(st.lists(texts, min_size=1, max_size=6))
    n = len(sentences)
    stored = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=4))
    document, tokenizer = page(sentences, stored), profile.tokenizer(TOKENIZER)
    counted = replace(document, sentences=None, counts=tokenizer.count(sentences))
    changed = {"max_images": 3}
    if profile is not MM_INTERLEAVED:
        changed["max_tokens"] = data.draw(st.integers(1, 700))
    verdict, same = (judged(one, profile, **changed) for one in (document, counted))
    assert replace(verdict, token_ids=()) == replace(same, token_ids=())


def test_a_new_loader_that_draws_is_a_choice_of_parts() -> None:
    """The first six images, each before or after its sentence: a loader that nobody wrote."""
    with known(replace(MM_INTERLEAVED, name="new", cap=Cap.FIRST)) as profile:
        verdict = judged(page(["A."] * 8, list(range(8))), profile)
    statuses = [pair.status for pair in verdict.pairs]
    assert statuses == [PairStatus.KEPT] * 6 + [PairStatus.OVER_CAP] * 2


def test_what_is_drawn_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match="not cut"):
        replace(OMNICORPUS_LLAVA, cap=Cap.RANDOM)


@pytest.mark.parametrize(
    "loader", ["openflamingo-2.0", "openflamingo-1", "omnicorpus-llava", "vila"]
)
def test_the_training_text_is_what_is_tokenized(loader: str) -> None:
    document = page(["A <image> boat.", "The sea.", "B."], [2, 0])
    profile = PROFILES[loader]
    verdict = judged(document, profile, threshold=0.2, max_tokens=500, min_kb=-1)
    assert verdict.outcome is Outcome.KEPT
    text = training_text(document, verdict, config(profile), TOKENIZER).text
    assert tuple(profile.tokenizer(TOKENIZER).encode(text, 500).ids) == verdict.token_ids
