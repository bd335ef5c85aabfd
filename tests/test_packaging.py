"""The package as people get it: built, installed alone in a fresh environment, and started."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support import snapshots
from tests.support.real import DATA
from tests.support.serving import serving

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample_data"
OPENED = """
from streamlit.testing.v1 import AppTest
page = AppTest.from_string("from mmc4viz.ui.main import run; run()", default_timeout=60).run()
assert not page.exception, page.exception
print(page.text_area(key="shards").value)
"""
"""Prints the shards that the first page opens with."""

CURVE = "curve sample_data --thresholds 0.2,0.24,0.28"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it; return both."""
    out = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--outdir", str(out), str(ROOT), cwd=out)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def test_the_wheel_has_what_is_used_and_no_more(built: tuple[Path, Path]) -> None:
    wheel = built[1]
    names = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    package = {name for name in names if name.parts[0] == "mmc4viz"}
    assert {name.parts[0].partition("-")[0] for name in names} == {"mmc4viz"}
    source = {
        path.relative_to(ROOT)
        for path in (ROOT / "mmc4viz").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    sample = {name.relative_to("mmc4viz") for name in package - source}
    assert package == source | {"mmc4viz" / name for name in sample}
    assert {name.parts[0] for name in sample} == {"sample_data", "CITATION.cff"}
    suffixes = {name.suffix for name in sample if name != Path("CITATION.cff")}
    assert suffixes == {".json", ".md", ".onnx", ".parquet", ".tar"}
    assert wheel.stat().st_size < 11_000_000


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="is no checkout")
def test_the_sdist_has_what_the_tests_need(built: tuple[Path, Path]) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    tracked = {name for name in listed.split("\0") if name and (ROOT / name).exists()}
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert tracked - names <= {".gitignore"}


def test_the_wheel_alone_has_the_commands_the_sample_and_the_app(
    built: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    python, folder = _installed(built[1], tmp_path / "venv"), tmp_path / "empty"
    folder.mkdir()
    assert "curve" in _mmc4viz(python, folder, "--help")

    with serving(folder, python=str(python)):
        pass
    opened = _run(str(python), "-c", OPENED, cwd=folder).strip()
    assert opened == str(_site_packages(python) / "mmc4viz" / "sample_data")

    assert _mmc4viz(python, folder, "sample", "sample_data").startswith("sample_data: ")
    for name in ("sample-0001.tar", "similarity_b.parquet", "truth.parquet"):
        assert (folder / "sample_data" / name).read_bytes() == (SAMPLE / name).read_bytes()
    curve = _mmc4viz(python, folder, *CURVE.split())
    said = DATA / "said" / snapshots.file_name(CURVE)
    assert curve.splitlines() == said.read_text().splitlines()[: len(curve.splitlines())]


def _installed(wheel: Path, venv: Path) -> Path:
    """Install a wheel in an environment of its own; return its Python."""
    _run(sys.executable, "-m", "venv", str(venv), cwd=wheel.parent)
    python = venv / "bin" / "python"
    _run(str(python), "-m", "pip", "install", "--quiet", str(wheel), cwd=wheel.parent)
    return python


def _mmc4viz(python: Path, folder: Path, *arguments: str) -> str:
    return _run(str(python.with_name("mmc4viz")), *arguments, cwd=folder)


def _site_packages(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(_run(str(python), "-c", code, cwd=python.parent).strip()).resolve()


def _run(*command: str, cwd: Path) -> str:
    """Run a command; return what it says."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
