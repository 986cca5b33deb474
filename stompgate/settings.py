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
LEAST_HEART_BEAT_MS = 100
NO_SOCKET = "-"
SOCKET_LIMIT_BYTES = 107
"""What the name of a socket may have (unix(7)), but for its NUL."""

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
    head_limit_headers: int = Field(default=128, ge=16, le=128, description="Headers of a request.")
    silence_limit_s: int = Field(
        default=120, ge=10, le=86400, description="Seconds without a sign of a peer's system after which it counts as gone."
    )
    max_connections: int = Field(
        default=0,
        ge=0,
        description="Connections at the same time, TLS handshakes under way included; 0 means as many as open files allow.",
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
        _check_pair(self.tls_certificate, self.tls_key)
        return self


def _check_pair(certificate: str, key: str) -> None:
    if key and not certificate:
        raise mistake("tls_certificate as well: a key is of no use without its certificate", "tls_key")
    if certificate and not key:
        raise mistake("tls_key as well: a certificate is of no use without its key", "tls_certificate")


class Tcp(Section):
    """STOMP over plain TCP, on a port of its own. Its connections count into listen.max_connections."""

    port: int = Field(
        default=-1, ge=-1, le=65535, description="Port, 61613 by custom; 0 takes a free one and prints it, -1 opens none."
    )
    host: str = Field(default="", description='Name or address to listen on; "" means that of [listen].')
    tls_certificate: str = Field(default="", description='File with the certificate chain (PEM); "" means that of [listen].')
    tls_key: str = Field(default="", description="File with the private key (PEM) of the certificate.")
    clear_text: bool = Field(default=False, description="Whether this port has no TLS although [listen] has.")

    @model_validator(mode="after")
    def _key_belongs_to_certificate(self) -> Self:
        _check_pair(self.tls_certificate, self.tls_key)
        if self.clear_text and self.tls_certificate:
            raise mistake("false where this port has a certificate of its own", "clear_text")
        return self


class WebSocket(Section):
    """STOMP over WebSocket."""

    paths: Texts = Field(
        default=("/ws-stomp", "/ws-stomp/websocket"), min_length=1, description="Paths that take a WebSocket upgrade."
    )
    message_limit_bytes: int = Field(default=1048576, ge=1024, description="Size of one WebSocket message in bytes.")
    close_timeout_s: float = Field(default=5.0, gt=0, le=600, description="Seconds that a peer has to answer a close.")
    compression: bool = Field(default=False, description="Whether permessage-deflate is agreed to where clients offer it.")
    compression_least_bytes: int = Field(default=512, ge=0, description="Bytes below which we send uncompressed.")
    compression_stranger_limit_bytes: int = Field(
        default=0,
        ge=0,
        le=65536,
        description="Bytes that a message may inflate to before its client is CONNECTED. With 0 such a one is refused, and "
        "browsers, which compress CONNECT as everything, are served uncompressed.",
    )
    compression_ratio_limit: int = Field(
        default=50, ge=2, le=1100, description="Times its compressed size that a message may inflate to."
    )
    compression_free_bytes: int = Field(
        default=32768, ge=0, description="Bytes that a message may inflate to whatever its compressed size."
    )

    @field_validator("paths")
    @classmethod
    def _are_paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not re.fullmatch(r"/[!-~]*", path) or set(path) & set("?#"):
                raise mistake(f'a list of paths that begin with "/"; not {path!r}')
        return paths


class SockJs(Section):
    """SockJS, for clients that cannot be sure of WebSockets. Its sessions have the limits of [connections] and [stomp]."""

    enabled: bool = Field(default=True, description="Whether SockJS is served.")
    path: str = Field(default="/ws-stomp", description="Path below which it is served, without a slash at its end.")
    websocket: bool = Field(default=True, description="Whether clients are told that they may try WebSockets first.")
    cookie: bool = Field(
        default=True, description="Whether JSESSIONID is set, by which some load balancers keep a session to one server."
    )
    client_url: str = Field(
        default="https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js",
        description="Where the page for iframes finds the client library, of the same version as the pages that connect.",
    )
    heart_beat_s: float = Field(default=25.0, gt=0, le=3600, description="Seconds of silence after which a heart-beat is sent.")
    disconnect_delay_s: float = Field(
        default=5.0, gt=0, le=600, description="Seconds that a session lives without a request that receives for it."
    )
    response_limit_bytes: int = Field(
        default=131072, ge=1024, description="Bytes after which a streaming response ends and the client asks for the next."
    )
    cache_messages: int = Field(
        default=100, ge=1, le=1000000, description="Messages that may wait for the next request of a session."
    )
    body_limit_bytes: int = Field(default=1048576, ge=1024, description="Size of a request with messages in bytes.")
    like_spring: bool = Field(
        default=False,
        description="Whether broken or empty requests and unknown sessions are answered as Spring does.",
    )

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
            raise mistake(f'a path like "/ws-stomp"; not {path!r}')
        return path

    @field_validator("client_url")
    @classmethod
    def _is_a_client_url(cls, url: str) -> str:
        if not re.fullmatch(r"(https?://|/)[!-~]+", url):
            raise mistake(f'a URL that begins with "https://", "http://" or "/"; not {url!r}')
        return url


class Stomp(Section):
    """The protocol: sizes of frames and times of heart-beats."""

    frame_limit_bytes: int = Field(default=65536, ge=1024, description="Size of one frame in bytes, head and body.")
    header_line_limit_bytes: int = Field(default=8192, ge=64, description="Size of one header line in bytes.")
    headers_limit: int = Field(default=64, ge=8, le=10000, description="Headers of one frame.")
    before_connect_limit_bytes: int = Field(default=8192, ge=512, description="Size of the first frame in bytes.")
    first_frame_timeout_s: float = Field(default=60.0, gt=0, le=3600, description="Seconds within which CONNECT must come.")
    heart_beat_send_ms: int = Field(
        default=10000,
        ge=0,
        le=3600000,
        description="Milliseconds between heart-beats we offer to send, 100 at least; 0 is none.",
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

    @field_validator("heart_beat_send_ms")
    @classmethod
    def _can_be_kept(cls, interval_ms: int) -> int:
        if 0 < interval_ms < LEAST_HEART_BEAT_MS:
            raise mistake(f"0 or at least {LEAST_HEART_BEAT_MS}: nothing more often can be promised")
        return interval_ms

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
    unacknowledged: int = Field(
        default=1000,
        ge=1,
        le=1000000,
        description="Messages that may wait for ACK or NACK; then rooms and queues wait, and a topic ends the connection.",
    )
    transactions: int = Field(default=16, ge=1, le=100000, description="Open transactions at the same time.")
    transaction_limit_frames: int = Field(default=256, ge=1, le=100000, description="Frames kept in one transaction.")
    transaction_limit_bytes: int = Field(
        default=1048576, ge=1024, description="Bytes that the frames kept in one transaction take."
    )
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


class Retention(Section):
    """How long messages are kept."""

    days: int = Field(default=0, ge=0, le=36500, description="Days after which messages are taken away; 0 keeps them for ever.")
    archives: bool = Field(default=False, description="Whether they are moved to the table sg_archive instead of deleted.")
    slice_messages: int = Field(default=500, ge=1, le=10000, description="Messages taken away at a time.")
    pause_s: float = Field(default=0.5, ge=0, le=600, description="Seconds between two slices.")
    every_s: float = Field(default=3600.0, gt=0, le=86400, description="Seconds between two rounds.")


class Auth(Section):
    """Who is who."""

    mode: Literal["header", "users"] = Field(
        default="header",
        description="Where the identity comes from: the header `sender` of CONNECT, or its `login` and `passcode`.",
    )
    users_file: str = Field(default="", description='File of lines "name:hash", made by `stompgate hash-password`.')
    hashing_threads: int = Field(default=1, ge=1, le=64, description="Passwords that are checked at the same time.")
    waiting_limit: int = Field(default=1000, ge=1, description="CONNECTs that may wait for their password to be checked.")
    remember_s: float = Field(
        default=600.0, ge=0, le=86400, description="Seconds in which a password that was right is not hashed again."
    )
    anonymous: bool = Field(default=False, description="Whether a session without identity is served, and taken by its word.")

    @model_validator(mode="after")
    def _mode_has_its_file(self) -> Self:
        if self.mode == "users" and not self.users_file:
            raise mistake('the name of a file with mode "users"', "users_file")
        return self


class Http(Section):
    """REST, health and pages."""

    operators: Texts = Field(
        default=("127.0.0.0/8", "::1/128"),
        description='Networks of the operators, who see every room and session; "*" is everyone.',
    )
    proxies: Texts = Field(
        default=(),
        description="Networks of our own proxies, whose X-Forwarded-For is believed: for addresses in the log, and for "
        "the limit of inquiries per address.",
    )
    history_needs_user: bool = Field(default=True, description="Whether a room's history is for its members only.")
    body_limit_bytes: int = Field(default=65536, ge=1024, description="Size of a request's body in bytes.")

    @field_validator("proxies")
    @classmethod
    def _are_known(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        if EVERYONE in networks:
            raise mistake('a list of networks like "10.0.0.0/8"; "*" would believe everyone')
        return networks

    @field_validator("operators", "proxies")
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


class Operator(Section):
    """Looking into the running server: by a socket for its own user on the machine, and with a token by HTTP."""

    socket: str = Field(
        default="",
        description='Socket that the server\'s user alone may open, in a folder of mode 0700; "" chooses one, "-" opens none.',
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        description='What operators show who come by HTTP, 16 to 256 visible ASCII characters; "" lets nobody in that way.',
    )

    @field_validator("socket")
    @classmethod
    def _is_a_place(cls, socket: str) -> str:
        if socket in ("", NO_SOCKET):
            return socket
        if not socket.startswith("/") or not socket.isprintable() or len(socket.encode()) > SOCKET_LIMIT_BYTES:
            raise mistake(f'"", "{NO_SOCKET}" or an absolute path of at most {SOCKET_LIMIT_BYTES} bytes')
        return socket

    @field_validator("token")
    @classmethod
    def _is_a_token(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        if text and not re.fullmatch(r"[!-~]{16,256}", text):
            raise mistake('"" or 16 to 256 visible ASCII characters')
        return token


class Queues(Section):
    """Destinations below /queue/: each message goes to one consumer."""

    keep: Literal["store", "memory"] = Field(
        default="store",
        description='Where messages wait: "store" (durable, for the whole group) or "memory" (of this server, gone with it).',
    )
    bare_names: bool = Field(
        default=False, description='Whether a name that does not begin with "/" is a queue: "orders" for "/queue/orders".'
    )
    limit_messages: int = Field(default=10000, ge=1, description="Messages that may wait in one queue.")
    waiting_limit_messages: int = Field(
        default=10000, ge=1, description="Messages that may wait to be put into queues, over all connections."
    )
    prefetch: int = Field(
        default=32, ge=1, le=65535, description="Messages of a queue that a consumer is given before it acknowledges any."
    )
    look_every_s: float = Field(
        default=2.0, gt=0, le=600, description="Seconds between looks at queues with consumers, should a hint be lost."
    )


class Mysql(Section):
    """A store in MySQL or MariaDB."""

    deadline_s: float = Field(default=5.0, gt=0, le=600, description="Seconds that one call may take, its retries included.")
    connect_timeout_s: float = Field(default=2.0, gt=0, le=600, description="Seconds that connecting may take.")
    lock_wait_s: int = Field(
        default=2, ge=1, le=600, description="Whole seconds after which a room locked by another server counts as blocked."
    )
    idle_timeout_s: int = Field(
        default=30, ge=5, le=86400, description="Whole seconds of silence after which the database ends a connection."
    )
    start_wait_s: float = Field(default=60.0, ge=0, le=86400, description="Seconds to wait for the database at the start.")
    migrate_deadline_s: float = Field(
        default=300.0, gt=0, le=86400, description="Seconds that bringing the tables up to date may take."
    )
    close_deadline_s: float = Field(default=10.0, gt=0, le=600, description="Seconds for calls under way at the end.")
    read_connections: int = Field(default=4, ge=1, le=1000, description="Connections for reading.")
    write_connections: int = Field(
        default=2, ge=1, le=1000, description="Connections for writing, beside the one for groups of messages."
    )
    queue_connections: int = Field(default=2, ge=1, le=1000, description="Connections for queues.")
    waiting_calls: int = Field(default=1024, ge=1, description="Calls that may wait for a connection of their kind.")
    clear_slice_rows: int = Field(
        default=500, ge=1, le=1000000, description="Messages of deleted rooms that are cleared away in one transaction."
    )
    tls_ca: str = Field(
        default="",
        description='File with the certificates (PEM) to trust; "system": those of the system; "": no TLS.',
    )


class Kafka(Section):
    """A relay through Apache Kafka."""

    chat_topic: str = Field(default="chat", min_length=1, description="Topic of the chat messages.")
    own_topic: str = Field(
        default="stompgate-v1",
        min_length=1,
        description="Topic of what else our servers tell each other; nobody else writes to it.",
    )
    user_delete_topic: str = Field(
        default="user-delete", min_length=1, description="Topic where other programs announce users who are to be forgotten."
    )
    group_prefix: str = Field(
        default="team5-", description="A server reads the topics in the group of this and its server_id, where its lag shows."
    )
    user_delete_group: str = Field(
        default="team5-stompgate",
        min_length=1,
        description="Group in which our servers share user_delete_topic; not that of another program that reads it.",
    )
    may_create_topics: bool = Field(default=True, description="Whether topics that are missing are made.")
    partitions: int = Field(default=3, ge=1, le=10000, description="Partitions of a topic that is made.")
    replicas: int = Field(default=0, ge=0, le=100, description="Replicas of a topic that is made; 0 is the broker's default.")
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        default="plaintext", description='TLS is "ssl", a password "sasl": user and password are in the URL then.'
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="How the password is proved."
    )
    tls_ca: str = Field(
        default="", description='File with the authorities (PEM) that brokers are trusted by; "": the system\'s.'
    )
    open_wait_s: float = Field(
        default=5.0, ge=0, le=600, description="Seconds that a start waits for Kafka; then it is taken up when it comes."
    )
    request_timeout_s: float = Field(default=5.0, ge=1, le=600, description="Seconds that a broker has to answer one request.")
    delivery_timeout_s: float = Field(
        default=10.0, ge=1, le=600, description="Seconds until an unanswered record counts as unknown and Kafka as down."
    )
    stalled_after_s: float = Field(
        default=5.0, ge=1, le=600, description="Seconds without an answered fetch after which the consumer is made anew."
    )
    flush_timeout_s: float = Field(
        default=5.0, gt=0, le=600, description="Seconds to deliver what is left when the server stops."
    )
    retry_least_s: float = Field(default=0.5, gt=0, le=600, description="Seconds before Kafka is tried again the first time.")
    retry_most_s: float = Field(default=5.0, gt=0, le=600, description="The same in seconds at most, after many tries.")
    metadata_age_s: float = Field(default=30.0, ge=1, le=3600, description="Seconds after which new partitions are noticed.")
    commit_every_s: float = Field(default=5.0, gt=0, le=3600, description="Seconds between commits of what was read.")
    member_timeout_s: float = Field(
        default=10.0, ge=6, le=300, description="Seconds of silence after which user_delete_topic goes to another server."
    )
    in_flight_records: int = Field(default=10000, ge=1, le=10000000, description="Records that may wait for Kafka's answer.")
    in_flight_bytes: int = Field(default=16777216, ge=65536, description="Bytes of records that may wait for Kafka's answer.")
    record_limit_bytes: int = Field(
        default=1000000, ge=1024, le=100000000, description="Size of a record in bytes, written or read; a broker has its own."
    )
    batch_limit_bytes: int = Field(default=131072, ge=1024, le=100000000, description="Size of a batch of records in bytes.")
    pace_ms: float = Field(
        default=5.0,
        ge=0,
        le=1000,
        description="Milliseconds between exchanges under load; what comes after a pause goes at once.",
    )
    read_limit_records: int = Field(
        default=256, ge=1, le=100000, description="Records that are handled before others have their turn."
    )
    congestion_wait_s: float = Field(
        default=10.0, gt=0, le=600, description="Seconds at most that reading pauses for receivers that cannot follow."
    )

    @field_validator("chat_topic", "own_topic", "user_delete_topic")
    @classmethod
    def _is_a_topic(cls, topic: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", topic):
            raise mistake("1 to 200 of the signs A-Z a-z 0-9 . _ -")
        return topic

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if len({self.chat_topic, self.own_topic, self.user_delete_topic}) < 3:
            raise mistake("another name than that of the other topics", "own_topic")
        if self.retry_most_s < self.retry_least_s:
            raise mistake(f"at least retry_least_s ({self.retry_least_s:g})", "retry_most_s")
        return self


class Redis(Section):
    """Presence in Redis."""

    deadline_s: float = Field(default=1.5, gt=0, le=600, description="Seconds that one exchange may take.")
    tell_every_s: float = Field(default=1.0, gt=0, le=60, description="Seconds between two pipelines with what has changed.")
    lease_s: float = Field(
        default=15.0, gt=0, le=600, description="Seconds after which a server that was not heard of counts as dead."
    )
    refresh_every_s: float = Field(
        default=300.0, gt=0, le=900, description="Seconds within which every session is written again; the keys last 1800."
    )
    reconnect_limit_s: float = Field(
        default=4.0, gt=0, le=600, description="Seconds between two tries while it is away, at most."
    )
    slice_sessions: int = Field(default=500, ge=1, le=10000, description="Sessions that one step may write or take away.")

    @model_validator(mode="after")
    def _lease_outlasts_a_bad_exchange(self) -> Self:
        if self.lease_s <= self.tell_every_s + self.deadline_s:
            raise mistake("more than tell_every_s and deadline_s together", "lease_s")
        return self


class Inquiries(Section):
    """Inquiries to the support desk: how many are taken, and how long the mail is tried."""

    per_address_per_min: int = Field(
        default=5,
        ge=0,
        le=1000000,
        description="Inquiries of one network address, so many at once and then per minute; 0: no limit.",
    )
    per_min: int = Field(
        default=60,
        ge=0,
        le=1000000,
        description="Inquiries of all on this server, so many at once and then per minute; 0: no limit.",
    )
    retry_least_s: float = Field(
        default=2.0,
        gt=0,
        le=86400,
        description="Seconds before a mail is tried again the first time; then twice as long each time.",
    )
    retry_most_s: float = Field(default=300.0, gt=0, le=86400, description="The same in seconds at most, after many tries.")
    look_every_s: float = Field(
        default=15.0, gt=0, le=3600, description="Seconds between looks for inquiries that other servers have left."
    )
    give_up_days: float = Field(
        default=7.0,
        gt=0,
        le=3650,
        description="Days of failures after which an inquiry is given up: named in the log, and kept.",
    )
    refused_give_up_days: float = Field(
        default=3.0, gt=0, le=3650, description="The same in days where the mail server says that it will never take it."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.retry_most_s < self.retry_least_s:
            raise mistake(f"at least retry_least_s ({self.retry_least_s:g})", "retry_most_s")
        if self.refused_give_up_days > self.give_up_days:
            raise mistake(f"at most give_up_days ({self.give_up_days:g})", "refused_give_up_days")
        return self


class Smtp(Section):
    """Mail through an SMTP server. User and password are in the URL, mail."""

    sender: str = Field(default="", description='Whom mail is from: "chat@example.org" or "Chat <chat@example.org>".')
    support_address: str = Field(default="", description='Whom inquiries are mailed to, like "support@example.org".')
    starttls: Literal["required", "offered", "never"] = Field(
        default="required", description='TLS with smtp:// URLs: "required", "offered" (where the server has it), or "never".'
    )
    tls_ca: str = Field(
        default="", description='File with the authorities (PEM) that the server is trusted by; "": the system\'s.'
    )
    answer_timeout_s: float = Field(
        default=30.0, gt=0, le=240, description="Seconds that the server has to take the connection, and for each answer."
    )
    attempt_timeout_s: float = Field(default=120.0, gt=0, le=235, description="Seconds that handing over one mail may take.")
    check_every_s: float = Field(
        default=300.0, ge=1, le=86400, description="Seconds between looks whether a server that was down is back."
    )


class Drain(Section):
    """SIGTERM: how clients are sent to the other servers."""

    window_s: float = Field(
        default=30.0, ge=0, le=3600, description="Seconds over which connections are closed, at most; 0: at once."
    )
    closes_per_s: float = Field(
        default=200.0, ge=1, le=100000, description="Connections closed per second; more if the window is too short for all."
    )
    answers_s: float = Field(
        default=5.0, ge=0, le=600, description="Seconds that the store may take to answer what a closing connection has sent."
    )


class Log(Section):
    """What is written about all this, to standard error."""

    format: Literal["auto", "console", "json"] = Field(
        default="auto", description='"console", "json", or "auto": by whether a terminal reads it.'
    )
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least level that is written.")
    text_limit_chars: int = Field(
        default=1000, ge=100, description="Characters of a text that are written; of a longer one the beginning and the length."
    )
    loop_lag_s: float = Field(
        default=0.5, ge=0.1, le=600, description="Seconds that the event loop may be late before a warning is written."
    )
    burst_lines: int = Field(
        default=500,
        ge=0,
        description="Equal lines that are written within burst_s; those after them are counted in one line. 0 writes them all.",
    )
    burst_s: float = Field(default=10.0, gt=0, le=3600, description="Seconds after which equal lines are counted anew.")
    statistics_every_s: float = Field(
        default=1800.0,
        ge=0,
        description="Seconds between two lines of statistics, the first a minute after the start; 0 is none.",
    )


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
        default=SecretStr("log:"),
        description="Where inquiries are mailed: log: (written to the log only), smtp://user:password@host:587 or smtps://…:465.",
    )
    listen: Listen = Listen()
    tcp: Tcp = Tcp()
    websocket: WebSocket = WebSocket()
    sockjs: SockJs = SockJs()
    stomp: Stomp = Stomp()
    connections: Connections = Connections()
    chat: Chat = Chat()
    retention: Retention = Retention()
    auth: Auth = Auth()
    http: Http = Http()
    operator: Operator = Operator()
    queues: Queues = Queues()
    mysql: Mysql = Mysql()
    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    inquiries: Inquiries = Inquiries()
    smtp: Smtp = Smtp()
    drain: Drain = Drain()
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

    @model_validator(mode="after")
    def _mail_has_its_addresses(self) -> Self:
        if self.mail.get_secret_value().startswith(("smtp:", "smtps:")):
            for key in ("sender", "support_address"):
                if not getattr(self.smtp, key):
                    raise mistake("an address, as mail goes through an SMTP server", f"smtp.{key}")
        return self

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of the times in messages; None is the system's."""
        return ZoneInfo(self.time_zone) if self.time_zone else None

    def redacted(self) -> dict[str, Any]:
        """Return all values as plain data for people to read, with passwords and tokens made illegible."""
        shown = self.model_dump(mode="json")  # which writes a secret as asterisks, and an empty one as it is
        for kind in URL_KEYS:
            shown[kind] = redact_url(getattr(self, kind).get_secret_value())
        return shown


URL_KEYS = ("store", "relay", "sessions", "mail")

SECRET_KEYS: tuple[tuple[str, ...], ...] = (*((key,) for key in URL_KEYS), ("operator", "token"))
"""Where a secret may stand: it is never shown, and may come from a file."""


def redact_url(url: str) -> str:
    """Return ``url`` without the password and the query's values: all that may hold a secret."""
    shown = re.sub(r"(//[^/:?#@]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&][^=&#]*=)[^&#]*", r"\1***", shown)
