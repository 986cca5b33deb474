"""The files of ``deploy`` hold together without a container engine: their schemas, their names, and the settings they set."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from stompgate.config import load
from stompgate.settings import Settings
from stompgate.stopping import limit_s
from tests.daemon_process import Daemon
from tests.requirements import require_program
from tests.services.nginx import DEPLOYED, Nginx

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
SERVERS = ("chat-server-1", "chat-server-2")


def services() -> dict[str, dict[str, Any]]:
    """The services, variables of the form ``${NAME:-default}`` set to their defaults, as a first user meets them."""
    text = re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", COMPOSE.read_text())
    found = yaml.safe_load(text)["services"]
    assert isinstance(found, dict)
    return found


def settings_of(environment: dict[str, str]) -> Settings:
    """What the program makes of a container's environment. Raises SettingsError for an unknown name or a wrong value."""
    return load(file=None, environment=environment, options={})


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_compose_file_keeps_the_schema_of_compose() -> None:
    checked = check_schema(COMPOSE)
    assert checked.returncode == 0, checked.stdout


def test_the_schema_finds_a_wrong_key(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("read_only:", "readonly:"))
    assert check_schema(wrong).returncode == 1


@pytest.mark.parametrize("server", SERVERS)
def test_every_variable_is_a_setting_with_a_valid_value(server: str) -> None:
    environment = services()[server]["environment"]
    assert all(name.startswith("STOMPGATE_") for name in environment)
    settings = settings_of(environment)
    assert settings.server_id == server
    assert settings.listen.host == ""


def test_the_example_files_of_a_cluster_are_valid_and_differ_where_they_must() -> None:
    files = sorted((DEPLOY / "cluster").glob("*.toml"))
    loaded = [load(file=file, environment={}, options={}) for file in files]
    assert [(settings.server_id, settings.listen.port) for settings in loaded] == [(SERVERS[0], 8070), (SERVERS[1], 8071)]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("key", ["store", "relay", "sessions"])
def test_a_server_looks_for_its_backends_where_the_compose_file_has_them(server: str, key: str) -> None:
    url = urlsplit(services()[server]["environment"][f"STOMPGATE_{key.upper()}"])
    backend = services()[url.hostname or ""]
    assert backend["image"].startswith({"mysql": "mysql:8", "kafka": "apache/kafka:", "redis": "redis:"}[url.scheme])
    assert url.port == {"mysql": 3306, "kafka": 9092, "redis": 6379}[url.scheme]


def test_mysql_makes_the_database_and_the_user_that_the_servers_name() -> None:
    url = urlsplit(services()["chat-server-1"]["environment"]["STOMPGATE_STORE"])
    made = services()["mysql"]["environment"]
    assert (url.username, url.password, url.path[1:]) == (made["MYSQL_USER"], made["MYSQL_PASSWORD"], made["MYSQL_DATABASE"])


def test_what_the_driver_needs_for_the_login_of_mysql_8_is_installed_with_the_program() -> None:
    assert any(text.startswith("cryptography") for text in requires("stompgate") or ())


def test_kafka_advertises_the_address_that_the_servers_use() -> None:
    url = urlsplit(services()["chat-server-1"]["environment"]["STOMPGATE_RELAY"])
    assert services()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{url.netloc}"


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_has_longer_to_stop_than_it_takes_to_drain(server: str) -> None:
    service = services()[server]
    assert float(service["stop_grace_period"].removesuffix("s")) > limit_s(settings_of(service["environment"]))


def test_the_image_copies_files_that_exist_and_that_its_ignore_file_lets_through() -> None:
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text())
    names = [name for line in copied for name in line.split()]
    let_through = re.findall(r"(?m)^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text())
    assert sorted(names) == sorted(let_through)
    assert [name for name in names if not (DEPLOY.parent / name).exists()] == []


def test_the_image_sets_valid_settings() -> None:
    variables = re.findall(r'(STOMPGATE_\w+)=("[^"]*"|\S+)', (DEPLOY / "Dockerfile").read_text())
    assert variables
    settings = settings_of({name: value.strip('"') for name, value in variables})
    assert settings.listen.host == ""


def test_the_image_asks_whether_the_server_is_alive(daemon: Daemon) -> None:
    (check,) = re.findall(r"(?s)HEALTHCHECK .*?CMD (\[.*?\])\n", (DEPLOY / "Dockerfile").read_text())
    command = [sys.executable, *json.loads(check)[1:]]

    def asked_of(port: int) -> int:
        environment = {**os.environ, "STOMPGATE_LISTEN__PORT": str(port)}
        return subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode

    assert asked_of(daemon.port) == 0
    port = daemon.port
    daemon.stop()
    assert asked_of(port) == 1


def test_nginx_accepts_its_file_and_sends_to_the_servers(tmp_path: Path) -> None:
    assert re.findall(r"server (\S+):8070", DEPLOYED.read_text()) == list(SERVERS)
    require_program("nginx")
    nginx = Nginx(tmp_path, (8070, 8071))
    nginx.prepare()
    checked = subprocess.run(nginx.command("-t"), capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
