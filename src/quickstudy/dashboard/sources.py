"""What a dashboard shows: a folder of runs, a store, a registry. Where one is not given, a page says what is missing."""

import dataclasses
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp

from quickstudy.dashboard.access import Access
from quickstudy.dashboard.agent_pages import AgentPages
from quickstudy.dashboard.application import application
from quickstudy.dashboard.asked import Asked, PageRoute
from quickstudy.dashboard.audit_pages import AuditPages
from quickstudy.dashboard.belief_pages import BeliefPages
from quickstudy.dashboard.fallbacks import Fallbacks
from quickstudy.dashboard.holdback_pages import HoldbackPages
from quickstudy.dashboard.rendering import Pages
from quickstudy.dashboard.result_pages import ResultPages
from quickstudy.dashboard.run_pages import RunPages
from quickstudy.dashboard.runs import Runs
from quickstudy.dashboard.session_pages import SessionPages
from quickstudy.dashboard.task_pages import TaskPages
from quickstudy.serving.http.tokens import Tokens
from quickstudy.serving.registry import Registry
from quickstudy.serving.stores.store import Store

_MISSING = {
    "sessions": (
        "No store was given, so there are no sessions to show.",
        "quickstudy dashboard --store sqlite:sessions.db",
        "A server fills the store: quickstudy serve bundles/bandit-n100-k5-taught --store sqlite:sessions.db",
    ),
    "audit": (
        "No store was given, so there is no audit to show.",
        "quickstudy dashboard --store sqlite:sessions.db",
        "A server fills the store: quickstudy serve bundles/bandit-n100-k5-taught --store sqlite:sessions.db",
    ),
    "agents": (
        "No registry was given, so there are no agents to show.",
        "quickstudy dashboard --registry agents",
        "This command fills the registry: quickstudy registry put agents bandit bundles/bandit-n100-k5-taught",
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """What is shown.

    Args:
      runs: folder with runs and their results; it may not be there yet.
      store: with sessions; None shows none. It is only read.
      registry: of agents; None shows none. It is only read.
      server: address of the server of the store, which makes changes; None where nothing can be changed.
      loopback: whether only this machine reaches the dashboard. If not, a token is always needed.
    """

    runs: Path
    store: Store | None = None
    registry: Registry | None = None
    server: str | None = None
    loopback: bool = True


def dashboard(sources: Sources) -> ASGIApp:
    """The application that shows some sources: to be served alone, or to be mounted by another.

    Args:
      sources: what is shown.
    """
    tokens = None if sources.store is None else Tokens(sources.store)
    access = Access(tokens, loopback=sources.loopback)
    pages = Pages(form_key=access.form_key, signs_out=access.needs_token)
    runs, store = Runs(sources.runs), sources.store
    tasks = TaskPages(sources.runs, pages)
    routes = [*RunPages(runs, pages).routes(), *ResultPages(sources.runs, runs, tasks, pages).routes()]
    routes += [*tasks.routes(), *BeliefPages(sources.runs, pages).routes()]
    if store is None:
        routes += [_missing("sessions", pages), _missing("audit", pages)]
    else:
        fallbacks = Fallbacks(store, sources.registry)
        routes += SessionPages(store, pages, server=sources.server, fallbacks=fallbacks).routes()
        routes += [*AuditPages(store, pages).routes(), *HoldbackPages(store, pages).routes()]
    if sources.registry is None:
        routes.append(_missing("agents", pages))
    else:
        routes += AgentPages(sources.registry, pages, store=store).routes()
    return application(routes, access, pages)


def _missing(here: str, pages: Pages) -> PageRoute:
    what, command, more = _MISSING[here]

    def answer(asked: Asked) -> Response:
        del asked
        return pages.page("missing.html", here=here, title=here.capitalize(), what=what, command=command, more=more)

    return PageRoute(path=f"/{here}", answer=answer)
