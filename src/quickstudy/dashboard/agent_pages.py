"""The pages of the agents in a registry: versions, aliases, history, and champion against challenger."""

from typing import Any

from starlette.responses import Response

from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.kept import Kept
from quickstudy.dashboard.rendering import Pages, csv_response
from quickstudy.protocol.errors import QuickstudyError, UsageError
from quickstudy.serving.evaluated import Evaluated, differences, evaluate_policy
from quickstudy.serving.registry import CHAMPION, Registry
from quickstudy.serving.replayed import agent_policy
from quickstudy.serving.stores.store import Store
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.envelope_file import ENVELOPE

_MOST_KEPT = 32
_MOST_DECISIONS = 100_000
_DEFAULT_DECISIONS = 10


class AgentPages:
    """Pages on the agents of a registry.

    Args:
      registry: that is shown; it is only read.
      store: with the sessions that estimates rest on; None where there is none.
      pages: makes pages.
    """

    def __init__(self, registry: Registry, pages: Pages, *, store: Store | None):
        self._registry, self._pages, self._store = registry, pages, store
        self._kept = Kept[Evaluated | str](_MOST_KEPT)

    def routes(self) -> list[PageRoute]:
        """The paths of these pages."""
        return [
            PageRoute(path="/agents", answer=self._list),
            PageRoute(path="/agents/one", answer=self._one),
            PageRoute(path="/agents/one.csv", answer=self._one_csv),
        ]

    def _list(self, asked: Asked) -> Response:
        del asked
        rows = []
        for name in self._registry.names():
            try:
                model = self._registry.model(name)
                rows.append({"name": name, "versions": len(self._registry.versions(name)), "model": model, "wrong": None})
            except QuickstudyError as error:
                rows.append({"name": name, "versions": 0, "model": None, "wrong": str(error)})
        folder = str(self._registry.folder)
        return self._pages.page("agents.html", here="agents", title="Agents", rows=rows, folder=folder)

    def _one(self, asked: Asked) -> Response:
        name = asked.one("name")
        model = self._registry.model(name)
        versions = [self._version(name, digest) for digest in self._registry.versions(name)]
        for version in versions:
            version["aliases"] = [alias for alias, one in model.aliases.items() if one.agent == version["digest"]]
        first, second, decisions = self._compared(asked, name)
        compares = bool(second) and self._store is not None
        found = [(word, *self._estimate(asked, name, word, decisions)) for word in (first, second)] if compares else []
        apart = differences([evaluated for _, evaluated, _ in found])
        return self._pages.page(
            "agent.html", here="agents", title=name, name=name, model=model, versions=versions, first=first, second=second,
            decisions=decisions, has_store=self._store is not None, found=found, apart=apart, folder=str(self._registry.folder),
            choices=[*model.aliases, *(one["digest"][:12] for one in versions)], champion=CHAMPION,
        )  # fmt: skip

    def _one_csv(self, asked: Asked) -> Response:
        name = asked.one("name")
        first, second, decisions = self._compared(asked, name)
        if self._store is None or not second:
            raise UsageError("there is no comparison here. Choose two versions on the page of the agent.")
        rows, both = [], []
        for word in (first, second):
            evaluated, wrong = self._estimate(asked, name, word, decisions)
            if evaluated is None:
                raise UsageError(wrong)
            both.append(evaluated)
            rows += [[word, kind, one.value, one.low, one.high] for kind, one in evaluated.report.estimates.items()]
        rows += [[f"{second} minus {first}", kind, one.value, one.low, one.high] for kind, one in differences(both).items()]
        header = ["version", "estimator", "return (reward units)", "95 % interval from", "to"]
        return csv_response(header, rows, name="off-policy")

    def _version(self, name: str, digest: str) -> dict[str, Any]:
        try:
            seed, wrong = self._registry.version(name, digest).seed, None
        except QuickstudyError as error:
            seed, wrong = None, str(error)
        guarded = (self._registry.path_of(name, digest) / ENVELOPE).is_file()
        return {"digest": digest, "seed": seed, "wrong": wrong, "guarded": guarded}

    def _compared(self, asked: Asked, name: str) -> tuple[str, str, int]:
        """What is compared: two words for versions, and the decisions of a lifetime that count."""
        model = self._registry.model(name)
        first = asked.one("first") or (CHAMPION if CHAMPION in model.aliases else "")
        decisions = asked.whole("decisions", default=_DEFAULT_DECISIONS, least=1, most=_MOST_DECISIONS)
        return first, asked.one("second"), decisions

    def _estimate(self, asked: Asked, name: str, word: str, decisions: int) -> tuple[Evaluated | None, str]:
        """The estimates of a version, or why there are none. They are kept until the sessions change."""
        store = self._store
        assert store is not None  # only asked for where there is one
        digest, tenant = self._registry.find(name, word), asked.caller.tenant
        key = (name, digest, decisions, tenant, tuple(sorted((shard, link.seq) for shard, link in store.heads().items())))
        found = self._kept.answer(key, lambda: self._evaluated(store, name, digest, decisions, tenant))
        return (None, found) if isinstance(found, str) else (found, "")

    def _evaluated(self, store: Store, name: str, digest: str, decisions: int, tenant: str) -> Evaluated | str:
        try:
            seed = self._registry.version(name, digest).seed
            bundle = load_bundle(self._registry.path_of(name, digest))
            policy = agent_policy(bundle.agent, bundle.params_of(seed), seed=seed)
            return evaluate_policy(store, policy, decisions=decisions, tenant=tenant)
        except QuickstudyError as error:
            return str(error)
