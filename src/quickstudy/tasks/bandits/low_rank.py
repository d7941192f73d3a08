"""Low-rank bandits: contextual bandits whose arms all depend on a few shared numbers; n pulls in one lifetime.

Before every pull a context c is drawn: m independent N(0, 1) numbers. Arm a of k pays

    reward = Θ_a · c / √m + noise,  noise ~ N(0, 0.5²)        Θ = Σ_j z_j M_j  [k, m],  z ~ N(0, I_r)

The r matrices M_j are the same for all tasks (`baselines.models.low_rank`). They have independent N(0, 1/r) entries, so
weights and mean rewards have variance 1.

- Drawn once per lifetime: the coordinates z `[r]`.
- Observation `[m]`: the context of the pull. The observation after a pull repeats it; the next pull is a new episode.
- Action: the arm, 0 to k - 1. Reward: as above, in reward units.

An agent that knows the M_j must find out r numbers, and every pull is informative about all arms. An agent that does not know
them must find out k m numbers. With the defaults these are 2 and 64. So the distribution tests whether an agent learns a
prior.

Splits are disjoint by construction: `mark_split` writes the number of the split into z, as positions between -8 and 8.

- `train`, `test`: as above.
- `ood:other-basis`: other M_j of the same kind, the same for all tasks of this split.
- `ood:noisy`: noise of three times the standard deviation.

`floor` is exactly 0, since contexts are symmetric. `ceiling` is the expected maximum over arms: over a fixed set of 2,048
directions that cover the sphere evenly, with their opposites, times the exact mean length of a context. Compared with 200,000
random contexts on 60 tasks, its error is at most 0.3 %, and on average it is 0.1 % too low.

Return of 100 pulls on 300 tasks of each split (standard errors), and the shortfall from the ceiling on `test`. Command:
`pytest tests/tasks/bandits/test_low_rank.py`.

    agent                            test           shortfall      ood:other-basis    ood:noisy
    ceiling                          121.1 (3.6)                   140.0 (4.1)        121.1 (3.6)
    low-rank posterior (greedy)      118.4 (3.7)    2.63 (0.49)    19.8 (1.3)         110.9 (3.9)
    low-rank posterior (Thompson)    117.5 (3.7)    3.56 (0.49)    17.5 (1.3)         111.0 (3.8)
    LinUCB                           67.8 (2.6)     53.2 (1.3)     80.4 (2.9)         42.0 (2.3)
    linear Thompson sampling         53.7 (2.5)     67.4 (1.4)     65.7 (2.9)         38.4 (2.3)
    random                           0.4 (0.6)      120.7 (3.6)    -0.2 (0.6)         0.1 (1.0)

Knowing the basis is worth 51 of 121. On another basis, a wrong basis is worse than none.
"""

import math
from collections.abc import Callable
from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.bandits.linear_thompson import linear_thompson_agent
from quickstudy.baselines.bandits.linear_ucb import linear_ucb_agent
from quickstudy.baselines.bandits.low_rank_posterior import low_rank_greedy_agent, low_rank_thompson_agent
from quickstudy.baselines.models.low_rank import NOISE, RANK, fixed_basis
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.memory import check_memory
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.simulated_return import evenly

SPLITS = ("train", "test", "ood:other-basis", "ood:noisy")
NOISIER = 3.0
"""Factor of the standard deviation of the noise in `ood:noisy`."""

_WIDEST = 8.0
_DIRECTIONS = 2048


@record
class LowRankTask:
    """The parameters of one bandit.

    `coordinates` `[rank]`: z. `matrix` `[arms, size]`: Θ, which follows from z and the basis. `noise` `[]`: standard deviation
    of rewards.
    """

    coordinates: Float[Array, " rank"]
    matrix: Float[Array, "arms size"]
    noise: Float[Array, ""]


def low_rank_bandit(
    *, arms: int = 8, size: int = 8, rank: int = RANK, noise: float = NOISE, pulls: int = 100
) -> TaskDistribution:
    """Contextual bandits whose arms depend on a few shared numbers.

    Args:
      arms: number of arms, at least 2.
      size: numbers in a context, at least 1.
      rank: coordinates of a task, at least 1.
      noise: standard deviation of rewards, above 0.
      pulls: number of pulls in one lifetime, at least 1; each is an episode of one step.
    Raises:
      SpecError: a setting out of its range.
    Example:
      >>> low_rank_bandit(pulls=50).spec.lifetime_steps
      50
    Source: ours, after the contextual bandits of Li et al. 2010. z is rounded (see `mark_split`).
    """
    for name, value, least in (("arms", arms, 2), ("size", size, 1), ("rank", rank, 1), ("pulls", pulls, 1)):
        if value < least:
            raise SpecError(f"{name} must be {least} or more; came {value}.")
    tables = 8 * size * (2 * rank * arms + 4 * _DIRECTIONS)
    check_memory(tables, what=f"a task of {rank:,} coordinates, {arms:,} arms and contexts of {size:,}", remedy="Use fewer.")
    if not noise > 0:
        raise SpecError(f"noise must be above 0; came {noise}.")
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (size,)),
        action_space=gymnasium.spaces.Discrete(arms),
        horizon=1,
        episodes=pulls,
    )
    basis = jnp.asarray(fixed_basis(rank, arms=arms, size=size))
    other_basis = jnp.asarray(fixed_basis(rank, arms=arms, size=size, number=1))

    def sample(split: str, key: PRNGKeyArray) -> LowRankTask:
        marked = mark_split(jax.random.normal(key, (rank,)) / (2 * _WIDEST) + 0.5, split, SPLITS)
        coordinates = 2 * _WIDEST * (marked - 0.5)
        return LowRankTask(
            coordinates=coordinates,
            matrix=jnp.tensordot(coordinates, other_basis if split == "ood:other-basis" else basis, axes=1),
            noise=jnp.float32(noise * (NOISIER if split == "ood:noisy" else 1.0)),
        )

    def reset(task: LowRankTask, key: PRNGKeyArray) -> tuple[Array, Array]:
        del task
        context = jax.random.normal(key, (size,))
        return context, context

    def mean_reward(task: LowRankTask, state: Array, action: Array) -> Array:
        return task.matrix[action] @ state / size**0.5

    def step(task: LowRankTask, state: Array, action: Array, key: PRNGKeyArray) -> tuple[Array, Outcome]:
        # One draw of noise for all arms: with one key, agents that pull different arms meet common random numbers.
        reward = mean_reward(task, state, action) + task.noise * jax.random.normal(key)
        no = jnp.asarray(False)
        return state, Outcome(observation=state, reward=reward, terminated=no, truncated=no)

    directions = jnp.asarray(_directions(size))
    # A normal context is a direction times a length of mean √2 Γ((m + 1) / 2) / Γ(m / 2).
    length = math.sqrt(2) * math.exp(math.lgamma((size + 1) / 2) - math.lgamma(size / 2))

    def ceiling(task: LowRankTask) -> Array:
        paid = directions @ task.matrix.T
        # The best arm for a direction is the worst one for its opposite.
        best = (paid.max(axis=1) - paid.min(axis=1)).mean() / 2
        return pulls * best * length / size**0.5

    return TaskDistribution(
        name="low-rank-bandit",
        config={"arms": arms, "size": size, "rank": rank, "noise": noise, "pulls": pulls},
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {
            "coordinates in the basis": task.coordinates,
            "weights (arms × numbers of the context)": task.matrix,
            "noise (standard deviation)": task.noise,
        },
        floor=lambda task: jnp.zeros_like(task.noise),
        ceiling=ceiling,
        mean_reward=mean_reward,
        baselines=_baselines(spec, rank=rank, noise=noise),
    )


def _directions(size: int) -> Float[np.ndarray, "directions size"]:
    """Unit vectors that cover all directions evenly."""
    normal = np.asarray(ndtri(jnp.asarray(evenly(_DIRECTIONS, size))))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def _baselines(spec: Spec, *, rank: int, noise: float) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents: two that assume independent weights, and two that know the basis."""
    return {
        "random": partial(random_agent, spec),
        "LinUCB": partial(linear_ucb_agent, spec),
        "linear Thompson sampling": partial(linear_thompson_agent, spec, noise=noise),
        "low-rank posterior (greedy)": partial(low_rank_greedy_agent, spec, rank=rank, noise=noise),
        "low-rank posterior (Thompson)": partial(low_rank_thompson_agent, spec, rank=rank, noise=noise),
    }
