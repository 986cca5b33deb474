"""``make bench``: starts a daemon, loads it with ``stompload`` and prints what each message cost it.

Server CPU per delivery is the figure to compare; times and rates are those of a shared machine. A run that loses a
message has no figures.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx

from tests.daemon_process import Daemon
from tests.services import Services

from .deaf import deaf_subscriber

_SOURCE = Path(__file__).with_name("stompload.c")
_BROADCAST = ("--sub", "/sub/bench/%d", "--send", "/sub/bench/%d")
_ROOMS = 100
_NAME = 36


@dataclass(frozen=True)
class Scenario:
    """A name, and what ``stompload`` is told. ``in_rooms``: stored messages in real rooms; ``beside_deaf``: with one more
    subscriber, who never reads; ``on_services``: with MySQL, Kafka and Redis."""

    name: str
    options: tuple[str, ...]
    in_rooms: bool = False
    beside_deaf: bool = False
    on_services: bool = False


def _shape(connections: int, rooms: int, senders: int, messages: int, in_flight: int) -> tuple[str, ...]:
    numbers = {"conns": connections, "rooms": rooms, "pubs": senders, "total": messages, "window": in_flight}
    return tuple(word for name, number in numbers.items() for word in (f"--{name}", str(number)))


_THOUSAND = (*_BROADCAST, *_shape(1000, 1, 1, 3000, 1), "--rate", "60", "--size", "1000")
SCENARIOS = (
    *(Scenario(f"200 subscribers, {n} in flight", (*_BROADCAST, *_shape(200, 1, 1, 4000, n))) for n in (1, 4, 32)),
    *(Scenario(f"500 rooms of two, {n} in flight", (*_BROADCAST, *_shape(1000, 500, 500, 50_000, n))) for n in (1, 64)),
    *(
        Scenario(name, _THOUSAND, beside_deaf=deaf)
        for name, deaf in (("1,000 subscribers", False), ("… and one deaf", True)) * 3
    ),
    Scenario("10,000 idle connections", (*_BROADCAST, *_shape(10_000, 5000, 1, 0, 1), "--srcs", "4", "--hold", "5")),
    *(
        Scenario(f"{where}, rooms of two, {n} in flight", _shape(200, _ROOMS, 200, total, n), in_rooms=True, on_services=on)
        for where, on in (("stored", False), ("the whole cluster", True))
        for n, total in ((1, 5_000), (64, 20_000))
    ),
)


@contextmanager
def daemon(services: Services | None) -> Iterator[Daemon]:
    """A daemon with an empty database, on services where there are some, which logs no connection."""
    settings: dict[str, Any] = {"log": {"level": "warning"}}
    options: tuple[str, ...] = ()
    if services is not None:
        settings |= {"relay": services.fresh_relay_url(), "sessions": services.fresh_sessions_url()}
        options = ("--store", services.fresh_store_url())
    with tempfile.TemporaryDirectory() as folder:
        server = Daemon(Path(folder), settings, options)
        try:
            yield server.start()
            server.stop()
        finally:
            server.put_down()


def compile_load(folder: Path) -> Path:
    """Compile the load generator."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise click.ClickException("a C compiler is needed: install gcc")
    program = folder / "stompload"
    subprocess.run([compiler, "-O2", "-o", program, _SOURCE], check=True)
    return program


def room_options(server: Daemon, folder: Path) -> tuple[str, ...]:
    """Make rooms for the users that ``stompload`` plays, and say how to send to them."""
    rooms = []
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        for number in range(_ROOMS):
            parameters = {"user": f"user{number + _ROOMS}", "name": "bench"}
            answer = http.post("/room/create", params=parameters, headers={"X-Auth-User": f"user{number}"})
            rooms.append(answer.raise_for_status().json()[0]["room"]["roomUUID"])
    listed = folder / "rooms.txt"
    listed.write_text("\n".join(rooms) + "\n")
    chat = ("--sub", "/sub/chat/room/%s", "--send", "/pub/room/%s/message", "--body", "chat", "--receipts", "1")
    return ("--roomfile", str(listed), *chat)


@contextmanager
def services_of(scenario: Scenario) -> Iterator[Services | None]:
    """The real servers where the scenario wants them."""
    if not scenario.on_services:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        services = Services(Path(folder))
        try:
            yield services
        finally:
            services.end()


def measure(program: Path, scenario: Scenario, folder: Path) -> dict[str, Any]:
    """Run one scenario against a daemon of its own."""
    with services_of(scenario) as services, daemon(services) as server:
        rooms = room_options(server, folder) if scenario.in_rooms else ()
        command = [str(program), "--port", str(server.port), "--pid", str(server.pid), *rooms, *scenario.options]
        with deaf_subscriber(server.port, "/sub/bench/0") if scenario.beside_deaf else nullcontext():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
    figures = json.loads(done.stdout) if done.returncode == 0 else {"missing": done.stderr.strip()}
    assert isinstance(figures, dict)
    return figures


@click.command()
@click.option("--only", default="", help="Measure only what has this in its name.")
def main(only: str) -> None:
    """Measure, one line per scenario."""
    titles = ("µs/delivery", "µs/message", "messages/s", "p50 ms", "p99 ms", "KB/connection", "µs/connect")
    click.echo(" " * _NAME + "".join(f"{title:>14}" for title in titles))
    with tempfile.TemporaryDirectory() as folder:
        program = compile_load(Path(folder))
        for scenario in SCENARIOS:
            if only in scenario.name:
                click.echo(_line(scenario.name, measure(program, scenario, Path(folder))))


def _line(name: str, figures: dict[str, Any]) -> str:
    if figures["missing"]:
        return f"{name:{_NAME}}not measured: {figures['missing']}"
    sent, wall_s = figures["sent"], figures["wall_s"]
    values = (
        figures["cpu_us_per_delivery"],
        figures["server_cpu_s"] * 1e6 / sent if sent else 0.0,
        sent / wall_s if sent else 0.0,
        figures["p50_us"] / 1000,
        figures["p99_us"] / 1000,
        figures["kb_per_conn"],
        figures["connect_cpu_us"],
    )
    return f"{name:{_NAME}}" + "".join(f"{value:14.2f}" for value in values)


if __name__ == "__main__":
    main()
