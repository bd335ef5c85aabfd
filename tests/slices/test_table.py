"""A user's own table as slices: matched to documents and images, and every fault in one line."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz import LoaderConfig, match_corpus
from mmc4viz.slices.attributes import SlicedCorpus
from mmc4viz.slices.division import NO_VALUE, OTHER, Division
from mmc4viz.slices.table import attribute_named, open_slice_table
from mmc4viz.sweep.sweep import Matched
from mmc4viz.types import ConfigError
from tests.support.corpora import SETTINGS, odd


def corpus() -> SlicedCorpus:
    found = odd(SETTINGS[0]).corpus
    return SlicedCorpus(found.matched, found.pairs)


def keys() -> tuple[list[str], list[str]]:
    columns = corpus().columns
    shards = [one.shard.name for one in columns for _ in range(len(one))]
    return shards, [str(key) for one in columns for key in one.batch.column("key")]


def write(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def by(path: str, name: str, most: int = 30) -> Division:
    return open_slice_table(path).attribute(name).divide(corpus(), most)


def test_rows_in_any_order_are_matched_to_documents(tmp_path: Path) -> None:
    shards, names = keys()
    value = [f"v{i % 3}" for i in range(len(names))]
    order = np.random.default_rng(0).permutation(len(names)).tolist()
    path = write(
        tmp_path / "t.parquet",
        key=[names[i] for i in order], shard=[shards[i] for i in order],
        kind=pa.array([value[i] for i in order]).dictionary_encode(),
    )  # fmt: skip
    found = by(path, "kind")
    assert [found.names[code] for code in found.code.tolist()] == value
    assert found.notes == () and found.unit == "document"


def test_scores_of_unifilter_are_matched_by_key_alone(tmp_path: Path) -> None:
    shards, names = keys()
    score = np.arange(len(names)) / len(names)
    for number, shard in enumerate(dict.fromkeys(shards)):
        mine = [i for i, one in enumerate(shards) if one == shard]
        write(
            tmp_path / f"{number:08d}_quality_score.parquet",
            key=[names[i] for i in mine],
            quality_score=score[mine].astype(np.float32),
            quality_class=[i % 4 for i in mine],
        )
    found = by(str(tmp_path / "*_quality_score.parquet"), "quality_class")
    assert found.unit == "document" and found.notes == ()
    assert [found.names[code] for code in found.code.tolist()] == [
        str(i % 4) for i in range(len(names))
    ]
    bins = by(str(tmp_path / "*_quality_score.parquet"), "quality_score")
    assert len(bins) == 5 and (np.diff(bins.code) >= 0).all()
    alone = by(str(tmp_path / "00000000_quality_score.parquet"), "quality_class")
    assert alone.sizes[-1] == shards.count(shards[-1]) and alone.names[-1] == NO_VALUE


def test_keys_that_do_not_name_one_document_are_refused(tmp_path: Path) -> None:
    _, names = keys()
    path = write(tmp_path / "t.parquet", key=[names[0], "b", names[0]], x=[1, 2, 3])
    with pytest.raises(ConfigError, match=r"has two rows; .*, or add a column 'shard'"):
        by(path, "x")
    here = corpus()
    doubled = SlicedCorpus(Matched([*here.matched.parts, here.matched.parts[0]], SETTINGS[0]))
    path = write(tmp_path / "u.parquet", key=names[:1], x=[1])
    with pytest.raises(ConfigError, match="is the key of several documents; add a column 'shard'"):
        open_slice_table(path).attribute("x").divide(doubled)


def test_rows_are_matched_to_images(tmp_path: Path) -> None:
    here = corpus()
    shards, names = keys()
    n_images = np.concatenate([one.n_images for one in here.columns]).tolist()
    rows = [(s, k, i) for s, k, n in zip(shards, names, n_images, strict=True) for i in range(n)]
    path = write(
        tmp_path / "t.parquet",
        shard=[row[0] for row in rows], key=[row[1] for row in rows],
        image=pa.array([row[2] for row in rows], pa.uint16()),
        odd=[row[2] % 2 == 1 for row in rows],
    )  # fmt: skip
    found = by(path, "odd")
    assert found.unit == "image" and set(found.names) == {"no", "yes"}
    expected = np.where(here.pairs.image % 2 == 1, "yes", "no").tolist()
    assert [found.names[code] for code in found.code.tolist()] == expected


def test_what_the_table_lacks_has_no_value_and_is_counted(tmp_path: Path) -> None:
    shards, names = keys()
    path = write(
        tmp_path / "t.parquet",
        shard=[*shards[10:], "one.tar", "elsewhere.tar", None],
        key=[*names[10:], "nobody", names[0], names[1]],
        x=[*[i % 2 for i in range(len(names) - 10)], 9, 9, 9],
    )
    found = by(path, "x")
    assert found.names == ("0", "1", NO_VALUE) and found.sizes[2] == 10
    assert [note.partition(": ")[0] for note in found.notes] == [
        f"{path} has no row for 10 of {len(names)} documents", path
    ]  # fmt: skip
    assert "3 rows name nothing in this corpus" in found.notes[1]
    assert found.notes[1].endswith("one.tar nobody")


def test_a_null_or_nan_is_no_value(tmp_path: Path) -> None:
    shards, names = keys()
    n = len(names)
    path = write(
        tmp_path / "t.parquet", shard=shards, key=names,
        text=[None, "", *["a"] * (n - 2)], number=[None, float("nan"), *[1.5] * (n - 2)],
        nothing=pa.nulls(n),
    )  # fmt: skip
    for name, value in (("text", "a"), ("number", "1.5")):
        assert by(path, name).names == (value, NO_VALUE)
        assert by(path, name).sizes.tolist() == [n - 2, 2]
    assert by(path, "nothing").names == (NO_VALUE,)
    assert "nothing in this corpus has a value" in by(path, "nothing").notes[0]


def test_many_numbers_are_put_into_bins(tmp_path: Path) -> None:
    shards, names = keys()
    n = len(names)
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=i) for i in range(n)]
    path = write(
        tmp_path / "t.parquet", shard=shards, key=names, x=np.arange(n) / 10, day=days,
        year=[2017 + i % 4 for i in range(n)], skewed=[max(0, i - n // 2) for i in range(n)],
        huge=[float("inf"), *range(n - 1)], big=[2**60 + i for i in range(n)],
    )  # fmt: skip
    for name in ("x", "day", "huge", "big"):
        sizes = by(path, name).sizes
        assert len(sizes) == 5 and sizes.min() > 0.15 * n
    assert by(path, "x").names[0].startswith("under ") and " to under " in by(path, "x").names[1]
    assert by(path, "day").names[0].startswith("under 2020-")
    assert by(path, "year").names == ("2017", "2018", "2019", "2020")
    assert by(path, "skewed").sizes.sum() == n and len(by(path, "skewed")) < 5


def test_a_value_for_every_document(tmp_path: Path) -> None:
    shards, names = keys()
    path = write(tmp_path / "t.parquet", shard=shards, key=names, id=[f"id {k}" for k in names])
    found = by(path, "id", most=5)
    assert len(found) == 6 and found.names[5] == OTHER
    assert f"{len(names)} values" in found.notes[0]


def test_names_are_cut_and_stay_distinct(tmp_path: Path) -> None:
    shards, names = keys()
    long = [("x" * 200) + str(i % 2) for i in range(len(names))]
    path = write(tmp_path / "t.parquet", shard=shards, key=names, long=long)
    found = by(path, "long")
    assert len(set(found.names)) == 2 and max(map(len, found.names)) < 90


def failing(path: str, name: str = "x") -> str:
    with pytest.raises(ConfigError) as raised:
        by(path, name)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_document_named_twice(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.parquet", shard=["one.tar"] * 3, key=[keys()[1][0]] * 3, x=["a", "b", "a"]
    )
    assert "has two rows (and 1 more rows); keep one row for each document" in failing(path)


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    good = {"shard": ["one.tar"], "key": ["k"]}
    path = write(tmp_path / "1.parquet", shard=["one.tar"], x=["a"])
    assert "no column 'key'; it needs 'key', which names the document" in failing(path)
    path = write(tmp_path / "2.parquet", **good, x=[["a", "b"]])
    assert "column 'x' has the type list" in failing(path)
    path = write(tmp_path / "3.parquet", shard=["one.tar"], key=[7], x=["a"])
    assert "column 'key' has the type int64, not text" in failing(path)
    path = write(tmp_path / "4.parquet", **good, image=["0"], x=["a"])
    assert "column 'image' has the type string, not whole numbers" in failing(path)
    path = write(tmp_path / "5.parquet", **good)
    assert "no column to divide by" in failing(path)
    path = write(tmp_path / "6.parquet", **good, y=["a"])
    assert failing(path).endswith("no column 'x'; it has: y")
    (tmp_path / "7.parquet").write_text("not Parquet")
    assert "cannot be read as a Parquet table" in failing(str(tmp_path / "7.parquet"))
    assert "cannot be read as a Parquet table" in failing(str(tmp_path / "missing.parquet"))


def test_an_empty_table_and_an_empty_corpus(tmp_path: Path) -> None:
    nothing = pa.array([], pa.string())
    path = write(tmp_path / "t.parquet", shard=nothing, key=nothing, x=pa.array([], pa.int64()))
    assert by(path, "x").names == (NO_VALUE,)
    none = SlicedCorpus(match_corpus([], LoaderConfig()))
    assert open_slice_table(path).attribute("x").divide(none).names == ()


def test_the_table_comes_first(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", shard=["one.tar"], key=["k"], site=["mine"])
    table = open_slice_table(path)
    assert attribute_named("site", table).label == "site"
    assert attribute_named("images", table).label == "Images on the page"
    assert attribute_named("site").label == "Site"
    for name, own in (("nothing", None), ("nothing", table)):
        with pytest.raises(ConfigError, match="nothing"):
            attribute_named(name, own)


def test_many_numbers_of_which_nearly_all_are_the_lowest_are_two_bins(tmp_path: Path) -> None:
    shard, key = keys()
    number = [n if n < 14 else 0 for n in range(len(key))]
    found = by(write(tmp_path / "t.parquet", shard=shard, key=key, number=number), "number")
    assert found.names == ("under 1", "1 or more")
    assert found.sizes.tolist() == [len(key) - 13, 13]
