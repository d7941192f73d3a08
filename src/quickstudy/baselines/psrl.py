"""Posterior sampling for reinforcement learning: plan in one MDP drawn from the belief, and act on it for an episode."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.agent import Agent
from quickstudy.baselines.transition_counts import TransitionCounts, planning_agent
from quickstudy.numerics.dirichlet import draw_dirichlet
from quickstudy.numerics.value_iteration import backward_induction, expected_backup
from quickstudy.records import Spec


def psrl_agent(spec: Spec, *, prior_mean: float = 1.0) -> Agent:
    """An agent that draws an MDP from its posterior before every episode, and follows that MDP's best policy through it.

    Args:
      spec: of the tasks; Discrete observations (the states) and actions.
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    Raises:
      SpecError: observations or actions that are not Discrete.
    Source: Strens 2000; Osband, Russo & Van Roy 2013, algorithm 1. Changed: nothing.
    """
    return planning_agent(spec, lambda counts, key: values_of_a_draw(counts, key, prior_mean=prior_mean, horizon=spec.horizon))


def values_of_a_draw(
    counts: TransitionCounts, key: PRNGKeyArray, *, prior_mean: float, horizon: int
) -> Float[Array, "horizon states actions"]:
    """The best policy's action values in one MDP drawn from the posterior."""
    key_reward, key_transition = jax.random.split(key)
    mean = counts.mean_reward(prior_mean)
    reward = mean + jax.random.normal(key_reward, mean.shape) / jnp.sqrt(1.0 + counts.visits)
    transition = draw_dirichlet((counts.transitions + 1).astype(jnp.float32), key_transition)
    return backward_induction(expected_backup(reward, transition), states=mean.shape[0], horizon=horizon)[1]
