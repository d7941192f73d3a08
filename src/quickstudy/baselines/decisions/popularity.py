"""The most popular item: the one that most visitors of the past would click on. It learns nothing about the present visitor."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.memoryless import memoryless_agent
from quickstudy.baselines.models.recommendation import Recommendation, click_chance, prior_for
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec

_VISITORS = 4096


def popularity_agent(
    spec: Spec, *, prior: Recommendation | None = None, rates: Float[np.ndarray, " items"] | None = None
) -> Agent:
    """An agent that shows the allowed item with the highest rate of clicks over the visitors of the prior.

    Args:
      spec: of the tasks; observations as `baselines.models.recommendation` has them.
      prior: of the visitors; the default one if not given.
      rates: of clicks on each item in the past; those of visitors of the prior if not given.
    Raises:
      SpecError: other observations or actions.
    """
    prior = prior_for(spec, prior)
    rates_of_all = _simulated_rates(prior) if rates is None else jnp.asarray(rates, jnp.float32)
    best = jnp.argmax(rates_of_all).astype(jnp.int32)

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        del observation, key
        return Decision(action=best, extras={"scores": rates_of_all})

    return memoryless_agent(spec, choose)


def _simulated_rates(prior: Recommendation) -> Float[Array, " items"]:
    """Rates of clicks over visitors of the prior."""
    key_cluster, key_offset = jax.random.split(jax.random.key(0))
    cluster = jax.random.randint(key_cluster, (_VISITORS,), 0, prior.clusters)
    offsets = prior.offset * jax.random.normal(key_offset, (_VISITORS, prior.size))
    tastes = jnp.asarray(prior.cluster_centres)[cluster] + offsets
    vectors = jnp.asarray(prior.item_vectors)
    return jax.vmap(lambda taste: click_chance(prior, vectors, taste))(tastes).mean(0)
