"""One lifetime as a chart, with and without beliefs, choices and several episodes."""

import dataclasses
import xml.etree.ElementTree

import pytest

from quickstudy.reports.lifetime_chart import lifetime_picture
from reports.made_lifetime import LIFETIME, STEPS, rows


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Beliefs are shown by their means"),
        ({"beliefs": {}, "deviations": {}}, "This agent gives no belief"),
        ({"beliefs": {}, "deviations": {}, "probabilities": (), "choices": 0, "actions": rows(STEPS, 3)}, "an example"),
        ({"horizon": 1, "choices": 2, "actions": tuple((float(5 + step % 2),) for step in range(STEPS))}, "an example"),
    ],
)
def test_lifetimes_are_drawn(changes, said):
    drawn = lifetime_picture(dataclasses.replace(LIFETIME, **changes), agent="Our site")
    assert drawn.title == "One lifetime of Our site"
    assert drawn.caption.startswith(
        "The first task of the split test: probability 0.2 0.8. It is an example, not a measurement."
    )
    assert said in drawn.caption
    assert drawn.alternative == "One lifetime of Our site: 12 steps with a return of 12.00."
    assert "return so far" in "".join(xml.etree.ElementTree.fromstring(drawn.svg).itertext())
