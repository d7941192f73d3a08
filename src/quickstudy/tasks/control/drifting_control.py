"""Drifting control: a buoy on a soft mooring must be held in its place against an unknown wind.

With the place x in two dimensions, the push u and the wind w, a step does

    x' = 0.8 x + u + w + noise,  noise ~ N(0, 0.2² I)        reward = -(|x'|² + 0.1 |u|²)

- Drawn once per lifetime: the wind w ~ N(0, 0.4² I), constant within a lifetime.
- Observation `[2]`: x, with noise where `observation_noise` is above 0. An episode begins at x ~ N(0, 0.5² I) and has 50
  steps.
- Action `[2]`: u, within -2 and 2 in each dimension. Certainty equivalence is clipped there in one step of 30,000 on `train`,
  and in one of 370 on `ood:strong-wind`.
- Units are those of length and of one step; the reward is in squared length.

It is the simplest task whose belief is known exactly. Every step shows x' - 0.8 x - u = w + noise, so the posterior of the
wind after n steps is Gaussian with mean Σ (x' - 0.8 x - u) / (n + 1/4) and variance 0.2² / (n + 1/4) in each dimension. 1/4 is
the ratio of the two variances (`numerics.beliefs.gaussian`). The task is made for measuring beliefs, calibration and surprise.

Splits are disjoint by construction: `mark_split` writes the number of the split into the wind, as a position between -8 and 8
standard deviations.

- `train`, `test`: as above.
- `ood:strong-wind`: 3 to 4 standard deviations, |w| between 1.2 and 1.6, from any direction.
- `ood:turning-wind`: within each episode the wind turns evenly by 180 degrees to the left; the next episode begins as the
  first.
- `ood:gusts`: noise with three times the standard deviation.

`ceiling` is exact for pushes without bounds, and so hardly above the optimum: the cost of the best control that knows the wind
at every step, by Riccati's recursion. `floor` is exact: random pushes have the effect of additional noise.

Baselines: random, control that assumes no wind, and certainty equivalence with the exact belief. Return of two episodes, 500
tasks of each split (standard error), and the shortfall of certainty equivalence from the ceiling. Command:
`pytest tests/tasks/control/test_drifting_control.py`.

    split              ceiling          certainty equivalence    shortfall       no adaptation
    test               -11.52 (0.13)    -12.27 (0.15)            0.75 (0.05)     -44.95 (1.55)
    ood:strong-wind    -28.02 (0.14)    -30.85 (0.17)            2.83 (0.06)     -245.7 (1.8)
    ood:turning-wind   -11.52 (0.13)    -32.7 (1.0)              21.2 (0.9)      -45.1 (1.5)
    ood:gusts          -79.19 (0.13)    -83.04 (0.39)            3.85 (0.36)     -112.3 (1.6)

On `test`, ignoring the wind costs 33 compared with knowing it. Learning about it costs 0.75, of which 0.67 in the first
episode. Random pushes return -1451. At the end of a lifetime the 95 % region of the belief misses the wind on 6 % of the tasks
of `test`, 7 % of `ood:strong-wind`, 71 % of `ood:gusts`, and 99 % of `ood:turning-wind`, where it is compared with the wind of
the first step of an episode.
"""

import math
from collections.abc import Callable
from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.control.drift_control import certainty_equivalence_agent, no_adaptation_agent
from quickstudy.baselines.models.drift import EFFORT, NOISE, START, WIND, system
from quickstudy.baselines.random import random_agent
from quickstudy.numerics.linear_quadratic import expected_cost
from quickstudy.numerics.rotation import turned
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test", "ood:strong-wind", "ood:turning-wind", "ood:gusts")
PUSH = 2.0
"""Largest push in each dimension."""
STRONG = (3.0, 4.0)
"""Range of the length of a strong wind, in standard deviations of one coordinate."""
GUSTS = 3.0
"""Factor of the standard deviation of the noise in `ood:gusts`."""

_WIDEST = 8.0


@record
class Wind:
    """A wind, its rotation and its noise.

    `wind` `[n]`: added to the place in the first step of an episode. `turn` `[]`: radians a step, to the left in the plane of
    the first two dimensions. `noise` `[]`: standard deviation of each coordinate of the noise.
    """

    wind: Float[Array, " n"]
    turn: Float[Array, ""]
    noise: Float[Array, ""]


@record
class Buoy:
    """`place` `[n]`: x; `steps` `[]`: steps of the episode so far."""

    place: Float[Array, " n"]
    steps: Int[Array, ""]


def drifting_control(
    *,
    dimensions: int = 2,
    wind: float = WIND,
    noise: float = NOISE,
    observation_noise: float = 0.0,
    effort: float = EFFORT,
    horizon: int = 50,
    episodes: int = 2,
) -> TaskDistribution:
    """A point to be held in its place against a hidden drift.

    Args:
      dimensions: number of dimensions of the place, 2 or 3.
      wind: standard deviation of each coordinate of the drift, above 0.
      noise: standard deviation of each coordinate of a step's noise, above 0.
      observation_noise: standard deviation of each coordinate that is added to what is seen, 0 or more.
      effort: price of the squared push, above 0.
      horizon: steps in one episode.
      episodes: number of episodes in one lifetime.
    Raises:
      SpecError: a setting out of its range, or a length below 1.
    Example:
      >>> drifting_control().spec.lifetime_steps
      100
    Source: the scalar case is the textbook's, Åström & Wittenmark 1995; the numbers are ours.
    """
    _check(dimensions, wind=wind, noise=noise, effort=effort, observation_noise=observation_noise)
    keeps, pushes = system(dimensions)
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (dimensions,)),
        action_space=gymnasium.spaces.Box(-PUSH, PUSH, (dimensions,)),
        horizon=horizon,
        episodes=episodes,
    )
    a, b = jnp.float32(keeps), jnp.float32(pushes)

    def sample(split: str, key: PRNGKeyArray) -> Wind:
        key_wind, key_strength = jax.random.split(key)
        deviations = jax.random.normal(key_wind, (dimensions,))
        if split == "ood:strong-wind":
            strength = jax.random.uniform(key_strength, minval=STRONG[0], maxval=STRONG[1])
            deviations = strength * deviations / jnp.linalg.norm(deviations)
        marked = mark_split(deviations / (2 * _WIDEST) + 0.5, split, SPLITS)
        return Wind(
            wind=2 * _WIDEST * wind * (marked - 0.5),
            turn=jnp.float32(math.pi / horizon if split == "ood:turning-wind" else 0.0),
            noise=jnp.float32(noise * (GUSTS if split == "ood:gusts" else 1.0)),
        )

    def see(place: Array, key: PRNGKeyArray) -> Array:
        return place + observation_noise * jax.random.normal(key, (dimensions,)) if observation_noise else place

    def reset(task: Wind, key: PRNGKeyArray) -> tuple[Buoy, Array]:
        del task
        key_place, key_seen = jax.random.split(key)
        place = START * jax.random.normal(key_place, (dimensions,))
        return Buoy(place=place, steps=jnp.int32(0)), see(place, key_seen)

    def step(task: Wind, state: Buoy, action: Array, key: PRNGKeyArray) -> tuple[Buoy, Outcome]:
        key_noise, key_seen = jax.random.split(key)
        push = jnp.clip(action, -PUSH, PUSH)
        blown = turned(task.wind, task.turn * state.steps.astype(jnp.float32))
        place = a @ state.place + b @ push + blown + task.noise * jax.random.normal(key_noise, (dimensions,))
        reward = -jnp.square(place).sum() - effort * jnp.square(push).sum()
        no = jnp.asarray(False)
        outcome = Outcome(observation=see(place, key_seen), reward=reward, terminated=no, truncated=no)
        return Buoy(place=place, steps=state.steps + 1), outcome

    def drifts(task: Wind) -> Float[Array, "horizon n"]:
        return jax.vmap(lambda steps: turned(task.wind, task.turn * steps))(jnp.arange(float(horizon)))

    def ceiling(task: Wind) -> Array:
        return -episodes * expected_cost(keeps, pushes, drifts(task), effort=effort, start=START, noise=task.noise)

    def floor(task: Wind) -> Array:
        squared = _random_squares(keeps, pushes, drifts(task), task.noise)
        return -episodes * (squared + horizon * effort * dimensions * PUSH**2 / 3)

    return TaskDistribution(
        name="drifting-control",
        config={
            "dimensions": dimensions,
            "wind": wind,
            "noise": noise,
            "observation_noise": observation_noise,
            "effort": effort,
            "horizon": horizon,
            "episodes": episodes,
        },
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=describe,
        floor=floor,
        ceiling=ceiling,
        baselines=_baselines(spec, wind=wind, noise=noise, observation_noise=observation_noise, effort=effort),
        exact_belief="certainty equivalence",
    )


def describe(task: Wind) -> dict[str, Array]:
    """The coordinates of a wind in the first step, its rotation, and its noise, by names for people."""
    coordinates = {f"wind_{name}": value for name, value in zip("xyz", task.wind, strict=False)}
    return {
        **coordinates,
        "turn (degrees a step, to the left)": jnp.rad2deg(task.turn),
        "noise (standard deviation)": task.noise,
    }


def _random_squares(
    keeps: np.ndarray, pushes: np.ndarray, drifts: Float[Array, "horizon n"], noise: Float[Array, ""]
) -> Float[Array, ""]:
    """Σ E|x'|² of an episode of uniformly random pushes, from the mean and covariance of the place after each step."""
    a, disturbance = jnp.float32(keeps), jnp.float32(PUSH**2 / 3 * pushes @ pushes.T)

    def step(carry: tuple[Array, Array], drift: Array) -> tuple[tuple[Array, Array], Array]:
        mean, covariance = carry
        mean = a @ mean + drift
        covariance = a @ covariance @ a.T + disturbance + jnp.square(noise) * jnp.eye(len(keeps))
        return (mean, covariance), jnp.square(mean).sum() + jnp.trace(covariance)

    start = jnp.zeros(len(keeps)), START**2 * jnp.eye(len(keeps))
    return jax.lax.scan(step, start, drifts)[1].sum()


def _check(dimensions: int, **settings: float) -> None:
    """Raises SpecError, naming the setting, unless all are within their ranges."""
    if dimensions not in (2, 3):
        raise SpecError(f"dimensions must be 2 or 3; came {dimensions}.")
    for name, value in settings.items():
        least = "0 or more" if name == "observation_noise" else "above 0"
        if not (value > 0 or (value == 0 and name == "observation_noise")):
            raise SpecError(f"{name} must be {least}; came {value}.")


def _baselines(
    spec: Spec, *, wind: float, noise: float, observation_noise: float, effort: float
) -> dict[str, Callable[[], Agent]]:
    """Makers of the classical agents: one that assumes no wind, and one with the exact belief."""
    with_belief = partial(
        certainty_equivalence_agent, spec, wind=wind, noise=noise, observation_noise=observation_noise, effort=effort
    )
    return {
        "random": partial(random_agent, spec),
        "no adaptation": partial(no_adaptation_agent, spec, effort=effort),
        "certainty equivalence": with_belief,
    }
