"""Agents that decide anew at every step, with a bonus for few visits that is gone when the lifetime ends.

    index(s, a) = r̂(s, a) + c (1 - t / T) / (1 + n(s, a))

r̂ is the posterior mean of the mean reward and n the number of visits of state s and action a. t is the number of steps taken in
the lifetime and T the steps of a whole lifetime. The agents of the paper plan once an episode: a reward changes their decisions
only in the next episode. A step-wise agent uses it at the next step.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.mdps.reward_counts import FiniteSpaces, RewardCounts
from quickstudy.baselines.mdps.transition_counts import TransitionCounts
from quickstudy.numerics.beliefs.belief import JointBelief
from quickstudy.numerics.value_iteration import backward_induction, best_actions, expected_backup
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan


def default_bonus(episodes: int) -> float:
    """c = 0.85 + 0.0155 episodes: 1.0 for lifetimes of 10 episodes, and 2.4 for 100.

    With 10, 25, 50, 75 and 100 episodes, the return of `step_wise_rule_agent` with this c is within 0.1 % of the best return
    with any of five values (4,000 MDPs of the paper's size, split `train`). For `step_wise_planning_agent`, none of three other
    values is significantly better, with 10, 50 and 100 episodes (2,000 MDPs of that split).
    """
    return 0.85 + 0.0155 * episodes


def index(
    counts: RewardCounts, *, steps: Float[Array, ""], lifetime_steps: int, bonus: float, prior_mean: float
) -> Float[Array, "*states actions"]:
    """The index of the module's equation.

    Args:
      counts: of all states `[states, actions]`, or of one `[actions]`.
      steps: t, from 0 to T.
      lifetime_steps: T.
      bonus: c, at least 0.
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    """
    return counts.mean_reward(prior_mean) + bonus * (1.0 - steps / lifetime_steps) / (1.0 + counts.visits)


def step_wise_rule_agent(spec: Spec, *, bonus: float | None = None, prior_mean: float = 1.0) -> Agent:
    """An agent that takes the action of the highest index in the present state, the first of those that tie.

    It has no model of the transitions. Every state is a bandit of its own, and all bandits share one clock.

    Args:
      spec: of the tasks; Discrete observations (the states) and actions.
      bonus: c, at least 0. None takes `default_bonus`.
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    Raises:
      SpecError: observations or actions that are not Discrete, or a negative bonus.
    Source: none; the bonus is that of `visit_bonus_agent`, times the part of the lifetime that is left.
    """
    spaces, chosen = FiniteSpaces.of(spec), _checked(bonus, spec)

    def begin(params: tuple, key: PRNGKeyArray) -> RewardCounts:
        del params, key
        return RewardCounts.none(spaces)

    def act(params: tuple, memory: RewardCounts, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        here = memory.of_state(observation - spaces.first_state)
        # Every step is a visit, so the visits are the clock too.
        steps = memory.visits.sum()
        value = index(here, steps=steps, lifetime_steps=spec.lifetime_steps, bonus=chosen, prior_mean=prior_mean)
        belief = JointBelief(parts={"reward": memory.belief(prior_mean)})
        return _certain(spaces.first_action + best_actions(value), belief)

    def adapt(params: tuple, memory: RewardCounts, experience: Transition, key: PRNGKeyArray) -> RewardCounts:
        del params, key
        return memory.after(experience, spaces)

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt, exchangeable=True)


@record
class StepWiseMemory:
    """`counts`; `step` `[]` of the episode, from 0."""

    counts: TransitionCounts
    step: Int[Array, ""]


def step_wise_planning_agent(spec: Spec, *, bonus: float | None = None, prior_mean: float = 1.0) -> Agent:
    """An agent that plans at every step for the rest of the episode, in the posterior mean of the MDP.

    The reward of every state and action is its index, with the bonus of the present step.

    Args:
      spec: of the tasks; Discrete observations (the states) and actions.
      bonus: c, at least 0. None takes `default_bonus`.
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    Raises:
      SpecError: observations or actions that are not Discrete, or a negative bonus.
    Source: Kolter & Ng 2009, who plan at every step too. Changed: the bonus is that of `step_wise_rule_agent`.
    """
    spaces, chosen = FiniteSpaces.of(spec), _checked(bonus, spec)

    def begin(params: tuple, key: PRNGKeyArray) -> StepWiseMemory:
        del params, key
        return StepWiseMemory(counts=TransitionCounts.none(spaces), step=jnp.int32(0))

    def act(params: tuple, memory: StepWiseMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        rewards = memory.counts.rewards
        steps = rewards.visits.sum()
        reward = index(rewards, steps=steps, lifetime_steps=spec.lifetime_steps, bonus=chosen, prior_mean=prior_mean)
        backup = expected_backup(reward, memory.counts.mean_transition)
        _, value = backward_induction(backup, states=spaces.states, horizon=spec.horizon)
        here = value[memory.step, observation - spaces.first_state]
        return _certain(spaces.first_action + best_actions(here), memory.counts.belief(prior_mean))

    def adapt(params: tuple, memory: StepWiseMemory, experience: Transition, key: PRNGKeyArray) -> StepWiseMemory:
        del params, key

        def take_in(memory: StepWiseMemory, transition: Transition) -> tuple[StepWiseMemory, None]:
            over = transition.valid & transition.boundary
            step = jnp.where(over, 0, memory.step + transition.valid.astype(jnp.int32))
            return StepWiseMemory(counts=memory.counts.after(transition, spaces), step=step), None

        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)


def _checked(bonus: float | None, spec: Spec) -> float:
    chosen = default_bonus(spec.episodes) if bonus is None else bonus
    if not chosen >= 0:
        raise SpecError(f"bonus must be 0 or more; came {bonus!r}.")
    return chosen


def _certain(action: Array, belief: JointBelief) -> Decision:
    return Decision(action=action, extras={"log_probability": jnp.float32(0.0), "belief": belief})
