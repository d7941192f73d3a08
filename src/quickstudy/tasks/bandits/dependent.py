"""Dependent bandits: two arms, one of which pays with probability p and the other with 1 - p; n pulls in one lifetime.

The setting of Wang et al. 2016 (Learning to reinforcement learn, section 3.1.2). An agent that knows how the arms depend on
one another learns about both from either. The classical bandit agents assume independent arms, so none of them does.

- Drawn once per lifetime: p, from U[0, 1] (`uniform`), {0.1, 0.9} (`easy`), {0.25, 0.75} (`medium`) or {0.4, 0.6} (`hard`).
- Observation: always 0. Action: the arm to pull, 0 or 1. Reward: 1 for a success, else 0.
- Spaces are those of `bernoulli_bandit(arms=2)`, so an agent can be trained there and measured here.

Splits are disjoint by construction: `mark_split` writes the number of the split into the last bits of p. Apart from this mark,
`easy`, `medium` and `hard` hold only two bandits each, and `train` and `test` both draw them. There `test` shows how well an
agent learns within a lifetime, and nothing about generalisation.

- `train`, `test`: of the given difficulty.
- `ood:uniform`, `ood:easy`, `ood:medium`, `ood:hard`: of the other difficulties.
- `ood:independent-arms`: both arms U[0, 1], as in `bernoulli_bandit`.

Floor and ceiling are exact: n times the mean and the largest probability.

Baselines: the classical bandit agents with the prior of independent uniform arms, and the exact Bayes optimum
(`baselines.bandits.dependent_arms`), which is the same for all difficulties. Expected regret over 100 pulls:

    difficulty   Bayes optimum   Gittins   UCB1 (tuned)   UCB1 (c = 1)   Thompson   greedy   ε-greedy   random
    uniform      1.221           1.59      1.56           5.79           2.79       2.20     3.98       25
    easy         0.625           0.80      0.72           6.00           2.13       0.64     4.55       40
    medium       1.000           1.40      1.31           6.84           3.01       1.89     3.75       25
    hard         2.312           2.97      3.11           5.96           4.08       4.75     4.21       10

The optimum and the random column are exact. The others are simulated on 20,000 bandits of `test` (standard errors of at most
0.055). Command: `pytest tests/golden/test_dependent_bandits.py`.
"""

import dataclasses
from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.bandits.dependent_arms import dependent_arms_agent
from quickstudy.protocol.errors import UnknownNameError
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.bandits.bernoulli import BernoulliBanditTask, bernoulli_bandit

Difficulty = Literal["uniform", "easy", "medium", "hard"]
BETTER_ARM = {"easy": 0.9, "medium": 0.75, "hard": 0.6}


def dependent_bandit(*, difficulty: Difficulty = "uniform", pulls: int = 100) -> TaskDistribution:
    """Two arms that pay with probabilities p and 1 - p.

    Args:
      difficulty: the distribution of p: uniform, easy, medium or hard.
      pulls: number of pulls in one lifetime, at least 1; each is an episode of one step.
    Raises:
      UnknownNameError: no such difficulty.
      SpecError: fewer than 1 pull.
    Example:
      >>> dependent_bandit(difficulty="hard").spec.lifetime_steps
      100
    Source: Wang et al. 2016, section 3.1.2. Changed: p is rounded to multiples of 2^-20 (see `mark_split`).
    """
    difficulties = get_args(Difficulty)
    if difficulty not in difficulties:
        raise UnknownNameError("difficulty", difficulty, difficulties)
    others = tuple(f"ood:{other}" for other in difficulties if other != difficulty)
    splits = ("train", "test", *others, "ood:independent-arms")
    independent = bernoulli_bandit(arms=2, pulls=pulls)

    def sample(split: str, key: PRNGKeyArray) -> BernoulliBanditTask:
        if split == "ood:independent-arms":
            return BernoulliBanditTask(probability=mark_split(jax.random.uniform(key, (2,)), split, splits))
        first = _first_arm(split.removeprefix("ood:") if split in others else difficulty, key)
        marked = mark_split(first, split, splits)
        return BernoulliBanditTask(probability=jnp.stack([marked, 1.0 - marked]))

    return dataclasses.replace(
        independent,
        name="dependent-bandit",
        config={"difficulty": difficulty, "pulls": pulls},
        splits=splits,
        sample=sample,
        baselines={**independent.baselines, "Bayes optimum (exact)": partial(dependent_arms_agent, independent.spec)},
    )


def _first_arm(difficulty: str, key: PRNGKeyArray) -> Array:
    """p `[]` of a difficulty."""
    if difficulty == "uniform":
        return jax.random.uniform(key)
    better = BETTER_ARM[difficulty]
    return jnp.where(jax.random.bernoulli(key), better, 1.0 - better)
