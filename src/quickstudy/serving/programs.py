"""The compiled programs of a served agent: begin, act and fold over many memories, with the same bits however they are called.

A program works through a list of jobs, one after another, in one loop whose length is an argument. So there is one executable
for one session and for many, and every job is computed by the same machine code on arrays of the same shapes. A batched
computation would be faster on wide networks, but its rounding depends on the batch. Then a replayed memory would not have the
bits of the memory it repeats.

    begin    keys                                    -> memories
    act      memories, observations, keys, slots     -> decisions
    fold     memories, jobs (row, chunk of steps)    -> memories; several jobs of one row are done in their order

Rows are those of `WordLayout`. The bits are equal on processors of one kind, with one version of JAX.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from quickstudy.protocol.agent import Agent, slot_key
from quickstudy.protocol.records import Decision, Outcome, Transition, blank_observation
from quickstudy.rollout.session import chunk_end, transition_at
from quickstudy.serving.words import WordLayout

_MOST_JOBS = 128
_MOST_WORDS = 2**18
"""Words of memories and jobs in one call: agents with large memories or long chunks get fewer jobs in a call."""


class Fold(NamedTuple):
    """One call of `adapt`.

    Args:
      row: of the memory, among those given to the call.
      chunk: number of the chunk within its lifetime.
      steps: `[cadence, step words]`, the steps of that chunk.
    """

    row: int
    chunk: int
    steps: np.ndarray


class AgentPrograms:
    """The programs of one agent with one set of parameters, which are constants in them.

    Args:
      agent: that is served.
      params: its parameters, without a leading axis of seeds.
    """

    def __init__(self, agent: Agent, params: PyTree):
        self.agent = agent
        key, seen = jax.eval_shape(lambda: jax.random.key(0)), blank_observation(agent.spec)
        memory = jax.eval_shape(agent.begin, params, key)
        decision = jax.eval_shape(agent.act, params, memory, seen, key)
        flag = jax.ShapeDtypeStruct((), bool)
        slot, reward = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((), jnp.float32)
        step = jax.eval_shape(functools.partial(_transition, agent.spec.horizon), slot, seen, decision, reward, flag)
        self.memory, self.observation = WordLayout(memory), WordLayout(seen)
        self.decision, self.step = WordLayout(decision), WordLayout(step)
        self.key_words = jax.eval_shape(jax.random.key_data, key).shape[0]
        words = self.memory.size + self.step.size * agent.cadence + self.decision.size
        self.capacity = max(1, min(_MOST_JOBS, _MOST_WORDS // max(words, 1)))
        self._begin = jax.jit(functools.partial(self._begin_all, params))
        self._act = jax.jit(functools.partial(self._act_all, params))
        self._fold = jax.jit(functools.partial(self._fold_all, params))

    def compile(self) -> None:
        """Runs every program once, so that no request waits for it."""
        key = np.zeros((1, self.key_words), np.uint32)
        memory = self.begin(key)
        decision = self.act(memory, np.zeros((1, self.observation.size), np.uint32), key, np.zeros(1, np.int32))
        del decision
        self.fold(memory, key, [Fold(0, 0, np.zeros((self.agent.cadence, self.step.size), np.uint32))])

    def begin(self, keys: np.ndarray) -> np.ndarray:
        """Memories `[n, memory words]` at the start of lifetimes with these keys `[n, key words]`."""
        parts = [np.asarray(self._begin(self._filled(keys[i:j]), np.int32(j - i)))[: j - i] for i, j in self._calls(len(keys))]
        return _joined(parts, self.memory.size)

    def act(self, memories: np.ndarray, observations: np.ndarray, keys: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Decisions `[n, decision words]`; memories do not change.

        Args:
          memories: `[n, memory words]`.
          observations: `[n, observation words]`.
          keys: `[n, key words]`, of the lifetimes.
          slots: `[n]`, of the decisions.
        """
        parts = []
        for i, j in self._calls(len(memories)):
            rows = [self._filled(part[i:j]) for part in (memories, observations, keys, slots.astype(np.int32))]
            parts.append(np.asarray(self._act(*rows, np.int32(j - i)))[: j - i])
        return _joined(parts, self.decision.size)

    def fold(self, memories: np.ndarray, keys: np.ndarray, jobs: list[Fold]) -> np.ndarray:
        """Memories `[n, memory words]` after the jobs, which are done in their order; n may be any number.

        Args:
          memories: `[n, memory words]`, before.
          keys: `[n, key words]`, of the lifetimes.
          jobs: whose rows are below n. Chunks without a valid step may be left out, because they change nothing.
        """
        memories, keys = np.array(memories, np.uint32), np.asarray(keys, np.uint32)
        for part in self._parts(jobs):
            rows = sorted({job.row for job in part})
            place = {row: number for number, row in enumerate(rows)}
            steps = np.zeros((self.capacity, self.agent.cadence, self.step.size), np.uint32)
            where, chunk = np.zeros(self.capacity, np.int32), np.zeros(self.capacity, np.int32)
            for number, job in enumerate(part):
                where[number], chunk[number], steps[number] = place[job.row], job.chunk, job.steps
            after = self._fold(self._filled(memories[rows]), self._filled(keys[rows]), where, chunk, steps, np.int32(len(part)))
            memories[rows] = np.asarray(after)[: len(rows)]
        return memories

    def _calls(self, count: int) -> list[tuple[int, int]]:
        return [(i, min(i + self.capacity, count)) for i in range(0, count, self.capacity)]

    def _parts(self, jobs: list[Fold]) -> list[list[Fold]]:
        return [jobs[i:j] for i, j in self._calls(len(jobs))]

    def _filled(self, rows: np.ndarray) -> np.ndarray:
        """Rows, followed by zeros up to the capacity."""
        filled = np.zeros((self.capacity, *rows.shape[1:]), rows.dtype)
        filled[: len(rows)] = rows
        return filled

    def _begin_all(self, params: PyTree, keys: Array, count: Array) -> Array:
        def one(number: Array, memories: Array) -> Array:
            key = jax.random.wrap_key_data(keys[number])
            return memories.at[number].set(self.memory.pack(self.agent.begin(params, slot_key(key, 0)[0])))

        return jax.lax.fori_loop(0, count, one, jnp.zeros((self.capacity, self.memory.size), jnp.uint32))

    def _act_all(self, params: PyTree, memories: Array, observations: Array, keys: Array, slots: Array, count: Array) -> Array:
        def one(number: Array, decisions: Array) -> Array:
            key = slot_key(jax.random.wrap_key_data(keys[number]), slots[number])[1]
            memory, seen = self.memory.unpack(memories[number]), self.observation.unpack(observations[number])
            decision = self.agent.act(params, memory, seen, key)
            return decisions.at[number].set(self.decision.pack(decision))

        return jax.lax.fori_loop(0, count, one, jnp.zeros((self.capacity, self.decision.size), jnp.uint32))

    def _fold_all(
        self, params: PyTree, memories: Array, keys: Array, rows: Array, chunks: Array, steps: Array, count: Array
    ) -> Array:
        cadence = self.agent.cadence

        def one(number: Array, memories: Array) -> Array:
            row = rows[number]
            due = chunk_end(chunks[number] * cadence, cadence=cadence)
            key = slot_key(jax.random.wrap_key_data(keys[row]), due)[0]
            experience = jax.vmap(self.step.unpack)(steps[number])
            memory = self.agent.adapt(params, self.memory.unpack(memories[row]), experience, key)
            return memories.at[row].set(self.memory.pack(memory))

        return jax.lax.fori_loop(0, count, one, memories)


def _transition(horizon: int, slot: Array, seen: Array, decision: Decision, reward: Array, flag: Array) -> Transition:
    """A step as sessions record it; only its shapes and types are used."""
    outcome = Outcome(observation=seen, reward=reward, terminated=flag, truncated=flag)
    return transition_at(slot, seen, decision, outcome, flag, horizon=horizon)


def _joined(parts: list[np.ndarray], size: int) -> np.ndarray:
    """The parts of a result, which were cut on the host: JAX would compile a program for every length."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros((0, size), np.uint32)
