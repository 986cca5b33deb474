"""The real daemon in a process of its own: started, asked for its addresses and its log, stopped, killed, started again.

Everything blocks, with deadlines: in an asynchronous test that has connections open use ``asyncio.to_thread`` to stop it.
A log line above info fails the test, unless the test names it as expected.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

READY = re.compile(r"^stompgate \S+ is ready: open ((https?)://(\S+):(\d+))/test/$", re.MULTILINE)
TCP = re.compile(r"^stompgate \S+ takes STOMP over (?:TCP|TLS) at (\S+:\d+)$", re.MULTILINE)
DEADLINE_S = 30.0
_QUIET = frozenset({"debug", "info"})
_POLL_S = 0.01

Setting = str | int | float | bool | Sequence[str]
Sections = Mapping[str, Mapping[str, Setting] | Setting]


def wait_until(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, blocking. Fails the test when the deadline is over."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {deadline_s:g} s"
        time.sleep(_POLL_S)


def as_toml(sections: Sections) -> str:
    """Settings as a file. Texts, numbers, truth values and lists of texts look alike in JSON and TOML."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in sections.items() if not isinstance(value, Mapping)]
    for name, section in sections.items():
        if isinstance(section, Mapping):
            plain += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(plain) + "\n"


@dataclass(frozen=True)
class Ended:
    """What a process left behind."""

    code: int
    output: str
    errors: str


class Daemon:
    """One daemon with its data in ``folder``. ``settings`` are sections of the settings file; the port is a free one."""

    def __init__(
        self,
        folder: Path,
        settings: Sections | None = None,
        options: Sequence[str] = (),
        program: Sequence[str] = (sys.executable, "-W", "default::ResourceWarning", "-m", "stompgate"),
    ) -> None:
        self.folder = folder
        self._program = program
        self.expected_log: set[str] = {"the event loop stood still"}  # as any may, on a machine that does much else
        self._settings: Sections = {"server_id": "test-server", **(settings or {})}
        self._options = options
        self._wanted_port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._output = folder / "daemon.out"
        self._errors = folder / "daemon.log"

    # Its life

    def start(self) -> Daemon:
        """Start it and wait until it is ready."""
        self.spawn()
        wait_until(lambda: self.url != "" or self._has_ended, "the daemon is ready")
        assert not self._has_ended, f"it ended with {self.pid_code}: {self._errors.read_text()}"
        return self

    def start_again(self) -> Daemon:
        """Start it with its data on the port that it had, where its clients look for it."""
        self._wanted_port = self.port
        return self.start()

    def spawn(self) -> None:
        """Start it without waiting."""
        assert self._process is None, "it runs already"
        config = self.folder / "settings.toml"
        config.write_text(as_toml(self._settings))
        store = f"sqlite://{self.folder / 'chat.db'}"
        command = [*self._program, "serve", "--config", str(config)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STOMPGATE_")}
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*command, "--port", str(self._wanted_port), "--store", store, *self._options],
                stdout=output,
                stderr=errors,
                env=environment,
            )

    def stop(self, code: int = 0) -> None:
        """End it by SIGTERM; it must end with ``code`` and have nothing to complain of in its log."""
        self.signal(signal.SIGTERM)
        ended = self.wait()
        assert ended.code == code, f"it ended with {ended.code}: {ended.errors}"
        self.check_log()

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)

    def wait(self, deadline_s: float = DEADLINE_S) -> Ended:
        """Wait for its end."""
        assert self._process is not None, "it does not run"
        code = self._process.wait(deadline_s)
        self._process = None
        return Ended(code, self._output.read_text(), self._errors.read_text())

    def put_down(self) -> None:
        """See to it that it runs no more, however the test ended."""
        if self._process is not None:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(DEADLINE_S)
            self._process = None

    # What it says

    @property
    def url(self) -> str:
        """The address that it prints, like ``http://localhost:40000``; empty while it is not ready."""
        said = READY.search(self._output.read_text()) if self._output.exists() else None
        return said[1] if said is not None else ""

    @property
    def port(self) -> int:
        """The port."""
        return int(self.url.rpartition(":")[2])

    @property
    def ws_url(self) -> str:
        """Where WebSockets are opened."""
        return self.url.replace("http", "ws", 1) + "/ws-stomp"

    @property
    def tcp_url(self) -> str:
        """Where STOMP over TCP is spoken, like ``tcp://localhost:40000``, if the options open such a port."""
        said = TCP.search(self._output.read_text())
        assert said is not None, "it has no port for TCP"
        return f"tcp://{said[1]}"

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid_code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll() if self._process is not None else None

    def log(self) -> list[dict[str, Any]]:
        """The events in its log. What is no event, such as a warning of the interpreter, comes as an event ``raw``."""
        return [_event(line) for line in self._errors.read_text().splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of one name."""
        return [event for event in self.log() if event["event"] == name]

    def check_log(self) -> None:
        """Fail for whatever is above info and not expected."""
        loud = [event for event in self.log() if event["level"] not in _QUIET and event["event"] not in self.expected_log]
        assert not loud, f"the log has {loud}"

    @property
    def _has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None


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
