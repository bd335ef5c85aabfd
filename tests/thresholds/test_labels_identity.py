"""Shards and documents with duplicate names are kept apart."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmc4viz import LoaderConfig, ShardError, expand, load_tokenizer, match_corpus, samples
from mmc4viz.data.columns import Verify
from mmc4viz.data.ingest import read_columns
from mmc4viz.data.scale import COSINE
from mmc4viz.export.manifest import ids_of
from mmc4viz.export.trainer import webdataset_snippet
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.thresholds.labels import exchange, queue, sampling, store
from mmc4viz.thresholds.labels.precision import labelled, labelled_for, remarks
from mmc4viz.thresholds.labels.sampling import Population
from mmc4viz.thresholds.labels.store import Answer, Documents, Judgement, LabelsError
from tests.cli.test_cli import Run
from tests.support import nasty
from tests.support.documents import info, write_tar

CONFIG = LoaderConfig(clip_model="m")
PLACES = ("x/00000.tar", "y/00000.tar", "x/z/00000.tar", "1.tar")
NAMES = ["x/00000.tar", "y/00000.tar", "z/00000.tar", "1.tar"]


def twins(folder: Path, seed: int = 0, documents: int = 40) -> list[str]:
    """Write shards with equal names and documents with equal names; two shards are identical."""
    rng = np.random.default_rng(seed)
    for place in PLACES:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        keys = [*"abab", *rng.choice(list("abcdef"), documents - 4)]
        scores = rng.normal(0.25, 0.05, (documents, 2, 3))
        write_tar(
            folder / place, [(k, info(s.tolist())) for k, s in zip(keys, scores, strict=True)]
        )
    shutil.copy(folder / PLACES[0], folder / PLACES[1])
    return [str(folder / place) for place in PLACES]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return twins(tmp_path_factory.mktemp("twins"))


class Pipeline:
    """A stand-in for WebDataset's samples and `compose`."""

    def __init__(self, urls: list[str], *stages: Callable[..., Iterable[Any]]) -> None:
        self.urls, self.stages = urls, stages

    def compose(self, stage: Callable[..., Iterable[Any]]) -> Pipeline:
        return Pipeline(self.urls, *self.stages, stage)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        found: Iterable[Any] = (
            {"__url__": url, "__key__": sample.key, "json": sample.raw}
            for url in random.sample(self.urls, len(self.urls))
            for sample in samples(expand([url])[0])
        )
        for stage in self.stages:
            found = stage(found)
        yield from found


def selected(
    monkeypatch: pytest.MonkeyPatch, manifest: Path, urls: list[str], rounds: int = 2
) -> list[list[dict[str, Any]]]:
    """Run the printed pipeline several times, without single-image documents."""
    stand_in = types.ModuleType("webdataset")
    stand_in.WebDataset = lambda _: Pipeline(urls)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "webdataset", stand_in)
    monkeypatch.setattr("random.random", lambda: 0.75)
    names: dict[str, Any] = {}
    exec(webdataset_snippet(str(manifest), "…"), names)
    return [list(names["dataset"]) for _ in range(rounds)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "index"), [("twins", False), ("nasty", True)])
def test_every_document_is_handed_over_as_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    corpus: list[str], kind: str, index: bool,
) -> None:  # fmt: skip
    """One row and one id per document; the printed pipeline keeps the kept documents."""
    shards = corpus
    if kind == "nasty":
        shards = [str(tmp_path / f"{name}/n.tar") for name in "ab"]
        for seed, shard in enumerate(shards):
            Path(shard).parent.mkdir()
            nasty.write_tar(Path(shard), nasty.documents(seed=seed, n=80), random.Random(seed))
    source = [*shards]
    if index:
        Run(capsys, "index", *shards, "--out", tmp_path / "index", "--workers", "1")
        source = ["--index", str(tmp_path / "index")]
    flags = ["--threshold", "0.26"]
    files = ["--manifest", tmp_path / "m.parquet", "--ids", tmp_path / "i.npy"]
    assert Run(capsys, "export", *source, *flags, *files).code == 0
    rows = pq.read_table(tmp_path / "m.parquet").to_pylist()
    said = Run(capsys, "explain", *source, *flags, "--format", "jsonl").rows
    names = ("shard", "number", "key", "outcome", "pairs")
    assert [[row[n] for n in names] for row in rows] == [[one[n] for n in names] for one in said]
    assert len({(row["shard"], row["number"]) for row in rows}) == len(rows)
    everything = [(s.path, sample) for s in expand(shards) for sample in samples(s)]
    assert [(row["path"], row["offset"]) for row in rows] == [(p, s.offset) for p, s in everything]
    ids = ids_of([read_columns(shard, load_tokenizer()) for shard in expand(shards)])
    assert len(np.unique(ids)) == len(rows)
    kept = np.array([row["probability"] > 0 for row in rows])
    assert np.load(tmp_path / "i.npy").tolist() == sorted(ids[kept].tolist())
    wanted = {}
    for row, (path, sample) in zip(rows, everything, strict=True):
        if row["probability"] > 0.75:
            pairs = [p for p in row["pairs"] if p["status"] == "kept"]
            pairs = [(p["image"], p["sentence"], p["score"]) for p in pairs]
            wanted.setdefault(path, []).append((sample.key, sample.raw, pairs))
    for found in selected(monkeypatch, tmp_path / "m.parquet", shards):
        here: dict[str, list[Any]] = {}
        for one in found:
            here.setdefault(one["__url__"], []).append((one["__key__"], one["json"], one["pairs"]))
        assert here == wanted


def test_a_shard_or_a_key_that_the_manifest_lacks_is_no_rejection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    corpus: list[str],
) -> None:  # fmt: skip
    Run(capsys, "export", *corpus[:2], "--manifest", tmp_path / "m.parquet")
    with pytest.raises(LookupError, match=r"z/00000.tar is not in"):
        selected(monkeypatch, tmp_path / "m.parquet", corpus[2:3])
    other = write_tar(tmp_path / "00000.tar", [("g", info([[0.9]]))])
    Run(capsys, "export", corpus[0], "--manifest", tmp_path / "m.parquet")
    with pytest.raises(KeyError, match="'g'"):
        selected(monkeypatch, tmp_path / "m.parquet", [str(other)])


def test_names_are_as_short_as_may_be(corpus: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [shard.name for shard in expand(corpus)] == NAMES
    folder = Path(corpus[-1]).parent
    monkeypatch.chdir(folder / "x")  # a relative path need not be unique
    given = ["00000.tar", "../y/00000.tar", str(folder / "x/z/00000.tar"), "../1.tar"]
    assert [shard.name for shard in expand(given)] == NAMES
    with pytest.raises(ShardError, match="listed twice"):
        expand(["00000.tar", str(folder / "x/00000.tar")])


def test_explain_shows_all_of_one_key(
    capsys: pytest.CaptureFixture[str], corpus: list[str]
) -> None:
    found = Run(capsys, "explain", *corpus, "--key", "b", "--format", "jsonl").rows
    wanted = [(shard.name, number) for shard in expand(corpus)
              for number, sample in enumerate(samples(shard)) if sample.key == "b"]  # fmt: skip
    assert [(row["shard"], row["number"]) for row in found] == wanted
    table = Run(capsys, "explain", *corpus, "--key", "b").out.splitlines()
    assert [(row.split()[0], int(row.split()[1])) for row in table[1:]] == wanted
    nothing = Run(capsys, "explain", *corpus, "--key", "none")
    assert (nothing.code, nothing.err.count("\n")) == (2, 1)


# Labels


def population_of(paths: list[str], config: LoaderConfig = CONFIG) -> Population:
    columns = [read_columns(shard, load_tokenizer()) for shard in expand(paths)]
    return Population(columns, pairs_of(match_corpus(columns, config)))


@pytest.fixture(scope="module")
def population(corpus: list[str]) -> Population:
    return population_of(corpus)


@pytest.fixture
def path(tmp_path: Path) -> str:
    store.create(str(tmp_path / "labels.sqlite"))
    return str(tmp_path / "labels.sqlite")


def label(path: str, people: Population, n: int, person: str = "Ada") -> dict[Any, int]:
    """Label the next pairs, correct in every other document; return them with their ranks."""
    sample = sampling.begin(path, CONFIG, people, COSINE, (0.2, 0.3))
    done = {}
    for _ in range(n):
        found = queue.next_existing(path, sample, people, person)
        assert found is not None
        pair, place = found[0].pair, found[1]
        [rank] = people.find([pair]).values()
        assert people.place(rank) == place == (people.documents.contents.index(pair.content),
                                               pair.number)  # fmt: skip
        assert people.columns[place[0]].batch.column("key")[place[1]].as_py() == pair.key
        answer = Answer.YES if place[1] % 2 else Answer.NO
        store.add(path, Judgement(pair, person, answer, store.now(), "", "m", 0.25))
        done[pair] = rank
    return done


def test_pairs_called_alike_are_labelled_apart(path: str, population: Population) -> None:
    names = [population.name(rank) for rank in range(len(population))]
    assert population.find(names) == {name: rank for rank, name in enumerate(names)}
    assert len(np.unique(population.lots)) == len(population)
    done = label(path, population, 70)
    assert len({population.place(rank)[0] for rank in done.values()}) == len(PLACES)
    found = labelled_for(path, CONFIG, population)
    assert (len(found.sample), found.foreign, found.gone) == (70, 0, ())
    assert sorted(found.ranks.tolist()) == sorted(done.values())
    numbers = np.array([population.place(rank)[1] for rank in found.ranks.tolist()])
    assert (found.sample.correct == (numbers % 2 == 1)).all()
    text = exchange.export_csv(path)
    other = f"{path}-other"
    store.create(other)
    assert exchange.import_csv(other, text, "x.csv") == (70, 0)
    assert store.read(other) == store.read(path)


@pytest.mark.slow
def test_a_corpus_is_known_whatever_its_place_and_its_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str, corpus: list[str],
    population: Population,
) -> None:  # fmt: skip
    """Moved, reordered, indexed with a quick check, with another model's scores."""
    label(path, population, 30)
    moved = tmp_path / "elsewhere"
    shutil.copytree(Path(corpus[-1]).parent, moved)
    shards = [str(moved / place) for place in reversed(PLACES)]
    again = population_of(shards)
    assert again.documents.digest == population.documents.digest
    assert len(labelled_for(path, CONFIG, again).sample) == 30
    assert len(label(path, again, 5)) == 5
    for verify in ("none", "full"):
        index = tmp_path / verify
        Run(capsys, "index", *shards, "--out", index, "--workers", "1", "--verify", verify)
        run = Run(capsys, "suggest", "--index", index, "--precision", "0.1", "--labels", path,
                  "--clip-model", "m", "--format", "json")  # fmt: skip
        assert run.code == 0
        assert "not in this corpus" not in run.err
    assert len(labelled_for(path, CONFIG, population).sample) == 35


@pytest.mark.parametrize("seed", range(2))
def test_nothing_but_content_tells_corpora_apart(tmp_path: Path, seed: int) -> None:
    nasty.write_tar(tmp_path / "n.tar", nasty.documents(seed, 80), random.Random(seed))
    shards, tokenizer = expand([str(tmp_path / "n.tar")]), load_tokenizer()
    digests = [Documents([read_columns(shard, tokenizer, verify=verify) for shard in shards]).digest
               for verify in Verify]  # fmt: skip
    assert len(set(digests)) == 1
    nasty.write_tar(tmp_path / "n.tar", nasty.documents(seed + 9, 80), random.Random(seed))
    assert Documents([read_columns(shard, tokenizer) for shard in shards]).digest != digests[0]


def test_another_corpus_gets_a_queue_of_its_own(
    tmp_path: Path, path: str, population: Population
) -> None:
    mine = label(path, population, 30)
    other = population_of(twins(tmp_path / "others", seed=1))
    with pytest.raises(LabelsError, match="it has labels of another corpus: m"):
        labelled_for(path, CONFIG, other)
    done = label(path, other, 20)
    assert not {pair.content for pair in mine} & {pair.content for pair in done}
    found = labelled_for(path, CONFIG, other)
    assert (len(found.sample), found.foreign) == (20, 30)
    assert "30 labels not counted: the document is not in this corpus" in " ".join(remarks(found))
    design_of_other = sampling.design_for(path, CONFIG, other.documents)
    assert design_of_other is not None
    for _ in range(25):
        store.undo(path, "Ada", design_of_other.id)
    assert {one.pair for one in store.read(path)} == set(mine)


@pytest.mark.slow
def test_labels_go_on_where_shards_are_added(path: str, corpus: list[str]) -> None:
    """Another sample reuses existing labels of its pairs."""
    before = population_of(corpus[1:])
    label(path, before, 60)
    whole = population_of(corpus)
    sample = sampling.begin(path, CONFIG, whole, COSINE, (0.2, 0.3))
    assert queue.next_existing(path, sample, whole, "Ada") is not None
    found = labelled(path, sample, whole)
    assert len(found.sample) > 20
    assert (found.foreign, found.gone) == (0, ())


FIRST_TABLES = """
CREATE TABLE judgements (id INTEGER PRIMARY KEY, shard TEXT NOT NULL, key TEXT NOT NULL,
  image INTEGER NOT NULL, sentence INTEGER NOT NULL, person TEXT NOT NULL, verdict TEXT NOT NULL,
  time TEXT NOT NULL, version TEXT NOT NULL, clip_model TEXT NOT NULL, score REAL, undone TEXT);
CREATE INDEX judged_pairs ON judgements (shard, key, image, sentence);
CREATE TABLE designs (id INTEGER PRIMARY KEY, clip_model TEXT NOT NULL, min_kb INTEGER NOT NULL,
  assignment TEXT NOT NULL, edges TEXT NOT NULL, made TEXT NOT NULL,
  UNIQUE (clip_model, min_kb, assignment));
CREATE TABLE stages (design INTEGER NOT NULL, stage INTEGER NOT NULL, time TEXT NOT NULL,
  threshold REAL, population TEXT NOT NULL, drawn TEXT NOT NULL, PRIMARY KEY (design, stage));
CREATE TABLE queue (design INTEGER NOT NULL, position INTEGER NOT NULL, stage INTEGER NOT NULL,
  shard TEXT NOT NULL, key TEXT NOT NULL, image INTEGER NOT NULL, sentence INTEGER NOT NULL,
  score REAL NOT NULL, twice INTEGER NOT NULL, PRIMARY KEY (design, position),
  UNIQUE (design, shard, key, image, sentence));
CREATE TABLE claims (shard TEXT NOT NULL, key TEXT NOT NULL, image INTEGER NOT NULL,
  sentence INTEGER NOT NULL, person TEXT NOT NULL, until REAL NOT NULL,
  PRIMARY KEY (shard, key, image, sentence));
PRAGMA application_id = 1835885364;
PRAGMA user_version = 1;
"""


def first_version(old: str, path: str) -> None:
    """Write a file's content in the format of version 1."""
    with store.reading(path) as now, sqlite3.connect(old) as then:
        then.executescript(FIRST_TABLES)
        for table in ("judgements", "designs", "stages", "queue"):
            columns = [row[1] for row in then.execute(f"PRAGMA table_info({table})")]
            names = ", ".join(columns)
            rows = [tuple(row) for row in now.execute(f"SELECT {names} FROM {table}")]
            marks = ", ".join("?" * len(columns))
            then.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
    then.close()


@pytest.mark.slow
def test_files_of_the_first_version_are_taken_over(tmp_path: Path, path: str) -> None:
    sample = str(Path(__file__).parents[2] / "sample_data")
    population, old = population_of([sample]), str(tmp_path / "old.sqlite")
    label(path, population, 40)
    first_version(old, path)
    other = population_of(twins(tmp_path / "others"))
    with pytest.raises(LabelsError, match="of another corpus"):  # its labels are not adopted
        labelled_for(old, CONFIG, other)
    before, now = (labelled_for(one, CONFIG, population) for one in (path, old))
    assert now.ranks.tolist() == before.ranks.tolist()
    assert now.sample.correct.tolist() == before.sample.correct.tolist()
    assert label(old, population, 30).keys() == label(path, population, 30).keys()
    assert queue.drawn(old, now.design) == queue.drawn(path, now.design)


def test_labels_by_name_alone_are_found_where_names_say_enough(
    path: str, population: Population
) -> None:
    """As in CSV from other tools or earlier versions."""
    sample = str(Path(__file__).parents[2] / "sample_data")
    plain = population_of([sample])
    head = "shard,key,image,sentence,person,answer,time\n"
    names = [plain.name(rank) for rank in range(0, 60, 3)]
    lines = [f"{p.shard},{p.key},{p.image},{p.sentence},Ada,yes,2026-01-01\n" for p in names]
    assert exchange.import_csv(path, head + "".join(lines), "x.csv") == (20, 0)
    sampling.design_for(path, CONFIG, plain.documents)
    assert {one.pair for one in store.read(path)} == set(names)
    twice = [population.name(rank) for rank in range(20)]
    lines = [f"00000.tar,{p.key},{p.image},{p.sentence},Bo,yes,2026-01-01\n" for p in twice]
    exchange.import_csv(path, head + "".join(lines), "x.csv")
    sampling.design_for(path, CONFIG, population.documents)
    assert {one.pair.number for one in store.read(path) if one.person == "Bo"} == {-1}


COLUMNS = [(table, column) for table, columns in store._layout().items() for column in columns]


@pytest.mark.parametrize(("table", "column"), sorted(COLUMNS))
def test_a_damaged_column_is_said_in_a_line(
    path: str, population: Population, table: str, column: str
) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO x{column}")
    connection.close()
    for attempt in (
        store.check,
        store.create,
        exchange.export_csv,
        lambda name: labelled_for(name, CONFIG, population),
        lambda name: label(name, population, 1),
        lambda name: exchange.import_csv(
            name, "shard,key,image,sentence,person,answer,time\n", "c"
        ),
    ):
        with pytest.raises(LabelsError, match=f"no column {column} in {table}") as said:
            attempt(path)
        assert "\n" not in str(said.value)


HOSTILE = ["", "'", "=1+1", "\0", "a\nb", "9" * 5000, "-1", "1e400", "nan", "inf", "²", "١", "None",
           "2026-13-45", "x" * 200_000, "\u202e", "yes", "0", "'=0", "1.5", "true"]  # fmt: skip


def test_hostile_csv_is_taken_or_said_in_a_line(path: str) -> None:
    """Any cell may be invalid, any column may be missing, repeated or unknown."""
    generator, taken, said = random.Random(0), 0, 0
    good = ["0.tar", "a", "0", "1", "Ada", "yes", "2026-01-01", "1", "m", "0.2", "", "c0", "7"]
    for _ in range(600):
        head, cells = list(exchange.HEAD), list(good)
        for _ in range(generator.randrange(3)):
            at = generator.randrange(len(cells))
            cells[at] = generator.choice(HOSTILE)
        if generator.random() < 0.2:
            at = generator.randrange(len(head))
            head[at] = generator.choice([*HOSTILE, *exchange.HEAD])
        quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n"
                  for row in (head, cells)]  # fmt: skip
        try:
            taken += exchange.import_csv(path, "".join(quoted), "c.csv")[0]
        except LabelsError as error:
            said += 1
            assert "\n" not in str(error)
            assert len(str(error)) < 400
    assert taken > 20
    assert said > 100
    assert len(store.read(path, history=True)) == taken
    exchange.import_csv(path, exchange.export_csv(path), "again.csv")
    json.dumps([one.pair.values for one in store.read(path)])
