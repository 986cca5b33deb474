"""The transactions of one connection (STOMP 1.2, BEGIN, COMMIT, ABORT): what is kept until its COMMIT, within limits.

It knows neither frames nor stores: what is kept says its own size. Nothing that is kept here has had any effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from stompgate.model.causes import Cause, Refusal


class Sized(Protocol):
    """Something that a transaction keeps."""

    @property
    def size_bytes(self) -> int: ...


Kept = TypeVar("Kept", bound=Sized)


@dataclass(frozen=True, slots=True)
class TransactionLimits:
    """``open``: transactions of a connection at a time. Of one: ``frames``, and ``size_bytes`` of what they carry."""

    open: int = 16
    frames: int = 256
    size_bytes: int = 1024 * 1024


class Transaction(Generic[Kept]):
    """What a client has sent since BEGIN, in its order."""

    __slots__ = ("_limits", "_size_bytes", "has_failed", "kept")

    def __init__(self, limits: TransactionLimits) -> None:
        self.has_failed = False
        self.kept: list[Kept] = []
        self._limits = limits
        self._size_bytes = 0

    def hold(self, thing: Kept) -> None:
        """Keep something until COMMIT. Raises ``Refusal`` (TRANSACTION_TOO_LARGE)."""
        self._size_bytes += thing.size_bytes
        limits = self._limits
        if len(self.kept) >= limits.frames or self._size_bytes > limits.size_bytes:
            raise Refusal(
                Cause.TRANSACTION_TOO_LARGE,
                f"A transaction may have {limits.frames} frames, with {limits.size_bytes} bytes of headers and bodies.",
            )
        self.kept.append(thing)

    @contextmanager
    def failing(self) -> Iterator[Self]:
        """A refusal within makes the whole transaction one that must not be committed."""
        try:
            yield self
        except Refusal:
            self.has_failed = True
            raise


class Transactions(Generic[Kept]):
    """The transactions that a connection has begun and neither committed nor aborted."""

    __slots__ = ("_limits", "_open")

    def __init__(self, limits: TransactionLimits) -> None:
        self._limits = limits
        self._open: dict[str, Transaction[Kept]] = {}

    def begin(self, name: str) -> None:
        """Raises ``Refusal`` (DUPLICATE_TRANSACTION, TOO_MANY_TRANSACTIONS)."""
        if name in self._open:
            raise Refusal(Cause.DUPLICATE_TRANSACTION, "Each open transaction of a connection needs a name of its own.")
        if len(self._open) >= self._limits.open:
            raise Refusal(Cause.TOO_MANY_TRANSACTIONS, f"A connection may have {self._limits.open} open transactions.")
        self._open[name] = Transaction(self._limits)

    def named(self, name: str) -> Transaction[Kept]:
        """Return an open transaction. Raises ``Refusal`` (UNKNOWN_TRANSACTION)."""
        transaction = self._open.get(name)
        if transaction is None:
            raise Refusal(Cause.UNKNOWN_TRANSACTION, "BEGIN comes first, and COMMIT or ABORT ends it.")
        return transaction

    def end(self, name: str) -> Transaction[Kept]:
        """Close a transaction, and return it. Raises ``Refusal`` (UNKNOWN_TRANSACTION)."""
        transaction = self.named(name)
        del self._open[name]
        return transaction

    def __len__(self) -> int:
        return len(self._open)
