"""The envelope that a command was given, ready for the agent of a bundle."""

from pathlib import Path

from quickstudy.evaluation.guarded import guarded_agent, seed_of_readout
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import UsageError
from quickstudy.serving.http.server import Guard
from quickstudy.storage.bundle import Bundle
from quickstudy.storage.envelope_file import load_envelope


def guard_of(path: Path, *, seed: int, on: str | None = None) -> Guard:
    """The guard of an agent that is served.

    Args:
      path: of the file of the envelope.
      seed: of training, whose agent is served.
      on: the task distribution whose baselines hold the fallback, if not the registered one trained on.
    Raises:
      UsageError: the envelope cannot be read, or its readout belongs to the agent of another seed.
    """
    stored = load_envelope(path)

    def guarded(bundle: Bundle) -> Agent:
        if stored.readout is not None and seed_of_readout(stored, seeds=bundle.seeds) != seed:
            fitted = seed_of_readout(stored, seeds=bundle.seeds)
            raise UsageError(
                f"the readout of the envelope was fitted to the agent of training seed {fitted}, and --seed is {seed}. "
                f"Serve --seed {fitted}, or fit another readout with quickstudy readout --seed-of-training {seed}."
            )
        return guarded_agent(bundle.agent, stored, bundle.distribution(on))

    return Guard(guarded=guarded, envelope=stored.describe())
