"""The structure that pyproject.toml's import-linter contracts and docs/architecture.md describe."""

from __future__ import annotations

import ast
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
