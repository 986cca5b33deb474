"""The real daemon as a child process: started on free ports with its data in a folder, asked for its addresses, ended.

Everything blocks, with deadlines. In a test that has asyncio's connections open use ``asyncio.to_thread``.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlencode, urlsplit

READY: Final = re.compile(r"^stompgate \S+ is ready: open ((https?)://(\S+):(\d+))/test/$", re.MULTILINE)
TCP: Final = re.compile(r"^stompgate \S+ takes STOMP over (TCP|TLS) at (\S+:\d+)$", re.MULTILINE)
DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.01
_LOG_LINES: Final = 50

Setting = str | int | float | bool | Sequence[str]
Settings = Mapping[str, Mapping[str, Setting] | Setting]
"""What a settings file holds: sections of keys, and keys that stand before them."""


class DidNotStart(Exception):
    """The server has ended instead of becoming ready. The message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a process left behind: its exit code, what it printed, and its log."""

    code: int
    output: str
    errors: str


def wait_until(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, blocking. An ``AssertionError`` when the deadline is over."""
    end = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline_s:g} s")
        time.sleep(_POLL_S)


def as_toml(settings: Settings) -> str:
    """Settings as a file. Texts, numbers, truth values and lists of texts look alike in JSON and TOML."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, Mapping)]
    for name, section in settings.items():
        if isinstance(section, Mapping):
            plain += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(plain) + "\n"


class Server:
    """One server with its data, settings and log in ``folder``; the ports are free ones that it keeps.

    ``options`` are those of ``stompgate serve``. Of the environment it is given what is not about stompgate.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        options: Sequence[str] = (),
        program: Sequence[str] = (sys.executable, "-m", "stompgate"),
    ) -> None:
        self.folder = folder
        self._program = program
        self._settings: Settings = {"server_id": "test-server", **(settings or {})}
        self._options = options
        self._kept_ports: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._runtime: Path | None = None
        self._output = folder / "daemon.out"
        self.log_file = folder / "daemon.log"

    # Its life

    def start(self) -> Self:
        """Start it and wait until it is ready. Raises ``DidNotStart``, after which it may be started again."""
        self.spawn()
        wait_until(lambda: self.url != "" or not self.is_running, "the server is ready")
        if not self.is_running:
            raise DidNotStart(f"it ended with {self.wait().code}: {self.log_text()}")
        return self

    def start_again(self) -> Self:
        """Start it with its data on the ports that it had, where its clients look for it."""
        if self.url:  # else it did not start the last time, and its ports are known from before
            tcp = TCP.search(self._output.read_text())
            self._kept_ports = ("--port", str(self.port), *(("--tcp-port", _port(tcp[2])) if tcp is not None else ()))
        return self.start()

    def spawn(self) -> None:
        """Start it without waiting."""
        assert self._process is None, "it runs already"
        config = self.folder / "settings.toml"
        config.write_text(as_toml(self._settings))
        store = f"sqlite://{self.folder / 'chat.db'}"
        fresh = ["--config", str(config), "--port", "0", "--store", store]
        command = [*self._program, "serve", *fresh, *self._options, *self._kept_ports]  # of two the later one wins
        with self._output.open("wb") as output, self.log_file.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=output, stderr=log, env=self.environment)

    def stop(self) -> Ended:
        """End it by SIGTERM, in good order: its clients are told to come back."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def restart(self) -> Self:
        """Stop it and start it again."""
        self.stop()
        return self.start_again()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP and SIGCONT make it a server that hangs for a while."""
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)

    def wait(self, deadline_s: float = DEADLINE_S) -> Ended:
        """Wait for its end. Raises ``subprocess.TimeoutExpired``."""
        assert self._process is not None, "it does not run"
        code = self._process.wait(deadline_s)
        self._process = None
        return Ended(code, self._output.read_text(), self.log_file.read_text())

    def put_down(self) -> None:
        """See to it that it runs no more, whatever has happened."""
        if self._process is not None:
            self.kill()

    # Where it runs

    @property
    def environment(self) -> dict[str, str]:
        """What it and the commands that ask it find in their environment: a session of their own, for the operator's socket."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("STOMPGATE_", "RUNTIME_"))}
        return {**kept, "XDG_RUNTIME_DIR": str(self.runtime)}

    @property
    def runtime(self) -> Path:
        """The folder of that session. Its name is short, as a socket's must be; it goes with this object."""
        if self._runtime is None:
            self._runtime = Path(tempfile.mkdtemp(prefix="sg-"))
            weakref.finalize(self, shutil.rmtree, self._runtime, ignore_errors=True)
        return self._runtime

    # What it says

    @property
    def url(self) -> str:
        """The address that it prints, like ``http://localhost:40000``; empty while it is not ready."""
        said = READY.search(self._output.read_text()) if self._output.exists() else None
        return said[1] if said is not None else ""

    @property
    def port(self) -> int:
        """The port."""
        return int(_port(self.url))

    @property
    def sockjs_url(self) -> str:
        """Where SockJS is spoken."""
        return f"{self.url}/ws-stomp"

    @property
    def ws_url(self) -> str:
        """Where WebSockets are opened."""
        return self.sockjs_url.replace("http", "ws", 1)

    @property
    def tcp_url(self) -> str:
        """Where STOMP over TCP is spoken, like ``tcp://localhost:40000`` or ``tls://…``, if such a port is open."""
        said = TCP.search(self._output.read_text())
        assert said is not None, "it has no port for TCP"
        return f"{said[1].lower()}://{said[2]}"

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
    def exit_code(self) -> int | None:
        """How it ended, if that was not asked for; None while it runs."""
        return self._process.poll() if self._process is not None else None

    def log_text(self, lines: int = _LOG_LINES) -> str:
        """The end of its log since it was started last."""
        return "\n".join(self.log_file.read_text().splitlines()[-lines:]) if self.log_file.exists() else ""

    # What it is asked for

    def make_room(self, buyer: str = "buyer", seller: str = "seller", product: str = "product") -> str:
        """Make the room of two users over REST; return its UUID. The same three again have the same room."""
        connection = self._http()
        try:
            query = urlencode({"user": seller, "name": product})
            connection.request("POST", f"/room/create?{query}", headers={"X-Auth-User": buyer.encode()})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == http.client.OK, f"{answer.status}: {body.decode()}"
        return str(json.loads(body)[0]["room"]["roomUUID"])

    def _http(self) -> http.client.HTTPConnection:
        """A connection to its own child: whose certificate it is, and for what name, proves nothing and is not looked at."""
        address = urlsplit(self.url)
        if address.scheme == "http":
            return http.client.HTTPConnection(address.netloc, timeout=DEADLINE_S)
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(address.netloc, timeout=DEADLINE_S, context=anyone)


@contextmanager
def running_server(settings: Settings | None = None, *options: str, folder: Path | None = None) -> Iterator[Server]:
    """A server that is ready, with ports for WebSockets and for TCP. Its folder is a temporary one unless one is given.

    At the end it is killed: that takes no time, and a server that a test has left hanging ends as well.
    """
    with tempfile.TemporaryDirectory(prefix="stompgate-") as temporary:
        server = Server(folder or Path(temporary), settings, ("--tcp-port", "0", *options))
        try:
            yield server.start()
        finally:
            server.put_down()


def _port(address: str) -> str:
    return address.rpartition(":")[2]
