"""``python -m tests.services.cluster``: the three services and two servers on them, until Ctrl-C.

What it started ends with it; services that ran before go on.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stompgate.config import SettingsError, load
from stompgate.transports.listener import bound_sockets
from tests.daemon_process import READY

from .lasting import DEFAULT_FOLDER, lasting_services
from .process import KeptProcess, send
from .service import NotStarted, Service

SETTINGS = Path(__file__).parents[2] / "deploy" / "cluster"
# A server waits 15 s at most for the lease of its own former life, and may find the database slow.
_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 90.0
_POLL_S = 0.1
_LOG_LINES_SHOWN = 15


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the cluster, running."""

    name: str
    log: Path
    process: KeptProcess

    def page(self) -> str:
        """The address of its page; empty while it is not ready."""
        said = READY.search(self.log.read_text(errors="replace"))
        return f"{said[1]}/test/" if said is not None else ""


def main() -> int:
    """Run until Ctrl-C. Returns the exit code: 1 if something could not start, or ended by itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.services.cluster", description="three services, two servers")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where data and logs are kept (%(default)s)")
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="a settings file for each server (%(default)s)")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ours: list[Service] = []
    servers: list[Server] = []
    try:
        files = sorted(arguments.settings.glob("*.toml"))
        _check_ports(files)
        environment = _start_services(folder, ours)
        for settings in files:
            log = folder / f"{settings.stem}.log"
            _say(f"starting {settings.stem}, which logs to {log}")
            servers.append(_spawn(settings, log, environment))
        _wait_until_ready(servers)
        _say("Ctrl-C ends it.")
        return _watch(servers)
    except NotStarted as reason:
        _say(str(reason))
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        _end(servers, ours)


def _check_ports(files: Sequence[Path]) -> None:
    """Raises NotStarted for ports that the servers will not get: known before anything is started."""
    try:
        wanted = {file.stem: load(file=file, environment={}, options={}).listen for file in files}
    except SettingsError as error:
        raise NotStarted("\n".join(error.sentences)) from error
    taken = [f"{listen.port} ({name})" for name, listen in wanted.items() if not _is_free(listen.host, listen.port)]
    if taken:
        others = f"end what listens there, such as another `make run` or `make cluster`, or choose others in {files[0].parent}"
        raise NotStarted(f"in use: port {', port '.join(taken)}; {others}")


def _is_free(host: str, port: int) -> bool:
    try:
        for bound in bound_sockets(host, port):
            bound.close()
    except OSError as error:
        return error.errno != errno.EADDRINUSE  # the server tells of whatever else is wrong with it
    return True


def _start_services(folder: Path, ours: list[Service]) -> Mapping[str, str]:
    """Start what does not run, noting it in ``ours``. Returns the settings that name the services."""
    services = lasting_services(folder)
    for service in services.values():
        if not service.is_running:
            _say(f"starting {service.name}")
            service.start()
            ours.append(service)
    return {setting: service.url for setting, service in services.items()}


def _spawn(settings: Path, log: Path, environment: Mapping[str, str]) -> Server:
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "stompgate", "serve", "--config", str(settings)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STOMPGATE_")}
    return Server(settings.stem, log, KeptProcess(command, log, {**kept, **environment}))


def _wait_until_ready(servers: Sequence[Server]) -> None:
    end = time.monotonic() + _START_DEADLINE_S
    for server in servers:
        while not server.page():
            if not server.process.is_running or time.monotonic() > end:
                raise NotStarted(f"{server.name} did not start; the end of its log:\n{_log_end(server)}")
            time.sleep(_POLL_S)
        print(f"{server.name} is ready: open {server.page()}", flush=True)


def _watch(servers: Sequence[Server]) -> int:
    while True:
        for server in servers:
            if not server.process.is_running:
                _say(f"{server.name} has ended by itself; the end of its log:\n{_log_end(server)}")
                return 1
        time.sleep(_POLL_S)


def _end(servers: Sequence[Server], services: Sequence[Service]) -> None:
    """End the servers in good order, all at once, then the services. Ctrl-C once more ends the servers at once."""
    if servers:
        _say("\nending the servers; Ctrl-C once more ends them at once")
    try:
        for server in servers:
            send(server.process, signal.SIGTERM)
        for server in servers:
            with suppress(AssertionError):  # too late: killed below
                server.process.wait(_STOP_DEADLINE_S)
    except KeyboardInterrupt:
        _say("at once")
    for server in servers:
        send(server.process, signal.SIGKILL)
    for service in services:
        _say(f"ending {service.name}")
        service.stop()


def _log_end(server: Server) -> str:
    return "\n".join(server.log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
