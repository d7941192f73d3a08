"""Rules for an assistant that need no prior: always silent, always ask, ask first, and LinUCB in each situation."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.bandits.linear_evidence import linear_agent, upper_confidence
from quickstudy.baselines.memoryless import memoryless_agent
from quickstudy.baselines.models.assistant import (
    ASK,
    KEPT,
    SILENT,
    UNDONE,
    WISH,
    Assistant,
    moment_of,
    prior_for_assistant,
)
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where


@record
class Answers:
    """What `ask_first_agent` remembers of a user.

    `counts` `[situations, wishes]`: how often each wish was seen or heard, less how often it was undone; at least 0.
    `dismissed` `[]`: questions that were dismissed since the last answer, in all situations together.
    """

    counts: Float[Array, "situations wishes"]
    dismissed: Int[Array, ""]


def always_silent_agent(spec: Spec, *, prior: Assistant | None = None) -> Agent:
    """Stays silent. It earns 0, so an agent that earns less should be switched off.

    Args:
      spec: of the tasks; observations as `baselines.models.assistant` has them.
      prior: of which only the sizes are used.
    Raises:
      SpecError: other observations or actions.
    """
    return _always(spec, prior, SILENT)


def always_ask_agent(spec: Spec, *, prior: Assistant | None = None) -> Agent:
    """Asks at every moment.

    Args:
      spec: of the tasks; observations as `baselines.models.assistant` has them.
      prior: of which only the sizes are used.
    Raises:
      SpecError: other observations or actions.
    """
    return _always(spec, prior, ASK)


def ask_first_agent(spec: Spec, *, prior: Assistant | None = None, most_questions: int = 3) -> Agent:
    """Asks in each situation until there is an answer, then does what was wished most often there.

    An action that is undone takes one from its count. After `most_questions` dismissed questions in a row it stops asking: it
    stays silent in situations in which it knows no wish.

    Args:
      spec: of the tasks; observations as `baselines.models.assistant` has them.
      prior: of which only the sizes are used.
      most_questions: dismissed questions in a row, in all situations together, after which it stops asking.
    Raises:
      SpecError: other observations or actions.
    """
    prior = prior_for_assistant(spec, prior)

    def begin(params: tuple, key: PRNGKeyArray) -> Answers:
        del params, key
        return Answers(counts=jnp.zeros((prior.situations, prior.wishes)), dismissed=jnp.int32(0))

    def act(params: tuple, memory: Answers, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        here = memory.counts[moment_of(observation, prior).situation]
        wish = jnp.argmax(here)
        known = jnp.where(wish == 0, SILENT, wish + 1)
        unknown = jnp.where(memory.dismissed < most_questions, ASK, SILENT)
        return Decision(action=jnp.where(here.max() > 0, known, unknown).astype(jnp.int32), extras={})

    def take_in(memory: Answers, step: Transition) -> tuple[Answers, None]:
        moment, came = moment_of(step.observation, prior), moment_of(step.outcome.observation, prior).came
        action = step.decision.action
        done = jnp.clip(action - 1, 0, prior.wishes - 1)
        wish = jnp.where(came >= WISH, came - WISH, done)
        change = jnp.where((came >= WISH) | (came == KEPT), 1.0, jnp.where(came == UNDONE, -1.0, 0.0))
        counts = jnp.maximum(memory.counts.at[moment.situation, wish].add(change), 0.0)
        dismissed = jnp.where(action == ASK, jnp.where(came >= WISH, 0, memory.dismissed + 1), memory.dismissed)
        return where(step.valid, Answers(counts=counts, dismissed=dismissed), memory), None

    def adapt(params: tuple, memory: Answers, experience: Transition, key: PRNGKeyArray) -> Answers:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)


def situation_ucb_agent(spec: Spec, *, prior: Assistant | None = None, width: float = 0.5, ridge: float = 1.0) -> Agent:
    """LinUCB with the situation as its context and a separate regression for every action, silence and question included.

        argmax_a  θ_aᵀ x + α √(xᵀ A_a⁻¹ x)

    It learns from rewards alone, and not from what an answer says.

    Args:
      spec: of the tasks; observations as `baselines.models.assistant` has them.
      prior: of which only the sizes are used.
      width: α, in reward units.
      ridge: λ.
    Raises:
      SpecError: other observations or actions.
    Source: Li et al. 2010, algorithm 1. Changed: nothing.
    """
    prior = prior_for_assistant(spec, prior)

    def features(observation: Array) -> Array:
        here = jnp.arange(prior.situations) == moment_of(observation, prior).situation
        return jnp.broadcast_to(here[None].astype(jnp.float32), (prior.actions + 2, prior.situations))

    return linear_agent(spec, upper_confidence(width), features=features, ridge=ridge, shared=False)


def _always(spec: Spec, prior: Assistant | None, action: int) -> Agent:
    """An agent that always takes one action."""
    prior_for_assistant(spec, prior)

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        del observation, key
        return Decision(action=jnp.int32(action), extras={})

    return memoryless_agent(spec, choose)
