"""The exact posterior of a bandit whose arms lie in a known low-rank family: regression on a few coordinates.

Where arm a pays Σ_j z_j M_j[a] · c / √m on average, a pull of any arm is informative about all of them. With the features

    φ_j(a, c) = M_j[a] · c / √m        reward = z · φ + noise

it is one linear regression with r weights, instead of one with m for each arm.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.bandits.linear_evidence import Features, LinearEvidence, Score, linear_agent, sizes_of
from quickstudy.baselines.models.low_rank import NOISE, RANK, fixed_basis
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


def low_rank_greedy_agent(spec: Spec, *, rank: int = RANK, noise: float = NOISE) -> Agent:
    """An agent that pulls the arm that is best by the posterior mean of the coordinates.

    Greedy pulls explore as well: contexts change, and every arm is informative about every coordinate. The posterior is in the
    extras as `belief`.

    Args:
      spec: of the tasks; contexts as observations, Discrete actions.
      rank: coordinates of the family.
      noise: standard deviation of rewards.
    Raises:
      SpecError: other observations or actions, or a rank below 1.
    """

    def score(evidence: LinearEvidence, features: Array, key: PRNGKeyArray) -> Array:
        del key
        return features @ evidence.mean[0]

    return _low_rank_agent(spec, score, rank=rank, noise=noise)


def low_rank_thompson_agent(spec: Spec, *, rank: int = RANK, noise: float = NOISE) -> Agent:
    """An agent that draws coordinates from their posterior and pulls the best arm for them.

    The posterior is in the extras as `belief`.

    Args:
      spec: of the tasks; contexts as observations, Discrete actions.
      rank: coordinates of the family.
      noise: standard deviation of rewards.
    Raises:
      SpecError: other observations or actions, or a rank below 1.
    """

    def score(evidence: LinearEvidence, features: Array, key: PRNGKeyArray) -> Array:
        return features @ evidence.draw(noise, key)[0]

    return _low_rank_agent(spec, score, rank=rank, noise=noise)


def family_features(basis: Float[np.ndarray, "rank arms size"]) -> Features:
    """`(context) -> φ [arms, rank]` of a family."""
    scaled = jnp.asarray(basis) / basis.shape[2] ** 0.5
    return lambda context: jnp.einsum("jam,m->aj", scaled, context, precision=jax.lax.Precision.HIGHEST)


def _low_rank_agent(spec: Spec, score: Score, *, rank: int, noise: float) -> Agent:
    """An agent of the family that is known."""
    if rank < 1:
        raise SpecError(f"rank must be 1 or more; came {rank}.")
    arms, size = sizes_of(spec)
    return linear_agent(
        spec,
        score,
        features=family_features(fixed_basis(rank, arms=arms, size=size)),
        ridge=noise**2,
        shared=True,
        extras=lambda evidence: {"belief": evidence.belief(noise)},
    )
