"""Real public files from their bytes to an export; every number is counted here in plain Python."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz import open_index
from mmc4viz.pairs.table import batches, open_table
from tests.cli.test_cli import Run
from tests.support.real import DOCUMENTS
from tests.ui.test_pages import alerts, markup, opened
from tests.ui.test_pair_pages import control_of

REAL = Path(__file__).parents[1] / "recordings" / "real"
LAION, URLS = REAL / "laion2b_multi_ko.parquet", REAL / "img2dataset_urls.parquet"
TAR = REAL / "cc12m_img2dataset.tar"
CC3M, LABELS, CC12M = (
    REAL / name for name in ("cc3m_validation.tsv", "cc3m_image_labels.tsv", "cc12m.tsv")
)
LAYOUTS = {
    LAION: "laion-5b", URLS: "table", TAR: "img2dataset", CC3M: "captions", LABELS: "captions",
    CC12M: "captions",
}  # fmt: skip
THRESHOLDS = (0.265, 0.28, 0.3)


def test_real_files_are_small_and_each_has_its_source() -> None:
    files = {path for path in REAL.iterdir() if path.is_file() and path.name != "README.md"}
    assert files == set(LAYOUTS)
    sizes = [path.stat().st_size for path in files]
    assert max(sizes) < 150_000
    assert sum(sizes) < 600_000
    named = [line.split("`")[1] for line in (REAL / "README.md").read_text().splitlines()
             if line.startswith("| `")]  # fmt: skip
    assert sorted(named) == sorted(path.name for path in files)


def lines_of(path: Path) -> list[list[str]]:
    """Return the cells of a TSV without quotes."""
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def samples_of(path: Path) -> list[dict[str, Any]]:
    """Return what the .json members of a tar hold."""
    with tarfile.open(path) as tar:
        files = [tar.extractfile(one) for one in tar if one.name.endswith(".json")]
        return [json.loads(one.read()) for one in files if one is not None]


def texts_of(path: Path) -> list[tuple[str, str]]:
    """Return text and URL of each row."""
    if path is TAR:
        return [(row["caption"], row["url"]) for row in samples_of(path)]
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        return [(row["TEXT"], row["URL"]) for row in rows]
    cells = lines_of(path)
    return [(row[1], row[0]) if path is CC12M else (row[0], row[1]) for row in cells]


def table_rows(said: str) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(io.StringIO(said))


@pytest.mark.parametrize("path", LAYOUTS, ids=lambda path: path.name)
def test_texts_and_urls_are_read_as_they_are(path: Path) -> None:
    table = open_table([str(path)])
    assert table.layout.name == LAYOUTS[path]
    names = [table.layout.column_of(role, table.first.columns) for role in ("text", "url")]
    asked = [name for name in names if name is not None]
    read = [
        pair
        for batch in batches(table.first, asked, None)
        for pair in zip(*(batch.columns[name].to_pylist() for name in asked), strict=True)
    ]
    assert read == texts_of(path)


@pytest.mark.parametrize("path", [CC3M, CC12M, LABELS], ids=lambda path: path.name)
def test_any_of_the_lines_may_be_the_first(tmp_path: Path, path: Path) -> None:
    copy = tmp_path / path.name
    for line in path.read_text(encoding="utf-8").splitlines():
        copy.write_text(f"{line}\n", encoding="utf-8")
        table = open_table([str(copy)])
        assert (table.layout.name, table.first.header) == ("captions", False)
        assert table.first.columns[:2] == open_table([str(path)]).first.columns[:2]


@pytest.mark.slow
def test_laion_from_the_index_to_the_export(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pq.read_table(LAION).to_pylist()
    kept = {at: [n for n, row in enumerate(rows) if row["similarity"] >= at] for at in THRESHOLDS}
    assert 0 < len(kept[0.3]) < len(kept[0.28]) < len(kept[0.265]) < len(rows) == 300
    index = tmp_path / "idx"
    assert Run(capsys, "index", LAION, "--out", index).code in (0, None)
    grid = ("--thresholds", ",".join(map(str, THRESHOLDS)))
    for source in ((LAION,), ("--index", index)):
        said = table_rows(Run(capsys, "curve", *source, *grid).out)
        assert [int(row["pairs"]) for row in said if row["score"] == "similarity"] == [
            len(kept[at]) for at in THRESHOLDS
        ]
    where = Run(capsys, "curve", LAION, "--threshold", "0.28", "--where", "LANGUAGE=ko")
    [row] = table_rows(where.out)
    assert int(row["pairs"]) == sum(rows[n]["LANGUAGE"] == "ko" for n in kept[0.28])

    explained = Run(capsys, "explain", LAION, "--threshold", "0.28", "--first", "300",
                    "--format", "jsonl")  # fmt: skip
    said = explained.rows
    assert [one["row"] for one in said if one["status"] == "kept"] == kept[0.28]
    assert [one["id"] for one in said] == [str(row["SAMPLE_ID"]) for row in rows]

    app = opened(monkeypatch, "threshold", str(LAION), {"roots": [str(REAL)]})
    assert not alerts(app)
    header, arrays = control_of(app)
    assert header["all_pairs"] == len(rows)
    for at in THRESHOLDS:
        step = round(at / header["step"]) - header["first"]
        assert arrays["pairs"][step] == len(kept[at])

    settings, manifest = tmp_path / "settings.yaml", tmp_path / "kept.parquet"
    Run(capsys, "export", LAION, "--threshold", "0.3", "--out", settings, "--manifest", manifest)
    written = pq.read_table(manifest).to_pylist()
    assert [one["row"] for one in written] == kept[0.3]
    assert [one["URL"] for one in written] == [rows[n]["URL"] for n in kept[0.3]]
    assert Run(capsys, "verify", settings, LAION).code in (0, None)


@pytest.mark.slow
def test_an_img2dataset_tar_has_no_scores_but_sizes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, index = samples_of(TAR), tmp_path / "idx"
    refused = Run(capsys, "curve", TAR)
    assert "no scores (rows of img2dataset)" in refused.err
    assert "such as width" in refused.err
    wide = [n for n, row in enumerate(rows) if row["original_width"] >= 600]
    assert 0 < len(wide) < len(rows) == 32
    asked = ("--score", "original_width")
    assert Run(capsys, "index", TAR, "--out", index, *asked).code in (0, None)
    for source in ((TAR,), ("--index", index)):  # the index counts all known numbers
        [said] = table_rows(Run(capsys, "curve", *source, *asked, "--thresholds", "600").out)
        assert int(said["pairs"]) == len(wide)
    start = {"named": ["original_width"], "roots": [str(REAL)]}
    app = opened(monkeypatch, "threshold", str(TAR), start)
    assert not alerts(app)
    assert control_of(app)[0]["all_pairs"] == len(rows)
    manifest = tmp_path / "kept.jsonl"
    Run(capsys, "export", TAR, *asked, "--threshold", "600", "--manifest", manifest,
        "--out", tmp_path / "settings.yaml")  # fmt: skip
    written = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    assert [one["key"] for one in written] == [rows[n]["key"] for n in wide]


@pytest.mark.parametrize("path", [CC3M, CC12M, LABELS, URLS], ids=lambda path: path.name)
def test_captions_without_scores_take_those_of_another_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    for command in (("curve",), ("index", "--out", tmp_path / "idx"), ("explain",)):
        refused = Run(capsys, command[0], path, *command[1:])
        assert refused.code not in (0, None)
        assert refused.err.count("\n") == 1
        assert "no scores" in refused.err
        assert "--scores FILE" in refused.err
    [line] = alerts(opened(monkeypatch, "threshold", str(path), {"roots": [str(REAL)]}))
    assert "no scores" in line

    pairs = texts_of(path)
    lengths = [len(text) for text, _ in pairs]
    middle = sorted(lengths)[len(lengths) // 2]
    scores, manifest = tmp_path / "scores.parquet", tmp_path / "kept.jsonl"
    key = "URL" if path is URLS else "url"
    pq.write_table(pa.table({key: [url for _, url in pairs], "letters": lengths}), scores)
    asked = ("--scores", f"{scores}:{key}", "--score", "letters=none")
    [said] = table_rows(Run(capsys, "curve", path, *asked, "--thresholds", middle).out)
    kept = [url for (_, url), length in zip(pairs, lengths, strict=True) if length >= middle]
    assert 0 < len(kept) < len(pairs)
    assert int(said["pairs"]) == len(kept)
    Run(capsys, "export", path, *asked, "--threshold", middle, "--manifest", manifest,
        "--out", tmp_path / "settings.yaml")  # fmt: skip
    written = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    assert [one[key] for one in written] == kept


@pytest.mark.slow
def test_mmc4_from_the_index_to_the_export(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = [json.loads(line) for line in DOCUMENTS.read_text().splitlines()]
    index, manifest = tmp_path / "idx", tmp_path / "kept.jsonl"
    assert Run(capsys, "index", DOCUMENTS, "--out", index).code in (0, None)
    [part] = open_index(str(index)).columns
    shapes = [np.shape(part.document(row).similarity) for row in range(len(part))]
    assert shapes == [(len(one["image_info"]), len(one["text_list"])) for one in documents]
    every = ("--assignment", "stored", "--max-images", "1000", "--max-tokens", "100000",
             "--min-images", "1", "--single-image-keep", "1")  # fmt: skip
    grid = (0.25, 0.28)
    said = Run(capsys, "curve", "--index", index, *every, "--thresholds", "0.25,0.28")
    matched = [[image["matched_sim"] for image in one["image_info"]] for one in documents]
    for at, row in zip(grid, table_rows(said.out), strict=True):
        passed = [sum(score >= at for score in one) for one in matched]
        assert float(row["pairs"]) == sum(passed)
        assert float(row["kept"]) == sum(count > 0 for count in passed)
    shown = markup(opened(monkeypatch, "documents", str(DOCUMENTS), doc="0.0"))
    assert documents[0]["text_list"][0][:20] in shown
    Run(capsys, "export", "--index", index, *every, "--threshold", "0.28",
        "--manifest", manifest, "--out", tmp_path / "settings.yaml")  # fmt: skip
    written = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    kept = [one["number"] for one in written if one["outcome"] == "kept"]
    assert kept == [number for number, one in enumerate(matched) if max(one) >= 0.28]
