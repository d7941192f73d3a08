"""Actions that come from outside: those that were in fact taken, where they are not the ones that an agent decided on.

A person overrules a decision, a rule of the business replaces it, or a log holds the actions of another policy. Such an action
is an element of the action space as `space.sample()` would give it, and is cast here to what an agent itself decides.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.casting import Elements, described
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec
from quickstudy.protocol.spaces import COMPOSITE, ActionSpace, assembled, parts_of, values_of


class GivenActions:
    """The elements of an action space, as they come from a service, a log or a person: cast, or refused by name.

    Numbers of a Box may lie outside its bounds by 1e-4 of their distance, which rounding leaves. They are cut to the bounds.

    Args:
      space: of the actions.
    """

    def __init__(self, space: ActionSpace):
        self._space = space
        self._parts = [GivenActions(part) for part in parts_of(space)] if isinstance(space, COMPOSITE) else None
        self._elements = None if isinstance(space, COMPOSITE) else Elements(_with_bounds(space), what="an action")

    def cast(self, action: Any) -> PyTree:
        """An array with the shape and type of the space, or a tuple or dict of arrays.

        Raises:
          SpecError: something that is no element; names the space and what came.
        """
        if self._parts is not None:
            return self._cast_parts(action)
        assert self._elements is not None
        element = self._elements.cast(action)
        if not np.isfinite(element).all():
            raise self._refusal(action)
        if isinstance(self._space, gymnasium.spaces.Box):
            element = np.clip(element, self._space.low, self._space.high)
        return element

    def _cast_parts(self, action: Any) -> tuple | dict:
        space: Any = self._space
        names = isinstance(action, dict) and set(action) == set(space.spaces) if hasattr(space.spaces, "keys") else None
        if names is False or (names is None and not (isinstance(action, tuple | list) and len(action) == len(space.spaces))):
            raise self._refusal(action)
        parts = zip(self._parts or (), values_of(action, space), strict=True)
        return assembled([part.cast(value) for part, value in parts], space)

    def _refusal(self, action: Any) -> SpecError:
        return SpecError(f"an action must be an element of {self._space}; came {described(action)}. Nothing was changed.")


def _with_bounds(space: Any) -> Any:
    """The space; bits as a Box of whole numbers between 0 and 1."""
    is_bits = isinstance(space, gymnasium.spaces.MultiBinary)
    return gymnasium.spaces.Box(0, 1, space.shape, space.dtype) if is_bits else space


def check_allowed(action: PyTree, observation: np.ndarray, spec: Spec) -> None:
    """Raises SpecError if the tasks have an action mask and it forbids an action.

    Args:
      action: as `GivenActions.cast` gives it.
      observation: that it was taken on.
      spec: of the tasks.
    """
    if not spec.action_mask:
        return
    first = int(spec.action_space.start)  # type: ignore[union-attr]
    allowed = np.flatnonzero(np.asarray(spec.allowed(jnp.asarray(observation))))
    if int(action) - first not in allowed:
        raise SpecError(
            f"the observation forbids action {int(action)}; it allows {', '.join(str(first + place) for place in allowed)}. "
            "Give observations whose mask allows what was taken. Nothing was changed."
        )


def gives_policy(extras: Mapping[str, Any]) -> bool:
    """Whether the extras of a decision hold a policy that tells the probability of any action."""
    return callable(getattr(extras.get("policy"), "log_probability", None))


def taken_instead(decision: Decision, action: PyTree) -> Decision:
    """The decision as if the agent had chosen this action.

    `extras["log_probability"]` is that of the action under `extras["policy"]`. Where an agent gives no policy, that of another
    action is not known and becomes NaN. All other extras stay.

    Args:
      decision: of the agent, at one step.
      action: that was taken, with the types of the decision's.
    """
    extras = decision.extras
    if "log_probability" in extras and gives_policy(extras):
        extras = extras | {"log_probability": extras["policy"].log_probability(action)}
    elif "log_probability" in extras:
        equal = [
            jnp.array_equal(own, other) for own, other in zip(*map(jax.tree.leaves, (decision.action, action)), strict=True)
        ]
        extras = extras | {"log_probability": jnp.where(jnp.stack(equal).all(), extras["log_probability"], jnp.nan)}
    return Decision(action=action, extras=extras)
