"""``mmc4viz slices``, and the same from a notebook."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mmc4viz
from mmc4viz.slices.comparison import ENOUGH_LABELS
from mmc4viz.types import ConfigError, LoaderConfig
from tests.cli.test_cli import Run as Ran
from tests.thresholds.test_compare import label_file

SAMPLE = str(Path(__file__).parents[2] / "sample_data")


Answer = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def answer(*arguments: str) -> Answer:
        ran = Ran(capsys, *arguments)
        return ran.code, ran.out, ran.err

    return answer


def hostile_table(path: Path) -> str:
    columns = mmc4viz.open().columns
    shards = [one.shard.name for one in columns for _ in range(len(one))]
    keys = [str(key) for one in columns for key in one.batch.column("key")]
    values = ["=cmd|' /C calc'!A0", "<script>alert(1)</script>", "a\nb\x1b[31m", "plain"]
    value = [values[i % 4] for i in range(len(keys))]
    pq.write_table(pa.table({"shard": shards, "key": keys, "said": value}), path)
    return str(path)


@pytest.mark.slow
def test_slices_are_printed_in_three_formats(run: Callable[..., Answer]) -> None:
    line = ["slices", SAMPLE, "--by", "images", "--by", "position"]
    code, out, err = run(*line)
    assert code == 0 and err == ""
    assert "Images on the page: 104 of 240 documents kept (43.3%) at 0.24" in out
    assert "Position of the image on the page: 204 of 603 matched pairs kept (33.8%)" in out
    assert out.index("2–3 ") < out.index("7–12") < out.index("4–6")  # what costs most first
    code, out, _ = run(*line, "--format", "json")
    found = json.loads(out)
    assert [one["attribute"] for one in found] == ["images", "position"]
    for one in found:
        assert sum(row["size"] for row in one["slices"]) == one["size"]
        assert sum(row["kept"] for row in one["slices"]) == pytest.approx(one["kept"])
    code, out, _ = run(*line, "--format", "csv", "--sort", "order")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["slice"] for row in rows if row["attribute"] == "images"] == [
        "1", "2–3", "4–6", "7–12"
    ]  # fmt: skip


def test_the_shape_of_each_slices_sequences_is_that_of_its_documents(
    run: Callable[..., Answer],
) -> None:
    _, out, _ = run("slices", SAMPLE, "--by", "images", "--by", "format", "--format", "json")
    by_images, by_format = json.loads(out)
    opened = mmc4viz.open()
    told = opened.explain(LoaderConfig())
    told["on_page"] = [n for columns in opened.columns for n in columns.n_images.tolist()]
    ranges = {"1": (1, 1), "2–3": (2, 3), "4–6": (4, 6), "7–12": (7, 12)}
    for row in by_images["slices"]:
        here = told[told["on_page"].between(*ranges[row["slice"]])]
        probability, images = here["keep_probability"], here["image_tokens"]
        kept = probability.sum()
        assert row["images_mean"] == pytest.approx((probability * images).sum() / kept)
        assert row["single_image"] == pytest.approx(probability[images == 1].sum() / kept)
    assert all(row["images_mean"] is None for row in by_format["slices"])


@pytest.mark.slow
def test_a_users_values_are_data_in_every_format(
    run: Callable[..., Answer], tmp_path: Path
) -> None:
    path = hostile_table(tmp_path / "t.parquet")
    code, out, err = run("slices", SAMPLE, "--slices", path)
    assert code == 0 and err == "" and "\x1b" not in out and "a\\nb" in out
    _, out, _ = run("slices", SAMPLE, "--slices", path, "--format", "csv")
    assert "\x1b" not in out
    assert "'=cmd|' /C calc'!A0" in [row["slice"] for row in csv.DictReader(io.StringIO(out))]
    shown = mmc4viz.open().slices("said", table=path)._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "nothing"], "'nothing' is not something to divide by"),
        (["--by", "language"], "language is not recorded"),
        (["--slices", "missing.parquet"], "cannot be read as a Parquet table"),
        (["--most", "0"], "--most"),
        (["--labels", "missing.sqlite"], "missing.sqlite"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    run: Callable[..., Answer], options: list[str], said: str
) -> None:
    code, out, err = run("slices", SAMPLE, *options)
    assert code == 2 and out == "" and said in err and err.count("\n") == 1


def test_what_a_table_lacks_is_noted(run: Callable[..., Answer], tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"shard": ["x.tar"], "key": ["k"], "a": [1]}), path)
    code, out, err = run("slices", SAMPLE, "--slices", str(path))
    assert code == 0 and "no value" in out
    assert "has no row for 240 of 240 documents" in err and "1 row names nothing" in err


def test_a_notebook_has_the_same_slices() -> None:
    opened = mmc4viz.open()
    found = opened.slices(["images", "position"], LoaderConfig(threshold=0.24))
    frame = found.to_pandas()
    assert frame.groupby("attribute")["size"].sum().to_dict() == {"images": 240, "position": 603}
    assert frame.groupby("attribute")["kept"].sum().to_dict() == {"images": 104, "position": 204}
    assert "<table" in found._repr_html_()
    with pytest.raises(ConfigError, match="without sample="):
        mmc4viz.open(sample=50).slices()


@pytest.mark.slow
def test_labels_give_each_slice_its_precision(run: Callable[..., Answer], tmp_path: Path) -> None:
    labels = label_file(tmp_path, 300, 0)
    line = ["slices", SAMPLE, "--by", "position", "--labels", labels]
    code, out, _ = run(*line, "--format", "json")
    rows = json.loads(out)[0]["slices"]
    assert code == 0 and sum(row["labels"] for row in rows) > 100
    for row in rows:
        few = row["labels"] < ENOUGH_LABELS
        assert few == (row["precision"] is None)
        assert few or 0 <= row["precision_low"] <= row["precision"] <= row["precision_high"] <= 1
    _, out, _ = run(*line)
    assert "precision" in out and "holds for its slice alone" in out
