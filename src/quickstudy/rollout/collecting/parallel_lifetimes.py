"""A batch of lifetimes under way in one process: which environment runs which lifetime, and at which slot."""

import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int, UInt32

from quickstudy.protocol.casting import host_flag, host_number, host_observation
from quickstudy.protocol.errors import QuickstudyError
from quickstudy.protocol.records import blank_observation
from quickstudy.rollout.collecting.batch import CollectedBatch
from quickstudy.rollout.collecting.environments import Environments
from quickstudy.rollout.collecting.recording import Recording
from quickstudy.rollout.collecting.session_programs import BEGINS, COLUMNS, HAPPENED, SessionPrograms, lifetime_keys
from quickstudy.rollout.session import chunk_end, end_of_episode, next_slot

_NUMBERS, _FLAGS = (float, int, np.float64, np.float32), (bool, np.bool_)
_REAL = (np.dtype(np.float32), np.dtype(np.float64))
_FAULTS_KEPT = 3
"""Different exceptions; one whose message holds another number each time would fill the terminal."""


class ParallelLifetimes:
    """Runs a batch of lifetimes, at most `parallel` at a time.

    In each round, environments that take part get a decision and are stepped. At the end of a chunk of `cadence` slots an
    environment waits until all others stand at the end of theirs, so that all adapt in one call; then environments whose
    lifetime is over begin the next one. For a cadence of 1 that is every round, and none waits.

    Args:
      environments: to run in.
      programs: of the agent.
      tasks: one for each lifetime.
      keys: key data of each lifetime, as `run_lifetime` takes them.
      parallel: most lifetimes at a time.
      measures: names of what environments measure beside the reward.
      rewards_only: record no observations and no decisions.
      mark_current, heartbeat: as of a `Collector`.
    """

    def __init__(
        self,
        environments: Environments,
        programs: SessionPrograms,
        tasks: Sequence,
        keys: UInt32[np.ndarray, "lifetimes 2"],
        *,
        parallel: int,
        measures: Sequence[str],
        rewards_only: bool,
        mark_current: Callable[[int], None],
        heartbeat: Callable[[int], None],
    ):
        spec, count = programs.agent.spec, min(parallel, len(keys))
        self._environments, self._programs, self._tasks = environments, programs, tasks
        self._mark_current, self._heartbeat = mark_current, heartbeat
        self._horizon, self._total, self._cadence = spec.horizon, spec.lifetime_steps, programs.agent.cadence
        self._recording = Recording(spec, programs.packing, measures, lifetimes=len(keys), rewards_only=rewards_only)
        self._seconds = {"environment": 0.0, "policy": 0.0}
        self._steps, self._faults, self._next, self._lifetimes = 0, dict[str, int](), 0, len(keys)
        self._agent_keys, self._environment_keys = (np.asarray(part) for part in lifetime_keys(keys))
        blank = blank_observation(spec)
        self._space = spec.given_observations
        # One entry an environment: its lifetime (-1: none), the slot of the next decision, the end of the chunk under way.
        self._row, self._slot, self._chunk_end = np.full(count, -1), np.zeros(count, int), np.zeros(count, int)
        self._keys, self._numbers = np.zeros((count, 2), np.uint32), np.zeros((count, COLUMNS), np.int32)
        self._seen, self._successor = (np.zeros((count, *blank.shape), blank.dtype) for _ in range(2))

    def run(self, params: list[jax.Array]) -> CollectedBatch:
        """All lifetimes; `params` are the leaves of the agent's parameters."""
        sessions, numbers = self._programs.blank(len(self._row)), self._numbers
        while True:
            active, adapts = self._next_round()
            if not active.size:
                return self._recording.batch(steps=self._steps, seconds=self._seconds, faults=self._faults)
            began = time.perf_counter()
            numbers[:, HAPPENED] = 0
            numbers[active, HAPPENED] = 1 - numbers[active, BEGINS]
            begins = bool(numbers[active, BEGINS].any())
            # The sessions keep what was seen, so it crosses in an array that is not written to again.
            given = (self._successor, self._seen.copy(), numbers, self._keys)
            sessions, words = self._programs.advance(params, sessions, *given, begins=begins, adapts=adapts)
            decided = np.asarray(words)
            self._seconds["policy"] += time.perf_counter() - began
            self._step(active, decided)

    def _next_round(self) -> tuple[Int[np.ndarray, " active"], bool]:
        """The numbers of the environments that take part in the next round, and whether their chunks are full."""
        within = np.flatnonzero((self._row >= 0) & (self._slot < self._chunk_end))
        if within.size:
            return within, False
        for number in np.flatnonzero((self._row < 0) | (self._slot >= self._total)).tolist():
            self._begin_next(number)
        return np.flatnonzero(self._row >= 0), True

    def _begin_next(self, number: int) -> None:
        """Begins the next lifetime in an environment; one that cannot be begun is lost, and the one after it is tried."""
        self._row[number] = -1
        while self._next < self._lifetimes and self._row[number] < 0:
            row, self._next = self._next, self._next + 1
            self._row[number], self._slot[number], self._chunk_end[number] = row, 0, 0
            self._keys[number], self._numbers[number] = self._agent_keys[row], 0
            self._numbers[number, BEGINS] = 1
            began = time.perf_counter()
            self._mark_current(row)
            try:
                environment = self._environments[number]
                environment.begin(self._tasks[row], self._environment_keys[row])
                self._seen[number] = self._checked(environment.reset(0))
            except QuickstudyError:
                raise  # a missing suite or a misused one concerns the whole batch
            except Exception:
                self._lose(number)
            self._mark_current(-1)
            self._seconds["environment"] += time.perf_counter() - began
            self._heartbeat(self._steps)

    def _step(self, active: Int[np.ndarray, " active"], words: UInt32[np.ndarray, "environments words"]) -> None:
        """Steps these environments, records what happened, and moves each to its next slot."""
        began, actions = time.perf_counter(), self._programs.actions(words)
        slots, rows = self._slot[active], self._row[active]
        self._recording.decided(slots, rows, self._seen[active], words[active])
        self._chunk_end[active] = chunk_end(slots, cadence=self._cadence)
        self._steps += len(active)
        with np.errstate(over="ignore"):  # what 32 bits cannot hold becomes infinite, and is masked later
            followed = self._stepped(active.tolist(), slots.tolist(), rows.tolist(), actions)
            if followed:
                self._take_in(*(np.asarray(column) for column in zip(*followed, strict=True)))
        self._mark_current(-1)
        self._seconds["environment"] += time.perf_counter() - began
        self._heartbeat(self._steps)

    def _stepped(
        self, numbers: list[int], slots: list[int], rows: list[int], actions: Any
    ) -> list[tuple[int, float, bool, bool]]:
        """Number, reward, `terminated` and `truncated` of every step that went well; the other lifetimes are lost.

        This is the one loop in Python that runs once for every step of every environment.
        """
        followed, environments, successor, space = [], self._environments.opened, self._successor, self._space
        shape, alike = successor.shape[1:], _REAL if successor.dtype == np.float32 else (successor.dtype,)
        mark_current, measured_of = self._mark_current, list(self._recording.measures.items())
        for number, slot, row in zip(numbers, slots, rows, strict=True):
            mark_current(row)
            try:
                observation, reward, terminated, truncated, measures = environments[number].step(slot, actions[number])
                # What is of the right kind is passed on: to look at every number would take as long as some environments.
                if not (type(observation) is np.ndarray and observation.dtype in alike and observation.shape == shape):
                    observation = host_observation("step", observation, space)
                successor[number] = observation
                reward = float(reward) if type(reward) in _NUMBERS else host_number("a reward", reward)
                terminated = bool(terminated) if type(terminated) in _FLAGS else host_flag("terminated", terminated)
                truncated = bool(truncated) if type(truncated) in _FLAGS else host_flag("truncated", truncated)
                for name, measured in measured_of:
                    if name in measures:
                        measured[slot, row] = host_number(f"the measure {name!r}", measures[name])
                followed.append((number, reward, terminated, truncated))
            except Exception:
                self._lose(number)
        return followed

    def _take_in(
        self,
        numbers: Int[np.ndarray, " healthy"],
        reward: np.ndarray,
        terminated: Bool[np.ndarray, " healthy"],
        truncated: Bool[np.ndarray, " healthy"],
    ) -> None:
        """Records outcomes, and begins the next episode where one is over."""
        slots, rows, reward = self._slot[numbers], self._row[numbers], reward.astype(np.float32)
        terminated, truncated = end_of_episode(slots, terminated, truncated, horizon=self._horizon)
        ends, successor = terminated | truncated, self._successor[numbers]
        self._recording.followed(slots, rows, self._seen[numbers], successor, reward, terminated, truncated)
        self._slot[numbers] = following = next_slot(slots, ends, horizon=self._horizon)
        # The bits of the reward, in an array of whole numbers: one transfer to the device instead of five.
        columns = (np.ones_like(slots), np.zeros_like(slots), terminated, truncated, reward.view(np.int32))
        self._numbers[numbers] = np.stack(columns, axis=1)
        self._seen[numbers] = successor
        for number in numbers[ends & (following < self._total)].tolist():
            self._mark_current(int(self._row[number]))
            try:
                episode = int(self._slot[number]) // self._horizon
                self._seen[number] = self._checked(self._environments[number].reset(episode))
            except Exception:
                self._lose(number)

    def _checked(self, observation: Any) -> np.ndarray:
        return host_observation("reset", observation, self._space)

    def _lose(self, number: int) -> None:
        """Marks a lifetime as lost, because of the exception that is being handled, and drops its environment."""
        fault = traceback.format_exc()
        if fault in self._faults or len(self._faults) < _FAULTS_KEPT:
            self._faults[fault] = self._faults.get(fault, 0) + 1
        self._recording.lose(int(self._row[number]))
        self._row[number], self._slot[number] = -1, self._total
        self._environments.drop(number)
