"""Many lifetimes side by side in one process: environments stepped one after another, decisions for all of them at once."""

import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree, UInt32

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import QuickstudyError
from quickstudy.protocol.host_distribution import HostDistribution, HostEnvironment
from quickstudy.protocol.records import Outcome, Transition, blank_observation
from quickstudy.rollout.collecting.batch import CollectedBatch, fill_gaps
from quickstudy.rollout.collecting.lane_programs import HAPPENED, LanePrograms, lifetime_keys

_PROGRAMS_KEPT = 4
_FAULTS_KEPT = 3
"""Different ones; an exception that says another number each time would fill the terminal."""


class Collector:
    """Lives lifetimes in this process.

    Args:
      distribution: whose environments are opened here.
      lanes: most lifetimes side by side. Each has an environment of its own; more of them make decisions cheaper.
      holding: called with the number of the lifetime whose environment is about to do something, and with -1 when none is any
        more: whoever sees this process die knows of what.
      beat: called with the number of steps taken, after every step of all lanes and whenever a lifetime was begun.
    """

    def __init__(
        self,
        distribution: HostDistribution,
        *,
        lanes: int,
        mark_current: Callable[[int], None] = lambda lifetime: None,
        heartbeat: Callable[[int], None] = lambda steps: None,
    ):
        self.distribution, self.lanes, self.mark_current, self.heartbeat = distribution, lanes, mark_current, heartbeat
        self.environments: dict[int, HostEnvironment] = {}
        self._programs: dict[int, LanePrograms] = {}

    def run(
        self,
        agent: Agent,
        params: PyTree,
        tasks: Sequence,
        keys: UInt32[np.ndarray, "lifetimes 2"],
        *,
        rewards_only: bool = False,
    ) -> CollectedBatch:
        """One lifetime on each task.

        Args:
          agent: who lives.
          params: of the agent.
          tasks: one for each lifetime.
          keys: key data of each lifetime; the same as in `interact.live`.
          rewards_only: keep rewards and what was measured, and forget what was seen and decided.
        """
        programs = self._compiled(agent)
        lanes = _Lanes(self, programs, tasks, np.asarray(keys), rewards_only=rewards_only)
        params = jax.tree.leaves(jax.device_put(params))
        if agent.cadence == 1:
            _live_step_by_step(lanes, programs, params)
        else:
            _live_in_chunks(lanes, programs, params)
        return lanes.lived()

    def close(self) -> None:
        """Closes all environments."""
        for lane in list(self.environments):
            self.drop(lane)

    def environment(self, lane: int) -> HostEnvironment:
        """The environment of a lane, opened when it is first asked for."""
        if lane not in self.environments:
            self.environments[lane] = self.distribution.open()
        return self.environments[lane]

    def drop(self, lane: int) -> None:
        """Lets go of an environment, whatever state it is in."""
        try:
            self.environments.pop(lane).close()
        except Exception:  # it is broken already
            self.environments.pop(lane, None)

    def _compiled(self, agent: Agent) -> LanePrograms:
        if id(agent) not in self._programs:
            self._programs = dict(list(self._programs.items())[1 - _PROGRAMS_KEPT :])
            self._programs[id(agent)] = LanePrograms(agent)  # which holds the agent, so that the number stays its own
        return self._programs[id(agent)]


def _live_step_by_step(lanes: "_Lanes", programs: LanePrograms, params: list) -> None:
    """For a cadence of one: what happened is taken in and the next action decided in one call for all lanes."""
    for lane in range(lanes.count):
        lanes.take_next(lane)
    books = programs.blank_books(params, lanes.keys)
    while (active := np.flatnonzero(lanes.row >= 0)).size:
        began = time.perf_counter()
        program = programs.later_step if lanes.numbers[active, HAPPENED].all() else programs.first_step
        books, words = program(params, books, lanes.before, lanes.successor, lanes.seen, lanes.numbers, lanes.keys)
        decided = np.asarray(words)
        lanes.seconds["policy"] += time.perf_counter() - began
        lanes.step(active, decided)
        for lane in active[lanes.slot[active] >= lanes.total]:
            lanes.take_next(lane)


def _live_in_chunks(lanes: "_Lanes", programs: LanePrograms, params: list) -> None:
    """For a longer cadence: lanes begin together, and meet at the end of every chunk to adapt."""
    cadence = programs.agent.cadence
    while lanes.left():
        for lane in range(lanes.count):
            lanes.take_next(lane)
        memory = programs.begin(params, lanes.keys)
        for start in range(0, lanes.total, cadence):
            while (active := np.flatnonzero((lanes.row >= 0) & (lanes.slot < start + cadence))).size:
                began = time.perf_counter()
                decided = np.asarray(programs.act(params, memory, lanes.seen, lanes.slot.astype(np.int32), lanes.keys))
                lanes.seconds["policy"] += time.perf_counter() - began
                lanes.step(active, decided)
            if not (lanes.row >= 0).any():
                break
            began = time.perf_counter()
            due, experience = np.full(lanes.count, start + cadence, np.int32), lanes.experience(start, start + cadence)
            if experience.valid.any():  # what did not happen changes no memory
                memory = jax.block_until_ready(programs.adapt(params, memory, experience, due, lanes.keys))
            lanes.seconds["policy"] += time.perf_counter() - began


class _Lanes:
    """The books: which lifetime each lane is living, where it stands, and everything that has happened."""

    def __init__(self, collector: Collector, programs: LanePrograms, tasks: Sequence, keys: np.ndarray, *, rewards_only: bool):
        spec = programs.agent.spec
        self.collector, self.programs, self.tasks = collector, programs, tasks
        self.horizon, self.total, self.lifetimes = spec.horizon, spec.lifetime_steps, len(keys)
        self.count = min(collector.lanes, self.lifetimes)
        self.seconds = {"environment": 0.0, "policy": 0.0}
        self.steps, self.faults, self._next = 0, dict[str, int](), 0
        self._agent_keys, self._environment_keys = (np.asarray(part) for part in lifetime_keys(keys))
        blank = blank_observation(spec)
        self._shape = tuple(blank.shape)

        self.row = np.full(self.count, -1)
        self.slot = np.zeros(self.count, int)
        self.keys = np.zeros((self.count, 2), np.uint32)
        self.numbers = np.zeros((self.count, 6), np.int32)
        self.before, self.seen, self.successor = (np.zeros((self.count, *blank.shape), blank.dtype) for _ in range(3))

        # What was seen and decided is kept for a whole lifetime, or for a chunk, over and over.
        self.rewards_only, self.kept = rewards_only, programs.agent.cadence if rewards_only else self.total
        of_all, of_kept = (self.total, self.lifetimes), (self.kept, self.lifetimes)
        self._observation = np.zeros((*of_kept, *blank.shape), blank.dtype)
        self._followed = np.zeros_like(self._observation)
        self._words = np.zeros((*of_kept, programs.packing.words), np.uint32)
        self._reward = np.zeros(of_all, np.float32)
        self._terminated, self._truncated, self._valid = (np.zeros(of_all, bool) for _ in range(3))
        self._measures = {name: np.full(of_all, np.nan, np.float32) for name in collector.distribution.measures}
        self._lost = np.zeros(self.lifetimes, bool)

    def left(self) -> bool:
        """Whether there are lifetimes that nobody has begun."""
        return self._next < self.lifetimes

    def take_next(self, lane: int) -> None:
        """Begins the next lifetime in a lane; one that cannot be begun is lost, and the one after it taken."""
        self.row[lane] = -1
        while self.left() and self.row[lane] < 0:
            row, self._next = self._next, self._next + 1
            self.row[lane], self.slot[lane], self.keys[lane] = row, 0, self._agent_keys[row]
            self.numbers[lane] = 0
            began = time.perf_counter()
            self.collector.mark_current(row)
            try:
                environment = self.collector.environment(lane)
                environment.begin(self.tasks[row], self._environment_keys[row])
                self.seen[lane] = self._checked(environment.reset(0))
            except QuickstudyError:
                raise  # what is missing or misused is said at once, and nothing is masked
            except Exception:
                self._lose(lane)
            self.collector.mark_current(-1)
            self.seconds["environment"] += time.perf_counter() - began
            self.collector.heartbeat(self.steps)

    def step(self, active: np.ndarray, words: np.ndarray) -> None:
        """Steps the environments of these lanes, writes down what happened, and moves each lane to its next slot."""
        began, actions = time.perf_counter(), self.programs.actions(words)
        slots, rows = self.slot[active], self.row[active]
        kept = slots % self.kept
        self._observation[kept, rows], self._words[kept, rows] = self.seen[active], words[active]
        self.before[active] = self.seen[active]
        self.steps += len(active)
        with np.errstate(over="ignore"):  # what 32 bits cannot hold is infinite, and set apart
            followed = self._stepped(active.tolist(), slots.tolist(), actions)
            if followed:
                self._write_down(*(np.asarray(column) for column in zip(*followed, strict=True)))
        self.collector.mark_current(-1)
        self.seconds["environment"] += time.perf_counter() - began
        self.collector.heartbeat(self.steps)

    def _stepped(self, lanes: list[int], slots: list[int], actions: Any) -> list[tuple[int, float, bool, bool]]:
        """Lane, reward and the two ends of every step that went well; the lifetimes of the others are lost.

        This is the one loop in Python that runs once for every step of every environment.
        """
        followed, environments, successor, shape = [], self.collector.environments, self.successor, self._shape
        mark_current, rows = self.collector.mark_current, self.row[lanes].tolist()
        for lane, slot, row in zip(lanes, slots, rows, strict=True):
            mark_current(row)
            try:
                observation, reward, terminated, truncated, measures = environments[lane].step(slot, actions[lane])
                if getattr(observation, "shape", ()) != shape:
                    observation = self._checked(observation)
                successor[lane] = observation
                for name, of_all in self._measures.items():
                    of_all[slot, row] = measures[name]
                followed.append((lane, float(reward), bool(terminated), bool(truncated)))
            except Exception:
                self._lose(lane)
        return followed

    def _write_down(self, lanes: np.ndarray, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> None:
        """The outcomes of healthy lanes; episodes that are over are followed by the next, if there is one."""
        slots, rows, reward = self.slot[lanes], self.row[lanes], reward.astype(np.float32)
        truncated = ~terminated & (truncated | (slots % self.horizon == self.horizon - 1))
        self._followed[slots % self.kept, rows], self._valid[slots, rows] = self.successor[lanes], True
        self._reward[slots, rows] = reward
        self._terminated[slots, rows], self._truncated[slots, rows] = terminated, truncated
        ends = terminated | truncated
        self.slot[lanes] = np.where(ends, (slots // self.horizon + 1) * self.horizon, slots + 1)
        told = (self.slot[lanes], slots, np.ones_like(slots), terminated, truncated, reward.view(np.int32))
        self.numbers[lanes] = np.stack(told, axis=1)
        self.seen[lanes] = self.successor[lanes]
        for lane in lanes[ends & (self.slot[lanes] < self.total)].tolist():
            self.collector.mark_current(int(self.row[lane]))
            try:
                self.seen[lane] = self._checked(self.collector.environment(lane).reset(int(self.slot[lane]) // self.horizon))
            except Exception:
                self._lose(lane)

    def _checked(self, observation: Any) -> Any:
        if np.shape(observation) != self._shape:
            raise ValueError(f"an observation of shape {np.shape(observation)} came, where the space says {self._shape}.")
        with np.errstate(over="ignore"):
            return np.asarray(observation, self.seen.dtype)

    def _lose(self, lane: int) -> None:
        """Gives a lifetime up, because of the exception that is being handled; its lane goes on with a new environment."""
        fault = traceback.format_exc()
        if fault in self.faults or len(self.faults) < _FAULTS_KEPT:
            self.faults[fault] = self.faults.get(fault, 0) + 1
        row = self.row[lane]
        self._lost[row], self._valid[:, row], self.row[lane] = True, False, -1
        self.slot[lane] = self.total
        self.collector.drop(lane)

    def experience(self, start: int, stop: int) -> Transition:
        """What the lanes lived in these slots, `[lanes, slots]`."""
        lived = self._transition(start, stop, np.maximum(self.row, 0))
        return jax.tree.map(lambda leaf: np.swapaxes(leaf, 0, 1), lived)

    def lived(self) -> CollectedBatch:
        """Everything, once all lifetimes are over."""
        for of_all in self._measures.values():
            of_all[:, self._lost] = np.nan
        return CollectedBatch(
            lifetimes=None if self.rewards_only else self._transition(0, self.total, slice(None)),
            reward=np.where(self._valid, self._reward, np.float32(0)),
            valid=self._valid,
            measures=self._measures,
            lost=self._lost,
            steps=self.steps,
            seconds=self.seconds,
            faults=self.faults,
        )

    def _transition(self, start: int, stop: int, rows: Any) -> Transition:
        part = lambda of_all: of_all[start:stop][:, rows]  # noqa: E731
        chunk = start % self.kept
        kept = lambda of_kept: of_kept[chunk : chunk + stop - start][:, rows]  # noqa: E731
        valid = part(self._valid)
        seen, followed, words = fill_gaps((kept(self._observation), kept(self._followed), kept(self._words)), valid)
        masked = lambda whole: part(whole) & valid  # noqa: E731
        reward: Any = np.where(valid, part(self._reward), np.float32(0))
        outcome = Outcome(
            observation=followed,
            reward=reward,
            terminated=masked(self._terminated),
            truncated=masked(self._truncated),
        )
        episode: Any = (np.arange(start, stop)[:, None] // self.horizon + np.zeros(valid.shape[1], int)).astype(np.int32)
        return Transition(
            observation=seen, decision=self.programs.packing.unpack(words), outcome=outcome, episode=episode, valid=valid
        )
