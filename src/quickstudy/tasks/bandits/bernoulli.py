"""Bernoulli bandits: k arms that pay 1 with an unknown probability, n pulls in one lifetime.

The setting of Duan et al. 2016 (RL², section 3.1).

- Drawn once per lifetime: the success probability of each arm, independently from U[0, 1].
- Observation: always 0. Action: the arm to pull, 0 to k - 1. Reward: 1 for a success, else 0.
- Every pull is an episode of one step, so the return of a lifetime is the number of successes.

Splits are disjoint by construction: `mark_split` writes the number of the split into the last bits of every probability.

- `train`, `test`: independent U[0, 1].
- `ood:close-arms`: all arms between 0.45 and 0.55, which take more pulls to distinguish.
- `ood:rare-successes`: independent U[0, 0.1].
- `ood:one-good-arm`: one arm at 0.9, the others U[0, 0.5].

The floor is n times the mean probability, the ceiling n times the largest one. Both are exact.

Baselines: the classical bandit agents with the conventions of the paper (table 1), and the exact Bayes optimum for up to 15
pulls with any number of arms and up to 100 pulls with two arms. All of them have the prior of uniform arms, on every split.

Expected results: 6.66 for the Bayes optimum with 5 arms and 10 pulls (exact). `pytest tests/golden/test_bandit_baselines.py`
compares all baselines with published returns.
"""

from collections.abc import Callable
from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.bandits.bayes_optimal import bayes_optimal_agent, exact_reaches
from quickstudy.baselines.bandits.epsilon_greedy import epsilon_greedy_agent
from quickstudy.baselines.bandits.gittins import gittins_agent, gittins_reaches
from quickstudy.baselines.bandits.greedy import greedy_agent
from quickstudy.baselines.bandits.thompson import thompson_agent
from quickstudy.baselines.bandits.ucb1 import ucb1_agent
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test", "ood:close-arms", "ood:rare-successes", "ood:one-good-arm")


@record
class BernoulliBanditTask:
    """`probability` `[arms]`: chance in [0, 1) that a pull of each arm pays 1."""

    probability: Float[Array, " arms"]


def bernoulli_bandit(*, arms: int = 5, pulls: int = 100) -> TaskDistribution:
    """Bernoulli bandits with independent uniform arms.

    Args:
      arms: number of arms, at least 2.
      pulls: number of pulls in one lifetime, at least 1; each is an episode of one step.
    Raises:
      SpecError: fewer than 2 arms or fewer than 1 pull.
    Example:
      >>> bernoulli_bandit(arms=5, pulls=100).spec.lifetime_steps
      100
    Source: Duan et al. 2016, section 3.1. Changed: probabilities are rounded to multiples of 2^-20 (see `mark_split`).
    """
    if arms < 2:
        raise SpecError(f"arms must be 2 or more; came {arms}.")
    if pulls < 1:
        raise SpecError(f"pulls must be 1 or more; came {pulls}.")
    spec = Spec(
        observation_space=gymnasium.spaces.Discrete(1),
        action_space=gymnasium.spaces.Discrete(arms),
        horizon=1,
        episodes=pulls,
    )

    def sample(split: str, key: PRNGKeyArray) -> BernoulliBanditTask:
        key_arms, key_best = jax.random.split(key)
        uniform = jax.random.uniform(key_arms, (arms,))
        if split == "ood:close-arms":
            uniform = 0.45 + 0.1 * uniform
        elif split == "ood:rare-successes":
            uniform = 0.1 * uniform
        elif split == "ood:one-good-arm":
            best = jax.random.randint(key_best, (), 0, arms)
            uniform = jnp.where(jnp.arange(arms) == best, 0.9, 0.5 * uniform)
        return BernoulliBanditTask(probability=mark_split(uniform, split, SPLITS))

    def reset(task: BernoulliBanditTask, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task, key
        return jnp.int32(0), jnp.int32(0)

    def step(task: BernoulliBanditTask, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        # One uniform number for all arms: with one key, agents that pull different arms meet common random numbers.
        reward = (jax.random.uniform(key) < task.probability[action]).astype(jnp.float32)
        no = jnp.asarray(False)
        return state, Outcome(observation=jnp.int32(0), reward=reward, terminated=no, truncated=no)

    return TaskDistribution(
        name="bernoulli-bandit",
        config={"arms": arms, "pulls": pulls},
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"probability of success": task.probability},
        floor=lambda task: pulls * task.probability.mean(),
        ceiling=lambda task: pulls * task.probability.max(),
        mean_reward=lambda task, state, action: task.probability[action],
        baselines=_baselines(spec, arms=arms),
    )


def _baselines(spec: Spec, *, arms: int) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents; those that need a table are included only where the table reaches."""
    baselines: dict[str, Callable[[], Agent]] = {
        "random": partial(random_agent, spec),
        "greedy": partial(greedy_agent, spec),
        "ε-greedy": partial(epsilon_greedy_agent, spec),
        "UCB1": partial(ucb1_agent, spec),
        "Thompson sampling": partial(thompson_agent, spec),
    }
    if gittins_reaches(spec):
        baselines["Gittins index"] = partial(gittins_agent, spec)
    if exact_reaches(arms=arms, pulls=spec.lifetime_steps):
        baselines["Bayes optimum (exact)"] = partial(bayes_optimal_agent, spec)
    return baselines
