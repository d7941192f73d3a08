"""What the fallbacks of envelopes would have done in sessions: their agents, from a registry, and what was found before."""

import dataclasses
from collections.abc import Mapping

from quickstudy.dashboard.kept import Kept
from quickstudy.evaluation.guarded import guarded_agent
from quickstudy.protocol.errors import QuickstudyError, UsageError
from quickstudy.protocol.printable import shell_word
from quickstudy.serving.counterfactual import FallbackChoice, fallback_choices
from quickstudy.serving.heads import event_of
from quickstudy.serving.registry import Registry
from quickstudy.serving.requests import SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.stores.store import Store
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.envelope_file import ENVELOPE, load_envelope

_MOST_AGENTS, _MOST_SESSIONS = 4, 64
_MOST_EVENTS = 20_000
"""Events of a session that is replayed; a longer one would take minutes."""


class Fallbacks:
    """The fallbacks of the agents in a registry.

    Args:
      store: with the sessions; it is only read.
      registry: with the versions that served; None where there is none.
    """

    def __init__(self, store: Store, registry: Registry | None):
        self._store, self._registry = store, registry
        self._agents = Kept[ServedAgent](_MOST_AGENTS)
        self._choices = Kept[Mapping[str, FallbackChoice]](_MOST_SESSIONS)

    def choices(self, name: SessionName) -> Mapping[str, FallbackChoice] | str:
        """The fallback's choice at each decision of a session, by its id; or a sentence that says why there is none."""
        stored = self._store.load([name]).get(name)
        if stored is None:
            return "There is no such session."
        try:
            return self._choices.answer((name, stored.version), lambda: self._found(name, stored.agent))
        except QuickstudyError as error:  # not kept: the remedy may be a bundle that comes into the registry
            return str(error)

    def _found(self, name: SessionName, digest: str) -> Mapping[str, FallbackChoice]:
        events = [event_of(event) for event in self._store.events(name)]
        if len(events) > _MOST_EVENTS:
            raise UsageError(f"this session has {len(events):,} events; at most {_MOST_EVENTS:,} are replayed.")
        return fallback_choices(events, self._agents.answer(digest, lambda: self._loaded(digest)))

    def _loaded(self, digest: str) -> ServedAgent:
        registry = self._registry
        if registry is None:
            raise UsageError(
                "the fallback is made from the version that served, and no registry was given. Start the dashboard with it: "
                "quickstudy dashboard --store STORE --registry FOLDER."
            )
        held = next((name for name in registry.names() if digest in registry.versions(name)), None)
        if held is None:
            raise UsageError(
                f"the registry holds no version {digest[:12]}. Put the bundle that served in, with its envelope: quickstudy "
                f"registry put {shell_word(registry.folder)} NAME BUNDLE --envelope envelope.json."
            )
        folder, seed = registry.path_of(held, digest), registry.version(held, digest).seed
        if not (folder / ENVELOPE).is_file():
            raise UsageError("this version has no envelope, and so no fallback.")
        stored, bundle = load_envelope(folder / ENVELOPE), load_bundle(folder)
        if stored.envelope.fallback is None:
            raise UsageError("the envelope of this version names no fallback.")
        switched = dataclasses.replace(stored, envelope=dataclasses.replace(stored.envelope, mode="fallback"))
        agent = guarded_agent(bundle.agent, switched, bundle.distribution())
        return ServedAgent(agent, bundle.params_of(seed), seed=seed, digest=digest, long_chunks=True)
