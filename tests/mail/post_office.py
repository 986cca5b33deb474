"""A real SMTP server for a test: started, given orders, killed and started again on its port, asked for what it has taken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.daemon_process import wait_until
from tests.deploy.certificates import Issued, issue
from tests.services.kept import kept_port

SENDER, SUPPORT = "chat@example.org", "support@example.org"
DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail as it came: the envelope, the bytes, and how."""

    sender: str
    recipients: list[str]
    raw: bytes
    tls: bool
    login: bool

    @property
    def message(self) -> EmailMessage:
        """The mail as a reader of mail sees it."""
        parsed = BytesParser(policy=SMTP).parsebytes(self.raw)
        assert isinstance(parsed, EmailMessage)
        return parsed


class PostOffice:
    """The server. With ``tls`` it wants STARTTLS, or TLS ``from_the_first_byte``; with ``user`` a login as well."""

    def __init__(
        self, folder: Path, *, tls: bool = False, from_the_first_byte: bool = False, user: str = "", password: str = ""
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._user, self._password = user, password
        self._scheme = "smtps" if from_the_first_byte else "smtp"
        self.issued: Issued | None = issue(folder, "post office") if tls else None
        self._process: subprocess.Popen[bytes] | None = None
        set_up = {
            "port": kept_port(folder),
            "certificate": str(self.issued.certificate) if self.issued else "",
            "key": str(self.issued.key) if self.issued else "",
            "from_the_first_byte": from_the_first_byte,
            "user": user,
            "password": password,
        }
        (folder / "set-up.json").write_text(json.dumps(set_up))
        self.order()

    @property
    def port(self) -> int:
        return kept_port(self._folder)

    @property
    def url(self) -> str:
        """Where mail is handed in, as the settings say it."""
        login = f"{quote(self._user, safe='')}:{quote(self._password, safe='')}@" if self._user else ""
        return f"{self._scheme}://{login}localhost:{self.port}"

    @property
    def smtp(self) -> dict[str, str | float]:
        """The section of the settings that fits it. Short time-outs."""
        return {
            "sender": SENDER,
            "support_address": SUPPORT,
            "starttls": "required" if self.issued else "never",
            "tls_ca": str(self.issued.certificate) if self.issued else "",
            "answer_timeout_s": 2.0,
            "check_every_s": 1.0,
        }

    def order(self, **orders: Any) -> None:
        """From now on: what to answer to ``mail``, ``rcpt``, ``data``; how late (``data_delay_s``, …; ``taken_delay_s``: after
        the mail was taken); ``words``: answers to mails that contain them. What is not ordered goes well."""
        new = self._folder / "orders.new"
        new.write_text(json.dumps(orders))
        new.rename(self._folder / "orders.json")

    def start(self) -> None:
        """Start it and wait until it listens."""
        ready = self._folder / "ready"
        ready.unlink(missing_ok=True)
        with (self._folder / "log").open("ab") as log:
            command = [sys.executable, "-W", "ignore", "-m", "tests.mail.server", str(self._folder)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(ready.exists, "the SMTP server listens", DEADLINE_S)

    def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(DEADLINE_S)

    @property
    def taken(self) -> list[Taken]:
        """What it has taken, in order."""
        mails = [json.loads(file.read_text()) for file in sorted(self._folder.glob("mail-*.json"))]
        return [
            Taken(mail["from"], mail["to"], mail["text"].encode("latin-1"), mail["tls"], bool(mail["login"])) for mail in mails
        ]

    def subjects(self) -> list[str]:
        """The subjects of what it has taken, in order."""
        return [str(mail.message["subject"]) for mail in self.taken]


@contextmanager
def post_office(folder: Path, **how: Any) -> Iterator[PostOffice]:
    """One that listens, for a ``with``; ``how`` as for ``PostOffice``."""
    office = PostOffice(folder, **how)
    office.start()
    try:
        yield office
    finally:
        office.kill()
