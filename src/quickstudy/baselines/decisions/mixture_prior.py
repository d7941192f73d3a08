"""Bayes with the clusters of past visitors as its prior: a mixture of normal distributions over tastes.

It infers jointly the visitor's cluster and the difference of the taste from its centre, and shows the best item for the mean
taste. With the right prior this is the strongest method. For a visitor who belongs to no cluster it is worse than methods
without a prior. The careful form has one more component: a wide normal distribution for visitors of any taste.
"""

import jax.numpy as jnp
import numpy as np

from quickstudy.baselines.decisions.item_regression import taste_agent
from quickstudy.baselines.models.recommendation import Recommendation, prior_for
from quickstudy.numerics.beliefs.gaussian_mixture import GaussianMixtureBelief
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec

CAREFUL = 0.3
"""Prior probability that the careful agent gives to visitors outside the clusters."""


def mixture_prior_agent(spec: Spec, *, prior: Recommendation | None = None, outside: float = 0.0) -> Agent:
    """An agent that shows the best item for the mean taste, by Bayes' rule with the clusters as its prior.

    The belief about `taste` is in the extras. If the prior allows for visitors outside the clusters, so is
    `p_values["task"]`, of the hypothesis that the visitor belongs to a cluster: 1 over the Bayes factor for the other one,
    at most 1. For a visitor of a cluster its probability of being below p is at most p (Markov), up to the normal
    distribution that `taste_belief` takes clicks for.

    Args:
      spec: of the tasks; observations as `baselines.models.recommendation` has them.
      prior: of the visitors; the default one if not given.
      outside: prior probability that a visitor belongs to no cluster, from 0 to below 1.
    Raises:
      SpecError: other observations or actions.
    Source: ours; the posterior is in `numerics.beliefs.gaussian_mixture`.
    """
    prior = prior_for(spec, prior)
    centres = prior.cluster_centres
    means, deviations = centres, np.full(prior.clusters, prior.offset, np.float32)
    weights = np.full(prior.clusters, (1 - outside) / prior.clusters, np.float32)
    if outside:
        means = np.concatenate([means, np.zeros((1, prior.size), np.float32)])
        deviations, weights = np.append(deviations, prior.usual_deviation), np.append(weights, np.float32(outside))

    def p_values(belief: GaussianMixtureBelief) -> dict:
        of_clusters = belief.probability[:-1].sum() / (1 - outside)
        return {"p_values": {"task": jnp.minimum(1.0, of_clusters * outside / jnp.maximum(belief.probability[-1], 1e-30))}}

    more = p_values if outside else lambda belief: {}
    return taste_agent(spec, prior, means=means, deviations=deviations, weights=weights, more=more)


def careful_mixture_prior_agent(spec: Spec, *, prior: Recommendation | None = None) -> Agent:
    """`mixture_prior_agent` that allows for visitors outside the clusters, with the probability `CAREFUL`."""
    return mixture_prior_agent(spec, prior=prior, outside=CAREFUL)
