"""What Prometheus scrapes: the table of ``measures`` and the figures of the parts, in its text formats.

The numbers are read when they are asked for, on the event loop, which takes about 2 ms whatever is connected. No metric object
of the client library lives longer than one scrape, and its global registry stays empty of ours.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from stompgate import __version__
from stompgate.ports.part import Figure
from stompgate.timing.histogram import Histogram

from .measures import TABLE, Kind, Measure, Sources
from .objects import PROBLEMS
from .parts import HttpSettings
from .process import ProcessFigures
from .requests import operators_only

LANE = "lane"
BUILD_INFO = "stompgate_build_info"
BUILD_INFO_ABOUT = "Always 1; says which version runs, and by which Python."


def metrics_routes(sources: Callable[[], Sources], settings: HttpSettings) -> APIRouter:
    """Return ``/metrics``. ``sources`` is called with each scrape, for those that are made after the application."""
    routes = APIRouter(tags=["operators"], responses=PROBLEMS, dependencies=[Depends(operators_only(settings))])
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(sources))

    @routes.get("/metrics", response_class=Response, summary="Show the figures, for Prometheus")
    async def metrics(request: Request) -> Response:
        """In the text format of Prometheus, or that of OpenMetrics where it is accepted."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return routes


class _Reading(Collector):
    """Reads everything at each scrape."""

    def __init__(self, sources: Callable[[], Sources]) -> None:
        self._sources = sources
        self._process = ProcessFigures()

    def collect(self) -> Iterable[Metric]:
        """All that is measured."""
        sources = self._sources()
        for measure in TABLE:
            yield _shown(measure, sources)
        build = GaugeMetricFamily(BUILD_INFO, BUILD_INFO_ABOUT, labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build
        yield from _figures(chain.from_iterable(part.figures() for part in (*sources.measured, self._process)))


def _shown(measure: Measure, sources: Sources) -> Metric:
    reading = measure.read(sources)
    if isinstance(reading, Histogram):
        return HistogramMetricFamily(measure.name, measure.about, _buckets(reading), reading.total)
    metric = _family(measure.name, measure.about, [measure.label] if measure.label else [], measure.kind)
    if isinstance(reading, (int, float)):
        metric.add_metric([], reading)
    else:
        for label, value in reading.items():
            metric.add_metric([label], value)
    return metric


def _figures(figures: Iterable[Figure]) -> Iterator[Metric]:
    """The figures of parts. Those of one name become one metric, however far apart they stand."""
    lanes: dict[str, list[Figure]] = {}
    for figure in figures:
        lanes.setdefault(figure.name, []).append(figure)
    for name, of_one_name in lanes.items():
        labels = [LANE] if any(figure.lane for figure in of_one_name) else []
        metric = _family(name, of_one_name[0].about, labels, Kind.COUNTER if name.endswith("_total") else Kind.GAUGE)
        for figure in of_one_name:
            metric.add_metric([figure.lane] if labels else [], figure.value)
        yield metric


def _family(name: str, about: str, labels: Sequence[str], kind: Kind) -> CounterMetricFamily | GaugeMetricFamily:
    family = CounterMetricFamily if kind is Kind.COUNTER else GaugeMetricFamily
    return family(name, about, labels=labels)


def _buckets(histogram: Histogram) -> Sequence[tuple[str, int]]:
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    return list(zip(bounds, histogram.cumulative(), strict=True))
