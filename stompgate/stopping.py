"""Going down: what a server does between the signal and its end, in this order, every step bounded.

It must never end a connection whose messages the store is still at, nor let go of a part that something else may need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Final

import structlog

from stompgate.model.causes import Cause

from .settings import Settings
from .wiring import Server

FINISH_S: Final = 45.0
"""What all that follows the last close may take: requests, the store's answers, marks, the relay, presence, the lease."""

_ANSWERS_S: Final = 15.0
_STEP_S: Final = 10.0
_MARGIN_S: Final = 1.0

_log = structlog.get_logger(__name__)


def limit_s(settings: Settings) -> float:
    """The longest time from the signal to the end of the process; then it ends whatever is left.

    With the defaults 86 s, a little less than systemd's own ``TimeoutStopSec``. That of a unit must be above it.
    """
    return settings.drain.window_s + settings.drain.answers_s + _closes_s(settings) + FINISH_S


async def stop(server: Server, settings: Settings) -> None:
    """Take no more, send everyone away at the drain's pace, finish what was accepted. The container is closed behind it."""
    now = datetime.fromtimestamp(server.gate.clock.utc_us() / 1_000_000, UTC)
    server.health.draining_since = now.isoformat(timespec="seconds")
    for listener in server.listeners:
        await listener.close()
    await server.drain.run()
    server.gate.close_all(Cause.SERVER_STOPPING)  # who came to the gate by an HTTP connection of before
    chat = server.chat
    await _step("connections", server.gate.empty.wait(), _closes_s(settings))
    await _step("http", server.http.close(), _STEP_S)
    server.operator_door.close()  # before the lease is let go: who takes it next opens its own
    await _step("operators", server.operator_door.http.close(), _STEP_S)
    # What the store has not answered by then, it may still have stored.
    await _step("intake", chat.intake.close(), _ANSWERS_S)
    await _step("queues", server.gate.queues.close(), _ANSWERS_S)
    await _step("retention", chat.retention.close(), _STEP_S)
    await _step("inquiries", chat.inquiries.close(), _STEP_S)
    await _step("outbox", chat.outbox.close(), _STEP_S)
    await _step("lease", chat.lease.close(), _STEP_S)
    await _step("statistics", server.statistics.close(), _STEP_S)
    await _step("feeds", chat.feeds.close(), _STEP_S)
    server.ticker.stop()


def _closes_s(settings: Settings) -> float:
    """How long peers may take over their close, or to come for it: the links give up on a silent one a little earlier."""
    longest_s = max(settings.websocket.close_timeout_s, settings.connections.closing_grace_s)
    if settings.sockjs.enabled:
        longest_s = max(longest_s, settings.sockjs.disconnect_delay_s)
    return longest_s + _MARGIN_S


async def _step(name: str, work: Awaitable[object], within_s: float) -> None:
    """Do one step; one that takes too long must not keep the others from being done."""
    try:
        async with asyncio.timeout(within_s):
            await work
    except TimeoutError:
        _log.warning("a step of the stop was left undone", step=name, within_s=within_s)
