"""Users and their passwords in a file: CONNECT's ``login`` and ``passcode`` must fit a line of it.

Passwords are kept as Argon2 hashes alone. Hashing is slow on purpose, so it is done by few threads at a time, and what has
fitted once is remembered for a while: who comes back soon costs no hash. An unknown user takes as long as a wrong password.
Passwords must never reach the log.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from stompgate.model.causes import Cause, Refusal
from stompgate.model.sessions import Identity
from stompgate.ports.clock import Clock
from stompgate.ports.part import SetupError

NAME_LIMIT_CHARS: Final = 255
PASSWORD_LIMIT_CHARS: Final = 1024
_REMEMBERED: Final = 100_000

_WRONG = Refusal(Cause.WRONG_PASSWORD)


@dataclass(frozen=True, slots=True)
class UsersFileLimits:
    """``threads``: hashes at a time; ``waiting``: CONNECTs that may wait; ``remember_s``: how long a fit is known."""

    threads: int = 1
    waiting: int = 1_000
    remember_s: float = 600.0


class UsersFile:
    """The ports' ``Authenticator`` for auth mode ``users``."""

    def __init__(self, hashes: Mapping[str, str], clock: Clock, limits: UsersFileLimits) -> None:
        self._hashes = hashes
        self._clock = clock
        self._limits = limits
        self._hasher = PasswordHasher()
        self._of_nobody = self._hasher.hash(secrets.token_urlsafe())
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="argon2")
        self._key = secrets.token_bytes(32)
        self._fits: dict[str, tuple[bytes, float]] = {}  # by user: a keyed digest of the password, and until when
        self._waiting = 0

    def authenticate(self, connect_headers: Mapping[str, str]) -> Identity | Awaitable[Identity]:
        """Return the identity, or an awaitable of it; one that is cancelled before its turn costs no hash.

        Raises ``Refusal`` (WRONG_PASSWORD, OVERLOADED).
        """
        user, password = connect_headers.get("login", ""), connect_headers.get("passcode", "")
        if not (0 < len(user) <= NAME_LIMIT_CHARS and 0 < len(password) <= PASSWORD_LIMIT_CHARS):
            raise _WRONG
        digest = blake2b(password.encode("utf-8", "replace"), key=self._key).digest()
        fit = self._fits.get(user)
        if fit is not None and self._clock.monotonic() < fit[1] and hmac.compare_digest(fit[0], digest):
            return Identity(user)
        if self._waiting >= self._limits.waiting:
            raise Refusal(Cause.OVERLOADED, detail="too many CONNECTs wait for their passwords to be checked")
        is_right = asyncio.get_running_loop().run_in_executor(self._threads, self._is_right, user, password)
        self._waiting += 1
        is_right.add_done_callback(self._checked)
        return self._known(user, digest, is_right)

    def _checked(self, is_right: asyncio.Future[bool]) -> None:  # noqa: ARG002 (a callback)
        self._waiting -= 1

    async def _known(self, user: str, digest: bytes, is_right: Awaitable[bool]) -> Identity:
        if not await is_right:
            raise _WRONG
        self._fits.pop(user, None)
        self._fits[user] = (digest, self._clock.monotonic() + self._limits.remember_s)
        if len(self._fits) > _REMEMBERED:
            del self._fits[next(iter(self._fits))]
        return Identity(user)

    def _is_right(self, user: str, password: str) -> bool:
        """On a thread: hash and compare, whether or not there is such a user."""
        known = self._hashes.get(user)
        try:
            return self._hasher.verify(known or self._of_nobody, password) and known is not None
        except VerificationError:
            return False

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def read_users(path: Path) -> dict[str, str]:
    """Read a file of lines ``name:hash``; empty lines and those that begin with ``#`` are passed over.

    Raises ``SetupError`` that names the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"auth.users_file: {path} cannot be read: {error}") from error
    hashes: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, hashed = line.strip().rpartition(":")
        if not name or len(name) > NAME_LIMIT_CHARS or not _is_hash(hashed):
            raise SetupError(f"auth.users_file: {path} line {number}: expected a name, a colon, and what hash-password printed")
        if name in hashes:
            raise SetupError(f"auth.users_file: {path} line {number}: the name stands there twice")
        hashes[name] = hashed
    return hashes


def hash_password(password: str) -> str:
    """Return the Argon2 hash of a password, as a line of the file takes it."""
    return PasswordHasher().hash(password)


def _is_hash(text: str) -> bool:
    try:
        PasswordHasher().check_needs_rehash(text)
    except InvalidHashError:
        return False
    return True
