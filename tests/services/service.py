"""One server: started until it is really ready, stopped, killed, paused, and started again with the same data on the same port.

Everything blocks, with deadlines: in an asynchronous test with connections open use ``asyncio.to_thread``.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from .process import KeptProcess, LastingProcess, ServerProcess, send

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 20.0
_POLL_S = 0.02
_LOG_LINES_SHOWN = 15


class NotStarted(Exception):
    """The server could not be started. The text says why, with the end of its log."""


class NotInstalled(NotStarted):
    """What the server needs is missing. The text names it."""


class Program(Protocol):
    """How one kind of server is run in one folder."""

    @property
    def name(self) -> str:
        """What it is called in what is printed."""

    @property
    def folder(self) -> Path:
        """Where it keeps everything."""

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""

    @property
    def url(self) -> str:
        """Its address, as the settings of stompgate take it."""

    def prepare(self) -> None:
        """Make its folder ready for a start: what is there stays."""

    def command(self) -> list[str]:
        """The command that starts it in the foreground, logging to its standard output."""

    def is_ready(self, log: str) -> bool:
        """Whether it serves. ``log`` is what it has logged since this start."""


class Service:
    """One server. ``lasting``: it outlives this process, and a later one finds it; else it ends with this process."""

    def __init__(self, program: Program, *, lasting: bool = False) -> None:
        self.program = program
        self.folder = program.folder
        self._lasting = lasting
        self._pid_file = self.folder / "pid"
        self._log = self.folder / "log"
        self._process: ServerProcess | None = LastingProcess.find(self._pid_file) if lasting else None

    # What it is

    @property
    def name(self) -> str:
        """What it is called in what is printed."""
        return self.program.name

    @property
    def url(self) -> str:
        """Its address, as the settings of stompgate take it."""
        return self.program.url

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1, the same after every restart."""
        return self.program.port

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives; a paused one does."""
        return self._process is not None and self._process.is_running

    def log(self) -> str:
        """All that it logged, in every life."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    # Its life

    def start(self) -> Service:
        """Start it with the data that it has, and wait until it is ready. Does nothing if it runs. Raises NotStarted."""
        if self.is_running:
            return self
        self.kill()  # what is left of one that ended by itself
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program.prepare()
        logged = len(self.log())
        command = self.program.command()
        try:
            if self._lasting:
                self._process = LastingProcess.start(command, self._log, self._pid_file)
            else:
                self._process = KeptProcess(command, self._log)
        except OSError as refused:
            raise NotStarted(f"{self.name}: {refused}") from refused
        try:
            self._wait_until_ready(logged)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it in good order; the data stays. One that takes too long is killed."""
        if self._process is None:
            return
        self.resume()
        send(self._process, signal.SIGTERM)
        with suppress(AssertionError):
            self._process.wait(_STOP_DEADLINE_S)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash of the process would."""
        if self._process is None:
            return
        send(self._process, signal.SIGKILL)
        self._process.wait(_STOP_DEADLINE_S)
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def pause(self) -> None:
        """Freeze it: it keeps its connections and answers nothing."""
        assert self._process is not None, f"{self.name} does not run"
        send(self._process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after a pause."""
        assert self._process is not None, f"{self.name} does not run"
        send(self._process, signal.SIGCONT)

    def _wait_until_ready(self, logged: int) -> None:
        end = time.monotonic() + _START_DEADLINE_S
        while not self.program.is_ready(self.log()[logged:]):
            if not self.is_running:
                raise NotStarted(f"{self.name} ended while it started; the end of {self._log}:\n{self._log_end()}")
            if time.monotonic() > end:
                raise NotStarted(
                    f"{self.name} was not ready within {_START_DEADLINE_S:g} s; the end of {self._log}:\n{self._log_end()}"
                )
            time.sleep(_POLL_S)

    def _log_end(self) -> str:
        return "\n".join(self.log().splitlines()[-_LOG_LINES_SHOWN:])
