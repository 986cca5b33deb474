"""The process as the system sees it, under the names that Prometheus' own clients use.

Not by prometheus-client's collector: that lists all open files, which takes 10 ms of the event loop with 10,000
connections. Linux tells their number since 6.2. Where there is no ``/proc`` fewer figures are told.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stompgate.ports.part import Figure

_SELF: Final = Path("/proc/self")
_PAGE_BYTES: Final = resource.getpagesize()
_START_TICKS: Final = 19
"""Which word behind the name of the process in ``/proc/self/stat`` says when it started (proc(5), field 22)."""


class ProcessFigures:
    """``ports.part.Measured`` for this process."""

    def __init__(self) -> None:
        self._started_s = _started_s()

    def figures(self) -> Sequence[Figure]:
        """All that can be found out here."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        figures = [
            Figure("process_cpu_seconds_total", "Time that the processor has worked for this process.", time.process_time()),
            Figure("process_max_fds", "Files that may be open.", soft),
        ]
        if self._started_s is not None:
            figures.append(Figure("process_start_time_seconds", "When the process started, since 1970.", self._started_s))
        if (_SELF / "statm").exists():
            virtual, resident = (_SELF / "statm").read_text().split()[:2]
            figures += [
                Figure("process_virtual_memory_bytes", "Memory that is mapped.", int(virtual) * _PAGE_BYTES),
                Figure("process_resident_memory_bytes", "Memory that is held.", int(resident) * _PAGE_BYTES),
                Figure("process_open_fds", "Files that are open.", _open_files()),
            ]
        return figures


def _open_files() -> int:
    return (_SELF / "fd").stat().st_size or len(os.listdir(_SELF / "fd"))


def _started_s() -> float | None:
    """When this process started; None where the system does not tell."""
    try:
        words = (_SELF / "stat").read_text().rpartition(")")[2].split()
        booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (OSError, StopIteration):
        return None
    return float(booted.split()[1]) + int(words[_START_TICKS]) / os.sysconf("SC_CLK_TCK")
