"""Nothing that a person types becomes a header of the mail, another recipient, or a line that a mail server does not take."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stompgate.mail.letter import is_plain_address, letter, sender_of, subject_of, text_of
from stompgate.model.inquiries import Inquiry

SENDER = Address("상담", addr_spec="chat@example.org")
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
TRICKS = (
    "a\r\nBcc: all@example.org",
    "a\nBcc: all@example.org\n\nbody",
    "a\rBcc: x",
    "a\0b",
    "a\x0bBcc: x\x0cBcc: y\x1cBcc: z\x85Bcc: q",
    "a\u2028Bcc: x\u2029Bcc: y",
    "a\ud800b\udc8ac",
    "\u202eroines\u202c \u2066x\u2069 \u200b\ufeff",
    "=?utf-8?q?a=0D=0ABcc:_x@example.org?=",
    "=?utf-8?b?YQ0KQmNjOiB4?= =?utf-8?q?b=0Ac?=",
    "=?=?utf-8?q?a=0Ab?=?=",
    "=?unknown?q?x?= =?utf-8?x?y?= =?utf-8?b?!?=",
    "x" * 5000,
    "가" * 5000,
    "x " * 3000,
    " \t ",
    '"<a@b.kr>, c@d.kr; (comment) \\',
    ".\r\n.\r\nQUIT\r\n",
)


def head_and_text(inquiry: Inquiry) -> tuple[bytes, EmailMessage]:
    raw = letter(inquiry, sender=SENDER, support_address="support@example.org", now_us=1_700_000_000_000_000)
    parsed = BytesParser(policy=SMTP).parsebytes(raw)
    assert isinstance(parsed, EmailMessage)
    return raw, parsed


def check(inquiry: Inquiry) -> None:
    raw, message = head_and_text(inquiry)
    assert raw.isascii()
    assert b"\0" not in raw
    head, _, body = raw.partition(b"\r\n\r\n")
    assert not {10, 13} & set(head.replace(b"\r\n", b"")), "no line end but CRLF"
    assert not {10, 13} & set(body.replace(b"\r\n", b""))
    lines = head.decode().split("\r\n")
    assert all(lines), "an empty line would end the head"
    names = [line.partition(":")[0] for line in lines if not line.startswith((" ", "\t"))]
    assert [name for name in names if name != "Reply-To"] == HEADERS
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert message["to"] == "support@example.org"
    assert message["from"].addresses == (SENDER,)
    assert "\n" not in message["subject"]
    assert message["subject"].startswith("[문의]:")
    if "Reply-To" in names:
        (reply_to,) = message["reply-to"].addresses
        assert reply_to.addr_spec == inquiry.email
    # A reader of mail decodes each header by itself, once more or not at all: nothing of it may begin another.
    assert not message.defects
    text = message.get_content()
    assert isinstance(text, str)
    assert text.replace("\r\n", "\n") == text_of(inquiry) + "\n"


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: repr(trick[:20]))
@pytest.mark.parametrize("field", ["name", "email", "phone", "message"])
def test_no_trick_reaches_the_head(trick: str, field: str) -> None:
    fields = {"name": "kim", "email": "kim@example.com", "phone": "010", "message": "hi"} | {field: trick}
    check(Inquiry(7, fields["name"], fields["email"], fields["phone"], fields["message"]))


_PIECES = ("=?utf-8?q?", "=0A", "=0D=0A", "?=", " ", "a", "가", "\r", "\n", "\0", "=", "?", "_", "Bcc: x")
_TEXTS = st.one_of(st.text(st.characters(), max_size=300), st.lists(st.sampled_from(_PIECES)).map("".join))


@given(name=_TEXTS, email=_TEXTS, message=_TEXTS)
@example(name="=?utf-8?q?=0A?=", email="=?utf-8?q?x?=@x.kr", message="")
@settings(max_examples=150, deadline=None)
def test_no_text_reaches_the_head(name: str, email: str, message: str) -> None:
    check(Inquiry(7, name, email, "010", message))


def test_a_korean_name_is_in_the_subject_as_it_was_typed() -> None:
    _, message = head_and_text(Inquiry(7, "홍 길동 (Hong)", "", "", "hi"))
    assert message["subject"] == "[문의]: 홍 길동 (Hong)"
    assert subject_of(Inquiry(7, "a=?b", "", "", "")) == "[문의]: a= ?b"


@pytest.mark.parametrize("email", ["kim@example.com", "k.i-m+tag@mail.example.co.kr", "a@b", f"{'a' * 64}@{'b' * 63}.kr"])
def test_who_gave_a_valid_address_can_be_answered(email: str) -> None:
    assert is_plain_address(email)
    _, message = head_and_text(Inquiry(7, "kim", email, "", "hi"))
    assert message["reply-to"] == email


@pytest.mark.parametrize(
    "email",
    [
        *("", "kim", "@x.kr", "kim@", "a@b@c", "a b@x.kr", "kim@x..kr", ".kim@x.kr", "kim.@x.kr", "k..m@x.kr", "kim@-x.kr"),
        *("kim@[1.2.3.4]", '"k m"@x.kr', "김@x.kr", "kim@김.kr", "kim@x.kr, lee@x.kr", "kim@x.kr\n", "Kim <kim@x.kr>"),
        *("=?utf-8?q?kim?=@x.kr", f"{'a' * 65}@x.kr", f"a@{'b' * 64}.kr", f"a@{'b.' * 130}kr"),
    ],
)
def test_who_did_not_is_in_the_text_alone(email: str) -> None:
    assert not is_plain_address(email)
    _, message = head_and_text(Inquiry(7, "kim", email, "010", "hi"))
    assert message["reply-to"] is None
    assert "문의자: " in message.get_content()


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("chat@example.org", Address("", addr_spec="chat@example.org")),
        ("Chat <chat@example.org>", Address("Chat", addr_spec="chat@example.org")),
        ("상담 창구 <chat@example.org>", Address("상담 창구", addr_spec="chat@example.org")),
        ("<chat@example.org>", Address("", addr_spec="chat@example.org")),
        *((text, None) for text in ("", "chat", "Chat chat@example.org", "a <b@c.kr> d", "a\r\n <b@c.kr>", "a, b <b@c.kr>")),
    ],
)
def test_the_sender_is_an_address_with_or_without_a_name(text: str, sender: Address | None) -> None:
    assert sender_of(text) == sender
