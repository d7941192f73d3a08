"""Logistic Thompson sampling for variants: a logistic regression for every variant, with a normal belief about its weights.

    w_a ~ N(m, Σ),  p = σ(base + m · x)
    Σ' = Σ - p (1 - p) Σ x xᵀ Σ / (1 + p (1 - p) xᵀ Σ x)        m' = m + Σ' x (y - p)

That is one Newton step for each response: the belief stays normal.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.models.contextual_variants import ContextualVariants, regressors, site_prior_for
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where


@record
class LogisticEvidence:
    """`means` `[arms, n]` and `covariances` `[arms, n, n]` of the weights of each variant, in log-odds."""

    means: Float[Array, "arms n"]
    covariances: Float[Array, "arms n n"]


def logistic_thompson_agent(spec: Spec, *, prior: ContextualVariants | None = None) -> Agent:
    """An agent that shows the best variant for weights drawn from the belief of each variant.

    Its prior has the right variances, and assumes independent variants.

    Args:
      spec: of the tasks; observations as `baselines.models.contextual_variants` has them.
      prior: of the site; the default one if not given.
    Raises:
      SpecError: other observations or actions.
    Source: Chapelle & Li 2011, algorithm 3. Changed: whole covariances, and one step for each response in place of a search.
    """
    site = site_prior_for(spec, prior)
    variances = jnp.asarray(site.shared_deviations**2 + site.own_deviations**2)

    def begin(params: tuple, key: PRNGKeyArray) -> LogisticEvidence:
        del params, key
        covariances = jnp.broadcast_to(jnp.diag(variances)[None], (site.arms, variances.size, variances.size))
        return LogisticEvidence(means=jnp.zeros((site.arms, variances.size)), covariances=covariances)

    def act(params: tuple, memory: LogisticEvidence, observation: Array, key: PRNGKeyArray) -> Decision:
        del params
        x = regressors(observation, site.features)
        # The sum of independent numbers is enough: each variant's score is normal.
        spread = jnp.sqrt(jnp.maximum(jnp.einsum("i,aij,j->a", x, memory.covariances, x), 0.0))
        scores = memory.means @ x + spread * jax.random.normal(key, (site.arms,))
        return Decision(action=jnp.argmax(scores).astype(jnp.int32), extras={"scores": scores})

    def adapt(params: tuple, memory: LogisticEvidence, experience: Transition, key: PRNGKeyArray) -> LogisticEvidence:
        del params, key

        def one(memory: LogisticEvidence, step: Transition) -> tuple[LogisticEvidence, None]:
            arm, x = step.decision.action, regressors(step.observation, site.features)
            mean, covariance = memory.means[arm], memory.covariances[arm]
            chance = jax.nn.sigmoid(site.base + mean @ x)
            along = covariance @ x
            curvature = chance * (1 - chance)
            covariance = covariance - curvature * jnp.outer(along, along) / (1 + curvature * x @ along)
            mean = mean + covariance @ x * (step.outcome.reward - chance)
            after = LogisticEvidence(
                means=memory.means.at[arm].set(mean), covariances=memory.covariances.at[arm].set(covariance)
            )
            return where(step.valid, after, memory), None

        return scan(one, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)
