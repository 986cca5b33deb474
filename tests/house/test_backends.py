"""A URL's scheme chooses the backend, ours or one that is installed beside us."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stompgate.backends import Kind, known, objection, resolve
from stompgate.config import Settings, SettingsError, load
from stompgate.ports.part import SetupError


@pytest.fixture
def installed_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a relay of its own, one whose driver is missing, and one that would hide ours."""
    (tmp_path / "pigeons.py").write_text("def from_url(url, *, server_id, clock):\n    return url, server_id\n")
    information = tmp_path / "pigeons-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeons\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[stompgate.relays]\npigeon = pigeons:from_url\nlame = pigeons.wing:from_url\nlocal = pigeons:from_url\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_the_backends_of_the_default_settings_can_be_imported() -> None:
    settings = Settings()
    for kind in Kind:
        assert callable(resolve(kind, getattr(settings, kind.key).get_secret_value()))


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
    assert objection(Kind.STORE, "clay://tablet") == "a URL with one of the schemes sqlite:"
    with pytest.raises(SetupError, match=r"store: expected a URL with one of the schemes sqlite:, not clay://u:\*\*\*@tablet"):
        resolve(Kind.STORE, "clay://u:planted@tablet")
    with pytest.raises(SettingsError, match="option --store: expected a URL with one of the schemes sqlite:"):
        load(file=None, environment={}, options={("store",): "clay://u:planted@tablet"})
