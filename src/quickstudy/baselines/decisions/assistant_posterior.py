"""Rules for an assistant on the posterior of its user (`assistant_belief`): expected value, value of information, sampling."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.decisions.assistant_belief import UserEvidence, UserModel
from quickstudy.baselines.models.assistant import (
    Assistant,
    Moment,
    expected_values,
    heard_chances,
    moment_of,
    prior_for_assistant,
    willing,
)
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import scan, where

CAREFUL = 0.25
"""Prior probability that the careful agent gives to users outside the clusters."""
LOOKS_AHEAD = 0.5
"""Part of the moments left over which the agents with value of information count what they learn now."""

Rule = Callable[[UserEvidence, Moment, PRNGKeyArray], Float[Array, " actions"]]


def expected_value_agent(spec: Spec, *, prior: Assistant | None = None, outside: float = 0.0) -> Agent:
    """Bayes with the clusters as prior: takes the action of highest expected reward now. It never asks in order to learn.

    Args:
      spec: of the tasks; observations as `baselines.models.assistant` has them.
      prior: of the users; the default one if not given.
      outside: prior probability that a user belongs to no cluster.
    Raises:
      SpecError: other observations or actions.
    """
    return information_agent(spec, prior=prior, outside=outside, looks_ahead=0.0)


def information_agent(
    spec: Spec, *, prior: Assistant | None = None, outside: float = 0.0, looks_ahead: float = LOOKS_AHEAD
) -> Agent:
    """Bayes with the clusters as prior, and the value of information.

        score(a) = E[reward of a] + m · (E[V after what comes of a] - V now)        m = looks ahead · moments left after this

    V is the highest expected reward of a moment, on average over situations, for a user who is rested.

    Args:
      spec: of the tasks; observations as `baselines.models.assistant` has them.
      prior: of the users; the default one if not given.
      outside: prior probability that a user belongs to no cluster.
      looks_ahead: part of the moments left over which information counts, since later moments would give some of it too.
    Raises:
      SpecError: other observations or actions.
    Source: the knowledge gradient of Frazier et al. 2008. Changed: rewards are those of three kinds of action.
    """
    prior = prior_for_assistant(spec, prior)
    model = UserModel(prior, outside=outside)
    rows = jnp.concatenate([model.log_seen, model.log_heard, model.log_undone[1:]])

    def rule(evidence: UserEvidence, moment: Moment, key: PRNGKeyArray) -> Array:
        del key
        posterior, patience = model.posterior(evidence), model.patience(evidence).mean[0]
        answers = willing(prior, patience, moment.rest)
        table = posterior.mean
        wishes = table[moment.situation] @ model.wish_chances
        now = expected_values(prior, wishes, answers)
        if not looks_ahead:
            return now

        def worth(table: Array) -> Array:
            return expected_values(prior, table @ model.wish_chances, patience).max(-1).mean(-1)

        gains = worth(model.after_each(evidence, posterior, moment.situation, rows)) - worth(table)
        seen, heard, undone = jnp.split(gains, [prior.wishes, 2 * prior.wishes])
        silent, asks = prior.watched * wishes @ seen, answers * heard_chances(prior, wishes) @ heard
        acts = wishes[1:] * seen[1:] + (1 - wishes[1:]) * undone
        left = jnp.maximum(prior.steps - moment.step - 1, 0).astype(jnp.float32)
        return now + looks_ahead * left * jnp.concatenate([silent[None], asks[None], acts])

    return posterior_agent(spec, model, rule)


def careful_information_agent(spec: Spec, *, prior: Assistant | None = None) -> Agent:
    """`information_agent` that allows for users outside the clusters, with the probability `CAREFUL`."""
    return information_agent(spec, prior=prior, outside=CAREFUL)


def own_information_agent(spec: Spec, *, prior: Assistant | None = None) -> Agent:
    """`information_agent` without clusters: all favourites are equally likely, independently in each situation."""
    return information_agent(spec, prior=prior, outside=1.0)


def wish_sampling_agent(spec: Spec, *, prior: Assistant | None = None) -> Agent:
    """Posterior sampling: takes the best action for a favourite that is drawn from the posterior.

    An assistant that knows the favourite rarely asks, so this rule explores by acting.

    Args:
      spec: of the tasks; observations as `baselines.models.assistant` has them.
      prior: of the users; the default one if not given.
    Raises:
      SpecError: other observations or actions.
    """
    prior = prior_for_assistant(spec, prior)
    model = UserModel(prior)

    def rule(evidence: UserEvidence, moment: Moment, key: PRNGKeyArray) -> Array:
        key_part, key_favourite = jax.random.split(key)
        posterior = model.posterior(evidence)
        part = jax.random.categorical(key_part, jnp.log(posterior.weight).ravel())
        chances = posterior.favourites.reshape(-1, prior.situations, prior.wishes)[part, moment.situation]
        favourite = jax.random.categorical(key_favourite, jnp.log(chances))
        patience = model.patience(evidence).mean[0]
        return expected_values(prior, model.wish_chances[favourite], willing(prior, patience, moment.rest))

    return posterior_agent(spec, model, rule)


def posterior_agent(spec: Spec, model: UserModel, rule: Rule) -> Agent:
    """An agent that takes the action of the highest score. Its belief about the user is in the extras.

    Args:
      spec: of the tasks.
      model: of the users.
      rule: `(evidence, moment, key) -> scores [actions]`.
    """
    prior = model.prior

    def act(params: tuple, memory: UserEvidence, observation: Array, key: PRNGKeyArray) -> Decision:
        del params
        scores = rule(memory, moment_of(observation, prior), key)
        extras = {"scores": scores, "belief": model.belief(memory, model.posterior(memory))}
        return Decision(action=jnp.argmax(scores).astype(jnp.int32), extras=extras)

    def take_in(memory: UserEvidence, step: Transition) -> tuple[UserEvidence, None]:
        moment, came = moment_of(step.observation, prior), moment_of(step.outcome.observation, prior).came
        return where(step.valid, model.after(memory, moment, step.decision.action, came), memory), None

    def adapt(params: tuple, memory: UserEvidence, experience: Transition, key: PRNGKeyArray) -> UserEvidence:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=lambda params, key: model.begin(), act=act, adapt=adapt)
