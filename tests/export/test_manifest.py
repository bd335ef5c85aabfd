"""Export: config round trip, manifests against the reference walk, flags, differences."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mmc4viz import LoaderConfig, expand, load_tokenizer, samples
from mmc4viz.config_file import parse_config, schema
from mmc4viz.data.storage import whole_file
from mmc4viz.export import manifest
from mmc4viz.export.contents import Contents
from mmc4viz.export.manifest import uid
from mmc4viz.export.provenance import (
    BASES,
    Basics,
    CorpusFacts,
    ShardFacts,
    SimilarityFacts,
    exact_yields,
    provenance,
    to_text,
)
from mmc4viz.export.trainer import advice, openflamingo_flags, unflagged
from mmc4viz.export.verify import differences
from mmc4viz.sweep.statistics import Curves
from mmc4viz.text import json_text, verdict_json
from mmc4viz.types import ASSIGNMENT_NAMES, Config, ConfigError
from tests.cli.test_cli import Run
from tests.support import nasty
from tests.support.corpora import SETTINGS, Odd, odd

SAMPLE = Path(__file__).parents[2] / "sample_data"
NOW = datetime(2025, 1, 31, 13, 0, tzinfo=timezone(timedelta(hours=1)))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 2**31 - 1)
CONFIGS = st.builds(
    LoaderConfig,
    threshold=FLOAT,
    min_images=COUNT,
    max_images=st.integers(1, 2**31 - 1),
    max_tokens=st.integers(1, 2**31 - 1),
    min_kb=st.integers(-1, 2**31 - 1),
    assignment=st.sampled_from(ASSIGNMENT_NAMES),
    single_image_keep=st.floats(0, 1),
    tokenizer=TEXT.filter(bool),
    clip_model=TEXT.filter(bool),
)


def shard(place: str, size: int, pieces: str, documents: int | None = None) -> ShardFacts:
    name = place.rpartition("/")[2]
    return ShardFacts(name, Contents(size, pieces=pieces, time="7"), documents, place)


def some_basics(**changes: Any) -> Basics:
    shards = (shard("/data/a.tar", 100, "5", 3), shard("/data/b.tar", 200, "6", 4))
    basics = Basics(CorpusFacts(shards, 7), SimilarityFacts("ViT-L/14"), load_tokenizer())
    return replace(basics, **changes)


def some_yields() -> dict[str, Any]:
    return exact_yields(Curves.none(np.array([0.2])), 0, 0.5)


# Config round trip


@given(CONFIGS, TEXT, st.dictionaries(TEXT, TEXT | FLOAT | st.none() | st.booleans()))
@settings(max_examples=60)
def test_a_config_comes_back_to_the_last_digit(
    config: LoaderConfig, note: str, more: dict[str, Any]
) -> None:
    chosen = {**more, "basis": "manual"}
    found = provenance(some_basics(), some_yields(), chosen, note, NOW)
    for name in ("c.yaml", "c.json"):
        back = parse_config(to_text(config, found, name).encode(), name)
        assert back.loader_config() == config
        assert back.provenance == found
        assert repr(back.settings["threshold"]) == repr(config.threshold)


def test_words_that_mean_something_stay_words() -> None:
    for word in (
        "1e5",
        "0o7",
        "null",
        "~",
        "true",
        "on",
        "1_0",
        "1:30",
        ".inf",
        "0x1F",
        "2025-01-01",
    ):
        config = LoaderConfig(clip_model=word, tokenizer=word)
        assert (
            parse_config(to_text(config, {"format": 1}).encode(), "c.yaml").loader_config()
            == config
        )


def test_the_time_is_utc() -> None:
    found = provenance(some_basics(), some_yields(), now=NOW)
    assert found["created"] == "2025-01-31T12:00:00Z"


def test_a_file_of_settings_alone_is_enough() -> None:
    assert parse_config(b"threshold: 1e-1\nmax_images: 2\n", "c.yaml") == Config(
        {"threshold": 0.1, "max_images": 2}
    )
    assert parse_config(b'{"threshold": 0.3}', "settings").settings == {"threshold": 0.3}


# The schema


def test_the_schema_is_one_and_names_every_setting() -> None:
    Draft202012Validator.check_schema(schema())
    names = set(schema()["properties"]) - {"provenance", "slice_thresholds"}
    assert names == {field.name for field in fields(LoaderConfig)}
    assert set(schema()["$defs"]["ChosenRecord"]["properties"]["basis"]["enum"]) == set(BASES)


@given(
    st.sampled_from([field.name for field in fields(LoaderConfig)]),
    st.none() | st.booleans() | FLOAT | st.integers(-5, 2**33) | TEXT | st.sampled_from(
        [*ASSIGNMENT_NAMES, -1, 0, 1, 2**31 - 1, 2**31, 0.5, [], {}]
    ),
)  # fmt: skip
@settings(max_examples=300)
def test_the_schema_allows_what_the_loader_s_settings_allow(name: str, value: Any) -> None:
    allowed = Draft202012Validator(schema()).is_valid({name: value})
    if name in WHOLE and isinstance(value, float) and value.is_integer():
        return  # the schema does not distinguish 6.0 from 6, the settings do
    try:
        parse_config(json.dumps({name: value}).encode(), "c.json")
    except ConfigError:
        assert not allowed
    else:
        assert allowed


@pytest.mark.slow
def test_an_exported_config_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--sample", "100"], ["--note", "Because.", "--chosen-by", "yield"]):
        out = tmp_path / "c.json"
        run = Run(capsys, "export", SAMPLE, "--out", out, *arguments)
        assert (run.code, run.noted) == (0, "")
        Draft202012Validator(schema()).validate(json.loads(out.read_text()))


# Invalid configs


WHOLE = ("min_images", "max_images", "max_tokens", "min_kb")
PROVENANCE = "threshold: 0.2\nprovenance:\n  format: 1\n"
CORPUS = PROVENANCE + "  corpus:\n    shards:\n"
NONSENSE = [
    ("threshold: 0.2\nthreshold: 0.3\n", 2, "duplicate key"),
    ("max_images: 6\nthreshold: high\n", 2, "threshold must be a finite number"),
    ("threshold: 0.2\n\nthresold: 0.2\n", 3, "not a setting"),
    ("threshold: 0.2\nmax_images: 0\n", 2, "at least 1"),
    ("threshold: 0.2\nmax_images: 6.5\n", 2, "integer"),
    ("threshold: .nan\n", 1, "threshold: nan is not a finite number"),
    ("a: &x [1]\nb: *x\n", 1, "anchors"),
    ("\n\nx: !!python/object/apply:os.system [ls]\n", 3, "tags such as"),
    ("threshold: 0.2\n\tmax_images: 3\n", 2, "invalid YAML"),
    ("threshold: [0.2\n", 2, "invalid YAML"),
    ("- threshold\n", 1, "must contain settings"),
    ("just words\n", 1, "must contain settings"),
    ("threshold: 0.2\n---\nthreshold: 0.3\n", 2, "second YAML document"),
    ("", 1, "the file is empty"),
    ("? {a: b}\n: c\n", 1, "a key must be text"),
    ("threshold: 0.2\nnote: a\x00b\n", 2, "not allowed"),
    ("x: " + "[" * 99, 1, "deep"),
    ("threshold: 1" + "0" * 9000, 1, "finite"),
    ("threshold: 0.2\nassignment: one_to_two\n", 2, "assignment must be one of"),
    ("provenance: 7\n", 1, "object"),
    ("provenance: {}\n", 1, "has no format"),
    ("provenance:\n  format: 3\n", 2, "update mmc4viz"),
    ("provenance:\n  format: 0\n", 2, "one of 1, 2"),
    (PROVENANCE + "  created: 7\n", 4, "provenance.created"),
    (PROVENANCE + "  corpsu: {}\n", 4, "corpsu"),
    (PROVENANCE + "  chosen:\n    basis: whim\n", 5, "precision"),
    (PROVENANCE + "  'a` - at `$[0].corpus': 1\n", 4, "has no field 'a` - at `$[0].corpus'"),
    (PROVENANCE + "  yields: {outcomes: {a: 1,\n    b: x}}\n", 5, "outcomes.b must be of type"),
    (PROVENANCE + "  yields: {outcomes: {a: 1,\n    b: -1}}\n", 5, "b must be at least 0, not -1"),
    (CORPUS + "    - path: a\n      fingerprint: 3\n", 7, "of type string"),
    (PROVENANCE + "  corpus:\n    shards: []\n    documents: -1\n", 6, "at least 0"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "words"), NONSENSE)
def test_nonsense_is_one_line_with_the_file_s_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text.encode(), "c.yaml")
    assert str(caught.value).startswith(f"c.yaml, line {line}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "line"),
    [('{"a": 1,\n"a": 2}', 2), ('{\n"threshold":\n1e999}', 3), ("[" * 5000, 1), ("{}{}", 1),
     ('{"clip_model": "\\ud800"}', 1), ('{\n"threshold": tru}', 2),
     ('{"threshold": 1' + "0" * 9000 + "}", 1)],
)  # fmt: skip
def test_likewise_in_json(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"^c\.json, line {line}: [^\n]+$"):
        parse_config(text.encode(), "c.json")


@pytest.mark.slow
@given(st.binary(max_size=60) | st.text("{}[]:,- \n\"'#&*!|>%@`?~0.9ae\t", max_size=60))
@settings(max_examples=400)
def test_whatever_stands_in_a_file_is_read_or_refused_in_one_line(content: Any) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    for name in ("c.yaml", "c.json", "c"):
        try:
            parse_config(data, name)
        except ConfigError as error:
            assert str(error).startswith(f"{name}, line ")
            assert "\n" not in str(error)


def test_a_file_too_large_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    with path.open("wb") as file:
        file.truncate(40 << 20)
    run = Run(capsys, "explain", SAMPLE, "--config", path)
    assert (run.code, run.out) == (2, "")
    assert "larger than" in run.err


# Differences


def test_nothing_differs_from_itself_and_a_moved_corpus_is_known() -> None:
    basics = some_basics()
    found = provenance(basics, some_yields(), now=NOW)
    named = {"clip_model": "ViT-L/14"}
    assert differences(named, found, basics) == []
    moved = [replace(s, place=s.place.replace("/data", "/other")) for s in basics.corpus.shards]
    assert differences(named, found, replace(basics, corpus=CorpusFacts(tuple(moved), 7))) == []
    assert differences(named, {}, basics) == []


@pytest.mark.parametrize(
    ("shards", "words"),
    [
        ([("/data/a.tar", 100, "5")], "1 shard missing (b.tar)"),
        ([("/data/a.tar", 100, "5"), ("/data/b.tar", 201, "6")], "1 shard changed (b.tar)"),
        ([("/data/a.tar", 100, "5"), ("/data/b.tar", 200, "9")], "1 shard changed (b.tar)"),
        ([("/data/a.tar", 100, "5"), ("/data/b.tar", 200, "")], "without a digest to compare (b.t"),
        ([("/data/a.tar", 100, "5"), ("/data/b.tar", 200, "6"), ("/data/c.tar", 1, "1"),
          ("/data/d.tar", 1, "1")], "2 shards added (c.tar and 1 more)"),
    ],
)  # fmt: skip
def test_another_corpus_is_said(shards: list[tuple[str, int, str]], words: str) -> None:
    basics = some_basics()
    found = provenance(basics, some_yields(), now=NOW)
    here = CorpusFacts(tuple(shard(*one) for one in shards))
    [line] = differences({"clip_model": "ViT-L/14"}, found, replace(basics, corpus=here))
    assert line.startswith("different corpus: ")
    assert words in line


def test_another_model_and_tokenizer_are_said() -> None:
    found = provenance(some_basics(), some_yields(), now=NOW)
    found["tokenizer"]["digest"] = "other"
    [model, tokenizer] = differences({"clip_model": "ViT-B/32"}, found, some_basics())
    assert "different scores: exported for the CLIP model ViT-B/32, here it is ViT-L/14" in model
    assert "gpt2 has changed since" in tokenizer
    other = some_basics(similarity=SimilarityFacts("ViT-L/14", "b", scale="×100"))
    [line] = differences({"clip_model": "ViT-L/14"}, {**found, "tokenizer": {"digest": ""}}, other)[
        :1
    ]
    assert "read from the shards, here from b" in line


@pytest.mark.slow
def test_commands_take_a_config_and_say_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.yaml"
    flags = ["--threshold", "0.2405", "--max-images", "2", "--single-image-keep", "0.1234567890123"]
    Run(capsys, "export", SAMPLE, *flags, "--out", config, "--note", "why", "--chosen-by", "fdr")
    asked = ["--thresholds", "0.2,0.2405,0.3"]
    by_config = Run(capsys, "curve", SAMPLE, "--config", config, *asked)
    assert by_config.out == Run(capsys, "curve", SAMPLE, *flags, *asked).out
    assert by_config.err == ""
    other = Run(
        capsys, "explain", SAMPLE / "sample-0000.tar", "--config", config, "--clip-model", "b"
    )
    assert other.code == 0
    [named, corpus, model] = other.err.splitlines()
    assert f"mmc4viz: note: {config}: different corpus: 1 shard missing" in corpus
    assert "different scores" in model
    assert named.endswith("--clip-model b: the scores in use are recorded as sample-a")
    again = tmp_path / "again.yaml"
    Run(capsys, "export", SAMPLE, "--config", config, "--out", again)
    kept = parse_config(again.read_bytes(), "again.yaml").provenance
    assert (kept["note"], kept["chosen"]) == ("why", {"basis": "fdr"})
    Run(capsys, "export", SAMPLE, "--config", config, "--threshold", "0.3", "--out", again)
    assert parse_config(again.read_bytes(), "a.yaml").provenance["chosen"] == {"basis": "manual"}


def test_yields_in_the_config_are_those_of_curve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, shards = tmp_path / "c.json", tmp_path / "n.tar"
    nasty.write_tar(shards, nasty.documents(seed=3, n=200))
    Run(capsys, "export", shards, "--threshold", "0.2", "--out", out)
    found = json.loads(out.read_text())["provenance"]
    row = json.loads(Run(capsys, "curve", shards, "--thresholds", "0.2", "--format", "json").out)[0]
    for name in ("documents", "pairs", "image_tokens", "text_tokens", "mispaired"):
        assert found["yields"][name] == {"value": row[name]}
    assert {k: row[k] for k in found["yields"]["outcomes"]} == found["yields"]["outcomes"]
    assert found["corpus"]["documents"] == found["corpus"]["shards"][0]["documents"] == 200


# The manifest


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def case(request: pytest.FixtureRequest) -> Odd:
    return odd(request.param)


def expected(case: Odd) -> list[dict[str, Any]]:
    return [json.loads(verdict_json("", 0, verdict)) for verdict in case.walks]


NAMES = ("key", "outcome", "image_tokens", "text_tokens", "mispaired", "pairs")


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 10_000])
def test_a_row_a_document_is_what_the_walk_says(case: Odd, size: int) -> None:
    found: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    for chunk in manifest.chunks(case.corpus.matched, case.corpus.config, size):
        found += manifest.table(chunk, "documents").to_pylist()
        written += [json.loads(line) for line in manifest.lines(chunk, "documents")]
    assert len(found) == len(case.walks)
    assert json.dumps(written) == json_text(found)
    for row, verdict in zip(written, expected(case), strict=True):
        assert {name: row[name] for name in NAMES} == {name: verdict[name] for name in NAMES}
        assert row["probability"] == verdict["keep_probability"]


def test_a_row_a_pair_likewise(case: Odd) -> None:
    found: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    for chunk in manifest.chunks(case.corpus.matched, case.corpus.config):
        found += manifest.table(chunk, "pairs").to_pylist()
        written += [json.loads(line) for line in manifest.lines(chunk, "pairs")]
    assert json.dumps(written) == json_text(found)
    wanted = [(v["key"], v["outcome"], pair) for v in expected(case) for pair in v["pairs"]]
    names = ("image", "sentence", "score", "status")
    assert [(r["key"], r["outcome"], {n: r[n] for n in names}) for r in written] == wanted


@pytest.mark.parametrize("index", [False, True])
def test_the_command_s_manifest_is_explain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], index: bool
) -> None:
    for number in range(2):
        nasty.write_tar(tmp_path / f"n-{number}.tar", nasty.documents(seed=number, n=150))
    source: list[Any] = sorted(tmp_path.glob("*.tar"))
    if index:
        Run(capsys, "index", *source, "--out", tmp_path / "index", "--workers", "1")
        source = ["--index", tmp_path / "index"]
    flags = ["--threshold", "0.2", "--max-images", "3", "--assignment", "argmax"]
    rows = Run(capsys, "explain", *source, *flags, "--format", "jsonl").rows
    files = ["--manifest", tmp_path / "m.parquet", "--ids", tmp_path / "i.npy"]
    assert Run(capsys, "export", *source, *flags, *files).code == 0
    table = pq.read_table(tmp_path / "m.parquet")
    assert json.loads(table.schema.metadata[b"mmc4viz"])["max_images"] == 3
    found = table.to_pylist()
    assert [(r["shard"], r["key"], r["outcome"], r["probability"], r["pairs"]) for r in found] == [
        (r["shard"], r["key"], r["outcome"], r["keep_probability"], r["pairs"]) for r in rows
    ]
    for shard in expand([str(path) for path in sorted(tmp_path.glob("*.tar"))]):
        places = [(s.offset, s.size) for s in samples(shard)]
        assert [(r["offset"], r["size"]) for r in found if r["path"] == shard.path] == places
    ids = np.load(tmp_path / "i.npy")
    assert ids.dtype == np.dtype("u8,u8")
    kept = {uid(r["shard"], r["key"]) for r in rows if r["keep_probability"] > 0}
    assert ids.tolist() == sorted(kept)


# Training flags


def test_flags_say_the_setting() -> None:
    config = LoaderConfig(
        threshold=-1e-05, max_images=3, min_images=2, tokenizer="a b/tokenizer.json"
    )
    words = shlex.split(openflamingo_flags(config))
    assert words == [
        "--mmc4_textsim_threshold=-1e-05", "--mmc4_max_num_images", "3", "--mmc4_min_num_images",
        "2", "--tokenizer_path", "a b",
    ]  # fmt: skip


@given(CONFIGS)
@settings(max_examples=50)
def test_whatever_has_no_flag_is_named(config: LoaderConfig) -> None:
    own = LoaderConfig()
    names = ("min_kb", "max_tokens", "assignment", "single_image_keep")
    differs = sum(getattr(config, name) != getattr(own, name) for name in names)
    assert sum(not one.agrees for one in unflagged(config)) == differs
    assert len(advice(config).get("Different in the loader (no flag)", [])) == differs
    said = " ".join(line for lines in advice(config).values() for line in lines)
    for words in (
        "size limit",
        "token limit",
        "assignment",
        "probability",
        "cap by score",
        "order",
    ):
        assert words in said


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--out", "c.txt"], ["--manifest", "m.csv"], ["--out", "/none/c.yaml"],
        ["--out", "c.yaml", "--manifest", "./c.yaml.parquet", "--ids", "c.yaml"],
        ["--manifest", "m.parquet", "--sample", "10"], ["--out", "c.yaml", "--sample", "1"],
        ["--out", "c.yaml", "--chosen-by", "whim"], ["--out", "c.yaml", "--proposal", "none.json"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    run = Run(capsys, "export", SAMPLE, *arguments)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("mmc4viz: ")
    assert run.err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_proposal_goes_into_the_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    proposal, out = tmp_path / "p.json", tmp_path / "c.yaml"
    proposal.write_text(json.dumps({"basis": "fdr", "target": "FDR ≤ 10 %", "estimate": 0.09}))
    run = Run(capsys, "export", SAMPLE, "--proposal", proposal, "--out", out)
    assert run.code == 0
    found = parse_config(out.read_bytes(), "c.yaml").provenance
    assert found["chosen"] == json.loads(proposal.read_text())
    assert found["created"] == datetime.fromtimestamp(0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    proposal.write_text(json.dumps([{"basis": "fdr", "threshold": 0.2512, "estimate": 0.09}]))
    Run(capsys, "export", SAMPLE, "--proposal", proposal, "--out", out)
    assert parse_config(out.read_bytes(), "c.yaml").loader_config().threshold == 0.2512
    for text, more, words in (
        ('{"basis": "fdr", "threshold": 0.2512}', ["--threshold", "0.3"], "which suggests 0.2512"),
        ('{"basis": "fdr", "threshold": null, "reason": "too few"}', [], "threshold: too few"),
        ('[{"basis": "fdr"}, {"basis": "yield"}]', [], "contains 2 proposals"),
    ):
        proposal.write_text(text)
        run = Run(capsys, "export", SAMPLE, "--proposal", proposal, "--out", out, *more)
        assert (run.code, run.err.count("\n")) == (2, 1)
        assert words in run.err
    proposal.write_text('{"basis": "whim"}')
    run = Run(capsys, "export", SAMPLE, "--proposal", proposal, "--out", out)
    assert (run.code, run.err.count("\n")) == (2, 1)


def test_what_a_killed_run_left_is_cleared_and_what_is_written_now_is_not(tmp_path: Path) -> None:
    target = tmp_path / "m[1].parquet"
    left = [tmp_path / f"m[1].parquet.part-{number}" for number in (17, 999_999_999)]
    for path in left:
        path.write_bytes(b"half")
    other = tmp_path / "m1.parquet.part-17"
    other.write_bytes(b"mine")
    with whole_file(str(target)) as first, whole_file(str(tmp_path / "b")):
        first.write(b"x")
        assert not any(path.exists() for path in left)
        [beside] = tmp_path.glob("m?1?.parquet.part-*")
        code = f"from mmc4viz.data.storage import whole_file\nwith whole_file({str(target)!r}): 0"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert beside.exists()
    assert target.read_bytes() == b"x"
    assert other.exists()
