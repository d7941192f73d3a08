"""Records to plain data and back: every kind of field, exact messages, and every stored file of the project."""

import dataclasses
import enum
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed
from quickstudy.evaluation.bench.stored import FORMAT, Stored
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.storage.plain import from_document, from_plain, read_object, to_document, to_plain

RESULTS = Path(__file__).parents[2] / "results"


class Colour(enum.Enum):
    """Of a case."""

    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leaf:
    """A record within another."""

    value: float | None
    size: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A field of every kind."""

    name: str
    leaf: Leaf
    by_name: Mapping[str, Leaf] = dataclasses.field(default_factory=dict)
    several: tuple[Leaf, ...] = ()
    pairs: tuple[tuple[int, float], ...] = ()
    words: Sequence[str] = ()
    kind: Literal["win", "loss"] = "win"
    colour: Colour = Colour.RED
    maybe: Leaf | None = None
    sure: bool = True
    free: Any = None


FULL = Case(
    name="all of it",
    leaf=Leaf(value=None),
    by_name={"a": Leaf(value=1.5, size=2)},
    several=(Leaf(value=0.5), Leaf(value=None)),
    pairs=((1, 0.25), (2, 3.0)),
    words=("one", "two"),
    kind="loss",
    colour=Colour.BLUE,
    maybe=Leaf(value=2.0),
    sure=False,
    free={"x": [1, "y", None]},
)


def test_a_record_comes_back_the_same():
    data = json.loads(json.dumps(to_plain(FULL), allow_nan=False))
    assert from_plain(Case, data) == FULL
    assert data["colour"] == "blue"
    assert data["pairs"] == [[1, 0.25], [2, 3.0]]


def test_fields_with_a_default_may_be_left_out():
    assert from_plain(Case, {"name": "short", "leaf": {"value": 1.0}}) == Case(name="short", leaf=Leaf(value=1.0))


def test_numbers_of_numpy_become_numbers_and_keep_the_digits_that_are_asked_for():
    data = {"a": np.float32(0.123456789), "b": np.int64(123456789), "c": np.bool_(True), "d": (1234567.0,)}
    assert to_plain(data, digits=3) == {"a": 0.123, "b": 123456789, "c": True, "d": [1230000.0]}
    assert {type(value) for value in to_plain(data).values()} == {float, int, bool, list}


def test_a_whole_number_stays_one_where_a_number_is_allowed():
    assert json.dumps(to_plain(from_plain(Leaf, {"value": 1}))) == '{"value": 1, "size": 1}'


WRONG = {
    "text for a number": ({"leaf": {"value": "x"}}, "case: leaf.value must be a number or nothing; came 'x'."),
    "a fraction for a whole number": ({"leaf": {"value": 1, "size": 1.5}}, "leaf.size must be a whole number; came 1.5."),
    "true for a number": ({"leaf": {"value": True}}, "leaf.value must be a number or nothing; came True."),
    "nothing for a record": ({"leaf": None}, "case: leaf must be a table of names and values; came None."),
    "a field that is missing": ({"leaf": {}}, "case: leaf lacks value."),
    "within a mapping": ({"by_name": {"a": {"value": []}}}, "by_name.a.value must be a number or nothing; came []."),
    "within a list": ({"several": [{"value": 1}, 2]}, "several[1] must be a table of names and values; came 2."),
    "a pair of three": ({"pairs": [[1, 2, 3]]}, "pairs[0] must be a list of 2 values; came [1, 2, 3]."),
    "text for a list": ({"words": "one"}, "words must be a list, each of it text; came 'one'."),
    "no such choice": ({"kind": "tie"}, "kind must be one of 'win', 'loss'; came 'tie'."),
    "no such member": ({"colour": "green"}, "colour must be one of 'red', 'blue'; came 'green'."),
    "within what may be nothing": ({"maybe": {"size": 1}}, "case: maybe lacks value."),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_data_gets_one_precise_line(wrong):
    data, message = WRONG[wrong]
    with pytest.raises(UsageError) as caught:
        from_plain(Case, {"name": "wrong", "leaf": {"value": 1.0}} | data, where="case")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_no_field_gets_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown field in case: leaf, 'valeu'. Did you mean 'value'\?"):
        from_plain(Case, {"name": "wrong", "leaf": {"valeu": 1.0}}, where="case")


def test_what_plain_data_cannot_hold_is_refused():
    with pytest.raises(UsageError, match="came function"):
        to_plain({"a": test_a_record_comes_back_the_same})


def test_a_document_of_another_format_says_what_to_do():
    data = to_document(Leaf(value=1 / 3), version=2, digits=2)
    assert data == {"format": 2, "value": 0.33, "size": 1}
    assert from_document(Leaf, data, version=2, what="leaf", remedy="Grow it again.") == Leaf(value=0.33)
    with pytest.raises(UsageError, match=r"the leaf has format 2; this version reads format 3\. Grow it again."):
        from_document(Leaf, data, version=3, what="leaf", remedy="Grow it again.")
    with pytest.raises(UsageError, match=r"the leaf: size must be a whole number; came .x.\. Grow it again."):
        from_document(Leaf, data | {"size": "x"}, version=2, what="leaf", remedy="Grow it again.")


@pytest.mark.parametrize("content", ["", "[1]", "3"])
def test_a_file_that_holds_no_object_is_named(content, tmp_path):
    path = tmp_path / "some.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"some\.json .*leaf"):
        read_object(path, what="leaf")


@pytest.mark.parametrize("path", sorted((RESULTS / "rows").glob("*.json")), ids=lambda path: path.stem)
def test_stored_rows_are_read_and_written_again_without_a_change(path):
    content = json.loads(path.read_text())
    del content["digest"]
    stored = from_document(Stored, content, version=FORMAT, what="row", remedy="")
    assert json.dumps(to_document(stored, version=FORMAT, digits=7)) == json.dumps(content)


@pytest.mark.parametrize("path", sorted((RESULTS / "adaptation-speed").glob("*/*.json")), ids=lambda path: path.stem)
def test_stored_speeds_are_read_and_written_again_without_a_change(path):
    assert json.dumps(AdaptationSpeed.load(path).to_json()) == json.dumps(json.loads(path.read_text()))
