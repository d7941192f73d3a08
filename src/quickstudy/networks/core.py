"""What every memory core offers, and what it takes in.

A core holds the memory of an agent. A read takes the present observation as its query.

    initial(spec, *lifetimes) -> state                                before anything has happened
    take_in(state, inputs, valid) -> state                            after a step, or after a chunk of steps
    read(state, seen) -> features                                     seen: the encoded present observation
    run(state, inputs, seen, valid) -> (last state, features)         whole lifetimes at once: features[t] is what `read`
                                                                      gives before step t is taken in

`run` returns the reads and not a state for every step, so a core with a large state needs no memory for all of them. A law
ties `run` to the other three. Lengths of lifetimes and numbers of actions are facts of the state and not of the weights: so
trained weights serve lifetimes of other lengths, and some cores serve other numbers of actions.
"""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from quickstudy.protocol.records import Spec, record


@record
class CoreInputs:
    """What a core takes in of each step.

    `observation`, `successor` `[*time, size]`: encoded. `action` `[*time, action]`: encoded; one-hot if Discrete. `reward`
    `[*time, 1]` in units of its running size; where its change is read, `[*time, 2]`: around its mean, and its change.
    `boundary` `[*time, 1]`: 1 where an episode ended, else 0.
    """

    observation: Float[Array, "*time size"]
    action: Float[Array, "*time action"]
    successor: Float[Array, "*time size"]
    reward: Float[Array, "*time rewards"]
    boundary: Float[Array, "*time 1"]

    def flat(self) -> Float[Array, "*time inputs"]:
        """All numbers along one axis, in the order that trained weights rely on."""
        middle = [self.reward, self.successor] if self.reward.shape[-1] == 1 else [self.successor, self.reward]
        return jnp.concatenate([self.observation, self.action, *middle, self.boundary], axis=-1)


@runtime_checkable
class Core(Protocol):
    """The memory of an agent: see the module's docstring."""

    def size(self, spec: Spec) -> int:
        """Numbers in what `read` gives on these tasks."""

    @property
    def each(self) -> int:
        """Numbers about each Discrete action, which come first in what `read` gives, action by action; 0 if there are none."""

    @property
    def exchangeable(self) -> bool:
        """Whether the order of the steps leaves the state unchanged."""

    def initial(self, spec: Spec, *lifetimes: int) -> PyTree:
        """The state before anything has happened, leaves `[*lifetimes, ...]`."""

    def take_in(self, state: PyTree, inputs: CoreInputs, valid: Bool[Array, "T *lifetimes"]) -> PyTree:
        """The state after these steps; a step that is not valid changes nothing."""

    def read(self, state: PyTree, seen: Float[Array, "*time seen"]) -> Float[Array, "*time features"]:
        """What is remembered that matters where `seen` is observed."""

    def run(
        self, state: PyTree, inputs: CoreInputs, seen: Float[Array, "T *lifetimes seen"], valid: Bool[Array, "T *lifetimes"]
    ) -> tuple[PyTree, Float[Array, "T *lifetimes features"]]:
        """The state after the last step, and what was read before each step was taken in."""
