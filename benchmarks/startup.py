"""How long commands take to start, in processor time, against a Python that imports NumPy.

    python -m benchmarks.startup [--rounds N] [--no-page]

Ratios of medians, the reference measured in turn with the rest; the dashboard in seconds from the
start of the command to the numbers on its first page, in an installed Chromium.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from mmc4viz.cli import cli
from tests.support.serving import FLAGS, chromium, serving

ROOT = Path(__file__).parents[1]
REFERENCE = "import numpy"
SAMPLE = str(ROOT / "sample_data")
HELP, WORK, IMPORT, PAGE = 1.5, 5.0, 0.5, 2.5  # at most


def cases() -> dict[str, tuple[list[str], float]]:
    """Return Python's arguments and the highest ratio of each case, by what it is called."""
    found = {"import mmc4viz": (["-c", "import mmc4viz"], IMPORT)}
    for name in ("", *cli.list_commands(click.Context(cli))):
        words = [*name.split(), "--help"]
        found[f"mmc4viz {' '.join(words)}"] = (["-m", "mmc4viz", *words], HELP)
    for name in ("curve", "explain"):
        found[f"mmc4viz {name} sample_data"] = (["-m", "mmc4viz", name, SAMPLE], WORK)
    return found


def seconds(arguments: list[str], compiled: str) -> float:
    """Run Python; return the processor time that it took.

    Bytecode goes to a folder of its own, as pip writes it for an installed package: without, most
    of what is measured would be compiling.
    """
    environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_page() -> float:
    """Return the seconds from the start of ``mmc4viz app`` to the numbers of its first page."""
    from playwright.sync_api import sync_playwright

    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page()
        begin = time.perf_counter()
        with serving(Path(folder)) as address:
            page.goto(address)
            page.wait_for_selector(".handle[aria-valuetext]", timeout=60_000)
            taken = time.perf_counter() - begin
        browser.close()
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-page", action="store_true")
    options = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in cases()}
    reference: list[float] = []
    with tempfile.TemporaryDirectory() as compiled:
        for number in range(options.rounds + 1):
            for name, (arguments, _) in cases().items():
                these = seconds(["-c", REFERENCE], compiled), seconds(arguments, compiled)
                if number:  # the first round compiles
                    reference.append(these[0])
                    taken[name].append(these[1])
    unit = statistics.median(reference)
    print(f"python -c {REFERENCE!r}: {unit:.3f} s of processor time\n")
    for name, (_, most) in cases().items():
        ratio = statistics.median(taken[name]) / unit
        print(f"{name:30}{ratio:6.2f} x  (at most {most:g}){'  TOO LONG' if ratio > most else ''}")
    if not options.no_page:
        pages = [first_page() for _ in range(options.rounds)]
        print(
            f"{'mmc4viz app, first page':30}{statistics.median(pages):6.2f} s  (at most {PAGE:g})"
        )


if __name__ == "__main__":
    main()
