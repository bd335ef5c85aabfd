"""Tables of pairs in a notebook: the same answers as pandas, and as the commands."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mmc4viz
from mmc4viz.pairs_notebook import PairsInNotebook
from tests.cli.test_cli import Run
from tests.support import pairs
from tests.support.hostile import MARK

B32, L14 = "clip_b32_similarity_score", "clip_l14_similarity_score"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tables")
    pairs.write(pairs.datacomp(2000), found / "datacomp", 2)
    return found / "datacomp"


@pytest.fixture(scope="module")
def known(folder: Path) -> pd.DataFrame:
    parts = [pd.read_parquet(path) for path in sorted(folder.iterdir())]
    found = pd.concat(parts, ignore_index=True)
    return found[found.original_width >= 300]


@pytest.fixture
def table(folder: Path) -> PairsInNotebook:
    return mmc4viz.open_pairs(folder, where="original_width>=300")


def test_curves_are_those_of_pandas(table: PairsInNotebook, known: pd.DataFrame) -> None:
    assert len(table) == 2000 and table.errors == []
    found = table.curve([0.3, 0.25, 0.2813])
    assert list(found.threshold) == [0.25, 0.2813, 0.3] * 2
    for row in found.itertuples():
        kept = int((known[row.score] >= np.float32(row.threshold)).sum())
        assert (row.pairs, row.share) == (kept, kept / 2000)
    assert table.score("l14").kept(0.25) == int((known[L14] >= np.float32(0.25)).sum())
    assert table.score("aspect").curve([2]).pairs[0] == int(
        (np.maximum(known.original_width, known.original_height)
         / np.minimum(known.original_width, known.original_height) >= 2).sum()
    )  # fmt: skip


@pytest.mark.parametrize("thresholds", [(0.25, 0.2), (0.2512, 0.2034)])
def test_two_scores_are_those_of_pandas(
    table: PairsInNotebook, known: pd.DataFrame, thresholds: tuple[float, float]
) -> None:
    reach = [known[c] >= np.float32(t) for c, t in zip((B32, L14), thresholds, strict=True)]
    assert table.two("b32", "l14").kept(*thresholds) == int((reach[0] & reach[1]).sum())
    swapped = table.two("ViT-L/14", "ViT-B/32", "or")
    assert swapped.kept(*thresholds[::-1]) == int((reach[0] | reach[1]).sum())
    sums = known[B32].astype(float) + known[L14].astype(float)
    assert table.two("b32", "l14", "sum").kept(0.47) == int((sums >= 0.47).sum())


@pytest.mark.parametrize("together", ["and", "or"])
def test_the_surface_is_exact_at_all_pairs_of_thresholds(
    table: PairsInNotebook, known: pd.DataFrame, together: Any
) -> None:
    found = table.two("b32", "l14", together).surface()
    assert (found.index.name, found.columns.name) == (B32, L14)
    join = np.logical_and if together == "and" else np.logical_or
    for first, second in ((0.2, 0.2), (0.25, 0.31), (0.31, 0.1)):
        reach = [known[B32] >= np.float32(first), known[L14] >= np.float32(second)]
        assert found.loc[first, second] == int(join(*reach).sum())


def test_answers_are_the_commands(
    table: PairsInNotebook, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = "--where", "original_width>=300"

    def printed(*arguments: Any) -> pd.DataFrame:
        return pd.read_csv(io.StringIO(Run(capsys, *arguments, *where).out))

    def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)

    same(table.curve(), printed("curve", folder))
    same(
        table.two("b32", "l14").curve([0.2, 0.3]),
        printed("curve", folder, "--score", "b32", "--and", "l14", "--thresholds", "0.2,0.3"),
    )
    same(
        table.compare("b32", "l14", [0.2, 0.25]),
        printed("compare", folder, "--thresholds", "0.2,0.25", "--format", "csv"),
    )
    same(
        table.at(0.2513).slices("original_width"),
        printed("slices", folder, "--threshold", "0.2513", "--by", "original_width", "--format",
                "csv"),
    )  # fmt: skip
    near = table.at(0.25).near(6)
    assert len(near) == 6 and list(near.status) == ["kept"] * 3 + ["below threshold"] * 3
    assert len(table.at(0.25).first(5)) == 5
    assert len(table.compare("b32", "l14")) > 10


def test_suggestions_keep_what_was_asked_for(table: PairsInNotebook, known: pd.DataFrame) -> None:
    share, rows, fraction = (
        table.suggest("30%")[0], table.suggest(500)[0], table.suggest(fraction=0.3)[0],
    )  # fmt: skip
    assert share.threshold is not None and rows.threshold is not None
    assert table.kept(share.threshold) >= 600 and table.kept(rows.threshold) >= 500
    at = np.sort(known[B32])[::-1][int(len(known) * 0.3)]
    assert fraction.threshold == at
    both = table.two("b32", "l14").suggest(200, second=0.2)[0]
    assert both.threshold is not None and table.two("b32", "l14").kept(both.threshold, 0.2) >= 200


@pytest.mark.slow
def test_an_index_answers_as_the_table_does(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Run(capsys, "index", folder, "--out", tmp_path / "index")
    table = mmc4viz.open_pairs(folder)
    for index in (mmc4viz.open_pairs(tmp_path / "index"),
                  mmc4viz.open_pairs(index=str(tmp_path / "index"))):  # fmt: skip
        pd.testing.assert_frame_equal(index.curve(), table.curve())
        assert index.two("b32", "l14").kept(0.25, 0.2) == table.two("b32", "l14").kept(0.25, 0.2)
        assert repr(index) == repr(table)


def test_files_are_those_of_export(
    table: PairsInNotebook, folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    chosen = table.two("b32", "l14").at(0.25, 0.2)
    here, there = tmp_path / "a", tmp_path / "b"
    here.mkdir(), there.mkdir()
    kept = chosen.export(
        str(here / "s.yaml"), ids=str(here / "i.npy"), manifest=str(here / "m.csv"),
        report=str(here / "r.html"), by="original_width", note="a note",
    )  # fmt: skip
    Run(
        capsys, "export", folder, "--where", "original_width>=300", "--score", "b32", "--and",
        "l14=0.2", "--threshold", "0.25", "--out", there / "s.yaml", "--ids", there / "i.npy",
        "--manifest", there / "m.csv", "--note", "a note",
    )  # fmt: skip
    for name in ("s.yaml", "i.npy", "m.csv"):
        assert (here / name).read_bytes() == (there / name).read_bytes()
    with open(here / "m.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == kept == chosen.kept
    assert f"{kept:,}" in (here / "r.html").read_text()
    with pytest.raises(mmc4viz.ConfigError, match="exists"):
        chosen.export(str(here / "s.yaml"))
    with pytest.raises(mmc4viz.ConfigError, match="nothing to write"):
        chosen.export()


def test_nothing_is_counted_twice(folder: Path) -> None:
    read = list[int]()
    table = mmc4viz.open_pairs(folder, progress=read.append)
    assert read == []
    two = table.two("b32", "l14")
    two.surface(), two.kept(0.2, 0.2), table.two("l14", "b32", "or").kept(0.2, 0.3)
    table.compare("b32", "l14", 0.25), two.at(0.2, 0.2).plot()
    assert sum(read) == 2000
    table.curve(), table.score("l14").kept(0.2), table.at(0.3).plot()
    assert sum(read) == 4000


def test_figures_are_drawn(table: PairsInNotebook) -> None:
    two = table.two("b32", "l14")
    for one in (table.at(0.25), two.at(0.25, 0.2), table.two("b32", "l14", "sum").at(0.5)):
        assert isinstance(one.plot(), go.Figure)


def test_objects_are_frozen_and_shown_escaped(tmp_path: Path) -> None:
    name = f"<b>{MARK.replace('=', '')}</b>"
    pq.write_table(pa.table({name: [0.1, 0.2], "url": ["a", "b"]}), tmp_path / "t.parquet")
    table = mmc4viz.open_pairs(tmp_path / "t.parquet", scores=[f"{name}=<i>model</i>"])
    shown = table._repr_html_() + table.at(0.2)._repr_html_()
    assert "<b>" not in shown and "<i>" not in shown and "&lt;b&gt;" in shown
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.command = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda t: t.at(), "give 1 finite threshold, for"),
        (lambda t: t.at(float("nan")), "give 1 finite threshold, for"),
        (lambda t: t.two("b32", "l14").at(0.2), "give 2 finite thresholds, for"),
        (lambda t: t.two("b32", "b32"), "are the same score"),
        (lambda t: t.two("b32", "l14", "xor"), "together must be and, or or sum"),
        (lambda t: t.score("nothing"), "is not one known number of this table"),
        (lambda t: t.surface(), "a surface needs two scores"),
        (lambda t: t.suggest(), "specify a target"),
        (lambda t: t.suggest(fraction=2.0), "fraction must be from 0"),
        (lambda t: t.at(0.2).slices("nothing"), "nothing"),
    ],
)
def test_what_makes_no_sense_is_said(table: PairsInNotebook, ask: Any, words: str) -> None:
    with pytest.raises(mmc4viz.ConfigError, match=words):
        ask(table)


def test_a_table_or_an_index_is_needed(folder: Path) -> None:
    with pytest.raises(mmc4viz.ConfigError, match="name a table or an index"):
        mmc4viz.open_pairs()
    with pytest.raises(mmc4viz.ConfigError, match="not both"):
        mmc4viz.open_pairs(folder, index="x")
