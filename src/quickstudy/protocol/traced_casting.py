"""Resets and steps of tasks in JAX: what users' functions give has the types of the spec when a program is traced.

A task may say `terminated=False`, count rewards in whole numbers, or give a state of plain numbers. Types and shapes are known
when the program is traced, values are not. So a type is refused if some of its values could not be cast without loss.
`casting.py` does the same outside JAX, where values are known.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.protocol.casting import asked_by, described, element_type, kind_of, of_part
from quickstudy.protocol.errors import TaskDistributionError
from quickstudy.protocol.flat_observations import values_by_name
from quickstudy.protocol.records import Outcome, Spec
from quickstudy.protocol.spaces import COMPOSITE, Composite, Space, flattened


def cast_reset(reset: Callable, spec: Spec) -> Callable:
    """`reset` of a task distribution in JAX, whose results then have the types of the spec.

    Args:
      reset: `(task, key) -> (state, observation)`, of the user.
      spec: of the tasks.
    Returns:
      A function that raises TaskDistributionError, which names what came, where something cannot be cast.
    """
    if getattr(reset, "cast_to", None) == spec.observation_space:
        return reset

    def cast(task: Any, key: Any) -> tuple[Any, Any]:
        came = reset(task, key)
        if not isinstance(came, tuple) or len(came) != 2:
            raise TaskDistributionError(f"reset gives {described(came)}; it must give a state and an observation.")
        state, observation = came
        return jax.tree.map(_strong, state), traced_observation("reset", observation, spec.given_observations)

    cast.cast_to = spec.observation_space  # type: ignore[attr-defined]
    return cast


def cast_step(step: Callable, spec: Spec) -> Callable:
    """`step` of a task distribution in JAX, whose results then have the types of the spec, and of the state that it was given.

    Args:
      step: `(task, state, action, key) -> (state, Outcome)`, of the user.
      spec: of the tasks.
    Returns:
      A function that raises TaskDistributionError, which names what came, where something cannot be cast.
    """
    if getattr(step, "cast_to", None) == spec.observation_space:
        return step

    def cast(task: Any, state: Any, action: Any, key: Any) -> tuple[Any, Outcome]:
        came = step(task, state, action, key)
        if not isinstance(came, tuple) or len(came) != 2 or not isinstance(came[1], Outcome):
            raise TaskDistributionError(f"step gives {described(came)}; it must give a state and an Outcome.")
        following, outcome = came
        return _state_like(state, following), Outcome(
            observation=traced_observation("step", outcome.observation, spec.given_observations),
            reward=_traced_number("reward", outcome.reward, jnp.float32),
            terminated=_traced_number("terminated", outcome.terminated, jnp.bool_),
            truncated=_traced_number("truncated", outcome.truncated, jnp.bool_),
        )

    cast.cast_to = spec.observation_space  # type: ignore[attr-defined]
    return cast


def traced_observation(giver: str, observation: Any, space: Space | Composite) -> jax.Array:
    """An observation that `giver` gave inside a compiled program, with the shape and type of its space; parts are flattened.

    Raises:
      TaskDistributionError: it cannot be cast.
    """
    if isinstance(space, COMPOSITE):
        try:
            parts = list(values_by_name(giver, observation, space))
        except ValueError as error:
            raise TaskDistributionError(str(error)) from error
        return jnp.concatenate(
            [flattened(traced_observation(of_part(giver, name), value, part), part) for name, value, part in parts]
        )
    wanted = asked_by(space)
    came = _as_array(observation, f"{giver} gives an observation", must=wanted)
    if not _fits(came, space):
        raise TaskDistributionError(
            f"{giver} gives an observation {described(observation)}; the observation space asks for {wanted}."
        )
    return came.astype(element_type(space))


def _fits(came: jax.Array, space: Space) -> bool:
    """Whether every array of this shape and type can be cast to the space's without loss."""
    wanted = element_type(space)
    if came.shape != tuple(space.shape or ()):
        return False
    if jnp.issubdtype(came.dtype, jnp.floating) or wanted.kind == "f":
        return wanted.kind == "f" and kind_of(came.dtype) in "biuf"
    return kind_of(came.dtype) in "biu" and np.can_cast(came.dtype, wanted)


def _as_array(value: Any, what: str, *, must: str) -> jax.Array:
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TaskDistributionError(f"{what} {described(value)}; it must be {must}.") from error


def _traced_number(name: str, value: Any, kind: Any) -> jax.Array:
    must = "one truth value, bool[]" if kind is jnp.bool_ else "one float, float32[]"
    came = _as_array(value, f"step gives {name}", must=must)
    if came.size != 1 or kind_of(came.dtype) not in "biuf":
        raise TaskDistributionError(f"step gives {name} {described(value)}; it must be {must}.")
    return came.reshape(()).astype(kind)


def _state_like(before: Any, after: Any) -> Any:
    """The state that `step` gave, with the types of the state that it was given."""
    given, came = (str(jax.tree.structure(state)) for state in (before, after))
    if given != came:
        raise TaskDistributionError(f"step turns a state {given} into {came}; it must keep its structure.")
    return jax.tree_util.tree_map_with_path(_leaf_like, before, after)


def _leaf_like(path: tuple, before: Any, after: Any) -> Any:
    before, after = _strong(before), _strong(after)
    if before.shape == after.shape and before.dtype == after.dtype:
        return after
    is_key = any(jnp.issubdtype(x.dtype, jax.dtypes.extended) for x in (before, after))
    castable = not is_key and (kind_of(before.dtype) == "f" or np.can_cast(after.dtype, before.dtype))
    if castable and before.shape == after.shape:
        return after.astype(before.dtype)
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    came, given = (f"{x.dtype}{list(x.shape)}" for x in (after, before))
    raise TaskDistributionError(
        f"step turns a state{f' ({name})' if name else ''} {given} into {came}. Let reset give it in the type and shape that "
        "step gives, as in jnp.float32(0) for 0."
    )


def _strong(leaf: Any) -> jax.Array:
    """An array whose type is kept when it meets another type. The type of a Python number is not kept (JAX: weak type)."""
    array = jnp.asarray(leaf)
    is_key = jnp.issubdtype(array.dtype, jax.dtypes.extended)
    return array if is_key else jax.lax.convert_element_type(array, array.dtype)
