"""A readout: two small networks beside a trained agent, which they leave as it is.

    f_t               what the agent knows at step t (`features`)
    p(θ | f_t)        each named parameter of the task: a normal distribution, or a table of its few choices
    p(r_t, o'_t | f_t, o_t, a_t)     what should happen next: normal rewards, normal or categorical successors

Both are fitted by maximum likelihood to lifetimes on training tasks. What is then promised is set on other lifetimes, which
nothing was fitted to: deviations are stretched until mean ± 1.645 deviations hold 90 % of the true values, and *surprise*

    p_t = part of the steps of those lifetimes at which −log p(outcome) was as high as now, or higher

is a p-value whatever the networks are like (split conformal prediction, Vovk et al. 2005): an alarm where p_t < 0.01 is
false at one step in a hundred, as long as tasks are of the distribution. One step says little where noise is strong, so there
is a second one, of what has happened *lately*: z_t = Φ⁻¹(1 − p_t), averaged with weights that fade by `FADE` a step, ranked
likewise. A task may also be strange though everything in it happens as foretold, to an agent that has understood it: a third
p-value ranks how far the real parameters that are told lie from their mean over training tasks, Σ_j ((mean_j − μ_j) / σ_j)².
"""

import dataclasses

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, PyTree

from quickstudy.evaluation.belief_probe.features import features_of
from quickstudy.evaluation.belief_probe.targets import Named
from quickstudy.networks.layers import Perceptron
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition, record
from quickstudy.protocol.sequences import chunks, scan
from quickstudy.protocol.spaces import encode, flat_size

FADE = 0.9
"""Weight of what was, against what is, in recent surprise."""
QUANTILES = 2048
"""Scores that a table of surprise holds."""
_LEAST_LOG_DEVIATION, _MOST_LOG_DEVIATION = -5.0, 3.0


@record
class Standard:
    """Numbers brought to mean 0 and deviation 1: `mean`, `deviation` `[size]`."""

    mean: Float[Array, " size"]
    deviation: Float[Array, " size"]

    def __call__(self, numbers: Float[Array, "*time size"]) -> Float[Array, "*time size"]:
        """In deviations from the mean, within ±10."""
        shape = (1,) * (numbers.ndim - 1) + (-1,)
        return jnp.clip((numbers - self.mean.reshape(shape)) / self.deviation.reshape(shape), -10.0, 10.0)


@record
class Told:
    """What is known of one real parameter: `mean` and `deviation`, each `[*time, size]`, in its own unit.

    Mean ± 1.645 deviations hold the truth in 90 of 100 cases, over tasks and moments of the distribution.
    """

    mean: Float[Array, "*time size"]
    deviation: Float[Array, "*time size"]


class Readout(eqx.Module):
    """Fitted numbers; `named` says what is told. Made by `fit_readout`."""

    features: Standard
    observations: Standard
    truths: Standard
    outcomes: Standard
    teller: Perceptron
    foreteller: Perceptron
    stretch: Float[Array, " reals"]
    scores: Float[Array, " quantiles"]
    recent_scores: Float[Array, " quantiles"]
    task_scores: Float[Array, " quantiles"]
    named: tuple[Named, ...] = eqx.field(static=True)

    def tell(self, features: Float[Array, "*time features"]) -> dict[str, Told | Float[Array, "*time choices"]]:
        """Every named parameter: `Told`, or the probability of each of its choices in the order of `named`."""
        told: dict[str, Told | Array] = {}
        outputs, real = self.teller(self.features(features)), 0
        for parameter, part in zip(self.named, _parts(outputs, self.named), strict=True):
            if parameter.choices is not None:
                told[parameter.name] = jax.nn.softmax(part)
                continue
            of_these = slice(real, real + parameter.size)
            shape = (1,) * (part.ndim - 1) + (-1,)
            unit = self.truths.deviation[of_these].reshape(shape)
            mean, log_deviation = _normal(part)
            told[parameter.name] = Told(
                mean=mean * unit + self.truths.mean[of_these].reshape(shape),
                deviation=jnp.exp(log_deviation) * unit * self.stretch[of_these].reshape(shape),
            )
            real += parameter.size
        return told

    def anomaly_score(self, features: Float[Array, "*time features"]) -> Float[Array, "*time"]:
        """How far the real parameters that are told lie from their mean over training tasks, in squared deviations."""
        parts = _parts(self.teller(self.features(features)), self.named)
        reals = [_normal(part)[0] for one, part in zip(self.named, parts, strict=True) if one.choices is None]
        return sum((jnp.square(mean).sum(-1) for mean in reals), start=jnp.zeros(features.shape[:-1]))

    def score(self, features: Array, step: Transition, spec: Spec) -> Float[Array, "*time"]:
        """−log p(outcome) in nats, in standard units: how unlikely is what happened under what was known."""
        parts = (
            self.features(features),
            self._seen(step.observation, spec),
            encode(step.decision.action, spec.action_space),
        )
        outputs, reward = self.foreteller(*parts), step.outcome.reward[..., None]
        if isinstance(spec.observation_space, gymnasium.spaces.Discrete):
            came = encode(step.outcome.observation, spec.observation_space)
            of_reward, logits = outputs[..., :2], outputs[..., 2:]
            return _surprisal(of_reward, self.outcomes(reward)) - (jax.nn.log_softmax(logits) * came).sum(-1)
        came = encode(step.outcome.observation, spec.observation_space)
        return _surprisal(outputs, self.outcomes(jnp.concatenate([reward, came], -1)))

    def _seen(self, observation: Array, spec: Spec) -> Array:
        flat = encode(observation, spec.observation_space)
        return flat if isinstance(spec.observation_space, gymnasium.spaces.Discrete) else self.observations(flat)


def with_readout(agent: Agent, readout: Readout) -> Agent:
    """The same agent, which also says what it knows and how surprised it is; its parameters are the agent's own.

    Decisions gain two extras. `parameters`: what `Readout.tell` tells. `surprise`: a dictionary with the p-values `now`, of the
    last outcome, `lately`, each `[]` and 1 before anything has happened, and `task`; alarm where one is below the rate of false
    alarms that you can bear.
    """

    def begin(params: PyTree, key: Array) -> _Watching:
        nothing = jnp.ones(())
        return _Watching(memory=agent.begin(params, key), now=nothing, lately=jnp.zeros(()), lived=jnp.zeros(()) > 0)

    def act(params: PyTree, watching: _Watching, observation: Array, key: Array) -> Decision:
        decision = agent.act(params, watching.memory, observation, key)
        known = features_of(agent, params, watching.memory, observation)
        lately = jnp.where(watching.lived, p_value(readout.recent_scores, watching.lately), 1.0)
        surprise = {"now": watching.now, "lately": lately, "task": p_value(readout.task_scores, readout.anomaly_score(known))}
        said = {"parameters": readout.tell(known), "surprise": surprise}
        return dataclasses.replace(decision, extras=decision.extras | said)

    def adapt_once(params: PyTree, watching: _Watching, experience: Transition, key: Array) -> _Watching:
        known = jax.vmap(lambda seen: features_of(agent, params, watching.memory, seen))(experience.observation)
        scores, happened = readout.score(known, experience, agent.spec), experience.valid
        last = jnp.argmax(jnp.where(happened, jnp.arange(agent.cadence), -1))
        return _Watching(
            memory=agent.adapt(params, watching.memory, experience, key),
            now=jnp.where(happened.any(), p_value(readout.scores, scores)[last], watching.now),
            lately=recent(scores, happened, readout.scores, since=watching.lately)[0],
            lived=watching.lived | happened.any(),
        )

    def adapt(params: PyTree, watching: _Watching, experience: Transition, key: Array) -> _Watching:
        parts = chunks(experience, length=agent.cadence)
        return scan(lambda known, part: (adapt_once(params, known, part, key), None), watching, parts)[0]

    return Agent(
        spec=agent.spec, init=agent.init, begin=begin, act=act, adapt=adapt, cadence=agent.cadence,
        exchangeable=False,
    )  # fmt: skip


@record
class _Watching:
    """The agent's memory, the p-value of the last step, and the running average behind recent surprise."""

    memory: PyTree
    now: Float[Array, ""]
    lately: Float[Array, ""]
    lived: Bool[Array, ""]


def p_value(table: Float[Array, " quantiles"], score: Float[Array, "*time"]) -> Float[Array, "*time"]:
    """Part of a rising table of scores that is as high as this one or higher, this one included among them."""
    below = jnp.searchsorted(table, score, side="left")
    return ((table.size - below + 1) / (table.size + 1)).astype(jnp.float32)


def recent(
    scores: Float[Array, " T"], valid: Bool[Array, " T"], table: Float[Array, " quantiles"], *, since: Array
) -> tuple[Float[Array, ""], Float[Array, " T"]]:
    """The fading average of how unlikely steps were, in normal deviations: after the last step, and after each `[T]`.

    Args:
      scores: of the steps.
      valid: those that happened; the others change nothing.
      table: of scores that are usual.
      since: the average before them.
    """
    # The commonest step of all counts as an ordinary one does at the other end: no average can be without bound.
    unusual = -ndtri(jnp.minimum(p_value(table, scores), table.size / (table.size + 1)))

    def fade(average: Array, xs: tuple) -> tuple[Array, Array]:
        z, happened = xs
        average = jnp.where(happened, FADE * average + (1 - FADE) * z, average)
        return average, average

    return jax.lax.scan(fade, since, (unusual, valid))


def networks(
    spec: Spec, named: tuple[Named, ...], features: int, hidden: tuple[int, ...], key: Array
) -> tuple[Perceptron, ...]:
    """The teller and the foreteller, before they are fitted."""
    key_tell, key_foretell = jax.random.split(key)
    seen, done = flat_size(spec.observation_space), flat_size(spec.action_space)
    discrete = isinstance(spec.observation_space, gymnasium.spaces.Discrete)
    outputs = 2 + seen if discrete else 2 * (1 + seen)
    return (
        Perceptron(features, hidden, sum(one.outputs for one in named), gain=0.1, key=key_tell),
        Perceptron(features + seen + done, hidden, outputs, gain=0.1, key=key_foretell),
    )


def told_loss(readout: Readout, features: Array, reals: Array, places: tuple[Array, ...]) -> Float[Array, "*time"]:
    """Nats per step that the teller is short of certainty; `reals` in standard units, a place below 0 is not asked for."""
    outputs, loss, real = readout.teller(readout.features(features)), jnp.zeros(features.shape[:-1]), 0
    left = iter(places)
    for parameter, part in zip(readout.named, _parts(outputs, readout.named), strict=True):
        if parameter.choices is None:
            loss += _surprisal(part, reals[..., real : real + parameter.size])
            real += parameter.size
        else:
            place = next(left)
            chosen = jnp.take_along_axis(jax.nn.log_softmax(part), jnp.maximum(place, 0)[..., None], axis=-1)[..., 0]
            loss -= jnp.where(place >= 0, chosen, 0.0)
    return loss


def _parts(outputs: Array, named: tuple[Named, ...]) -> list[Array]:
    """The outputs of each named parameter."""
    ends, start = [], 0
    for one in named:
        ends.append(outputs[..., start : start + one.outputs])
        start += one.outputs
    return ends


def _normal(outputs: Float[Array, "*time numbers"]) -> tuple[Array, Array]:
    mean, log_deviation = jnp.split(outputs, 2, axis=-1)
    return mean, jnp.clip(log_deviation, _LEAST_LOG_DEVIATION, _MOST_LOG_DEVIATION)


def _surprisal(outputs: Float[Array, "*time numbers"], came: Float[Array, "*time size"]) -> Float[Array, "*time"]:
    """−log density of independent normal numbers, but for a constant."""
    mean, log_deviation = _normal(outputs)
    return (0.5 * jnp.square((came - mean) * jnp.exp(-log_deviation)) + log_deviation).sum(-1)
