"""The spec of Markov decision processes with finitely many states and actions."""

import gymnasium

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


def finite_spec(*, states: int, actions: int, horizon: int, episodes: int) -> Spec:
    """Observations are the numbers of states and actions are numbers, both from 0.

    Raises:
      SpecError: fewer than 2 states or actions, or a length below 1.
    """
    for name, value in (("states", states), ("actions", actions)):
        if value < 2:
            raise SpecError(f"{name} must be 2 or more; came {value}.")
    return Spec(
        observation_space=gymnasium.spaces.Discrete(states),
        action_space=gymnasium.spaces.Discrete(actions),
        horizon=horizon,
        episodes=episodes,
    )
