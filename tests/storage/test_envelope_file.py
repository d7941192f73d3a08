"""Envelope files: what is read, and what is refused with a message that says what to do."""

import json
import os

import pytest

from docs.pages import ROOT, blocks
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.envelope.rules import ActionLimits, Budget, Envelope, ExplorationLimits, SurpriseRule
from quickstudy.storage.envelope_file import load_envelope, plain_envelope

FULL = Envelope(
    mode="adapts",
    fallback="Gittins index",
    exploration=ExplorationLimits(likeliest_at_least=0.6, each_at_least=0.01),
    surprise=SurpriseRule(p_value="task", enter_below=0.01, leave_above=0.2, readout="readout.safetensors"),
    budget=Budget(explored_decisions=5, cost=2.5),
    actions=ActionLimits(low=-1.0, high=(1.0, 2.0)),
    holdback=0.1,
    note="for the test",
)


def written(folder, data):
    path = folder / "envelope.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_file_holds_an_envelope(tmp_path):
    (tmp_path / "readout.safetensors").write_bytes(b"one readout")
    stored = load_envelope(written(tmp_path, plain_envelope(FULL)))
    assert stored.envelope == FULL
    assert stored.readout == tmp_path / "readout.safetensors"
    assert stored.describe() == {"digest": stored.digest, "rules": plain_envelope(FULL)}


def test_the_digest_names_the_rules_and_the_readout_and_not_the_note(tmp_path):
    (tmp_path / "readout.safetensors").write_bytes(b"one readout")
    data = plain_envelope(FULL)
    digest = load_envelope(written(tmp_path, data)).digest
    assert load_envelope(written(tmp_path, data | {"note": "another"})).digest == digest
    assert load_envelope(written(tmp_path, data | {"holdback": 0.2})).digest != digest
    (tmp_path / "readout.safetensors").write_bytes(b"another readout")
    assert load_envelope(written(tmp_path, data)).digest != digest
    os.remove(tmp_path / "readout.safetensors")
    with pytest.raises(UsageError, match="readout"):
        load_envelope(written(tmp_path, data))


WITH = {"fallback": "random"}
WRONG = {
    "no format": ({}, "format None; this version reads format 1"),
    "another format": ({"format": 2}, "format 2; this version reads format 1"),
    "unknown field": ({"holdbak": 0.1}, "unknown field .*'holdbak'. Did you mean 'holdback'"),
    "unknown field within": ({"budget": {"costs": 1.0}}, "unknown field .*budget.* 'costs'. Did you mean 'cost'"),
    "a word": ({"holdback": "some"}, "holdback must be a number; came 'some'"),
    "a share above one": (WITH | {"holdback": 1.5}, "holdback must lie between 0 and 1; came 1.5"),
    "an unknown mode": ({"mode": "off"}, "mode must be one of 'adapts', 'frozen', 'fallback'; came 'off'"),
    "truth as a number": ({"holdback": True}, "holdback must be a number; came True"),
    "no probability": (WITH | {"surprise": {"enter_below": 0.0}}, "surprise.enter_below must be above zero and at most 1"),
    "no step": (WITH | {"surprise": {"enter_steps": 0}}, "surprise.enter_steps must be 1 or more; came 0"),
    "thresholds": (
        WITH | {"surprise": {"enter_below": 0.5, "leave_above": 0.1}},
        "leave_above must be at least enter_below, 0.5",
    ),
    "a negative budget": ({"budget": {"explored_decisions": -1}}, "budget.explored_decisions must be 0 or more; came -1"),
    "a negative change": ({"actions": {"largest_change": [0.1, -0.1]}}, "actions.largest_change must be 0 or more"),
    "bounds in words": ({"actions": {"low": "none"}}, "actions.low must be a number or a list"),
    "no fallback": ({"mode": "fallback"}, 'mode "fallback" gives decisions to a fallback, and the envelope names none'),
    "no fallback for surprise": ({"surprise": {}, "holdback": 0.1}, "surprise, holdback gives decisions"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_field_is_refused_by_name(tmp_path, name):
    data, says = WRONG[name]
    path = written(tmp_path, data if "format" in name else {"format": 1} | data)
    with pytest.raises(UsageError, match=says) as refused:
        load_envelope(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"format": 1, "holdback": NaN}',
        '{"format": 1, "budget": {"cost": Infinity}}',
        '{"format": 1, "holdback": 0, "holdback": 1}',
    ],
)
def test_numbers_that_are_none_and_fields_that_come_twice_are_refused(tmp_path, text):
    with pytest.raises(UsageError, match="does not parse as the envelope"):
        load_envelope(written(tmp_path, text))


def test_the_example_of_the_documentation_is_an_envelope(tmp_path):
    example = blocks(ROOT / "docs" / "envelope.md", "json")[0].text
    (tmp_path / "readout.safetensors").write_bytes(b"one readout")
    stored = load_envelope(written(tmp_path, example))
    assert stored.envelope.fallback == "certainty equivalence"
    # Every field of the file stands in the table of the page, and every rule in the table is a field.
    page = (ROOT / "docs" / "envelope.md").read_text()
    for name, value in plain_envelope(FULL).items():
        assert f"`{name}" in page
        if isinstance(value, dict):
            assert [field for field in value if f"`{name}.{field}`" not in page and f"`.{field}`" not in page] == []
