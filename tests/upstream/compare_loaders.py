"""Compare the reference walk under a loader profile with what that loader did to shards.

    python tests/upstream/compare_loaders.py compare --profile openflamingo-2.0 --threshold 0.24
        --original OUT.jsonl --tokenizer TOKENIZER.json SHARD.tar...
    python tests/upstream/compare_loaders.py record --python PY --runners FOLDER --sources FOLDER
        --tokenizer TOKENIZER.json

The first compares every document and prints each difference; exit code 1 if there is any. The
second runs the originals (`loaders.py`) over the recorded corpora, for `test_loaders.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from mmc4viz.data.shards import expand, samples
from mmc4viz.loader.profile import PROFILES
from mmc4viz.loader.tokenizer import load_tokenizer
from tests.support.documents import write_tar
from tests.upstream import loaders
from tests.upstream.loaders import NOT_RUN
from tests.upstream.recorded import CORPORA

IN_FULL = 20


def compare(asked: argparse.Namespace) -> int:
    """Print the differences; return their number."""
    names = "threshold", "min_images", "max_images", "max_tokens"
    given = {name: getattr(asked, name) for name in names}
    settings = {name: value for name, value in given.items() if value is not None}
    config = loaders.config_of(asked.profile, settings)
    tokenizer = load_tokenizer(asked.tokenizer)
    outcomes, wrong = Counter[str](), 0
    with open(asked.original) as lines:
        documents = (one for shard in asked.shards for one in loaders.documents_of(shard))
        for document, original in loaders.paired(documents, map(json.loads, lines)):
            outcomes[original["outcome"]] += 1
            for found in loaders.differences(original, document, config, tokenizer):
                wrong += 1
                if wrong <= IN_FULL:
                    print(f"{document.key}: {found} {original.get('reason', '')}")
    print(
        f"{asked.profile} {settings}: {outcomes.total():,} verdicts compared ({dict(outcomes)}), "
        f"{wrong} differ"
    )
    return wrong


def record(asked: argparse.Namespace) -> int:
    """Run the originals over the recorded corpora, and write what they did."""
    for name in asked.profile or loaders.ORIGINALS:
        original = loaders.ORIGINALS[name]
        runs: dict[str, list[list[loaders.Record]]] = {}
        for corpus, one in CORPORA.items():
            with tempfile.TemporaryDirectory() as folder:
                shard = one.shard(Path(folder))
                runs[corpus] = [
                    run(asked, original, shard, settings) for settings in original.settings
                ]
        loaders.record(name, runs)
        print(name, loaders.recording(name).stat().st_size)
    return 0


def run(
    asked: argparse.Namespace, original: loaders.Original, shard: Path, settings: dict[str, Any]
) -> list[loaders.Record]:
    """Run an original over a shard."""
    if original.sound_only:
        return run_sound(asked, original, shard, settings)
    out = shard.parent / "out.jsonl"
    command = [asked.python, str(Path(asked.runners) / original.script), "--out", str(out)]
    command += [one.format(sources=asked.sources) for one in original.arguments]
    command += ["--tokenizer", asked.tokenizer]
    for name, value in settings.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    subprocess.run([*command, str(shard)], check=True, capture_output=True)
    return [json.loads(line) for line in out.read_text().splitlines()]


def run_sound(
    asked: argparse.Namespace, original: loaders.Original, shard: Path, settings: dict[str, Any]
) -> list[loaders.Record]:
    """Run an original over those documents that its script reads."""
    read = [(one.key, one.raw or b"") for one in samples(expand([str(shard)])[0])]
    sound = {key: raw for key, raw in read if loaders.is_sound(raw)}
    path = write_tar(shard.with_name("sound.tar"), sound.items())
    found = run(asked, replace(original, sound_only=False), path, settings)
    done = {one["key"]: one for one in found}
    return [
        done.get(key, {"key": key, "outcome": "dropped" if key in sound else NOT_RUN})
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
    recording = commands.add_parser("record")
    recording.set_defaults(run=record)
    recording.add_argument("--profile", action="append", choices=list(loaders.ORIGINALS))
    for name in ("--python", "--runners", "--sources", "--tokenizer"):
        recording.add_argument(name, required=True)
    asked = parser.parse_args()
    raise SystemExit(asked.run(asked) > 0)


if __name__ == "__main__":
    main()
