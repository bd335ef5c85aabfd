"""Damage a corpus's files, by a bit or by truncation, and run commands on them.

    python -m tests.support.damage FOLDER SEED N SUFFIXES

Runs in a separate process, so that crashes are noticed. FOLDER contains an index ``index`` with a
score set ``b``, and the similarity file ``b.parquet`` it was made from. Each damage is undone. The
output must be the same as before, or a one-line error that names the file.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from mmc4viz.cli import cli
from mmc4viz.data.index import open_index
from mmc4viz.types import Mmc4vizError

Answer = tuple[int, str, str]


def answers(folder: Path, path: Path) -> Iterator[Answer]:
    """Run the commands that read a file; yield exit code, output, and error."""
    if path.suffix == ".parquet":
        shutil.rmtree(folder / "index" / "similarity" / "c", ignore_errors=True)
        made = said("index", "--out", str(folder / "index"), "--similarity", f"c={path}")
        yield made
        if made[0] == 0:
            yield said(*CURVE, "--index", str(folder / "index"), "--similarity", "c")
            yield 0, str(open_index(str(folder / "index")).sets), ""
        return
    of = ("--similarity", "b") if path.parent.name == "b" else ()
    yield said(*CURVE, "--index", str(folder / "index"), *of)
    yield said("explain", "--format", "jsonl", "--index", str(folder / "index"), *of)


CURVE = ("curve", "--format", "json", "--thresholds", "0.2,0.24")


def said(*arguments: str) -> Answer:
    """Run a command in this process, as `mmc4viz.cli.main` does."""
    found = CliRunner().invoke(cli, arguments)
    if isinstance(found.exception, Mmc4vizError):
        return 2, "", str(found.exception)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        return -1, "", repr(found.exception)
    return found.exit_code, found.stdout, found.stderr


def damaged(raw: bytes, chance: random.Random) -> bytes:
    """Flip a bit, one in three times near an end; one in eight times cut the file off."""
    places = (len(raw), min(len(raw), 600))
    if not chance.randrange(8):
        return raw[: chance.randrange(chance.choice(places))]
    at = chance.randrange(places[0] if chance.randrange(3) else places[1])
    if chance.randrange(2):
        at = len(raw) - 1 - at
    return raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]


def wrong(before: list[Answer], after: list[Answer], path: Path) -> str:
    """Return what is wrong with results; nothing if each is correct or a one-line error."""
    for right, (code, out, err) in zip(before, after, strict=False):
        if code in (0, right[0]) and (out, err) == right[1:]:
            continue
        if code == 2 and all(path.name in line for line in err.strip().split("\n")):
            continue
        return f"exit code {code}, {len(out)} characters out, {err[:300]!r}"
    return ""


def main(folder: Path, seed: int, n: int, kinds: str) -> None:
    """Damage n times, each file of some suffixes in turn; print what went wrong."""
    chance = random.Random(seed)
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in kinds.split(",")]
    before = {path: list(answers(folder, path)) for path in paths}
    for path, found in before.items():
        assert not any(code for code, _, _ in found), (path, found)
    noticed = 0
    for number in range(n):
        path = paths[number % len(paths)]
        raw = path.read_bytes()
        path.unlink()
        path.write_bytes(damaged(raw, chance))
        after = list(answers(folder, path))
        noticed += after != before[path]
        if problem := wrong(before[path], after, path):
            print(f"{path.name}, damage {number}: {problem}", flush=True)
        path.write_bytes(raw)
    print(f"{noticed} of {n} noticed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
