"""Expected returns without a closed form, by simulation: the mean over episodes that a policy plays on a task."""

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


def simulated_return(states: PyTree, observe: Callable[[PyTree], Array], step: Step, policy: Policy, spec: Spec) -> Callable:
    """The expected return of a lifetime of a policy that does not learn, as a function of the task.

    All tasks and all policies have the same first states and common random numbers, so the difference of two references has a
    smaller error than either. For the same reason the error does not average out over tasks: choose first states that cover
    all possible ones evenly.

    Args:
      states: first states of episodes, leading axis `[simulations]`; one episode is played from each.
      observe: `(state) -> observation`.
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

        start = (state, observe(state), jnp.asarray(False), jnp.float32(0.0))
        return scan(slot, start, jax.random.split(key, spec.horizon))[0][-1]

    def expected(task: PyTree) -> Array:
        keys = jax.random.split(jax.random.key(0), simulations)
        return spec.episodes * jax.vmap(episode, (None, 0, 0))(task, states, keys).mean()

    return expected


def evenly(points: int, dimensions: int) -> np.ndarray:
    """`[points, dimensions]` in (0, 1): distinct points that fill a cube more evenly than random ones.

    xᵢ = ((i + 1/2) (1/φ, 1/φ², ...)) mod 1        φ^(dimensions + 1) = φ + 1
    """
    ratio = 2.0
    for _ in range(60):
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1)
    return np.asarray(np.outer(np.arange(points) + 0.5, steps) % 1.0, np.float32)


def random_policy(spec: Spec) -> Policy:
    """Uniformly random actions, as a policy that ignores task and observation."""
    act = random_agent(spec).act
    return lambda task, observation, key: act((), (), observation, key).action
