"""What the web server counts, for Prometheus.  One registry per server, so that two can live in one process."""

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector, generate_latest

from homeserver.web.routes import Route

LAG_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2)
LONG_BUCKETS = (0.03, 0.05, 0.1, 0.5, 2)
MOST_PLACES = 50
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
        self._long_turns = Histogram(
            "homeserver_event_loop_long_turn_seconds",
            "Turns of the event loop of 20 ms and more, by the function that held them, and whether it worked or waited",
            ("place", "doing"),
            buckets=LONG_BUCKETS,
            registry=self.registry,
        )
        self._places: set[str] = set()
        self._known: dict[tuple[tuple[str, str], int], tuple[Counter, Histogram]] = {}

    def observe(self, route: Route | None, status: int, seconds: float) -> None:
        """A request was answered; without a route when there is no such endpoint."""
        names = (route.method, route.path) if route else ("-", "unknown")
        known = self._known.get((names, status))
        if known is None:
            known = self._known[names, status] = (self._answers.labels(*names, str(status)), self._seconds.labels(*names))
        known[0].inc()
        known[1].observe(seconds)

    def long_turn(self, place: str, busy: bool, seconds: float) -> None:
        """The event loop was held up; of places that hold it, so many are told apart."""
        if len(self._places) < MOST_PLACES:
            self._places.add(place)
        self._long_turns.labels(place if place in self._places else "other", "working" if busy else "waiting").observe(seconds)

    def text(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        return generate_latest(self.registry)
