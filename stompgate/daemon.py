"""The life of a server: start, serve, stop. SIGTERM and SIGINT end it cleanly, whatever it waits for; a second one at once."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import ssl
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import click
import structlog
import uvloop

from stompgate import __version__
from stompgate.ports.part import SetupError
from stompgate.ports.sessions import Sessions
from stompgate.transports.listener import Listener

from . import logs
from .settings import Listen, Settings
from .stopping import limit_s, stop
from .system_clock import SystemClock
from .wiring import Server, wire

_RESERVED_FILES = 64
"""File descriptors kept for everything but connections: the store, the log, refusals."""

_SWITCH_S = 0.0005
"""How long the event loop may keep the store's threads from running. The default, 5 ms, is paid at each of their steps."""

_FAILED = 1
_DATE_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Port:
    """Where to listen. Without ``tls`` in clear text."""

    host: str
    number: int
    tls: ssl.SSLContext | None

    def address(self, listener: Listener) -> str:
        """How a client on this machine calls it, once it is open."""
        host = f"[{self.host}]" if ":" in self.host else self.host or "localhost"
        return f"{host}:{listener.addresses[0][1]}"


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


def tls_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """The TLS of a port, None for clear text. Raises ``SetupError`` for files that cannot be used."""
    if not certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(f"the TLS certificate {certificate} and its key cannot be used: {error}") from error
    return context


def ports(settings: Settings) -> Sequence[Port]:
    """The ports to listen on, the one for everything first. Raises ``SetupError``."""
    listen, tcp = settings.listen, settings.tcp
    first = Port(listen.host, listen.port, tls_context(listen.tls_certificate, listen.tls_key))
    if tcp.port < 0:
        return [first]
    tls = tls_context(tcp.tls_certificate, tcp.tls_key) if tcp.tls_certificate else first.tls
    return [first, Port(tcp.host or listen.host, tcp.port, None if tcp.clear_text else tls)]


async def _serve(settings: Settings, connections: int) -> int:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, _asked_to_stop, asked, limit_s(settings))
    opened = ports(settings)
    clock = SystemClock(loop)
    server = wire(settings, clock, loop, connections=connections, fatal=_fail)
    if await _unless(asked, server.container.open()):
        try:
            await _live(server, settings, opened, asked)
        finally:
            await server.container.close()
    _log.info("stopped")
    return 0


async def _live(server: Server, settings: Settings, opened: Sequence[Port], asked: asyncio.Event) -> None:
    """What a server does while its parts are open."""
    if not await _unless(asked, server.chat.lease.take()):
        await server.chat.lease.close()  # it may just have been granted
        return
    dates = asyncio.create_task(_keep_dates(server), name="dates")
    try:
        await _start(server, opened)
        await asked.wait()
        _log.info("stopping", connections=server.gate.connected, at_most_s=limit_s(settings))
    finally:
        await stop(server, settings)
        dates.cancel()


async def _unless(asked: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, or give it up where the signal comes first. Returns whether it was done; raises what it raises."""
    working = asyncio.create_task(work, name="start")
    asking = asyncio.create_task(asked.wait(), name="signal")
    try:
        await asyncio.wait({working, asking}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        asking.cancel()
        await asyncio.wait({working, asking})
    if working.cancelled():
        return False
    working.result()
    return True


def _asked_to_stop(asked: asyncio.Event, limit_s: float) -> None:
    if asked.is_set():
        _log.warning("stopped at once, by a second signal")
        os._exit(_FAILED)
    asked.set()
    asyncio.get_running_loop().call_later(limit_s, _overdue, limit_s)


def _overdue(limit_s: float) -> NoReturn:
    """End what does not end by itself, as a crash would: what was acknowledged is stored, and what is owed is swept up."""
    _log.critical("stopped at once: going down took longer than it may", limit_s=limit_s)
    os._exit(_FAILED)


def _fail(reason: str) -> NoReturn:
    """End as a crash would: nothing more is published, and neither sessions nor places in the relay are touched."""
    _log.critical("stopped at once: the server must not go on", reason=reason)
    os._exit(_FAILED)


async def _start(server: Server, opened: Sequence[Port]) -> None:
    server.chat.lease.start()
    server.container.get(Sessions).start()
    server.ticker.start()
    server.chat.feeds.start()
    server.chat.outbox.start()
    server.chat.inquiries.start()
    server.chat.retention.start()
    for listener, port in zip(server.listeners, opened, strict=True):
        await listener.open(port.host, port.number, port.tls)
    server.gate.settings = replace(server.gate.settings, advertised_port=server.listeners[0].addresses[0][1])
    server.health.is_listening = True
    # What lives as long as the server is never garbage: collections need not look at it.
    gc.collect()
    gc.freeze()
    addresses = [address for listener in server.listeners for address in listener.addresses]
    _log.info("ready", server_id=server.gate.settings.server_id, version=__version__, addresses=addresses)
    for listener, port in zip(server.listeners[1:], opened[1:], strict=True):
        click.echo(f"stompgate {__version__} takes STOMP over {'TLS' if port.tls else 'TCP'} at {port.address(listener)}")
    scheme = "https" if opened[0].tls else "http"
    click.echo(f"stompgate {__version__} is ready: open {scheme}://{opened[0].address(server.listeners[0])}/test/")


async def _keep_dates(server: Server) -> None:
    while True:
        server.http.tick()
        await asyncio.sleep(_DATE_S)
