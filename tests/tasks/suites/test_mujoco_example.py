"""The example on MuJoCo, and the page that goes through it."""

import ast
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("mujoco")

from docs.pages import ROOT, blocks
from quickstudy import tasks
from quickstudy.tasks.checks.trees import rows

pytestmark = pytest.mark.suites

EXAMPLE = ROOT / "examples" / "mujoco_tasks.py"
PAGE = ROOT / "docs" / "bring-your-own-environment.md"
KEY = np.uint32([1, 2])


@pytest.fixture(scope="module")
def cheetahs():
    return tasks.make(f"{EXAMPLE}:make")


def lines(text):
    return [line for line in text.splitlines() if line.strip()]


def test_the_example_is_short():
    assert len(Path(EXAMPLE).read_text().splitlines()) <= 60


def test_the_page_shows_the_example_word_for_word():
    source = EXAMPLE.read_text()
    first = ast.parse(source).body[1].lineno
    example = lines("\n".join(source.splitlines()[first - 1 :]))
    page = lines("\n".join(block.text for block in blocks(PAGE, "python")))
    assert page[: len(example)] == example


def test_load_and_speed_reach_the_robot(cheetahs):
    environment = cheetahs.open()
    environment.begin({"load": np.float32(1.5), "speed": np.float32(2.0)}, KEY)
    environment.reset(0)
    model, data = environment.environment.unwrapped.model, environment.environment.unwrapped.data
    assert model.body_subtreemass[1] == pytest.approx(14 + 1.5)
    before, action = data.qpos[0], np.full(6, 0.5, np.float32)
    stepped = environment.step(0, action)
    speed = (data.qpos[0] - before) / 0.05
    assert stepped.reward == pytest.approx(-abs(speed - 2.0) - 0.1 * 6 * 0.25, abs=1e-5)
    assert stepped.measures == {"at_speed": float(abs(speed - 2.0) < 0.2)}
    environment.close()


def test_nothing_of_an_earlier_task_stays(cheetahs):
    def recorded(environment, load):
        environment.begin({"load": np.float32(load), "speed": np.float32(1.0)}, KEY)
        environment.reset(0)
        actions = np.random.default_rng(0).uniform(-1, 1, (50, 6)).astype(np.float32)
        return np.array([environment.step(slot, action).observation for slot, action in enumerate(actions)])

    environment, fresh = cheetahs.open(), recorded(cheetahs.open(), 3.0)
    assert not np.array_equal(recorded(environment, 7.0), fresh)
    assert np.array_equal(recorded(environment, 3.0), fresh)
    environment.close()


def test_splits_are_disjoint_and_as_told(cheetahs):
    drawn = {split: cheetahs.sample_tasks(split, jax.random.key(0), tasks=1000) for split in cheetahs.splits}
    for leaf in ("load", "speed"):
        seen = [set(rows(stack[leaf])) for stack in drawn.values()]
        assert sum(map(len, seen)) == len(set().union(*seen))
        assert all(stack["speed"].min() >= 0 and stack["speed"].max() < 3 for stack in drawn.values())
    assert drawn["train"]["load"].max() < 4 <= drawn["ood:heavy-load"]["load"].min()
    assert drawn["ood:heavy-load"]["load"].max() < 8
