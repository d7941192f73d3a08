"""The Bayes-adaptive optimum of a small Markov decision process, by dynamic programming over beliefs.

A *situation* is a step of the lifetime, a statistic of past outcomes (`adaptive_problem`), and a state. Equal statistics give
equal beliefs, whatever the history, so situations form a graph in layers, one for each step:

    V_t(z, s) = max_a  Σ_o  P(o | z, s, a) [ r(s, a, o) + V_{t+1}(z', s') ]         V_T = 0

with P the probability under the belief, z' the statistic after o, and s' the successor; at the end of an episode, the start.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from quickstudy.baselines.mdps.adaptive_problem import AdaptiveProblem
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec

MOST_SITUATIONS = 2_000_000
"""That a plan may have; what may follow the situations of one step, before equal ones meet, is bounded by it too."""
_TIE = 1e-9


class AdaptivePlan(NamedTuple):
    """The optimal policy as a graph: one row for each situation, the first that of the first step, and one more.

    `value`: expected return of a lifetime, the highest of all agents that know only the prior. Each of the others
    has `[situations + 1]` rows. `action` int16: an index, the first of those that tie. `state` int32. `to_come` float64:
    expected return from there on. `following` `[..., actions, outcomes]` int32: the row that an outcome leads to. The last row
    stands for everything outside the plan: outcomes that are impossible under the prior, and steps after the end.
    """

    value: float
    action: np.ndarray
    state: np.ndarray
    to_come: np.ndarray
    following: np.ndarray


class _Layer(NamedTuple):
    """One step: `statistic` `[m, n]`, `state` `[m]`, `chance` and `following` `[m, actions, outcomes]`, -1 for none."""

    statistic: np.ndarray
    state: np.ndarray
    chance: np.ndarray
    following: np.ndarray


def most_situations(spec: Spec, outcomes: int) -> int:
    """An upper bound of the situations of `problem_of_counts`, known beforehand.

    Counts of c = states actions outcomes kinds that sum to t are C(t + c - 1, c - 1) many, so over the T steps of a lifetime
    they are C(T - 1 + c, c); each may go with every state.

    Args:
      spec: Discrete observations and actions.
      outcomes: of each state and action.
    """
    states, actions = int(spec.observation_space.n), int(spec.action_space.n)  # type: ignore[union-attr, arg-type]
    cells = states * actions * outcomes
    return states * math.comb(spec.lifetime_steps - 1 + cells, cells)


@functools.lru_cache(maxsize=8)
def plan_adaptively(problem: AdaptiveProblem) -> AdaptivePlan:
    """Solves the problem exactly, to the rounding of float64.

    Args:
      problem: what is known before the first step.
    Raises:
      SpecError: more than `MOST_SITUATIONS`.
    Source: Bellman & Kalaba 1959 (adaptive control processes); Duff 2002, section 2. Changed: situations are kept by their
      statistic, where equal beliefs meet.
    """
    layers = _layers(problem)
    sizes = [len(layer.state) for layer in layers]
    offset = np.concatenate([[0], np.cumsum(sizes)])
    rows, tables = int(offset[-1]) + 1, problem.reward.shape[1:]
    action, to_come = np.zeros(rows, np.int16), np.zeros(rows)
    following = np.full((rows, *tables), rows - 1, np.int32)
    value = np.zeros(1)
    for number in range(len(layers) - 1, -1, -1):
        layer, here = layers[number], slice(offset[number], offset[number + 1])
        # A following of -1 has no chance, or no step after it.
        onward = np.append(value, 0.0)[layer.following] if number + 1 < len(layers) else 0.0
        worth = (layer.chance * (problem.reward[layer.state] + onward)).sum(axis=-1)
        value = worth.max(axis=1)
        action[here] = (worth >= value[:, None] - _TIE).argmax(axis=1)
        to_come[here] = value
        following[here] = np.where(layer.following >= 0, layer.following + offset[number + 1], rows - 1)
    state = np.concatenate([*(layer.state for layer in layers), [problem.start]]).astype(np.int32)
    for array in (action, state, to_come, following):
        array.setflags(write=False)
    return AdaptivePlan(float(value[0]), action, state, to_come, following)


def _layers(problem: AdaptiveProblem) -> list[_Layer]:
    """All situations that can be met from the first on, whatever is done."""
    spec, layers, total = problem.spec, [], 0
    statistic, state = problem.statistic[None], np.array([problem.start])
    for step in range(spec.lifetime_steps):
        chance = problem.predict(statistic, state)
        total += len(state)
        last = step + 1 == spec.lifetime_steps
        _check_reach(problem, total if last else max(total, int(np.count_nonzero(chance))), step=step)
        if last:
            layers.append(_Layer(statistic, state, chance, np.full(chance.shape, -1, np.int32)))
            break
        row, action, outcome = np.nonzero(chance)
        cell = state[row], action, outcome
        led = problem.successor[cell] if (step + 1) % spec.horizon else np.full(row.size, problem.start)
        after = statistic[row] * problem.keeps[cell] + problem.adds[cell]
        numbers, kept = _numbered(after, led)
        following = np.full(chance.shape, -1, np.int32)
        following[row, action, outcome] = numbers
        layers.append(_Layer(statistic, state, chance, following))
        statistic, state = after[kept], led[kept]
    return layers


def _check_reach(problem: AdaptiveProblem, came: int, *, step: int) -> None:
    if came > MOST_SITUATIONS:
        states, actions, outcomes = problem.reward.shape
        raise SpecError(
            f"the Bayes-adaptive optimum is within reach for up to {MOST_SITUATIONS:,} situations (a step, a belief, a state); "
            f"came {came:,} by step {step + 1} of {problem.spec.lifetime_steps}, with {states} states, {actions} actions and "
            f"{outcomes} outcomes. Plan for fewer; posterior sampling has no such limit."
        )


def _numbered(statistic: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A number for each pair of a statistic and a state, equal for equal ones, and where each stands first."""
    pair = np.concatenate([statistic, state[:, None].astype(np.uint16)], axis=1)
    as_one = np.ascontiguousarray(pair).view(f"V{pair.shape[1] * pair.itemsize}").ravel()
    _, first, number = np.unique(as_one, return_index=True, return_inverse=True)
    return number.ravel().astype(np.int32), first
