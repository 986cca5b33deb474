"""Writes docs/operations/metrics.md from what is measured.

``python -m tests.house.metrics_page > docs/operations/metrics.md``
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby

from stompgate.access.origins import AllowedOrigins
from stompgate.backends import Kind as Backend
from stompgate.backends import resolve
from stompgate.chat.inquiries import Inquiries
from stompgate.chat.retention import Retention, RetentionLimits
from stompgate.gateway.link import Link
from stompgate.http.measures import TABLE, Kind
from stompgate.http.metrics import BUILD_INFO, BUILD_INFO_ABOUT, LANE
from stompgate.http.process import ProcessFigures
from stompgate.mail.log import LogMail
from stompgate.portions import backend_options, sockjs_options
from stompgate.ports.part import Figure, Measured
from stompgate.settings import Settings
from stompgate.timing.wheel import TimerWheel
from stompgate.transports.outbox import Flusher, OutboxLimits
from stompgate.transports.sockjs_mount import SockJsMount
from stompgate.transports.websocket import Receiver
from tests.fakes import FakeClock
from tests.memory_store import MemoryRows, MemoryStore

NO_LIMITS = RetentionLimits()

HEAD = f"""\
# Metrics

`GET /metrics` answers operators (`http.operators`) in the text format of Prometheus, or in that of OpenMetrics where the
request accepts it. A scrape reads counters that are there anyway, and costs the same however many connections there are;
every 10 or 15 seconds is fine.

Counters end in `_total` and rise from 0 with each start of the process. A histogram has `_bucket`, `_sum` and `_count`. The
label `{LANE}` tells figures of one name apart. Causes are those of [errors.md](../errors.md).

What to watch: `stompgate_connections_closed_total` by cause, `stompgate_messages_rejected_total`,
`stompgate_outbox_owed_records` (above 0 for long: the other servers get nothing), `stompgate_intake_commit_seconds`,
`stompgate_event_loop_stalls_total`.

This page is made from `stompgate/http/measures.py` and from the figures of the parts.
"""

BACKENDS = (
    (Backend.STORE, "sqlite:///data/chat.db", "The store in SQLite"),
    (Backend.STORE, "mysql://user@host/chat", "The store in MySQL"),
    (Backend.RELAY, "kafka://host:9092", "The relay through Kafka"),
    (Backend.SESSIONS, "memory:", "Sessions in memory"),
    (Backend.SESSIONS, "redis://host:6379/0", "Sessions in Redis"),
)


def page() -> str:
    """The whole page."""
    sections = [
        HEAD,
        *_section("The server", [*_rows_of_the_table(), _row(BUILD_INFO, BUILD_INFO_ABOUT, "gauge", "version, python")]),
        *_section("The process", _rows_of(ProcessFigures().figures())),
        *_section("Inquiries", _rows_of(Inquiries(MemoryStore(MemoryRows(), server_id=""), LogMail(), FakeClock()).figures())),
        *_section("SockJS", _rows_of(sockjs_figures())),
        *_section("Retention", _rows_of(Retention(MemoryStore(MemoryRows(), server_id=""), FakeClock(), NO_LIMITS).figures())),
    ]
    for kind, url, title in BACKENDS:
        figures = figures_of(kind, url)
        if figures:
            sections += _section(title, _rows_of(figures))
    return "\n".join(sections) + "\n"


def figures_of(kind: Backend, url: str) -> Sequence[Figure]:
    """The figures of a part that is not opened; none if it keeps none."""
    part = resolve(kind, url)(url, server_id="server", clock=FakeClock(), zone=None, options=backend_options(Settings(), url))
    return part.figures() if isinstance(part, Measured) else ()


def sockjs_figures() -> Sequence[Figure]:
    """The figures of a mount that nobody uses."""
    with closing(asyncio.new_event_loop()) as loop:
        flusher = Flusher(loop, TimerWheel(), OutboxLimits())
        (options,) = sockjs_options(Settings())
        return SockJsMount(options, AllowedOrigins(["*"]), flusher, nobody, lambda: None).figures()


def nobody(link: Link) -> Receiver:
    """Takes no connection."""
    raise AssertionError(link)


def _section(title: str, rows: Iterable[str]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| Name | Kind | Label | Meaning |"
    yield "|---|---|---|---|"
    yield from rows
    yield ""


def _rows_of_the_table() -> Iterator[str]:
    kinds = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}
    for measure in TABLE:
        yield _row(measure.name, measure.about, kinds[measure.kind], measure.label)


def _rows_of(figures: Sequence[Figure]) -> Iterator[str]:
    for name, of_one_name in groupby(sorted(figures, key=lambda figure: figure.name), key=lambda figure: figure.name):
        alike = list(of_one_name)
        label = LANE if any(figure.lane for figure in alike) else ""
        yield _row(name, alike[0].about, "counter" if name.endswith("_total") else "gauge", label)


def _row(name: str, about: str, kind: str, label: str) -> str:
    return f"| `{name}` | {kind} | {label} | {about.rstrip('.')}. |"


if __name__ == "__main__":
    print(page(), end="")
