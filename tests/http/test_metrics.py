"""What operators can scrape: every figure, true, documented, at a price that does not grow with the connections."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from stompgate.http.measures import TABLE, Kind
from stompgate.http.parts import HttpSettings
from stompgate.model.causes import Cause
from stompgate.stomp.frames import Frame
from tests.daemon.in_process import serving
from tests.daemon_process import DEADLINE_S, Daemon, Launch
from tests.services import Services
from tests.wire_client import connected, make_room, opened

from .conftest import House, code_of

PAGE = Path(__file__).parents[2] / "docs/operations/metrics.md"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
EVERYWHERE = ("The server", "The process", "Inquiries", "SockJS", "Retention")

Values = Mapping[tuple[str, str], float]
"""By name, and by the value of the label where there is one."""


def documented(*sections: str) -> dict[str, str]:
    """The kind of every name that sections of the page have."""
    found: dict[str, str] = {}
    for section in PAGE.read_text().split("\n## ")[1:]:
        if section.splitlines()[0] in sections:
            found |= dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE))
    return found


async def scrape(url: str, accept: str = "") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{url}/metrics", headers={"accept": accept} if accept else {})
    assert answer.status_code == 200, answer.text
    return answer


def kinds(text: str) -> dict[str, str]:
    """What a scrape says of its names, counters with the end that they have in the text."""
    return {f"{family.name}_total" if family.type == "counter" else family.name: family.type for family in read_text(text)}


async def values(url: str) -> Values:
    families = read_text((await scrape(url)).text)
    return {(sample.name, ",".join(sample.labels.values())): sample.value for family in families for sample in family.samples}


async def when_all_have_gone(url: str) -> Values:
    """The values once the server has seen its clients leave."""
    async with asyncio.timeout(DEADLINE_S):
        while (now := await values(url))["stompgate_connections", "websocket"]:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)
    return now


async def test_every_figure_is_on_the_page_and_every_one_of_the_page_is_there(shared_daemon: Daemon) -> None:
    answer = await scrape(shared_daemon.url)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert kinds(answer.text) == documented(*EVERYWHERE, "Sessions in memory", "The store in SQLite")


async def test_those_of_the_services_are_on_the_page_too(launch: Launch, services: Services) -> None:
    urls = (services.fresh_store_url(), services.fresh_relay_url(), services.fresh_sessions_url())
    options = [word for pair in zip(("--store", "--relay", "--sessions"), urls, strict=True) for word in pair]
    daemon = launch(None, *options)
    parts = ("The store in MySQL", "The relay through Kafka", "Sessions in Redis")
    assert kinds((await scrape(daemon.url)).text) == documented(*EVERYWHERE, *parts)


async def test_who_accepts_open_metrics_is_given_it(shared_daemon: Daemon) -> None:
    answer = await scrape(shared_daemon.url, OPEN_METRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = list(read_open_metrics(answer.text))  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {"stompgate_connections"}


async def test_only_operators_are_told(house: House) -> None:
    async with house.client(HttpSettings(operators=(ip_network("10.0.0.0/8"),)), peer="192.0.2.1") as client:
        answer = await client.get("/metrics")
    assert (answer.status_code, code_of(answer)) == (403, "operators-only")


async def test_what_happened_is_counted(daemon: Daemon) -> None:
    room = await make_room(daemon.url)
    chat, sub = f"/pub/room/{room}/message", f"/sub/chat/room/{room}"
    async with connected(daemon.ws_url, "buyer") as buyer, connected(daemon.ws_url, "seller") as seller:
        position = (await buyer.subscribe(sub)).headers["position"]
        await seller.subscribe(sub)
        for _ in range(2):
            await buyer.send(chat, '{"content":"hello"}', client_message_id="one")
        await buyer.send(chat, '{"content":"again"}')
        for client in (buyer, seller):
            assert len(await client.frames(2)) == 2
        now = await values(daemon.url)
        assert now["stompgate_connections", "websocket"] == 2
        assert now["stompgate_subscriptions", ""] == 2
        assert now["stompgate_feeds", ""] == now["stompgate_destinations", ""] == 1
        assert now["stompgate_sessions_living", ""] == 2
        await seller.subscribe(sub, "back", since=position)
    async with opened(daemon.ws_url) as stranger:
        await stranger.send_frames(Frame("SEND", {"destination": chat}))
        await stranger.refused()
    now = await when_all_have_gone(daemon.url)
    assert now["stompgate_connections_opened_total", "websocket"] == 3
    assert now["stompgate_connections_closed_total", Cause.NOT_CONNECTED.code] == 1
    assert now["stompgate_connections_closed_total", Cause.HEARTBEAT_LOST.code] == 0
    assert now["stompgate_frames_received_total", "SEND"] == 4
    assert now["stompgate_messages_stored_total", ""] == 2
    assert now["stompgate_messages_repeated_total", ""] == 1
    assert now["stompgate_messages_delivered_total", ""] == 6
    assert now["stompgate_sessions_opened_total", ""] == now["stompgate_sessions_closed_total", ""] == 2
    assert (now["stompgate_room_subscriptions_total", "new"], now["stompgate_room_subscriptions_total", "recovered"]) == (2, 1)
    assert now["stompgate_intake_group_messages_sum", ""] == 3
    assert now["stompgate_intake_commit_seconds_count", ""] == now["stompgate_intake_group_messages_count", ""] > 0
    assert now["stompgate_outbox_relayed_seconds_count", ""] == 3, "what was sent again is published again"
    assert now["stompgate_event_loop_tick_lag_seconds_count", ""] > 0
    assert now["process_open_fds", ""] > 5
    assert now["process_resident_memory_bytes", ""] > 10_000_000


async def test_what_was_refused_is_counted_by_cause(daemon: Daemon) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        upgrade = {
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "x" * 24,
        }
        assert (await http.get(f"{daemon.url}/nowhere", headers=upgrade)).status_code == 404
    async with connected(daemon.ws_url) as client:
        await client.send_frames(Frame("SEND", {"destination": "/pub/room/none/message", "receipt": "r"}, b'{"content":"x"}'))
        cause = (await client.refused()).code
    now = await when_all_have_gone(daemon.url)
    assert now["stompgate_connections_refused_total", "not-found"] == 1
    assert now["stompgate_connections_closed_total", cause] == 1


async def test_a_scrape_looks_at_no_connection(tmp_path: Path) -> None:
    class Unwalked(set[Any]):
        def __iter__(self) -> NoReturn:
            raise AssertionError("a walk over the connections")

    async with serving(tmp_path) as server:
        gate = server.server.gate
        gate.peers = Unwalked(gate.peers)
        async with connected(server.ws_url):
            assert (await values(server.url))["stompgate_connections", "websocket"] == 1


@pytest.mark.parametrize("measure", TABLE, ids=lambda measure: measure.name)
def test_names_say_what_they_count(measure: Any) -> None:
    assert measure.name.endswith("_total") == (measure.kind is Kind.COUNTER)
    assert measure.about.endswith(".")
