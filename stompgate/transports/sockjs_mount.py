"""SockJS mounted at a path: an ASGI application for what comes as HTTP, and the entrance of what comes as WebSockets.

It is handed who takes the connections, and knows nothing of what they say. It must never let a page read or send that the
list of origins keeps out, whatever way the page takes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stompgate.access.addresses import Networks, forwarded_for
from stompgate.access.origins import AllowedOrigins
from stompgate.gateway.link import Framing, Link
from stompgate.model.causes import Cause, Refusal
from stompgate.ports.part import Figure
from stompgate.sockjs import pages
from stompgate.sockjs.carriers import CARRIERS, BadCallback, check_callback
from stompgate.sockjs.framing import ANOTHER_RECEIVER, BrokenPayload, NoPayload, decode_messages
from stompgate.sockjs.paths import METHODS, SENDING, Endpoint, Place, read_path

from .http_protocols import DEPARTURE
from .outbox import Flusher
from .sockjs_answers import CACHED, NOT_CACHED, YEAR_S, Asked, FrameAnswer, Header, content_type, nothing, refuse, whole
from .sockjs_bodies import callback_in, payload_in_form, read_body
from .sockjs_framing import SockJsFraming, SockJsMessageFraming, Texts
from .sockjs_origins import SockJsOrigins
from .sockjs_session import SessionHost, SockJsLimits, SockJsLink
from .sockjs_websocket import SocketHost, SockJsSocket
from .websocket import MessageReceiver, Receiver

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

Attach = Callable[[Link], Receiver]

_PLAIN: Final = "text/plain;charset=UTF-8"
_HTML: Final = "text/html;charset=UTF-8"
_JSON: Final = "application/json;charset=UTF-8"
_FORM: Final = "application/x-www-form-urlencoded"
_PAGES: Final = frozenset({Endpoint.GREETING, Endpoint.IFRAME, Endpoint.INFO})
_ENTROPY_BITS: Final = 32
_NO_JSON: Final = b"Broken JSON encoding."
_NO_MESSAGES: Final = b"Payload expected."


@dataclass(frozen=True, slots=True, kw_only=True)
class SockJsOptions:
    """What a mount is like.

    ``client_url``: where the page for iframes finds the client library; ``has_websocket``: whether WebSockets are opened here;
    ``sets_cookie``: whether ``JSESSIONID`` is set, and asked for by ``info``; ``instead``: what goes in the place of a message
    that is no text, None for nothing; ``keeps_surrogates``: lone ones go in as they came, else as U+FFFD; ``like_spring``: what
    Spring answers otherwise than the text of SockJS is answered as Spring does; ``proxies``: whose word is taken for whose a
    session is.
    """

    path: str
    client_url: str
    has_websocket: bool = True
    sets_cookie: bool = False
    instead: bytes | None = None
    keeps_surrogates: bool = True
    like_spring: bool = False
    proxies: Networks = ()
    limits: SockJsLimits = field(default_factory=SockJsLimits)


class SockJsMount:
    """One service. ``attach`` takes a connection in; ``objection`` says why no new session may begin now, None if one may."""

    def __init__(
        self,
        options: SockJsOptions,
        origins: AllowedOrigins,
        flusher: Flusher,
        attach: Attach,
        objection: Callable[[], Cause | None],
    ) -> None:
        self.path = options.path
        self._options = options
        self._origins = SockJsOrigins(origins)
        self._attach = attach
        self._objection = objection
        self._texts = Texts(options.instead)
        self._framings: dict[Framing, Framing] = {}
        self._sessions: dict[str, SockJsLink] = {}
        self._page = pages.iframe_page(options.client_url)
        self._etag = f'"{hashlib.sha256(self._page).hexdigest()[:32]}"'
        self._unknown = 0
        self._host = SessionHost(flusher, options.limits, SockJsFraming(self._texts), attach, self._forget)
        self._socket_host = SocketHost(
            flusher,
            options.limits,
            self._framing_over,
            attach,
            keeps_surrogates=options.keeps_surrogates,
            tells_broken=options.like_spring,
        )

    def figures(self) -> Sequence[Figure]:
        """What is counted here."""
        return (
            Figure(
                "stompgate_sockjs_sessions",
                "Sessions that are carried by requests, those just closed included.",
                len(self._sessions),
            ),
            Figure(
                "stompgate_sockjs_unknown_sessions_total",
                "Requests for a session that is not here: it is over, or the balancer brought them to the wrong server.",
                self._unknown,
            ),
            Figure(
                "stompgate_sockjs_not_text_total",
                "Messages that are no text, which SockJS cannot carry, and in whose place something else went.",
                self._texts.not_text,
            ),
        )

    @property
    def receiving(self) -> int:
        """Requests that wait for what a session says, now."""
        return sum(link.has_receiver for link in self._sessions.values())

    def entrance(self, path: str) -> Callable[[Link], Receiver] | None:
        """Who takes a WebSocket that is opened at this path; None if nobody does."""
        place = read_path(path.removeprefix(self.path)) if self.covers(path) else None
        if place is None or not self._options.has_websocket:
            return None
        match place.endpoint:
            case Endpoint.RAW_WEBSOCKET:
                return self._attach
            case Endpoint.WEBSOCKET:
                return self._socket
        return None

    def covers(self, path: str) -> bool:
        """Whether a path belongs to this mount."""
        return path == self.path or path.startswith(f"{self.path}/")

    def _socket(self, wire: Link) -> MessageReceiver:
        return SockJsSocket(self._socket_host, wire)

    def _framing_over(self, wire: Framing) -> Framing:
        framing = self._framings.get(wire)
        if framing is None:
            framing = self._framings[wire] = SockJsMessageFraming(self._texts, wire)
        return framing

    def _forget(self, session_id: str) -> None:
        del self._sessions[session_id]

    # HTTP

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        asked = Asked(scope["method"], scope["headers"], scope["query_string"])
        place = read_path(scope["path"].removeprefix(self.path))
        if place is None:
            await self._not_found(send, Refusal(Cause.NOT_FOUND))
            return
        methods = METHODS[place.endpoint]
        is_head = asked.method == "HEAD" and place.endpoint in _PAGES  # as GET: the body is left out on the way
        if asked.method not in methods and not is_head:
            await nothing(send, 405, [(b"allow", ", ".join(methods).encode())])
            return
        if not self._origins.admits(asked, place.endpoint):
            await refuse(send, Refusal(Cause.ORIGIN_REFUSED))
        elif asked.method == "OPTIONS":
            await self._preflight(asked, methods, send)
        elif place.endpoint in SENDING:
            await self._send(asked, place, receive, send)
        elif place.endpoint in CARRIERS:
            await self._receive(asked, place, scope, send)
        else:
            await self._fixed(asked, place.endpoint, send)

    async def _fixed(self, asked: Asked, endpoint: Endpoint, send: Send) -> None:
        match endpoint:
            case Endpoint.GREETING:
                await whole(send, 200, [content_type(_PLAIN)], pages.GREETING)
            case Endpoint.INFO:
                await whole(send, 200, [content_type(_JSON), NOT_CACHED, *self._origins.cors(asked)], self._info())
            case Endpoint.IFRAME:
                await self._iframe(asked, send)
            case _:
                text = b'Can "Upgrade" only to "WebSocket".'
                await whole(send, 400 if self._options.has_websocket else 404, [content_type(_PLAIN)], text)

    def _info(self) -> bytes:
        options, entropy = self._options, secrets.randbits(_ENTROPY_BITS)
        return pages.info(entropy, has_websocket=options.has_websocket, needs_cookie=options.sets_cookie)

    async def _iframe(self, asked: Asked, send: Send) -> None:
        headers = [*CACHED, (b"etag", self._etag.encode()), *self._origins.frame_policy()]
        if self._etag in asked.headers.get(b"if-none-match", ""):
            await whole(send, 304, headers)
        else:
            await whole(send, 200, [content_type(_HTML), *headers], self._page)

    async def _preflight(self, asked: Asked, methods: Sequence[str], send: Send) -> None:
        headers = [
            *CACHED,
            (b"access-control-max-age", str(YEAR_S).encode()),
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            *self._origins.cors(asked),
        ]
        await whole(send, 204, headers)

    def _session_headers(self, asked: Asked) -> list[Header]:
        cookie = [asked.cookie()] if self._options.sets_cookie else []
        return [NOT_CACHED, *self._origins.cors(asked), *cookie]

    async def _not_found(self, send: Send, refusal: Refusal, headers: Sequence[Header] = ()) -> None:
        if self._options.like_spring:
            await nothing(send, 404, headers)
        else:
            await refuse(send, refusal, headers)

    # What a session says

    async def _receive(self, asked: Asked, place: Place, scope: Scope, send: Send) -> None:
        carrier, headers = CARRIERS[place.endpoint], self._session_headers(asked)
        callback = ""
        if carrier.takes_callback:
            try:
                callback = check_callback(callback_in(asked.query))
            except BadCallback as error:
                await whole(send, 500, headers, str(error).encode())
                return
        link = self._sessions.get(place.session)
        if link is None:
            objection = self._objection()
            if objection is not None:
                await refuse(send, Refusal(objection), headers)
                return
            link = self._open(place, asked, scope)
        receiver = link.enter()
        if place.endpoint is Endpoint.HTMLFILE:
            headers += self._origins.frame_policy()
        answer = FrameAnswer(carrier, callback, send, self._options.limits.response_bytes)
        head = [content_type(carrier.content_type), *headers]
        if receiver is None:
            await answer.begin(head)
            await answer.end(ANOTHER_RECEIVER)
            return
        departure = scope["state"][DEPARTURE]
        departure.listener = receiver.vanished
        try:
            await answer.begin(head)
            await answer.carry(receiver)
            receiver.done()
        finally:
            departure.listener = None
            receiver.vanished()  # if it is not done

    def _open(self, place: Place, asked: Asked, scope: Scope) -> SockJsLink:
        host, port = scope["client"] or ("unknown", 0)
        forwarded, proxies = asked.headers.get(b"x-forwarded-for"), self._options.proxies
        address = str(forwarded_for([forwarded], host, proxies) or host) if forwarded and proxies else f"{host}:{port}"
        transport = f"sockjs-{place.endpoint.value.replace('_', '-')}"
        link = self._sessions[place.session] = SockJsLink(self._host, place.session, transport, address)
        return link

    # What a session is told

    async def _send(self, asked: Asked, place: Place, receive: Receive, send: Send) -> None:
        headers = self._session_headers(asked)
        link = self._sessions.get(place.session)
        if link is None:
            self._unknown += 1
            explanation = "There is no such session on this server: it is over, or its requests do not all reach one server."
            await self._not_found(send, Refusal(Cause.NO_SUCH_SESSION, explanation), headers)
            return
        try:
            body = await read_body(receive, link.body_limit_bytes)
            if place.endpoint is Endpoint.JSONP_SEND and asked.headers.get(b"content-type", "").startswith(_FORM):
                body = payload_in_form(body)
            await link.receive(decode_messages(body, keeps_surrogates=self._options.keeps_surrogates))
        except NoPayload:
            await whole(send, 500, headers, _NO_JSON if self._options.like_spring else _NO_MESSAGES)
        except BrokenPayload:
            await whole(send, 500, headers, _NO_JSON)
        except Refusal as refusal:
            await refuse(send, refusal, headers)
        else:
            is_jsonp = place.endpoint is Endpoint.JSONP_SEND
            await whole(send, 200 if is_jsonp else 204, [content_type(_PLAIN), *headers], b"ok" if is_jsonp else b"")


class SockJsMounts:
    """Gives each request to the mount at its path, or to the application that has the rest."""

    def __init__(self, mounts: Sequence[SockJsMount], rest: ASGIApp) -> None:
        self._mounts = mounts
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            for mount in self._mounts:
                if mount.covers(scope["path"]):
                    await mount(scope, receive, send)
                    return
        await self._rest(scope, receive, send)
