"""Small Markov decision processes whose optimum is known exactly: rewards are known, and the effects of actions are not.

- Drawn once per lifetime: the transition probabilities of every state and action, Dirichlet(1, ..., 1).
- Observation: the number of the state. Action: a number, 0 to `actions - 1`.
- Reward: 1 for a step that arrives in the last state, else 0. Episodes begin in state 0 and last `horizon` steps.

Rewards are known and the prior is conjugate, so counts of transitions are a sufficient statistic. For short lifetimes, dynamic
programming over the counts (`baselines.mdps.adaptive_plan`) gives the Bayes-optimal agent and its return without simulation.
So the value of exploration is known exactly.

Splits are disjoint by construction. The probabilities of one state and action are the gaps between sorted numbers in [0, 1], 0
and 1. `mark_split` writes the number of the split into the last bits of the sorted numbers, which moves a probability by less
than 2^-15.

- `train`, `test`: as above; gaps between sorted uniform numbers are Dirichlet(1, ..., 1).
- `ood:sparse-transitions`: successors are Dirichlet(0.1, ..., 0.1), so that few of them are likely.

Floor and ceiling are exact, by dynamic programming on the drawn process.

Baselines: random, greedy planning, posterior sampling, and the exact Bayes-adaptive optimum where `adaptive_reaches`. All of
them have the prior of `train`, on every split. Expected results: the exact value of two states, two actions and one episode of
two steps is 1, and of two episodes of one step 13/12. Command: `pytest tests/baselines/test_bayes_adaptive.py`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.mdps.bayes_adaptive import (
    adaptive_reaches,
    arrival_adaptive_agent,
    arrival_greedy_agent,
    arrival_sampling_agent,
)
from quickstudy.baselines.random import random_agent
from quickstudy.numerics.value_iteration import backward_induction, expected_backup
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.mdps.finite_spec import finite_spec

SPLITS = ("train", "test", "ood:sparse-transitions")


@record
class ArrivalMDP:
    """`thresholds` `[states, actions, states - 1]` in [0, 1), rising: cumulative probabilities, without the last."""

    thresholds: Float[Array, "states actions thresholds"]

    @property
    def transition(self) -> Float[Array, "states actions states"]:
        """Probabilities of the successors."""
        edge = jnp.zeros_like(self.thresholds[..., :1])
        return jnp.diff(self.thresholds, axis=-1, prepend=edge, append=edge + 1.0)


def arrival_mdp(*, states: int = 2, actions: int = 2, horizon: int = 4, episodes: int = 4) -> TaskDistribution:
    """Markov decision processes with unknown Dirichlet transitions, where arriving in the last state pays.

    Args:
      states: number of states, at least 2; every episode begins in state 0.
      actions: number of actions, at least 2.
      horizon: steps of every episode.
      episodes: episodes in one lifetime.
    Raises:
      SpecError: fewer than 2 states or actions, or a length below 1.
    Example:
      >>> arrival_mdp(episodes=3).spec.lifetime_steps
      12
    Source: none. The prior is that of Duan et al. 2016, section 3.2, without its unknown rewards.
    """
    spec = finite_spec(states=states, actions=actions, horizon=horizon, episodes=episodes)

    def sample(split: str, key: PRNGKeyArray) -> ArrivalMDP:
        if split == "ood:sparse-transitions":
            chances = jax.nn.softmax(jax.random.loggamma(key, 0.1, (states, actions, states)))
            thresholds = jnp.cumsum(chances, axis=-1)[..., :-1]
        else:
            thresholds = jnp.sort(jax.random.uniform(key, (states, actions, states - 1)), axis=-1)
        return ArrivalMDP(thresholds=mark_split(thresholds, split, SPLITS))

    def reset(task: ArrivalMDP, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task, key
        return jnp.int32(0), jnp.int32(0)

    def step(task: ArrivalMDP, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        # One uniform number for all actions: with one key, agents that act differently meet common random numbers.
        successor = (task.thresholds[state, action] <= jax.random.uniform(key)).sum(dtype=jnp.int32)
        reward = (successor == states - 1).astype(jnp.float32)
        no = jnp.asarray(False)
        return successor, Outcome(observation=successor, reward=reward, terminated=no, truncated=no)

    def lifetime_value(task: ArrivalMDP, summary: Callable[..., Array]) -> Array:
        backup = expected_backup(task.transition[..., -1], task.transition)
        return episodes * backward_induction(backup, states=states, horizon=horizon, summary=summary)[0][0]

    return TaskDistribution(
        name="arrival-mdp",
        config={"states": states, "actions": actions, "horizon": horizon, "episodes": episodes},
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"transition probability": task.transition},
        floor=lambda task: lifetime_value(task, jnp.mean),
        ceiling=lambda task: lifetime_value(task, jnp.max),
        baselines=_baselines(spec),
    )


def _baselines(spec: Spec) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents; the exact optimum is included only where it can be computed."""
    baselines: dict[str, Callable[[], Agent]] = {
        "random": partial(random_agent, spec),
        "greedy": partial(arrival_greedy_agent, spec),
        "posterior sampling": partial(arrival_sampling_agent, spec),
    }
    if adaptive_reaches(spec):
        baselines["Bayes optimum (exact)"] = partial(arrival_adaptive_agent, spec)
    return baselines
