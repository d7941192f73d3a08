"""The API document says the truth: requests that are made from it, right and wrong ones, get the answers that it promises."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from quickstudy.serving.elements import element_of, schema_of
from quickstudy.serving.refusal import Refusal
from serving.test_kills import Server

BUNDLES = Path(__file__).parents[2] / "bundles"
EXAMPLES = 30
"""Generated requests for each operation and phase, beside those that cover every keyword of the document."""


@pytest.mark.suites
@pytest.mark.parametrize("bundle", ["quick-n10-k5", "drifting-control-varibad"])
def test_no_generated_request_is_answered_otherwise_than_the_document_says(bundle, tmp_path):
    if importlib.util.find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed")
    server = Server(f"sqlite:{tmp_path / 'a.db'}", agent=str(BUNDLES / bundle))
    try:
        program = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
        flags = ["--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"]
        # Schemathesis makes no JSON lines. Damaged ones are tried in test_http.py.
        flags += ["--exclude-operation-id", "import"]
        command = [sys.executable, "-c", program, "run", f"{server.url}/openapi.json", *flags]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    finally:
        server.kill()
    assert ran.returncode == 0, ran.stdout[ran.stdout.find("= FAILURES") :][:6000]


@pytest.mark.parametrize(
    ("space", "schema"),
    [
        (gymnasium.spaces.Discrete(3, start=1), {"type": "integer", "minimum": 1, "maximum": 3}),
        (
            gymnasium.spaces.Box(-1, 2, (2,), np.float32),
            {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number", "minimum": -1.0, "maximum": 2.0}},
        ),
        (
            gymnasium.spaces.MultiDiscrete([2, 5]),
            {
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "prefixItems": [
                    {"type": "integer", "minimum": 0, "maximum": 1},
                    {"type": "integer", "minimum": 0, "maximum": 4},
                ],
            },
        ),
    ],
    ids=["discrete", "box", "several"],
)
def test_a_space_is_described_as_it_is_checked(space, schema):
    assert schema_of(space) == schema


def test_numbers_without_bounds_are_those_of_32_bits():
    found = schema_of(gymnasium.spaces.Box(-np.inf, np.inf, (), np.float32))
    assert found == {"type": "number", "minimum": -float(np.finfo(np.float32).max), "maximum": float(np.finfo(np.float32).max)}


def test_a_whole_number_may_be_written_with_a_point():
    space = gymnasium.spaces.Discrete(3)
    assert element_of(space, 2.0, field="observation") == 2
    for wrong in (1.5, 1e300, float("nan"), True):
        with pytest.raises(Refusal):
            element_of(space, wrong, field="observation")
    with pytest.raises(Refusal, match="another form"):
        element_of(gymnasium.spaces.Box(-1, 2, (2,), np.float32), [True, 0.5], field="observation")
