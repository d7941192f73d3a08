"""Linear bandits for variants that are shown to users with features: LinUCB, greedy, and Thompson sampling with a site's prior.

LinUCB and greedy regress clicks on x, for every variant apart:

    A_a = λ I + Σ x xᵀ        b_a = Σ x y        θ_a = A_a⁻¹ b_a

The agents with the prior of a site regress on all variants together. A weight is the sum of a part that variants share and a
part of the variant's own, so the regressors of variant a are

    φ(a, x) = [s ∘ x, 0, ..., o ∘ x at the place of a, ..., 0]        w ~ N(0, I)

with the standard deviations s and o of the two parts. A click is taken for neutral + v (φ · w) plus noise of variance v, where
v is the slope of the logistic function at `base`, and also the variance of a click there.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.bandits.linear_evidence import Features, LinearEvidence, linear_agent, upper_confidence
from quickstudy.baselines.models.contextual_variants import ContextualVariants, regressors, site_prior_for
from quickstudy.numerics.linear_algebra import cholesky, solve_lower, solve_upper
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def variant_ucb_agent(spec: Spec, *, prior: ContextualVariants | None = None, width: float = 0.5, ridge: float = 1.0) -> Agent:
    """LinUCB with a separate regression for every variant.

        argmax_a  θ_aᵀ x + α √(xᵀ A_a⁻¹ x)

    Args:
      spec: of the tasks; observations as `baselines.models.contextual_variants` has them.
      prior: of the site, of which only the sizes are used.
      width: α, in clicks.
      ridge: λ.
    Raises:
      SpecError: other observations or actions.
    Source: Li et al. 2010, algorithm 1. Changed: nothing.
    """
    prior = site_prior_for(spec, prior)
    return linear_agent(spec, upper_confidence(width), features=_apart(prior), ridge=ridge, shared=False)


def variant_greedy_agent(spec: Spec, *, prior: ContextualVariants | None = None, ridge: float = 1.0) -> Agent:
    """Greedy: the variant with the highest predicted rate of clicks, by a separate regression for every variant.

    Where users differ much, greedy choices explore as well (Bastani et al. 2021).

    Args:
      spec: of the tasks; observations as `baselines.models.contextual_variants` has them.
      prior: of the site, of which only the sizes are used.
      ridge: λ.
    Raises:
      SpecError: other observations or actions.
    """
    return variant_ucb_agent(spec, prior=prior, width=0.0, ridge=ridge)


def site_thompson_agent(spec: Spec, *, prior: ContextualVariants | None = None) -> Agent:
    """Linear Thompson sampling with the prior of the site: the best variant for weights drawn from their posterior.

    Args:
      spec: of the tasks; observations as `baselines.models.contextual_variants` has them.
      prior: of the site; the default one if not given.
    Raises:
      SpecError: other observations or actions.
    Source: Agrawal & Goyal 2013; the hierarchy as in Hong et al. 2022.
    """
    return _site_agent(spec, prior, draws=True)


def site_greedy_agent(spec: Spec, *, prior: ContextualVariants | None = None) -> Agent:
    """Greedy with the prior of the site: the best variant for the mean weights.

    Args:
      spec: of the tasks; observations as `baselines.models.contextual_variants` has them.
      prior: of the site; the default one if not given.
    Raises:
      SpecError: other observations or actions.
    """
    return _site_agent(spec, prior, draws=False)


def _site_agent(spec: Spec, prior: ContextualVariants | None, *, draws: bool) -> Agent:
    site = site_prior_for(spec, prior)
    variance = site.neutral * (1 - site.neutral)

    def score(evidence: LinearEvidence, features: Array, key: PRNGKeyArray) -> Array:
        sums, weighted = evidence.precision[0], evidence.weighted[0]
        # The last regressor is 1: so its column of the sums is Σ φ, and the clicks can be taken around neutral.
        precision = variance * sums[:-1, :-1] + jnp.eye(len(sums) - 1)
        shifted = weighted[:-1] - site.neutral * sums[:-1, -1]
        root = cholesky(precision)
        right = solve_lower(root, shifted)
        if draws:
            right = right + jax.random.normal(key, right.shape)
        return features[:, :-1] @ solve_upper(root.T, right)

    return linear_agent(spec, score, features=_together(site), ridge=0.0, shared=True)


def _apart(prior: ContextualVariants) -> Features:
    """x, the same for all variants."""
    size = 1 + prior.features + 2
    return lambda observation: jnp.broadcast_to(regressors(observation, prior.features)[None], (prior.arms, size))


def _together(prior: ContextualVariants) -> Features:
    """φ of every variant, and a 1."""
    shared, own = jnp.asarray(prior.shared_deviations), jnp.asarray(prior.own_deviations)

    def features(observation: Float[Array, " numbers"]) -> Float[Array, "arms n"]:
        x = regressors(observation, prior.features)
        of_each = jnp.eye(prior.arms)[:, :, None] * (own * x)[None, None]
        same = jnp.broadcast_to((shared * x)[None], (prior.arms, x.size))
        return jnp.concatenate([same, of_each.reshape(prior.arms, -1), jnp.ones((prior.arms, 1))], axis=1)

    return features
