"""How fast shards become columns, against the literal walk and, where it is given, the original.

    python benchmarks/ingest.py [--upstream-python PY --oracle SCRIPT --data-py FILE]
        [--tokenizer FILE] [--documents 1000] [--rounds 3] [--keep FOLDER]

Every pass is a process of its own on one core, tokenizer threads off; it reads all the shards, and
its start-up is not counted. The passes take turns, so that whatever else the machine does hits all
of them; the best of the rounds counts. ``ratio`` is against the original's single pass at one
threshold, or against the literal walk's.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.shards import write_shards  # noqa: E402
from mmc4viz import (  # noqa: E402
    LoaderConfig,
    Shard,
    Verify,
    load_tokenizer,
    parse_document,
    read_columns,
    samples,
    walk,
)

WAYS = ("walk", *Verify)
N_SHARDS = 4
ONE_CORE = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def one_pass(way: str, tokenizer_name: str, paths: list[str]) -> float:
    """Read the shards in one way; return the seconds it took."""
    tokenizer = load_tokenizer(tokenizer_name)
    began = time.perf_counter()
    for path in paths:
        if way == "walk":
            for sample in samples(Shard(path)):
                walk(parse_document(sample.key, sample.raw), LoaderConfig(), tokenizer)
        else:
            assert read_columns(Shard(path), tokenizer, verify=Verify(way)).error is None
    return time.perf_counter() - began


def in_a_process(command: list[str]) -> float:
    """Run a pass in a process of its own; it says its seconds in its last words."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **ONE_CORE}
    )
    seconds = re.search(r"in ([\d.]+) s\s*$", done.stderr)
    if done.returncode or seconds is None:
        sys.exit(f"{' '.join(command[:3])} …: {done.stderr[-500:]}")
    return float(seconds.group(1))


def passes(options: argparse.Namespace, paths: list[str]) -> dict[str, Callable[[], float]]:
    """Return what is to be measured, by name; the first is what all are compared with."""
    ways: dict[str, list[str]] = {}
    if options.upstream_python:
        script = [options.upstream_python, options.oracle, "--data-py", options.data_py]
        script += ["--tokenizer", options.tokenizer, "--out", os.devnull, "--threshold", "0.24"]
        ways["original"] = [*script, *paths]
    own = [sys.executable, __file__, "--tokenizer", options.tokenizer]
    ways |= {way: [*own, "--one-pass", way, *paths] for way in WAYS}
    return {name: lambda command=command: in_a_process(command) for name, command in ways.items()}


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Take all passes in turn and print the table."""
    paths = [str(path) for path in write_shards(folder, N_SHARDS, options.documents // N_SHARDS)]
    megabytes = sum(os.path.getsize(path) for path in paths) / 1e6
    n_documents = options.documents // N_SHARDS * N_SHARDS
    best: dict[str, float] = {}
    measured = passes(options, paths)
    for _ in range(options.rounds):
        for name, take in measured.items():
            best[name] = min(take(), best.get(name, float("inf")))
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(
        f"{n_documents} documents, {megabytes:.0f} MB, {N_SHARDS} shards, {options.rounds} rounds"
    )
    print(f"{'':10}{'seconds':>9}{'MB/s':>8}{'ms/doc':>8}{'ratio':>8}")
    reference = next(iter(best.values()))
    for name, seconds in best.items():
        per_document = seconds / n_documents * 1e3
        speed, ratio = megabytes / seconds, reference / seconds
        print(f"{name:10}{seconds:9.2f}{speed:8.0f}{per_document:8.2f}{ratio:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--upstream-python", help="has what the original loader needs")
    parser.add_argument("--oracle", help="script that runs the original over shards")
    parser.add_argument("--data-py", help="the original's train/data.py")
    parser.add_argument("--tokenizer", default="gpt2", help="a tokenizer.json for the original")
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder for the shards, kept for the next time")
    parser.add_argument("--one-pass", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("shards", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    given = [options.upstream_python, options.oracle, options.data_py]
    if any(given) and (not all(given) or options.tokenizer == "gpt2"):
        parser.error("the original needs --upstream-python, --oracle, --data-py and --tokenizer")
    if options.one_pass:
        seconds = one_pass(options.one_pass, options.tokenizer, options.shards)
        print(f"{len(options.shards)} shards in {seconds:.3f} s", file=sys.stderr)
    elif options.keep:
        measure(options, options.keep)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure(options, Path(folder))


if __name__ == "__main__":
    main()
