"""The line of statistics: how the server is and what it has done, for those who have its log and nothing else.

The numbers are those of ``/metrics``, read in the same place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from stompgate.http.measures import TABLE, Reading, Sources
from stompgate.http.parts import Health
from stompgate.http.process import ProcessFigures
from stompgate.model.causes import Cause
from stompgate.ports.clock import Clock, pause

FIRST_S: Final = 60.0
"""When the first line comes, where lines are further apart than that."""

ORDINARY: Final = frozenset({Cause.DISCONNECTED.code, Cause.PEER_LEFT.code, Cause.SERVER_STOPPING.code})
"""The causes of ends that are nobody's fault."""

Counts = Mapping[str, float | Mapping[str, float]]
"""Numbers by name, or by name and the value of a label; of the latter those that are 0 are left out."""

_COUNTERS: Final = (
    *("connections_opened", "connections_closed", "connections_refused"),
    *("messages_stored", "messages_repeated", "messages_rejected", "messages_delivered"),
    *("queue_messages_put", "queue_messages_given", "outbox_refused", "event_loop_stalls"),
)

_log = structlog.get_logger(__name__)


class Statistics:
    """Writes the line every so often, from ``start`` to ``close``."""

    def __init__(self, server_id: str, clock: Clock, sources: Sources, health: Health) -> None:
        self._server_id = server_id
        self._clock = clock
        self._sources = sources
        self._health = health
        self._process = ProcessFigures()
        self._began_s = self._told_s = clock.monotonic()
        self._told: Counts = {}
        self._telling: asyncio.Task[None] | None = None

    def start(self, every_s: float) -> None:
        """Write it every ``every_s`` from now on, the first soon; 0 is never. Called again, it begins anew."""
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.create_task(self._tell_for_ever(every_s), name="statistics") if every_s else None

    async def close(self) -> None:
        """Write no more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])

    async def _tell_for_ever(self, every_s: float) -> None:
        await pause(self._clock, min(FIRST_S, every_s))
        while True:
            await self._tell()
            await pause(self._clock, every_s)

    async def _tell(self) -> None:
        parts = {part.name: "ok" if part.ok else part.reason for part in await self._health.parts()}
        process = {figure.name: figure.value for figure in self._process.figures()}
        read, loop, now_s = _readings(self._sources), self._sources.loop, self._clock.monotonic()
        total = {**_counts(read), "cpu_s": round(process["process_cpu_seconds_total"], 1)}
        _log.info(
            "statistics",
            server=self._server_id,
            up_s=round(now_s - self._began_s),
            since_s=round(now_s - self._told_s),
            connections=read["connections"],
            sessions=_number(read["sessions_opened"]) - _number(read["sessions_closed"]),
            subscriptions=read["subscriptions"],
            waiting={name: read[f"{name}_messages"] for name in ("intake_waiting", "fan_out_waiting", "queue_on_the_way")},
            outbox={name: read[f"outbox_{name}_records"] for name in ("owed", "on_the_way", "unmarked")},
            parts=parts,
            loop_lag_most_s=round(loop.worst_lag_s, 3),
            memory_bytes=process.get("process_resident_memory_bytes"),
            total=total,
            since=_since(total, self._told),
        )
        self._told, self._told_s, loop.worst_lag_s = total, now_s, 0.0


def _readings(sources: Sources) -> Mapping[str, Reading]:
    """Everything in the table of measures, without the words that all of its names share."""
    return {m.name.removeprefix("stompgate_").removesuffix("_total"): m.read(sources) for m in TABLE}


def _counts(read: Mapping[str, Reading]) -> Counts:
    frames, closed = read["frames_received"], read["connections_closed"]
    assert isinstance(frames, Mapping)
    assert isinstance(closed, Mapping)
    return {
        "connects": frames["CONNECT"] + frames["STOMP"],
        "connecteds": _number(read["connects_accepted"]),
        "disconnects": frames["DISCONNECT"],
        "connections_abnormal": sum(count for cause, count in closed.items() if cause not in ORDINARY),
        **{name: _shown(read[name]) for name in _COUNTERS},
    }


def _shown(reading: Reading) -> float | Mapping[str, float]:
    return {label: value for label, value in reading.items() if value} if isinstance(reading, Mapping) else _number(reading)


def _number(reading: Reading) -> float:
    assert isinstance(reading, (int, float))
    return reading


def _since(total: Counts, told: Counts) -> Counts:
    """What came on top."""
    gained: dict[str, float | Mapping[str, float]] = {}
    for name, now in total.items():
        before = told.get(name, {} if isinstance(now, Mapping) else 0)
        if isinstance(now, Mapping):
            assert isinstance(before, Mapping)
            gained[name] = {
                label: value - before.get(label, 0) for label, value in now.items() if value != before.get(label, 0)
            }
        else:
            assert not isinstance(before, Mapping)
            gained[name] = round(now - before, 1)
    return gained
