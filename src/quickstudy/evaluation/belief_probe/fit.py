"""Fitting a readout to a trained agent."""

import dataclasses

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from quickstudy.evaluation.belief_probe.features import features_along
from quickstudy.evaluation.belief_probe.probe import QUANTILES, Readout, Standard, networks, recent, told_loss
from quickstudy.evaluation.belief_probe.targets import described, named_parameters, numbers_of
from quickstudy.numerics.optimiser_step import clipped_adam, descend
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Spec, Transition
from quickstudy.protocol.spaces import encode
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.compiled import run_lifetime

_LEAST_DEVIATION = 1e-4
_NINETY = 1.6448536
_MOST_STEPS = 2**19


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadoutConfig:
    """Settings of fitting a readout."""

    tasks: int = 2048
    """Training tasks, one lifetime on each; a quarter is kept apart for what is promised. Fewer where lifetimes are long."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of both networks' hidden layers."""
    updates: int = 2500
    """Gradient steps."""
    batch: int = 1024
    """Steps of lifetimes in each."""
    learning_rate: float = 3e-3
    """Adam's first step size; it falls to zero along a cosine."""
    seed: int = 0
    """Of tasks, luck and networks."""

    def __post_init__(self) -> None:
        for name in ("tasks", "updates", "batch", "learning_rate"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be above zero; came {getattr(self, name)}.")
        if self.tasks < 40:
            raise UsageError(f"tasks must be 40 or more, so that some can be kept apart; came {self.tasks}.")


def fit_readout(
    agent: Agent, params: PyTree, distribution: TaskDistribution, config: ReadoutConfig = ReadoutConfig()
) -> Readout:
    """A readout of an agent, from its lifetimes on training tasks.

    Args:
      agent: trained, or a baseline.
      params: of the agent, without a leading axis of seeds.
      distribution: whose parameters are told.
      config: settings.
    Raises:
      SpecError: an agent that remembers too much to be read.
      TaskDistributionError: tasks that differ in nothing that is described.
    """
    spec = distribution.spec
    key_tasks, key_lives, key_networks, key_fit = jax.random.split(jax.random.key(config.seed), 4)
    count = max(40, min(config.tasks, _MOST_STEPS // spec.lifetime_steps))
    tasks = distribution.sample_tasks("train", key_tasks, tasks=count)
    lived, features = recorded(agent, params, distribution, tasks, jax.random.split(key_lives, count))
    named, truth = named_parameters(distribution, tasks), described(distribution, tasks)
    numbers = [numbers_of(one, truth[one.name]) for one in named]
    reals = [value for one, value in zip(named, numbers, strict=True) if one.choices is None]
    real = jnp.asarray(np.concatenate(reals, -1) if reals else np.zeros((count, 0), np.float32))
    places = tuple(jnp.asarray(value) for one, value in zip(named, numbers, strict=True) if one.choices is not None)

    fitted = count - count // 4
    train = lambda tree: jax.tree.map(lambda leaf: leaf[:fitted], tree)  # noqa: E731
    valid = np.asarray(train(lived.valid))
    truths = _standard(np.asarray(train(real))[:, None], np.ones((fitted, 1), bool))
    teller, foreteller = networks(spec, named, features.shape[-1], config.hidden_sizes, key_networks)
    readout = Readout(
        features=_standard(np.asarray(train(features)), valid),
        observations=_standard(np.asarray(encode(train(lived.observation), spec.observation_space)), valid),
        truths=truths,
        outcomes=_standard(_outcomes(train(lived), spec), valid),
        teller=teller,
        foreteller=foreteller,
        stretch=jnp.ones(real.shape[-1]),
        scores=jnp.zeros(QUANTILES),
        recent_scores=jnp.zeros(QUANTILES),
        task_scores=jnp.zeros(QUANTILES),
        named=named,
    )
    readout = _fit(readout, lived, features, truths(real), places, np.argwhere(valid), key_fit, config, spec)
    apart = lambda tree: jax.tree.map(lambda leaf: leaf[fitted:], tree)  # noqa: E731
    return _promise(readout, apart(lived), apart(features), apart(real), spec)


def recorded(
    agent: Agent, params: PyTree, distribution: TaskDistribution, tasks: PyTree, keys: Array
) -> tuple[Transition, Array]:
    """A lifetime on every task, without the extras of its decisions, and what was known at each step, `[tasks, T, ...]`."""

    def one(task: PyTree, key: Array) -> tuple[Transition, Array]:
        lifetime, _ = run_lifetime(agent, distribution, params, task, key)
        lifetime = dataclasses.replace(lifetime, decision=dataclasses.replace(lifetime.decision, extras={}))
        return lifetime, features_along(agent, params, lifetime, jax.random.split(key)[0])

    return jax.jit(jax.vmap(one))(tasks, keys)


def _fit(
    readout: Readout, lived: Transition, features: Array, real: Array, places: tuple, steps: np.ndarray, key: Array,
    config: ReadoutConfig, spec: Spec,
) -> Readout:  # fmt: skip
    """Both networks by maximum likelihood, on steps drawn from all that happened."""
    optimiser = clipped_adam(1.0)
    weights = (readout.teller, readout.foreteller)
    happened = jnp.asarray(steps, jnp.int32)

    def rate(number: Array) -> Array:
        return config.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * number.astype(jnp.float32) / config.updates))

    def loss(weights: tuple, drawn: Array) -> Array:
        task, slot = drawn[:, 0], drawn[:, 1]
        one = eqx.tree_at(lambda r: (r.teller, r.foreteller), readout, weights)
        known = features[task, slot]
        step = jax.tree.map(lambda leaf: leaf[task, slot], lived)
        wanted = told_loss(one, known, real[task], tuple(place[task] for place in places))
        return (wanted + one.score(known, step, spec)).mean()

    def update(carry: tuple, xs: tuple) -> tuple[tuple, None]:
        number, key = xs
        weights, state = carry
        drawn = happened[jax.random.randint(key, (config.batch,), 0, len(happened))]
        gradient = jax.grad(loss)(weights, drawn)
        return descend(optimiser, gradient, state, weights, rate=rate(number)), None

    keys = jax.random.split(key, config.updates)
    run = jax.jit(lambda carry: jax.lax.scan(update, carry, (jnp.arange(config.updates), keys))[0])
    weights, _ = run((weights, optimiser.init(weights)))
    return eqx.tree_at(lambda r: (r.teller, r.foreteller), readout, weights)


def _promise(readout: Readout, lived: Transition, features: Array, real: Array, spec: Spec) -> Readout:
    """Stretches deviations and fills the tables of surprise, from lifetimes that nothing was fitted to."""
    valid = np.asarray(lived.valid)
    if real.shape[-1]:
        told = jax.jit(lambda known: readout.tell(known))(features)
        means, deviations = (
            np.concatenate([np.asarray(getattr(told[one.name], part)) for one in readout.named if one.choices is None], -1)
            for part in ("mean", "deviation")
        )
        off = np.abs(np.asarray(real)[:, None] - means) / deviations
        stretch = np.quantile(off[valid], 0.9, axis=0) / _NINETY
        readout = eqx.tree_at(lambda r: r.stretch, readout, jnp.asarray(stretch, jnp.float32))
    scores = jax.jit(lambda known, step: readout.score(known, step, spec))(features, lived)
    readout = eqx.tree_at(lambda r: r.scores, readout, _table(np.asarray(scores)[valid]))
    along = jax.jit(jax.vmap(lambda s, v: recent(s, v, readout.scores, since=jnp.zeros(()))[1]))(scores, lived.valid)
    strange = jax.jit(lambda known: readout.anomaly_score(known))(features)
    tables = (_table(np.asarray(along)[valid]), _table(np.asarray(strange)[valid]))
    return eqx.tree_at(lambda r: (r.recent_scores, r.task_scores), readout, tables)


def _table(scores: np.ndarray) -> Array:
    """Evenly spaced quantiles, rising."""
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return jnp.asarray(np.quantile(scores, places), jnp.float32)


def _outcomes(lived: Transition, spec: Spec) -> np.ndarray:
    """Reward, and successor where it is a vector, `[tasks, T, size]`."""
    reward = np.asarray(lived.outcome.reward)[..., None]
    if isinstance(spec.observation_space, gymnasium.spaces.Discrete):
        return reward
    return np.concatenate([reward, np.asarray(encode(lived.outcome.observation, spec.observation_space))], -1)


def _standard(numbers: np.ndarray, valid: np.ndarray) -> Standard:
    """Mean and deviation of the numbers `[tasks, T, size]` where they are valid."""
    happened = np.broadcast_to(valid[..., None], numbers.shape)
    mean = numbers.mean((0, 1), where=happened)
    deviation = np.maximum(numbers.std((0, 1), where=happened), _LEAST_DEVIATION)
    return Standard(mean=jnp.asarray(mean, jnp.float32), deviation=jnp.asarray(deviation, jnp.float32))
