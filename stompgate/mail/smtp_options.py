"""How the mail server is used: the section [smtp] of the settings, and what its URL says."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from enum import Enum
from typing import Literal


class Security(Enum):
    """What protects the connection."""

    TLS = "TLS from the first byte"
    STARTTLS = "STARTTLS, or no mail"
    STARTTLS_IF_OFFERED = "STARTTLS where the server offers it"
    NONE = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpOptions:
    """The keys of the section, as ``settings.Smtp`` explains them."""

    sender: str = ""
    support_address: str = ""
    starttls: Literal["required", "offered", "never"] = "required"
    tls_ca: str = ""
    answer_timeout_s: float = 30.0
    attempt_timeout_s: float = 120.0
    check_every_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the server is and who we are there. Without ``user`` there is no login."""

    host: str
    port: int
    user: str
    password: str
    security: Security
    trust: ssl.SSLContext
    sender: Address
    support_address: str
    answer_timeout_s: float
    attempt_timeout_s: float
    check_every_s: float
