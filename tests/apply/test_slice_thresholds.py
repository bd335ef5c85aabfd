"""Rewritten shards with slice thresholds: the loader, which has one, yields what was chosen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmc4viz import LoaderConfig, Shard, parse_document, samples, walk
from mmc4viz.apply.options import Options, loader_config
from mmc4viz.apply.run import Applied, apply_shards
from mmc4viz.apply.tasks import ReplacingError, read_record, tasks_for_shards
from mmc4viz.types import SliceThresholds
from tests.apply.test_shard import PLAIN, SORTED, TOKENIZER, named, names, odd_documents, threads
from tests.support import nasty
from tests.support.chosen import BY_SENTENCES, chosen, is_mispaired, own_threshold, problems
from tests.support.documents import info, write_tar
from tests.support.slowly import slow

CASES: list[tuple[dict[str, Any], Options]] = [
    ({"max_images": 2}, PLAIN),
    ({"threshold": 0.2, "max_images": 3, "min_kb": 11}, Options("sentence", "best")),
    ({"assignment": "greedy", "threshold": 0.25, "min_images": 2}, Options(cap="best")),
    ({"assignment": "argmax"}, SORTED),
    ({"assignment": "stored", "threshold": 0.3}, Options(drop_undecodable=True)),
]


def run(shard: Path, config: LoaderConfig, options: Options, slices: SliceThresholds) -> Applied:
    """Rewrite a shard into a neighboring folder."""
    tasks = tasks_for_shards([Shard(str(shard))], str(shard.parent / "out"), config, options)
    tasks = [replace(task, slices=slices) for task in tasks]
    [applied] = apply_shards(tasks, threads, lambda applied: None)
    return applied


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "options"), [CASES[0], *(slow(one)[0] for one in CASES[1:])], ids=str
)
def test_the_loader_yields_what_was_chosen_at_each_documents_own_threshold(
    tmp_path: Path, settings: dict[str, Any], options: Options
) -> None:
    config = LoaderConfig(**settings)
    slices = SliceThresholds("sentences", config.threshold, BY_SENTENCES)
    loader = loader_config(config, slices)
    assert loader.threshold == min(0.2, config.threshold)
    wanted = []
    for key, raw, document in odd_documents(71):
        one = chosen(document, own_threshold(document, config), options, TOKENIZER)
        if not one.shared:
            wanted.append((key, raw, document, one))
    nasty.write_tar(tmp_path / "s.tar", [(key, raw) for key, raw, _, _ in wanted])
    applied = run(tmp_path / "s.tar", config, options, slices)
    assert (applied.status, applied.left_out) == ("written", ())
    after = list(samples(Shard(str(tmp_path / "out/s.tar"))))
    assert [sample.key for sample in after] == [key for key, *_ in wanted]
    odds, moved = 0.0, 0
    for sample, (key, raw, document, one) in zip(after, wanted, strict=True):
        verdict = walk(parse_document(key, sample.raw), loader, TOKENIZER)
        odds += verdict.keep_probability
        if document.is_gpt:
            assert sample.raw == raw
            continue
        assert not problems(raw or b"", sample.raw or b"", verdict, one), key
        assert options.order != "sentence" or not is_mispaired(verdict)
        moved += sample.raw != raw
    assert applied.counts.expected == odds and moved > 20


def test_only_images_of_pairs_between_the_thresholds_lose_their_bytes(tmp_path: Path) -> None:
    matrix = [[0.9, 0.1, 0.1], [0.1, 0.26, 0.1], [0.1, 0.1, 0.1]]
    documents = [("few", info(matrix, images=named(3)))]
    documents += [("many", info([row + [0.0] * 9 for row in matrix], images=named(3)))]
    shard = write_tar(tmp_path / "s.tar", documents)
    slices = SliceThresholds("sentences", 0.24, {"1–9": 0.3})
    run(shard, LoaderConfig(), PLAIN, slices)
    few, many = (json.loads(one.raw or b"") for one in samples(Shard(str(tmp_path / "out/s.tar"))))
    assert names(few) == ["0.jpg", "2.jpg"] and names(many) == ["0.jpg", "1.jpg", "2.jpg"]


def test_another_table_is_another_setting(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "s.tar", [("k", info([[0.9]], images=named(1)))])
    config, slices = LoaderConfig(), SliceThresholds("sentences", 0.24, {"1–9": 0.3})
    assert run(shard, config, PLAIN, slices).status == "written"
    assert run(shard, config, PLAIN, slices).status == "skipped"
    record = read_record(str(tmp_path / "out/s.tar"))
    assert record is not None and record.config["slice_thresholds"] == slices.as_dict()
    for other in (slices.at(0.25), None):
        with pytest.raises(ReplacingError, match="different slice thresholds"):
            run(shard, config, PLAIN, other)  # type: ignore[arg-type]
