"""The real daemon in a process of its own, as ``stompgate.testing`` runs it, and what its log must not have.

Everything blocks, with deadlines: in an asynchronous test that has connections open use ``asyncio.to_thread`` to stop it.
A log line above info fails the test, unless the test names it as expected.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stompgate.testing.server import DEADLINE_S, READY, Ended, Server, as_toml, wait_until
from stompgate.testing.server import Settings as Sections

__all__ = [
    "DEADLINE_S",
    "READY",
    "Daemon",
    "Ended",
    "Launch",
    "Sections",
    "as_toml",
    "daemon",
    "launch",
    "launcher",
    "shared_daemon",
    "wait_until",
]

_QUIET = frozenset({"debug", "info"})


class Daemon(Server):
    """A server whose log is looked at when it stops."""

    def __init__(
        self,
        folder: Path,
        settings: Sections | None = None,
        options: Sequence[str] = (),
        program: Sequence[str] = (sys.executable, "-W", "default::ResourceWarning", "-m", "stompgate"),
    ) -> None:
        super().__init__(folder, settings, options, program)
        self.expected_log: set[str] = {"the event loop stood still"}  # as any may, on a machine that does much else

    def stop(self, code: int = 0) -> Ended:
        """End it by SIGTERM; it must end with ``code`` and have nothing to complain of in its log."""
        ended = super().stop()
        assert ended.code == code, f"it ended with {ended.code}: {ended.errors}"
        self.check_log()
        return ended

    @property
    def operator_socket(self) -> Path:
        """Where it lets operators in by default."""
        return self.runtime / "stompgate" / "test-server.sock"

    @property
    def tcp_port(self) -> int:
        """Its port for STOMP over TCP."""
        return int(self.tcp_url.rpartition(":")[2])

    def peak_bytes(self) -> int:
        """The most memory that the process has had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def command(self, *words: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command as its user would, with something for its standard input."""
        return subprocess.run(
            [sys.executable, "-m", "stompgate", *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env={**self.environment, **variables},
            check=False,
        )

    def log(self) -> list[dict[str, Any]]:
        """The events in its log. What is no event, such as a warning of the interpreter, comes as an event ``raw``."""
        return [_event(line) for line in self.log_file.read_text().splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of one name."""
        return [event for event in self.log() if event["event"] == name]

    def check_log(self) -> None:
        """Fail for whatever is above info and not expected."""
        loud = [event for event in self.log() if event["level"] not in _QUIET and event["event"] not in self.expected_log]
        assert not loud, f"the log has {loud}"


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return {"event": "raw", "level": "error", "text": line}
    assert isinstance(event, dict)
    return event


Launch = Callable[..., Daemon]


@contextmanager
def launcher(folder: Path) -> Iterator[Launch]:
    """A function ``launch(settings, *options)``. What still runs at the end is stopped, and must end well."""
    daemons: list[Daemon] = []

    def start(settings: Sections | None = None, *options: str) -> Daemon:
        own = folder / f"daemon-{len(daemons) + 1}"
        own.mkdir()
        daemons.append(Daemon(own, settings, options))
        return daemons[-1].start()

    try:
        yield start
        for daemon in daemons:
            if daemon.is_running:
                daemon.stop()
    finally:
        for daemon in daemons:
            daemon.put_down()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts daemons for one test."""
    with launcher(tmp_path) as launch:
        yield launch


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the standard settings for all tests of a module, each of which uses rooms and destinations of its own."""
    with launcher(tmp_path_factory.mktemp("shared")) as launch:
        yield launch()


@pytest.fixture
def daemon(launch: Launch) -> Daemon:
    """A daemon with the standard settings."""
    return launch()
