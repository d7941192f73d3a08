"""What an agent computes at each step, as two programs that need no JAX.

    take_in    memory, one step (observation, action, reward, successor, end of the episode)  ->  memory
    decide     memory, observation  ->  numbers of the policy, value, belief

They are traced from the agent's own `adapt` and `act`, so no equation is written twice. Randomness stays outside: an action is
drawn by the caller, from the numbers of the policy.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from quickstudy.numerics.distributions import Policy
from quickstudy.programs.joining import joined
from quickstudy.programs.merging import merged
from quickstudy.programs.program import Program, needed
from quickstudy.programs.tracing import named_leaves, trace
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import NoProgramError
from quickstudy.protocol.records import Decision, Outcome, Transition, blank_observation
from quickstudy.protocol.spaces import COMPOSITE

STEP = ("observation", "action", "reward", "successor", "terminated", "truncated", "episode")
"""The inputs of `take_in` after the memory: one step."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepPrograms:
    """The two programs of an agent with its parameters.

    Args:
      take_in: inputs: the memory's leaves by name, then `STEP`. Outputs: the memory's leaves.
      decide: inputs: the memory's leaves and `observation`. Outputs: numbers of the policy, and `value` and `belief` where the
        agent has them.
      memory: shapes and types of the memory's leaves, as the agent has them, by name.
      decision: shapes and types of the outputs of `decide`, as the agent has them, by name.
      policy: the kind of the policy, with shapes in place of numbers.
      drawn_at_start: names of the leaves of memory that `begin` draws from its key.
    """

    take_in: Program
    decide: Program
    memory: dict[str, jax.ShapeDtypeStruct]
    decision: dict[str, jax.ShapeDtypeStruct]
    policy: Policy
    drawn_at_start: frozenset[str]


def step_programs(agent: Agent, params: PyTree) -> StepPrograms:
    """The programs of an agent.

    Args:
      agent: that adapts after every step, and whose actions are one array each.
      params: its parameters, without a leading axis of seeds.
    Raises:
      NoProgramError: a part of the agent has no form outside of JAX; says which.
    """
    if agent.cadence > 1:
        raise NoProgramError(
            f"the agent adapts by a computation on {agent.cadence} steps at once. Only agents that adapt after every step can "
            "be written as a program of one step.",
            part=f"adapt, which takes {agent.cadence} steps at once",
        )
    if isinstance(agent.spec.action_space, COMPOSITE):
        kind = type(agent.spec.action_space).__name__
        raise NoProgramError(
            f"its actions are a {kind} of several parts, and a program of one step takes an action that is one array. Train it "
            "with the parts as one MultiDiscrete, MultiBinary or Box.",
            part=f"the action space, which is a {kind}",
        )
    key = jax.random.key(0)
    memory = jax.eval_shape(agent.begin, params, key)
    decision = jax.eval_shape(agent.act, params, memory, blank_observation(agent.spec), key)
    if not isinstance(decision.extras.get("policy"), Policy):
        raise NoProgramError(
            "the agent's decisions carry no policy, so there are no numbers to draw an action from.",
            part="act, which gives no policy",
        )
    named = named_leaves(memory, root="memory")
    decide, numbers = _decide(agent, params, memory)
    return StepPrograms(
        take_in=_take_in(agent, params, memory, decision),
        decide=decide,
        memory=named,
        decision=numbers,
        policy=decision.extras["policy"],
        drawn_at_start=_drawn_at_start(agent, params, named),
    )


def _take_in(agent: Agent, params: PyTree, memory: PyTree, decision: Decision) -> Program:
    named, structure = named_leaves(memory, root="memory"), jax.tree.structure(memory)
    observation = blank_observation(agent.spec)
    truth, number = jax.ShapeDtypeStruct((), jnp.bool_), jax.ShapeDtypeStruct((), jnp.float32)
    episode = jax.ShapeDtypeStruct((), jnp.int32)
    step = dict(zip(STEP, (observation, decision.action, number, observation, truth, truth, episode), strict=True))
    key = jax.eval_shape(lambda: jax.random.key(0))

    def one(key: Any, **inputs: Any) -> dict[str, Any]:
        experience = Transition(
            observation=inputs["observation"],
            decision=Decision(action=inputs["action"], extras={}),
            outcome=Outcome(
                observation=inputs["successor"],
                reward=inputs["reward"],
                terminated=inputs["terminated"],
                truncated=inputs["truncated"],
            ),
            episode=inputs["episode"],
            valid=jnp.asarray(True),
        )
        before = jax.tree.unflatten(structure, [inputs[name] for name in named])
        after = agent.adapt(params, before, jax.tree.map(lambda leaf: leaf[None], experience), key)
        return named_leaves(after, root="memory")

    try:
        program = trace(one, {"key": key} | named | step)
    except KeyError as error:
        raise NoProgramError(
            f"the agent's adaptation reads {error} of its decisions, which a program of one step does not keep.",
            part=f"adapt, which reads {error} of decisions",
        ) from error
    if program.depends_on("key"):
        raise NoProgramError("the agent's adaptation draws random numbers.", part="adapt, which draws random numbers")
    in_order = dataclasses.replace(program, outputs={name: program.outputs[name] for name in named})
    return _supported(_without(in_order, "key"), "adapt")


def _decide(agent: Agent, params: PyTree, memory: PyTree) -> tuple[Program, dict[str, jax.ShapeDtypeStruct]]:
    """The program, and the shapes of its outputs."""
    named, structure = named_leaves(memory, root="memory"), jax.tree.structure(memory)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def one(key: Any, **inputs: Any) -> dict[str, Any]:
        before = jax.tree.unflatten(structure, [inputs[name] for name in named])
        decision = agent.act(params, before, inputs["observation"], key)
        numbers = {name.removeprefix("."): leaf for name, leaf in named_leaves(decision.extras, root="").items()}
        # The action as the agent takes it, and as it is drawn from the policy: the same value, if the agent draws it so.
        return numbers | {"taken": decision.action, "drawn": decision.extras["policy"].sample(key)}

    inputs = named | {"observation": blank_observation(agent.spec)}
    program = trace(one, {"key": key} | inputs)
    if program.outputs["taken"] is not program.outputs["drawn"]:
        raise NoProgramError(
            "the agent does not take the action that its policy draws, so numbers of the policy do not say what it does.",
            part="act, whose action is not drawn from its policy",
        )
    random = program.depends_on("key")
    kept = {name: value for name, value in program.outputs.items() if name not in random}
    if not any(name.startswith("policy") for name in kept):
        raise NoProgramError("the numbers of the agent's policy are random.", part="act, whose policy is random")
    shapes = jax.eval_shape(one, key, **inputs)
    decide = _without(dataclasses.replace(program, outputs=kept), "key")
    return _supported(decide, "act"), {name: shapes[name] for name in kept}


def _drawn_at_start(agent: Agent, params: PyTree, named: dict[str, Any]) -> frozenset[str]:
    key = jax.eval_shape(lambda: jax.random.key(0))
    begun = trace(lambda key: named_leaves(agent.begin(params, key), root="memory"), {"key": key})
    return begun.depends_on("key")


def _without(program: Program, name: str) -> Program:
    """The program without an input that none of its outputs depends on."""
    inputs = {other: value for other, value in program.inputs.items() if other != name}
    definitions = {op.output: op for op in program.operations}
    return Program(inputs=inputs, operations=needed(definitions, program.outputs), outputs=program.outputs)


def _supported(program: Program, function: str) -> Program:
    """The program with as few operations as possible, if all of them have forms outside of JAX."""
    if program.unsupported:
        names = ", ".join(program.unsupported)
        raise NoProgramError(
            f"{function} of the agent uses operations that have no form outside of JAX: {names}.",
            part=f"{function}, for its {names}",
        )
    return merged(joined(program))


def canonical_array(array: Any, dtype: Any) -> np.ndarray:
    """An array as programs take it: without axes of length one."""
    array = np.asarray(array, dtype)
    return array.reshape([length for length in array.shape if length != 1])
