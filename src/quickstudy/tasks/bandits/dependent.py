"""Dependent bandits: two arms, one of which pays with probability p and the other with 1 - p; n pulls in one lifetime.

The setting of Wang et al. 2016 (Learning to reinforcement learn, section 3.1.2): an agent that knows how its arms hang together
learns from either arm about both, and none of the classical bandit agents, which take arms to be independent, does so. What is
seen and done is the same as in `bernoulli_bandit(arms=2)`, so that an agent may be trained there and measured here.

Difficulties, by what p is drawn from: `uniform` U[0, 1], `easy` {0.1, 0.9}, `medium` {0.25, 0.75}, `hard` {0.4, 0.6}.

Splits are disjoint by construction: `mark_split` stamps the split's number into the last bits of p. But for this mark, three of
the difficulties hold two bandits, no more, and `train` and `test` both draw them: there `test` says how well an agent learns
within a lifetime, not whether it generalises.

- `train`, `test`: of the given difficulty.
- `ood:uniform`, `ood:easy`, `ood:medium`, `ood:hard`: of the others.
- `ood:independent-arms`: both arms U[0, 1], as in `bernoulli_bandit`.

Baselines: the classical bandit agents, which believe in independent uniform arms, and the exact Bayes optimum
(`baselines.dependent_arms`), the same for all difficulties. Expected regret over 100 pulls:

    difficulty   Bayes optimum   Gittins   UCB1 (tuned)   UCB1 (c = 1)   Thompson   greedy   ε-greedy   random
    uniform      1.221           1.59      1.56           5.79           2.79       2.20     3.98       25
    easy         0.625           0.80      0.72           6.00           2.13       0.64     4.55       40
    medium       1.000           1.40      1.31           6.84           3.01       1.89     3.75       25
    hard         2.312           2.97      3.11           5.96           4.08       4.75     4.21       10

The optimum and the random line are exact, the rest simulated on 20,000 bandits of `test` (standard errors of 0.055 at most).
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
      difficulty: what p is drawn from: uniform, easy, medium or hard.
      pulls: how many pulls in one lifetime, at least 1; each is an episode of one step.
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
    """p, drawn as the difficulty says."""
    if difficulty == "uniform":
        return jax.random.uniform(key)
    better = BETTER_ARM[difficulty]
    return jnp.where(jax.random.bernoulli(key), better, 1.0 - better)
