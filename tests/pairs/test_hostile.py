"""Hostile and malformed tables: a note for rows, one line for a file, and the rest goes on."""

from __future__ import annotations

import io
import json
import resource
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz.cli import main
from mmc4viz.pairs.table import Utf8
from tests.formats import written

HEADER = "url,text,clip_similarity_vitb32,clip_similarity_vitl14\n"
GOOD = "https://example.org/a,A boat.,0.3,0.2\n"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, output and messages."""
    try:
        main(list(arguments))
        code = 0
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    found = capsys.readouterr()
    return code, found.out, found.err


def rows_in(capsys: pytest.CaptureFixture[str], path: Path) -> list[dict[str, Any]]:
    """Return the rows that explain shows."""
    _, out, _ = run(capsys, "explain", str(path), "--threshold", "0.25", "--format", "jsonl")
    return [json.loads(line) for line in out.splitlines()]


def laion(**columns: pa.Array) -> pa.Table:
    count = len(next(iter(columns.values())))
    plain = {"URL": pa.array(["u"] * count), "TEXT": pa.array(["t"] * count),
             "similarity": pa.array([0.3] * count)}  # fmt: skip
    return pa.table(plain | columns)


def test_text_that_is_no_utf8_is_shown_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "0.parquet"
    text = pa.array([b"b\xf6at", b"boat"]).view(pa.string())
    score = pa.array([b"0.3\xff", b"0.3"]).view(pa.string())
    pq.write_table(laion(TEXT=text, similarity=score), path)
    assert [row["text"] for row in rows_in(capsys, path)] == ["b\\xf6at", "boat"]
    code, out, err = run(capsys, "curve", str(path), "--thresholds", "0.25")
    assert (code, out.splitlines()[1]) == (0, "similarity,0.25,1,0.5")
    assert "1 row with text that is no number" in err


def test_a_csv_in_another_encoding_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "0.csv"
    wrong = "https://example.org/\xf6,b\xf6at\n"  # too few cells
    path.write_bytes((HEADER + GOOD + wrong + GOOD.replace("boat", "b\xf6at")).encode("latin-1"))
    assert [row["text"] for row in rows_in(capsys, path)] == ["A boat.", "A b\\xf6at."]
    code, _, err = run(capsys, "curve", str(path), "--thresholds", "0.25")
    assert code == 2
    assert err.strip().endswith("0.csv: 1 line has another number of columns; skipped")


@pytest.mark.parametrize("kind", ["string_view", "timestamp", "map"])
def test_values_of_any_type_are_shown_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    column, shown = {
        "string_view": (pa.array(["a"], pa.string_view()), "a"),
        "timestamp": (pa.array([2**62], pa.timestamp("us", "No/Where")),
                      "(timestamp[us, tz=No/Where])"),
        "map": (pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string())), "[('a', 'b')]"),
    }[kind]  # fmt: skip
    path, out = tmp_path / "0.parquet", tmp_path / "kept.jsonl"
    pq.write_table(laion(URL=column), path)
    assert [row["url"] for row in rows_in(capsys, path)] == [shown]
    code, *_ = run(capsys, "export", str(path), "--threshold", "0.2", "--manifest", str(out))
    assert code == 0
    assert json.loads(out.read_text())["row"] == 0


def test_two_columns_of_one_name_cost_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0.csv").write_text("url,text,similarity,similarity\na,b,0.3,0.4\n")
    code, _, err = run(capsys, "curve", str(tmp_path / "0.csv"))
    assert code == 2
    assert err.strip().endswith("0.csv: has 2 columns named 'similarity'; skipped")


def zipped(change: int, method: int = 0) -> bytes:
    """Return a zip of a table, with bits of its headers changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("0.csv", HEADER + GOOD)
    data = bytearray(buffer.getvalue())
    central = data.find(b"PK\1\2")
    data[6] |= change
    data[central + 8] |= change
    data[8] = data[central + 10] = method
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "why"), [(zipped(1), "is encrypted"), (zipped(0, 99), "method is not supported")]
)
def test_a_zip_that_cannot_be_opened_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, why: str
) -> None:
    (tmp_path / "0.csv.zip").write_bytes(data)
    code, _, err = run(capsys, "curve", str(tmp_path / "0.csv.zip"))
    assert (code, len(err.splitlines())) == (2, 1)
    assert why in err


def test_a_zip_of_several_tables_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "0.csv.zip", "w") as file:
        for name in ("a.csv", "b.csv"):
            file.writestr(name, HEADER + GOOD)
    code, _, err = run(capsys, "curve", str(tmp_path / "0.csv.zip"))
    assert code == 2
    assert "the zip holds 2 files; make one zip of each table" in err


def test_every_sample_of_a_tar_is_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def sample(**more: Any) -> bytes:
        row = {"caption": "a", "url": "u", "key": "0", "status": "success", "similarity": 0.3}
        return json.dumps(row | more).encode()

    members = [
        ("0.jpg", b""), ("0.json", sample()), ("0.jpg", b""), ("0.json", sample(similarity=0.2)),
        ("1.json", b"[" * 100_000), ("2.json", b"{"), ("3.json", sample(caption="\ud800")),
        ("4.json", sample(similarity=10**400)),
    ]  # fmt: skip
    path = tmp_path / "0.tar"
    path.write_bytes(written.tar(members))
    found = [(row["status"], row["text"]) for row in rows_in(capsys, path)]
    assert found == [
        ("kept", "a"), ("below threshold", "a"), ("unreadable metadata", None),
        ("unreadable metadata", None), ("kept", "\\ud800"), ("kept", "a"),
    ]  # fmt: skip


def test_infinite_scores_are_valid_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "0.parquet", tmp_path / "kept.jsonl"
    values = [np.inf, 1e308, 0.3, -np.inf, np.nan]
    pq.write_table(laion(similarity=pa.array(values)), path)
    shown = [row["similarity"] for row in rows_in(capsys, path)]
    assert shown == ["inf", 1e308, 0.3, "-inf", None]
    run(capsys, "export", str(path), "--threshold", "0.2", "--manifest", str(out))
    kept = [json.loads(line)["similarity"] for line in out.read_text().splitlines()]
    assert kept == ["inf", 1e308, 0.3]
    code, _, err = run(capsys, "suggest", str(path), "--keep", "pairs=1", "--keep", "pairs=2")
    assert code == 0, err


def test_a_damaged_table_is_not_called_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "0.parquet"
    path.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    code, _, err = run(capsys, "suggest", str(path), "--fraction", "0.3")
    assert code == 2
    assert "0.parquet: " in err
    assert "--fraction is for" not in err


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found | {"met": np.zeros(3, np.int64)},
        lambda found: found | {"histogram_0": found["histogram_0"][:-1]},
        lambda found: found | {"histogram_0": found["histogram_0"].astype(float)},
        lambda found: found | {"facts": np.frombuffer(b'{"format": 1}', np.uint8)},
        lambda found: found | {"facts": np.frombuffer(b"[" * 100_000, np.uint8)},
        lambda found: {key: one for key, one in found.items() if key != "ends_0"},
    ],
)
def test_a_damaged_index_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any
) -> None:
    path, index = tmp_path / "0.csv", tmp_path / "index"
    path.write_text(HEADER + GOOD)
    assert run(capsys, "index", str(path), "--out", str(index))[0] == 0
    with np.load(index / "total.npz") as file:
        found = {name: file[name] for name in file.files}
    np.savez(index / "total.npz", **damage(found))
    code, _, err = run(capsys, "curve", "--index", str(index))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "total.npz: damaged; run mmc4viz index again" in err


@pytest.mark.parametrize("text", ['{"files": []}', "[" * 100_000, "[]", '{"files": [1]}', "\xff"])
def test_a_damaged_manifest_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "pairs.json").write_bytes(text.encode("latin-1"))
    code, _, err = run(capsys, "curve", "--index", str(tmp_path))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "pairs.json is damaged" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["curve", "--threshold", "nan"],
        ["explain", "--threshold", "inf"],
        ["curve", "--score", "b32", "--and", "l14=nan"],
        ["curve", "--where", "url>=nan"],
        ["export", "--threshold", "0.2", "--out", "a.json", "--manifest", "./a.json"],
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    (tmp_path / "0.csv").write_text(HEADER + GOOD)
    code, _, err = run(capsys, arguments[0], str(tmp_path / "0.csv"), *arguments[1:])
    assert (code, len(err.splitlines())) == (2, 1)


@given(st.lists(st.one_of(st.binary(max_size=5), st.text(max_size=5).map(str.encode))),
       st.integers(1, 6), st.sampled_from([1, 3, 8, -1]))  # fmt: skip
def test_escaping_does_not_depend_on_how_the_file_arrives(
    pieces: list[bytes], step: int, size: int
) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(step)

    raw = b"".join(pieces)
    stream, found = Utf8(Slow(raw)), b""
    while part := stream.read(size):
        found += part
    assert found == raw.decode(errors="backslashreplace").encode()


@pytest.mark.parametrize("arrow_types", [True, False])
def test_a_long_text_stored_once_is_not_copied_for_each_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arrow_types: bool
) -> None:
    rows, long = 200_000, "0.3" + "0" * 50_000
    once = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([long]))
    path = tmp_path / "0.parquet"
    pq.write_table(
        laion(URL=once, TEXT=once, similarity=once), path, compression="zstd",
        store_schema=arrow_types,
    )  # fmt: skip
    assert path.stat().st_size < 20_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code, out, err = run(
        capsys, "curve", str(path), "--thresholds", "0.25", "--where", f"TEXT={long}"
    )
    assert (code, out.splitlines()[1]) == (0, "similarity,0.25,200000,1.0"), err
    code, out, _ = run(
        capsys, "explain", str(path), "--threshold", "0.25", "--first", "1", "--format", "jsonl"
    )
    assert (code, json.loads(out)["text"]) == (0, long)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kB, of 10 GB
