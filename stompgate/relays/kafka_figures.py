"""What the relay through Kafka counts, for operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from stompgate.ports.part import Figure

from .kafka_departures import Departures
from .kafka_publisher import Publisher
from .kafka_reader import Reader


class _Clients(NamedTuple):
    publisher: Publisher
    reader: Reader
    departures: Departures | None


_REBUILDS: Final = "Clients of Kafka that were replaced"
_FIGURES: Final[Sequence[tuple[str, str, str, Callable[[_Clients], float]]]] = (
    ("up", "Whether records come in and go out", "", lambda c: c.reader.is_up and c.publisher.is_up),
    ("published_total", "Records that Kafka has taken", "", lambda c: c.publisher.backlog.published),
    ("unknown_total", "Records answered with an unknown outcome", "", lambda c: c.publisher.backlog.unknown),
    ("refused_total", "Records that can never be published", "", lambda c: c.publisher.backlog.refused),
    ("in_flight", "Records that wait for an answer", "", lambda c: c.publisher.backlog.records),
    ("received_total", "Records read", "", lambda c: c.reader.received),
    ("junk_total", "Records passed over since they are none", "", lambda c: c.reader.junk),
    ("other_formats_total", "Records passed over that are for other versions", "", lambda c: c.reader.other_formats),
    ("resets_total", "Moments that may have cost records", "", lambda c: c.reader.resets),
    ("silent_seconds", "Time since a partition has answered a fetch, at most", "", lambda c: c.reader.silent_s),
    ("lag_records", "Records not read yet, over all partitions", "", lambda c: sum(c.reader.lag().values())),
    ("departures_total", "Users that were forgotten", "", lambda c: c.departures.told if c.departures else 0),
    ("departures_junk_total", "Departures that name nobody", "", lambda c: c.departures.junk if c.departures else 0),
    ("rebuilds_total", _REBUILDS, "publisher", lambda c: c.publisher.rebuilds),
    ("rebuilds_total", _REBUILDS, "reader", lambda c: c.reader.rebuilds),
    ("rebuilds_total", _REBUILDS, "departures", lambda c: c.departures.rebuilds if c.departures else 0),
)


def figures(publisher: Publisher | None, reader: Reader | None, departures: Departures | None) -> Sequence[Figure]:
    """All of them as they are now; 0 before there is a client."""
    clients = _Clients(publisher, reader, departures) if publisher is not None and reader is not None else None
    return [
        Figure(f"stompgate_relay_{name}", about, float(read(clients)) if clients else 0.0, lane)
        for name, about, lane, read in _FIGURES
    ]
