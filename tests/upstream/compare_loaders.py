"""Compare the reference walk under a loader profile with what that loader did to shards.

    python tests/upstream/compare_loaders.py compare --profile openflamingo-2.0 --threshold 0.24
        --original OUT.jsonl --tokenizer TOKENIZER.json SHARD.tar...
    python tests/upstream/compare_loaders.py check --profile vila --python PY --runners FOLDER
        --sources FOLDER --tokenizer TOKENIZER.json SHARD.tar...
    python tests/upstream/compare_loaders.py record --python PY --runners FOLDER --sources FOLDER
        --tokenizer TOKENIZER.json

The first compares every document and prints each difference; exit code 1 if there is any. The
second runs an original (`loaders.py`) under all its settings, then does the same. The third runs
the originals over the recorded corpora, for `test_loaders.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from mmc4viz.data.shards import expand, samples
from mmc4viz.loader.profile import PROFILES, LoaderProfile
from mmc4viz.loader.tokenizer import Tokenizer, load_tokenizer
from mmc4viz.types import Document, LoaderConfig
from tests.support.documents import write_tar
from tests.upstream import drawn, loaders
from tests.upstream.loaders import NOT_RUN

IN_FULL = 20


def compare(asked: argparse.Namespace) -> int:
    """Print the differences; return their number."""
    profile = PROFILES[asked.profile]
    names = "threshold", "min_images", "max_images", "max_tokens"
    given = {name: getattr(asked, name) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    config = loaders.config_of(profile, settings)
    tokenizer = profile.tokenizer(load_tokenizer(asked.tokenizer))
    documents = (one for shard in asked.shards for one in loaders.documents_of(shard))
    with open(asked.original) as lines:
        return told(profile, config, tokenizer, documents, map(json.loads, lines), str(settings))


def told(
    profile: LoaderProfile,
    config: LoaderConfig,
    tokenizer: Tokenizer,
    documents: Iterable[Document],
    records: Iterable[loaders.Record],
    run: str,
) -> int:
    """Print the differences of one run; return their number."""
    outcomes, wrong = Counter[str](), 0
    for document, original in loaders.paired(documents, records):
        comparable = loaders.is_comparable(original, document, profile.name)
        outcomes[original["outcome"] if comparable else loaders.NOT_RUN] += 1
        for found in loaders.differences(original, document, config, tokenizer, profile):
            wrong += 1
            if wrong <= IN_FULL:
                print(f"{document.key}: {found} {original.get('reason', '')}")
    not_run = outcomes.pop(loaders.NOT_RUN, 0)
    print(
        f"{profile.name} {run}: {outcomes.total():,} verdicts compared ({dict(outcomes)}; "
        f"{not_run} not compared), {wrong} differ",
        flush=True,
    )
    return wrong


def check(asked: argparse.Namespace) -> int:
    """Run an original over shards under all its settings; return the number of differences."""
    profile, original = PROFILES[asked.profile], loaders.ORIGINALS[asked.profile]
    tokenizer, wrong = profile.tokenizer(load_tokenizer(asked.tokenizer)), 0
    for shard in map(Path, asked.shards):
        documents = list(loaders.documents_of(shard))
        for settings in original.settings:
            with tempfile.TemporaryDirectory() as folder:
                records = run(asked, original, shard, settings, Path(folder))
            config = loaders.config_of(profile, settings)
            name = f"{shard.stem} {settings}"
            wrong += told(profile, config, tokenizer, documents, records, name)
    return wrong


def record(asked: argparse.Namespace) -> int:
    """Run the originals over the recorded corpora, and write what they did."""
    for name in asked.profile or loaders.ORIGINALS:
        original = loaders.ORIGINALS[name]
        runs: dict[str, list[list[loaders.Record]]] = {}
        for corpus, write in loaders.SHARDS.items():
            with tempfile.TemporaryDirectory() as folder:
                shard = write(Path(folder))
                runs[corpus] = [
                    run(asked, original, shard, settings, Path(folder))
                    for settings in original.settings
                ]
        loaders.record(name, runs)
        if PROFILES[name].is_random:
            record_draws(asked, name)
        print(name, loaders.recording(name).stat().st_size)
    return 0


def record_draws(asked: argparse.Namespace, name: str) -> None:
    """Run an original many times over a few documents, and write how often it drew what."""
    with tempfile.TemporaryDirectory() as folder:
        shard = drawn.shard(Path(folder))
        records = run(asked, loaders.ORIGINALS[name], shard, drawn.SETTINGS, Path(folder))
    drawn.recording(name).write_text(json.dumps(drawn.counted(records), indent=1) + "\n")


def run(
    asked: argparse.Namespace,
    original: loaders.Original,
    shard: Path,
    settings: dict[str, Any],
    folder: Path,
) -> list[loaders.Record]:
    """Run an original over a shard, writing into a folder."""
    if original.reads is not None:
        return run_on_part(asked, original, shard, settings, folder)
    out = folder / "out.jsonl"
    command = [asked.python, str(Path(asked.runners) / original.script), "--out", str(out)]
    command += [one.format(sources=asked.sources) for one in original.arguments]
    command += ["--tokenizer", asked.tokenizer]
    for name, value in settings.items():
        command += [original.option(name), str(value)]
    subprocess.run([*command, str(shard)], check=True, capture_output=True)
    return [json.loads(line) for line in out.read_text().splitlines()]


def run_on_part(
    asked: argparse.Namespace,
    original: loaders.Original,
    shard: Path,
    settings: dict[str, Any],
    folder: Path,
) -> list[loaders.Record]:
    """Run an original over those documents that its script reads."""
    read = [(one.key, one.raw or b"") for one in samples(expand([str(shard)])[0])]
    part = {key: raw for key, raw in read if original.reads is None or original.reads(raw)}
    path = write_tar(folder / "part.tar", part.items())
    found = run(asked, replace(original, reads=None), path, settings, folder)
    done = {one["key"]: one for one in found}
    return [
        done.get(key, {"key": key, "outcome": "dropped" if key in part else NOT_RUN})
        for key, _ in read
    ]


def main() -> None:
    """Compare, or record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    comparing = commands.add_parser("compare")
    comparing.set_defaults(run=compare)
    comparing.add_argument("--profile", required=True, choices=list(PROFILES))
    comparing.add_argument("--original", required=True)
    comparing.add_argument("--tokenizer", required=True)
    comparing.add_argument("--threshold", type=float)
    for name in ("--min-images", "--max-images", "--max-tokens"):
        comparing.add_argument(name, type=int)
    comparing.add_argument("shards", nargs="+")
    checking = commands.add_parser("check")
    checking.set_defaults(run=check)
    checking.add_argument("--profile", required=True, choices=list(loaders.ORIGINALS))
    checking.add_argument("shards", nargs="+")
    recording = commands.add_parser("record")
    recording.set_defaults(run=record)
    recording.add_argument("--profile", action="append", choices=list(loaders.ORIGINALS))
    for name in ("--python", "--runners", "--sources", "--tokenizer"):
        recording.add_argument(name, required=True)
        checking.add_argument(name, required=True)
    asked = parser.parse_args()
    raise SystemExit(asked.run(asked) > 0)


if __name__ == "__main__":
    main()
