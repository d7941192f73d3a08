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
    words = "".join(xml.etree.ElementTree.fromstring(drawn.svg).itertext())
    episodes = changes.get("horizon") != 1
    assert ("return in the episode" if episodes else "return so far") in words
    assert ("Return of each episode: 4.00, 4.00, 4.00." in drawn.caption) == episodes


def test_a_lifetime_that_was_cut_says_so_and_gives_no_return_of_its_last_episode():
    drawn = lifetime_picture(dataclasses.replace(LIFETIME, cut=True), agent="Our site")
    assert "Only its first 12 steps are shown. Return of each episode: 4.00, 4.00. " in drawn.caption


def test_of_many_episodes_the_first_and_the_last_are_told():
    many = dataclasses.replace(LIFETIME, horizon=2, slots=tuple(range(0, 48, 4)), rewards=tuple(map(float, range(STEPS))))
    assert "The first episode has a return of 0.000, and the last of these one of 11.00." in (
        lifetime_picture(many, agent="Our site").caption
    )
