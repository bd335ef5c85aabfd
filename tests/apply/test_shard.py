"""Rewritten documents: the reference walk gives exactly the selection."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmc4viz import (
    ConfigError,
    Document,
    LoaderConfig,
    Shard,
    Verdict,
    load_tokenizer,
    parse_document,
    samples,
    walk,
)
from mmc4viz.apply.edit_json import edit_json
from mmc4viz.apply.options import Options, loader_config, refuse_impossible
from mmc4viz.apply.plan import Edit
from mmc4viz.apply.run import Applied, apply_shards
from mmc4viz.apply.shard import SharedSentenceError
from mmc4viz.apply.tasks import tasks_for_shards
from mmc4viz.types import DocumentError, PairStatus
from tests.support import nasty
from tests.support.chosen import Chosen, chosen, damage, is_mispaired, problems
from tests.support.documents import chatgpt, entry, info, jpeg, write_tar
from tests.support.slowly import slow

TOKENIZER = load_tokenizer()
PLAIN = Options()
SORTED = Options(order="sentence", cap="best", drop_undecodable=True, keep_rejected_images=False)

# Settings and options: every malformed kind with every assignment, order and cap.
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


def run(shard: Path, config: LoaderConfig, options: Options, **more: Any) -> Applied:
    """Rewrite a shard into a neighboring folder."""
    out = str(shard.parent / "out")
    more = {"overwrite": True} | more
    tasks = tasks_for_shards([Shard(str(shard))], out, config, options, **more)
    [applied] = apply_shards(tasks, threads, lambda applied: None)
    return applied


def rewritten(
    folder: Path, document: Any, options: Options, **settings: Any
) -> tuple[Applied, Any, Verdict]:
    """Rewrite a document; return its JSON and the loader's result."""
    config = LoaderConfig(**settings)
    applied = run(write_tar(folder / "s.tar", [("k", document)]), config, options)
    [sample] = samples(Shard(str(folder / "out/s.tar")))
    verdict = walk(parse_document("k", sample.raw), loader_config(config), TOKENIZER)
    return applied, json.loads(sample.raw or b""), verdict


def handed_over(verdict: Verdict) -> list[tuple[int, int]]:
    """Return the pairs whose images are handed over, by position and sentence."""
    statuses = (PairStatus.KEPT, PairStatus.TRUNCATED)
    return [(pair.image, pair.sentence) for pair in verdict.pairs if pair.status in statuses]


def named(n: int, **fields: Any) -> list[dict[str, Any]]:
    """Return valid images with distinct names."""
    return [entry(jpeg(), image_name=f"{k}.jpg", **fields) for k in range(n)]


def names(document: Any, with_bytes: bool = True) -> list[str]:
    """Return the names of a document's images, by default of those with bytes."""
    entries = document["image_info"]
    return [e["image_name"] for e in entries if "image_base64" in e or not with_bytes]


@cache
def odd_documents(seed: int) -> list[tuple[str, bytes | None, Document]]:
    found = nasty.documents(seed=seed, n=700)
    return [(key, raw, parse_document(key, raw)) for key, raw in found]


def chosen_of(document: Document, config: LoaderConfig, options: Options) -> Chosen:
    return chosen(document, config, options, TOKENIZER)


@pytest.mark.parametrize(
    ("settings", "options"),
    [one if n % 3 == 1 else slow(one)[0] for n, one in enumerate(CASES)],
    ids=str,
)
def test_the_loader_yields_exactly_what_was_chosen(
    tmp_path: Path, settings: dict[str, Any], options: Options
) -> None:
    config = LoaderConfig(**settings)
    loader = loader_config(config)
    number = CASES.index((settings, options))
    wanted = [
        (key, raw, document, one)
        for key, raw, document in odd_documents(70)[number % 3 :: 3]
        if not (one := chosen_of(document, config, options)).shared
    ]
    nasty.write_tar(tmp_path / "s.tar", [(key, raw) for key, raw, _, _ in wanted])
    applied = run(tmp_path / "s.tar", config, options)
    assert (applied.status, applied.left_out) == ("written", ())
    after = list(samples(Shard(str(tmp_path / "out/s.tar"))))
    assert [sample.key for sample in after] == [key for key, *_ in wanted]
    odds, changed, mispaired = 0.0, 0, 0
    for sample, (key, raw, document, one) in zip(after, wanted, strict=True):
        if document.is_gpt:
            assert sample.raw == raw
            odds += walk(document, loader, TOKENIZER).keep_probability
            continue
        verdict = walk(parse_document(key, sample.raw), loader, TOKENIZER)
        odds += verdict.keep_probability
        mispaired += options.order == "sentence" and is_mispaired(verdict)
        assert not problems(raw or b"", sample.raw or b"", verdict, one), key
        if sample.raw != raw:
            changed += 1
            assert not damage(raw or b"", sample.raw or b"", options), key
    assert mispaired == 0
    assert applied.counts.expected == odds
    assert applied.counts.changed == changed
    assert applied.counts.documents == applied.counts.carried_over + changed == len(after)


def test_images_are_sorted_by_sentence_with_their_rows(tmp_path: Path) -> None:
    document = info([[0.1, 0.2, 0.9], [0.8, 0.1, 0.1], [0.0, 0.7, 0.1]], images=named(3))
    assert walk(parse_document("k", json.dumps(document).encode()), LoaderConfig(), TOKENIZER)
    applied, after, verdict = rewritten(tmp_path, document, Options("sentence"))
    assert names(after) == ["1.jpg", "2.jpg", "0.jpg"]
    assert after["similarity_matrix"] == [[0.8, 0.1, 0.1], [0.0, 0.7, 0.1], [0.1, 0.2, 0.9]]
    assert (verdict.mispaired, handed_over(verdict)) == (0, [(0, 0), (1, 1), (2, 2)])
    assert (applied.counts.reordered, applied.counts.lowered) == (1, 0)


def test_images_in_no_chosen_pair_stay_where_they_are(tmp_path: Path) -> None:
    matrix = [[0.1, 0.1, 0.9], [0.2, 0.1, 0.1], [0.9, 0.1, 0.1]]
    _, after, _ = rewritten(tmp_path, info(matrix, images=named(3)), Options("sentence"))
    assert names(after) == ["2.jpg", "1.jpg", "0.jpg"]


def test_the_best_stay_and_those_over_the_cap_lose_their_bytes(tmp_path: Path) -> None:
    matrix = (np.diag([0.3, 0.5, 0.4]) + 0.01).tolist()
    document = info(matrix, images=named(3))
    _, after, verdict = rewritten(tmp_path, document, Options(cap="best"), max_images=2)
    assert (names(after), handed_over(verdict)) == (["1.jpg", "2.jpg"], [(1, 1), (2, 2)])
    assert names(after, with_bytes=False) == ["0.jpg", "1.jpg", "2.jpg"]


def test_the_first_six_in_page_order_are_the_loaders_own_affair(tmp_path: Path) -> None:
    document = info((np.eye(8) * 0.5).tolist(), images=named(8))
    applied, after, _ = rewritten(tmp_path, document, Options())
    assert (applied.counts.changed, after) == (0, document)


def test_what_competes_with_the_chosen_pairs_is_lowered(tmp_path: Path) -> None:
    # Greedy takes (0, 0) at 0.9; the loader would choose 0.8 + 0.8.
    document = info([[0.9, 0.8], [0.8, 0.3]], images=named(2))
    applied, after, verdict = rewritten(tmp_path, document, Options(), assignment="greedy")
    assert after["similarity_matrix"] == [[0.9, 0.24 - 1], [0.24 - 1, 0.3]]
    assert (handed_over(verdict), applied.counts.lowered) == ([(0, 0), (1, 1)], 1)


def test_a_stored_score_is_put_into_the_matrix(tmp_path: Path) -> None:
    images = named(1, matched_text_index=1, matched_sim=0.5)
    document = info([[0.9, 0.1]], images=images)
    applied, after, verdict = rewritten(tmp_path, document, Options(), assignment="stored")
    assert after["similarity_matrix"] == [[0.1, 0.5]]  # lowered to the former lowest entry
    assert (handed_over(verdict), verdict.pairs[0].score) == ([(0, 1)], 0.5)
    assert (applied.counts.rescored, applied.counts.lowered) == (1, 1)


def test_literal_tokens_get_a_space(tmp_path: Path) -> None:
    sentences = ["An <image> here", "b", "<|endofchunk|><image> c", "< image> <im<image>age>"]
    document = info([[0.1, 0.9, 0.1, 0.1]], sentences, named(1))
    applied, after, verdict = rewritten(tmp_path, document, Options("sentence"))
    assert after["text_list"] == [
        "An < image> here",
        "b",
        "< |endofchunk|>< image> c",
        "< image> <im< image>age>",
    ]
    assert (verdict.image_tokens, verdict.keep_probability) == (1, 0.5)
    assert not is_mispaired(verdict)
    counts = applied.counts
    assert (counts.spaced, counts.spaced_tokens, counts.other_odds) == (1, 4, 1)


def test_a_bad_image_no_longer_costs_the_document(tmp_path: Path) -> None:
    matrix = [[0.9, 0.1]] * 3 + [[0.1, 0.8]]
    images = [entry(b"x" * 12_000), 5, "has image_base64", *named(1)]
    document = info(matrix, images=images)
    applied, after, verdict = rewritten(tmp_path, document, Options(drop_undecodable=True))
    assert after["image_info"][1:3] == [{}, {}]
    assert (names({"image_info": after["image_info"][3:]}), applied.counts.rescued) == (
        ["0.jpg"],
        1,
    )
    assert handed_over(verdict) == [(3, 1)]
    applied, after, _ = rewritten(tmp_path, document, Options())
    assert (applied.counts.changed, after) == (0, document)


def test_rejected_images_can_be_left_out(tmp_path: Path) -> None:
    document = info([[0.9, 0.1], [0.2, 0.1], [0.1, 0.9]], images=[*named(3), entry()])
    applied, after, verdict = rewritten(tmp_path, document, Options(keep_rejected_images=False))
    assert (names(after), applied.counts.dropped_images) == (["0.jpg", "2.jpg"], 1)
    assert handed_over(verdict) == [(0, 0), (2, 1)]
    rejected = info([[0.1]], images=named(1))
    applied, after, _ = rewritten(tmp_path, rejected, Options(keep_rejected_images=False))
    assert (names(after), applied.counts.emptied) == ([], 0)


def test_what_the_setting_rejects_the_loader_rejects(tmp_path: Path) -> None:
    document = info([[0.9, 0.1]], images=named(1))
    applied, after, verdict = rewritten(tmp_path, document, Options(), min_kb=12)
    assert (names(after), verdict.keep_probability) == ([], 0)
    assert (applied.counts.emptied, applied.counts.expected) == (1, 0)


def test_chatgpt_written_documents_are_carried_over(tmp_path: Path) -> None:
    document = chatgpt("_!_IMAGE2_!_ a <image> _!_IMAGE1_!_ b", 2)
    applied, after, _ = rewritten(tmp_path, document, SORTED)
    assert (after, applied.counts.chatgpt, applied.counts.carried_over) == (document, 1, 1)


@pytest.mark.parametrize("assignment", ["argmax", "stored"])
def test_several_images_on_one_sentence_are_refused(tmp_path: Path, assignment: str) -> None:
    images = named(2, matched_text_index=0, matched_sim=0.9)
    shard = write_tar(tmp_path / "s.tar", [("k", info([[0.9, 0.1], [0.8, 0.1]], images=images))])
    config = LoaderConfig(assignment=assignment)
    with pytest.raises(SharedSentenceError, match="document 'k' has 2 images on sentence 1"):
        run(shard, config, Options())
    assert not (tmp_path / "out/s.tar").exists()
    applied = run(shard, config, Options(), dry_run=True)
    assert (applied.counts.shared, applied.shared) == (1, "document 'k' has 2 images on sentence 1")
    assert run(shard, config.with_(max_images=1), Options()).status == "written"


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"single_image_keep": 1.0}, "loader.s is fixed at 0.5"),
     ({"max_tokens": 512}, "is fixed at 256"), ({"min_kb": 9}, "fewer than 11,000 bytes")],
)  # fmt: skip
def test_what_the_loader_has_no_means_for_is_refused(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    shard = write_tar(tmp_path / "s.tar", [("k", info([[0.9]]))])
    with pytest.raises(ConfigError, match=words):
        run(shard, LoaderConfig(**settings), Options(), dry_run=True)
    refuse_impossible(LoaderConfig(threshold=30.0, min_kb=11, min_images=0, max_images=99))


numbers = st.sampled_from([-math.inf, -1e300, -1.0, 0.0, 0.2, 0.24, 0.25, 0.3, 1.0, 1e300])


@st.composite
def matrices(draw: st.DrawFn) -> list[list[float]]:
    """Draw a small matrix full of ties and extremes."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    return draw(
        st.lists(
            st.lists(numbers, min_size=columns, max_size=columns), min_size=rows, max_size=rows
        )
    )


@given(
    matrices(),
    st.sampled_from(["one_to_one", "greedy", "argmax"]),
    st.sampled_from([-1e300, 0.0, 0.24, 0.3]),
    st.builds(
        Options,
        st.sampled_from(["page", "sentence"]),
        st.sampled_from(["first", "best"]),
        keep_rejected_images=st.booleans(),
    ),
)
def test_any_matrix_comes_to_what_was_chosen(
    tmp_path_factory: pytest.TempPathFactory,
    matrix: list[list[float]],
    assignment: str,
    threshold: float,
    options: Options,
) -> None:
    config = LoaderConfig(assignment=assignment, threshold=threshold, max_images=2)
    raw = json.dumps(info(matrix, images=named(len(matrix)))).encode()
    document = parse_document("k", raw)
    one = chosen_of(document, config, options)
    if one.shared:
        return
    folder = tmp_path_factory.mktemp("any")
    applied, after, verdict = rewritten(folder, raw, options, **config.as_dict())
    assert applied.left_out == ()
    assert not problems(raw, json.dumps(after).encode(), verdict, one)


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"text_list": ["\ud83d\ude00", "\u0000", "\\u0000", "\"image_base64\": \"A\""]',
        b'{"text_list": ["\xed\xa0\xbd\xed\xb8\x80", "\xed\xa0\x80"]',  # two lone surrogates
        b'{"x": [NaN, -Infinity, -0.0, 0.1, 1e400, 123456789012345678901234567890, 1.0, true]',
        b'{"x": 1, "x": {"image_base64": "AAAA"}, "image_base64": "BBBB"',
    ],
)
def test_what_is_not_edited_reads_as_before(raw: bytes) -> None:
    images = b', "image_info": [{"image_base64": "QUJD"}, {"image_base64" : "Q\\/=="}, {}]}'
    before = json.loads(raw + images)
    edited = edit_json(raw + images, Edit(drop=frozenset([0])))
    assert before["image_info"][0].pop("image_base64") == "QUJD"
    assert repr(json.loads(b"".join(edited.raw))) == repr(before)


def test_images_change_places_without_being_parsed() -> None:
    raw = (
        b'\xef\xbb\xbf{"similarity_matrix": [[1], [2], [3]], "image_info": '
        b'[{"image_base64": "AAAA", "n": 0}, {"image_base64":"BBBB"}, {"image_base64": "CCCC"}]}'
    )
    edited = edit_json(raw, Edit(drop=frozenset([1]), order=(2, 1, 0), scores={(0, 0): 9.5}))
    after = json.loads(b"".join(edited.raw))
    assert after["image_info"] == [{"image_base64": "CCCC"}, {}, {"image_base64": "AAAA", "n": 0}]
    assert after["similarity_matrix"] == [[3], [2], [9.5]]


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"image_info": 5}', b"[" * 100_000])
def test_what_cannot_be_edited_is_an_error_in_words(raw: bytes) -> None:
    with pytest.raises(DocumentError, match="JSON"):
        edit_json(raw, Edit(drop=frozenset([0])))
