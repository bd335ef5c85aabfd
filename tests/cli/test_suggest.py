"""``mmc4viz suggest``: proposals as text and JSON, and invalid options rejected in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz.cli import main
from tests.thresholds.test_compare import label_file

SAMPLE = str(Path(__file__).parents[2] / "sample_data")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["suggest", *arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def proposals(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    code, out, err = run(capsys, SAMPLE, *arguments, "--format", "json")
    assert (code, err) == (0, "")
    return list(json.loads(out))


def test_each_target_has_its_proposal(capsys: pytest.CaptureFixture[str]) -> None:
    kept, *rates, at_once = proposals(
        capsys, "--keep", "pairs=300", "--keep", "documents=40%", "--fdr", "0.15", "--fdr", "0.3"
    )
    assert kept["target"] == "pairs ≥ 300 and documents ≥ 40%"
    assert kept["kept"]["pairs"] >= 300
    assert kept["kept"]["documents"] >= 0.4 * 240
    assert [one["basis"] for one in rates] == ["fdr", "fdr"]
    for one, wanted in zip(rates, (0.15, 0.3), strict=True):
        assert one["low"] <= one["estimate"] <= min(one["high"], wanted)
        assert one["kept"]["pairs"] >= 50
    assert rates[0]["threshold"] > rates[1]["threshold"]
    assert rates[0]["kept"]["pairs"] < rates[1]["kept"]["pairs"]
    assert at_once["basis"] == "combined" and len(at_once["targets"]) == 4


def test_the_table_states_assumptions(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, SAMPLE, "--keep", "pairs=50%", "--fdr", "0.0001", "--fdr", "0.3")
    assert code == 0
    assert "pairs ≥ 50%" in out
    assert "FDR ≤ 0.01%: no threshold: " in out
    assert "share a topic" in out
    assert "Exact counts" in out


@pytest.mark.slow
def test_decoys_measure_the_noise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Decoys made from the other model's file: noise on the first one's scale, no correct pairs."""
    table = pq.read_table(f"{SAMPLE}/similarity_b.parquet")
    rng = np.random.default_rng(0)
    noise = [(0.19 + 0.02 * rng.standard_normal(len(v))).tolist() for v in table["values"]]
    place = table.schema.get_field_index("values")
    path = str(tmp_path / "decoys.parquet")
    field = table.schema.field("values")
    pq.write_table(table.set_column(place, field, pa.array(noise, field.type)), path)
    (found,) = proposals(capsys, "--fdr", "0.2", "--decoys", path)
    assert found["basis"] == "decoys"
    assert "decoys" in found["assumption"]
    assert found["threshold"] is not None or found["reason"]
    code, _, err = run(capsys, SAMPLE, "--fdr", "0.2", "--decoys", str(tmp_path / "none.parquet"))
    assert code == 2
    assert "none.parquet" in err


@pytest.mark.slow
def test_labels_give_precision(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    labels = ("--labels", label_file(tmp_path, 200, 0), "--clip-model", "sample-a")
    (found,) = proposals(capsys, "--precision", "0.7", *labels)
    assert found["basis"] == "precision"
    assert found["low"] <= found["estimate"] <= found["high"]
    assert found["estimate"] >= 0.7
    assert 0 < found["kept"]["pairs"] < 595
    assert proposals(capsys, "--precision", "0.7", *labels[:2]) == [found]  # the sample is known
    code, _, err = run(capsys, SAMPLE, "--precision", "0.7", *labels[:2], "--clip-model", "x")
    assert code == 2
    assert "sample-a" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "specify a target"),
        (["--keep", "images=5"], "is not a yield"),
        (["--keep", "pairs"], "enter a percent or a count"),
        (["--fdr", "5"], "between 0 and 1"),
        (["--fdr", "nan"], "between 0 and 1"),
        (["--fdr", "ten"], "such as 0.1 or 10%, not ten"),
        (["--precision", "100%"], "such as 0.1 or 10%, not 100%"),
        (["--precision", "0.9"], "must be given together"),
        (["--fdr", "0.1", "--labels", "x"], "must be given together"),
        (["--keep", "pairs=1", "--decoys", "x"], "requires --fdr"),
        (["--fdr", "0.1", "--documents", "0"], "0 is not in the range"),
        (["--precision", "0.9", "--labels", "/nowhere/labels.sqlite"], "/nowhere/labels.sqlite"),
    ],
)
def test_invalid_options_are_rejected_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, out, err = run(capsys, SAMPLE, *arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_a_proposal_is_exported_unchanged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out, config = tmp_path / "p.json", tmp_path / "c.json"
    code, table, _ = run(capsys, SAMPLE, "--keep", "pairs=50%", "--out", str(out))
    (found,) = json.loads(out.read_text())
    assert (code, found["target"] in table) == (0, True)
    with pytest.raises(SystemExit):
        main(["export", SAMPLE, "--proposal", str(out), "--out", str(config)])
    kept = json.loads(config.read_text())
    assert kept["threshold"] == found["threshold"]
    assert kept["provenance"]["chosen"] == found


@pytest.mark.slow
def test_a_share_may_be_a_percentage(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    labels = ("--labels", label_file(tmp_path, 200, 0))
    by_share, per_cent = (proposals(capsys, "--precision", s, *labels) for s in ("0.7", "70%"))
    assert by_share == per_cent
    assert proposals(capsys, "--fdr", "15%") == proposals(capsys, "--fdr", "0.15")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            "documents=50",
            "50 is a count of documents, not a percentage; for 50%, use --keep documents=50%",
        ),
        ("image_tokens=0.5", "for 50%, use --keep image_tokens=50%"),
        ("documents=50%", None),
        ("pairs=101", None),
    ],
)
def test_a_count_that_may_be_a_percentage_is_noted(
    capsys: pytest.CaptureFixture[str], target: str, words: str | None
) -> None:
    code, _, err = run(capsys, SAMPLE, "--keep", target)
    assert code == 0
    assert err == "" if words is None else words in err
