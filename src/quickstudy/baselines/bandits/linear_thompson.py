"""Thompson sampling with a separate linear regression for every arm."""

from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.bandits.linear_evidence import LinearEvidence, linear_agent, same_for_all_arms
from quickstudy.baselines.models.low_rank import NOISE
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def linear_thompson_agent(spec: Spec, *, noise: float = NOISE) -> Agent:
    """An agent that pulls the best arm of weights drawn from its posterior, with a prior of full rank.

        θ_a ~ N(A_a⁻¹ b_a, σ² A_a⁻¹)        argmax_a θ_aᵀ φ,  φ = c / √m

    Its prior is that all weights are independent with variance 1.

    Args:
      spec: of the tasks; contexts as observations, Discrete actions.
      noise: standard deviation σ of rewards.
    Raises:
      SpecError: other observations or actions.
    Source: Agrawal & Goyal 2013, with the exact posterior of separate weights for every arm.
    """

    def score(evidence: LinearEvidence, features: Array, key: PRNGKeyArray) -> Array:
        return (evidence.draw(noise, key) * features).sum(axis=-1)

    return linear_agent(spec, score, features=same_for_all_arms(spec), ridge=noise**2, shared=False)
