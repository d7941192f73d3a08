"""CONTRIBUTING.md has every dependency, with the bound that pyproject.toml gives it."""

import re
import tomllib

from docs.pages import ROOT


def test_every_dependency_stands_with_its_bound_and_a_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    required = {
        re.sub(r"([<>=])", r" \1", one.partition(";")[0].strip(), count=1) for requirements in lists for one in requirements
    }
    rows = [
        line.strip("| ").split(" | ") for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("|")
    ]
    listed = {f"{name} {bound}" for row in rows for name, bound, purpose in zip(row, row[1:], row[2:], strict=False) if purpose}
    assert required - listed == set()
