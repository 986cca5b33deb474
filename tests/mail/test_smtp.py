"""Mail through a real SMTP server: with STARTTLS and a login, refusing, slow, dead and back; and what is said of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from stompgate.mail.smtp import SmtpMail
from stompgate.mail.smtp_url import from_url
from stompgate.model.inquiries import Inquiry
from stompgate.ports.mail import MailRefused
from stompgate.ports.part import PartDown, SetupError
from stompgate.settings import Smtp
from stompgate.system_clock import SystemClock
from tests.fakes import FakeClock
from tests.waiting import until

from .post_office import SENDER, SUPPORT, PostOffice, post_office

INQUIRY = Inquiry(7, "김철수", "kim@example.com", "010-1234-5678", "자전거가 오지 않았어요.\nWhere is it?")
PASSWORD = "p@ss:w0rd/?#%"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostOffice]:
    with post_office(tmp_path_factory.mktemp("post office"), tls=True, user="stompgate", password=PASSWORD) as office:
        yield office


@pytest.fixture
def office(shared: PostOffice) -> Iterator[PostOffice]:
    """With STARTTLS and a login."""
    yield shared
    shared.order()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[PostOffice]:
    """Without either."""
    with post_office(tmp_path / "plain") as office:
        yield office


@asynccontextmanager
async def opened(office: PostOffice, *, url: str = "", **smtp: Any) -> AsyncIterator[SmtpMail]:
    clock = SystemClock(asyncio.get_running_loop())
    mail = from_url(url or office.url, clock=clock, options=Smtp(**{**office.smtp, **smtp}).model_dump())
    await mail.open()
    try:
        yield mail
    finally:
        await mail.close()


async def is_up(mail: SmtpMail) -> bool:
    try:
        await mail.ping()
    except PartDown:
        return False
    return True


async def is_down(mail: SmtpMail) -> bool:
    return not await is_up(mail)


async def why_down(mail: SmtpMail) -> str:
    with pytest.raises(PartDown) as down:
        await mail.ping()
    return str(down.value)


async def test_an_inquiry_comes_as_the_contract_says_by_tls_and_with_a_login(office: PostOffice) -> None:
    async with opened(office, sender=f"상담 <{SENDER}>") as mail:
        await mail.send_inquiry(INQUIRY)
        await mail.ping()
    taken = office.taken[-1]
    assert (taken.sender, taken.recipients, taken.tls, taken.login) == (SENDER, [SUPPORT], True, True)
    message = taken.message
    assert message["subject"] == "[문의]: 김철수"
    assert message["from"] == f"상담 <{SENDER}>"
    assert message["to"] == SUPPORT
    assert message["reply-to"] == "kim@example.com"
    text = message.get_content().replace("\r\n", "\n")
    assert text == f"{INQUIRY.message}\n 문의자: kim@example.com/010-1234-5678\n"
    assert parsedate_to_datetime(message["date"]).tzinfo is not None
    assert taken.raw.isascii()


async def test_a_second_try_has_the_same_message_id(office: PostOffice) -> None:
    async with opened(office) as mail:
        await mail.send_inquiry(INQUIRY)
        await mail.send_inquiry(INQUIRY)
        await mail.send_inquiry(Inquiry(7, "other", "", "", "text"))
    first, second, other = [mail.message["message-id"] for mail in office.taken[-3:]]
    assert first == second != other


async def test_without_tls_and_login_where_the_settings_say_so(plain: PostOffice) -> None:
    async with opened(plain) as mail:
        await mail.send_inquiry(INQUIRY)
    async with opened(plain, starttls="offered") as mail:
        await mail.send_inquiry(INQUIRY)
    assert [(mail.tls, mail.login) for mail in plain.taken] == [(False, False)] * 2


async def test_starttls_is_used_where_it_is_offered(office: PostOffice) -> None:
    async with opened(office, starttls="offered") as mail:
        await mail.send_inquiry(INQUIRY)
    assert office.taken[-1].tls


async def test_tls_from_the_first_byte_is_what_smtps_means(tmp_path: Path) -> None:
    with post_office(tmp_path, tls=True, from_the_first_byte=True) as office:
        async with opened(office) as mail:
            await mail.send_inquiry(INQUIRY)
        (taken,) = office.taken
        assert taken.tls
        async with opened(office, url=office.url.replace("smtps", "smtp")) as mail:
            with pytest.raises(PartDown):
                await mail.send_inquiry(INQUIRY)


async def test_without_starttls_neither_mail_nor_password_goes_out(plain: PostOffice) -> None:
    async with opened(plain, starttls="required") as mail:
        with pytest.raises(PartDown, match="STARTTLS"):
            await mail.send_inquiry(INQUIRY)
    url = f"smtp://stompgate:planted@localhost:{plain.port}"
    async with opened(plain, url=url, starttls="offered") as mail:
        with pytest.raises(PartDown, match="the password is not sent") as down:
            await mail.send_inquiry(INQUIRY)
    assert "planted" not in str(down.value)
    assert plain.taken == []


async def test_a_certificate_of_strangers_is_not_trusted(office: PostOffice) -> None:
    async with opened(office, tls_ca="") as mail:
        with pytest.raises(PartDown, match="certificate verify failed"):
            await mail.send_inquiry(INQUIRY)


async def test_a_refused_login_is_known_from_the_start_and_said_without_the_password(office: PostOffice) -> None:
    wrong = f"smtp://stompgate:planted@localhost:{office.port}"
    async with opened(office, url=wrong) as mail:
        await until(lambda: is_down(mail), "the first look has found it")
        assert await why_down(mail) == f"localhost:{office.port}: refused the login (535 5.7.8)"
        with pytest.raises(PartDown, match="refused the login"):
            await mail.send_inquiry(INQUIRY)


@pytest.mark.parametrize(
    ("orders", "only_this", "is_final", "reason"),
    [
        ({"rcpt": "550 5.1.1 no such desk"}, False, True, "refused the support address: 550 5.1.1 no such desk"),
        ({"rcpt": "450 4.2.0 greylisted"}, False, False, "refused the support address: 450 4.2.0 greylisted"),
        ({"mail": "553 5.7.1 not yours"}, False, True, "refused the sender: 553 5.7.1 not yours"),
        ({"data": "554 5.7.1 spam"}, True, True, "refused the mail: 554 5.7.1 spam"),
        ({"data": "451 4.3.0 scanner away"}, True, False, "refused the mail: 451 4.3.0 scanner away"),
    ],
)
async def test_a_refusal_says_whom_it_concerns_and_whether_it_is_final(
    office: PostOffice, orders: dict[str, str], only_this: bool, is_final: bool, reason: str
) -> None:
    async with opened(office) as mail:
        office.order(**orders)
        with pytest.raises(MailRefused) as refused:
            await mail.send_inquiry(INQUIRY)
        assert (refused.value.only_this, refused.value.is_final) == (only_this, is_final)
        assert str(refused.value) == f"localhost:{office.port}: {reason}"
        assert await is_up(mail) == only_this, "what concerns all shows"
        office.order()
        await mail.send_inquiry(INQUIRY)
        assert await is_up(mail)


async def test_what_the_server_repeats_of_a_person_or_a_password_is_not_told_on(office: PostOffice) -> None:
    async with opened(office) as mail:
        office.order(
            data=f"554 bad: {INQUIRY.email} {INQUIRY.phone} {PASSWORD.encode('ascii', 'ignore').decode()} Where is it?"
        )
        with pytest.raises(MailRefused) as refused:
            await mail.send_inquiry(INQUIRY)
        assert str(refused.value).endswith("554 bad: *** *** *** ***")


async def test_a_slow_server_is_waited_for_and_one_that_is_too_slow_is_not(office: PostOffice) -> None:
    before = len(office.taken)
    async with opened(office, answer_timeout_s=1.0) as mail:
        office.order(data_delay_s=0.3)
        await mail.send_inquiry(INQUIRY)
        office.order(data_delay_s=3.0)
        with pytest.raises(PartDown, match="no answer in time"):
            await mail.send_inquiry(INQUIRY)
    async with opened(office, answer_timeout_s=5.0, attempt_timeout_s=0.5) as mail:
        with pytest.raises(PartDown, match="no answer in time"):
            await mail.send_inquiry(INQUIRY)
    assert len(office.taken) == before + 1


async def test_a_server_that_dies_is_down_and_one_that_is_back_is_up_again_by_itself(plain: PostOffice) -> None:
    async with opened(plain) as mail:
        await mail.send_inquiry(INQUIRY)
        plain.kill()
        with pytest.raises(PartDown):
            await mail.send_inquiry(INQUIRY)
        assert f"localhost:{plain.port}" in await why_down(mail)
        plain.start()
        await until(lambda: is_up(mail), "a later look finds it")
        await mail.send_inquiry(INQUIRY)
    assert len(plain.taken) == 2


async def test_a_server_that_dies_within_a_mail_is_down(plain: PostOffice) -> None:
    async with opened(plain) as mail:
        plain.order(data_delay_s=10)
        sending = asyncio.create_task(mail.send_inquiry(INQUIRY))
        await asyncio.sleep(0.3)
        plain.kill()
        with pytest.raises(PartDown):
            await sending


async def test_a_server_that_never_says_a_word_is_down_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        options = Smtp(sender=SENDER, support_address=SUPPORT, starttls="never", answer_timeout_s=0.3).model_dump()
        mail = from_url(f"smtp://127.0.0.1:{port}", clock=FakeClock(), options=options)
        with pytest.raises(PartDown, match="no answer in time"):
            await mail.send_inquiry(INQUIRY)


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x01\x00\xff\xfe\r\n", b"220\r\n250\r\n99999 x\r\n", b""]
)
async def test_what_is_no_smtp_server_is_down(said: bytes) -> None:
    answered = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        answered.set()

    server = await asyncio.start_server(answer, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    options = Smtp(sender=SENDER, support_address=SUPPORT, starttls="never", answer_timeout_s=0.5).model_dump()
    mail = from_url(f"smtp://localhost:{port}", clock=FakeClock(), options=options)
    with pytest.raises(PartDown, match=f"localhost:{port}"):
        await mail.send_inquiry(INQUIRY)
    await answered.wait()
    server.close()


@pytest.mark.parametrize(
    ("url", "options", "expected"),
    [
        ("smtp://", {}, "expected smtp://host:587"),
        ("smtp://host/path", {}, "expected smtp://host:587"),
        ("smtp://host:port", {}, "expected smtp://host:587"),
        ("smtp://host?x=y", {}, "expected smtp://host:587"),
        ("smtp://user@host", {}, "both a user and a password"),
        ("smtp://user:planted@host", {"starttls": "never"}, "in clear text"),
        ("smtp://host", {"sender": ""}, "smtp.sender: expected"),
        ("smtp://host", {"sender": "a@b.kr\r\nBcc: c@d.kr"}, "smtp.sender: expected"),
        ("smtp://host", {"sender": "=?utf-8?q?x=0A?= <a@b.kr>"}, "smtp.sender: expected"),
        ("smtp://host", {"support_address": "a@b.kr, c@d.kr"}, "smtp.support_address: expected"),
        ("smtp://host", {"tls_ca": "/nowhere.pem"}, "smtp.tls_ca: /nowhere.pem cannot be read"),
    ],
)
def test_settings_that_make_no_sense_are_named_without_a_secret(url: str, options: dict[str, str], expected: str) -> None:
    smtp = Smtp(**{"sender": SENDER, "support_address": SUPPORT, **options})  # type: ignore[arg-type]
    with pytest.raises(SetupError, match=expected) as refused:
        from_url(url, clock=FakeClock(), options=smtp.model_dump())
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_what_a_url_needs_not_say_is_the_custom(scheme: str) -> None:
    smtp = Smtp(sender=SENDER, support_address=SUPPORT)
    assert isinstance(from_url(f"{scheme}://mail.example.org", clock=FakeClock(), options=smtp.model_dump()), SmtpMail)
