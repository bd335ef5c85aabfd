"""What commands print as JSON is JSON: without NaN and Infinity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmc4viz.cli import main
from mmc4viz.cli.commands import COMMANDS
from mmc4viz.text import json_text
from tests.support import nasty
from tests.support.documents import info, write_tar

RUNS = [
    "curve SHARDS --thresholds 0.24,9",
    "curve SHARDS --sample 20 --thresholds 0.24,9",
    "curve NONE --thresholds 0.24",
    "curve TABLE --thresholds 0.24,inf",
    "explain SHARDS",
    "explain TABLE --threshold 0.24",
    "formats",
    "loaders SHARDS",
    "reference SHARDS",
    "reference NONE",
    "slices SHARDS --by images",
    "slices SHARDS --by images --propose keep=50%",
    "suggest SHARDS --keep documents=50% --keep pairs=1 --fdr 5%",
    "suggest NONE --keep documents=50% --fdr 5%",
    "suggest TABLE --keep pairs=1 --fraction 0.9",
    "compare sample_data --thresholds 0.24,9",
    "compare sample_data --frontier documents",
]


def refused(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


def values_in(text: str, form: str) -> list[Any]:
    """Parse what a command printed."""
    parts = text.splitlines() if form == "jsonl" else [text] * bool(text)
    return [json.loads(part, parse_constant=refused) for part in parts]


def forms_of(name: str) -> list[str]:
    """Return the forms of JSON that a command prints."""
    [command] = [one for one in COMMANDS if one.name == name]
    choices: list[str] = [
        choice for param in command.params if param.name == "form" for choice in param.type.choices
    ]
    return [choice for choice in choices if choice.startswith("json")]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("json")
    nasty.write_tar(folder / "nasty.tar", nasty.documents(seed=3, n=60))
    odd = [[np.nan, 0.3], [np.inf, 0.2], [-np.inf, 1e300]]
    write_tar(folder / "odd.tar", [("a", info(odd)), ("b", info([[0.3]]))])
    write_tar(folder / "none.tar", [("a", info([], []))])
    scores = pa.array([np.nan, np.inf, -np.inf, 1e308, 0.3])
    columns = {"URL": ["u"] * 5, "TEXT": ["t"] * 5, "similarity": scores}
    pq.write_table(pa.table(columns), folder / "0.parquet")
    shards = f"{folder}/{{nasty,odd}}.tar"
    return {"SHARDS": shards, "NONE": f"{folder}/none.tar", "TABLE": f"{folder}/0.parquet"}


@pytest.mark.parametrize("line", RUNS)
def test_printed_json_is_strict(
    places: dict[str, str], capsys: pytest.CaptureFixture[str], line: str
) -> None:
    name, *words = [places.get(word, word) for word in line.split()]
    for form in forms_of(name):
        with pytest.raises(SystemExit) as stopped:
            main([name, *words, "--format", form])
        found = capsys.readouterr()
        assert stopped.value.code in (0, None) or found.err
        assert values_in(found.out, form) or stopped.value.code, found.err


def test_every_command_that_prints_json_is_run() -> None:
    printing = {command.name for command in COMMANDS if forms_of(str(command.name))}
    assert printing == {line.split()[0] for line in RUNS}


def test_files_are_strict(tmp_path: Path, places: dict[str, str]) -> None:
    out = tmp_path / "proposals.json"
    for words in (
        ["suggest", places["SHARDS"], "--keep", "pairs=1", "--fdr", "5%", "--out", str(out)],
        ["export", places["SHARDS"], "--proposal", str(out), "--out", str(tmp_path / "c.json")],
        ["export", places["SHARDS"], "--manifest", str(tmp_path / "m.jsonl")],
        ["export", places["TABLE"], "--threshold", "0.2", "--manifest", str(tmp_path / "t.jsonl")],
    ):
        with pytest.raises(SystemExit):
            main(words)
    for path in tmp_path.iterdir():
        assert values_in(path.read_text(), path.suffix[1:]), path
    assert {path.name for path in tmp_path.iterdir()} >= {"proposals.json", "m.jsonl", "t.jsonl"}


def test_numbers_that_json_lacks_are_null_or_text() -> None:
    found = json_text([np.float64("nan"), (np.inf, {"a": -np.inf}), 1e308], 1)
    assert json.loads(found, parse_constant=refused) == [None, ["inf", {"a": "-inf"}], 1e308]
