"""What systemd is to a service: a socket that is told the news, and an end by SIGABRT for who gives no sign of life."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEADLINE_S = 30.0


class Supervisor:
    """One end of ``NOTIFY_SOCKET``. ``address`` is what the variable says: a path, or ``@`` and an abstract name."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def environment(self, watchdog_s: float = 0.0) -> dict[str, str]:
        """What a service is started with."""
        watched = {"WATCHDOG_USEC": str(round(watchdog_s * 1_000_000))} if watchdog_s else {}
        return {"NOTIFY_SOCKET": self.address, **watched}

    def next(self, timeout_s: float = DEADLINE_S) -> dict[str, str]:
        """The next datagram, as names and values. Raises ``TimeoutError``."""
        self._socket.settimeout(timeout_s)
        lines = self._socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def wait_for(self, name: str) -> dict[str, str]:
        """The next datagram that says this."""
        end = time.monotonic() + DEADLINE_S
        while name not in (news := self.next()):
            assert time.monotonic() < end, f"no {name}"
        return news

    def watch(self, process: subprocess.Popen[bytes], watchdog_s: float) -> int:
        """End the process once it gives no sign of life for so long, as systemd does. Returns how many it gave before."""
        signs, end = 0, time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            try:
                signs += "WATCHDOG" in self.next(watchdog_s)
            except TimeoutError:
                process.send_signal(signal.SIGABRT)
                break
        return signs

    def close(self) -> None:
        """Be gone."""
        self._socket.close()


@contextmanager
def supervised(folder: Path) -> Iterator[Supervisor]:
    """A supervisor with its socket in ``folder``."""
    supervisor = Supervisor(str(folder / "notify"))
    try:
        yield supervisor
    finally:
        supervisor.close()
