"""Tabular Markov decision processes: a few states and actions, with unknown rewards and transitions.

The setting of Duan et al. 2016 (RL², section 3.2).

- Drawn once per lifetime: mean rewards N(1, 1) and transition probabilities Dirichlet(1, ..., 1), of each of 10 states and 5
  actions.
- Observation: the number of the state. Action: a number, 0 to 4.
- Reward: the mean reward of the state and action plus noise N(0, 1). Episodes begin in state 0 and last 10 steps.

Splits are disjoint by construction: `mark_split` writes the number of the split into the last bits of every mean reward. For
that, mean rewards are rounded to multiples of 2^-16, which moves them by less than 2^-12, and clipped to -8 and 8, seven
standard deviations away.

- `train`, `test`: as above.
- `ood:sparse-transitions`: successors are Dirichlet(0.1, ..., 0.1), so that few of them are likely.
- `ood:small-rewards`: mean rewards are N(1/4, 1/16), with the same noise.

Floor and ceiling are exact, by dynamic programming on the drawn process.

Baselines: the classical agents of the paper's table 2, one more that plans once an episode, and two that decide anew at every
step. These two are the strongest. All have the prior of `train`, on every split. Expected results: `docs/tabular-mdps.md`
compares them with the published returns. Command: `pytest tests/golden/test_mdp_baselines.py`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.mdps.beb import beb_agent, visit_bonus_agent
from quickstudy.baselines.mdps.greedy import mdp_epsilon_greedy_agent, mdp_greedy_agent
from quickstudy.baselines.mdps.opsrl import opsrl_agent
from quickstudy.baselines.mdps.psrl import psrl_agent
from quickstudy.baselines.mdps.step_wise import step_wise_planning_agent, step_wise_rule_agent
from quickstudy.baselines.mdps.ucrl2 import ucrl2_agent
from quickstudy.baselines.random import random_agent
from quickstudy.numerics.value_iteration import backward_induction, expected_backup
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.mdps.finite_spec import finite_spec

SPLITS = ("train", "test", "ood:sparse-transitions", "ood:small-rewards")

_REWARD_BOUND = 8.0


@record
class TabularMDP:
    """`reward` `[states, actions]`: mean rewards; `transition` `[states, actions, states]`: probabilities of the successors."""

    reward: Float[Array, "states actions"]
    transition: Float[Array, "states actions states"]


def tabular_mdp(*, states: int = 10, actions: int = 5, horizon: int = 10, episodes: int = 10) -> TaskDistribution:
    """Random tabular MDPs: Dirichlet transitions, Gaussian rewards.

    Args:
      states: number of states, at least 2; every episode begins in state 0.
      actions: number of actions, at least 2.
      horizon: steps of every episode.
      episodes: episodes in one lifetime; the paper has 10, 25, 50, 75 and 100.
    Raises:
      SpecError: fewer than 2 states or actions, or a length below 1.
    Example:
      >>> tabular_mdp(episodes=25).spec.lifetime_steps
      250
    Source: Duan et al. 2016, section 3.2. Changed: mean rewards are rounded (see above).
    """
    spec = finite_spec(states=states, actions=actions, horizon=horizon, episodes=episodes)

    def sample(split: str, key: PRNGKeyArray) -> TabularMDP:
        key_reward, key_transition = jax.random.split(key)
        reward = 1.0 + jax.random.normal(key_reward, (states, actions))
        if split == "ood:small-rewards":
            reward = 0.25 * reward
        shape = (states, actions, states)
        if split == "ood:sparse-transitions":
            transition = jax.nn.softmax(jax.random.loggamma(key_transition, 0.1, shape))
        else:
            # Exponential numbers, normalised, are uniform on the simplex.
            weight = jax.random.exponential(key_transition, shape)
            transition = weight / weight.sum(axis=-1, keepdims=True)
        marked = mark_split((reward + _REWARD_BOUND) / (2 * _REWARD_BOUND), split, SPLITS)
        return TabularMDP(reward=2 * _REWARD_BOUND * marked - _REWARD_BOUND, transition=transition)

    def reset(task: TabularMDP, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task, key
        return jnp.int32(0), jnp.int32(0)

    def step(task: TabularMDP, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        # Neither number depends on the action: with one key, agents that act differently meet common random numbers.
        key_successor, key_noise = jax.random.split(key)
        below = jnp.cumsum(task.transition[state, action]) <= jax.random.uniform(key_successor)
        successor = jnp.minimum(below.sum(dtype=jnp.int32), states - 1)
        reward = task.reward[state, action] + jax.random.normal(key_noise)
        no = jnp.asarray(False)
        return successor, Outcome(observation=successor, reward=reward, terminated=no, truncated=no)

    def lifetime_value(task: TabularMDP, summary: Callable[..., Array]) -> Array:
        backup = expected_backup(task.reward, task.transition)
        return episodes * backward_induction(backup, states=states, horizon=horizon, summary=summary)[0][0]

    return TaskDistribution(
        name="tabular-mdp",
        config={"states": states, "actions": actions, "horizon": horizon, "episodes": episodes},
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"mean reward": task.reward, "transition probability": task.transition},
        floor=lambda task: lifetime_value(task, jnp.mean),
        ceiling=lambda task: lifetime_value(task, jnp.max),
        mean_reward=lambda task, state, action: task.reward[state, action],
        baselines=_baselines(spec),
    )


def _baselines(spec: Spec) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents."""
    return {
        "random": partial(random_agent, spec),
        "greedy": partial(mdp_greedy_agent, spec),
        "ε-greedy": partial(mdp_epsilon_greedy_agent, spec),
        "PSRL": partial(psrl_agent, spec),
        "OPSRL": partial(opsrl_agent, spec),
        "UCRL2": partial(ucrl2_agent, spec),
        "BEB": partial(beb_agent, spec),
        "visit bonus": partial(visit_bonus_agent, spec),
        "step-wise rule": partial(step_wise_rule_agent, spec),
        "step-wise planning": partial(step_wise_planning_agent, spec),
    }
