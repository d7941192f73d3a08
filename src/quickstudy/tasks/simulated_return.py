"""Expected returns that nobody can compute, found by playing: the mean over episodes that a policy plays on a task."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.baselines.random import random_agent
from quickstudy.protocol.records import Outcome, Spec
from quickstudy.protocol.sequences import scan, where

Step = Callable[[PyTree, PyTree, Array, PRNGKeyArray], tuple[PyTree, Outcome]]
Policy = Callable[[PyTree, Array, PRNGKeyArray], Array]


def simulated_return(states: PyTree, seen: Callable[[PyTree], Array], step: Step, policy: Policy, spec: Spec) -> Callable:
    """The expected return of a lifetime in which a policy never learns anything, as a function of the task.

    All tasks and all policies begin alike and meet the same luck, so that two references differ by less than either is wrong.
    That also means that the error does not average out over tasks: begin in states that cover what there is evenly.

    Args:
      states: where episodes begin, leading axis `[simulations]`; one episode is played from each.
      seen: `(state) -> observation`.
      step: `(task, state, action, key) -> (state, Outcome)`.
      policy: `(task, observation, key) -> action`; it may read the task.
      spec: horizon and episodes of a lifetime.
    Returns:
      `(task) -> []`, reward units.
    """

    simulations = jax.tree.leaves(states)[0].shape[0]

    def episode(task: PyTree, state: PyTree, key: PRNGKeyArray) -> Array:
        def slot(carry: tuple, key: PRNGKeyArray) -> tuple[tuple, None]:
            state, observation, over, total = carry
            key_action, key_step = jax.random.split(key)
            following, outcome = step(task, state, policy(task, observation, key_action), key_step)
            total = total + jnp.where(over, 0.0, outcome.reward)
            state, observation = where(over, (state, observation), (following, outcome.observation))
            return (state, observation, over | outcome.terminated, total), None

        start = (state, seen(state), jnp.asarray(False), jnp.float32(0.0))
        return scan(slot, start, jax.random.split(key, spec.horizon))[0][-1]

    def expected(task: PyTree) -> Array:
        keys = jax.random.split(jax.random.key(0), simulations)
        return spec.episodes * jax.vmap(episode, (None, 0, 0))(task, states, keys).mean()

    return expected


def evenly(points: int, dimensions: int) -> np.ndarray:
    """`[points, dimensions]` in (0, 1): points that fill a cube more evenly than random ones, with no two alike.

    xᵢ = ((i + 1/2) (1/φ, 1/φ², ...)) mod 1        φ^(dimensions + 1) = φ + 1
    """
    ratio = 2.0
    for _ in range(60):
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1)
    return np.asarray(np.outer(np.arange(points) + 0.5, steps) % 1.0, np.float32)


def random_policy(spec: Spec) -> Policy:
    """Uniformly random actions, as a policy that reads nothing."""
    act = random_agent(spec).act
    return lambda task, observation, key: act((), (), observation, key).action
