"""Controlling a point against an unknown drift (`baselines.models.drift`): with a belief about it, or assuming none.

With w known the best control in the long run is u = -K x - G w (`numerics.linear_quadratic`). Certainty equivalence replaces
x and w by the mean of the joint belief about both. The belief is exactly Gaussian, since the system is linear.
"""

import gymnasium
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.memoryless import memoryless_agent
from quickstudy.baselines.models.drift import EFFORT, NOISE, START, WIND, system
from quickstudy.numerics.beliefs.gaussian import GaussianBelief, condition, independent, isotropic, marginal, moved
from quickstudy.numerics.linear_quadratic import stationary_control
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import scan, where


def certainty_equivalence_agent(
    spec: Spec, *, wind: float = WIND, noise: float = NOISE, observation_noise: float = 0.0, effort: float = EFFORT
) -> Agent:
    """An agent with the exact belief about the drift that acts as if the mean of the belief were the truth.

    Its memory is the joint belief about place and drift, before the next observation. The belief about the drift, after the
    observation, is in the extras as `belief`. Rewards are not used; they are
    informative only where observations are noisy.

    Args:
      spec: of the tasks; positions as observations and pushes as actions, Boxes of one and the same shape.
      wind: standard deviation of each coordinate of the drift in the prior.
      noise: standard deviation of each coordinate of the noise of a step.
      observation_noise: standard deviation of each coordinate of an observation.
      effort: price ρ of the squared action.
    Raises:
      SpecError: other observations or actions.
    Source: Åström & Wittenmark 1995 (certainty equivalence); Kalman 1960 (the filter). Changed: nothing.
    """
    dimensions, low, high = _pushes_of(spec)
    keeps, pushes = system(dimensions)
    feedback, feedforward = (jnp.float32(gain) for gain in stationary_control(keeps, pushes, effort=effort))
    a, b, identity = jnp.float32(keeps), jnp.float32(pushes), jnp.eye(dimensions)
    nothing = jnp.zeros((dimensions, dimensions))
    sees = jnp.concatenate([identity, nothing], axis=1)
    follows = jnp.block([[a, identity], [nothing, identity]])
    disturbance = jnp.block([[noise**2 * identity, nothing], [nothing, nothing]])
    start = isotropic(dimensions, START)

    def seen(belief: GaussianBelief, observation: Float[Array, " n"]) -> GaussianBelief:
        return condition(belief, observation, matrix=sees, noise=observation_noise**2 * identity)

    def wind_of(belief: GaussianBelief) -> GaussianBelief:
        return marginal(belief, slice(dimensions, None))

    def begin(params: tuple, key: PRNGKeyArray) -> GaussianBelief:
        del params, key
        return independent(start, isotropic(dimensions, wind))

    def act(params: tuple, memory: GaussianBelief, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, key
        belief = seen(memory, observation)
        action = -feedback @ belief.mean[:dimensions] - feedforward @ belief.mean[dimensions:]
        return Decision(action=jnp.clip(action, low, high), extras={"belief": wind_of(belief)})

    def take_in(memory: GaussianBelief, step: Transition) -> tuple[GaussianBelief, None]:
        pushed = jnp.concatenate([b @ jnp.clip(step.decision.action, low, high), jnp.zeros(dimensions)])
        after = moved(seen(memory, step.observation), matrix=follows, offset=pushed, noise=disturbance)
        # The next slot repeats the successor, except after the last step of an episode, when a new place is drawn.
        again = independent(start, wind_of(seen(after, step.outcome.observation)))
        return where(step.valid, where(step.boundary, again, after), memory), None

    def adapt(params: tuple, memory: GaussianBelief, experience: Transition, key: PRNGKeyArray) -> GaussianBelief:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt)


def no_adaptation_agent(spec: Spec, *, effort: float = EFFORT) -> Agent:
    """An agent that assumes no drift and exact observations, and learns nothing.

    Args:
      spec: of the tasks; positions as observations and pushes as actions, Boxes of one and the same shape.
      effort: price ρ of the squared action.
    Raises:
      SpecError: other observations or actions.
    """
    dimensions, low, high = _pushes_of(spec)
    feedback = jnp.float32(stationary_control(*system(dimensions), effort=effort)[0])

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        del key
        return Decision(action=jnp.clip(-feedback @ observation, low, high), extras={})

    return memoryless_agent(spec, choose)


def _pushes_of(spec: Spec) -> tuple[int, Float[Array, " n"], Float[Array, " n"]]:
    """Dimensions of the place, and bounds of the pushes `[n]`."""
    seen, done = spec.observation_space, spec.action_space
    boxes = isinstance(seen, gymnasium.spaces.Box) and isinstance(done, gymnasium.spaces.Box)
    if not boxes or seen.shape != done.shape or len(done.shape or ()) != 1:
        raise SpecError(
            "control against a drift needs observations and actions that are Boxes of one axis and of the same shape; "
            f"came {seen} and {done}."
        )
    return done.shape[0], jnp.asarray(done.low), jnp.asarray(done.high)  # type: ignore[index,union-attr]
