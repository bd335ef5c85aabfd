"""Everything that the commands print and write, on the sample and on malformed shards.

    python tests/support/snapshots.py FOLDER         all of it, for diff -r between two states
    python tests/support/snapshots.py --said FOLDER  what they say of the sample

Times are fixed and paths are relative, so that two runs of the same code write the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from unittest import mock

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import click  # noqa: E402

from mmc4viz.cli import cli, main  # noqa: E402
from tests.support import nasty  # noqa: E402

SAID = """
explain sample_data
explain sample_data --threshold 0.3 --max-images 2 --format jsonl --token-ids
curve sample_data --thresholds 0.2,0.24,0.28
curve sample_data --grid 0.1:0.4:0.02 --format csv
curve sample_data --sample 100 --thresholds 0.2,0.24 --seed 3
curve sample_data --thresholds 0.24,0.6 --budget 60M
slices sample_data --by images --by position
reference sample_data
suggest sample_data --keep documents=50% --keep pairs=200 --fdr 20%
compare sample_data
compare sample_data --thresholds 0.2,0.3 --format json
apply sample_data --config c.yaml --out gone --order sentence --dry-run
"""
"""Their output is small and reproducible on every machine."""

WRITTEN = """
index sample_data --out index --similarity sample-b=sample_data/similarity_b.parquet
index nasty/whole --out index-nasty --verify header
index nasty/broken --out index-broken
explain nasty/whole --format jsonl --token-ids
explain --index index-nasty --format jsonl --assignment argmax
explain --index index --similarity sample-b --threshold 0.5
curve --index index --similarity sample-b --thresholds 0.45,0.5
curve nasty/broken --thresholds 0.2,0.24
suggest --index index --keep image_tokens=100 --out proposal.json --format json
score sample_data --model sample_data/encoders/sample-b --out b.parquet --decoys d.parquet
export --index index --proposal proposal.json --out out.yaml --manifest m.parquet --ids i.npy --report r.html
export nasty/whole --out out.json --manifest m.jsonl --rows pairs
apply nasty/whole --config c.yaml --out applied --order sentence --cap best --drop-undecodable
apply --config c.yaml --index index --out applied-less --keep-rejected-images no
"""  # noqa: E501


def run(line: str) -> str:
    """Run a command as a user does; return its output and exit code."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(shlex.split(line))
        except SystemExit as end:
            code = int(end.code or 0)
    notes = re.sub(r"\([\d.,]+ [kMGT]B free\)", "(much free)", err.getvalue())
    return f"{out.getvalue()}--- standard error\n{notes}--- exit code {code}\n"


@contextlib.contextmanager
def corpus(folder: Path) -> Iterator[None]:
    """Change to a new folder with the sample, malformed shards and a config; start no processes."""
    with contextlib.ExitStack() as stack:
        folder.mkdir()
        stack.callback(shutil.rmtree, folder)
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(mock.patch.dict(os.environ, {"SOURCE_DATE_EPOCH": "1700000000"}))
        for name in ("index", "apply"):
            one = mock.patch(f"mmc4viz.cli.{name}.processes", lambda _: ThreadPoolExecutor(1))
            stack.enter_context(one)
        stack.enter_context(mock.patch("mmc4viz.data.jobs.get_ready", lambda _: None))
        Path("sample_data").symlink_to(ROOT / "sample_data")
        Path("c.yaml").write_text("threshold: 0.23\nclip_model: sample-a\n")
        for name in ("whole", "broken"):
            Path("nasty", name).mkdir(parents=True)
            nasty.write_tar(Path("nasty", name, "n.tar"), nasty.documents(seed=11, n=150))
        path = Path("nasty/broken/n.tar")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        for path in Path("nasty").rglob("*.tar"):
            os.utime(path, (1_700_000_000, 1_700_000_000))
        yield


def said() -> dict[str, str]:
    """Return the output of the commands in `SAID`, and every command's help."""
    with TemporaryDirectory() as folder, corpus(Path(folder, "here")):
        helps = [f"{name} --help" for name in cli.list_commands(click.Context(cli))]
        return {line: run(line) for line in [*SAID.strip().splitlines(), "--help", *helps]}


def file_name(line: str) -> str:
    """Return the file name of a command's output."""
    return "".join(c if c.isalnum() else "-" for c in line) + ".txt"


def write() -> None:
    """Write the requested snapshots."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--said", action="store_true")
    a = parser.parse_args()
    folder = a.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for line, text in said().items():
        (folder / file_name(line)).write_text(text)
    if a.said:
        return
    place = Path(gettempdir(), "mmc4viz-snapshots")  # indexes are named by their shards' paths
    with corpus(place):
        for line in WRITTEN.strip().splitlines():
            (folder / file_name(line)).write_text(run(line))
        for path in Path().rglob("*"):
            if path.is_file() and not {"sample_data", ".partial"} & set(path.parts):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(path.read_bytes())


if __name__ == "__main__":
    write()
