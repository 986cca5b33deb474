"""A real SMTP server in a process of its own: ``python -m tests.mail.server FOLDER``.

It takes orders from ``orders.json`` in its folder, read anew with each command, and puts each mail that it has taken there as a
file, numbered in their order. ``set-up.json`` says what is fixed: the port, and TLS and a login if they are wanted.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Desk:
    """Does as it is ordered: ``{"rcpt": "550 nobody here", "data": "", "data_delay_s": 0.5, …}``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._from_the_first_byte = json.loads((folder / "set-up.json").read_text())["from_the_first_byte"]
        self._number = len(list(folder.glob("mail-*.json")))

    async def handle_MAIL(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return await self._ordered("mail") or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._ordered("rcpt")
        if not answer:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        refused = [answer for word, answer in self._orders().get("words", {}).items() if word.encode() in envelope.content]
        answer = await self._ordered("data") or next(iter(refused), "")
        if answer:
            return answer
        self._number += 1
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "text": envelope.content.decode("latin-1"),
            "tls": session.ssl is not None or self._from_the_first_byte,
            "login": session.authenticated,
        }
        new = self._folder / "mail.new"
        new.write_text(json.dumps(mail))
        new.rename(self._folder / f"mail-{self._number:04}.json")
        await self._ordered("taken")
        return "250 taken"

    async def _ordered(self, command: str) -> str:
        orders = self._orders()
        await asyncio.sleep(orders.get(f"{command}_delay_s", 0))
        return str(orders.get(command, ""))

    def _orders(self) -> dict[str, Any]:
        orders: dict[str, Any] = json.loads((self._folder / "orders.json").read_text())
        return orders


def _tls(set_up: dict[str, Any]) -> ssl.SSLContext | None:
    if not set_up["certificate"]:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(set_up["certificate"], set_up["key"])
    return context


def _session_of(set_up: dict[str, Any], desk: Desk) -> SMTP:
    context = None if set_up["from_the_first_byte"] else _tls(set_up)

    def is_known(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        known = (data.login.decode(), data.password.decode()) == (set_up["user"], set_up["password"])
        # A bad server: it repeats what it was given.
        return AuthResult(success=known, handled=False, message=None if known else f"535 5.7.8 wrong: {data.password.decode()}")

    return SMTP(
        desk,
        hostname="localhost",
        tls_context=context,
        require_starttls=context is not None,
        auth_required=bool(set_up["user"]),
        auth_require_tls=context is not None,
        authenticator=is_known,
        loop=asyncio.get_running_loop(),
    )


async def _serve(folder: Path) -> None:
    set_up: dict[str, Any] = json.loads((folder / "set-up.json").read_text())
    desk = Desk(folder)
    server = await asyncio.get_running_loop().create_server(
        lambda: _session_of(set_up, desk),
        "localhost",
        set_up["port"],
        ssl=_tls(set_up) if set_up["from_the_first_byte"] else None,
    )
    (folder / "ready").touch()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
