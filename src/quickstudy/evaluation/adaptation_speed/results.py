"""The results of a measurement of adaptation speed, as records that go to JSON and come back the same.

Returns are of one episode, in reward units. Steps are environment steps that happened: an episode that ends early has fewer.
"""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from quickstudy.evaluation.results import DIGITS, Curve
from quickstudy.evaluation.stored_results import check_speed
from quickstudy.numerics.statistics import CensoredEstimate, Estimate
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.plain import from_document, left_out, read_object, to_document

FORMAT = 1
_LONGEST_WORD = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class Side:
    """One of the agents that are compared.

    Args:
      name: that it is shown under.
      trained: meta-trained, in contrast to a baseline.
      seeds: independent training runs.
      episodes: in one of its lifetimes.
      steps: environment steps in one of its lifetimes, the mean; a level that is not reached within them is censored there.
      curve: mean return of an episode against environment steps, a trailing mean over `AdaptationSpeed.window` episodes.
      area: mean return of an episode over the first episodes, as many as the shorter lifetime has.
      asymptote: mean return of an episode over the last tenth of its own lifetime (at least one episode).
      score_after: number of episodes before -> normalised score of the next one; empty where no ceiling is known.
      nonfinite_steps: steps of all its lifetimes that the non-finite guard masked; they bring no reward.
    """

    name: str
    trained: bool
    seeds: int
    episodes: int
    steps: float
    curve: Curve
    area: Estimate
    asymptote: Estimate
    score_after: Mapping[str, Estimate]
    nonfinite_steps: int = left_out(0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crossing:
    """Environment steps until agent and baseline reach a level, and how many times faster the agent is.

    `speed_up` is the baseline's steps divided by the agent's.
    """

    agent: CensoredEstimate
    baseline: CensoredEstimate
    speed_up: CensoredEstimate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threshold:
    """A fraction of the way from random actions to the baseline's final return, and the steps until it is reached.

    Args:
      fraction: of the way from random actions to the baseline's asymptote, in (0, 1].
      level: return of an episode there, mean over tasks.
      on_each_task: medians over tasks and seeds of the steps, and of the ratio; each task has its own level.
      on_mean_curve: the same of the two curves averaged over tasks and seeds, as the chart shows them.
      agent_reached: share of the agent's runs (a seed on a task) that reached it.
      baseline_reached: share of the baseline's runs.
      tasks_to_pay_back: new tasks on which the steps saved (on the mean curve) add up to the steps of meta-training; None
        where these are not known.
    """

    fraction: float
    level: Estimate
    on_each_task: Crossing
    on_mean_curve: Crossing
    agent_reached: float
    baseline_reached: float
    tasks_to_pay_back: CensoredEstimate | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptationSpeed:
    """An agent against a baseline on one list of tasks.

    Args:
      distribution: `name` and `config` of the task distribution.
      split: that the tasks were drawn from.
      label: what that split means, in words; every output shows it.
      tasks: how many.
      lifetimes: of each seed on each task; a run is their mean.
      seed: of the tasks and the lifetimes' keys.
      task_hash: SHA-256 of the task list.
      horizon: most steps in one episode.
      window: episodes that curves are averaged over before they meet a level, the same for both.
      floor: return of an episode of random actions, mean over tasks.
      floor_known: the distribution gives the floor; else it was measured on the same tasks.
      ceiling: return of an episode of an agent that knows the task, where it is known.
      agent: its speed is measured.
      baseline: the agent is compared with it, and its curve sets the thresholds.
      shuffled: the agent again, adapting to the rewards of other lifetimes; None if it was not measured.
      thresholds: by increasing fraction.
      break_even: steps from which on the baseline's mean curve stays above the agent's.
      gain_from_reward: area of the agent minus that of the same agent with shuffled rewards.
      tasks_learned: share of tasks on which the baseline's asymptote lies above the floor; the others set no threshold.
      meta_training_steps: environment steps of the agent's meta-training, in total; None if not known.
    """

    distribution: Mapping[str, Any]
    split: str
    label: str
    tasks: int
    lifetimes: int
    seed: int
    task_hash: str
    horizon: int
    window: int
    floor: Estimate
    floor_known: bool
    ceiling: Estimate | None
    agent: Side
    baseline: Side
    shuffled: Side | None
    thresholds: tuple[Threshold, ...]
    break_even: CensoredEstimate
    gain_from_reward: Estimate | None
    tasks_learned: float
    meta_training_steps: int | None

    @property
    def held_out(self) -> bool:
        """False on `train`: such a result says nothing about new tasks."""
        return self.split != "train"

    def to_json(self) -> dict[str, Any]:
        """Plain data that `json.dumps` takes; numbers keep `DIGITS` digits."""
        return to_document(self, version=FORMAT, digits=DIGITS)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AdaptationSpeed":
        """The inverse of `to_json`.

        Raises:
          UsageError: data of another format, or a field that is missing, not known or of another type; names the field. Or
            parts that do not fit each other.
        """
        found = from_document(cls, data, version=FORMAT, what="adaptation speed", remedy="Measure again.")
        check_speed(found)
        return found

    @property
    def file_name(self) -> str:
        """Of its files, without an ending: `speed-AGENT-against-BASELINE-SPLIT`."""
        words = ("speed", self.agent.name, "against", self.baseline.name, self.split)
        return "-".join(re.sub(r"\W+", "-", word).strip("-").lower()[:_LONGEST_WORD] for word in words)

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes itself as JSON into a folder, whole or not at all, and gives the file's path."""
        path = pathlib.Path(folder) / f"{self.file_name}.json"
        write_atomically(path, json.dumps(self.to_json(), allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> "AdaptationSpeed":
        """Reads what `save` wrote.

        Raises:
          UsageError: no such file, or one that holds no adaptation speed.
        """
        return cls.from_json(read_object(path, what="adaptation speed"))
