"""Published figures beside a corpus's own: each is what the walk says of documents one by one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

import mmc4viz
from mmc4viz import Document, LoaderConfig, Verdict, load_tokenizer, parse_document, walk
from mmc4viz.notebook import OpenedCorpus
from mmc4viz.reference_figures import (
    FIGURES,
    JUDGED,
    REPORT,
    SOURCES,
    TABLE_3,
    ComparedFigure,
    ReferenceComparison,
    wilson,
)
from mmc4viz.types import Outcome
from tests.cli.test_cli import Run
from tests.support import manual, real
from tests.support.documents import chatgpt, entry, info, jpeg, write_tar
from tests.support.hostile import TEXTS

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample_data"
TOKENIZER = load_tokenizer()
ARGMAX = LoaderConfig(assignment="argmax")


def page(rng: np.random.Generator) -> dict[str, Any]:
    """Return a document with scores around the thresholds, as MMC4 stores it."""
    n_images, n_sentences = int(rng.integers(0, 9)), int(rng.integers(1, 12))
    matrix = rng.normal(0.22, 0.06, (n_images, n_sentences)).round(3)
    images = []
    for row in matrix:
        size = rng.choice([12_000, 12_000, 12_000, 10_999])
        data = None if rng.random() < 0.1 else jpeg(int(size))
        stored = {"matched_text_index": int(row.argmin()), "matched_sim": float(row.max())}
        images.append(entry(data, **(stored if rng.random() < 0.9 else {"matched_sim": None})))
    words = rng.integers(1, 60, n_sentences)
    sentences = [" ".join(["boat"] * n) + "." for n in words.tolist()]
    if rng.random() < 0.1:
        sentences[0] += " <image>"  # counts are not additive: its text is tokenized whole
    return info(matrix.tolist(), sentences, images)


def corpus_of(folder: Path, documents: list[Any], **how: Any) -> OpenedCorpus:
    path = write_tar(folder / "s.tar", [(f"d{n:04}", one) for n, one in enumerate(documents)])
    return mmc4viz.open(path, **how)


@pytest.fixture(scope="module")
def written() -> list[Any]:
    rng = np.random.default_rng(5)
    documents: list[Any] = [page(rng) for _ in range(150)]
    documents.insert(3, b"no json")
    documents.insert(9, chatgpt("_!_IMAGE1_!_ a boat", 1))
    documents.insert(20, info([[0.3]], images=[entry(b"\0" * 12_000)]))  # cannot be decoded
    return documents


@pytest.fixture(scope="module")
def corpus(written: list[Any], tmp_path_factory: pytest.TempPathFactory) -> OpenedCorpus:
    return corpus_of(tmp_path_factory.mktemp("pages"), written, clip_model="ViT-L/14")


def found_in(comparison: ReferenceComparison, name: str) -> ComparedFigure:
    return next(one for one in comparison.figures if one.figure.name == name)


def parsed(written: list[Any]) -> list[Document]:
    raw = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in written]
    found = [parse_document(f"d{n:04}", one) for n, one in enumerate(raw)]
    return [one for one in found if one.error is None and not one.is_gpt]


def by_hand(documents: list[Document]) -> dict[str, float]:
    """Compute every figure from what the walk says of each document."""
    found: dict[str, float] = {}
    for threshold in (0.24, 0.32):
        verdicts = [walk(d, ARGMAX.with_(threshold=threshold), TOKENIZER) for d in documents]
        out = (Outcome.UNREADABLE, Outcome.NO_VALID_IMAGE)
        judged = [v for v in verdicts if v.outcome not in out]
        lost = [v for v in judged if v.outcome is Outcome.BELOW_THRESHOLD]
        found[f"discarded_{threshold}"] = len(lost) / len(judged)
        kept = [v for v in verdicts if v.outcome is Outcome.KEPT]
        ones = [v for v in kept if v.image_tokens == 1]
        found[f"single_image_before_{threshold}"] = len(ones) / len(kept)
        found[f"single_image_{threshold}"] = (len(ones) / 2) / (len(kept) - len(ones) / 2)
        if threshold == 0.24:
            found |= sequences(kept)
    stored = ARGMAX.with_(assignment="stored", min_kb=-1, threshold=-1.0)
    scores = [p.score for d in documents for p in walk(d, stored, TOKENIZER).pairs]
    for threshold in (0.15, 0.20, 0.25, 0.30):
        found[f"pairs_{threshold:.2f}"] = float(np.mean(np.array(scores) >= threshold))
    found["pair_score_mean"] = float(np.mean(scores))
    images = [len(d.images) for d in documents]
    found["document_images_min"], found["document_images_max"] = min(images), max(images)
    found["document_images_mean"] = float(np.mean(images))
    texts = [" ".join(d.sentences) for d in documents]
    found["document_tokens_mean"] = float(np.mean(TOKENIZER.lengths(texts)))
    return found


def sequences(kept: list[Verdict]) -> dict[str, float]:
    twice = [v for v in kept for _ in range(round(2 * v.keep_probability))]
    images = sorted(v.image_tokens for v in twice)
    tokens = sorted(min(v.shape.length, 256) for v in twice)
    middle = (len(twice) - 1) // 2  # at least half do not exceed it
    return {
        "sequence_images_min": images[0],
        "sequence_images_max": images[-1],
        "sequence_images_median": images[middle],
        "sequence_tokens_median": tokens[middle],
    }


@pytest.mark.slow
def test_every_figure_is_what_the_walk_says(corpus: OpenedCorpus, written: list[Any]) -> None:
    expected, found = by_hand(parsed(written)), corpus.reference()
    told = {one.figure.name: one.here.value for one in found.figures if not one.reason}
    assert told == {name: pytest.approx(value, abs=1e-12) for name, value in expected.items()}
    measured = {figure.name for figure in FIGURES if figure.source is not JUDGED}
    assert expected.keys() == measured
    assert 0 < told["discarded_0.24"] < told["discarded_0.32"] < 1  # type: ignore[operator]
    assert told["sequence_tokens_median"] < 256  # type: ignore[operator]


def test_figures_do_not_depend_on_the_settings_in_use(written: list[Any], tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, written, clip_model="ViT-L/14")
    fresh = corpus.reference().rows()
    corpus.curves(LoaderConfig(assignment="greedy", max_images=1, min_kb=50), [0.3])
    assert corpus.reference().rows() == fresh


def test_documents_that_do_not_count_are_counted(corpus: OpenedCorpus) -> None:
    notes = corpus.reference().notes
    assert "1 unreadable document is left out." in notes
    assert "1 ChatGPT-generated document is left out." in notes


def test_intervals_take_documents_as_the_unit(corpus: OpenedCorpus, written: list[Any]) -> None:
    """The linearized interval of a ratio, written out."""
    documents = parsed(written)
    stored = ARGMAX.with_(assignment="stored", min_kb=-1, threshold=-1.0)
    scores = [[p.score for p in walk(d, stored, TOKENIZER).pairs] for d in documents]
    top = np.array([sum(s >= 0.25 for s in one) for one in scores], float)
    bottom = np.array([len(one) for one in scores], float)
    share, n = top.sum() / bottom.sum(), len(written)
    spread = np.sqrt(n / (n - 1) * ((top - share * bottom) ** 2).sum()) / bottom.sum()
    here = found_in(corpus.reference(), "pairs_0.25").here
    half = student.ppf(0.975, n - 1) * spread
    assert here.low == pytest.approx(share - half)
    assert here.high == pytest.approx(share + half)
    assert here.documents == (bottom > 0).sum()
    mean = found_in(corpus.reference(), "pair_score_mean").here
    assert mean.low < mean.value < mean.high  # type: ignore[operator]


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Median and share over samples of documents from a large population."""
    from mmc4viz.reference_figures import _Corpus

    rng = np.random.default_rng(0)
    held, n = {"median": 0, "share": 0}, 120
    for _ in range(300):
        images = 1 + rng.binomial(5, 0.33, n)  # median 3, mean 2.65
        keep = np.where(images == 1, 0.5, 1.0)
        one = _Corpus([], lambda _: pytest.fail("not needed"), None)
        one.__dict__["_clusters"] = np.arange(n), np.ones(n), n
        median, share = one.median(images, keep), one.ratio(keep * (images == 1), keep, share=True)
        held["median"] += median.low <= 3 <= median.high  # type: ignore[operator]
        truth = 0.67**5 / 2 / (1 - 0.67**5 / 2)
        held["share"] += share.low <= truth <= share.high  # type: ignore[operator]
    assert held["median"] >= 0.93 * 300
    assert 0.91 * 300 <= held["share"] <= 300


def test_a_share_of_all_or_none_has_wilson_s_interval(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [info([[0.4], [0.4]])] * 20)
    one = found_in(corpus.reference(), "discarded_0.24").here
    assert (one.value, one.low) == (0.0, pytest.approx(0.0, abs=1e-12))
    assert one.high == pytest.approx(3.841459 / (20 + 3.841459), abs=1e-6)
    rows = corpus.reference().rows()
    assert all(
        row["here_low"] <= row["here"] <= row["here_high"] for row in rows if row["here_low"]
    )


def test_published_shares_of_samples_have_their_own_interval() -> None:
    found = {figure.name: figure.limits for figure in FIGURES}
    assert found["single_image_0.24"] == (
        pytest.approx(0.35, abs=1e-3),
        pytest.approx(0.41, abs=1e-3),
    )
    assert found["discarded_0.24"] is None  # its sample is not stated
    assert found["sequence_images_median"] is None
    assert wilson(0.776, 799) == (pytest.approx(0.746, abs=1e-3), pytest.approx(0.804, abs=1e-3))


def reasons(comparison: ReferenceComparison, source: Any) -> set[str]:
    return {one.reason for one in comparison.of(source)}


@pytest.mark.parametrize("source", [REPORT, TABLE_3])
def test_what_the_corpus_cannot_tell_is_listed_with_the_reason(source: Any, tmp_path: Path) -> None:
    pages = [page(np.random.default_rng(n)) for n in range(30)]
    other = corpus_of(tmp_path, pages, clip_model="ViT-B/32").reference()
    assert reasons(other, source) == {"published for ViT-L/14; the scores here are by ViT-B/32"}
    assert len(other.figures) == len(FIGURES)
    assert found_in(other, "document_images_mean").here.value is not None
    for one in pages:
        for image in one["image_info"]:
            if image["matched_sim"] is not None:
                image["matched_sim"] *= 100
        one["similarity_matrix"] = (100 * np.array(one["similarity_matrix"])).tolist()
    [reason] = reasons(corpus_of(tmp_path, pages).reference(), source)
    assert reason == "published for cosines; the scale of the scores here is ×100"
    for one in pages:
        one["image_info"] = [entry() for _ in one["image_info"]]  # all missing
    [reason] = reasons(corpus_of(tmp_path, pages).reference(), source)
    assert reason.startswith("no ")


def test_an_unnamed_model_is_told(tmp_path: Path) -> None:
    found = corpus_of(tmp_path, [info([[0.3]])] * 5).reference()
    assert found.notes[0].startswith("The CLIP model is not named")
    assert found_in(found, "discarded_0.32").here.value == 1.0
    assert found_in(found, "single_image_0.32").reason == "nothing is left to count"
    assert reasons(found, TABLE_3) == {"no stored pair"}
    assert reasons(found, JUDGED) == {
        "documents do not tell: label pairs on the page Label (mmc4viz app)"
    }


def test_stored_pairs_are_not_held_against_another_model_s_scores(tmp_path: Path) -> None:
    index = str(tmp_path / "index")
    from mmc4viz.cli import main

    for arguments in (
        ["index", str(SAMPLE), "--out", index, "--workers", "1", "--similarity",
         f"ViT-L-14={SAMPLE / 'similarity_b.parquet'}"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
    found = mmc4viz.open(index=index, similarity="ViT-L-14", clip_model="ViT-L/14").reference()
    assert reasons(found, TABLE_3) == {
        "the stored assignment belongs to the shards' own scores; choose these"
    }
    assert found_in(found, "discarded_0.24").here.value is not None


@pytest.mark.parametrize("documents", [[], [b"{"], [b"{", b"[]"], [{"is_gpt": 1}]], ids=str)
def test_a_corpus_of_nothing_has_reasons_only(documents: list[Any], tmp_path: Path) -> None:
    found = corpus_of(tmp_path, documents).reference()
    assert all(one.reason and one.here.value is None for one in found.figures)


def test_texts_that_cannot_be_tokenized_are_counted(tmp_path: Path) -> None:
    good = [info([[0.3]], ["A boat."]) for _ in range(4)]
    bad = [info([[0.3]], [None]), info([[0.3]], "text"), info([[0.3]], ["\ud800"])]
    found = corpus_of(tmp_path, [*good, *bad]).reference()
    tokens = found_in(found, "document_tokens_mean").here
    assert (tokens.value, tokens.documents) == (3.0, 4)
    assert any(note.startswith("3 documents have no text") for note in found.notes)


@pytest.mark.slow
def test_a_sample_has_its_clusters(tmp_path: Path) -> None:
    whole = found_in(mmc4viz.open(SAMPLE).reference(), "document_images_mean").here
    part = found_in(mmc4viz.open(SAMPLE, sample=120).reference(), "document_images_mean").here
    assert part.low < whole.value < part.high  # type: ignore[operator]
    assert part.high - part.low > whole.high - whole.low  # type: ignore[operator]
    assert part.documents < whole.documents


def test_the_command_prints_what_the_notebook_has(capsys: pytest.CaptureFixture[str]) -> None:
    rows = mmc4viz.open(real.DOCUMENTS).reference().rows()
    said = json.loads(Run(capsys, "reference", real.DOCUMENTS, "--format", "json").out)
    assert said["figures"] == rows
    printed = list(csv.DictReader(
        io.StringIO(Run(capsys, "reference", real.DOCUMENTS, "--format", "csv").out)
    ))  # fmt: skip
    assert [row["figure"] for row in printed] == [row["figure"] for row in rows]
    assert [row["here"] for row in printed] == [
        "" if row["here"] is None else str(row["here"]) for row in rows
    ]
    table = Run(capsys, "reference", real.DOCUMENTS)
    assert table.code == 0
    assert all(source.name in table.out and source.how in table.out for source in SOURCES)
    assert "documents discarded at 0.32 88.7% – 66.4%" in " ".join(table.out.split())


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "<script>alert(1)</script>", *TEXTS[:3]])
def test_a_hostile_model_name_is_only_text(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not name.strip():
        return
    table = Run(capsys, "reference", SAMPLE, "--clip-model", name).out
    assert all(c.isprintable() or c == "\n" for c in table)
    text = Run(capsys, "reference", SAMPLE, "--clip-model", name, "--format", "csv").out
    for row in csv.reader(io.StringIO(text)):
        assert not any(cell[:1] in ("=", "+", "@", "|") for cell in row)


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    ran = Run(capsys, "reference")
    assert ran.code == 2 and ran.out == ""
    assert ran.err.count("\n") == 1 and "SHARDs" in ran.err


@pytest.mark.slow
def test_the_page_of_real_documents_has_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every output and every cell of the tables is computed again."""
    text = (ROOT / "docs" / "real-documents.md").read_text()
    for _, step, quoted, printed in manual.run(text, tmp_path / "here"):
        shown = manual.shortened(printed, quoted)
        assert [line.split() for line in quoted.splitlines()] == [
            line.split() for line in shown.splitlines()
        ], step
    table = text.partition("<!-- shape -->")[2].partition("\n\n")[0].strip().splitlines()
    head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert len(lines) == 8
    for assignment, threshold, *cells in lines:
        ran = Run(capsys, "curve", real.DOCUMENTS, "--thresholds", threshold, "--shape",
                  "--format", "json", "--assignment", assignment.strip("`"))  # fmt: skip
        [row] = json.loads(ran.out)
        expected = [
            f"{row['documents']:g}", f"{row['single_image']:.1%}", f"{row['images_mean']:.2f}",
            f"{row['images_median']:g}", f"{row['text_before_mean']:.0f}",
            f"{row['text_between_mean']:.0f}", f"{row['followed']:.1%}",
            f"{row['truncated_sequences']:.1%}",
        ]  # fmt: skip
        assert cells == expected, (assignment, threshold)
    assert len(head) == 10
