"""Slice thresholds: every document is judged by its own, in curves, manifests and proposals."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz.config_file import parse_config, read_config
from mmc4viz.data.scale import COSINE, Shifts
from mmc4viz.export.manifest import chunks, table
from mmc4viz.export.provenance import to_text
from mmc4viz.loader.walk import walk
from mmc4viz.slices.attributes import ATTRIBUTES, SlicedCorpus
from mmc4viz.slices.division import NO_VALUE, OTHER, shown
from mmc4viz.slices.table import open_slice_table
from mmc4viz.slices.thresholds import (
    FEWEST_DOCUMENTS,
    attribute_of,
    digest_of,
    propose_equal_precision,
    propose_equal_share,
    resolved,
    with_file,
)
from mmc4viz.sweep.document_table import verdicts
from mmc4viz.sweep.statistics import CLASSES, Tally, class_of, tally
from mmc4viz.sweep.sweep import match_corpus, sweep
from mmc4viz.thresholds.labels.precision import Labelled, LabelledSample, propose
from mmc4viz.types import ConfigError, LoaderConfig, SliceThresholds
from tests.support.corpora import SETTINGS, TOKENIZER, odd

# Scores of the odd documents lie on 0.2, 0.24, 0.25 and 0.3, so that shifted thresholds tie with
# them: 0.14 + 0.1, 0.2 + 0.1 and 0.1 + 0.2 are not the decimals 0.24, 0.3 and 0.3 in binary.
BY = tuple(map(Decimal, ("0", "0.1", "-0.04", "0.2", "1e-17")))
THRESHOLDS = np.array([-0.1, 0.1, 0.14, 0.2, 0.24])


def at_random(n: int) -> Shifts:
    return Shifts(np.random.default_rng(3).integers(0, len(BY), n), BY)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_curves_are_the_sums_of_walks_each_at_its_own_threshold(settings: dict[str, Any]) -> None:
    found = odd(settings)
    config, matched = found.corpus.config, found.corpus.matched
    shifts = at_random(matched.n_documents)
    curves = sweep(matched, config, THRESHOLDS, shifts=shifts)
    for step, threshold in enumerate(THRESHOLDS.tolist()):
        total = Tally.empty()
        for document, code in zip(found.documents, shifts.code.tolist(), strict=True):
            own = float(Decimal(repr(threshold)) + BY[code])
            total += tally(
                walk(document, config.with_(threshold=own), TOKENIZER), config.max_tokens
            )
        np.testing.assert_array_equal(curves.counts[:, :, step], total.counts)
        np.testing.assert_array_equal(curves.images[:, step], total.images)
        np.testing.assert_array_equal(curves.shapes[:, step], total.shapes)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_curves_are_those_of_each_slice_filtered_by_hand(settings: dict[str, Any]) -> None:
    found = odd(settings)
    config, matched = found.corpus.config, found.corpus.matched
    shifts = at_random(matched.n_documents)
    whole = sweep(matched, config, THRESHOLDS, shifts=shifts)
    columns = [part.columns for part in matched.parts]
    starts = np.cumsum([0, *map(len, columns)]).tolist()
    sums = np.zeros_like(whole.counts)
    for code, by in enumerate(BY):
        rows = np.flatnonzero(shifts.code == code)
        parts = [
            one.take(rows[(rows >= a) & (rows < b)] - a)
            for one, a, b in zip(columns, starts, starts[1:], strict=False)
        ]
        moved = np.array([float(Decimal(repr(t)) + by) for t in THRESHOLDS.tolist()])
        sums += sweep(match_corpus(parts, config), config, moved).counts
    np.testing.assert_array_equal(whole.counts, sums)


def test_equal_thresholds_are_one_threshold() -> None:
    found = odd({})
    config, matched = found.corpus.config, found.corpus.matched
    nothing = Shifts(np.zeros(matched.n_documents, np.int64), (Decimal(0),))
    one = sweep(matched, config, THRESHOLDS)
    np.testing.assert_array_equal(
        sweep(matched, config, THRESHOLDS, shifts=nothing).counts, one.counts
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_manifest_and_table_of_documents_are_the_walks(settings: dict[str, Any]) -> None:
    found = odd(settings)
    config, matched = found.corpus.config, found.corpus.matched
    shifts = at_random(matched.n_documents)
    own = shifts.at(config.threshold)
    rows = [
        row
        for chunk in chunks(matched, config, 1, shifts)
        for row in table(chunk, "documents").to_pylist()
    ]
    seen = verdicts(matched, config, own)
    for number, (row, document) in enumerate(zip(rows, found.documents, strict=True)):
        verdict = walk(document, config.with_(threshold=float(own[number])), TOKENIZER)
        assert (row["outcome"], row["probability"]) == (verdict.outcome, verdict.keep_probability)
        assert row["pairs"] == [
            {"image": p.image, "sentence": p.sentence, "score": p.score, "status": p.status}
            for p in verdict.pairs
        ], document.key
        counts = (row["image_tokens"], row["text_tokens"], row["mispaired"])
        assert counts == (verdict.image_tokens, verdict.text_tokens, verdict.mispaired)
        assert CLASSES[seen.kind[number]] == class_of(verdict)
        if verdict.pairs:
            nearest = min(abs(pair.score - own[number]) for pair in verdict.pairs)
            assert seen.nearest[number] == pytest.approx(nearest)


@given(st.integers(-2000, 2000), st.integers(-2000, 2000), st.integers(-2000, 2000))
def test_moved_thresholds_are_decimals(base: int, own: int, threshold: int) -> None:
    table = SliceThresholds("site", base / 1000, {"a": own / 1000})
    there = table.at(threshold / 1000)
    assert there.thresholds == {"a": (own - base + threshold) / 1000}
    assert there.at(base / 1000) == table
    assert table.lowest == min(base, own) / 1000


def sliced(settings: dict[str, Any]) -> tuple[SlicedCorpus, LoaderConfig]:
    found = odd(settings).corpus
    return SlicedCorpus(found.matched, found.pairs), found.config


def test_documents_are_found_by_the_names_that_slices_have() -> None:
    corpus, config = sliced({})
    division = ATTRIBUTES["sentences"].divide(corpus)
    name, base = division.names[0], config.threshold
    given = SliceThresholds("sentences", base, {name: 0.5, NO_VALUE: 0.1, "nobody": 0.9})
    found = resolved(given, corpus)
    wanted = np.full(len(division.code), base)
    wanted[division.code == 0] = 0.5
    wanted[division.code == division.position(NO_VALUE)] = 0.1
    np.testing.assert_array_equal(found.shifts.at(base), wanted)
    assert found.notes == ("slice_thresholds: no document here is in the slice 'nobody'",)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_equal_shares_are_the_highest_thresholds_that_keep_them(settings: dict[str, Any]) -> None:
    corpus, config = sliced(settings)
    grid, keep = COSINE.thresholds(), config.single_image_keep
    found = propose_equal_share(corpus, ATTRIBUTES["sentences"], config, grid)
    division = ATTRIBUTES["sentences"].divide(corpus)
    whole = sweep(corpus.matched, config, np.array([config.threshold]))
    share = whole.expected("documents", keep)[0] / corpus.matched.n_documents
    assert sum(one.size for one in found.slices) == corpus.matched.n_documents
    assert sum(one.before for one in found.slices) == pytest.approx(
        share * corpus.matched.n_documents
    )
    odds = odd(settings)
    for number, one in enumerate(found.slices):
        mine = [odds.documents[i] for i in np.flatnonzero(division.code == number).tolist()]
        kept = sum(
            walk(document, config.with_(threshold=one.threshold), TOKENIZER).keep_probability
            for document in mine
        )
        assert one.kept == pytest.approx(kept) and one.size == len(mine)
        if one.own:
            step = int(np.searchsorted(grid, one.threshold))
            assert kept >= share * one.size - 1e-6
            above = config.with_(threshold=float(grid[step + 1]))
            after = sum(walk(document, above, TOKENIZER).keep_probability for document in mine)
            assert after < share * one.size
            assert ("leave at once" in one.said) == (kept - share * one.size >= 1)
        elif "at most" in one.said:
            assert one.threshold == config.threshold
            lowest = config.with_(threshold=-1.0)
            assert sum(walk(d, lowest, TOKENIZER).keep_probability for d in mine) < share * len(
                mine
            )
        else:
            assert (one.threshold, one.said) == (config.threshold, "fewer than 10 documents")
    named = {one.name: one.threshold for one in found.slices if one.own}
    assert found.table.thresholds == named and len(named) >= 1
    shifts = resolved(found.table, corpus).shifts
    curves = sweep(corpus.matched, config, np.array([config.threshold]), shifts=shifts)
    assert curves.expected("documents", keep)[0] == pytest.approx(sum(o.kept for o in found.slices))


def test_small_slices_and_other_keep_the_threshold_of_the_whole() -> None:
    corpus, config = sliced({})
    found = propose_equal_share(corpus, ATTRIBUTES["sentences"], config, COSINE.thresholds(), 2)
    other = next(one for one in found.slices if one.name == OTHER)
    assert (other.own, other.said) == (False, "not of one value, so it cannot be named")
    small = propose_equal_share(corpus, ATTRIBUTES["images"], config, COSINE.thresholds())
    few = [one for one in small.slices if one.size < FEWEST_DOCUMENTS]
    assert all(not one.own and "fewer than 10" in one.said for one in few)


def test_equal_precision_is_the_proposal_of_each_slice_alone() -> None:
    corpus, config = sliced({})
    division, scores = ATTRIBUTES["sentences"].divide(corpus), corpus.pairs.score
    code, rng = division.of_pairs(corpus.pairs), np.random.default_rng(2)
    largest = int(np.bincount(code).argmax())
    ranks = np.sort(rng.choice(len(scores), len(scores) // 2, replace=False))
    ranks = ranks[(code[ranks] == largest) | (rng.random(len(ranks)) < 0.03)]
    edges = np.quantile(scores, [0.3, 0.5, 0.7]).round(3)
    sample = LabelledSample(scores, edges, scores[ranks], scores[ranks] > 0.1)
    labelled = Labelled(None, sample, ranks, ranks[:0], len(ranks), 0, 0, 0, (), 0)  # type: ignore[arg-type]
    found = propose_equal_precision(corpus, ATTRIBUTES["sentences"], config, labelled, 0.8)
    mine = code[ranks] == largest
    alone = propose(
        LabelledSample(scores[code == largest], edges, sample.score[mine], sample.correct[mine]),
        0.8,
    )
    own = {one.name: one for one in found.slices}
    assert own[division.names[largest]].threshold == alone.threshold is not None
    assert found.table.thresholds == {division.names[largest]: alone.threshold}
    few = [one for one in found.slices if one.name != division.names[largest]]
    assert few and all("labels: too few labels" in o.said or "label" in o.said for o in few)
    assert all(one.threshold == config.threshold for one in few)
    assert (found.table.basis, found.table.target) == ("precision", 0.8)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(shown)


@given(st.dictionaries(NAMES, st.floats(-1e6, 1e6), min_size=1), NAMES)
def test_a_table_comes_back_to_the_last_digit(thresholds: dict[str, float], by: str) -> None:
    given = SliceThresholds(by, 0.3, thresholds, "precision", 0.9, "t.parquet", "0" * 64)
    for name in ("c.yaml", "c.json"):
        text = to_text(LoaderConfig(threshold=0.3), {"format": 2}, name, given)
        assert parse_config(text.encode(), name).slice_thresholds == given


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "line 2: slice_thresholds must be of type object, not []"),
        ("{by: site}", "line 2: slice_thresholds has no thresholds"),
        ("{thresholds: {a: 1}}", "line 2: slice_thresholds has no by"),
        ("{by: '', thresholds: {a: 1}}", "line 2: slice_thresholds.by must not be empty"),
        (
            "{by: a, thresholds: {}}",
            "line 2: slice_thresholds.thresholds must name from 1 to 1,000",
        ),
        (
            "{by: a, thresholds:\n  {b: 1,\n  c: x}}",
            "line 4: slice_thresholds.thresholds.c must be of type number, not 'x'",
        ),
        ("{by: a, thresholds:\n  {b: .nan}}", "line 3: b: nan is not a finite number"),
        ("{by: a, thresholds:\n  {b: 2e6}}", "line 3: the threshold of 'b' must be at most"),
        ("{by: a, thresholds:\n  {other: 2}}", "line 3: slice_thresholds: 'other' cannot be named"),
        ("{by: a, thresholds: {b: 1, b: 2}}", "line 2: duplicate key 'b' (first in line 2)"),
        ("{by: a, color: 1, thresholds: {b: 1}}", "slice_thresholds has no field 'color'"),
        ("{by: a, basis: x, thresholds: {b: 1}}", "must be one of manual, precision, share"),
        ("{by: a, file: t, thresholds: {b: 1}}", "must have both file and sha256, or neither"),
        (
            f"{{by: a, file: ../t, sha256: '{'0' * 64}', thresholds: {{b: 1}}}}",
            "file must be the name of a table next to the config",
        ),
        (
            f"{{by: a, file: 's3://t', sha256: '{'0' * 64}', thresholds: {{b: 1}}}}",
            "file must be the name of a table next to the config",
        ),
        ("{by: a, file: t, sha256: '0', thresholds: {b: 1}}", "must be 64 hexadecimal digits"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(f"min_images: 1\nslice_thresholds: {text}".encode(), "c.yaml")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_threshold_too_large_to_be_moved_is_refused() -> None:
    text = b"threshold: 1e300\nslice_thresholds: {by: site, thresholds: {a: 1}}"
    with pytest.raises(ConfigError, match=r"c\.yaml, line 1: threshold must be at most 1,000,000"):
        parse_config(text, "c.yaml")


def own_table(folder: Path, values: Any, name: str = "t.parquet") -> Path:
    corpus, _ = sliced({})
    shards = [one.shard.name for one in corpus.columns for _ in range(len(one))]
    keys = [str(key) for one in corpus.columns for key in one.batch.column("key")]
    column = [values[i // 3 % len(values)] for i in range(len(keys))]
    pq.write_table(pa.table({"shard": shards, "key": keys, "said": column}), folder / name)
    return folder / name


def test_a_users_table_is_known_by_its_digest(tmp_path: Path) -> None:
    path = own_table(tmp_path, ["=1+1", "b", None, "x" * 90])
    corpus, config = sliced({})
    config = config.with_(threshold=0.3)  # where every slice can keep as much as the whole
    own = open_slice_table(str(path))
    grid = COSINE.thresholds()
    found = with_file(propose_equal_share(corpus, own.attribute("said"), config, grid), own)
    assert found.table.file == "t.parquet" and found.table.sha256 == digest_of(str(path))
    assert set(found.table.thresholds) == {"=1+1", "b", NO_VALUE, f"{'x' * 79}…"}
    written = tmp_path / "c.yaml"
    written.write_text(to_text(config, {"format": 2}, "c.yaml", found.table))
    again = read_config(str(written)).slice_thresholds
    assert again == found.table
    at = resolved(again, corpus).shifts.at(config.threshold)
    for place, name in enumerate(("=1+1", "b", NO_VALUE, f"{'x' * 79}…")):
        mine = at[np.arange(len(at)) // 3 % 4 == place]
        assert set(mine.tolist()) == {found.table.thresholds[name]}
    assert str(tmp_path) not in written.read_text()
    own_table(tmp_path, ["b", "=1+1", None])
    with pytest.raises(ConfigError, match="has changed since slice_thresholds was written"):
        attribute_of(again)
    path.unlink()
    with pytest.raises(ConfigError, match=r"no such file; .* put it next to the config"):
        attribute_of(again)


def test_long_names_that_are_cut_to_the_same_are_not_given_a_threshold(tmp_path: Path) -> None:
    path = own_table(tmp_path, ["x" * 90 + "a", "x" * 90 + "b", "short"])
    corpus, config = sliced({})
    attribute = open_slice_table(str(path)).attribute("said")
    found = propose_equal_share(corpus, attribute, config, COSINE.thresholds())
    assert set(found.table.thresholds) == {"short"}


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("area", "area divides images, and only slices of documents can have thresholds"),
        ("colour", "'colour', which is not something to divide by; use one of site, images"),
    ],
)
def test_what_cannot_divide_documents_is_refused(by: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        attribute_of(SliceThresholds(by, 0.2, {"a": 0.3}))


def test_numbers_of_a_users_table_are_refused(tmp_path: Path) -> None:
    path = own_table(tmp_path, [1.5, 2.5])
    given = SliceThresholds(
        "said", 0.2, {"1.5": 0.3}, file=path.name, sha256=digest_of(str(path)), folder=str(tmp_path)
    )
    with pytest.raises(ConfigError, match="has the type double; thresholds by slice need text"):
        attribute_of(given)


def test_a_proposal_is_data_for_json() -> None:
    corpus, config = sliced({})
    found = propose_equal_share(corpus, ATTRIBUTES["sentences"], config, COSINE.thresholds())
    back = json.loads(json.dumps(found.as_dict()))
    assert back["slice_thresholds"]["thresholds"] == found.table.thresholds
    assert [row["slice"] for row in back["slices"]] == [one.name for one in found.slices]
