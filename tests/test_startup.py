"""What a command loads before it works: counted in modules, for seconds differ between machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from mmc4viz.apply.options import CAPS, ORDERS
from mmc4viz.cli import cli, commands, options
from mmc4viz.clip.models import PRECISIONS
from mmc4viz.clip.onnx_encoder import PROVIDERS
from mmc4viz.clip.score import SCALES
from mmc4viz.data.columns import Verify
from mmc4viz.export.provenance import BASES
from mmc4viz.formats.registry import NAMES
from mmc4viz.formats.sentences import TextUnit
from mmc4viz.slices.attributes import ATTRIBUTES
from mmc4viz.slices.comparison import SORTS
from mmc4viz.thresholds.by_yield import YIELDS

SAMPLE = str(Path(__file__).parents[1] / "sample_data")
HEAVY = {
    "fsspec", "jinja2", "jsonschema", "msgspec", "numpy", "pandas", "PIL", "plotly", "pyarrow",
    "scipy", "streamlit", "tokenizers", "yaml",
}  # fmt: skip
RUN = """
import sys
from mmc4viz.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded(*arguments: str) -> set[str]:
    """Return the modules that are loaded when a command has ended."""
    run = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True
    )
    return set(run.stderr.splitlines()[-1].split())


def test_help_loads_nothing_heavy() -> None:
    assert not HEAVY & loaded("--help")


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_a_command_s_help_loads_nothing_heavy(name: str) -> None:
    assert not HEAVY & loaded(name, "--help")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curve", "explain"])
def test_looking_at_shards_loads_what_it_computes_with(name: str) -> None:
    found = loaded(name, SAMPLE)
    assert {"numpy", "pyarrow", "tokenizers"} <= found
    spared = HEAVY - {"numpy", "PIL", "pyarrow", "scipy", "tokenizers"}
    spared |= {"filelock", "tqdm"}
    spared |= {"asyncio", "scipy.optimize", "scipy.special", "scipy.stats", "scipy.sparse"}
    spared |= {"pyarrow.compute", "pyarrow.parquet", "pyarrow.dataset"}
    assert not spared & found


def test_the_package_itself_loads_nothing_heavy() -> None:
    code = "import sys, mmc4viz; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {*HEAVY, "click"} & set(run.stdout.split())


def test_the_options_name_what_the_core_has() -> None:
    assert commands.BASES == BASES
    assert options.INPUT_FORMATS == NAMES
    assert tuple(TextUnit) == options.UNITS
    assert (commands.CAPS, commands.ORDERS) == (CAPS, ORDERS)
    assert tuple(PROVIDERS) == commands.PROVIDERS
    assert commands.PRECISIONS == PRECISIONS
    assert commands.SCALES == SCALES
    assert tuple(ATTRIBUTES) == commands.SLICES_BY
    assert commands.SLICES_SORTED == SORTS
    assert tuple(map(str, Verify)) == commands.VERIFY
    assert commands.YIELDS == YIELDS


def test_the_solver_is_scipy_s_own_whichever_is_loaded_first() -> None:
    code = (
        "import sys; from mmc4viz.loader.assignment import solver; taken = solver();"
        "assert 'scipy.optimize' not in sys.modules;"
        "from scipy.optimize import linear_sum_assignment as own;"
        "assert taken.__self__.__file__ == own.__self__.__file__;"
        "solver.cache_clear(); assert solver() is own"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_pages_load_neither_scipy_s_packages_nor_pandas() -> None:
    code = "import sys, mmc4viz.ui.server, mmc4viz.ui.main; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = set(run.stdout.split())
    assert not {"pandas", "scipy.optimize", "scipy.special", "scipy.stats"} & found
