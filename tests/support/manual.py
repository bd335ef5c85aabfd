"""The documentation as data: its pages, their code blocks, links and anchors.

    python tests/support/manual.py         run every block, and update the outputs quoted in pages
    python tests/support/manual.py PAGE …  only in some pages

A ``bash`` block has commands, a ``console`` block commands (after ``$``) with their output, a
``python`` block code. The blocks of a page run in order, in a new folder with the sample. A block
after a comment ``<!-- not run: why -->`` is not run, but its commands must be valid. A quoted
output that ends with ``…`` is abridged.
"""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support import pairs, snapshots  # noqa: E402
from tests.thresholds.test_compare import label_file  # noqa: E402

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(ROOT.glob("docs/*.md")),
]
INDEX = "index sample_data --out index/ --similarity sample-b=sample_data/similarity_b.parquet"
LABELS = "mmc4viz-labels.sqlite"
REAL = "mmc4_core_ff_107.jsonl"
_FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]+?) -->\n+)?^(?P<indent> *)```(?P<kind>\w+)[^\n]*\n"
    r"(?P<body>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of code: where its text is in the page, and whether it is run."""

    kind: str
    body: str
    start: int
    run: bool

    def steps(self) -> Iterator[tuple[str, str]]:
        """Yield its commands, each with the output that is quoted after it."""
        lines = iter(self.body.replace("\\\n", " ").splitlines(keepends=True))
        if self.kind == "bash":
            yield from ((_command(line), "") for line in lines if _command(line))
            return
        head = ""
        quoted: list[str] = []
        for line in lines:
            if line.startswith("$ "):
                if head:
                    yield head, "".join(quoted)
                head, quoted = _command(line[2:]), []
            else:
                quoted.append(line)
        yield head, "".join(quoted)


def _command(line: str) -> str:
    """Return a command without its comment and needless blanks."""
    return re.sub(r"\s+", " ", re.sub(r"(^|\s)#.*", "", line)).strip()


def blocks(text: str) -> list[Block]:
    """Return a page's blocks of commands and code."""
    found = [
        Block(one["kind"], one["body"], one.start("body"), one["why"] is None)
        for one in _FENCE.finditer(text)
    ]
    return [block for block in found if block.kind in ("bash", "console", "python")]


def commands(text: str) -> list[str]:
    """Return all commands of a page, run or not."""
    shell = [block for block in blocks(text) if block.kind != "python"]
    return [command for block in shell for command, _ in block.steps()]


@contextmanager
def folder(text: str, place: Path) -> Iterator[None]:
    """Change to a new folder with what a page's commands assume: sample, index, labels."""
    with ExitStack() as stack:
        stack.enter_context(snapshots.corpus(place))
        if "index/" in text and "--out index/" not in text:
            assert snapshots.run(INDEX).endswith("--- exit code 0\n")
        if f" {REAL} " in text:
            Path(REAL).symlink_to(ROOT / "tests" / "recordings" / REAL)
        if " datacomp/" in text:
            pairs.write(pairs.datacomp(20_000), Path("datacomp"), 2)
            pairs.write(pairs.coyo(20_000), Path("coyo"))
            pairs.write(pairs.laion(20_000), Path("laion"))
        if LABELS in text:
            Path(label_file(Path(), 200, 0, 1)).rename(LABELS)
            with closing(sqlite3.connect(LABELS)) as labels, labels:
                labels.execute("UPDATE judgements SET time = '2026-01-31T12:00:00Z'")
        yield


def run(text: str, place: Path) -> Iterator[tuple[Block, str, str, str]]:
    """Run a page's blocks; yield each step with its quoted and its real output.

    Raises
    ------
    AssertionError
        When a command fails or complains.
    """
    names: dict[str, object] = {}
    with folder(text, place):
        for block in blocks(text):
            if not block.run:
                continue
            if block.kind == "python":
                with redirect_stdout(StringIO()) as printed:
                    exec(block.body, names)
                yield block, block.body, "", printed.getvalue()
                continue
            for command, quoted in block.steps():
                if command.split()[1] == "app":  # does not end
                    continue
                output = snapshots.run(command.removeprefix("mmc4viz "))
                printed_, _, rest = output.partition("--- standard error\n")
                said, _, code = rest.rpartition("--- exit code ")
                faults = [
                    line
                    for line in said.splitlines()
                    if line.startswith("mmc4viz: ") and not line.startswith("mmc4viz: note: ")
                ]
                assert (code.strip(), faults) == ("0", []), command
                yield block, command, quoted, printed_


def shortened(printed: str, quoted: str) -> str:
    """Cut an output where the quoted one is cut."""
    whole = [line.rstrip() + "\n" for line in printed.splitlines()]
    if not quoted.strip():
        return ""
    if quoted.rstrip().endswith("…"):
        return "".join(whole[: len(quoted.splitlines()) - 1]) + "…\n"
    return "".join(whole)


def refreshed(text: str, place: Path) -> str:
    """Return a page with the outputs that its commands print now."""
    for _, command, quoted, printed in run(text, place):
        new = shortened(printed, quoted)
        if quoted.strip():
            line = next(
                one for one in re.finditer(r"^\$ (.+(?:\\\n.+)*)\n", text, re.MULTILINE)
                if _command(one[1].replace("\\\n", " ")) == command
                and text[one.end() :].startswith(quoted)
            )  # fmt: skip
            text = text[: line.end()] + new + text[line.end() + len(quoted) :]
    return text


def slug(heading: str) -> str:
    """Return a heading's anchor, as Python-Markdown and GitHub make it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def prose(text: str) -> str:
    """Return a page without its code."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S))


def anchors(text: str) -> list[str]:
    """Return a page's anchors: its headings and its own marks."""
    outside = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#{1,6} (.+?)\s*$", outside, re.MULTILINE)
    return [*map(slug, headings), *re.findall(r'<a id="([^"]+)"></a>', outside)]


def links(text: str) -> list[str]:
    """Return a page's relative links and pictures."""
    found = re.findall(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)", prose(text))
    found += re.findall(r'(?:src|href)="([^"]+)"', prose(text))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def first_lines(text: str) -> list[str]:
    """Return the first block of indented lines."""
    after = iter(text.splitlines())
    for line in after:
        if line.startswith("    "):
            rest = takewhile(lambda one: one.startswith("    "), after)
            return [line.strip(), *(one.strip() for one in rest)]
    return []


def main(names: list[str]) -> None:
    """Rewrite the outputs of pages."""
    for page in [Path(name).absolute() for name in names] or PAGES:
        text = page.read_text()
        with TemporaryDirectory() as place:
            new = refreshed(text, Path(place, "here"))
        if new != text:
            page.write_text(new)
            print(page.relative_to(ROOT), "was rewritten")


if __name__ == "__main__":
    main(sys.argv[1:])
