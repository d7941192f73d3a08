"""An agent that adapts and decides by its programs, in JAX: what exported files compute, measured like any agent."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.programs.jax_form import jax_function
from quickstudy.programs.program import Value
from quickstudy.programs.tracing import named_leaves
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Transition, blank_observation
from quickstudy.protocol.sequences import where
from quickstudy.rollout.step_programs import StepPrograms
from quickstudy.rollout.wrapping import wrapped


def program_agent(agent: Agent, programs: StepPrograms) -> Agent:
    """The agent with programs in the place of its `act` and `adapt`.

    Its decisions hold what the programs decide. Other random numbers that the agent reports are left out.

    Args:
      agent: that the programs were traced from, whose `begin` stays.
      programs: of one session, as traced or changed. They hold the parameters of one seed, and those that are given to `act`
        and `adapt` are not read.
    """
    take_in, decide = jax_function(programs.take_in), jax_function(programs.decide)
    inputs = programs.take_in.inputs

    def adapt(params: PyTree, memory: PyTree, experience: Transition, key: PRNGKeyArray) -> PyTree:
        del params, key
        step = jax.tree.map(lambda leaf: leaf[0], experience)
        feedback = {
            "observation": step.observation,
            "action": step.decision.action,
            "reward": step.outcome.reward,
            "successor": step.outcome.observation,
            "terminated": step.outcome.terminated,
            "truncated": step.outcome.truncated,
            "episode": step.episode,
        }
        after = take_in(**_canonical(named_leaves(memory, root="memory") | feedback, inputs))
        leaves = [_as_before(after[name], leaf) for name, leaf in named_leaves(memory, root="memory").items()]
        return where(step.valid, jax.tree.unflatten(jax.tree.structure(memory), leaves), memory)

    def act(params: PyTree, memory: PyTree, observation: Array, key: PRNGKeyArray) -> Decision:
        extras = jax.eval_shape(agent.act, params, memory, blank_observation(agent.spec), key).extras
        given = named_leaves(memory, root="memory") | {"observation": observation}
        return decision_of(extras, decide(**_canonical(given, programs.decide.inputs)), key)

    return wrapped(agent, begin=agent.begin, act=act, adapt=adapt)


def decision_of(extras: dict[str, Any], numbers: dict[str, Array], key: PRNGKeyArray) -> Decision:
    """A decision with the numbers of an exported form; what the form lacks is left out.

    Args:
      extras: shapes of what the agent's decisions hold.
      numbers: of the form, by the names of the contract.
      key: for drawing the action from the policy.
    """
    kept = {name: filled for name, part in extras.items() if (filled := _filled(f".{name}", part, numbers)) is not None}
    return Decision(action=kept["policy"].sample(key), extras=kept)


def _canonical(leaves: dict[str, Any], inputs: dict[str, Value]) -> dict[str, Array]:
    """Arrays as programs take them: without axes of length one, and keys as words."""
    plain = {name: jax.random.key_data(leaf) if _is_key(leaf) else jnp.asarray(leaf) for name, leaf in leaves.items()}
    return {name: plain[name].astype(value.dtype).reshape(value.shape) for name, value in inputs.items()}


def _as_before(array: Array, leaf: Any) -> Array:
    """What a program has made of a leaf of memory, as the agent holds it."""
    if _is_key(leaf):
        return jax.random.wrap_key_data(array.reshape(*leaf.shape, 2))
    return array.astype(leaf.dtype).reshape(leaf.shape)


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _filled(name: str, part: PyTree, numbers: dict[str, Array]) -> PyTree | None:
    """A part of what an agent decides with the numbers of a program; None if the program lacks one of them."""
    leaves = named_leaves(part, root=name)
    if not all(leaf.removeprefix(".") in numbers for leaf in leaves):
        return None
    filled = [numbers[leaf.removeprefix(".")].astype(shape.dtype).reshape(shape.shape) for leaf, shape in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(part), filled)
