"""Run the original loader over rewritten shards and compare with what was chosen of the originals.

    python tests/upstream/compare_rewritten.py --upstream-python PY --oracle SCRIPT --data-py FILE
        --tokenizer TOKENIZER.json [--documents 2000] [--seed 1] [--coin keep|reject]
        [--only-slices] [SHARD.tar...]

Without SHARDs, generated documents: half of them ordinary, half malformed. Each setting's shards
are rewritten by `mmc4viz apply`, the original is run over them with the flags that the setting
exports, and each document is compared: whether it is yielded (with the coin's help or without),
which images are handed over in which order, the pairs' sentences, every token id, and under
``--order sentence`` whether each image token's rank is its image's. ChatGPT-written documents are
compared byte for byte. Documents with several images on one sentence, which refuse a run, are
left out before. The last settings have slice thresholds, by number of sentences. Prints what
was compared and every difference; exit code 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from mmc4viz import (
    Document,
    LoaderConfig,
    Shard,
    Tokenizer,
    load_tokenizer,
    parse_document,
    samples,
)
from mmc4viz.apply.options import Options, loader_config
from mmc4viz.apply.run import apply_shards
from mmc4viz.apply.tasks import tasks_for_shards
from mmc4viz.types import SliceThresholds
from tests.support import nasty
from tests.support.chosen import BY_SENTENCES, Chosen, chosen, own_threshold

ASSIGNMENTS = ("one_to_one", "greedy", "argmax", "stored")
# Beside the assignment: the rest of the setting, which differs from case to case.
REST: list[dict[str, Any]] = [
    {"threshold": 0.24},
    {"threshold": 0.2, "max_images": 3, "min_images": 2},
    {"threshold": -1.0, "max_images": 2},
    {"threshold": 0.0, "max_images": 1, "min_images": 0, "min_kb": 11},
    {"threshold": 0.25, "max_images": 4, "min_kb": 12},
]
IN_FULL = 10

Original = tuple[str, bytes | None, Document]


@contextmanager
def one_thread() -> Iterator[Executor]:
    """Hand out a worker in this process."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


Case = tuple[dict[str, Any], Options, bool]


def cases() -> Iterator[Case]:
    """Yield settings with options: every assignment, order and cap, all else in turn.

    The last cases, one for each assignment, have slice thresholds.
    """
    turns = product(ASSIGNMENTS, ("page", "sentence"), ("first", "best"))
    for number, (assignment, order, cap) in enumerate(turns):
        for more in range(2):
            rest = REST[(number + 3 * more) % len(REST)]
            options = Options(order, cap, bool((number + more) % 2), not (number // 2 + more) % 2)
            yield {"assignment": assignment, **rest}, options, False
    for number, assignment in enumerate(ASSIGNMENTS):
        options = Options("sentence" if number % 2 else "page", "best" if number > 1 else "first")
        yield {"assignment": assignment, "max_images": 6 - number}, options, True


def run_original(a: argparse.Namespace, shard: Path, config: LoaderConfig) -> list[dict[str, Any]]:
    """Run the original loader; return what it did to each sample."""
    out = shard.with_suffix(".jsonl")
    command = [a.upstream_python, a.oracle, "--data-py", a.data_py, "--tokenizer", a.tokenizer]
    command += ["--out", str(out), f"--threshold={config.threshold!r}", "--coin", a.coin]
    command += ["--min-images", str(config.min_images), "--max-images", str(config.max_images)]
    command += ["--max-tokens", str(config.max_tokens)]
    done = subprocess.run([*command, str(shard)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the original failed: {done.stderr[-500:]}")
    return [json.loads(line) for line in out.read_text().splitlines()]


def differences(
    original: Original, after: bytes | None, wanted: Chosen, found: dict[str, Any], coin: str
) -> list[str]:
    """List in what the original's doing is not what was chosen of one document."""
    yielded = wanted.probability == 1 or (wanted.probability == 0.5 and coin == "keep")
    if (found["status"] == "ok") != yielded:
        return [f"{found['status']!r}, chosen with probability {wanted.probability}"]
    if wanted.probability == 0.5 and coin == "reject":
        asked = found["status"].startswith("ValueError: Only one image in sample")
        return [] if asked else [f"{found['status']!r} where the coin was to be asked"]
    if not yielded:
        return []
    problems = []
    if tuple(found["ids"]) != wanted.token_ids:
        problems.append("token ids")
    if found["n_tensor_images"] != len(wanted.pairs):
        problems.append(f"{found['n_tensor_images']} images, chosen {len(wanted.pairs)}")
    if handed_over(original, after, found) != entries(original, wanted):
        problems.append("pairs")
    return problems


def handed_over(
    original: Original, after: bytes | None, found: dict[str, Any]
) -> list[tuple[str, int]]:
    """Return the pairs that the original hands over, images by their whole entries."""
    key = original[0]
    images = parse_document(key, after).images
    valid = [i for i, image in enumerate(images) if image.present and not image.too_small(10)]
    new = json.loads(after or b"")["image_info"]
    kept = [pair for pair in found["pairs"] if not pair[2] < found["threshold"]]
    return [(repr(new[valid[row]]), column) for row, column, _ in kept[: found["n_tensor_images"]]]


def entries(original: Original, wanted: Chosen) -> list[tuple[str, int]]:
    """Return the chosen pairs likewise."""
    old = json.loads(original[1] or b"")["image_info"]
    return [(repr(old[image]), sentence) for image, sentence, _ in wanted.pairs]


def mispaired(wanted: Chosen, found: dict[str, Any], image_id: int) -> bool:
    """Whether under ``--order sentence`` some image token has another image's rank, or none."""
    sentences = [sentence for _, sentence, _ in wanted.pairs]
    return sentences != sorted(sentences) or found["ids"].count(image_id) > len(sentences)


def compare(
    a: argparse.Namespace,
    originals: Sequence[Original],
    config: LoaderConfig,
    options: Options,
    tokenizer: Tokenizer,
    by_slice: bool,
) -> Counter[str]:
    """Rewrite, run the original, compare; return counts."""
    slices = SliceThresholds("sentences", config.threshold, BY_SENTENCES) if by_slice else None
    settings = [own_threshold(one[2], config) if by_slice else config for one in originals]
    each = [
        (one, chosen(one[2], own, options, tokenizer))
        for one, own in zip(originals, settings, strict=True)
    ]
    each = [(one, wanted) for one, wanted in each if one[2].is_gpt or not wanted.shared]
    with tempfile.TemporaryDirectory() as name:
        shard, out = Path(name) / "s.tar", Path(name) / "out"
        nasty.write_tar(shard, [(key, raw) for (key, raw, _), _ in each])
        tasks = tasks_for_shards([Shard(str(shard))], str(out), config, options)
        tasks = [replace(task, slices=slices) for task in tasks]
        [applied] = apply_shards(tasks, one_thread, lambda done: None)
        rewritten = list(samples(Shard(str(out / "s.tar"))))
        results = run_original(a, out / "s.tar", loader_config(config, slices))
    counts = Counter(compared=0, differ=0, **applied.counts.as_dict())
    for (original, wanted), sample, found in zip(each, rewritten, results, strict=True):
        if original[2].is_gpt:
            problems = [] if sample.raw == original[1] else ["ChatGPT-written, and changed"]
        else:
            problems = differences(original, sample.raw, wanted, found, a.coin)
            ok = found["status"] == "ok" and options.order == "sentence"
            if ok and mispaired(wanted, found, tokenizer.image_id):
                problems.append("mispaired")
        counts["compared"] += 1
        counts["differ"] += bool(problems)
        if problems and counts["differ"] <= IN_FULL:
            print(f"  DIFFERENCE {original[0]}: {'; '.join(problems)}")
    return counts


def documents(a: argparse.Namespace) -> Iterator[Original]:
    """Yield the original documents."""
    if not a.shards:
        for key, raw in nasty.documents(seed=a.seed, n=a.documents):
            yield key, raw, parse_document(key, raw)
    for path in a.shards:
        for sample in samples(Shard(path)):
            yield sample.key, sample.raw, parse_document(sample.key, sample.raw)


def main() -> int:
    """Compare every case; print the counts and the differences."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("--upstream-python", "--oracle", "--data-py", "--tokenizer"):
        parser.add_argument(name, required=True)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--coin", choices=("keep", "reject"), default="keep")
    parser.add_argument("--only-slices", action="store_true")
    parser.add_argument("shards", nargs="*")
    a = parser.parse_args()
    originals, tokenizer = list(documents(a)), load_tokenizer(a.tokenizer)
    total = Counter[str]()
    for settings, options, by_slice in cases():
        if a.only_slices and not by_slice:
            continue
        config = LoaderConfig(tokenizer=a.tokenizer, **settings)
        counts = compare(a, originals, config, options, tokenizer, by_slice)
        total += counts
        words = " ".join(f"{name} {n}" for name, n in counts.items() if n or name == "differ")
        print(f"{settings} {options}{' by slice' * by_slice}: {words}", flush=True)
    print(f"{total['compared']} documents compared, {total['differ']} differ")
    print(" ".join(f"{name} {n}" for name, n in total.items()))
    return 1 if total["differ"] or not total["compared"] else 0


if __name__ == "__main__":
    sys.exit(main())
