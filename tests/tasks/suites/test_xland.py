"""Rulesets, and the suite's world through them, against what was worked out by hand and against the suite itself."""

import dataclasses
import importlib.util
import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.protocol.errors import MissingExtraError, SpecError, UsageError
from quickstudy.tasks.checks.trees import rows
from quickstudy.tasks.suites.xland import distribution as suite
from quickstudy.tasks.suites.xland.rulesets import OBJECTS, SPLITS, Family, goals_of, in_words, leads_to_goal, rulesets_of

needs_suite = [
    pytest.mark.suites,
    pytest.mark.skipif(importlib.util.find_spec("xminigrid") is None, reason="XLand-MiniGrid is not installed"),
]
PLAIN = Family()
RICH = Family(depth=2, branches=2, distractors=3, distractor_rules=2, directed=True)
RED_BALL, BLUE_KEY, GREEN_STAR = (3, 1), (7, 3), (12, 2)
FORWARD, RIGHT, LEFT, PICK_UP, PUT_DOWN = range(5)


def as_rows(rulesets):
    """Every ruleset as bytes, whatever the room for rules and objects."""
    return rows({"goal": rulesets.goal, "rules": rulesets.rules, "tiles": rulesets.tiles})


@pytest.mark.parametrize("family", [PLAIN, RICH], ids=["plain", "rich"])
def test_no_task_of_one_split_is_a_task_of_another(family):
    drawn = {split: set(as_rows(rulesets_of(family, split, count=10_000, seed=0))) for split in SPLITS}
    for one, other in itertools.combinations(drawn, 2):
        assert not drawn[one] & drawn[other]
    assert all(len(found) > 9_900 for found in drawn.values())


def test_goals_belong_to_one_split_each():
    owned = [
        {(number, *pair) for number, found in goals_of(split, directed=True).items() for pair in found} for split in SPLITS
    ]
    owned = [{tuple(int(x) for x in goal) for goal in goals} for goals in owned]
    assert sum(map(len, owned)) == len(set().union(*owned)) == 2 * 60 + 60 * 59 // 2 + 4 * 60 + 4 * 60 * 59
    assert 0.68 < len(owned[0]) / sum(map(len, owned)) < 0.72


def test_the_same_seed_gives_the_same_rulesets_and_another_gives_others():
    first = as_rows(rulesets_of(PLAIN, "train", count=50, seed=0))
    rulesets_of.cache_clear()
    assert first == as_rows(rulesets_of(PLAIN, "train", count=50, seed=0))
    assert first != as_rows(rulesets_of(PLAIN, "train", count=50, seed=1))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("family", [PLAIN, RICH, Family(depth=0, distractors=0, distractor_rules=0)])
def test_what_the_goal_needs_lies_about_or_is_produced_once(family, split):
    drawn = rulesets_of(family, split, count=300, seed=0)
    for goal, rules, tiles, depth in zip(drawn.goal, drawn.rules, drawn.tiles, drawn.depth, strict=True):
        rules = [rule for rule in rules if rule[0]]
        useful = leads_to_goal(goal, rules)
        split_up = [[tuple(tile) for tile in rule[1:].reshape(-1, 2) if tile[0]] for rule in rules]
        made = [parts[-1] for parts in split_up]
        lies = [tuple(tile) for tile in tiles if tile[0]]
        assert len(set(made + lies)) == len(made + lies)
        needed = [tuple(tile) for tile in goal[1:].reshape(2, 2) if tile[0]]
        needed += [part for parts, used in zip(split_up, useful, strict=True) if used for part in parts[:-1]]
        # Everything is used once: no production takes away what another needs.
        assert len(set(needed)) == len(needed)
        assert set(needed) <= set(made) | set(lies)
        chain = {tuple(tile): 0 for tile in goal[1:].reshape(2, 2)}
        for parts in itertools.chain.from_iterable([split_up] * len(split_up)):
            if parts[-1] in chain:
                chain |= dict.fromkeys(parts[:-1], chain[parts[-1]] + 1)
        useless = set(lies) - set(needed)
        deepest = max(level for tile, level in chain.items() if tile in needed)
        assert deepest == depth
        assert len(useless) == family.distractors + 3 * (split == "ood:more-distractors")
        # A dead end needs something useless, so it can be left alone.
        for parts, used in zip(split_up, useful, strict=True):
            assert used or useless & set(parts[:-1])


def test_depths_are_as_frequent_and_one_more_in_the_deeper_split():
    depths = {split: np.bincount(rulesets_of(RICH, split, count=3000, seed=0).depth, minlength=4) for split in SPLITS}
    assert depths["ood:deeper"].tolist() == [0, 0, 0, 3000]
    for split in ("train", "test", "ood:more-distractors"):
        assert depths[split][3] == 0
        assert (depths[split][:3] > 850).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"depth": -1}, "depth must be 0"), ({"distractors": 0}, "distractor_rules need"), ({"distractors": 70}, "more than 60")],
)
def test_families_that_cannot_be_are_turned_away(wrong, says):
    with pytest.raises(SpecError, match=says):
        Family(**wrong)


def test_goals_and_rules_in_words():
    goal = np.array([8, *RED_BALL, *BLUE_KEY])
    rules = np.array([[3, *RED_BALL, *BLUE_KEY, *GREEN_STAR], [0] * 7, [1, *RED_BALL, *GREEN_STAR, 0, 0]])
    words = in_words(goal, rules)
    assert words == (
        "put blue key right of red ball",
        ["blue key near red ball → green star", "red ball, picked up → green star"],
    )


def test_without_the_suite_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "xminigrid.envs.xland", None)
    suite._suite.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'quickstudy\[xland\]'"):
        tasks.make("xland-minigrid")
    suite._suite.cache_clear()


class TestSuite:
    """What needs the suite."""

    pytestmark = needs_suite

    def test_numbers_are_the_suites(self):
        from xminigrid.core import constants, goals, rules

        assert (constants.NUM_TILES, constants.NUM_COLORS, constants.NUM_ACTIONS) == (suite.TILES, suite.COLOURS, suite.ACTIONS)
        assert set(OBJECTS[:, 0]) == set(np.asarray(constants.PICKABLE))
        tiles = [jnp.asarray(tile, jnp.uint8) for tile in (RED_BALL, BLUE_KEY, GREEN_STAR)]
        assert goals.AgentHoldGoal(tile=tiles[0]).encode().tolist() == [1, *RED_BALL, 0, 0]
        assert goals.AgentNearGoal(tile=tiles[0]).encode().tolist() == [3, *RED_BALL, 0, 0]
        assert goals.TileNearGoal(tile_a=tiles[0], tile_b=tiles[1]).encode().tolist() == [4, *RED_BALL, *BLUE_KEY]
        assert rules.AgentHoldRule(tile=tiles[0], prod_tile=tiles[1]).encode().tolist() == [1, *RED_BALL, *BLUE_KEY, 0, 0]
        rule = rules.TileNearRule(tile_a=tiles[0], tile_b=tiles[1], prod_tile=tiles[2])
        assert rule.encode().tolist() == [3, *RED_BALL, *BLUE_KEY, *GREEN_STAR]

    def test_a_new_episode_puts_the_same_objects_elsewhere(self):
        distribution = tasks.make("xland-minigrid", rulesets=50)
        task = distribution.sample("train", jax.random.key(0))
        reset = jax.jit(distribution.reset)
        grids = [np.asarray(reset(task, jax.random.key(seed))[0].grid) for seed in range(3)]
        things = [sorted(map(tuple, grid[(grid[..., 0] > 2)])) for grid in grids]
        assert (
            things[0] == things[1] == things[2] == sorted(map(tuple, np.asarray(task.tiles)[np.asarray(task.tiles)[:, 0] > 0]))
        )
        assert not np.array_equal(grids[0], grids[1])

    def test_a_production_and_the_goal_worked_out_by_hand(self):
        """A ball and a key become a star, and the star is to be picked up: five steps and no more."""
        distribution = tasks.make("xland-minigrid", horizon=20, rulesets=10)
        blank = jax.tree.map(jnp.zeros_like, distribution.sample("train", jax.random.key(0)))
        rule = jnp.asarray([3, *RED_BALL, *BLUE_KEY, *GREEN_STAR], jnp.uint8)
        goal = jnp.asarray([1, *GREEN_STAR, 0, 0], jnp.uint8)
        task = dataclasses.replace(blank, goal=goal, rules=blank.rules.at[0].set(rule))
        state, _ = distribution.reset(task, jax.random.key(0))
        # Looking right at a ball in the next cell; the key lies two cells below the agent's row neighbour.
        grid = state.grid.at[3, 4].set(jnp.asarray(RED_BALL, jnp.uint8)).at[4, 4].set(jnp.asarray(BLUE_KEY, jnp.uint8))
        place = {"position": jnp.int32([3, 3]), "direction": jnp.int32(1)}
        state = dataclasses.replace(state, grid=grid, **place)
        step, rewards, ends = jax.jit(distribution.step), [], []
        for action in (PICK_UP, PUT_DOWN, RIGHT, FORWARD, LEFT, PICK_UP):
            state, outcome = step(task, state, jnp.int32(action), jax.random.key(0))
            rewards.append(float(outcome.reward))
            ends.append(bool(outcome.terminated))
        assert ends == [False] * 5 + [True]
        np.testing.assert_allclose(rewards, [0.0] * 5 + [1 - 0.9 * 6 / 20], rtol=1e-6)
        assert tuple(state.pocket.tolist()) == GREEN_STAR

    def test_steps_are_the_suites_own(self):
        from xminigrid.envs.xland import XLandEnvParams, XLandMiniGrid
        from xminigrid.types import RuleSet

        distribution = tasks.make("xland-minigrid", horizon=40, depth=2, branches=1, directed=True, rulesets=100)
        environment = XLandMiniGrid()
        theirs_begins, theirs_goes_on = jax.jit(environment.reset), jax.jit(environment.step)
        step, reset = jax.jit(distribution.step), jax.jit(distribution.reset)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            for seed in range(3):
                task = distribution.sample("train", jax.random.key(seed))
                ruleset = RuleSet(goal=task.goal, rules=task.rules, init_tiles=task.tiles)
                params = XLandEnvParams(view_size=5, grid_type="R1", max_steps=40, ruleset=ruleset)
                theirs = theirs_begins(params, jax.random.key(seed))
                state, observation = reset(task, jax.random.key(seed))
                for number in range(40):
                    np.testing.assert_array_equal(observation, theirs.observation)
                    action = jax.random.randint(jax.random.key(100 * seed + number), (), 0, 6)
                    theirs = theirs_goes_on(params, theirs, action)
                    state, outcome = step(task, state, action, jax.random.key(0))
                    observation = outcome.observation
                    np.testing.assert_allclose(outcome.reward, theirs.reward, rtol=1e-6)
                    assert bool(outcome.terminated) == bool(theirs.discount == 0)

    def test_settings_that_do_not_fit_are_turned_away(self):
        for wrong, says in (({"size": 5}, "no room"), ({"rooms": "R3"}, "R1, R2"), ({"rulesets": 0}, "rulesets must be 1")):
            with pytest.raises(UsageError, match=says):
                tasks.make("xland-minigrid", **wrong)
