"""The same tasks for agents that see the task: every observation ends in all numbers of the task.

A privileged agent is no baseline but a limit: the return that the same network reaches when it knows the task. Train a policy
on these tasks (`quickstudy train multi-task privileged-point-navigation`) and compare it with the ceiling. The difference is
the part of the shortfall that better control would remove; the rest is the price of not knowing the task.

What is drawn once per lifetime, the splits, the rewards and the task lists are those of the distribution without `privileged-`,
so returns can be compared. Floors and ceilings are the same too. Observations have no bounds, whatever bounds they had before,
and observations that were integers are one-hot. The only baseline is `random`: the others read the original observations.
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


def privileged(distribution: TaskDistribution) -> TaskDistribution:
    """The same tasks with observations `[observation + task]`: the encoded observation, then the task's leaves in tree order.

    Args:
      distribution: tasks whose leaves are numbers, in the units that the distribution documents.
    Returns:
      A distribution named `privileged-<name>` whose `shown` names every leaf of the task.
    Example:
      >>> from quickstudy.tasks.navigation.point_navigation import point_navigation
      >>> privileged(point_navigation()).spec.observation_space.shape
      (6,)
    """
    space = distribution.spec.observation_space
    task = jax.eval_shape(functools.partial(distribution.sample, "train"), jax.eval_shape(lambda: jax.random.key(0)))
    numbers = sum(leaf.size for leaf in jax.tree.leaves(task))
    size = flat_size(space) + numbers
    spec = dataclasses.replace(distribution.spec, observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (size,)))

    def with_task(task: PyTree, observation: Array) -> Array:
        leaves = [jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(task)]
        return jnp.concatenate([encode(observation, space), *leaves])

    def reset(task: PyTree, key: PRNGKeyArray) -> tuple[PyTree, Array]:
        state, observation = distribution.reset(task, key)
        return state, with_task(task, observation)

    def step(task: PyTree, state: PyTree, action: Array, key: PRNGKeyArray) -> tuple[PyTree, Outcome]:
        state, outcome = distribution.step(task, state, action, key)
        return state, dataclasses.replace(outcome, observation=with_task(task, outcome.observation))

    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(task)]
    return dataclasses.replace(
        distribution,
        name=f"privileged-{distribution.name}",
        spec=spec,
        reset=reset,
        step=step,
        baselines={"random": functools.partial(random_agent, spec)},
        shown=tuple(jax.tree_util.keystr(path).lstrip(".") for path in paths),
    )


def _privileged_factory(factory: Callable[..., TaskDistribution]) -> Callable[..., TaskDistribution]:
    """A factory with the same settings that makes the privileged tasks."""

    @functools.wraps(factory)
    def make(**config: object) -> TaskDistribution:
        return privileged(factory(**config))

    make.__module__ = __name__
    return make


cart_pole = _privileged_factory(_cart_pole.cart_pole)
pendulum = _privileged_factory(_pendulum.pendulum)
point_navigation = _privileged_factory(_point_navigation.point_navigation)
