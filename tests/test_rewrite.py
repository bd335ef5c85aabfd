"""Rewritten shards: what the loader's walk makes of them is what was chosen, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmc4viz import (
    ConfigError,
    Document,
    LoaderConfig,
    Shard,
    ShardError,
    expand,
    load_tokenizer,
    parse_document,
    samples,
    walk,
)
from mmc4viz.corpus.build import Job, build
from mmc4viz.corpus.columns import Verify
from mmc4viz.handover.apply import (
    Applied,
    Task,
    apply_shards,
    apply_to_shard,
    disk_use,
    tasks_for_index,
    tasks_for_shards,
)
from mmc4viz.handover.edit import edit_json
from mmc4viz.handover.options import Options, loader_config, refuse_impossible
from mmc4viz.handover.plan import Edit, attempts, plan_document
from mmc4viz.handover.records import ApplyError, read_record
from mmc4viz.handover.rewrite import SharedSentenceError
from mmc4viz.model import DocumentError, Fate
from tests import nasty
from tests.chosen import Chosen, chosen, damage, is_misbound, problems
from tests.documents import chatgpt, entry, info, jpeg, write_tar

TOKENIZER = load_tokenizer()
PLAIN = Options()
SORTED = Options(order="sentence", cap="best", drop_undecodable=True, keep_rejected_images=False)

# Settings and options; every nasty kind meets every assignment, order and cap.
CASES: list[tuple[dict[str, Any], Options]] = [
    ({}, PLAIN),
    ({"threshold": 0.2, "max_images": 3}, Options(order="sentence")),
    ({"threshold": -1.0, "max_images": 2, "min_kb": 11}, Options(cap="best")),
    ({"threshold": 0.1, "min_images": 2}, SORTED),
    ({"threshold": 0.0, "max_images": 1}, Options("sentence", "best", keep_rejected_images=False)),
    ({"threshold": 0.2, "min_images": 0}, Options(drop_undecodable=True)),
    ({"assignment": "greedy", "threshold": 0.2}, PLAIN),
    ({"assignment": "greedy", "threshold": -1e300, "max_images": 2}, SORTED),
    ({"assignment": "greedy", "threshold": 0.24, "min_kb": 30}, Options("sentence")),
    ({"assignment": "argmax", "threshold": 0.2}, Options("sentence", drop_undecodable=True)),
    ({"assignment": "argmax", "threshold": -1.0, "max_images": 2}, Options(cap="best")),
    ({"assignment": "stored", "threshold": 0.1}, Options(keep_rejected_images=False)),
    ({"assignment": "stored", "threshold": -1.0, "max_images": 3}, SORTED),
]


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def run(tasks: list[Task]) -> list[Applied]:
    return apply_shards(tasks, threads, lambda applied: None)


def rewritten(
    folder: Path, documents: list[tuple[str, Any]], config: LoaderConfig, options: Options
) -> tuple[Applied, list[bytes]]:
    """Write documents as a shard, rewrite it, and return what is in it then."""
    shard = write_tar(folder / "s.tar", documents)
    tasks = tasks_for_shards([Shard(str(shard))], str(folder / "out"), config, options)
    [applied] = run(tasks)
    return applied, [sample.raw or b"" for sample in samples(Shard(str(folder / "out/s.tar")))]


@cache
def odd_documents(seed: int) -> list[tuple[str, bytes | None, Document]]:
    found = nasty.documents(seed=seed, n=700)
    return [(key, raw, parse_document(key, raw)) for key, raw in found]


def chosen_of(document: Document, config: LoaderConfig, options: Options) -> Chosen:
    return chosen(document, config, options, TOKENIZER)


@pytest.mark.parametrize(("settings", "options"), CASES, ids=str)
def test_the_loader_yields_exactly_what_was_chosen(
    tmp_path: Path, settings: dict[str, Any], options: Options
) -> None:
    config = LoaderConfig(**settings)
    loader = loader_config(config)
    number = CASES.index((settings, options))
    wanted = [
        (key, raw, document, one)
        for key, raw, document in odd_documents(70)[number % 2 :: 2]
        if not (one := chosen_of(document, config, options)).shared
    ]
    nasty.write_tar(tmp_path / "s.tar", [(key, raw) for key, raw, _, _ in wanted])
    tasks = tasks_for_shards(
        [Shard(str(tmp_path / "s.tar"))], str(tmp_path / "out"), config, options
    )
    [applied] = run(tasks)
    assert (applied.status, applied.left_out) == ("written", ())
    after = list(samples(Shard(str(tmp_path / "out/s.tar"))))
    assert [sample.key for sample in after] == [key for key, *_ in wanted]
    odds, changed, misbound = 0.0, 0, 0
    for sample, (key, raw, document, one) in zip(after, wanted, strict=True):
        if document.is_gpt:
            assert sample.raw == raw
            odds += walk(document, loader, TOKENIZER).keep_probability
            continue
        verdict = walk(parse_document(key, sample.raw), loader, TOKENIZER)
        odds += verdict.keep_probability
        misbound += options.order == "sentence" and is_misbound(verdict)
        assert not problems(raw or b"", document, sample.raw or b"", verdict, one), key
        if sample.raw != raw:
            changed += 1
            assert not damage(raw or b"", sample.raw or b"", options), key
    assert misbound == 0
    assert applied.counts.expected == odds
    assert applied.counts.changed == changed
    assert applied.counts.documents == applied.counts.carried_over + changed == len(after)
