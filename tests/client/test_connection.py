"""One connection of ``stompgate.client`` with the real daemon: what is asked of it is answered, or ends in time and by name."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvloop

from stompgate.auth.users_file import hash_password
from stompgate.client import Connection, ConnectionLost, Failure, NoAnswer, Options, Refused, Subscription, connect
from stompgate.stomp.heartbeats import NO_HEARTBEAT, HeartBeat
from tests.clients.rooms import HOSTILE_CONTENTS, history, intake_of, subscription_of
from tests.daemon_process import Daemon, Launch, launcher
from tests.deploy.certificates import issue
from tests.proxy import Proxy, Way
from tests.waiting import until
from tests.wire_client import make_room

BEAT_MS = 200
HANGS_S = 10.0


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with short heart-beats that speaks TCP as well."""
    settings = {"stomp": {"heart_beat_send_ms": BEAT_MS, "heart_beat_receive_ms": BEAT_MS}, "tcp": {"port": 0}}
    with launcher(tmp_path_factory.mktemp("client")) as launch:
        yield launch(settings)


@pytest.fixture(params=["ws", "tcp"])
def url(daemon: Daemon, request: pytest.FixtureRequest) -> str:
    return daemon.ws_url if request.param == "ws" else daemon.tcp_url


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """No test leaves a task behind."""
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


@asynccontextmanager
async def through_proxy(url: str, **options: object) -> AsyncIterator[tuple[Proxy, Connection]]:
    """A connection with a link that can be held."""
    address = urlsplit(url)
    async with Proxy("127.0.0.1", address.port or 0) as proxy:
        at_proxy = address._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
        async with connect(at_proxy, user="buyer", options=Options(**options)) as connection:  # type: ignore[arg-type]
            yield proxy, connection


async def taken(subscription: Subscription, number: int) -> list[str]:
    """The texts of the next messages."""
    return [(await anext(subscription)).text for _ in range(number)]


async def test_what_is_sent_is_received_with_its_headers(url: str) -> None:
    async with connect(url, user="buyer") as buyer, connect(url, user="seller") as seller:
        async with seller.subscribe("/topic/any") as subscription:
            for content in HOSTILE_CONTENTS:
                await buyer.send("/topic/any", content, headers={"of-mine": content})
                message = await anext(subscription)
                assert (message.text, message.headers["of-mine"], message.destination) == (content, content, "/topic/any")
            assert message.position is None
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)


async def test_a_message_sent_again_with_its_id_is_stored_once(daemon: Daemon, url: str) -> None:
    room = await make_room(daemon.url)
    async with connect(url, user="buyer") as buyer:
        for _ in range(2):
            await buyer.send(intake_of(room), '{"content":"once"}', message_id="m-1")
        async with buyer.subscribe(subscription_of(room)) as first:
            assert first.recovered is None
        await buyer.send(intake_of(room), '{"content":"missed"}')
        async with buyer.subscribe(subscription_of(room), since=first.position) as second:
            assert second.recovered
            assert (await anext(second)).json()["content"] == "missed"
    assert [message["content"] for message in await history(daemon, room, "buyer")] == ["once", "missed"]


async def test_what_the_application_refuses_is_raised_where_it_was_asked_for_and_the_connection_lives(url: str) -> None:
    async with connect(url, user="stranger") as stranger:
        with pytest.raises(Refused) as of_send:
            await stranger.send("/pub/room/nowhere/message", '{"content":"x"}')
        with pytest.raises(Refused) as of_subscribe:
            async with stranger.subscribe("/sub/chat/room/nowhere"):
                pass
        assert [of_send.value.code, of_subscribe.value.code] == ["no-such-room", "no-such-room"]
        assert of_send.value.text
        assert not of_send.value.retry
        assert stranger.is_open


async def test_an_error_ends_the_connection_for_all_that_it_is_not_about(url: str) -> None:
    async with connect(url, user="buyer") as buyer, buyer.subscribe("/topic/any") as subscription:
        with pytest.raises(Refused) as refused:
            await buyer.send("/topic/any", "x", headers={"transaction": "never begun"})
        with pytest.raises(ConnectionLost) as lost:
            await anext(subscription)
        assert refused.value.code == lost.value.code == "unknown-transaction"
        with pytest.raises(ConnectionLost):
            await buyer.send("/topic/any", "nobody is there")


async def test_a_queue_message_comes_again_after_a_nack_unless_it_is_to_be_dropped(url: str) -> None:
    options = {"ack": "client-individual"}
    async with connect(url, user="worker") as worker, worker.subscribe("/queue/work", **options) as work:  # type: ignore[arg-type]
        await worker.send("/queue/work", "first")
        await worker.nack(await anext(work))
        again = await anext(work)
        assert (again.text, again.headers["redelivered"]) == ("first", "true")
        await worker.ack(again)
        await worker.send("/queue/work", "second")
        await worker.nack(await anext(work), requeue=False)
        await worker.send("/queue/work", "third")
        third = await anext(work)
        assert third.text == "third"
        await worker.ack(third)


async def test_heart_beats_keep_a_quiet_connection_both_ways(url: str) -> None:
    async with through_proxy(url, heart_beat=HeartBeat(BEAT_MS, BEAT_MS)) as (proxy, connection):
        before = dict(proxy.passed_bytes)
        await until(lambda: all(proxy.passed_bytes[way] > before[way] + 20 for way in Way), "heart-beats go both ways")
        assert connection.is_open


async def test_a_server_that_falls_silent_is_noticed(url: str) -> None:
    async with through_proxy(url, heart_beat=HeartBeat(0, BEAT_MS)) as (proxy, connection):
        async with connection.subscribe("/topic/any") as subscription:
            proxy.held = frozenset({Way.TO_CLIENT})
            with pytest.raises(ConnectionLost, match="heartbeat-lost"):
                await anext(subscription)
        proxy.heal()


async def test_an_answer_that_does_not_come_is_not_waited_for_longer_than_was_said(url: str) -> None:
    async with through_proxy(url, heart_beat=NO_HEARTBEAT, deadline_s=0.2) as (proxy, connection):
        proxy.held = frozenset({Way.TO_CLIENT})
        with pytest.raises(NoAnswer):
            await connection.send("/topic/any", "x")
        with pytest.raises(TimeoutError):
            async with connection.subscribe("/topic/any"):
                pass
        proxy.heal()


async def test_who_is_cancelled_waits_for_no_answer(url: str) -> None:
    async def takes(connection: Connection, begun: asyncio.Event) -> None:
        async with connection.subscribe("/topic/any") as subscription:
            begun.set()
            await anext(subscription)

    async with through_proxy(url, heart_beat=NO_HEARTBEAT, deadline_s=3600.0) as (proxy, connection):
        begun = asyncio.Event()
        taking = asyncio.create_task(takes(connection, begun))
        await begun.wait()
        proxy.held = frozenset({Way.TO_CLIENT})
        taking.cancel()
        await asyncio.wait([taking], timeout=HANGS_S)
        assert taking.cancelled()
        proxy.heal()


async def test_who_leaves_by_an_exception_waits_for_no_server_that_does_not_read(url: str) -> None:
    async def is_stuck() -> None:
        async with (
            through_proxy(url, deadline_s=3600.0, heart_beat=NO_HEARTBEAT) as (proxy, connection),
            connection.subscribe("/topic/any"),
        ):
            proxy.held = frozenset({Way.TO_SERVER})
            async with asyncio.timeout(0.1):
                await connection.send("/topic/any", b"x" * 32_000_000)

    left = asyncio.create_task(is_stuck())
    await asyncio.wait([left], timeout=HANGS_S)
    assert left.done()
    with pytest.raises(TimeoutError):
        await left


async def test_who_leaves_a_subscription_by_an_exception_has_unsubscribed(url: str) -> None:
    async with connect(url, user="buyer") as connection:
        with pytest.raises(TimeoutError):
            async with connection.subscribe("/queue/left", ack="client"), asyncio.timeout(0):
                await asyncio.sleep(HANGS_S)
        await connection.send("/queue/left", "for the next")
        async with connection.subscribe("/queue/left") as subscription:
            assert await taken(subscription, 1) == ["for the next"]


async def test_a_loss_that_nobody_has_read_is_named_to_who_writes_on_every_event_loop(daemon: Daemon) -> None:
    async def writes() -> None:
        hasty = through_proxy(daemon.tcp_url, deadline_s=0.2, waiting_messages=1, heart_beat=NO_HEARTBEAT)
        async with hasty as (proxy, connection), connection.subscribe("/topic/unread") as unread:
            with suppress(NoAnswer):
                await connection.send("/topic/unread", "fills what may wait")
            await until(lambda: unread.is_full, "nothing is read any more")
            proxy.cut()
            failure: Failure = NoAnswer("")
            while isinstance(failure, NoAnswer):
                with pytest.raises(Failure) as raised:
                    await connection.send("/topic/unread", "lost")
                failure = raised.value
            assert isinstance(failure, ConnectionLost)

    def on_uvloop() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(writes())

    await writes()
    await asyncio.to_thread(on_uvloop)


async def test_who_takes_nothing_stops_the_reading_and_loses_nothing(url: str) -> None:
    numbers = [str(number) for number in range(50)]
    options = Options(waiting_messages=3, deadline_s=0.2)
    async with connect(url, user="slow", options=options) as slow, connect(url, user="quick") as quick:
        async with slow.subscribe("/topic/many") as subscription:
            for number in numbers:
                await quick.send("/topic/many", number)
            with pytest.raises(NoAnswer):
                await slow.send("/topic/any", "its RECEIPT stands behind what is not taken")
            assert subscription.came == 3
            assert await taken(subscription, 50) == numbers
            for number in numbers:
                await quick.send("/topic/many", number)
        await slow.send("/topic/any", "leaving a full subscription lets the rest go on")


async def test_a_server_that_stops_says_so(launch: Launch) -> None:
    daemon = launch()
    async with connect(daemon.ws_url, user="buyer") as buyer:
        waiting = asyncio.create_task(buyer.lost())
        await asyncio.to_thread(daemon.stop)
        lost = await waiting
        assert isinstance(lost, ConnectionLost)
        assert (lost.code, lost.close_code, lost.retry) == ("server-stopping", 1012, True)
    with pytest.raises(ConnectionLost, match="unreachable"):
        async with connect(daemon.ws_url, user="buyer"):
            pass


async def test_who_may_not_come_in_is_told_why(daemon: Daemon, launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"ann:{hash_password('secret')}\n")
    guarded = launch({"auth": {"mode": "users", "users_file": str(tmp_path / "users")}, "tcp": {"port": 0}})
    for url in (guarded.ws_url, guarded.tcp_url):
        async with connect(url, login="ann", passcode="secret") as ann:
            await ann.send("/topic/any", "x")
        with pytest.raises(Refused, match="wrong-password"):
            async with connect(url, login="ann", passcode="guessed"):
                pass
    with pytest.raises(ConnectionLost, match="http-404") as lost:
        async with connect(f"{daemon.ws_url}-elsewhere", user="buyer"):
            pass
    assert not lost.value.retry


async def test_over_tls_only_a_certificate_that_is_trusted_will_do(
    launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = issue(tmp_path, "tests")
    listen = {"tls_certificate": str(issued.certificate), "tls_key": str(issued.key)}
    daemon = launch({"listen": listen, "tcp": {"port": 0}})
    assert [url.partition(":")[0] for url in (daemon.ws_url, daemon.tcp_url)] == ["wss", "tls"]
    own = Options(tls=ssl.create_default_context(cafile=str(issued.certificate)))
    for url in (daemon.ws_url, daemon.tcp_url):
        async with connect(url, user="buyer", options=own) as buyer, buyer.subscribe("/topic/any") as subscription:
            await buyer.send("/topic/any", "안녕" * 10_000)
            assert (await anext(subscription)).text == "안녕" * 10_000
        with pytest.raises(ConnectionLost, match="certificate-refused") as lost:
            async with connect(url, user="buyer"):
                pass
        assert not lost.value.retry
    monkeypatch.setenv("SSL_CERT_FILE", str(issued.certificate))  # where a system's own are looked for
    for url in (daemon.ws_url, daemon.tcp_url):
        async with connect(url, user="buyer") as buyer:
            await buyer.send("/topic/any", "x")


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"CONNECTED\nversion:1.2\nheart-beat:often\n\n\0"])
async def test_what_is_no_stomp_ends_the_connection(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\0")
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        with pytest.raises(ConnectionLost, match="no STOMP") as lost:
            async with connect(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"):
                pass
    assert not lost.value.retry


async def test_a_server_that_does_not_read_gets_nothing_more_from_a_client_that_has_left() -> None:
    has_left, came = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\0")
        writer.write(b"CONNECTED\nversion:1.2\n\n\0RECEIPT\nreceipt-id:r1\n\n\0")
        await has_left.wait()
        number = 0
        with suppress(ConnectionResetError):
            while piece := await reader.read(65536):
                number += len(piece)
        came.set_result(number)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(NoAnswer):
            async with connect(url, options=Options(heart_beat=NO_HEARTBEAT, deadline_s=0.2)) as connection:
                await connection.send("/topic/any", b"x" * 32_000_000)
        has_left.set()
        assert await came < 32_000_000


async def test_many_ask_at_once_and_each_has_its_own_answer(url: str) -> None:
    async with connect(url, user="buyer") as buyer, buyer.subscribe("/topic/many") as subscription:
        receipts = await asyncio.gather(*(buyer.send("/topic/many", json.dumps(number)) for number in range(100)))
        assert len({receipt.headers["receipt-id"] for receipt in receipts}) == 100
        assert await taken(subscription, 100) == [str(number) for number in range(100)]
