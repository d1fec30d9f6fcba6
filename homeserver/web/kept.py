"""Counters that somebody else keeps, for Prometheus: looked at when they are asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, eq=False)
class Kept(Collector):
    """Counters of one family, by what they count.  To be registered with `Metrics.registry`."""

    name: str
    text: str
    look: Callable[[], Mapping[str, int]]

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counters as they are now."""
        family = CounterMetricFamily(self.name, self.text, labels=("what",))
        for what, count in self.look().items():
            family.add_metric([what], count)
        yield family
