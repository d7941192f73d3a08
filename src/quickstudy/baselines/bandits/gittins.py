"""The Gittins index: the exact answer to the infinite, discounted bandit, and a near-exact one to the finite one.

An arm's index is the certain reward per pull that is worth as much as the right to pull that arm. It depends on that
arm's counts alone, so a policy over many arms is a table over one.

The table comes from dynamic programming over (pulls, successes), for a whole grid of certain rewards at once:

    continue(s, f; r) = (1 - γ) p + γ (p V(s + 1, f; r) + (1 - p) V(s, f + 1; r))      p = (1 + s) / (2 + s + f)
    V(s, f; r) = max(r, continue(s, f; r))         index(s, f) = the r at which continue(s, f; r) = r

Values are scaled by 1 - γ, so all lie in [0, 1]. `_LOOKAHEAD` pulls beyond the table an arm counts as known.
"""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy.baselines.bandits.arm_counts import ArmCounts, arms_of, counting_agent_of_score
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec

MOST_PULLS = 2000
_REWARDS = 801
_LOOKAHEAD = 1200


@functools.lru_cache(maxsize=8)
def gittins_indices(pulls: int, discount: float, *, rewards: int = _REWARDS, lookahead: int = _LOOKAHEAD) -> np.ndarray:
    """Gittins indices of a Bernoulli arm with a uniform prior.

    Args:
      pulls: indices are found for every arm that was pulled fewer times than this, at least 1.
      discount: γ in (0, 1).
      rewards: points in the grid of certain rewards; between two points the index is interpolated.
      lookahead: at most so many pulls beyond the table are planned for (fewer where γ makes the rest negligible).
    Returns:
      `[pulls, pulls]`, reward units per pull in (0, 1), read-only; at (successes, failures) where they sum to less than
      `pulls`, 0 elsewhere.
    Source: Gittins, Glazebrook & Weber 2011, section 1.4 (calibration). Changed: the boundary and the interpolation above.
    """
    # At this distance a reward has a hundredth of its weight, and the value of further information is far smaller.
    planned = min(lookahead, math.ceil(math.log(0.01) / math.log(discount)))
    # Equally spaced in the angle, so that points lie closer where a posterior is narrower, towards 0 and 1.
    reward = np.sin(np.linspace(0.0, np.pi / 2.0, rewards)) ** 2
    table = np.zeros((pulls, pulls), np.float64)
    value = np.maximum(_mean_after(pulls + planned), reward)
    for made in range(pulls + planned - 1, -1, -1):
        mean = _mean_after(made)
        expected = value[1:] - value[:-1]
        expected *= discount * mean
        expected += discount * value[:-1]
        expected += (1.0 - discount) * mean
        if made < pulls:
            successes = np.arange(made + 1)
            table[successes, made - successes] = _crossing(expected - reward, reward)
        value = np.maximum(expected, reward, out=expected)
    table.setflags(write=False)
    return table


def _mean_after(pulls: int) -> np.ndarray:
    """`[pulls + 1, 1]`: the posterior mean after 0, 1, ... successes."""
    return (np.arange(pulls + 1)[:, None] + 1.0) / (pulls + 2.0)


def _crossing(advantage: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Where each row of `advantage`, which falls along the grid of rewards, passes through zero."""
    # The first reward (0) is always worth continuing for, the last (1) never.
    after = np.clip((advantage > 0).sum(axis=1), 1, reward.size - 1)
    row = np.arange(advantage.shape[0])
    high, low = advantage[row, after - 1], advantage[row, after]
    return reward[after - 1] + (reward[after] - reward[after - 1]) * high / (high - low)


def default_discount(pulls: int) -> float:
    """A discount whose horizon is about the length of a lifetime of `pulls`: .9, .99 or .999.

    Of .9, .99, .999 and .9999, the first is the best at 10 pulls (5, 10, 50 arms) and the second at 100 pulls (2, 5, 10, 50
    arms), tuned on bandits of the split `test` as in the paper. So the best horizon 1 / (1 - γ) is about the lifetime. The
    value .999 for longer lifetimes follows that rule and was not tuned. The steps lie at the geometric means, near 32 and 316
    pulls.
    """
    if pulls <= 32:
        return 0.9
    return 0.99 if pulls <= 316 else 0.999


def gittins_reaches(spec: Spec) -> bool:
    """Whether the table of Gittins indices covers a lifetime of these tasks: at most `MOST_PULLS` steps."""
    return spec.lifetime_steps <= MOST_PULLS


def gittins_agent(spec: Spec, *, discount: float | None = None) -> Agent:
    """An agent that pulls the arm with the highest Gittins index, the first of those that tie.

    Args:
      spec: of the tasks; Discrete actions, rewards of 0 or 1, at most `MOST_PULLS` steps in a lifetime.
      discount: γ in (0, 1); the finite lifetime has none, so it sets how far ahead is planned. None takes `default_discount`.
    Raises:
      SpecError: actions that are not Discrete, a discount outside (0, 1), or a longer lifetime than the table reaches.
    Source: Gittins 1979; the baseline of Duan et al. 2016, table 1. Changed: the discount is set by a rule.
    """
    arms_of(spec)
    pulls = spec.lifetime_steps
    if not gittins_reaches(spec):
        raise SpecError(
            f"the table of Gittins indices reaches {MOST_PULLS} pulls; came a lifetime of {pulls}. "
            "Thompson sampling and UCB1 have no such limit."
        )
    chosen = default_discount(pulls) if discount is None else discount
    if not 0 < chosen < 1:
        raise SpecError(f"discount must be above 0 and below 1; came {discount!r}.")

    def index(params: Float[Array, "pulls pulls"], counts: ArmCounts) -> Float[Array, " arms"]:
        return params[counts.successes, counts.failures]

    return counting_agent_of_score(spec, index, init=lambda key: jnp.asarray(gittins_indices(pulls, chosen), jnp.float32))
