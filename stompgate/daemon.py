"""The life of a server: start, serve, stop. SIGTERM and SIGINT end it cleanly; a second one at once."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import ssl
import sys
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

import click
import structlog
import uvloop

from stompgate import __version__
from stompgate.model.causes import Cause
from stompgate.ports.part import SetupError
from stompgate.ports.sessions import Sessions

from . import logs
from .settings import Listen, Settings
from .system_clock import SystemClock
from .wiring import Server, wire

_RESERVED_FILES = 64
"""File descriptors kept for everything but connections: the store, the log, refusals."""

_SWITCH_S = 0.0005
"""How long the event loop may keep the store's threads from running. The default, 5 ms, is paid at each of their steps."""

_FAILED = 1
_DATE_S = 1.0
_STORE_DEADLINE_S = 15.0
_CLOSE_MARGIN_S = 1.0

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> int:
    """Serve until a signal ends it. Returns the exit code. Raises ``SetupError`` if the server cannot start."""
    logs.configure(settings.log)
    sys.setswitchinterval(_SWITCH_S)
    connections = connection_limit(settings.listen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, connections))


def connection_limit(listen: Listen) -> int:
    """How many connections there may be: the setting, within what the open files of this process allow."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    possible = hard - _RESERVED_FILES
    return min(listen.max_connections, possible) if listen.max_connections else possible


def tls_context(listen: Listen) -> ssl.SSLContext | None:
    """The TLS of the port, None for clear text. Raises ``SetupError`` for files that cannot be used."""
    if not listen.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(listen.tls_certificate, listen.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"the TLS certificate {listen.tls_certificate} and its key cannot be used: {error}") from error
    return context


async def _serve(settings: Settings, connections: int) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, _asked_to_stop, stop)
    tls = tls_context(settings.listen)
    clock = SystemClock(loop)
    server = wire(settings, clock, loop, connections=connections, fatal=_fail)
    async with server.container:
        await server.chat.lease.take()
        dates = asyncio.create_task(_keep_dates(server), name="dates")
        try:
            await _start(server, settings, tls)
            await stop.wait()
        finally:
            dates.cancel()
            await _stop(server, settings)
    _log.info("stopped")
    return 0


def _asked_to_stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        _log.warning("stopped at once, by a second signal")
        os._exit(_FAILED)
    stop.set()


def _fail(reason: str) -> NoReturn:
    """End as a crash would: nothing more is published, and neither sessions nor places in the relay are touched."""
    _log.critical("stopped at once: the server must not go on", reason=reason)
    os._exit(_FAILED)


async def _start(server: Server, settings: Settings, tls: ssl.SSLContext | None) -> None:
    server.chat.lease.start()
    server.container.get(Sessions).start()
    server.ticker.start()
    server.chat.feeds.start()
    server.chat.outbox.start()
    server.chat.inquiries.start()
    await server.listener.open(settings.listen.host, settings.listen.port, tls)
    port = server.listener.addresses[0][1]
    server.gate.settings = replace(server.gate.settings, advertised_port=port)
    server.health.is_listening = True
    # What lives as long as the server is never garbage: collections need not look at it.
    gc.collect()
    gc.freeze()
    _log.info("ready", server_id=settings.server_id, version=__version__, addresses=server.listener.addresses)
    scheme = "https" if tls is not None else "http"
    host = f"[{settings.listen.host}]" if ":" in settings.listen.host else settings.listen.host or "localhost"
    click.echo(f"stompgate {__version__} is ready: open {scheme}://{host}:{port}/test/")


async def _stop(server: Server, settings: Settings) -> None:
    """Take no more, close what is there, finish what was accepted."""
    server.health.is_listening = False
    await server.listener.close()
    server.gate.close_all(Cause.SERVER_STOPPING)
    with suppress(TimeoutError):  # what the store has not answered by then, it may still have stored
        await asyncio.wait_for(server.chat.intake.close(), _STORE_DEADLINE_S)
    await server.http.close()
    with suppress(TimeoutError):  # the links give up on a silent peer by themselves a little earlier
        await asyncio.wait_for(server.gate.empty.wait(), settings.websocket.close_timeout_s + _CLOSE_MARGIN_S)
    await server.chat.inquiries.close()
    await server.chat.outbox.close()
    await server.chat.lease.close()
    await server.chat.feeds.close()
    server.ticker.stop()


async def _keep_dates(server: Server) -> None:
    while True:
        server.http.tick()
        await asyncio.sleep(_DATE_S)
