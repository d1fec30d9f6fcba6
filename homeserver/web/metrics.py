"""What the web server counts, for Prometheus.  One registry per server, so that two can live in one process."""

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector, generate_latest

from homeserver.web.routes import Route

LAG_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2)
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        labels = ("method", "route")
        self._answers = Counter("homeserver_http_answers", "Answers by route and status", (*labels, "status"), registry=self.registry)
        self._seconds = Histogram(
            "homeserver_http_seconds", "Time from request to answer by route", labels, buckets=BUCKETS, registry=self.registry
        )
        self.lag = Histogram(
            "homeserver_event_loop_lag_seconds", "How late a call comes that was due", buckets=LAG_BUCKETS, registry=self.registry
        )
        self._known: dict[tuple[Route | None, int], tuple[Counter, Histogram]] = {}

    def observe(self, route: Route | None, status: int, seconds: float) -> None:
        """A request was answered; without a route when there is no such endpoint."""
        known = self._known.get((route, status))
        if known is None:
            names = (route.method, route.path) if route else ("-", "unknown")
            known = self._known[route, status] = (self._answers.labels(*names, str(status)), self._seconds.labels(*names))
        known[0].inc()
        known[1].observe(seconds)

    def text(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        return generate_latest(self.registry)
