"""What a supervisor is told: the protocol of ``sd_notify(3)``, a datagram for each piece of news, and the watchdog's food.

Without ``NOTIFY_SOCKET`` in the environment nobody is told anything. The supervisor's socket being away or full must never
hold the server up, nor end it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

import structlog

_US: Final = 1_000_000
_FED_PER_INTERVAL: Final = 2

_log = structlog.get_logger(__name__)


class Supervisor:
    """Who started this process, by what the environment says of it.

    ``watchdog_s``: without a sign of life for so long it ends the process; None where it does not watch.
    """

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environment, pid) if self._address else None
        self._is_deaf = False
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """The server serves."""
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """The server goes down."""
        self._tell("STOPPING=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The settings are read again; ``ready`` ends that."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give signs of life from now on, by ``loop`` and so for as long as it turns: twice in each interval."""
        if self.watchdog_s is not None:
            self._tell("WATCHDOG=1")
            self._timer = loop.call_later(self.watchdog_s / _FED_PER_INTERVAL, self.watch, loop)

    def leave(self) -> None:
        """Give no more signs of life."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as way:
                way.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._is_deaf:
                _log.warning("the supervisor cannot be told", reason=str(error))
            self._is_deaf = True
        else:
            self._is_deaf = False


def supervisor() -> Supervisor:
    """The one of this process."""
    return Supervisor(os.environ, os.getpid())


def _address(named: str) -> str:
    """The socket's address: a path, or behind ``@`` a name in Linux' abstract namespace. Empty for what is neither."""
    if named.startswith("@"):
        return f"\0{named[1:]}"
    return named if named.startswith("/") else ""


def _watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    """``WATCHDOG_USEC`` in seconds, unless ``WATCHDOG_PID`` says that another process is meant (sd_watchdog_enabled(3))."""
    interval, meant = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if meant not in ("", str(pid)) or not (interval.isascii() and interval.isdigit()) or int(interval) == 0:
        return None
    return int(interval) / _US
