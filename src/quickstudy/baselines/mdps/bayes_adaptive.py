"""Agents for small Markov decision processes that act on one belief: on all of it, on a draw from it, or on its mean.

The first is Bayes-optimal, and its expected return is known without simulation. All three remember the same statistic
(`adaptive_problem`) and have the same belief in their extras.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from quickstudy.baselines.mdps.adaptive_plan import MOST_SITUATIONS, most_situations, plan_adaptively
from quickstudy.baselines.mdps.adaptive_problem import AdaptiveProblem, problem_of_counts, sizes_of
from quickstudy.numerics.beliefs.belief import Belief
from quickstudy.numerics.value_iteration import backward_induction, best_actions
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where


@record
class Situation:
    """`statistic` `[n]` of past outcomes; `row` `[]` of the plan."""

    statistic: Int[Array, " n"]
    row: Int[Array, ""]


@record
class EpisodePlan:
    """`statistic` `[n]` of past outcomes; `plan` `[horizon, states]`: an action for each step; `step` `[]` of the episode."""

    statistic: Int[Array, " n"]
    plan: Int[Array, "horizon states"]
    step: Int[Array, ""]


def bayes_adaptive_agent(problem: AdaptiveProblem) -> Agent:
    """An agent that maximises the expected return of the whole lifetime, including the value of information.

    The expected remaining return is in the extras as `value`. After an outcome that is impossible under the prior, and in a
    state that the plan does not reach, it takes the first action.

    Args:
      problem: states, actions, outcomes and prior.
    Raises:
      SpecError: more situations than can be planned for; raised by `init`.
    Source: Duff 2002 (Bayes-adaptive Markov decision processes). Changed: a finite horizon, and exact.
    """
    first_state, first_action = _firsts(problem.spec)

    def action_in(params: dict[str, Array], row: Array, observation: Array) -> Array:
        return jnp.where(params["state"][row] == observation - first_state, params["action"][row], 0).astype(jnp.int32)

    def init(key: PRNGKeyArray) -> dict[str, Array]:
        del key
        plan = plan_adaptively(problem)
        return {
            "action": jnp.asarray(plan.action),
            "state": jnp.asarray(plan.state),
            "to_come": jnp.asarray(plan.to_come, jnp.float32),
            "following": jnp.asarray(plan.following),
        }

    def begin(params: dict[str, Array], key: PRNGKeyArray) -> Situation:
        del params, key
        return Situation(statistic=jnp.asarray(problem.statistic, jnp.int32), row=jnp.int32(0))

    def act(params: dict[str, Array], memory: Situation, observation: Array, key: PRNGKeyArray) -> Decision:
        del key
        extras = {
            "log_probability": jnp.float32(0.0),
            "value": params["to_come"][memory.row],
            "belief": problem.belief(memory.statistic),
        }
        return Decision(action=first_action + action_in(params, memory.row, observation), extras=extras)

    def adapt(params: dict[str, Array], memory: Situation, experience: Transition, key: PRNGKeyArray) -> Situation:
        del key

        def take_in(memory: Situation, transition: Transition) -> tuple[Situation, None]:
            cell, leads, statistic = _taken_in(problem, memory.statistic, transition)
            planned_for = leads & (params["state"][memory.row] == cell[0])
            row = jnp.where(planned_for, params["following"][memory.row, cell[1], cell[2]], len(params["action"]) - 1)
            return where(transition.valid, Situation(statistic=statistic, row=row), memory), None

        return scan(take_in, memory, experience)[0]

    return Agent(spec=problem.spec, init=init, begin=begin, act=act, adapt=adapt)


def sampled_plan_agent(problem: AdaptiveProblem) -> Agent:
    """Posterior sampling: each episode follows the best policy for probabilities that are drawn from the belief.

    Args:
      problem: states, actions, outcomes and prior.
    Source: Strens 2000; Osband, Russo & Van Roy 2013, algorithm 1. Changed: the belief is any of `adaptive_problem`.
    """
    return _episode_planner(problem, lambda belief, key: belief.sample(key))


def expected_plan_agent(problem: AdaptiveProblem) -> Agent:
    """Greedy planning: before every episode, the best policy for the mean of the belief is computed and followed.

    Args:
      problem: states, actions, outcomes and prior.
    """
    return _episode_planner(problem, lambda belief, key: belief.mean)


def exact_adaptive_value(problem: AdaptiveProblem) -> float:
    """Expected return of one lifetime of `bayes_adaptive_agent`, over the prior and transitions; no agent has a higher one.

    Args:
      problem: states, actions, outcomes and prior.
    Raises:
      SpecError: more situations than can be planned for.
    """
    return plan_adaptively(problem).value


def arrival_problem(spec: Spec) -> AdaptiveProblem:
    """Every action can lead to every state with unknown probability, and arriving in the last state pays 1.

    Args:
      spec: Discrete observations, which are the states, and Discrete actions; episodes begin in the first state.
    Raises:
      SpecError: observations or actions that are not Discrete.
    """
    states, actions = sizes_of(spec)
    successor = np.broadcast_to(np.arange(states), (states, actions, states))
    return problem_of_counts(spec, successor=successor, reward=(successor == states - 1).astype(np.float64))


def adaptive_reaches(spec: Spec) -> bool:
    """Whether the Bayes-adaptive optimum of the `arrival_problem` can be computed for sure."""
    return most_situations(spec, sizes_of(spec)[0]) <= MOST_SITUATIONS


def arrival_adaptive_agent(spec: Spec) -> Agent:
    """The Bayes-optimal agent of the `arrival_problem`.

    Args:
      spec: of the tasks: few states, actions and steps.
    Raises:
      SpecError: observations or actions that are not Discrete, or too many of them.
    """
    problem = arrival_problem(spec)
    if not adaptive_reaches(spec):
        states, actions = sizes_of(spec)
        raise SpecError(
            f"the Bayes-adaptive optimum is within reach for up to {MOST_SITUATIONS:,} situations (a step, counts of what "
            f"followed, and a state); {states} states, {actions} actions and {spec.lifetime_steps} steps may make "
            f"{most_situations(spec, states):.3g}. Fewer of any make fewer; posterior sampling has no such limit."
        )
    return bayes_adaptive_agent(problem)


def arrival_sampling_agent(spec: Spec) -> Agent:
    """Posterior sampling for the `arrival_problem`.

    Args:
      spec: of the tasks; Discrete observations and actions.
    Raises:
      SpecError: observations or actions that are not Discrete.
    """
    return sampled_plan_agent(arrival_problem(spec))


def arrival_greedy_agent(spec: Spec) -> Agent:
    """Greedy planning for the `arrival_problem`.

    Args:
      spec: of the tasks; Discrete observations and actions.
    Raises:
      SpecError: observations or actions that are not Discrete.
    """
    return expected_plan_agent(arrival_problem(spec))


def _episode_planner(problem: AdaptiveProblem, believed: Callable[[Belief, PRNGKeyArray], PyTree]) -> Agent:
    """An agent that plans each episode for the probabilities `believed(belief, key)`."""
    spec = problem.spec
    states = sizes_of(spec)[0]
    first_state, first_action = _firsts(spec)

    def planned(statistic: Array, key: PRNGKeyArray) -> Array:
        chances = problem.chances(believed(problem.belief(statistic), key))
        reward, successor = jnp.asarray(problem.reward, jnp.float32), jnp.asarray(problem.successor, jnp.int32)
        backup = lambda value: (chances * (reward + value[successor])).sum(axis=-1)  # noqa: E731
        return best_actions(backward_induction(backup, states=states, horizon=spec.horizon)[1])

    def begin(params: tuple, key: PRNGKeyArray) -> EpisodePlan:
        del params
        statistic = jnp.asarray(problem.statistic, jnp.int32)
        return EpisodePlan(statistic=statistic, plan=planned(statistic, key), step=jnp.int32(0))

    def act(params: tuple, memory: EpisodePlan, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        action = first_action + memory.plan[memory.step, observation - first_state]
        return Decision(action=action, extras={"log_probability": jnp.float32(0.0), "belief": problem.belief(memory.statistic)})

    def adapt(params: tuple, memory: EpisodePlan, experience: Transition, key: PRNGKeyArray) -> EpisodePlan:
        del params

        def take_in(memory: EpisodePlan, transition: Transition) -> tuple[EpisodePlan, None]:
            statistic = jnp.where(transition.valid, _taken_in(problem, memory.statistic, transition)[2], memory.statistic)
            over = transition.valid & transition.boundary
            # A branch even under `vmap`, where all lifetimes end their episodes at the same steps.
            plan = jax.lax.cond(over, lambda: planned(statistic, key), lambda: memory.plan)
            step = jnp.where(over, 0, memory.step + transition.valid.astype(jnp.int32))
            return EpisodePlan(statistic=statistic, plan=plan, step=step), None

        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)


def _taken_in(
    problem: AdaptiveProblem, statistic: Array, transition: Transition
) -> tuple[tuple[Array, Array, Array], Array, Array]:
    """State, action and outcome of one step, whether the problem has such an outcome, and the statistic after it."""
    first_state, first_action = _firsts(problem.spec)
    state, action = transition.observation - first_state, transition.decision.action - first_action
    outcome, leads = problem.outcome_of(state, action, transition.outcome.observation - first_state, transition.outcome.reward)
    keeps, adds = (jnp.asarray(table, jnp.int32)[state, action, outcome] for table in (problem.keeps, problem.adds))
    return (state, action, outcome), leads, jnp.where(leads, statistic * keeps + adds, statistic)


def _firsts(spec: Spec) -> tuple[int, int]:
    """The numbers of the first state and of the first action."""
    return int(spec.observation_space.start), int(spec.action_space.start)  # type: ignore[union-attr]
