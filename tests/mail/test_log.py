"""What a log may know of an inquiry."""

from __future__ import annotations

from structlog.testing import capture_logs

from stompgate.mail.letter import subject_of
from stompgate.mail.log import LogMail
from stompgate.model.inquiries import Inquiry

INQUIRY = Inquiry(7, "김철수", "secret@example.org", "010-1234", "a private matter")


async def test_the_log_names_the_inquiry_and_keeps_its_text_and_addresses_out() -> None:
    with capture_logs() as lines:
        await LogMail().send_inquiry(INQUIRY)
    assert lines == [{"event": "inquiry", "log_level": "info", "inquiry": 7, "subject": "[문의]: 김철수"}]


def test_a_subject_is_one_line() -> None:
    subject = subject_of(Inquiry(1, "a\r\nBcc: x\x00\u2028b", "", "", ""))
    assert subject == "[문의]: a  Bcc: x  b"
