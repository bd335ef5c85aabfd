"""The label file: durability, several annotators, known probabilities, errors in words."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from mmc4viz import LoaderConfig, expand, load_tokenizer, match_corpus, read_columns
from mmc4viz.cli import cli
from mmc4viz.data.columns import Columns
from mmc4viz.data.scale import COSINE
from mmc4viz.sweep.pairs import pairs_of
from mmc4viz.thresholds.labels import chosen, exchange, queue, sampling, store
from mmc4viz.thresholds.labels.exchange import agreements
from mmc4viz.thresholds.labels.precision import curve, labelled, labelled_for
from mmc4viz.thresholds.labels.sampling import Population, scrambled
from mmc4viz.thresholds.labels.store import Answer, Judgement, LabelsError, PairId

SAMPLE = str(Path(__file__).parents[2] / "sample_data")
CONFIG = LoaderConfig(clip_model="sample-a")
PAIR = PairId("0.tar", "a", 0, 3)


@pytest.fixture(scope="module")
def columns() -> list[Columns]:
    return [read_columns(shard, load_tokenizer()) for shard in expand([SAMPLE])]


def population_of(columns: list[Columns], config: LoaderConfig = CONFIG) -> Population:
    return Population(columns, pairs_of(match_corpus(columns, config)))


@pytest.fixture(scope="module")
def population(columns: list[Columns]) -> Population:
    return population_of(columns)


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = str(tmp_path / "labels ?#%.sqlite")
    store.create(file)
    return file


def said(pair: PairId, person: str = "Ada", answer: str = "yes") -> Judgement:
    return Judgement(
        pair, person, Answer(answer), store.now(), store.own_version(), "sample-a", 0.25
    )


def label(
    path: str, sample: sampling.Design, people: Population, n: int, person: str
) -> list[PairId]:
    """Answer the next pairs by the parity of the sentence index."""
    done = []
    for _ in range(n):
        found = queue.next_existing(path, sample, people, person)
        if found is None:
            break
        pair = found[0].pair
        store.add(path, said(pair, person, "yes" if pair.sentence % 2 else "no"))
        done.append(pair)
    return done


def test_an_answer_stands_until_it_is_changed_or_undone(path: str) -> None:
    store.add(path, said(PAIR, answer="no"))
    store.add(path, said(PAIR, answer="yes"))
    store.add(path, said(PAIR, "Bo", "unsure"))
    assert [j.answer for j in store.read(path)] == ["yes", "unsure"]
    assert store.undo(path, "Ada") == PAIR
    assert [j.person for j in store.read(path)] == ["Bo"]
    history = store.read(path, history=True)
    assert [j.answer for j in history] == ["no", "yes", "unsure"]
    assert [j.undone is None for j in history] == [False, False, True]
    assert store.undo(path, "Ada") is None
    assert store.labels_of(store.read(path))[PAIR].correct is None


def test_many_people_at_once_lose_nothing(path: str) -> None:
    def work(person: int) -> None:
        for n in range(15):
            store.add(path, said(PairId("0.tar", f"k{n}", person % 2, 0), f"P{person}"))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert Counter(j.person for j in store.read(path)) == {f"P{n}": 15 for n in range(6)}


def test_what_was_said_is_there_after_a_kill(path: str) -> None:
    code = f"""
import itertools
from mmc4viz.thresholds.labels.store import *
for n in itertools.count():
    add({path!r}, Judgement(PairId("0.tar", "a", n, 0), "Ada", Answer.YES,
                                   now(), "", "", None))
    print(n, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(10):
            last = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
    last = int(rest[-1]) if rest else last
    kept = [j.pair.image for j in store.read(path)]
    assert kept in (list(range(last + 1)), list(range(last + 2)))  # one may have been in progress
    store.add(path, said(PAIR))
    store.check(path)


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE judgements (x)")
    connection.commit()
    connection.close()


def damaged(path: Path) -> None:
    store.create(str(path))
    with store.writing(str(path)) as connection:
        store.insert(connection, (said(PairId("0.tar", f"key {n}", 0, 0)) for n in range(300)))
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def newer(path: Path) -> None:
    store.create(str(path))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def renamed(path: Path) -> None:
    store.create(str(path))
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE judgements RENAME COLUMN verdict TO verdibt")
    connection.close()


def cut(path: Path) -> None:
    damaged(path)
    path.write_bytes(path.read_bytes()[:5000])


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("text", lambda p: p.write_text("shard,key\n" * 500), "is not a label file"),
    ("foreign", foreign, "SQLite file but not a label file"),
    ("damaged", damaged, "is damaged"),
    ("renamed", renamed, "is damaged .no column verdict in judgements"),
    ("cut", cut, "is damaged"),
    ("newer", newer, "written by a newer mmc4viz"),
    ("empty", lambda p: p.write_bytes(b""), "is empty"),
    ("missing", lambda p: None, "no such label file"),
    ("folder", lambda p: p.mkdir(), "no such label file"),
]


@pytest.mark.parametrize(("name", "make", "words"), BAD)
def test_a_bad_file_is_said_in_one_line(
    tmp_path: Path, name: str, make: Callable[[Path], object], words: str
) -> None:
    file = tmp_path / f"{name}.sqlite"
    make(file)
    before = file.read_bytes() if file.is_file() else None
    for attempt in (store.check, store.read, lambda p: store.add(p, said(PAIR))):
        with pytest.raises(LabelsError, match=words) as error:
            attempt(str(file))
        assert "\n" not in str(error.value)
        assert str(file) in str(error.value)
    if name not in ("newer", "damaged", "renamed", "cut"):
        assert before == (file.read_bytes() if file.is_file() else None)


def test_a_locked_file_is_said(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PATIENCE", 0.05)
    store.add(path, said(PAIR))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LabelsError, match="locked by another program"):
        store.add(path, said(PAIR, "Bo"))
    assert len(store.read(path)) == 1  # reading does not wait
    other.execute("ROLLBACK")
    other.close()


def test_a_full_disk_is_said(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = sqlite3.connect

    def small(name: str, **options: Any) -> sqlite3.Connection:
        connection = opened(name, **options)
        connection.execute("PRAGMA max_page_count = 13")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(LabelsError, match="the disk is full; free some space"):
        for n in range(400):
            store.add(path, said(PairId("0.tar", f"key {n}", 0, 0)))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = 4874  # shared memory
    assert "cannot be read or written" in store._words(error, path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    assert "the disk is full" in store._words(error, path)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "ext4", "tmpfs", "fuseblk"])
def test_no_log_is_written_ahead_on_a_network_s_disk(
    path: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def journal() -> str:
        with store.reading(path) as connection:
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])

    assert journal() == "wal"  # created on a local disk
    store.add(path, said(PAIR))
    far = kind in ("nfs4", "cifs", "fuse.sshfs")
    (tmp_path / "mounts").write_text(f"/dev/a / ext4 rw 0 0\nhost:/x {tmp_path} {kind} rw 0 0\n")
    monkeypatch.setattr(store, "_MOUNTS", tmp_path / "mounts")
    store.create(path)
    assert journal() == ("delete" if far else "wal")
    store.add(path, said(PAIR, "Bo"))
    assert len(store.read(path)) == 2
    monkeypatch.undo()
    store.create(path)
    assert journal() == "wal"


def test_a_read_only_file_is_read_and_not_written(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(path, said(PAIR))
    opened = sqlite3.connect

    def read_only(name: str, **options: object) -> sqlite3.Connection:
        """Open as on a read-only disk, also if the test runs as root."""
        return opened(name.replace("mode=rw", "mode=ro"), **options)  # type: ignore[call-overload]

    monkeypatch.setattr(sqlite3, "connect", read_only)
    assert len(store.read(path)) == 1
    with pytest.raises(LabelsError, match="read-only"):
        store.add(path, said(PAIR, "Bo"))


def test_names_are_checked() -> None:
    assert store.checked_name("  Ada   Lovelace ") == "Ada Lovelace"
    for name in ("", "   ", "a" * 101, "a\x1b[31mb", "‮evil"):
        with pytest.raises(LabelsError, match="printable"):
            store.checked_name(name)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
RISKY = st.sampled_from(["=1+1", "'", "''=x", "'t Hooft", "@a", "-1", "＝x", " =x", "a\r\nb", '"'])


@settings(max_examples=12)
@given(st.lists(st.tuples(TEXT | RISKY, TEXT | RISKY, st.floats(allow_nan=False) | st.none()),
                max_size=5))  # fmt: skip
def test_csv_brings_everything_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, float | None]],
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    one, other = str(folder / "one"), str(folder / "other")
    store.create(one)
    store.create(other)
    for n, (shard, key, score) in enumerate(rows):
        store.add(one, replace(said(PairId(shard, key, n, 0), "Zoë"), score=score))
    store.undo(one, "Zoë")
    text = exchange.export_csv(one)
    assert exchange.import_csv(other, text, "x.csv") == (len(rows), 0)
    assert store.read(other, history=True) == store.read(one, history=True)
    assert exchange.import_csv(other, text, "x.csv") == (0, len(rows))
    for cell in (cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row):
        number = cell[1:2].isdigit() or cell == "-inf"
        assert number or not cell.lstrip().startswith(("=", "+", "-", "@", "＝"))


def test_a_chosen_pair_does_not_count_even_if_it_is_drawn_later(
    path: str, population: Population
) -> None:
    sample = sampling.begin(path, CONFIG, population, COSINE, (0.2, 0.3))
    found = queue.next_existing(path, sample, population, "Ada")
    assert found is not None
    pair = found[0].pair
    chosen.add(path, said(pair, "Ada", "yes"))
    chosen.add(path, said(pair, "Ada", "no"))
    assert [one.answer for one in chosen.read(path)] == ["no"]
    assert store.read(path, history=True) == []
    again = queue.next_existing(path, sample, population, "Ada")
    assert again is not None and again[0].pair == pair  # it is labeled again, blind
    assert len(labelled(path, sample, population).sample) == 0
    text = exchange.export_chosen_csv(path)
    assert '"no"' in text and pair.key in text
    with pytest.raises(LabelsError, match="missing column answer"):
        exchange.import_csv(path, text, "chosen.csv")
    assert store.undo(path, "Ada") is None and len(chosen.read(path)) == 1


def test_a_file_without_chosen_pairs_has_none(path: str) -> None:
    assert chosen.read(path) == []
    store.add(path, said(PAIR))
    assert chosen.read(path) == []


HEAD = "shard,key,image,sentence,person,answer,time\n"
GOOD = "0.tar,a,0,3,Ada,yes,2026-01-01T00:00:00+00:00\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing column shard"),
        ("shard,key\n", "missing column image"),
        (HEAD + GOOD + GOOD.replace("yes", "maybe"), "line 3: 'maybe'"),
        (HEAD + GOOD.replace(",0,3", ",-1,3"), "line 2: '-1' is not an image or sentence index"),
        (HEAD + GOOD.replace(",0,3", ",9999999999,3"), "is not an image or sentence index"),
        (HEAD + GOOD.replace("Ada", " "), "line 2: enter a name"),
        (HEAD + GOOD.replace("2026-01", "soon"), "line 2: Invalid isoformat"),
        (HEAD + GOOD + "0.tar,a\n", "line 3: 2 fields, but the header has 7"),
        (HEAD + '0.tar,"a', "invalid CSV"),
    ],
)
def test_csv_that_makes_no_sense_changes_nothing(path: str, text: str, words: str) -> None:
    with pytest.raises(LabelsError, match=words):
        exchange.import_csv(path, text, "their.csv")
    assert store.read(path) == []
    assert exchange.import_csv(path, HEAD + GOOD, "their.csv") == (1, 0)


def test_pairs_are_found_by_their_names(population: Population) -> None:
    names = [population.name(rank) for rank in range(len(population))]
    assert len(set(names)) == len(names)
    assert population.find(names) == {name: rank for rank, name in enumerate(names)}
    assert population.find([PAIR, replace(names[0], sentence=999)]) == {}


@given(st.sets(st.integers(0, 2**64 - 1), max_size=50))
def test_lots_are_scattered_one_to_one(numbers: set[int]) -> None:
    assert len(set(scrambled(np.array(sorted(numbers), np.uint64)).tolist())) == len(numbers)


def test_lots_follow_from_names_alone(columns: list[Columns], population: Population) -> None:
    later = population_of(columns[::-1], CONFIG.with_(min_kb=9))
    lots = {later.name(rank): int(lot) for rank, lot in enumerate(later.lots)}
    for rank, lot in enumerate(population.lots.tolist()):
        name = population.name(rank)
        assert lots.get(name, lot) == lot
    # Samples of old files continue with the same pairs.
    assert int(population.lots[0]) == 18402810578110739464


def test_each_stage_takes_the_lowest_lots_of_its_strata(path: str, population: Population) -> None:
    sample = sampling.begin(path, CONFIG, population, COSINE)
    assert sampling.begin(path, CONFIG, population, COSINE, (0.2, 0.3)) == sample
    label(path, sample, population, 100, "Ada")
    drawn = queue.drawn(path, sample)
    ranks = population.find(one.pair for one in drawn)
    sizes = sampling.populations(population.pairs.score, sample.borders)
    ends = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    for first, last in pairwise(ends):
        mine = {rank for rank in ranks.values() if first <= rank < last}
        assert mine == set(population.lowest(first, last, len(mine)))
        assert len(mine) >= sampling.FLOOR
    with store.reading(path) as connection:
        last_stage = connection.execute("SELECT drawn FROM stages ORDER BY stage DESC").fetchone()
    counts = [sum(first <= rank < last for rank in ranks.values())
              for first, last in pairwise(ends)]  # fmt: skip
    assert last_stage[0] == str(counts)


def test_labels_for_one_threshold_lie_above_it(path: str, population: Population) -> None:
    sample = sampling.begin(path, CONFIG, population, COSINE)
    label(path, sample, population, 65, "Ada")
    found = queue.next_existing(path, sample, population, "Ada", 0.28)
    assert found is not None
    later = [one for one in queue.drawn(path, sample) if one.stage > 0]
    low = max(edge for edge in sample.edges if edge <= 0.28)
    assert len(later) == queue.STAGE
    assert all(one.score >= low for one in later)


def test_two_people_share_a_queue(path: str, population: Population) -> None:
    sample = sampling.begin(path, CONFIG, population, COSINE)
    seen = {who: queue.next_existing(path, sample, population, who) for who in ("Ada", "Bo")}
    assert seen["Ada"] is not None
    assert seen["Bo"] is not None
    assert seen["Ada"][0] != seen["Bo"][0]
    assert queue.next_existing(path, sample, population, "Ada") == seen["Ada"]
    first = label(path, sample, population, 40, "Ada")
    twice = {one.pair for one in queue.drawn(path, sample) if one.twice}
    second = label(path, sample, population, 40, "Bo")
    common = set(first) & set(second)
    assert common
    assert common <= twice
    (found,) = agreements(store.read(path))
    assert (found.pairs, found.agreed) == (len(common), len(common))
    assert queue.counts(path, sample, "Bo").mine == 40


def test_a_skipped_pair_is_left_to_others(path: str, population: Population) -> None:
    sample = sampling.begin(path, CONFIG, population, COSINE)
    first = queue.next_existing(path, sample, population, "Ada")
    assert first is not None
    store.add(path, said(first[0].pair, answer="skip"))
    second = queue.next_existing(path, sample, population, "Ada")
    assert second is not None
    assert second != first
    assert queue.next_existing(path, sample, population, "Bo") == first
    assert store.undo(path, "Ada") == first[0].pair
    assert labelled(path, sample, population).drawn == 65


def test_labels_serve_again_under_another_setting(
    columns: list[Columns], path: str, population: Population
) -> None:
    sample = sampling.begin(path, CONFIG, population, COSINE)
    label(path, sample, population, 85, "Ada")
    other = CONFIG.with_(min_kb=9)
    wider = population_of(columns, other)
    again = sampling.begin(path, other, wider, COSINE)
    assert queue.next_existing(path, again, wider, "Ada") is not None
    found = labelled(path, again, wider)
    assert len(found.sample) > 0.5 * found.drawn
    assert found.drawn - found.waiting == len(found.sample)
    with pytest.raises(LabelsError, match=r"has no labels for x .*; it has: sample-a \(min_kb"):
        labelled_for(path, CONFIG.with_(clip_model="x"), population)


@pytest.mark.slow
def test_labels_of_documents_that_are_not_here_are_counted(
    columns: list[Columns], path: str, population: Population
) -> None:
    sample = sampling.begin(path, CONFIG, population, COSINE)
    done = label(path, sample, population, 70, "Ada")
    half = population_of(columns[:1])
    found = labelled(path, sample, half)
    lost = {pair for pair in done if pair.shard != columns[0].shard.name}
    assert lost
    assert (found.foreign, found.gone) == (len(lost), ())
    assert len(found.sample) == len(done) - len(lost)
    assert label(path, sample, half, 30, "Ada")  # continues with the remaining pairs
    assert len(store.read(path)) == 100
    whole = labelled(path, sample, population)
    assert whole.foreign == 0
    assert len(whole.sample) == 100


def test_labels_of_duplicates_are_not_independent(columns: list[Columns], path: str) -> None:
    twice = population_of([*columns, *columns])
    sample = sampling.begin(path, CONFIG, twice, COSINE)
    label(path, sample, twice, 300, "Ada")
    found = labelled(path, sample, twice)
    n = sum(map(len, columns))
    document, image = twice.pairs.document[found.ranks] % n, twice.pairs.image[found.ranks]
    different = set(zip(document.tolist(), image.tolist(), strict=True))
    assert found.sample.cluster is not None
    assert len(np.unique(found.sample.cluster)) == len(different) < len(found.sample) - 10
    asked = np.array(sample.edges)
    here = curve(found.sample, asked).precision
    naive = curve(replace(found.sample, cluster=None), asked).precision
    np.testing.assert_allclose(here.estimate, naive.estimate)
    assert (here.high - here.low > naive.high - naive.low).all()


def test_everything_can_be_labelled(columns: list[Columns], path: str) -> None:
    few = population_of([columns[0].take(np.arange(25))])
    sample = sampling.begin(path, CONFIG, few, COSINE, (0.2, 0.25))
    done = label(path, sample, few, 10_000, "Ada")
    top = few.pairs.score >= sample.edges[0]
    assert len(done) == top.sum() + sampling.FLOOR
    with pytest.raises(LabelsError, match="too few pairs to sample"):
        sampling.begin(path, CONFIG.with_(min_kb=20), few, COSINE, (0.9, 0.95))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.mark.slow
def test_labels_propose_a_threshold_by_command(
    path: str, population: Population, tmp_path: Path
) -> None:
    sample = sampling.begin(path, CONFIG, population, COSINE)
    label(path, sample, population, 70, "Ada")
    store.add(path, said(PAIR))
    store.add(path, said(replace(population.name(0), sentence=999)))
    asked = ["--precision", "0.5", "--labels", path, "--format", "json"]
    found = run("suggest", SAMPLE, *asked)
    assert found.exit_code == 0
    (proposal,) = json.loads(found.stdout)
    assert proposal["basis"] == "precision"
    assert "the pair is not matched with this model and settings" in found.stderr
    assert "sentence 1000" in found.stderr
    assert "1 label not counted: the document is not in this corpus" in found.stderr
    half = CliRunner().invoke(cli, ["suggest", expand([SAMPLE])[0].path, *asked])
    assert "it has labels of another corpus: sample-a" in str(half.exception)
    moved = str(tmp_path / "moved.sqlite")
    out = run("labels", "export", path).stdout
    (tmp_path / "x.csv").write_text(out)
    assert "imported 72 labels" in run("labels", "import", moved, str(tmp_path / "x.csv")).stderr
    assert [j.pair for j in store.read(moved)] == [j.pair for j in store.read(path)]
