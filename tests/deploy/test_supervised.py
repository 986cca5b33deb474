"""Under a supervisor a server says what it is about, lives as long as its event loop turns, and reads its settings again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import uvloop
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from stompgate.notify import Supervisor as Told
from tests.daemon_process import DEADLINE_S, Daemon, as_toml, wait_until
from tests.wire_client import connected, opened

from .certificates import Issued, issue
from .supervisor import Supervisor, supervised

WATCHDOG_S = 2.0
APP = "https://app.example"

STALLING = """
import signal, sys, time
from stompgate.cli.main import main
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(600))
main(sys.argv[1:])
"""
"""The program itself, whose event loop stands still from SIGUSR1 on."""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with supervised(tmp_path) as supervisor:
        yield supervisor


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor) -> Iterator[Daemon]:
    """A daemon that was started by the supervisor, not waited for."""
    for name, value in supervisor.environment(WATCHDOG_S).items():
        monkeypatch.setenv(name, value)
    daemon = Daemon(tmp_path, {"log": {"level": "info"}})
    try:
        daemon.spawn()
        yield daemon
    finally:
        daemon.put_down()


# The protocol


@pytest.mark.parametrize("name", ["{folder}/its socket", "@stompgate-{chance}"])
def test_a_supervisor_is_told_by_a_path_and_by_an_abstract_name(name: str, tmp_path: Path) -> None:
    address = name.format(folder=tmp_path, chance=uuid.uuid4())
    supervisor = Supervisor(address)
    Told({"NOTIFY_SOCKET": address}, pid=1).ready("serving")
    assert supervisor.next() == {"READY": "1", "STATUS": "serving"}
    supervisor.close()


def test_a_supervisor_that_is_gone_or_deaf_ends_nothing(tmp_path: Path) -> None:
    told = Told({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, pid=1)
    told.ready("")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "nobody"))
        for _ in range(10_000):  # more than it holds: none may wait
            told.stopping("")
    told.stopping("")


@pytest.mark.parametrize(
    ("environment", "expected_s"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "7"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_where_this_process_is_watched(environment: dict[str, str], expected_s: float | None) -> None:
    assert Told({"NOTIFY_SOCKET": "/run/any", **environment}, pid=7).watchdog_s == expected_s


@pytest.mark.parametrize("named", ["", "relative/path", "vsock:2:1"])
def test_without_a_socket_nobody_is_told_and_nobody_watches(named: str) -> None:
    told = Told({"NOTIFY_SOCKET": named, "WATCHDOG_USEC": "1"}, pid=7)
    told.ready("")
    assert told.watchdog_s is None


def test_signs_of_life_come_from_the_loop_alone(tmp_path: Path, supervisor: Supervisor) -> None:
    told = Told(supervisor.environment(watchdog_s=0.2), pid=1)

    async def live() -> None:
        told.watch(asyncio.get_running_loop())
        for _ in range(3):
            await asyncio.to_thread(supervisor.wait_for, "WATCHDOG")
        time.sleep(0.5)  # noqa: ASYNC251 (this is the stall)
        told.leave()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live())
    with suppress(TimeoutError):
        supervisor.next(0.01)  # one may have been on its way
    with pytest.raises(TimeoutError):
        supervisor.next(0.01)


# A server's life


def test_it_is_ready_when_it_serves_and_says_that_it_stops(supervisor: Supervisor, watched: Daemon) -> None:
    news = supervisor.wait_for("READY")
    wait_until(lambda: watched.url != "", "it prints its address")
    assert news["STATUS"] == f"serving as test-server on port {watched.port}"
    assert httpx.get(f"{watched.url}/health/ready", trust_env=False).status_code == 200
    supervisor.wait_for("WATCHDOG")
    watched.signal(signal.SIGTERM)
    assert supervisor.wait_for("STOPPING")["STATUS"].startswith("sending 0 connections elsewhere")
    assert watched.wait().code == 0


def test_one_that_waits_for_its_database_is_not_ready_and_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor
) -> None:
    for name, value in supervisor.environment(WATCHDOG_S).items():
        monkeypatch.setenv(name, value)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        daemon = Daemon(tmp_path, None, ["--store", f"mysql://nobody@127.0.0.1:{nobody.getsockname()[1]}/nothing"])
        daemon.expected_log.add("waiting for the database")
        try:
            daemon.spawn()
            wait_until(lambda: daemon.events("waiting for the database") != [], "it waits")
            assert [supervisor.next() for _ in range(3)] == [{"WATCHDOG": "1"}] * 3
            daemon.stop()
        finally:
            daemon.put_down()


def test_a_stalled_loop_ends_the_process_and_the_log_says_where_it_stood(tmp_path: Path, supervisor: Supervisor) -> None:
    settings, log = tmp_path / "settings.toml", tmp_path / "log"
    settings.write_text(as_toml({"store": f"sqlite://{tmp_path / 'chat.db'}", "listen": {"port": 0}}))
    environment = {**os.environ, **supervisor.environment(WATCHDOG_S), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [sys.executable, "-c", STALLING, "serve", "--config", str(settings)]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)
    try:
        supervisor.wait_for("READY")
        supervisor.wait_for("WATCHDOG")
        process.send_signal(signal.SIGUSR1)
        supervisor.watch(process, WATCHDOG_S)
        assert process.wait(DEADLINE_S) == -signal.SIGABRT
    finally:
        process.kill()
        process.wait(DEADLINE_S)
    assert "Fatal Python error: Aborted" in log.read_text()
    assert "in <lambda>" in log.read_text()


# SIGHUP


def rewrite(daemon: Daemon, settings: dict[str, dict[str, object]]) -> None:
    """Change the settings file of a running server and have it read."""
    seen = len(daemon.events("settings read again"))
    (daemon.folder / "settings.toml").write_text(as_toml({"server_id": "test-server", **settings}))  # type: ignore[dict-item]
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: len(daemon.events("settings read again")) > seen, "they are read again")


async def admits(daemon: Daemon, origin: str) -> bool:
    try:
        async with opened(daemon.ws_url, origin=Origin(origin)):
            return True
    except InvalidStatus:
        return False


async def test_sighup_takes_over_what_is_safe_and_names_what_needs_a_restart(supervisor: Supervisor, watched: Daemon) -> None:
    await asyncio.to_thread(supervisor.wait_for, "READY")
    await asyncio.to_thread(wait_until, lambda: watched.url != "", "it prints its address")
    async with connected(watched.ws_url) as client, httpx.AsyncClient(base_url=watched.url, trust_env=False) as http:
        assert not await admits(watched, APP)
        assert (await http.get("/metrics")).status_code == 200
        await asyncio.to_thread(
            rewrite,
            watched,
            {
                "listen": {"allowed_origins": [APP], "backlog": 7},
                "http": {"operators": ["192.0.2.0/24"]},
                "drain": {"window_s": 1.0},
                "chat": {"content_limit_chars": 10},
            },
        )
        news = await asyncio.to_thread(supervisor.wait_for, "RELOADING")
        assert int(news["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        await asyncio.to_thread(supervisor.wait_for, "READY")
        assert await admits(watched, APP)
        assert (await http.options("/room/create", headers={"Origin": APP})).headers["access-control-allow-origin"] == APP
        assert (await http.get("/metrics")).status_code == 403
        await client.subscribe("/topic/any")  # nobody was sent away
    (line,) = watched.events("settings read again")
    assert line["applied"] == ["drain.window_s", "http.operators", "listen.allowed_origins"]
    assert line["needs_restart"] == ["chat.content_limit_chars", "listen.backlog"]
    await asyncio.to_thread(rewrite, watched, {})
    assert watched.events("settings read again")[1]["needs_restart"] == []
    await asyncio.to_thread(watched.stop)
    (line,) = watched.events("stopping")
    assert line["at_most_s"] == 86.0


async def test_the_level_of_the_log_and_the_number_of_connections_change_under_a_running_server(launch_one: Daemon) -> None:
    await asyncio.to_thread(rewrite, launch_one, {"listen": {"max_connections": 1}})
    async with connected(launch_one.ws_url) as first:
        with pytest.raises(InvalidStatus, match="503"):
            async with opened(launch_one.ws_url):
                pass
        await first.subscribe("/topic/any")
    await asyncio.to_thread(rewrite, launch_one, {"log": {"level": "info"}})
    (launch_one.folder / "settings.toml").write_text(as_toml({"server_id": "test-server", "log": {"level": "warning"}}))
    launch_one.signal(signal.SIGHUP)
    async with httpx.AsyncClient(base_url=launch_one.url, trust_env=False) as http:
        assert (await http.get("/health/live")).status_code == 200
    await asyncio.to_thread(launch_one.stop)
    assert launch_one.events("stopping") == []


async def test_settings_with_mistakes_change_nothing(launch_one: Daemon) -> None:
    (launch_one.folder / "settings.toml").write_text('listen = {allowed_origins = ["*"], backlog = "planted"}\nnonsense = 1\n')
    launch_one.expected_log.add("the settings were not taken over: they have mistakes")
    launch_one.signal(signal.SIGHUP)
    said = "the settings were not taken over: they have mistakes"
    await asyncio.to_thread(wait_until, lambda: launch_one.events(said) != [], "it says so")
    (line,) = launch_one.events(said)
    assert [sentence.rpartition("settings.toml: ")[2] for sentence in line["mistakes"]] == [
        "listen.backlog: expected a whole number, not 'planted'",
        "nonsense: there is no such key",
    ]
    assert not await admits(launch_one, APP)


async def test_the_operators_token_is_changed_without_a_restart_and_their_socket_is_not(launch_one: Daemon) -> None:
    changed: dict[str, dict[str, object]] = {"operator": {"token": "planted-token-of-it", "socket": "/run/elsewhere.sock"}}
    await asyncio.to_thread(rewrite, launch_one, changed)
    (line,) = launch_one.events("settings read again")
    assert (line["applied"], line["needs_restart"]) == (["operator.token"], ["operator.socket"])
    async with httpx.AsyncClient(base_url=launch_one.url, trust_env=False) as http:
        headers = {"Authorization": "Bearer planted-token-of-it"}
        assert (await http.get("/operator/sessions", headers=headers)).status_code == 200
    assert "planted" not in (launch_one.folder / "daemon.log").read_text()


async def test_a_secret_that_changed_is_named_and_never_shown(launch_one: Daemon) -> None:
    settings = {"server_id": "test-server", "relay": "kafka://user:planted@kafka.example:9092"}
    (launch_one.folder / "settings.toml").write_text(as_toml(settings))
    launch_one.signal(signal.SIGHUP)
    await asyncio.to_thread(wait_until, lambda: launch_one.events("settings read again") != [], "they are read again")
    (line,) = launch_one.events("settings read again")
    assert line["needs_restart"] == ["relay"]
    assert "planted" not in (launch_one.folder / "daemon.log").read_text()


async def test_a_certificate_that_was_renewed_is_shown_to_those_who_connect_from_then_on(tmp_path: Path) -> None:
    issued = issue(tmp_path, "first")
    daemon = Daemon(tmp_path, {"listen": {"tls_certificate": str(issued.certificate), "tls_key": str(issued.key)}})
    daemon.expected_log.add("the settings were not taken over")
    await asyncio.to_thread(daemon.start)
    try:
        first = await shown(daemon, issued)
        issued.certificate.write_text("half of a file")
        daemon.signal(signal.SIGHUP)
        said = "the settings were not taken over"
        await asyncio.to_thread(wait_until, lambda: daemon.events(said) != [], "it says that it is not usable")
        assert await shown(daemon, issued) == first
        issue(tmp_path, "second")
        daemon.signal(signal.SIGHUP)
        await asyncio.to_thread(wait_until, lambda: daemon.events("settings read again") != [], "they are read again")
        assert await shown(daemon, issued) != first
        await asyncio.to_thread(daemon.stop)
    finally:
        daemon.put_down()


async def shown(daemon: Daemon, issued: Issued) -> bytes | None:
    """The certificate that a newcomer is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", daemon.port, ssl=context)
    try:
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert found is None or isinstance(found, bytes)
        return found
    finally:
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@pytest.fixture
def launch_one(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon whose settings file may be rewritten."""
    daemon = Daemon(tmp_path)
    daemon.start()
    try:
        yield daemon
        if daemon.is_running:
            daemon.stop()
    finally:
        daemon.put_down()
