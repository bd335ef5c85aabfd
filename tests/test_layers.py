"""The import layers of DESIGN.md: a wing imports only from those above it, Streamlit only in ui."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import mmc4viz

ROOT = Path(mmc4viz.__file__).parent

# In the order in which data flows: each may import from those before it.
WINGS = [
    "model", "marked", "settings", "loader", "corpus", "choice", "output", "handover", "references",
    "plots", "cli", "ui",
]  # fmt: skip
LOADER = [
    "images", "text", "tokens", "counting", "matching", "parse", "sequence", "walk", "inspect",
]  # fmt: skip
CORPUS = [
    "storage", "shards", "glimpse", "tally", "columns", "scales", "ingest", "curves", "assign",
    "validity", "match", "groups", "resolve", "pieces", "literal", "bins", "matched", "sweep",
    "verdicts", "standings", "pairs", "audit", "stored", "listing", "funnel", "sidecar",
    "similarity", "sampling", "estimate", "knobs", "files", "sets", "index", "source", "workers",
    "build", "attach",
]  # fmt: skip
CHOICE = [
    "proposal", "steps", "by_yield", "model_files", "preprocess", "text_input", "halves",
    "encoders", "pages", "score", "score_files", "parts", "stratified", "strata", "planning",
    "precision", "by_precision", "store", "labels", "agreement", "labels_csv", "population",
    "design", "queue", "stages", "labelled", "equal_yield", "lineup", "entries",
    "distribution", "kept", "disagreement", "stack", "decoys", "effects", "null", "mixture",
    "by_fdr", "candidate", "roc", "separation", "models", "rates", "equal_fdr", "evidence",
]  # fmt: skip
HANDOVER = [
    "options", "counts", "records", "tars", "basics", "drawing", "examples", "files",
    "findings", "manifest", "loaders", "affected", "chosen", "tasks", "config", "differences",
    "markup", "ids", "tables", "changes", "inputs", "report", "edit", "plan", "gather",
    "rewrite", "apply",
]  # fmt: skip


def imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def modules() -> list[Path]:
    return sorted(
        path for path in ROOT.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")
    )


def test_every_import_points_downward() -> None:
    wrong = []
    for path in modules():
        here = path.relative_to(ROOT).with_suffix("").parts
        for name in imports(path):
            if not name.startswith("mmc4viz."):
                continue
            there = name.split(".")[1:]
            allowed = WINGS.index(there[0]) <= WINGS.index(here[0])
            order = {
                "loader": LOADER,
                "corpus": CORPUS,
                "choice": CHOICE,
                "handover": HANDOVER,
            }.get(here[0])
            if there[0] == here[0] and order and len(there) > 1:
                allowed = order.index(there[1]) < order.index(here[1])
            if here[0] == "cli" and there[0] == "ui":
                allowed = True  # the command that starts the dashboard
            if not allowed:
                wrong.append(f"{'/'.join(here)} imports {name}")
    assert not wrong


def test_only_the_dashboard_names_streamlit() -> None:
    named = [
        path.relative_to(ROOT).parts[0]
        for path in modules()
        if any(name.split(".")[0] == "streamlit" for name in imports(path))
    ]
    assert set(named) <= {"ui", "cli"}


def test_the_package_does_not_load_streamlit() -> None:
    code = "import sys, mmc4viz, mmc4viz.cli; sys.exit('streamlit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_room_says_what_it_is_for() -> None:
    silent = [path.name for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent
