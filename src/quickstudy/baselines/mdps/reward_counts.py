"""What a classical agent remembers of the rewards of a small Markov decision process: visits and sums of rewards.

They are sufficient for this belief, independent for every state s and action a, with n visits:

    r(s, a) ~ N(m, 1), noise of variance 1            posterior  N((m + sum of rewards) / (1 + n), 1 / (1 + n))
"""

from typing import NamedTuple, Self

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from quickstudy.numerics.beliefs.diagonal_gaussian import LatentBelief
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec, Transition, record


class FiniteSpaces(NamedTuple):
    """How many states and actions there are, and the number of the first of each."""

    states: int
    actions: int
    first_state: int
    first_action: int

    @classmethod
    def of(cls, spec: Spec) -> Self:
        """The spaces of tasks whose observations are the states.

        Raises:
          SpecError: observations or actions that are not Discrete.
        """
        state_space, action_space = spec.observation_space, spec.action_space
        for space in (state_space, action_space):
            if not isinstance(space, gymnasium.spaces.Discrete):
                raise SpecError(f"an agent that counts transitions needs Discrete states and actions; came {space!r}.")
        numbers = state_space.n, action_space.n, state_space.start, action_space.start  # type: ignore[union-attr]
        return cls(*map(int, numbers))  # type: ignore[arg-type]

    def state_and_action(self, experience: Transition) -> tuple[Int[Array, "*time"], Int[Array, "*time"]]:
        """Indices, from 0, of the state that was acted in and of the action."""
        return experience.observation - self.first_state, experience.decision.action - self.first_action


@record
class RewardCounts:
    """`visits`: number of times that each action was taken in each state; `reward_sums`: sum of their rewards."""

    visits: Float[Array, "*states actions"]
    reward_sums: Float[Array, "*states actions"]

    @classmethod
    def none(cls, spaces: FiniteSpaces) -> Self:
        """Before the first step."""
        nothing = jnp.zeros((spaces.states, spaces.actions))
        return cls(visits=nothing, reward_sums=nothing)

    def after(self, experience: Transition, spaces: FiniteSpaces) -> Self:
        """With the valid steps of experience, `[*time]`, in any order."""
        state, action = spaces.state_and_action(experience)
        reward = jnp.where(experience.valid, experience.outcome.reward, 0.0)
        return type(self)(
            visits=self.visits.at[state, action].add(experience.valid.astype(jnp.float32)),
            reward_sums=self.reward_sums.at[state, action].add(reward),
        )

    def of_state(self, state: int | Int[Array, ""]) -> Self:
        """The counts `[actions]` of one state."""
        return jax.tree.map(lambda leaf: leaf[state], self)

    def belief(self, prior_mean: float) -> LatentBelief:
        """Of the mean rewards, whose prior is N(prior_mean, 1) under noise of variance 1."""
        return LatentBelief(mean=self.mean_reward(prior_mean), log_variance=-jnp.log(1.0 + self.visits))

    def mean_reward(self, prior_mean: float) -> Float[Array, "*states actions"]:
        """The mean of `belief`."""
        return (prior_mean + self.reward_sums) / (1.0 + self.visits)
