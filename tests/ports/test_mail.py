"""What every mail promises that needs no eyes on the other side."""

from __future__ import annotations

from stompgate.model.inquiries import Inquiry
from stompgate.ports.mail import Mail


async def test_an_inquiry_is_handed_over_and_may_be_again(mail: Mail) -> None:
    await mail.ping()
    inquiry = Inquiry(7, "이름\r\nBcc: x@example.org", "a@example.org", "010-1234", "a\nb")
    await mail.send_inquiry(inquiry)
    await mail.send_inquiry(inquiry)
