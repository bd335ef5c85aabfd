"""Every format is read as its pages were written: texts, images, their order and bytes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import nupunkt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmc4viz import LoaderConfig, load_tokenizer, read_columns
from mmc4viz.cli import main
from mmc4viz.data.containers import parquet
from mmc4viz.data.corpus import Shards
from mmc4viz.data.shards import Shard, expand, fetch, fetch_all, samples
from mmc4viz.formats.format import BROKEN, Container, Sample
from mmc4viz.formats.registry import FORMATS, NAMES, InputFormat, format_named, recognise
from mmc4viz.formats.sentences import TextUnit, cut
from mmc4viz.loader.walk import walk
from mmc4viz.types import ConfigError, Outcome, ShardError
from tests.formats import written
from tests.formats.written import Picture, WebPage, pages
from tests.support import real

TOKENIZER = load_tokenizer()


def expected(page: WebPage, unit: TextUnit = TextUnit.SENTENCE) -> tuple[list[str], list[int]]:
    """Return a page's units of text, and the one that follows each image (or the last)."""
    texts: list[str] = []
    at: list[int] = []
    for one in page.pieces:
        if isinstance(one, Picture):
            at.append(len(texts))
        else:
            texts += cut(one, unit)
    return texts, [min(number, len(texts) - 1) for number in at]


@pytest.mark.parametrize("name", written.FORMATS)
def test_pages_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    kept, path = written.FORMATS[name], written.written(tmp_path, name)
    found = list(samples(Shard(str(path))))
    assert {one.format for one in found} == {name.split()[0]}
    for page, sample in zip(pages(), found, strict=True):
        assert sample.page is not None
        info, (texts, at) = sample.page.info, expected(page)
        assert info["text_list"] == texts
        entries = info["image_info"]
        assert [entry["matched_text_index"] for entry in entries] == at
        assert info["similarity_matrix"].shape == (len(at), len(texts))
        assert np.isnan(info["similarity_matrix"]).all()
        pictures = page.pictures
        if kept.names:
            assert [entry["image_name"] for entry in entries] == [one.name for one in pictures]
        if kept.urls:
            assert [entry["raw_url"] for entry in entries] == [one.url for one in pictures]
        assert info["url"] == (page.url if kept.page_urls else "")
        assert len(sample.page.images) == (len(pictures) if kept.bytes_kept else 0)
        for data, one in zip(sample.page.images, pictures, strict=False):
            pixels = [Image.open(io.BytesIO(raw)).convert("RGB") for raw in (data, one.data)]
            assert pixels[0].tobytes() == pixels[1].tobytes()


@pytest.mark.parametrize("name", written.FORMATS)
def test_a_document_is_read_again_by_its_place(tmp_path: Path, name: str) -> None:
    path = written.written(tmp_path, name)
    columns = read_columns(Shard(str(path)), TOKENIZER)
    assert columns.shard.format == name.split()[0]
    places = [columns.place(row) for row in range(len(columns))]
    wanted = [one.as_json() for one in samples(Shard(str(path)))]
    assert [fetch(columns.shard, *place) for place in places] == wanted
    assert list(fetch_all(columns.shard, places)) == wanted
    assert json.loads(wanted[0])["text_list"] == expected(pages()[0])[0]


@pytest.mark.parametrize("name", written.FORMATS)
def test_columns_hold_what_the_walk_says(tmp_path: Path, name: str) -> None:
    path = written.written(tmp_path, name)
    columns = read_columns(Shard(str(path)), TOKENIZER)
    config = LoaderConfig(min_kb=-1)
    streamed = [document for _, document in Shards([Shard(str(path))], TOKENIZER).documents(True)]
    for row, document in enumerate(streamed):
        verdict = walk(columns.document(row), config, TOKENIZER)
        assert verdict == walk(document, config, TOKENIZER)
        assert verdict.outcome is (Outcome.UNREADABLE if row != 1 else Outcome.NO_VALID_IMAGE)


def test_a_paragraph_is_a_unit_if_asked(tmp_path: Path) -> None:
    path = written.written(tmp_path, "obelics")
    [shard] = expand([str(path)], InputFormat(unit=TextUnit.PARAGRAPH))
    first = next(iter(samples(shard)))
    assert first.page is not None
    assert first.page.info["text_list"] == ["A boat. It is red.", "A lake.", "Dr. Lee swims."]
    columns = read_columns(shard, TOKENIZER)
    assert fetch(columns.shard, *columns.place(0)) == first.as_json()


def test_lists_of_different_length_are_named_as_the_file_names_them(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    row = {"url": "", "images_urls": ["", "http://a.b"], "texts": ["a", None, "b"]}
    path.write_bytes(written.lines([row]))
    [found] = samples(Shard(str(path)))
    assert found.why == "texts has 3 places, images_urls 2"


def test_a_person_may_know_the_format_better(tmp_path: Path) -> None:
    path = written.written(tmp_path, "obelics")
    [shard] = expand([str(path)], InputFormat("interleaved"))
    assert {one.format for one in samples(shard)} == {"interleaved"}
    with pytest.raises(ConfigError, match="not a format; use one of"):
        InputFormat("nothing")
    [other] = expand([str(path)], InputFormat("pin"))
    assert all(one.why.startswith("not PIN") for one in samples(other))


BROKEN_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"images": [None], "texts": ["a", "b"]}, "texts has 2 places, images 1"),
    ({"images": [None], "texts": [None]}, "place 1 of 1 has neither a text nor an image"),
    ({"images": ["http://a.b"], "texts": ["a"]}, "place 1 of 1 has both a text and an image"),
    ({"images": [None], "texts": [5]}, "place 1 of texts is not text"),
    ({"images": [5], "texts": [None]}, "an image is neither a URL, a path nor bytes"),
    ({"images": None, "texts": []}, "images is null"),
    ({"images": "x", "texts": []}, "images is not a list"),
    ({"images": [None], "texts": ["a"], "metadata": "{", "general_metadata": ""},
     "metadata is not valid JSON"),
    ({"images": [None]}, "not OBELICS"),
    ([1], "not a JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "why"), BROKEN_ROWS)
def test_what_is_wrong_with_a_document_is_named_and_the_rest_goes_on(
    tmp_path: Path, row: Any, why: str
) -> None:
    good = {"images": [None], "texts": ["A boat."], "metadata": "[null]", "general_metadata": "{}"}
    path = tmp_path / "0.jsonl"
    path.write_bytes(written.lines([good, row, good]) + b"{\n" + written.lines([good]))
    found = list(samples(Shard(str(path))))
    assert [one.page is None for one in found] == [False, True, False, True, False]
    assert why in found[1].why
    assert found[3].why == "not valid JSON"
    columns = read_columns(Shard(str(path)), TOKENIZER)
    assert why in str(columns.document(1).error)


def test_a_tiff_with_fewer_frames_has_missing_images(tmp_path: Path) -> None:
    page = pages()[0]
    lists = page.parallel(lambda one: one.name[:-4])
    members = [
        ("0.json", json.dumps(lists).encode()), ("0.tiff", written.tiff(page.pictures[:2])),
        ("1.json", json.dumps(lists).encode()), ("1.tiff", b"II*\0" + b"\xff" * 40),
    ]  # fmt: skip
    path = tmp_path / "0.tar"
    path.write_bytes(written.tar(members))
    columns = read_columns(Shard(str(path)), TOKENIZER)
    assert [one.present for one in columns.document(0).images] == [True, True, False]
    assert [one.pixel_error is None for one in columns.document(1).images] == [False] * 3


MMC4 = {
    "text_list": ["A boat."],
    "image_info": [
        {"image_name": "ab12.png"},
        {"image_name": "cd34.png"},
        {"image_name": "no.png"},
    ],
    "similarity_matrix": [[0.3], [0.2], [0.1]],
}


def test_images_of_mmc4_may_be_members_of_the_tar(tmp_path: Path) -> None:
    one, two = (written.picture(n).data for n in (1, 2))
    path = tmp_path / "0.tar"
    path.write_bytes(
        written.tar(
            [("k.json", json.dumps(MMC4).encode()), ("k.ab12.jpg", one), ("k.cd34.png", two)]
        )
    )
    columns = read_columns(Shard(str(path)), TOKENIZER)
    assert columns.shard.format == "mmc4-members"
    assert [image.n_bytes for image in columns.document(0).images] == [len(one), len(two), None]
    info = json.loads(fetch(columns.shard, *columns.place(0)))
    assert info["similarity_matrix"] == MMC4["similarity_matrix"]
    assert any("members of the tar" in note for note in columns.notes)


def test_similarity_of_omnicorpus_is_taken_as_its_loader_does(tmp_path: Path) -> None:
    url = "https://example.org/a.jpg"
    row = {
        "sentences": [["A boat.", 0.5], ["A lake."]],
        "matrix": [[[0.3, 0.1]], [[0.2, 0.4]]],
        "images_info": [{"name": [url]}, {"name": ["https://example.org/b.jpg"]}],
    }
    path = tmp_path / "0.jsonl"
    path.write_bytes(written.lines([row]))
    [sample] = samples(Shard(str(path)))
    assert sample.page is not None
    info = sample.page.info
    assert info["text_list"] == ["A boat.", "A lake."]
    assert info["similarity_matrix"] == [[0.3, 0.1], [0.2, 0.4]]
    assert info["image_info"][0]["raw_url"] == url
    assert len(info["image_info"][0]["image_name"]) == 64


def test_json_arrays_of_mmc4_are_read(tmp_path: Path) -> None:
    one = written.picture(1).data
    import base64

    info = MMC4 | {"image_info": [{"image_base64": base64.b64encode(one).decode()}] * 3}
    folder = tmp_path / "chunks"
    folder.mkdir()
    (folder / "0.json").write_bytes(written.array([info, info]))
    for name in ("length.json", "shard_id_range.json"):
        (folder / name).write_text("{}")
    [shard] = expand([str(folder)])
    columns = read_columns(shard, TOKENIZER)
    assert (len(columns), columns.shard.format) == (2, "")
    assert [image.n_bytes for image in columns.document(1).images] == [len(one)] * 3
    assert json.loads(fetch(columns.shard, *columns.place(1))) == info
    whole = (folder / "0.json").read_bytes()
    (folder / "0.json").write_bytes(whole[:-5])
    with pytest.raises(ShardError, match="the JSON array is not complete"):
        list(samples(shard))


def test_mmc4_wins_wherever_it_is_found() -> None:
    rows = [({"images": [], "texts": []}, frozenset[str]())] * 3 + [(MMC4, frozenset[str]())]
    found = recognise(rows, Container.LINES)
    assert found is not None
    assert found.name == "mmc4"


def test_every_name_is_known_and_has_an_example() -> None:
    assert len(set(NAMES)) == len(FORMATS)
    for name in NAMES:
        assert format_named(name).example
    assert {name.split()[0] for name in written.FORMATS} | {
        "mmc4", "mmc4-members", "omnicorpus-similarity"
    } == set(NAMES)  # fmt: skip


TEXTS = st.text("ab. !?\n\r\x0b\u2028é中。", max_size=60)


@given(TEXTS)
def test_nothing_of_a_text_is_lost_by_cutting_it(text: str) -> None:
    for unit in TextUnit:
        found = cut(text, unit)
        assert "".join("".join(found).split()) == "".join(text.split())
        assert all(one == one.strip() and one and "\n" not in one for one in found)


def _by_nupunkt(text: str) -> list[str]:
    """Cut each line of a text as nupunkt does."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [one.strip() for line in lines for one in nupunkt.load("default").tokenize(line)]
    return [one for one in found if one]


PARTS = st.one_of(
    st.sampled_from(".....  ?!…\"')]}»”’*(-,:@1aBdzIéÉ"),
    st.sampled_from(
        ["Mr", "U.S", "vs", "etc.", "no.", "I'm", "12", "ii", "--", ". .", "boat.", "Go"]
    ),
    st.sampled_from("       \t\xa0\u3000"),
)


@settings(max_examples=400)
@given(st.lists(PARTS, max_size=24))
@example(["boat.", " ", ")", " ", "B"])
@example(["1", ".", " ", "Go", " ", "bc."])
@example(["bc", " ", ".", " ", ".", " ", ".", " ", "Go"])
def test_sentences_are_those_of_nupunkt(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert cut(text, TextUnit.SENTENCE) == _by_nupunkt(text)


SCRIPTS = (
    "ü Über über école Straße ﬁn ǅ Привет мир ελλάδα 日本 한국어 العربية हिन्दी ß ª Ⅷ Dr z.B ул"
)
WORDS = st.sampled_from([*SCRIPTS.split(), *sorted(nupunkt.load("default").abbreviations)])


@settings(max_examples=400)
@given(st.tuples(WORDS, WORDS, st.sampled_from(".?!"), WORDS, WORDS, st.sampled_from("!).")))
def test_words_of_any_script_end_sentences_as_in_nupunkt(drawn: tuple[str, ...]) -> None:
    text = "{} {}{} {} {}{}".format(*drawn)
    assert cut(text, TextUnit.SENTENCE) == _by_nupunkt(text)


def test_sentences_of_real_documents_are_those_of_nupunkt() -> None:
    for _, info in real.documents():
        text = " ".join(info["text_list"])
        for one in (text, text.lower(), text.title(), text.replace(" ", "  ")):
            assert cut(one, TextUnit.SENTENCE) == _by_nupunkt(one)


def _ends(texts: list[str]) -> set[int]:
    """Return where texts end, in characters that are not white space."""
    return set(np.cumsum([len("".join(text.split())) for text in texts]).tolist())


def test_sentences_are_those_of_mmc4() -> None:
    found = wanted = right = 0
    for _, info in real.documents():
        own = _ends(info["text_list"])
        here = _ends(cut(" ".join(info["text_list"]), TextUnit.SENTENCE))
        found, wanted, right = found + len(here), wanted + len(own), right + len(own & here)
    assert (round(right / wanted, 3), round(right / found, 3)) == (0.981, 0.994)


PIECES = st.lists(
    st.one_of(st.text('aé." \\<&', min_size=1, max_size=20), st.integers(1, 9)), max_size=6
)


@settings(max_examples=25, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=4), st.sampled_from(sorted(written.FORMATS)))
def test_any_page_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[list[Any]], name: str
) -> None:
    found = [
        WebPage(tuple(one if isinstance(one, str) else written.picture(one) for one in pieces))
        for pieces in drawn
    ]
    path = written.written(tmp_path_factory.mktemp("any"), name, found)
    got = list(samples(Shard(str(path), format=name.split()[0])))
    for page, sample in zip(found, got, strict=True):
        assert sample.page is not None, sample.why
        entries = sample.page.info["image_info"]
        assert (
            sample.page.info["text_list"],
            [entry["matched_text_index"] for entry in entries],
        ) == expected(page)


@given(st.sets(st.integers(0, 400), max_size=24), st.integers(1, 130))
def test_rows_that_are_wanted_are_those_of_the_file(cuts: set[int], size: int) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"n": list(range(400))}), buffer, row_group_size=size)
    ends = sorted(cuts)[: len(cuts) // 2 * 2]
    wanted = [range(*pair) for pair in zip(ends[::2], ends[1::2], strict=True)]
    found = [(row.number, row.fields) for row in parquet.rows(buffer, 10_000, wanted)]
    assert found == [(n, {"n": n}) for one in wanted for n in one if n < 400]


def test_a_sample_without_fields() -> None:
    assert Sample("a", None).fields() is None
    assert Sample("a", b"{").fields() is BROKEN


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


@pytest.mark.parametrize("name", written.FORMATS)
def test_without_scores_every_threshold_says_so(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written.written(tmp_path, name)
    assert run("curve", path) != 0
    [line] = capsys.readouterr().err.splitlines()
    assert "no scores yet" in line
    assert "mmc4viz score" in line
    assert run("explain", path, "--min-kb", "-1") == 0
    said = capsys.readouterr()
    assert "have no scores" in said.out
    assert "no scores yet" in said.err
    assert "mmc4viz explain" not in said.err  # that is what was run
    assert run("index", path, "--out", tmp_path / "idx") == 0
    assert run("curve", "--index", tmp_path / "idx") != 0
    assert "no scores yet" in capsys.readouterr().err
    assert run("index", path, "--out", tmp_path / "idx") == 0
    assert "skipped" in capsys.readouterr().out


def test_the_neighbor_is_refused_where_it_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "0.jsonl"
    path.write_bytes(written.lines([MMC4]))
    assert run("curve", path, "--assignment", "neighbor") != 0
    assert "does not record" in capsys.readouterr().err


def test_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("formats") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES)
    assert run("formats", "--format", "json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(NAMES)
