"""The life of a server: start, serve, stop. SIGTERM and SIGINT end it cleanly, whatever it waits for; a second one at once.
SIGHUP has it read its settings again, unless its terminal is gone: that ends it. A supervisor, where there is one, is told."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import click
import structlog
import uvloop

from stompgate import __version__
from stompgate.ports.sessions import Sessions

from . import logs
from .listening import Port, connection_limit, ports
from .notify import Supervisor, supervisor
from .reloading import Reloading
from .settings import Settings
from .stopping import limit_s, stop
from .system_clock import SystemClock
from .terminal import Terminal
from .wiring import Server, wire

_SWITCH_S = 0.0005
"""How long the event loop may keep the store's threads from running. The default, 5 ms, is paid at each of their steps."""

_FAILED = 1
_WENT_BACK = 3
"""The store went back. Started anew, a server could not tell: a supervisor is to leave it to someone who looks."""

_DATE_S = 1.0

_log = structlog.get_logger(__name__)


def run(settings: Settings, read_again: Callable[[], Settings]) -> int:
    """Serve until a signal ends it. Returns the exit code. Raises ``SetupError`` if the server cannot start.

    ``read_again`` is how SIGHUP gets the settings anew; it may raise ``SettingsError``.
    """
    faulthandler.enable()  # a watchdog ends a process by SIGABRT: where it stood is worth some lines
    logs.configure(settings.log)
    sys.setswitchinterval(_SWITCH_S)
    connections = connection_limit(settings.listen)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, read_again, connections))


async def _serve(settings: Settings, read_again: Callable[[], Settings], connections: int) -> int:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    reloading: Reloading

    def end() -> None:
        _ask_to_stop(asked, limit_s(reloading.settings))

    hung_up = partial(_hung_up, Terminal(os.environ), end)
    told = supervisor()
    told.watch(loop)
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, _signalled, asked, lambda: limit_s(reloading.settings))
    opened = ports(settings)
    clock = SystemClock(loop)
    server = wire(
        settings,
        clock,
        loop,
        connections=connections,
        fatal=_fail,
        went_back=lambda reason: _fail(reason, _WENT_BACK),
        stop=end,
    )
    reloading = Reloading(settings, read_again, server, opened)
    loop.add_signal_handler(
        signal.SIGHUP, hung_up, _log.info, "SIGHUP came before the server was ready: nothing to read again yet"
    )
    if await _unless(asked, server.container.open()):
        try:
            await _live(server, reloading, asked, told, hung_up)
        finally:
            await server.container.close()
    _log.info("stopped")
    told.leave()
    return 0


async def _live(
    server: Server, reloading: Reloading, asked: asyncio.Event, told: Supervisor, hung_up: Callable[..., None]
) -> None:
    """What a server does while its parts are open."""
    if not await _unless(asked, server.chat.lease.take()):
        await server.chat.lease.close()  # it may just have been granted
        return
    dates = asyncio.create_task(_keep_dates(server), name="dates")
    loop = asyncio.get_running_loop()
    try:
        await _start(server, reloading.ports)
        server.statistics.start(reloading.settings.log.statistics_every_s)
        told.ready(_status(server))
        loop.add_signal_handler(signal.SIGHUP, hung_up, _reload, server, reloading, told)
        await asked.wait()
        at_most_s = limit_s(reloading.settings)
        told.stopping(f"sending {server.gate.connected} connections elsewhere, {at_most_s:g} s at most")
        _log.info("stopping", connections=server.gate.connected, at_most_s=at_most_s)
    finally:
        loop.add_signal_handler(signal.SIGHUP, _log.info, "SIGHUP came while the server stops: nothing is read again")
        await stop(server, reloading.settings)
        dates.cancel()


def _reload(server: Server, reloading: Reloading, told: Supervisor) -> None:
    told.reloading()
    reloading.again()
    told.ready(_status(server))


def _status(server: Server) -> str:
    """One line for whoever asks the supervisor."""
    addresses = sorted({address[1] for listener in server.listeners for address in listener.addresses})
    return f"serving as {server.gate.settings.server_id} on port {', '.join(map(str, addresses))}"


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


def _signalled(asked: asyncio.Event, limit_s: Callable[[], float]) -> None:
    if asked.is_set():
        _log.warning("stopped at once, by a second signal")
        logging.shutdown()  # has the log tell what it had only counted
        os._exit(_FAILED)
    _ask_to_stop(asked, limit_s())


def _hung_up(terminal: Terminal, end: Callable[[], None], otherwise: Callable[..., None], *given: Any) -> None:
    """SIGHUP. When a terminal is closed both the shell and the system send it, so that a second one must not hurry the end."""
    if terminal.is_closed:
        _log.info("the terminal was closed")
        end()
    else:
        otherwise(*given)


def _ask_to_stop(asked: asyncio.Event, within_s: float) -> None:
    """Begin to go down, if that has not begun."""
    if not asked.is_set():
        asked.set()
        asyncio.get_running_loop().call_later(within_s, _overdue, within_s)


def _overdue(limit_s: float) -> NoReturn:
    """End what does not end by itself, as a crash would: what was acknowledged is stored, and what is owed is swept up."""
    _log.critical("stopped at once: going down took longer than it may", limit_s=limit_s)
    os._exit(_FAILED)


def _fail(reason: str, code: int = _FAILED) -> NoReturn:
    """End as a crash would: nothing more is published, and neither sessions nor places in the relay are touched."""
    _log.critical("stopped at once: the server must not go on", reason=reason)
    os._exit(code)


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
    await server.operator_door.open()
    server.health.is_listening = True
    # What lives as long as the server is never garbage: collections need not look at it.
    gc.collect()
    gc.freeze()
    addresses = [address for listener in server.listeners for address in listener.addresses]
    _log.info(
        "ready",
        server=server.gate.settings.server_id,
        version=__version__,
        addresses=addresses,
        operators=server.operator_door.address,
    )
    for listener, port in zip(server.listeners[1:], opened[1:], strict=True):
        click.echo(f"stompgate {__version__} takes STOMP over {'TLS' if port.tls else 'TCP'} at {port.address(listener)}")
    scheme = "https" if opened[0].tls else "http"
    click.echo(f"stompgate {__version__} is ready: open {scheme}://{opened[0].address(server.listeners[0])}/test/")


async def _keep_dates(server: Server) -> None:
    while True:
        server.http.tick()
        server.operator_door.http.tick()
        await asyncio.sleep(_DATE_S)
