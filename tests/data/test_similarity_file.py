"""Score sets of an index give the same results as shards with these scores as their own."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz import (
    Columns,
    ConfigError,
    LoaderConfig,
    ShardError,
    expand,
    load_tokenizer,
    match_corpus,
    read_columns,
)
from mmc4viz.cli import main
from mmc4viz.data.build_index import Attached, attach, prune
from mmc4viz.data.checked import IndexFileError
from mmc4viz.data.columns import Kind
from mmc4viz.data.corpus import Indexed
from mmc4viz.data.index import file_name, open_index, record
from mmc4viz.data.scale import COSINE
from mmc4viz.data.shards import Shard
from mmc4viz.data.similarity_file import with_similarity
from mmc4viz.loader.parse import parse_document
from mmc4viz.loader.walk import walk
from mmc4viz.sweep.sweep import sweep
from tests.data.test_index import index, statuses, threads
from tests.support import nasty
from tests.support.documents import chatgpt, entry, info, jpeg, write_tar
from tests.sweep.test_sweep import SETTINGS, THRESHOLDS
from tests.ui.test_app import opened, sent

TOKENIZER = load_tokenizer()
FAR = "vit-b"


def a_matrix(rng: np.random.Generator, images: int, sentences: int) -> Any:
    return rng.normal(0.25, 0.05, (images, sentences)).astype(np.float32).astype(np.float64)


def write_sidecar(path: Path, rows: Sequence[tuple[str, str, Any]], **metadata: str) -> Path:
    table = pa.table(
        {
            "shard": pa.array([shard for shard, _, _ in rows], pa.string()),
            "key": pa.array([key for _, key, _ in rows], pa.string()),
            "images": pa.array([len(m) for _, _, m in rows], pa.int32()),
            "sentences": pa.array([np.shape(m)[1] for _, _, m in rows], pa.int32()),
            "values": pa.array([np.ravel(m) for _, _, m in rows], pa.list_(pa.float64())),
        }
    )
    pq.write_table(table.replace_schema_metadata({"clip_model": "far", **metadata}), path)
    return path


def odd_shards(folder: Path, n: int = 160) -> tuple[list[Shard], list[Shard], Path]:
    """Write unusual shards, the same with other scores, and these as a similarity file."""
    rng, rows = np.random.default_rng(5), []
    near, far = folder / "near", folder / "far"
    for part in (near, far):
        part.mkdir()
    for number in range(2):
        plain, other = [], []
        for key, raw in nasty.documents(seed=60 + number, n=n):
            document = parse_document(key, raw)
            plain.append((key, raw))
            sentences = document.sentences
            if document.error is None and not document.is_gpt and type(sentences) is list:
                matrix = a_matrix(rng, len(document.images), len(sentences))
                rows.append((f"n-{number}.tar", key, matrix))
                changed = json.loads(raw or b"") | {"similarity_matrix": matrix.tolist()}
                text = json.dumps(changed, ensure_ascii=False)
                other.append((key, text.encode("utf-8", "surrogatepass")))
            elif document.error is not None or document.is_gpt:
                other.append((key, raw))
            else:
                plain.pop()
        nasty.write_tar(near / f"n-{number}.tar", plain)
        nasty.write_tar(far / f"n-{number}.tar", other)
    sidecar = write_sidecar(folder / "far.parquet", rows, weights="w1", preprocessing="224 px")
    return expand([str(near)]), expand([str(far)]), sidecar


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Shard], list[Shard], Path, Path]:
    folder = tmp_path_factory.mktemp("sets")
    near, far, sidecar = odd_shards(folder)
    out = folder / "index"
    index(near, out)
    done = attach(str(out), FAR, str(sidecar), lambda _: None)
    assert [one.status for one in done.shards] == ["read", "read"]
    assert done.unused == 0
    return near, far, sidecar, out


@cache
def read(shards: tuple[Shard, ...]) -> list[Columns]:
    return [read_columns(shard, TOKENIZER) for shard in shards]


def curves(columns: Sequence[Columns], settings: dict[str, Any]) -> Any:
    config = LoaderConfig(**settings)
    return sweep(match_corpus(columns, config), config, THRESHOLDS)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_curves_of_a_set_are_those_of_shards_that_carry_it(
    odd: tuple[list[Shard], list[Shard], Path, Path], settings: dict[str, Any]
) -> None:
    near, far, sidecar, out = odd
    from_set = curves(open_index(str(out), similarity=FAR).columns, settings)
    put_over = list(with_similarity(read(tuple(near)), str(sidecar)))
    for other in (curves(read(tuple(far)), settings), curves(put_over, settings)):
        np.testing.assert_array_equal(from_set.counts, other.counts)
        np.testing.assert_array_equal(from_set.images, other.images)
    own = curves(open_index(str(out)).columns, settings)
    if settings.get("assignment") != "stored":
        assert not np.array_equal(from_set.counts, own.counts)


@pytest.mark.parametrize("with_text", [False, True])
def test_verdicts_of_a_set_are_those_of_shards_that_carry_it(
    odd: tuple[list[Shard], list[Shard], Path, Path], with_text: bool
) -> None:
    _, far, _, out = odd
    config = LoaderConfig(max_tokens=64)
    source = Indexed(open_index(str(out), similarity=FAR))
    found = [walk(d, config, TOKENIZER) for _, d in source.documents(with_text)]
    kinds = set()
    expected = []
    for columns in read(tuple(far)):
        kinds |= set(columns.kind.tolist())
        expected += [walk(columns.document(row), config, TOKENIZER) for row in range(len(columns))]
    assert [replace(v, token_ids=()) for v in found] == [replace(v, token_ids=()) for v in expected]
    assert kinds == {Kind.PLAIN, Kind.LITERAL, Kind.UNREADABLE}


def test_plain_documents_similarity_is_mapped_not_copied(
    odd: tuple[list[Shard], list[Shard], Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pa.total_allocated_bytes()
    monkeypatch.setattr("mmc4viz.data.index.IN_MEMORY", 0)
    columns = open_index(str(odd[3]), similarity=FAR).columns
    assert pa.total_allocated_bytes() == before
    values = columns[0].batch.column("similarity").values
    assert np.shares_memory(columns[0].values("similarity"), np.frombuffer(values.buffers()[1]))


def test_sets_are_listed_with_what_is_known_of_them(
    odd: tuple[list[Shard], list[Shard], Path, Path],
) -> None:
    own, far = open_index(str(odd[3])).sets
    assert (own.name, own.model) == ("own", "unknown")
    assert (far.name, far.model, far.weights, far.preprocessing) == (FAR, "far", "w1", "224 px")
    assert far.scale == "cosine"
    assert open_index(str(odd[3]), similarity=FAR).sets == (own, far)
    assert open_index(str(odd[3]), similarity="own").similarity == "own"
    manifest = json.loads((odd[3] / "manifest.json").read_text())
    assert [one["name"] for one in manifest["sets"]] == [FAR]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "similarity").rglob("*.arrow")}


def test_the_same_bytes_on_every_run_and_finished_shards_are_skipped(
    odd: tuple[list[Shard], list[Shard], Path, Path], tmp_path: Path
) -> None:
    near, _, sidecar, out = odd
    index(near, tmp_path)
    attach(str(tmp_path), FAR, str(sidecar), lambda _: None)
    assert files(tmp_path) == files(out)
    (tmp_path / "similarity" / FAR / file_name(near[0].path)).unlink()  # as a killed run leaves it
    with pytest.raises(
        IndexFileError, match=r"missing or outdated for 1 of 2 shards.*--similarity vit-b=FILE"
    ):
        open_index(str(tmp_path), similarity=FAR)
    again = attach(str(tmp_path), FAR, str(sidecar), lambda _: None)
    assert [one.status for one in again.shards] == ["read", "skipped"]
    assert files(tmp_path) == files(out)


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """Two shards of two documents, and an index of them."""
    for number in range(2):
        odd = info([[0.2, 0.1]] * 2, images=[entry(), entry(jpeg())])
        members = [("a", info([[0.2, 0.1]])), ("b", odd), ("c", chatgpt("_!_IMAGE1_!_ a", 1))]
        write_tar(tmp_path / f"s-{number}.tar", members)
    index(expand([str(tmp_path)]), tmp_path / "index")
    return tmp_path / "index", tmp_path / "b.parquet"


def rows_of(**changes: Any) -> list[tuple[str, str, Any]]:
    rows = {"a": [[0.5, 0.6]], "b": [[np.nan, np.nan], [0.6, 0.7]]} | changes
    return [(f"s-{n}.tar", key, np.array(m)) for n in range(2) for key, m in rows.items()]


def attached(small: tuple[Path, Path], rows: list[tuple[str, str, Any]]) -> Attached:
    write_sidecar(small[1], rows)
    return attach(str(small[0]), "b", str(small[1]), lambda _: None)


def test_rows_of_missing_images_may_be_nan(small: tuple[Path, Path]) -> None:
    assert statuses(attached(small, rows_of()).shards) == ["read", "read"]
    columns = open_index(str(small[0]), similarity="b").columns
    verdicts = [walk(columns[0].document(row), LoaderConfig(), TOKENIZER) for row in (0, 1)]
    assert [v.pairs[0].score for v in verdicts] == pytest.approx([0.6, 0.7])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (rows_of()[::2], "no similarity for document 'b'"),
        (rows_of(a=[[0.5, 0.6, 0.7]]), "'a' of s-0.tar does not have the shape 1 × 3"),
        (rows_of(a=[[0.5]]), "'a' of s-0.tar does not have the shape 1 × 1"),
        (rows_of(b=[[0.6, 0.7]]), "'b' of s-0.tar does not have the shape 1 × 2"),
        (rows_of() * 2, "2 matrices for 1 documents 'a'"),
    ],
)
def test_mismatched_documents_are_reported(
    small: tuple[Path, Path], rows: list[tuple[str, str, Any]], words: str
) -> None:
    done = attached(small, rows)
    assert statuses(done.shards) == ["failed", "failed"]
    assert words in str(done.shards[0].reason)
    assert "\n" not in str(done.shards[0].reason)
    with pytest.raises(IndexFileError, match="no score set 'b'"):
        open_index(str(small[0]), similarity="b")


def test_unused_rows_are_counted(small: tuple[Path, Path]) -> None:
    rows = [*rows_of(z=[[0.1, 0.2]]), ("s-9.tar", "a", np.array([[0.5, 0.6]]))]
    assert attached(small, rows).unused == 3


def test_a_shard_indexed_anew_makes_its_part_of_a_set_stale(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    attached(small, rows_of())
    write_tar(tmp_path / "s-1.tar", [("a", info([[0.9, 0.2]]))])
    index(expand([str(tmp_path / "s-*.tar")]), small[0])
    with pytest.raises(IndexFileError, match=r"missing or outdated for 1 of 2 shards \(s-1.tar\)"):
        open_index(str(small[0]), similarity="b")
    assert open_index(str(small[0])).n_documents == 4
    again = attach(str(small[0]), "b", str(small[1]), lambda _: None)
    assert statuses(again.shards) == ["skipped", "read"]
    assert again.unused == 1


def test_another_place_in_the_list_of_shards_spoils_no_set(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    attached(small, rows_of())
    index(expand([str(tmp_path / f"s-{n}.tar") for n in (1, 0)]), small[0])
    columns = open_index(str(small[0]), similarity="b").columns
    assert [part.shard.name for part in columns] == ["s-1.tar", "s-0.tar"]


def test_the_same_key_twice_goes_by_order(tmp_path: Path) -> None:
    twice = [("a", info([[0.2, 0.1]])), ("b", info([[0.2]])), ("a", info([[0.3, 0.1]]))]
    write_tar(tmp_path / "s.tar", twice)
    index(expand([str(tmp_path / "s.tar")]), tmp_path / "index")
    rows = [("s.tar", "a", [[1.0, 0]]), ("s.tar", "a", [[2.0, 0]]), ("s.tar", "b", [[3.0]])]
    attached((tmp_path / "index", tmp_path / "b.parquet"), rows)
    [columns] = open_index(str(tmp_path / "index"), similarity="b").columns
    assert columns.values("similarity").tolist() == [1, 0, 3, 2, 0]


def test_of_two_shards_of_one_name_each_gets_its_own(tmp_path: Path) -> None:
    """By any unique end of the path; the base name is ambiguous."""
    for part in ("x", "y"):
        (tmp_path / part).mkdir()
        write_tar(tmp_path / part / "s.tar", [("a", info([[0.2]]))])
    shards = expand([str(tmp_path / part / "s.tar") for part in ("x", "y")])
    small = tmp_path / "index", tmp_path / "b.parquet"
    index(shards, small[0])
    done = attached(small, [("s.tar", "a", [[0.5]])])
    assert statuses(done.shards) == ["failed", "failed"]
    assert "s.tar in column 'shard' is ambiguous, because several shards have this name" in str(
        done.shards[0].reason
    )
    columns = [read_columns(shard, TOKENIZER) for shard in shards]
    with pytest.raises(ShardError, match="several shards have this name"):
        next(with_similarity(columns, str(small[1])))
    for n, names in enumerate(([s.name for s in shards], [s.path for s in shards])):
        attached(small, [(name, "a", [[0.5 * n + at / 4]]) for at, name in enumerate(names)])
        found = open_index(str(small[0]), similarity="b").columns
        assert [part.values("similarity").tolist() for part in found] == [
            [0.5 * n],
            [0.5 * n + 0.25],
        ]
        over = with_similarity(columns, str(small[1]))
        assert [part.values("similarity").tolist() for part in over] == [
            [0.5 * n],
            [0.5 * n + 0.25],
        ]


def test_a_gone_shard_takes_its_part_of_every_set_along(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    attached(small, rows_of())
    (tmp_path / "s-0.tar").unlink()
    prune(str(small[0]))
    assert len(files(small[0])) == 1
    assert open_index(str(small[0]), similarity="b").n_documents == 3


def test_a_damaged_file_is_reported_and_rebuilt(small: tuple[Path, Path]) -> None:
    attached(small, rows_of())
    before = files(small[0])
    path = next((small[0] / "similarity" / "b").glob("*.arrow"))
    raw = path.read_bytes()
    path.unlink()
    path.write_bytes(raw[:-50])
    with pytest.raises(IndexFileError, match=r"incomplete.*run mmc4viz index .* --similarity b="):
        open_index(str(small[0]), similarity="b")
    attached(small, rows_of())
    assert {name: len(raw) for name, raw in files(small[0]).items()} == {
        name: len(raw) for name, raw in before.items()
    }
    assert open_index(str(small[0]), similarity="b").n_documents == 6


def test_an_index_and_a_sidecar_on_a_store(
    small: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    attached(small, rows_of())
    near = open_index(str(small[0]), similarity="b")
    store, far = fsspec.filesystem("memory"), f"memory://{tmp_path.name}"
    store.put_file(str(small[1]), f"/{tmp_path.name}/b.parquet")
    index(expand([str(tmp_path / "s-*.tar")]), f"{far}/index")  # type: ignore[arg-type]
    for expected in ("read", "skipped"):
        done = attach(f"{far}/index", "b", f"{far}/b.parquet", lambda _: None)
        assert statuses(done.shards) == [expected] * 2
    record(f"{far}/index", "near", tmp_path / "scratch")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert open_index(f"{far}/index").models == {"near": "own", "far": "b"}
    copied = {path.name for path in (tmp_path / "another").rglob("*.arrow")}
    assert len(copied) == 2  # no set is copied to know its name
    found = open_index(f"{far}/index", similarity="b")
    assert [one.name for one in found.sets] == ["own", "b"]
    for here, there in zip(near.columns, found.columns, strict=True):
        np.testing.assert_array_equal(here.values("similarity"), there.values("similarity"))
    (tmp_path / "s-0.tar").unlink()
    prune(f"{far}/index")
    assert len(store.ls(f"/{tmp_path.name}/index/similarity/b")) == 1
    store.rm(f"/{tmp_path.name}", recursive=True)


@pytest.mark.slow
def test_the_dashboard_lists_the_sets(
    small: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its control receives the curve of the selected set."""
    attached(small, rows_of(a=[[0.21, 0.22]]))
    page = opened(monkeypatch, index=str(small[0]))
    [picker] = [box for box in page.selectbox if box.label == "CLIP model"]
    assert picker.options == ["unknown", "far (score set b)"]
    own = sent(page)["pairs"].copy()
    page = picker.select("far").run()
    of_set = sent(page)
    begun = opened(monkeypatch, index=str(small[0]), similarity="b")
    config = LoaderConfig()
    matched = match_corpus(open_index(str(small[0]), similarity="b").columns, config)
    grid = COSINE.thresholds()
    expected = sweep(matched, config, grid).total("pairs")
    assert not np.array_equal(own, expected)
    for found in (of_set, sent(begun)):
        np.testing.assert_array_equal(found["pairs"][: len(grid)], expected)


@pytest.mark.parametrize("column", ["shard", "key", "images", "sentences", "values"])
def test_an_invalid_similarity_file_is_reported(small: tuple[Path, Path], column: str) -> None:
    write_sidecar(small[1], rows_of())
    table = pq.read_table(small[1])
    wrong = pa.array([True] * len(table))
    at = table.schema.get_field_index(column)
    for spoilt in (table.drop_columns([column]), table.set_column(at, column, wrong)):
        pq.write_table(spoilt, small[1])
        with pytest.raises(ShardError, match=f"not a valid similarity file: .*'{column}'"):
            attach(str(small[0]), "b", str(small[1]), lambda _: None)
    for raw in (b"", b"PAR1" * 9):
        small[1].write_bytes(raw)
        with pytest.raises(ShardError, match="not a valid similarity file"):
            attach(str(small[0]), "b", str(small[1]), lambda _: None)


def test_values_of_the_wrong_shape_are_reported(small: tuple[Path, Path]) -> None:
    write_sidecar(small[1], rows_of())
    table = pq.read_table(small[1])
    for images in ([2] * 4, [-1] * 4):
        at = table.schema.get_field_index("images")
        pq.write_table(table.set_column(at, "images", pa.array(images, pa.int32())), small[1])
        done = attach(str(small[0]), "b", str(small[1]), lambda _: None)
        assert "values" in str(done.shards[0].reason)


KINDS: list[dict[str, pa.DataType]] = [
    {"images": pa.uint8(), "sentences": pa.uint8()},
    {"images": pa.int8(), "sentences": pa.uint64()},
    {"shard": pa.large_string(), "key": pa.large_string()},
    {"shard": pa.dictionary(pa.int8(), pa.string()), "key": pa.dictionary(pa.int32(), pa.string())},
    {"values": pa.large_list(pa.float32())},
    {"values": pa.list_(pa.float16(), 9 * 29)},
]


@pytest.mark.parametrize("kinds", KINDS, ids=str)
def test_a_sidecar_may_have_any_width_of_its_kinds(
    tmp_path: Path, kinds: dict[str, pa.DataType]
) -> None:
    """Nine images by 29 sentences are more values than eight bits can count."""
    matrix = (np.arange(9 * 29) / 512).reshape(9, 29)
    images = [entry(jpeg())] * 9
    write_tar(tmp_path / "s.tar", [("a", info(matrix.tolist(), images=images))])
    index(expand([str(tmp_path / "s.tar")]), tmp_path / "index")
    table = pq.read_table(write_sidecar(tmp_path / "b.parquet", [("s.tar", "a", matrix)]))
    for name, kind in kinds.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].cast(kind))
    pq.write_table(table, tmp_path / "b.parquet")
    done = attach(str(tmp_path / "index"), "b", str(tmp_path / "b.parquet"), lambda _: None)
    assert statuses(done.shards) == ["read"], done.shards
    [columns] = open_index(str(tmp_path / "index"), similarity="b").columns
    np.testing.assert_array_equal(columns.values("similarity"), matrix.ravel())


@pytest.mark.parametrize("column", ["shard", "key"])
def test_invalid_text_is_reported(small: tuple[Path, Path], column: str) -> None:
    write_sidecar(small[1], rows_of())
    table = pq.read_table(small[1])
    raw = [text.encode() + b"\xff" for text in table[column].to_pylist()]
    broken = pa.Array.from_buffers(pa.string(), len(raw), pa.array(raw, pa.binary()).buffers())
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, column, broken), small[1])
    if column == "shard":
        with pytest.raises(ShardError, match="not a valid similarity file"):
            attach(str(small[0]), "b", str(small[1]), lambda _: None)
        return
    done = attach(str(small[0]), "b", str(small[1]), lambda _: None)
    assert "failed" in statuses(done.shards)
    for reason in (one.reason for one in done.shards if one.status == "failed"):
        refusals = ("not a valid similarity file", "no similarity for")
        assert str(reason).startswith(tuple(f"{small[1]}: {words}" for words in refusals))


@pytest.mark.parametrize("name", ["", "own", "..", "a/b", ".b", "b\n", "é"])
def test_an_invalid_name_is_refused(small: tuple[Path, Path], name: str) -> None:
    write_sidecar(small[1], rows_of())
    with pytest.raises(ConfigError):
        attach(str(small[0]), name, str(small[1]), lambda _: None)


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def test_the_commands(
    small: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, sidecar = small
    module = importlib.import_module("mmc4viz.cli.index")  # by attribute it is the command
    monkeypatch.setattr(module, "processes", lambda _: threads())
    write_sidecar(sidecar, rows_of())
    shutil.rmtree(out)
    shards = [tmp_path / f"s-{n}.tar" for n in range(2)]
    assert run("index", *shards, "--out", out, "--similarity", f"b={sidecar}") == 0
    assert run("index", "--out", out, "--similarity", f"c={sidecar}") == 0
    said = capsys.readouterr()
    assert "score set c: read" in said.out
    for name in ("b", "c"):
        command = ("curve", "--index", out, "--similarity", name, "--thresholds", "0.55")
        assert run(*command, "--format", "json") == 0
        assert json.loads(capsys.readouterr().out)[0]["pairs"] == 4
        assert run("explain", "--index", out, "--similarity", name, "--token-ids") == 0
        capsys.readouterr()
    for wrong in (
        ("--index", str(out), "--similarity", "d"),
        (str(shards[0]), "--similarity", "b"),
    ):
        assert run("curve", *wrong) == 2
        assert run("app", *wrong) == 2
    assert run("index", "--out", out, "--similarity", "b") == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 5)
    assert "available: own, b, c" in said.err


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    captured = capsys.readouterr()
    return end.value.code, captured.out, captured.err


def test_an_index_records_the_model_of_its_own_scores(
    small: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, config = str(small[0]), small[0].parent / "c.yaml"
    assert open_index(folder).model == "unknown"
    before = open_index(folder).origins
    assert said(capsys, "index", "--out", folder, "--clip-model", "ViT-L/14")[0] == 0
    attached(small, rows_of(a=[[0.21, 0.22]]))
    told = open_index(folder)
    assert told.origins == before  # nothing is read again
    assert (told.model, told.with_similarity("b").model) == ("ViT-L/14", "far")
    assert [one.model for one in told.sets] == ["ViT-L/14", "far"]
    assert json.loads((small[0] / "manifest.json").read_text())["clip_model"] == "ViT-L/14"
    assert said(capsys, "export", "--index", folder, "--out", config)[0] == 0
    assert "clip_model: ViT-L/14\n" in config.read_text()
    _, _, err = said(capsys, "export", "--index", folder, "--config", config, "--similarity", "b",
                     "--out", config)  # fmt: skip
    assert "exported for the CLIP model ViT-L/14, here it is far" in err
    assert "clip_model: far\n" in config.read_text()
    code, _, err = said(capsys, "curve", "--index", folder, "--clip-model", "far")
    assert (code, err.count("\n")) == (2, 1)
    assert "select it with --similarity b" in err
    (small[0] / "similarity" / "own.json").write_text("[]")
    code, _, err = said(capsys, "curve", "--index", folder)
    assert (code, err.count("\n")) == (2, 1)
    assert "damaged, or does not name a CLIP model: run mmc4viz index" in err


def test_another_model_s_scores_of_a_matrix_of_integers_stay_as_they_are(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", [("a", info([[1, 0]], images=[entry(jpeg())]))])
    (own,) = read((Shard(str(shard)),))
    assert own.document(0).similarity.tolist() == [[1, 0]]
    assert own.document(0).similarity.dtype == np.int64
    sidecar = write_sidecar(tmp_path / "b.parquet", [("s.tar", "a", [[0.31, np.nan]])])
    (other,) = with_similarity([own], str(sidecar))
    np.testing.assert_array_equal(other.document(0).similarity, [[0.31, np.nan]])
