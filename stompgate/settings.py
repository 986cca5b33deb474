"""The settings as values: one frozen model per part, each key with its default, unit and bounds.

This module says what a setting is and which settings contradict each other. It must never look anything up outside
(files, environment): ``stompgate.config`` does that, and each part of the program receives only its own model.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

EVERYONE = "*"
SAME_ORIGIN = "same-origin"

_ORIGIN = re.compile(r"https?://[^/\s?#@]+", re.ASCII)

Texts = Annotated[tuple[str, ...], Field(strict=False)]


def mistake(expected: str, key: str = "") -> PydanticCustomError:
    """Return an error for a value that pydantic's own checks cannot judge; ``key`` names one key of a section."""
    return PydanticCustomError("expected", "{expected}", {"expected": expected, "key": key})


class Section(BaseModel):
    """Settings that belong together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class Listen(Section):
    """The port, and what a peer may do before it has said anything useful."""

    host: str = Field(default="localhost", description='Name or address to listen on; "" means every interface.')
    port: int = Field(default=8070, ge=0, le=65535, description="TCP port for everything; 0 takes a free one and prints it.")
    backlog: int = Field(default=1024, ge=1, le=65535, description="Connections that may wait to be accepted.")
    tls_certificate: str = Field(default="", description='File with the certificate chain (PEM); "" means no TLS.')
    tls_key: str = Field(default="", description="File with the private key (PEM) of the certificate.")
    head_timeout_s: float = Field(
        default=10.0, gt=0, le=600, description="Seconds within which the head of a request must be complete."
    )
    head_limit_bytes: int = Field(default=16384, ge=1024, le=1048576, description="Size of a request's head in bytes.")
    max_connections: int = Field(
        default=0, ge=0, description="Connections at the same time; 0 means as many as open files allow."
    )
    allowed_origins: Texts = Field(
        default=(SAME_ORIGIN,),
        description='Origins whose pages may connect, like "https://chat.example.org"; "same-origin": our own pages; "*": all.',
    )

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin not in (EVERYONE, SAME_ORIGIN) and not _ORIGIN.fullmatch(origin):
                raise mistake(
                    f'a list of "*", "same-origin" or origins like "https://chat.example.org", without a path; not {origin!r}'
                )
        return origins

    @model_validator(mode="after")
    def _key_belongs_to_certificate(self) -> Self:
        if self.tls_key and not self.tls_certificate:
            raise mistake("tls_certificate as well: a key is of no use without its certificate", "tls_key")
        if self.tls_certificate and not self.tls_key:
            raise mistake("tls_key as well: a certificate is of no use without its key", "tls_certificate")
        return self


class WebSocket(Section):
    """STOMP over WebSocket."""

    paths: Texts = Field(
        default=("/ws-stomp", "/ws-stomp/websocket"), min_length=1, description="Paths that take a WebSocket upgrade."
    )
    message_limit_bytes: int = Field(default=1048576, ge=1024, description="Size of one WebSocket message in bytes.")
    close_timeout_s: float = Field(default=5.0, gt=0, le=600, description="Seconds that a peer has to answer a close.")

    @field_validator("paths")
    @classmethod
    def _are_paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not re.fullmatch(r"/[!-~]*", path) or set(path) & set("?#"):
                raise mistake(f'a list of paths that begin with "/"; not {path!r}')
        return paths


class Stomp(Section):
    """The protocol: sizes of frames and times of heart-beats."""

    frame_limit_bytes: int = Field(default=65536, ge=1024, description="Size of one frame in bytes, head and body.")
    header_line_limit_bytes: int = Field(default=8192, ge=64, description="Size of one header line in bytes.")
    headers_limit: int = Field(default=64, ge=8, le=10000, description="Headers of one frame.")
    before_connect_limit_bytes: int = Field(default=8192, ge=512, description="Size of the first frame in bytes.")
    first_frame_timeout_s: float = Field(default=60.0, gt=0, le=3600, description="Seconds within which CONNECT must come.")
    heart_beat_send_ms: int = Field(
        default=10000, ge=0, le=3600000, description="Milliseconds between heart-beats we offer to send; 0 is none."
    )
    heart_beat_receive_ms: int = Field(
        default=10000, ge=0, le=3600000, description="Milliseconds between heart-beats we ask for; 0 is none."
    )
    heart_beat_grace_factor: float = Field(
        default=3.0, ge=1, le=100, description="Intervals of silence after which a peer counts as gone."
    )
    heart_beat_grace_floor_s: float = Field(
        default=5.0, ge=0, le=600, description="Seconds of silence that are always forgiven."
    )
    server_header: bool = Field(default=True, description="Whether CONNECTED tells `server` and `session`.")

    @model_validator(mode="after")
    def _smaller_fits_into_larger(self) -> Self:
        for key in ("header_line_limit_bytes", "before_connect_limit_bytes"):
            if getattr(self, key) > self.frame_limit_bytes:
                raise mistake(f"at most frame_limit_bytes ({self.frame_limit_bytes})", key)
        return self


class Connections(Section):
    """What one connection may hold and take."""

    outbox_limit_bytes: int = Field(default=524288, ge=65536, description="Bytes that may wait for a slow reader.")
    outbox_time_limit_s: float = Field(default=10.0, gt=0, le=600, description="Seconds that the oldest of them may wait.")
    sends_in_flight: int = Field(default=64, ge=1, le=100000, description="SENDs that may wait for the store at the same time.")
    unread_limit_bytes: int = Field(
        default=65536, ge=1024, description="Bytes held behind a waiting frame before reading pauses."
    )
    frames_per_turn: int = Field(
        default=64, ge=1, le=100000, description="Frames handled before other connections have their turn."
    )
    subscriptions: int = Field(default=128, ge=1, le=1000000, description="Subscriptions at the same time.")
    unacknowledged: int = Field(default=1000, ge=1, le=1000000, description="Messages that may wait for ACK or NACK.")
    fan_out_slice: int = Field(default=512, ge=1, le=1000000, description="Receivers served before others have their turn.")
    closing_grace_s: float = Field(
        default=2.0, gt=0, le=600, description="Seconds to write what is left when a connection is closed."
    )


class Chat(Section):
    """Rooms: intake, order, recovery."""

    content_limit_chars: int = Field(default=5000, ge=1, le=1000000, description="Characters of one message's content.")
    group_limit_rows: int = Field(default=256, ge=1, le=100000, description="Messages that are stored in one transaction.")
    group_limit_bytes: int = Field(
        default=1048576, ge=65536, description="Bytes of content that are stored in one transaction."
    )
    waiting_limit_rows: int = Field(
        default=10000, ge=1, description="Messages that may wait for the store, over all connections."
    )
    unknown_outcome_s: float = Field(
        default=10.0, gt=0, le=600, description="Seconds to try a group again whose outcome is unknown; others wait behind it."
    )
    ring_messages: int = Field(default=100, ge=0, le=100000, description="Newest messages of a room that are kept in memory.")
    gap_wait_ms: int = Field(
        default=200, ge=0, le=60000, description="Milliseconds to wait for a missing message before the store is asked."
    )
    held_messages: int = Field(default=1000, ge=1, le=1000000, description="Messages of a room held behind a gap.")
    catch_up_limit_messages: int = Field(default=10000, ge=0, description="Missed messages that a returning client is given.")
    page_messages: int = Field(default=200, ge=1, le=10000, description="Messages read from the store at a time.")
    compare_every_s: float = Field(
        default=30.0, gt=0, le=3600, description="Seconds between comparisons of all rooms with the store."
    )
    compare_every_down_s: float = Field(default=2.0, gt=0, le=3600, description="The same in seconds while the relay is down.")
    rooms_cached: int = Field(default=10000, ge=1, description="Rooms whose members are kept in memory.")


class Auth(Section):
    """Who is who."""

    mode: Literal["header"] = Field(
        default="header", description='Where the identity comes from: "header" is the CONNECT header `sender`.'
    )
    anonymous: bool = Field(default=False, description="Whether a session without identity is served, and taken by its word.")


class Http(Section):
    """REST, health and pages."""

    operators: Texts = Field(
        default=("127.0.0.0/8", "::1/128"),
        description='Networks of the operators, who see every room and session; "*" is everyone.',
    )
    history_needs_user: bool = Field(default=True, description="Whether a room's history is for its members only.")
    body_limit_bytes: int = Field(default=65536, ge=1024, description="Size of a request's body in bytes.")

    @field_validator("operators")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            if network == EVERYONE:
                continue
            try:
                ip_network(network)
            except ValueError as error:
                raise mistake(f'a list of "*" or networks like "10.0.0.0/8"; not {network!r}') from error
        return networks


class Mysql(Section):
    """A store in MySQL or MariaDB."""

    deadline_s: float = Field(default=5.0, gt=0, le=600, description="Seconds that one call may take, its retries included.")


class Kafka(Section):
    """A relay through Apache Kafka."""

    chat_topic: str = Field(default="chat", min_length=1, description="Topic of the chat messages.")


class Redis(Section):
    """Presence in Redis."""

    deadline_s: float = Field(default=2.0, gt=0, le=600, description="Seconds that one exchange may take.")


class Log(Section):
    """What is written about all this, to standard error."""

    format: Literal["auto", "console", "json"] = Field(
        default="auto", description='"console", "json", or "auto": by whether a terminal reads it.'
    )
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least level that is written.")


class Settings(Section):
    """All settings; without arguments the defaults of the standard profile."""

    profile: Literal["standard", "legacy"] = Field(default="standard", description="The set of defaults to begin with.")
    server_id: str = Field(default="default-server", description="Name of this server, another for each server of a group.")
    time_zone: str = Field(default="", description='Zone of the times in messages, like "Asia/Seoul"; "" is the system\'s.')
    store: SecretStr = Field(
        default=SecretStr("sqlite:var/stompgate.db"),
        description="Where rooms and messages are kept: sqlite:relative/path, sqlite:///absolute/path or mysql://user@host/database.",
    )
    relay: SecretStr = Field(
        default=SecretStr("local:"),
        description="How servers tell each other: local: (there is only this one) or kafka://host:9092.",
    )
    sessions: SecretStr = Field(
        default=SecretStr("memory:"), description="Where it is kept who is connected: memory: or redis://host:6379/0."
    )
    mail: SecretStr = Field(
        default=SecretStr("log:"), description="Where inquiries are mailed: log: (written to the log only)."
    )
    listen: Listen = Listen()
    websocket: WebSocket = WebSocket()
    stomp: Stomp = Stomp()
    connections: Connections = Connections()
    chat: Chat = Chat()
    auth: Auth = Auth()
    http: Http = Http()
    mysql: Mysql = Mysql()
    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    log: Log = Log()

    @field_validator("server_id")
    @classmethod
    def _is_a_name(cls, server_id: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", server_id):
            raise mistake("1 to 64 of the signs A-Z a-z 0-9 . _ : -")
        return server_id

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, time_zone: str) -> str:
        if time_zone and time_zone not in available_timezones():
            raise mistake('"" or the name of a time zone like "Asia/Seoul"')
        return time_zone

    @field_validator("store", "relay", "sessions", "mail")
    @classmethod
    def _is_a_url(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        if not re.match(r"[a-z][a-z0-9+.-]*:", url.get_secret_value()):
            example = cls.model_fields[str(info.field_name)].get_default().get_secret_value()
            raise mistake(f'a URL that begins with its scheme, like "{example}"')
        return url

    @model_validator(mode="after")
    def _a_frame_fits_everywhere(self) -> Self:
        if self.connections.outbox_limit_bytes < self.stomp.frame_limit_bytes:
            raise mistake("at least stomp.frame_limit_bytes", "connections.outbox_limit_bytes")
        return self

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of the times in messages; None is the system's."""
        return ZoneInfo(self.time_zone) if self.time_zone else None

    def redacted(self) -> dict[str, Any]:
        """Return all values as plain data for people to read, with the passwords in URLs made illegible."""
        shown = self.model_dump(mode="json")
        for key in SECRET_KEYS:
            shown[key] = redact_url(getattr(self, key).get_secret_value())
        return shown


SECRET_KEYS = tuple(name for name, field in Settings.model_fields.items() if field.annotation is SecretStr)


def redact_url(url: str) -> str:
    """Return ``url`` without the password and the query's values: all that may hold a secret."""
    shown = re.sub(r"(//[^/:?#@]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&][^=&#]*=)[^&#]*", r"\1***", shown)
