"""The walk: worked examples, one for each outcome and status of docs/loader.md."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz import (
    ImageStatus,
    LoaderConfig,
    Outcome,
    PairStatus,
    Verdict,
    load_tokenizer,
    parse_document,
)
from mmc4viz import walk as walk_document
from tests.support.documents import chatgpt, entry, info, jpeg

KEPT, OVER, CUT, BELOW = (
    PairStatus.KEPT,
    PairStatus.OVER_CAP,
    PairStatus.TRUNCATED,
    PairStatus.BELOW_THRESHOLD,
)


def walk(document: Any, **settings: Any) -> Verdict:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return walk_document(parse_document("k", raw), LoaderConfig(**settings), load_tokenizer())


def statuses(verdict: Verdict) -> list[PairStatus]:
    return [pair.status for pair in verdict.pairs]


def test_two_images_in_order() -> None:
    verdict = walk(info([[0.9, 0.1], [0.1, 0.8]]))
    assert (verdict.outcome, verdict.keep_probability) == (Outcome.KEPT, 1.0)
    assert [(p.image, p.sentence, p.score) for p in verdict.pairs] == [(0, 0, 0.9), (1, 1, 0.8)]
    assert (verdict.image_tokens, verdict.mispaired) == (2, 0)
    # "Sentence 0." is four tokens; chunk and image tokens and the closing do not count.
    assert verdict.text_tokens == 8
    assert len(verdict.token_ids) == 8 + 2 + 2 + 1


def test_pairs_out_of_order_are_both_mispaired() -> None:
    verdict = walk(info([[0.1, 0.9], [0.8, 0.1]]))
    assert verdict.mispaired == 2
    assert [(b.pair_image, b.bound_image) for b in verdict.binding] == [(1, 0), (0, 1)]


def test_equal_to_the_threshold_is_kept() -> None:
    assert walk(info([[0.24, 0.0]])).outcome is Outcome.KEPT
    assert walk(info([[math.nextafter(0.24, 0), 0.0]])).outcome is Outcome.BELOW_THRESHOLD


def test_a_single_image_is_kept_with_its_probability() -> None:
    verdict = walk(info([[0.9]]), single_image_keep=0.3)
    assert (verdict.outcome, verdict.keep_probability) == (Outcome.KEPT, 0.3)
    assert "single image" in str(verdict.detail)


def test_the_cap_keeps_the_first_not_the_best() -> None:
    matrix = [[0.3 + 0.1 * i if i == j else 0.0 for j in range(4)] for i in range(4)]
    verdict = walk(info(matrix), max_images=2)
    assert statuses(verdict) == [KEPT, KEPT, OVER, OVER]


def test_tokens_beyond_the_limit_are_truncated() -> None:
    verdict = walk(info([[0.9, 0.0], [0.0, 0.9]]), max_tokens=5)
    assert statuses(verdict) == [KEPT, CUT]
    assert (verdict.image_tokens, verdict.keep_probability) == (1, 0.5)


def test_a_single_image_token_at_the_very_end_drops_the_document() -> None:
    verdict = walk(info([[0.0, 0.9]]), max_tokens=5)  # four tokens of text, then <image>
    assert (verdict.outcome, verdict.keep_probability) == (Outcome.SINGLE_IMAGE_AT_END, 0.0)
    assert walk(info([[0.0, 0.9]]), max_tokens=6).outcome is Outcome.KEPT
    assert walk(info([[0.0, 0.9]]), max_tokens=4).outcome is Outcome.TOO_FEW_IMAGES


def test_too_few_images() -> None:
    verdict = walk(info([[0.9]]), min_images=2)
    assert verdict.outcome is Outcome.TOO_FEW_IMAGES
    assert verdict.detail == "1 image token after truncation, fewer than 2"


def test_the_smallest_accepted_image_has_11000_bytes() -> None:
    images = [entry(jpeg(10_999)), entry(jpeg(11_000)), entry()]
    verdict = walk(info([[0.9], [0.9], [0.9]], images=images))
    assert verdict.images == (ImageStatus.TOO_SMALL, ImageStatus.MATCHED, ImageStatus.MISSING)
    assert walk(info([[0.9]], images=[entry(jpeg(1000))]), min_kb=-1).outcome is Outcome.KEPT


def test_surplus_images_are_unmatched() -> None:
    verdict = walk(info([[0.3], [0.9]]))
    assert verdict.images == (ImageStatus.UNMATCHED, ImageStatus.MATCHED)


def test_one_undecodable_image_drops_the_document() -> None:
    images = [entry(), entry(jpeg()), entry(jpeg()[:300] + b"\0" * 12_000), entry(jpeg())]
    verdict = walk(info([[0.9] * 2] * 4, images=images))
    lost = ImageStatus.LOST_WITH_DOCUMENT
    assert verdict.outcome is Outcome.UNREADABLE
    assert verdict.images == (
        ImageStatus.MISSING, ImageStatus.UNMATCHED, ImageStatus.UNDECODABLE, lost
    )  # fmt: skip
    assert str(verdict.detail).startswith("image 3 of 4 cannot be decoded: ")
    assert verdict.pairs == ()


def test_of_a_small_image_only_the_base64_is_decoded() -> None:
    broken = [entry(b"no image"), entry(jpeg())]
    assert walk(info([[0.9]] * 2, images=broken)).images[0] is ImageStatus.TOO_SMALL
    broken[0]["image_base64"] = "A"
    assert walk(info([[0.9]] * 2, images=broken)).outcome is Outcome.UNREADABLE


def test_no_valid_image_is_checked_before_the_matrix() -> None:
    assert walk(info([[0.9]], images=[entry()]) | {"similarity_matrix": None}).outcome is (
        Outcome.NO_VALID_IMAGE
    )


def test_sentences_are_only_examined_if_a_pair_is_kept() -> None:
    document = info([[0.1]]) | {"text_list": None}
    assert walk(document).outcome is Outcome.BELOW_THRESHOLD
    assert walk(document, threshold=0.1).outcome is Outcome.UNREADABLE


@pytest.mark.parametrize("name", ["text_list", "similarity_matrix", "image_info"])
def test_an_absent_field_is_named(name: str) -> None:
    document = info([[0.9]])
    del document[name]
    verdict = walk(document)
    assert (verdict.outcome, verdict.detail) == (Outcome.UNREADABLE, f"no {name}")


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [(b"", Outcome.UNREADABLE), (b"{", Outcome.UNREADABLE), (b"[]", Outcome.UNREADABLE),
     (b"null", Outcome.UNREADABLE), (b'"is_gpt"', Outcome.UNREADABLE),
     (b"\xff\xfe", Outcome.UNREADABLE), (b"[" * 100_000, Outcome.UNREADABLE)],
)  # fmt: skip
def test_malformed_documents_are_unreadable(raw: bytes, outcome: Outcome) -> None:
    assert walk(raw).outcome is outcome


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_the_encodings_that_python_reads(encoding: str) -> None:
    assert walk(json.dumps(info([[0.9, 0.1]])).encode(encoding)).outcome is Outcome.KEPT


def test_a_literal_image_token_takes_a_rank() -> None:
    verdict = walk(info([[0.0, 0.9], [0.9, 0.0]], ["x", "<image> y"]))
    # Tokens in text order: image 1 (sentence 0), image 0 (sentence 1), the literal one.
    assert verdict.image_tokens == 3
    assert [b.pair_image for b in verdict.binding] == [1, 0, None]
    assert verdict.mispaired == 2


def test_several_images_on_one_sentence() -> None:
    verdict = walk(info([[0.9, 0.1], [0.8, 0.1]]), assignment="argmax")
    assert [(p.image, p.sentence) for p in verdict.pairs] == [(0, 0), (1, 0)]
    assert (verdict.image_tokens, verdict.mispaired) == (2, 0)


# Images 0 and 1 are matched to sentence 2, image 2 to sentence 0, whose token comes first.
TWO_ON_ONE = [[0.1, 0.1, 0.3, 0.1], [0.1, 0.1, 0.31, 0.1], [0.3, 0.1, 0.1, 0.1]]


def test_images_swapped_within_their_sentence_are_not_mispaired() -> None:
    verdict = walk(info(TWO_ON_ONE), assignment="argmax")
    found = [(b.pair_image, b.bound_image, b.mispaired) for b in verdict.binding]
    assert found == [(2, 0, True), (0, 1, False), (1, 2, True)]
    assert verdict.mispaired == 2
    # A literal token before them shifts ranks: the last token gets no image at all.
    literal = info(TWO_ON_ONE, ["a <image> b", *"cde"])
    verdict = walk(literal, assignment="argmax")
    found = [(b.pair_image, b.bound_image, b.mispaired) for b in verdict.binding]
    assert found == [(2, 0, True), (None, 1, False), (0, 2, True), (1, None, True)]
    assert verdict.mispaired == 3


def test_chatgpt_generated_documents_have_no_pairs_and_no_single_image_drop() -> None:
    verdict = walk(chatgpt("_!_IMAGE1_!_ a boat", 1))
    assert (verdict.outcome, verdict.keep_probability) == (Outcome.KEPT, 1.0)
    assert (verdict.pairs, verdict.images) == ((), (ImageStatus.MATCHED,))
    assert walk(chatgpt("_!_IMAGE2_!_ a _!_IMAGE1_!_ b", 2)).mispaired == 2
    assert walk(chatgpt("no marks", 1)).outcome is Outcome.TOO_FEW_IMAGES
    assert walk(chatgpt("_!_IMAGE1_!_", 0)).outcome is Outcome.UNREADABLE
    many = " ".join(f"_!_IMAGE{k}_!_ text" for k in range(1, 9))
    assert walk(chatgpt(many, 8)).image_tokens == 5  # cut before the sixth


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ["text_list", "similarity_matrix", "image_info", "is_gpt", "example", "image_map", "url"]


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_arbitrary_json_always_has_a_named_outcome(document: dict[str, Any]) -> None:
    verdict = walk(document, threshold=-1.0)
    assert verdict.outcome in list(Outcome)
    assert verdict.outcome is Outcome.KEPT or verdict.detail


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_unreadable(raw: bytes) -> None:
    assert walk(raw).outcome is Outcome.UNREADABLE


def test_details_are_the_same_on_every_run() -> None:
    garbage = info([[0.9]], images=[entry(b"x" * 12_000)])
    assert walk(garbage).detail == walk(garbage).detail
    assert " at 0x" not in str(walk(garbage).detail)
