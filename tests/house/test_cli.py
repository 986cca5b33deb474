"""The command: friendly sentences, exit codes, and settings from every source."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stompgate import __version__
from stompgate.cli.main import main
from stompgate.config import Settings, shipped_config
from stompgate.ports.part import SetupError


def call(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, words, env=environment)


def test_the_version_is_told_by_the_program_itself() -> None:
    command = [sys.executable, "-m", "stompgate", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == f"stompgate {__version__}\n"


def test_check_config_prints_what_is_in_force_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('store = "sqlite:x?password=planted"\n[listen]\nport = 1\nhost = "한 \\"x\\""\n')
    result = call("check-config", "--config", str(file), "--server-id", "s-2", STOMPGATE_LISTEN__PORT="2")
    assert result.exit_code == 0
    assert result.stdout.endswith("# ok\n")
    assert "planted" not in result.output
    shown = tomllib.loads(result.stdout)
    assert shown["listen"]["port"] == 2
    assert shown["listen"]["host"] == '한 "x"'
    assert shown["server_id"] == "s-2"
    assert shown["chat"] == Settings().redacted()["chat"]


def test_check_config_prints_every_mistake_and_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("nonsense = 1\n")
    result = call("check-config", "--port", "high", STOMPGATE_CONFIG=str(file), STOMPGATE_AUTH__ANONYMOUS="maybe")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "stompgate: option --port: expected a whole number, not 'high'",
        "stompgate: environment variable STOMPGATE_AUTH__ANONYMOUS: expected true or false, not 'maybe'",
        f"stompgate: {file}: nonsense: there is no such key",
    ]


def test_an_unknown_option_exits_with_2() -> None:
    result = call("serve", "--prot", "1")
    assert result.exit_code == 2
    assert "--prot" in result.stderr


def test_serve_hands_the_settings_to_the_daemon_and_exits_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []

    def run(settings: Settings, _read_again: object) -> int:
        served.append(settings)
        return 7

    monkeypatch.setattr("stompgate.daemon.run", run)
    assert call("serve", "--port", "0", "--host", "::1", "--tls-key", __file__, "--tls-certificate", __file__).exit_code == 7
    assert (served[0].listen.port, served[0].listen.host, served[0].listen.tls_key) == (0, "::1", __file__)


def test_a_server_that_cannot_start_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_settings: Settings, _read_again: object) -> int:
        raise SetupError("port 8070 of localhost is in use")

    monkeypatch.setattr("stompgate.daemon.run", run)
    result = call("serve")
    assert (result.exit_code, result.stderr) == (1, "stompgate: port 8070 of localhost is in use\n")


def test_serve_with_wrong_settings_never_reaches_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stompgate.daemon.run", pytest.fail)
    assert call("serve", "--store", "clay://tablet").exit_code == 2


def test_new_epoch_tells_the_old_one_and_the_new(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/chat.db"
    pattern = rf"store {re.escape(store)}: the epoch was (\w+) and is (\w+)\n"
    first, second = (re.fullmatch(pattern, call("new-epoch", "--store", store).stdout) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first[1] != first[2] == second[1] != second[2]


def test_new_epoch_on_a_store_that_cannot_be_used_says_why_in_one_line(tmp_path: Path) -> None:
    result = call("new-epoch", "--store", f"sqlite:{tmp_path}")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("stompgate: ")


def test_init_writes_the_shipped_settings_and_never_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a b.toml"
    written = call("init", str(file))
    assert (written.exit_code, written.stdout.partition(";")[2].strip()[:37]) == (0, f"stompgate serve --config '{file}'"[:37])
    assert file.read_text() == (shipped_config() / "stompgate.toml").read_text()
    file.write_text("mine")
    again = call("init", str(file))
    assert (again.exit_code, again.stderr) == (1, f"stompgate: {file} cannot be written: File exists\n")
    assert file.read_text() == "mine"


def test_what_init_writes_is_a_settings_file_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "stompgate.toml"
    call("init", str(file))
    assert tomllib.loads(call("check-config", "--config", str(file)).stdout) == Settings().redacted()


def test_the_help_tells_the_commands_for_a_running_server_apart_and_whole() -> None:
    said = call("--help").stdout
    first, second = re.split(r"\nA running server:\n", said.partition("\nCommands:\n")[2])
    assert re.findall(r"(?m)^  ([a-z]\S*)  ", first) == ["serve", "init", "check-config", "new-epoch", "hash-password"]
    assert re.findall(r"(?m)^  ([a-z]\S*)  ", second) == ["sessions", "rooms", "tail", "send", "publish", "drain"]
    assert "..." not in first + second


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--socket", "/x", "--url", "http://x"), 2, "expected either --socket or --url, not both"),
        (("--token-file", "/x"), 2, "--token-file: expected --url as well"),
        (("--url", "ftp://x", "--token-file", "/x"), 2, "--url: expected http:// or https:// and a host, and no login in it"),
        (("--url", "http://x:port"), 2, "--url: expected http:// or https:// and a host, and no login in it"),
        (("--url", "http://x", "--token-file", "/"), 2, "--token-file: expected a file that can be read, with the token in it"),
        (("--url", "http://x", "--token-file", "/dev/null"), 2, "--token-file: expected the token on the first line"),
        (("--url", "http://x"), 2, "--url: expected --token-file, or operator.token in the settings"),
        ((), 1, "the settings open no operator's socket; --url asks over the network"),
    ],
)
def test_a_server_that_cannot_be_asked_is_said_in_one_line(words: tuple[str, ...], code: int, sentence: str) -> None:
    result = call("rooms", *words, STOMPGATE_OPERATOR__SOCKET="-")
    assert (result.exit_code, result.stderr) == (code, f"stompgate: {sentence}\n")


@pytest.mark.parametrize("header", ["without", ":value"])
def test_a_header_that_is_none_is_refused_before_anything_is_asked(header: str) -> None:
    result = call("publish", "/topic/x", "text", "--header", header, "--socket", "/nonexistent")
    assert (result.exit_code, result.stderr) == (2, "stompgate: --header: expected NAME:VALUE\n")


def test_a_command_that_asks_a_server_loads_none() -> None:
    asked = (
        "import sys\nfrom stompgate.cli.main import main\nmain(['rooms', '--socket', '/nonexistent'], standalone_mode=False)"
    )
    loaded = (
        f"try:\n exec({asked!r})\nexcept SystemExit:\n print(sorted({{'fastapi', 'uvloop', 'structlog'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", f"import sys\n{loaded}"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
