"""Agents that search a hidden goal on a grid and remember the searched cells.

Until the goal is found the belief is uniform over the cells not searched yet, so agents differ only in the next cell that they
search. Afterwards all of them take the shortest way to the goal and stay. Their prior is the start and the goals of
`HiddenGoal` on every split. Where it is wrong, they search the remaining cells when those of the prior are exhausted.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from quickstudy.baselines.models.hidden_goal import HiddenGoal, action_towards, distances
from quickstudy.baselines.navigation.search_plan import MOST_CELLS, plan_search
from quickstudy.numerics.beliefs.belief import CategoricalBelief
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Transition, record


@record
class SearchMemory:
    """The state of a search.

    `searched` `[cells]`: a step ended here and it was not the goal. `searched_before` `[cells]`: already when this episode
    began. `goal` `[]`: the cell of the goal, -1 while it is not found. `steps` `[]` of the lifetime so far. `order`
    `[cells]`: a permutation, drawn at the beginning of the lifetime, for searches in random order.
    """

    searched: Bool[Array, " cells"]
    searched_before: Bool[Array, " cells"]
    goal: Int[Array, ""]
    steps: Int[Array, ""]
    order: Int[Array, " cells"]


Choose = Callable[[Any, SearchMemory, Array, PRNGKeyArray], tuple[Array, Array]]


def posterior_sampling_agent(problem: HiddenGoal) -> Agent:
    """An agent that draws one goal from its belief when an episode begins, walks there and stays.

    Searched cells change its belief, but it draws the next goal only in the next episode; if it meets the goal it stays there.
    Of the shortest ways it takes a random one: wherever both axes remain, both have the same probability.

    Args:
      problem: what is known before the first step.
    Source: Strens 2000; Osband et al. 2013 (PSRL), algorithm 1. Changed: the goal that was found is used at once.
    """

    def choose(params: tuple, memory: SearchMemory, cell: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        del params, cell
        # The first of a random order among those left is a uniform draw, and independent of the earlier ones.
        rank = _shifted(memory.order, problem, memory.searched_before, by=problem.cells)
        return jnp.argmin(rank), jax.random.bernoulli(key)

    return _searching_agent(problem, choose)


def nearest_first_agent(problem: HiddenGoal) -> Agent:
    """An agent that always walks to the nearest cell that it has not searched; of equally near ones, to the lowest number.

    Args:
      problem: what is known before the first step.
    """

    def choose(params: tuple, memory: SearchMemory, cell: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        del params, key
        return _nearest(problem, memory, cell), jnp.asarray(True)

    return _searching_agent(problem, choose)


def planned_search_reaches(problem: HiddenGoal) -> bool:
    """Whether the grid is small enough for `plan_search` to prove that its path is optimal."""
    return problem.cells <= MOST_CELLS


def planned_search_agent(problem: HiddenGoal) -> Agent:
    """An agent that follows the path of `plan_search` until it finds the goal: Bayes-optimal where the path is proven optimal.

    Where the rest of the path holds no new cell, it continues as `nearest_first_agent`.

    Args:
      problem: what is known before the first step.
    """

    def init(key: PRNGKeyArray) -> dict[str, Array]:
        del key
        cell = plan_search(problem).cell
        visits = cell[:, None] == np.arange(problem.cells)
        ahead = np.logical_or.accumulate(visits[::-1])[::-1] & _may_hold_goal(problem)
        return {"cell": jnp.asarray(cell), "ahead": jnp.asarray(ahead)}

    def choose(params: dict[str, Array], memory: SearchMemory, cell: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        del key
        new_ahead = (params["ahead"][memory.steps] & ~memory.searched).any()
        target = jnp.where(new_ahead, params["cell"][memory.steps], _nearest(problem, memory, cell))
        return target, jnp.asarray(True)

    return _searching_agent(problem, choose, init=init)


def _may_hold_goal(problem: HiddenGoal) -> np.ndarray:
    return np.isin(np.arange(problem.cells), problem.goals)


def _shifted(score: Int[Array, " cells"], problem: HiddenGoal, searched: Bool[Array, " cells"], *, by: int) -> Array:
    """Scores below `by`, raised so that cells believed to hold no goal come after the rest, and searched ones last."""
    unlikely = jnp.where(jnp.asarray(_may_hold_goal(problem)), 0, by)
    return score + jnp.where(searched, 2 * by, unlikely)


def _nearest(problem: HiddenGoal, memory: SearchMemory, cell: Array) -> Array:
    away = jnp.asarray(distances(problem.size), jnp.int32)[cell]
    return jnp.argmin(_shifted(away, problem, memory.searched, by=2 * problem.size))


def _belief(problem: HiddenGoal, memory: SearchMemory) -> CategoricalBelief:
    """`[cells]`: belief about the cell of the goal; all zeros where every goal of the prior was searched without success."""
    left = (jnp.asarray(_may_hold_goal(problem)) & ~memory.searched).astype(jnp.float32)
    known = (jnp.arange(problem.cells) == memory.goal).astype(jnp.float32)
    return CategoricalBelief(probability=jnp.where(memory.goal >= 0, known, left / jnp.maximum(left.sum(), 1.0)))


def _searching_agent(problem: HiddenGoal, choose: Choose, *, init: Callable[[PRNGKeyArray], Any] = lambda key: ()) -> Agent:
    """An agent that remembers a search.

    Args:
      problem: what is known before the first step.
      choose: `(params, memory, cell, key) -> (target, vertically_first)`: the cell to walk to while the goal is not found, and
        along which axis to come closer.
      init: `(key) -> params`.
    """

    def begin(params: Any, key: PRNGKeyArray) -> SearchMemory:
        del params
        nothing = jnp.zeros(problem.cells, bool)
        order = jax.random.permutation(key, jnp.arange(problem.cells))
        return SearchMemory(searched=nothing, searched_before=nothing, goal=jnp.int32(-1), steps=jnp.int32(0), order=order)

    def act(params: Any, memory: SearchMemory, observation: Array, key: PRNGKeyArray) -> Decision:
        target, vertically_first = choose(params, memory, observation, key)
        target = jnp.where(memory.goal >= 0, memory.goal, target)
        action = action_towards(observation, target, vertically_first, size=problem.size)
        return Decision(action=action, extras={"belief": _belief(problem, memory)})

    return Agent(spec=problem.spec, init=init, begin=begin, act=act, adapt=functools.partial(_remember, problem.cells))


def _remember(cells: int, params: Any, memory: SearchMemory, experience: Transition, key: PRNGKeyArray) -> SearchMemory:
    """`adapt` of every search."""
    del params, key
    outcome = experience.outcome
    ended = (outcome.observation[:, None] == jnp.arange(cells)[None]) & experience.valid[:, None]
    paid = (outcome.reward > 0.5) & experience.valid
    missed = ended & ~paid[:, None]
    # A step belongs to an earlier episode if an end of episode stands at it or after it.
    over = experience.valid & experience.boundary
    earlier = jax.lax.cummax(over.astype(jnp.int32), reverse=True) > 0
    before = memory.searched_before | (missed & earlier[:, None]).any(axis=0)
    return SearchMemory(
        searched=memory.searched | missed.any(axis=0),
        searched_before=jnp.where(over.any(), before | memory.searched, memory.searched_before),
        goal=jnp.maximum(memory.goal, jnp.where(paid, outcome.observation, -1).max()),
        steps=memory.steps + experience.valid.sum(dtype=jnp.int32),
        order=memory.order,
    )
