"""Runs one server as its child and ends it as soon as whoever started the keeper is gone, however that ended.

The starter holds the other end of standard input, which the kernel closes with it. (A parent-death signal set on the server
itself would not do: it comes when the *thread* that started it ends, and is lost when the server changes its user.)
It prints the server's pid, and exits when the server has. Runs by itself with the standard library: ``keeper.py LOG COMMAND…``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> None:
    """Start the command, then wait for its end or for the end of standard input."""
    log, *command = sys.argv[1:]
    with open(log, "ab") as output:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    print(server.pid, flush=True)
    threading.Thread(target=_exit_with, args=(server,), daemon=True).start()
    os.read(0, 1)
    server.send_signal(signal.SIGKILL)
    server.wait()


def _exit_with(server: subprocess.Popen[bytes]) -> None:
    server.wait()
    os._exit(0)


if __name__ == "__main__":
    main()
