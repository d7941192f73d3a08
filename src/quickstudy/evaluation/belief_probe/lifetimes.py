"""One lifetime on each task of a split, with all that a readout gives at each step."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from quickstudy.evaluation.belief_probe.features import features_along
from quickstudy.evaluation.belief_probe.probe import NormalEstimate, Readout, average_of_last_steps, p_value
from quickstudy.evaluation.belief_probe.targets import described
from quickstudy.evaluation.sizes import check_arrays, check_tasks
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Transition
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.nonfinite import mask_nonfinite, with_nonfinite_guard


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbedLifetimes:
    """Lifetimes on the tasks of a split, and what the readout gave in them.

    Args:
      split: of the distribution.
      lifetimes: `[tasks, T]`, without the extras of decisions.
      keys: `[tasks]`, of the lifetimes.
      truth: the described parameters by name, `[tasks, ...]`.
      estimates: of the named parameters, `[tasks, T, ...]`.
      p_values: `[tasks, T]`, by kind: `step`, `last_steps` and `task`.
    """

    split: str
    lifetimes: Transition
    keys: Array
    truth: Mapping[str, np.ndarray]
    estimates: Mapping[str, NormalEstimate | Array]
    p_values: Mapping[str, Float[np.ndarray, "tasks T"]]

    @property
    def valid(self) -> Bool[np.ndarray, "tasks T"]:
        """The steps that happened."""
        return np.asarray(self.lifetimes.valid)

    def estimates_of(self, task: int) -> dict[str, NormalEstimate | np.ndarray]:
        """The estimates in the lifetime on one task, `[T, ...]`."""
        return jax.tree.map(lambda leaf: np.asarray(leaf[task]), dict(self.estimates))

    def truth_of(self, task: int) -> dict[str, np.ndarray]:
        """The described parameters of one task, by name."""
        return {name: values[task] for name, values in self.truth.items()}

    def most_uncertain(self, *, among: int = 20) -> int:
        """The task whose choices stay uncertain longest; 0 where only real numbers are estimated.

        Args:
          among: the number of tasks to choose from, the first ones.
        """
        doubt = np.zeros(min(among, len(self.valid)))
        for estimate in self.estimates.values():
            if not isinstance(estimate, NormalEstimate):
                doubt += 1 - np.asarray(estimate[: len(doubt)]).max(-1).mean(-1)
        return int(doubt.argmax())


def probe_lifetimes(
    agent: Agent,
    params: PyTree,
    readout: Readout,
    distribution: TaskDistribution,
    *,
    split: str,
    tasks: int = 500,
    seed: int = 0,
) -> ProbedLifetimes:
    """Runs one lifetime on each task of a split, and the readout along it.

    Args:
      agent: that the readout was fitted to.
      params: of the agent, without a leading axis of seeds.
      readout: of that agent.
      distribution: of the tasks.
      split: of the distribution.
      tasks: how many.
      seed: of the tasks and the lifetimes' keys. They differ from those of `evaluate` and `fit_readout` for any seed.
    Raises:
      UnknownNameError: no such split.
      UsageError: a number out of range, or more tasks than fit into memory.
    """
    check_tasks(distribution, tasks, seed=seed)
    key_tasks, key_lifetimes = jax.random.split(jax.random.key((seed + 1_000_003) % 2**32))
    task_list, keys = distribution.sample_tasks(split, key_tasks, tasks=tasks), jax.random.split(key_lifetimes, tasks)
    lifetimes, features = record_lifetimes(agent, params, distribution, task_list, keys)
    return ProbedLifetimes(
        split=split,
        lifetimes=lifetimes,
        keys=keys,
        truth=described(distribution, task_list),
        estimates=jax.jit(lambda known: readout.estimate(known))(features),
        p_values=p_values_along(readout, lifetimes, features, distribution),
    )


def record_lifetimes(
    agent: Agent, params: PyTree, distribution: TaskDistribution, tasks: PyTree, keys: Array
) -> tuple[Transition, Float[Array, "tasks T features"]]:
    """A lifetime on every task, without the extras of its decisions, and the features at each step.

    Args:
      agent: that acts.
      params: of the agent, without a leading axis of seeds.
      distribution: of the tasks.
      tasks: `[tasks]`.
      keys: `[tasks]`, of the lifetimes.
    Raises:
      UsageError: they do not fit into memory.
    """
    guarded = with_nonfinite_guard(agent)

    def one(task: PyTree, key: Array) -> tuple[Transition, Array]:
        lifetime, _ = mask_nonfinite(run_lifetime(guarded, distribution, params, task, key)[0])
        lifetime = dataclasses.replace(lifetime, decision=dataclasses.replace(lifetime.decision, extras={}))
        return lifetime, features_along(agent, params, lifetime, jax.random.split(key)[0])

    check_arrays(
        jax.eval_shape(jax.vmap(one), tasks, keys),
        copies=4,
        what=f"a readout of {len(keys):,} lifetimes of {distribution.spec.lifetime_steps:,} steps",
        remedy="Use fewer tasks, shorter lifetimes or an agent with a smaller memory.",
    )
    return jax.jit(jax.vmap(one))(tasks, keys)


def p_values_along(
    readout: Readout, lifetimes: Transition, features: Float[Array, "tasks T features"], distribution: TaskDistribution
) -> dict[str, Float[np.ndarray, "tasks T"]]:
    """The p-values after every step, by kind: `step`, `last_steps` and `task`."""
    scores = jax.jit(lambda known, step: readout.step_score(known, step, distribution.spec))(features, lifetimes)
    averages = last_steps_scores(scores, lifetimes.valid, readout)
    task_scores = jax.jit(lambda known: readout.task_score(known))(features)
    return {
        "step": np.asarray(p_value(readout.step_scores, scores)),
        "last_steps": np.asarray(p_value(readout.last_steps_scores, averages)),
        "task": np.asarray(p_value(readout.task_scores, task_scores)),
    }


def last_steps_scores(
    scores: Float[Array, "tasks T"], valid: Bool[Array, "tasks T"], readout: Readout
) -> Float[Array, "tasks T"]:
    """The anomaly score of the last steps after every step, in normal deviations.

    Args:
      scores: of single steps, nats.
      valid: the steps that happened.
      readout: its calibration scores of single steps are the scale.
    """
    since = jnp.zeros(())
    return jax.jit(jax.vmap(lambda s, v: average_of_last_steps(s, v, readout.step_scores, since=since)[1]))(scores, valid)
