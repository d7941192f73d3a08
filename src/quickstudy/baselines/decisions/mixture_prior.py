"""Bayes with the clusters of past visitors as its prior: a mixture of normal distributions over tastes.

It finds out which cluster a visitor belongs to and how far the taste lies from its centre, both at once, and shows the best
item for the mean taste. With the right prior this is the strongest method. For a visitor who belongs to no cluster it is worse
than none. The careful form has one more component: a wide normal distribution for visitors of any taste.
"""

import numpy as np

from quickstudy.baselines.decisions.item_regression import taste_agent
from quickstudy.baselines.models.recommendation import Recommendation, prior_for
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec

CAREFUL = 0.3
"""Prior probability that the careful agent gives to visitors outside the clusters."""


def mixture_prior_agent(spec: Spec, *, prior: Recommendation | None = None, outside: float = 0.0) -> Agent:
    """An agent that shows the best item for the mean taste, by Bayes' rule with the clusters as its prior.

    The belief about `taste` is in the extras.

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
        # Tastes of any direction and of the usual length.
        wide = np.sqrt(prior.offset**2 + np.square(centres).mean())
        means = np.concatenate([means, np.zeros((1, prior.size), np.float32)])
        deviations, weights = np.append(deviations, np.float32(wide)), np.append(weights, np.float32(outside))

    return taste_agent(spec, prior, means=means, deviations=deviations, weights=weights)


def careful_mixture_prior_agent(spec: Spec, *, prior: Recommendation | None = None) -> Agent:
    """`mixture_prior_agent` that allows for visitors outside the clusters, with the probability `CAREFUL`."""
    return mixture_prior_agent(spec, prior=prior, outside=CAREFUL)
