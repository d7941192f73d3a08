"""Searches for the one arm that pays most, with and without the arm whose payout reveals it."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from quickstudy.baselines.bandits.arm_counts import arms_of
from quickstudy.baselines.models.revealing_arm import OTHERS_PAY, TARGET_PAYS, RevealingArm
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record


@record
class TargetEvidence:
    """What is known of each plain arm `[arms]`: that it `paid` most, that it `failed` to, that the revealing arm `named` it."""

    paid: Bool[Array, " arms"]
    failed: Bool[Array, " arms"]
    named: Bool[Array, " arms"]


def plain_search_agent(spec: Spec) -> Agent:
    """The agent that tries one plain arm after another until it has the target. It never pulls the revealing arm.

    Args:
      spec: of the tasks; Discrete actions, of which the last is the revealing arm.
    Raises:
      SpecError: actions that are not Discrete.
    """
    return _search_agent(spec, reveals=(False,) * (int(arms_of(spec).n) - 1))


def revealing_search_agent(spec: Spec) -> Agent:
    """The Bayes-optimal agent: it pulls the revealing arm where that is worth more than another try, and then the target.

    Where the revealing arm named an arm that is not the target, which happens on no training task, it goes on to search.

    Args:
      spec: of the tasks; Discrete actions, of which the last is the revealing arm.
    Raises:
      SpecError: actions that are not Discrete.
    """
    problem = RevealingArm(arms=int(arms_of(spec).n) - 1, pulls=spec.lifetime_steps)
    return _search_agent(spec, reveals=problem.reveals())


def _search_agent(spec: Spec, *, reveals: tuple[bool, ...]) -> Agent:
    """An agent that pulls the revealing arm after the numbers of failures that `reveals` names, if nothing is known by then."""
    space = arms_of(spec)
    arms, first_action = int(space.n) - 1, int(space.start)
    after_failures = jnp.asarray((*reveals, False))

    def begin(params: tuple, key: PRNGKeyArray) -> TargetEvidence:
        del params, key
        nothing = jnp.zeros(arms, bool)
        return TargetEvidence(paid=nothing, failed=nothing, named=nothing)

    def act(params: tuple, memory: TargetEvidence, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, observation, key
        # In this order: the target, the arm that was named, arms that were not tried, the rest; the first of equals.
        paid, named, failed = (known.astype(jnp.int32) for known in (memory.paid, memory.named, memory.failed))
        score = 4 * paid + named - 2 * failed
        reveal = after_failures[failed.sum()] & ~(memory.paid | memory.named).any()
        arm = jnp.where(reveal, arms, jnp.argmax(score)).astype(jnp.int32)
        return Decision(action=first_action + arm, extras={"log_probability": jnp.float32(0.0)})

    def adapt(params: tuple, memory: TargetEvidence, experience: Transition, key: PRNGKeyArray) -> TargetEvidence:
        del params, key
        arm, reward = experience.decision.action[:, None] - first_action, experience.outcome.reward[:, None]
        number, valid = jnp.arange(arms)[None], experience.valid[:, None]
        paid = reward > (TARGET_PAYS + OTHERS_PAY) / 2
        named = jnp.round(reward * arms).astype(jnp.int32) == number + 1
        seen = lambda happened: (valid & happened).any(axis=0)  # noqa: E731
        return TargetEvidence(
            paid=memory.paid | seen((arm == number) & paid),
            failed=memory.failed | seen((arm == number) & ~paid),
            named=memory.named | seen((arm == arms) & named),
        )

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt, exchangeable=True)
