"""The process of a server, in one of two ways: kept by this run and ended with it, or left running and found again by its pid.

It never signals a pid that may have become somebody else's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tests.daemon_process import wait_until

_KEEPER = Path(__file__).parent / "keeper.py"


class ServerProcess(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def is_running(self) -> bool:
        """Whether it lives; a paused one does."""

    def wait(self, deadline_s: float) -> None:
        """Wait for its end. AssertionError when the deadline is over."""


def send(process: ServerProcess, number: signal.Signals) -> None:
    """Send it a signal, if it still lives."""
    if process.is_running:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


class KeptProcess:
    """A process that ends with this one, however that ends: a keeper holds it. Ctrl-C in a terminal does not reach it."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KEEPER), str(log), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
        assert self._keeper.stdout is not None
        with self._keeper.stdout as said:
            line = said.readline()
        assert line, f"{command[0]} could not be started"
        self.pid = int(line)

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self._keeper.poll() is None

    def wait(self, deadline_s: float) -> None:
        """Wait for its end."""
        wait_until(lambda: not self.is_running, f"process {self.pid} has ended", deadline_s)
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()


class LastingProcess:
    """A process that outlives this one. A file names it by its pid and the time of its start, which no other process shares."""

    def __init__(self, pid: int, started: str) -> None:
        self.pid = pid
        self._started = started

    @classmethod
    def start(cls, command: Sequence[str], log: Path, file: Path) -> LastingProcess:
        """Start it, and write the file."""
        with log.open("ab") as output:
            pid = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True).pid
        started = _started(pid)
        file.write_text(f"{pid} {started}\n")
        return cls(pid, started)

    @classmethod
    def find(cls, file: Path) -> LastingProcess | None:
        """The process that the file names, if it still lives."""
        if not file.exists():
            return None
        pid, started = file.read_text().split()
        found = cls(int(pid), started)
        return found if found.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        with suppress(ChildProcessError):  # ours by now only if this process started it; then its end is to be collected
            os.waitpid(self.pid, os.WNOHANG)
        return self._started != "" and _started(self.pid) == self._started

    def wait(self, deadline_s: float) -> None:
        """Wait for its end."""
        wait_until(lambda: not self.is_running, f"process {self.pid} has ended", deadline_s)


def _started(pid: int) -> str:
    """When a process started, in clock ticks since the machine did; empty if there is none (proc(5), stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
