"""An agent within its envelope: the guard that every deployed agent can have.

    agent    --limits-->  its action  --+
                                        +-->  final action and its probability, and what acted and why
    fallback --bounds-->  its action  --+

Both see every step. So the fallback knows the lifetime when it takes over, and so does the agent when it returns. The state of
the guard is memory: it changes in `adapt` only, from what the decisions reported. A decision counts when its outcome is known.

The fallback decides with the keys that it would have on its own. So a lifetime in which only the fallback acts is that of the
baseline itself.
"""

import dataclasses
from collections.abc import Callable

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from quickstudy.numerics.distributions import Categorical
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.records import Decision, Transition, blank_observation
from quickstudy.protocol.sequences import where
from quickstudy.rollout.compiled import check_fit
from quickstudy.rollout.envelope.accounts import EnvelopeMemory, after_steps, p_value_of
from quickstudy.rollout.envelope.limits import (
    Limited,
    bounds_of,
    check_exploration,
    explored_within,
    log_probability_of,
    within_bounds,
)
from quickstudy.rollout.envelope.reasons import COST, EXPLORED, HOLDBACK, LIMITS, MODE, NOT_FINITE, NOTHING, SURPRISE
from quickstudy.rollout.envelope.rules import Envelope, ExplorationLimits
from quickstudy.rollout.envelope.surprise import after_p_value, unsurprised
from quickstudy.rollout.wrapping import wrapped

_GUARD_KEY, _HOLDBACK_KEY = 0x67756172, 0x686F6C64
"""Numbers that the guard's own keys are folded with, so that agent and fallback keep theirs."""


def with_envelope(agent: Agent, envelope: Envelope, *, fallback: Agent | None = None) -> Agent:
    """The same agent within an envelope; its parameters are the agent's.

    Decisions keep the agent's extras. `log_probability` is that of the final action; NaN where the fallback does not know its
    own. `policy` stays only where it is the policy of the final action. They gain `extras["guard"]`:

    - `fallback` `[]`: whether the fallback acted.
    - `reason` `[]`: a number of `REASONS`.
    - `explored` `[]`: whether the agent acted, with another action than its likeliest one.
    - `agent_log_probability` `[]`: of the final action under the agent's own policy; NaN where it is not known.

    Args:
      agent: that is deployed.
      envelope: its rules.
      fallback: the baseline that the envelope names; it needs no meta-training.
    Raises:
      UsageError: the envelope names a fallback and none came, or a rule that this agent or fallback cannot keep.
      SpecError: rules for other actions, or a fallback for other tasks.
    Example:
      >>> import quickstudy as qs
      >>> from quickstudy.rollout.envelope.rules import ActionLimits
      >>> buoy = qs.tasks.make("drifting-control")
      >>> agent = buoy.baselines["certainty equivalence"]()
      >>> careful = with_envelope(agent, Envelope(actions=ActionLimits(low=-1.0, high=1.0)))
    """
    guard = _Guard(agent, envelope, fallback)
    # The hysteresis depends on the order of steps.
    return wrapped(agent, begin=guard.begin, act=guard.marked_act(), adapt=guard.adapt, exchangeable=False)


class _Guard:
    """The functions of a guarded agent."""

    def __init__(self, agent: Agent, envelope: Envelope, fallback: Agent | None):
        if (fallback is None) != (envelope.fallback is None):
            came = "none came" if fallback is None else "one came"
            raise UsageError(
                f"the envelope names the fallback {envelope.fallback!r}, and {came}. Give the agent of that "
                "baseline, as in fallback=distribution.baselines[NAME]()."
            )
        self.agent, self.fallback, self.envelope = agent, fallback, envelope
        self.bounds = bounds_of(envelope.actions, agent)
        check_exploration(envelope, agent.spec)
        if fallback is not None:
            check_fit(fallback, agent.spec)
            if fallback.cadence not in (1, agent.cadence):
                raise UsageError(
                    f"the fallback adapts once in {fallback.cadence} steps and the agent once in {agent.cadence}. Name a "
                    "baseline that adapts at every step."
                )
            self.params = fallback.init(jax.random.key(0))
        self._check_decisions()

    def begin(self, params: PyTree, key: PRNGKeyArray) -> EnvelopeMemory:
        drawn = jax.random.uniform(jax.random.fold_in(key, _HOLDBACK_KEY))
        space, changes = self.agent.spec.action_space, self.bounds is not None and self.bounds.change is not None
        return EnvelopeMemory(
            agent=self.agent.begin(params, key),
            fallback=() if self.fallback is None else self.fallback.begin(self.params, key),
            surprise=unsurprised(),
            held_back=drawn < self.envelope.holdback,
            explored=jnp.int32(0),
            cost=jnp.float32(0.0),
            last=jnp.zeros(gymnasium.spaces.flatdim(space) if changes else 0),
            acted=jnp.asarray(False),
        )

    def marked_act(self) -> Callable:
        """`act`, marked as held to allowed actions: agent and fallback are, and limits choose among allowed actions only."""

        def act(params: PyTree, memory: EnvelopeMemory, observation: Array, key: PRNGKeyArray) -> Decision:
            return self.act(params, memory, observation, key)

        act.held_to_allowed = True  # type: ignore[attr-defined]
        return act

    def act(self, params: PyTree, memory: EnvelopeMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        key_limits, key_bounds = jax.random.split(jax.random.fold_in(key, _GUARD_KEY))
        decided = self.agent.act(params, memory.agent, observation, key)
        own, spent = self._limited_agent(decided, memory, observation, key_limits)
        changed = ~_equal(own.action, decided.action)
        reason = jnp.where(changed, jnp.where(spent, EXPLORED, LIMITS), NOTHING)
        final, falls_back = own, jnp.asarray(False)
        if self.fallback is not None:
            other = self._limited_fallback(memory, observation, key, key_bounds)
            reason, falls_back = self._why_fallback(decided, memory, reason)
            final = where(falls_back, dataclasses.replace(other, policy=own.policy), own)
        own_policy = decided.extras.get("policy")
        guard = {
            "fallback": falls_back,
            "reason": reason.astype(jnp.int32),
            "explored": ~falls_back & ~own.likeliest,
            "agent_log_probability": jnp.float32(jnp.nan) if own_policy is None else own_policy.log_probability(final.action),
        }
        return Decision(action=final.action, extras=self._extras(decided, final) | {"guard": guard})

    def adapt(self, params: PyTree, memory: EnvelopeMemory, experience: Transition, key: PRNGKeyArray) -> EnvelopeMemory:
        frozen = self.envelope.mode == "frozen"
        return dataclasses.replace(
            after_steps(memory, experience, self.envelope.surprise),
            agent=memory.agent if frozen else self.agent.adapt(params, memory.agent, _as_its_own(experience), key),
            fallback=() if self.fallback is None else self.fallback.adapt(self.params, memory.fallback, experience, key),
        )

    def _limited_agent(
        self, decided: Decision, memory: EnvelopeMemory, observation: Array, key: PRNGKeyArray
    ) -> tuple[Limited, Bool[Array, ""]]:
        """The agent's decision within the limits, and whether its explored decisions are spent."""
        budget, spent = self.envelope.budget, jnp.asarray(False)
        if budget is not None and budget.explored_decisions is not None:
            spent = memory.explored >= budget.explored_decisions
        if self.bounds is not None:
            return within_bounds(decided, self.bounds, memory.last, memory.acted, key), spent
        policy = decided.extras.get("policy")
        if isinstance(policy, Categorical):
            limits = self.envelope.exploration or ExplorationLimits()
            return explored_within(decided, limits, self.agent.spec.allowed(observation), spent, key), spent
        known = log_probability_of(decided)
        return Limited(action=decided.action, log_probability=known, likeliest=jnp.asarray(True), policy=policy), spent

    def _limited_fallback(
        self, memory: EnvelopeMemory, observation: Array, key: PRNGKeyArray, key_bounds: PRNGKeyArray
    ) -> Limited:
        assert self.fallback is not None
        decided = self.fallback.act(self.params, memory.fallback, observation, key)
        if self.bounds is not None:
            return within_bounds(decided, self.bounds, memory.last, memory.acted, key_bounds)
        return Limited(action=decided.action, log_probability=log_probability_of(decided), likeliest=jnp.asarray(True))

    def _why_fallback(
        self, decided: Decision, memory: EnvelopeMemory, reason: Int[Array, ""]
    ) -> tuple[Int[Array, ""], Bool[Array, ""]]:
        """Why the guard acts, and whether the fallback does. If several reasons hold, the last one of `REASONS` is given."""
        rules = self.envelope
        told = {NOT_FINITE: ~_is_finite(decided.action) | ~_known_is_finite(decided), HOLDBACK: memory.held_back}
        if rules.surprise is not None:
            told[SURPRISE] = after_p_value(memory.surprise, p_value_of(decided, rules.surprise), rules.surprise).surprised
        if rules.budget is not None and rules.budget.cost is not None:
            told[COST] = memory.cost >= rules.budget.cost
        told[MODE] = jnp.asarray(rules.mode == "fallback")
        falls_back = jnp.asarray(False)
        for number in sorted(told):
            reason = jnp.where(told[number], number, reason)
            falls_back = falls_back | told[number]
        return reason, falls_back

    def _extras(self, decided: Decision, final: Limited) -> dict[str, PyTree]:
        kept = {name: extra for name, extra in decided.extras.items() if name not in ("policy", "scores", "log_probability")}
        exact = final.policy is not None and self.fallback is None and not self.agent.spec.action_mask
        return kept | {"log_probability": final.log_probability} | ({"policy": final.policy} if exact else {})

    def _check_decisions(self) -> None:
        """Raises UsageError where the decisions of the agent lack what a rule needs."""
        agent, rules = self.agent, self.envelope
        key = jax.eval_shape(lambda: jax.random.key(0))
        params = jax.eval_shape(agent.init, key)
        seen = blank_observation(agent.spec)
        extras = jax.eval_shape(agent.act, params, jax.eval_shape(agent.begin, params, key), seen, key).extras
        if rules.surprise is not None and rules.surprise.p_value not in extras.get("p_values", {}):
            raise UsageError(
                f"surprise in the envelope needs the p-value {rules.surprise.p_value!r}, and the agent's decisions have none. "
                "Fit a readout with `quickstudy readout BUNDLE`, and name its file as surprise.readout. Or name a baseline "
                "with p-values as surprise.monitor."
            )
        limited = rules.exploration is not None or (rules.budget is not None and rules.budget.explored_decisions is not None)
        if limited and not isinstance(extras.get("policy"), Categorical):
            raise SpecError(
                "limits of exploration need an agent that gives its policy, and this one gives none. Leave exploration and "
                "budget.explored_decisions out."
            )


def _as_its_own(experience: Transition) -> Transition:
    """Experience as the agent learns from it: where the final probability is not known, the agent's own replaces it.

    Agents that adapt by policy gradients divide by the recorded probability. With their own, that ratio begins at 1.
    """
    extras = experience.decision.extras
    known, own = extras["log_probability"], extras["guard"]["agent_log_probability"]
    heard = jnp.where(jnp.isfinite(known), known, jnp.where(jnp.isfinite(own), own, 0.0))
    decision = dataclasses.replace(experience.decision, extras=extras | {"log_probability": heard})
    return dataclasses.replace(experience, decision=decision)


def _known_is_finite(decided: Decision) -> Bool[Array, ""]:
    """Whether a policy that the agent tells gives its action a probability at all."""
    return jnp.isfinite(log_probability_of(decided)) if "policy" in decided.extras else jnp.asarray(True)


def _is_finite(action: PyTree) -> Bool[Array, ""]:
    leaves = [leaf for leaf in jax.tree.leaves(action) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.asarray(True) if not leaves else jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()


def _equal(one: PyTree, other: PyTree) -> Bool[Array, ""]:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return jnp.stack([(a == b).all() for a, b in pairs]).all()
