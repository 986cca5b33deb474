"""What the relay through Kafka counts, for operators."""

from __future__ import annotations

from collections.abc import Sequence

from stompgate.ports.part import Figure

from .kafka_departures import Departures
from .kafka_publisher import Publisher
from .kafka_reader import Reader


def figures(publisher: Publisher, reader: Reader, departures: Departures | None) -> Sequence[Figure]:
    """All of them as they are now."""
    backlog = publisher.backlog
    lag = reader.lag()
    rebuilds = "Clients of Kafka that were replaced"
    return [
        Figure("stompgate_relay_up", "Whether records come in and go out", float(reader.is_up and publisher.is_up)),
        Figure("stompgate_relay_published_total", "Records that Kafka has taken", backlog.published),
        Figure("stompgate_relay_unknown_total", "Records answered with an unknown outcome", backlog.unknown),
        Figure("stompgate_relay_refused_total", "Records that can never be published", backlog.refused),
        Figure("stompgate_relay_in_flight", "Records that wait for an answer", backlog.records),
        Figure("stompgate_relay_received_total", "Records read", reader.received),
        Figure("stompgate_relay_junk_total", "Records passed over since they are none", reader.junk),
        Figure("stompgate_relay_other_formats_total", "Records passed over that are for other versions", reader.other_formats),
        Figure("stompgate_relay_resets_total", "Moments that may have cost records", reader.resets),
        Figure("stompgate_relay_silent_seconds", "Time since a partition has answered a fetch, at most", reader.silent_s),
        Figure("stompgate_relay_lag_records", "Records not read yet, over all partitions", sum(lag.values())),
        Figure("stompgate_relay_departures_total", "Users that were forgotten", departures.told if departures else 0),
        Figure("stompgate_relay_departures_junk_total", "Departures that name nobody", departures.junk if departures else 0),
        Figure("stompgate_relay_rebuilds_total", rebuilds, publisher.rebuilds, "publisher"),
        Figure("stompgate_relay_rebuilds_total", rebuilds, reader.rebuilds, "reader"),
        Figure("stompgate_relay_rebuilds_total", rebuilds, departures.rebuilds if departures else 0, "departures"),
    ]
