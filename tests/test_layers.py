"""The import layers of DESIGN.md: a wing imports only from those above it, Streamlit only in ui."""

from __future__ import annotations

import ast
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import mmc4viz

ROOT = Path(mmc4viz.__file__).parent

# In the order in which data flows: each may import from those before it.
WINGS = [
    "model", "marked", "settings", "loader", "corpus", "choice", "output", "handover", "references",
    "charts", "cli", "ui",
]  # fmt: skip
LOADER = [
    "images", "text", "tokenizer_files", "pretrained", "tokens", "counting", "matching", "parse",
    "sequence", "walk", "inspect",
]  # fmt: skip
CORPUS = [
    "storage", "headers", "recognise", "shards", "glimpse", "tally", "checked", "columns",
    "image_notes", "ingest", "curves", "scales", "assign", "validity", "match", "groups", "resolve",
    "pieces", "literal", "bins", "matched", "sweep", "verdicts", "standings", "pairs", "audit",
    "stored", "listing", "funnel", "sidecar", "similarity", "sampling", "estimate", "knobs",
    "files", "sets", "naming", "index", "source", "workers", "build", "attach",
]  # fmt: skip
CHOICE = [
    "proposal", "steps", "by_yield", "lineup", "entries", "scoring", "labelling", "fdr",
    "comparing",
]  # fmt: skip
SCORING = [
    "model_files", "preprocess", "text_input", "halves", "encoders", "pages", "score",
    "score_files", "parts",
]  # fmt: skip
LABELLING = [
    "stratified", "strata", "planning", "precision", "by_precision", "store", "labels", "agreement",
    "labels_csv", "documents", "population", "design", "queue", "stages", "labelled",
]  # fmt: skip
FDR = [
    "stack", "decoys", "effects", "null", "evenness", "mixture", "likelihood", "fitting",
    "resampling", "estimate", "by_fdr",
]  # fmt: skip
COMPARING = [
    "equal_yield", "distribution", "kept", "disagreement", "candidate", "roc", "separation",
    "models", "cells", "rates", "equal_fdr", "evidence", "respects",
]  # fmt: skip
HANDOVER = [
    "options", "command", "counts", "tars", "records", "basics", "drawing", "examples", "files",
    "findings", "manifest", "loaders", "affected", "chosen", "tasks", "config", "differences",
    "markup", "section", "labels_section", "models_section", "ids", "tables", "changes", "inputs",
    "report", "edit", "plan", "gather", "rewrite", "apply", "outcome", "aside",
]  # fmt: skip


def imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [name if is_module(name) else node.module or "" for name in whole]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def is_module(name: str) -> bool:
    return ROOT.parent.joinpath(*name.split(".")).with_suffix(".py").exists()


def modules() -> list[Path]:
    return sorted(
        path for path in ROOT.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")
    )


ORDERS = {
    (): WINGS,
    ("loader",): LOADER,
    ("corpus",): CORPUS,
    ("choice",): CHOICE,
    ("choice", "scoring"): SCORING,
    ("choice", "labelling"): LABELLING,
    ("choice", "fdr"): FDR,
    ("choice", "comparing"): COMPARING,
    ("handover",): HANDOVER,
}


def points_downward(here: tuple[str, ...], there: tuple[str, ...]) -> bool:
    """Whether a module may import another: where their paths part, the other comes first."""
    if here[0] == "cli" and there[0] == "ui":
        return True  # the command that starts the dashboard
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(here, there, strict=False))
    common = len(list(alike))
    order = ORDERS.get(here[:common])
    if order is None:
        return True  # rooms without an order among themselves
    return order.index(there[common]) < order.index(here[common])


def test_every_import_points_downward() -> None:
    wrong = []
    for path in modules():
        here = path.relative_to(ROOT).with_suffix("").parts
        for name in imports(path):
            there = tuple(name.split(".")[1:])
            if name.startswith("mmc4viz.") and not points_downward(here, there):
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
