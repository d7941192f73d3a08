"""The compiled programs of one agent that lives several lifetimes side by side, each in a lane of its own.

Lanes stand at different slots: where an episode ends early its lane goes on with the next one, and no lane waits for another.
Only those of an agent that adapts in chunks of several steps meet, at the end of each chunk.
"""

from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, PyTree, UInt32

from quickstudy.protocol.agent import Agent, slot_key
from quickstudy.protocol.records import Outcome, Transition, blank_observation
from quickstudy.protocol.sequences import where
from quickstudy.rollout.collecting.packing import Packing

SLOT, LAST, HAPPENED, TERMINATED, TRUNCATED, REWARD = range(6)
"""Columns of the numbers `[lanes, 6]` that every lane is told: its slot, that of its last step, whether there was one, and what
followed it; the reward by its bits."""


class LanePrograms:
    """What an agent does in all lanes at once; what it remembers stays on the device.

    Parameters, memories and last decisions cross as flat lists: trees of modules cost more to take apart than to compute with.

    Args:
      agent: whose functions are compiled, when they are first called.
    """

    def __init__(self, agent: Agent):
        self.agent = agent
        key = jax.eval_shape(lambda: jax.random.key(0))
        params = jax.eval_shape(agent.init, key)
        memory = jax.eval_shape(agent.begin, params, key)
        self.decision = jax.eval_shape(agent.act, params, memory, blank_observation(agent.spec), key)
        self.packing = Packing(self.decision)
        self._action = self.packing.numbers().action
        self._params, self._books = jax.tree.structure(params), jax.tree.structure((memory, self.decision))
        each = (None, *[0] * 6)
        self.first_step = jax.jit(jax.vmap(partial(self._step, begins=True), each), donate_argnums=1)
        self.later_step = jax.jit(jax.vmap(partial(self._step, begins=False), each), donate_argnums=1)
        self.begin = jax.jit(jax.vmap(self._begin, (None, 0)))
        self.act = jax.jit(jax.vmap(self._act, (None, 0, 0, 0, 0)))
        self.adapt = jax.jit(jax.vmap(self._adapt, (None, 0, 0, 0, 0)), donate_argnums=1)

    def blank_books(self, params: list, keys: UInt32[np.ndarray, "lanes 2"]) -> list:
        """Memories and last decisions before anything was lived: begun, and zeros."""
        zeros = [jnp.zeros((len(keys), *leaf.shape), leaf.dtype) for leaf in jax.tree.leaves(self.decision)]
        return [*jax.tree.leaves(self.begin(params, keys)), *zeros]

    def actions(self, words: UInt32[np.ndarray, "lanes words"]) -> list[int] | np.ndarray:
        """The action of every lane, as environments take it: an array that they may write to, or whole numbers."""
        action = self.packing.leaf(self._action, words)
        return action.tolist() if isinstance(self.agent.spec.action_space, gymnasium.spaces.Discrete) else np.array(action)

    def _begin(self, params: list, key: UInt32[Array, "2"]) -> PyTree:
        params = jax.tree.unflatten(self._params, params)
        return self.agent.begin(params, slot_key(jax.random.wrap_key_data(key), 0)[0])

    def _act(self, params: list, memory: PyTree, seen: Array, slot: Int32[Array, ""], key: UInt32[Array, "2"]) -> Array:
        """The words of a decision."""
        params = jax.tree.unflatten(self._params, params)
        key_act = slot_key(jax.random.wrap_key_data(key), slot)[1]
        return self.packing.pack(self.agent.act(params, memory, seen, key_act))

    def _adapt(
        self, params: list, memory: PyTree, experience: Transition, due: Int32[Array, ""], key: UInt32[Array, "2"]
    ) -> PyTree:
        """Memory after a chunk; `due` is the slot that follows it."""
        params = jax.tree.unflatten(self._params, params)
        return self.agent.adapt(params, memory, experience, slot_key(jax.random.wrap_key_data(key), due)[0])

    def _step(
        self,
        params: list,
        books: list,
        before: Array,
        successor: Array,
        seen: Array,
        numbers: Int32[Array, "6"],
        key_data: UInt32[Array, "2"],
        *,
        begins: bool,
    ) -> tuple[list, Array]:
        """Takes in the last step and decides the next, for a cadence of one; a lane where nothing happened yet begins.

        Slots that did not happen after an early end change no memory, so they are passed over.
        """
        agent, key, of_agent = self.agent, jax.random.wrap_key_data(key_data), jax.tree.unflatten(self._params, params)
        memory, decision = jax.tree.unflatten(self._books, books)
        happened = numbers[HAPPENED] > 0
        if begins:
            memory = where(happened, memory, agent.begin(of_agent, slot_key(key, 0)[0]))
        outcome = Outcome(
            observation=successor,
            reward=jax.lax.bitcast_convert_type(numbers[REWARD], jnp.float32),
            terminated=numbers[TERMINATED] > 0,
            truncated=numbers[TRUNCATED] > 0,
        )
        episode = numbers[LAST] // agent.spec.horizon
        lived = Transition(observation=before, decision=decision, outcome=outcome, episode=episode, valid=happened)
        keys = jnp.stack([slot_key(key, numbers[LAST] + 1)[0], slot_key(key, numbers[SLOT])[1]])
        memory = agent.adapt(of_agent, memory, jax.tree.map(lambda leaf: leaf[None], lived), keys[0])
        decision = agent.act(of_agent, memory, seen, keys[1])
        return jax.tree.leaves((memory, decision)), self.packing.pack(decision)


@jax.jit
def lifetime_keys(keys: UInt32[Array, "lifetimes 2"]) -> tuple[UInt32[Array, "lifetimes 2"], UInt32[Array, "lifetimes 2"]]:
    """The agent's and the environment's share of the keys of lifetimes, as in `interact.live`; all as key data."""
    split = jax.vmap(lambda key: jax.random.key_data(jax.random.split(jax.random.wrap_key_data(key))))(keys)
    return split[:, 0], split[:, 1]
