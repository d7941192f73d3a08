"""Swinging a pendulum up by its energy, and catching it on top: the classical controller, of a pendulum believed or identified.

With angle θ from upright, velocity ω and torque signal u the pendulum obeys ω' = a sin θ + b u. Its energy above that of
standing upright, E = ω²/2 + a (cos θ − 1), changes at the rate b u ω, so that full torque with the velocity adds energy, and
full torque against it takes energy away. Near the top a linear feedback takes over, u = −k₁ θ − k₂ ω, which is optimal for the
linearised pendulum and the cost θ² + q ω² + r u²:

    k₁ = (a + √(a² + b²/r)) / b        k₂ = √((2 k₁ r / b + q) / r)

It takes over where it asks for no more than `_PATIENCE` times the largest torque.

Source: Åström and Furuta 2000 (energy control); the gains solve the algebraic Riccati equation in closed form. Changed: torque
  is proportional to the energy that is missing when that is less than 1 rad²/s².
"""

from collections.abc import Callable

import gymnasium
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import scan, where

SECONDS = 0.05
"""Length of a step."""
LARGEST_SPEED = 8.0
"""Angular velocity is cut here, radians per second."""
LARGEST_TORQUE = 2.0
"""Bound of the torque signal."""
BELIEVED = (9.0, 1.0)
"""a and b of the one pendulum whose controller does best on all: see `tasks.pendulum`."""

_SPEED_COST, _TORQUE_COST, _PATIENCE = 0.1, 0.1, 6.0
# Of the belief, in the units of Σ (sin θ)² and Σ u²: gone after a step or two.
_BELIEF = 1e-4


def coefficients(mass: Array | float, length: Array | float, gravity: Array | float, strength: Array | float) -> tuple:
    """a (1/s²) and b (1/s² for each unit of the torque signal) of a rod that turns about its end."""
    return 1.5 * gravity / length, 3.0 * strength / (mass * length**2)


def swing_up(observation: Float[Array, "3"], a: Array, b: Array) -> Float[Array, "1"]:
    """The torque signal at cos θ, sin θ and ω, for a pendulum of these coefficients; b may be negative."""
    angle, speed = jnp.arctan2(observation[1], observation[0]), observation[2]
    root = jnp.sqrt(a**2 + b**2 / _TORQUE_COST)
    gain_angle = (a + root) / b
    gain_speed = jnp.sign(b) * jnp.sqrt((2 * gain_angle * _TORQUE_COST / b + _SPEED_COST) / _TORQUE_COST)
    catch = -(gain_angle * angle + gain_speed * speed)
    energy = 0.5 * speed**2 + a * (observation[0] - 1.0)
    # Hanging still, either direction is as good.
    onward = jnp.where(speed * b >= 0, 1.0, -1.0)
    swing = -LARGEST_TORQUE * jnp.clip(energy, -1.0, 1.0) * onward
    signal = jnp.where(jnp.abs(catch) <= _PATIENCE * LARGEST_TORQUE, catch, swing)
    return jnp.clip(signal, -LARGEST_TORQUE, LARGEST_TORQUE)[None]


@record
class Regression:
    """Sums over steps: `seen` `[2, 2]`, Σ x xᵀ, and `caused` `[2]`, Σ x ω', where x = (sin θ, u)."""

    seen: Float[Array, "2 2"]
    caused: Float[Array, "2"]


def energy_shaping_agent(spec: Spec) -> Agent:
    """An agent that swings up one and the same pendulum, whichever it has, and learns nothing.

    Args:
      spec: of the tasks; cos θ, sin θ and ω as observations, one torque signal as actions.
    Raises:
      SpecError: other observations or actions.
    """
    return _swinging_agent(spec, identify=lambda memory: BELIEVED)


def self_tuning_agent(spec: Spec) -> Agent:
    """An agent that identifies a and b by least squares, and swings up the pendulum that it has found.

    Accelerations are linear in both and without noise, so two steps tell them; the first one or two of a lifetime are for the
    pendulum that `energy_shaping_agent` believes in.

    Args:
      spec: of the tasks; cos θ, sin θ and ω as observations, one torque signal as actions.
    Raises:
      SpecError: other observations or actions.
    Source: Åström and Wittenmark 1973 (self-tuning regulators): what was identified is taken for the truth.
    """

    def identify(memory: Regression) -> tuple[Array, Array]:
        believed = jnp.float32(BELIEVED)
        seen = memory.seen + _BELIEF * jnp.eye(2)
        caused = memory.caused + _BELIEF * believed
        # Cramer's rule: the matrix is 2 by 2 and positive definite.
        determinant = seen[0, 0] * seen[1, 1] - seen[0, 1] ** 2
        a = (caused[0] * seen[1, 1] - caused[1] * seen[0, 1]) / determinant
        b = (caused[1] * seen[0, 0] - caused[0] * seen[0, 1]) / determinant
        # What is no pendulum at all, as rounding may have it, is not steered by.
        return jnp.maximum(a, 0.1), jnp.where(jnp.abs(b) < 0.05, believed[1], b)

    return _swinging_agent(spec, identify=identify)


def _swinging_agent(spec: Spec, *, identify: Callable[[Regression], tuple]) -> Agent:
    """An agent that sums up what accelerations tell, and swings up the pendulum that `identify` makes of it."""
    shapes = (spec.observation_space.shape, spec.action_space.shape)
    if not isinstance(spec.action_space, gymnasium.spaces.Box) or shapes != ((3,), (1,)):
        raise SpecError(f"swinging up needs observations (3,) and actions (1,), those of a pendulum; came {shapes}.")

    def begin(params: tuple, key: PRNGKeyArray) -> Regression:
        del params, key
        return Regression(seen=jnp.zeros((2, 2)), caused=jnp.zeros(2))

    def act(params: tuple, memory: Regression, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        a, b = identify(memory)
        action = swing_up(observation, jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32))
        return Decision(action=action, extras={})

    def take_in(memory: Regression, step: Transition) -> tuple[Regression, None]:
        x = jnp.stack([step.observation[1], step.decision.action[0]])
        speed = step.outcome.observation[2]
        acceleration = (speed - step.observation[2]) / SECONDS
        following = Regression(seen=memory.seen + x[:, None] * x[None], caused=memory.caused + x * acceleration)
        # At the largest speed the rest of an acceleration is not seen.
        return where(step.valid & (jnp.abs(speed) < LARGEST_SPEED), following, memory), None

    def adapt(params: tuple, memory: Regression, experience: Transition, key: PRNGKeyArray) -> Regression:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt, exchangeable=True)
