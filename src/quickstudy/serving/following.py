"""A server follows an alias of a registry: it loads the version that the alias names, and notices when it names another."""

import dataclasses
import logging

from quickstudy.protocol.errors import QuickstudyError
from quickstudy.serving.engine import Engine
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.registry import Load, Registry
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.versions import Versions

_log = logging.getLogger("quickstudy.serving")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Named:
    """The entries of a registry: the version, the rule for sessions of other versions, and the version that shadows it."""

    agent: str
    moves: str
    shadow: str | None


class Following:
    """An alias, as one server follows it.

    Args:
      registry: that has the alias.
      name: of the agent.
      alias: that names the version of new sessions.
      shadow: alias of the version that decides beside it; None for none.
      load: makes the agent from a bundle, a seed and the file of an envelope.
    Raises:
      UnknownNameError: there is no such agent or alias.
      UsageError: the registry is damaged.
      BundleError: a version is not there, or damaged.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        alias: str,
        *,
        shadow: str | None = None,
        load: Load,
    ):
        self._registry, self._name, self._alias, self._shadow, self._load = registry, name, alias, shadow, load
        self._now = self._named()
        self.versions = Versions(
            self._loaded(self._now.agent),
            moves=self._now.moves,
            shadow=None if self._now.shadow is None else self._loaded(self._now.shadow),
            find=self._found,
            named=self._current_by_now,
        )
        self.trouble: str | None = None

    def look(self, engine: Engine) -> None:
        """Promotes the version that the alias names now. If that fails, nothing changes, and `trouble` says why."""
        try:
            named = self._named()
            if named != self._now:
                shadow = None if named.shadow is None else self._of(named.shadow)
                engine.promote(self._of(named.agent), moves=named.moves, shadow=shadow).result()
                _log.warning("new sessions of %s begin with version %s", self._name, named.agent[:12])
                self._now = named
            self.trouble = None
        except Refusal:
            return  # the server starts, stops or cannot store, which it tells elsewhere
        except (QuickstudyError, OSError) as error:
            if self.trouble is None:
                _log.error("the registry cannot be followed: %s", error)
            self.trouble = str(error)

    def _named(self) -> _Named:
        model = self._registry.model(self._name)  # read once: aliases and rule belong together
        shadow = None if self._shadow is None else self._registry.named(self._name, model, self._shadow)
        return _Named(agent=self._registry.named(self._name, model, self._alias), moves=model.moves, shadow=shadow)

    def _current_by_now(self) -> str | None:
        try:
            return self._registry.digest_of(self._name, self._alias)
        except (QuickstudyError, OSError):
            return None

    def _of(self, digest: str) -> ServedAgent:
        return self.versions.of(digest) or self._loaded(digest)

    def _found(self, digest: str) -> ServedAgent | None:
        """A version that sessions are pinned to, compiled."""
        try:
            served = self._loaded(digest)
        except (QuickstudyError, OSError) as error:
            _log.error("version %s of %s cannot be loaded: %s", digest[:12], self._name, error)
            return None
        served.programs.compile()
        return served

    def _loaded(self, digest: str) -> ServedAgent:
        return self._registry.load(self._name, digest, self._load)
