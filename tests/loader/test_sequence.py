"""Text of the training sequence: worked examples, and offsets against a simple rewrite."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz.loader.sequence import interleave, interleave_chatgpt
from mmc4viz.loader.tokenizer_files import END_OF_CHUNK, IMAGE
from mmc4viz.types import DocumentError

EOS = "<eos>"
pieces = st.lists(
    st.sampled_from(["a", " ", "b.", IMAGE, END_OF_CHUNK, "<im", "age>", "<|endof", "chunk|>"])
)
sentences = st.lists(pieces.map("".join), min_size=1, max_size=5)


def test_images_open_chunks_and_the_first_end_of_chunk_is_removed() -> None:
    text = interleave(["One.", "Two.", "Three."], [0, 2], EOS)
    assert text.text == f"{IMAGE}One. Two.{END_OF_CHUNK}{IMAGE}Three.{END_OF_CHUNK}{EOS}"
    assert [text.text[s : s + len(IMAGE)] for s in text.image_starts] == [IMAGE] * 2
    assert text.text[text.closing :] == EOS


def test_several_images_on_one_sentence_take_its_tokens_in_image_order() -> None:
    text = interleave(["One.", "Two."], [1, 0, 1], EOS)
    assert text.text == (
        f"{IMAGE}One.{END_OF_CHUNK}{IMAGE}{END_OF_CHUNK}{IMAGE}Two.{END_OF_CHUNK}{EOS}"
    )
    first, middle, last = text.image_starts
    assert middle < first < last


def test_the_pages_own_end_of_chunk_is_removed_first() -> None:
    text = interleave([f"a{END_OF_CHUNK}b", "c"], [1], EOS)
    assert text.text == f"ab{END_OF_CHUNK}{IMAGE}c{END_OF_CHUNK}{EOS}"


def test_removing_it_can_make_an_image_token() -> None:
    text = interleave([f"<im{END_OF_CHUNK}age>", "c"], [1], EOS)
    assert text.text == f"{IMAGE}{END_OF_CHUNK}{IMAGE}c{END_OF_CHUNK}{EOS}"
    assert text.image_starts == (len(IMAGE + END_OF_CHUNK),)


@pytest.mark.parametrize("bad", [None, "text", {"0": "a"}, 3, ["a", None], ["a", 1]])
def test_invalid_sentences_make_the_document_unreadable(bad: object) -> None:
    with pytest.raises(DocumentError):
        interleave(bad, [0], EOS)


def test_a_matched_sentence_that_is_not_text_is_formatted_by_python() -> None:
    assert interleave([None], [0], EOS).text == f"{IMAGE}None{END_OF_CHUNK}{EOS}"


@given(sentences, st.data())
def test_offsets_find_the_pairs_own_tokens(parts: list[str], data: st.DataObject) -> None:
    """Tokens marked by a letter that the clean-up ignores end up at these offsets."""
    columns = data.draw(st.lists(st.integers(0, len(parts) - 1), max_size=4, unique=True))
    text = interleave(list(parts), columns, EOS)
    assert all(text.text.startswith(IMAGE, start) for start in text.image_starts)
    in_text_order = sorted(range(len(columns)), key=lambda k: columns[k])
    starts = [text.image_starts[k] for k in in_text_order]
    assert starts == sorted(set(starts))
    plain = list(parts)
    for column in columns:
        plain[column] = END_OF_CHUNK + IMAGE + plain[column]
    joined = " ".join(plain).replace(END_OF_CHUNK, "", 1).replace(" " + END_OF_CHUNK, END_OF_CHUNK)
    joined = joined.replace(IMAGE + " ", IMAGE).replace(" " + IMAGE, IMAGE)
    assert text.text == joined + END_OF_CHUNK + EOS


def test_chatgpt_marks_become_tokens_and_too_many_are_cut() -> None:
    text = interleave_chatgpt("_!_IMAGE1_!_ a _!_IMAGE2_!_ b _!_IMAGE3_!_ c", 2, EOS)
    assert text.text == f"{IMAGE}a{END_OF_CHUNK}{END_OF_CHUNK}{EOS}"
    assert text.image_starts == (0, -1, -1)
