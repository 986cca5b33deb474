"""How the clients of aiokafka are made, started and got rid of. Its traps are dealt with here and nowhere else.

- A start waits as long as the broker does: every wait is bounded.
- An idempotent producer's ``stop`` waits for records that may never be answered, and a consumer's ``stop`` may raise
  CancelledError out of its fetcher with half of its work undone: what is left is ended by hand.
- A commit whose caller gives up goes on by itself, also on a consumer that was stopped; so does what a stopped producer asks of
  all brokers but one, and what some brokers are asked for offsets when another has failed: they are ended with the client. And
  none that is closed connects any more: that connection would stay open.
- A start that is given up leaves the connection open by which it learns of the cluster: that is done here instead.
- Of several brokers the first that is silent uses up the time of all: each has its share.
- Without a leader or a broker, metadata are asked for again without pause: a pause is put in.
- That a connection was reset is reported as an error that nobody looked at, unless its parts are collected in a lucky order.

Its errors become ``KafkaAway`` here; none leaves the relay.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Final, TypeVar

import aiokafka.conn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaProtocol, collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from .kafka_options import KafkaOptions

METADATA_PAUSE_S: Final = 0.2
"""Seconds at least between two attempts of a client to find out who leads what."""

_GRACE_S: Final = 1.0
_CANCELS: Final = 8
_FETCH_WAIT_MS: Final = 500
_FETCH_LIMIT_BYTES: Final = 8 * 1024 * 1024

ResultT = TypeVar("ResultT")
ClientT = TypeVar("ClientT")


class KafkaAway(Exception):
    """Kafka does not do what was asked of it now. The text says why, for operators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the brokers are and how to get in; makes clients. ``servers``: ``host:port`` each."""

    servers: tuple[str, ...]
    client_id: str
    user: str
    password: str
    tls: ssl.SSLContext | None
    options: KafkaOptions

    def __repr__(self) -> str:
        return f"Access({','.join(self.servers)})"

    def producer(self) -> AIOKafkaProducer:
        """A producer, not started: idempotent, so that a record sent again by itself is there once and in its place."""
        producer = AIOKafkaProducer(
            **self._common(),
            acks="all",
            enable_idempotence=True,
            max_batch_size=self.options.batch_limit_bytes,
            max_request_size=self.options.record_limit_bytes,
        )
        self._tame(producer.client)
        producer._sender._send_produce_req = _Kept(producer._sender._send_produce_req)
        return producer

    def consumer(self, group: str, *, topic: str | None = None) -> AIOKafkaConsumer:
        """A consumer, not started. With a ``topic`` it is a member of its group, else it only keeps its offsets there."""
        topics = () if topic is None else (topic,)
        consumer = AIOKafkaConsumer(
            *topics,
            **self._common(),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="none" if topic is None else "earliest",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            fetch_max_bytes=_FETCH_LIMIT_BYTES,
            session_timeout_ms=round(self.options.member_timeout_s * 1000),
            heartbeat_interval_ms=round(self.options.member_timeout_s * 1000 / 4),
        )
        self._tame(consumer._client)
        return consumer

    def admin(self) -> AIOKafkaAdminClient:
        """A client for making topics, not started."""
        admin = AIOKafkaAdminClient(**self._common())
        self._tame(admin._client)
        return admin

    async def refusals(self) -> str:
        """Try each broker once, and say why it doesn't let us in: a client says only that none did."""
        hosts = [(host, port) for host, port, _ in collect_hosts(list(self.servers))]
        return "; ".join(await asyncio.gather(*(self._refusal(host, port) for host, port in hosts)))

    async def _refusal(self, host: str, port: int) -> str:
        try:
            connection = await create_conn(host, port, **self._entry())
        except (KafkaError, OSError, TimeoutError) as error:
            return f"{host}:{port}: {str(error) or type(error).__name__}"
        connection.close()
        return f"{host}:{port} lets us in now"

    def _tame(self, client: Any) -> None:
        _tame(client)
        client.bootstrap = partial(_bootstrap, client, self._entry())

    def _common(self) -> dict[str, Any]:
        metadata_max_age_ms = round(self.options.metadata_age_s * 1000)
        return self._entry() | {"bootstrap_servers": list(self.servers), "metadata_max_age_ms": metadata_max_age_ms}

    def _entry(self) -> dict[str, Any]:
        options = self.options
        return {
            "client_id": self.client_id,
            "request_timeout_ms": round(options.request_timeout_s * 1000),
            "security_protocol": options.security_protocol.upper(),
            "ssl_context": self.tls,
            "sasl_mechanism": options.sasl_mechanism,
            "sasl_plain_username": self.user or None,
            "sasl_plain_password": self.password or None,
        }


async def bounded(work: Awaitable[ResultT], within_s: float, what: str) -> ResultT:
    """Wait for ``work`` at most this long. Raises ``KafkaAway`` with ``what`` was tried if it takes longer or fails."""
    try:
        async with asyncio.timeout(within_s):
            return await work
    except TimeoutError as error:
        raise KafkaAway(f"{what}: no answer within {within_s:g} s") from error
    except (KafkaError, OSError, RuntimeError) as error:  # RuntimeError: uvloop's word for a write to a socket that was reset
        raise KafkaAway(f"{what}: {error}") from error


async def start_producer(producer: AIOKafkaProducer, within_s: float) -> None:
    """Start a producer; one that does not start is got rid of. Raises ``KafkaAway``."""
    await _start(producer.start(), partial(discard_producer, producer), within_s)


async def start_consumer(consumer: AIOKafkaConsumer, within_s: float) -> None:
    """Start a consumer; one that does not start is got rid of. Raises ``KafkaAway``."""
    await _start(consumer.start(), partial(discard_consumer, consumer), within_s)
    consumer._coordinator._do_commit_offsets = _Kept(consumer._coordinator._do_commit_offsets)
    consumer._fetcher._proc_offset_request = _Kept(consumer._fetcher._proc_offset_request)


async def start_admin(admin: AIOKafkaAdminClient, within_s: float) -> None:
    """Start an admin client; one that does not start is got rid of. Raises ``KafkaAway``."""
    await _start(admin.start(), partial(discard_admin, admin), within_s)


class _Forgiving(set[Any]):
    """A set from which what is not in it may be taken."""

    def remove(self, element: Any) -> None:
        self.discard(element)


def _whole(discard: Callable[[ClientT, float], Coroutine[Any, Any, None]]) -> Callable[[ClientT, float], Awaitable[None]]:
    """Have a client got rid of to its end: who is cancelled meanwhile would leave the rest of it open."""

    @wraps(discard)
    async def to_its_end(client: ClientT, within_s: float) -> None:
        task = asyncio.create_task(discard(client, within_s))
        try:
            await asyncio.wait([task])
        finally:
            await asyncio.wait([task])
        task.result()

    return to_its_end


@_whole
async def discard_producer(producer: AIOKafkaProducer, within_s: float) -> None:
    """End a producer and all that belongs to it. What it has not delivered may be delivered yet, or not."""
    sender, accumulator = producer._sender, producer._message_accumulator
    if sender.sender_task is not None:
        sender.sender_task.remove_done_callback(sender._fail_all)  # it fails itself where there is no transaction
    # A batch that is tried again is not among the pending ones, or leaves them before its end does; both look for it there.
    accumulator._pending_batches = pending = _Forgiving(accumulator._pending_batches)
    pending.update(batch for batches in accumulator._batches.values() for batch in batches)
    accumulator._batches.clear()
    for batch in tuple(pending):
        batch.future.cancel()
    await _end(producer.stop(), within_s)
    if sender.sender_task is not None:
        await _cancel([sender.sender_task, *sender._send_produce_req.running])
    await _end(producer.client.close(), _GRACE_S)


@_whole
async def discard_consumer(consumer: AIOKafkaConsumer, within_s: float) -> None:
    """End a consumer and all that belongs to it."""
    await _end(consumer.stop(), within_s)
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    left: list[asyncio.Task[Any] | None] = []
    if coordinator is not None:
        left += [getattr(coordinator, name, None) for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")]
        if isinstance(coordinator._do_commit_offsets, _Kept):
            left += coordinator._do_commit_offsets.running
    if fetcher is not None:
        left += [fetcher._fetch_task, *fetcher._pending_tasks]
        if isinstance(fetcher._proc_offset_request, _Kept):
            left += fetcher._proc_offset_request.running
    await _cancel([task for task in left if task is not None])
    await _end(consumer._client.close(), _GRACE_S)


@_whole
async def discard_admin(admin: AIOKafkaAdminClient, within_s: float) -> None:
    """End an admin client."""
    await _end(admin.close(), within_s)


async def _start(starting: Awaitable[None], discard: Callable[[float], Awaitable[None]], within_s: float) -> None:
    try:
        await bounded(starting, within_s, "connecting")
    except BaseException:
        await discard(within_s)
        raise


async def _end(stopping: Awaitable[None], within_s: float) -> None:
    """Let a ``stop`` run in a task of its own, so that a CancelledError of its making is not taken for ours."""
    task = asyncio.ensure_future(stopping)
    try:
        await asyncio.wait([task], timeout=within_s)
    finally:
        await _cancel([task])


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel tasks until they are done: some of them catch the first CancelledError to wait for others."""
    for _ in range(_CANCELS):
        pending = [task for task in tasks if not task.done()]
        if not pending:
            break
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_GRACE_S)
    for task in tasks:
        if task.done():
            _look_at(task)


def _tame(client: Any) -> None:
    """Put a pause between a client's requests for metadata, let a reset socket be what its tasks expect of one, and have nobody
    connect once it is closed.

    uvloop raises RuntimeError where a socket was reset and nobody has read from it since; the task that meets it would end.
    """
    send: Callable[..., Awaitable[Any]] = client.send
    connect: Callable[..., Awaitable[Any]] = client._get_conn
    close: Callable[[], Awaitable[None]] = client.close
    update: Callable[..., Awaitable[bool]] = client._metadata_update
    last_s = -METADATA_PAUSE_S
    is_closed = False

    async def paced(*arguments: Any) -> bool:
        nonlocal last_s
        loop = asyncio.get_running_loop()
        wait_s = last_s + METADATA_PAUSE_S - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        last_s = loop.time()
        try:
            return await update(*arguments)
        except RuntimeError:
            return False

    async def sent(*arguments: Any, **options: Any) -> Any:
        try:
            return await send(*arguments, **options)
        except RuntimeError as error:
            raise KafkaConnectionError(str(error)) from error

    async def connected(*arguments: Any, **options: Any) -> Any:
        connection = None if is_closed else await connect(*arguments, **options)
        if is_closed and connection is not None:
            connection.close()
            return None
        return connection

    async def closed() -> None:
        nonlocal is_closed
        is_closed = True
        await close()

    client._metadata_update = paced
    client._get_conn = connected
    client.send = sent
    client.close = closed


async def _bootstrap(client: Any, entry: dict[str, Any]) -> None:
    """Learn of the cluster from the first broker that answers. Raises ``KafkaConnectionError`` if none does.

    Each has its share of the time for a request: one that is silent leaves the others theirs.
    """
    share = entry | {"request_timeout_ms": entry["request_timeout_ms"] / len(client.hosts)}
    for host, port, _ in client.hosts:
        try:
            connection = await create_conn(host, port, **share)
        except (KafkaError, OSError, TimeoutError):
            continue
        try:
            metadata = await connection.send(MetadataRequest([]))
        except (KafkaError, TimeoutError):
            continue
        finally:
            connection.close()
        client.cluster.update_metadata(metadata)
        if client.cluster.brokers():
            break
    else:
        raise KafkaConnectionError(f"Unable to bootstrap from {client.hosts}")
    if client._sync_task is None:
        client._sync_task = asyncio.create_task(client._md_synchronizer(), name="kafka metadata")


class _Kept:
    """What a client does in tasks that go on when it has given them up: they are kept, to be ended with it."""

    def __init__(self, work: Callable[..., Awaitable[Any]]) -> None:
        self._work = work
        self.running: set[asyncio.Task[Any]] = set()

    async def __call__(self, *arguments: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        task.add_done_callback(_look_at)
        return await self._work(*arguments)


class _Protocol(AIOKafkaProtocol):  # type: ignore[misc]
    """The driver's, whose end somebody has looked at."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._closed.add_done_callback(_look_at)


aiokafka.conn.AIOKafkaProtocol = _Protocol


def _look_at(task: asyncio.Future[Any]) -> None:
    """So that its error is not reported as forgotten."""
    if not task.cancelled():
        task.exception()
