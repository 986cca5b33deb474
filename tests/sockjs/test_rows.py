"""What SockJS asks of a server, one test for each row of the list that this program keeps to: J1 to J19."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from stompgate.model.causes import Cause
from tests.waiting import until
from tests.wire_client import DEADLINE_S

from .conftest import Serve, Served
from .wire import Answer, Web, new_session

NOT_CACHED = "no-store, no-cache, must-revalidate, max-age=0"
SCRIPT = "application/javascript;charset=UTF-8"
PLAIN = "text/plain;charset=UTF-8"
FORM = "application/x-www-form-urlencoded"
ANOTHER = 'c[2010,"Another connection still open"]\n'
GO_AWAY = 'c[3000,"Go away!"]\n'
INTERRUPTED = 'c[1002,"Connection interrupted"]\n'
PRELUDE = "h" * 2048 + "\n"
IFRAME = """<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script>
    document.domain = document.domain;
    _sockjs_onload = function(){SockJS.bootstrap_iframe();};
  </script>
  <script src="/lib/sockjs.js"></script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""
HTMLFILE = """<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.callback;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""

Row = Callable[[Served, Serve], Awaitable[None]]


async def opened(web: Web, service: str = "/echo") -> str:
    """A new session, opened by a poll; its path."""
    path = new_session(service)
    assert await web.post(f"{path}/xhr") == "o\n"
    return path


async def streaming(web: Web, path: str) -> Answer:
    """A stream that has said everything that comes before messages."""
    stream = await web.start("POST", f"{path}/xhr_streaming")
    assert await stream.chunk() == PRELUDE
    return stream


def check_cors(answer: Answer, origin: str | None = None) -> None:
    assert answer["access-control-allow-origin"] == (origin if origin and origin != "null" else "*")
    assert answer["access-control-allow-credentials"] == "true"


def check_not_cached(answer: Answer) -> None:
    assert answer["cache-control"] == NOT_CACHED
    assert "expires" not in answer.headers
    assert "last-modified" not in answer.headers


async def check_options(web: Web, path: str, methods: str) -> None:
    for origin in (None, "http://test", "null"):
        answer, body = await web.ask("OPTIONS", path, **({"Origin": origin} if origin else {}))
        assert (answer.status, body) == (204, "")
        assert re.search(r"public.*max-age=[1-9]\d{6}", answer["cache-control"])
        assert answer["expires"]
        assert int(answer["access-control-max-age"]) > 1_000_000
        assert answer["access-control-allow-methods"] == methods
        check_cors(answer, origin)


async def check_status(web: Web, method: str, path: str, status: int) -> str:
    answer, body = await web.ask(method, path)
    assert answer.status == status, path
    return body


async def receive(socket: ClientConnection) -> str:
    async with asyncio.timeout(DEADLINE_S):
        return str(await socket.recv())


async def check_closed(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed):
        await receive(socket)
    assert socket.close_code is not None
    return socket.close_code


async def greeting(served: Served, _serve: Serve) -> None:
    web = served.web
    for path in ("/echo", "/echo/"):
        answer, body = await web.ask("GET", path)
        assert (answer.status, answer["content-type"], body) == (200, PLAIN, "Welcome to SockJS!\n")
        assert "set-cookie" not in answer.headers
        head, body = await web.ask("HEAD", path)
        assert (head.status, head["content-length"]) == (200, "19")
    for tail in ("/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/"):
        await check_status(web, "GET", f"/echo{tail}", 404)


async def iframe(served: Served, serve: Serve) -> None:
    web = served.web
    for name in ("iframe.html", "iframe-a.html", "iframe-.html", "iframe-0.1.2abc-dirty.2144.html", "iframe-a.html?t=1234"):
        answer, body = await web.ask("GET", f"/echo/{name}")
        assert (answer.status, answer["content-type"], body) == (200, "text/html;charset=UTF-8", IFRAME)
        assert re.search(r"public.*max-age=31536000", answer["cache-control"])
        assert answer["expires"]
        assert {"last-modified", "set-cookie", "x-frame-options"}.isdisjoint(answer.headers)
    again, body = await web.ask("GET", "/echo/iframe.html", If_None_Match=answer["etag"])
    assert (again.status, body, again["etag"]) == (304, "", answer["etag"])
    assert "content-type" not in again.headers
    for name in ("iframe.htm", "iframe", "IFRAME.HTML", "IFRAME", "iframe.HTML", "iframe.xml", "iframe-/.html"):
        await check_status(web, "GET", f"/echo/{name}", 404)
    listed = await serve(origins=("https://chat.example", "same-origin"))
    answer, _ = await listed.web.ask("GET", "/echo/iframe.html")
    assert answer["content-security-policy"] == "frame-ancestors https://chat.example 'self'"


async def info(served: Served, _serve: Serve) -> None:
    web = served.web
    entropies = set()
    for _ in range(2):
        answer, body = await web.ask("GET", "/echo/info", Origin="http://a.example")
        assert (answer.status, answer["content-type"]) == (200, "application/json;charset=UTF-8")
        check_not_cached(answer)
        check_cors(answer, "http://a.example")
        said = json.loads(body)
        assert 0 <= said.pop("entropy") < 2**32
        assert said == {"websocket": True, "cookie_needed": False, "origins": ["*:*"]}
        entropies.add(body)
    assert len(entropies) == 2
    await check_options(web, "/echo/info", "OPTIONS, GET")
    assert json.loads(await web.get("/disabled_websocket_echo/info"))["websocket"] is False


async def session_paths(served: Served, _serve: Serve) -> None:
    web = served.web
    for part in ("/a/a", "/_/_", "/1/1", "/abcdefgh_i-j%20/abcdefg_i-j%20"):
        assert await web.post(f"/echo{part}/xhr") == "o\n"
    for part in ("//", "/a./a", "/a/a.", "/./.", "/", "///", "/a;b/c", "/a/b;c", "/a/b/c"):
        await check_status(web, "GET", f"/echo{part}/xhr", 404)
        await check_status(web, "POST", f"/echo{part}/xhr", 404)
    path = await opened(web)
    await web.post(f"{path}/xhr_send", '["a"]')
    assert await web.post(f"{path.replace('/000/', '/999/')}/xhr") == 'a["a"]\n'


async def frames(served: Served, serve: Serve) -> None:
    web = served.web
    path = await opened(web)
    for number in range(3):
        await web.post(f"{path}/xhr_send", json.dumps([f"a{number}", "b"]))
    assert await web.post(f"{path}/xhr") == 'a["a0","b","a1","b","a2","b"]\n'
    assert await web.post(f"{await opened(web, '/close')}/xhr") == GO_AWAY
    quick = await serve(heart_beat_s=0.1)
    assert await quick.web.post(f"{await opened(quick.web)}/xhr") == "h\n"


async def times(_served: Served, serve: Serve) -> None:
    quick = await serve(heart_beat_s=0.2, disconnect_delay_s=0.2)
    web, service = quick.web, quick.server.services["/echo"]
    stream = await streaming(web, new_session())
    assert [await stream.chunk() for _ in range(4)] == ["o\n", "h\n", "h\n", "h\n"]
    async with connect(f"{web.ws_url}{new_session()}/websocket") as socket:
        assert [await receive(socket) for _ in range(3)] == ["o", "h", "h"]
        assert len(service.here) == 2
    path = await opened(web)
    await until(lambda: len(service.here) == 1, "the sessions without receivers are over")
    assert service.lost == [Cause.PEER_LEFT] * 2
    await check_status(web, "POST", f"{path}/xhr_send", 404)
    assert await web.post(f"{path}/xhr") == "o\n"


async def one_receiver(served: Served, _serve: Serve) -> None:
    web = served.web
    path = await opened(web)
    waiting = await web.start("POST", f"{path}/xhr")
    assert served.server.mounts["/echo"].receiving == 1
    assert await web.post(f"{path}/xhr") == ANOTHER
    second = await streaming(web, path)
    assert [await second.chunk(), await second.chunk()] == [ANOTHER, ""]
    await web.post(f"{path}/xhr_send", '["still here"]')
    assert await waiting.rest() == 'a["still here"]\n'

    path = await opened(web, "/close")
    assert [await web.post(f"{path}/xhr") for _ in range(3)] == [GO_AWAY] * 3
    path = new_session("/close")
    first = await streaming(web, path)
    assert [await first.chunk() for _ in range(3)] == ["o\n", GO_AWAY, ""]
    second = await streaming(web, path)
    assert [await second.chunk(), await second.chunk()] == [GO_AWAY, ""]


async def websocket(served: Served, _serve: Serve) -> None:
    web = served.web
    path = f"{new_session()}/websocket"
    assert 'Can "Upgrade" only to "WebSocket".' in await check_status(web, "GET", path, 400)
    answer, _ = await web.ask("GET", path, Upgrade="WebSocket", Connection="close")
    assert answer.status == 400
    for headers in ({}, {"Upgrade": "WebSocket", "Connection": "Upgrade"}):
        answer, body = await web.ask("POST", path, **headers)
        assert (answer.status, answer["allow"], body) == (405, "GET", "")
        assert "content-type" not in answer.headers
    url = f"{web.ws_url}{path}"
    async with connect(url) as one, connect(url) as other:
        for socket in (one, other):
            assert await receive(socket) == "o"
        for ignored in ("", "[]"):
            await one.send(ignored)
        for socket, text in ((one, "a"), (other, "b")):
            await socket.send(f'["{text}","c"]')
            assert [await receive(socket), await receive(socket)] == [f'a["{text}"]', 'a["c"]']
        await one.send('"alone"')
        assert await receive(one) == 'a["alone"]'
        await other.send('["a')
        assert await check_closed(other) == Cause.BROKEN_SOCKJS.close_code
    async with connect(url) as again:
        assert await receive(again) == "o"
    async with connect(f"{web.ws_url}{new_session('/close')}/websocket") as socket:
        assert [await receive(socket), await receive(socket)] == ["o", GO_AWAY.strip()]
        await check_closed(socket)
    with pytest.raises(InvalidStatus, match="404"):
        await connect(f"{web.ws_url}{new_session('/disabled_websocket_echo')}/websocket")


async def raw_websocket(served: Served, serve: Serve) -> None:
    quick = await serve(heart_beat_s=0.1)
    async with connect(f"{quick.web.ws_url}/echo/websocket") as socket:
        for text in ("Hello world!\uffff", "[]", "no JSON"):
            await socket.send(text)
            assert await receive(socket) == text
        async with connect(f"{quick.web.ws_url}{new_session()}/websocket") as framed:  # which has heart-beats meanwhile
            assert [await receive(framed) for _ in range(4)] == ["o", "h", "h", "h"]
        await socket.send("last")
        assert await receive(socket) == "last"
    async with connect(f"{served.web.ws_url}/close/websocket") as socket:
        await check_closed(socket)


async def xhr(served: Served, _serve: Serve) -> None:
    web = served.web
    path = new_session()
    for name in ("xhr", "xhr_send"):
        await check_options(web, f"{path}/{name}", "OPTIONS, POST")
    answer, body = await web.ask("POST", f"{path}/xhr")
    assert (answer.status, answer["content-type"], body) == (200, SCRIPT, "o\n")
    check_cors(answer)
    check_not_cached(answer)
    for asked, allowed in (("a, b, c", "a, b, c"), ("", "")):
        answer, _ = await web.ask("POST", f"{new_session()}/xhr", Access_Control_Request_Headers=asked)
        assert answer["access-control-allow-headers"] == allowed


async def xhr_send(served: Served, _serve: Serve) -> None:
    web = served.web
    path = await opened(web)
    answer, body = await web.ask("POST", f"{path}/xhr_send", '["x"]')
    assert (answer.status, answer["content-type"], body) == (204, PLAIN, "")
    check_cors(answer)
    check_not_cached(answer)
    answer, body = await web.ask("POST", f"{new_session()}/xhr_send", '["x"]')
    assert (answer.status, json.loads(body)["code"]) == (404, "no-such-session")
    for payload, text in (
        ('["x', "Broken JSON encoding."),
        ("[1]", "Broken JSON encoding."),
        ("[" * 9999, "Broken JSON encoding."),
    ):
        answer, body = await web.ask("POST", f"{path}/xhr_send", payload)
        assert (answer.status, body) == (500, text)
    for payload in ("", " ", "{}", "1"):
        answer, body = await web.ask("POST", f"{path}/xhr_send", payload)
        assert (answer.status, body) == (500, "Payload expected.")
    await web.post(f"{path}/xhr_send", "[]")
    types = ["text/plain", "T", "application/json", "application/xml", "", "application/json; charset=utf-8", "text/xml"]
    for content_type in types:
        await web.post(f"{path}/xhr_send", '["a"]', Content_Type=content_type)
    assert await web.post(f"{path}/xhr") == f"a{json.dumps(['x'] + ['a'] * len(types), separators=(',', ':'))}\n"


async def xhr_streaming(served: Served, _serve: Serve) -> None:
    web = served.web
    path = new_session()
    await check_options(web, f"{path}/xhr_streaming", "OPTIONS, POST")
    stream = await web.start("POST", f"{path}/xhr_streaming")
    assert (stream.status, stream["content-type"]) == (200, SCRIPT)
    check_cors(stream)
    check_not_cached(stream)
    assert [await stream.chunk(), await stream.chunk()] == [PRELUDE, "o\n"]
    message = "x" * 128
    for _ in range(31):
        await web.post(f"{path}/xhr_send", f'["{message}"]')
        assert await stream.chunk() == f'a["{message}"]\n'
    assert await stream.chunk() == ""
    stream = await streaming(web, path)
    await web.post(f"{path}/xhr_send", '["it goes on"]')
    assert await stream.chunk() == 'a["it goes on"]\n'


async def eventsource(served: Served, _serve: Serve) -> None:
    web = served.web
    path = new_session()
    stream = await web.start("GET", f"{path}/eventsource")
    assert (stream.status, stream["content-type"]) == (200, "text/event-stream;charset=UTF-8")
    check_not_cached(stream)
    assert [await stream.chunk(), await stream.chunk()] == ["\r\n", "data: o\r\n\r\n"]
    for payload in ('["x"]', r'["  \u0000\n\r "]', f'["{"x" * 4096}"]'):
        await web.post(f"{path}/xhr_send", payload)
        assert await stream.chunk() == f"data: a{payload}\r\n\r\n"
    assert await stream.chunk() == ""


async def htmlfile(served: Served, _serve: Serve) -> None:
    web = served.web
    path = new_session()
    stream = await web.start("GET", f"{path}/htmlfile?c=%63allback")
    assert (stream.status, stream["content-type"]) == (200, "text/html;charset=UTF-8")
    check_not_cached(stream)
    head = await stream.chunk()
    assert head.strip() == HTMLFILE
    assert len(head) > 1024
    assert await stream.chunk() == '<script>\np("o");\n</script>\r\n'
    await web.post(f"{path}/xhr_send", '["</script><!--"]')
    assert await stream.chunk() == '<script>\np("a[\\"\\u003c/script>\\u003c!--\\"]");\n</script>\r\n'
    await web.post(f"{path}/xhr_send", f'["{"x" * 4096}"]')
    assert await stream.chunk() == f'<script>\np("a[\\"{"x" * 4096}\\"]");\n</script>\r\n'
    assert await stream.chunk() == ""
    await check_callbacks(web, "htmlfile")


async def check_callbacks(web: Web, name: str) -> None:
    assert await check_status(web, "GET", f"/echo/a/a/{name}", 500) == '"callback" parameter required'
    for bad in ("alert(1)//", "%3Cscript%3E", "a%20b", "%EA%B0%80", "a%00", "x" * 129):
        assert await check_status(web, "GET", f"/echo/a/a/{name}?c={bad}", 500) == 'invalid "callback" parameter'


async def jsonp(served: Served, _serve: Serve) -> None:
    web = served.web
    path = new_session()
    answer, body = await web.ask("GET", f"{path}/jsonp?c=%63allback")
    assert (answer.status, answer["content-type"], body) == (200, SCRIPT, 'callback("o");\r\n')
    check_not_cached(answer)
    answer, body = await web.ask("POST", f"{path}/jsonp_send", "d=%5B%22x%22%5D", Content_Type=FORM)
    assert (answer.status, answer["content-type"], body) == (200, PLAIN, "ok")
    check_not_cached(answer)
    assert await web.post(f"{path}/jsonp_send", '["%61bc"]', Content_Type="text/plain") == "ok"
    assert await web.get(f"{path}/jsonp?c=Jp._a-b.c0") == 'Jp._a-b.c0("a[\\"x\\",\\"%61bc\\"]");\r\n'
    await web.post(f"{path}/jsonp_send", "d=%5B%22%EC%95%88%EB%85%95+a%2Bb%22%5D", Content_Type=FORM)
    assert await web.get(f"{path}/jsonp?c=x") == 'x("a[\\"안녕 a+b\\"]");\r\n'
    for payload, text in (("d=%5B%22x", "Broken JSON encoding."), ("", "Payload expected."), ("d=", "Payload expected.")):
        answer, body = await web.ask("POST", f"{path}/jsonp_send", payload, Content_Type=FORM)
        assert (answer.status, body) == (500, text)
    await check_callbacks(web, "jsonp")
    path = new_session("/close")
    assert await web.get(f"{path}/jsonp?c=x") == 'x("o");\r\n'
    assert [await web.get(f"{path}/jsonp?c=x") for _ in range(2)] == ['x("c[3000,\\"Go away!\\"]");\r\n'] * 2


async def cookies(served: Served, _serve: Serve) -> None:
    web = served.web
    answer, body = await web.ask("GET", "/cookie_needed_echo/info")
    assert json.loads(body)["cookie_needed"] is True
    assert "set-cookie" not in answer.headers
    ways = {"xhr": "POST", "xhr_streaming": "POST", "eventsource": "GET", "htmlfile?c=c": "GET", "jsonp?c=c": "GET"}
    for name, method in ways.items():
        path = new_session("/cookie_needed_echo")
        for given, expected in (("", "dummy"), ("a=b; JSESSIONID=abcdef; c=d", "abcdef"), ('JSESSIONID="a b"', "dummy")):
            answer = await web.start(method, f"{path}{expected}{len(given)}/{name}", **({"Cookie": given} if given else {}))
            assert (answer.status, answer["set-cookie"]) == (200, f"JSESSIONID={expected}; path=/")
            await answer.close()
    path = await opened(web, "/cookie_needed_echo")
    for name in ("xhr_send", "jsonp_send"):
        answer, _ = await web.ask("POST", f"{path}/{name}", '["x"]')
        assert answer["set-cookie"] == "JSESSIONID=dummy; path=/"
    answer, _ = await web.ask("POST", f"{new_session()}/xhr", Cookie="JSESSIONID=abcdef")
    assert "set-cookie" not in answer.headers


async def unicode(served: Served, _serve: Serve) -> None:
    web = served.web
    path = await opened(web)
    ranges = ((0x200C, 0x200F), (0x2028, 0x202F), (0x2060, 0x206F), (0xFFF0, 0xFFFF))
    killers = [code for first, last in ranges for code in range(first, last + 1)]
    escaped = "".join(f"\\u{code:04x}" for code in killers)
    await web.post(f"{path}/xhr_send", f'["{"".join(map(chr, killers))}"]')
    assert await web.post(f"{path}/xhr") == f'a["{escaped}"]\n'
    everything = "".join(chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000) + "\U0001f600"
    await web.post(f"{path}/xhr_send", json.dumps([everything]))
    assert json.loads((await web.post(f"{path}/xhr"))[1:]) == [everything]
    lone = r"\ud800 \udfff\ud83d x"
    await web.post(f"{path}/xhr_send", f'["{lone}"]')
    assert await web.post(f"{path}/xhr") == f'a["{lone}"]\n'
    controls = "".join(f"\\u{code:04x}" for code in range(0x20) if code not in (8, 9, 10, 12, 13))
    await web.post(f"{path}/xhr_send", f'["{controls}"]')
    assert await web.post(f"{path}/xhr") == f'a["{controls}"]\n'
    async with connect(f"{web.ws_url}{new_session()}/websocket") as socket:
        assert await receive(socket) == "o"
        await socket.send(f'["{lone}\uffff"]')
        assert await receive(socket) == f'a["{lone}\\uffff"]'


async def interrupted(served: Served, _serve: Serve) -> None:
    web, service = served.web, served.server.services["/echo"]
    path = new_session()
    stream = await streaming(web, path)
    assert await stream.chunk() == "o\n"
    await stream.close()
    await until(lambda: service.lost == [Cause.PEER_LEFT], "the stream was given up")
    again = await streaming(web, path)
    assert [await again.chunk(), await again.chunk()] == [INTERRUPTED, ""]

    path = await opened(web)
    waiting = await web.start("POST", f"{path}/xhr")
    await waiting.close()
    await until(lambda: len(service.lost) == 2, "the poll was given up")
    assert await web.post(f"{path}/xhr") == INTERRUPTED


async def http_versions(served: Served, _serve: Serve) -> None:
    web = served.web
    kept = await web.connect()
    for _ in range(2):
        answer = await kept.ask("GET", "/echo")
        assert (answer["content-length"], await answer.rest()) == ("19", "Welcome to SockJS!\n")
    stream = await kept.ask("POST", f"{new_session('/close')}/xhr_streaming")
    assert "content-length" not in stream.headers
    assert [await stream.chunk() for _ in range(4)] == [PRELUDE, "o\n", GO_AWAY, ""]
    old = await web.connect()
    answer = await old.ask("GET", "/echo", version="1.0")
    assert "transfer-encoding" not in answer.headers
    assert await answer.rest() == "Welcome to SockJS!\n"
    old = await web.connect()
    answer = await old.ask("POST", f"{new_session('/close')}/xhr_streaming", version="1.0", Connection="Keep-Alive")
    assert {"transfer-encoding", "content-length"}.isdisjoint(answer.headers)
    assert await answer.rest() == f"{PRELUDE}o\n{GO_AWAY}"
    path = new_session()
    for method, tail, allowed in (
        ("GET", f"{path}/xhr", "OPTIONS, POST"),
        ("GET", f"{path}/xhr_send", "OPTIONS, POST"),
        ("POST", f"{path}/eventsource", "OPTIONS, GET"),
        ("POST", f"{path}/jsonp", "GET"),
        ("POST", "/echo", "GET"),
        ("PUT", "/echo/info", "OPTIONS, GET"),
    ):
        answer, body = await web.ask(method, tail)
        assert (answer.status, answer["allow"], body) == (405, allowed, "")
        assert "content-type" not in answer.headers


ROWS: Mapping[str, Row] = {
    "J1": greeting,
    "J2": iframe,
    "J3": info,
    "J4": session_paths,
    "J5": frames,
    "J6": times,
    "J7": one_receiver,
    "J8": websocket,
    "J9": raw_websocket,
    "J10": xhr,
    "J11": xhr_send,
    "J12": xhr_streaming,
    "J13": eventsource,
    "J14": htmlfile,
    "J15": jsonp,
    "J16": cookies,
    "J17": unicode,
    "J18": interrupted,
    "J19": http_versions,
}


@pytest.mark.parametrize("row", list(ROWS))
async def test_row(served: Served, serve: Serve, row: str) -> None:
    await ROWS[row](served, serve)
