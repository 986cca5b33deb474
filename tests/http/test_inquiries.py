"""Inquiries over REST: what is taken, and in what shape it is kept."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from stompgate.chat.inquiries import Inquiries, InquiryLimits
from stompgate.http.parts import HttpParts
from stompgate.mail.log import LogMail

from .conftest import LEGACY, House, code_of


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ('{"name":"kim","email":"k@x.kr","phone":"010","message":"hi"}', ("kim", "k@x.kr", "010", "hi")),
        ('{"name":" 김 ","phone":1012345678,"message":"hi\\r\\nthere"}', ("김", "", "1012345678", "hi\nthere")),
        ('{"message":"hi","name":null,"more":[1]}', ("", "", "", "hi")),
    ],
)
async def test_an_inquiry_is_kept_once_success_is_said(house: House, body: str, kept: tuple[str, ...]) -> None:
    async with house.client() as client:
        answer = await client.post("/inquiry/upload", content=body, headers={"content-type": "text/plain"})
        assert (answer.status_code, answer.text) == (200, "success")
    [inquiry] = await house.store.unmailed(10)
    assert (inquiry.name, inquiry.email, inquiry.phone, inquiry.message) == kept


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff",
        b"{}",
        b'{"message":"  "}',
        b'{"message":["hi"]}',
        b'{"message":"hi","phone":true}',
        b'{"message":"hi","phone":1.5}',
        b'{"message":"hi","name":"kim\\r\\nBcc: all@x.kr"}',
        b'{"message":"hi","email":"k@x.kr\\nBcc: all@x.kr"}',
        b'{"message":"hi","phone":"0\\u00001"}',
        b'{"message":"hi","name":"a\\u2028b"}',
        b'{"message":"hi\\u0000"}',
        b'{"message":"hi","name":"' + b"x" * 101 + b'"}',
        b'{"message":"' + b"x" * 10_001 + b'"}',
    ],
)
async def test_what_is_no_inquiry_is_refused_and_not_kept(house: House, body: bytes) -> None:
    async with house.client() as client:
        answer = await client.post("/inquiry/upload", content=body)
        assert (answer.status_code, code_of(answer)) == (400, "bad-request")
    assert await house.store.unmailed(10) == []


def counted(house: House, per_min: int) -> HttpParts:
    limits = InquiryLimits(per_address_per_min=per_min, per_min=0)
    return replace(house.parts, inquiries=Inquiries(house.store, LogMail(), house.clock, limits))


async def test_too_many_are_told_when_to_come_again(house: House) -> None:
    house.parts = counted(house, 2)
    async with house.client() as client:
        answers = [await client.post("/inquiry/upload", json={"message": f"{n}"}) for n in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert code_of(answers[2]) == "too-many-requests"
        assert answers[2].headers["retry-after"] == "30"
        house.clock.advance(30)
        assert (await client.post("/inquiry/upload", json={"message": "again"})).status_code == 200
    assert len(await house.store.unmailed(10)) == 3


PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peers", "forwarded", "taken"),
    [
        (("1.1.1.1", "2.2.2.2"), ("", ""), 2),
        (("1.1.1.1", "1.1.1.1"), ("2.2.2.2", "3.3.3.3"), 1),  # a stranger's word
        (("10.0.0.1", "10.0.0.1"), ("2.2.2.2", "3.3.3.3"), 2),
        (("10.0.0.1", "10.0.0.2"), ("2.2.2.2", "9.9.9.9, 2.2.2.2, 10.0.0.9"), 1),  # the first is the client's own claim
        (("::ffff:10.0.0.1", "fd00::1"), ("2.2.2.2", "3.3.3.3"), 2),
        (("10.0.0.1", "10.0.0.1"), ("nonsense", "2.2.2.2, unknown"), 1),
        (("2001:db8::1", "2001:db8::2"), ("", ""), 1),  # of one network
        (("2001:db8::1", "2001:db8:0:1::1"), ("", ""), 2),
    ],
)
async def test_an_address_is_the_peers_or_what_a_known_proxy_says(
    house: House, peers: tuple[str, str], forwarded: tuple[str, str], taken: int
) -> None:
    house.parts = counted(house, 1)
    codes = []
    for n, (peer, hops) in enumerate(zip(peers, forwarded, strict=True)):
        headers = {"x-forwarded-for": hops} if hops else {}
        async with house.client(replace(LEGACY, proxies=PROXIES), peer) as client:
            codes.append((await client.post("/inquiry/upload", json={"message": f"{n}"}, headers=headers)).status_code)
    assert codes.count(200) == taken


async def test_what_cannot_be_stored_is_not_answered_with_success(house: House) -> None:
    await house.store.close()
    async with house.client() as client:
        answer = await client.post("/inquiry/upload", json={"message": "hi"})
    assert (answer.status_code, code_of(answer)) == (503, "store-unavailable")
    await house.store.open()
