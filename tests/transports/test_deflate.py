"""permessage-deflate (RFC 7692): what is agreed, what goes out compressed, and what may never be inflated."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode

from stompgate.access.origins import AllowedOrigins
from stompgate.stomp.frames import Frame as StompFrame
from stompgate.transports.deflate import Deflate, DeflateLimits, Inflater, InflatesTooMuch
from stompgate.transports.framing import FLUSHED, FRAMING, DeflateFraming
from stompgate.transports.handshake import Doorman, Handshake
from tests.daemon_process import Daemon, launcher
from tests.wire_client import WireClient, opened

KIB = 1024
LIMITS = DeflateLimits(least_bytes=100, free_bytes=8 * KIB, ratio=20, message_bytes=64 * KIB)
UPGRADE = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: %s\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)


def shake(*offers: str, version: str = "13", deflate: Deflate | None = None, origin: str = "") -> Handshake:
    """The answer to these header lines of offers."""
    lines = "".join(f"Sec-WebSocket-Extensions: {offer}\r\n" for offer in offers)
    lines += f"Origin: {origin}\r\n" if origin else ""
    return Doorman(["/"], AllowedOrigins(["*"]), deflate).answer((UPGRADE % (version, lines)).encode())


def agreed(handshake: Handshake) -> str | None:
    """The header line of the extensions in an answer."""
    assert handshake.refused is None, handshake.answer
    lines = handshake.answer.decode().split("\r\n")
    return next((line.partition(": ")[2] for line in lines if line.startswith("Sec-WebSocket-Extensions")), None)


def inflater(limits: DeflateLimits = LIMITS, *, is_admitted: bool = True) -> Inflater:
    """What takes compressed messages in, with limits."""
    taker = Inflater(limits, DeflateFraming(12, limits.least_bytes))
    if is_admitted:
        taker.admit()
    return taker


def squeeze(data: bytes) -> bytes:
    """Data as a client compresses it."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(FLUSHED)


def in_frames(compressed: bytes, cuts: Sequence[int] = ()) -> list[Frame]:
    """The frames of a compressed message, cut at these places."""
    ends = [*sorted({min(cut, len(compressed)) for cut in cuts}), len(compressed)]
    pieces = [compressed[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    last = len(pieces) - 1
    return [Frame(Opcode.CONT if at else Opcode.TEXT, piece, fin=at == last, rsv1=not at) for at, piece in enumerate(pieces)]


def inflate(frames: Sequence[Frame], taker: Inflater | None = None, frame_bytes: int | None = None) -> bytes:
    """What a message's frames say."""
    taker = taker or inflater()
    decoded = [taker.decode(frame, max_size=frame_bytes) for frame in frames]
    assert not any(frame.rsv1 for frame in decoded)
    return b"".join(bytes(frame.data) for frame in decoded)


# What is agreed


NO_MEMORY = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ((), None),
        (("x-webkit-deflate-frame",), None),
        (("permessage-deflate",), f"{NO_MEMORY}; server_max_window_bits=12"),
        (("permessage-deflate; client_max_window_bits",), f"{NO_MEMORY}; server_max_window_bits=12"),
        (
            ("permessage-deflate; client_max_window_bits=10; server_max_window_bits=9",),
            f"{NO_MEMORY}; server_max_window_bits=9; client_max_window_bits=10",
        ),
        (("permessage-deflate; server_max_window_bits=15",), f"{NO_MEMORY}; server_max_window_bits=12"),
        (('permessage-deflate; server_max_window_bits="11"',), f"{NO_MEMORY}; server_max_window_bits=11"),
        (("permessage-deflate; server_max_window_bits=8",), None),
        (("permessage-deflate; server_max_window_bits",), None),
        (("permessage-deflate; server_max_window_bits=16",), None),
        (("permessage-deflate; server_max_window_bits=010",), None),
        (("permessage-deflate; client_max_window_bits=7",), None),
        (("permessage-deflate; server_no_context_takeover=1",), None),
        (("permessage-deflate; client_no_context_takeover; client_no_context_takeover",), None),
        (("permessage-deflate; something_new",), None),
        (
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",),
            f"{NO_MEMORY}; server_max_window_bits=10",
        ),
        (("permessage-deflate; something_new", "permessage-deflate"), f"{NO_MEMORY}; server_max_window_bits=12"),
        (("permessage-deflate, permessage-deflate",), f"{NO_MEMORY}; server_max_window_bits=12"),
    ],
)
def test_an_offer_is_answered_as_the_rfc_says(offers: Sequence[str], answer: str | None) -> None:
    handshake = shake(*offers, deflate=Deflate(LIMITS))
    assert agreed(handshake) == answer
    assert (handshake.inflater is not None) == (answer is not None)


def test_without_the_setting_every_offer_is_declined() -> None:
    assert agreed(shake("permessage-deflate; client_max_window_bits")) is None


@pytest.mark.parametrize("stranger_bytes", [0, KIB])
def test_browsers_are_not_led_to_compress_a_connect_that_would_be_refused(stranger_bytes: int) -> None:
    deflate = Deflate(DeflateLimits(stranger_bytes=stranger_bytes))
    handshake = shake("permessage-deflate", deflate=deflate, origin="http://localhost")
    assert (agreed(handshake) is not None) == bool(stranger_bytes)


def test_connections_with_one_window_share_what_they_are_sent() -> None:
    deflate = Deflate(LIMITS)
    offers = (
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=9",
    )
    one, same, other = (made.framing for offer in offers if (made := shake(offer, deflate=deflate).inflater) is not None)
    assert one is same
    assert one is not other


@pytest.mark.parametrize("version", ["12", "8", "14", "1e1", "13, 8"])
def test_a_version_that_is_not_ours_is_told_which_is(version: str) -> None:
    head, _, body = shake(version=version).answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426 ")
    assert b"Sec-WebSocket-Version: 13" in head
    assert b"Upgrade: websocket" in head
    assert b'"status":426' in body


# What goes out


@pytest.mark.parametrize("window_bits", [9, 12])
@pytest.mark.parametrize("is_text", [True, False])
def test_what_goes_out_is_understood_by_another_implementation(window_bits: int, is_text: bool) -> None:
    theirs = PerMessageDeflate(True, True, window_bits, 15)
    for frame in (b"y" * 100, os.urandom(70_000), ('{"content":"안녕하세요"}' * 400).encode()):
        wrapped = DeflateFraming(window_bits, 100).wrap(frame, is_text=is_text)
        assert wrapped[0] == (0xC1 if is_text else 0xC2)
        head_bytes = {126: 4, 127: 10}.get(wrapped[1], 2)
        opcode = Opcode.TEXT if is_text else Opcode.BINARY
        assert bytes(theirs.decode(Frame(opcode, wrapped[head_bytes:], rsv1=True)).data) == frame


def test_what_is_small_goes_out_as_it_is() -> None:
    frame = b"y" * 99
    assert DeflateFraming(12, 100).wrap(frame, is_text=True) == FRAMING.wrap(frame, is_text=True)


# What comes in


@pytest.mark.parametrize(
    "compressed",
    [
        "f2 48 cd c9 c9 07 00",
        "00 05 00 fa ff 48 65 6c 6c 6f 00",
        "f3 48 cd c9 c9 07 00 00",
        "f2 48 05 00 00 00 ff ff ca c9 c9 07 00",
    ],
)
def test_the_examples_of_the_rfc_say_hello(compressed: str) -> None:
    data = bytes.fromhex(compressed)
    for cut in range(len(data)):
        assert inflate(in_frames(data, [cut] if cut else [])) == b"Hello"


def test_a_message_that_needs_the_one_before_it_is_refused() -> None:
    taker = inflater()
    inflate(in_frames(bytes.fromhex("f2 48 cd c9 c9 07 00")), taker)
    with pytest.raises(ProtocolError):
        inflate(in_frames(bytes.fromhex("f2 00 11 00 00")), taker)


def test_messages_may_be_compressed_or_not_and_control_frames_come_between() -> None:
    taker = inflater()
    first, second = in_frames(squeeze(b"Hello there"), [5])
    ping = Frame(Opcode.PING, b"p")
    begun = bytes(taker.decode(first).data)
    assert taker.decode(ping) is ping
    assert begun + bytes(taker.decode(second).data) == b"Hello there"
    plain = Frame(Opcode.TEXT, b"plain")
    assert taker.decode(plain) is plain
    assert inflate(in_frames(squeeze(b"again")), taker) == b"again"


@given(st.binary(max_size=6000), st.lists(st.integers(0, 6000), max_size=6), st.sampled_from([1, 50]))
def test_any_message_in_any_fragments_is_inflated_whole(data: bytes, cuts: list[int], times: int) -> None:
    repeated = (data * times)[: 8 * KIB]
    assert inflate(in_frames(squeeze(repeated), cuts)) == repeated


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=4))
@settings(max_examples=300)
def test_any_bytes_are_inflated_within_bounds_or_refused(data: bytes, cuts: list[int]) -> None:
    try:
        inflated = inflate(in_frames(data, cuts))
    except (ProtocolError, PayloadTooBig):
        return
    assert len(inflated) <= max(LIMITS.free_bytes, LIMITS.ratio * len(data))


def test_a_message_may_inflate_to_what_is_free_and_not_one_byte_more() -> None:
    assert inflate(in_frames(squeeze(b"x" * 8 * KIB))) == b"x" * 8 * KIB
    with pytest.raises(InflatesTooMuch):
        inflate(in_frames(squeeze(b"x" * (8 * KIB + 1))))


def test_a_message_may_inflate_to_the_limit_of_messages_and_not_one_byte_more() -> None:
    limits = DeflateLimits(ratio=1100, message_bytes=64 * KIB)
    assert len(inflate(in_frames(squeeze(b"x" * 64 * KIB)), inflater(limits))) == 64 * KIB
    with pytest.raises(PayloadTooBig):
        inflate(in_frames(squeeze(b"x" * (64 * KIB + 1))), inflater(limits))


@pytest.mark.parametrize("cut_bytes", [1, 7, 100])
def test_fragments_do_not_add_up_to_more_than_a_message_may_have(cut_bytes: int) -> None:
    bomb = squeeze(b"x" * 4096 * KIB)
    taker, inflated = inflater(), 0
    with pytest.raises(PayloadTooBig):  # noqa: PT012
        for frame in in_frames(bomb, range(cut_bytes, len(bomb), cut_bytes)):
            inflated += len(taker.decode(frame, max_size=1024 * KIB).data)
    assert inflated <= LIMITS.message_bytes


def test_the_limit_of_the_frame_holds_too() -> None:
    with pytest.raises(PayloadTooBig):
        inflate(in_frames(squeeze(b"x" * 2 * KIB)), frame_bytes=KIB)


def test_data_behind_a_final_block_is_refused() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    final = deflate.compress(b"Hello") + deflate.flush()
    assert inflate(in_frames(final)) == b"Hello"
    with pytest.raises(ProtocolError):
        inflate(in_frames(final + squeeze(b" there")))


def test_a_stranger_may_send_nothing_compressed() -> None:
    with pytest.raises(ProtocolError):
        inflate(in_frames(squeeze(b"x")), inflater(is_admitted=False))


# With a daemon


@pytest.fixture(scope="module")
def compressing_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that agrees to compression."""
    with launcher(tmp_path_factory.mktemp("deflate")) as launch:
        yield launch({"websocket": {"compression": True}})


@contextmanager
def uncompressed(client: WireClient) -> Iterator[None]:
    """What the client sends meanwhile goes as it is. What it receives is taken either way."""
    protocol = client.socket.protocol
    encode = PerMessageDeflate.encode
    extension = protocol.extensions[0]
    extension.encode = lambda frame: frame  # type: ignore[method-assign]
    try:
        yield
    finally:
        extension.encode = encode.__get__(extension)  # type: ignore[method-assign]


@asynccontextmanager
async def compressing(daemon: Daemon, user: str = "user") -> AsyncIterator[WireClient]:
    """A connected client that sends everything compressed from then on."""
    async with opened(daemon.ws_url, extensions=[ClientPerMessageDeflateFactory()]) as client:
        assert client.socket.protocol.extensions
        with uncompressed(client):
            await client.connect(user)
        yield client


async def test_messages_go_both_ways_compressed_beside_one_who_takes_none(compressing_daemon: Daemon) -> None:
    body = '{"content":"again and again"}' * 100
    async with compressing(compressing_daemon) as one, opened(compressing_daemon.ws_url) as plain:
        await plain.connect()
        for client in (one, plain):
            await client.subscribe("/topic/compressed")
        await one.send("/topic/compressed", body)
        for client in (one, plain):
            assert (await client.expect("MESSAGE")).body.decode() == body


@pytest.mark.parametrize("command", ["CONNECT", "SEND"])
async def test_what_comes_compressed_before_connected_is_refused(compressing_daemon: Daemon, command: str) -> None:
    async with opened(compressing_daemon.ws_url, extensions=[ClientPerMessageDeflateFactory()]) as client:
        await client.send_frames(StompFrame(command, {"accept-version": "1.2", "host": "x", "sender": "user"}))
        refused = await client.refused()
    assert (refused.code, refused.close_code) == ("broken-websocket", 1002)
    assert b"CONNECTED" in refused.error.body


async def test_a_bomb_is_refused_and_costs_nobody_else(compressing_daemon: Daemon) -> None:
    async with compressing(compressing_daemon) as bomber, compressing(compressing_daemon) as other:
        await bomber.write(b"\n" * 900 * KIB)
        refused = await bomber.refused()
        await other.send("/topic/x", "here")
    assert (refused.code, refused.close_code) == ("frame-too-large", 1009)


async def test_one_bomb_after_the_other_is_bounded_each_by_itself(compressing_daemon: Daemon) -> None:
    async with compressing(compressing_daemon) as client:
        for _ in range(200):
            await client.write(b"\n" * 30 * KIB)
        await client.send("/topic/x", "here")


async def test_by_default_nothing_is_agreed(shared_daemon: Daemon) -> None:
    async with opened(shared_daemon.ws_url, extensions=[ClientPerMessageDeflateFactory()]) as client:
        assert not client.socket.protocol.extensions
        await client.connect()


async def test_strangers_may_be_allowed_a_little(tmp_path_factory: pytest.TempPathFactory) -> None:
    with launcher(tmp_path_factory.mktemp("strangers")) as launch:
        daemon = launch({"websocket": {"compression": True, "compression_stranger_limit_bytes": 4096}})
        async with opened(daemon.ws_url, extensions=[ClientPerMessageDeflateFactory()]) as client:
            await client.connect()
        async with opened(daemon.ws_url, extensions=[ClientPerMessageDeflateFactory()]) as client:
            await client.write(b"\n" * 4097)
            assert (await client.refused()).close_code == 1009
