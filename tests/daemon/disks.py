"""Disks that fill up: a small one of its own where the test may mount one, else a limit to what the daemon's files may grow."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.daemon_process import Daemon

_SIZE = "4m"  # less than the log of changes may grow before SQLite begins it anew


class Disk(Protocol):
    """Where a daemon has its database."""

    folder: Path

    def fill(self, daemon: Daemon) -> None:
        """Leave no room."""

    def clear(self, daemon: Daemon) -> None:
        """Make room again."""


class SmallDisk:
    """A file system of its own; what fills it is a file of nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, daemon: Daemon) -> None:
        """Leave no room."""
        with self._ballast.open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"\0" * 4096)
            except OSError:
                return

    def clear(self, daemon: Daemon) -> None:
        """Make room again."""
        self._ballast.unlink()


class LimitedFiles:
    """No file of the daemon's may grow: what a full disk is to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, daemon: Daemon) -> None:
        """Leave no room."""
        self._limit(daemon, (self.folder / "chat.db-wal").stat().st_size)

    def clear(self, daemon: Daemon) -> None:
        """Make room again."""
        self._limit(daemon, resource.RLIM_INFINITY)

    @staticmethod
    def _limit(daemon: Daemon, size_bytes: int) -> None:
        _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (size_bytes if hard == resource.RLIM_INFINITY else hard, hard))


@contextmanager
def disk_in(folder: Path) -> Iterator[Disk]:
    """The best of them that this user may have."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "stompgate-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield LimitedFiles(folder)
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
