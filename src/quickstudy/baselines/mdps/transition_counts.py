"""The memory of the classical agents for small Markov decision processes: counts of transitions and sums of rewards.

Counts of transitions and sums of rewards are sufficient for the beliefs used here, independent for every state and action:

    P(. | s, a) ~ Dirichlet(1, ..., 1)                posterior  Dirichlet(1 + counts of the successors)
    r(s, a)     ~ N(m, 1), noise of variance 1        posterior  as `reward_counts.py` has it

Most of them plan once an episode, for a whole episode ahead. So their memory holds the plan too, and the step of the episode.
"""

from collections.abc import Callable
from typing import Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.mdps.reward_counts import FiniteSpaces, RewardCounts
from quickstudy.numerics.beliefs.belief import DirichletBelief, JointBelief
from quickstudy.numerics.value_iteration import best_actions
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan


@record
class TransitionCounts:
    """`transitions`: number of times that each state followed a state and an action; `reward_sums`: sum of their rewards."""

    transitions: Int[Array, "states actions states"]
    reward_sums: Float[Array, "states actions"]

    @classmethod
    def none(cls, spaces: FiniteSpaces) -> Self:
        """Before the first step."""
        states, actions = spaces.states, spaces.actions
        return cls(transitions=jnp.zeros((states, actions, states), jnp.int32), reward_sums=jnp.zeros((states, actions)))

    def after(self, transition: Transition, spaces: FiniteSpaces) -> Self:
        """With one more step, if it is valid."""
        state, action = spaces.state_and_action(transition)
        successor = transition.outcome.observation - spaces.first_state
        reward = jnp.where(transition.valid, transition.outcome.reward, 0.0)
        return type(self)(
            transitions=self.transitions.at[state, action, successor].add(transition.valid.astype(jnp.int32)),
            reward_sums=self.reward_sums.at[state, action].add(reward),
        )

    @property
    def visits(self) -> Float[Array, "states actions"]:
        """Number of times that each action was taken in each state."""
        return self.transitions.sum(axis=-1).astype(jnp.float32)

    @property
    def rewards(self) -> RewardCounts:
        """What is known of the mean rewards."""
        return RewardCounts(visits=self.visits, reward_sums=self.reward_sums)

    def belief(self, prior_mean: float) -> JointBelief:
        """Of the `transition` probabilities `[states, actions, states]` and the mean `reward` `[states, actions]`."""
        transition = DirichletBelief.from_counts(self.transitions)
        return JointBelief(parts={"reward": self.rewards.belief(prior_mean), "transition": transition})

    @property
    def mean_transition(self) -> Float[Array, "states actions states"]:
        """Posterior mean of the transition probabilities under a uniform Dirichlet prior."""
        return DirichletBelief.from_counts(self.transitions).mean

    def mean_reward(self, prior_mean: float) -> Float[Array, "states actions"]:
        """Posterior mean of the mean rewards, whose prior is N(prior_mean, 1) under noise of variance 1."""
        return self.rewards.mean_reward(prior_mean)


@record
class PlanningMemory:
    """`counts`; `plan` `[horizon, states]`: the action for each step of the episode; `step` `[]` of the episode, from 0."""

    counts: TransitionCounts
    plan: Int[Array, "horizon states"]
    step: Int[Array, ""]


def planning_agent(
    spec: Spec,
    plan: Callable[[TransitionCounts, PRNGKeyArray], Float[Array, "horizon states actions"]],
    *,
    prior_mean: float,
    epsilon: float = 0.0,
) -> Agent:
    """An agent that plans before every episode and then follows its plan; its belief is in the extras as `belief`.

    Args:
      spec: of the tasks: Discrete observations, which are the states, and Discrete actions.
      plan: `(counts, key) -> action values` for every step of the coming episode; the highest is taken, the first of those
        that tie.
      prior_mean: of the mean rewards, in its belief, reward units.
      epsilon: probability in [0, 1] of a uniformly drawn action instead.
    Raises:
      SpecError: observations or actions that are not Discrete, or an epsilon outside [0, 1].
    """
    spaces = FiniteSpaces.of(spec)
    if not 0 <= epsilon <= 1:
        raise SpecError(f"epsilon must be within [0, 1]; came {epsilon!r}.")
    actions, first_action = spaces.actions, spaces.first_action

    def begin(params: tuple, key: PRNGKeyArray) -> PlanningMemory:
        del params
        counts = TransitionCounts.none(spaces)
        return PlanningMemory(counts=counts, plan=best_actions(plan(counts, key)), step=jnp.int32(0))

    def act(params: tuple, memory: PlanningMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        del params
        extras = {"belief": memory.counts.belief(prior_mean)}
        planned = memory.plan[memory.step, observation - spaces.first_state]
        if epsilon == 0:
            return Decision(action=first_action + planned, extras={"log_probability": jnp.float32(0.0)} | extras)
        key_explore, key_action = jax.random.split(key)
        explore = jax.random.uniform(key_explore) < epsilon
        action = jnp.where(explore, jax.random.randint(key_action, (), 0, actions), planned)
        probability = jnp.where(action == planned, 1.0 - epsilon, 0.0) + epsilon / actions
        return Decision(action=first_action + action, extras={"log_probability": jnp.log(probability)} | extras)

    def adapt(params: tuple, memory: PlanningMemory, experience: Transition, key: PRNGKeyArray) -> PlanningMemory:
        del params

        def take_in(memory: PlanningMemory, transition: Transition) -> tuple[PlanningMemory, None]:
            counts = memory.counts.after(transition, spaces)
            over = transition.valid & transition.boundary
            # Where all lifetimes end their episodes at the same steps, `over` is one number for all of them even under
            # `vmap`, and this stays a branch: planning costs once an episode, not at every step.
            planned = jax.lax.cond(over, lambda: best_actions(plan(counts, key)), lambda: memory.plan)
            step = jnp.where(over, 0, memory.step + transition.valid.astype(jnp.int32))
            return PlanningMemory(counts=counts, plan=planned, step=step), None

        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)
