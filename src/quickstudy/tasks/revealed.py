"""The same tasks, told: every observation ends in the whole task, so that nothing has to be found out.

For privileged agents, which are no opponents but a limit: what the same network could earn if it knew the task. A policy that
is trained on these (`quickstudy train multi-task told-point-navigation`) shows how much of the distance to the ceiling is a
matter of control, and how much of not knowing.

Tasks, splits, rewards and task lists are those of the distribution without `told-`, so returns stand side by side; floors and
ceilings are the same. Observations are unbounded, whatever they were; those that were whole numbers are one-hot.
"""

import dataclasses
import functools
from collections.abc import Callable

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.baselines.random import random_agent
from quickstudy.protocol.records import Outcome
from quickstudy.protocol.spaces import encode, flat_size
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.control import cart_pole as _cart_pole
from quickstudy.tasks.control import pendulum as _pendulum
from quickstudy.tasks.navigation import point_navigation as _point_navigation


def told(distribution: TaskDistribution) -> TaskDistribution:
    """The same tasks with observations that end in the task's numbers, leaf by leaf.

    Of the baselines only `random` is left: the others read observations as they were.
    """
    space = distribution.spec.observation_space
    task = jax.eval_shape(functools.partial(distribution.sample, "train"), jax.eval_shape(lambda: jax.random.key(0)))
    numbers = sum(leaf.size for leaf in jax.tree.leaves(task))
    size = flat_size(space) + numbers
    spec = dataclasses.replace(distribution.spec, observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (size,)))

    def seen(task: PyTree, observation: Array) -> Array:
        leaves = [jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(task)]
        return jnp.concatenate([encode(observation, space), *leaves])

    def reset(task: PyTree, key: PRNGKeyArray) -> tuple[PyTree, Array]:
        state, observation = distribution.reset(task, key)
        return state, seen(task, observation)

    def step(task: PyTree, state: PyTree, action: Array, key: PRNGKeyArray) -> tuple[PyTree, Outcome]:
        state, outcome = distribution.step(task, state, action, key)
        return state, dataclasses.replace(outcome, observation=seen(task, outcome.observation))

    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(task)]
    return dataclasses.replace(
        distribution,
        name=f"told-{distribution.name}",
        spec=spec,
        reset=reset,
        step=step,
        baselines={"random": functools.partial(random_agent, spec)},
        shown=tuple(jax.tree_util.keystr(path).lstrip(".") for path in paths),
    )


def _telling(factory: Callable[..., TaskDistribution]) -> Callable[..., TaskDistribution]:
    """A factory with the same settings, whose tasks are told."""

    @functools.wraps(factory)
    def make(**config: object) -> TaskDistribution:
        return told(factory(**config))

    make.__module__ = __name__
    return make


cart_pole = _telling(_cart_pole.cart_pole)
pendulum = _telling(_pendulum.pendulum)
point_navigation = _telling(_point_navigation.point_navigation)
