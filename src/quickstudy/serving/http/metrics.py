"""Figures for Prometheus. Labels are kinds of requests and statuses only: a label for each session would never end."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from quickstudy.serving.engine import Engine
from quickstudy.serving.following import Following

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """The figures of one server process.

    Args:
      engine: whose figures are told.
      follows: the alias that names its agent, if there is one.
    """

    def __init__(self, engine: Engine, follows: Following | None = None):
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "quickstudy_requests", "Requests by kind and HTTP status.", ["kind", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "quickstudy_request_seconds", "Time to answer, by kind.", ["kind"], buckets=_SECONDS, registry=self._registry
        )
        for name, says, value in (
            ("quickstudy_waiting_requests", "Requests under way.", lambda: engine.waiting),
            ("quickstudy_live_sessions", "Sessions in memory.", lambda: engine.live),
            ("quickstudy_versions", "Versions of the agent in memory.", lambda: engine.versions.held),
            (
                "quickstudy_registry_failing",
                "1 while the registry cannot be followed.",
                lambda: float(follows is not None and follows.trouble is not None),
            ),
            ("quickstudy_store_failing", "1 while the store cannot be written.", lambda: float(engine.trouble is not None)),
        ):
            Gauge(name, says, registry=self._registry).set_function(value)
        self._children: dict[tuple[str, int], tuple] = {}

    def note(self, kind: str, status: int, seconds: float) -> None:
        """Counts a request."""
        pair = self._children.get((kind, status))
        if pair is None:
            pair = self._requests.labels(kind, str(status)), self._seconds.labels(kind)
            self._children[kind, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def text(self) -> bytes:
        """All figures."""
        return generate_latest(self._registry)
