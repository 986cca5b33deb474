"""What was done to other brokers, done to this one by its sockets: each test names the advisory whose attack it tries."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from argon2 import PasswordHasher

from stompgate.stomp.frames import CLIENT_COMMANDS, Frame
from stompgate.stomp.serializer import serialize
from stompgate.stomp.versions import Version
from tests.daemon_process import DEADLINE_S, Daemon, launcher
from tests.services import Services
from tests.wire_client import WireClient, connected, make_room, opened_tcp

PASSWORD = "correct horse"
HASHER = PasswordHasher(time_cost=100, memory_cost=512, parallelism=1)
"""Checking takes a while and no memory worth a word, so that it does not hide what is measured."""

ALICE, ANY, EITHER = "alice", ".*", "alice|bob"
"""A user, and two whose names would be others as well, for whoever took names for patterns."""

CROWD = 40
FLOOD_BYTES = 1_000_000
LITTLE_BYTES = 20 * 1024 * 1024
"""What all of a crowd together may cost in memory, where each sends ``FLOOD_BYTES``."""

FOREIGN_HEADERS = {
    "transformation": "jms-map-xml",
    "transformation-xslt": "file:///etc/passwd",
    "content-type": "application/x-java-serialized-object",
    "content-encoding": "gzip",
    "selector": "T(java.lang.Runtime).getRuntime()",
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Iterator[Daemon]:
    """A daemon with everything that others were attacked by: passwords, Redis, HTTP and TCP."""
    folder = tmp_path_factory.mktemp("attacks")
    users, hashed = folder / "users", HASHER.hash(PASSWORD)
    users.write_text("".join(f"{name}:{hashed}\n" for name in (ALICE, ANY, EITHER)))
    settings = {
        "sessions": services.fresh_sessions_url(),
        "auth": {"mode": "users", "users_file": str(users)},
        "http": {"operators": ["*"]},
    }
    with launcher(folder) as launch:
        yield launch(settings, "--tcp-port", "0")


@asynccontextmanager
async def user(daemon: Daemon, name: str) -> AsyncIterator[WireClient]:
    async with connected(daemon.ws_url, None, login=name, passcode=PASSWORD) as client:
        yield client


def forget_peak(daemon: Daemon) -> None:
    Path(f"/proc/{daemon.pid}/clear_refs").write_text("5")


async def told(reader: asyncio.StreamReader) -> bytes:
    """All that is still said, to the end, which may be a reset."""
    found = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(DEADLINE_S):
            while piece := await reader.read(65_536):
                found += piece
    return found


async def pour(port: int, head: bytes, piece: bytes) -> bytes:
    """Send a beginning and then as much as is taken of ``FLOOD_BYTES``; return what is answered."""
    reader, writer = await asyncio.open_connection("localhost", port)
    answer = asyncio.ensure_future(told(reader))
    try:
        writer.write(head)
        with suppress(ConnectionError):
            for _ in range(FLOOD_BYTES // len(piece)):
                if answer.done():
                    break
                writer.write(piece)
                await writer.drain()
        return await answer
    finally:
        writer.transport.abort()


# Before the login


@pytest.mark.parametrize("command", sorted(CLIENT_COMMANDS - {"CONNECT", "STOMP"}))
async def test_no_command_has_an_answer_of_its_own_before_the_login(daemon: Daemon, command: str) -> None:
    """CVE-2026-49270: a command that came before the login was carried out."""
    frame = Frame(command, {"destination": "/topic/early", "id": "1", "transaction": "t", "receipt": "r"})
    async with user(daemon, ALICE) as alice, opened_tcp(daemon.tcp_url) as stranger:
        await alice.subscribe("/topic/early")
        await stranger.send_frames(frame, frame, Frame("SEND", {"destination": "/topic/early"}, b"early"))
        assert (await stranger.refused()).code == "not-connected"
        await alice.send("/topic/early", "late")
        assert (await alice.expect("MESSAGE")).body == b"late"


async def test_what_comes_behind_a_login_that_is_being_checked_is_neither_done_nor_kept(daemon: Daemon) -> None:
    """CVE-2026-50750: the commands that had to wait for the login were kept without a bound."""
    login = serialize(
        Frame("CONNECT", {"accept-version": "1.2", "host": "x", "login": ALICE, "passcode": "wrong"}), Version.V1_2
    )
    send = serialize(Frame("SEND", {"destination": "/topic/early"}, b"x" * 8000), Version.V1_2)
    async with user(daemon, ALICE) as alice:
        await alice.subscribe("/topic/early")
        forget_peak(daemon)
        before = daemon.peak_bytes()
        answers = await asyncio.gather(*(pour(daemon.tcp_port, login, send) for _ in range(CROWD)))
        assert daemon.peak_bytes() - before < LITTLE_BYTES
        assert all(answer.startswith(b"ERROR\n") and answer.count(b"\0") == 1 for answer in answers if answer)
        await alice.send("/topic/early", "late")
        assert (await alice.expect("MESSAGE")).body == b"late"


@pytest.mark.parametrize("head", [b"CONNECT\nlogin:", b"\n", b"GET /ws-stomp HTTP/1.1\r\nx: ", b"x"])
async def test_a_crowd_of_strangers_that_never_end_what_they_begin_takes_little_memory(daemon: Daemon, head: bytes) -> None:
    """CVE-2022-23913: memory grew with what came before any login."""
    port = daemon.port if head.startswith(b"GET") else daemon.tcp_port
    forget_peak(daemon)
    before = daemon.peak_bytes()
    await asyncio.gather(*(pour(port, head, b"x" * 8000) for _ in range(CROWD)))
    assert daemon.peak_bytes() - before < LITTLE_BYTES


@pytest.mark.parametrize("framing", ["Content-Length: 2000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    "path",
    [
        "/inquiry/upload",
        "/room/create?user=a&name=b",
        "/operator/publish",
        "/operator/drain",
        "/ws-stomp/0/s/xhr_send",
        "/nowhere",
    ],
)
async def test_no_path_takes_a_body_without_a_bound(daemon: Daemon, path: str, framing: str) -> None:
    """CVE-2023-46118: the management's HTTP had no limit to bodies."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{framing}\r\n\r\n".encode()
    forget_peak(daemon)
    before = daemon.peak_bytes()
    answers = await asyncio.gather(*(pour(daemon.port, head, b"1f40\r\n" + b"x" * 8000 + b"\r\n") for _ in range(CROWD)))
    assert daemon.peak_bytes() - before < LITTLE_BYTES
    assert {answer.split()[1][:1] for answer in answers if answer} == {b"4"}


async def test_no_claim_of_a_token_makes_the_server_ask_anyone(daemon: Daemon) -> None:
    """CVE-2026-32301, CVE-2026-49998: the address of the keys was made from what the token claimed, before it was verified."""
    with socket.create_server(("127.0.0.1", 0)) as asked:
        asked.settimeout(0)
        url = f"http://127.0.0.1:{asked.getsockname()[1]}/keys"
        parts = [{"alg": "none", "jku": url, "x5u": url, "kid": url}, {"iss": url, "sub": ALICE}]
        token = ".".join(json.dumps(part).encode().hex() for part in parts) + "."
        for login in ({"passcode": token}, {"login": ALICE, "passcode": token}, {"Authorization": f"Bearer {token}"}):
            async with opened_tcp(daemon.tcp_url) as client:
                await client.send_frames(Frame("CONNECT", {"accept-version": "1.2", "host": url, **login}))
                assert (await client.refused()).code == "wrong-password"
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{daemon.url}/operator/sessions", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 403
        with pytest.raises(BlockingIOError):
            asked.accept()


# After the login


async def test_nobody_deletes_or_settles_what_is_anothers(daemon: Daemon) -> None:
    """CVE-2026-46605: who might do something else might also delete."""
    room = await make_room(daemon.url, ALICE, ANY)
    async with user(daemon, ALICE) as alice, user(daemon, EITHER) as other:
        await alice.subscribe("/queue/held", ack="client-individual")
        await alice.send("/queue/held", "alice's")
        held = await alice.expect("MESSAGE")
        await other.subscribe("/queue/else", ack="client-individual")
        await other.send_frames(Frame("ACK", {"id": held.headers["ack"]}))
        assert (await other.refused()).code == "unknown-ack"
        await alice.ask(Frame("NACK", {"id": held.headers["ack"]}))
        assert (await alice.expect("MESSAGE")).body == b"alice's"
    async with httpx.AsyncClient(trust_env=False, base_url=daemon.url) as http:
        refused = await http.delete(f"/room/delete/{room}", headers={"X-Auth-User": EITHER})
        assert (refused.status_code, refused.json()["code"]) == (404, "no-such-room")
        assert (await http.get(f"/room/{room}", headers={"X-Auth-User": ALICE})).status_code == 200


async def test_no_header_chooses_what_becomes_of_a_body(daemon: Daemon, tmp_path: Path) -> None:
    """CVE-2026-33227, CVE-2015-5254: a header chose what was loaded, and a body was made into an object."""

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    bodies = [
        pickle.dumps(Bomb()),
        b"\xac\xed\x00\x05sr\x00",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    ]
    async with user(daemon, ALICE) as alice:
        for number, destination in enumerate(("/topic/plain", "/queue/plain")):
            await alice.subscribe(destination, f"s{number}", **FOREIGN_HEADERS)
            for body in bodies:
                await alice.send(destination, body, **FOREIGN_HEADERS)
                message = await alice.expect("MESSAGE")
                assert message.body == body
                assert {**message.headers, **FOREIGN_HEADERS} == message.headers
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", [ANY, EITHER])
async def test_a_name_is_a_name_and_no_pattern(daemon: Daemon, name: str) -> None:
    """CVE-2026-44838: the client's name went as it was into the expression that said what it may do."""
    room = await make_room(daemon.url, ALICE, "bob")
    async with user(daemon, ALICE) as alice, user(daemon, name) as odd:
        for client in (alice, odd):
            await client.subscribe("/user/queue/own")
        await alice.send(f"/user/{ALICE}/queue/own", "alice's")
        await alice.send(f"/user/{name}/queue/own", "the other's")
        assert (await alice.expect("MESSAGE")).body == b"alice's"
        assert (await odd.expect("MESSAGE")).body == b"the other's"
        await odd.send_frames(Frame("SUBSCRIBE", {"destination": f"/sub/chat/room/{room}", "id": "r"}))
        assert (await odd.refused()).code == "no-such-room"
    async with httpx.AsyncClient(trust_env=False) as http:
        rooms = await http.get(f"{daemon.url}/room/list", headers={"X-Auth-User": name})
        assert room not in rooms.text


async def test_an_answer_of_redis_never_goes_to_another_question(daemon: Daemon) -> None:
    """CVE-2023-28858, CVE-2023-28859: a question that was given up left its answer to the next one."""

    def give_up(name: str) -> None:
        with socket.create_connection(("localhost", daemon.port)) as left:
            left.sendall(f"GET /chat/debug/sessions/{quote(name)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with user(daemon, ALICE), user(daemon, ANY), httpx.AsyncClient(trust_env=False, base_url=daemon.url) as http:

        async def ask(name: str) -> None:
            session = (await http.get(f"/chat/debug/sessions/{quote(name, safe='')}")).json().get("sessionInfo")
            assert session is None or session["userId"] == name
            answered[name] += session is not None

        answered = {ALICE: 0, ANY: 0}
        async with asyncio.timeout(DEADLINE_S):
            while min(answered.values()) < 100:
                give_up(ANY)
                await asyncio.gather(ask(ALICE), ask(ANY), asyncio.to_thread(give_up, ALICE))
