"""``mmc4viz slices --propose``, and what every command makes of a config with its thresholds."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmc4viz.config_file import read_config
from mmc4viz.types import Config
from tests.cli.test_cli import Run
from tests.cli.test_slices import SAMPLE, hostile_table
from tests.support import nasty
from tests.thresholds.test_compare import label_file

Capture = pytest.CaptureFixture[str]


def proposed(capsys: Capture, out: Path, *more: str | Path, by: str = "images") -> Config:
    run = Run(capsys, "slices", SAMPLE, "--by", by, "--propose", "share", "--out", out, *more)
    assert run.code == 0, run.err
    return read_config(str(out))


@pytest.mark.slow
def test_every_command_says_the_same(capsys: Capture, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    file = proposed(capsys, config)
    assert file.slice_thresholds is not None
    assert file.slice_thresholds.thresholds == {"2–3": 0.233, "4–6": 0.257, "7–12": 0.294}
    given = [SAMPLE, "--config", config]
    [row] = Run(capsys, "curve", *given, "--thresholds", "0.24", "--format", "json").out.split(
        "\n]"
    )[:1]
    kept = json.loads(row + "]")[0]["documents"]
    assert kept == file.provenance["yields"]["documents"]["value"] == 89
    explained = Run(capsys, "explain", *given, "--format", "jsonl").rows
    assert sum(one["keep_probability"] for one in explained) == kept
    listed = tmp_path / "m.jsonl"
    run = Run(capsys, "export", *given, "--manifest", listed, "--out", tmp_path / "again.json")
    assert run.code == 0 and "--mmc4_textsim_threshold 0.233 " in run.out
    assert "Documents were divided by images: in 3 slices" in run.out
    assert "slice thresholds: 3 besides the settings' own" in run.out
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert sum(one["probability"] for one in rows) == kept
    again = read_config(str(tmp_path / "again.json"))
    assert again.slice_thresholds == file.slice_thresholds
    assert Run(capsys, "verify", tmp_path / "again.json", SAMPLE).code == 0
    run = Run(capsys, "apply", *given, "--out", tmp_path / "out")
    assert run.code == 0 and "expected documents                                     89" in run.out
    assert "--mmc4_textsim_threshold 0.233 " in run.out
    rewritten = Run(
        capsys, "curve", tmp_path / "out", "--thresholds", "0.233", "--format", "json"
    ).out
    assert json.loads(rewritten)[0]["documents"] == kept
    suggested = Run(capsys, "suggest", *given, "--keep", "documents=89", "--format", "json").out
    assert json.loads(suggested)[0]["threshold"] >= 0.24
    assert json.loads(suggested)[0]["kept"]["documents"] == kept


@pytest.mark.slow
def test_curves_are_sums_of_explain_on_malformed_shards(capsys: Capture, tmp_path: Path) -> None:
    shards = []
    for number in range(2):
        shards.append(tmp_path / f"n-{number}.tar")
        nasty.write_tar(shards[-1], nasty.documents(seed=number, n=150))
    config = tmp_path / "c.yaml"
    config.write_text(
        "threshold: 0.24\nslice_thresholds:\n  by: sentences\n"
        "  thresholds: {1–9: 0.3, 10–19: 0.2, no value: 0.25}\n"
    )
    asked = ["0.14", "0.24", "0.3"]
    curve = Run(
        capsys, "curve", *shards, "--config", config, "--thresholds", ",".join(asked), "--format",
        "json",
    )  # fmt: skip
    found = json.loads(curve.out)
    for threshold, row in zip(asked, found, strict=True):
        run = Run(
            capsys, "explain", *shards, "--config", config, "--threshold", threshold, "--format",
            "jsonl",
        )  # fmt: skip
        explained = run.rows
        assert len(explained) == 300
        for name in ("keep_probability", "kept"):
            wanted = {
                "keep_probability": sum(one["keep_probability"] for one in explained),
                "kept": sum(one["outcome"] == "kept" for one in explained),
            }[name]
            assert row["documents" if name == "keep_probability" else name] == wanted
        moves = f"slice thresholds move with the settings' one, from 0.24 to {threshold}"
        assert (moves in run.err) == (threshold != "0.24")


@pytest.mark.slow
def test_all_thresholds_move_with_the_settings_one(capsys: Capture, tmp_path: Path) -> None:
    config, moved = tmp_path / "c.yaml", tmp_path / "d.yaml"
    proposed(capsys, config)
    Run(capsys, "export", SAMPLE, "--config", config, "--threshold", "0.26", "--out", moved)
    found = read_config(str(moved)).slice_thresholds
    assert found is not None
    assert found.thresholds == {"2–3": 0.253, "4–6": 0.277, "7–12": 0.314}
    asked = ["--thresholds", "0.25,0.27"]
    one, other = (Run(capsys, "curve", SAMPLE, "--config", c, *asked).out for c in (config, moved))
    assert one == other != Run(capsys, "curve", SAMPLE, *asked).out


@pytest.mark.slow
def test_a_proposal_is_printed_in_three_formats(capsys: Capture) -> None:
    line = ["slices", SAMPLE, "--by", "images", "--propose", "share"]
    out = Run(capsys, *line).out
    assert "89 of 240 documents kept with these thresholds (37.1%), 104 at 0.24 (43.3%)" in out
    assert "keeps at most 40.9%" in out
    [*rows] = csv.DictReader(io.StringIO(Run(capsys, *line, "--format", "csv").out))
    assert [row["threshold"] for row in rows] == ["0.24", "0.233", "0.257", "0.294"]
    found = json.loads(Run(capsys, *line, "--format", "json").out)
    assert found["slice_thresholds"]["thresholds"]["4–6"] == 0.257


@pytest.mark.slow
def test_labels_give_slices_their_precision(capsys: Capture, tmp_path: Path) -> None:
    labels = label_file(tmp_path, 600, 0)
    line = ["slices", SAMPLE, "--by", "images", "--propose", "precision", "--precision", "60%"]
    run = Run(capsys, *line, "--labels", labels, "--out", tmp_path / "c.yaml", "--format", "json")
    assert run.code == 0
    found = json.loads(run.out)
    own = {one["slice"]: one["threshold"] for one in found["slices"] if one["own"]}
    assert own and found["slice_thresholds"]["thresholds"] == own
    assert all(one["remark"] for one in found["slices"])
    written = read_config(str(tmp_path / "c.yaml")).slice_thresholds
    assert written is not None and (written.basis, written.target) == ("precision", 0.6)
    (tmp_path / "few").mkdir()
    few = label_file(tmp_path / "few", 30, 0)
    run = Run(capsys, *line[:-1], "99%", "--labels", few, "--out", tmp_path / "d.yaml")
    assert "0 labels: no labels yet" in run.out and not (tmp_path / "d.yaml").exists()
    assert "d.yaml was not written: no slice has a threshold of its own" in run.err


@pytest.mark.slow
def test_a_users_values_are_data_in_the_config(capsys: Capture, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    path = hostile_table(folder / "t.parquet")
    out = folder / "c.yaml"
    file = proposed(capsys, out, "--slices", path, by="said")
    assert file.slice_thresholds is not None
    names = {"=cmd|' /C calc'!A0", "<script>alert(1)</script>", "a\nb\x1b[31m", "plain"}
    assert set(file.slice_thresholds.thresholds) <= names
    assert any("\x1b" in name for name in file.slice_thresholds.thresholds)
    assert "\x1b" not in out.read_text() and str(tmp_path) not in out.read_text()
    assert Run(capsys, "verify", out, SAMPLE).code == 0
    assert Run(capsys, "apply", SAMPLE, "--config", out, "--out", tmp_path / "out").code == 0
    moved = tmp_path / "c.yaml"
    run = Run(capsys, "export", SAMPLE, "--config", out, "--out", moved)
    assert f"{moved} refers to t.parquet: copy it next to this config" in run.err
    run = Run(capsys, "curve", SAMPLE, "--config", moved)
    assert run.code == 2 and "no such file" in run.err and run.err.count("\n") == 1
    shutil.copy(path, tmp_path)
    assert Run(capsys, "verify", moved, SAMPLE).code == 0
    pq.write_table(pq.read_table(path).slice(1), tmp_path / "t.parquet")
    run = Run(capsys, "verify", moved, SAMPLE)
    assert run.code == 2 and "has changed since slice_thresholds was written" in run.err
    run = Run(capsys, "slices", SAMPLE, "--slices", path, "--propose", "share", "--out", path)
    assert run.code == 2 and "must end in .yaml or .json" in run.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--precision", "0.9"], "--precision is for a proposal: add --propose share or precision"),
        (["--out", "c.yaml"], "--out is for a proposal"),
        (["--propose", "precision"], "needs --precision SHARE and --labels FILE"),
        (["--propose", "share", "--precision", "0.9"], "are for --propose precision, not share"),
        (["--propose", "share", "--out", "c.txt"], "must end in .yaml or .json"),
        (["--propose", "share", "--out", "none/c.yaml"], "no such folder"),
        (["--propose", "share", "--by", "area"], "area divides images"),
        (["--propose", "share", "--by", "site", "--by", "images"], "one thing at a time, not 2"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(capsys, "slices", SAMPLE, *options)
    assert run.code == 2 and run.out == "" and said in run.err and run.err.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["slices"], "has slice thresholds, which are known to curve"),
        (["compare"], "has slice thresholds, which are known to curve"),
        (["curve", "--sample", "50"], "slice thresholds cannot be used with a sample"),
        (
            ["curve", "--budget", "60M", "--corpus-size", "101.2M"],
            "cannot be used with a corpus larger than the documents at hand",
        ),
        (["suggest", "--fdr", "10%"], "--fdr and --precision are about one threshold"),
        (["export", "--report", "r.html"], "--report knows one threshold only"),
        (["export", "--out", "d.yaml", "--sample", "50"], "--sample knows one threshold only"),
    ],
)
def test_commands_that_know_one_threshold_say_so(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("slice_thresholds: {by: images, thresholds: {2–3: 0.3}}")
    run = Run(capsys, *command, SAMPLE, "--config", "c.yaml")
    assert run.code == 2 and run.out == "" and said in run.err
    assert len([line for line in run.err.splitlines() if said in line]) == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("{by: area, thresholds: {a: 0.3}}", "area divides images"),
        ("{by: colour, thresholds: {a: 0.3}}", "'colour', which is not something to divide by"),
        ("{by: language, thresholds: {a: 0.3}}", "language is not recorded"),
        ("{by: images, thresholds: {a: high}}", "line 1: slice_thresholds.thresholds.a must be"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    capsys: Capture, tmp_path: Path, table: str, said: str
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"slice_thresholds: {table}")
    run = Run(capsys, "curve", SAMPLE, "--config", config)
    assert run.code == 2 and run.out == "" and said in run.err and run.err.count("\n") == 1
    run = Run(capsys, "apply", SAMPLE, "--config", config, "--out", tmp_path / "out")
    assert run.code == 2 and not (tmp_path / "out").exists()
    assert "Traceback" not in run.err


@pytest.mark.slow
def test_shards_without_a_language_are_judged_alike_by_curve_and_apply(
    capsys: Capture, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        nasty.write_tar(tmp_path / f"{name}.tar", nasty.documents(seed=7, n=60))
    index = tmp_path / "index"
    line = ["index", "--out", index, "--workers", "1"]
    assert Run(capsys, *line, tmp_path / "a.tar", "--describe", "language").code == 0
    assert Run(capsys, *line, tmp_path / "a.tar", tmp_path / "b.tar").code == 0
    config = tmp_path / "c.yaml"
    config.write_text("slice_thresholds: {by: language, thresholds: {no value: 0.3, en: 0.2}}")
    given = ["--index", index, "--config", config]
    run = Run(capsys, "curve", *given, "--thresholds", "0.24", "--format", "json")
    assert run.code == 0, run.err
    assert "language is not recorded in 1 of 2 shards" in run.err
    run = Run(capsys, "apply", *given, "--out", tmp_path / "out", "--workers", "1")
    assert run.code == 0, run.err
    listed = tmp_path / "m.jsonl"
    assert Run(capsys, "export", *given, "--manifest", listed).code == 0
    rows = [json.loads(one) for one in listed.read_text().splitlines()]
    flags = ["--threshold", "0.2", "--format", "jsonl"]
    after = Run(capsys, "explain", tmp_path / "out", *flags).rows
    assert len(rows) == len(after) == 120
    for before, now in zip(rows, after, strict=True):
        if "chatgpt" not in before["key"]:
            assert before["probability"] == now["keep_probability"], before["key"]
    run = Run(capsys, "apply", tmp_path / "a.tar", "--config", config, "--out", tmp_path / "x")
    assert run.code == 2 and "thresholds by language need an index that records it" in run.err
