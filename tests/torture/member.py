"""One server of the cluster that is tortured. It is kept going, as a supervisor would: one that ended is started again.

One that ends by itself after it was ready is a complaint; one that cannot start because its database is away is not.
"""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Callable
from typing import Any

from tests.daemon_process import Daemon
from tests.proxy import Proxy

from .record import Record

_POLL_S = 0.05
_BACK_OFF_S = 1.0
_STOP_S = 45.0
_USURPED = "stopped at once: the server must not go on"
_LOUD = frozenset({"error", "critical"})
_FORGIVEN = re.compile(r"stompgate: |\S+runners\.py:\d+: ResourceWarning: unclosed resource <TCPTransport |  loop\.close\(\)$")


class Member:
    """One server of the group, its links to what stands behind it, and the doors through which clients come.

    ``twin`` is set up as the same server, and never to run beside it. ``tcp_door`` is for STOMP without WebSocket or HTTP.
    """

    def __init__(
        self, number: int, daemons: tuple[Daemon, Daemon], doors: tuple[Proxy, Proxy], links: dict[str, Proxy], record: Record
    ) -> None:
        self.name = f"server {number}"
        self.daemon, self._twin = daemons
        self.door, self.tcp_door = doors
        self.links = links
        self.url = f"http://127.0.0.1:{self.door.target[1]}"
        self._record = record
        self._archive = self.daemon.folder / "every-life.log"
        self._is_expected_to_end = False

    @property
    def is_ready(self) -> bool:
        """Whether it runs and has said so."""
        return self.daemon.is_running and self.daemon.url != ""

    async def keep(self) -> None:
        """Start it whenever it does not run, until cancelled."""
        while True:
            self._is_expected_to_end = False
            await asyncio.to_thread(self.daemon.spawn)
            self._record.counts["server starts"] += 1
            is_first, was_ready = not self._archive.exists(), False
            while self.daemon.is_running:
                was_ready = was_ready or self.is_ready
                await asyncio.sleep(_POLL_S)
            ended = await asyncio.to_thread(self.daemon.wait)
            self._keep_log(ended.errors)
            self._record.note(f"{self.name} ended with {ended.code}")
            if not self._is_expected_to_end:
                end = ended.errors[-2000:]
                assert was_ready or not is_first, f"{self.name} does not start: {end}"
                if was_ready:
                    self._record.complain(f"{self.name} ended by itself with {ended.code}: {end}")
                self._record.counts["failed starts"] += not was_ready
                await asyncio.sleep(_BACK_OFF_S)

    async def end_by(self, number: signal.Signals) -> None:
        """End it by a signal and wait until its next life has begun and is ready, however long the others keep it waiting."""
        if not self.daemon.is_running:
            return
        self._is_expected_to_end = True
        pid = self.daemon.pid
        self.daemon.signal(number)
        await self._wait_while(lambda: self._runs_as(pid))
        if self._runs_as(pid):
            self._record.complain(f"{self.name} did not end within {_STOP_S:g} s of {number.name}")
            self.daemon.signal(signal.SIGKILL)
            await self._wait_while(lambda: self._runs_as(pid))

    async def pause(self, seconds: float) -> None:
        """Freeze it for a while."""
        if self.daemon.is_running:
            pid = self.daemon.pid
            self.daemon.signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            if self._runs_as(pid):
                self.daemon.signal(signal.SIGCONT)

    async def usurp(self) -> None:
        """Freeze it until its twin acts for it, then let it find out: it must end by itself. The twin leaves in good order."""
        if not self.is_ready:
            return
        pid = self.daemon.pid
        self.daemon.signal(signal.SIGSTOP)
        try:
            await asyncio.to_thread(self._twin.spawn)
            await self._wait_while(lambda: self._twin.is_running and self._twin.url == "")
            is_usurped = self._twin.is_running and self._twin.url != ""
            self._record.counts["usurped"] += is_usurped
            self._is_expected_to_end = is_usurped
            self.daemon.signal(signal.SIGCONT)
            if is_usurped:
                await self._wait_while(lambda: self._runs_as(pid))
                if self._runs_as(pid):
                    self._record.complain(f"{self.name} goes on while another process acts for it")
                self._twin.signal(signal.SIGTERM)
                await self._wait_while(lambda: self._twin.is_running)
        finally:
            self._twin.put_down()

    @staticmethod
    async def _wait_while(holds: Callable[[], bool]) -> None:
        end_s = time.monotonic() + _STOP_S
        while holds() and time.monotonic() < end_s:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(_POLL_S)

    def put_down(self) -> None:
        """End it for good."""
        self._is_expected_to_end = True
        self.daemon.put_down()
        self._twin.put_down()

    def _runs_as(self, pid: int) -> bool:
        return self.daemon.is_running and self.daemon.pid == pid

    def check_log(self) -> None:
        """Complain of what this life of it has logged and must not, whatever happens around it: mistakes of its own."""
        self._complain_of(self.daemon.log())

    def _keep_log(self, text: str) -> None:
        with self._archive.open("a") as archive:
            archive.write(text)
        log = self.daemon.log()
        self._complain_of(log if text.endswith("\n") else log[:-1])  # a line that kill -9 broke off says nothing

    def _complain_of(self, log: list[dict[str, Any]]) -> None:
        wrong = [event for event in log if event["level"] in _LOUD and not _is_forgiven(event)]
        loud = {event.get("text", event["event"]): event for event in wrong}
        if self._is_expected_to_end:
            loud.pop(_USURPED, None)
        for event in loud.values():
            self._record.complain(f"{self.name} has logged {event}")


def _is_forgiven(event: dict[str, Any]) -> bool:
    """What is no mistake: a refusal to start, in words of its own; and that a client who had not said yet what it is was still
    connected when the event loop ended, which uvloop warns of in two lines.
    """
    return event["event"] == "raw" and _FORGIVEN.match(event["text"]) is not None
