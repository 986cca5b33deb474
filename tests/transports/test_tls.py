"""TLS on a port: whoever comes takes a place from the first moment, and gives it up whatever becomes of the handshake."""

from __future__ import annotations

import os
import resource
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from stompgate.transports.refusing import LINGERING
from tests.daemon_process import DEADLINE_S, Daemon, launcher, wait_until

PLACES = 4
CROWD = 4 * LINGERING
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[Daemon]:
    """A daemon that takes few, by TLS on both ports, and is patient with them."""
    chain, key = certificate
    listen = {"max_connections": PLACES, "head_timeout_s": DEADLINE_S, "tls_certificate": str(chain), "tls_key": str(key)}
    with launcher(tmp_path_factory.mktemp("tls")) as launch:
        yield launch({"listen": listen}, "--tcp-port", "0")


@pytest.fixture(scope="module")
def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


def silent(daemon: Daemon, stack: ExitStack, number: int) -> list[socket.socket]:
    """Connections that never begin their handshake."""
    return [stack.enter_context(socket.create_connection(("localhost", daemon.port))) for _ in range(number)]


def cut(connections: list[socket.socket]) -> int:
    """How many of those were ended by the server. None of them was sent anything it could have left to read."""
    readable, _, _ = select.select(connections, [], [], 0)
    return len(readable)


def open_files(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def answer(daemon: Daemon, trusting: ssl.SSLContext) -> bytes:
    """What a newcomer is answered; nothing if it was cut off."""
    plain = socket.create_connection(("localhost", daemon.port), timeout=DEADLINE_S)
    with plain, suppress(OSError), trusting.wrap_socket(plain, server_hostname="localhost") as secured:
        secured.sendall(REQUEST)
        return secured.recv(65_536)
    return b""


def test_handshakes_that_never_end_are_as_many_as_connections_may_be(daemon: Daemon, trusting: ssl.SSLContext) -> None:
    wait_until(lambda: answer(daemon, trusting).startswith(b"HTTP/1.1 200 "), "there is a place")
    before = open_files(daemon)
    with ExitStack() as stack:
        first = silent(daemon, stack, PLACES)
        wait_until(
            lambda: answer(daemon, trusting).startswith(b"HTTP/1.1 503 "), "they take all places, and a newcomer is told so"
        )
        crowd = silent(daemon, stack, CROWD)
        wait_until(lambda: cut(crowd) >= CROWD - LINGERING, "those beyond the limit are cut off")
        assert cut(first) == 0
        assert open_files(daemon) <= before + PLACES + LINGERING
    wait_until(lambda: answer(daemon, trusting).startswith(b"HTTP/1.1 200 "), "who left has left a place")


def test_when_there_are_open_files_again_connections_are_accepted_again(daemon: Daemon, trusting: ssl.SSLContext) -> None:
    with ExitStack() as stack:
        inside = HTTPSConnection("localhost", daemon.port, context=trusting, timeout=DEADLINE_S)
        stack.callback(inside.close)
        inside.connect()
        soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (1, hard))
        try:
            silent(daemon, stack, 1)
            for _ in range(3):  # the event loop has had its turns with the one that it cannot accept
                inside.request("GET", "/health/live")
                assert inside.getresponse().read()
        finally:
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert answer(daemon, trusting).startswith(b"HTTP/1.1 200 ")


def test_who_does_not_answer_the_end_of_tls_does_not_stay_beyond_the_limit(daemon: Daemon, trusting: ssl.SSLContext) -> None:
    wait_until(lambda: answer(daemon, trusting).startswith(b"HTTP/1.1 200 "), "there is a place")
    before = open_files(daemon)
    with ExitStack() as stack:
        silent(daemon, stack, PLACES)
        wait_until(lambda: answer(daemon, trusting).startswith(b"HTTP/1.1 503 "), "they take all places")
        for _ in range(2 * LINGERING):
            plain = stack.enter_context(socket.create_connection(("localhost", daemon.port), timeout=DEADLINE_S))
            with suppress(OSError):  # of one that is cut off
                secured = stack.enter_context(trusting.wrap_socket(plain, server_hostname="localhost"))
                assert secured.recv(65_536).startswith(b"HTTP/1.1 503 ")
                assert secured.recv(1) == b"", "the server's end of TLS, which is not answered"
        assert open_files(daemon) <= before + PLACES + LINGERING
