"""Small Markov decision processes with known outcomes of unknown probability, and the belief about the probabilities.

In state s action a has O possible outcomes. The successor and the reward of each are known, and its probability is not. Two
priors:

    counts       probabilities of every state and action are independent Dirichlet(1, ..., 1); the counts of outcomes are a
                 sufficient statistic
    hypotheses   probabilities are one of K known tables; an outcome refutes those under which it is impossible, and counts of
                 each kind of evidence decide between the others

In either case the sufficient statistic is a row of n small integers, and an outcome changes it by

    statistic' = keeps[s, a, o] * statistic + adds[s, a, o]

so one plan and one agent serve both priors, and also bandits (one state) and hidden goals on grids.
"""

import dataclasses
from collections.abc import Callable

import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from quickstudy.numerics.beliefs.belief import Belief, CategoricalBelief, DirichletBelief
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AdaptiveProblem:
    """The known part of a process, and the prior. Every episode begins in `start` and lasts to its horizon.

    Args:
      spec: Discrete observations, which are the states, and Discrete actions.
      start: the state in which every episode begins, an index.
      successor: `[states, actions, outcomes]`: the state that each outcome leads to, an index.
      reward: `[states, actions, outcomes]`: what each outcome pays.
      statistic: `[n]`: before anything was seen.
      keeps: `[states, actions, outcomes, n]` of 0 and 1: which numbers an outcome leaves as they are; it deletes the others.
      adds: `[states, actions, outcomes, n]` of 0 and 1: what an outcome adds.
      predict: `(statistics [m, n], states [m]) -> [m, actions, outcomes]`: chance of each outcome, float64, in NumPy.
      belief: `(statistic [n]) -> Belief`, in JAX.
      chances: `(drawn) -> [states, actions, outcomes]`: from what the belief's `mean` or `sample` gives, in JAX.
    Raises:
      SpecError: spaces, tables or a start that do not fit together.
    """

    spec: Spec
    start: int
    successor: np.ndarray
    reward: np.ndarray
    statistic: np.ndarray
    keeps: np.ndarray
    adds: np.ndarray
    predict: Callable[[np.ndarray, np.ndarray], np.ndarray]
    belief: Callable[[Int[Array, " n"]], Belief]
    chances: Callable[[Array], Float[Array, "states actions outcomes"]]

    def __post_init__(self) -> None:
        states, actions = sizes_of(self.spec)
        outcomes = self.successor.shape[-1]
        for name in ("successor", "reward"):
            came = getattr(self, name).shape
            if came != (states, actions, outcomes):
                raise SpecError(f"{name} must be of shape {(states, actions, outcomes)}; came {came}.")
        for name, value in (("start", self.start), ("successor", self.successor)):
            if np.min(value) < 0 or np.max(value) >= states:
                raise SpecError(f"{name} must name states, from 0 to {states - 1}; came {np.min(value)} to {np.max(value)}.")

    def outcome_of(
        self, state: Int[Array, ""], action: Int[Array, ""], successor: Int[Array, ""], reward: Float[Array, ""]
    ) -> tuple[Int[Array, ""], Array]:
        """Which outcome it was that led to this state and paid this, the one of the nearest reward; and whether one does."""
        leads = jnp.asarray(self.successor, jnp.int32)[state, action] == successor
        pays = jnp.asarray(self.reward, jnp.float32)[state, action]
        apart = jnp.where(leads, jnp.abs(pays - reward), jnp.inf)
        return jnp.argmin(apart).astype(jnp.int32), leads.any()


def sizes_of(spec: Spec) -> tuple[int, int]:
    """States and actions.

    Raises:
      SpecError: observations or actions that are not Discrete.
    """
    for space in (spec.observation_space, spec.action_space):
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise SpecError(f"planning with beliefs needs Discrete states and actions; came {space!r}.")
    return int(spec.observation_space.n), int(spec.action_space.n)  # type: ignore[union-attr, arg-type]


def problem_of_counts(spec: Spec, *, successor: np.ndarray, reward: np.ndarray, start: int = 0) -> AdaptiveProblem:
    """Chances of outcomes are Dirichlet(1, ..., 1), independent for every state and action.

    The belief is a `DirichletBelief` `[states, actions, outcomes]`.

    Args:
      spec: Discrete observations, which are the states, and Discrete actions.
      successor: `[states, actions, outcomes]`: the state that each outcome leads to.
      reward: `[states, actions, outcomes]`: what each outcome pays.
      start: the state in which every episode begins.
    Raises:
      SpecError: spaces or tables that do not fit together.
    """
    shape = successor.shape
    size = successor.size
    adds = np.eye(size, dtype=np.uint16).reshape(*shape, size)

    def predict(statistics: np.ndarray, states: np.ndarray) -> np.ndarray:
        seen = statistics.reshape(-1, *shape)[np.arange(len(states)), states] + 1.0
        return seen / seen.sum(axis=-1, keepdims=True)

    return AdaptiveProblem(
        spec=spec,
        start=start,
        successor=successor,
        reward=reward,
        statistic=np.zeros(size, np.uint16),
        keeps=np.broadcast_to(np.uint16(1), adds.shape),
        adds=adds,
        predict=predict,
        belief=lambda statistic: DirichletBelief.from_counts(statistic.reshape(shape)),
        chances=lambda drawn: drawn,
    )


def problem_of_hypotheses(
    spec: Spec,
    *,
    chances: np.ndarray,
    successor: np.ndarray,
    reward: np.ndarray,
    prior: np.ndarray | None = None,
    start: int = 0,
) -> AdaptiveProblem:
    """Chances of outcomes are one of several known tables.

    The belief is a `CategoricalBelief` `[hypotheses]`. Where what was seen refutes all of them, it is the prior again.

    The statistic begins with a 1 for every hypothesis that is not refuted. A count follows for every kind of evidence: two
    outcomes are of one kind where their chances are, but for a factor, the same under all hypotheses that allow them; those
    with equal chances under all of these say no more than what they refute, and are not counted.

    Args:
      spec: Discrete observations, which are the states, and Discrete actions.
      chances: `[hypotheses, states, actions, outcomes]`, which sum to one over outcomes.
      successor: `[states, actions, outcomes]`: the state that each outcome leads to.
      reward: `[states, actions, outcomes]`: what each outcome pays.
      prior: `[hypotheses]`: probabilities, above 0; None for equal ones.
      start: the state in which every episode begins.
    Raises:
      SpecError: spaces or tables that do not fit together, or chances or a prior that are none.
    """
    hypotheses, shape = chances.shape[0], chances.shape[1:]
    prior = np.full(hypotheses, 1.0 / hypotheses) if prior is None else np.asarray(prior, np.float64)
    for name, table in (("chances", chances), ("prior", prior)):
        if table.min() < 0 or not np.allclose(table.sum(axis=-1), 1.0, atol=1e-9):
            low, high = table.sum(axis=-1).min(), table.sum(axis=-1).max()
            raise SpecError(
                f"{name} must be 0 or more and sum to one; came a lowest of {table.min()}, sums of {low} to {high}."
            )
    if shape != successor.shape or prior.shape != (hypotheses,) or not prior.all():
        raise SpecError(
            f"chances must be of shape [hypotheses, *{successor.shape}], the prior [hypotheses] above 0; "
            f"came {chances.shape} and {prior}."
        )
    allowed = np.moveaxis(chances > 0, 0, -1)
    kinds, number = _kinds_of_evidence(chances)
    counted = np.eye(len(kinds) + 1, dtype=np.uint16)[number][..., 1:]
    keeps = np.concatenate([allowed.astype(np.uint16), np.ones_like(counted)], axis=-1)
    logarithm = np.log(kinds)

    def predict(statistics: np.ndarray, states: np.ndarray) -> np.ndarray:
        weight = np.where(statistics[:, :hypotheses] > 0, prior * np.exp(statistics[:, hypotheses:] @ logarithm), 0.0)
        weight /= weight.sum(axis=1, keepdims=True)
        found = np.empty((len(states), *shape[1:]))
        for state in np.unique(states):
            found[states == state] = np.tensordot(weight[states == state], chances[:, state], axes=1)
        return found

    def belief(statistic: Int[Array, " n"]) -> CategoricalBelief:
        left = statistic[:hypotheses] > 0
        evidence = (statistic[hypotheses:, None].astype(jnp.float32) * jnp.asarray(logarithm, jnp.float32)).sum(axis=0)
        weight = jnp.log(jnp.asarray(prior, jnp.float32)) + jnp.where(left, evidence, -jnp.inf)
        weight = jnp.exp(weight - jnp.where(left.any(), weight.max(), 0.0))
        share = weight / jnp.maximum(weight.sum(), 1e-30)
        return CategoricalBelief(probability=jnp.where(left.any(), share, jnp.asarray(prior, jnp.float32)))

    return AdaptiveProblem(
        spec=spec,
        start=start,
        successor=successor,
        reward=reward,
        statistic=np.concatenate([np.ones(hypotheses, np.uint16), np.zeros(len(kinds), np.uint16)]),
        keeps=keeps,
        adds=np.concatenate([np.zeros_like(allowed, np.uint16), counted], axis=-1),
        predict=predict,
        belief=belief,
        chances=lambda drawn: (drawn[:, None, None, None] * jnp.asarray(chances, jnp.float32)).sum(axis=0),
    )


def _kinds_of_evidence(chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[kinds, hypotheses]`: chances up to a factor, 1 where impossible; `[states, actions, outcomes]`: which, from 1, or 0."""
    columns = chances.reshape(len(chances), -1).T
    allowed = columns > 0
    relative = np.where(allowed, columns / np.maximum(columns.max(axis=1, keepdims=True), 1e-300), 1.0).round(12)
    kinds, number = np.unique(np.concatenate([np.ones((1, len(chances))), relative]), axis=0, return_inverse=True)
    number = number.ravel()
    # Kind 0 is the one that says nothing.
    order = np.concatenate([[number[0]], np.delete(np.arange(len(kinds)), number[0])])
    return kinds[order[1:]], np.argsort(order)[number[1:]].reshape(chances.shape[1:])
