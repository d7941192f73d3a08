"""A trained agent as it is deployed: with the readout or monitor and the fallback that its envelope names.

Serving and evaluation make the guarded agent here, so what is deployed is what is measured.
"""

import jax
from jaxtyping import PyTree

from quickstudy.evaluation.belief_probe.features import features_of
from quickstudy.evaluation.belief_probe.probe import Readout, with_readout
from quickstudy.evaluation.belief_probe.storage import load_readout
from quickstudy.evaluation.contenders import Contender, baselines_of
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import BundleError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.records import blank_observation
from quickstudy.rollout.envelope.guard import with_envelope
from quickstudy.rollout.envelope.monitor import with_monitor
from quickstudy.storage.envelope_file import StoredEnvelope


def guarded_agent(agent: Agent, stored: StoredEnvelope, distribution: AnyDistribution) -> Agent:
    """An agent within an envelope that was read from a file.

    Args:
      agent: trained.
      stored: the envelope.
      distribution: whose baselines hold the fallback and the monitor.
    Raises:
      UnknownNameError: the distribution has no baseline of the fallback's or the monitor's name.
      BundleError: the readout cannot be read, or was fitted to another agent.
      UsageError: as of `with_envelope` and `with_monitor`.
    """
    envelope = stored.envelope
    if stored.readout is not None:
        readout = load_readout(stored.readout)
        _check_readout(readout, agent, stored)
        agent = with_readout(agent, readout)
    if envelope.surprise is not None and envelope.surprise.monitor is not None:
        agent = with_monitor(agent, _baseline(distribution, envelope.surprise.monitor))
    fallback = None
    if envelope.fallback is not None:
        fallback = _baseline(distribution, envelope.fallback)
    return with_envelope(agent, envelope, fallback=fallback)


def guarded_contender(one: Contender, stored: StoredEnvelope, distribution: AnyDistribution) -> Contender:
    """A contender within an envelope.

    A readout belongs to one training seed. So where the envelope names a readout, only the agent of that seed is measured.

    Args:
      one: trained, with its seeds.
      stored: the envelope.
      distribution: that it is measured on.
    Raises:
      UsageError: as of `guarded_agent`, or there is no agent of the seed.
    """
    params: PyTree = one.params
    if stored.readout is not None:
        seed = seed_of_readout(stored, seeds=one.seeds)
        params = jax.tree.map(lambda leaf: leaf[seed : seed + 1], params)
    return Contender(agent=guarded_agent(one.agent, stored, distribution), params=params, trained=one.trained)


def seed_of_readout(stored: StoredEnvelope, *, seeds: int) -> int:
    """The training seed that the readout of an envelope belongs to.

    Raises:
      UsageError: the bundle has fewer seeds.
    """
    seed = stored.envelope.surprise.seed_of_training if stored.envelope.surprise is not None else 0
    if seed >= seeds:
        raise UsageError(
            f"surprise.seed_of_training in the envelope must be below the number of training seeds, {seeds}; came {seed}. "
            "Name the seed that the readout was fitted to (`quickstudy readout --seed-of-training`)."
        )
    return seed


def _baseline(distribution: AnyDistribution, name: str) -> Agent:
    return baselines_of(distribution, [name])[name].agent


def _check_readout(readout: Readout, agent: Agent, stored: StoredEnvelope) -> None:
    """Raises BundleError unless a readout reads as many numbers as this agent has."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(agent.init, key)
    seen = blank_observation(agent.spec)
    memory = jax.eval_shape(agent.begin, params, key)
    (count,) = jax.eval_shape(lambda *given: features_of(agent, *given), params, memory, seen).shape
    (read,) = readout.features.mean.shape
    if count != read:
        raise BundleError(
            f"{stored.readout} was fitted to another agent: it reads {read} numbers, and this agent has {count}. Fit it again: "
            "quickstudy readout BUNDLE."
        )
