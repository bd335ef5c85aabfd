"""The documentation is true: commands run and print what pages quote; links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path

import click
import pytest

from mmc4viz import LoaderConfig
from mmc4viz.cli import cli
from mmc4viz.types import SETTINGS
from tests.support import manual
from tests.support.slowly import slow

README = manual.ROOT / "README.md"
TEXTS = {page: page.read_text() for page in manual.PAGES}
SITE = [page for page in TEXTS if page.parent == manual.ROOT / "docs"]
NOTEBOOK = manual.ROOT / "docs/notebook.md"  # in the default run, which thus tries the package
RUN = [page for page, text in TEXTS.items() if any(block.run for block in manual.blocks(text))]


def name(page: Path) -> str:
    return str(page.relative_to(manual.ROOT))


def plain(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_readme_opens_with_the_two_commands() -> None:
    assert manual.first_lines(TEXTS[README]) == [
        "python -m pip install -e . && mmc4viz app",
        'python -m pip install -e ".[dev]" && pytest',
    ]


@pytest.mark.parametrize("page", [NOTEBOOK, *slow(*(p for p in RUN if p != NOTEBOOK))], ids=name)
def test_commands_run_and_print_what_is_quoted(page: Path, tmp_path: Path) -> None:
    for _, step, quoted, printed in manual.run(TEXTS[page], tmp_path / "here"):
        assert plain(quoted) == plain(manual.shortened(printed, quoted)), step


def test_the_readme_runs_the_commands_of_the_whole_way() -> None:
    shell = [block for block in manual.blocks(TEXTS[README]) if block.run]
    here = {command.split()[1] for block in shell for command, _ in block.steps()}
    assert here >= {"index", "suggest", "compare", "export", "apply"}


def test_every_command_has_the_options_that_it_is_given() -> None:
    wrong = []
    for page, text in TEXTS.items():
        for command in manual.commands(text):
            words = shlex.split(command)
            if words[0] != "mmc4viz":
                continue
            context = click.Context(cli, help_option_names=["-h", "--help"])
            found, rest = cli, words[1:]
            while isinstance(found, click.Group):
                found, rest = found.get_command(context, rest[0]), rest[1:]
            try:
                found.make_context(found.name, rest, parent=context)
            except (click.ClickException, AttributeError) as error:
                wrong.append(f"{name(page)}: {command}: {error}")
    assert not wrong


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page, text in TEXTS.items():
        for link in manual.links(text):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists():
                broken.append(f"{name(page)}: {link}")
            elif anchor and anchor not in manual.anchors(target.read_text()):
                broken.append(f"{name(page)}: {link}: no such anchor")
    assert not broken


def test_anchors_are_unique() -> None:
    for page in SITE:
        found = Counter(manual.anchors(TEXTS[page]))
        twice = [anchor for anchor, times in found.items() if times > 1]
        assert not twice, name(page)


def test_the_site_has_every_page() -> None:
    listed = re.findall(r"[\w-]+\.md", (manual.ROOT / "mkdocs.yml").read_text())
    assert sorted(listed) == sorted(page.name for page in SITE)


def test_the_page_of_settings_has_their_defaults() -> None:
    page = (manual.ROOT / "docs" / "commands.md").read_text()
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| ([^|]+?) \|", page, re.MULTILINE))
    named = {name.replace("-", "_"): default for name, default in rows.items()}
    assert named.keys() == SETTINGS.keys()
    assert {**named, "clip_model": "unknown"} == {
        name: str(value) for name, value in LoaderConfig().as_dict().items()
    }
