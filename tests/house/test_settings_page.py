"""``config/stompgate.toml`` is the reference of all settings, and stays it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from stompgate.config import load, shipped_config
from stompgate.settings import Section, Settings

SHIPPED = shipped_config() / "stompgate.toml"


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^# (?=[a-z_]+ = )", "", text)


def test_every_key_stands_in_the_shipped_file_with_its_default() -> None:
    listed = tomllib.loads(uncommented(SHIPPED.read_text()))
    assert listed == Settings().redacted()


def test_the_shipped_file_with_all_keys_set_is_accepted_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text(uncommented(SHIPPED.read_text()))
    assert load(file=file, environment={}, options={}) == Settings()


def test_the_shipped_file_as_it_is_changes_nothing() -> None:
    assert load(file=SHIPPED, environment={}, options={}) == Settings()


def test_every_setting_is_explained() -> None:
    unexplained = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, Section):
            keys = type(field.default).model_fields
            unexplained += [f"{name}.{key}" for key, inner in keys.items() if not inner.description]
        elif not field.description:
            unexplained.append(name)
    assert not unexplained
