"""The commands on tables of image–text pairs, as people type them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz.cli import main
from tests.support import pairs
from tests.support.pair_labels import label, population_of, truth_of
from tests.support.snapshots import run

ROOT = Path(__file__).parents[2]
RECORDED = json.loads(pairs.RECORDED.read_text())["filters"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    pairs.write(pairs.datacomp(), folder / "datacomp", pairs.FILES)
    pairs.write(pairs.laion(5000), folder / "laion", 2)
    pairs.write(pairs.coyo(5000), folder / "coyo")
    return folder


@pytest.fixture(autouse=True)
def here(tables: Path, tmp_path: Path) -> Iterator[None]:
    for path in tables.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    before = os.getcwd()
    os.chdir(tmp_path)
    yield
    os.chdir(before)


def said(line: str, code: int = 0) -> tuple[str, str]:
    """Return what a command prints, and what it says on standard error."""
    output, _, rest = run(line).partition("--- standard error\n")
    errors, _, found = rest.rpartition("--- exit code ")
    assert int(found) == code, rest
    return output, errors


def rows(line: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(said(line)[0])))


def test_curve_gives_every_score_at_the_thresholds() -> None:
    found = rows("curve datacomp --thresholds 0.25,0.281")
    kept = {(row["score"][5:8], row["threshold"]): int(row["pairs"]) for row in found}
    for arch in ("b32", "l14"):
        for at in ("0.25", "0.281"):
            assert kept[arch, at] == RECORDED[f"float32 {arch} {at}"]["uids"]


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--score l14",
        "--and l14=0.2",
        "--or vit-l/14=0.3",
        "--sum l14",
        "--where original_width>=500 --where aspect<=2",
        "--strict",
        "--and l14=0.2137 --strict --where original_height<1000",
    ],
)
def test_curve_explain_and_export_agree(options: str, tmp_path: Path) -> None:
    pairs.write(pairs.datacomp(3000, 5), tmp_path / "t", 2)
    at = 0.45 if "sum" in options else 0.243
    kept = int(rows(f"curve t --threshold {at} {options}")[0]["pairs"])
    output, _ = said(f"explain t --threshold {at} {options} --first 9999 --format jsonl")
    explained = [json.loads(line) for line in output.splitlines()]
    assert len(explained) == 3000
    assert [one["status"] for one in explained].count("kept") == kept
    assert all(bool(one["reason"]) == (one["status"] != "kept") for one in explained)
    said(f"export t --threshold {at} {options} --manifest m.jsonl --ids i.npy --out s.yaml")
    written = [json.loads(line) for line in Path("m.jsonl").read_text().splitlines()]
    uids = [one["id"] for one in explained if one["status"] == "kept"]
    assert [one["uid"] for one in written] == uids
    halves = np.array([(int(u[:16], 16), int(u[16:], 16)) for u in sorted(uids)], "u8,u8")
    assert (np.load("i.npy") == halves).all()
    said("export t --config s.yaml --manifest again.parquet")
    assert pq.read_table("again.parquet")["uid"].to_pylist() == uids


def test_ids_are_the_list_that_datacomp_writes() -> None:
    said("suggest datacomp --score b32 --fraction 0.3 --out p.json")
    said("export datacomp --score b32 --proposal p.json --ids top.npy")
    digest = hashlib.sha256(Path("top.npy").read_bytes()).hexdigest()
    assert digest == RECORDED["float32 b32 top 0.3"]["sha256"]


@pytest.mark.slow
def test_an_index_answers_as_the_table_does() -> None:
    for name in ("datacomp", "coyo"):
        output, _ = said(f"index {name} --out i-{name} --workers 1")
        assert output.split()[:4] == ["files", "rows", "MB", "counted"]
        for options in ("--thresholds 0.2,0.25", "--and l14 --thresholds 0.2,0.25",
                        "--sum l14 --thresholds 0.5", "--score aspect --thresholds 1.5,2",
                        "--or l14=0.2001 --threshold 0.25"):  # fmt: skip
            assert said(f"curve --index i-{name} {options}") == said(f"curve {name} {options}")
        assert said(f"suggest --index i-{name} --keep pairs=10%") == said(
            f"suggest {name} --keep pairs=10%"
        )
    assert "skipped" in said("index coyo --out i-coyo --workers 1")[0]
    _, error = said("curve --index i-coyo --where width>=500", 2)
    assert "give the TABLE for other conditions" in error


@pytest.mark.parametrize(
    "options",
    [
        "--score b32 --threshold 0.25",
        "--score l14 --threshold 0.2137 --strict",
        "--threshold 0.25 --and l14=0.2",
        "--threshold 0.3 --or l14=0.2137 --where original_width>=500",
        "--threshold 0.45 --sum l14",
    ],
)
def test_slices_add_up_to_what_curve_keeps(options: str) -> None:
    (whole,) = rows(f"curve datacomp {options}")
    found = rows(f"slices datacomp {options} --by original_width --by aspect --format csv")
    for by in ("original_width", "aspect"):
        mine = [row for row in found if row["attribute"] == by]
        assert len(mine) == 5 and sum(int(row["rows"]) for row in mine) == 100_000
        assert sum(int(row["kept"]) for row in mine) == int(whole["pairs"])


def test_slices_are_printed_as_table_and_json() -> None:
    output, note = said("slices laion --threshold 0.33 --by NSFW --by SAMPLE_ID --most 2")
    assert (
        output.startswith("NSFW: 2,445 of 5,000 rows kept (48.9%)")
        and "similarity ≥ 0.33" in output
    )
    found = json.loads(said("slices laion --threshold 0.33 --by NSFW --format json")[0])
    assert [one["slice"] for one in found[0]["slices"]] in (
        ["NSFW", "UNLIKELY"],
        ["UNLIKELY", "NSFW"],
    )
    assert said("slices laion --threshold 0.33")[0].startswith("Site: 2,445 of 5,000")
    assert note == ""


def test_compare_is_what_curve_says_of_both_scores() -> None:
    for found in rows("compare datacomp --models b32 l14 --thresholds 0.25,0.281 --format csv"):
        one, other = found["first_threshold"], found["second_threshold"]
        for name, at, kept in (("b32", one, "first"), ("l14", other, "second")):
            (row,) = rows(f"curve datacomp --score {name} --threshold {at}")
            assert row["pairs"] == found[f"{kept}_value"]
        (row,) = rows(f"curve datacomp --score b32 --threshold {one} --and l14={other}")
        assert row["pairs"] == found["pairs_both"]


def test_compare_prints_text_and_json_of_table_and_index() -> None:
    output, _ = said("compare coyo --threshold 0.25")
    assert "ViT-B/32" in output and "rank correlation (Spearman) of 5,000 pairs" in output
    found = json.loads(said("compare coyo --threshold 0.25 --format json")[0])
    assert [one["score"] for one in found["scores"]] == [
        "clip_similarity_vitb32", "clip_similarity_vitl14"
    ]  # fmt: skip
    said("index coyo --out i --workers 1")
    words = "--threshold 0.25 --by num_faces"
    assert said(f"slices --index i {words}") == said(f"slices coyo {words}")
    said("export coyo --threshold 0.25 --out s.yaml")
    assert said("slices coyo --config s.yaml --by num_faces") == said(f"slices coyo {words}")
    assert said("compare --index i --threshold 0.25")[0] == output
    words = "were not counted together"
    assert words in said("compare --index i --models b32 aesthetic --threshold 0.25", 2)[1]


@pytest.mark.parametrize(
    "options",
    ["--threshold 0.25", "--score l14 --threshold 0.2137 --strict --where original_width>=500",
     "--threshold 0.3 --or l14=0.22", "--threshold 0.45 --sum l14"],
)  # fmt: skip
def test_verify_counts_again_what_export_records(options: str, tmp_path: Path) -> None:
    pairs.write(pairs.datacomp(3000, 5), tmp_path / "t", 2)
    said(f"export t {options} --out s.yaml --manifest m.parquet --ids i.npy")
    output, error = said("verify s.yaml t")
    assert error == "" and output.count(" same") == 5
    assert output.splitlines()[2].split() == ["rows", "3,000", "3,000", "same"]
    pairs.write(pairs.datacomp(1500, 6), tmp_path / "t")  # another part_0.parquet
    output, error = said("verify s.yaml t", 1)
    assert "differs" in output and error.endswith("not the same on this table: pairs kept\n")
    (tmp_path / "t" / "part_1.parquet").rename(tmp_path / "t" / "new.parquet")
    output, error = said("verify s.yaml t", 1)
    assert error.endswith("pairs kept, files\n")
    lines = [line.split() for line in output.splitlines() if line.startswith("files ")]
    assert lines[1:] == [["files", "missing", "1", "part_1.parquet"],
                         ["files", "not", "recorded", "1", "new.parquet"]]  # fmt: skip


def test_verify_reads_a_table_of_no_known_kind_and_older_configs(tmp_path: Path) -> None:
    pq.write_table(pa.table({"mine": [0.1, 0.3, 0.4]}), tmp_path / "t.parquet")
    said("export t.parquet --score mine --threshold 0.25 --out s.json")
    assert said("verify s.json t.parquet")[0].count(" same") == 5
    content = json.loads(Path("s.json").read_text())
    del content["provenance"]["rows"]
    Path("s.json").write_text(json.dumps(content))
    assert "not recorded" in said("verify s.json t.parquet")[0]
    content["provenance"]["kept"] = "many"
    Path("s.json").write_text(json.dumps(content))
    assert "kept and rows must be whole numbers" in said("verify s.json t.parquet", 2)[1]
    del content["provenance"]["kept"]
    Path("s.json").write_text(json.dumps(content))
    assert "nothing to verify" in said("verify s.json t.parquet", 2)[1]


@pytest.mark.slow
def test_scores_of_another_file_are_joined_in_every_command() -> None:
    uids = pairs.datacomp()["uid"].to_pylist()
    score = np.linspace(0, 3, 60_000).astype(np.float32)
    pq.write_table(pa.table({"key": uids[:60_000], "quality_score": score}), "q.parquet")
    options = "--scores q.parquet --score quality --threshold 1.5 --and b32=0.25"
    (row,) = rows(f"curve datacomp {options}")
    kept = int(row["pairs"])
    assert 0 < kept < 30_000
    _, note = said(f"curve datacomp {options}")
    assert "60,000 rows joined by 'key' to 'uid'; their keys take 1.4 MB of memory" in note
    assert "quality_score: 40,000 rows without a value; never kept by it" in note
    found = rows(f"slices datacomp {options} --by quality_score --format csv")
    assert sum(int(one["kept"]) for one in found) == kept
    said(f"export datacomp {options} --out s.yaml --manifest m.parquet")
    assert pq.read_table("m.parquet")["quality_score"].to_numpy().min() >= 1.5
    assert said("verify s.yaml datacomp")[0].count(" same") == 5
    _, error = said(f"export datacomp {options} --manifest q.parquet --overwrite", 2)
    assert "q.parquet: is an input and would be overwritten" in error
    said("suggest datacomp --scores q.parquet --score quality --keep pairs=10%")
    said("compare datacomp --scores q.parquet --models b32 quality --threshold 0.25")
    said("index coyo --out i --workers 1")
    assert "give the TABLE" in said("curve --index i --scores q.parquet", 2)[1]


def test_impossible_similarities_are_named_and_kept() -> None:
    output, note = said("curve laion --threshold 0.9")
    assert output.splitlines()[1] == "similarity,0.9,1,0.0002"
    assert "1 row outside -1 to 1 (the cosine scale; up to 6016)" in note


def test_rows_nearest_to_the_threshold_are_shown_from_both_sides() -> None:
    output, _ = said("explain laion --threshold 0.33 --near 6 --format jsonl")
    scores = [json.loads(line)["similarity"] for line in output.splitlines()]
    every = np.sort(pairs.laion(5000)["similarity"].to_numpy())
    cut = int(np.searchsorted(every, 0.33))
    assert sorted(scores) == every[cut - 3 : cut + 3].tolist()


@pytest.mark.slow
def test_suggest_finds_the_threshold_of_the_labels(tmp_path: Path) -> None:
    table, right = truth_of(7, 3000)
    pairs.write(table, tmp_path / "labeled", 2)
    answers = dict(zip(table["uid"].to_pylist(), right.tolist(), strict=True))
    label("l.sqlite", population_of([str(tmp_path / "labeled")]), answers, 150)
    command = "suggest labeled --precision 60% --labels l.sqlite"
    (found,) = json.loads(said(f"{command} --format json")[0])
    kept = rows(f"curve labeled --score b32 --threshold {found['threshold']}")
    assert found["kept"]["pairs"] == int(kept[0]["pairs"])
    assert found["lower_bound"] >= 0.6 and found["basis"] == "precision"
    assert "from 1" in said(command)[0]
    said(f"{command} --out p.json")
    said("export labeled --score b32 --proposal p.json --out s.yaml")
    said(f"index labeled --out ix && {command}".partition(" && ")[0])
    assert json.loads(said(f"{command.replace('labeled', '--index ix')} --format json")[0]) == [
        found
    ]
    for line, words in (
        (f"{command} --score l14", "has no labels for clip_l14_similarity_score"),
        (f"{command} --and l14=0.2", "not --and"),
        (f"{command} --out l.sqlite", "l.sqlite"),
        ("suggest labeled --precision 60%", "must be given together"),
    ):
        assert words in said(line, 2)[1]


def test_files_are_not_written_over() -> None:
    said("export laion --threshold 0.3 --out s.yaml")
    assert "exists; choose another name or add --overwrite" in said(
        "export laion --threshold 0.3 --out s.yaml", 2
    )[1]  # fmt: skip
    said("export laion --threshold 0.3 --out s.yaml --overwrite")
    _, error = said("export laion --threshold 0.3 --manifest laion/part_0.parquet --overwrite", 2)
    assert "is an input and would be overwritten" in error


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("curve coyo --max-images 3", "--max-images is for interleaved documents"),
        ("curve sample_data --score l14", "--score is for tables of image–text pairs"),
        ("explain coyo", "give --threshold T for clip_similarity_vitb32"),
        ("explain coyo --threshold 0.3 --and l14", "--and needs a threshold here: COLUMN=T"),
        ("curve coyo --and l14 --sum l14", "give one of --and, --or and --sum"),
        ("curve coyo --and clip", "'clip' is not one known number of this table"),
        ("curve coyo --sum l14=0.3", "has no threshold of its own"),
        ("curve coyo --where colour>3", "no column 'colour'"),
        ("curve coyo --where width", "expected COLUMN>=NUMBER"),
        ("curve coyo --score nothing", "has no column 'nothing'"),
        ("suggest coyo", "specify a target: --keep pairs=30%"),
        ("suggest coyo --keep documents=10%", "a table of pairs has pairs only"),
        ("slices coyo", "give --threshold T for clip_similarity_vitb32"),
        ("slices coyo --threshold 0.3 --by words", "no column 'words' to divide by; there are id"),
        ("slices coyo --threshold 0.3 --labels l", "--labels is for interleaved documents"),
        ("compare coyo", "give --threshold T for clip_similarity_vitb32"),
        ("compare coyo --threshold 0.2505", "0.2505 is not a step of the grid"),
        ("compare laion --threshold 0.3", "compare takes two scores, not 1 (similarity)"),
        ("compare coyo --models b32 l14 --score b32", "give one of them"),
        ("compare coyo --threshold 0.3 --frontier pairs", "--frontier is for interleaved"),
        ("verify none.yaml coyo", "none.yaml: cannot be read"),
        ("export coyo --threshold 0.3", "nothing to write"),
        ("export coyo --threshold 0.3 --ids i.npy", "has no 128-bit uids; use --manifest"),
        ("export coyo --threshold 0.3 --manifest m.txt", "must end in .parquet, .jsonl, .csv"),
        ("curve coyo --index nowhere", "give SHARDs or --index DIR, not both"),
    ],
)
def test_what_makes_no_sense_is_one_line(line: str, words: str) -> None:
    output, error = said(line, 2)
    assert (output, error.count("\n")) == ("", 1) and words in error


def test_a_damaged_file_is_one_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = pairs.write(pairs.laion(1000), tmp_path / "broken", 2)
    (folder / "part_1.parquet").write_bytes(b"PAR1 half")
    output, error = said("curve broken --threshold 0.3", 2)
    assert output.count("\n") == 2 and error.count("\n") == 1
    assert "part_1.parquet: damaged or only partly downloaded" in error


@pytest.mark.parametrize(
    ("name", "size", "early"),
    [("a.parquet", 65 << 20, True), ("a.parquet", 1 << 20, False), ("a.json", 65 << 20, False)],
)
@pytest.mark.parametrize("given", [".", "{name}"])
def test_workers_for_a_large_table_get_ready_before_it_is_opened(
    monkeypatch: pytest.MonkeyPatch, name: str, size: int, early: bool, given: str
) -> None:
    with open(name, "wb") as file:
        file.truncate(size)  # no table, as is found out later
    asked: list[str] = []
    monkeypatch.setattr("mmc4viz.data.jobs.get_ready", asked.append)
    with pytest.raises(SystemExit, match="2"):
        main(["curve", given.format(name=name), "--score", "x"])
    assert asked == ["mmc4viz.pairs.count"] * early
