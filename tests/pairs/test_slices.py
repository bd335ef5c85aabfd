"""Slices of a table add up to the whole, and are those that pandas finds."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmc4viz.pairs.choose import count_kept
from mmc4viz.pairs.count import count, plan_of
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.selection import PairSelection, RowCondition
from mmc4viz.pairs.slices.division import NumberCounts, PairAttribute, ValueCounts, attribute_of
from mmc4viz.pairs.slices.sliced import (
    PairSlices,
    compared_slices,
    kept_by_slice,
    ordered_slices,
    slices_of,
)
from mmc4viz.pairs.table import PairTable, TableBatch, open_table
from mmc4viz.slices.site import NOT_A_URL, authority_of, site_of_authority
from mmc4viz.types import ConfigError
from tests.support import pairs

HOSTS = ("www.a.co.uk", "img.a.co.uk:80", "b.org", "me@b.org", "192.0.2.7", "c.github.io")


def sliced_table(rows: int, seed: int = 0) -> pa.Table:
    """Return rows of DataComp with sites, languages, years and empty cells."""
    rng = np.random.default_rng(seed)
    hosts = rng.choice(HOSTS, rows, p=(0.3, 0.2, 0.2, 0.1, 0.1, 0.1))
    urls = [f"https://{host}/{n}" for n, host in enumerate(hosts)]
    urls[:3] = ["", "no url", "https://lonely.example?x"]  # type: ignore[list-item]
    found = pairs.datacomp(rows, seed)
    found = found.set_column(found.schema.get_field_index("url"), "url", pa.array(urls))
    words = np.where(rng.random(rows) < 0.1, None, rng.choice(["en", "fr", "de", ""], rows))
    return (
        found.append_column("LANGUAGE", pa.array(words, pa.string()))
        .append_column("year", pa.array(rng.integers(2010, 2014, rows)))
        .append_column(
            "noise", pa.array(np.where(rng.random(rows) < 0.1, np.nan, rng.random(rows)))
        )
        .append_column("nsfw", pa.array(rng.random(rows) < 0.2))
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> PairTable:
    folder = pairs.write(sliced_table(6000), tmp_path_factory.mktemp("t") / "t", 2, 500)
    return open_table([str(folder)])


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return sliced_table(6000).to_pandas()


def divided(table: PairTable, by: str, where: tuple[str, ...] = (), most: int = 30) -> PairSlices:
    plan = plan_of(table, table.scores, [RowCondition.parse(text) for text in where])
    return slices_of(table, attribute_of(table, by), plan, most)


def site(url: str) -> str | None:
    if not url:
        return None
    authority = authority_of(url)
    return site_of_authority(authority) if authority else NOT_A_URL


def by_value(frame: pd.DataFrame, values: Any, mask: Any) -> dict[str, tuple[int, int]]:
    """Return the rows of each value, and those of them in a mask."""
    named = pd.Series(["no value" if pd.isna(v) or v == "" else str(v) for v in values])
    rows, kept = named.value_counts(), named[np.asarray(mask)].value_counts()
    return {name: (int(n), int(kept.get(name, 0))) for name, n in rows.items()}


def found_in(found: PairSlices, kept: Any) -> dict[str, tuple[int, int]]:
    each = zip(found.names, found.rows.tolist(), kept.tolist(), strict=True)
    return {name: (rows, n) for name, rows, n in each}


@pytest.mark.parametrize("by", ["site", "LANGUAGE", "year", "nsfw"])
@pytest.mark.parametrize("where", [(), ("original_width>=500",)])
def test_slices_are_those_of_pandas(
    by: str, where: tuple[str, ...], table: PairTable, frame: pd.DataFrame
) -> None:
    found = divided(table, by, where)
    b32, l14 = (frame[one.name] for one in table.scores)
    admitted = frame.original_width >= 500 if where else pd.Series(True, frame.index)
    values = {
        "site": frame.url.map(site),
        "nsfw": frame.nsfw.map({True: "yes", False: "no"}),
    }.get(by, frame.get(by))
    one, other = b32 >= np.float32(0.25), l14 >= np.float32(0.2)
    both = table.scores
    for columns, at, together, mask in (
        (both[:1], [0.25], "one", one),
        (both[1:], [0.2], "one", other),
        (both, [0.25, 0.2], "and", one & other),
        (both[::-1], [0.2, 0.25], "or", one | other),
        (both, [0.45], "sum", b32.astype(float) + l14.astype(float) >= 0.45),
    ):
        kept = found.kept(columns, at, together)  # type: ignore[arg-type]
        assert found_in(found, kept) == by_value(frame, values, mask & admitted)


@pytest.mark.parametrize("by", ["site", "LANGUAGE", "year", "noise", "original_width", "aspect"])
def test_slices_add_up_to_the_whole_at_every_threshold(by: str, table: PairTable) -> None:
    found = divided(table, by)
    plan = plan_of(table, table.scores)
    curves = PairCurves(plan, count(table, plan))
    assert found.rows.sum() == curves.tally.rows and (found.rows > 0).all()
    for column in table.scores:
        assert (found.curves(column).sum(0) == curves.curve([column])).all()
        assert (found.curves(column)[:, 1250] == found.kept([column], [0.25])).all()
    for together in ("and", "or"):
        at = [0.233, 0.217]
        assert found.kept(table.scores, at, together).sum() == curves.kept(  # type: ignore[arg-type]
            table.scores, at, together  # type: ignore[arg-type]
        )  # fmt: skip


@pytest.mark.parametrize("by", ["site", "LANGUAGE", "noise", "aspect"])
def test_rows_one_by_one_give_what_the_histograms_give(by: str, table: PairTable) -> None:
    found = divided(table, by, ("original_height<1500",))
    for at, together in (((0.25, 0.2), "and"), ((0.31, 0.2), "or"), ((0.5,), "sum")):
        selection = PairSelection(table.scores, at, together, found.plan.where, found.plan.rule)  # type: ignore[arg-type]
        literal = kept_by_slice(table, found, selection, [])
        assert literal.tolist() == found.kept(table.scores, at, together).tolist()  # type: ignore[arg-type]
    between = PairSelection(table.scores[:1], (0.25037,), rule=found.plan.rule)
    assert kept_by_slice(table, found, between, []).sum() == count_kept(table, [between], [])[0]


def test_the_largest_values_are_slices_and_all_others_are_one(
    table: PairTable, frame: pd.DataFrame
) -> None:
    found = divided(table, "site", most=2)
    counts = Counter(frame.url.map(site))
    (one, first), (two, second) = counts.most_common(2)
    apart = {"address": counts["address"], NOT_A_URL: 1, "no value": 1}
    others = 6000 - first - second - sum(apart.values())
    assert dict(zip(found.names, found.rows.tolist(), strict=True)) == {
        one: first, two: second, "other": others, **apart
    }  # fmt: skip
    assert found.notes == (
        "Site: 4 values; the largest 2 are slices of their own, 'other' is all others",
    )


def test_numbers_are_divided_into_bins_of_about_equal_size(
    table: PairTable, frame: pd.DataFrame
) -> None:
    found = divided(table, "noise")
    assert found.names[-1] == "no value" and found.rows[-1] == frame.noise.isna().sum()
    assert found.names[0].startswith("under ") and found.names[4].endswith(" or more")
    assert (abs(found.rows[:5] - found.rows[:5].mean()) <= 2).all()
    borders = np.asarray(found.division.borders)
    expected = np.bincount(np.searchsorted(borders, frame.noise.dropna(), "right"))
    assert found.rows[:5].tolist() == expected.tolist()
    assert divided(table, "year").names == ("2010", "2011", "2012", "2013")


def test_workers_count_what_one_process_counts(
    table: PairTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = divided(table, "site", most=3)
    monkeypatch.setattr("mmc4viz.pairs.slices.sliced.is_small", lambda _: False)
    make = partial(ProcessPoolExecutor, 2)
    found = slices_of(table, alone.division.attribute, alone.plan, 3, make, 2)
    assert found.names == alone.names
    at = (table.scores, [0.25, 0.2], "and")
    assert found.kept(*at).tolist() == alone.kept(*at).tolist()  # type: ignore[arg-type]
    assert (found.curves(table.scores[1]) == alone.curves(table.scores[1])).all()


def test_a_file_that_lacks_the_column_costs_only_itself(tmp_path: Path) -> None:
    folder = pairs.write(sliced_table(400), tmp_path / "t", 2)
    pq.write_table(pairs.datacomp(50), folder / "part_9.parquet")
    (folder / "part_8.parquet").write_bytes(b"PAR1 half")
    table = open_table([str(folder)])
    found = divided(table, "year")
    assert found.rows.sum() == 400
    assert len(found.tally.errors) == 2
    assert any("part_9.parquet: has no column 'year'" in one for one in found.tally.errors)
    selection = PairSelection(table.scores[:1], (0.25,), rule=found.plan.rule)
    literal = kept_by_slice(table, found, selection, [])
    assert literal.tolist() == found.kept(table.scores[:1], [0.25]).tolist()


def test_a_csv_is_divided_by_what_its_cells_say(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"http://{'a' if n % 3 else 'b'}.org/{n},t,0.3,{2000 + n % 2},{'x' * (n % 2)}"
             for n in range(30)]  # fmt: skip
    path.write_text("\n".join(["url,text,similarity,year,word", *lines]) + "\n")
    table = open_table([str(path)])
    assert divided(table, "year").names == ("2000", "2001")
    assert dict(zip(divided(table, "word").names, (15, 15), strict=True)) == {
        "x": 15,
        "no value": 15,
    }
    assert divided(table, "site").rows.tolist() == [20, 10]


@pytest.mark.parametrize(
    ("by", "words"),
    [("nothing", "no column 'nothing' to divide by; there are uid, url"),
     ("face_bboxes", "'face_bboxes' has the type list")],
)  # fmt: skip
def test_what_cannot_divide_is_said(by: str, words: str, table: PairTable) -> None:
    with pytest.raises(ConfigError, match=words):
        attribute_of(table, by)


def test_thresholds_that_were_not_counted_are_refused(table: PairTable) -> None:
    found = divided(table, "year")
    with pytest.raises(ConfigError, match="not a step of the grid"):
        found.kept(table.scores[:1], [0.2505001])
    one = slices_of(table, attribute_of(table, "year"), plan_of(table, table.scores[:1]))
    with pytest.raises(ConfigError, match="was not counted"):
        one.kept(table.scores, [0.2, 0.2], "and")


def test_shares_differences_and_costs(table: PairTable, frame: pd.DataFrame) -> None:
    found = divided(table, "LANGUAGE")
    column = table.scores[0]
    kept = found.kept([column], [0.25])
    each = compared_slices(found, kept, column)
    whole = kept.sum() / 6000
    assert sum(one.cost for one in each) == pytest.approx(0, abs=1e-9)
    assert sum(one.part for one in each) == pytest.approx(1)
    for one in each:
        assert one.difference == pytest.approx(one.kept / one.rows - whole)
        assert one.low is not None and one.high is not None
        assert one.low <= one.difference <= one.high
    (english,) = [one for one in each if one.name == "en"]
    scores = frame[frame.LANGUAGE == "en"][column.name].astype(float)
    assert english.median is not None
    assert abs(english.median - np.median(scores)) <= 0.001
    assert [one.rows for one in ordered_slices(each, "size")] == sorted(
        (one.rows for one in each), reverse=True
    )
    assert ordered_slices(each, "cost")[0].cost == max(one.cost for one in each)


def test_an_empty_table_has_no_slices(tmp_path: Path) -> None:
    folder = pairs.write(sliced_table(10).slice(0, 0), tmp_path / "t")
    table = open_table([str(folder)])
    found = divided(table, "site")
    assert found.names == () and compared_slices(found, found.rows, table.scores[0]) == []


URLS = st.one_of(
    st.none(),
    st.text("ahtp:/?#@.\\ \n1é", max_size=20),
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["http", "HTTPS", "x+y", "", "1a"]),
        st.text("ab.:@1[]é_ \\", max_size=8),
        st.text("/?#a\n", max_size=4),
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(URLS, max_size=8))
def test_sites_of_a_column_are_those_of_its_urls(urls: list[str | None]) -> None:
    batch = TableBatch(0, len(urls), {"url": pa.array(urls, pa.string())})
    found = PairAttribute("site", "Site", "url", "site").texts(batch)
    assert found.to_pylist() == [site(url or "") for url in urls]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 50)), max_size=6),
       st.integers(1, 6))  # fmt: skip
def test_counts_of_values_are_in_doubt_by_no_more_than_is_said(
    parts: list[dict[str, int]], most: int
) -> None:
    found, true = ValueCounts(most), Counter[str]()
    for part in parts:
        found.add(part)
        true.update(part)
    assert len(found.counts) <= most
    for value, rows in true.items():
        assert 0 <= rows - found.counts.get(value, 0) <= found.doubt
    assert (found.doubt == 0) == (len(true) <= most)
    assert found.doubt <= true.total() / (most + 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 200), max_size=80), max_size=5))
def test_a_summary_of_numbers_has_all_rows(parts: list[list[int]]) -> None:
    found = NumberCounts(16)
    for part in parts:
        found.add(np.array(part, float))
    every = np.sort(np.concatenate([np.zeros(0), *parts]))
    assert found.counts.sum() == len(every) and len(found.values) <= 16
    assert set(found.values) <= set(every)
    if len(set(every)) <= 16:
        assert found.exact and found.values.tolist() == sorted(set(every))


def test_many_values_say_what_is_not_sure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [f"http://s{n % 977}.org/" for n in range(4000)]
    rows = pa.table({"url": urls, "text": ["t"] * 4000, "similarity": [0.3] * 4000})
    table = open_table([str(pairs.write(rows, tmp_path / "t"))])
    plan = plan_of(table, table.scores)
    monkeypatch.setattr("mmc4viz.pairs.slices.sliced.MOST_VALUES", 100)
    found = slices_of(table, attribute_of(table, "site"), plan, 5)
    assert found.rows.sum() == 4000
    assert found.notes[0].startswith("Site: more than 100 values; the largest 5 are slices")
    assert "may be in 'other'" in found.notes[1]


def test_values_that_are_all_different_are_one_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pa.table({"url": [f"u{n}" for n in range(500)], "text": ["t"] * 500})
    pairs.write(rows.append_column("similarity", pa.array([0.3] * 500)), tmp_path / "t")
    table = open_table([str(tmp_path / "t")])
    monkeypatch.setattr("mmc4viz.pairs.slices.sliced.MOST_VALUES", 100)
    found = slices_of(table, attribute_of(table, "url"), plan_of(table, table.scores), 5)
    assert (found.names, found.rows.tolist()) == (("other",), [500])
    assert found.notes == (
        "url: more than 100 values, none more often than 1 times; 'other' is all of them",
    )
