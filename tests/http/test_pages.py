"""The pages: what a browser is given, and that it needs nothing from elsewhere."""

from __future__ import annotations

import re

import pytest

from stompgate.http.docs import assets_folder
from stompgate.http.pages import read_static
from stompgate.model.causes import Cause

from .conftest import House, code_of

STATIC = read_static()
ELSEWHERE = re.compile(rb"""(?:https?:|wss?:)?//[a-z0-9]""", re.IGNORECASE)
NAMESPACE = b"http://www.w3.org/2000/svg"


@pytest.mark.parametrize("path", ["/test/", "/test/local"])
async def test_the_page_is_served_under_a_strict_policy(house: House, path: str) -> None:
    async with house.client() as client:
        answer = await client.get(path)
        assert (await client.head(path)).status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws: wss:"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]


async def test_everything_that_the_page_names_is_there(house: House) -> None:
    html = STATIC["test.html"][0].decode()
    names = set(re.findall(r'(?:src|href)="static/([^"]+)"', html))
    assert "page.js" in names
    async with house.client() as client:
        for name in names | STATIC.keys():
            answer = await client.get(f"/test/static/{name}")
            assert (answer.status_code, answer.content) == (200, STATIC[name][0])
            assert "content-security-policy" in answer.headers
            for imported in re.findall(r"from '\./([^']+)'", answer.text):
                assert imported in STATIC


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpages.py", "%2e%2e/pages.py", "test.html/"])
async def test_nothing_but_the_page_s_own_files_is_served(house: House, name: str) -> None:
    async with house.client() as client:
        assert code_of(await client.get(f"/test/static/{name}")) == "not-found"


@pytest.mark.parametrize("name", sorted(STATIC))
def test_no_file_names_anything_elsewhere(name: str) -> None:
    content = STATIC[name][0].replace(NAMESPACE, b"")
    lines = [line for line in content.splitlines() if ELSEWHERE.search(line)]
    assert lines == []


def test_the_page_has_no_inline_script_or_style_and_writes_no_markup() -> None:
    html = STATIC["test.html"][0].decode()
    assert re.findall(r"<script(?![^>]*\ssrc=)", html) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", html) == []
    for name, (content, _) in STATIC.items():
        if name.endswith(".js"):
            assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", content), name


def test_every_text_is_there_in_both_languages() -> None:
    source = STATIC["texts.js"][0].decode()
    english, korean = source.split("\n  ko: {", 1)
    keys = re.compile(r"^    '?([a-zA-Z-]+)'?:", re.MULTILINE)
    assert keys.findall(english) == keys.findall(korean)
    html, page = STATIC["test.html"][0].decode(), STATIC["page.js"][0].decode()
    used = set(re.findall(r'data-(?:text|label|placeholder)="(\w+)"', html)) | set(
        re.findall(r"[^a-zA-Z]text\('(\w+)'\)", page)
    )
    assert used <= set(keys.findall(english))
    codes = {key for key in keys.findall(english) if "-" in key}
    assert codes <= {cause.code for cause in Cause}


@pytest.mark.skipif(assets_folder() is None, reason="Swagger UI's files are not installed")
async def test_the_docs_page_works_without_the_internet(house: House) -> None:
    async with house.client() as client:
        page = await client.get("/docs")
        assert not ELSEWHERE.search(page.content)
        assert "default-src 'self'" in page.headers["content-security-policy"]
        for name in re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text):
            assert (await client.get(f"/{name}")).status_code == 200
        assert code_of(await client.get("/docs/nothing.js")) == "not-found"


async def test_the_document_names_every_path_of_the_contract_and_how_it_fails(house: House) -> None:
    async with house.client() as client:
        document = (await client.get("/openapi.json")).json()
    named = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    named -= {(method, path) for method, path in named if path.startswith("/operator")}  # which are no part of the contract
    assert named == {
        ("POST", "/room/create"),
        ("GET", "/room/rooms"),
        ("GET", "/metrics"),
        ("GET", "/room/list"),
        ("GET", "/room/{roomUUID}"),
        ("GET", "/room/enter/{roomUUID}"),
        ("DELETE", "/room/delete/{roomUUID}"),
        ("GET", "/chat/room/{roomUUID}"),
        ("GET", "/chat/test"),
        ("GET", "/chat/debug/sessions"),
        ("GET", "/chat/debug/sessions/{userId}"),
        ("GET", "/chat/debug/server-status"),
        ("POST", "/inquiry/upload"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["description"]
            assert "422" not in operation["responses"]
    assert "code" in document["components"]["schemas"]["Problem"]["properties"]
