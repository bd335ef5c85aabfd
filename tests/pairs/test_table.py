"""Tables are recognized by content, and whatever is malformed is counted or said in a line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz.data.shards import expand
from mmc4viz.pairs.count import count, plan_of
from mmc4viz.pairs.curves import PairCurves
from mmc4viz.pairs.layout import recognised
from mmc4viz.pairs.recognise import holds_pairs, table_files
from mmc4viz.pairs.selection import RowCondition
from mmc4viz.pairs.table import batches, numbers_of, open_file, open_table
from mmc4viz.types import ConfigError, ShardError
from tests.support import pairs


def curves_of(*paths: Path, named: tuple[str, ...] = (), where: tuple[str, ...] = ()) -> PairCurves:
    table = open_table([str(path) for path in paths], named)
    columns = table.scores[: len(named) or None]
    plan = plan_of(table, columns, [RowCondition.parse(text) for text in where])
    return PairCurves(plan, count(table, plan))


def saved(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("table", "name", "models"),
    [
        (pairs.datacomp(5), "datacomp", ["ViT-B/32", "ViT-L/14"]),
        (pairs.coyo(5), "coyo", ["ViT-B/32", "ViT-L/14"]),
        (pairs.laion(5), "laion-400m", ["ViT-B/32"]),
        (pairs.laion(5).append_column("pwatermark", pa.array([0.1] * 5)), "laion-5b", ["unknown"]),
    ],
)
def test_known_tables_are_recognized(
    table: pa.Table, name: str, models: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "any.name"
    pq.write_table(table, path)
    found = open_table([str(path)])
    assert (found.layout.name, [one.model for one in found.scores]) == (name, models)
    assert holds_pairs([str(path)])


def test_scores_of_unifilter_are_a_table_of_keys(tmp_path: Path) -> None:
    scores = np.array([0.12, 0.5, 2.9, -0.2, np.nan], np.float32)
    path = saved(tmp_path / "00000000_quality_score.parquet", key=[*"abcde"],
                 quality_score=scores, quality_class=[0, 0, 3, 0, 0])  # fmt: skip
    assert holds_pairs([str(path)])
    found = curves_of(path)
    (score,) = found.scores
    assert (found.plan.layout, score.model, score.scale.name) == (
        "unifilter",
        "UniFilter",
        "quality",
    )
    assert [found.kept([score], [at]) for at in (-0.2, 0.0, 0.5, 2.9)] == [3, 3, 2, 1]
    assert found.tally.columns[0].missing == 1


def test_ratings_of_finevision_are_four_scores_of_whole_numbers(tmp_path: Path) -> None:
    names = [f"{one}_min" for one in
             ("relevance", "image_correspondence", "visual_dependency", "formatting")]  # fmt: skip
    ratings = {name: pa.array([1, 5, 3, None]) for name in names}
    lists = pa.array([[1, 2], [5], [3], []], pa.list_(pa.int64()))
    path = saved(tmp_path / "t.parquet", images=[[b"x"]] * 4, texts=[[{"user": "a"}]] * 4,
                 source=["s"] * 4, relevance_ratings=lists, **ratings)  # fmt: skip
    assert holds_pairs([str(path)])
    found = curves_of(path)
    assert [one.name for one in found.scores] == names
    for score in found.scores:
        assert score.scale.thresholds().tolist() == [1, 2, 3, 4, 5]
        assert found.curve([score]).tolist() == [3, 2, 2, 1, 1]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_text_tables_are_read_compressed_or_not(pack: Any, delimiter: str, tmp_path: Path) -> None:
    rows = [
        ["URL", "TEXT", "similarity"],
        ["http://a", '"a,\tb\nc"', "0.31"],
        ["http://b", "d", ""],
        ["http://c", "e", "high"],
        ["http://d", "f", "0.25"],
    ]
    path = tmp_path / "t"
    path.write_bytes(pack("\n".join(map(delimiter.join, rows)).encode()))
    found = curves_of(path)
    (one,) = found.tally.columns
    assert (found.tally.rows, one.missing, one.malformed) == (4, 1, 1)
    assert [found.kept(found.scores, [at]) for at in (0.25, 0.3)] == [2, 1]


def test_a_zipped_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("t.csv", "url,text,similarity\nhttp://a,b,0.3\n")
    assert curves_of(path).tally.rows == 1


def test_a_table_without_names_of_columns_is_recognized_by_its_urls(tmp_path: Path) -> None:
    path = tmp_path / "Train_GCC-training.tsv"
    path.write_text('a very "typical bus\thttp://a.example/1.jpg\nsierra\thttp://b.example/2.jpg\n')
    table = open_table([str(path)])
    assert (table.layout.name, table.first.columns) == ("captions", ("caption", "url"))
    with pytest.raises(ConfigError, match=r"no scores \(captions .* or join .* --scores FILE"):
        plan_of(table, table.scores)


@pytest.mark.parametrize("caption", ["red, green, blue", "a | b | c", "URL,TEXT", "a, b|c, d"])
def test_a_caption_may_hold_any_delimiter_but_the_tab(tmp_path: Path, caption: str) -> None:
    path, url = tmp_path / "t", "http://a.example/1,2.jpg"
    for names, cells in (("caption", "url"), (caption, url)), (("url", "caption"), (url, caption)):
        path.write_text("\t".join(cells) + "\n")
        [batch] = batches(open_table([str(path)]).first, names, None)
        assert [batch.columns[name].to_pylist() for name in names] == [[cells[0]], [cells[1]]]


def test_further_columns_without_names_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a boat , a lake\thttp://a.example/1.jpg\tboat,lake\t0.98,0.5\n")
    assert open_table([str(path)]).first.columns == ("caption", "url", "column_3", "column_4")


def test_a_number_that_is_named_as_a_score_is_one_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("url,text,width,height,similarity\nhttp://a,b,10,20,0.3\n")
    table = open_table([str(path)], ["width=none", "hei"])
    names = [one.name for one in table.columns]
    assert names == ["width", "height", "similarity", "aspect"]
    assert table.column("wid").name == "width"


def test_a_table_without_scores_but_with_numbers_names_one(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("url,text,width\nhttp://a,b,10\n")
    table = open_table([str(path)])
    with pytest.raises(ConfigError, match="COLUMN=MODEL, such as width, or"):
        plan_of(table, table.scores)


def test_lines_of_another_width_are_counted_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("url,text,similarity\nhttp://a,b,0.3\nhttp://c\nhttp://d,e,0.4\n")
    tally = curves_of(path).tally
    assert tally.rows == 2
    assert tally.errors == (f"{path}: 1 line has another number of columns; skipped",)


@pytest.mark.parametrize(
    ("column", "missing", "malformed"),
    [
        (pa.array(["0.3", "0.2", None, "x"]), 1, 1),
        (pa.array(["0.3", "0.2", "", "x"], pa.large_string()), 1, 1),
        (pa.array(["0.3", "0.2", None, "x"]).dictionary_encode(), 1, 1),
        (pa.array([0.3, 0.2, None, float("nan")]), 2, 0),
        (pa.array([0.3, 0.2, None, None], pa.float32()), 2, 0),
        (pa.array(np.array([0.3, 0.2, 0, 0], np.float16)), 0, 0),
        (pa.array([1, 1, None, 0]), 1, 0),
        (pa.array([[0.3], [0.2], None, []], pa.list_(pa.float64())), 1, 3),
        (pa.array([[0.3], [0.2], None, []], pa.large_list(pa.float64())), 1, 3),
        (pa.nulls(4), 4, 0),
    ],
)
def test_columns_of_other_types_are_read_or_counted(
    column: pa.Array, missing: int, malformed: int, tmp_path: Path
) -> None:
    path = saved(tmp_path / "t.parquet", URL=["u"] * 4, TEXT=["t"] * 4, similarity=column)
    (one,) = curves_of(path).tally.columns
    assert (one.missing, one.malformed) == (missing, malformed)
    assert one.kept[1200] == int((numbers_of(column).values.astype(float) >= 0.2).sum())


def test_what_cannot_be_read_is_one_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = pairs.write(pairs.laion(4000), tmp_path / "t", 4, 100)
    (folder / "part_1.parquet").write_bytes((folder / "part_1.parquet").read_bytes()[:5000])
    (folder / "part_2.parquet").write_bytes(b"")
    saved(folder / "part_3.parquet", URL=["u"], TEXT=["t"])
    found = curves_of(folder)
    assert found.tally.rows == 1000
    said = " ".join(found.tally.errors)
    for n, words in enumerate(["partly downloaded", "is empty", "no column 'similarity'"], 1):
        assert f"part_{n}.parquet" in said and words in said
    assert len(found.tally.errors) == 3 and "\n" not in said


def test_a_table_of_which_no_file_can_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 half a download")
    with pytest.raises(ShardError, match=r"a\.parquet: damaged or only partly downloaded"):
        open_table([str(tmp_path)])
    with pytest.raises(ShardError, match="matches no table"):
        table_files([str(tmp_path / "*.csv")])


def test_a_damaged_row_group_costs_the_rows_after_it(tmp_path: Path) -> None:
    path = pairs.write(pairs.laion(20_000), tmp_path / "t", 1, 1000) / "part_0.parquet"
    data = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(9).column(7)
    data[column.data_page_offset : column.data_page_offset + 30] = b"\xff" * 30
    path.write_bytes(data)
    tally = curves_of(path).tally
    assert tally.rows < 20_000 and len(tally.errors) == 1 and str(path) in tally.errors[0]


def test_interleaved_documents_and_other_files_are_no_tables(tmp_path: Path) -> None:
    obelics = saved(tmp_path / "o.parquet", images=[["a"]], texts=[["b"]], metadata=["[]"])
    (tmp_path / "d.jsonl").write_text('{"text_list": [], "image_info": []}\n')
    (tmp_path / "p.html").write_text("<html>a, b</html>")
    for path in (obelics, tmp_path / "d.jsonl", tmp_path / "p.html", tmp_path / "none"):
        assert not holds_pairs([str(path)])


def tar_of(path: Path, rows: list[dict[str, Any] | bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for n, row in enumerate(rows):
            data = row if isinstance(row, bytes) else json.dumps(row).encode()
            members = {".jpg": b"\xff\xd8", ".json": data, ".txt": b"a caption"}
            for suffix, content in members.items():
                member = tarfile.TarInfo(f"{n:09d}{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def downloaded(n: int, **more: Any) -> dict[str, Any]:
    return {"url": f"http://{n}", "caption": "c", "key": f"{n:09d}", "status": "success",
            "error_message": None, "width": 256, "height": 256, **more}  # fmt: skip


def test_tars_of_img2dataset_are_read_by_their_json(tmp_path: Path) -> None:
    rows = [downloaded(0, similarity=0.3), downloaded(1, similarity="0.2"), b"{broken",
            downloaded(3, similarity=0.4, status="failed_to_download")]  # fmt: skip
    path = tar_of(tmp_path / "00000.tar", rows)
    assert holds_pairs([str(path)]) and open_file(str(path)).kind == "tar"
    found = curves_of(path)
    assert found.plan.layout == "img2dataset"
    assert (found.tally.rows, found.tally.not_downloaded, found.tally.unreadable) == (4, 1, 1)
    assert "1 row with unreadable metadata (invalid JSON)" in found.notes()
    assert found.kept(found.scores, [0.2]) == 2


def test_the_parquet_file_beside_a_tar_is_read_instead_of_it(tmp_path: Path) -> None:
    tar_of(tmp_path / "00000.tar", [downloaded(0, similarity=0.3)])
    tar_of(tmp_path / "00001.tar", [downloaded(1, similarity=0.3)])
    pq.write_table(pa.Table.from_pylist([downloaded(0, similarity=0.3)] * 7),
                   tmp_path / "00000.parquet")  # fmt: skip
    assert [Path(p).name for p in table_files([str(tmp_path)])] == ["00000.parquet", "00001.tar"]
    assert curves_of(tmp_path).tally.rows == 8


def test_columns_can_be_named_with_their_model(tmp_path: Path) -> None:
    path = saved(tmp_path / "t.parquet", name=["a", "b"], mine=[21.0, 35.0], word=["x", "y"])
    found = curves_of(path, named=("mine=ViT-H/14",))
    (score,) = found.scores
    assert (score.model, score.scale.name, found.kept([score], [30.0])) == ("ViT-H/14", "×100", 1)
    with pytest.raises(ConfigError, match=r"has no column 'other'; its columns are name, mine"):
        curves_of(path, named=("other",))
    with pytest.raises(ConfigError, match="no numbers in its first rows"):
        curves_of(path, named=("word",))


def test_conditions_filter_exactly_and_are_counted_by_themselves(tmp_path: Path) -> None:
    table = pairs.coyo(5000)
    folder = pairs.write(table, tmp_path / "t", 2)
    found = curves_of(folder, where=("width>=500", "aspect<=2", "num_faces=0"))
    frame = table.to_pandas()
    ratio = frame[["width", "height"]].max(axis=1) / frame[["width", "height"]].min(axis=1)
    each = [frame.width >= 500, ratio <= 2, frame.num_faces == 0]
    assert found.tally.met.tolist() == [int(one.sum()) for one in each]
    pool = frame[each[0] & each[1] & each[2]]
    assert found.tally.pool == len(pool)
    kept = (pool.clip_similarity_vitb32.astype(float) >= 0.25).sum()
    assert found.kept(found.scores[:1], [0.25]) == kept


def test_known_numbers_have_exact_curves_of_their_own(tmp_path: Path) -> None:
    table = pairs.coyo(3000)
    path = pairs.write(table, tmp_path / "t") / "part_0.parquet"
    found = curves_of(path, named=("aesthetic", "width"))
    column, width = found.plan.columns
    values = table["aesthetic_score_laion_v2"].to_numpy().astype(float)
    assert found.kept([column], [5.5]) == int((values >= 5.5).sum())
    assert found.kept([width], [777.0]) == int((table["width"].to_numpy() >= 777).sum())


def test_a_layout_needs_all_of_its_marks() -> None:
    assert recognised(["uid", "clip_b32_similarity_score"]) is None


def test_a_pattern_means_the_same_for_tables_and_shards(tmp_path: Path) -> None:
    for name in ("b/2.parquet", "b/10.parquet", "b/.3.parquet", "{1,2}.parquet", "c/notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for pattern in ("b", "b/*.parquet", "{b,c}/*", "{1,2}.parquet", "b/.*", "c/*"):
        asked = [f"{tmp_path}/{pattern}"]
        assert table_files(asked) == [shard.path for shard in expand(asked)]
    for pattern in ("c", "*.tar", "none", "{", "memory://none/*.parquet"):
        asked, said = [f"{tmp_path}/{pattern}" if ":" not in pattern else pattern], []
        for find in (table_files, expand):
            with pytest.raises(ShardError) as error:
                find(asked)
            said.append(re.sub(r"\(.*\)", "", str(error.value)).replace("shard", "table"))
        assert said[0] == said[1]
