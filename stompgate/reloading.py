"""SIGHUP: the settings are read again. What is safe takes effect, and the rest is named as what needs a restart.

Settings with a mistake in them change nothing. A value must never reach the log: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import structlog

from stompgate.ports.part import SetupError

from . import logs, portions
from .config import KeyPath, SettingsError
from .listening import Port, connection_limit, tls_context
from .settings import Log, Section, Settings
from .wiring import Server

LIVE: Final = frozenset(
    {
        *(("log", key) for key in Log.model_fields),
        *(("listen", key) for key in ("allowed_origins", "max_connections")),
        *(("listen", key) for key in ("head_timeout_s", "head_limit_bytes", "head_limit_headers")),
        *(("http", key) for key in ("operators", "body_limit_bytes")),
        ("operator", "token"),
        *(("drain", key) for key in ("window_s", "closes_per_s", "answers_s")),
    }
)
"""What takes effect without a restart, for connections there are as well, but for the limits of ``listen``: those are the
door's. TLS certificates are read again whether or not their settings have changed, since files are renewed in place."""

_log = structlog.get_logger(__name__)


class Reloading:
    """The settings in force, and how they change while the server serves on ``ports``. ``read`` raises ``SettingsError``."""

    def __init__(self, settings: Settings, read: Callable[[], Settings], server: Server, ports: Sequence[Port]) -> None:
        self.settings = settings
        self._started_with = settings
        self._read = read
        self._server = server
        self.ports = ports

    def again(self) -> None:
        """Read them again and take over what is safe. Never raises."""
        try:
            fresh = self._read()
            self._renew_certificates()
        except SettingsError as error:
            _log.error("the settings were not taken over: they have mistakes", mistakes=error.sentences)
            return
        except SetupError as error:
            _log.error("the settings were not taken over", reason=str(error))
            return
        changed = set(changed_keys(self.settings, fresh))
        self._apply(fresh)
        waiting = sorted(set(changed_keys(self._started_with, fresh)) - LIVE)
        _log.info("settings read again", applied=_named(sorted(changed & LIVE)), needs_restart=_named(waiting))

    def _renew_certificates(self) -> None:
        """Those who connect from now on are shown what the files hold now. All or none is renewed."""
        secured = [port for port in self.ports if port.tls is not None]
        for port in secured:
            tls_context(port.certificate, port.key)
        for port in secured:
            assert port.tls is not None
            port.tls.load_cert_chain(port.certificate, port.key)

    def _apply(self, fresh: Settings) -> None:
        server = self._server
        logs.configure(fresh.log)
        server.ticker.warn_s = fresh.log.loop_lag_s
        server.statistics.start(fresh.log.statistics_every_s)
        server.origins.allow(fresh.listen.allowed_origins)
        server.house.limits = portions.listen_limits(fresh.listen, connection_limit(fresh.listen))
        server.http_settings.operators = portions.operators(fresh.http)
        server.http_settings.body_limit_bytes = fresh.http.body_limit_bytes
        server.http_settings.operator_token = fresh.operator.token.get_secret_value()
        server.drain.settings = portions.drain_settings(fresh.drain)
        self.settings = self.settings.model_copy(update={name: getattr(fresh, name) for name in ("log", "drain")})
        self.settings = self.settings.model_copy(
            update={name: self._mixed(name, fresh) for name in ("listen", "http", "operator")}
        )

    def _mixed(self, section: str, fresh: Settings) -> Any:
        """A section with its live keys from ``fresh`` and the others as they are in force."""
        taken = {key: getattr(getattr(fresh, section), key) for name, key in LIVE if name == section}
        return getattr(self.settings, section).model_copy(update=taken)


def changed_keys(old: Settings, new: Settings) -> Iterator[KeyPath]:
    """The keys whose values differ, by section and name."""
    for name in Settings.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, Section):
            yield from ((name, key) for key in type(before).model_fields if getattr(before, key) != getattr(after, key))
        elif before != after:
            yield (name,)


def _named(paths: Sequence[KeyPath]) -> list[str]:
    return [".".join(path) for path in paths]
