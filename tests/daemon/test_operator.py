"""The commands for a running server, as its user runs them: over the socket and with the token, for people and for programs."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from stompgate.cli.server_link import NotDone, OutcomeUnknown, ServerLink, Way
from stompgate.model.causes import Cause, Refusal
from stompgate.transports.handshake import refused
from tests.daemon_process import DEADLINE_S, Daemon, Launch, launcher, wait_until
from tests.waiting import until
from tests.wire_client import connected, make_room

TOKEN = "a-token-of-the-test"
OUTBOX_LIMIT_BYTES = 65_536
HOSTILE = "김철수 [red]x[/] :smile: 값"
LINES = "first\nsecond \x1b[31m \u202eright"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that lets operators in by its socket and, with the token, by HTTP."""
    with launcher(tmp_path_factory.mktemp("operated")) as launch:
        yield launch({"operator": {"token": TOKEN}, "connections": {"outbox_limit_bytes": OUTBOX_LIMIT_BYTES}})


async def run(
    server: Daemon, *words: str, given: str = "", code: int = 0, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command for this server; it must end with ``code`` and, where that is not 0, one sentence."""
    done = await asyncio.to_thread(server.command, *words, "--server-id", "test-server", given=given, **variables)
    assert done.returncode == code, done.stderr
    assert not code or re.fullmatch(r"stompgate: [^\n]+\n", done.stderr), done.stderr
    return done


async def told(server: Daemon, *words: str) -> Any:
    """What a command says to a program."""
    return json.loads((await run(server, *words, "--json")).stdout)


def rows(text: str) -> list[list[str]]:
    """The cells of a table that no terminal reads, its head first. No cell of these tests has two spaces in a row."""
    return [re.split(r"  +", line.strip()) for line in text.splitlines()]


@asynccontextmanager
async def asking(server: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    """A client at the operator's socket."""
    transport = httpx.AsyncHTTPTransport(uds=str(server.operator_socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://operator/operator", timeout=DEADLINE_S) as client:
        yield client


# Looking


async def test_sessions_shows_who_is_connected(server: Daemon) -> None:
    async with connected(server.ws_url, HOSTILE) as client, connected(server.ws_url, "other"):
        await client.subscribe("/topic/any")
        head, *found = rows((await run(server, "sessions", "--user", HOSTILE)).stdout)
        assert head == ["USER", "BY", "FROM", "FOR", "SUBS", "WAITS", "STORE", "IN", "OUT", "STOMP", "SESSION"]
        ((user, by, address, _, subscriptions, waits, stored, frames, given, version, session),) = found
        assert (user, by, subscriptions, frames, given, waits, stored, version) == (
            HOSTILE,
            "websocket",
            "1",
            "2",
            "0",
            "0",
            "0",
            "1.2",
        )
        answer = await told(server, "sessions")
    assert answer["total"] == 2
    (one,) = [one for one in answer["sessions"] if one["user"] == HOSTILE]
    assert (one["sessionId"], one["address"], one["subscriptions"]) == (session, address, 1)


async def test_sessions_beyond_the_limit_are_counted_and_said(server: Daemon) -> None:
    async with connected(server.ws_url, "one"), connected(server.ws_url, "two"):
        done = await run(server, "sessions", "--limit", "1")
        assert [row[0] for row in rows(done.stdout)] == ["USER", "one"]
        assert done.stderr == "stompgate: 1 of 2 are shown; --user or a higher --limit shows others\n"


async def test_sessions_of_the_group_come_from_presence(server: Daemon) -> None:
    async with connected(server.ws_url, HOSTILE):
        head, found = rows((await run(server, "sessions", "--group")).stdout)
        assert (head[:2], found[:2]) == (["USER", "SERVER"], [HOSTILE, "test-server"])
        assert (await told(server, "sessions", "--group"))["serverUsers"] == {"test-server": [HOSTILE]}


async def test_rooms_are_listed_page_by_page(server: Daemon) -> None:
    buyer = "buyer of three"
    made = [await make_room(server.url, buyer, product=f"자전거 {n}") for n in range(3)]
    async with connected(server.ws_url, buyer) as client:
        await client.subscribe(f"/sub/chat/room/{made[2]}")
        await client.send(f"/pub/room/{made[2]}/message", '{"content":"x"}')
        done = await run(server, "rooms", "--user", buyer, "--limit", "2")
    head, newest, second = rows(done.stdout)
    assert head == ["ROOM", "PRODUCT", "BUYER", "SELLER", "LAST", "HERE", "MADE"]
    assert newest[:6] == [made[2], "자전거 2", buyer, "seller", "1", "1"]
    assert (second[0], second[4:6]) == (made[1], ["0", "0"])
    (before,) = re.findall(r"--before (\d+)\n", done.stderr)
    answer = await told(server, "rooms", "--user", buyer, "--before", before)
    assert [room["roomUUID"] for room in answer["rooms"]] == [made[0]]
    assert answer["before"] is None


# Following


async def test_tail_shows_the_newest_messages_and_no_text_steers_the_terminal(server: Daemon) -> None:
    room = await make_room(server.url)
    async with connected(server.ws_url, "buyer") as client:
        for content in ("too old", LINES, "새 글"):
            await client.send(f"/pub/room/{room}/message", json.dumps({"content": content}))
    done = await run(server, "tail", room, "-n", "2", "--no-follow")
    first, second = done.stdout.splitlines()
    assert first.endswith(r"buyer: first\nsecond \x1b[31m \u202eright")
    assert second.endswith("buyer: 새 글")
    done = await run(server, "tail", room, "-n", "2", "--no-follow", "--json")
    assert [json.loads(line)["content"] for line in done.stdout.splitlines()] == [LINES, "새 글"]
    assert not set("\x1b\u202e") & set(done.stdout)
    assert (await run(server, "tail", room, "-n", "0", "--no-follow")).stdout == ""


async def test_tail_follows_in_order_and_once_until_ctrl_c(server: Daemon) -> None:
    room = await make_room(server.url)
    async with connected(server.ws_url, "buyer") as client:
        await say(client, room, range(50))
        # Begun while messages flow: what is read and what comes live must meet without a hole or a double.
        flowing = asyncio.create_task(say(client, room, range(50, 1500)))
        output = server.folder / "tail.out"
        with output.open("wb") as stream:
            command = [sys.executable, "-m", "stompgate", "tail", room, "-n", "10", "--json", "--server-id", "test-server"]
            process = subprocess.Popen(command, stdout=stream, stderr=subprocess.PIPE, env=server.environment)  # noqa: ASYNC220
        try:
            await flowing
            await until(lambda: output.read_text().count("\n") > 0, "it shows some")
            await say(client, room, [1500])
            await until(lambda: '"content": "1500"' in output.read_text(), "it shows the last one")
            process.send_signal(signal.SIGINT)
            _, errors = await asyncio.to_thread(process.communicate, timeout=DEADLINE_S)
        finally:
            process.kill()
            process.wait()
    assert (process.returncode, errors) == (130, b"")
    shown = [json.loads(line) for line in output.read_text().splitlines()]
    first = int(shown[0]["content"])
    assert [one["content"] for one in shown] == [str(n) for n in range(first, 1501)]
    assert [one["seq"] for one in shown] == list(range(first + 1, 1502))


async def say(client: Any, room: str, numbers: Any) -> None:
    for number in numbers:
        await client.send(f"/pub/room/{room}/message", json.dumps({"content": str(number)}))


async def test_a_reader_that_is_too_slow_gets_a_last_line_that_says_so(server: Daemon) -> None:
    room = await make_room(server.url)
    messages = OUTBOX_LIMIT_BYTES * 16 // 15_000  # what the limit and the sockets between them hold, several times over
    with socket.socket(socket.AF_UNIX) as reader:
        reader.settimeout(DEADLINE_S)
        reader.connect(str(server.operator_socket))
        reader.sendall(f"GET /operator/rooms/{room}/messages?follow=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert await asyncio.to_thread(reader.recv, 12) == b"HTTP/1.1 200"
        async with connected(server.ws_url, "buyer") as client:
            for _ in range(messages):
                await client.send(f"/pub/room/{room}/message", json.dumps({"content": "글" * 5000}))
        text = await asyncio.to_thread(read_to_end, reader)
    found = [json.loads(line) for line in re.findall(r"(?m)^\{.*\}$", text)]
    assert found[-1] == {"end": {"code": "slow-consumer", "title": "You read more slowly than messages come."}}
    assert [one["seq"] for one in found[:-1]] == list(range(1, len(found)))
    assert len(found) < messages
    await asyncio.to_thread(wait_until, lambda: bool(closes(server, "slow-consumer")), "it is logged")


def closes(server: Daemon, cause: str) -> list[dict[str, Any]]:
    return [event for event in server.events("connection closed") if event["cause"] == cause]


def read_to_end(reader: socket.socket) -> str:
    data = b""
    while b"0\r\n\r\n" not in data[-16:] and (piece := reader.recv(65536)):
        data += piece
    return data.decode()


async def test_a_tail_ends_with_its_room(server: Daemon) -> None:
    room = await make_room(server.url)
    async with asking(server) as client, client.stream("GET", f"/rooms/{room}/messages?follow=true") as answer:
        async with httpx.AsyncClient(trust_env=False) as buyer:
            await buyer.delete(f"{server.url}/room/delete/{room}", headers={"X-Auth-User": "buyer"})
        lines = [json.loads(line) async for line in answer.aiter_lines()]
    assert [line["end"]["code"] for line in lines] == ["no-such-room"]


# Acting


async def test_send_stores_a_members_message_once(server: Daemon) -> None:
    room = await make_room(server.url)
    async with connected(server.ws_url, "seller") as client:
        await client.subscribe(f"/sub/chat/room/{room}")
        how = ("send", room, "--as", "buyer", "--client-message-id", "again")
        said = (await run(server, *how, "-", given="두 줄\n끝\n")).stdout
        message = json.loads((await client.expect("MESSAGE")).body)
        assert (message["sender"], message["content"], message["seq"]) == ("buyer", "두 줄\n끝", 1)
        assert said == f"it is stored as number 1, {message['id']}\n"
        again = await told(server, *how, "두 줄\n끝")
    assert (again["id"], again["seq"], again["repeated"]) == (message["id"], 1, True)
    assert again["position"].split(".")[1] == "1"
    (event, _) = server.events("operator sent")[-2:]
    assert (event["room"], event["user"], event["seq"]) == (room, "buyer", 1)


async def test_a_message_whose_answer_was_lost_is_sent_again_by_the_id_that_was_told_and_stored_once(
    server: Daemon, tmp_path: Path
) -> None:
    async def lose_the_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asks = await asyncio.open_unix_connection(server.operator_socket)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        asks.write(head + await reader.readexactly(int(length[1])))
        await answers.readuntil(b"\r\n\r\n")
        asks.close()
        writer.close()

    room, place = await make_room(server.url), tmp_path / "losing.sock"
    how = ("send", room, "--as", "buyer", "once")
    async with await asyncio.start_unix_server(lose_the_answer, place):
        lost = await run(server, *how, "--json", "--socket", str(place), code=1)
    message_id = json.loads(lost.stdout)["clientMessageId"]
    assert f"the same command with --client-message-id {message_id}" in lost.stderr
    again = await told(server, *how, "--client-message-id", message_id)
    assert (again["seq"], again["repeated"], again["clientMessageId"]) == (1, True, message_id)


async def test_ctrl_c_before_the_answer_tells_the_id_too(server: Daemon, tmp_path: Path) -> None:
    was_asked = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        was_asked.set()
        await reader.read()
        writer.close()

    place = str(tmp_path / "silent.sock")
    command = [sys.executable, "-m", "stompgate", "send", "any", "--as", "buyer", "x", "--socket", place]
    async with await asyncio.start_unix_server(keep_silent, place), asyncio.timeout(DEADLINE_S):
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE, env=server.environment)
        await was_asked.wait()
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()
    assert process.returncode == 130
    assert re.fullmatch(rb"stompgate: it may be stored; the same command with --client-message-id \w{32} [^\n]+\n", said)


@pytest.mark.parametrize(
    ("answer", "is_unknown"),
    [
        (b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", True),
        (b"HTTP/1.1 502 x\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n", False),
        (refused(Refusal(Cause.OUTCOME_UNKNOWN)).serialize(), True),
        (refused(Refusal(Cause.INTERNAL)).serialize(), True),
        (refused(Refusal(Cause.STORE_UNAVAILABLE)).serialize(), False),
        (refused(Refusal(Cause.NO_SUCH_ROOM)).serialize(), False),
    ],
)
async def test_only_what_may_be_done_is_called_unknown(tmp_path: Path, answer: bytes, is_unknown: bool) -> None:
    async def say_that(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(answer)
        writer.close()

    link = ServerLink(Way(socket=tmp_path / "socket"))
    async with await asyncio.start_unix_server(say_that, tmp_path / "socket"):
        with closing(link._connection), pytest.raises(NotDone) as raised:
            await asyncio.to_thread(link.post, "/any", {})
    assert isinstance(raised.value, OutcomeUnknown) is is_unknown


async def test_publish_reaches_topics_users_and_queues(server: Daemon) -> None:
    async with connected(server.ws_url, "kim") as client:
        for n, name in enumerate(("/topic/news", "/user/queue/news", "/queue/orders")):
            await client.subscribe(name, str(n))
        for name in ("/topic/news", "/user/kim/queue/news", "/queue/orders"):
            said = await run(
                server, "publish", name, "안녕", "--header", "kind: greeting", "--header", "content-type:text/plain"
            )
            assert said.stdout == f"published to {name}\n"
            message = await client.expect("MESSAGE")
            assert (message.body.decode(), message.headers["kind"]) == ("안녕", "greeting")
    twice = ("--header", "kind:a", "--header", "kind:b")
    assert "each NAME once" in (await run(server, "publish", "/topic/news", "x", *twice, code=2)).stderr
    assert await told(server, "publish", "/topic/nobody", "-") == {"destination": "/topic/nobody"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"destination": "/sub/chat/room/any", "body": ""}, 403, "forbidden-destination"),
        ({"destination": "/pub/room/any/message", "body": ""}, 403, "forbidden-destination"),
        ({"destination": "/user/queue/own", "body": ""}, 403, "forbidden-destination"),
        ({"destination": "/user/kim/queue/errors", "body": ""}, 403, "forbidden-destination"),
        ({"destination": "/topic/*", "body": ""}, 404, "bad-destination"),
        ({"destination": "nowhere", "body": ""}, 404, "bad-destination"),
        ({"destination": "/topic/x", "body": "", "headers": {"message-id": "1"}}, 400, "bad-header"),
        ({"destination": "/topic/x", "body": "", "headers": {f"h{n}": "" for n in range(65)}}, 413, "frame-too-large"),
        ({"destination": "/topic/x", "body": "", "headers": {"": "1"}}, 400, "bad-header"),
        ({"destination": "/topic/x", "body": "x" * 70_000}, 413, "body-too-long"),
        ({"destination": "/topic/x", "body": 1}, 400, "bad-request"),
        ({"destination": "/topic/x", "body": "", "nonsense": 1}, 400, "bad-request"),
        ({"body": ""}, 400, "bad-request"),
    ],
)
async def test_publish_takes_what_a_send_would_and_nothing_else(server: Daemon, body: object, status: int, code: str) -> None:
    async with asking(server) as client:
        answer = await client.post("/publish", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("sender", "content", "code"),
    [
        ("nobody", "x", "no-such-room"),
        ("buyer", "", "bad-body"),
        ("buyer", "x" * 5001, "body-too-long"),
        ("", "x", "bad-request"),
    ],
)
async def test_only_what_a_member_could_say_is_sent(server: Daemon, sender: str, content: str, code: str) -> None:
    room = await make_room(server.url)
    async with asking(server) as client:
        answer = await client.post(f"/rooms/{room}/messages", json={"sender": sender, "content": content})
        assert answer.json()["code"] == code
        assert (await client.get(f"/rooms/{room}/messages")).text == ""


async def test_drain_waits_for_the_end_and_tells_those_who_follow(launch: Launch) -> None:
    server = launch({"operator": {"token": TOKEN}, "drain": {"closes_per_s": 4.0}})
    room = await make_room(server.url)
    async with asking(server) as client, connected(server.ws_url) as user, connected(server.ws_url, "other"):
        async with client.stream("GET", f"/rooms/{room}/messages?follow=true") as answer:
            draining = asyncio.create_task(run(server, "drain", "--wait"))
            lines = [json.loads(line) async for line in answer.aiter_lines()]
        assert [line["end"]["code"] for line in lines] == ["server-stopping"]
        assert await user.close_code() == 1012
        said = (await draining).stdout.splitlines()
    assert (said[0], said[-1]) == ("the server goes down; 3 connections to be sent elsewhere", "it has ended")
    assert len(server.events("operator asked the server to go down")) == 1
    assert not server.is_running
    assert server.wait().code == 0
    server.check_log()
    assert "no server test-server is found here" in (await run(server, "sessions", code=1)).stderr


# Who may


async def test_the_token_opens_the_same_by_http(server: Daemon) -> None:
    file = server.folder / "token"
    file.write_text(f"{TOKEN}\n")
    by_file = await run(server, "sessions", "--json", "--url", server.url, "--token-file", str(file))
    by_settings = await run(server, "sessions", "--json", "--url", server.url, STOMPGATE_OPERATOR__TOKEN=TOKEN)
    assert json.loads(by_file.stdout) == json.loads(by_settings.stdout) == await told(server, "sessions")


async def test_what_does_not_reach_a_server_says_what_was_expected(server: Daemon, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another-token-of-the-test")
    wrong = ("--url", server.url, "--token-file", str(tmp_path / "token"))
    assert "the token of operator.token" in (await run(server, "sessions", *wrong, code=1)).stderr
    (tried,) = [event for event in server.events("request refused") if event["cause"] == "token-required"]
    assert (tried["path"], tried["detail"]) == ("/operator/sessions", "not the token, from 127.0.0.1")
    assert "expected --token-file" in (await run(server, "sessions", "--url", server.url, code=2)).stderr
    assert "no login in it" in (await run(server, "sessions", "--url", "http://a:b@localhost", code=2)).stderr
    assert "no server listens" in (await run(server, "rooms", "--socket", str(tmp_path / "none"), code=1)).stderr
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed = ("--url", f"http://127.0.0.1:{nobody.getsockname()[1]}", "--token-file", str(tmp_path / "token"))
        assert "no server listens" in (await run(server, "rooms", *closed, code=1)).stderr
    assert "There is no such room" in (await run(server, "tail", "none", code=1)).stderr
    not_sent = (await run(server, "send", "none", "--as", "kim", "x", code=1)).stderr
    assert "no member of it" in not_sent
    assert "it may be stored" not in not_sent


async def test_what_is_no_text_is_not_sent_and_what_cannot_be_shown_is_written_out(server: Daemon) -> None:
    room = await make_room(server.url)
    for words in (("tail", "\udcff"), ("sessions", "--user", "\udcff"), ("send", room, "--as", "buyer", "\udcff")):
        assert "expected text" in (await run(server, *words, code=2)).stderr
    await run(server, "send", room, "--as", "buyer", "👋 김")
    how = ("tail", room, "--no-follow")
    assert (await run(server, *how, PYTHONIOENCODING="ascii")).stdout.endswith("buyer: \\U0001f44b \\uae40\n")
    said = (await run(server, *how, "--json", PYTHONIOENCODING="ascii")).stdout
    assert said.isascii()
    assert json.loads(said)["content"] == "👋 김"


def test_output_that_cannot_be_written_is_said_in_one_line(server: Daemon) -> None:
    command = [sys.executable, "-m", "stompgate", "sessions", "--server-id", "test-server"]
    for more in ((), ("--json",)):
        with Path("/dev/full").open("wb") as full:
            ended = subprocess.run(
                [*command, *more], stdout=full, stderr=subprocess.PIPE, env=server.environment, timeout=DEADLINE_S, check=False
            )
        said = b"stompgate: the output cannot be written: No space left on device\n"
        assert (ended.returncode, ended.stderr) == (1, said)


@pytest.mark.parametrize(
    ("words", "closed"), [("rooms", ">&-"), ("rooms --json", ">&-"), ("send any - --as any", "<&-"), ("hash-password", "<&-")]
)
def test_a_closed_standard_output_or_input_is_said_in_one_line(server: Daemon, words: str, closed: str) -> None:
    command = f"{sys.executable} -m stompgate {words} {closed}"
    variables = {**server.environment, "STOMPGATE_SERVER_ID": "test-server"}
    ended = subprocess.run(["sh", "-c", command], capture_output=True, env=variables, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 1
    assert re.fullmatch(rb"stompgate: [^\n]+ closed\n", ended.stderr), ended.stderr


@pytest.mark.parametrize("half", [b'{"sender":"a"', b""])
async def test_an_answer_that_was_cut_off_is_no_success(server: Daemon, tmp_path: Path, half: bytes) -> None:
    line = b'{"sender":"a","content":"b","timestamp":"2026-01-01T00:00:00","seq":1}\n'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + line + half)
        await writer.drain()
        writer.close()

    place = tmp_path / "cut.sock"
    async with await asyncio.start_unix_server(answer, place):
        done = await run(server, "tail", "any", "--no-follow", "--socket", str(place), code=1)
    assert done.stdout.endswith("a: b\n")
    assert "ended the connection" in done.stderr


async def test_the_socket_has_the_operators_paths_and_the_servers_state(server: Daemon) -> None:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(server.operator_socket))) as client:
        found = {
            path: (await client.get(f"http://x{path}")).status_code
            for path in ("/health/ready", "/metrics", "/room/rooms", "/")
        }
    assert found == {"/health/ready": 200, "/metrics": 200, "/room/rooms": 404, "/": 404}


async def test_a_tail_whose_server_is_gone_says_so(launch: Launch) -> None:
    server = launch()
    room = await make_room(server.url)
    tailing = asyncio.create_task(run(server, "tail", room, code=1))
    await asyncio.to_thread(wait_until, lambda: bool(server.events("operator follows")), "it follows")
    server.kill()
    said = (await tailing).stderr  # by whether it had begun to answer
    assert re.search("the connection to the server was lost|ended the connection", said), said
