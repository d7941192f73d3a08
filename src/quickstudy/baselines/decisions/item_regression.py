"""Linear bandits whose arms are items with known vectors: all responses inform one vector of weights, the visitor's taste.

    A = λ I + Σ x xᵀ        b = Σ x y        y = 1 for a click, else 0

LinUCB takes y as it is. Linear Thompson sampling and the fold-in take y around the rate of clicks on an item that a visitor
neither likes nor dislikes, as their prior needs it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.bandits.linear_evidence import Features, LinearEvidence, linear_agent
from quickstudy.baselines.models.recommendation import Recommendation, prior_for
from quickstudy.numerics.beliefs.gaussian_mixture import GaussianMixtureBelief, mixture_posterior
from quickstudy.numerics.linear_algebra import cholesky, solve_lower, solve_upper
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def item_ucb_agent(spec: Spec, *, prior: Recommendation | None = None, width: float = 1.0, ridge: float = 1.0) -> Agent:
    """LinUCB: an agent that shows the item of the highest upper confidence bound, without knowing the clusters.

        argmax_i  θᵀ x_i + α √(x_iᵀ A⁻¹ x_i)        θ = A⁻¹ b

    Args:
      spec: of the tasks; observations as `baselines.models.recommendation` has them.
      prior: whose item vectors are used, and nothing else of it.
      width: α, in clicks.
      ridge: λ.
    Raises:
      SpecError: other observations or actions.
    Source: Li et al. 2010, algorithm 1, with weights that all arms share. Changed: nothing; both defaults are the usual ones.
    """
    prior = prior_for(spec, prior)

    def score(evidence: LinearEvidence, features: Array, key: PRNGKeyArray) -> Array:
        del key
        below = solve_lower(cholesky(evidence.precision[0]), features.T)
        return features @ evidence.mean[0] + width * jnp.sqrt(jnp.square(below).sum(axis=0))

    vectors = jnp.asarray(prior.item_vectors)
    return linear_agent(spec, score, features=lambda observation: vectors, ridge=ridge, shared=True)


def item_thompson_agent(spec: Spec, *, prior: Recommendation | None = None, ridge: float = 1.0) -> Agent:
    """Linear Thompson sampling: an agent that shows the best item for weights drawn from their posterior.

    The posterior is that of responses with the standard deviation of a click, and weights of variance σ²/λ.

    Args:
      spec: of the tasks; observations as `baselines.models.recommendation` has them.
      prior: whose item vectors and base rate are used, and nothing else of it.
      ridge: λ.
    Raises:
      SpecError: other observations or actions.
    Source: Agrawal & Goyal 2013.
    """
    prior = prior_for(spec, prior)
    noise = (prior.neutral * (1 - prior.neutral)) ** 0.5

    def score(evidence: LinearEvidence, features: Array, key: PRNGKeyArray) -> Array:
        precision, weighted = around_neutral(evidence, prior)
        information = (precision + ridge * jnp.eye(prior.size)) / noise**2
        drawn = jax.random.normal(key, (prior.size,))
        root = cholesky(information)
        # information = L Lᵀ; the two solutions are L⁻ᵀ (L⁻¹ η + drawn), of mean and covariance of the posterior.
        taste = solve_upper(root.T, solve_lower(root, weighted / noise**2) + drawn)
        return features[:, :-1] @ taste

    return linear_agent(spec, score, features=with_constant(prior), ridge=0.0, shared=True)


def fold_in_agent(spec: Spec, *, prior: Recommendation | None = None) -> Agent:
    """Fold-in: an agent that shows the best item for the most likely taste under one normal distribution of all visitors.

    This is how a factorised matrix of ratings takes in a new user: item vectors stay, and the user's vector is a ridge
    regression that shrinks to the average user. The belief about `taste` is in the extras.

    Args:
      spec: of the tasks; observations as `baselines.models.recommendation` has them.
      prior: of the visitors; the default one if not given.
    Raises:
      SpecError: other observations or actions.
    Source: Salakhutdinov & Mnih 2008. Changed: one user at a time, clicks in place of ratings.
    """
    prior = prior_for(spec, prior)
    centres = prior.cluster_centres
    centre = centres.mean(0)
    spread = float(np.sqrt(prior.offset**2 + np.square(centres - centre).mean()))
    return taste_agent(spec, prior, means=centre[None], deviations=np.array([spread]), weights=np.ones(1))


def item_bayes_ucb_agent(spec: Spec, *, prior: Recommendation | None = None, width: float = 0.5) -> Agent:
    """Bayes-UCB: an agent that shows the item of the highest upper quantile, under one normal distribution of all tastes.

        argmax_i  x_i · m + α √(x_iᵀ C x_i)        u ~ N(m, C) given the responses

    Before the first response all directions of a taste are equally likely, and its length is the usual one. So the agent knows
    the model of clicks, but no clusters. The belief about `taste` is in the extras.

    Args:
      spec: of the tasks; observations as `baselines.models.recommendation` has them.
      prior: whose item vectors, click model, and length of tastes are used, and nothing else of it.
      width: α, in standard deviations. The default was chosen among 0, 0.5 and 1 on visitors of `test`. So the figures of
        this agent on `test` are optimistic.
    Raises:
      SpecError: other observations or actions.
    Source: Kaufmann et al. 2012. Changed: the quantile is constant, and the model is linear with shared weights.
    """
    prior = prior_for(spec, prior)
    anywhere = np.zeros((1, prior.size), np.float32)
    return taste_agent(spec, prior, means=anywhere, deviations=prior.usual_deviation[None], weights=np.ones(1), width=width)


def taste_agent(
    spec: Spec,
    prior: Recommendation,
    *,
    means: Float[np.ndarray, "parts size"],
    deviations: Float[np.ndarray, " parts"],
    weights: Float[np.ndarray, " parts"],
    width: float = 0.0,
    more: Callable[[GaussianMixtureBelief], dict] = lambda belief: {},
) -> Agent:
    """An agent that shows the best item for its belief about the taste, a mixture of normal distributions.

    Args:
      spec: of the tasks.
      prior: of the visitors.
      means, deviations, weights: of the mixture before the first item, as of `taste_belief`.
      width: standard deviations of x · u that its mean is raised by; 0 shows the best item for the mean taste.
      more: `(belief) -> dict`, further extras of the decision.
    Raises:
      SpecError: other observations or actions.
    """

    def belief(evidence: LinearEvidence) -> GaussianMixtureBelief:
        return taste_belief(
            evidence, prior, means=jnp.asarray(means), deviations=jnp.asarray(deviations), weights=jnp.asarray(weights)
        )

    def score(evidence: LinearEvidence, features: Array, key: PRNGKeyArray) -> Array:
        del key
        known, vectors = belief(evidence), features[:, :-1]
        mean = vectors @ known.mean
        if not width:
            return mean
        within = jnp.einsum("id,kde,ie->ik", vectors, known.covariances, vectors)
        square = (within + jnp.square(vectors @ known.means.T)) @ known.probability
        return mean + width * jnp.sqrt(jnp.maximum(square - jnp.square(mean), 0.0))

    return linear_agent(
        spec,
        score,
        features=with_constant(prior),
        ridge=0.0,
        shared=True,
        extras=lambda evidence: {"belief": belief(evidence)} | more(belief(evidence)),
    )


def with_constant(prior: Recommendation) -> Features:
    """Features of the items: their vectors and a 1, so that sums of vectors are in the memory, too."""
    vectors = prior.item_vectors
    rows = jnp.asarray(np.concatenate([vectors, np.ones((len(vectors), 1), np.float32)], axis=1))
    return lambda observation: rows


def around_neutral(evidence: LinearEvidence, prior: Recommendation) -> tuple[Float[Array, "d d"], Float[Array, " d"]]:
    """Σ x xᵀ and Σ x (y - neutral) of all responses, from evidence whose last feature is 1."""
    precision, weighted = evidence.precision[0], evidence.weighted[0]
    return precision[:-1, :-1], weighted[:-1] - prior.neutral * precision[:-1, -1]


def taste_belief(
    evidence: LinearEvidence, prior: Recommendation, *, means: Array, deviations: Array, weights: Array
) -> GaussianMixtureBelief:
    """The belief about a visitor's taste, for a prior that is a mixture of normal distributions.

    Clicks are taken for normal numbers around neutral + slope x · u, with the variance of a click at neutral. So the belief is
    close to the exact one where tastes are weak, and too slow where they are strong.

    Args:
      evidence: whose last feature is 1.
      prior: of the click model.
      means: `[k, d]` of the mixture.
      deviations: `[k]`.
      weights: `[k]`.
    """
    precision, weighted = around_neutral(evidence, prior)
    variance = prior.neutral * (1 - prior.neutral)
    return mixture_posterior(
        means,
        deviations,
        weights,
        precision=precision * (prior.slope**2 / variance),
        weighted=weighted * (prior.slope / variance),
    )
