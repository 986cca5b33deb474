"""The services of ``tests.sockjs_server``, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from stompgate.transports.outbox import OutboxLimits
from stompgate.transports.sockjs_session import SockJsLimits
from tests.sockjs_server import RESPONSE_BYTES, SockJsServer

from .wire import Web


class Served:
    """A server, and the way to it."""

    def __init__(self, server: SockJsServer, way: Web) -> None:
        self.server, self.web = server, way


Serve = Callable[..., Coroutine[Any, Any, Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server with limits of its own."""
    started: list[Served] = []

    async def start(*, origins: tuple[str, ...] = ("*",), send_limits: OutboxLimits | None = None, **limits: Any) -> Served:
        bounds = SockJsLimits(**{"response_bytes": RESPONSE_BYTES, **limits})
        server = SockJsServer(asyncio.get_running_loop(), bounds, origins, send_limits)
        url = await server.open()
        started.append(Served(server, Web(url)))
        return started[-1]

    yield start
    for served in started:
        await served.web.close()
        await served.server.close()


@pytest.fixture
async def served(serve: Serve) -> Served:
    """A server with the limits of the protocol's tests."""
    return await serve()
