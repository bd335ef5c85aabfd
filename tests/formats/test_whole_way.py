"""Each format from its files to a threshold, the page Documents and rows for a trainer."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmc4viz import LoaderConfig, load_tokenizer, match_corpus, open_index, read_columns
from mmc4viz.cli import main
from mmc4viz.data.shards import expand
from mmc4viz.formats.registry import format_named
from mmc4viz.loader.walk import walk
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.statistics import Tally, tally
from mmc4viz.sweep.sweep import sweep
from mmc4viz.types import NEIGHBOR, PairStatus
from mmc4viz.ui.components import document_list
from tests.data.test_similarity_file import write_sidecar
from tests.formats import written
from tests.formats.written import Picture, pages
from tests.ui.test_pages import alerts, markup, opened

TOKENIZER = load_tokenizer()
THRESHOLDS = np.array([0.1, 0.3, 0.5, 0.7, 0.9])


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert not stop.value.code


def scored(folder: Path, name: str) -> Path:
    """Write pages, index them, and add scores drawn at random; return the index."""
    path, index = written.written(folder, name), folder / "idx"
    run("index", path, "--out", index)
    rng, rows = np.random.default_rng(3), []
    for part in open_index(str(index)).columns:
        for row in range(len(part)):
            document, key = part.document(row), str(part.batch.column("key")[row])
            values = rng.random(np.shape(document.similarity), np.float32)
            rows.append((path.name, key, values))
    write_sidecar(folder / "s.parquet", rows)
    run("index", "--out", index, "--similarity", f"random={folder / 's.parquet'}")
    return index


@pytest.mark.parametrize("assignment", ["one_to_one", NEIGHBOR])
@pytest.mark.parametrize("name", written.FORMATS)
def test_curves_are_the_sums_of_walks(tmp_path: Path, name: str, assignment: str) -> None:
    [part] = open_index(str(scored(tmp_path, name)), similarity="random").columns
    config = LoaderConfig(assignment=assignment, min_kb=-1)
    curves = sweep(match_corpus([part], config), config, THRESHOLDS)
    for step, threshold in enumerate(THRESHOLDS):
        here, total = config.with_(threshold=float(threshold)), Tally.empty()
        for row, page in enumerate(pages()):
            document = part.document(row)
            verdict = walk(document, here, TOKENIZER)
            total += tally(verdict, here.max_tokens)
            if assignment == NEIGHBOR:
                assert [pair.sentence for pair in verdict.pairs] == [
                    image.stored_sentence for image in document.images
                ]
            assert len(document.images) == len(page.pictures)
        np.testing.assert_array_equal(curves.counts[:, :, step], total.counts)
        np.testing.assert_array_equal(curves.images[:, step], total.images)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, kept in written.FORMATS.items() if kept.bytes_kept]
)
def test_rows_for_a_trainer_have_the_images_of_the_page(tmp_path: Path, name: str) -> None:
    index, out = scored(tmp_path, name), tmp_path / "hf"
    run("export", "--index", index, "--similarity", "random", "--assignment", NEIGHBOR, "--min-kb",
        "-1", "--threshold", "0", "--min-images", "1", "--for", "hf", "--out", out)  # fmt: skip
    [file] = out.glob("**/*.parquet")
    rows = {row["number"]: row for row in pq.read_table(file).to_pylist()}
    [part] = open_index(str(index), similarity="random").columns
    config = LoaderConfig(assignment=NEIGHBOR, min_kb=-1, threshold=0.0)
    for number, page in enumerate(pages()):
        verdict = walk(part.document(number), config, TOKENIZER)
        kept = [pair.image for pair in verdict.pairs if pair.status is PairStatus.KEPT]
        assert (number in rows) == bool(kept)
        got = [one["bytes"] for one in rows[number]["images"] if one] if kept else []
        wanted = [page.pictures[image].data for image in kept]
        assert list(map(_pixels, got)) == list(map(_pixels, wanted))


def _pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", written.FORMATS)
def test_the_app_opens_documents_and_says_that_there_are_no_scores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    path = written.written(tmp_path, name)
    shown = markup(opened(monkeypatch, "documents", str(path), doc="0.0", kb="-1"))
    assert "have no scores" in shown
    assert all(text.split(".")[0] in shown for text in pages()[0].pieces if isinstance(text, str))
    if format_named(name.split()[0]).in_page_order and written.FORMATS[name].bytes_kept:
        assert shown.count("data:image/jpeg") >= len(pages()[0].pictures)
    [line] = alerts(opened(monkeypatch, "threshold", str(path)))
    assert "no scores yet" in line


@pytest.mark.parametrize("special", ["", " <image>"])
def test_the_list_says_that_documents_have_no_scores_yet(tmp_path: Path, special: str) -> None:
    rows = [
        {"images": ["http://a/b.jpg", None], "texts": [None, f"A boat.{special}"]},
        {"images": ["http://a/b.jpg"], "texts": ["both", "of other length"]},
    ]
    path = tmp_path / "0.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    config = LoaderConfig(min_kb=-1)
    columns = [read_columns(shard, TOKENIZER) for shard in expand([str(path)])]
    found = verdicts(match_corpus(columns, config), config)
    listed = document_list.csv_rows(columns, found, np.arange(len(rows)), 0.5)
    at = document_list.CSV_HEAD.index("reason")
    assert [row[at] for row in listed] == ["no scores yet", "loader error"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["obelics with images", "mint-1t"])
def test_the_app_shows_the_place_of_images_beside_the_assignment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    index = scored(tmp_path, name)
    started: dict[str, Any] = {"shards": [], "index": str(index), "similarity": "random"}
    app = opened(monkeypatch, "documents", "", started, doc="0.0", kb="-1")
    assert "on the page" in markup(app)
    assert "Neighbor on the page" in markup(app)
    [assignment] = [box for box in app.selectbox if box.label == "Assignment"]
    assert "Neighbor on the page" in assignment.options
    app = opened(monkeypatch, "documents", "", started, doc="0.0", kb="-1", match="neighbor")
    assert markup(app).count("stands here on the page") == sum(
        isinstance(one, Picture) for one in pages()[0].pieces
    )
