"""What the web server counts, for Prometheus.  One registry per server, so that two can live in one process."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from homeserver.web.routes import Route

LAG_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2)
LONG_BUCKETS = (0.03, 0.05, 0.1, 0.5, 2)
MOST_PLACES = 50
LABELS = ("method", "route")
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


@dataclass(slots=True)
class _Answered:
    """The answers of one route.  Plain numbers: these are counted at every request, on one thread."""

    seconds: float = 0.0
    within: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    by_status: dict[int, int] = field(default_factory=dict)


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._routes: dict[tuple[str, str], _Answered] = {}
        self.registry.register(self)
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

    def observe(self, route: Route | None, status: int, seconds: float) -> None:
        """A request was answered; without a route when there is no such endpoint."""
        names = (route.method, route.path) if route else ("-", "unknown")
        known = self._routes.get(names)
        if known is None:
            known = self._routes[names] = _Answered()
        known.seconds += seconds
        known.within[bisect_left(BUCKETS, seconds)] += 1
        known.by_status[status] = known.by_status.get(status, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for: the answers."""
        answers = CounterMetricFamily("homeserver_http_answers", "Answers by route and status", labels=(*LABELS, "status"))
        times = HistogramMetricFamily("homeserver_http_seconds", "Time from request to answer by route", labels=LABELS)
        for names, known in self._routes.items():
            for status, count in known.by_status.items():
                answers.add_metric((*names, str(status)), count)
            bounds = [*map(str, map(float, BUCKETS)), "+Inf"]
            times.add_metric(names, list(zip(bounds, accumulate(known.within), strict=True)), known.seconds)
        yield answers
        yield times

    def long_turn(self, place: str, busy: bool, seconds: float) -> None:
        """The event loop was held up; of places that hold it, so many are told apart."""
        if len(self._places) < MOST_PLACES:
            self._places.add(place)
        self._long_turns.labels(place if place in self._places else "other", "working" if busy else "waiting").observe(seconds)

    def text(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        return generate_latest(self.registry)
