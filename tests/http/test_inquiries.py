"""Inquiries over REST: what is taken, and in what shape it is kept."""

from __future__ import annotations

import pytest

from .conftest import House, code_of


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
