"""The memory of the linear bandit agents: the sufficient statistics of Bayesian linear regression.

A pull of arm a in the context c pays wᵀ φ + noise, where the features φ [n] follow from a and c. With noise of variance σ² and
the prior w ~ N(0, σ²/λ I),

    A = λ I + Σ φ φᵀ        b = Σ φ r        w ~ N(A⁻¹ b, σ² A⁻¹)

Arms either share their weights, with one A and b, or each have their own, with one A and b for every arm. Contexts are
divided by √m, so that rewards have the scale of the weights.
"""

from collections.abc import Callable

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.bandits.arm_counts import arms_of
from quickstudy.numerics.beliefs.gaussian import GaussianBelief
from quickstudy.numerics.linear_algebra import cholesky, solve, solve_upper
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition, record

Features = Callable[[Float[Array, " m"]], Float[Array, "arms n"]]
"""`(context) -> φ [arms, n]`."""


@record
class LinearEvidence:
    """`precision` `[groups, n, n]`: A; `weighted` `[groups, n]`: b, reward units. A group is an arm, or all arms together."""

    precision: Float[Array, "groups n n"]
    weighted: Float[Array, "groups n"]

    @property
    def mean(self) -> Float[Array, "groups n"]:
        """A⁻¹ b, reward units."""
        return jax.vmap(solve)(self.precision, self.weighted)

    def deviation(self, features: Float[Array, "arms n"]) -> Float[Array, " arms"]:
        """√(φᵀ A⁻¹ φ) of each arm's features, where each has its own weights: standard deviation of its mean, in units of σ."""
        solved = jax.vmap(solve)(self.precision, features)
        return jnp.sqrt((features * solved).sum(axis=-1))

    def draw(self, noise: float, key: PRNGKeyArray) -> Float[Array, "groups n"]:
        """Weights drawn from the posterior, where rewards have this standard deviation."""
        normal = jax.random.normal(key, self.weighted.shape)
        # A = L Lᵀ, and L⁻ᵀ turns independent numbers into ones of covariance A⁻¹.
        spread = jax.vmap(lambda precision, normal: solve_upper(cholesky(precision).T, normal))
        return self.mean + noise * spread(self.precision, normal)

    def belief(self, noise: float) -> GaussianBelief:
        """The posterior of weights that all arms share, where rewards have this standard deviation."""
        return GaussianBelief(mean=self.mean[0], covariance=noise**2 * solve(self.precision[0], jnp.eye(self.mean.shape[-1])))


Score = Callable[[LinearEvidence, Float[Array, "arms n"], PRNGKeyArray], Float[Array, " arms"]]
"""`(evidence, features, key) -> scores [arms]`."""


def upper_confidence(width: float) -> Score:
    """The score of LinUCB, where every arm has its own weights.

        θ_aᵀ φ + α √(φᵀ A_a⁻¹ φ)        θ_a = A_a⁻¹ b_a

    Args:
      width: α, in reward units; 0 is greedy.
    Source: Li et al. 2010, algorithm 1. Changed: nothing.
    """

    def score(evidence: LinearEvidence, features: Float[Array, "arms n"], key: PRNGKeyArray) -> Float[Array, " arms"]:
        del key
        return (evidence.mean * features).sum(axis=-1) + width * evidence.deviation(features)

    return score


def linear_agent(
    spec: Spec,
    score: Score,
    *,
    features: Features,
    ridge: float,
    shared: bool,
    extras: Callable[[LinearEvidence], dict] = lambda evidence: {},
) -> Agent:
    """An agent whose memory is `LinearEvidence`, and that pulls the arm of the highest score, the first of those that tie.

    Args:
      spec: of the tasks; contexts as observations, Discrete actions.
      score: `(evidence, features, key) -> [arms]`.
      features: `(context) -> [arms, n]`.
      ridge: λ, above 0; 0 where `score` adds a prior of its own.
      shared: all arms have the same weights.
      extras: `(evidence) -> dict`, extras of the decision.
    Raises:
      SpecError: other observations or actions.
    """
    arms, _ = sizes_of(spec)
    first_arm = int(arms_of(spec).start)
    groups = 1 if shared else arms
    numbers = jax.eval_shape(features, jax.ShapeDtypeStruct(spec.observation_space.shape, jnp.float32)).shape[1]

    def begin(params: tuple, key: PRNGKeyArray) -> LinearEvidence:
        del params, key
        precision = ridge * jnp.broadcast_to(jnp.eye(numbers)[None], (groups, numbers, numbers))
        return LinearEvidence(precision=precision, weighted=jnp.zeros((groups, numbers)))

    def act(params: tuple, memory: LinearEvidence, observation: Array, key: PRNGKeyArray) -> Decision:
        del params
        scores = score(memory, features(observation), key)
        arm = jnp.argmax(scores).astype(jnp.int32)
        # Where arms may be forbidden, the best allowed one is taken.
        more = {"scores": scores} if spec.action_mask else {}
        return Decision(action=first_arm + arm, extras=extras(memory) | more)

    def adapt(params: tuple, memory: LinearEvidence, experience: Transition, key: PRNGKeyArray) -> LinearEvidence:
        del params, key
        arm = experience.decision.action - first_arm
        rows = jax.vmap(lambda context, arm: features(context)[arm])(experience.observation, arm)
        pulled = (arm[:, None] == jnp.arange(groups)[None]) | jnp.asarray(shared)
        counts = (pulled & experience.valid[:, None]).astype(jnp.float32)
        # Invalid steps may hold NaN, and NaN times 0 is NaN.
        rows = jnp.where(experience.valid[:, None], rows, 0.0)
        reward = jnp.where(experience.valid, experience.outcome.reward, 0.0)
        return LinearEvidence(
            precision=memory.precision + jnp.einsum("tg,ti,tj->gij", counts, rows, rows),
            weighted=memory.weighted + jnp.einsum("tg,ti,t->gi", counts, rows, reward),
        )

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt, exchangeable=True)


def sizes_of(spec: Spec) -> tuple[int, int]:
    """Arms, and numbers in a context.

    Raises:
      SpecError: observations that are not a Box of one axis, or actions that are not Discrete.
    """
    space = spec.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape or ()) != 1:
        raise SpecError(f"a linear bandit agent needs contexts, observations that are a Box of one axis; came {space!r}.")
    return int(arms_of(spec).n), space.shape[0]


def same_for_all_arms(spec: Spec) -> Features:
    """Features of arms with separate weights: the context, divided by √m."""
    arms, size = sizes_of(spec)
    return lambda context: jnp.broadcast_to(context[None] / size**0.5, (arms, size))
