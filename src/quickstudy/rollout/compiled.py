"""The compiled rollout: one agent runs one lifetime on one task, as a single program.

Episodes start at slots that are known when the program is compiled. So environments are reset outside the loop over steps, and
the rollout decides when `adapt` is called. `vmap` over tasks and keys gives many lifetimes. The rules of a lifetime are in
`rollout/session.py`; the loops here are laid out so that no step branches.
"""

import reprlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent, slot_keys
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec, Transition
from quickstudy.protocol.sequences import chunks, flatten_chunks, scan, where
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.session import chunk_end, transition_at

_short = reprlib.Repr()
_short.maxlist, _short.maxdict, _short.maxstring = 3, 8, 60


Measure = Callable[[PyTree, PyTree, PyTree], Array]
"""`(task, state, action) -> number`."""

_Slot = tuple[Transition, Array | None]


class _Scene(NamedTuple):
    """The environment's state, the present observation, and whether the episode is over."""

    state: PyTree
    observation: Array
    over: Array


class _Clock(NamedTuple):
    """A slot's number, its two agent keys `[2]`, and its environment key."""

    slot: Array
    key_agent: PRNGKeyArray
    key_environment: PRNGKeyArray


def run_lifetime(
    agent: Agent, distribution: TaskDistribution, params: PyTree, task: PyTree, key: PRNGKeyArray
) -> tuple[Transition, PyTree]:
    """One lifetime of an agent on a task.

    Every agent that is given the same task and key meets the same randomness of the environment. The agent's own share is
    `jax.random.split(key)[0]`: `agent.unroll(params, lifetime, jax.random.split(key)[0])` decides the same again.

    Args:
      agent: its spec must agree with the distribution's.
      distribution: of the task.
      params: of the agent, without a leading axis of seeds.
      task: one task, unbatched.
      key: consumed.
    Returns:
      The lifetime, time-major `[T]`, and the memory at its end.
    Raises:
      SpecError: the agent was made for another spec, or its cadence and the horizon do not divide one another.
    """
    (lifetime, _), memory = run_lifetime_measured(agent, distribution, params, task, key, measure=None)
    return lifetime, memory


def run_lifetime_measured(
    agent: Agent, distribution: TaskDistribution, params: PyTree, task: PyTree, key: PRNGKeyArray, *, measure: Measure | None
) -> tuple[tuple[Transition, Array | None], PyTree]:
    """`run_lifetime`, with what is measured of every slot. The agent is not told what was measured.

    Args:
      agent: as of `run_lifetime`, and so are the next four.
      distribution: of the task.
      params: of the agent.
      task: one task.
      key: consumed.
      measure: `(task, state, action) -> number`, of the state before the action; None if there is nothing to measure.
    Returns:
      The lifetime, time-major `[T]`, the numbers `[T]` or None, and the memory at its end.
    Raises:
      SpecError: as of `run_lifetime`.
    """
    spec = distribution.spec
    check_fit(agent, spec)
    key_agent, key_environment = jax.random.split(key)
    key_reset, key_step = jax.random.split(key_environment)
    keys = slot_keys(key_agent, spec)
    clock = _Clock(jnp.arange(spec.lifetime_steps), keys[:-1], jax.random.split(key_step, spec.lifetime_steps))
    keys_reset = jax.random.split(key_reset, spec.episodes)
    first_slots = jnp.arange(0, spec.lifetime_steps, agent.cadence)
    keys_adapt = keys[chunk_end(first_slots, cadence=agent.cadence), 0]
    memory = agent.begin(params, keys[0, 0])

    def fresh_scene(key: PRNGKeyArray) -> _Scene:
        state, observation = distribution.reset(task, key)
        return _Scene(state, observation, jnp.asarray(False))

    def play(memory: PyTree, scene: _Scene, clock: _Clock) -> tuple[_Scene, _Slot]:
        def step(scene: _Scene, now: _Clock) -> tuple[_Scene, _Slot]:
            following, transition = _step(agent, distribution, params, task, memory, scene, now)
            measured = None if measure is None else measure(task, scene.state, transition.decision.action)
            return following, (transition, measured)

        return scan(step, scene, clock)

    def adapt_within_episode(memory: PyTree, xs: tuple) -> tuple[PyTree, _Slot]:
        def chunk(carry: tuple, xs: tuple) -> tuple[tuple, _Slot]:
            memory, scene = carry
            clock, key_adapt = xs
            scene, slots = play(memory, scene, clock)
            return (agent.adapt(params, memory, slots[0], key_adapt), scene), slots

        key_reset, clock, keys_adapt = xs
        (memory, _), slots = scan(chunk, (memory, fresh_scene(key_reset)), (clock, keys_adapt))
        return memory, flatten_chunks(slots)

    def adapt_after_episodes(memory: PyTree, xs: tuple) -> tuple[PyTree, _Slot]:
        keys_reset, clock, key_adapt = xs
        # Memory does not change within a chunk, so its episodes are computed side by side.
        slots = flatten_chunks(jax.vmap(lambda k, c: play(memory, fresh_scene(k), c)[1])(keys_reset, clock))
        return agent.adapt(params, memory, slots[0], key_adapt), slots

    if agent.cadence <= spec.horizon:
        per_episode = spec.horizon // agent.cadence
        clock = chunks(chunks(clock, length=agent.cadence), length=per_episode)
        memory, slots = scan(adapt_within_episode, memory, (keys_reset, clock, chunks(keys_adapt, length=per_episode)))
    else:
        per_chunk = agent.cadence // spec.horizon
        clock = chunks(chunks(clock, length=spec.horizon), length=per_chunk)
        memory, slots = scan(adapt_after_episodes, memory, (chunks(keys_reset, length=per_chunk), clock, keys_adapt))
    return flatten_chunks(slots), memory


def check_fit(agent: Agent, spec: Spec) -> None:
    """Raises `SpecError`, which names what differs, unless an agent can run lifetimes of this spec."""
    if agent.spec.describe() != spec.describe():
        ours, theirs = agent.spec.describe(), spec.describe()
        say = _short.repr
        differing = "; ".join(f"{k}: agent {say(ours[k])}, tasks {say(theirs[k])}" for k in ours if ours[k] != theirs[k])
        raise SpecError(f"the agent was made for other tasks. {differing}. Make it from this distribution's spec.")
    if spec.horizon % agent.cadence and agent.cadence % spec.horizon:
        raise SpecError(
            f"cadence {agent.cadence} and horizon {spec.horizon} must divide one another, so that no episode is cut "
            "between two calls of adapt in the middle of a chunk. Choose a divisor or a multiple of the horizon."
        )


def _step(
    agent: Agent,
    distribution: TaskDistribution,
    params: PyTree,
    task: PyTree,
    memory: PyTree,
    scene: _Scene,
    now: _Clock,
) -> tuple[_Scene, Transition]:
    """One slot: decide, and step the task; nothing changes if the episode is over."""
    decision = agent.act(params, memory, scene.observation, now.key_agent[1])
    state, outcome = distribution.step(task, scene.state, decision.action, now.key_environment)
    valid = ~scene.over
    transition = transition_at(now.slot, scene.observation, decision, outcome, valid, horizon=distribution.spec.horizon)
    following = _Scene(
        where(valid, state, scene.state),
        jnp.where(valid, outcome.observation, scene.observation),
        scene.over | transition.boundary,
    )
    return following, transition
