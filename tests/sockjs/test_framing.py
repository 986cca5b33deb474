"""The pure parts of SockJS: frames, sessions, paths, carriers."""

from __future__ import annotations

import json

import pytest

from stompgate.sockjs.carriers import CARRIERS, BadCallback, check_callback
from stompgate.sockjs.framing import BrokenPayload, NoPayload, decode_messages, encode_message, messages_frame
from stompgate.sockjs.paths import Endpoint, Place, read_path
from stompgate.sockjs.session import Phase, Session

TEXTS = ("", "plain", '"\\/', "안녕 🙂", "\x00\x1f\x7f\u2028\ufffe", "\ud800", "\udfff\ud83d")


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("text", TEXTS)
def test_what_goes_out_comes_in_again(text: str) -> None:
    encoded = encode_message(as_bytes(text))
    assert encoded.isascii() or not any(0xD800 <= ord(sign) < 0xE000 for sign in text)
    assert decode_messages(b"[%b]" % encoded) == [as_bytes(text)]
    assert json.loads(encoded) == text


@pytest.mark.parametrize("data", [b"\xff", b"abc\xfe", b"\xc0\x80", b"\xf5\x80\x80\x80"])
def test_what_is_no_text_is_not_sent(data: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        encode_message(data)


@pytest.mark.parametrize(
    "payload",
    [
        b"[",
        b'["a',
        b"x",
        b"[1]",
        b"[null]",
        b'[["a"]]',
        b'["\xff"]',
        b"[" * 100_000,
        b'["a"] x',
        b"1" * 5000,
        b"\xef\xbb\xbf[]",
    ],
)
def test_what_is_no_list_of_texts_is_broken(payload: bytes) -> None:
    with pytest.raises(BrokenPayload):
        decode_messages(payload)


@pytest.mark.parametrize("payload", [b"", b" \r\n", b"{}", b"1", b"null"])
def test_what_is_no_list_has_no_messages(payload: bytes) -> None:
    with pytest.raises(NoPayload):
        decode_messages(payload)


def test_lone_surrogates_may_be_replaced_and_pairs_stay() -> None:
    payload = rb'["\ud83d\ude42 \ud83d \ude42"]'
    assert decode_messages(payload, keeps_surrogates=False) == ["🙂 \ufffd \ufffd".encode()]


def test_a_session_says_open_once_then_messages_in_order_then_its_close_for_ever() -> None:
    session = Session()
    session.offer(b'"a"')
    assert session.next_frame() == b"o"
    session.offer(b'"b"')
    assert (session.waiting_messages, session.waiting_bytes) == (2, 6)
    assert session.next_frame() == b'a["a","b"]'
    assert session.next_frame() is None
    session.offer(b'"c"')
    session.close(3000, "Go away!")
    session.close(1000, "again")
    session.offer(b'"late"')
    assert session.next_frame() == b'a["c"]'
    assert session.phase is Phase.CLOSING
    assert [session.next_frame() for _ in range(2)] == [b'c[3000,"Go away!"]'] * 2
    session.interrupt()
    assert session.next_frame() == b'c[3000,"Go away!"]'


def test_a_session_closed_before_it_is_open_says_open_first() -> None:
    session = Session()
    session.close(3000, "x")
    assert [session.next_frame() for _ in range(2)] == [b"o", b'c[3000,"x"]']


def test_an_interrupted_session_forgets_what_waited() -> None:
    session = Session()
    session.offer(b'"a"')
    session.interrupt()
    assert (session.waiting_messages, session.waiting_bytes, session.is_open) == (0, 0, False)
    assert session.next_frame() == b'c[1002,"Connection interrupted"]'


@pytest.mark.parametrize(
    ("tail", "place"),
    [
        ("", Place(Endpoint.GREETING)),
        ("/a/b/xhr", Place(Endpoint.XHR, "b")),
        ("/가/나 다/websocket", Place(Endpoint.WEBSOCKET, "나 다")),
        ("/a/b/greeting", None),
        ("/a/b/xhr/", None),
        ("/a/b\n/xhr\n", None),
        ("x", None),
    ],
)
def test_paths(tail: str, place: Place | None) -> None:
    assert read_path(tail) == place


def test_no_message_or_callback_ends_a_script() -> None:
    frame = messages_frame([encode_message(b"</script><!--<script>")])
    for endpoint in (Endpoint.HTMLFILE, Endpoint.JSONP):
        carried = CARRIERS[endpoint].wrap(frame, "c")
        assert carried.count(b"</script>") == (endpoint is Endpoint.HTMLFILE)
        assert b"<!--" not in carried
    for name in ("", None, "a(b", "a b", "a;b", "<", "é", "a" * 129, "a\n"):
        with pytest.raises(BadCallback):
            check_callback(name)
