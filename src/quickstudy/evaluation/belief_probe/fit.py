"""Fits a readout to a trained agent, and calibrates it."""

import dataclasses
import functools

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from quickstudy.evaluation.belief_probe.lifetimes import last_steps_scores, record_lifetimes
from quickstudy.evaluation.belief_probe.probe import QUANTILES, Readout, Standardisation, networks, parameter_loss
from quickstudy.evaluation.belief_probe.targets import described, named_parameters, numbers_of
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.memory import bytes_of, check_memory
from quickstudy.protocol.records import Spec, Transition
from quickstudy.protocol.setting_values import Count, Seed
from quickstudy.protocol.settings import check_above_zero, check_sizes
from quickstudy.protocol.spaces import encode
from quickstudy.protocol.task_distribution import TaskDistribution

_LEAST_DEVIATION = 1e-4
_NINETY = 1.6448536
_MOST_STEPS = 2**19


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadoutConfig:
    """Settings of fitting a readout."""

    tasks: Count = 2048
    """Training tasks, one lifetime on each; a quarter of them calibrates. Fewer where lifetimes are long."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of both networks' hidden layers."""
    updates: int = 2500
    """Gradient steps."""
    batch: int = 1024
    """Steps of lifetimes in each gradient step."""
    learning_rate: float = 3e-3
    """Adam's first step size; it falls to zero along a cosine."""
    seed: Seed = 0
    """Seed of the tasks, the lifetimes and the networks."""

    def __post_init__(self) -> None:
        check_above_zero(self, "updates", "batch", "learning_rate")
        check_sizes(self, "hidden_sizes")
        if self.tasks < 40:
            raise UsageError(f"tasks must be 40 or more, so that some are left to calibrate with; came {self.tasks}.")


def fit_readout(
    agent: Agent, params: PyTree, distribution: TaskDistribution, config: ReadoutConfig = ReadoutConfig()
) -> Readout:
    """A readout of an agent, fitted and calibrated on its lifetimes on training tasks.

    Args:
      agent: trained, or a baseline.
      params: of the agent, without a leading axis of seeds.
      distribution: of the tasks whose parameters are estimated.
      config: settings.
    Raises:
      SpecError: the agent's memory is too large to be read.
      UsageError: lifetimes or networks do not fit into memory.
      TaskDistributionError: `describe` names nothing that differs between tasks.
    """
    spec = distribution.spec
    key_tasks, key_lifetimes, key_networks, key_fit = jax.random.split(jax.random.key(config.seed), 4)
    count = max(40, min(config.tasks, _MOST_STEPS // spec.lifetime_steps))
    tasks = distribution.sample_tasks("train", key_tasks, tasks=count)
    lifetimes, features = record_lifetimes(agent, params, distribution, tasks, jax.random.split(key_lifetimes, count))
    named, truth = named_parameters(distribution, tasks), described(distribution, tasks)
    numbers = [numbers_of(one, truth[one.name]) for one in named]
    reals = [value for one, value in zip(named, numbers, strict=True) if one.choices is None]
    real = jnp.asarray(np.concatenate(reals, -1) if reals else np.zeros((count, 0), np.float32))
    places = tuple(jnp.asarray(value) for one, value in zip(named, numbers, strict=True) if one.choices is not None)

    fitted = count - count // 4
    train = lambda tree: jax.tree.map(lambda leaf: leaf[:fitted], tree)  # noqa: E731
    valid = np.asarray(train(lifetimes.valid))
    parameters = _standardisation(np.asarray(train(real))[:, None], np.ones((fitted, 1), bool))
    make_networks = functools.partial(networks, spec, named, features.shape[-1], config.hidden_sizes)
    _check_networks(jax.eval_shape(lambda key: make_networks(key), key_networks), config)
    parameter_network, outcome_network = make_networks(key_networks)
    readout = Readout(
        features=_standardisation(np.asarray(train(features)), valid),
        observations=_standardisation(np.asarray(encode(train(lifetimes.observation), spec.observation_space)), valid),
        parameters=parameters,
        outcomes=_standardisation(_outcomes(train(lifetimes), spec), valid),
        parameter_network=parameter_network,
        outcome_network=outcome_network,
        deviation_scale=jnp.ones(real.shape[-1]),
        step_scores=jnp.zeros(QUANTILES),
        last_steps_scores=jnp.zeros(QUANTILES),
        task_scores=jnp.zeros(QUANTILES),
        named=named,
    )
    readout = _fit(readout, lifetimes, features, parameters(real), places, np.argwhere(valid), key_fit, config, spec)
    apart = lambda tree: jax.tree.map(lambda leaf: leaf[fitted:], tree)  # noqa: E731
    return _calibrated(readout, apart(lifetimes), apart(features), apart(real), spec)


def _fit(
    readout: Readout, lifetimes: Transition, features: Array, real: Array, places: tuple, steps: np.ndarray, key: Array,
    config: ReadoutConfig, spec: Spec,
) -> Readout:  # fmt: skip
    """Both networks by maximum likelihood, on steps drawn from all that happened."""
    optimiser = clipped_adam(1.0)
    weights = (readout.parameter_network, readout.outcome_network)
    happened = jnp.asarray(steps, jnp.int32)

    def rate(number: Array) -> Array:
        return config.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * number.astype(jnp.float32) / config.updates))

    def loss(weights: tuple, drawn: Array) -> Array:
        task, slot = drawn[:, 0], drawn[:, 1]
        one = eqx.tree_at(_networks_of, readout, weights)
        known = features[task, slot]
        step = jax.tree.map(lambda leaf: leaf[task, slot], lifetimes)
        of_parameters = parameter_loss(one, known, real[task], tuple(place[task] for place in places))
        return (of_parameters + one.step_score(known, step, spec)).mean()

    def update(carry: tuple, xs: tuple) -> tuple[tuple, None]:
        number, key = xs
        weights, state = carry
        drawn = happened[jax.random.randint(key, (config.batch,), 0, len(happened))]
        gradient = jax.grad(loss)(weights, drawn)
        return descend(optimiser, gradient, state, weights, rate=rate(number)), None

    keys = jax.random.split(key, config.updates)
    run = jax.jit(lambda carry: jax.lax.scan(update, carry, (jnp.arange(config.updates), keys))[0])
    weights, _ = run((weights, optimiser.init(weights)))
    return eqx.tree_at(_networks_of, readout, weights)


def _check_networks(shapes: PyTree, config: ReadoutConfig) -> None:
    """Raises UsageError if networks, their optimiser and gradient steps do not fit into memory."""
    # Parameters, gradient and two moments of Adam; the layers of a batch and their gradients; a key and a number of each step.
    needed = 4 * bytes_of(shapes) + 16 * config.batch * sum(config.hidden_sizes) + 24 * config.updates
    check_memory(
        needed,
        what=f"fitting with layers of {config.hidden_sizes}, {config.batch:,} steps in each of {config.updates:,} updates",
        remedy="Use smaller --hidden-sizes, --batch or --updates.",
    )


def _networks_of(readout: Readout) -> tuple:
    return readout.parameter_network, readout.outcome_network


def _calibrated(readout: Readout, lifetimes: Transition, features: Array, real: Array, spec: Spec) -> Readout:
    """Scales deviations and fills the tables of scores, from lifetimes that nothing was fitted to."""
    valid = np.asarray(lifetimes.valid)
    if real.shape[-1]:
        estimates = jax.jit(lambda known: readout.estimate(known))(features)
        means, deviations = (
            np.concatenate([np.asarray(getattr(estimates[one.name], part)) for one in readout.named if one.choices is None], -1)
            for part in ("mean", "deviation")
        )
        off = np.abs(np.asarray(real)[:, None] - means) / deviations
        scale = np.quantile(off[valid], 0.9, axis=0) / _NINETY
        readout = eqx.tree_at(lambda r: r.deviation_scale, readout, jnp.asarray(scale, jnp.float32))
    scores = jax.jit(lambda known, step: readout.step_score(known, step, spec))(features, lifetimes)
    readout = eqx.tree_at(lambda r: r.step_scores, readout, _quantiles(np.asarray(scores)[valid]))
    averages = last_steps_scores(scores, lifetimes.valid, readout)
    of_tasks = jax.jit(lambda known: readout.task_score(known))(features)
    tables = (_quantiles(np.asarray(averages)[valid]), _quantiles(np.asarray(of_tasks)[valid]))
    return eqx.tree_at(lambda r: (r.last_steps_scores, r.task_scores), readout, tables)


def _quantiles(scores: np.ndarray) -> Array:
    """`QUANTILES` evenly spaced quantiles, increasing."""
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return jnp.asarray(np.quantile(scores, places), jnp.float32)


def _outcomes(lifetimes: Transition, spec: Spec) -> np.ndarray:
    """Reward, and successor where it is a vector, `[tasks, T, size]`."""
    reward = np.asarray(lifetimes.outcome.reward)[..., None]
    if isinstance(spec.observation_space, gymnasium.spaces.Discrete):
        return reward
    return np.concatenate([reward, np.asarray(encode(lifetimes.outcome.observation, spec.observation_space))], -1)


def _standardisation(numbers: np.ndarray, valid: np.ndarray) -> Standardisation:
    """Mean and deviation of the numbers `[tasks, T, size]` where they are valid."""
    happened = np.broadcast_to(valid[..., None], numbers.shape)
    mean = numbers.mean((0, 1), where=happened)
    deviation = np.maximum(numbers.std((0, 1), where=happened), _LEAST_DEVIATION)
    return Standardisation(mean=jnp.asarray(mean, jnp.float32), deviation=jnp.asarray(deviation, jnp.float32))
