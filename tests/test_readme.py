"""The README's commands and its notebook example run as they stand, and print what it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mmc4viz.cli import main
from tests.test_index import threads
from tests.test_models import label_file

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    """Return the indented commands that need nothing but the sample, and labels of it."""
    lines = re.findall(r"^    (mmc4viz .+?)(?:\s+#.*)?$", README, re.MULTILINE)
    here = [line for line in lines if "sample_data" in line or "--index index/" in line]
    return [line for line in here if not line.startswith("mmc4viz app ")]


def shown() -> list[str]:
    """Return the lines of tables that commands are said to print, and the trainer's flags."""
    rows = [line.strip() for line in README.splitlines() if line.startswith("    ")]
    tables = [row for row in rows if "  " in row and not row.startswith("mmc4viz")]
    return [*tables, *re.findall(r"--mmc4_textsim_threshold .+_min_num_images \d+", README)]


def plain(text: str) -> str:
    return re.sub(" +", " ", text)


def test_the_readme_opens_with_the_two_commands() -> None:
    first = [line.strip() for line in README.splitlines() if line.startswith("    ")][:2]
    assert first == [
        "python -m pip install -e . && mmc4viz app",
        'python -m pip install -e ".[dev]" && pytest',
    ]


@pytest.mark.slow
def test_its_commands_run_and_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mmc4viz.data.jobs.get_ready", lambda: None)
    for command in ("apply", "index"):  # workers that need not start
        monkeypatch.setattr(f"mmc4viz.cli.{command}.processes", lambda workers: threads())
    Path(label_file(tmp_path, 200, 0, 1)).rename("mmc4viz-labels.sqlite")
    found, printed = commands(), ""
    assert len(found) >= 6
    for command in found:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(command)[1:])
        output = capsys.readouterr()
        complaints = [line for line in output.err.splitlines() if ": note: " not in line]
        assert (end.value.code, complaints) == (0, []), command
        assert output.out
        printed += plain(output.out)
    assert len(shown()) >= 15
    assert [row for row in shown() if plain(row) not in printed] == []


def test_its_notebook_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    [code] = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    exec(code, {})
