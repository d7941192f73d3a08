"""One lifetime played by plain loops: what the compiled rollout must agree with."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.protocol.agent import slot_key
from quickstudy.protocol.records import Transition


def stack(transitions):
    """A list of single steps as one time-major record. NumPy does it, because JAX compiles a program for every shape."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *transitions)


def compiled(functions, names):
    """An agent or a distribution with some of its functions compiled one by one, as a host would."""
    return dataclasses.replace(functions, **{name: jax.jit(getattr(functions, name)) for name in names})


def lifetime_by_hand(agent, distribution, params, task, key, *, at_slot=lambda slot, memory: memory):
    """A lifetime as Python loops over episodes and slots.

    Args:
      at_slot: `(slot, memory) -> memory`, called before the agent decides; it may put another memory in the place.
    """
    spec = distribution.spec
    key_agent, key_environment = jax.random.split(key)
    key_reset, key_step = jax.random.split(key_environment)
    keys_reset, keys_step = jax.random.split(key_reset, spec.episodes), jax.random.split(key_step, spec.lifetime_steps)
    memory = agent.begin(params, slot_key(key_agent, 0)[0])
    chunk, lifetime = [], []
    for slot in range(spec.lifetime_steps):
        key_adapt, key_act = slot_key(key_agent, slot)
        if slot % spec.horizon == 0:
            state, observation = distribution.reset(task, keys_reset[slot // spec.horizon])
            over = False
        memory = at_slot(slot, memory)
        if len(chunk) == agent.cadence:
            memory, chunk = agent.adapt(params, memory, stack(chunk), key_adapt), []
        decision = agent.act(params, memory, observation, key_act)
        successor, outcome = distribution.step(task, state, decision.action, keys_step[slot])
        last = slot % spec.horizon == spec.horizon - 1
        terminated = not over and bool(outcome.terminated)
        truncated = not over and not terminated and (bool(outcome.truncated) or last)
        reward = jnp.float32(0.0) if over else outcome.reward
        transition = Transition(
            observation=observation,
            decision=decision,
            outcome=dataclasses.replace(
                outcome, reward=reward, terminated=np.asarray(terminated), truncated=np.asarray(truncated)
            ),
            episode=np.int32(slot // spec.horizon),
            valid=np.asarray(not over),
        )
        if not over:
            state, observation = successor, outcome.observation
        over = over or terminated or truncated
        chunk.append(transition)
        lifetime.append(transition)
    memory = agent.adapt(params, memory, stack(chunk), slot_key(key_agent, spec.lifetime_steps)[0])
    return stack(lifetime), memory


def valid_part(tree, valid):
    """The valid slots of every leaf."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[np.asarray(valid)], tree)


def assert_close(one, other, *, tolerance=2e-5):
    """The same structure, the same whole numbers and truth values, and floats that differ by rounding only."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), jax.tree_util.keystr(path)
        exact = not np.issubdtype(a.dtype, np.floating)
        np.testing.assert_allclose(
            a, b, rtol=0 if exact else tolerance, atol=0 if exact else tolerance, err_msg=jax.tree_util.keystr(path)
        )
