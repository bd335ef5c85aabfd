"""The structure that pyproject.toml's import-linter contracts and docs/architecture.md describe."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import mmc4viz

ROOT = Path(mmc4viz.__file__).parent


def modules() -> list[Path]:
    return sorted(
        path for path in ROOT.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")
    )


def test_every_import_points_downward(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT.parent)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


def test_the_package_does_not_load_streamlit() -> None:
    code = "import sys, mmc4viz, mmc4viz.cli; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_every_module_says_what_it_is_for() -> None:
    silent = [path.name for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


def test_no_folder_is_crowded() -> None:
    crowded = Counter(path.parent for path in ROOT.rglob("*.py"))
    assert {folder.name: n for folder, n in crowded.items() if n > 15} == {}


def test_a_class_name_occurs_once() -> None:
    names = Counter(
        node.name
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, n in names.items() if n > 1] == []


def test_the_architecture_page_names_modules_that_exist() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| \**`([a-z_/]+)`\** \|", page, re.MULTILINE)
    missing = [n for n in rows if not (ROOT / f"{n}.py").exists() and not (ROOT / n).is_dir()]
    assert len(rows) > 40 and missing == []
    paths = re.findall(r"`([a-z_/]+\.py)`", page)
    paths = [path for path in paths if not path.startswith("docs/")]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    named = {name for name in rows if not name.endswith("/")}
    untold = {
        str(path.relative_to(ROOT).with_suffix(""))
        for folder in (".", "loader", "data", "sweep")
        for path in (ROOT / folder).glob("*.py")
        if not path.name.startswith("__")
    }
    assert untold - named == set()


def test_the_architecture_page_names_what_is_there() -> None:
    """In the table of changes, every name is defined in one of its row's files."""
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    table = page.partition("## Where do I put")[2].partition("\n## ")[0]
    rows = [set(re.findall(r"`([\w/.]+)`", row)) for row in re.findall(r"^\| .*", table, re.M)[2:]]
    assert sum(map(len, rows)) > 60
    for spans in rows:
        files = {span for span in spans if span.endswith(".py")}
        text = "".join((ROOT / f).read_text() for f in files if not f.startswith("docs/"))
        names = {span for span in spans - files if not re.search(r"[/.]", span)} - {"Proposal"}
        missing = {
            name for name in names if not re.search(rf"^\s*(def |class )?{name}\b", text, re.M)
        }
        assert missing == set()
