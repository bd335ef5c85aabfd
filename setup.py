"""Puts the sample and the citation into the wheel; all else is declared in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("*.md", "*.tar", "*.parquet", "encoders/*/*.json", "encoders/*/onnx/*.onnx")
"""Not the scripts that made the sample, nor the weights that only they read."""


CITATION = Path("CITATION.cff")
"""How to cite, which the report quotes."""


class BuildWithSample(build_py):
    """Copy the sample into the package; an editable install uses the one in the checkout."""

    def run(self) -> None:
        """Build the package, then add the sample."""
        super().run()
        if not self.editable_mode:
            for source, target in self._sample().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Name what is built, the sample and the citation included."""
        built: list[str] = super().get_outputs(include_bytecode)
        return built if self.editable_mode else [*built, *self._sample().values()]

    def _sample(self) -> dict[str, str]:
        """Return each such file with the place that it is built at."""
        package = Path(self.build_lib, "mmc4viz")
        found = sorted(path for glob in SHIPPED for path in Path("sample_data").glob(glob))
        return {str(path): str(package / path) for path in [*found, CITATION]}


setup(cmdclass={"build_py": BuildWithSample})
