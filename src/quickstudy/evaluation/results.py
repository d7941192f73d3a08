"""The results of an evaluation, as records that go to JSON and come back the same."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from quickstudy.evaluation.stored_results import check_evaluation
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.errors import UnknownNameError, UsageError
from quickstudy.protocol.printable import file_word
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.plain import from_document, left_out, read_object, to_document

FORMAT = 1

DIGITS = 6
"""Significant digits that stored numbers keep."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """A mean along a lifetime with a pointwise 95 % interval.

    Args:
      at: steps or episodes, counted from 1.
      value: the mean at each; None where no lifetime was still going on.
      low: lower end of the interval.
      high: upper end of the interval.
    """

    at: tuple[int, ...]
    value: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskBand:
    """How tasks differ along a lifetime: at each step the median over tasks, and the middle 80 % of them.

    The value of a task is its mean over seeds.

    Args:
      at: steps, counted from 1.
      median: over tasks.
      low: the 10th percentile over tasks.
      high: the 90th percentile over tasks.
    """

    at: tuple[int, ...]
    median: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Control:
    """What makes a contender a control of an agent: it is the same agent with one change.

    Args:
      agent: the contender that it is a control of.
      change: `"no memory"` (it begins anew at every episode or step), or `"shuffled rewards"` (those of other lifetimes).
    """

    agent: str
    change: Literal["no memory", "shuffled rewards"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One contender on the tasks of one evaluation. Rewards and returns are in reward units.

    Args:
      trained: meta-trained, in contrast to a baseline.
      seeds: independent training runs; with one, intervals cover the tasks only.
      lifetime_return: mean over seeds and tasks of the sum of rewards in a lifetime.
      interquartile_mean: of the lifetime return, over all seeds and tasks.
      normalised_score: 0 for random actions, 1 for an agent that knows the task, a ratio of means; None where unknown.
      regret: expected return of an agent that knows the task, minus the lifetime return; None where that is unknown.
      area: area under the adaptation curve divided by its length, so reward per step (or return per episode).
      asymptote: the adaptation curve's mean over its last tenth (at least one point).
      steps_to: fraction of the way from floor to ceiling -> environment steps until the smoothed adaptation
        curve is there; a value of None is *never in this lifetime*. Empty where floor or ceiling is unknown.
      reward_by_step: mean reward at each step, over the lifetimes whose episode had not ended.
      cumulative_return: mean return of the lifetime so far, by step.
      return_by_episode: mean return of each episode.
      cumulative_regret: regret so far, by step, or by episode if there are several of several steps.
      memory_bytes: that one lifetime needs.
      decision_microseconds: `median` and `percentile_99` of one jitted, unbatched `step`; it depends on the
        machine. Empty if that was not measured.
      measures_by_episode: measures beside the reward, such as `success`: mean over tasks of each episode.
      nonfinite_steps: steps, over seeds and tasks, that the non-finite guard masked; they bring no reward.
      gain: end of the adaptation curve minus its start, task by task: last minus first episode, or last minus first tenth of
        the steps where a lifetime has one episode or episodes of one step. None for a lifetime of one step.
      probability_of_being_best: share of the bootstrap resamples in which no other contender, controls left out, has a higher
        mean return; None for controls.
      return_band: return of the lifetime so far, by step, over tasks; None in results of earlier versions.
      regret_band: regret so far, by step, over tasks: steps times the expected reward per step of an agent that knows the
        task, minus the return so far. None where that is unknown, and in results of earlier versions.
      control: of which agent this is a control, and how it differs; None for agents and baselines.
    """

    trained: bool
    seeds: int
    lifetime_return: Estimate
    interquartile_mean: Estimate
    normalised_score: Estimate | None
    regret: Estimate | None
    area: Estimate
    asymptote: Estimate
    steps_to: Mapping[str, Estimate]
    reward_by_step: Curve
    cumulative_return: Curve
    return_by_episode: Curve
    cumulative_regret: Curve | None
    memory_bytes: int
    decision_microseconds: Mapping[str, float]
    measures_by_episode: Mapping[str, Curve] = dataclasses.field(default_factory=dict)
    nonfinite_steps: int = left_out(0)
    gain: Estimate | None = left_out(None)
    control: Control | None = left_out(None)
    probability_of_being_best: float | None = left_out(None)
    return_band: TaskBand | None = left_out(None)
    regret_band: TaskBand | None = left_out(None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """Two contenders on the same tasks with common random numbers.

    Args:
      first: a contender's name.
      second: another's.
      difference: mean lifetime return of the first minus the second's, task by task.
      probability_of_improvement: that the first does better on a task; doing equally well counts half.
      lift: mean return of the first divided by the second's, minus one; None where the second's may not be above zero.
    """

    first: str
    second: str
    difference: Estimate
    probability_of_improvement: Estimate
    lift: Estimate | None = left_out(None)

    @property
    def outcome(self) -> str:
        """`"win"`, `"loss"`, or `"tie"` where the interval of the difference holds 0; seen from the first."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None or low <= 0 <= high:
            return "tie"
        return "win" if low > 0 else "loss"

    def reversed(self) -> "PairedComparison":
        """The same, seen from the second."""
        return PairedComparison(
            first=self.second,
            second=self.first,
            difference=_mirrored(self.difference, total=0.0),
            probability_of_improvement=_mirrored(self.probability_of_improvement, total=1.0),
            lift=None if self.lift is None else _inverted(self.lift),
        )


def _inverted(lift: Estimate) -> Estimate | None:
    """The lift of the other one; None where the mean return of this one may be zero."""
    ends = (lift.value, lift.high, lift.low)
    if any(x is None or x <= -1 for x in ends):
        return None
    value, low, high = (1 / (1 + x) - 1 for x in ends if x is not None)
    return Estimate(value=value, low=low, high=high)


def _mirrored(estimate: Estimate, *, total: float) -> Estimate:
    value, low, high = (None if x is None else total - x for x in (estimate.value, estimate.high, estimate.low))
    return Estimate(value=value, low=low, high=high)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Contenders on one list of tasks of one split.

    Args:
      distribution: `name` and `config` of the task distribution.
      spec: spaces, horizon and episodes, as `Spec.describe` gives them.
      split: that the tasks were drawn from.
      label: what that split means, in words; every output shows it.
      tasks: how many.
      seed: of the tasks and the lifetimes' keys.
      task_hash: SHA-256 of the task list.
      reference: the contender that differences are shown against.
      floor: mean lifetime return of random actions, where it is known.
      ceiling: mean lifetime return of an agent that knows the task, where it is known.
      results: by contender.
      comparisons: every pair that holds a trained contender or the reference.
      definitions: what the measures mean, in words.
      command: that gives this evaluation again; empty where it came from Python.
      machine: that the times per decision were measured on.
      no_score: why there are no normalised scores although floor and ceiling are known; empty where there are.
    """

    distribution: Mapping[str, Any]
    spec: Mapping[str, Any]
    split: str
    label: str
    tasks: int
    seed: int
    task_hash: str
    reference: str
    floor: Estimate | None
    ceiling: Estimate | None
    results: Mapping[str, Result]
    comparisons: Sequence[PairedComparison]
    definitions: Mapping[str, str]
    command: str = ""
    machine: str = ""
    no_score: str = left_out("")

    @property
    def held_out(self) -> bool:
        """False on `train`: such a result says nothing about new tasks."""
        return self.split != "train"

    @property
    def lifetime_steps(self) -> int:
        """Slots in one lifetime."""
        return int(self.spec["horizon"]) * int(self.spec["episodes"])

    def control_of(self, agent: str, change: str) -> str | None:
        """The name of an agent's control with this change; None if it was not measured."""
        wanted = Control(agent=agent, change=change)  # type: ignore[arg-type]
        return next((name for name, result in self.results.items() if result.control == wanted), None)

    def compare(self, first: str, second: str) -> PairedComparison | None:
        """The comparison of two contenders seen from the first; None if they were not compared.

        Raises:
          UnknownNameError: no contender of that name.
        """
        for name in (first, second):
            if name not in self.results:
                raise UnknownNameError("contender", name, self.results)
        for comparison in self.comparisons:
            if (comparison.first, comparison.second) == (first, second):
                return comparison
            if (comparison.first, comparison.second) == (second, first):
                return comparison.reversed()
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain data that `json.dumps` takes; numbers keep `DIGITS` digits."""
        return to_document(self, version=FORMAT, digits=DIGITS)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Evaluation":
        """The inverse of `to_json`.

        Raises:
          UsageError: data of another format, or a field that is missing, not known or of another type; names the field. Or
            parts that do not fit each other.
        """
        found = from_document(cls, data, version=FORMAT, what="evaluation", remedy="Evaluate again.")
        check_evaluation(found)
        return found

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes `evaluation-<split>.json` into a folder, whole or not at all, and gives its path."""
        path = pathlib.Path(folder) / f"evaluation-{file_word(self.split)}.json"
        write_atomically(path, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Evaluation":
        """Reads what `save` wrote.

        Raises:
          UsageError: no such file, or one that holds no evaluation.
        """
        try:
            return cls.from_json(read_object(path, what="evaluation"))
        except UsageError as error:
            raise error if str(path) in str(error) else UsageError(f"{os.fspath(path)}: {error}") from error
