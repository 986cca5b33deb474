"""How frames are written, and that a MESSAGE encoded once is the MESSAGE that each receiver should get."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stompgate.stomp.frames import Frame, user_headers
from stompgate.stomp.serializer import MessageTemplate, serialize, subscription_line
from stompgate.stomp.versions import Version

from .samples import ALL_COMMANDS, frame_of, versions

V1_0, V1_1, V1_2 = Version

HOSTILE = "a:b\\c\nd\re\0f"


@pytest.mark.parametrize(
    ("version", "value"),
    [(V1_0, b"a:b\\c d e f"), (V1_1, b"a\\cb\\\\c\\nd e f"), (V1_2, b"a\\cb\\\\c\\nd\\re f")],
)
def test_a_value_is_escaped_as_its_version_can_and_the_rest_becomes_a_space(version: Version, value: bytes) -> None:
    assert serialize(Frame("RECEIPT", {"receipt-id": HOSTILE}), version) == b"RECEIPT\nreceipt-id:" + value + b"\n\n\0"


@pytest.mark.parametrize(
    ("version", "sent"),
    [
        (V1_0, ["x y"]),
        (V1_1, ["a:b", "a\nb", "a\\b", "x y", " x", "x "]),
        (V1_2, ["a:b", "a\nb", "a\rb", "a\\b", "x y", " x", "x "]),
    ],
)
def test_a_header_whose_name_a_version_cannot_express_is_left_out(version: Version, sent: list[str]) -> None:
    assert serialize(Frame("RECEIPT", {"": "v"}), version) == b"RECEIPT\n\n\0"
    names = ["a:b", "a\nb", "a\rb", "a\0b", "a\\b", "x y", " x", "x ", ""]
    if version is V1_0:
        sent = [*sent, "a\\b"]
    frame = Frame("RECEIPT", dict.fromkeys(names, "v"))
    assert sorted(frame_of(serialize(frame, version), version, ALL_COMMANDS).headers) == sorted(sent)


@pytest.mark.parametrize("command", ["CONNECT", "STOMP", "CONNECTED"])
@pytest.mark.parametrize("version", list(Version))
def test_the_handshake_is_never_escaped_and_never_broken(command: str, version: Version) -> None:
    frame = Frame(command, {"version": "1.2", "x": HOSTILE, "y:z": "1"})
    assert serialize(frame, version) == command.encode() + b"\nversion:1.2\nx:a:b\\c d e f\n\n\0"


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert serialize(Frame("RECEIPT", {"receipt-id": "a\ud800b"}), V1_2) == b"RECEIPT\nreceipt-id:a?b\n\n\0"
    assert subscription_line("\ud800", V1_2) == b"subscription:?\n"


def test_a_frame_without_body_has_no_content_length() -> None:
    assert serialize(Frame("SEND", {"content-length": "7", "a": "b"}), V1_2) == b"SEND\na:b\n\n\0"


def test_a_body_on_a_frame_that_has_none_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="RECEIPT cannot have a body"):
        serialize(Frame("RECEIPT", {}, b"x"), V1_2)


def test_what_the_server_reads_or_sets_itself_does_not_pass_from_send_to_message() -> None:
    sent = {"destination": "/a", "receipt": "1", "x-mine": "1", "client-message-id": "2", "position": "3", "content-type": "t"}
    assert user_headers(sent) == (("x-mine", "1"), ("content-type", "t"))


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | st.text(st.sampled_from("a-1:\\\n\r\0 "), max_size=6)


@settings(max_examples=300, deadline=None)
@given(
    version=versions,
    texts=st.tuples(_texts, _texts),
    headers=st.lists(
        st.tuples(_texts | st.sampled_from(["subscription", "ack", "message-id", "content-length"]), _texts), max_size=4
    ),
    body=st.binary(max_size=30),
    subscription=st.none() | _texts,
    ack=st.none() | _texts,
)
def test_a_template_gives_what_serializing_the_whole_message_gives(
    version: Version,
    texts: tuple[str, str],
    headers: list[tuple[str, str]],
    body: bytes,
    subscription: str | None,
    ack: str | None,
) -> None:
    destination, message_id = texts
    template = MessageTemplate.of(destination, message_id, headers, body, version)
    data = template.for_subscription(subscription, ack)

    server_set = {"destination": destination, "message-id": message_id, "subscription": subscription, "ack": ack}
    whole: dict[str, str] = {name: value for name, value in server_set.items() if value is not None}
    for name, value in headers:
        if name not in server_set and name != "content-length":
            whole.setdefault(name, value)
    expected = frame_of(serialize(Frame("MESSAGE", whole, body), version), version, ALL_COMMANDS)
    assert frame_of(data, version, ALL_COMMANDS) == expected


def test_a_kept_subscription_line_gives_the_same_bytes() -> None:
    template = MessageTemplate.of("/topic/a", "m-1", (("content-type", "text/plain"),), b"hi", V1_2)
    line = b"subscription:sub\\c0\n"
    head = b"MESSAGE\ndestination:/topic/a\nmessage-id:m-1\ncontent-type:text/plain\ncontent-length:2\n"
    assert subscription_line("sub:0", V1_2) == line
    assert template.splice(line) == template.for_subscription("sub:0") == head + line + b"\nhi\0"
