"""The records that everything else passes around, and the one diagram of time.

A *lifetime* is all experience of one agent on one task: `episodes` episodes of at most `horizon` steps,
laid out in `T = episodes * horizon` slots. Slot t belongs to episode `t // horizon`.

    t                0      1      2      3   |  4      5      6      7   |      (horizon 4)
    episode          0      0      0      0   |  1      1      1      1   |
    observation[t]   reset  o1     o2     --  |  reset  o5     o6     o7  |   seen before acting
    decision[t]      a0     a1     a2     --  |  a4     a5     a6     a7  |   act(memory, observation[t])
    outcome[t]       r0,o1  r1,o2  r2,o3* --  |  r4,o5  r5,o6  r6,o7  r7,o8* |  reward, true successor
    valid[t]         yes    yes    yes    no  |  yes    yes    yes    yes |

- `*` is the end of an episode: exactly one valid step of each episode has `terminated` or `truncated`. The successor
  recorded there is the true last observation (o3, o8), never the observation after the reset.
- An episode that ends early leaves the rest of its slots invalid; the next one starts at its own first slot. So resets
  happen at times known when the program is compiled, and nothing in the inner loop branches.
- Memory is kept at the end of an episode. `adapt` sees slots 0..c-1 before `act` decides at slot c, where c is a
  multiple of the agent's cadence; within a chunk of `cadence` slots memory does not change.
- The return of a lifetime is the sum of its valid rewards.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self, TypeVar, dataclass_transform

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from quickstudy.protocol.action_spaces import check_action_space
from quickstudy.protocol.descriptions import check_spec_description
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.flat_observations import flat_space
from quickstudy.protocol.spaces import (
    COMPOSITE,
    ActionSpace,
    Composite,
    Space,
    check_fits_32_bits,
    describe_space,
    space_from_description,
)

Record = TypeVar("Record", bound=type)

MOST_STEPS = 2**30
"""Slots of a lifetime: they and a few more are counted in 32 bits."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def record(cls: Record) -> Record:
    """Makes a class a frozen, keyword-only dataclass that JAX sees as a tree of its fields."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, kw_only=True)(cls))  # type: ignore[return-value]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """What an agent and a task distribution must agree on.

    Args:
      observation_space: `Discrete`, `MultiDiscrete` or `Box`; one observation, unbatched. A `Dict` or `Tuple` of these and of
        `MultiBinary` is replaced by the Box that agents read (`flat_observations.py`).
      action_space: `Discrete`, `MultiDiscrete`, `MultiBinary`, a bounded `Box`, or a `Tuple` or `Dict` of these; one action,
        unbatched.
      horizon: most steps in one episode, at least 1.
      episodes: episodes in one lifetime, at least 1.
      action_mask: whether the last numbers of an observation, one for each action, say which actions are allowed now: 1 for an
        allowed action, 0 for a forbidden one. At least one is allowed. Then no agent chooses a forbidden action.
      observation_parts: the `Dict` or `Tuple` that tasks give observations in, where it was flattened; not to be given.
    Raises:
      SpecError: a length below 1, a space of another kind, or an action mask that the spaces have no room for.
    """

    observation_space: Space
    action_space: ActionSpace
    horizon: int
    episodes: int
    action_mask: bool = False
    observation_parts: Composite | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        self._flatten_observations()
        for name in ("horizon", "episodes"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise SpecError(f"{name} must be a whole number of 1 or more; came {value!r}.")
        if self.lifetime_steps > MOST_STEPS:
            raise SpecError(
                f"a lifetime has at most {MOST_STEPS:,} steps; came {self.episodes:,} episodes of {self.horizon:,}. "
                "Use fewer or shorter episodes."
            )
        if not isinstance(self.observation_space, Space):
            raise SpecError(
                "observation_space must be gymnasium.spaces.Discrete, MultiDiscrete or Box, or a Dict or Tuple of these; "
                f"came {self.observation_space!r}. Flatten other spaces with gymnasium.spaces.flatten_space first."
            )
        check_fits_32_bits(self.observation_space, "observation_space")
        check_action_space(self.action_space)
        if self.action_mask and not self._has_room_for_mask():
            raise SpecError(
                "action_mask needs Discrete actions, and as observations a Box of one axis whose last numbers are the mask; "
                f"came {self.action_space!r} and {self.observation_space!r}."
            )

    def _flatten_observations(self) -> None:
        if isinstance(self.observation_space, COMPOSITE):
            object.__setattr__(self, "observation_parts", self.observation_space)
            object.__setattr__(self, "observation_space", flat_space(self.observation_space))
        elif self.observation_parts is not None and flat_space(self.observation_parts) != self.observation_space:
            object.__setattr__(self, "observation_parts", None)  # a spec that was made from another, with another space

    @property
    def given_observations(self) -> Space | Composite:
        """The space of the observations that tasks give: the parts where there are any, else `observation_space`."""
        return self.observation_space if self.observation_parts is None else self.observation_parts

    def _has_room_for_mask(self) -> bool:
        observation, action = self.observation_space, self.action_space
        if not (isinstance(action, gymnasium.spaces.Discrete) and isinstance(observation, gymnasium.spaces.Box)):
            return False
        return len(observation.shape) == 1 and observation.shape[0] >= int(action.n)

    def allowed(self, observation: Array) -> Bool[Array, "*time actions"]:
        """Which actions are allowed where this is observed; all of them where the tasks have no action mask."""
        actions = int(self.action_space.n)  # type: ignore[union-attr, arg-type]
        if not self.action_mask:
            return jnp.ones((*observation.shape[: observation.ndim - len(self.observation_space.shape or ())], actions), bool)
        return observation[..., -actions:] > 0.5

    @property
    def lifetime_steps(self) -> int:
        """Slots in one lifetime, T = episodes x horizon."""
        return self.episodes * self.horizon

    def describe(self) -> dict[str, Any]:
        """The spec as plain data: what a bundle stores, and what two specs are compared by."""
        return {
            "observation_space": describe_space(self.observation_space),
            "action_space": describe_space(self.action_space),
            "horizon": self.horizon,
            "episodes": self.episodes,
        } | ({"action_mask": True} if self.action_mask else {})


def spec_from_description(description: Mapping[str, Any]) -> Spec:
    """The inverse of `Spec.describe`. The description may come from anybody.

    Raises:
      SpecError: it is not what `describe` gives, or sizes are beyond the limits of `descriptions.py`.
    """
    check_spec_description(description)
    spaces: dict[str, Any] = {name: space_from_description(description[name]) for name in ("observation_space", "action_space")}
    masked = bool(description.get("action_mask", False))
    return Spec(horizon=description["horizon"], episodes=description["episodes"], action_mask=masked, **spaces)


def blank_observation(spec: Spec) -> jax.ShapeDtypeStruct:
    """Shape and type of an observation as agents read it."""
    space = spec.observation_space
    kind = jnp.int32 if isinstance(space, gymnasium.spaces.Discrete) else space.dtype
    return jax.ShapeDtypeStruct(space.shape or (), jax.dtypes.canonicalize_dtype(kind))


@record
class Decision:
    """What an agent decided at one step.

    `action` lies in the action space: an array of its shape, or a tuple or dict of arrays for a Tuple or Dict. `extras` is what
    else the agent can say: `log_probability` `[]` of the action (natural logarithm; its density for a Box), `policy` (a
    distribution from `numerics.distributions`), `value` `[]` (expected remaining return of the lifetime, reward units),
    `regret` `[]` (how much more an agent that knows the task is expected to earn in what remains, reward units), `belief` (a
    `numerics.beliefs.belief.Belief` about the task). Extras that are not read cost nothing under `jit`.
    """

    action: PyTree
    extras: dict[str, PyTree]


@record
class Outcome:
    """What followed an action: the true successor, never the observation after a reset.

    `terminated`: the task ended the episode. `truncated`: something outside the task did (a time limit). The rollout sets
    `truncated` at the horizon, so a distribution need not count steps.
    """

    observation: Array
    reward: Float[Array, "*time"]
    terminated: Bool[Array, "*time"]
    truncated: Bool[Array, "*time"]


@record
class Transition:
    """One step, or with a leading time axis *experience* (`cadence` steps) or a whole *lifetime* (T steps)."""

    observation: Array
    decision: Decision
    outcome: Outcome
    episode: Int[Array, "*time"]
    valid: Bool[Array, "*time"]

    @classmethod
    def of_one_step(
        cls,
        observation: Array,
        decision: Decision,
        *,
        reward: float,
        successor: Array,
        terminated: bool = False,
        truncated: bool = False,
        episode: int = 0,
    ) -> Self:
        """Experience of one step `[1]`, for a loop outside the compiled program: in a service, on a robot, by hand.

        Args:
          observation: that was acted on.
          decision: that was taken.
          reward: that followed.
          successor: the observation that followed; at the end of an episode its true last one.
          terminated: the task ended the episode.
          truncated: something else did.
          episode: its number within the lifetime.
        """
        outcome = Outcome(
            observation=successor,
            reward=jnp.float32(reward),
            terminated=jnp.asarray(terminated),
            truncated=jnp.asarray(truncated),
        )
        valid = jnp.asarray(True)
        step = cls(observation=observation, decision=decision, outcome=outcome, episode=jnp.int32(episode), valid=valid)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], step)

    @property
    def boundary(self) -> Bool[Array, "*time"]:
        """True at the last valid step of an episode."""
        return self.outcome.terminated | self.outcome.truncated
