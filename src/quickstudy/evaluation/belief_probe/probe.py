"""A readout: two small networks beside a trained agent. They estimate its task and predict its outcomes; it stays as it is.

    f_t               features: what the agent knows at step t
    p(θ | f_t)        parameter network: a normal distribution for each real parameter, or probabilities of a few choices
    p(r_t, o'_t | f_t, o_t, a_t)     outcome network: normal rewards, normal or categorical successors

Both are fitted by maximum likelihood to lifetimes on training tasks. Other lifetimes, which nothing was fitted to, calibrate
them (split conformal prediction, Vovk et al. 2005). Deviations are scaled until mean ± 1.645 deviations contain 90 % of the
true values. Anomaly scores become p-values: the part of the calibration scores that are at least as high.

    step          −log p(outcome) of the last step
    last steps    z_t = Φ⁻¹(1 − p-value of step t), averaged with weights that decay by `DECAY` per step
    task          Σ_j ((mean_j − μ_j) / σ_j)², the distance of the estimated parameters from their mean over training tasks

On tasks of the distribution each p-value is below 0.01 at one step in a hundred, whatever the networks are like. The p-value
of one step says little where noise is strong; the last steps together say more. The task may be an anomaly although every
outcome is as predicted, once the agent knows the task.
"""

import dataclasses

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, PyTree

from quickstudy.evaluation.belief_probe.features import features_of
from quickstudy.evaluation.belief_probe.targets import TaskParameter
from quickstudy.networks.layers import Perceptron
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import chunks, scan
from quickstudy.protocol.spaces import encode, flat_size

DECAY = 0.9
"""Weight of the average before a step, against the step itself, in the score of the last steps."""
QUANTILES = 2048
"""Scores in a table of calibration scores."""
_LEAST_LOG_DEVIATION, _MOST_LOG_DEVIATION = -5.0, 3.0


@record
class Standardisation:
    """Brings numbers to mean 0 and deviation 1: `mean`, `deviation` `[size]`, in the numbers' own units."""

    mean: Float[Array, " size"]
    deviation: Float[Array, " size"]

    def __call__(self, numbers: Float[Array, "*time size"]) -> Float[Array, "*time size"]:
        """The numbers in deviations from the mean, clipped to ±10."""
        shape = (1,) * (numbers.ndim - 1) + (-1,)
        return jnp.clip((numbers - self.mean.reshape(shape)) / self.deviation.reshape(shape), -10.0, 10.0)


@record
class NormalEstimate:
    """An estimate of one real parameter: `mean` and `deviation`, each `[*time, size]`, in the parameter's own unit.

    Mean ± 1.645 deviations contain the true value in 90 of 100 cases, over tasks and steps of the distribution.
    """

    mean: Float[Array, "*time size"]
    deviation: Float[Array, "*time size"]


class Readout(eqx.Module):
    """Networks and calibration of a readout; `fit_readout` makes it.

    Args:
      features, observations, parameters, outcomes: standardisation of the networks' inputs and targets.
      parameter_network: of the features; `named` says what its outputs are.
      outcome_network: of features, observation and action.
      deviation_scale: calibrates the deviations of real parameters, above 0.
      step_scores, last_steps_scores, task_scores: increasing quantiles of the calibration scores.
      named: the parameters that are estimated.
    """

    features: Standardisation
    observations: Standardisation
    parameters: Standardisation
    outcomes: Standardisation
    parameter_network: Perceptron
    outcome_network: Perceptron
    deviation_scale: Float[Array, " reals"]
    step_scores: Float[Array, " quantiles"]
    last_steps_scores: Float[Array, " quantiles"]
    task_scores: Float[Array, " quantiles"]
    named: tuple[TaskParameter, ...] = eqx.field(static=True)

    def estimate(self, features: Float[Array, "*time features"]) -> dict[str, NormalEstimate | Float[Array, "*time choices"]]:
        """Every named parameter: a `NormalEstimate`, or the probability of each of its choices in the order of `named`."""
        found: dict[str, NormalEstimate | Array] = {}
        outputs, real = self.parameter_network(self.features(features)), 0
        for parameter, part in zip(self.named, _parts(outputs, self.named), strict=True):
            if parameter.choices is not None:
                found[parameter.name] = jax.nn.softmax(part)
                continue
            of_these = slice(real, real + parameter.size)
            shape = (1,) * (part.ndim - 1) + (-1,)
            unit = self.parameters.deviation[of_these].reshape(shape)
            mean, log_deviation = _normal(part)
            found[parameter.name] = NormalEstimate(
                mean=mean * unit + self.parameters.mean[of_these].reshape(shape),
                deviation=jnp.exp(log_deviation) * unit * self.deviation_scale[of_these].reshape(shape),
            )
            real += parameter.size
        return found

    def task_score(self, features: Float[Array, "*time features"]) -> Float[Array, "*time"]:
        """Anomaly score of the task: squared distance of the real parameters from their training mean, in deviations."""
        parts = _parts(self.parameter_network(self.features(features)), self.named)
        reals = [_normal(part)[0] for one, part in zip(self.named, parts, strict=True) if one.choices is None]
        return sum((jnp.square(mean).sum(-1) for mean in reals), start=jnp.zeros(features.shape[:-1]))

    def step_score(self, features: Array, step: Transition, spec: Spec) -> Float[Array, "*time"]:
        """Anomaly score of a step: −log p(outcome) in nats, of standardised outcomes, up to a constant.

        Args:
          features: `[*time, features]`, before the outcome.
          step: `[*time]`.
          spec: of the tasks.
        """
        parts = (
            self.features(features),
            self._standardised(step.observation, spec),
            encode(step.decision.action, spec.action_space),
        )
        outputs, reward = self.outcome_network(*parts), step.outcome.reward[..., None]
        if isinstance(spec.observation_space, gymnasium.spaces.Discrete):
            came = encode(step.outcome.observation, spec.observation_space)
            of_reward, logits = outputs[..., :2], outputs[..., 2:]
            return _negative_log_density(of_reward, self.outcomes(reward)) - (jax.nn.log_softmax(logits) * came).sum(-1)
        came = encode(step.outcome.observation, spec.observation_space)
        return _negative_log_density(outputs, self.outcomes(jnp.concatenate([reward, came], -1)))

    def _standardised(self, observation: Array, spec: Spec) -> Array:
        flat = encode(observation, spec.observation_space)
        return flat if isinstance(spec.observation_space, gymnasium.spaces.Discrete) else self.observations(flat)


def with_readout(agent: Agent, readout: Readout) -> Agent:
    """The same agent; its decisions also hold estimates of the task and p-values of anomaly. Its parameters are the agent's.

    Decisions gain two extras. `parameters` is what `Readout.estimate` gives. `p_values` is a dictionary, each `[]`: `step`, of
    the last outcome; `last_steps`; and `task`. The first two are 1 before the first outcome. Raise an alarm where a p-value is
    below the rate of false alarms that you accept.

    Args:
      agent: that the readout was fitted to.
      readout: of that agent.
    """

    def begin(params: PyTree, key: Array) -> _ProbedMemory:
        return _ProbedMemory(
            memory=agent.begin(params, key), step=jnp.ones(()), last_steps=jnp.zeros(()), begun=jnp.zeros(()) > 0
        )

    def act(params: PyTree, probed: _ProbedMemory, observation: Array, key: Array) -> Decision:
        decision = agent.act(params, probed.memory, observation, key)
        known = features_of(agent, params, probed.memory, observation)
        last_steps = jnp.where(probed.begun, p_value(readout.last_steps_scores, probed.last_steps), 1.0)
        p_values = {"step": probed.step, "last_steps": last_steps}
        p_values["task"] = p_value(readout.task_scores, readout.task_score(known))
        return dataclasses.replace(
            decision, extras=decision.extras | {"parameters": readout.estimate(known), "p_values": p_values}
        )

    def adapt_once(params: PyTree, probed: _ProbedMemory, experience: Transition, key: Array) -> _ProbedMemory:
        known = jax.vmap(lambda seen: features_of(agent, params, probed.memory, seen))(experience.observation)
        scores, happened = readout.step_score(known, experience, agent.spec), experience.valid
        last = jnp.argmax(jnp.where(happened, jnp.arange(agent.cadence), -1))
        return _ProbedMemory(
            memory=agent.adapt(params, probed.memory, experience, key),
            step=jnp.where(happened.any(), p_value(readout.step_scores, scores)[last], probed.step),
            last_steps=average_of_last_steps(scores, happened, readout.step_scores, since=probed.last_steps)[0],
            begun=probed.begun | happened.any(),
        )

    def adapt(params: PyTree, probed: _ProbedMemory, experience: Transition, key: Array) -> _ProbedMemory:
        parts = chunks(experience, length=agent.cadence)
        return scan(lambda known, part: (adapt_once(params, known, part, key), None), probed, parts)[0]

    return Agent(
        spec=agent.spec, init=agent.init, begin=begin, act=act, adapt=adapt, cadence=agent.cadence,
        exchangeable=False,
    )  # fmt: skip


@record
class _ProbedMemory:
    """The agent's memory; the p-value of the last step; the average score of the last steps; whether a step has happened."""

    memory: PyTree
    step: Float[Array, ""]
    last_steps: Float[Array, ""]
    begun: Bool[Array, ""]


def p_value(table: Float[Array, " quantiles"], score: Float[Array, "*time"]) -> Float[Array, "*time"]:
    """Part of the calibration scores that are at least as high as a score, which counts as one of them.

    Args:
      table: calibration scores, increasing.
      score: to be ranked.
    Returns:
      Values in (0, 1].
    """
    below = jnp.searchsorted(table, score, side="left")
    return ((table.size - below + 1) / (table.size + 1)).astype(jnp.float32)


def average_of_last_steps(
    scores: Float[Array, " T"], valid: Bool[Array, " T"], table: Float[Array, " quantiles"], *, since: Array
) -> tuple[Float[Array, ""], Float[Array, " T"]]:
    """The decaying average of the steps' anomaly scores, in normal deviations: after the last step, and after each `[T]`.

    Args:
      scores: of the steps, nats.
      valid: the steps that happened; the others change nothing.
      table: calibration scores of single steps.
      since: the average before the first of these steps.
    """
    # The lowest possible score counts as the highest does at the other end, so that the average stays finite.
    deviations = -ndtri(jnp.minimum(p_value(table, scores), table.size / (table.size + 1)))

    def decay(average: Array, xs: tuple) -> tuple[Array, Array]:
        z, happened = xs
        average = jnp.where(happened, DECAY * average + (1 - DECAY) * z, average)
        return average, average

    return jax.lax.scan(decay, since, (deviations, valid))


def networks(
    spec: Spec, named: tuple[TaskParameter, ...], features: int, hidden: tuple[int, ...], key: Array
) -> tuple[Perceptron, Perceptron]:
    """The parameter network and the outcome network, before they are fitted.

    Args:
      spec: of the tasks.
      named: the parameters to be estimated.
      features: how many there are.
      hidden: widths of the hidden layers of both.
      key: of the initial weights; consumed.
    """
    key_parameters, key_outcomes = jax.random.split(key)
    seen, done = flat_size(spec.observation_space), flat_size(spec.action_space)
    discrete = isinstance(spec.observation_space, gymnasium.spaces.Discrete)
    outputs = 2 + seen if discrete else 2 * (1 + seen)
    return (
        Perceptron(features, hidden, sum(one.outputs for one in named), gain=0.1, key=key_parameters),
        Perceptron(features + seen + done, hidden, outputs, gain=0.1, key=key_outcomes),
    )


def parameter_loss(readout: Readout, features: Array, reals: Array, places: tuple[Array, ...]) -> Float[Array, "*time"]:
    """−log p(true parameters) in nats, up to a constant.

    Args:
      readout: whose parameter network is fitted.
      features: `[*time, features]`.
      reals: `[*time, reals]`, the real parameters, standardised.
      places: `[*time]` for each parameter with choices; a place below 0 adds no loss.
    """
    outputs, loss, real = readout.parameter_network(readout.features(features)), jnp.zeros(features.shape[:-1]), 0
    left = iter(places)
    for parameter, part in zip(readout.named, _parts(outputs, readout.named), strict=True):
        if parameter.choices is None:
            loss += _negative_log_density(part, reals[..., real : real + parameter.size])
            real += parameter.size
        else:
            place = next(left)
            chosen = jnp.take_along_axis(jax.nn.log_softmax(part), jnp.maximum(place, 0)[..., None], axis=-1)[..., 0]
            loss -= jnp.where(place >= 0, chosen, 0.0)
    return loss


def _parts(outputs: Array, named: tuple[TaskParameter, ...]) -> list[Array]:
    """The outputs of each named parameter."""
    parts, start = [], 0
    for one in named:
        parts.append(outputs[..., start : start + one.outputs])
        start += one.outputs
    return parts


def _normal(outputs: Float[Array, "*time numbers"]) -> tuple[Array, Array]:
    mean, log_deviation = jnp.split(outputs, 2, axis=-1)
    return mean, jnp.clip(log_deviation, _LEAST_LOG_DEVIATION, _MOST_LOG_DEVIATION)


def _negative_log_density(outputs: Float[Array, "*time numbers"], came: Float[Array, "*time size"]) -> Float[Array, "*time"]:
    """−log p of independent normal numbers in nats, up to a constant."""
    mean, log_deviation = _normal(outputs)
    return (0.5 * jnp.square((came - mean) * jnp.exp(-log_deviation)) + log_deviation).sum(-1)
