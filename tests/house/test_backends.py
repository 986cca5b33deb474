"""A URL's scheme chooses the backend, ours or one that is installed beside us."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from stompgate.backends import Kind, known, objection, resolve
from stompgate.config import Settings, SettingsError, load
from stompgate.ports.part import SetupError
from stompgate.stores.sqlite_url import path_of
from stompgate.system_clock import SystemClock


@pytest.fixture
def installed_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a relay of its own, one whose driver is missing, and one that would hide ours."""
    (tmp_path / "pigeons.py").write_text("def from_url(url, *, server_id, **others):\n    return url, server_id\n")
    information = tmp_path / "pigeons-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeons\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[stompgate.relays]\npigeon = pigeons:from_url\nlame = pigeons.wing:from_url\nlocal = pigeons:from_url\n"
    )
    # Not by syspath_prepend: that trips over the stand-in for pkg_resources that another test's tool brings.
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


async def test_the_backends_of_the_default_settings_can_be_made() -> None:
    settings = Settings()
    clock = SystemClock(asyncio.get_running_loop())
    for kind in Kind:
        url = getattr(settings, kind.key).get_secret_value()
        part = resolve(kind, url)(url, server_id="s", clock=clock, zone=None, options={})
        assert type(part).__module__.startswith(f"{kind.group}.")


@pytest.mark.usefixtures("installed_beside")
def test_a_backend_installed_beside_us_is_found_and_imported_only_when_chosen() -> None:
    assert "pigeon" in known(Kind.RELAY)
    assert "pigeons" not in sys.modules
    assert load(file=None, environment={}, options={("relay",): "pigeon://loft"}).relay.get_secret_value() == "pigeon://loft"
    assert "pigeons" not in sys.modules
    assert resolve(Kind.RELAY, "pigeon://loft").__module__ == "pigeons"
    del sys.modules["pigeons"]


@pytest.mark.usefixtures("installed_beside")
def test_nothing_installed_beside_us_takes_the_place_of_ours() -> None:
    assert known(Kind.RELAY)["local"].value.startswith("stompgate.")


@pytest.mark.usefixtures("installed_beside")
def test_a_missing_driver_is_named() -> None:
    with pytest.raises(SetupError, match=r"relay: the backend for lame: cannot be imported: No module named 'pigeons\.wing'"):
        resolve(Kind.RELAY, "lame://loft")
    del sys.modules["pigeons"]


def test_an_unknown_scheme_is_answered_with_the_known_ones_and_no_secret() -> None:
    assert objection(Kind.STORE, "sqlite:x") == ""
    assert objection(Kind.STORE, "clay://tablet") == "a URL with one of the schemes mysql:, sqlite:"
    with pytest.raises(
        SetupError, match=r"store: expected a URL with one of the schemes mysql:, sqlite:, not clay://u:\*\*\*@tablet"
    ):
        resolve(Kind.STORE, "clay://u:planted@tablet")
    with pytest.raises(SettingsError, match="option --store: expected a URL with one of the schemes mysql:, sqlite:"):
        load(file=None, environment={}, options={("store",): "clay://u:planted@tablet"})


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:var/chat.db", "var/chat.db"),
        ("sqlite:///var/lib/chat.db", "/var/lib/chat.db"),
        ("sqlite:/var/lib/chat.db", "/var/lib/chat.db"),
        ("sqlite:a%20b.db", "a b.db"),
    ],
)
def test_the_file_of_an_sqlite_url(url: str, path: str) -> None:
    assert path_of(url) == Path(path)


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (Kind.STORE, "sqlite:"),
        (Kind.STORE, "sqlite://chat.db"),
        (Kind.STORE, "sqlite:folder/"),
        (Kind.STORE, "sqlite:chat.db?mode=ro"),
        (Kind.RELAY, "local://host"),
        (Kind.SESSIONS, "memory:1"),
        (Kind.MAIL, "log:file"),
    ],
)
async def test_a_url_that_makes_no_sense_to_its_backend_is_refused_with_what_was_expected(kind: Kind, url: str) -> None:
    clock = SystemClock(asyncio.get_running_loop())
    with pytest.raises(SetupError, match=f"{kind.key}: expected {url.partition(':')[0]}:"):
        resolve(kind, url)(url, server_id="s", clock=clock, zone=None, options={})
