"""stompest: the integration test that its authors wrote for other brokers passes against ours, unchanged."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.daemon_process import Daemon

from .test_libraries import ROOT

TESTS = 8
DEADLINE_S = 120
BEATS = {
    "heart_beat_send_ms": 1000,
    "heart_beat_receive_ms": 1000,
    "heart_beat_grace_factor": 2.0,
    "heart_beat_grace_floor_s": 1.0,
}
"""It wants to be given up within three intervals of silence."""


def test_its_own_integration_test_passes(launch: Callable[..., Daemon]) -> None:
    daemon = launch({"auth": {"anonymous": True}, "stomp": BEATS}, "--tcp-port", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead_port = taken.getsockname()[1]
    port = urlsplit(daemon.tcp_url).port
    script = [sys.executable, "-m", "tests.clients.libraries.stompest_tests", str(port), str(dead_port)]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.split() == [str(TESTS)]
