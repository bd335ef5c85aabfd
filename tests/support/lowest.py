"""Print constraints that pin every direct dependency to its lower bound in pyproject.toml.

python tests/support/lowest.py > lowest.txt && pip install -c lowest.txt .
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def lowest() -> list[str]:
    """Return ``NAME==BOUND`` for each dependency that the core and its extras name."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    named = list(project["dependencies"])
    for extra in ("score", "dask", "describe"):
        named += project["optional-dependencies"][extra]
    bounds = {
        requirement.name: bound.version
        for requirement in map(Requirement, named)
        for bound in requirement.specifier
        if bound.operator == ">="
    }
    return [f"{name}=={version}" for name, version in bounds.items()]


if __name__ == "__main__":
    print("\n".join(lowest()))
