import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.toy_distributions import CorridorTask, aiming, corridor
from marks import slow_but
from quickstudy.protocol.records import Outcome
from quickstudy.tasks.checks.check import Fault, check, fault_lines
from quickstudy.tasks.checks.jax_laws import JAX_LAWS

HEALTHY = corridor()
BROKEN = {}


def broken(law, containing, distribution=HEALTHY):
    """Registers a way to break one law: a function from a healthy distribution to what is to be replaced."""

    def register(make):
        BROKEN[make.__name__] = (law, containing, distribution, make)
        return make

    return register


def changed_step(distribution, change):
    """The step function with something about its outcome replaced."""

    def step(task, state, action, key):
        state, outcome = distribution.step(task, state, action, key)
        return state, dataclasses.replace(outcome, **change(task, state, action, outcome))

    return {"step": step}


@broken("sampling", "decides in Python on a number that JAX has not computed yet")
def sample_branches_in_python(healthy):
    def sample(split, key):
        right = 1 if jax.random.uniform(key) > 0.5 else 0
        return CorridorTask(right=jnp.int32(right), number=jnp.float32(0.0))

    return {"sample": sample}


@broken("sampling", "another task")
def sample_ignores_its_key(healthy):
    generator = np.random.default_rng(0)

    def sample(split, key):
        return dataclasses.replace(healthy.sample(split, key), number=jnp.float32(generator.random()))

    return {"sample": sample}


@broken("sampling", "built differently")
def splits_of_other_types(healthy):
    def sample(split, key):
        task = healthy.sample(split, key)
        return task if split == "train" else dataclasses.replace(task, right=task.right.astype(jnp.float32))

    return {"sample": sample}


@broken("shapes", "step gives an observation float32[3]")
def observation_of_another_shape(healthy):
    return changed_step(healthy, lambda task, state, action, outcome: {"observation": jnp.zeros(3)})


@broken("shapes", "step gives an observation 'left'")
def observation_is_text(healthy):
    return changed_step(healthy, lambda task, state, action, outcome: {"observation": "left"})


@broken("shapes", "reward float32[2]")
def reward_is_an_array(healthy):
    return changed_step(healthy, lambda task, state, action, outcome: {"reward": jnp.zeros(2)})


@broken("shapes", "reward None; it must be one float")
def reward_is_missing(healthy):
    return changed_step(healthy, lambda task, state, action, outcome: {"reward": None})


@broken("shapes", "terminated bool[2]")
def terminated_twice(healthy):
    return changed_step(healthy, lambda task, state, action, outcome: {"terminated": jnp.zeros(2, bool)})


@broken("shapes", "step gives a tuple of 5")
def step_as_in_gymnasium(healthy):
    def step(task, state, action, key):
        state, outcome = healthy.step(task, state, action, key)
        return outcome.observation, outcome.reward, outcome.terminated, outcome.truncated, {}

    return {"step": step}


@broken("shapes", "turns a state int32[] into float32[]. Let reset give it")
def state_changes_its_type(healthy):
    def step(task, state, action, key):
        state, outcome = healthy.step(task, state, action, key)
        return state.astype(jnp.float32), outcome

    return {"step": step}


@broken("shapes", "ValueError: the door is stuck")
def step_raises(healthy):
    def step(task, state, action, key):
        raise ValueError("the door is stuck\nand nobody knows why")

    return {"step": step}


@broken("determinism", "step gives something else")
def reward_from_a_generator(healthy):
    generator = np.random.default_rng(0)
    return changed_step(
        healthy, lambda task, state, action, outcome: {"reward": outcome.reward + np.float32(generator.random())}
    )


@broken("determinism", "reset gives something else")
def reset_counts_its_calls(healthy):
    calls = []

    def reset(task, key):
        calls.append(1)
        state, observation = healthy.reset(task, key)
        return state, observation.at[1].set(1.0 / len(calls))

    return {"reset": reset}


@broken("same task", "begins another one")
def an_episode_moves_the_goal(healthy):
    played = []

    def reset(task, key):
        state, observation = healthy.reset(task, key)
        return state, observation.at[1].set(len(played) / 1000)

    def step(task, state, action, key):
        played.append(1)
        return healthy.step(task, state, action, key)

    return {"reset": reset, "step": step}


@broken("same task", "neither reset nor step reads the task")
def reset_draws_the_task(healthy):
    def reset(task, key):
        key_right, key_reset = jax.random.split(key)
        right = jax.random.bernoulli(key_right).astype(jnp.int32)
        state, observation = healthy.reset(task, key_reset)
        return (right, state), observation

    def step(task, state, action, key):
        hidden = CorridorTask(right=state[0], number=jnp.float32(0.0))
        position, outcome = healthy.step(hidden, state[1], action, key)
        return (state[0], position), outcome

    return {"reset": reset, "step": step}


@broken("spaces", "outside Box")
def observation_outside_its_box(healthy):
    return changed_step(healthy, lambda task, state, action, outcome: {"observation": 3.0 * outcome.observation})


@broken("finite reward", "a reward is -inf")
def logarithm_of_nothing(healthy):
    def change(task, state, action, outcome):
        return {"reward": jnp.log(jnp.where(outcome.terminated, 0.0, 1.0))}

    return changed_step(healthy, change)


@broken("finite reward", "observation is not finite")
def observation_is_not_a_number(healthy):
    return changed_step(healthy, lambda task, state, action, outcome: {"observation": jnp.full(2, jnp.nan)})


@broken("endings", "both true")
def terminated_and_truncated(healthy):
    return changed_step(healthy, lambda task, state, action, outcome: {"truncated": outcome.terminated})


@broken("endings", "a time limit")
def the_horizon_terminates(healthy):
    def reset(task, key):
        state, observation = healthy.reset(task, key)
        return (state, jnp.int32(0)), observation

    def step(task, state, action, key):
        position, outcome = healthy.step(task, state[0], action, key)
        return (position, state[1] + 1), dataclasses.replace(outcome, terminated=state[1] + 1 == 4)

    return {"reset": reset, "step": step}


def shown_at_reset(healthy, shown):
    def reset(task, key):
        state, observation = healthy.reset(task, key)
        return state, observation.at[1].set(shown(task))

    return {"reset": reset}


@broken("task-blindness", "after reset shows the task: right")
def the_goal_is_shown(healthy):
    return shown_at_reset(healthy, lambda task: task.right.astype(jnp.float32))


@broken("task-blindness", "after reset shows the task: right")
def the_goal_is_shown_scaled_and_turned(healthy):
    return shown_at_reset(healthy, lambda task: 0.9 - 0.3 * task.right.astype(jnp.float32))


@broken("task-blindness", "after reset shows the task: number")
def the_number_is_shown(healthy):
    return shown_at_reset(healthy, lambda task: task.number)


@broken("task-blindness", "after the first step show the task: right")
def the_goal_is_shown_later(healthy):
    def change(task, state, action, outcome):
        return {"observation": outcome.observation.at[1].set(task.right.astype(jnp.float32))}

    return changed_step(healthy, change)


@broken("disjoint splits", "share 499")
def one_split_for_both(healthy):
    return {"sample": lambda split, key: healthy.sample("train", key)}


@broken("description", "not a dict")
def described_by_a_list(healthy):
    return {"describe": lambda task: [task.right]}


@broken("description", "KeyError")
def description_raises(healthy):
    return {"describe": lambda task: {}["goal"]}


@broken("references", "floor lies above ceiling", aiming())
def floor_above_ceiling(healthy):
    return {"floor": lambda task: jnp.float32(1.0)}


@broken("references", "ceiling is not finite", aiming())
def ceiling_is_not_a_number(healthy):
    return {"ceiling": lambda task: jnp.float32(jnp.nan)}


@broken("mean rewards", "rewards add up to")
def mean_reward_of_another_action(healthy):
    return {"mean_reward": lambda task, state, action: jnp.where(action == 0, 1.0, 2.0)}


@broken("mean rewards", "mean_reward is not finite", aiming())
def mean_reward_is_not_a_number(healthy):
    return {"mean_reward": lambda task, state, action: jnp.float32(jnp.nan)}


SLOW = {
    "observation_of_another_shape",
    "observation_is_text",
    "the_goal_is_shown_later",
    "reward_from_a_generator",
    "an_episode_moves_the_goal",
    "observation_is_not_a_number",
    "the_horizon_terminates",
    "the_goal_is_shown_scaled_and_turned",
    "the_number_is_shown",
}
"""Further ways to break a law that another distribution breaks, at a second or more each."""


@pytest.mark.parametrize("name", slow_but(BROKEN.keys() - SLOW, BROKEN))
def test_exactly_the_broken_law_is_named(name):
    law, containing, healthy, make = BROKEN[name]
    faults = check(dataclasses.replace(healthy, **make(healthy)), samples=500)
    assert {fault.law for fault in faults} == {law}
    assert not any(fault.warning for fault in faults)
    assert containing in faults[0].what
    assert "\n" not in faults[0].what
    assert faults[0].remedy


@pytest.mark.parametrize("distribution", slow_but([HEALTHY], [HEALTHY, aiming()]), ids=lambda distribution: distribution.name)
def test_nothing_is_found_where_nothing_is_wrong(distribution):
    assert check(distribution, samples=1000) == []


def test_every_law_has_a_broken_distribution():
    assert {law for law, *_ in BROKEN.values()} == set(JAX_LAWS)


@pytest.mark.slow
def test_what_is_shown_on_purpose_is_no_fault():
    shown = dataclasses.replace(HEALTHY, **the_goal_is_shown(HEALTHY), shown=("right",))
    assert check(shown, samples=500) == []


@pytest.mark.slow
def test_a_successor_that_depends_on_task_and_action_is_no_leak():
    # Learning to steer: the unknown task turns an action into a movement, and the observation is where it led.
    def step(task, state, action, key):
        position = jnp.clip(state + task * action, -4.0, 4.0)
        no = jnp.asarray(False)
        reward = -jnp.square(position).sum()
        return position, Outcome(observation=position, reward=reward, terminated=no, truncated=no)

    space = gymnasium.spaces.Box(-4.0, 4.0, (2,))
    spec = dataclasses.replace(aiming().spec, observation_space=space, horizon=3)
    assert check(dataclasses.replace(aiming(), spec=spec, step=step, floor=None), samples=500) == []


@pytest.mark.slow
def test_a_first_observation_that_depends_on_the_task_is_a_warning():
    veiled = dataclasses.replace(HEALTHY, **shown_at_reset(HEALTHY, lambda task: jnp.sin(9.0 * task.number) ** 2))
    faults = check(veiled, samples=500)
    assert [(fault.law, fault.warning) for fault in faults] == [("task-blindness", True)]


def test_a_split_of_one_task_is_a_warning():
    same = dataclasses.replace(HEALTHY, sample=lambda split, key: HEALTHY.sample(split, jax.random.key(0)))
    assert {(fault.law, fault.warning) for fault in check(same, samples=500)} == {("sampling", True)}


def test_faults_are_put_into_words():
    fault = Fault(law="endings", what="two at once.", remedy="Choose one.")
    assert fault_lines([fault]) == ["fault (endings): two at once.", "    remedy: Choose one."]
    assert fault_lines([]) == ["no fault found"]
    assert fault_lines([dataclasses.replace(fault, warning=True)])[-1] == "no fault found; warnings: 1"
