"""Commands as a user runs them: consistent results, and errors of one line."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmc4viz.cli import main
from tests.support import nasty
from tests.support.documents import entry, info, write_tar
from tests.support.slowly import slow

SAMPLE = Path(__file__).parents[2] / "sample_data"
OUTCOMES = [
    "kept", "unreadable", "no_valid_image", "below_threshold", "too_few_images",
    "single_image_at_end",
]  # fmt: skip


class Run:
    """A command's exit code and output."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> None:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        self.code = end.value.code
        self.out, self.err = capsys.readouterr()

    @property
    def noted(self) -> str:
        """Standard error without the notes on written files and kept documents."""
        own = re.compile("mmc4viz: note: (wrote |.* documents kept at ).*\n")
        return own.sub("", self.err)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(2):
        nasty.write_tar(folder / f"n-{number}.tar", nasty.documents(seed=number, n=150))
    return sorted(folder.iterdir())


@pytest.mark.parametrize(
    "settings",
    [[],
     *slow(["--assignment", "argmax", "--max-images", "2"], ["--single-image-keep", "0.3"],
           ["--min-kb", "-1", "--max-tokens", "40"], ["--single-image-keep", "0"])],
    ids=" ".join,
)  # fmt: skip
def test_curve_is_the_sum_of_explain(
    capsys: pytest.CaptureFixture[str], shards: list[Path], settings: list[str]
) -> None:
    asked = ["0.1", "0.24", "0.25", "0.3", "30"]
    curve = Run(
        capsys, "curve", *shards, *settings, "--thresholds", ",".join(asked), "--format", "json"
    )
    for threshold, row in zip(asked, json.loads(curve.out), strict=True):
        verdicts = Run(
            capsys, "explain", *shards, *settings, "--threshold", threshold, "--format", "jsonl"
        ).rows
        p = [v["keep_probability"] for v in verdicts]
        assert row["threshold"] == float(threshold)
        assert row["documents"] == pytest.approx(sum(p), rel=1e-12)
        assert row["documents_possible"] == sum(x > 0 for x in p)
        assert row["pairs"] == sum(
            pair["status"] != "below_threshold" for v in verdicts for pair in v["pairs"]
        )
        for name in ("image_tokens", "text_tokens", "mispaired"):
            total = sum(x * v[name] for x, v in zip(p, verdicts, strict=True))
            assert row[name] == pytest.approx(total, rel=1e-12)
        for name in OUTCOMES:
            assert row[name] == sum(v["outcome"] == name for v in verdicts)
        assert sum(row[name] for name in OUTCOMES) == len(verdicts)


def test_explain_has_the_documented_fields(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write_tar(tmp_path / "s.tar", [("a", info([[0.9, 0.1], [0.1, 0.1]]))])
    run = Run(capsys, "explain", path, "--format", "jsonl", "--token-ids")
    [row] = run.rows
    assert row.pop("token_ids")[-1] == 50256
    assert row == {
        "shard": "s.tar", "number": 0, "key": "a", "outcome": "kept",
        "detail": "single image, kept with p = 0.5", "keep_probability": 0.5,
        "image_tokens": 1, "text_tokens": 8, "mispaired": 0,
        "length": 11, "text_before": 0, "text_between": 0, "followed": 1,
        "images": [{"image": 0, "status": "matched"}, {"image": 1, "status": "matched"}],
        "pairs": [
            {"image": 0, "sentence": 0, "score": 0.9, "status": "kept"},
            {"image": 1, "sentence": 1, "score": 0.1, "status": "below_threshold"},
        ],
    }  # fmt: skip
    assert "token_ids" not in Run(capsys, "explain", path, "--format", "jsonl").rows[0]


def test_the_grid_is_made_of_decimals_and_includes_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run(capsys, "curve", SAMPLE, "--grid", "0.1:0.4:0.1")
    rows = list(csv.DictReader(io.StringIO(run.out)))
    assert [row["threshold"] for row in rows] == ["0.1", "0.2", "0.3", "0.4"]
    assert len(Run(capsys, "curve", SAMPLE).out.splitlines()) == 2002


def test_a_config_gives_settings_and_flags_win(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "c.json"
    config.write_text('{"threshold": 0.95, "max_images": 1}')
    path = write_tar(tmp_path / "s.tar", [("a", info([[0.9, 0.1], [0.1, 0.9]]))])
    explain = ("explain", path, "--config", config, "--format", "jsonl")
    assert Run(capsys, *explain).rows[0]["outcome"] == "below_threshold"
    assert Run(capsys, *explain, "--threshold", "0.5").rows[0]["image_tokens"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain"],
        ["explain", "none.tar"],
        ["explain", "S", "--threshold", "high"],
        ["explain", "S", "--threshold", "nan"],
        ["explain", "S", "--max-images", "0"],
        ["explain", "S", "--assignment", "hungarian"],
        ["explain", "S", "--tokenizer", "/none/tokenizer.json"],
        ["explain", "S", "--config", "none.json"],
        ["explain", "S", "--image-dir", "/none"],
        ["explain", "S", "--colour"],
        ["curve", "S", "--grid", "0.1:0.2"],
        ["curve", "S", "--grid", "0.2:0.1:0.1"],
        ["curve", "S", "--grid", "0:1:0.00001"],
        ["curve", "S", "--grid", "0:1:x"],
        ["curve", "S", "--thresholds", "0.1,,0.2"],
        ["curve", "S", "--thresholds", "0.1", "--grid", "0:1:0.1"],
        ["curve", "S", "--thresholds", "inf"],
        ["app", "none.tar"],
        ["app", "--config", "none.json"],
        ["draw"],
    ],
    ids=" ".join,
)
def test_errors_are_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    run = Run(capsys, *(str(SAMPLE) if word == "S" else word for word in arguments))
    assert run.code == 2
    assert re.fullmatch(r"mmc4viz: [^\n]+\n", run.err)
    assert not run.out


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "line 1"), ('{\n "threshold": x}', "line 2"), ("[]", "must contain settings"),
     ('{"thresold": 0.2}', "thresold"), ('{"max_images": "six"}', "max_images"),
     ('{"threshold": NaN}', "threshold")],
)  # fmt: skip
def test_an_invalid_config_is_reported_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    run = Run(capsys, "explain", SAMPLE, "--config", path)
    assert (run.code, run.out) == (2, "")
    assert words in run.err


def test_a_broken_shard_is_reported_and_the_rest_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_tar(tmp_path / "b.tar", [("a", info([[0.9]]))])
    (tmp_path / "a.tar").write_bytes(b"no tar" * 200)
    for command in (["explain", "--format", "jsonl"], ["curve", "--thresholds", "0.2"]):
        run = Run(capsys, *command, tmp_path)
        assert run.code == 2
        [line] = [line for line in run.err.splitlines() if ": note: " not in line]
        assert re.fullmatch(r"mmc4viz: .+a\.tar: looks like text .+", line)
        assert len(run.out.splitlines()) == (1 if "explain" in command else 2)


def test_without_images_sizes_are_noted_as_unknown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    document = info([[0.9, 0.8]], images=[{"image_name": "a.jpg"}])
    (tmp_path / "s.jsonl").write_text(json.dumps(document) + "\n")
    run = Run(capsys, "explain", tmp_path, "--format", "jsonl")
    assert (run.code, run.rows[0]["key"], run.rows[0]["outcome"]) == (0, "0", "kept")
    assert "size filter is off" in run.err


def test_a_table_shows_text_from_the_web_as_text(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write_tar(tmp_path / "s.tar", [("a\x1b[2Jb", info([[0.9]]))])
    run = Run(capsys, "explain", path)
    assert run.code == 0
    assert "\x1b" not in run.out
    assert "a\\x1b[2Jb" in run.out


def test_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], [], ["explain", "--help"], ["curve", "--help"], ["app", "-h"]):
        run = Run(capsys, *arguments)
        assert run.code == 0
        assert "Usage: mmc4viz" in run.out


@pytest.mark.slow
def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m mmc4viz curve {SAMPLE} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("threshold,documents,")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["explain"], 0),
        (["curve"], 0),
        (["curve", "--thresholds", "0.2"], 0),
        (["curve", "--sample", "2"], 0),
        (["suggest", "--keep", "pairs=1"], 2),
        (["export", "--ids", "{out}"], 0),
    ],
)
@pytest.mark.parametrize("documents", [0, 3])
def test_a_corpus_without_pairs_gives_one_note(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    code: int,
    documents: int,
) -> None:
    lost = [(f"d{n}", info([[0.3, 0.2]], images=[entry()])) for n in range(documents)]
    shard = write_tar(tmp_path / "s.tar", lost)
    command, *options = [text.format(out=tmp_path / "ids.npy") for text in arguments]
    run = Run(capsys, command, shard, *options)
    assert run.code == (2 if "--sample" in options and not documents else code)
    assert "thresholds have no effect" in run.noted
    assert run.noted.count("\n") == 1 + bool(documents)  # and a note that all images are missing
    assert len(run.out.splitlines()) < 20 + documents  # no grid of zeros


def test_export_notes_written_files_and_kept_documents(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = {"--out": "c.yaml", "--manifest": "m.jsonl", "--ids": "i.npy"}
    files = {option: tmp_path / name for option, name in names.items()}
    asked = [part for pair in files.items() for part in pair]
    run = Run(capsys, "export", SAMPLE, "--rows", "pairs", *asked)
    said = run.err.splitlines()
    for path in files.values():
        assert any(f"wrote {path} ({path.stat().st_size / 1000:,.1f} kB" in line for line in said)
    rows = len(files["--manifest"].read_text().splitlines())
    assert any(line.endswith(f" {rows:,} pairs)") for line in said)
    curve = json.loads(
        Run(capsys, "curve", SAMPLE, "--thresholds", "0.24", "--format", "json").out
    )[0]
    line = f"{curve['kept']} of 240 documents kept at 0.24, with {curve['pairs']} pairs"
    assert any(line in one for one in said)


@pytest.mark.parametrize("command", ["explain", "curve", "export", *slow("apply")])
def test_a_threshold_above_all_scores_is_noted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    shard, config = tmp_path / "s.tar", tmp_path / "c.yaml"
    write_tar(shard, [("d", info([[0.3, 0.2], [0.1, 0.26]]))])
    config.write_text("threshold: 5\n")
    more = {
        "curve": ["--thresholds", "5"],
        "export": ["--out", tmp_path / "d.yaml"],
        "apply": ["--out", tmp_path / "out", "--dry-run"],
    }
    run = Run(capsys, command, shard, "--config", config, *more.get(command, []))
    assert run.code == 0
    best = "no document is kept at 5" if command == "apply" else "scores 0.26 to 0.3"
    assert best in run.noted


@pytest.mark.slow
def test_a_config_is_verified(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exactly on the corpus itself and on a copy; another corpus or another setting differs."""
    config, copy = tmp_path / "c.yaml", tmp_path / "elsewhere"
    assert Run(capsys, "export", SAMPLE, "--threshold", "0.25", "--out", config).code == 0
    shutil.copytree(SAMPLE, copy, ignore=shutil.ignore_patterns("encoders", "*.parquet"))
    for corpus in (SAMPLE, copy):
        found = Run(capsys, "verify", config, corpus)
        assert (
            found.code == 0 and "differs" not in found.out and "different corpus" not in found.err
        )
    half = Run(capsys, "verify", config, copy / "sample-0000.tar")
    assert half.code == 1
    assert "not the same on this corpus: all documents, documents" in half.err
    assert re.search(r"^shards missing +1 +– +sample-0001\.tar$", half.out, re.M)
    config.write_text(config.read_text().replace("threshold: 0.25", "threshold: 0.26"))
    assert Run(capsys, "verify", config, SAMPLE).code == 1


@pytest.mark.slow
def test_an_estimate_is_verified_by_its_interval(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = tmp_path / "c.json"
    Run(capsys, "export", SAMPLE, "--threshold", "0.25", "--sample", "100", "--out", config)
    found = Run(capsys, "verify", config, SAMPLE)
    assert found.code == 0 and found.out.count("within the CI") == 5
    content = json.loads(config.read_text())
    content["provenance"]["yields"]["pairs"] |= {"low": 1, "high": 2}
    config.write_text(json.dumps(content))
    found = Run(capsys, "verify", config, SAMPLE)
    assert found.code == 1 and found.err.endswith("not the same on this corpus: pairs\n")


def test_a_config_without_yields_cannot_be_verified(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text("threshold: 0.3\n")
    found = Run(capsys, "verify", tmp_path / "c.yaml", SAMPLE)
    assert found.code == 2 and "records no yields" in found.err
