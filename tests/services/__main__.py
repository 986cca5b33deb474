"""``python -m tests.services start|stop [--folder FOLDER]``: the three servers for trying things, which outlive this command.

Standard output has the three settings that name them and nothing else, for ``env $(make -s services) stompgate serve``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .lasting import DEFAULT_FOLDER, lasting_services
from .service import NotStarted, Service


def main() -> int:
    """Do what the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description="MariaDB, Kafka and Redis on loopback ports")
    parser.add_argument("command", choices=["start", "stop"])
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where their data is kept (%(default)s)")
    arguments = parser.parse_args()
    services = lasting_services(arguments.folder.resolve())
    if arguments.command == "stop":
        for service in services.values():
            _stop(service)
        return 0
    started = [_start(service) for service in services.values()]
    for setting, service in services.items():
        if service.is_running:
            print(f"{setting}={service.url}")
    return 0 if all(started) else 1


def _start(service: Service) -> bool:
    if service.is_running:
        _say(f"{service.name} already runs (pid {service.pid})")
        return True
    try:
        service.start()
    except NotStarted as reason:
        _say(f"{service.name} does not run: {reason}")
        return False
    _say(f"{service.name} is ready (pid {service.pid}), data in {service.folder}")
    return True


def _stop(service: Service) -> None:
    if not service.is_running:
        _say(f"{service.name} does not run")
        return
    service.stop()
    _say(f"{service.name} has ended")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
