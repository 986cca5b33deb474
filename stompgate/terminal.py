"""The terminal that a server was started on by hand. Its end comes as SIGHUP, by which supervisors ask for something else.

A server that somebody else looks after, or that was told to outlive its terminal, must never be taken for such a one.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from typing import Final

_CONTROLLING: Final = "/dev/tty"
_INPUT, _LOG = 0, 2


class Terminal:
    """The terminal of this process, made before anything handles SIGHUP.

    The server hangs on it if its input or its log is there, no supervisor is to be told (``NOTIFY_SOCKET``), and SIGHUP is not
    ignored, as ``nohup`` has it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        looked_after = "NOTIFY_SOCKET" in environment or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._is_ours = not looked_after and (os.isatty(_INPUT) or os.isatty(_LOG)) and _has_one()

    @property
    def is_closed(self) -> bool:
        """Whether the server hung on a terminal that is gone."""
        return self._is_ours and not _has_one()


def _has_one() -> bool:
    """Whether this process has a controlling terminal. The system takes it away before it sends the signal."""
    try:
        os.close(os.open(_CONTROLLING, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno != errno.ENXIO
    return True
