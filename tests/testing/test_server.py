"""``stompgate.testing`` for those who test their own clients: with pytest, without it, and when something goes wrong.

That the fixtures start servers which can be killed and come back is shown by ``examples/testing``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from stompgate.testing import DidNotStart, Server, running_server
from tests.daemon_process import Launch
from tests.deploy.certificates import issue
from tests.examples.programs import PYTHON

WITHOUT_PYTEST = """
import sys
sys.modules["pytest"] = None  # whoever imports it fails
from stompgate.testing import running_server
with running_server() as server:
    print(server.make_room(buyer="ann", seller="bob") == server.make_room(buyer="ann", seller="bob"))
print(server.is_running)
"""
CONFTEST = """
import pytest
from stompgate.testing import running_server
pytest_plugins = ["stompgate.testing"]

@pytest.fixture(scope="session")
def stompgate_settings():
    return {"server_id": "a-name-of-its-own"}
"""
FAILS = """
def test_it(stompgate_server, stompgate_servers):
    other = stompgate_servers({"server_id": "another-name"})
    assert other.url == stompgate_server.url
"""


def run(*command: str, folder: Path) -> str:
    """What a command prints."""
    ended = subprocess.run(
        [sys.executable, *command], cwd=folder, env=PYTHON, capture_output=True, text=True, timeout=120, check=False
    )
    return ended.stdout + ended.stderr


def test_it_needs_no_pytest(tmp_path: Path) -> None:
    assert run("-c", WITHOUT_PYTEST, folder=tmp_path) == "True\nFalse\n"


def test_a_test_that_fails_shows_the_logs_of_its_servers_and_these_have_the_settings_of_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(FAILS)
    options = ("-W", "error", "-c", os.devnull, "--rootdir", ".", "-p", "no:asyncio", "-p", "no:cacheprovider")
    said = run("-m", "pytest", *options, folder=tmp_path)
    assert "1 failed" in said
    assert said.count("log of http://localhost:") == 2
    assert '"server":"a-name-of-its-own"' in said
    assert '"server":"another-name"' in said


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(DidNotStart, match="no_such_key"), running_server({"listen": {"no_such_key": 1}}):
        pass


def test_a_server_whose_port_was_taken_comes_back_to_it_when_it_is_free(tmp_path: Path) -> None:
    with running_server(folder=tmp_path) as server:
        url, port = server.url, server.port
        server.kill()
        with closing(socket.create_server(("localhost", port))), pytest.raises(DidNotStart, match="in use"):
            server.start_again()
        assert server.start_again().url == url


def test_a_server_does_not_outlive_what_has_failed(tmp_path: Path) -> None:
    started: list[Server] = []

    def fail() -> None:
        with running_server(folder=tmp_path) as server:
            started.append(server)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not started[0].is_running
    assert "ready" in started[0].log_text()


def test_a_server_with_tls_that_was_restarted_is_where_it_was(launch: Launch, tmp_path: Path) -> None:
    issued = issue(tmp_path, "any")
    server = launch({"tcp": {"port": 0}, "listen": {"tls_certificate": str(issued.certificate), "tls_key": str(issued.key)}})
    assert [url.partition(":")[0] for url in (server.url, server.ws_url, server.tcp_url)] == ["https", "wss", "tls"]
    before = server.url, server.ws_url, server.tcp_url, server.sockjs_url, server.make_room("ann", "bob")
    server.restart()
    assert (server.url, server.ws_url, server.tcp_url, server.sockjs_url, server.make_room("ann", "bob")) == before
