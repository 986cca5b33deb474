"""An inquiry that was answered with success reaches the support desk, whatever happens to the daemon or the mail server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.daemon_process import Daemon, Launch, Sections, wait_until
from tests.mail.post_office import PostOffice, post_office
from tests.services import Services

LATE = {"an inquiry could not be mailed", "the mail server cannot be used"}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    with post_office(tmp_path / "post office", tls=True, user="stompgate", password="planted") as office:
        yield office


def settings(office: PostOffice, **inquiries: float) -> Sections:
    hasty = {"per_address_per_min": 0, "per_min": 0, "retry_least_s": 0.1, "retry_most_s": 0.5, "look_every_s": 0.5}
    return {"mail": office.url, "smtp": office.smtp, "inquiries": {**hasty, **inquiries}, "http": {"operators": ["*"]}}


def ask(daemon: Daemon, name: str) -> httpx.Response:
    inquiry = {"name": name, "email": "kim@example.com", "phone": "010", "message": f"{name} asks"}
    return httpx.post(f"{daemon.url}/inquiry/upload", json=inquiry, trust_env=False, timeout=20)


def ready(daemon: Daemon) -> dict[str, Any]:
    answer = httpx.get(f"{daemon.url}/health/ready", trust_env=False, timeout=20)
    assert answer.status_code == 200
    shown: dict[str, Any] = answer.json()
    return shown


def subjects(*names: str) -> list[str]:
    return [f"[문의]: {name}" for name in names]


def test_an_inquiry_is_mailed_and_what_waited_for_a_dead_server_follows(launch: Launch, office: PostOffice) -> None:
    office.kill()
    daemon = launch(settings(office))
    daemon.expected_log |= LATE
    assert ask(daemon, "김").text == "success"
    wait_until(lambda: bool(daemon.events("an inquiry could not be mailed")), "a try has failed")
    shown = ready(daemon)
    assert (shown["status"], shown["parts"]["mail"]["status"]) == ("degraded", "down")
    daemon.kill()
    office.start()
    daemon.start_again()
    assert ask(daemon, "이").text == "success"
    wait_until(lambda: office.subjects() == subjects("김", "이"), "both are mailed")
    assert ready(daemon)["parts"]["mail"]["status"] == "up"
    metrics = httpx.get(f"{daemon.url}/metrics", trust_env=False).text
    assert "stompgate_inquiries_mailed_total 2.0" in metrics
    daemon.stop()
    assert all(mail.tls and mail.login for mail in office.taken)


def test_a_daemon_killed_between_the_mail_and_its_mark_mails_again_by_the_same_message_id(
    launch: Launch, office: PostOffice
) -> None:
    office.order(taken_delay_s=60)
    daemon = launch({**settings(office), "smtp": {**office.smtp, "answer_timeout_s": 60.0}})
    ask(daemon, "kim")
    wait_until(lambda: len(office.taken) == 1, "the mail is taken, and the answer has not come")
    daemon.kill()
    office.order()
    daemon.start_again()
    wait_until(lambda: len(office.taken) == 2, "it is mailed again")
    assert len({mail.message["message-id"] for mail in office.taken}) == 1
    ask(daemon, "lee")
    wait_until(lambda: office.subjects() == subjects("kim", "kim", "lee"), "and not once more")


def test_a_stop_waits_for_the_mail_under_way(launch: Launch, office: PostOffice) -> None:
    office.order(taken_delay_s=1)
    daemon = launch(settings(office))
    ask(daemon, "kim")
    wait_until(lambda: len(office.taken) == 1, "the mail is taken, and the answer has not come")
    daemon.stop()
    office.order()
    daemon.start_again()
    ask(daemon, "lee")
    wait_until(lambda: office.subjects() == subjects("kim", "lee"), "each is mailed once")


def test_a_refused_login_is_degraded_with_the_reason(launch: Launch, office: PostOffice) -> None:
    daemon = launch({**settings(office), "mail": office.url.replace("planted", "uprooted")})
    daemon.expected_log |= LATE
    wait_until(lambda: ready(daemon)["parts"]["mail"]["status"] == "down", "it is known without any inquiry")
    shown = ready(daemon)
    assert shown["status"] == "degraded"
    assert shown["parts"]["mail"]["reason"] == f"localhost:{office.port}: refused the login (535 5.7.8)"


def test_what_is_refused_for_good_is_given_up_and_the_others_are_mailed(launch: Launch, office: PostOffice) -> None:
    office.order(words={"a2ltIGFza3M": "554 5.7.1 spam"})  # "kim asks" in base64
    daemon = launch(settings(office, refused_give_up_days=0.3 / 86_400))
    daemon.expected_log |= LATE | {"an inquiry was given up"}
    for name in ("kim", "lee"):
        ask(daemon, name)
    wait_until(lambda: office.subjects() == subjects("lee"), "the other is mailed")
    wait_until(lambda: bool(daemon.events("an inquiry was given up")), "it is given up")
    (line,) = daemon.events("an inquiry was given up")
    assert (line["inquiry"], line["reason"]) == (1, f"localhost:{office.port}: refused the mail: 554 5.7.1 spam")
    assert ready(daemon)["status"] == "ready", "it concerns no other"


def test_inquiries_are_limited_by_address(launch: Launch) -> None:
    daemon = launch({"inquiries": {"per_address_per_min": 2}})
    assert [ask(daemon, f"name {n}").status_code for n in range(3)] == [200, 200, 429]


def test_two_servers_on_one_database_mail_each_once(launch: Launch, office: PostOffice, services: Services) -> None:
    store = services.fresh_store_url()
    daemons = [launch({**settings(office), "server_id": f"server-{n}"}, "--store", store) for n in (1, 2)]

    async def ask_all() -> list[httpx.Response]:
        return await asyncio.gather(
            *(asyncio.to_thread(ask, daemons[n % 2], f"name {n}") for n in range(30)),
        )

    assert {answer.text for answer in asyncio.run(ask_all())} == {"success"}
    wait_until(lambda: len(office.taken) >= 30, "all are mailed")
    for daemon in daemons:
        daemon.stop()
    assert sorted(office.subjects()) == sorted(subjects(*(f"name {n}" for n in range(30))))
