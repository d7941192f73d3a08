"""The memory of the classical bandit agents: successes and failures of each arm.

The counts are sufficient for independent Bernoulli arms. With a uniform prior they determine the belief: the probability of
arm i has the posterior Beta(1 + successes[i], 1 + failures[i]).
"""

from collections.abc import Callable
from typing import Any

import gymnasium
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.numerics.beliefs.belief import Belief, DirichletBelief
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition, record


@record
class ArmCounts:
    """`successes`, `failures` `[arms]`: how many valid pulls of each arm paid 1, and how many paid 0."""

    successes: Int[Array, " arms"]
    failures: Int[Array, " arms"]

    @property
    def pulls(self) -> Int[Array, " arms"]:
        """How often each arm was pulled."""
        return self.successes + self.failures

    @property
    def belief(self) -> DirichletBelief:
        """`[arms, 2]`: belief about the probabilities of success and failure of each arm, with a uniform prior."""
        return DirichletBelief.from_counts(jnp.stack([self.successes, self.failures], axis=-1))

    @property
    def mean(self) -> Float[Array, " arms"]:
        """Posterior mean in (0, 1) under a uniform prior: as if every arm had one success in two pulls before."""
        return (self.successes + 1).astype(jnp.float32) / (self.pulls + 2).astype(jnp.float32)


def arms_of(spec: Spec) -> gymnasium.spaces.Discrete:
    """The arms of the tasks, one for each action.

    Raises:
      SpecError: actions that are not Discrete.
    """
    space = spec.action_space
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise SpecError(f"a bandit agent needs Discrete actions, one for each arm; came {space!r}.")
    return space


def counting_agent(
    spec: Spec,
    choose: Callable[[Any, ArmCounts, PRNGKeyArray], tuple[Array, dict[str, Array]]],
    *,
    init: Callable[[PRNGKeyArray], Any] = lambda key: (),
    belief: Callable[[ArmCounts], Belief] = lambda counts: counts.belief,
) -> Agent:
    """An agent whose memory is `ArmCounts`.

    Args:
      spec: of the tasks: Discrete actions, rewards of 0 or 1 (above one half counts as a success).
      choose: `(params, counts, key) -> (arm, extras)`: the arm to pull, an index from 0, and further extras of the
        decision. The belief is added to the extras as `belief`.
      init: `(key) -> params`, for agents that need a table, such as one of indices.
      belief: `(counts) -> Belief`: about the probabilities of success; by default with independent uniform priors.
    Raises:
      SpecError: actions that are not Discrete.
    """
    space = arms_of(spec)
    arms, first_action = int(space.n), int(space.start)

    def begin(params: Any, key: PRNGKeyArray) -> ArmCounts:
        del params, key
        return ArmCounts(successes=jnp.zeros(arms, jnp.int32), failures=jnp.zeros(arms, jnp.int32))

    def act(params: Any, memory: ArmCounts, observation: Array, key: PRNGKeyArray) -> Decision:
        del observation
        arm, extras = choose(params, memory, key)
        return Decision(action=first_action + arm.astype(jnp.int32), extras={**extras, "belief": belief(memory)})

    def adapt(params: Any, memory: ArmCounts, experience: Transition, key: PRNGKeyArray) -> ArmCounts:
        del params, key
        pulled = experience.decision.action[:, None] - first_action == jnp.arange(arms)[None]
        pulled = pulled & experience.valid[:, None]
        paid = experience.outcome.reward[:, None] > 0.5
        return ArmCounts(
            successes=memory.successes + (pulled & paid).sum(axis=0, dtype=jnp.int32),
            failures=memory.failures + (pulled & ~paid).sum(axis=0, dtype=jnp.int32),
        )

    return Agent(spec=spec, init=init, begin=begin, act=act, adapt=adapt, exchangeable=True)


def certain(arm: Array) -> tuple[Array, dict[str, Array]]:
    """The answer of a `choose` that never gambles: this arm, with probability one."""
    return arm, {"log_probability": jnp.float32(0.0)}


def counting_agent_of_score(
    spec: Spec,
    score: Callable[[Any, ArmCounts], Float[Array, " arms"]],
    *,
    init: Callable[[PRNGKeyArray], Any] = lambda key: (),
) -> Agent:
    """A `counting_agent` that pulls the arm of the highest score, the first of those that tie."""

    def choose(params: Any, counts: ArmCounts, key: PRNGKeyArray) -> tuple[Array, dict[str, Array]]:
        del key
        scores = score(params, counts)
        arm, extras = certain(jnp.argmax(scores))
        return arm, extras | {"scores": scores}

    return counting_agent(spec, choose, init=init)
