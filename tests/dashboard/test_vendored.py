"""Files of others: what is shipped is what was taken, each with its licence."""

import hashlib
import json
from pathlib import Path

import pytest

import quickstudy

VENDOR = Path(quickstudy.__file__).parent / "dashboard" / "vendor"
DIGESTS = json.loads((VENDOR / "digests.json").read_text(encoding="utf-8"))
AXE = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_a_file_is_unchanged_and_has_its_licence(name):
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == DIGESTS[name]["sha256"]
    licence = (VENDOR / f"{name.partition('.')[0]}.LICENSE").read_text(encoding="utf-8")
    assert {"0BSD": "Zero-Clause BSD", "MIT": "The MIT License"}[DIGESTS[name]["licence"]] in licence


def test_nothing_else_is_shipped():
    names = {path.name for path in VENDOR.iterdir()}
    assert names == {*DIGESTS, "digests.json", "htmx.LICENSE", "uplot.LICENSE"}


def test_the_checker_of_the_tests_is_unchanged():
    assert hashlib.sha256((Path(__file__).parent / "axe" / "axe.min.js").read_bytes()).hexdigest() == AXE
