"""One lifetime of an agent, kept for people to look at: its actions, its rewards and its beliefs.

It is the lifetime of the first task of an evaluation's list, with the same key. It is an example and measures nothing.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.host_distribution import AnyDistribution, named_leaves
from quickstudy.protocol.records import Transition
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.runner import Runner
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.plain import from_document, left_out, read_object, to_document

FILE = "example-lifetime.json"
FORMAT, DIGITS = 1, 4
MOST_STEPS = 500
"""Steps that are kept, from the beginning."""
MOST_NUMBERS = 10
"""Numbers of an action, or of a part of a belief, that are kept."""

Rows = tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleLifetime:
    """The first steps of one lifetime. Steps that did not happen, because an episode had ended, are left out.

    Args:
      agent: the name that it is shown under.
      split: that the task is of.
      task: what `describe` says of the task, as text by name.
      horizon: steps of an episode.
      choices: number of actions, where an action is one of a few ids; else 0.
      slots: slot of each step, from 0.
      actions: numbers of each step's action.
      rewards: of each step, reward units.
      beliefs: by name, the expected numbers before each step; empty where the agent gives no belief.
      deviations: as `beliefs`, their standard deviations.
      cut: whether the lifetime has more steps than are kept.
      probabilities: of each action before each step, where actions are choices and the agent gives its policy; else empty.
    """

    agent: str
    split: str
    task: Mapping[str, str]
    horizon: int
    choices: int
    slots: tuple[int, ...]
    actions: Rows
    rewards: tuple[float, ...]
    beliefs: Mapping[str, Rows]
    deviations: Mapping[str, Rows]
    probabilities: Rows
    cut: bool = left_out(False)

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes `example-lifetime.json` into a folder, whole or not at all, and gives its path."""
        path = pathlib.Path(folder) / FILE
        document = to_document(self, version=FORMAT, digits=DIGITS)
        write_atomically(path, json.dumps(document, allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ExampleLifetime":
        """Reads what `save` wrote.

        Raises:
          UsageError: no such file, or one that holds no such lifetime.
        """
        what, remedy = "example lifetime", "Evaluate again."
        found = from_document(cls, read_object(path, what=what), version=FORMAT, what=what, remedy=remedy)
        if not found.fits:
            raise UsageError(f"{os.fspath(path)}: the columns of the example lifetime do not fit each other. {remedy}")
        return found

    @property
    def fits(self) -> bool:
        """Whether all columns have a value for each step, and rows of one column have equal lengths."""
        each = [self.slots, self.actions, self.rewards, *self.beliefs.values(), *self.deviations.values()]
        each += [self.probabilities] if self.probabilities else []
        ragged = any(len({len(row) for row in rows}) > 1 for rows in (self.actions, *self.beliefs.values(), self.probabilities))
        return bool(
            self.slots
            and len({len(column) for column in each}) == 1
            and not ragged
            and set(self.beliefs) == set(self.deviations)
        )


def example_lifetime(
    name: str,
    one: Contender,
    distribution: AnyDistribution,
    *,
    split: str,
    tasks: int = 2000,
    seed: int = 0,
    collecting: CollectingConfig = CollectingConfig(),
) -> ExampleLifetime | None:
    """Runs one lifetime of a contender, and keeps what people want to see of it.

    Args:
      name: of the contender.
      one: with its parameters; those of its first seed are used.
      distribution: of the tasks.
      split: of the distribution.
      tasks, seed: of the list that the task is the first of, as of `evaluate`.
      collecting: where the lifetime runs, for tasks outside JAX; one worker is enough.
    Returns:
      None where no step was finite.
    Raises:
      CollectingError: the environment failed.
    """
    wanted = {split: [0]}
    return kept_lifetimes(name, one, distribution, wanted, tasks=tasks, seed=seed, collecting=collecting)[split].get(0)


def kept_lifetimes(
    name: str,
    one: Contender,
    distribution: AnyDistribution,
    wanted: Mapping[str, Sequence[int]],
    *,
    tasks: int,
    seed: int,
    collecting: CollectingConfig = CollectingConfig(),
) -> dict[str, dict[int, ExampleLifetime]]:
    """Runs lifetimes of a contender again, the ones that `evaluate` measures, and keeps what people want to see of them.

    Args:
      name, one, distribution, tasks, seed, collecting: as of `example_lifetime`.
      wanted: by split, numbers of tasks in its list.
    Returns:
      By split and number; one in which no step was finite is left out.
    Raises:
      CollectingError: the environment failed.
    """
    found: dict[str, dict[int, ExampleLifetime]] = {}
    with Runner(distribution, dataclasses.replace(collecting, workers=1)) as runner:
        for split, numbers in wanted.items():
            task_list, keys = draw_tasks(distribution, split=split, tasks=tasks, seed=seed)
            found[split] = {}
            for number in numbers:
                task = jax.tree.map(lambda leaf, number=number: leaf[number], task_list)
                lifetime = runner.record(one.agent, one.params_of(0), task, keys[number])
                if (kept := _kept(name, lifetime, distribution, split, task)) is not None:
                    found[split][number] = kept
    return found


def _kept(name: str, lifetime: Transition, distribution: AnyDistribution, split: str, task: PyTree) -> ExampleLifetime | None:
    """What is kept of a lifetime; None where no step was finite."""
    happened = np.flatnonzero(lifetime.valid)
    happened, cut = happened[:MOST_STEPS], len(happened) > MOST_STEPS
    if not len(happened):
        return None
    space = distribution.spec.action_space
    choices = int(space.n) if isinstance(space, gymnasium.spaces.Discrete) and space.n <= MOST_NUMBERS else 0
    belief, logits = lifetime.decision.extras.get("belief"), getattr(lifetime.decision.extras.get("policy"), "logits", None)
    beliefs, deviations = ({}, {}) if belief is None else (belief.mean, belief.deviation)
    moments = zip(named_leaves(beliefs).items(), named_leaves(deviations).values(), strict=True)
    known = {each: _moments(mean, deviation, happened) for (each, mean), deviation in moments}
    known = {each: both for each, both in known.items() if all(both)}
    action = np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(lifetime.decision.action)], 1)
    described = jax.device_get(distribution.describe(task))
    return ExampleLifetime(
        agent=name,
        split=split,
        task={
            each: " ".join(f"{number:.3g}" for number in np.ravel(value)[:MOST_NUMBERS]) for each, value in described.items()
        },
        horizon=distribution.spec.horizon,
        choices=choices,
        slots=tuple(happened.tolist()),
        actions=_rows(action[:, :MOST_NUMBERS], happened),
        rewards=tuple(lifetime.outcome.reward[happened].tolist()),
        beliefs={each: means for each, (means, _) in known.items()},
        deviations={each: spread for each, (_, spread) in known.items()},
        probabilities=_rows(jax.nn.softmax(logits), happened) if choices and logits is not None else (),
        cut=cut,
    )


def _moments(mean: Any, deviation: Any, happened: np.ndarray) -> tuple[Rows, Rows]:
    """Means and deviations of a part of a belief. Of two probabilities that add up to one, the first is kept."""
    mean, deviation = np.asarray(mean), np.asarray(deviation)
    if mean.ndim > 2 and mean.shape[-1] == 2 and np.allclose(mean.sum(-1), 1, atol=1e-4):
        mean, deviation = mean[..., 0], deviation[..., 0]
    return _rows(mean, happened), _rows(deviation, happened)


def _rows(values: Any, happened: np.ndarray) -> Rows:
    """Numbers `[T, ...]` at the steps that happened; empty where there are too many or some are not finite."""
    numbers = np.asarray(values, np.float64)[happened].reshape(len(happened), -1)
    if not 0 < numbers.shape[1] <= MOST_NUMBERS or not np.isfinite(numbers).all():
        return ()
    return tuple(map(tuple, numbers.tolist()))
